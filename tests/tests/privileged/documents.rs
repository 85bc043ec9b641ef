//! The commands in docs/rebuilds.md and README.md, run in their order on an archive that has what they name.

use rootstrap_testkit::Files;
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, need, program};
use std::fs;
use std::process::Command;

/// The moment of the snapshots in the documents.
const MOMENT: &str = "20260901T000000Z";

/// Returns the suites of the documents with all their pockets, now and as a service of snapshots has them.
fn archive() -> Result<Files, String> {
    let debs = base::debs(Layout::Merged)?;
    let native = debs.iter().filter_map(|deb| deb.get("Architecture")).find(|name| *name != "all").unwrap().to_owned();
    let more = |name: &str| Deb::new(name, "1").arch(&native).field("Priority", "optional");
    let mut files = Files::new();
    for suite in ["trixie", "noble"] {
        for pocket in ["", "-updates", "-security"] {
            let name = format!("{suite}{pocket}");
            let mut archive = Archive::new(&name).key(&KEY);
            archive.architectures = vec![native.clone()];
            if pocket.is_empty() {
                let nginx =
                    more("nginx").field("Depends", "openssl").file("usr/sbin/nginx", 0o755, "#!/bin/sh\nexit 0\n");
                let more = [nginx, more("openssl")];
                archive = archive.debs(debs.clone()).debs(more);
            }
            for (path, bytes) in archive.build() {
                files.insert(format!("{MOMENT}/{path}"), bytes.clone());
                files.insert(format!("now/{path}"), bytes);
            }
        }
    }
    Ok(files)
}

/// Returns the lines of a document's blocks of code that are commands of this program, without what follows a `#`.
fn commands(document: &str) -> Vec<String> {
    let path = format!("{}/../{document}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    // The blocks in `sh` are a story, which the ring `engines` runs as a whole.
    let blocks = text.split("```").skip(1).step_by(2).filter(|block| !block.starts_with("sh\n")).flat_map(str::lines);
    let without_comment = |line: &str| line.split(" # ").next().unwrap_or_default().trim().to_owned();
    blocks.map(without_comment).filter(|line| line.starts_with("rootstrap ")).collect()
}

/// Runs a command with a shell, on this archive.
fn run(world: &World, line: &str) {
    let rest = line.strip_prefix("rootstrap ").unwrap();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let keyring = format!(" --keyring {}", world.path("key.pgp").display());
    let cache = format!(" --cache-dir {}", world.path("cache").display());
    let place = if line.contains("--snapshot") { "{timestamp}" } else { "now" };
    let mirror = format!(" --mirror '{}/{place}'", world.server.url());
    let further = match words.as_slice() {
        ["lock", "export", ..] | ["diff", ..] => String::new(),
        ["outdated" | "verify", ..] => keyring + &cache,
        // Without a suite, the lock has the mirror.
        ["lock", first, ..] if first.starts_with('-') => keyring + &cache,
        _ => mirror + &keyring + &cache,
    };
    let script = format!("exec {} {rest}{further}", program::path().display());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    shell.env("HOME", world.path("home")).env("TMPDIR", world.path("tmp")).current_dir(world.path("out"));
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_commands_of_the_documents_work() {
    need!(machine::root());
    let world = World::serving("trixie", need!(archive()));
    let commands = commands("docs/rebuilds.md");
    assert!(commands.len() >= 12, "{commands:?}");
    commands.iter().for_each(|line| run(&world, line));
    // The README has some of them again, and names an older image.
    let world = World::serving("trixie", need!(archive()));
    let lines = self::commands("README.md");
    let about_locks: Vec<&String> = lines.iter().filter(|line| line.contains("web.")).collect();
    assert!(about_locks.len() >= 5, "{about_locks:?}");
    for line in about_locks {
        if line.contains("old.oci.tar") {
            fs::copy(world.path("out/web.oci.tar"), world.path("out/old.oci.tar")).unwrap();
        }
        run(&world, line);
    }
}
