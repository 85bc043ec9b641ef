//! Stands in for /proc where it cannot be mounted: a call that names an entry of /proc gets that of the /proc that this
//! process sees. Scripts see the entries about the calling process itself and about the machine, and nothing about other
//! processes, except a few entries of process 1. They can only read them, as in the read-only /proc of the other modes. The
//! files that a process has open are the exception: they belong to the tree.
#![allow(unsafe_code, reason = "one ioctl, and calls that rustix has no form of")]

use super::reply::Reply;
use super::task::{CWD, Task, bytes, descriptor, last_error, number};
use crate::calls::Call;
use rustix::fs::{self, Access, AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
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

/// The entries about the machine that are shown.
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
            let version = || Place::open(task, None, "version".to_owned());
            return is_test.then(|| version().map_or_else(Reply::Fails, |place| open(task, &place, flags.bits())));
        }
        _ => {}
    }
    match find(task, &path, init) {
        Some((process, rest)) => {
            let place = Place::open(task, process, rest);
            Some(place.map_or_else(Reply::Fails, |place| at_place(task, call, &place, arguments)))
        }
        // An entry that is not shown cannot be created either: the directory below /proc is that of the tree.
        None => {
            let is_open = matches!(call, Call::Open | Call::Openat) && path.starts_with(b"/proc/");
            is_open.then_some(Reply::Fails(Errno::NOENT))
        }
    }
}

/// An entry of /proc, named from a directory that is open. The directory of a process shows nothing after the end of the
/// process, whereas its number may belong to another process then.
struct Place {
    directory: OwnedFd,
    path: String,
    /// Whether the entry leads to a file that the process has open, which may be changed as far as the tree allows.
    is_open_file: bool,
}

impl Place {
    /// Opens the directory of a process, or that of the machine's own entries.
    fn open(task: &Task<'_>, process: Option<u32>, path: String) -> Result<Self, Errno> {
        let name = process.map_or_else(|| ".".to_owned(), |pid| pid.to_string());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::openat(task.proc, name, flags, Mode::empty())?;
        // From here on it is certain that the directory is that of the task.
        task.waits()?;
        let is_open_file = process == Some(task.pid) && path.starts_with("fd/");
        Ok(Self { directory, path: if path.is_empty() { ".".to_owned() } else { path }, is_open_file })
    }

    fn path(&self) -> Result<CString, Errno> {
        CString::new(self.path.as_str()).map_err(|_| Errno::INVAL)
    }
}

/// Executes a call on an entry of this process's /proc.
fn at_place(task: &Task<'_>, call: Call, place: &Place, arguments: &[u64; 6]) -> Reply {
    let [_, second, third, fourth, fifth, _] = *arguments;
    let changes = matches!(
        call,
        Call::Chmod | Call::Fchmodat | Call::Chown | Call::Lchown | Call::Fchownat | Call::Utimensat | Call::Setxattr
    );
    if changes && !place.is_open_file {
        return Reply::Fails(Errno::ROFS);
    }
    let Place { directory, path, .. } = place;
    let follow = |flags: u32| flags & AtFlags::SYMLINK_NOFOLLOW.bits() == 0;
    let owners = |uid: u64, gid: u64| {
        let some = |id: u64| Some(number(id)).filter(|id| *id != u32::MAX);
        let (uid, gid) = (some(uid).map(Uid::from_raw), some(gid).map(Gid::from_raw));
        fs::chownat(directory, path, uid, gid, AtFlags::empty()).into()
    };
    let mode = |mode: u64| fs::chmodat(directory, path, Mode::from_raw_mode(number(mode)), AtFlags::empty()).into();
    let access = |mode: u64| {
        let mode = Access::from_bits_truncate(number(mode));
        if mode.contains(Access::WRITE_OK) && !place.is_open_file {
            return Reply::Fails(Errno::ROFS);
        }
        fs::accessat(directory, path, mode, AtFlags::empty()).into()
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

/// Returns where in this process's /proc the entry of a path is: the process, unless it is an entry of the machine, and the
/// path from there. `None` if it is not shown.
fn find(task: &Task<'_>, path: &[u8], init: u32) -> Option<(Option<u32>, String)> {
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
                return (!climbs).then(|| (None, below.to_owned()));
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
    (is_shown && is_allowed).then(|| (Some(pid), rest.to_owned()))
}

/// Opens an entry and gives the open file to the task.
fn open(task: &Task<'_>, place: &Place, flags: u32) -> Reply {
    let wanted = OFlags::from_bits_retain(flags);
    if !place.is_open_file && wanted.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC) {
        return Reply::Fails(Errno::ROFS);
    }
    // The program of an emulated process is the host's emulator. Whoever has it open can change its mode and owner.
    if place.path == "exe" && !leads_inside(task, place) {
        return Reply::Fails(Errno::ACCESS);
    }
    // Never wait for the other end of a FIFO: all other calls of the scripts would wait too.
    let own = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let opened = fs::openat(&place.directory, &place.path, wanted | own, Mode::empty());
    let opened = opened.and_then(|file| if is_proc_directory(&file)? { Err(Errno::NOENT) } else { Ok(file) });
    let result = opened.and_then(|file| {
        if !wanted.intersects(OFlags::NONBLOCK | OFlags::PATH) {
            fs::fcntl_setfl(&file, fs::fcntl_getfl(&file)?.difference(OFlags::NONBLOCK))?;
        }
        task.give(&file, wanted.contains(OFlags::CLOEXEC))
    });
    result.map_or_else(Reply::Fails, |()| Reply::Answered)
}

/// Whether a link of /proc leads to a file below the root of the task.
fn leads_inside(task: &Task<'_>, place: &Place) -> bool {
    let text = fs::readlinkat(&place.directory, &place.path, Vec::new());
    text.is_ok_and(|text| task.is_below_root(text.as_bytes()))
}

/// Whether this is a directory of /proc, from which the root of any process can be reached.
fn is_proc_directory(file: &OwnedFd) -> Result<bool, Errno> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    let is_directory = fs::FileType::from_raw_mode(fs::fstat(file)?.st_mode) == fs::FileType::Directory;
    let kind = u64::try_from(fs::fstatfs(file)?.f_type).unwrap_or(0);
    Ok(is_directory && kind == PROC_SUPER_MAGIC)
}

fn stat(task: &Task<'_>, place: &Place, follow: bool, address: u64) -> Reply {
    let fill = || {
        let path = place.path()?;
        // SAFETY: all fields are numbers.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
        // SAFETY: the call reads a string and fills the structure it is given.
        let result = unsafe { libc::fstatat(place.directory.as_raw_fd(), path.as_ptr(), &raw mut stat, flags) };
        if result != 0 { Err(last_error()) } else { task.write(address, &bytes(&stat)) }
    };
    fill().into()
}

fn statx(task: &Task<'_>, place: &Place, flags: u32, mask: u32, address: u64) -> Reply {
    let fill = || {
        let path = place.path()?;
        // SAFETY: all fields are numbers.
        let mut statx: libc::statx = unsafe { std::mem::zeroed() };
        let flags = flags.cast_signed();
        // SAFETY: the call reads a string and fills the structure it is given.
        let result = unsafe { libc::statx(place.directory.as_raw_fd(), path.as_ptr(), flags, mask, &raw mut statx) };
        if result != 0 { Err(last_error()) } else { task.write(address, &bytes(&statx)) }
    };
    fill().into()
}

fn readlink(task: &Task<'_>, place: &Place, address: u64, room: u64) -> Reply {
    let read = || {
        let text = fs::readlinkat(&place.directory, &place.path, Vec::new())?.into_bytes();
        let text = task.inside_root(text);
        let text = text.get(..usize::try_from(room).unwrap_or(0)).unwrap_or(&text);
        task.write(address, text)?;
        Ok(i64::try_from(text.len()).unwrap_or(0))
    };
    read().map_or_else(Reply::Fails, Reply::Value)
}

fn touch(task: &Task<'_>, place: &Place, times: u64) -> Result<(), Errno> {
    let path = place.path()?;
    let times = if times == 0 { None } else { Some(task.read(times, size_of::<[libc::timespec; 2]>())?) };
    let times = times.map(|bytes| {
        // SAFETY: the structure is plain numbers, and there are as many bytes.
        unsafe { bytes.as_ptr().cast::<[libc::timespec; 2]>().read_unaligned() }
    });
    let pointer = times.as_ref().map_or(std::ptr::null(), |times| times.as_ptr());
    // SAFETY: the call reads a string and, unless null, two times.
    let result = unsafe { libc::utimensat(place.directory.as_raw_fd(), path.as_ptr(), pointer, 0) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// The longest value of an extended attribute, in bytes (`XATTR_SIZE_MAX`).
const VALUE: u64 = 65536;

/// Returns the entry as a path of this process, because the xattr calls take no directory to start from, and the name of
/// the attribute.
fn attributed(task: &Task<'_>, place: &Place, name: u64) -> Result<(String, Vec<u8>), Errno> {
    Ok((format!("/proc/self/fd/{}/{}", place.directory.as_raw_fd(), place.path), task.path(name)?))
}

fn set_attribute(task: &Task<'_>, place: &Place, arguments: &[u64; 6]) -> Result<(), Errno> {
    let [_, name, value, size, flags, _] = *arguments;
    let (path, name) = attributed(task, place, name)?;
    let value = task.read(value, usize::try_from(size.min(VALUE)).unwrap_or(0))?;
    fs::setxattr(path, OsStr::from_bytes(&name), &value, fs::XattrFlags::from_bits_retain(number(flags)))
}

fn attribute(task: &Task<'_>, place: &Place, arguments: &[u64; 6]) -> Result<i64, Errno> {
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
        let place = Place::open(task, Some(task.pid), format!("fd/{file}"))?;
        fs::linkat(&place.directory, &place.path, &parent, name, AtFlags::SYMLINK_FOLLOW)
    };
    Some(link().into())
}
