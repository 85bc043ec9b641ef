//! `rootstrap enter`: a program in a root, with the host's resolver, whose traces end with it.

use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::{self, User};
use rootstrap_tests::need;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

/// A world with a directory, an archive and an image of one root.
fn world() -> Result<World, String> {
    machine::root()?;
    let world = World::new(&base::archive(Layout::Merged, [])?);
    for name in ["root", "x.tar", "x.oci.tar"] {
        let target = world.target(name);
        world.run(&[&target, "--hostname=inside"]).expect(0);
    }
    Ok(world)
}

fn enter(world: &World, words: &[&str], user: Option<&User>) -> Outcome {
    let words = [&["enter"], words].concat();
    let mut command = match user {
        Some(user) => world.bare_as(user, &words),
        None => world.bare(&words),
    };
    world.finish(&mut command)
}

fn said(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).unwrap()
}

const LOOK: &str = "echo $HOME $(pwd) $(id -u) $(cat /proc/sys/kernel/hostname); [ -c /dev/null ] && [ -e /proc/self ]; \
                    cat /etc/resolv.conf; echo x > /made";

#[test]
fn a_program_in_every_form_of_a_root() {
    let world = need!(world());
    let user = need!(machine::user());
    let resolver = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    for (name, mode, user) in [
        ("root", "root", None),
        ("x.tar", "root", None),
        ("x.oci.tar", "root", None),
        ("x.oci.tar", "unshare", None),
        ("x.tar", "unshare", Some(&user)),
        ("x.oci.tar", "single", Some(&user)),
    ] {
        let target = world.target(name);
        let mode = format!("--mode={mode}");
        let outcome = enter(&world, &[&mode, "-q", &target, "sh", "-c", LOOK], user).expect(0);
        assert_eq!(said(&outcome), format!("/root /root 0 inside\n{resolver}"), "{name} {mode} {user:?}");
    }
    assert!(world.path("out/root/made").exists(), "a directory is changed");
    let other = enter(&world, &[&world.target("x.tar"), "ls", "/"], None).expect(0);
    assert!(!said(&other).contains("made"), "an archive is not");
    assert!(!world.path("out/root/etc/resolv.conf").exists());
    assert_eq!(machine::mounts("rootstrap-unfinished"), [""; 0]);
    fs::remove_file(world.path("out/root/made")).unwrap();
}

/// Whatever the root has at the place of resolv.conf, programs find the host's, and the root has what it had.
#[test]
fn the_resolver_of_the_host_leaves_no_trace() {
    let world = need!(world());
    let root = world.path("out/root");
    let place = root.join("etc/resolv.conf");
    let resolver = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let sees = || said(&enter(&world, &["-q", root.to_str().unwrap(), "cat", "/etc/resolv.conf"], None).expect(0));
    fs::write(&place, "own\n").unwrap();
    let before = fs::metadata(&place).unwrap();
    assert_eq!(sees(), resolver);
    let after = fs::metadata(&place).unwrap();
    assert_eq!(
        (fs::read_to_string(&place).unwrap(), after.ino(), after.mtime()),
        ("own\n".into(), before.ino(), before.mtime())
    );
    fs::remove_file(&place).unwrap();
    symlink("../run/systemd/resolve/stub-resolv.conf", &place).unwrap();
    assert_eq!(sees(), resolver);
    assert_eq!(fs::read_link(&place).unwrap(), Path::new("../run/systemd/resolve/stub-resolv.conf"));
    assert!(!root.join("run/systemd").exists());
    // A link that would lead out of the root leads nowhere.
    fs::remove_file(&place).unwrap();
    symlink("/../../../../../../../../etc/hostname", &place).unwrap();
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    sees();
    assert_eq!(fs::read_to_string("/etc/hostname").unwrap_or_default(), host);
    assert_eq!(fs::read_to_string(root.join("etc/hostname")).unwrap(), "inside\n");
}

#[test]
fn the_status_is_that_of_the_program() {
    let world = need!(world());
    let root = world.target("root");
    enter(&world, &[&root, "sh", "-c", "exit 7"], None).expect(7);
    // Each of these runs once, whatever its status is.
    for code in [253, 254] {
        let script = format!("echo x >> /times; exit {code}");
        enter(&world, &[&root, "sh", "-c", &script], None).expect(code);
    }
    assert_eq!(fs::read_to_string(world.path("out/root/times")).unwrap(), "x\nx\n");
    // No program gets the right to mount (CAP_SYS_ADMIN is bit 21).
    let script = "set -- $(grep CapEff /proc/self/status); test $((0x$2 >> 21 & 1)) = 0";
    enter(&world, &[&root, "sh", "-c", script], None).expect(0);
    enter(&world, &[&root, "sh", "-c", "kill -9 $$"], None).expect(137);
    enter(&world, &[&root, "/none"], None).expect(127).says(&["error: cannot start /none: No such file"]);
    // What a program leaves running ends with it.
    enter(&world, &[&root, "sh", "-c", "sleep 61 & exit 0"], None).expect(0);
    assert_eq!(machine::processes("sleep 61"), [""; 0]);
    for (path, code, message) in [
        ("none", 1, "cannot open none"),
        ("/", 2, "cannot enter /: it is the root of this machine"),
        ("key.pgp", 1, "cannot unpack the archive"),
        ("tmp", 2, "it has no shell"),
    ] {
        enter(&world, &[path], None).expect(code).says(&[message]);
    }
}
