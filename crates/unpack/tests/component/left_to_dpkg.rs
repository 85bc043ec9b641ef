//! Packages that this crate leaves to dpkg: it hands the package back with the reason. Some of its files may be in the root by
//! then, and dpkg's result must be the same as in an untouched root.

use crate::world::{Case, World, skipped_without_dpkg, write};
use rootstrap_testkit::deb::{Deb, Entry, EntryType, Header};
use std::os::unix::fs::symlink;
use std::path::Path;

fn deb(name: &str) -> Deb {
    // This file sorts before the entry that is refused, so that something is in place already.
    Deb::new(name, "1").field("Section", "misc").file("/aaa/early", 0o4755, "early").dir("/aaa/dir", 0o711)
}

/// Checks that `last` is left to dpkg because of `reason`. Returns whether dpkg takes it.
fn left(name: &str, prepare: &dyn Fn(&Path), before: &[Deb], last: &Deb, reason: &str) -> Option<bool> {
    Case::new(name, before.iter().cloned()).prepare(prepare).leaves(last, reason)
}

#[test]
fn packages_that_meet() {
    let a = || Deb::new("a", "1").file("/x/file", 0o644, "a's").file("/x/more", 0o644, "more");
    let b = || deb("b").file("/x/file", 0o644, "b's");
    let reason = "/x/file belongs to a too";
    left("a file conflict", &|_| {}, &[a()], &b(), reason);
    left("Replaces", &|_| {}, &[a()], &b().field("Replaces", "a"), reason);
    left("replaced by what is there", &|_| {}, &[a().field("Replaces", "b (<< 2)")], &b(), reason);
    left(
        "a package that disappears",
        &|_| {},
        &[a()],
        &b().file("/x/more", 0o644, "b's").field("Replaces", "a"),
        reason,
    );
    let link = || Deb::new("a", "1").symlink("/x", "aaa");
    left("two links at one path", &|_| {}, &[link()], &deb("b").symlink("/x", "bbb"), "/x belongs to a too");
    left(
        "diverted alike",
        &|root| write(root, "var/lib/dpkg/diversions", "/x/file\n/x/moved\nc\n"),
        &[a()],
        &b(),
        reason,
    );
}

#[test]
fn packages_taken_over() {
    let a = |version: &str| {
        let deb = Deb::new("a", version).file("/x/file", 0o644, "a's").file("/x/more", 0o644, "more");
        deb.conffile("/etc/conf", "a's\n").symlink("/x/link", "a")
    };
    let b = |replaces: &str| deb("b").file("/x/file", 0o644, "b's").field("Replaces", replaces);
    let reason = "/x/file belongs to a too";
    // The version decides, with its epoch and tildes.
    for (version, replaces, taken) in [
        ("1", "a (<< 2)", true),
        ("1:0", "a (<< 2)", false),
        ("2~rc1", "a (<< 2)", true),
        ("2", "a (<< 2~)", false),
        ("2:1~", "a (<< 2:1)", true),
        ("1", "c, a (= 1)", true),
        ("1", "a:i386", false),
        ("1", "c", false),
    ] {
        let name = format!("{version} replaced by {replaces}");
        assert_ne!(left(&name, &|_| {}, &[a(version)], &b(replaces), reason), Some(!taken), "{name}");
    }
    // Other types of files.
    let conf = deb("b").field("Replaces", "a").conffile("/etc/conf", "b's\n");
    assert_ne!(left("a replaced conffile", &|_| {}, &[a("1")], &conf, "/etc/conf belongs to a too"), Some(false));
    let plain = deb("b").field("Replaces", "a").file("/etc/conf", 0o644, "b's\n");
    assert_ne!(
        left("a conffile replaced by a file", &|_| {}, &[a("1")], &plain, "/etc/conf belongs to a too"),
        Some(false)
    );
    let link = deb("b").field("Replaces", "a").symlink("/x/link", "b");
    assert_ne!(left("a replaced link", &|_| {}, &[a("1")], &link, "/x/link belongs to a too"), Some(false));
    let hard = deb("b").field("Replaces", "a").hardlink("/x/link", "/aaa/early");
    assert_ne!(
        left("a link replaced by a hard link", &|_| {}, &[a("1")], &hard, "/x/link belongs to a too"),
        Some(false)
    );
    // A third package, which is replaced too.
    let case = Case::new("replaced by both", [a("1"), Deb::new("c", "1").file("/y", 0o644, "c's")]);
    let both = b("a, c").file("/y", 0o644, "b's");
    assert_ne!(case.leaves(&both, reason), Some(false));
}

#[test]
fn packages_that_disappear() {
    let a = || Deb::new("a", "1").file("/x/file", 0o644, "a's").dir("/x/dir", 0o755);
    let all = || deb("b").file("/x/file", 0o644, "b's").dir("/x/dir", 0o755).field("Replaces", "a");
    let reason = "/x/file belongs to a too";
    left("a package that disappears", &|_| {}, &[a()], &all(), reason);
    left("one that is needed stays", &|_| {}, &[a(), Deb::new("c", "1").field("Depends", "a")], &all(), reason);
    let other = || Deb::new("other", "1").file("/other", 0o644, "");
    left("one among others", &|_| {}, &[a(), other()], &all(), reason);
    // A package that has only directories disappears without being replaced.
    let empty = || Deb::new("a", "1").dir("/x/dir", 0o700);
    let reason = "a has nothing of its own beside it";
    left("a package of directories alone", &|_| {}, &[empty()], &deb("b").dir("/x/dir", 0o755), reason);
    let same = || Deb::new("a", "1").field("Multi-Arch", "same").dir("/x/dir", 0o700);
    let reason = "a:amd64 has nothing of its own beside it";
    left("the same for several architectures", &|_| {}, &[same()], &deb("b").dir("/x/dir", 0o755), reason);
    let third = Deb::new("c", "1").file("/x/dir/c", 0o644, "");
    left("directories of a third package", &|_| {}, &[third, empty()], &deb("b"), "a has nothing of its own beside it");
    let divert = |root: &Path| write(root, "var/lib/dpkg/diversions", "/x/file\n/x/moved\nc\n");
    let file = |name: &str| Deb::new(name, "1").file("/x/file", 0o644, name);
    Case::new("a diverted file, later", [file("a"), file("c")])
        .prepare(&divert)
        .leaves(&deb("b"), "a has nothing of its own beside it");
    Case::new("a directory more", [empty()]).then([deb("b").dir("/x", 0o755)]).equals_dpkg();
    Case::new("nothing at all", [Deb::new("a", "1")]).then([deb("b").dir("/x", 0o755)]).equals_dpkg();
}

#[test]
fn places_taken() {
    let directory = |root: &Path| write(root, "x/inside", "");
    left("a file over a directory", &directory, &[], &deb("b").file("/x", 0o644, "x"), "/x is a directory already");
    let file = |root: &Path| write(root, "x", "");
    left("a directory over a file", &file, &[], &deb("b").dir("/x", 0o755), "/x is there and no directory");
    let dangling = |root: &Path| symlink("nowhere", root.join("x")).unwrap();
    left(
        "a directory over a dangling link",
        &dangling,
        &[],
        &deb("b").dir("/x", 0o755),
        "/x is there and no directory",
    );
    let link = |root: &Path| {
        write(root, "etc/real", "old\n");
        symlink("real", root.join("etc/conf")).unwrap();
    };
    left(
        "a conffile at a link",
        &link,
        &[],
        &deb("b").conffile("/etc/conf", "new\n"),
        "the conffile /etc/conf is a link already",
    );
    let own = Deb::new("a", "1").symlink("/link", "there");
    left(
        "a second name of a link",
        &|_| {},
        &[own],
        &deb("b").hardlink("/x", "/link"),
        "/x is a second name of a link",
    );
}

#[test]
fn diverted_names() {
    let divert = |root: &Path| write(root, "var/lib/dpkg/diversions", "/x\n/x.moved\na\n");
    left(
        "what something is diverted to",
        &divert,
        &[],
        &deb("b").file("/x.moved", 0o644, ""),
        "/x.moved may not be shipped",
    );
}

#[test]
fn conffiles_to_remove() {
    let lists = || deb("b").control_member("conffiles", 0o644, "remove-on-upgrade /etc/gone\n");
    let there = |root: &Path| write(root, "etc/gone", "nobody's");
    left("remove-on-upgrade of what is there", &there, &[], &lists(), "/etc/gone is there and shall not be");
    left(
        "remove-on-upgrade of what is shipped",
        &|_| {},
        &[],
        &lists().file("/etc/gone", 0o644, ""),
        "/etc/gone may not be shipped",
    );
}

#[test]
fn entries_of_other_kinds() {
    let mut pax = Entry::file("./x", 0o644, "x");
    pax.pax = vec![("path".into(), b"./other".to_vec())];
    left("PAX headers", &|_| {}, &[], &deb("b").entry(pax), "./PaxHeaders/x is of tar type 'x'");
    for (kind, name) in [(b'g', 'g'), (b'S', 'S'), (b'7', '7'), (b'V', 'V'), (b'D', 'D')] {
        let reason = format!("./x is of tar type '{name}'");
        left("a tar type dpkg does not know", &|_| {}, &[], &deb("b").entry(Entry::new("./x", kind, 0o644)), &reason);
    }
    // The two formats in which GNU tar leaves out holes.
    let mut sparse = Header::new_gnu();
    sparse.set_path("./x").unwrap();
    sparse.set_entry_type(EntryType::GNUSparse);
    for set in [Header::set_uid, Header::set_gid, Header::set_mtime] {
        set(&mut sparse, 0);
    }
    sparse.set_mode(0o644);
    sparse.set_size(512);
    let map = sparse.as_gnu_mut().unwrap();
    map.sparse[0].offset[..11].copy_from_slice(b"00000010000");
    map.sparse[0].numbytes[..11].copy_from_slice(b"00000001000");
    map.realsize[..11].copy_from_slice(b"00000011000");
    sparse.set_cksum();
    let holes = deb("b").raw_entry(&sparse, &[b'x'; 512]);
    assert_ne!(left("a sparse file", &|_| {}, &[], &holes, "x is of tar type 'S'"), Some(true));
    let mut sparse = Entry::file("./x", 0o644, "x");
    sparse.pax = vec![("GNU.sparse.major".into(), b"1".to_vec()), ("GNU.sparse.realsize".into(), b"9".to_vec())];
    let reason = "./PaxHeaders/x is of tar type 'x'";
    assert_ne!(left("a sparse file in PAX", &|_| {}, &[], &deb("b").entry(sparse), reason), Some(true));
    let newline = deb("b").entry(Entry::file("./a\nb", 0o644, ""));
    left("a name of two lines", &|_| {}, &[], &newline, "the path ./a\\nb does not stay within the root");
    let link = deb("b").entry(Entry::symlink("./x", ""));
    left("a link to nothing", &|_| {}, &[], &link, "the link ./x is empty");
    for kind in [b'1', b'2', b'5', b'6'] {
        let mut body = Entry::new("./x", kind, 0o644);
        (body.link, body.content) = (b"./aaa/early".to_vec(), vec![b'x'; 600]);
        left("a body where none may be", &|_| {}, &[], &deb("b").entry(body), "/x has a body where it may have none");
    }
}

/// Malformed numbers: they are left to dpkg, which may accept them.
#[test]
fn odd_headers() {
    let header = |change: &dyn Fn(&mut Header)| {
        let mut header = Header::new_gnu();
        header.set_path("./x").unwrap();
        header.set_entry_type(EntryType::Regular);
        for set in [Header::set_uid, Header::set_gid, Header::set_mtime, Header::set_size] {
            set(&mut header, 0);
        }
        header.set_mode(0o644);
        change(&mut header);
        header.set_cksum();
        deb("b").raw_entry(&header, b"")
    };
    type Change<'a> = &'a dyn Fn(&mut Header);
    let odd: [(&str, Change<'_>); 5] = [
        ("no uid", &|header| header.as_old_mut().uid = [0; 8]),
        ("no gid", &|header| header.as_old_mut().gid = [b' '; 8]),
        ("no mtime", &|header| header.as_old_mut().mtime = [0; 12]),
        ("a mode of words", &|header| header.as_old_mut().mode = *b"rwxr-xr-"),
        ("a uid beyond all", &|header| header.set_uid(1 << 40)),
    ];
    for (name, change) in odd {
        if skipped_without_dpkg(name) {
            return;
        }
        let mut world = World::new();
        let reason = world.reason(&header(change));
        assert!(reason.starts_with("the header of x is odd: "), "{name}: {reason}");
        left(name, &|_| {}, &[], &header(change), &reason);
    }
}

/// dpkg first unpacks every file under a longer name.
#[test]
fn names_too_long_for_the_suffix_that_dpkg_appends() {
    let long = "n".repeat(247);
    let reason = format!("/{long} has too long a name");
    for (name, deb) in [
        ("a file", deb("b").file(&format!("/{long}"), 0o644, "")),
        ("a directory", deb("b").dir(&format!("/{long}"), 0o755)),
        ("a link", deb("b").symlink(&format!("/{long}"), "x")),
        ("a conffile", deb("b").conffile(&format!("/{long}"), "x")),
        ("a fifo", deb("b").fifo(&format!("/{long}"), 0o644)),
    ] {
        assert_ne!(left(name, &|_| {}, &[], &deb, &reason), Some(true), "{name}");
    }
}
