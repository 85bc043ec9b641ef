//! The same archive in the hands of podman, skopeo and umoci, and through a registry.

use super::{build, cache, prints};
use rootstrap_tests::{live, machine, need};
use serde_json::Value;
use std::process::Command;

fn has(program: &str) -> Result<(), String> {
    if machine::has(program) { Ok(()) } else { Err(format!("{program} is not installed")) }
}

#[test]
fn podman_skopeo_and_umoci_read_it() {
    let name = "docker::podman_skopeo_and_umoci_read_it";
    need!(name, machine::root());
    for program in ["podman", "skopeo", "umoci"] {
        need!(name, has(program));
    }
    need!(name, live::answers(cache(), "trixie"));
    let tag = format!("rootstrap-test-tools-{}:1", std::process::id());
    let (directory, path) = build("trixie.oci.tar", &["trixie", "--tag", &tag]);
    let at = |name: &str| directory.path().join(name);

    let digest = prints(
        Command::new("skopeo").args(["inspect", "--format={{.Digest}}"]).arg(format!("oci-archive:{}", path.display())),
    );
    let config = |transport: &str| {
        let text =
            prints(Command::new("skopeo").args(["inspect", "--config"]).arg(format!("{transport}:{}", path.display())));
        serde_json::from_str::<Value>(&text).unwrap()
    };
    // The archive is both, and the image is the same.
    assert_eq!(config("oci-archive"), config("docker-archive"));

    // A storage of its own, without the overlay that a container may not mount.
    let podman = |words: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(at("podman")).arg("--runroot").arg(at("podman-run")).args(["--storage-driver=vfs"]);
        prints(command.args(words))
    };
    let said = podman(&["load", "--quiet", "--input", path.to_str().unwrap()]);
    assert!(said.contains(&tag), "{said}");
    assert_eq!(podman(&["image", "inspect", "--format={{.Digest}}", &tag]), digest);

    std::fs::create_dir(at("layout")).unwrap();
    prints(Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(at("layout")));
    let image = format!("{}:1", at("layout").display());
    prints(Command::new("umoci").args(["unpack", "--image", &image]).arg(at("bundle")));
    let release = std::fs::read_to_string(at("bundle/rootfs/usr/lib/os-release")).unwrap();
    assert!(release.contains("VERSION_CODENAME=trixie"), "{release}");

    // As a directory it is the same layout.
    let (_keep, layout) = build("trixie.oci", &["trixie", "--tag", &tag]);
    prints(Command::new("diff").arg("-r").args([at("layout"), layout]));
}
