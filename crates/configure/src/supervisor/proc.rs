//! Stands in for /proc where it cannot be mounted: a call that names an entry of /proc gets that of the /proc that this
//! process sees. Scripts see the entries about the calling process itself and about the machine, and nothing about other
//! processes, except a few entries of process 1.
#![allow(unsafe_code, reason = "one ioctl, and calls that rustix has no form of")]

use super::reply::Reply;
use super::task::{CWD, Task, bytes, descriptor, last_error, number};
use crate::calls::Call;
use rustix::fs::{self, Access, AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// The entries of the calling process that are shown.
const OWN: [&str; 22] = [
    "attr",
    "auxv",
    "cgroup",
    "cmdline",
    "comm",
    "cwd",
    "environ",
    "exe",
    "fd",
    "fdinfo",
    "limits",
    "loginuid",
    "maps",
    "mountinfo",
    "mounts",
    "oom_score_adj",
    "root",
    "sessionid",
    "stat",
    "statm",
    "status",
    "uid_map",
];

/// The entries about the machine that are shown. Those in `sys` can be read only.
const MACHINE: [&str; 14] = [
    "cmdline",
    "cpuinfo",
    "devices",
    "filesystems",
    "loadavg",
    "meminfo",
    "misc",
    "modules",
    "partitions",
    "stat",
    "swaps",
    "sys",
    "uptime",
    "version",
];

/// Returns the answer to a call that names an entry of /proc; `None` for any other call. `init` is the process that
/// scripts see as process 1.
pub(super) fn answer(task: &Task<'_>, call: Call, arguments: &[u64; 6], init: u32) -> Option<Reply> {
    let [first, second, third, ..] = *arguments;
    let path = match call {
        Call::Mknod | Call::Mknodat => return None,
        Call::Open
        | Call::Stat
        | Call::Lstat
        | Call::Stat64
        | Call::Lstat64
        | Call::Access
        | Call::Readlink
        | Call::Chmod
        | Call::Chown
        | Call::Lchown
        | Call::Statfs
        | Call::Setxattr
        | Call::Getxattr => first,
        _ => second,
    };
    // Some calls name the file by a descriptor alone, and pass a null pointer.
    let path = if path == 0 { Vec::new() } else { task.path(path).ok()? };
    let is_proc = matches!(path.as_slice(), b"/proc" | b"/proc/");
    match call {
        Call::Linkat => return link(task, descriptor(first), &path, arguments),
        Call::Statfs => return is_proc.then(|| statfs(task, second).into()),
        Call::Openat if is_proc => {
            // Programs open /proc as a path and ask the open file whether /proc is mounted (fstatfs(2)); it has to seem so.
            // The directory itself would lead to every process, so they get a file of it.
            let flags = OFlags::from_bits_retain(number(third));
            let is_test = flags.contains(OFlags::PATH) && !flags.contains(OFlags::DIRECTORY);
            return is_test.then(|| open(task, OsStr::new("version"), flags.bits()));
        }
        _ => {}
    }
    match place(task, &path, init) {
        Some(place) => Some(at_place(task, call, OsStr::from_bytes(&place), arguments)),
        // An entry that is not shown cannot be created either: the directory below /proc is that of the tree.
        None => {
            let is_open = matches!(call, Call::Open | Call::Openat) && path.starts_with(b"/proc/");
            is_open.then_some(Reply::Fails(Errno::NOENT))
        }
    }
}

/// Executes a call on the entry `place` of this process's /proc.
fn at_place(task: &Task<'_>, call: Call, place: &OsStr, arguments: &[u64; 6]) -> Reply {
    let [_, second, third, fourth, fifth, _] = *arguments;
    let follow = |flags: u32| flags & AtFlags::SYMLINK_NOFOLLOW.bits() == 0;
    let owners = |uid: u64, gid: u64| {
        let some = |id: u64| Some(number(id)).filter(|id| *id != u32::MAX);
        let (uid, gid) = (some(uid).map(Uid::from_raw), some(gid).map(Gid::from_raw));
        fs::chownat(task.proc, place, uid, gid, AtFlags::empty()).into()
    };
    let mode = |mode: u64| fs::chmodat(task.proc, place, Mode::from_raw_mode(number(mode)), AtFlags::empty()).into();
    let access = |mode: u64| {
        let mode = Access::from_bits_truncate(number(mode));
        fs::accessat(task.proc, place, mode, AtFlags::empty()).into()
    };
    match call {
        Call::Open => open(task, place, number(second)),
        Call::Openat => open(task, place, number(third)),
        Call::Stat => stat(task, place, true, second),
        Call::Lstat => stat(task, place, false, second),
        Call::Fstatat => stat(task, place, follow(number(fourth)), third),
        Call::Statx => statx(task, place, number(third), number(fourth), fifth),
        Call::Access => access(second),
        Call::Faccessat => access(third),
        Call::Readlink => readlink(task, place, second, third),
        Call::Readlinkat => readlink(task, place, third, fourth),
        Call::Chmod => mode(second),
        Call::Fchmodat => mode(third),
        Call::Chown | Call::Lchown => owners(second, third),
        Call::Fchownat => owners(third, fourth),
        Call::Utimensat => touch(task, place, third).into(),
        Call::Setxattr => set_attribute(task, place, arguments).into(),
        Call::Getxattr => attribute(task, place, arguments).map_or_else(Reply::Fails, Reply::Value),
        _ => Reply::Kernel,
    }
}

/// Returns where in this process's /proc the entry of a path is; `None` if it is not shown.
fn place(task: &Task<'_>, path: &[u8], init: u32) -> Option<Vec<u8>> {
    let path = std::str::from_utf8(path).ok()?;
    let own = match path.strip_prefix("/dev/") {
        Some("stdin") => Some("fd/0"),
        Some("stdout") => Some("fd/1"),
        Some("stderr") => Some("fd/2"),
        Some(rest) => rest.strip_prefix("fd").filter(|rest| rest.is_empty() || rest.starts_with('/')).map(|_| rest),
        None => None,
    };
    let (pid, rest) = match own {
        Some(rest) => (task.pid, rest),
        None => {
            let below = path.strip_prefix("/proc/")?.trim_start_matches('/');
            // /proc/mounts is a link to an entry of the process itself.
            let below = if below == "mounts" { "self/mounts" } else { below };
            let (first, rest) = below.split_once('/').unwrap_or((below, ""));
            if MACHINE.contains(&first) {
                let climbs = rest.split('/').any(|part| part == "..");
                return (!climbs).then(|| below.as_bytes().to_vec());
            }
            let pid = match first {
                "self" | "thread-self" => task.pid,
                "1" => init,
                other => other.parse().ok().filter(|pid| *pid == task.pid)?,
            };
            (pid, rest)
        }
    };
    let rest = rest.trim_matches('/');
    let (first, below) = rest.split_once('/').unwrap_or((rest, ""));
    // A path that goes on behind a link such as `cwd` or `root` would lead out of the task's root.
    let is_shown = match (first, below) {
        ("", _) => true,
        ("fd" | "fdinfo", below) => below.bytes().all(|byte| byte.is_ascii_digit()),
        ("attr", below) => !below.split('/').any(|part| part == ".."),
        (first, "") => OWN.contains(&first),
        _ => false,
    };
    let is_allowed =
        pid == task.pid || matches!(first, "root" | "cmdline" | "comm" | "cgroup" | "environ" | "stat" | "status");
    (is_shown && is_allowed).then(|| format!("{pid}/{rest}").trim_end_matches('/').as_bytes().to_vec())
}

/// Opens an entry and gives the open file to the task.
fn open(task: &Task<'_>, place: &OsStr, flags: u32) -> Reply {
    let is_of_machine = !place.as_bytes().first().is_some_and(u8::is_ascii_digit);
    let flags = OFlags::from_bits_retain(flags);
    if is_of_machine && flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Reply::Fails(Errno::ROFS);
    }
    let opened = fs::openat(task.proc, place, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty());
    let opened = opened.and_then(|file| if is_proc_directory(&file)? { Err(Errno::NOENT) } else { Ok(file) });
    let result = opened.and_then(|file| task.give(&file, flags.contains(OFlags::CLOEXEC)));
    result.map_or_else(Reply::Fails, |()| Reply::Answered)
}

/// Whether this is a directory of /proc, from which the root of any process can be reached.
fn is_proc_directory(file: &OwnedFd) -> Result<bool, Errno> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    let is_directory = fs::FileType::from_raw_mode(fs::fstat(file)?.st_mode) == fs::FileType::Directory;
    let kind = u64::try_from(fs::fstatfs(file)?.f_type).unwrap_or(0);
    Ok(is_directory && kind == PROC_SUPER_MAGIC)
}

fn text(path: &OsStr) -> Result<std::ffi::CString, Errno> {
    std::ffi::CString::new(path.as_bytes()).map_err(|_| Errno::INVAL)
}

fn stat(task: &Task<'_>, place: &OsStr, follow: bool, address: u64) -> Reply {
    let fill = || {
        let path = text(place)?;
        // SAFETY: all fields are numbers.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
        // SAFETY: the call reads a string and fills the structure it is given.
        let result = unsafe { libc::fstatat(task.proc.as_raw_fd(), path.as_ptr(), &raw mut stat, flags) };
        if result != 0 { Err(last_error()) } else { task.write(address, &bytes(&stat)) }
    };
    fill().into()
}

fn statx(task: &Task<'_>, place: &OsStr, flags: u32, mask: u32, address: u64) -> Reply {
    let fill = || {
        let path = text(place)?;
        // SAFETY: all fields are numbers.
        let mut statx: libc::statx = unsafe { std::mem::zeroed() };
        let flags = flags.cast_signed();
        // SAFETY: the call reads a string and fills the structure it is given.
        let result = unsafe { libc::statx(task.proc.as_raw_fd(), path.as_ptr(), flags, mask, &raw mut statx) };
        if result != 0 { Err(last_error()) } else { task.write(address, &bytes(&statx)) }
    };
    fill().into()
}

fn readlink(task: &Task<'_>, place: &OsStr, address: u64, room: u64) -> Reply {
    let read = || {
        let text = fs::readlinkat(task.proc, place, Vec::new())?.into_bytes();
        let text = task.inside_root(text);
        let text = text.get(..usize::try_from(room).unwrap_or(0)).unwrap_or(&text);
        task.write(address, text)?;
        Ok(i64::try_from(text.len()).unwrap_or(0))
    };
    read().map_or_else(Reply::Fails, Reply::Value)
}

fn touch(task: &Task<'_>, place: &OsStr, times: u64) -> Result<(), Errno> {
    let path = text(place)?;
    let times = if times == 0 { None } else { Some(task.read(times, size_of::<[libc::timespec; 2]>())?) };
    let times = times.map(|bytes| {
        // SAFETY: the structure is plain numbers, and there are as many bytes.
        unsafe { bytes.as_ptr().cast::<[libc::timespec; 2]>().read_unaligned() }
    });
    let pointer = times.as_ref().map_or(std::ptr::null(), |times| times.as_ptr());
    // SAFETY: the call reads a string and, unless null, two times.
    let result = unsafe { libc::utimensat(task.proc.as_raw_fd(), path.as_ptr(), pointer, 0) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// The longest value of an extended attribute, in bytes (`XATTR_SIZE_MAX`).
const VALUE: u64 = 65536;

/// Returns the entry as a path of this process, because the xattr calls take no directory to start from, and the name of
/// the attribute.
fn attributed(task: &Task<'_>, place: &OsStr, name: u64) -> Result<(String, Vec<u8>), Errno> {
    let place = place.to_str().ok_or(Errno::INVAL)?;
    Ok((format!("/proc/self/fd/{}/{place}", task.proc.as_raw_fd()), task.path(name)?))
}

fn set_attribute(task: &Task<'_>, place: &OsStr, arguments: &[u64; 6]) -> Result<(), Errno> {
    let [_, name, value, size, flags, _] = *arguments;
    let (path, name) = attributed(task, place, name)?;
    let value = task.read(value, usize::try_from(size.min(VALUE)).unwrap_or(0))?;
    fs::setxattr(path, OsStr::from_bytes(&name), &value, fs::XattrFlags::from_bits_retain(number(flags)))
}

fn attribute(task: &Task<'_>, place: &OsStr, arguments: &[u64; 6]) -> Result<i64, Errno> {
    let [_, name, address, size, ..] = *arguments;
    let (path, name) = attributed(task, place, name)?;
    let mut value = vec![0; usize::try_from(size.min(VALUE)).unwrap_or(0)];
    let length = fs::getxattr(path, OsStr::from_bytes(&name), &mut value)?;
    task.write(address, value.get(..length).unwrap_or_default())?;
    Ok(i64::try_from(length).unwrap_or(0))
}

fn statfs(task: &Task<'_>, address: u64) -> Result<(), Errno> {
    // SAFETY: all fields are numbers.
    let mut statfs: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the call fills the structure it is given.
    if unsafe { libc::fstatfs(task.proc.as_raw_fd(), &raw mut statfs) } != 0 {
        return Err(last_error());
    }
    task.write(address, &bytes(&statfs))
}

/// Gives a name to an open file that was made without one (`O_TMPFILE`). Programs name the file by /proc/self/fd, or by the
/// descriptor itself, for which the kernel wants a capability that scripts do not have.
fn link(task: &Task<'_>, from: i32, path: &[u8], arguments: &[u64; 6]) -> Option<Reply> {
    let [_, _, to, name, flags, _] = *arguments;
    let flags = AtFlags::from_bits_retain(number(flags));
    let file = match path.strip_prefix(b"/proc/self/fd/") {
        Some(digits) if flags.contains(AtFlags::SYMLINK_FOLLOW) => std::str::from_utf8(digits).ok()?.parse().ok()?,
        None if path.is_empty() && flags.contains(AtFlags::EMPTY_PATH) && from != CWD => from,
        _ => return None,
    };
    let link = || {
        let (parent, name) = task.parent(descriptor(to), &task.path(name)?)?;
        let place = format!("{}/fd/{file}", task.pid);
        task.waits()?;
        fs::linkat(task.proc, place, &parent, name, AtFlags::SYMLINK_FOLLOW)
    };
    Some(link().into())
}
