//! The child's side: enter the mode, tell the parent how that went, and start the program with its own arguments.
#![allow(unsafe_code, reason = "unshare and descriptors of the parent have no safe form")]

use super::held::{Handover, Held, Invocation};
use super::janitor::Janitor;
use super::mode::Mode;
use super::refusal::MAKE_USER_NAMESPACE;
use crate::wire;
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::process::{self, Signal};
use rustix::thread::UnshareFlags;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// First argument of the stage that enters a mode. After it come: the descriptor of the socket to the parent, the mode,
/// what is in the way of better modes, and the program with its arguments.
pub(crate) const STAGE: &str = "__rootstrap-namespace";
/// First argument of the program once it runs in its mode; the other arguments are those of [`STAGE`].
pub(crate) const INSIDE: &str = "__rootstrap-inside";

/// Enters the mode and starts the program again there, or tells the parent why that fails. Returns only on failure.
pub(crate) fn stage(arguments: &[OsString]) {
    let [descriptor, mode, obstacles, program, rest @ ..] = arguments else { return };
    let (Some(mut socket), Some(mode)) = (socket(descriptor), mode.to_str().and_then(Mode::from_name)) else { return };
    match leave(mode, &mut socket) {
        Ok(()) => {
            // Here this process notices a parent that died before `leave` asked for the signal of its death.
            if wire::send(&mut socket, &["ready"]).is_err() {
                return;
            }
            let mut command = Command::new("/proc/self/exe");
            command.arg(INSIDE).arg(socket.as_raw_fd().to_string()).arg(mode.name()).arg(obstacles);
            let _ = command.arg(program).args(rest).exec();
        }
        Err((what, errno)) => {
            let _ = wire::send(&mut socket, &[what, &errno.raw_os_error().to_string()]);
        }
    }
}

/// Receives what the parent hands over. Returns it with the program's own arguments; `None` if the arguments are not
/// those that [`stage`] passes.
pub(crate) fn inside(arguments: &[OsString]) -> Option<Invocation> {
    let [descriptor, mode, obstacles, rest @ ..] = arguments else { return None };
    let mode = Mode::from_name(mode.to_str()?)?;
    let obstacles = obstacles.to_string_lossy().lines().map(str::to_owned).collect();
    let mut socket = socket(descriptor)?;
    let secret = wire::receive(&mut socket).ok()??.concat();
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).ok()?;
    let held = Held { mode, obstacles, janitor: Janitor::new(socket) };
    Some(Invocation { arguments: rest.to_vec(), handover: Some(Handover { held, secret }) })
}

/// Takes over the socket that the parent passed under this number.
fn socket(descriptor: &OsString) -> Option<UnixStream> {
    let number: i32 = descriptor.to_str()?.parse().ok().filter(|number| *number > 2)?;
    // If the number names no socket, a user typed it and no parent passed it.
    // SAFETY: the descriptor is only looked at.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    rustix::net::sockopt::socket_type(borrowed).ok()?;
    // SAFETY: the parent passed this descriptor for this process alone to own.
    Some(unsafe { UnixStream::from_raw_fd(number) })
}

/// Leaves the parent's namespaces for those of `mode`. An error says what this process was doing.
fn leave(mode: Mode, socket: &mut UnixStream) -> Result<(), (&'static str, Errno)> {
    // SAFETY: this stage has one thread and shares no descriptor table.
    let unshare = |flags| unsafe { rustix::thread::unshare_unsafe(flags) };
    if matches!(mode, Mode::Unshare | Mode::Single) {
        unshare(UnshareFlags::NEWUSER).map_err(|errno| (MAKE_USER_NAMESPACE, errno))?;
    }
    let go = wire::send(socket, &["left"]).and_then(|()| wire::receive(socket));
    // Without a go-ahead the parent has told the user what was wrong.
    if !matches!(go, Ok(Some(_))) {
        std::process::exit(1);
    }
    if matches!(mode, Mode::Unshare | Mode::Single) {
        let refused = |errno| ("become root of a user namespace", errno);
        if mode == Mode::Unshare {
            rustix::thread::set_thread_groups(&[]).map_err(refused)?;
        }
        let (uid, gid) = (process::Uid::ROOT, process::Gid::ROOT);
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(refused)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(refused)?;
    }
    if mode != Mode::Chroot {
        let refused = |errno| ("make a mount namespace", errno);
        unshare(UnshareFlags::NEWNS).map_err(refused)?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).map_err(refused)?;
    }
    // Have the kernel signal this process when the parent dies, so that it ends in order. After the change of ids,
    // because that clears the setting. SIGHUP, because the signal may come more than once (for each thread of the
    // parent, kernel/exit.c:reparent_leader) and repeated hangups do not force an immediate end.
    process::set_parent_process_death_signal(Some(Signal::HUP)).map_err(|errno| ("watch the parent process", errno))
}
