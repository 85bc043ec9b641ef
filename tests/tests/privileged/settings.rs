//! Settings of the finished system: what they make, the same bytes in every mode, and those that a root cannot have.

use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::{self, User};
use rootstrap_tests::need;
use rootstrap_tests::world::World;
use std::fs;
use std::path::Path;

/// Makes a user as useradd(8) does, and says with which options.
const USERADD: &str = "#!/bin/sh\nset -e\nfor name; do :; done\necho \"$*\" >> /var/log/useradd\n\
                       echo \"$name:x:1000:1000::/home/$name:/bin/sh\" >> /etc/passwd\nmkdir -p /home/$name\nchown 1000:1000 /home/$name\n";

/// Has programs that stand for those of Debian, and a package that asks debconf.
fn world() -> Result<World, String> {
    machine::root()?;
    let system = Deb::new("system", "1")
        .field("Priority", "required")
        .file("/usr/share/zoneinfo/Europe/Berlin", 0o644, "TZif")
        .file("/usr/share/doc/system/manual", 0o644, "long\n")
        .file_owned("/etc/shadow", 0o640, ("root", 0), ("shadow", 42), "root:*:20000:0:99999:7:::\nroot2:*:1::::::\n")
        .file("/usr/sbin/useradd", 0o755, USERADD)
        .file("/usr/bin/debconf-set-selections", 0o755, "#!/bin/sh\ncat \"$1\" > /var/lib/answers\n");
    let asking = Deb::new("asking", "1")
        .field("Priority", "optional")
        .file("/usr/share/doc/asking/manual", 0o644, "long\n")
        .script("preinst", "#!/bin/sh\ngrep -q 'a b select c' /var/lib/answers\n");
    let world = World::new(&base::archive(Layout::Merged, [system, asking])?);
    fs::write(world.path("resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
    fs::write(world.path("seed"), "a b select c\n").unwrap();
    fs::write(world.path("dpkg.cfg"), "path-exclude=/usr/share/doc/*\n\npath-include=/usr/share/doc/asking/*\n")
        .unwrap();
    Ok(world)
}

const SETTINGS: [&str; 11] = [
    "--resolv-conf=resolv.conf",
    "--include=asking",
    "--hostname=ci-1.example",
    "--timezone=Europe/Berlin",
    "--locale=C.UTF-8",
    "--root-password-hash=$6$salt$hash",
    "--add-user=ci:1000:/bin/sh",
    "--debconf=seed",
    "--apt-option=APT::Install-Recommends \"false\"",
    "--apt-option=Acquire { Retries 3; };",
    "--dpkg-option=dpkg.cfg",
];

#[test]
fn what_settings_make() {
    let world = need!(world());
    let target = world.target("root");
    world
        .run(
            &[&[target.as_str(), "--hook=@customize=cat /etc/hostname /var/log/useradd > /seen"], &SETTINGS[..]]
                .concat(),
        )
        .expect(0);
    let root = Path::new(&target);
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(read("etc/hostname"), "ci-1.example\n");
    assert_eq!(fs::read_link(root.join("etc/localtime")).unwrap(), Path::new("/usr/share/zoneinfo/Europe/Berlin"));
    assert_eq!(read("etc/default/locale"), "LANG=C.UTF-8\n");
    assert_eq!(read("etc/resolv.conf"), "nameserver 192.0.2.1\n");
    assert_eq!(read("etc/shadow"), "root:$6$salt$hash:20000:0:99999:7:::\nroot2:*:1::::::\n");
    assert!(read("etc/passwd").ends_with("ci:x:1000:1000::/home/ci:/bin/sh\n"));
    assert_eq!(read("etc/apt/apt.conf.d/99rootstrap"), "APT::Install-Recommends \"false\";\nAcquire { Retries 3; };\n");
    let options = "path-exclude=/usr/share/doc/*\n\npath-include=/usr/share/doc/asking/*\n";
    assert_eq!(read("etc/dpkg/dpkg.cfg.d/rootstrap"), options);
    assert!(root.join("usr/share/doc/asking/manual").exists() && !root.join("usr/share/doc/system/manual").exists());
    assert!(!root.join("var/lib/dpkg/rootstrap.debconf").exists());
    // Hooks find the settings, and can change them.
    let useradd = "--create-home --user-group --shell /bin/sh --uid 1000 ci\n";
    assert_eq!(read("seen"), format!("ci-1.example\n{useradd}"));
    base::assert_nothing_left(&world, &["root"]);
}

#[test]
fn the_bytes_are_the_same_in_every_mode() {
    let world = need!(world());
    let user = need!(machine::user());
    let build = |mode: &str, user: Option<&User>| {
        let target = world.target("x.tar");
        let mode = format!("--mode={mode}");
        let words = [&[target.as_str(), &mode], &SETTINGS[..]].concat();
        match user {
            Some(user) => world.finish(&mut world.command_as(user, &words)).expect(0),
            None => world.finish(world.command(&words).arg("--no-cache")).expect(0),
        };
        let bytes = fs::read(&target).unwrap();
        fs::remove_file(&target).unwrap();
        bytes
    };
    let root = build("root", None);
    for (mode, user) in [("unshare", None), ("chroot", None), ("unshare", Some(&user)), ("single", Some(&user))] {
        assert!(build(mode, user) == root, "{mode}, user: {user:?}");
    }
}

/// A finished archive is taken from the cache only for the same settings.
#[test]
fn settings_belong_to_the_key_of_a_result() {
    let world = need!(world());
    let target = world.target("x.tar");
    let build = |setting: &str| {
        let _ = fs::remove_file(&target);
        let outcome = world.run_again(&[&target, "-v", setting]).expect(0);
        (outcome.stderr.contains("nothing has changed"), fs::read(&target).unwrap())
    };
    let first = build("--hostname=a");
    assert!(!first.0);
    assert!(build("--hostname=a") == (true, first.1.clone()));
    let other = build("--hostname=b");
    assert!(!other.0 && other.1 != first.1);
    assert!(!build("--lock-root").0 && build("--lock-root").0);
}

#[test]
fn settings_that_a_root_cannot_have() {
    let world = need!(world());
    let target = world.target("root");
    for (options, parts) in [
        (&["--hostname=a_b"][..], &["cannot use --hostname: \"a_b\" is no name of a host"][..]),
        (
            &["--timezone=Mars/Base"],
            &["cannot use --timezone: the root has no time zone Mars/Base", "hint: name it as in"],
        ),
        (&["--timezone=Europe"], &["the root has no time zone Europe"]),
        (&["--locale=de_DE.UTF-8"], &["no program that makes locales", "hint: add --include=locales"]),
        (&["--root-password-hash=secret"], &["cannot use --root-password-hash: it is no hash of a password"]),
        (&["--add-user=root"], &["the root has a user root already"]),
        (&["--add-user=Root"], &["is no name of a user"]),
        (&["--add-user=a", "--add-user=a"], &["a is named twice"]),
        (&["--debconf=absent"], &["cannot use the file absent"]),
        (
            &["--add-user=a", "--variant=extract", "--include=asking"],
            &["no program of the root runs with --variant=extract"],
        ),
        (&["--timezone=UTC", "--foreign"], &["cannot use --timezone: a first stage is not finished"]),
    ] {
        let outcome = world.run(&[&[target.as_str()], options].concat()).expect(2).says(parts);
        assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
        base::assert_nothing_left(&world, &[]);
    }
}
