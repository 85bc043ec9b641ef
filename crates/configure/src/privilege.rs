//! The rights a build needs: to own files as other users and to make namespaces.
//!
//! Everything after the arguments are read runs as root of *some* user namespace, with mounts of its own. Real root
//! gets a private mount namespace in place; anybody else is started again as root of a user namespace, whose ids
//! come from `/etc/subuid` and `/etc/subgid` by way of the setuid helpers newuidmap(1) and newgidmap(1).
#![allow(unsafe_code, reason = "unshare has no safe form")]

use crate::Error;
use rustix::mount::MountPropagationFlags;
use rustix::process::{self, Pid, Signal};
use rustix::thread::{CapabilitySet, UnshareFlags};
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

/// First argument of the stage that leaves for a user namespace and then starts the program as it was; the second is
/// its descriptor to the caller.
pub(crate) const STAGE: &str = "__rootstrap-namespace";

/// How this process goes on.
pub enum Rights {
    /// Here, with what it needs.
    Here,
    /// In a child that has what it needs and has ended with this status.
    Elsewhere(u8),
}

/// Obtains what a build needs. Must be called while the process has one thread.
///
/// `child` is called with the process that goes on in this one's place, so that signals can be passed to it.
///
/// # Errors
/// There is no way to the rights; the error says what would open one.
pub fn enter(child: &dyn Fn(u32)) -> Result<Rights, Error> {
    let capabilities = rustix::thread::capabilities(None).map(|sets| sets.effective).unwrap_or(CapabilitySet::empty());
    if process::geteuid().is_root() && capabilities.contains(CapabilitySet::SYS_ADMIN) {
        if mapped_ids() < 65535 {
            return Err(refusal(
                "this user namespace has only a few user ids".to_owned(),
                "run rootstrap outside of it: it makes a namespace of its own from /etc/subuid",
            ));
        }
        private_mounts().map_err(|errno| refusal(format!("the kernel refuses a mount namespace: {errno}"), ""))?;
        return Ok(Rights::Here);
    }
    if process::geteuid().is_root() {
        return Err(refusal(
            "this is root without CAP_SYS_ADMIN, as in a plain container".to_owned(),
            "run the container with --cap-add SYS_ADMIN and a seccomp profile that allows mounts (--privileged has both)",
        ));
    }
    start_again(child).map(Rights::Elsewhere)
}

/// How many user ids this namespace has (user_namespaces(7)).
fn mapped_ids() -> u64 {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    // No map to read: no namespaces, so all of them.
    if map.is_empty() { u64::MAX } else { counts.sum() }
}

fn refusal(reason: String, hint: &str) -> Error {
    Error::Privilege { reason, hint: hint.to_owned() }
}

fn private_mounts() -> rustix::io::Result<()> {
    // SAFETY: the process has one thread (a contract of `enter`), and no descriptor table is unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)? };
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

/// Starts this program again and, once it has left for a user namespace, maps its ids.
fn start_again(child: &dyn Fn(u32)) -> Result<u8, Error> {
    let (uid, gid) = (process::getuid(), process::getgid());
    let (users, groups) = (subordinate("/etc/subuid", uid.as_raw())?, subordinate("/etc/subgid", uid.as_raw())?);
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| refusal(format!("{what}: {error}"), "")
    };
    let (mut ours, theirs) = UnixStream::pair().map_err(failed("cannot make a socket"))?;
    rustix::io::fcntl_setfd(&theirs, rustix::io::FdFlags::empty())
        .map_err(|errno| failed("cannot pass a socket on")(errno.into()))?;
    let mut running = Command::new("/proc/self/exe")
        // Signals of the terminal come to us, and we pass them on once.
        .process_group(0)
        .arg(STAGE)
        .arg(theirs.as_raw_fd().to_string())
        .args(std::env::args_os())
        .spawn()
        .map_err(failed("cannot start a process"))?;
    drop(theirs);
    child(running.id());
    let mut left = [0];
    let result = match ours.read_exact(&mut left) {
        Ok(()) => map_ids("newuidmap", running.id(), uid.as_raw(), users)
            .and_then(|()| map_ids("newgidmap", running.id(), gid.as_raw(), groups)),
        // It says itself why it could not leave.
        Err(_) => Ok(()),
    };
    if result.is_ok() {
        let _ = ours.write_all(&[1]);
    }
    // Without a go-ahead the child ends by itself.
    drop(ours);
    let status = running.wait().map_err(failed("cannot wait for a process"))?;
    result?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(1))
}

/// The child's side: leave, wait for the ids, be root, and start the program again with its own arguments.
pub(crate) fn stage(descriptor: &str, program: &OsStr, arguments: &[OsString]) -> Error {
    match become_root(descriptor) {
        Err(error) => error,
        Ok(()) => {
            let failure = Command::new("/proc/self/exe").arg0(program).args(arguments).exec();
            refusal(format!("cannot start again: {failure}"), "")
        }
    }
}

fn become_root(descriptor: &str) -> Result<(), Error> {
    let number = descriptor.parse().ok().filter(|number| *number > 2);
    let number = number.ok_or_else(|| refusal("the caller is not reachable".to_owned(), ""))?;
    // SAFETY: the parent passed this descriptor for us alone to own.
    let mut socket: UnixStream = unsafe { <UnixStream as std::os::fd::FromRawFd>::from_raw_fd(number) };
    // SAFETY: this stage has one thread and shares no descriptor table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }.map_err(explain_refusal)?;
    let mut go = [0];
    // The parent tells the user what was wrong.
    if socket.write_all(&[1]).is_err() || socket.read_exact(&mut go).is_err() {
        std::process::exit(1);
    }
    let refused = |errno| refusal(format!("cannot become root of the namespace: {errno}"), "");
    rustix::thread::set_thread_groups(&[]).map_err(refused)?;
    let (uid, gid) = (process::Uid::ROOT, process::Gid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(refused)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(refused)?;
    // After the change of ids, which clears it: end in order when the parent is gone. A hangup, because it may come
    // more than once (for each thread of the parent, kernel/exit.c:reparent_leader) and must not count as impatience.
    process::set_parent_process_death_signal(Some(Signal::HUP)).map_err(refused)
}

fn explain_refusal(errno: rustix::io::Errno) -> Error {
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let hint = if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        "AppArmor restricts user namespaces here: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, \
         or run rootstrap as root"
    } else if read("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        "user namespaces are switched off here: sudo sysctl -w kernel.unprivileged_userns_clone=1, or run rootstrap \
         as root"
    } else if read("/proc/sys/user/max_user_namespaces") == "0" {
        "user namespaces are switched off here: sudo sysctl -w user.max_user_namespaces=15000, or run rootstrap as root"
    } else {
        "a container's seccomp filter may forbid it; run rootstrap as root, or allow user namespaces there"
    };
    refusal(format!("the kernel refuses a user namespace: {errno}"), hint)
}

/// The first range of subordinate ids of the caller, by number or name (subuid(5)).
fn subordinate(file: &str, uid: u32) -> Result<(u32, u32), Error> {
    let name = user_name(uid);
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let range = text.lines().find_map(|line| {
        let mut words = line.trim().split(':');
        let owner = words.next()?;
        let (start, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let ours = owner == uid.to_string() || Some(owner) == name.as_deref();
        // Debian and Ubuntu number their users up to 65534.
        (ours && count >= 65535).then_some((start, count))
    });
    let user = name.unwrap_or_else(|| uid.to_string());
    range.ok_or_else(|| {
        refusal(
            format!("{user} has no range of 65536 ids in {file}"),
            &format!("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"),
        )
    })
}

fn user_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut words = line.split(':');
        let name = words.next()?;
        (words.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Id 0 is the caller, the others come from the range.
fn map_ids(helper: &str, process: u32, own: u32, (start, count): (u32, u32)) -> Result<(), Error> {
    let words = [process, 0, own, 1, 1, start, count].map(|number| number.to_string());
    match Command::new(helper).args(&words).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(refusal(
            format!("{helper} failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
            "check the caller's ranges in /etc/subuid and /etc/subgid",
        )),
        Err(error) => Err(refusal(
            format!("cannot run {helper}: {error}"),
            "install it (package uidmap), or run rootstrap as root",
        )),
    }
}

/// Asks a process to end, as a terminal would.
pub fn interrupt(process_id: u32) {
    if let Some(pid) = i32::try_from(process_id).ok().and_then(Pid::from_raw) {
        let _ = process::kill_process(pid, Signal::TERM);
    }
}
