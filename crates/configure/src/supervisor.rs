//! Answers the calls of package scripts that the seccomp filter does not let through (`seccomp_unotify(2)`).
//!
//! A script's thread waits in the kernel meanwhile. A thread of this process reads the call's arguments from the script's
//! memory, does what the call asks for, and answers it. Calls that need no special treatment go on to the kernel. Paths
//! are resolved from the script's own root and working directory and never leave that root, whatever links the script has
//! made.
#![allow(unsafe_code, reason = "the ioctls of seccomp have no safe form")]

mod owners;
mod proc;
mod reply;
mod signals;
mod sockets;
mod task;
mod users;

use crate::call_numbers::{TABLES, call};
use crate::calls::Call;
use crate::wire;
use libc::{seccomp_notif, seccomp_notif_resp};
use owners::Ownership;
use reply::Reply;
use rootstrap_rootfs::FakeOwnership;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, SendAncillaryBuffer, SendAncillaryMessage};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use task::Task;
use users::Users;

/// Tells the caller of the sandbox, from inside, that the sandbox is ready. Hands over the descriptor on which supervised
/// calls arrive, if there is one.
pub(crate) fn hand_over(socket: &mut UnixStream, listener: Option<OwnedFd>) -> io::Result<()> {
    wire::send(socket, &["ready"])?;
    let descriptors: Vec<_> = listener.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(b"!")], &mut control, rustix::net::SendFlags::empty())?;
    Ok(())
}

/// Receives the descriptor that [`hand_over`] sends. The caller has read the "ready" before it.
pub(crate) fn take_over(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = rustix::net::RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let mut descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok(descriptors.next().and_then(|mut descriptors| descriptors.next()))
}

/// What the supervisor knows about the sandbox.
pub(crate) struct Setting {
    /// What records owners and device nodes.
    pub fake_ownership: Arc<FakeOwnership>,
    /// Whether scripts have a /proc of their own, and with it namespaces for processes and the network.
    pub has_proc: bool,
    /// Process 1 of the sandbox, or the process that stands for it.
    pub init: u32,
    /// The sandbox's network namespace.
    pub network: Option<OwnedFd>,
    /// Whether the sandbox is being ended, so that no process of it may leave its group.
    pub is_ending: Arc<AtomicBool>,
}

/// Starts the thread that answers calls. It ends with the last process that the filter applies to.
///
/// # Errors
/// /proc cannot be opened, or the thread cannot be started.
pub(crate) fn start(listener: OwnedFd, setting: Setting) -> io::Result<JoinHandle<()>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
    // Let the kernel wake the supervisor on the caller's own processor: most system calls of a script wait for this thread.
    let wake = 1u64; // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6
    // SAFETY: the call takes a number; a kernel that does not know the flag changes nothing.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, wake) };
    let supervisor = Supervisor { listener, proc, setting, users: Users::default() };
    std::thread::Builder::new().name("supervisor".into()).spawn(move || supervisor.run())
}

struct Supervisor {
    listener: OwnedFd,
    /// The /proc that shows this process.
    proc: OwnedFd,
    setting: Setting,
    users: Users,
}

impl Supervisor {
    fn run(&self) {
        let makes_sockets = sockets::enter(self.setting.network.as_ref());
        loop {
            let mut ready = [PollFd::new(&self.listener, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) if ready[0].revents().contains(PollFlags::IN) => self.answer_one(makes_sockets),
                Err(Errno::INTR) => {}
                // No process is left that could make a supervised call.
                _ => return,
            }
        }
    }

    fn answer_one(&self, makes_sockets: bool) {
        // SAFETY: the kernel wants the structure zeroed; all its fields are numbers.
        let mut notification: seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the call fills the structure it is given.
        if unsafe { libc::ioctl(self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notification) } != 0
        {
            // The calling process was killed in the meantime.
            return;
        }
        let seccomp_notif { id, pid, data, .. } = notification;
        let is_native = TABLES.first().is_some_and(|(architecture, _)| *architecture == data.arch);
        let word = if is_native { size_of::<usize>() } else { 4 };
        let task = Task { proc: &self.proc, listener: &self.listener, pid, id, word };
        let number = u32::try_from(data.nr).unwrap_or(u32::MAX);
        let reply = match call(data.arch, number) {
            Some(Call::Socketcall) if !makes_sockets => Reply::Fails(Errno::AFNOSUPPORT),
            Some(call) => self.answer(&task, call, &data.args),
            None => Reply::Kernel,
        };
        let (val, error, flags) = match reply {
            Reply::Answered => return,
            Reply::Value(value) => (value, 0, 0),
            Reply::Fails(errno) => (0, -errno.raw_os_error(), 0),
            Reply::Kernel => (0, 0, u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(1)),
        };
        let answer = seccomp_notif_resp { id, val, error, flags };
        // A failure means that the calling process was killed; it needs no answer.
        // SAFETY: the call reads the structure it is given.
        unsafe { libc::ioctl(self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
    }

    fn answer(&self, task: &Task<'_>, call: Call, arguments: &[u64; 6]) -> Reply {
        let Setting { fake_ownership, has_proc, init, is_ending, .. } = &self.setting;
        if call == Call::SetGroup && is_ending.load(Ordering::Relaxed) {
            return Reply::Fails(Errno::PERM);
        }
        if !has_proc
            && let Some(reply) =
                signals::answer(task, call, arguments, *init).or_else(|| proc::answer(task, call, arguments, *init))
        {
            return reply;
        }
        // Without mounts, calls arrive only because of /proc and signals, except those that make device nodes.
        if !has_proc && !matches!(call, Call::Mknod | Call::Mknodat) {
            return Reply::Kernel;
        }
        let ownership = Ownership { task, fake: fake_ownership };
        (sockets::answer(task, call, arguments))
            .or_else(|| self.users.answer(task, call, arguments))
            .or_else(|| ownership.answer(call, arguments))
            .or_else(|| self.users.create(&ownership, call, arguments))
            .unwrap_or(Reply::Kernel)
    }
}
