//! Signals where there is no pid namespace: a script reaches the processes of its own sandbox, and not process 1.
//!
//! A signal to another process is sent by the supervisor through a descriptor of that process. If the kernel sent it by
//! number, the number could belong to a process outside by then.
#![allow(unsafe_code, reason = "rustix sends no signal 0 and no realtime signals")]

use super::reply::Reply;
use super::task::{Task, descriptor, last_error, number};
use crate::calls::Call;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::HashSet;
use std::os::fd::AsRawFd;

/// Another process of the sandbox.
struct Process {
    id: u32,
    parent: u32,
    group: u32,
    /// A later process with the same id has another start time.
    started: String,
}

/// Returns the answer to a call that sends a signal or changes another process; `None` for any other call. `init` is process 1
/// of the sandbox.
pub(super) fn answer(task: &Task<'_>, call: Call, arguments: &[u64; 6], init: u32) -> Option<Reply> {
    let [first, second, ..] = *arguments;
    let kernel_if = |allowed: bool| if allowed { Reply::Kernel } else { Reply::Fails(Errno::PERM) };
    let own = || task.process_of(task.pid);
    let is_own = |id: u32| id == task.pid || own() == Some(id);
    Some(match call {
        Call::Kill => kill(task, descriptor(first), descriptor(second), init),
        Call::Tkill => kernel_if(number(first) == task.pid),
        Call::Tgkill | Call::RtSigqueueinfo | Call::RtTgsigqueueinfo => kernel_if(own() == Some(number(first))),
        // The kernel takes a number, which could belong to a process outside by then. Only the caller's own stays its own.
        Call::SetOfProcess => kernel_if(is_own(number(first))),
        Call::Setpriority | Call::IoprioSet => kernel_if(is_own(number(second))),
        _ => return None,
    })
}

/// kill(2).
fn kill(task: &Task<'_>, target: i32, signal: i32, init: u32) -> Reply {
    let Some(own) = task.process_of(task.pid) else { return Reply::Fails(Errno::SRCH) };
    if u32::try_from(target) == Ok(own) {
        return Reply::Kernel;
    }
    let all = processes(task, init);
    let group = match target {
        0 => all.iter().find(|process| process.id == own).map(|process| process.group),
        _ => Some(target.unsigned_abs()),
    };
    let is_meant = |process: &&Process| match target {
        1.. => process.id == target.unsigned_abs(),
        -1 => process.id != own,
        _ => Some(process.group) == group,
    };
    let mut result = Err(Errno::SRCH);
    for process in all.iter().filter(is_meant) {
        match send(task, process, signal) {
            Err(_) if result.is_ok() => {}
            sent => result = sent,
        }
    }
    result.into()
}

/// Returns the processes that descend from `init`.
fn processes(task: &Task<'_>, init: u32) -> Vec<Process> {
    let mut others: Vec<Process> = task.ids().into_iter().filter_map(|id| process(task, id)).collect();
    let mut known = HashSet::from([init]);
    let mut inside = Vec::new();
    loop {
        let (mut found, rest): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|process| known.contains(&process.parent));
        if found.is_empty() {
            return inside;
        }
        known.extend(found.iter().map(|process| process.id));
        inside.append(&mut found);
        others = rest;
    }
}

fn process(task: &Task<'_>, id: u32) -> Option<Process> {
    let stat = task.stat(id)?;
    let mut fields = stat.split_whitespace().skip(1);
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Process { id, parent, group, started: fields.nth(16)?.to_owned() })
}

/// Sends a signal to a process, if it is still the same and the task may do it.
fn send(task: &Task<'_>, process: &Process, signal: i32) -> Result<(), Errno> {
    let pid = i32::try_from(process.id).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let held = pidfd_open(pid, PidfdFlags::empty());
    if task.start_time(process.id).as_ref() != Some(&process.started) {
        return Err(Errno::SRCH);
    }
    if !task.may_signal(process.id) {
        return Err(Errno::PERM);
    }
    let result = match held {
        // SAFETY: the call takes numbers and a null pointer.
        Ok(held) => unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, held.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
        },
        // Linux before 5.3, or the seccomp profile of a container.
        // SAFETY: the call takes numbers.
        Err(_) => unsafe { libc::kill(pid.as_raw_nonzero().get(), signal).into() },
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}
