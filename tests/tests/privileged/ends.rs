//! Runs that end early: signals, a killed parent, a full disk, a mount point as the target.

use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::{self, User};
use rootstrap_tests::need;
use rootstrap_tests::world::World;
use rustix::process::{Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// A run whose last postinst never ends, and the text by which its processes are found.
pub(crate) struct Blocked {
    pub(crate) world: World,
    pub(crate) package: String,
    pub(crate) child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn block(test: &str, target: &str, more: &[&str], user: Option<&User>) -> Result<Blocked, String> {
    let package = format!("blocker{}-{test}-x", std::process::id());
    let postinst = "#!/bin/sh\nmkfifo /var/lib/fifo\necho waiting for ever\nread line </var/lib/fifo\n";
    let world = World::new(&base::archive(Layout::Merged, [Deb::new(&package, "1").script("postinst", postinst)])?);
    let target = if target == "-" { "-".to_owned() } else { world.target(target) };
    let include = format!("--include={package}");
    let arguments = [&[target.as_str(), "-v", &include], more].concat();
    let mut command = match user {
        Some(user) => world.command_as(user, &arguments),
        None => world.command(&arguments),
    };
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.ends_with("| waiting for ever\n") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended too early:\n{said}");
    }
    assert!(!machine::processes(&package).is_empty());
    Ok(Blocked { world, package, child, stderr })
}

/// Checks that a signal ends the run in order: status 130, one line, nothing left.
fn interrupted(name: &str, signal: Signal, target: &str, user: Option<&User>) {
    let test = name.rsplit(':').next().unwrap().replace('_', "-");
    let mut run = need!(block(&test, target, &[], user));
    kill_process(machine::pid(&run.child), signal).unwrap();
    machine::wait_until("the run ends", || run.child.try_wait().unwrap().is_some());
    let mut said = String::new();
    run.stderr.read_to_string(&mut said).unwrap();
    assert_eq!(run.child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.ends_with("error: interrupted\n"), "{said}");
    assert_eq!(machine::processes(&run.package), [""; 0]);
    let mut out = Vec::new();
    run.child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    assert_eq!(out.is_empty(), target != "-", "a broken-off archive must not be taken for an empty one");
    base::assert_nothing_left(&run.world, &[]);
}

#[test]
fn sigint() {
    let name = "privileged::sigint";
    need!(machine::root());
    interrupted(name, Signal::INT, "root", None);
}

#[test]
fn sigterm_while_an_archive_is_made() {
    let name = "privileged::sigterm_while_an_archive_is_made";
    need!(machine::root());
    interrupted(name, Signal::TERM, "root.tar.zst", None);
}

#[test]
fn sighup_while_writing_to_standard_output() {
    let name = "privileged::sighup_while_writing_to_standard_output";
    need!(machine::root());
    interrupted(name, Signal::HUP, "-", None);
}

#[test]
fn sigint_to_a_user() {
    let name = "privileged::sigint_to_a_user";
    let user = need!(machine::user());
    interrupted(name, Signal::INT, "root", Some(&user));
}

#[test]
fn sigterm_to_a_user() {
    let name = "privileged::sigterm_to_a_user";
    let user = need!(machine::user());
    interrupted(name, Signal::TERM, "root.tar", Some(&user));
}

/// When the first process is killed, the kernel signals the working process, which then ends in order.
fn killed(name: &str, user: Option<&User>) {
    let test = name.rsplit(':').next().unwrap().replace('_', "-");
    let mut run = need!(block(&test, "root", &["--staging=disk"], user));
    kill_process(machine::pid(&run.child), Signal::KILL).unwrap();
    run.child.wait().unwrap();
    machine::wait_until("the sandbox ends with its parent", || machine::processes(&run.package).is_empty());
    let place = run.world.path("");
    machine::wait_until("all processes end", || machine::processes(place.to_str().unwrap()).is_empty());
    base::assert_nothing_left(&run.world, &[]);
}

#[test]
fn sigkill() {
    let name = "privileged::sigkill";
    need!(machine::root());
    killed(name, None);
}

#[test]
fn sigkill_to_a_user() {
    let name = "privileged::sigkill_to_a_user";
    let user = need!(machine::user());
    killed(name, Some(&user));
}

/// Runs a shell script in a mount namespace of its own. `"$@"` in the script is the run.
pub(crate) fn within(world: &World, script: &str, arguments: &[&str]) -> Command {
    let inner = world.command(arguments);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(inner.get_program()).args(inner.get_args());
    command.arg("--cache-dir").arg(world.path("cache"));
    command.env_clear().current_dir(world.path(""));
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn a_full_disk() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let target = world.target("root");
    let places = [("1", "disk"), ("5", "disk"), ("5", "memory")];
    for (megabytes, staging) in places {
        let script =
            format!("mount -t tmpfs -o size={megabytes}m none out || exit 99; \"$@\"; code=$?; ls -A out; exit $code");
        let outcome = world.finish(&mut within(&world, &script, &[&target, &format!("--staging={staging}")])).expect(1);
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), "", "something is left");
        let said = &outcome.stderr;
        assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains("hint: the filesystem is full: free some space"), "{said}");
        base::assert_nothing_left(&world, &[]);
    }
}

/// The disk fills while scripts run, and the error shows what the script printed.
#[test]
fn a_script_that_fills_the_disk() {
    need!(machine::root());
    let postinst = "#!/bin/sh\nset -e\ncat /dev/zero >/var/lib/much\n";
    let world = World::new(&need!(base::archive(Layout::Merged, [Deb::new("much", "1").script("postinst", postinst)])));
    let target = world.target("root");
    let script = "mount -t tmpfs -o size=100m none out || exit 99; \"$@\"; code=$?; ls -A out; exit $code";
    let outcome = world.finish(&mut within(&world, script, &[&target, "--staging=disk", "--include=much"])).expect(1);
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "", "something is left");
    let outcome = outcome.says(&["error: cannot run the postinst of much: exit status 1", "No space left on device"]);
    assert_eq!(outcome.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", outcome.stderr);
}

#[test]
fn a_mount_point_as_the_target() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let target = world.target("disk");
    std::fs::create_dir(&target).unwrap();
    let script = "mount -t tmpfs -o mode=0700 none out/disk || exit 99; \"$@\" || exit; ls -A out/disk | grep -F . && exit 98; \
                  chroot out/disk dpkg --audit; chroot out/disk dpkg --verify; \
                  stat -c %a out/disk; ls -A out/disk | tr '\\n' ' '";
    let outcome = world.finish(&mut within(&world, script, &[&target])).expect(0);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.starts_with("755\nbin boot dev etc home lib lib64 mnt opt proc root run "), "{text}");
    assert_eq!(world.names("out"), ["disk"]);
}
