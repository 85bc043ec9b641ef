//! The first process: start the program again in a mode, wait for its end, and clean up after a killed child.

use super::held::{Held, Invocation};
use super::janitor::Leftover;
use super::mode::Mode;
use super::obstacle::{Obstacle, no_mode_works};
use super::refusal::{capabilities, check, of_kernel};
use super::stage::STAGE;
use super::{ids, janitor, orphans};
use crate::error::Error;
use crate::wire;
use rustix::process::{self, Pid, Signal};
use rustix::thread::CapabilitySet;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};

/// The exit status of a child that a second signal ended at once.
const INTERRUPTED: i32 = 130;

/// Where the work goes on.
pub enum Rights {
    /// In this process, which has what it needs.
    Here(Held),
    /// In a child, which had what it needs and has ended like this.
    Elsewhere(Ended),
}

/// How the child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status. It has told the user what was wrong.
    Exited(u8),
    /// By this signal, without a word.
    Killed(i32),
}

/// Obtains what a build needs: in the mode `wanted`, or in the best one that works. The process must have only one
/// thread.
///
/// In the first process, this starts the program again with the same arguments, waits for its end and returns
/// [`Rights::Elsewhere`]. In the process started so, it returns [`Rights::Here`] at once. `secret` is text that only the
/// caller's own user can find out; the started process finds it in its [`Handover`](super::Handover).
///
/// `on_start` is called with the id of the started process, so that the caller can pass signals on to it.
///
/// # Errors
/// No mode works; the error says what would change that.
pub fn enter(
    invocation: &Invocation,
    wanted: Option<Mode>,
    secret: &str,
    on_start: &dyn Fn(u32),
) -> Result<Rights, Error> {
    if let Some(handover) = &invocation.handover {
        return Ok(Rights::Here(handover.held.clone()));
    }
    let mut obstacles: Vec<Obstacle> = Vec::new();
    let mut sentences: Vec<String> = Vec::new();
    for mode in candidates(wanted) {
        match start(mode, &sentences, &invocation.arguments, secret, on_start) {
            Ok(ended) => return Ok(Rights::Elsewhere(ended)),
            Err(obstacle) => {
                sentences.push(obstacle.sentence(mode));
                obstacles.push(obstacle);
            }
        }
    }
    Err(no_mode_works(&obstacles))
}

/// Asks a process to end in order, with SIGTERM.
pub fn interrupt(process_id: u32) {
    if let Some(pid) = i32::try_from(process_id).ok().and_then(Pid::from_raw) {
        let _ = process::kill_process(pid, Signal::TERM);
    }
}

/// Returns the modes to try, the best first. They depend on the rights and the ids that this process has.
fn candidates(wanted: Option<Mode>) -> Vec<Mode> {
    let is_admin = capabilities().contains(CapabilitySet::SYS_ADMIN);
    let has_ids = ids::of_this_namespace() >= ids::NEEDED;
    match (wanted, process::geteuid().is_root()) {
        (Some(mode), _) => vec![mode],
        (None, false) => vec![Mode::Unshare, Mode::Single],
        (None, true) if !has_ids => vec![Mode::Single],
        (None, true) if is_admin => vec![Mode::Root, Mode::Unshare, Mode::Chroot],
        (None, true) => vec![Mode::Unshare, Mode::Chroot],
    }
}

/// Starts this program again in `mode` and waits for its end. Returns how it ended, or why the mode does not work.
fn start(
    mode: Mode,
    obstacles: &[String],
    arguments: &[OsString],
    secret: &str,
    on_start: &dyn Fn(u32),
) -> Result<Ended, Obstacle> {
    // This program starts itself from there, and finds its processes.
    if std::fs::symlink_metadata("/proc/self/exe").is_err() {
        return Err(Obstacle::new("/proc is not mounted", "mount it: mount -t proc proc /proc"));
    }
    check(mode)?;
    let map = ids::Map::of(mode)?;
    let failed =
        |what: &'static str| move |error: std::io::Error| Obstacle::without_hint(format!("cannot {what}: {error}"));
    let (mut ours, theirs) = UnixStream::pair().map_err(failed("make a socket"))?;
    rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty())
        .map_err(|errno| failed("pass a socket on")(errno.into()))?;
    let proc = orphans::open_proc().map_err(|errno| failed("open /proc")(errno.into()))?;
    let spared = orphans::children(proc.as_fd());
    // Processes that a killed child leaves behind become ours to wait for.
    let _ = process::set_child_subreaper(Some(process::getpid()));
    let mut child = Command::new("/proc/self/exe")
        // A group of its own: the terminal's signals come to this process only, which passes each on once.
        .process_group(0)
        .arg(STAGE)
        .arg(theirs.as_raw_fd().to_string())
        .arg(mode.name())
        .arg(obstacles.join("\n"))
        .args(arguments)
        .spawn()
        .map_err(failed("start a process"))?;
    drop(theirs);
    let entered = lead(&mut ours, &child, &map);
    if entered.is_ok() {
        // A failure means that the child is gone; wait() below tells how it ended.
        let _ = wire::send(&mut ours, &[secret]);
        on_start(child.id());
    }
    let left = if entered.is_ok() { janitor::listen(&mut ours) } else { Vec::new() };
    // A child that waits for a go-ahead sees the socket close, and ends.
    drop(ours);
    let status = child.wait().map_err(failed("wait for a process"))?;
    entered?;
    // A second signal ends the child at once, with a status of its own; it then leaves as much as a killed one.
    if status.signal().is_some() || status.code() == Some(INTERRUPTED) {
        // The children that this process had before belong to somebody else.
        orphans::end_orphans(proc.as_fd(), &|pid| spared.contains(&pid));
    }
    remove(mode, &left, arguments);
    Ok(match status.signal() {
        Some(signal) => Ended::Killed(signal),
        None => Ended::Exited(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
    })
}

/// Leads the child through its two steps: it says "left" when it is in its namespaces and gets its ids then; it says
/// "ready" when it has all that it needs.
fn lead(socket: &mut UnixStream, child: &Child, map: &ids::Map) -> Result<(), Obstacle> {
    for wanted in ["left", "ready"] {
        match wire::receive(socket).ok().flatten().as_deref() {
            Some([word]) if word == wanted => {}
            Some([what, errno]) => {
                let errno = rustix::io::Errno::from_raw_os_error(errno.parse().unwrap_or(0));
                return Err(of_kernel(what, errno));
            }
            _ => return Err(Obstacle::without_hint("the child process went away")),
        }
        if wanted == "left" {
            map.write(child.id())?;
            let _ = wire::send(socket, &["go"]);
        }
    }
    Ok(())
}

/// Removes what an ended child left, if anything is there.
fn remove(mode: Mode, left: &[Leftover], arguments: &[OsString]) {
    let Some(program) = arguments.first() else { return };
    if left.iter().any(Leftover::exists) {
        // In the same mode, because only there the ids that own the files exist.
        let mut arguments = vec![program.clone(), janitor::REMOVE.into()];
        arguments.extend(left.iter().flat_map(Leftover::to_arguments));
        let _ = start(mode, &[], &arguments, "", &|_| {});
    }
}
