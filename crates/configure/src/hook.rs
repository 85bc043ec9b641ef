//! The user's own commands that change a root from outside, as on a host that has the root in a directory.
//!
//! Such a command sees the host's files, and the root at a path. It has mount, pid and ipc namespaces of its own, so what it mounts and
//! starts ends with it, and no network unless it is allowed. Where nothing can be mounted, it has none of these namespaces.
#![allow(unsafe_code, reason = "unshare has no safe form")]

use crate::error::Error;
use crate::init::{close_descriptors_on_exec, die_with_parent, raise_loopback};
use crate::mounts;
use crate::output::{LastLines, Splitter};
use crate::privilege::Mode;
use crate::sandbox::Exit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{self, Pid, Signal};
use rustix::thread::UnshareFlags;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// First argument of the first stage, which leaves the host's namespaces.
pub(crate) const OUTER: &str = "__rootstrap-hook";
/// First argument of the second stage, which runs the command.
pub(crate) const INNER: &str = "__rootstrap-hook-command";

/// What a stage is told of the network.
const NETWORK: &str = "network";
const NO_NETWORK: &str = "no-network";

/// A command, and the root that it changes.
pub struct Hook<'a> {
    /// The mode in which this process runs.
    pub mode: Mode,
    /// The path of the root.
    pub root: &'a Path,
    /// The command, for the shell. Its first argument is the path of the root.
    pub command: &'a str,
    /// Variables beside those of this process.
    pub environment: &'a [(&'a str, String)],
    /// Whether it may use the network.
    pub has_network: bool,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// The caller sets it to end the command.
    pub cancel: &'a AtomicBool,
}

/// Runs a command to its end, and calls `line` for each line that it prints. What it leaves running is ended.
///
/// # Errors
/// The command cannot be started or takes too long, or the user asked to stop. Another status than 0 is no error here; see
/// [`Exit::check`].
pub fn run(hook: &Hook<'_>, line: &mut dyn FnMut(&str)) -> Result<Exit, Error> {
    let (mut output, writer) = io::pipe().map_err(Error::Lost)?;
    let mut command = Command::new("/proc/self/exe");
    let network = if hook.has_network { NETWORK } else { NO_NETWORK };
    command.args([OUTER, hook.mode.name(), network]).arg(hook.root).arg(hook.command);
    command.envs(hook.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::from(writer.try_clone().map_err(Error::Lost)?));
    command.stderr(Stdio::from(writer)).process_group(0);
    die_with_parent(&mut command);
    let start = |error| Error::Sandbox(format!("cannot start a process: {error}"));
    let mut child = command.spawn().map_err(start)?;
    drop(command);
    let (mut lines, mut last, begun) = (Splitter::default(), LastLines::default(), Instant::now());
    let mut take = |text: &str| {
        line(text);
        last.push(text);
    };
    let ended = loop {
        if hook.cancel.load(Ordering::Relaxed) {
            break Err(Error::Cancelled);
        }
        if let Some(limit) = hook.timeout.filter(|limit| begun.elapsed() > *limit) {
            break Err(Error::TimedOut { what: "the hook".to_owned(), seconds: limit.as_secs(), tail: Vec::new() });
        }
        let is_ready = {
            let mut ready = [PollFd::new(&output, PollFlags::IN)];
            let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            match poll(&mut ready, Some(&moment)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => break Err(Error::Lost(errno.into())),
            }
            !ready[0].revents().is_empty()
        };
        if is_ready && lines.read(&mut output, usize::MAX, &mut take).map_err(Error::Lost)? > 0 {
            continue;
        }
        // What it left running may hold the pipe, so its end is not waited for.
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) => {}
            Err(error) => break Err(Error::Lost(error)),
        }
        if is_ready {
            // It has closed its output.
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    // Without a pid namespace, what it left running is in its group.
    let _ = process::kill_process_group(Pid::from_child(&child), Signal::KILL);
    let _ = child.wait();
    lines.finish(&mut take);
    let tail = last.into();
    match ended {
        Ok(status) => Ok(Exit { status, tail }),
        Err(Error::TimedOut { what, seconds, .. }) => Err(Error::TimedOut { what, seconds, tail }),
        Err(error) => Err(error),
    }
}

/// The first stage: leaves the host's namespaces. The words are mode, network, the path of the root, and the command.
pub(crate) fn outer(words: &[OsString; 4]) -> Result<u8, String> {
    let [mode, network, ..] = words;
    close_descriptors_on_exec();
    if mode == Mode::Chroot.name() {
        return inner(words);
    }
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC;
    if network == NO_NETWORK {
        flags |= UnshareFlags::NEWNET;
    }
    // SAFETY: this process has one thread and shares no file descriptor table.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .map_err(|errno| format!("the kernel refuses new namespaces: {errno}"))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(INNER).args(words);
    die_with_parent(&mut command);
    wait_for(command)
}

/// The second stage: shows the root and runs the command.
pub(crate) fn inner([mode, network, root, text]: &[OsString; 4]) -> Result<u8, String> {
    let root = Path::new(root);
    if mode != Mode::Chroot.name() {
        mounts::prepare(root)?;
        if network == NO_NETWORK {
            raise_loopback();
        }
    }
    process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut command = Command::new("/bin/sh");
    // There ordinary users do not look for programs, but chroot(8) is there.
    let mut line = OsString::from("PATH=\"$PATH:/usr/sbin:/sbin\"; ");
    line.push(text);
    command.arg("-c").arg(line).arg("sh").arg(root);
    wait_for(command)
}

/// Runs a command and returns its status as a shell has it.
fn wait_for(mut command: Command) -> Result<u8, String> {
    let child = command.spawn().map_err(|error| format!("cannot start a process: {error}"))?;
    let wanted = Pid::from_child(&child);
    // As process 1 of a namespace, it inherits every orphan.
    loop {
        match process::wait(process::WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == wanted => {
                let status = std::process::ExitStatus::from_raw(status.as_raw());
                let code = status.code().or(status.signal().map(|signal| 128 + signal));
                return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(format!("cannot wait for a process: {errno}")),
        }
    }
}

/// Ends this process after a stage. Its caller reads what it prints.
pub(crate) fn end_with(result: Result<u8, String>) -> ! {
    match result {
        Ok(code) => std::process::exit(code.into()),
        Err(reason) => {
            let _ = writeln!(io::stderr(), "cannot run the hook: {reason}");
            std::process::exit(126)
        }
    }
}

/// Returns the words of a stage.
pub(crate) fn words(words: &[OsString]) -> Option<&[OsString; 4]> {
    words.try_into().ok()
}

/// Returns whether an argument begins a stage.
pub(crate) fn is_stage(word: &OsStr) -> bool {
    word == OUTER || word == INNER
}
