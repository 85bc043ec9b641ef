//! Runs that are killed at any moment leave nothing behind: no mount, no process, no file, no target.
//!
//! This is a test binary of its own, because orphans of the runs become its children, and it must have no others.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::{HostileClass, hostile_case};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::{self, User};
use rootstrap_tests::need;
use rootstrap_tests::world::{KEY, World};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use std::collections::BTreeMap;
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

/// A kind of run: who starts it, and for which mode and platforms.
#[derive(Clone, Copy, Debug)]
struct Kind<'a> {
    user: Option<&'a User>,
    options: &'static [&'static str],
}

impl Kind<'_> {
    /// Returns the name of the target of a round. Several platforms fit only into an image.
    fn target(&self, round: u32) -> &'static str {
        let is_image = self.options.iter().any(|option| option.starts_with("--arch="));
        if is_image {
            "root.oci.tar"
        } else if round % 3 == 2 {
            "root.tar"
        } else {
            "root"
        }
    }

    /// Returns the arguments of a round: where the root grows and where it goes.
    fn arguments(&self, world: &World, round: u32) -> Vec<String> {
        let staging = if round.is_multiple_of(2) { "--staging=memory" } else { "--staging=disk" };
        let own = [staging, "--include=busy", "-q"];
        let options = own.iter().chain(self.options).map(|option| (*option).to_owned());
        std::iter::once(world.target(self.target(round))).chain(options).collect()
    }
}

/// Returns an archive of packages that fit every architecture, and the option for two platforms if two architectures run here.
fn archive(debs: Vec<Deb>, busy: Deb) -> (Archive, Option<&'static [&'static str]>) {
    let native = base::native(&debs);
    let (second, options): (&[&str], &'static [&str]) = match native.as_str() {
        "amd64" => (&["i386"], &["--arch=amd64,i386"]),
        "arm64" => (&["armhf"], &["--arch=arm64,armhf"]),
        _ => (&[], &[]),
    };
    let mut archive = Archive::new(base::SUITE).key(&KEY);
    archive.architectures = std::iter::once(native.as_str()).chain(second.iter().copied()).map(str::to_owned).collect();
    let shared = debs.into_iter().map(|deb| deb.arch("all").without("Multi-Arch"));
    (archive.debs(shared).debs([busy.arch("all")]), (!options.is_empty()).then_some(options))
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
fn size(world: &World, target: &str) -> u64 {
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
    let path = world.path("out").join(target);
    if path.is_dir() { entries(&path) } else { fs::metadata(path).unwrap().len() }
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
    let (archive, both) = archive(need!(base::debs(Layout::Merged)), busy);
    let world = World::new(&archive);
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let mut kinds: Vec<Kind> =
        [None, Some(&user), Some(&stranger)].map(|user| Kind { user, options: &[] }).into_iter().collect();
    kinds.push(Kind { user: None, options: &["--mode=chroot"] });
    kinds.extend(both.map(|options| Kind { user: None, options }));

    // This measures how long a whole run takes, and fills the cache once for each kind of run.
    let mut whole = Duration::MAX;
    for kind in &kinds {
        for _ in 0..2 {
            remove_all(&world);
            let since = Instant::now();
            assert!(start(&world, &kind.arguments(&world, 1), kind.user).wait().unwrap().success(), "{kind:?}");
            // The fastest run counts, because the machine may be less busy later.
            whole = whole.min(since.elapsed());
            wait_for_all();
        }
    }
    // The size of a complete target: the entries of a directory, or the bytes of an archive.
    let mut sizes = BTreeMap::new();
    for (kind, round) in kinds.iter().flat_map(|kind| [(kind, 1), (kind, 2)]).filter(|(kind, _)| kind.user.is_none()) {
        remove_all(&world);
        assert!(start(&world, &kind.arguments(&world, round), None).wait().unwrap().success());
        let target = kind.target(round);
        let size = size(&world, target);
        assert_eq!(*sizes.entry(target).or_insert(size), size, "{kind:?}");
    }
    remove_all(&world);

    let before = mounts();
    let (mut killed, mut late) = (0, 0);
    let moments = moments();
    for round in 0..moments {
        let victim = VICTIMS[round as usize % VICTIMS.len()];
        let kind = kinds[round as usize / VICTIMS.len() % kinds.len()];
        let (arguments, target) = (kind.arguments(&world, round), kind.target(round));
        let what = format!("round {round}: {victim:?} {kind:?} {arguments:?}");
        hostile_case(HostileClass::Kill, &format!("round {round} of {moments}"));
        let mut child = start(&world, &arguments, kind.user);
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
            let published = left.iter().any(|name| name == target);
            assert!(!published || size(&world, target) == sizes[target], "{what}: {left:?}");
            left.retain(|name| !name.starts_with("root"));
            assert!(published || !world.path("out/root.mtree").exists(), "{what}: a list without its directory");
            // No process is left to remove what is on disk, so the next run in the same place does.
            assert!(left.is_empty() || matches!(victim, Victim::All), "{what}: {left:?}");
            late += u32::from(published);
        }
        remove_all(&world);
    }
    assert!(killed - late > moments / 2, "only {killed} of {moments} runs were killed, {late} of them too late");
    for (round, kind) in (0..).zip(kinds) {
        let arguments = [world.target(&format!("done-{round}.tar")), "--offline".to_owned()];
        let mut command = start(&world, &arguments, kind.user);
        assert!(command.wait().unwrap().success(), "the cache does not serve the next run");
    }
}
