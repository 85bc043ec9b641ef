//! The child's side: leave for the mode, say how it went, and start the program with its own arguments.
#![allow(unsafe_code, reason = "unshare and descriptors of the parent have no safe form")]

use super::{HANDED, HELD, Held, Mode, janitor};
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

/// First argument of the stage that leaves; then its descriptor to the parent, the mode, what is in the way of better
/// ones, and the program with its arguments.
pub(crate) const STAGE: &str = "__rootstrap-namespace";
/// First argument of the program once it has what it needs; the others are the same.
pub(crate) const INSIDE: &str = "__rootstrap-inside";

/// Leaves, or tells the parent why not. Returns only if that fails.
pub(crate) fn stage(arguments: &[OsString]) {
    let [descriptor, mode, obstacles, program, rest @ ..] = arguments else { return };
    let (Some(mut socket), Some(mode)) = (socket(descriptor), mode.to_str().and_then(Mode::from_name)) else { return };
    match leave(mode, &mut socket) {
        Ok(()) => {
            // A parent that is gone by now could not tell us any more.
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

/// Remembers what this process holds and returns the program's own arguments.
pub(crate) fn inside(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let [descriptor, mode, obstacles, rest @ ..] = arguments else { return None };
    let mode = Mode::from_name(mode.to_str()?)?;
    let obstacles = obstacles.to_string_lossy().lines().map(str::to_owned).collect();
    let mut socket = socket(descriptor)?;
    let handed = wire::receive(&mut socket).ok()??;
    HANDED.set(handed.concat()).ok()?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).ok()?;
    janitor::remember(socket);
    HELD.set(Held { mode, obstacles }).ok()?;
    Some(rest.to_vec())
}

/// The descriptor the parent passed for us alone to own.
fn socket(descriptor: &OsString) -> Option<UnixStream> {
    let number: i32 = descriptor.to_str()?.parse().ok().filter(|number| *number > 2)?;
    // A number that is no socket came from somebody who typed it.
    // SAFETY: the descriptor is only looked at.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    rustix::net::sockopt::socket_type(borrowed).ok()?;
    // SAFETY: the parent passed this descriptor for us alone to own.
    Some(unsafe { UnixStream::from_raw_fd(number) })
}

fn leave(mode: Mode, socket: &mut UnixStream) -> Result<(), (&'static str, Errno)> {
    // SAFETY: this stage has one thread and shares no descriptor table.
    let unshare = |flags| unsafe { rustix::thread::unshare_unsafe(flags) };
    if matches!(mode, Mode::Unshare | Mode::Single) {
        unshare(UnshareFlags::NEWUSER).map_err(|errno| ("make a user namespace", errno))?;
    }
    let go = wire::send(socket, &["left"]).and_then(|()| wire::receive(socket));
    // The parent tells the user what was wrong.
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
    // After the change of ids, which clears it: end in order when the parent is gone. A hangup, because it may come
    // more than once (for each thread of the parent, kernel/exit.c:reparent_leader) and must not count as impatience.
    process::set_parent_process_death_signal(Some(Signal::HUP)).map_err(|errno| ("watch the parent process", errno))
}
