//! In debootstrap's place: its messages, its files, and targets that are not empty.

use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need, program};
use std::fs;
use std::path::Path;
use std::process::Command;

fn world() -> Result<World, String> {
    machine::root()?;
    Ok(World::new(&base::archive(Layout::Merged, [])?))
}

/// Runs the program by the name `debootstrap`.
fn debootstrap(world: &World, options: &[&str], mirror: bool) -> Outcome {
    let link = world.path("debootstrap");
    if !link.exists() {
        std::os::unix::fs::symlink(program::path(), &link).unwrap();
    }
    let mut command = Command::new(&link);
    let keyring = format!("--keyring={}", world.path("key.pgp").display());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TMPDIR", world.path("tmp"));
    command.env("no_proxy", "127.0.0.1").env("ROOTSTRAP_CACHE_DIR", world.path("cache"));
    command.args(mirror.then_some(keyring)).args(options).args(mirror.then(|| world.server.url()));
    world.finish(&mut command)
}

fn stdout(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).unwrap()
}

#[test]
fn what_is_in_the_target_stays() {
    let world = need!(world());
    let target = world.target("a/b/root");
    let root = Path::new(&target);
    fs::create_dir_all(root.join("etc/own")).unwrap();
    fs::write(root.join("etc/own/file"), "own").unwrap();
    fs::write(root.join("etc/hostname"), "chosen\n").unwrap();
    let outcome = debootstrap(&world, &["--variant=minbase", base::SUITE, &target], true).expect(0);
    let text = stdout(&outcome);
    let steps = [
        "I: Retrieving InRelease\n",
        "I: Checking Release signature\n",
        "I: Resolving dependencies of required packages...\n",
        "I: Extracting dpkg...\n",
        "I: Configuring required packages...\n",
        "I: Configuring dpkg...\n",
        "I: Base system installed successfully.\n",
    ];
    let places: Vec<usize> =
        steps.iter().map(|step| text.find(step).unwrap_or_else(|| panic!("{step}{text}"))).collect();
    assert!(places.is_sorted() && text.ends_with(steps[steps.len() - 1]), "{text}");
    assert!(outcome.stderr.is_empty(), "{}", outcome.stderr);
    base::assert_consistent(root);
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!((read("etc/own/file").as_str(), read("etc/hostname").as_str()), ("own", "chosen\n"));
    assert_eq!(read("etc/resolv.conf"), fs::read_to_string("/etc/resolv.conf").unwrap());
    assert!(read("var/log/bootstrap.log").contains("I: Configuring dpkg...\n"));
    assert!(!root.join("debootstrap").exists());
    // A second run into the same directory is one into a directory that is not empty.
    debootstrap(&world, &["--variant=minbase", "--keep-debootstrap-dir", base::SUITE, &target], true).expect(0);
    assert!(root.join("debootstrap/debootstrap.log").exists() && root.join("etc/own/file").exists());
    assert_eq!(world.names("out/a/b"), ["root"]);
}

#[test]
fn a_failure_leaves_the_log_and_nothing_else() {
    let world = need!(world());
    let target = world.target("root");
    let line = ["--variant=minbase", "--include=no-such-package", base::SUITE, &target];
    let outcome = debootstrap(&world, &line, true).expect(1);
    assert!(stdout(&outcome).contains("E: ") && stdout(&outcome).contains("no-such-package"), "{}", stdout(&outcome));
    let log = fs::read_to_string(Path::new(&target).join("debootstrap/debootstrap.log")).unwrap();
    assert!(log.contains("no-such-package"), "{log}");
    assert_eq!(world.names("out/root"), ["debootstrap"]);
    // The next try finds a directory that is not empty, and takes the log away.
    debootstrap(&world, &["--variant=minbase", base::SUITE, &target], true).expect(0);
    assert!(!Path::new(&target).join("debootstrap").exists());
}

#[test]
fn a_directory_in_the_place_of_a_link_is_refused() {
    let world = need!(world());
    let target = world.target("root");
    fs::create_dir_all(Path::new(&target).join("bin/own")).unwrap();
    let outcome = debootstrap(&world, &["--variant=minbase", base::SUITE, &target], true).expect(1);
    assert!(stdout(&outcome).contains("it is there as a directory"), "{}", stdout(&outcome));
    assert_eq!(world.names("out/root"), ["bin", "debootstrap"]);
}

#[test]
fn two_stages_by_debootstraps_names() {
    let world = need!(world());
    let (one, two) = (world.target("one"), world.target("two"));
    for target in [&one, &two] {
        debootstrap(&world, &["--foreign", "--variant=minbase", base::SUITE, target], true).expect(0);
        let program = Path::new(target).join("debootstrap/debootstrap");
        assert!(fs::read_to_string(program).unwrap().starts_with("#!/bin/sh\n"));
        assert!(Path::new(target).join("etc/hostname").exists());
    }
    let words = ["/bin/sh", "/debootstrap/debootstrap", "--second-stage", "--components=main"];
    let text = base::prints(Path::new(&one), &words);
    assert!(
        text.contains("I: --components=main decides nothing")
            && text.ends_with("I: Base system installed successfully.\n"),
        "{text}"
    );
    let second = format!("--second-stage-target={two}");
    debootstrap(&world, &["--second-stage", &second, "--keep-debootstrap-dir"], false).expect(0);
    for (target, is_kept) in [(&one, false), (&two, true)] {
        base::assert_consistent(Path::new(target));
        let at = |name: &str| Path::new(target).join(name).exists();
        assert_eq!((at("debootstrap"), at("debootstrap/debootstrap"), at("rootstrap")), (is_kept, false, false));
    }
}

#[test]
fn an_archive_of_packages_takes_the_place_of_the_mirror() {
    let world = need!(world());
    let (tarball, target) = (world.target("debs.tgz"), world.target("root"));
    debootstrap(&world, &["--variant=minbase", &format!("--make-tarball={tarball}"), base::SUITE, &target], true)
        .expect(0);
    assert_eq!(world.names("out"), ["debs.tgz"]);
    let requests = world.server.requests().len();
    fs::remove_dir_all(world.path("cache")).unwrap();
    debootstrap(&world, &["--variant=minbase", &format!("--unpack-tarball={tarball}"), base::SUITE, &target], true)
        .expect(0);
    assert_eq!(world.server.requests().len(), requests, "the mirror was asked");
    base::assert_consistent(Path::new(&target));
    // Signatures are not looked at either time.
    let unsigned = [
        "--no-check-gpg",
        "--variant=minbase",
        &format!("--make-tarball={tarball}"),
        base::SUITE,
        &world.target("none"),
    ];
    debootstrap(&world, &unsigned, true).expect(0);
    let unsigned = [
        "--no-check-gpg",
        "--variant=minbase",
        &format!("--unpack-tarball={tarball}"),
        base::SUITE,
        &world.target("two"),
    ];
    debootstrap(&world, &unsigned, true).expect(0);
    base::assert_consistent(&world.path("out/two"));
    let other = world.target("other.tgz");
    fs::write(&other, fs::read("/proc/self/exe").unwrap()).unwrap();
    let outcome = debootstrap(&world, &[&format!("--unpack-tarball={other}"), base::SUITE, &target], true).expect(1);
    assert!(stdout(&outcome).contains("E: cannot use the file"), "{}", stdout(&outcome));
}

/// Programs that call debootstrap mount filesystems in the target before, and add sources of their own after.
#[test]
fn mounts_below_the_target_are_filled_or_left_alone() {
    let world = need!(world());
    let target = world.target("root");
    let root = Path::new(&target);
    for place in ["run", "var/lib/dpkg/info", "tmp", "dev/shm"] {
        fs::create_dir_all(root.join(place)).unwrap();
    }
    fs::write(root.join("dev/null"), "").unwrap();
    let with_mounts = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script, &target, &target]).arg(program::path()).arg("debootstrap");
        command.arg(format!("--keyring={}", world.path("key.pgp").display()));
        command.args(["--variant=minbase", base::SUITE, &target, &world.server.url()]);
        command
            .env("TMPDIR", world.path("tmp"))
            .env("no_proxy", "127.0.0.1")
            .env("ROOTSTRAP_CACHE_DIR", world.path("cache"));
        world.finish(&mut command)
    };
    // What cannot be written is found out before anything changes.
    let outcome = with_mounts("mount -t tmpfs -o ro none \"$1/var/lib/dpkg/info\"; shift; \"$@\"").expect(1);
    assert!(stdout(&outcome).contains("its filesystem is mounted read-only"), "{}", stdout(&outcome));
    assert!(!root.join("etc").exists());
    let outcome = with_mounts(
        "for place in run var/lib/dpkg/info tmp; do mount -t tmpfs -o mode=0700 none \"$1/$place\"; done; \
         mount --bind /dev/null \"$1/dev/null\"; mount -t tmpfs -o mode=1770 none \"$1/dev/shm\"; shift; \"$@\" && ls \"$0/var/lib/dpkg/info\" && ls -A \"$0/run\" && \
         stat -c 'mode %a' \"$0/tmp\" && stat -c 'shm %a' \"$0/dev/shm\" && test -c \"$0/dev/null\"",
    )
    .expect(0);
    // What the kernel's directories have is the host's.
    assert!(stdout(&outcome).contains("mode 1777\nshm 1770\n"), "{}", stdout(&outcome));
    assert!(stdout(&outcome).contains("\ndpkg.list\n"), "{}", stdout(&outcome));
    assert!(!stdout(&outcome).contains("rootstrap-unfinished"), "{}", stdout(&outcome));
    assert!(!root.join("var/lib/dpkg/info/dpkg.list").exists() && root.join("var/lib/dpkg/status").exists());
}

/// A program that did not refuse it could write nothing here: everything is read-only but the directory for staging.
#[test]
fn the_system_that_runs_is_no_target() {
    let world = need!(world());
    let script = "mount -t tmpfs none \"$0\"; mount -o remount,bind,ro /; exec \"$@\"";
    let (keyring, url) = (format!("--keyring={}", world.path("key.pgp").display()), world.server.url());
    let run = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script]).arg(world.path("tmp")).arg(program::path()).args(words);
        world.finish(command.env("TMPDIR", world.path("tmp")).env("no_proxy", "127.0.0.1"))
    };
    for (words, code) in [
        (&[base::SUITE, "/", &url, &keyring, "--non-empty", "--no-cache"][..], 2),
        (&["debootstrap", "--variant=minbase", &keyring, base::SUITE, "/usr/..", &url], 1),
    ] {
        let outcome = run(words).expect(code);
        let said = stdout(&outcome) + &outcome.stderr;
        assert!(said.contains("as the target: it is the system that runs"), "{said}");
    }
}
