//! `--copy` puts the host's files into the finished root, for every user and in every format.

use rootstrap_testkit::tree;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// Returns a world with `app/` in its scratch directory, which every user may read.
fn world() -> Result<World, String> {
    let world = World::new(&base::archive(Layout::Merged, [])?);
    let app = world.path("app");
    fs::create_dir_all(app.join("bin")).unwrap();
    for (path, mode) in [("bin/run", 0o4755), ("data:1", 0o664)] {
        fs::write(app.join(path), path).unwrap();
        fs::set_permissions(app.join(path), Permissions::from_mode(mode)).unwrap();
    }
    symlink("/etc/passwd", app.join("link")).unwrap();
    Ok(world)
}

const COPIES: [&str; 4] = ["--copy=app:/opt/app", "--copy", "app/data:1:/tmp/", "--copy=app/bin/run:/bin/run"];

#[test]
fn copies_are_in_every_format_of_every_variant() {
    need!(machine::root());
    let world = need!(world());
    for (number, more) in
        [&[][..], &["--image", "--slim"], &["--variant=extract", "--include=base-files"]].iter().enumerate()
    {
        let target = world.target(&format!("root{number}"));
        world.run(&[&[target.as_str()], &COPIES[..], more].concat()).expect(0);
        let root = Path::new(&target);
        let dump = tree::dump(root);
        let has = |start: &str| assert!(dump.lines().any(|line| line.starts_with(start)), "{start}: {dump}");
        has("/opt/app dir 0755 0:0");
        has("/opt/app/bin/run file 0755 0:0 7 ");
        has("/opt/app/data:1 file 0664 0:0 6 ");
        has("/opt/app/link symlink 0777 0:0 /etc/passwd");
        // The user asked for these files, so tidying keeps them.
        has("/tmp/data:1 file 0664 0:0 6 ");
        has("/usr/bin/run file 0755 0:0 7 ");
        for path in ["opt/app", "opt/app/bin/run", "opt/app/link", "tmp"] {
            let time = fs::symlink_metadata(root.join(path)).unwrap().mtime();
            assert_eq!(time.unsigned_abs(), rootstrap_testkit::EPOCH, "{path}");
        }
    }
}

#[test]
fn every_user_copies_the_same() {
    need!(machine::root());
    let (user, stranger) = (need!(machine::user()), need!(machine::stranger()));
    let world = need!(world());
    let target = |name: &str| world.target(&format!("{name}.tar"));
    world.run(&[&[target("root").as_str()], &COPIES[..]].concat()).expect(0);
    let ours = fs::read(target("root")).unwrap();
    for (name, user) in [("user", &user), ("stranger", &stranger)] {
        world.finish(&mut world.command_as(user, &[&[target(name).as_str()], &COPIES[..]].concat())).expect(0);
        assert!(fs::read(target(name)).unwrap() == ours, "{name}");
    }
    // The build may not read what the caller may not read.
    fs::set_permissions(world.path("app/bin/run"), Permissions::from_mode(0o700)).unwrap();
    let refused =
        world.finish(&mut world.command_as(&user, &[target("refused").as_str(), "--copy=app:/app"])).expect(1);
    refused.says(&["error: cannot copy app\n  because: cannot read bin/run\n  because: Permission denied"]);
}

/// Returns a tar archive with files of several owners.
fn tar() -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, mode, uid, text) in
        [("./etc/", 0o700, 77, ""), ("./etc/motd", 0o600, 0, "hello\n"), ("./srv/new/run", 0o4755, 33, "x")]
    {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(uid);
        header.set_mtime(4_000_000_000);
        header.set_size(text.len() as u64);
        out.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    out.into_inner().unwrap()
}

/// Returns mode, owner, group and size of an entry of a tar archive.
fn entry(archive: &[u8], path: &str) -> (u32, u64, u64, u64) {
    let mut archive = tar::Archive::new(archive);
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let found = entries.find(|entry| entry.path().unwrap().to_str().unwrap().trim_matches(['.', '/']) == path);
    let header = found.unwrap_or_else(|| panic!("no {path}")).header().clone();
    (header.mode().unwrap() & 0o7777, header.uid().unwrap(), header.gid().unwrap(), header.size().unwrap())
}

#[test]
fn archives_are_unpacked_and_files_are_downloaded() {
    need!(machine::root());
    let (user, stranger) = (need!(machine::user()), need!(machine::stranger()));
    let world = need!(world());
    fs::write(world.path("more.tar"), tar()).unwrap();
    fs::write(world.path("motd"), "the copy\n").unwrap();
    let run = |name: &str, user: Option<&machine::User>, more: &[&str]| {
        let target = world.target(&format!("{name}.tar"));
        let sbom = format!("--sbom={}", world.target(&format!("{name}.spdx.json")));
        let status = format!("--download=/var/lib/dpkg/status:{}", world.target(&format!("{name}.status")));
        let arguments = [&[target.as_str(), "--tar-in=more.tar:/", &sbom, &status][..], more].concat();
        let mut command = match user {
            Some(user) => world.command_as(user, &arguments),
            None => world.command(&arguments),
        };
        world.finish(&mut command).expect(0);
        let read = |end: &str| fs::read(world.path(&format!("out/{name}.{end}"))).unwrap();
        (read("tar"), read("status"), String::from_utf8(read("spdx.json")).unwrap())
    };
    let ours = run("root", None, &[]);
    for (name, user, mode) in
        [("user", Some(&user), "unshare"), ("stranger", Some(&stranger), "single"), ("chroot", None, "chroot")]
    {
        let theirs = run(name, user, &[&format!("--mode={mode}")]);
        assert!(theirs.0 == ours.0 && theirs.1 == ours.1, "{name}");
    }
    let (ours, status, sbom) = ours;
    assert!(sbom.contains("--tar-in=/ sha256:"), "{sbom}");
    assert_eq!(entry(&ours, "etc/motd"), (0o600, 0, 0, 6));
    assert_eq!(entry(&ours, "etc"), (0o755, 0, 0, 0), "a directory that is there stays as it is");
    assert_eq!(entry(&ours, "srv/new/run"), (0o4755, 33, 33, 1));
    assert!(String::from_utf8(status).unwrap().contains("Package: base-files"));
    // A copy comes later, and links are followed inside the root.
    let target = world.target("copied.tar");
    let shell = format!("--download=/bin/sh:{}", world.target("sh"));
    world.run(&[&target, "--tar-in=more.tar:/", "--upload=motd:/etc/motd", &shell]).expect(0);
    assert_eq!(entry(&fs::read(&target).unwrap(), "etc/motd"), (0o644, 0, 0, 9));
    assert!(fs::read(world.path("out/sh")).unwrap().starts_with(b"\x7fELF"));
}

#[test]
fn what_cannot_be_unpacked_or_downloaded() {
    need!(machine::root());
    let world = need!(world());
    fs::write(world.path("no.tar"), "no archive".repeat(100)).unwrap();
    fs::write(world.path("more.tar"), tar()).unwrap();
    fs::write(world.path("kept"), "as it was").unwrap();
    let target = world.target("root");
    for (arguments, status, message) in [
        (&["--tar-in=no.tar:/"][..], 2, "error: cannot unpack no.tar: "),
        (&["--tar-in=app:/"], 2, "error: cannot unpack app: it is no regular file"),
        (&["--tar-in=none.tar:/"], 1, "error: cannot unpack none.tar\n  because: No such file"),
        (&["--tar-in=more.tar:/a/../b"], 2, "error: cannot unpack more.tar: /a/../b is no absolute path"),
        (&["--tar-in=more.tar:/etc/passwd"], 1, "etc/passwd"),
        (&["--download=/none:kept"], 2, "kept: /none of the root is no file that can be read"),
        (&["--download=/etc:kept"], 2, "kept: /etc of the root is no file that can be read"),
        (&["--download=/etc/passwd:kept", "--download=/etc/group:kept"], 2, "it is named twice"),
        (&["--download=/etc/passwd:out/root/x"], 2, "out/root/x: its parent directory does not exist"),
        (&["--download=/etc/passwd:a.cdx", "--sbom=a.cdx"], 2, "an SBOM has that name"),
    ] {
        let outcome = world.run(&[&[target.as_str()], arguments].concat()).expect(status);
        outcome.says(&[message]);
        assert!(!Path::new(&target).exists(), "{arguments:?}");
        assert_eq!(fs::read_to_string(world.path("kept")).unwrap(), "as it was", "{arguments:?}");
    }
}
