//! Runs that are killed at any moment leave nothing behind: no mount, no process, no file, no target.
//!
//! This is a test binary of its own, because orphans of the runs become its children, and it must have no others.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::{self, User};
use rootstrap_tests::need;
use rootstrap_tests::world::World;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Returns how many runs are killed. `cargo xtask hostile --all` sets the variable.
fn moments() -> u32 {
    std::env::var("ROOTSTRAP_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

/// Who gets the signal.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The process that the caller started, which waits for the one that works.
    First(Signal),
    /// The process that works.
    Worker,
    /// Every process of the run, before any of them can react to the death of another.
    All,
}

const VICTIMS: [Victim; 5] =
    [Victim::First(Signal::KILL), Victim::First(Signal::TERM), Victim::First(Signal::INT), Victim::Worker, Victim::All];

/// Returns the children of a process, from /proc.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let children = processes.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        (rest.split_whitespace().nth(1)? == parent.to_string()).then_some(pid)
    });
    children.collect()
}

fn descendants(parent: u32) -> Vec<u32> {
    let direct = children(parent);
    let below = direct.iter().flat_map(|child| descendants(*child));
    let below: Vec<u32> = below.collect();
    direct.into_iter().chain(below).collect()
}

fn send(process: u32, signal: Signal) {
    let pid = Pid::from_raw(process.try_into().unwrap()).unwrap();
    kill_process(pid, signal).ok();
}

fn kill(child: &Child, victim: Victim) {
    match victim {
        Victim::First(signal) => send(child.id(), signal),
        Victim::Worker => children(child.id()).into_iter().for_each(|worker| send(worker, Signal::KILL)),
        Victim::All => {
            // A stopped process starts no other. The next round finds those that were started meanwhile.
            let mut stopped = vec![child.id()];
            send(child.id(), Signal::STOP);
            loop {
                let new: Vec<u32> = descendants(child.id()).into_iter().filter(|pid| !stopped.contains(pid)).collect();
                if new.is_empty() {
                    break;
                }
                new.iter().for_each(|pid| send(*pid, Signal::STOP));
                stopped.extend(new);
            }
            stopped.into_iter().for_each(|pid| send(pid, Signal::KILL));
        }
    }
}

/// Waits until this process has no child, neither its own nor an inherited one.
#[track_caller]
fn wait_for_all() {
    machine::wait_until("every process of the run ends", || {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        matches!(wait(WaitOptions::NOHANG), Err(rustix::io::Errno::CHILD))
    });
}

/// Removes what a round left. The next round may run as another user, who could not remove it.
fn remove_all(world: &World) {
    for place in ["out", "tmp"] {
        for name in world.names(place).iter().filter(|name| !name.starts_with("cache-of-")) {
            let path = world.path(place).join(name);
            fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
        }
    }
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// Returns the arguments of a round: where the root grows and where it goes.
fn arguments(world: &World, round: u32) -> Vec<String> {
    let target = if round % 3 == 2 { "root.tar" } else { "root" };
    let staging = if round.is_multiple_of(2) { "--staging=memory" } else { "--staging=disk" };
    vec![world.target(target), staging.to_owned(), "--include=busy".to_owned(), "-q".to_owned()]
}

fn start(world: &World, arguments: &[String], user: Option<&User>) -> Child {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = match user {
        Some(user) => world.command_as(user, &arguments),
        None => world.command(&arguments),
    };
    if user.is_none() {
        command.arg("--cache-dir").arg(world.path("cache"));
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Returns the number of entries of a directory target, or of bytes of an archive.
fn size(world: &World) -> u64 {
    fn entries(directory: &Path) -> u64 {
        let entries = fs::read_dir(directory).unwrap().flatten();
        let below =
            entries.map(|entry| if entry.file_type().unwrap().is_dir() { 1 + entries_of(&entry.path()) } else { 1 });
        below.sum()
    }
    fn entries_of(directory: &Path) -> u64 {
        // Only root can make devices.
        if directory.ends_with("root/dev") { 0 } else { entries(directory) }
    }
    let archive = world.path("out/root.tar");
    if archive.exists() { fs::metadata(archive).unwrap().len() } else { entries(&world.path("out/root")) }
}

/// Returns whether the child ends by itself within this time.
fn ends_within(child: &mut Child, time: Duration) -> bool {
    let (sender, receiver) = mpsc::channel::<()>();
    let pid = machine::pid(child);
    // Nothing is sent: the channel closes when the process has ended. The process remains until its parent waits for it.
    std::thread::spawn(move || {
        let _sender = sender;
        let id = rustix::process::WaitId::Pid(pid);
        rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT)
            .ok();
    });
    receiver.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
}

#[test]
fn a_killed_run_leaves_nothing() {
    need!(machine::root());
    let user = need!(machine::user());
    let stranger = need!(machine::stranger());
    // A daemon that ignores signals, and a few files to write.
    let busy = Deb::new("busy", "1").file("/usr/share/busy", 0o644, vec![7; 4 << 20]).script(
        "postinst",
        "#!/bin/sh\n(trap '' HUP INT TERM; while :; do read line </dev/zero; done) >/dev/null 2>&1 &\n",
    );
    let world = World::new(&need!(base::archive(Layout::Merged, [busy])));
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let whose = [None, Some(&user), Some(&stranger)];

    // This measures how long a whole run takes, and fills the cache once for each kind of run.
    let mut whole = Duration::MAX;
    for user in whose {
        for _ in 0..2 {
            remove_all(&world);
            let since = Instant::now();
            assert!(start(&world, &arguments(&world, 1), user).wait().unwrap().success());
            // The fastest run counts, because the machine may be less busy later.
            whole = whole.min(since.elapsed());
            wait_for_all();
        }
    }
    // The size of a complete target: the entries of a directory, or the bytes of an archive.
    let sizes = [1, 2].map(|round| {
        remove_all(&world);
        assert!(start(&world, &arguments(&world, round), None).wait().unwrap().success());
        size(&world)
    });
    remove_all(&world);

    let before = mounts();
    let (mut killed, mut late) = (0, 0);
    let moments = moments();
    for round in 0..moments {
        let victim = VICTIMS[round as usize % VICTIMS.len()];
        let user = whose[round as usize / VICTIMS.len() % whose.len()];
        let what = format!("round {round}: {victim:?} {user:?} {:?}", arguments(&world, round));
        let mut child = start(&world, &arguments(&world, round), user);
        let ended = ends_within(&mut child, whole * round / moments);
        if !ended {
            kill(&child, victim);
        }
        let status = child.wait().unwrap();
        wait_for_all();
        assert_eq!(mounts(), before, "{what}");
        let mut left = world.names("out");
        left.retain(|name| !name.starts_with("cache-of-"));
        left.extend(world.names("tmp"));
        if status.success() {
            // The run had ended before the signal came.
            assert!(left.iter().any(|name| name.starts_with("root")), "{what}: {left:?}");
        } else {
            killed += 1;
            // The target appears by one rename, so a killed run leaves the complete target or none.
            let published = left.iter().any(|name| name == "root" || name == "root.tar");
            assert!(!published || size(&world) == sizes[usize::from(round % 3 == 2)], "{what}: {left:?}");
            left.retain(|name| !name.starts_with("root"));
            assert!(published || !world.path("out/root.mtree").exists(), "{what}: a list without its directory");
            // No process is left to remove what is on disk, so the next run in the same place does.
            assert!(left.is_empty() || matches!(victim, Victim::All), "{what}: {left:?}");
            late += u32::from(published);
        }
        remove_all(&world);
    }
    assert!(killed - late > moments / 2, "only {killed} of {moments} runs were killed, {late} of them too late");
    for (round, user) in (0..).zip(whose) {
        let mut command = start(&world, &[world.target(&format!("done-{round}.tar")), "--offline".to_owned()], user);
        assert!(command.wait().unwrap().success(), "the cache does not serve the next run");
    }
}
