//! A mirror, a keyring, a cache and a scratch directory, and the program that runs with them.

use crate::machine::User;
use crate::program;
use crate::transcript::{Outcome, filter};
use rootstrap_testkit::Files;
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::keys::Key;
use rootstrap_testkit::server::Server;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use tempfile::TempDir;

/// The key that signs every archive, unless the archive names another.
pub static KEY: LazyLock<Key> = LazyLock::new(|| Key::generate("archive"));

/// A mirror and a scratch directory to run the program in.
#[derive(Debug)]
pub struct World {
    /// The mirror.
    pub server: Server,
    /// The scratch directory, which also holds the keyring file. Every user may write there.
    directory: TempDir,
    suite: String,
    mirror: String,
}

impl World {
    /// Serves `archive` and trusts [`KEY`].
    pub fn new(archive: &Archive) -> World {
        World::serving(&archive.dist, archive.build())
    }

    /// Serves these files. Runs ask for `suite`.
    pub fn serving(suite: &str, files: Files) -> World {
        World::serving_below(suite, "", files)
    }

    /// Serves these files below a path of the mirror, such as `/debian`.
    pub fn serving_below(suite: &str, path: &str, files: Files) -> World {
        let directory = tempfile::Builder::new().prefix("world").tempdir().unwrap();
        let server = Server::start(files);
        let mirror = format!("{}{path}", server.url());
        let world = World { server, directory, suite: suite.into(), mirror };
        for name in ["", "tmp", "out"] {
            let path = world.path(name);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        }
        fs::write(world.path("key.pgp"), KEY.public()).unwrap();
        world
    }

    /// Returns a path in the scratch directory. `out/` is empty at first.
    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.directory.path();
        if name.is_empty() { path.to_owned() } else { path.join(name) }
    }

    /// Returns the path of the target `out/NAME`, for [`World::run`] and for the test.
    pub fn target(&self, name: &str) -> String {
        self.path("out").join(name).to_str().unwrap().to_owned()
    }

    /// Returns the program with these arguments and a clean environment.
    pub fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program::path());
        command.args(arguments);
        self.set_environment(&mut command);
        command
    }

    /// Returns the same command for another user.
    pub fn bare_as(&self, user: &User, arguments: &[&str]) -> Command {
        let mut command = user.command(program::path());
        self.set_environment(&mut command);
        command.args(arguments);
        command
    }

    fn set_environment(&self, command: &mut Command) {
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", self.path("home"));
        // The host's apt may name a proxy, which must not be used for the loopback interface.
        command.env("TMPDIR", self.path("tmp")).env("no_proxy", "127.0.0.1").stdin(Stdio::null());
        command.current_dir(self.path(""));
    }

    /// Returns the program with the suite, these arguments, and this world's mirror and keyring.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.with_own_arguments(&[&[self.suite.as_str()], arguments].concat())
    }

    /// Returns the program with these arguments, and this world's mirror and keyring.
    pub fn with_own_arguments(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.args(self.own_arguments());
        command
    }

    /// Returns [`World::command`] for another user, with a cache of that user's own.
    pub fn command_as(&self, user: &User, arguments: &[&str]) -> Command {
        let mut command = self.bare_as(user, &[self.suite.as_str()]);
        command.args(arguments).args(self.own_arguments());
        let cache = self.path(&format!("out/cache-of-{}", user.uid));
        forget(&cache);
        command.arg("--cache-dir").arg(cache);
        command
    }

    fn own_arguments(&self) -> Vec<String> {
        let keyring = self.path("key.pgp").to_str().unwrap().to_owned();
        vec!["--mirror".into(), self.mirror.clone(), "--keyring".into(), keyring]
    }

    /// Runs [`World::command`] with the cache `cache` in the scratch directory, from which snapshots and finished archives are
    /// removed first.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.forget();
        self.run_again(arguments)
    }

    /// Removes snapshots and finished archives from the cache of [`World::run`], so that the next run builds again.
    pub fn forget(&self) {
        forget(&self.path("cache"));
    }

    /// Runs [`World::command`] with that cache as earlier runs left it.
    pub fn run_again(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command(arguments);
        command.arg("--cache-dir").arg(self.path("cache"));
        self.finish(&mut command)
    }

    /// Runs a command and waits for its end.
    pub fn finish(&self, command: &mut Command) -> Outcome {
        self.outcome(&command.output().unwrap())
    }

    /// Returns the status and the output of a finished command.
    pub fn outcome(&self, output: &Output) -> Outcome {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let directory = self.path("").to_str().unwrap().to_owned();
        let places = [(directory, "DIR"), (self.server.url(), "MIRROR")];
        let transcript = filter(&stderr, &places);
        Outcome { code: output.status.code(), stdout: output.stdout.clone(), stderr, transcript }
    }

    /// Returns the names in a directory below the scratch directory, hidden ones too, sorted.
    pub fn names(&self, directory: &str) -> Vec<String> {
        names(&self.path(directory))
    }
}

/// Returns the names in a directory, hidden ones too, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Removes snapshots and finished archives from a cache, so that the next run builds again.
fn forget(cache: &Path) {
    for layer in ["first-phase", "root", "archive"] {
        let _ = fs::remove_dir_all(cache.join("v1").join(layer));
    }
}
