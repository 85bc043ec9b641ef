//! The rights a build needs: to own files as other users and to make namespaces.
//!
//! Everything after the arguments are read runs as root of *some* user namespace, in a child of this process, which
//! waits for it: it passes signals on, and removes what a killed child can no longer remove. The child goes up the
//! [`Mode`]s from the best one until one holds.

mod child;
mod ids;
mod janitor;
mod obstacle;

pub(crate) use child::{INSIDE, STAGE, inside, stage};
pub(crate) use ids::identity;
pub(crate) use janitor::{end_orphans, remove_if_asked};
pub use janitor::{on_death_keep, on_death_remove};

use crate::{Error, wire};
use rustix::process::{self, Pid, Signal};
use rustix::thread::CapabilitySet;
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::sync::OnceLock;

/// A way to the rights, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Real root: private mount, pid, ipc, uts and network namespaces.
    Root,
    /// The same in a user namespace with ids from /etc/subuid, or all those root of a container has.
    Unshare,
    /// The same with the caller's own id alone; owners are kept aside.
    Single,
    /// Root that may not mount, as in a plain container: chroot(2) and no namespaces.
    Chroot,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Unshare, Self::Single, Self::Chroot];

    /// As it is written on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Unshare => "unshare",
            Self::Single => "single",
            Self::Chroot => "chroot",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// The mode this process runs in, and why not in a better one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The mode.
    pub mode: Mode,
    /// What was in the way of each better one.
    pub obstacles: Vec<String>,
}

/// Set by the stage that this process came by.
static HELD: OnceLock<Held> = OnceLock::new();

/// The mode this process runs in; [`Mode::Root`] for one that never asked.
#[must_use]
pub fn held() -> Mode {
    HELD.get().map_or(Mode::Root, |held| held.mode)
}

/// How this process goes on.
pub enum Rights {
    /// Here, with what it needs.
    Here(Held),
    /// In a child that has what it needs and has ended with this status.
    Elsewhere(u8),
}

/// What the first process handed to this one, in a way that nobody else sees: see [`enter`].
static HANDED: OnceLock<String> = OnceLock::new();

/// What the first process handed to this one; nothing where this is the first.
#[must_use]
pub fn handed() -> Option<&'static str> {
    HANDED.get().map(String::as_str)
}

/// Obtains what a build needs, in the mode `wanted` or the best one that holds. Must be called while the process has one
/// thread, with the `arguments` that led here (the first is the program's name).
///
/// `secret` goes to the process that goes on in this one's place, which finds it as [`handed`]: what only the caller's own
/// user can find out.
///
/// `child` is called with the process that goes on in this one's place, so that signals can be passed to it.
///
/// # Errors
/// There is no way to the rights; the error says what would open one.
pub fn enter(wanted: Option<Mode>, arguments: &[OsString], secret: &str, child: &dyn Fn(u32)) -> Result<Rights, Error> {
    if let Some(held) = HELD.get() {
        return Ok(Rights::Here(held.clone()));
    }
    let mut refusals: Vec<obstacle::Refusal> = Vec::new();
    let candidates = candidates(wanted);
    for mode in &candidates {
        let obstacles: Vec<String> = refusals.iter().map(obstacle::Refusal::sentence).collect();
        match start(*mode, &obstacles, arguments, secret, child) {
            Ok(code) => return Ok(Rights::Elsewhere(code)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    Err(obstacle::none(refusals))
}

/// The modes to try, by what this process is.
fn candidates(wanted: Option<Mode>) -> Vec<Mode> {
    let admin = capabilities().contains(CapabilitySet::SYS_ADMIN);
    let many = ids::of_this_namespace() >= ids::NEEDED;
    match (wanted, process::geteuid().is_root()) {
        (Some(mode), _) => vec![mode],
        (None, false) => vec![Mode::Unshare, Mode::Single],
        (None, true) if !many => vec![Mode::Single],
        (None, true) if admin => vec![Mode::Root, Mode::Unshare, Mode::Chroot],
        (None, true) => vec![Mode::Unshare, Mode::Chroot],
    }
}

fn capabilities() -> CapabilitySet {
    rustix::thread::capabilities(None).map(|sets| sets.effective).unwrap_or(CapabilitySet::empty())
}

/// Starts this program again in `mode` and waits for its end. Its status, or why the mode does not hold.
fn start(
    mode: Mode,
    obstacles: &[String],
    arguments: &[OsString],
    secret: &str,
    child: &dyn Fn(u32),
) -> Result<u8, obstacle::Refusal> {
    let refused = |reason: String, hint: &str| obstacle::Refusal::new(mode, reason, hint.to_owned());
    obstacle::check(mode)?;
    let map = ids::Map::of(mode).map_err(|(reason, hint)| refused(reason, &hint))?;
    let failed = |what: &'static str| move |error: std::io::Error| refused(format!("cannot {what}: {error}"), "");
    let (mut ours, theirs) = UnixStream::pair().map_err(failed("make a socket"))?;
    rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty())
        .map_err(|errno| failed("pass a socket on")(errno.into()))?;
    let before = janitor::children();
    // What a killed child leaves behind becomes ours to wait for.
    let _ = process::set_child_subreaper(Some(process::getpid()));
    let mut running = Command::new("/proc/self/exe")
        // Signals of the terminal come to us, and we pass them on once.
        .process_group(0)
        .arg(STAGE)
        .arg(theirs.as_raw_fd().to_string())
        .arg(mode.name())
        .arg(obstacles.join("\n"))
        .args(arguments)
        .spawn()
        .map_err(failed("start a process"))?;
    drop(theirs);
    let entered = lead(&mut ours, &running, &map, mode);
    if entered.is_ok() {
        // A child that is gone by now has nothing to do with it.
        let _ = wire::send(&mut ours, &[secret]);
        child(running.id());
    }
    let paths = if entered.is_ok() { janitor::listen(&mut ours) } else { Vec::new() };
    // Without a go-ahead the child ends by itself.
    drop(ours);
    let status = running.wait().map_err(failed("wait for a process"))?;
    entered?;
    if status.signal().is_some() {
        janitor::clean(mode, &paths, arguments, &before);
    }
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(1))
}

/// Leads the child through its steps: it has left, it gets its ids, it has all it needs.
fn lead(socket: &mut UnixStream, child: &Child, map: &ids::Map, mode: Mode) -> Result<(), obstacle::Refusal> {
    for wanted in ["left", "ready"] {
        match wire::receive(socket).ok().flatten().as_deref() {
            Some([word]) if word == wanted => {}
            Some([what, errno]) => {
                let errno = rustix::io::Errno::from_raw_os_error(errno.parse().unwrap_or(0));
                return Err(obstacle::of_kernel(mode, what, errno));
            }
            _ => return Err(obstacle::Refusal::new(mode, "the child process went away".into(), String::new())),
        }
        if wanted == "left" {
            map.write(child.id()).map_err(|(reason, hint)| obstacle::Refusal::new(mode, reason, hint))?;
            let _ = wire::send(socket, &["go"]);
        }
    }
    Ok(())
}

/// Asks a process to end, as a terminal would.
pub fn interrupt(process_id: u32) {
    if let Some(pid) = i32::try_from(process_id).ok().and_then(Pid::from_raw) {
        let _ = process::kill_process(pid, Signal::TERM);
    }
}
