//! Container images, the other formats of a result, and `rootstrap image`, with the tiny distribution.

use crate::ends::within;
use crate::{probe, watcher};
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

const PACKAGES: &str = "--include=probe,watcher,hello";

fn world() -> Result<World, String> {
    machine::root()?;
    base::archive(Layout::Merged, [probe(), watcher()]).map(|archive| World::new(&archive))
}

/// Returns the files of an archive by name. Directories have no contents.
fn files(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(bytes);
    let read = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        (String::from_utf8(entry.path_bytes().to_vec()).unwrap(), contents)
    });
    read.collect()
}

/// Returns the config of an archive of one image, and its layer without decompressing it.
fn image(bytes: &[u8]) -> (Value, Vec<u8>) {
    let files = files(bytes);
    let loadable: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let blob = |value: &Value| files[value.as_str().unwrap()].clone();
    (serde_json::from_slice(&blob(&loadable[0]["Config"])).unwrap(), blob(&loadable[0]["Layers"][0]))
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

/// Runs `rootstrap image …` and waits for its end.
fn pack(world: &World, arguments: &[&str]) -> rootstrap_tests::transcript::Outcome {
    world.finish(&mut world.bare(&[&["image"], arguments].concat()))
}

#[test]
fn trees_are_taken_from_each_form_that_is_written() {
    let world = need!(world());
    let run = |target: &str| world.run(&[target, PACKAGES, "--image"]).expect(0);
    let from = |source: &str| {
        pack(&world, &[source, &world.target("out.tar")]).expect(0);
        fs::read(world.target("out.tar")).unwrap()
    };
    run(&world.target("root.tar"));
    let expected = from(&world.target("root.tar"));
    for name in ["root.tar.zst", "root.oci.tar", "root.oci", "root.cpio", "root.cpio.gz"] {
        run(&world.target(name));
        assert!(from(&world.target(name)) == expected, "{name}");
    }
}

#[test]
fn every_form_of_an_image_is_the_same_image() {
    let user = need!(machine::user());
    let world = need!(world());
    let run = |target: &str, more: &[&str]| world.run(&[&[target, PACKAGES], more].concat()).expect(0);
    let tag = ["--tag", "web:1"];
    run(&world.target("a.oci.tar"), &[&["--image"], &tag[..]].concat()).says(&["\nimage sha256:", ", digest sha256:"]);
    let bytes = fs::read(world.target("a.oci.tar")).unwrap();
    let (config, layer) = image(&bytes);
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["sh"]));
    assert_eq!(config["created"], "2025-01-01T00:00:00Z");
    // A name alone asks for an image; a directory and standard output have the same image, and any user makes it.
    run(&world.target("b.oci.tar"), &tag);
    assert!(fs::read(world.target("b.oci.tar")).unwrap() == bytes, "without --image");
    assert!(run("-", &[&["--format=oci"], &tag[..]].concat()).stdout == bytes, "standard output");
    let target = world.target("c.oci.tar");
    world.finish(&mut world.command_as(&user, &[&[target.as_str(), PACKAGES], &tag[..]].concat())).expect(0);
    assert!(fs::read(target).unwrap() == bytes, "a user");
    run(&format!("{}/", world.target("d.oci")), &tag);
    for (name, contents) in files(&bytes).iter().filter(|(name, _)| !name.ends_with('/')) {
        assert!(fs::read(Path::new(&world.target("d.oci")).join(name)).unwrap() == *contents, "{name}");
    }
    // The layer is the archive that docker import takes, with any compression.
    let plain = run("-", &["--image"]).stdout;
    assert!(gunzip(&layer) == plain, "the layer is another tree");
    let zstd = image(&run("-", &[&["--format=oci", "--compression=zstd:9"], &tag[..]].concat()).stdout);
    assert!(zstd::decode_all(zstd.1.as_slice()).unwrap() == plain && zstd.0 == config, "zstd");
    let none = image(&run("-", &[&["--format=oci", "--compression=none"], &tag[..]].concat()).stdout);
    assert!(none.1 == plain && none.0 == config, "no compression");
    base::assert_nothing_left(&world, &["a.oci.tar", "b.oci.tar", "c.oci.tar", "d.oci"]);
}

#[test]
fn other_forms_hold_the_same_tree() {
    let user = need!(machine::user());
    let world = need!(world());
    for (file, program, test) in [
        ("a.cpio", "cpio", "mkdir x; (cd x; cpio -id --quiet <../a.cpio)"),
        ("a.cpio.gz", "cpio", "mkdir x; (cd x; gzip -dc ../a.cpio.gz | cpio -id --quiet)"),
        ("a.squashfs", "unsquashfs", "unsquashfs -quiet -no-progress -dest x a.squashfs >&2"),
        ("a.ext4", "debugfs", "e2fsck -fn a.ext4 >&2 && mkdir x && debugfs -R 'rdump / x' a.ext4 >&2 2>/dev/null"),
    ] {
        if !machine::has(program) {
            return rootstrap_tests::skip(format!("{program} is not installed"));
        }
        let target = world.target(file);
        world.run(&[&target, PACKAGES]).expect(0);
        let bytes = fs::read(&target).unwrap();
        let own = world.target(&format!("own-{file}"));
        world.finish(&mut world.command_as(&user, &[&own, PACKAGES])).expect(0);
        assert!(fs::read(&own).unwrap() == bytes, "a user's {file} differs");
        let script =
            format!("{test}; stat -c '%a %u %g %s' x/srv/mail/box x/etc/probe.conf; cat x/etc/probe.conf; rm -r x");
        let output = Command::new("sh").args(["-ec", &script]).current_dir(world.path("out")).output().unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "600 8 8 5\n644 0 0 6\nprobe\n", "{file}");
        for path in [target, own] {
            fs::remove_file(path).unwrap();
        }
    }
    world.run(&["/dev/null", PACKAGES]).expect(0);
    world.run(&["--format=null", PACKAGES]).expect(0);
    base::assert_nothing_left(&world, &[]);
}

#[test]
fn a_maker_that_is_missing_is_named() {
    let world = need!(world());
    let mut command = world.command(&[&world.target("a.squashfs")]);
    world.finish(command.env("PATH", "/nowhere")).expect(1).says(&[
        "error: cannot make a squashfs image: this machine has neither tar2sqfs nor sqfstar\n",
        "hint: install squashfs-tools",
    ]);
    base::assert_nothing_left(&world, &[]);
}

/// A run that fails leaves no archive that could be loaded.
#[test]
fn a_failure_leaves_no_image() {
    need!(machine::root());
    let bad = Deb::new("bad", "1").script("postinst", "#!/bin/sh\nexit 7\n");
    let noise: Vec<u8> = (0..6_000_000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let large = Deb::new("large", "1").file("/usr/share/large", 0o644, noise);
    let world = World::new(&need!(base::archive(Layout::Merged, [bad, large])));
    let archive = world.target("a.oci.tar");
    fs::write(&archive, "what was there").unwrap();
    world.run(&[&archive, "--include=bad"]).expect(1);
    assert_eq!(fs::read(&archive).unwrap(), b"what was there");
    let out = world.run(&["-", "--format=oci", "--include=bad"]).expect(1).stdout;
    assert!(!out.is_empty() && tar::Archive::new(&out[..]).entries().unwrap().any(|entry| entry.is_err()));
    // The disk is full before the layer is complete, or only before the archive is.
    for megabytes in [2, 9] {
        let script =
            format!("mount -t tmpfs -o size={megabytes}m none out || exit 99; \"$@\"; code=$?; ls -A out; exit $code");
        let arguments = [archive.as_str(), "--include=large", "--staging=memory"];
        let outcome = world.finish(&mut within(&world, &script, &arguments)).expect(1);
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), "", "something is left");
        assert!(outcome.stderr.contains("No space left on device"), "{}", outcome.stderr);
    }
    // The reader of the stream ends.
    let mut run = world.command(&["-", "--format=oci", "--include=large"]);
    let mut run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut head = vec![0; 100_000];
    run.stdout.take().unwrap().read_exact(&mut head).unwrap();
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("hint: the program that reads the archive ended early"), "{said}");
    // If the registry does not answer, there is no file either.
    let target = world.target("b.oci.tar");
    let outcome = world.run(&[&target, "--push", "127.0.0.1:1/base:1"]).expect(1);
    assert!(outcome.stderr.contains("error: cannot push to 127.0.0.1:1/base:1\n"), "{}", outcome.stderr);
    base::assert_nothing_left(&world, &["a.oci.tar"]);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let world = need!(world());
    for (arguments, error) in [
        (
            &["x.tar", "--cmd", "sh"][..],
            "cannot use --cmd: it is a setting of container images, and TARGET is no container image",
        ),
        (
            &["x", "--tag", "a"],
            "cannot use --tag: it is a setting of container images, and TARGET is no container image",
        ),
        (
            &["x.tar", "--attest"],
            "cannot use --attest: it is a setting of container images, and TARGET is no container image",
        ),
        (&["x.oci.tar", "--compression=xz"], "cannot use --compression=xz: no container engine reads a layer"),
        (&["x.tar.gz", "--compression=zstd"], "the name and --compression ask for different things"),
        (&["x.oci.tar", "--tag", "Upper"], "cannot use image name \"Upper\": its name must be in lower case"),
        (&["x.oci.tar", "--push", "localhost:5000/a@sha256:0"], "cannot use image name"),
        (&["x.tar", "--arch=amd64,arm64"], "cannot put roots of several architectures into one file or directory"),
        (&["x.oci.tar", "--arch=hurd-i386"], "cannot make a container image for hurd-i386"),
        (&["x.oci.tar", "--foreign"], "cannot use --foreign: a container image is complete when it is made"),
    ] {
        let outcome = world.run(arguments).expect(2);
        assert!(outcome.stderr.starts_with(&format!("error: {error}")), "{arguments:?}: {}", outcome.stderr);
    }
    for (arguments, error) in [
        (&["--push", "a:1", "--tag", "b:1"][..], "cannot use --tag: there is no file to hold the name"),
        (&["--push", "a:1", "--compression=xz"], "cannot use --compression=xz: no container engine reads a layer"),
        (&["x.spdx", "--format=tar", "--sbom=x.spdx"], "cannot write an SBOM to "),
    ] {
        let said = world.run(arguments).expect(2).stderr;
        assert!(said.starts_with(&format!("error: {error}")), "{arguments:?}: {said}");
    }
    // docker import takes an empty stream for an empty image. So a stream that was asked for is not empty, unless nobody can tell from the
    // arguments what was asked for.
    for arguments in [&["--image", "--tag", "x"][..], &["-", "--push", "UPPER"]] {
        assert!(!world.run(arguments).expect(2).stdout.is_empty(), "{arguments:?}");
    }
    for arguments in [["--image", "--no-such-option"], ["x.tar", "--no-such-option"]] {
        assert!(world.run(&arguments).expect(2).stdout.is_empty(), "{arguments:?}");
    }
    base::assert_nothing_left(&world, &[]);
    assert!(world.server.requests().is_empty());
}

/// Makes a tree with everything that is easily lost, and nothing that depends on the host.
fn tree(top: &Path) {
    for path in ["bin", "etc", "home/user", "tmp"] {
        fs::create_dir_all(top.join(path)).unwrap();
    }
    fs::write(top.join("etc/os-release"), "PRETTY_NAME=\"Any Linux 7\"\nVERSION_ID=7\n").unwrap();
    fs::copy("/bin/true", top.join("bin/true")).unwrap();
    fs::hard_link(top.join("bin/true"), top.join("bin/sh")).unwrap();
    symlink("../bin/true", top.join("etc/link")).unwrap();
    fs::write(top.join("home/user/file"), "x").unwrap();
    for path in ["home/user", "home/user/file"] {
        chown(top.join(path), Some(1234), Some(1234)).unwrap();
    }
    fs::set_permissions(top.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    fs::set_permissions(top.join("home/user"), PermissionsExt::from_mode(0o700)).unwrap();
    let touch = Command::new("find").arg(top).args(["-exec", "touch", "-hd", "@1700000000", "{}", "+"]).status();
    assert!(touch.unwrap().success());
}

#[test]
fn a_tree_and_its_archives_are_one_image() {
    let user = need!(machine::user());
    let world = need!(world());
    let top = world.path("tree");
    fs::create_dir(&top).unwrap();
    tree(&top);
    let ours = world.target("a.oci.tar");
    pack(&world, &[top.to_str().unwrap(), &ours, "--tag", "any:1"]).expect(0);
    let bytes = fs::read(&ours).unwrap();
    let (config, layer) = image(&bytes);
    assert_eq!(
        (&config["created"], &config["config"]["Cmd"]),
        (&"2023-11-14T22:13:20Z".into(), &serde_json::json!(["sh"]))
    );
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.title"], "Any Linux 7");
    let layer = gunzip(&layer);
    let mut owners = BTreeMap::new();
    for entry in tar::Archive::new(&layer[..]).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let about = (header.mode().unwrap(), header.uid().unwrap(), header.entry_type().as_byte() as char);
        owners.insert(String::from_utf8(entry.path_bytes().to_vec()).unwrap(), about);
    }
    assert_eq!(owners["./home/user/file"].1, 1234);
    assert_eq!((owners["./tmp/"].0, owners["./bin/true"].2), (0o1777, '1'), "{owners:?}");
    // The user, the order of entries and the compression make no difference.
    for (number, options) in
        [&["-cf"][..], &["--sort=name", "-czf"], &["--format=gnu", "-cJf"], &["--format=pax", "-cf"]].iter().enumerate()
    {
        let archive = world.path(&format!("{number}.tar"));
        let mut tar = Command::new("tar");
        assert!(tar.arg("-C").arg(&top).args(*options).arg(&archive).arg(".").status().unwrap().success());
        let target = world.target("b.oci.tar");
        for mode in ["root", "unshare", "single"] {
            let mut command = if mode == "root" { world.bare(&[]) } else { world.bare_as(&user, &[]) };
            command.arg("image").arg(&archive).arg("-").args(["--tag", "any:1", "--mode", mode]);
            let made = world.finish(&mut command).expect(0).stdout;
            assert!(made == bytes, "{options:?} in mode {mode}: {} and {} bytes", made.len(), bytes.len());
        }
        let mut piped = world.bare(&["image", "-", &target, "--tag", "any:1"]);
        world.finish(piped.stdin(fs::File::open(&archive).unwrap())).expect(0);
        assert!(fs::read(&target).unwrap() == bytes, "{options:?} from standard input");
        fs::remove_file(target).unwrap();
    }
    // The image becomes a directory, and that an image again.
    let again = world.target("again");
    pack(&world, &[world.path("0.tar").to_str().unwrap(), &again]).expect(0);
    assert_eq!(fs::metadata(Path::new(&again).join("home/user")).unwrap().uid(), 1234);
    assert!(pack(&world, &[&again, "-", "--tag", "any:1"]).expect(0).stdout == bytes);
    base::assert_nothing_left(&world, &["a.oci.tar", "again"]);
}

/// An archive may name owners that a user's namespace has no id for, and nobody's group.
#[test]
fn owners_of_an_archive_are_kept_in_every_mode() {
    let user = need!(machine::user());
    let world = need!(world());
    let mut header = tar::Header::new_ustar();
    let mut archive = tar::Builder::new(Vec::new());
    for (path, uid, gid) in [("a", 33, 65534), ("b", 1_900_000, 65535), ("c", 65534, 0)] {
        header.set_entry_type(tar::EntryType::Regular);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mode(0o640);
        header.set_size(1);
        header.set_mtime(if path == "c" { 999_999_999_999 } else { 5 });
        archive.append_data(&mut header, path, &b"x"[..]).unwrap();
    }
    let path = world.path("owners.tar");
    fs::write(&path, archive.into_inner().unwrap()).unwrap();
    let made = |user: Option<&machine::User>, mode: &str| {
        let mut command = user.map_or_else(|| world.bare(&[]), |user| world.bare_as(user, &[]));
        command.arg("image").arg(&path).args(["-", "--format=tar", "--mode", mode]);
        world.finish(&mut command).expect(0).stdout
    };
    let ours = made(None, "root");
    let entries: Vec<_> = tar::Archive::new(&ours[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().header().clone())
        .map(|header| (header.uid().unwrap(), header.gid().unwrap()))
        .collect();
    assert_eq!(entries, [(0, 0), (33, 65534), (1_900_000, 65535), (65534, 0)]);
    // A file from the far future gives no image a date that readers of dates refuse.
    let config = image(&pack(&world, &[path.to_str().unwrap(), "-", "--arch=amd64"]).expect(0).stdout).0;
    assert_eq!(config["created"], "9999-12-31T23:59:59Z");
    let mut early = world.bare(&["image", path.to_str().unwrap(), "-"]);
    world
        .finish(early.env("SOURCE_DATE_EPOCH", "999999999999999"))
        .expect(2)
        .says(&["SOURCE_DATE_EPOCH: it must be a number"]);
    assert!(made(Some(&user), "unshare") == ours, "unshare");
    assert!(made(Some(&user), "single") == ours, "single");
}

/// In a directory of a user without a range of ids, all files have one owner. The list beside it has the right owners.
#[test]
fn a_directory_is_packed_with_the_owners_listed_beside_it() {
    let user = need!(machine::user());
    let world = need!(world());
    let (directory, archive) = (world.target("root"), world.target("a.oci.tar"));
    world.finish(&mut world.command_as(&user, &[&directory, PACKAGES, "--mode=single"])).expect(0);
    let mut command = world.bare_as(&user, &["image", &directory, &archive]);
    world.finish(&mut command).expect(0);
    let layer = gunzip(&image(&fs::read(&archive).unwrap()).1);
    let mut owners = BTreeMap::new();
    for entry in tar::Archive::new(&layer[..]).entries().unwrap() {
        let entry = entry.unwrap();
        let ids = (entry.header().uid().unwrap(), entry.header().gid().unwrap());
        owners.insert(String::from_utf8(entry.path_bytes().to_vec()).unwrap(), ids);
    }
    assert_eq!((owners["./srv/mail/box"], owners["./usr/bin/sgid"], owners["./etc/"]), ((8, 8), (0, 42), (0, 0)));
    pack(&world, &[&directory, "-"]).expect(2).says(&["hint: run it as the user who made it\n"]);
}

#[test]
fn sources_that_cannot_be_packed_as_they_are_meant() {
    let user = need!(machine::user());
    let world = need!(world());
    let top = world.path("tree");
    fs::create_dir(&top).unwrap();
    let source = top.to_str().unwrap();
    // A user cannot know the owners of other users' files.
    fs::write(top.join("file"), "x").unwrap();
    let mut command = world.bare_as(&user, &["image", source, "-"]);
    world
        .finish(&mut command)
        .expect(2)
        .says(&["it belongs to a user that this user namespace does not know\nhint: run it as root"]);
    // Engines give such names a meaning of their own.
    fs::write(top.join(".wh.file"), "").unwrap();
    let outcome = pack(&world, &[source, "-"]).expect(1).says(&["cannot put .wh.file into a container image"]);
    assert!(!outcome.stdout.is_empty(), "an empty stream is an empty image");
    // A tar archive may contain such names.
    pack(&world, &[source, "-", "--format=tar"]).expect(0);
    fs::remove_file(top.join(".wh.file")).unwrap();
    pack(&world, &[source, top.join("x.oci.tar").to_str().unwrap()]).expect(2).says(&["it is inside of the directory"]);
    pack(&world, &["none", "-"]).expect(1).says(&["error: cannot open none\n", "No such file"]);
    fs::write(world.path("text"), "no archive at all, but long enough to be looked at\n".repeat(20)).unwrap();
    pack(&world, &["text", "-"]).expect(1).says(&["error: cannot make an image of text\n", "it is no tar archive"]);
    // Refused are what is an image already, and a program that needs other files.
    let layout = world.path("layout.tar");
    pack(&world, &[source, layout.to_str().unwrap(), "--format=oci"]).expect(0);
    pack(&world, &[layout.to_str().unwrap(), "-"]).expect(2).says(&["it is an image already\nhint: "]);
    pack(&world, &["/bin/true", "-"]).expect(2).says(&["it is a program that needs shared libraries\nhint: "]);
    let script = format!("mkdir {source}/proc && mount -t proc none {source}/proc && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(rootstrap_tests::program::path());
    command.args(["image", source, "-"]).env("HOME", world.path("home")).env("TMPDIR", world.path("tmp"));
    world.finish(&mut command).expect(2).says(&["something is mounted there\nhint: unmount it first"]);
    fs::remove_dir(top.join("proc")).unwrap();
    let script = format!("mount --bind /etc/hostname {source}/file && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(rootstrap_tests::program::path());
    command.args(["image", source, "-"]).env("HOME", world.path("home")).env("TMPDIR", world.path("tmp"));
    world.finish(&mut command).expect(2).says(&["something is mounted there\nhint: unmount it first"]);
    base::assert_nothing_left(&world, &[]);
}
