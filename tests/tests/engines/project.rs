//! A project with images of a made-up archive, in a Git repository, and a registry for them.

use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::registry::Registry;
use rootstrap_testkit::server::Server;
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, program};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// How many images it has.
pub const IMAGES: usize = 6;

/// Returns a path in `ci/`.
pub fn ci(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci").join(name)
}

/// Returns a program of the Python environment that `ROOTSTRAP_TEST_PYTHON` names.
pub fn python_program(name: &str) -> Result<PathBuf, String> {
    let python = std::env::var_os("ROOTSTRAP_TEST_PYTHON").ok_or("ROOTSTRAP_TEST_PYTHON names no Python")?;
    let path = Path::new(&python).parent().unwrap().join(name);
    if path.exists() { Ok(path) } else { Err(format!("{name} is not installed")) }
}

/// Checks whether a program is on the PATH.
pub fn has(program: &str) -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if is_there { Ok(()) } else { Err(format!("{program} is not installed")) }
}

/// The project, its archive, its registry and the store that its machines share.
pub struct Project {
    pub world: World,
    pub registry: Registry,
    pub store: Server,
    /// The directory with the manifest.
    pub directory: PathBuf,
}

fn archive(version: &str, day: u64) -> Archive {
    let required = |name: &str| Deb::new(name, "1.0").field("Essential", "yes").field("Priority", "required");
    let own = |number: usize| {
        let version = if number == 1 { version } else { "1.0" };
        Deb::new(&format!("p{number}"), version).field("Priority", "optional").file("/usr/share/p", 0o644, version)
    };
    let named = |name: &str| Deb::new(name, version).field("Priority", "optional");
    let archive = Archive::new("trixie").key(&KEY).debs([
        required("base-files").file("/etc/motd", 0o644, "hello\n"),
        named("nginx"),
        named("curl"),
    ]);
    let mut archive = archive.debs((1..=IMAGES).map(own));
    archive.date += day * 86400;
    archive
}

impl Project {
    /// Makes the project.
    ///
    /// # Errors
    /// A program is missing.
    pub fn new() -> Result<Self, String> {
        machine::root()?;
        has("git")?;
        let registry = Registry::start(None)?;
        let world = World::new(&archive("1.0", 0));
        let directory = world.path("project");
        fs::create_dir(&directory).unwrap();
        let names: Vec<String> = (1..=IMAGES).map(|number| format!("[\"...\", \"p{number}\"]")).collect();
        let text = format!(
            "[defaults]\nsuite = \"trixie\"\nvariant = \"extract\"\narch = \"amd64\"\nmirror = \"{}\"\nkeyring = \"key.pgp\"\n\
             pockets = \"release\"\ninclude = [\"base-files\"]\nattest = true\npush = \"127.0.0.1:{}/team/{{name}}:{{suite}}\"\n\n\
             [image.team]\nmatrix.include = [{}]\n",
            world.server.url(),
            registry.port,
            names.join(", ")
        );
        fs::write(directory.join("rootstrap.toml"), text).unwrap();
        fs::copy(world.path("key.pgp"), directory.join("key.pgp")).unwrap();
        fs::write(directory.join(".gitignore"), "changes.md\nlogs/\nreport*\n.gitlab-ci-local/\n").unwrap();
        let programs = world.path("programs");
        fs::create_dir(&programs).unwrap();
        std::os::unix::fs::symlink(program::path(), programs.join("rootstrap")).unwrap();
        std::os::unix::fs::symlink(ci("nightly"), programs.join("nightly")).unwrap();
        let copied = Command::new("cp").arg("-r").arg(ci("")).arg(directory.join("ci")).status().unwrap();
        assert!(copied.success());
        let project = Self { world, registry, store: Server::start_store(), directory };
        let bare = project.world.path("origin.git");
        for words in [
            &["init", "--quiet", "--bare", bare.to_str().unwrap()][..],
            &["init", "--quiet", "--initial-branch=main"],
            &["remote", "add", "origin", bare.to_str().unwrap()],
            &["add", "."],
            &["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "--message=start"],
            &["push", "--quiet", "origin", "main"],
        ] {
            project.git(words);
        }
        Ok(project)
    }

    /// Runs Git in the project and returns what it prints.
    pub fn git(&self, words: &[&str]) -> String {
        let output = self.command("git").args(words).output().unwrap();
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns a program in the project's directory, with rootstrap and `nightly` on its PATH.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command.current_dir(&self.directory).env("PATH", format!("{}:{path}", self.world.path("programs").display()));
        command.env("HOME", self.world.path("home")).env("TMPDIR", self.world.path("tmp")).env("no_proxy", "127.0.0.1");
        command.env("ROOTSTRAP_REMOTE_CACHE", self.store.url()).env("ROOTSTRAP_CACHE_DIR", self.cache());
        for name in ["CI", "APT_CONFIG", "http_proxy", "HTTP_PROXY"] {
            command.env_remove(name);
        }
        command
    }

    /// Returns the cache of all machines.
    pub fn cache(&self) -> String {
        self.world.path("cache").display().to_string()
    }

    /// A package of the first image is new.
    pub fn move_archive(&self) {
        for (path, bytes) in archive("1.1", 1).build() {
            self.world.server.set(&path, bytes);
        }
    }

    /// Returns the state of each image in a report.
    pub fn states(&self, report: &str) -> Vec<String> {
        let report: Value = serde_json::from_slice(&fs::read(self.directory.join(report)).unwrap()).unwrap();
        let images = report["images"].as_array().unwrap().iter();
        images.map(|image| image["state"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns which of these states the images have after the second night.
    pub fn second_night() -> Vec<String> {
        let state = |number| if number == 1 { "built" } else { "unchanged" };
        (1..=IMAGES).map(|number| state(number).to_owned()).collect()
    }
}

/// Refuses a failed step with all that it printed.
pub fn succeeds(output: &Output) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}
