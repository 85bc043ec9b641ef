//! Answers the calls of package scripts that the kernel cannot let through: `seccomp_unotify(2)`.
//!
//! A script's thread waits in the kernel while a thread of ours reads what it asked for from its memory, does it, and says
//! how it went; what is nothing special goes on to the kernel. Paths are resolved from the script's own root and working
//! directory and never leave that root, whatever links it has made.
#![allow(unsafe_code, reason = "the ioctls of seccomp have no safe form")]

mod owners;
mod proc;
mod task;
mod users;

use crate::calls::{Call, call};
use crate::wire;
use libc::{seccomp_notif, seccomp_notif_resp};
use rootstrap_rootfs::Aside;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, SendAncillaryBuffer, SendAncillaryMessage};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use task::Task;
use users::Users;

/// What becomes of a call.
enum Reply {
    /// It returns this number.
    Value(i64),
    /// It fails.
    Fails(Errno),
    /// The kernel makes it as if nobody had asked.
    Kernel,
    /// It was answered already.
    Answered,
}

impl From<Result<(), Errno>> for Reply {
    fn from(result: Result<(), Errno>) -> Self {
        result.map_or_else(Self::Fails, |()| Self::Value(0))
    }
}

/// From inside the sandbox: "ready", and the descriptor on which questions arrive, if there will be any.
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

/// The other side of [`hand_over`], after "ready" was read.
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

/// Starts the thread that answers. It ends with the last process that can ask.
///
/// # Errors
/// /proc is not there.
pub(crate) fn start(listener: OwnedFd, aside: Arc<Aside>, has_proc: bool, init: u32) -> io::Result<JoinHandle<()>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
    // Most system calls a script makes wait for this thread: it must not wait for another processor to wake up.
    let wake = 1u64; // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6
    // SAFETY: the call takes a number; a kernel that does not know it changes nothing.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, wake) };
    let supervisor = Supervisor { listener, proc, aside, users: Users::default(), has_proc, init };
    std::thread::Builder::new().name("supervisor".into()).spawn(move || supervisor.run())
}

struct Supervisor {
    listener: OwnedFd,
    /// The /proc this process is in.
    proc: OwnedFd,
    aside: Arc<Aside>,
    users: Users,
    /// Whether scripts have a /proc of their own.
    has_proc: bool,
    /// Process 1 of the sandbox, or what stands for it.
    init: u32,
}

impl Supervisor {
    fn run(&self) {
        loop {
            let mut ready = [PollFd::new(&self.listener, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) if ready[0].revents().contains(PollFlags::IN) => self.answer_one(),
                Err(Errno::INTR) => {}
                // Nobody is left to ask.
                _ => return,
            }
        }
    }

    fn answer_one(&self) {
        // SAFETY: the kernel wants the structure zeroed; all its fields are numbers.
        let mut asked: seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the call fills the structure it is given.
        if unsafe { libc::ioctl(self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked) } != 0 {
            // Killed in the meantime.
            return;
        }
        let task = Task { proc: &self.proc, listener: &self.listener, pid: asked.pid, id: asked.id };
        let number = u32::try_from(asked.data.nr).unwrap_or(u32::MAX);
        let reply = match call(asked.data.arch, number) {
            Some(call) => self.answer(&task, call, &asked.data.args),
            None => Reply::Kernel,
        };
        let (val, error, flags) = match reply {
            Reply::Answered => return,
            Reply::Value(value) => (value, 0, 0),
            Reply::Fails(errno) => (0, -errno.raw_os_error(), 0),
            Reply::Kernel => (0, 0, u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(1)),
        };
        let answer = seccomp_notif_resp { id: asked.id, val, error, flags };
        // Who was killed in the meantime needs no answer.
        // SAFETY: the call reads the structure it is given.
        unsafe { libc::ioctl(self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
    }

    fn answer(&self, task: &Task<'_>, call: Call, arguments: &[u64; 6]) -> Reply {
        if !self.has_proc
            && let Some(reply) = proc::answer(task, call, arguments, self.init)
        {
            return reply;
        }
        let of_proc_only = !self.has_proc && !matches!(call, Call::Mknod | Call::Mknodat);
        if of_proc_only {
            return Reply::Kernel;
        }
        let of_users = self.users.answer(task, call, arguments);
        of_users.unwrap_or_else(|| owners::answer(task, &self.aside, &self.users, call, arguments))
    }
}
