//! Scripts that start processes without end or take all memory. A control group bounds them: what the machine has is never at stake.

use crate::scripts::{MODES, program};
use crate::unharmed::Before;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::{HostileClass, hostile_case, hostile_extent};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::{self, User};
use rootstrap_tests::need;
use rootstrap_tests::world::World;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A control group with limits. It ends when dropped, with every process that is left in it.
struct Group(Vec<PathBuf>);

impl Group {
    /// Creates a group for so many processes and bytes, in either version of control groups.
    fn create(processes: u32, bytes: u64) -> Result<Group, String> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("rootstrap-test-{}-{number}", std::process::id());
        let (processes, bytes) = (processes.to_string(), bytes.to_string());
        let top = Path::new("/sys/fs/cgroup");
        let places = if top.join("cgroup.controllers").exists() {
            let _ = fs::write(top.join("cgroup.subtree_control"), "+memory +pids");
            vec![(top.to_owned(), vec![("pids.max", &processes), ("memory.max", &bytes)])]
        } else {
            vec![
                (top.join("pids"), vec![("pids.max", &processes)]),
                (top.join("memory"), vec![("memory.limit_in_bytes", &bytes)]),
            ]
        };
        let mut group = Group(Vec::new());
        for (top, limits) in places {
            let directory = top.join(&name);
            let told = |error: std::io::Error| format!("no control group can be made in {}: {error}", top.display());
            fs::create_dir(&directory).map_err(told)?;
            group.0.push(directory.clone());
            limits.into_iter().try_for_each(|(file, value)| fs::write(directory.join(file), value)).map_err(told)?;
        }
        Ok(group)
    }

    /// Returns a command that does the same in the group, and is killed if it has not ended after a minute.
    fn command(&self, inner: &Command) -> Command {
        let mut command = Command::new("sh");
        let groups: Vec<&str> = self.0.iter().filter_map(|directory| directory.to_str()).collect();
        let script = format!(
            "for group in {}; do echo $$ >$group/cgroup.procs || exit 99; done; exec timeout -s KILL 60 \"$@\"",
            groups.join(" ")
        );
        command.args(["-c", &script, "sh"]).arg(inner.get_program()).args(inner.get_args());
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(inner.get_current_dir().unwrap_or(Path::new("/"))).stdin(Stdio::null());
        command
    }

    /// Returns the processes in the group.
    fn processes(&self) -> Vec<Pid> {
        let text = fs::read_to_string(self.0[0].join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A failed test must not leave processes that start others for ever.
        fs::write(self.0[0].join("pids.max"), "0").ok();
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(20) {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for process in left {
                kill_process(process, Signal::KILL).ok();
            }
            std::thread::yield_now();
        }
        for directory in &self.0 {
            fs::remove_dir(directory).ok();
        }
    }
}

/// Who runs, in which mode.
fn runs(user: &User) -> Vec<(Option<&User>, &'static str)> {
    let of_root = MODES.into_iter().map(|mode| (None, mode));
    of_root.chain([(Some(user), "unshare"), (Some(user), "single")]).collect()
}

/// Returns a world whose package `bomb` has this script, and the program of [`program`].
fn world(script: &str) -> Result<World, String> {
    let script = format!("#!/bin/sh\n{script}\n");
    let deb = Deb::new("bomb", "1").file("/usr/bin/attack", 0o755, &program()?).script("postinst", &script);
    Ok(World::new(&base::archive(Layout::Merged, [deb])?))
}

fn command(world: &World, user: Option<&User>, arguments: &[&str]) -> Command {
    match user {
        Some(user) => world.command_as(user, arguments),
        None => {
            let mut command = world.command(arguments);
            command.arg("--cache-dir").arg(world.path("cache"));
            command
        }
    }
}

#[test]
fn processes_without_end() {
    need!(machine::root());
    let user = need!(machine::user());
    let group = need!(Group::create(120, 2 << 30));
    let fails = need!(world("attack forks || exit 7"));
    let goes_on = need!(world("attack forks & while :; do :; done"));
    for (user, mode) in runs(&user) {
        let who = if user.is_some() { "a user" } else { "root" };
        hostile_case(HostileClass::Script, &format!("processes without end, {who}, mode {mode}"));
        fails.forget();
        let before = Before::of(&fails);
        let (target, option) = (fails.target("root.tar"), format!("--mode={mode}"));
        let outcome = fails.finish(&mut group.command(&command(&fails, user, &[&target, "--include=bomb", &option])));
        let outcome = outcome.expect(1).says(&["error: cannot run the postinst of bomb: exit status 7"]);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        assert!(group.processes().is_empty(), "{who}, mode {mode}: a process is left");
        before.check(&fails, &[]);

        hostile_case(
            HostileClass::Script,
            &format!("processes without end that a signal has to end, {who}, mode {mode}"),
        );
        goes_on.forget();
        let before = Before::of(&goes_on);
        let target = goes_on.target("root.tar");
        let mut command = group.command(&command(&goes_on, user, &[&target, "--include=bomb", &option]));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        machine::wait_until("the processes are many", || {
            assert!(child.try_wait().unwrap().is_none(), "it ended before that");
            group.processes().len() > 80
        });
        kill_process(machine::pid(&child), Signal::TERM).unwrap();
        goes_on.outcome(&child.wait_with_output().unwrap()).expect(130);
        assert!(group.processes().is_empty(), "{who}, mode {mode}: a process is left");
        before.check(&goes_on, &[]);
    }
    fails.run_again(&[&fails.target("honest")]).expect(0);
}

#[test]
fn processes_that_never_stay() {
    need!(machine::root());
    let user = need!(machine::user());
    let world = need!(world("attack moves || exit 7"));
    for (user, mode) in runs(&user) {
        let who = if user.is_some() { "a user" } else { "root" };
        hostile_case(
            HostileClass::Script,
            &format!("processes that end and start another one for ever, {who}, mode {mode}"),
        );
        let group = need!(Group::create(120, 2 << 30));
        world.forget();
        let before = Before::of(&world);
        let (target, option) = (world.target("root.tar"), format!("--mode={mode}"));
        let outcome = world.finish(&mut group.command(&command(&world, user, &[&target, "--include=bomb", &option])));
        outcome.expect(1).says(&["error: cannot run the postinst of bomb: exit status 7"]);
        assert!(group.processes().is_empty(), "{who}, mode {mode}: a process is left");
        before.check(&world, &[]);
    }
}

/// A shell that starts the second part of a pipeline hears the end of the first one meanwhile.
#[test]
fn a_process_that_ends_does_not_fail_the_start_of_another() {
    need!(machine::root());
    let user = need!(machine::user());
    let world = need!(world("attack forks-beside-ends"));
    for (user, mode) in runs(&user) {
        world.forget();
        let (target, option) = (world.target("root.tar"), format!("--mode={mode}"));
        world.finish(&mut command(&world, user, &[&target, "--include=bomb", &option])).expect(0);
    }
}

/// Memory runs out. The kernel ends the script, even if each of its processes is smaller than ours, and the error says so.
#[test]
fn memory_without_end() {
    need!(machine::root());
    let user = need!(machine::user());
    for (kind, (script, name, status)) in [
        ("exec attack hog-all", "one process takes all memory", "killed by signal 9"),
        ("attack hogs || exit $?", "many small processes take all memory", "exit status 137"),
    ]
    .into_iter()
    .enumerate()
    {
        let world = need!(world(script));
        for (number, (user, mode)) in runs(&user).into_iter().enumerate() {
            if hostile_extent(number % 2 != kind, false) {
                continue;
            }
            let who = if user.is_some() { "a user" } else { "root" };
            hostile_case(HostileClass::Script, &format!("{name}, {who}, mode {mode}"));
            let group = need!(Group::create(2000, 256 << 20));
            world.forget();
            let before = Before::of(&world);
            let target = world.target("root.tar");
            let option = format!("--mode={mode}");
            let arguments = [target.as_str(), "--include=bomb", &option, "--staging=disk", "--sync=no"];
            let outcome = world.finish(&mut group.command(&command(&world, user, &arguments))).expect(1);
            outcome.says(&[
                &format!("error: cannot run the postinst of bomb: {status}"),
                "hint: the kernel kills when memory runs out",
            ]);
            assert!(group.processes().is_empty(), "{who}, mode {mode}: a process is left");
            before.check(&world, &[]);
        }
        world.run_again(&[&world.target("honest")]).expect(0);
    }
}

#[test]
fn scripts_are_the_first_that_the_kernel_kills() {
    need!(machine::root());
    for mode in MODES {
        hostile_case(
            HostileClass::Script,
            &format!("scripts have the highest score when memory runs out, mode {mode}"),
        );
        let world = need!(world("cat /proc/self/oom_score_adj >/var/lib/score"));
        let target = world.target("root");
        world.run(&[&target, "--include=bomb", &format!("--mode={mode}")]).expect(0);
        assert_eq!(fs::read_to_string(world.path("out/root/var/lib/score")).unwrap(), "1000\n", "mode {mode}");
    }
}
