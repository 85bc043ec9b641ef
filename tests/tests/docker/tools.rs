//! podman, skopeo and umoci read our archives, and so do tools that pull them from a registry.

use super::{Image, build, cache, prints, ready};
use rootstrap_testkit::registry::Registry;
use rootstrap_tests::{live, machine, need};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::process::{Command, Stdio};

fn has(program: &str) -> Result<(), String> {
    if machine::has(program) { Ok(()) } else { Err(format!("{program} is not installed")) }
}

#[test]
fn podman_skopeo_and_umoci_read_it() {
    need!(machine::root());
    for program in ["podman", "skopeo", "umoci"] {
        need!(has(program));
    }
    need!(live::answers(cache(), "trixie"));
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
    // The archive is an OCI layout and a docker-archive, and both have the same image.
    assert_eq!(config("oci-archive"), config("docker-archive"));

    // podman gets a storage of its own without overlay, which a container may not mount.
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

    // A directory target is the same OCI layout.
    let (_keep, layout) = build("trixie.oci", &["trixie", "--tag", &tag]);
    prints(Command::new("diff").arg("-r").args([at("layout"), layout]));
}

#[test]
fn what_is_pushed_comes_back_with_the_same_digest() {
    need!(has("skopeo"));
    need!(ready("trixie"));
    let registry = need!(Registry::start(None));
    let reference = format!("127.0.0.1:{}/team/base:1", registry.port);
    let options = ["--variant=distroless", "--include=libc6", "--arch=amd64,arm64", "--pockets=release", "--attest"];
    let build = || {
        let output =
            live::command(cache(), &[&["trixie", "--push", &reference], &options[..]].concat()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.contains(&format!("\npushed {reference}\n")), "{said}");
        said.lines().find_map(|line| line.split_once(", digest ")).unwrap().1.to_owned()
    };
    let digest = build();
    let remote = format!("docker://{reference}");
    let inspect = |words: &[&str]| {
        prints(Command::new("skopeo").args(["inspect", "--tls-verify=false"]).args(words).arg(&remote))
    };
    let index = inspect(&["--raw"]);
    assert_eq!(format!("sha256:{}", hex(&Sha256::digest(index.as_bytes()))), digest);
    assert_eq!(inspect(&["--format={{.Digest}}"]).trim(), digest);
    // Everything that was sent comes back unchanged, statements too.
    let back = tempfile::tempdir().unwrap();
    let layout = format!("oci:{}:1", back.path().display());
    prints(Command::new("skopeo").args(["copy", "--all", "--src-tls-verify=false", &remote, &layout]));
    let index: Value = serde_json::from_str(&index).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 4, "two images and what is attested of each");
    for manifest in manifests {
        let path = manifest["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
        assert!(back.path().join(path).exists(), "{manifest}");
    }
    // The engine pulls the image of its own platform. A second build of the same image uploads nothing.
    let pulled = Image(reference.clone());
    prints(Command::new("docker").args(["pull", "--quiet", &pulled.0]));
    assert_eq!(build(), digest);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A process that is ended when dropped.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn containerd_takes_all_platforms() {
    need!(machine::root());
    need!(has("ctr"));
    need!(ready("trixie"));
    let options = ["--variant=distroless", "--include=libc6", "--arch=amd64,arm64", "--pockets=release", "--attest"];
    let (directory, path) = build("multi.oci.tar", &[&["trixie", "--tag", "team/multi:1"], &options[..]].concat());
    // The test starts its own containerd, because the engine controls the one that it uses.
    let at = |name: &str| directory.path().join(name);
    let mut server = Command::new("containerd");
    server.arg("--root").arg(at("root")).arg("--state").arg(at("state")).arg("--address").arg(at("socket"));
    let mut server = Server(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let ctr = |words: &[&str]| {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(at("socket")).args(words);
        command
    };
    machine::wait_until("containerd answers", || {
        assert!(server.0.try_wait().unwrap().is_none(), "containerd does not start");
        ctr(&["version"]).output().unwrap().status.success()
    });
    prints(&mut ctr(&["images", "import", "--no-unpack", "--all-platforms", path.to_str().unwrap()]));
    let said = prints(&mut ctr(&["images", "check"]));
    let line =
        said.lines().find(|line| line.starts_with("docker.io/team/multi:1 ")).unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains(" complete ("), "{line}");
    let said = prints(&mut ctr(&["images", "ls"]));
    assert!(said.contains("linux/amd64,linux/arm64/v8"), "{said}");
}
