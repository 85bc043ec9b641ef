//! Where the root grows. In memory and on disk the result is the same, on filesystems of all kinds and below paths of any bytes.
//! Other tests check what is left when everything is killed.

use crate::ends::{block, within};
use crate::{probe, shouting, watcher};
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::tree;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::{self, User};
use rootstrap_tests::need;
use rootstrap_tests::world::{World, names};
use rustix::process::{Signal, kill_process};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PLACES: [&str; 2] = ["--staging=memory", "--staging=disk"];

/// Returns a package whose script makes what no package can ship: a capability, a fifo, an odd name, an empty closed directory.
fn leaver() -> Deb {
    let postinst = "#!/bin/sh\nset -e\nmkdir -p /srv/left\ncd /srv/left\nmkfifo -m 622 fifo\necho x >'a  b\\c'\n\
                    mkdir -m 2570 closed\nln fifo 'fifo too'\nln -s 'a  b\\c' link\ntouch -h -d @1000000000 link\n";
    Deb::new("leaver", "1").script("postinst", postinst)
}

#[test]
fn the_same_tree_from_memory_and_from_disk() {
    need!(machine::root());
    same_tree(None);
}

#[test]
fn the_same_tree_from_memory_and_from_disk_for_a_user() {
    let user = need!(machine::user());
    same_tree(Some(&user));
}

fn same_tree(user: Option<&User>) {
    let world = World::new(&need!(base::archive(Layout::Merged, [probe(), watcher(), leaver(), shouting()])));
    let dumps = PLACES.map(|place| {
        let target = world.target(place);
        let arguments = [target.as_str(), place, "--include=probe,watcher,leaver"];
        match user {
            Some(user) => world.finish(&mut world.command_as(user, &arguments)).expect(0),
            None => world.run(&arguments).expect(0),
        };
        let text = tree::dump_with(Path::new(&target), tree::Options { owner: true, mtime: true });
        assert!(text.contains("/srv/left/closed"), "{text}");
        text
    });
    for (memory, disk) in dumps[0].lines().zip(dumps[1].lines()) {
        assert_eq!(memory, disk);
    }
    assert_eq!(dumps[0], dumps[1]);
    base::assert_nothing_left(&world, &["--staging=disk", "--staging=memory"]);
}

/// Returns a path below `base` whose name has every byte that is allowed and that careless programs fail on.
fn odd(world: &World) -> PathBuf {
    let place = world.path("out").join(OsStr::from_bytes(b"a  b'\"\\\n$(x)\xff\xfe:,=*%s"));
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    place
}

#[test]
fn paths_of_any_bytes() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let place = odd(&world);
    let (cache, temporary) = (place.join("cache\n"), place.join("tmp\n"));
    fs::create_dir(&temporary).unwrap();
    let end = OsStr::from_bytes(b"\xf0 '\n\"");
    for staging in PLACES {
        let run = |target: &Path| {
            let mut command = world.command(&[staging]);
            command.arg(target).env("TMPDIR", &temporary);
            command
        };
        let mut directory = place.join("root");
        directory.as_mut_os_string().push(end);
        world.finish(run(&directory).arg("--cache-dir").arg(&cache)).expect(0);
        base::assert_consistent(&directory);
        fs::remove_dir_all(&directory).unwrap();
        let mut archive = directory.clone();
        archive.as_mut_os_string().push(".tar");
        world.finish(run(&archive).arg("--no-cache")).expect(0);
        assert!(fs::metadata(&archive).unwrap().len() > 1 << 20);
        fs::remove_file(&archive).unwrap();
        assert_eq!(names(&place), ["cache\n", "tmp\n"]);
        assert_eq!(names(&temporary), [""; 0]);
    }
    // The longest name that is allowed leaves no room for a longer name beside it.
    let long = place.join("x".repeat(255));
    world.finish(world.command(&["--staging=disk"]).arg(&long).arg("--cache-dir").arg(&cache)).expect(0);
    assert!(long.join("etc").is_dir());
}

/// Runs with a tmpfs of these options mounted on `out`, and prints what is left in it.
fn mounted(world: &World, options: &str, arguments: &[&str]) -> Command {
    let script = format!("mount -t tmpfs -o {options} none out || exit 99; \"$@\"; code=$?; ls -A out; exit $code");
    within(world, &script, arguments)
}

#[test]
fn filesystems_that_forbid() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [probe()])));
    let target = world.target("root");
    // A tree in memory needs nothing of the target but space.
    let forbidding = "mode=0755,noexec,nodev,nosuid";
    let script = format!(
        "mount -t tmpfs -o {forbidding} none out || exit 99; \"$@\" || exit; ls -A out; stat -c '%a %t,%T' \
         out/root/usr/bin/suid out/root/dev/null"
    );
    for staging in ["--staging=memory", "--staging=auto"] {
        let outcome = world.finish(&mut within(&world, &script, &[&target, staging, "--include=probe"])).expect(0);
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), "root\n4755 0,0\n666 1,3\n");
    }
    let refused = |options: &str, arguments: &[&str], said: &[&str]| {
        let before = world.server.requests().len();
        let outcome = world.finish(&mut mounted(&world, options, arguments)).expect(2).says(said);
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), "", "something is left");
        assert_eq!(world.server.requests().len(), before, "something was fetched");
    };
    let noexec = ["root as the target: its filesystem is mounted noexec", "hint: use --staging=memory"];
    refused("mode=0755,noexec", &[&target, "--staging=disk"], &noexec);
    refused("mode=0755,ro", &[&target], &["root as the target: its filesystem is mounted read-only"]);
    let archive = world.target("root.tar");
    refused("mode=0755,ro", &[&archive], &["root.tar as the target: its filesystem is mounted read-only"]);
    // For archives, the temporary directory has to be able to hold a root.
    let script = "mount -t tmpfs -o mode=0755,noexec none tmp || exit 99; \"$@\"";
    let outcome = world.finish(&mut within(&world, script, &[&archive, "--staging=disk"])).expect(2);
    outcome.says(&["error: cannot stage in DIR/tmp: its filesystem is mounted noexec", "hint: use --staging=memory"]);
    world.finish(&mut within(&world, script, &[&archive, "--staging=memory"])).expect(0);
    base::assert_nothing_left(&world, &["root.tar"]);
}

/// A user can create nothing in root's directory.
#[test]
fn a_place_that_is_not_the_users() {
    need!(machine::root());
    let user = need!(machine::user());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let closed = world.path("out/closed");
    fs::create_dir(&closed).unwrap();
    for target in ["root", "root.tar"] {
        let target = closed.join(target);
        let mut command = world.command_as(&user, &[target.to_str().unwrap()]);
        world.finish(&mut command).expect(2).says(&["permission denied", "hint: choose a place below"]);
    }
    assert_eq!(world.server.requests().len(), 0);
}

/// Waits until a run has copied files to the directory of its target, where they have no name.
fn wait_for_early_copies(run: &crate::ends::Blocked) {
    let (place, out) = (run.world.path(""), run.world.path("out"));
    let is_copy = |link: PathBuf| link.starts_with(&out) && link.as_os_str().as_bytes().ends_with(b" (deleted)");
    machine::wait_until("files are copied while a script runs", || {
        let runs = machine::processes(place.to_str().unwrap());
        let mut open =
            runs.iter().filter_map(|line| fs::read_dir(format!("/proc/{}/fd", line.split(' ').next()?)).ok());
        open.any(|open| open.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(is_copy)))
    });
}

/// Ends every process of a run at once, as the kernel does when memory is short, and waits until they are gone.
fn kill_all(run: &mut crate::ends::Blocked) {
    let place = run.world.path("");
    let place = place.to_str().unwrap().to_owned();
    // All processes are stopped first, so that none removes what another left.
    for signal in [Signal::STOP, Signal::KILL] {
        for line in machine::processes(&place).iter().chain(&machine::processes(&run.package)) {
            let number = line.split(' ').next().and_then(|number| number.parse().ok()).unwrap();
            let _ = kill_process(rustix::process::Pid::from_raw(number).unwrap(), signal);
        }
    }
    run.child.wait().unwrap();
    machine::wait_until("all processes end", || {
        machine::processes(&place).is_empty() && machine::processes(&run.package).is_empty()
    });
}

#[test]
fn sigkill_leaves_nothing_of_what_is_in_memory() {
    need!(machine::root());
    for target in ["root", "root.tar"] {
        let mut run = need!(block("kill-memory", target, &["--staging=memory"], None));
        if target == "root" {
            wait_for_early_copies(&run);
        }
        kill_all(&mut run);
        base::assert_nothing_left(&run.world, &[]);
    }
}

#[test]
fn sigkill_leaves_nothing_of_what_a_user_has_in_memory() {
    let user = need!(machine::user());
    let mut run = need!(block("kill-memory-user", "root", &["--staging=memory"], Some(&user)));
    wait_for_early_copies(&run);
    kill_all(&mut run);
    base::assert_nothing_left(&run.world, &[]);
}

#[test]
fn the_next_run_removes_what_a_killed_one_left() {
    need!(machine::root());
    for (target, place) in [("root", "out"), ("root.tar", "tmp")] {
        let mut dead = need!(block("kill-disk", target, &["--staging=disk"], None));
        kill_all(&mut dead);
        let world = &dead.world;
        // These belong to other users, or only look like ours.
        let left = world.names(place);
        assert_eq!(left.len(), 1, "{left:?}");
        fs::create_dir(world.path(place).join(".root.rootstrap-unfinished-1x")).unwrap();
        fs::create_dir(world.path(place).join(".root.rootstrap-unfinished-99")).unwrap();
        std::os::unix::fs::chown(world.path(place).join(".root.rootstrap-unfinished-99"), Some(1234), None).unwrap();
        world.run(&[&world.target("other"), "--variant=extract"]).expect(0);
        let mut expected = vec![".root.rootstrap-unfinished-1x", ".root.rootstrap-unfinished-99"];
        expected.extend((place == "out").then_some("other"));
        assert_eq!(world.names(place), expected);
    }
}

#[test]
fn the_next_run_leaves_a_living_one_alone() {
    need!(machine::root());
    let mut living = need!(block("alive", "root", &["--staging=disk"], None));
    let world = &living.world;
    let before = world.names("out");
    let inode = |name: &str| fs::metadata(world.path("out").join(name).join("root/usr/bin/dpkg")).unwrap().ino();
    let dpkg = inode(&before[0]);
    world.run(&[&world.target("other"), "--variant=extract", "--staging=disk"]).expect(0);
    assert_eq!(inode(&before[0]), dpkg);
    assert_eq!(world.names("out"), [&before[..], &["other".to_owned()]].concat());
    kill_process(machine::pid(&living.child), Signal::TERM).unwrap();
    machine::wait_until("the run ends", || living.child.try_wait().unwrap().is_some());
}

/// With O_TMPFILE, an archive has no name before it is complete. With or without, it replaces the old archive in one step.
#[test]
fn an_archive_replaces_the_old_one() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let target = world.target("root.tar");
    for old in [None, Some("old")] {
        if let Some(text) = old {
            fs::write(&target, text).unwrap();
        }
        world.run(&[&target]).expect(0);
        assert!(fs::metadata(&target).unwrap().len() > 1 << 20);
        base::assert_nothing_left(&world, &["root.tar"]);
    }
}
