//! Images of `rootstrap SUITE NAME.oci.tar` are loaded and run.

use super::{Image, build, cache, docker, docker_is_there, inspect, load, prints, ready, run};
use rootstrap_tests::{live, machine, need, program};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns an image name that no other test uses, so that a test removes only its own images.
fn tag(name: &str) -> String {
    format!("rootstrap-test-{name}-{}:1", std::process::id())
}

#[test]
fn focal_is_loaded_and_says_what_it_is() {
    need!(ready("focal"));
    let tag = tag("focal");
    let options = ["--label", "team=base", "--env", "LANG=C.UTF-8", "--user", "nobody", "--workdir", "/tmp"];
    let (_keep, path) = build("focal.oci.tar", &[&["focal", "--tag", &tag], &options[..]].concat());
    let image = load(&path);
    assert_eq!(image.0, tag);
    let found = inspect(&image);
    assert_eq!(found["Architecture"], std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"));
    let config = &found["Config"];
    assert_eq!(config["Cmd"], json!(["bash"]));
    assert_eq!((&config["User"], &config["WorkingDir"]), (&json!("nobody"), &json!("/tmp")));
    let labels = &config["Labels"];
    assert_eq!((&labels["team"], &labels["org.opencontainers.image.version"]), (&json!("base"), &json!("20.04")));
    // All three places have the date of the archive.
    assert_eq!(found["Created"], labels["org.opencontainers.image.created"]);
    assert!(found["Created"].as_str().unwrap().ends_with('Z'), "{found}");
    let said = run(&image, "none", &["sh", "-c", "id -un; pwd; echo $LANG; cat /etc/lsb-release"]);
    assert!(said.starts_with("nobody\n/tmp\nC.UTF-8\n") && said.contains("DISTRIB_CODENAME=focal\n"), "{said}");
}

#[test]
fn loading_twice_gives_one_image() {
    need!(ready("trixie"));
    let tag = tag("twice");
    let id = |staging: &str| {
        let (_keep, path) = build("trixie.oci.tar", &["trixie", "--tag", &tag, staging]);
        let image = load(&path);
        let id = inspect(&image)["Id"].as_str().unwrap().to_owned();
        (id, std::fs::read(path).unwrap(), image)
    };
    let ((first, one, _image), (second, other, _again)) = (id("--staging=memory"), id("--staging=disk"));
    assert_eq!(first, second);
    assert!(one == other, "the archives differ");
}

#[test]
fn xenial_runs() {
    need!(ready("xenial"));
    let (_keep, path) = build("xenial.oci.tar", &["xenial", "--tag", &tag("xenial")]);
    let image = load(&path);
    let said = run(&image, "none", &["sh", "-c", "cat /etc/lsb-release; dpkg --audit; initctl version; echo $?"]);
    assert!(said.contains("DISTRIB_CODENAME=xenial\n") && said.ends_with("\n0\n"), "{said}");
}

#[test]
fn slim_is_small_and_stays_so() {
    need!(ready("trixie"));
    let (_keep, whole) = build("trixie.oci.tar", &["trixie", "--tag", &tag("whole")]);
    let (_too, slim) = build("slim.oci.tar", &["trixie", "--slim", "--tag", &tag("slim")]);
    let size = |path: &Path| path.metadata().unwrap().len();
    assert!(size(&slim) * 10 < size(&whole) * 8, "{} of {}", size(&slim), size(&whole));
    let image = load(&slim);
    let script = "apt-get update -qq && apt-get install -yqq --no-install-recommends hello >/dev/null && hello && \
                  ls /usr/share/doc/hello && find /usr/share/man /usr/share/locale -type f";
    let said = run(&image, "host", &["sh", "-c", script]);
    assert_eq!(said.lines().collect::<Vec<_>>()[..2], ["Hello, world!", "copyright"], "{said}");
    assert!(!said.contains("/man/"), "{said}");
}

#[test]
fn python_runs_without_a_distribution() {
    need!(ready("trixie"));
    let script = tempfile::Builder::new().suffix(".py").tempfile().unwrap();
    let text = "import os, ssl, sqlite3, ctypes, zoneinfo, pwd\n\
                print(len(ssl.create_default_context().get_ca_certs()) > 100)\n\
                print(zoneinfo.ZoneInfo('Europe/Vienna'), pwd.getpwuid(os.getuid()).pw_name)\n\
                print([name for name in ('/bin/sh', '/usr/bin/dpkg', '/usr/bin/apt') if os.path.lexists(name)])\n";
    std::fs::write(script.path(), text).unwrap();
    // A temporary file is 0600, and a copy keeps the mode.
    let copy = format!("{}:/app/main.py:0644", script.path().display());
    let options = ["--variant=distroless", "--include=python3", "--copy", &copy, "--user", "nonroot"];
    let command = ["--entrypoint", "/usr/bin/python3", "--cmd", "/app/main.py"];
    let tag = tag("python");
    let (_keep, path) = build("app.oci.tar", &[&["trixie", "--tag", &tag], &options[..], &command].concat());
    let image = load(&path);
    assert_eq!(run(&image, "none", &[]), "True\nEurope/Vienna nonroot\n[]\n");
    assert!(!docker(&["run", "--rm", "--network=none", "--entrypoint", "/bin/sh", &image.0]).status.success());
}

#[test]
fn several_platforms_are_one_image() {
    need!(ready("trixie"));
    let tag = tag("multi");
    // No program of the target runs, so nothing has to be emulated.
    let options = ["--variant=distroless", "--arch=amd64,arm64", "--pockets=release", "--include=libc6"];
    let (_keep, path) = build("multi.oci.tar", &[&["trixie", "--tag", &tag], &options[..]].concat());
    let loaded = prints(Command::new("docker").args(["load", "--input"]).arg(&path));
    assert!(!loaded.contains("renaming the old one"), "another image lost the name: {loaded}");
    let image = load(&path);
    assert_eq!(inspect(&image)["Architecture"], "amd64", "docker takes the first");
    if machine::has("skopeo") {
        let archive = format!("oci-archive:{}", path.display());
        for architecture in ["amd64", "arm64"] {
            let words = ["--override-arch", architecture, "inspect", "--format={{.Architecture}}", &archive];
            assert_eq!(prints(Command::new("skopeo").args(words)).trim(), architecture);
        }
    }
}

/// Builds a static program with the C compiler, which every build of this project needs.
fn hello(directory: &Path) -> Result<std::path::PathBuf, String> {
    let (source, program) = (directory.join("hello.c"), directory.join("hello"));
    std::fs::write(&source, "#include <stdio.h>\nint main(void) { puts(\"hello from scratch\"); return 0; }\n")
        .unwrap();
    match Command::new("gcc").arg("-static").arg("-o").arg(&program).arg(&source).output() {
        Ok(output) if output.status.success() => Ok(program),
        _ => Err("gcc makes no static programs here".into()),
    }
}

#[test]
fn scratch_with_a_static_program() {
    need!(docker_is_there());
    let directory = tempfile::tempdir().unwrap();
    let program = need!(hello(directory.path()));
    let image = |source: &Path, options: &[&str]| {
        let mut pack = Command::new(program::path());
        pack.arg("image").arg(source).args(options).arg("--quiet").stdout(Stdio::piped());
        let mut pack = pack.spawn().unwrap();
        let output = Command::new("docker").arg("load").stdin(pack.stdout.take().unwrap()).output().unwrap();
        assert!(pack.wait().unwrap().success() && output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        Image(said.trim().split_once(": ").unwrap().1.to_owned())
    };
    let hello = image(&program, &["--tag", &tag("hello")]);
    assert_eq!(run(&hello, "none", &[]), "hello from scratch\n");
    assert_eq!(inspect(&hello)["Config"]["Entrypoint"], json!(["/hello"]));
    // An empty image is what `FROM scratch` means in Dockerfiles.
    std::fs::create_dir(directory.path().join("empty")).unwrap();
    let scratch = image(&directory.path().join("empty"), &["--tag", &tag("scratch")]);
    let found = inspect(&scratch);
    assert_eq!((&found["Size"], &found["Config"]["Cmd"]), (&json!(0), &json!(null)));
}

/// Root filesystems of other distributions are published as archives, with links, owners and an order of their own.
#[test]
fn a_minirootfs_becomes_an_image() {
    need!(docker_is_there());
    let directory = tempfile::tempdir().unwrap();
    let program = need!(hello(directory.path()));
    let tree = directory.path().join("tree");
    for path in ["bin", "etc", "home/guest", "tmp"] {
        std::fs::create_dir_all(tree.join(path)).unwrap();
    }
    std::fs::copy(program, tree.join("bin/busybox")).unwrap();
    std::os::unix::fs::symlink("/bin/busybox", tree.join("bin/sh")).unwrap();
    std::fs::hard_link(tree.join("bin/busybox"), tree.join("bin/hello")).unwrap();
    std::fs::write(tree.join("etc/os-release"), "NAME=\"Mini Linux\"\nVERSION_ID=3.19\n").unwrap();
    let archive = directory.path().join("minirootfs.tar.gz");
    let mut pack = Command::new("tar");
    pack.args(["--owner=0", "--group=0", "--mtime=@1700000000", "-C"]).arg(&tree).arg("-czf").arg(&archive);
    prints(pack.args(["etc", "bin/sh", "bin/busybox", "bin/hello", "home", "tmp"]));
    let target = directory.path().join("mini.oci.tar");
    let mut convert = Command::new(program::path());
    prints(convert.arg("image").args([&archive, &target]).args(["--tag", &tag("mini"), "--quiet"]));
    let image = load(&target);
    assert_eq!(run(&image, "none", &[]), "hello from scratch\n", "sh is what there is");
    let found = inspect(&image);
    assert_eq!(found["Created"], "2023-11-14T22:13:20Z", "the newest file's");
    assert_eq!(found["Config"]["Labels"]["org.opencontainers.image.title"], "Mini Linux");
}

/// The second host differs in everything that two hosts may differ in: name, user, time zone, locale, umask, filesystem,
/// processors, cache.
#[test]
fn another_host_makes_the_same_image() {
    let user = need!(machine::user());
    need!(machine::root());
    need!(live::answers(cache(), "trixie"));
    let (_keep, ours) = build("trixie.oci.tar", &["trixie", "--tag", "same:1"]);
    let place = tempfile::Builder::new().prefix("host").tempdir().unwrap();
    std::os::unix::fs::chown(place.path(), Some(user.uid), None).unwrap();
    let theirs = place.path().join("other name.oci.tar");
    // Other users may not be able to enter the directory in which the program was built.
    let program = place.path().join("rootstrap");
    std::fs::copy(program::path(), &program).unwrap();
    let mut command = user.command(Path::new("/usr/bin/env"));
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", place.path())
        .env("TMPDIR", place.path());
    command.env("TZ", "Asia/Kathmandu").env("LANG", "de_AT.UTF-8").env("LC_ALL", "tr_TR.UTF-8");
    for variable in ["http_proxy", "https_proxy", "no_proxy", "ROOTSTRAP_MIRROR"] {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    // One processor, an umask that removes all rights of others, another host name, and an empty cache.
    let script = "umask 077; hostname other-host 2>/dev/null; exec taskset 1 \"$@\"";
    command.args(["unshare", "--user", "--uts", "--map-current-user", "sh", "-c"]);
    command.args([script, "sh"]).arg(program).arg("trixie").arg(&theirs);
    command.args(["--tag", "same:1", "--staging=disk", "--no-cache", "--quiet"]);
    prints(&mut command);
    let (ours, theirs) = (std::fs::read(ours).unwrap(), std::fs::read(theirs).unwrap());
    assert!(ours == theirs, "{} and {} bytes differ", ours.len(), theirs.len());
}

/// The engine takes no incomplete archive for an image, wherever it ends or a run fails.
#[test]
fn a_broken_archive_is_no_image() {
    need!(ready("trixie"));
    let tag = tag("broken");
    let options = ["--variant=distroless", "--include=libc6", "--tag", &tag];
    let (directory, path) = build("whole.oci.tar", &[&["trixie"], &options[..]].concat());
    let whole = std::fs::read(&path).unwrap();
    let cut = directory.path().join("cut.oci.tar");
    // The archive ends in the layer, between two entries, or before the last document that a reader needs.
    for length in [0, 512, 1024, 1536, whole.len() / 2 / 512 * 512, whole.len() / 2 + 7] {
        std::fs::write(&cut, &whole[..length]).unwrap();
        let output = Command::new("docker").arg("load").arg("--input").arg(&cut).output().unwrap();
        assert!(!output.status.success(), "{length} of {} bytes are loaded", whole.len());
    }
    assert!(!docker(&["image", "inspect", &tag]).status.success());
    // Runs fail before the first byte or later.
    for arguments in [
        &["trixie", "--image", "--include=no-such-package"][..],
        &["trixie", "--format=oci", "--include=no-such-package"],
    ] {
        let mut run = live::command(cache(), arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut import = Command::new("docker");
        if arguments.contains(&"--image") {
            import.args(["import", "-", &tag])
        } else {
            import.arg("load")
        };
        let output = import.stdin(run.stdout.take().unwrap()).output().unwrap();
        assert!(!run.wait().unwrap().success() && !output.status.success(), "{arguments:?}");
    }
}
