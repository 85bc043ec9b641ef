//! The tutorials ring: the commands of docs/tutorials, run as they stand there. Blocks marked `sh` are run, in their order, in one directory; the
//! others need a registry, a board or a machine of the reader's.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_tests::{live, machine, need, program};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

fn cache() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn docker_is_there() -> Result<(), String> {
    let answers = Command::new("docker").args(["info", "--format", "{{.ServerVersion}}"]).output();
    let answers = answers.is_ok_and(|output| output.status.success() && !output.stdout.trim_ascii().is_empty());
    if answers { Ok(()) } else { Err("docker info does not answer".to_owned()) }
}

/// Returns the commands of a tutorial.
fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tutorials").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty(), "{name} has no commands");
    // The engine of the tests may have no network of its own, and these containers need none.
    blocks.concat().replace("docker run --rm", "docker run --rm --network=none")
}

/// Runs a script in a new directory. Returns what it prints, and the names that are there afterwards.
fn run(mut shell: Command, script: &str) -> (String, Vec<String>) {
    let directory = tempfile::Builder::new().prefix("tutorial").tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    // Not every user may enter the directory in which cargo builds.
    let programs = directory.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    std::fs::copy(program::path(), programs.join("rootstrap")).unwrap();
    shell.args(["-ec", script]).current_dir(directory.path()).stdin(Stdio::null());
    shell.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display())).env("HOME", directory.path());
    shell.env_remove("XDG_CACHE_HOME");
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    (said, rootstrap_tests::world::names(directory.path()))
}

/// Returns a shell of the user who runs the tests, with the cache of the live ring.
fn shell() -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.env("ROOTSTRAP_CACHE_DIR", cache().join("live-cache"));
    shell
}

#[track_caller]
fn has(names: &[String], expected: &[&str]) {
    for name in expected {
        assert!(names.iter().any(|found| found == name), "{name} is not among {names:?}");
    }
}

#[test]
fn docker_base_image() {
    need!(machine::root());
    need!(live::answers(cache(), "trixie"));
    need!(docker_is_there());
    let (said, names) = run(shell(), &script("docker-base-image.md"));
    assert!(said.contains("\n13."), "{said}");
    has(&names, &["base.oci.tar", "base.lock", "web.oci.tar"]);
}

#[test]
fn distroless_app() {
    need!(machine::root());
    need!(live::answers(cache(), "trixie"));
    need!(docker_is_there());
    let (said, names) = run(shell(), &script("distroless-app.md"));
    assert!(said.contains("hello from python\n"), "{said}");
    has(&names, &["app.oci.tar", "app-arm64.oci.tar"]);
}

#[test]
fn sbuild_chroot() {
    need!(machine::root());
    need!(live::answers(cache(), "trixie"));
    has(&run(shell(), &script("sbuild-chroot.md")).1, &["trixie-amd64.tar.zst", "with-debhelper.tar.zst"]);
}

#[test]
fn arm_board() {
    need!(machine::root());
    need!(live::answers(cache(), "trixie"));
    has(&run(shell(), &script("arm-board.md")).1, &["board.ext4", "board.tar.zst"]);
}

#[test]
fn ordinary_user() {
    need!(live::answers(cache(), "trixie"));
    let user = need!(machine::user());
    let (said, names) = run(user.command(Path::new("/bin/sh")), &script("ordinary-user.md"));
    assert!(said.contains("\n13."), "{said}");
    has(&names, &["trixie.tar", "trixie", "trixie.oci.tar"]);
}
