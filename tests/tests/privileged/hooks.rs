//! The user's own commands: their moments, what they see and change, the same bytes in every mode, and how they fail.

use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::{self, User};
use rootstrap_tests::need;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{World, names};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

fn world() -> Result<World, String> {
    machine::root()?;
    let archive = base::archive(Layout::Merged, [crate::probe()])?;
    Ok(World::new(&archive))
}

/// Builds a directory with these hooks.
fn build(world: &World, name: &str, hooks: &[&str]) -> Outcome {
    let target = world.target(name);
    let hooks: Vec<String> = hooks.iter().map(|hook| format!("--hook={hook}")).collect();
    let words = [target.as_str(), "--include=probe"].into_iter().chain(hooks.iter().map(String::as_str));
    world.run(&words.collect::<Vec<_>>())
}

fn read(world: &World, path: &str) -> String {
    fs::read_to_string(world.path("out").join(path)).unwrap()
}

/// What is there at each moment: nothing; the unpacked first phase, whose scripts have not run; the first phase; everything, and apt's
/// sources.
#[test]
fn hooks_run_at_their_moments() {
    let world = need!(world());
    let state = |name: &str| {
        format!(
            "{name}=cd \"$1\"; for f in bin/sh var/lib/dpkg/status var/lib/probe.log etc/apt/sources.list.d/rootstrap.sources; do \
             [ ! -e $f ] || echo \"{name} $f\" >> \"$1/log\"; done; grep -c '^Status: install ok installed' var/lib/dpkg/status \
             >> log || true"
        )
    };
    let hooks = ["setup", "extract", "essential", "customize"].map(state);
    let hooks: Vec<&str> = hooks.iter().map(String::as_str).collect();
    build(&world, "root", &hooks).expect(0);
    let log = read(&world, "root/log");
    let lines: Vec<&str> = log.lines().collect();
    let counts: Vec<i32> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    assert!(counts.len() == 3 && counts[0] == 0 && counts[1] > 3 && counts[2] > counts[1], "{log}");
    let seen: Vec<&str> = lines.into_iter().filter(|line| line.contains(' ')).collect();
    let both = |name: &str| ["bin/sh", "var/lib/dpkg/status"].map(|file| format!("{name} {file}"));
    let late = ["customize var/lib/probe.log", "customize etc/apt/sources.list.d/rootstrap.sources"].map(str::to_owned);
    let expected = [both("extract"), both("essential"), both("customize"), late].concat();
    assert_eq!(seen, expected);
}

/// Hooks of the host have the user's files and working directory, and the root's programs find devices and /proc. Those inside are
/// programs of the root, as scripts of packages are.
#[test]
fn hooks_see_the_host_or_the_root() {
    let world = need!(world());
    fs::write(world.path("mine"), "of the host\n").unwrap();
    build(
        &world,
        "root",
        &[
            "essential=cat mine > \"$1/from-host\"; chroot \"$1\" /bin/sh -c 'echo x >/dev/null && cat /proc/1/comm' >> \"$1/from-host\"",
            "customize=echo $ROOTSTRAP_HOOK $ROOTSTRAP_SUITE $MMDEBSTRAP_MODE $SOURCE_DATE_EPOCH > \"$1/variables\"",
            "@customize=pwd > /inside; [ -e /proc/self ] && [ ! -e /usr/sbin/policy-rc.d ] || /usr/sbin/policy-rc.d || echo $? >> /inside",
        ],
    )
    .expect(0);
    let from_host = read(&world, "root/from-host");
    assert!(from_host.starts_with("of the host\n") && from_host.lines().count() == 2, "{from_host}");
    assert_eq!(read(&world, "root/variables"), "customize fixture root 1735689600\n");
    assert_eq!(read(&world, "root/inside"), "/\n101\n", "services stay forbidden while hooks run");
    assert!(!world.path("out/root/usr/sbin/policy-rc.d").exists());
    assert_eq!(machine::mounts("rootstrap-unfinished"), [""; 0]);
    base::assert_nothing_left(&world, &["root"]);
}

/// What a directory of hooks of mmdebstrap has: programs that are named after their moment, in the order of their names.
#[test]
fn hooks_of_a_directory() {
    let world = need!(world());
    let directory = world.path("it's hooks");
    fs::create_dir(&directory).unwrap();
    let hook = |name: &str, mode: u32| {
        let path = directory.join(name);
        fs::write(&path, format!("#!/bin/sh\necho {name} $MMDEBSTRAP_HOOK >> \"$1/order\"\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    for name in ["customize20", "customize01-first", "setup00", "essential.sh"] {
        hook(name, 0o755);
    }
    hook("README", 0o644);
    let option = format!("--hook-dir={}", directory.display());
    let target = world.target("root");
    world.run(&[&target, &option, "--hook=customize=echo last >> \"$1/order\""]).expect(0);
    let order = "setup00 setup\nessential.sh essential\ncustomize01-first customize\ncustomize20 customize\nlast\n";
    assert_eq!(read(&world, "root/order"), order);

    hook("extract", 0o644);
    let target = world.target("other");
    world.run(&[&target, &option]).expect(2).says(&["hooks/extract: it is not executable"]);
    let empty = world.path("empty");
    fs::create_dir(&empty).unwrap();
    let option = format!("--hook-dir={}", empty.display());
    world.run(&[&target, &option]).expect(2).says(&["it has no file whose name begins with that of a stage"]);
}

#[test]
fn the_bytes_are_the_same_in_every_mode() {
    let world = need!(world());
    let user = need!(machine::user());
    let build = |mode: &str, user: Option<&User>| {
        let target = world.target("x.tar");
        let mode = format!("--mode={mode}");
        let words = [
            target.as_str(),
            &mode,
            "--hook=setup=mkdir -p \"$1/srv\"; echo setup > \"$1/srv/early\"; chmod 600 \"$1/srv/early\"",
            "--hook=@extract=[ ! -e /var/log/dpkg.log ] && echo extract > /srv/extract",
            "--hook=essential=install -d -m 4750 \"$1/srv/directory\"; ln -s x \"$1/srv/link\"",
            "--hook=@customize=echo inside > /srv/inside; chown 33:44 /srv/inside; chmod 2640 /srv/inside",
            "--hook=customize=chroot \"$1\" /bin/cat /srv/early > \"$1/srv/copy\"; rm \"$1/srv/early\"",
        ];
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

/// The special hooks of mmdebstrap, with the root's own tar.
#[test]
fn files_go_in_and_out() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [need!(base::tools(&["tar"]))])));
    let tree = world.path("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("sub/file"), "in\n").unwrap();
    let archive = world.path("in.tar");
    let status = std::process::Command::new("tar").arg("-C").arg(&tree).arg("-cf").arg(&archive).arg("sub").status();
    assert!(status.unwrap().success());
    fs::create_dir(world.path("copied")).unwrap();
    fs::create_dir(world.path("synced")).unwrap();
    let target = world.target("root");
    let hooks = [
        "--hook=customize=mkdir -p \"$1/a\" \"$1/b\" \"$1/c\"; ln -s /outside \"$1/link\"",
        "--hook=customize=copy-in tree/sub /a",
        "--hook=customize=sync-in tree /b",
        "--hook=customize=tar-in in.tar /c",
        "--hook=customize=upload tree/sub/file /d",
        "--hook=customize=download /d out.file",
        "--hook=customize=copy-out /a/sub /d copied",
        "--hook=customize=sync-out /b synced",
        "--hook=customize=tar-out /c out.tar",
    ];
    world.run(&[&[target.as_str(), "--include=tools"], &hooks[..]].concat()).expect(0);
    for path in ["out/root/a/sub/file", "out/root/b/sub/file", "out/root/c/sub/file", "out/root/d", "out.file"] {
        assert_eq!(fs::read_to_string(world.path(path)).unwrap(), "in\n", "{path}");
    }
    for path in ["copied/sub/file", "copied/d", "synced/sub/file"] {
        assert_eq!(fs::read_to_string(world.path(path)).unwrap(), "in\n", "{path}");
    }
    assert!(fs::metadata(world.path("out.tar")).unwrap().len() > 512);
    // What leads out of the root does not lead there.
    let target = world.target("other");
    let hooks = [
        "--hook=customize=ln -s ../../../../../../../../../../tmp \"$1/up\"",
        "--hook=customize=upload in.tar /up/stolen",
    ];
    world.run(&[&[target.as_str(), "--include=tools"], &hooks[..]].concat()).expect(0);
    assert!(!Path::new("/tmp/stolen").exists());
    world.run(&[&target, "--hook=customize=upload x"]).expect(2).says(&["upload needs two paths"]);
}

/// Whatever a hook does, the run ends with one message, and nothing is there that was not there before.
#[test]
fn hooks_that_fail() {
    let world = need!(world());
    let cases: [(&str, i32, &[&str]); 8] = [
        (
            "customize=echo one; echo two >&2; exit 3",
            1,
            &["cannot run the customize hook `echo one;", "exit status 3", "    | one\n    | two\n"],
        ),
        (
            "@customize=echo in; exit 4",
            1,
            &["cannot run the customize hook `echo in; exit 4`: exit status 4\n    | in\n"],
        ),
        ("setup=kill -9 $$", 1, &["cannot run the setup hook `kill -9 $$`: exit status 137"]),
        ("customize=no-such-program", 1, &["exit status 127", "no-such-program: not found"]),
        ("customize=./none.sh x", 2, &["cannot use the hook ./none.sh: No such file"]),
        ("customize=./key.pgp", 2, &["cannot use the hook ./key.pgp: it is not executable"]),
        ("@setup=true", 2, &["cannot use --hook=@setup: the root has no shell yet", "hint: leave the @ out"]),
        (
            "customize=sleep 60 & sleep 60",
            1,
            &["cannot wait for the customize hook `sleep 60 & sleep 60` any longer: it has run for TIME"],
        ),
    ];
    for (hook, code, parts) in cases {
        let target = world.target("root");
        world.run(&[&target, "--script-timeout=2", &format!("--hook={hook}")]).expect(code).says(parts);
        base::assert_nothing_left(&world, &[]);
    }
    assert_eq!(machine::processes("sleep 60"), [""; 0]);
    let target = world.target("root");
    let inside = ["--variant=extract", "--include=probe", "--hook=@customize=true"];
    world.run(&[&[target.as_str()], &inside[..]].concat()).expect(2).says(&["no program of the root runs"]);
    world.run(&[&target, "--foreign", "--hook=customize=true"]).expect(2).says(&["a first stage is not finished"]);
}

/// A script of a package that hangs is named.
#[test]
fn a_script_that_takes_too_long_is_named() {
    need!(machine::root());
    let slow = rootstrap_testkit::deb::Deb::new("slow", "1")
        .field("Priority", "optional")
        .script("postinst", "#!/bin/sh\necho waiting\nsleep 60\n");
    let world = World::new(&need!(base::archive(Layout::Merged, [slow])));
    let target = world.target("root");
    world
        .run(&[&target, "--include=slow", "--script-timeout=2"])
        .expect(1)
        .says(&["cannot wait for the scripts of slow any longer: it has run for TIME", "    | waiting"]);
    base::assert_nothing_left(&world, &[]);
}

/// Nothing but a hook that may use the network reaches the machine's interfaces.
#[test]
fn only_some_hooks_have_the_network() {
    let world = need!(world());
    // The server of this test listens on the loopback interface of the machine.
    let port = world.server.url().rsplit(':').next().unwrap().to_owned();
    let look = format!("grep -ci ':{:04X} 00000000:0000 0A' /proc/self/net/tcp", port.parse::<u16>().unwrap());
    let hooks = [format!("customize={look} > \"$1/out\" || true"), format!("@customize={look} > /in || true")];
    let hooks = hooks.each_ref().map(String::as_str);
    build(&world, "root", &hooks).expect(0);
    assert_eq!((read(&world, "root/out"), read(&world, "root/in")), ("0\n".to_owned(), "0\n".to_owned()));
    let target = world.target("with");
    let options = hooks.map(|hook| format!("--hook={hook}"));
    world.run(&[&target, "--hook-network", &options[0], &options[1]]).expect(0);
    assert_eq!((read(&world, "with/out"), read(&world, "with/in")), ("1\n".to_owned(), "1\n".to_owned()));
    assert!(!world.path("out/with/etc/resolv.conf").exists(), "the host's resolver is there for the hooks alone");
    let target = world.target("own");
    world.run(&[&target, "--hook-network", "--hook=customize=echo own > \"$1/etc/resolv.conf\""]).expect(0);
    assert_eq!(read(&world, "own/etc/resolv.conf"), "own\n", "what a hook writes stays");
}

/// The first phase of an earlier run is not taken where a hook may change it, and is where it cannot.
#[test]
fn kept_first_phases_and_early_hooks() {
    let world = need!(world());
    let target = world.target("x.tar");
    world.run(&[&target]).expect(0);
    let plain = fs::read(&target).unwrap();
    for (hook, is_kept) in [("extract=echo a > \"$1/a\"", false), ("essential=echo a > \"$1/a\"", true)] {
        let _ = fs::remove_file(&target);
        let outcome = world.run_again(&[&target, "-v", &format!("--hook={hook}")]).expect(0);
        assert_eq!(outcome.stderr.contains("the first phase is taken from the cache"), is_kept, "{hook}");
        assert!(fs::read(&target).unwrap() != plain, "no finished archive of a run without hooks");
    }
}

#[test]
fn owners_and_modes_of_a_directory() {
    let world = need!(world());
    build(&world, "root", &["customize=touch \"$1/x\"; chown 5:6 \"$1/x\"; chmod 4711 \"$1/x\""]).expect(0);
    let found = fs::metadata(Path::new(&world.target("root")).join("x")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (5, 6, 0o4711));
    assert_eq!(names(&world.path("out")), ["root"]);
}
