//! Faults of the machine and of its other users: full disks, limits, signals, and files that are taken away or replaced during the run.

use crate::unharmed::{Before, files_below};
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::server::Fault;
use rootstrap_testkit::{HostileClass, hostile_case, hostile_extent, tree};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, need, program};
use rustix::process::{Signal, kill_process};
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub fn case(name: &str) {
    println!("case: {name}");
    hostile_case(HostileClass::Host, name);
}

/// A package of 3 MB that cannot be compressed much.
pub fn large() -> Deb {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    let noise: Vec<u8> = (0..3_000_000).map(|_| next()).collect();
    Deb::new("large", "1").field("Priority", "optional").file("/usr/share/large", 0o644, noise)
}

/// A world with one package and no scripts.
pub fn small_world() -> World {
    let world = World::new(&Archive::new(base::SUITE).key(&KEY).deb("main", large()));
    fs::create_dir(world.path("canary")).unwrap();
    fs::write(world.path("canary/file"), "canary\n").unwrap();
    world
}

const SMALL: [&str; 4] = ["--variant=extract", "--include=large", "--retries=2", "--timeout=1"];

pub fn small<'a>(target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[target], &SMALL[..], more].concat()
}

/// Removes the results of a run.
pub fn clear(world: &World) {
    for name in world.names("out") {
        let path = world.path("out").join(name);
        fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
    }
}

/// Makes an honest run with the cache as it is, and removes its result.
#[track_caller]
pub fn honest(world: &World) {
    let target = world.target("honest");
    world.run_again(&small(&target, &[])).expect(0);
    assert!(world.path("out/honest/usr/share/large").exists());
    fs::remove_dir_all(target).unwrap();
}

/// Checks what is left of a failed run, whatever became of the cache, and makes an honest run.
#[track_caller]
fn nothing_left(world: &World, before: &Before) {
    before.check_around(world, &[]);
    honest(world);
}

/// Starts a run that waits for the package. It goes on by itself after a second.
fn start_waiting(world: &World, arguments: &[&str]) -> Child {
    let package = world_package();
    for layer in ["sha256", "payload", "archive"] {
        let _ = fs::remove_dir_all(world.path("cache/v1").join(layer));
    }
    world.server.forget();
    world.server.fault(&package, Fault::Stall, 1);
    let mut command = world.command(arguments);
    command.arg("--cache-dir").arg(world.path("cache"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    machine::wait_until("the package is asked for", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before that");
        world.server.requests().iter().any(|request| request.path == package)
    });
    child
}

fn world_package() -> String {
    rootstrap_testkit::archive::pool_path("main", &large())
}

fn end(world: &World, child: Child) -> Outcome {
    world.outcome(&child.wait_with_output().unwrap())
}

/// Runs a shell script in a mount namespace of its own. `"$@"` in the script is the run.
pub fn within(world: &World, script: &str, arguments: &[&str]) -> Command {
    let mut inner = world.command(arguments);
    inner.arg("--cache-dir").arg(world.path("cache"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(inner.get_program()).args(inner.get_args());
    command.env_clear().current_dir(world.path(""));
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn a_cache_that_cannot_be_written() {
    need!(machine::root());
    let world = small_world();
    world.run(&small(&world.target("root"), &[])).expect(0);
    clear(&world);
    case("a cache on a filesystem that is mounted read-only");
    let script = "mount --bind cache cache && mount -o remount,ro,bind cache || exit 99; \"$@\"";
    let target = world.target("root");
    let before = Before::of(&world);
    let outcome = world.finish(&mut within(&world, script, &small(&target, &[]))).expect(1);
    outcome.says(&["error: cannot use the cache DIR/cache", "Read-only file system", "hint: ", "--cache-dir"]);
    before.check(&world, &[]);
    honest(&world);
}

/// Everything in the cache is replaced by something else.
#[test]
fn what_is_in_the_cache_is_something_else() {
    need!(machine::root());
    let world = small_world();
    let archive = world.target("root.tar");
    let before = Before::of(&world);
    let fill = || {
        // The second use of a deb keeps its payload, and every archive is kept.
        for _ in 0..2 {
            world.run(&small(&archive, &[])).expect(0);
        }
        let bytes = fs::read(&archive).unwrap();
        clear(&world);
        bytes
    };
    let right = fill();
    let layers = ["sha256", "release", "index", "payload", "archive"];
    /// Puts something in the place of a file. The second path is the canary's.
    type Damage = fn(&Path, &Path);
    let damages: [(&str, Damage); 5] = [
        ("a pipe", |path, _| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }),
        ("a directory", |path, _| fs::create_dir(path).unwrap()),
        ("a link to another file", |path, canary| symlink(canary.join("file"), path).unwrap()),
        ("an empty file", |path, _| fs::write(path, "").unwrap()),
        ("other bytes", |path, _| fs::write(path, vec![7; 3_000_000]).unwrap()),
    ];
    for (number, (what, damage)) in damages.into_iter().enumerate() {
        for (place, layer) in layers.into_iter().enumerate() {
            // Each kind of damage meets two layers, and each layer two kinds.
            let is_tried = (number + layers.len() - place) % layers.len() < hostile_extent(2, layers.len());
            if !is_tried {
                continue;
            }
            case(&format!("{what} in the place of each file of {layer}"));
            let files = files_below(&world.path("cache/v1").join(layer));
            assert!(!files.is_empty(), "{layer} is empty");
            for path in files {
                fs::remove_file(&path).unwrap();
                damage(&path, &world.path("canary"));
            }
            world.run_again(&small(&archive, &[])).expect(0);
            assert!(fs::read(&archive).unwrap() == right, "{what} {layer}");
            before.check_around(&world, &["root.tar"]);
            assert!(fill() == right);
        }
    }
}

/// The whole cache was prepared by another user, who can still write to it.
#[test]
fn a_cache_of_another_user() {
    need!(machine::root());
    let world = small_world();
    let target = world.target("root");
    for _ in 0..2 {
        world.run(&small(&target, &[])).expect(0);
        clear(&world);
    }
    let payload = files_below(&world.path("cache/v1/payload")).remove(0);
    case("a payload that another user has sealed");
    // A deb is its own payload, but for the seal, so an honest program would have to believe this one.
    let evil = large().file("/usr/bin/evil", 0o4755, "#!/bin/sh\n");
    fs::write(&payload, sealed(&evil)).unwrap();
    world.run(&small(&target, &[])).expect(0);
    assert!(world.path("out/root/usr/bin/evil").exists(), "the test does not forge a payload");
    clear(&world);
    let before = Before::of(&world);
    for path in [world.path("cache"), world.path("cache/v1")] {
        chown(path, Some(4242), Some(4242)).unwrap();
    }
    let outcome = world.run(&small(&target, &[])).expect(0);
    outcome.says(&["warning: the cache is not yours alone (DIR/cache: it belongs to another user)"]);
    assert!(!world.path("out/root/usr/bin/evil").exists());
    before.check_around(&world, &["root"]);
    clear(&world);

    case("links of another user in the place of layers");
    fs::remove_dir_all(world.path("cache/v1/payload")).unwrap();
    for layer in ["payload", "archive", "index", "release"] {
        let _ = fs::remove_dir_all(world.path("cache/v1").join(layer));
        symlink(world.path("canary"), world.path("cache/v1").join(layer)).unwrap();
    }
    let outcome = world.run_again(&small(&target, &[]));
    assert!(matches!(outcome.code, Some(0 | 1)), "{}", outcome.stderr);
    clear(&world);
    let layers = files_below(&world.path("cache/v1")).into_iter().filter(|path| path.is_symlink());
    layers.for_each(|link| fs::remove_file(link).unwrap());
    nothing_left(&world, &before);
}

/// Returns a deb in the form of a payload: uncompressed, with its own digest at the end.
fn sealed(deb: &Deb) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let members: [(&str, &[u8]); 3] =
        [("debian-binary", b"2.0\n"), ("control.tar", &deb.control_tar()), ("data.tar", &deb.data_tar())];
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
        bytes.extend(content);
        bytes.extend(std::iter::repeat_n(b'\n', content.len() % 2));
    }
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.extend(format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "_sha256", 0, 0, 0, 100_644, 64).bytes());
    bytes.extend(digest.bytes());
    bytes
}

#[test]
fn a_cache_that_is_removed_during_the_run() {
    need!(machine::root());
    let world = small_world();
    for (gone, is_warm) in [("", false), ("v1", false), ("v1/sha256", false), ("v1/tmp", false), ("", true)] {
        case(&format!("cache/{gone} is removed during the run, warm: {is_warm}"));
        let before = Before::of(&world);
        let _ = fs::remove_dir_all(world.path("cache"));
        if is_warm {
            world.run(&small(&world.target("root"), &["--print-plan"])).expect(0);
        }
        let target = world.target("root");
        let child = start_waiting(&world, &small(&target, &[]));
        fs::remove_dir_all(world.path("cache").join(gone)).ok();
        end(&world, child).expect(0);
        assert!(world.path("out/root/usr/share/large").exists());
        before.check_around(&world, &["root"]);
        clear(&world);
        honest(&world);
    }
}

#[test]
fn the_place_of_the_target_changes_during_the_run() {
    need!(machine::root());
    let world = small_world();
    for (what, staging) in [("its directory is moved away", "memory"), ("its directory is moved away", "disk")] {
        case(&format!("{what}, staging in {staging}"));
        let before = Before::of(&world);
        fs::create_dir(world.path("place")).unwrap();
        let target = world.path("place/root");
        let staging = format!("--staging={staging}");
        let child = start_waiting(&world, &small(target.to_str().unwrap(), &[&staging]));
        fs::rename(world.path("place"), world.path("moved")).unwrap();
        symlink(world.path("canary"), world.path("place")).unwrap();
        end(&world, child).expect(1).says(&["the directory was moved or replaced during the run"]);
        assert_eq!(world.names("moved"), [""; 0]);
        fs::remove_file(world.path("place")).unwrap();
        fs::remove_dir(world.path("moved")).unwrap();
        nothing_left(&world, &before);
    }
    case("somebody else makes the target, with something in it");
    let before = Before::of(&world);
    let target = world.target("root");
    let child = start_waiting(&world, &small(&target, &[]));
    fs::create_dir(&target).unwrap();
    fs::write(world.path("out/root/file"), "theirs").unwrap();
    end(&world, child).expect(2).says(&["it is not empty"]);
    assert_eq!(fs::read_to_string(world.path("out/root/file")).unwrap(), "theirs");
    assert_eq!(world.names("out/root"), ["file"]);
    before.check_around(&world, &["root"]);
    honest(&world);
}

/// The directory of the target belongs to another user, who puts links in the place of what the run makes there.
#[test]
fn links_in_the_place_of_hidden_names() {
    need!(machine::root());
    let world = small_world();
    for (what, signal) in [("and the run ends in order", None), ("and the run is killed", Some(Signal::KILL))] {
        case(&format!("a link in the place of the staging directory, {what}"));
        let before = Before::of(&world);
        fs::create_dir(world.path("place")).unwrap();
        chown(world.path("place"), Some(4242), Some(4242)).unwrap();
        let target = world.path("place/root");
        let child = start_waiting(&world, &small(target.to_str().unwrap(), &["--staging=disk"]));
        let hidden = world.names("place").remove(0);
        fs::rename(world.path("place").join(&hidden), world.path("moved")).unwrap();
        symlink(world.path("canary"), world.path("place").join(&hidden)).unwrap();
        if let Some(signal) = signal {
            let workers = machine::children(child.id());
            workers.iter().for_each(|worker| kill_process(*worker, signal).unwrap());
        }
        let outcome = end(&world, child);
        assert_eq!(outcome.code, Some(i32::from(signal.is_some())), "{}", outcome.stderr);
        for name in ["place", "moved"] {
            let _ = fs::remove_dir_all(world.path(name));
        }
        nothing_left(&world, &before);
    }
}

#[test]
fn a_second_signal_leaves_nothing() {
    need!(machine::root());
    let world = small_world();
    for to in ["the first process", "both processes", "the worker"] {
        case(&format!("two signals at once to {to}"));
        let before = Before::of(&world);
        let target = world.target("root");
        let child = start_waiting(&world, &small(&target, &["--staging=disk"]));
        let first = machine::pid(&child);
        let worker = machine::children(child.id()).remove(0);
        let victims = match to {
            "the first process" => [first, first],
            "both processes" => [worker, first],
            _ => [worker, worker],
        };
        for pid in victims {
            kill_process(pid, Signal::TERM).ok();
        }
        end(&world, child).expect(130);
        nothing_left(&world, &before);
    }
}

#[test]
fn a_worker_that_is_killed_says_so() {
    need!(machine::root());
    let world = small_world();
    let target = world.target("root");
    case("the worker is killed as by the kernel when memory runs out");
    let before = Before::of(&world);
    let child = start_waiting(&world, &small(&target, &["--staging=disk"]));
    machine::children(child.id()).iter().for_each(|worker| kill_process(*worker, Signal::KILL).unwrap());
    let outcome = end(&world, child).expect(1);
    outcome.says(&["error: cannot go on: the process that did the work was killed by signal 9 (SIGKILL)", "hint: "]);
    nothing_left(&world, &before);
}

#[test]
fn readers_that_leave() {
    need!(machine::root());
    let world = small_world();
    case("the reader of the archive leaves after a byte");
    let before = Before::of(&world);
    let mut command = world.command(&small("-", &[]));
    command.arg("--cache-dir").arg(world.path("cache"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut byte = [0];
    child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
    let outcome = end(&world, child).expect(1);
    assert!(outcome.stderr.contains("Broken pipe") && !outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    before.check(&world, &[]);
    honest(&world);
    for what in ["an archive", "a plan", "the cache's size"] {
        case(&format!("standard output is closed, for {what}"));
        let words: Vec<String> = match what {
            "an archive" => small("-", &[]).into_iter().map(str::to_owned).collect(),
            "a plan" => small("--print-plan", &[]).into_iter().map(str::to_owned).collect(),
            _ => vec![],
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let inner = if words.is_empty() { world.bare(&["cache", "info"]) } else { world.command(&words) };
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" >&-", "sh"]).arg(inner.get_program()).args(inner.get_args());
        let outcome = world.finish(&mut command).expect(2);
        assert_eq!(outcome.stderr, "error: cannot write to standard output: it is closed\n");
        before.check(&world, &[]);
    }
}

#[test]
fn keyrings_that_are_no_files() {
    need!(machine::root());
    let world = small_world();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, world.path("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    fs::write(world.path("huge"), "").unwrap();
    fs::File::options().write(true).open(world.path("huge")).unwrap().set_len(1 << 30).unwrap();
    for (path, reason) in [
        ("pipe", "it is not a regular file"),
        ("/dev/zero", "it is not a regular file"),
        ("canary", "it is not a regular file"),
        ("huge", "it is larger than 16 MiB"),
    ] {
        case(&format!("the keyring {path}"));
        let before = Before::of(&world);
        let target = world.target("root");
        let option = format!("--keyring={}", world.path("").join(path).display());
        let outcome = world.run(&small(&target, &[&option])).expect(1);
        assert!(
            outcome.stderr.starts_with("error: cannot ")
                && outcome.stderr.contains(" the keyring ")
                && outcome.stderr.contains(reason),
            "{}",
            outcome.stderr
        );
        before.check(&world, &[]);
        honest(&world);
    }
    case("a keyring from another program, through a pipe");
    let mut command = Command::new("sh");
    let inner = world.bare(&[base::SUITE, &world.target("root"), "--variant=extract", "--include=large"]);
    command
        .args(["-c", "cat key.pgp | \"$@\" --keyring=/dev/fd/0", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args());
    command.arg("--mirror").arg(world.server.url()).arg("--cache-dir").arg(world.path("cache"));
    command.current_dir(world.path("")).env("TMPDIR", world.path("tmp")).env("no_proxy", "127.0.0.1");
    world.finish(&mut command).expect(0);
}

/// More packages than the process may have open files.
#[test]
fn few_open_files() {
    need!(machine::root());
    let names: Vec<String> = (0..600).map(|number| format!("p{number}")).collect();
    let deb = |name: &String| Deb::new(name, "1").file(&format!("/usr/share/{name}"), 0o644, name);
    let world = World::new(&Archive::new(base::SUITE).key(&KEY).debs(names.iter().map(deb)));
    let include = format!("--include={}", names.join(","));
    for (what, staging) in
        [("nothing is cached", "memory"), ("everything is cached", "disk"), ("payloads are", "memory")]
    {
        case(&format!("600 packages and at most 256 open files, {what}"));
        let before = Before::of(&world);
        let target = world.target("root");
        let inner = world.command(&[&target, "--variant=extract", &include, &format!("--staging={staging}")]);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 256; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
        command.arg("--cache-dir").arg(world.path("cache"));
        command.env("TMPDIR", world.path("tmp")).env("no_proxy", "127.0.0.1");
        world.finish(&mut command).expect(0);
        assert_eq!(world.names("out/root/usr/share").len(), 600);
        before.check(&world, &["root"]);
        clear(&world);
    }
}

#[test]
fn many_runs_and_prunings_share_a_cache() {
    need!(machine::root());
    let world = small_world();
    case("11 runs and 5 prunings at once");
    let run = |number: usize| {
        let target = world.target(&format!("root{number}"));
        let mut command = world.command(&small(&target, &["--cache-size=1M"]));
        command.arg("--cache-dir").arg(world.path("cache"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let prune = || {
        let mut command = world.bare(&["cache", "prune", "--max-size=0", "--cache-dir"]);
        command.arg(world.path("cache")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    world.run(&small(&world.target("first"), &[])).expect(0);
    let before = Before::of(&world);
    let children: Vec<Child> = (0..16).map(|number| if number % 3 == 2 { prune() } else { run(number) }).collect();
    for child in children {
        end(&world, child).expect(0);
    }
    assert_eq!(world.names("out").len(), 12);
    clear(&world);
    nothing_left(&world, &before);
}

#[test]
fn the_cache_stays_within_its_size() {
    need!(machine::root());
    let world = small_world();
    case("a cache larger than it may be");
    let before = Before::of(&world);
    let target = world.target("root");
    world.run(&small(&target, &["--cache-size=100G"])).expect(0);
    let size =
        || files_below(&world.path("cache/v1")).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    assert!(size() > 1_000_000);
    clear(&world);
    world.run(&small(&target, &["--cache-size=100K", "-v"])).expect(0).says(&["cache: removed"]);
    assert!(size() < 110_000, "{}", size());
    clear(&world);
    nothing_left(&world, &before);
}

#[test]
fn places_that_cannot_work_are_refused_first() {
    need!(machine::root());
    let world = small_world();
    let target = world.target("root");
    for (what, cache) in [("the target", "out/root"), ("a directory in the target", "out/root/var/cache")] {
        case(&format!("the cache is {what}"));
        let before = Before::of(&world);
        let mut command = world.command(&small(&target, &[]));
        command.arg("--cache-dir").arg(world.path(cache));
        world
            .finish(&mut command)
            .expect(2)
            .says(&["cannot use DIR/out/root as the target", "the cache would be inside of it"]);
        before.check(&world, &[]);
        honest(&world);
    }
    case("a directory of the user's own that looks like a leftover");
    fs::create_dir(world.path("out/.my.rootstrap-4242")).unwrap();
    fs::write(world.path("out/.my.rootstrap-4242/file"), "mine").unwrap();
    world.run(&small(&target, &[])).expect(0);
    base::assert_nothing_left(&world, &[".my.rootstrap-4242", "root"]);
}

#[test]
fn a_log_that_is_a_link_of_another_user() {
    need!(machine::root());
    let world = small_world();
    let target = world.target("root");
    let log = world.path("log");
    for (who, owner, code) in [("another user", 4242, 2), ("the caller", 0, 0)] {
        case(&format!("--log is a link that {who} made"));
        symlink(world.path("canary/file"), &log).unwrap();
        rustix::fs::chownat(
            rustix::fs::CWD,
            &log,
            Some(rustix::fs::Uid::from_raw(owner)),
            None,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
        let before = Before::of(&world);
        let canary = tree::dump(&world.path("canary"));
        world.run(&small(&target, &[&format!("--log={}", log.display())])).expect(code);
        assert_eq!(tree::dump(&world.path("canary")) == canary, code != 0);
        if code != 0 {
            before.check(&world, &[]);
            honest(&world);
        }
        fs::remove_file(&log).unwrap();
    }
}

/// A package that speaks to the terminal.
#[test]
fn escape_sequences_are_shown() {
    need!(machine::root());
    case("a script that prints an escape sequence");
    let postinst = "#!/bin/sh\nprintf '\\033]0;evil\\007\\033[2J\\n'\nexit 1\n";
    let world = World::new(&need!(base::archive(Layout::Merged, [Deb::new("loud", "1").script("postinst", postinst)])));
    let before = Before::of(&world);
    for verbosity in ["-v", "-q"] {
        let outcome = world.run(&[&world.target("root"), "--include=loud", verbosity]).expect(1);
        assert!(outcome.stderr.contains("]0;evil"), "{}", outcome.stderr);
        let raw = outcome.stderr.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert!(!raw, "{:?}", outcome.stderr);
        before.check(&world, &[]);
    }
    world.run_again(&[&world.target("honest")]).expect(0);
}

/// A script makes a tree so deep that no path leads to its end, and fails.
#[test]
fn a_tree_deeper_than_any_path() {
    need!(machine::root());
    case("a tree of 3000 directories in each other");
    let postinst =
        "#!/bin/sh\nset -e\ncd /var/lib\nn=0\nwhile [ $n -lt 3000 ]; do mkdir d; cd d; n=$((n+1)); done\nexit 1\n";
    let world = World::new(&need!(base::archive(Layout::Merged, [Deb::new("deep", "1").script("postinst", postinst)])));
    let target = world.target("root");
    let before = Before::of(&world);
    for staging in ["--staging=disk", "--staging=memory"] {
        world.run(&[&target, "--include=deep", staging]).expect(1).says(&["cannot run the postinst of deep"]);
        before.check(&world, &[]);
    }
    world.run_again(&[&world.target("honest")]).expect(0);
}

/// The directory is on the disk before the program says that it is done.
#[test]
fn the_names_of_results_reach_the_disk() {
    need!(machine::root());
    if !machine::has("strace") {
        return rootstrap_tests::skip("strace is not installed".to_owned());
    }
    let world = small_world();
    for name in ["root", "root.tar"] {
        for (sync, is_flushed) in [("yes", true), ("no", false)] {
            case(&format!("--sync={sync} of {name}"));
            let target = world.target(name);
            let inner = world.command(&small(&target, &[&format!("--sync={sync}")]));
            let mut command = Command::new("strace");
            command.args(["-f", "-y", "-e", "trace=fsync", "-o"]).arg(world.path("trace"));
            command.arg(inner.get_program()).args(inner.get_args()).arg("--cache-dir").arg(world.path("cache"));
            command.env("TMPDIR", world.path("tmp")).env("no_proxy", "127.0.0.1");
            world.finish(&mut command).expect(0);
            let trace = fs::read_to_string(world.path("trace")).unwrap();
            let place = world.path("out");
            assert_eq!(trace.contains(&format!("<{}>)", place.display())), is_flushed, "{trace}");
            clear(&world);
        }
    }
    fs::set_permissions(world.path("out"), Permissions::from_mode(0o777)).unwrap();
}

/// The clock was wrong when the cache was filled, or was set since then.
#[test]
fn files_of_the_cache_from_another_time() {
    need!(machine::root());
    let world = small_world();
    let target = world.target("root.tar");
    world.run(&small(&target, &[])).expect(0);
    let right = fs::read(&target).unwrap();
    for (what, seconds) in [("1970", 0), ("2100", 4_102_444_800), ("long before 1970", -4_102_444_800)] {
        case(&format!("all files of the cache are from {what}"));
        clear(&world);
        let before = Before::of(&world);
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        for file in files_below(&world.path("cache")) {
            rustix::fs::utimensat(rustix::fs::CWD, &file, &times, rustix::fs::AtFlags::empty()).unwrap();
        }
        world.run_again(&small(&target, &[])).expect(0);
        assert!(fs::read(&target).unwrap() == right, "{what}");
        before.check(&world, &["root.tar"]);
        let mut prune = Command::new(rootstrap_tests::program::path());
        prune.args(["cache", "prune", "--cache-dir"]).arg(world.path("cache"));
        world.finish(&mut prune).expect(0);
        honest(&world);
    }
}

/// The mask of the caller takes rights from new files.
#[test]
fn masks_of_the_caller() {
    need!(machine::root());
    let world = small_world();
    let target = world.target("root.tar");
    world.run(&small(&target, &[])).expect(0);
    let right = fs::read(&target).unwrap();
    for mask in ["000", "077", "0777"] {
        case(&format!("umask {mask}"));
        clear(&world);
        let before = Before::of(&world);
        for (name, more) in [("root.tar", &["--staging=disk"][..]), ("root.oci.tar", &[]), ("root", &[])] {
            let target = world.target(name);
            let inner = world.command(&small(&target, more));
            let mut command = Command::new("sh");
            command.args(["-c", &format!("umask {mask}; exec \"$@\""), "sh"]);
            command.arg(inner.get_program()).args(inner.get_args()).arg("--cache-dir").arg(world.path("cache-of-mask"));
            command.env("TMPDIR", world.path("tmp")).env("no_proxy", "127.0.0.1");
            world.finish(&mut command).expect(0);
        }
        assert!(fs::read(&target).unwrap() == right, "umask {mask}");
        for path in ["cache-of-mask", "cache-of-mask/v1", "cache-of-mask/v1/sha256", "cache-of-mask/v1/tmp"] {
            let mode = fs::metadata(world.path(path)).unwrap().permissions().mode() & 0o7777;
            assert!(mode & 0o700 == 0o700 && mode & 0o022 == 0, "umask {mask}: {path} has mode {mode:o}");
        }
        fs::remove_dir_all(world.path("cache-of-mask")).unwrap();
        before.check(&world, &["root", "root.oci.tar", "root.tar"]);
    }
}

/// The memory in KiB with which the program starts. With less, the kernel cannot load it, and nothing of ours can say so.
fn least_memory() -> usize {
    let starts = |mebibytes: &usize| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {}; exec \"$0\" --version", 1024 * mebibytes)]).arg(program::path());
        command.output().unwrap().status.success()
    };
    1024 * (16..256).find(starts).expect("the program starts with 256 MiB")
}

/// A program that gets too little memory says so, and leaves nothing.
#[test]
fn little_memory() {
    need!(machine::root());
    let world = small_world();
    let target = world.target("root.tar");
    let steps = hostile_extent(4, 20);
    let mut failed = 0;
    let least = least_memory();
    for step in 1..=steps {
        let kibibytes = least + 1024 * 40 * step / steps;
        case(&format!("a limit of {kibibytes} KiB on memory"));
        world.forget();
        let before = Before::of(&world);
        let inner = world.command(&small(&target, &["--staging=disk"]));
        let mut command = Command::new("sh");
        // Threads could wait for one that could not be started.
        command.args(["-c", &format!("ulimit -v {kibibytes}; exec timeout -s KILL 60 \"$@\""), "sh"]);
        command.arg(inner.get_program()).args(inner.get_args()).arg("--cache-dir").arg(world.path("cache"));
        command.env("TMPDIR", world.path("tmp")).env("no_proxy", "127.0.0.1");
        let outcome = world.finish(&mut command);
        let published: &[&str] = if outcome.code == Some(0) { &["root.tar"] } else { &[] };
        assert_ne!(outcome.code, Some(137), "{kibibytes} KiB: the run does not end");
        if outcome.code != Some(0) {
            failed += 1;
            assert!(!outcome.stderr.is_empty(), "{kibibytes} KiB: nothing is said");
            println!("{kibibytes} KiB: {:?} {}", outcome.code, outcome.stderr);
        }
        before.check_around(&world, published);
        clear(&world);
    }
    assert!(failed > 0, "the limits are too high for this test");
    honest(&world);
}
