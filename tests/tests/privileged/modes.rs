//! Modes: the same bytes in each, and the error where one does not work.

use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::User;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Returns a package with owners and special modes, whose script makes more of them and looks at the result.
fn owner() -> Deb {
    let postinst = "#!/bin/bash\nset -e\n\
        cd /var/lib\nmkdir -p owner/sub\ntouch owner/plain owner/second\n\
        chown 7:8 owner/plain\n[ \"$(stat -c %u:%g owner/plain)\" = 7:8 ]\n\
        chmod 6755 owner/plain\nchown :9 owner/plain\n[ \"$(stat -c %u:%g:%a owner/plain)\" = 7:9:755 ]\n\
        ln owner/plain owner/linked\nmv owner/plain owner/renamed\n[ \"$(stat -c %u:%g owner/linked)\" = 7:9 ]\n\
        chown -h 3:3 /var/lib/owner/sub\nchmod 2775 owner/sub\n\
        ln -s nowhere owner/link\nchown -h 5:60 owner/link\n[ \"$(stat -c %u:%g owner/link)\" = 5:60 ]\n\
        cp -p owner/renamed owner/copied\n[ \"$(stat -c %u:%g owner/copied)\" = 7:9 ]\n\
        # A file that takes the place of another has an owner of its own.\n\
        chown 11:11 owner/second\nrm owner/second\n\
        for n in 1 2 3 4 5 6 7 8; do touch owner/new$n; [ \"$(stat -c %u:%g owner/new$n)\" = 0:0 ]; done\n\
        mknod -m 640 owner/node c 10 200\n\
        mkfifo owner/fifo\nchown 1:1 owner/fifo\n\
        [ \"$(stat -c %u:%g /srv/mail/box)\" = 8:8 ]\n\
        # What another user makes is that user's, and who asks is told.\n\
        mkdir -m 1777 owner/open\n\
        setpriv --reuid 33 --regid 34 --clear-groups bash -e -c '\n\
        [ $UID:$EUID = 33:33 ]\n! [ -O owner/open ]\ncd owner/open\n\
        touch file\nmkdir dir\nln -s nowhere link\nset -C\n: >new\nmkfifo fifo\n[ -O file ]\n[ -G dir ]\n\
        ! setpriv --reuid 0 true 2>/dev/null'\n\
        [ $UID = 0 ] && [ -O owner/open ]\n\
        mkdir owner/shared\nchown :50 owner/shared\nchmod 2775 owner/shared\ntouch owner/shared/file\n\
        [ \"$(stat -c %u:%g owner/shared/file owner/open/new)\" = \"0:50\n33:34\" ]\n\
        echo fine >/var/lib/owner/done\n";
    Deb::new("owner", "1")
        .field("Pre-Depends", "tools")
        .file_owned("/usr/bin/sgid", 0o2755, ("root", 0), ("shadow", 42), "#!/bin/sh\n")
        .file_owned("/srv/mail/box", 0o600, ("mail", 8), ("mail", 8), "mail\n")
        .script("postinst", postinst)
}

fn world() -> Option<World> {
    let tools = || base::tools(&["bash", "stat", "chown", "mknod", "ln", "cp", "mv", "touch", "setpriv"]);
    let made = tools().and_then(|tools| base::archive(Layout::Merged, [tools, owner()]));
    match made {
        Ok(archive) => Some(World::new(&archive)),
        Err(reason) => {
            rootstrap_tests::skip(reason);
            None
        }
    }
}

/// Returns the archive that this user, or the caller, makes in a mode.
fn archive(world: &World, mode: &str, user: Option<&User>) -> Vec<u8> {
    let who = if user.is_some() { "user" } else { "root" };
    let target = world.target(&format!("{who}-{mode}.tar"));
    let (include, mode) = ("--include=owner", format!("--mode={mode}"));
    let arguments = [target.as_str(), include, &mode];
    let mut command = match user {
        Some(user) => world.command_as(user, &arguments),
        None => world.command(&arguments),
    };
    world.finish(&mut command).expect(0);
    let bytes = fs::read(&target).unwrap();
    fs::remove_file(&target).unwrap();
    bytes
}

/// Returns owner, group, mode and type of an entry.
fn entry(archive: &[u8], path: &str) -> (u64, u64, u32, u8) {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        if entry.path_bytes().as_ref() == path.as_bytes() {
            let header = entry.header();
            let kind = header.entry_type().as_byte();
            return (header.uid().unwrap(), header.gid().unwrap(), header.mode().unwrap(), kind);
        }
    }
    panic!("{path} is not in the archive");
}

#[test]
fn an_archive_has_the_same_bytes_in_every_mode() {
    need!(machine::root());
    let user = need!(machine::user());
    let stranger = need!(machine::stranger());
    let Some(world) = world() else { return };
    let root = archive(&world, "root", None);
    assert_eq!(entry(&root, "./var/lib/owner/renamed"), (7, 9, 0o755, b'1'));
    assert_eq!(entry(&root, "./var/lib/owner/linked"), (7, 9, 0o755, b'0'));
    assert_eq!(entry(&root, "./var/lib/owner/copied"), (7, 9, 0o755, b'0'));
    assert_eq!(entry(&root, "./var/lib/owner/sub/"), (3, 3, 0o2775, b'5'));
    assert_eq!(entry(&root, "./var/lib/owner/link"), (5, 60, 0o777, b'2'));
    assert_eq!(entry(&root, "./var/lib/owner/node"), (0, 0, 0o640, b'3'));
    assert_eq!(entry(&root, "./var/lib/owner/fifo").0, 1);
    assert_eq!(entry(&root, "./var/lib/owner/open/file"), (33, 34, 0o644, b'0'));
    assert_eq!(entry(&root, "./var/lib/owner/open/dir/"), (33, 34, 0o755, b'5'));
    assert_eq!(entry(&root, "./var/lib/owner/open/link"), (33, 34, 0o777, b'2'));
    assert_eq!(entry(&root, "./var/lib/owner/open/fifo"), (33, 34, 0o644, b'6'));
    assert_eq!(entry(&root, "./var/lib/owner/shared/file"), (0, 50, 0o644, b'0'));
    assert_eq!(entry(&root, "./srv/mail/box"), (8, 8, 0o600, b'0'));
    assert_eq!(entry(&root, "./usr/bin/sgid"), (0, 42, 0o2755, b'0'));
    for (mode, user) in [
        ("unshare", None),
        ("single", None),
        ("chroot", None),
        ("unshare", Some(&user)),
        ("single", Some(&user)),
        ("single", Some(&stranger)),
    ] {
        assert!(archive(&world, mode, user) == root, "{mode} makes another archive, user: {user:?}");
    }
    base::assert_nothing_left(&world, &[]);
}

/// Returns the ids on disk without the shift into `user`'s range.
fn owners(root: &Path, path: &str) -> (u32, u32, u32) {
    let found = fs::symlink_metadata(root.join(path)).unwrap();
    (found.uid(), found.gid(), found.mode())
}

#[test]
fn a_directory_of_a_user_differs_in_the_ids_only() {
    need!(machine::root());
    let user = need!(machine::user());
    let Some(world) = world() else { return };
    let (ours, theirs) = (world.target("ours"), world.target("theirs"));
    world.run(&[&ours, "--include=owner"]).expect(0);
    world.finish(&mut world.command_as(&user, &[&theirs, "--include=owner"])).expect(0);
    let start = owners(Path::new(&theirs), "srv/mail/box").0 - 8;
    let shift = |id: u32| if id == 0 { user.uid } else { start + id };
    let mut walk = Command::new("find");
    walk.args([".", "-path", "./dev", "-prune", "-o", "-printf", "%p\n"]);
    let listed = walk.current_dir(&ours).output().unwrap();
    let mut compared = 0;
    for path in String::from_utf8(listed.stdout).unwrap().lines() {
        // Device nodes of a user are only recorded, because the directory cannot hold them.
        if path == "./var/lib/owner/node" {
            assert!(!Path::new(&theirs).join(path).exists());
            continue;
        }
        let (uid, gid, mode) = owners(Path::new(&ours), path);
        assert_eq!(owners(Path::new(&theirs), path), (shift(uid), shift(gid), mode), "{path}");
        compared += 1;
    }
    assert!(compared > 100);
    let manifest = fs::read_to_string(format!("{theirs}.mtree")).unwrap();
    assert!(
        manifest.contains("\n./var/lib/owner/node type=char uid=0 gid=0 mode=0640 device=linux,10,200\n"),
        "{manifest}"
    );
    base::assert_nothing_left(&world, &["ours", "theirs", "theirs.mtree"]);
}

#[test]
fn a_directory_with_one_owner_comes_with_a_list_of_the_others() {
    let stranger = need!(machine::stranger());
    let Some(world) = world() else { return };
    let target = world.target("root");
    let mut command = world.command_as(&stranger, &[&target, "--include=owner"]);
    let said = world.finish(&mut command).expect(0).stderr;
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("root.mtree"), "{said}");
    let manifest = fs::read_to_string(format!("{target}.mtree")).unwrap();
    for line in [
        "./srv/mail/box type=file uid=8 gid=8 mode=0600",
        "./usr/bin/sgid type=file uid=0 gid=42 mode=2755",
        "./var/lib/owner/link type=link uid=5 gid=60 mode=0777",
        "./var/lib/owner/node type=char uid=0 gid=0 mode=0640 device=linux,10,200",
        "./var/lib/owner/sub type=dir uid=3 gid=3 mode=2775",
    ] {
        assert!(manifest.lines().any(|known| known == line), "{line} is not in {manifest}");
    }
    assert!(!manifest.contains("owner/new"), "{manifest}");
    assert_eq!(owners(Path::new(&target), "srv/mail/box").0, stranger.uid);
    assert!(!Path::new(&target).join("var/lib/owner/node").exists());
    // A second run refuses to replace a list that is not ours.
    fs::remove_dir_all(&target).unwrap();
    fs::write(format!("{target}.mtree"), "mine\n").unwrap();
    let mut command = world.command_as(&stranger, &[&target, "--include=owner"]);
    world.finish(&mut command).expect(2).says(&["root.mtree as the target: the owners of files", "hint: rename it"]);
    assert_eq!(fs::read_to_string(format!("{target}.mtree")).unwrap(), "mine\n");
    base::assert_nothing_left(&world, &["root.mtree"]);
}

#[test]
fn verbose_says_which_mode_and_why_no_better_one() {
    let stranger = need!(machine::stranger());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let mut command = world.command_as(&stranger, &[&world.target("root.tar"), "-v"]);
    let outcome = world.finish(&mut command).expect(0);
    outcome.says(&[
        "mode: single\n",
        "not unshare: ",
        "has no range of 65536 ids in /etc/subuid (as root: usermod --add-subuids",
    ]);
}

#[test]
fn a_mode_that_does_not_hold_says_what_is_missing() {
    let stranger = need!(machine::stranger());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let target = world.target("root.tar");
    for (mode, reason, hint) in [
        ("root", "this is not root", "hint: run rootstrap with sudo"),
        ("chroot", "this is not root", "hint: run rootstrap as root of a container"),
        ("unshare", "has no range of 65536 ids in /etc/subuid", "hint: as root: usermod --add-subuids 100000-165535"),
    ] {
        let mut command = world.command_as(&stranger, &[&target, "--mode", mode]);
        let outcome = world.finish(&mut command).expect(1);
        outcome.says(&["error: cannot get the rights a build needs: ", reason, hint]);
    }
    world
        .finish(&mut world.command(&[&target, "--mode=fakechroot"]))
        .expect(2)
        .says(&["root, unshare, single or chroot"]);
    base::assert_nothing_left(&world, &[]);
}

#[test]
fn a_missing_newuidmap_is_named() {
    let user = need!(machine::user());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let target = world.target("root.tar");
    // This PATH has every program but newuidmap and newgidmap.
    let programs = world.path("programs");
    fs::create_dir(&programs).unwrap();
    for program in ["sh", "setpriv"] {
        let place = ["/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(program)).find(|path| path.exists());
        std::os::unix::fs::symlink(place.unwrap(), programs.join(program)).unwrap();
    }
    let mut command = world.command_as(&user, &[&target, "--mode=unshare"]);
    let outcome = world.finish(command.env("PATH", &programs)).expect(1);
    outcome.says(&["newuidmap is not installed", "hint: as root: apt install uidmap"]);
}

/// In this user namespace no further one can be made.
#[test]
fn no_mode_at_all_is_one_error() {
    need!(machine::builder());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let target = world.target("root.tar");
    let inner = world.command(&[&target]);
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    let outcome = world.finish(&mut command).expect(1).says(&[
        "error: cannot get the rights a build needs: ",
        "(user.max_user_namespaces = 0)",
        "hint: as root: sysctl -w user.max_user_namespaces=15000",
    ]);
    assert_eq!(outcome.stderr.matches("error: ").count(), 1, "{}", outcome.stderr);
    base::assert_nothing_left(&world, &[]);
}
