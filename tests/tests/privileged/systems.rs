//! Directories: every user builds the same system.

use crate::{probe, watcher};
use rootstrap_testkit::archive::Signing;
use rootstrap_testkit::deb::Compression;
use rootstrap_testkit::tree;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::{KEY, World, names};
use rootstrap_tests::{machine, need};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Checks what must hold in every finished root.
pub(crate) fn assert_finished(root: &Path, layout: Layout) {
    base::assert_consistent(root);
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(read("var/lib/probe.log"), "preinst install probe\npostinst configure  probe\n");
    assert!(read("var/lib/watcher.log").ends_with("probe\n"), "{}", read("var/lib/watcher.log"));
    assert_eq!(base::prints(root, &["hello"]), "Hello, world!\n");
    // The triggers of ldconfig and of shells.d ran.
    assert!(root.join("etc/ld.so.cache").exists());
    assert!(read("etc/shells").contains("/bin/dash\n"));
    assert!(fs::symlink_metadata(root.join("etc/alternatives/awk")).is_ok());

    let dump = tree::dump(root);
    for mark in [
        "policy-rc.d",
        ".REAL",
        ".dpkg-new",
        ".dpkg-tmp",
        "tmp.ci",
        ".rootstrap-",
        "archives/rootstrap",
        "/var/lib/dpkg/updates/0",
    ] {
        let left: Vec<&str> = dump.lines().filter(|line| line.contains(mark)).collect();
        assert_eq!(left, [""; 0]);
    }
    for empty in ["proc", "sys", "tmp"] {
        assert_eq!(names(&root.join(empty)), [""; 0], "{empty}");
    }
    let daemon =
        fs::read(root.join("usr/sbin/start-stop-daemon")).or_else(|_| fs::read(root.join("sbin/start-stop-daemon")));
    assert!(daemon.unwrap().starts_with(b"\x7fELF"), "start-stop-daemon is still the fake");

    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("usr/bin/suid"), mode("usr/bin/sgid"), mode("tmp")), (0o4755, 0o2755, 0o1777));
    assert_eq!(mode(""), 0o755);
    let links = fs::metadata(root.join("usr/bin/suid")).unwrap().nlink();
    assert_eq!(links, 2);
    assert_eq!(root.join("bin").is_symlink(), layout == Layout::Merged);
}

fn builds_a_directory(layout: Layout) {
    need!(machine::root());
    let world = World::new(&need!(base::archive(layout, [probe(), watcher()])));
    let target = world.target("root");
    world.run(&[&target, "--include=probe,watcher,hello"]).expect(0);
    let root = Path::new(&target);
    // The links of a merged /usr are made if the packages do not ship them.
    assert_finished(root, Layout::Merged);
    let owner = |path: &str| fs::metadata(root.join(path)).map(|meta| (meta.uid(), meta.gid())).unwrap();
    assert_eq!((owner("usr/bin/suid"), owner("usr/bin/sgid"), owner("srv/mail/box")), ((0, 0), (0, 42), (8, 8)));
    assert_eq!((owner(""), owner("var/local")), ((0, 0), (0, 50)));
    base::assert_nothing_left(&world, &["root"]);
}

#[test]
fn root_builds_a_merged_system() {
    builds_a_directory(Layout::Merged);
}

#[test]
fn root_builds_from_packages_that_are_not_merged() {
    builds_a_directory(Layout::Split);
}

#[test]
fn a_user_builds_the_same_system() {
    need!(machine::root());
    let user = need!(machine::user());
    for layout in [Layout::Merged, Layout::Split] {
        let world = World::new(&need!(base::archive(layout, [probe(), watcher()])));
        let (ours, theirs) = (world.target("ours"), world.target("theirs"));
        world.run(&[&ours, "--include=probe,watcher,hello"]).expect(0);
        world.finish(&mut world.command_as(&user, &[&theirs, "--include=probe,watcher,hello"])).expect(0);
        // The files belong to the user, so root can enter them with chroot.
        assert_finished(Path::new(&theirs), Layout::Merged);
        let dump = |root: &str| -> Vec<String> {
            let options = tree::Options { owner: false, mtime: true };
            let text = tree::dump_with(Path::new(root), options);
            // An ordinary user cannot make device nodes.
            text.lines().filter(|line| !line.starts_with("/dev/")).map(str::to_owned).collect()
        };
        let (ours_dump, theirs_dump) = (dump(&ours), dump(&theirs));
        for (a, b) in ours_dump.iter().zip(&theirs_dump) {
            assert_eq!(a, b);
        }
        assert_eq!(ours_dump.len(), theirs_dump.len());
        let meta = |path: &str| fs::metadata(Path::new(&theirs).join(path)).unwrap();
        assert_eq!(meta("usr/bin/suid").uid(), user.uid);
        assert_ne!(meta("srv/mail/box").uid(), user.uid);
        base::assert_nothing_left(&world, &["ours", "theirs"]);
    }
}

/// An archive like those of 2014: a detached signature, only gz indexes, no by-hash, old compressors, and /bin apart from
/// /usr/bin.
#[test]
fn an_archive_of_the_old_kind() {
    need!(machine::root());
    let old = [Compression::Gz, Compression::Lzma, Compression::Bz2, Compression::Xz, Compression::None];
    let debs = need!(base::debs(Layout::Split)).into_iter().chain([probe(), watcher()]);
    let debs = debs.enumerate().map(|(n, deb)| {
        deb.data_compression(old[n % old.len()]).control_compression(Compression::Gz).md5sums(n % 2 == 0)
    });
    let mut archive = need!(base::archive(Layout::Split, []));
    let mut trusty = rootstrap_testkit::archive::Archive::new("trusty").key(&KEY).debs(debs);
    trusty.architectures = std::mem::take(&mut archive.architectures);
    trusty.signing = Signing::Detached;
    trusty.forms = vec![Compression::Gz];
    trusty.acquire_by_hash = false;
    let world = World::new(&trusty);
    let target = world.target("root");
    world.run(&[&target, "--pockets=release", "--include=probe,watcher,hello"]).expect(0);
    let root = Path::new(&target);
    assert_finished(root, Layout::Split);
    assert!(root.join("bin/dash").exists() && !root.join("usr/bin/dash").exists());
    let sources = fs::read_to_string(root.join("etc/apt/sources.list")).unwrap();
    let start = format!("deb [signed-by=/etc/apt/keyrings/ubuntu.gpg] {} trusty main", world.server.url());
    assert!(sources.starts_with(&start), "{sources}");
    let asked = world.server.requests();
    assert!(asked.iter().all(|request| !request.path.contains("by-hash")));
    base::assert_nothing_left(&world, &["root"]);
}

/// What serves a build is one thing, and what the target uses later another.
#[test]
fn the_target_uses_the_snapshot_only_if_it_is_asked_to() {
    need!(machine::root());
    let archive = need!(base::archive(Layout::Merged, []));
    let at = |path: String| format!("x/20250101T120000Z/{path}");
    let files = archive.build().into_iter().map(|(path, bytes)| (at(path), bytes)).collect();
    let world = World::serving_below(base::SUITE, "/x/{timestamp}", files);
    let sources = |name: &str, arguments: &[&str]| {
        let target = world.target(name);
        world.run(&[&[target.as_str(), "--snapshot=2025-01-01T12:00:00Z"], arguments].concat()).expect(0);
        let path = Path::new(&target).join("etc/apt/sources.list.d/rootstrap.sources");
        fs::read_to_string(path).unwrap_or_default()
    };
    let plain = sources("plain", &[]);
    assert!(plain.contains("URIs: http://archive.example/debian\n") && !plain.contains("2025"), "{plain}");
    let named = sources("named", &["--sources=snapshot"]);
    let uri = format!("URIs: {}/x/20250101T120000Z\n", world.server.url());
    assert!(named.contains(&uri) && named.contains("\nCheck-Valid-Until: no\n"), "{named}");
}
