//! The entries of data.tar in the tree.

use crate::world::{Case, FIRST, LATER, World, names_of_the_host, skipped, write};
use rootstrap_testkit::deb::{Deb, Entry, Header};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn deb(name: &str) -> Deb {
    Deb::new(name, "1").field("Section", "misc").field("Priority", "optional")
}

#[test]
fn every_type_of_entry() {
    Case::new(
        "every type of entry",
        [deb("types")
            .file("/opt/file", 0o644, "body")
            .file("/opt/empty", 0o600, "")
            .symlink("/opt/aaa", "file")
            .symlink("/opt/dangling", "/no/where")
            .hardlink("/opt/hard", "/opt/file")
            .fifo("/opt/fifo", 0o640)
            .dir("/opt/dir", 0o750)
            .file("/opt/zzz", 0o644, "after the links")],
    )
    .equals_dpkg();
}

#[test]
fn modes() {
    let mut modes = deb("modes").dir("/opt/sticky", 0o1777).dir("/opt/group", 0o2775).dir("/opt/none", 0o000);
    for mode in [0o4755, 0o2755, 0o6711, 0o1644, 0o000, 0o777, 0o444] {
        modes = modes.file(&format!("/opt/{mode:o}"), mode, "x");
    }
    Case::new("modes", [modes]).equals_dpkg();
}

#[test]
fn times() {
    let mut old = Entry::file("./old", 0o644, "x");
    old.mtime = Some(1);
    let mut link = Entry::symlink("./link", "old");
    link.mtime = Some(86_400);
    Case::new("times", [deb("times").entry(old).entry(link).fifo("/fifo", 0o644)]).equals_dpkg();
}

#[test]
fn owners_by_name() {
    // Up to version 1.22 dpkg looks up names outside `--root`, so both systems must have the same users and groups.
    Case::new("owners by name", [owners()]).prepare(&names_of_the_host).equals_dpkg();
}

/// Files whose owners have numbers that no system gives to their names.
fn owners() -> Deb {
    let owned =
        |name: &str, user: &str, uid, group: &str, gid| Entry::file(name, 0o4755, "x").owned(user, uid, group, gid);
    deb("owners")
        .entry(owned("./both", "daemon", 55, "tty", 66))
        .entry(owned("./unknown", "nobody-knows", 77, "nor-this", 78))
        .entry(owned("./numbers", "", 12, "", 13))
        .entry(owned("./group-only", "root", 0, "tty", 99))
        .entry(owned("./root", "root", 3, "root", 3))
        .entry(Entry::dir("./dir/", 0o2755).owned("daemon", 55, "tty", 66))
        .entry(Entry::symlink("./link", "both").owned("daemon", 55, "tty", 66))
}

#[test]
fn owners_are_those_of_the_target() {
    if skipped("owners of the target") {
        return;
    }
    let line = |world: &World| world.dump(&[]).lines().find(|line| line.starts_with("/both ")).unwrap().to_owned();
    let mut world = World::new();
    write(&world.path(), "etc/passwd", "root:x:0:0::/:/bin/sh\ndaemon:x:4711:1::/:/bin/sh\n");
    write(&world.path(), "etc/group", "root:x:0:\ntty:x:815:\n");
    world.unpack(&[owners()], LATER);
    assert!(line(&world).contains(" 4755 4711:815 "), "{}", line(&world));

    // Before passwd and group exist, the files from which base-passwd will create them are read.
    let mut world = World::new();
    write(&world.path(), "usr/share/base-passwd/passwd.master", "daemon:*:4712:1::/:/bin/sh\n");
    write(&world.path(), "usr/share/base-passwd/group.master", "tty:*:816:\n");
    world.unpack(&[owners()], FIRST);
    assert!(line(&world).contains(" 4755 4712:816 "), "{}", line(&world));

    let mut world = World::new();
    world.unpack(&[owners()], LATER);
    assert!(line(&world).contains(" 4755 55:66 "), "{}", line(&world));
}

#[test]
fn hard_links_carry_their_own_attributes() {
    let mut late = Entry::hardlink("./opt/b", "./opt/a").owned("", 3, "", 4);
    late.mtime = Some(1000);
    late.mode = 0o4711;
    Case::new(
        "a hard link's attributes",
        [deb("links")
            .file("/opt/a", 0o755, "one body")
            .entry(late)
            .entry(Entry { mode: 0o640, ..Entry::hardlink("./opt/c", "opt/b") })],
    )
    .equals_dpkg();
}

#[test]
fn a_hard_link_to_a_file_that_was_there() {
    let prepare = |root: &Path| write(root, "opt/old", "old");
    Case::new("a hard link to an old file", [deb("links").dir("/opt", 0o755).hardlink("/opt/new", "/opt/old")])
        .prepare(&prepare)
        .equals_dpkg();
}

#[test]
fn the_first_package_creates_the_directory() {
    Case::new(
        "the first package makes the directory",
        [
            deb("a").entry(Entry::dir("./d/", 0o2711).owned("", 6, "", 7)).file("/d/a", 0o644, "a"),
            deb("b").entry(Entry::dir("./d/", 0o700).owned("", 8, "", 9)).file("/d/b", 0o644, "b"),
        ],
    )
    .equals_dpkg();
}

#[test]
fn directories_that_are_links_stay_links() {
    let prepare = |root: &Path| {
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
    };
    Case::new("paths through a link to a directory", [deb("a").dir("/lib", 0o700).file("/lib/x/y", 0o644, "x")])
        .then([deb("b").file("/usr/lib/x/z", 0o644, "z")])
        .prepare(&prepare)
        .equals_dpkg();
}

#[test]
fn links_over_what_is_there() {
    let prepare = |root: &Path| {
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir_all(root.join("usr/sbin")).unwrap();
        fs::create_dir_all(root.join("real")).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("usr/lib", root.join("elsewhere")).unwrap();
        symlink("gone", root.join("dangling")).unwrap();
        write(root, "file", "old");
    };
    Case::new(
        "links over what is there",
        [deb("a")
            // A link to the same directory with another text, and a link to another directory.
            .symlink("/lib", "./usr/../usr/lib")
            .symlink("/elsewhere", "usr/sbin")
            .symlink("/dangling", "also-gone")
            .symlink("/real", "usr/lib")
            .symlink("/file", "usr")],
    )
    .prepare(&prepare)
    .equals_dpkg();
}

#[test]
fn two_packages_with_the_same_link_to_a_directory() {
    Case::new(
        "the same link to a directory twice",
        [deb("a").dir("/usr/lib", 0o755).symlink("/lib", "usr/lib"), deb("b").symlink("/lib", "usr/lib")],
    )
    .equals_dpkg();
}

#[test]
fn files_over_what_is_there() {
    let prepare = |root: &Path| {
        write(root, "opt/file", "old");
        write(root, "opt/fifo", "old");
        write(root, "opt/target", "untouched");
        symlink("target", root.join("opt/link")).unwrap();
        symlink("target", root.join("opt/hard")).unwrap();
    };
    Case::new(
        "files over what is there",
        [deb("a")
            .file("/opt/file", 0o755, "new")
            .file("/opt/link", 0o600, "new")
            .hardlink("/opt/hard", "/opt/file")
            .fifo("/opt/fifo", 0o600)],
    )
    .prepare(&prepare)
    .equals_dpkg();
}

#[test]
fn directories_and_links_of_several_packages() {
    let inside = |name: &str| deb(name).file(&format!("/way/{name}"), 0o644, name);
    let there = |root: &Path| fs::create_dir_all(root.join("usr/there")).unwrap();
    let link = || deb("link").symlink("/way", "usr/there").file("/own", 0o644, "");
    Case::new("a link, then a directory", [link()]).then([inside("b"), inside("c")]).prepare(&there).equals_dpkg();
    Case::new("a directory, then a link", [inside("a")]).then([link(), inside("c")]).prepare(&there).equals_dpkg();
    Case::new("both in one phase", [inside("a"), link(), inside("c")]).prepare(&there).equals_dpkg();
    // The package owns the link with its text; no package owns the directory.
    let other = deb("other").symlink("/way", "usr/elsewhere").file("/usr/elsewhere/x", 0o644, "");
    Case::new("a link of another text over a directory", [inside("a")]).then([other, link()]).equals_dpkg();
}

#[test]
fn the_first_package_creates_the_directory_for_later_phases_too() {
    let with = |name: &str, mode, id| {
        let directory = Entry::dir("./d/", mode).owned("", id, "", id);
        deb(name).entry(directory).file(&format!("/d/{name}"), 0o644, name)
    };
    let there = |root: &Path| {
        fs::create_dir(root.join("d")).unwrap();
        fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o1700)).unwrap();
    };
    Case::new("a directory in several phases", [with("a", 0o2711, 6)]).then([with("b", 0o755, 8)]).equals_dpkg();
    Case::new("a directory that was there", [with("a", 0o2711, 6)]).prepare(&there).equals_dpkg();
}

#[test]
fn long_names() {
    let deep = format!("/opt/{}", ["d".repeat(120), "e".repeat(120), "f".repeat(120)].join("/"));
    Case::new(
        "long names",
        [deb("long")
            .file(&format!("{deep}/file"), 0o644, "x")
            .symlink(&format!("{deep}/link"), &format!("../{}", "g".repeat(200)))
            .hardlink(&format!("{deep}/hard"), &format!("{deep}/file"))
            .file(&format!("/{}", "n".repeat(100 - 2)), 0o644, "exactly the header's field")
            .file(&format!("/{}", "n".repeat(100 - 1)), 0o644, "one more")
            .symlink("/to-100", &"t".repeat(100))
            .symlink("/to-101", &"t".repeat(101))
            .symlink("/to-4000", &"t/".repeat(2000))
            .file(&format!("/{}", "f".repeat(246)), 0o644, "as long as a file's may be")
            .conffile(&format!("/{}", "c".repeat(246)), "as long as a conffile's may be")],
    )
    .equals_dpkg();
}

#[test]
fn names_in_other_alphabets() {
    Case::new(
        "names in other alphabets",
        [deb("alphabets")
            .entry(Entry::file("./naïve — ß", 0o644, "utf-8"))
            .entry(Entry::file(b"./latin-\xe9", 0o644, "latin-1"))
            .entry(Entry::file("./back\\slash", 0o644, "x"))
            .entry(Entry::file("usr-without-dot", 0o644, "x"))
            .entry(Entry::file("/absolute", 0o644, "x"))],
    )
    .equals_dpkg();
}

#[test]
fn one_path_twice_in_one_archive() {
    Case::new(
        "one path twice",
        [deb("twice")
            .file("/opt/a", 0o644, "first")
            .hardlink("/opt/h", "/opt/a")
            .file("/opt/a", 0o600, "second")
            .symlink("/opt/l", "one")
            .symlink("/opt/l", "two")
            .md5sums(false)],
    )
    .equals_dpkg();
}

#[test]
fn an_empty_package() {
    Case::new("an empty package", [deb("empty")]).equals_dpkg();
}

#[test]
fn diversions() {
    let prepare = |root: &Path| {
        let lines = "/bin/tool\n/bin/tool.other\nowner\n/bin/local\n/opt/local.moved\n:\n/d\n/d.moved\nowner\n";
        write(root, "var/lib/dpkg/diversions", lines);
        fs::create_dir_all(root.join("opt")).unwrap();
    };
    Case::new(
        "diversions",
        [
            deb("other")
                .file("/bin/tool", 0o755, "the other's")
                .hardlink("/bin/same", "/bin/tool")
                .symlink("/bin/local", "tool")
                .dir("/d", 0o711),
            deb("owner").file("/bin/tool", 0o755, "the owner's").file("/d/x", 0o644, "x"),
        ],
    )
    .prepare(&prepare)
    .equals_dpkg();
}

#[test]
fn a_diversion_made_after_the_file() {
    let divert = |root: &Path| {
        write(root, "var/lib/dpkg/diversions", "/bin/tool\n/bin/tool.other\nowner\n");
    };
    // The diverting package may ship a path that another package owns, with or without `--rename`.
    Case::new("a diversion made after the file", [deb("other").file("/bin/tool", 0o755, "the other's")])
        .then([deb("owner").file("/bin/tool", 0o755, "the owner's")])
        .prepare(&divert)
        .equals_dpkg();
}

#[test]
fn statoverrides() {
    let prepare = |root: &Path| {
        names_of_the_host(root);
        let lines = "root tty 2755 /opt/suid\ndaemon #77 0700 /opt/dir\n#5 #6 4700 /etc/conf\n\
                     #1 #2 640 /opt/with space\n#8 #9 777 /opt/link\n#10 #11 4711 /opt/hard\n";
        write(root, "var/lib/dpkg/statoverride", lines);
    };
    Case::new(
        "statoverrides",
        [deb("over")
            .file("/opt/suid", 0o755, "x")
            .file("/opt/with space", 0o755, "x")
            .dir("/opt/dir", 0o755)
            .symlink("/opt/link", "suid")
            .file("/opt/two-names", 0o644, "x")
            .hardlink("/opt/hard", "/opt/two-names")
            .conffile("/etc/conf", "x")],
    )
    .prepare(&prepare)
    .equals_dpkg();
}

#[test]
fn device_nodes() {
    Case::new(
        "device nodes",
        [deb("nodes").device("/opt/null", b'c', 0o666, 1, 3).device("/opt/loop", b'b', 0o660, 7, 0)],
    )
    .equals_dpkg();
}

#[test]
fn headers_of_other_writers() {
    let header = |mut header: Header, name: &str, kind: u8, size: u64| {
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkflag = [kind];
        header.set_mode(0o640);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(9);
        header.set_size(size);
        header
    };
    let sealed = |mut header: Header| {
        header.set_cksum();
        header
    };
    let mut split = header(Header::new_ustar(), "name", b'0', 1);
    split.as_ustar_mut().unwrap().prefix[..9].copy_from_slice(b"./opt/pre");
    Case::new(
        "headers of other writers",
        [deb("writers")
            .dir("/opt/pre", 0o755)
            .raw_entry(&sealed(split), b"x")
            .raw_entry(&sealed(header(Header::new_ustar(), "./ustar", b'0', 1)), b"x")
            .raw_entry(&sealed(header(Header::new_old(), "./seventh", 0, 1)), b"x")
            .raw_entry(&sealed(header(Header::new_old(), "./seventh-edition-directory/", b'0', 0)), b"")
            .raw_entry(&sealed(header(Header::new_old(), "./no-slash", b'5', 0)), b"")],
    )
    .equals_dpkg();
}

#[test]
fn parents_that_no_package_ships_are_created() {
    if skipped("parents nobody ships") {
        return;
    }
    // The parents have the attributes that tar gives them. dpkg refuses the package, so no archive has one like it.
    let mut world = World::new();
    world.unpack(&[deb("orphan").entry(Entry::file("./no/parent/file", 0o644, "x"))], LATER);
    assert!(world.dump(&[]).contains("/no/parent dir 0755 0:0\n"));
}
