//! Images of `rootstrap SUITE --image | docker import - NAME`.

use super::{Image, cache, docker_is_there, run};
use rootstrap_tests::{live, machine, need};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `rootstrap SUITE --image | docker import - NAME`.
fn import(suite: &str, name: &str) -> Image {
    let mut build = live::command(cache(), &[suite, "--image", "--quiet"]).stdout(Stdio::piped()).spawn().unwrap();
    let image = Image(format!("rootstrap-test-{name}-{}", std::process::id()));
    let archive = build.stdout.take().unwrap();
    let import = Command::new("docker").args(["import", "-", &image.0]).stdin(archive).output().unwrap();
    assert!(build.wait().unwrap().success(), "the build of {suite} failed");
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    image
}

#[test]
fn focal_is_imported_and_runs() {
    need!(machine::builder());
    need!(docker_is_there());
    need!(live::answers(cache(), "focal"));
    let image = import("focal", "focal");
    let release = run(&image, "none", &["cat", "/etc/lsb-release"]);
    assert!(release.contains("DISTRIB_CODENAME=focal\n"), "{release}");
    assert_eq!(run(&image, "none", &["dpkg", "--audit"]), "");
    assert_eq!(run(&image, "none", &["sh", "-c", "id -un; echo >/tmp/x; : >/dev/null; ls /tmp"]), "root\nx\n");
    assert_eq!(run(&image, "none", &["su", "-s", "/bin/sh", "-c", "id -un", "nobody"]), "nobody\n");
}

#[test]
fn trixie_is_imported_and_updates_itself() {
    need!(machine::builder());
    need!(docker_is_there());
    need!(live::answers(cache(), "trixie"));
    let image = import("trixie", "trixie");
    let release = run(&image, "none", &["cat", "/etc/os-release"]);
    assert!(release.contains("VERSION_CODENAME=trixie\n"), "{release}");
    let script = "apt-get update && apt-get install --yes --no-install-recommends hello >/dev/null && hello";
    let said = run(&image, "host", &["sh", "-c", script]);
    assert!(said.ends_with("Hello, world!\n") && !said.contains("Err:"), "{said}");
}

#[test]
fn trixie_is_the_same_image_each_time() {
    need!(machine::builder());
    need!(live::answers(cache(), "trixie"));
    let digest = || {
        let output = live::command(cache(), &["trixie", "--image", "--quiet"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.len() > 10_000_000);
        Sha256::digest(&output.stdout).to_vec()
    };
    assert_eq!(digest(), digest());
}

/// Root of a plain container has the capabilities and the seccomp profile of the engine, and cannot mount. The container is made
/// from an image of ours.
#[test]
fn a_plain_container_makes_the_same_image() {
    need!(machine::builder());
    need!(docker_is_there());
    need!(live::answers(cache(), "trixie"));
    let arguments = ["trixie", "-", "--image", "--variant=important"];
    let ours = live::command(cache(), &[&arguments[..], &["--quiet"]].concat()).output().unwrap();
    assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stderr));
    let image = import("trixie", "plain");
    let volume = |from: &Path, to: &str| format!("--volume={}:{to}:ro", from.display());
    let inside = |user: &str| {
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--network=host", "--user", user, "--env=TMPDIR=/tmp"]);
        // This machine's mirror, which our images do not name.
        command
            .args([volume(rootstrap_tests::program::path(), "/rootstrap"), volume(Path::new("/etc/apt"), "/etc/apt")]);
        command.args([&image.0, "/rootstrap"]).args(arguments).args(["--no-cache", "--verbose"]);
        command.output().unwrap()
    };
    let theirs = inside("0");
    let said = String::from_utf8_lossy(&theirs.stderr);
    assert!(theirs.status.success(), "{said}");
    assert!(said.starts_with("mode: chroot\nnot unshare: a seccomp filter"), "{said}");
    assert!(said.contains("\nwarning: nothing can be mounted here"), "{said}");
    assert!(theirs.stdout == ours.stdout, "{} and {} bytes differ", theirs.stdout.len(), ours.stdout.len());
    // Another user of that container cannot build in any mode. The error says what would make it possible.
    let nobody = inside("4242");
    let said = String::from_utf8_lossy(&nobody.stderr);
    assert_eq!(nobody.status.code(), Some(1), "{said}");
    assert!(
        said.contains("a seccomp filter") && said.contains("hint: run the container with --security-opt"),
        "{said}"
    );
}
