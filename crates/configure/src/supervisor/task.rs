//! A thread of a script that waits for the answer to a call: access to its memory, its descriptors and its paths.
#![allow(unsafe_code, reason = "another process's memory and one ioctl have no safe form")]

use rootstrap_rootfs::path;
use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The longest path with its final NUL, in bytes (`PATH_MAX`).
const LONGEST: usize = 4096;

/// The descriptor that means the working directory.
pub(super) const CWD: i32 = libc::AT_FDCWD;

/// How often a lookup is tried that the kernel gives up.
const RETRIES: usize = 1000;

/// A waiting thread.
pub(super) struct Task<'a> {
    /// The /proc that shows the thread.
    pub proc: &'a OwnedFd,
    /// The descriptor that the call arrived on.
    pub listener: &'a OwnedFd,
    /// The thread's id.
    pub pid: u32,
    /// The call's id, which the kernel gave it.
    pub id: u64,
    /// The size of a `long` of the task's program, in bytes.
    pub word: usize,
}

/// Returns the descriptor in an argument.
#[allow(clippy::cast_possible_truncation, reason = "the kernel takes the lower half too")]
pub(super) fn descriptor(argument: u64) -> i32 {
    argument as i32
}

/// Returns the 32-bit number in an argument.
#[allow(clippy::cast_possible_truncation, reason = "the kernel takes the lower half too")]
pub(super) fn number(argument: u64) -> u32 {
    argument as u32
}

impl Task<'_> {
    /// Checks that the task still waits. If so, all that was read by its process id so far is about itself and not about a
    /// later process with the same id.
    pub(super) fn waits(&self) -> Result<(), Errno> {
        // SAFETY: the call reads one number.
        let result =
            unsafe { libc::ioctl(self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const self.id) };
        if result == 0 { Ok(()) } else { Err(Errno::NOENT) }
    }

    /// Fills `bytes` from the task's memory. Returns how many bytes were copied. They are the task's only if it still waits
    /// afterwards.
    fn copy(&self, address: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        let at = usize::try_from(address).map_err(|_| Errno::FAULT)?;
        let ours = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let theirs = libc::iovec { iov_base: std::ptr::without_provenance_mut(at), iov_len: bytes.len() };
        let pid = i32::try_from(self.pid).map_err(|_| Errno::SRCH)?;
        // SAFETY: `ours` is `bytes`, which lives through the call; `theirs` is checked by the kernel.
        let count = unsafe { libc::process_vm_readv(pid, &raw const ours, 1, &raw const theirs, 1, 0) };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            // The seccomp profiles of containers may refuse this call. A process that may trace the task can also open its
            // memory as a file.
            Err(_) if matches!(last_error(), Errno::PERM | Errno::NOSYS) => {
                rustix::io::pread(self.own("mem", OFlags::RDONLY)?, bytes, address)
            }
            Err(_) => Err(Errno::FAULT),
        }
    }

    /// Writes all of `bytes` to the task's memory.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        // The open file stays that of the task. By a call that takes the process id, the bytes could reach a later process
        // with the same id.
        let memory = self.own("mem", OFlags::RDWR)?;
        self.waits()?;
        let count = rustix::io::pwrite(&memory, bytes, address).map_err(|_| Errno::FAULT)?;
        if count == bytes.len() { Ok(()) } else { Err(Errno::FAULT) }
    }

    /// Reads `length` bytes of the task's memory.
    pub(super) fn read(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; length];
        let count = self.copy(address, &mut bytes)?;
        self.waits()?;
        if count == length { Ok(bytes) } else { Err(Errno::FAULT) }
    }

    /// Reads the NUL-terminated path at an address.
    pub(super) fn path(&self, address: u64) -> Result<Vec<u8>, Errno> {
        let mut path = Vec::new();
        let mut at = address;
        while path.len() < LONGEST {
            // Never read across the end of a page, because the next one may not be mapped.
            let room = 256 - usize::try_from(at % 256).unwrap_or(0);
            let mut bytes = [0; 256];
            let count = self.copy(at, bytes.get_mut(..room).unwrap_or_default())?;
            let bytes = bytes.get(..count).unwrap_or_default();
            if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
                path.extend_from_slice(bytes.get(..end).unwrap_or_default());
                self.waits()?;
                return Ok(path);
            }
            if count < room {
                return Err(Errno::FAULT);
            }
            path.extend_from_slice(bytes);
            at = at.checked_add(room as u64).ok_or(Errno::FAULT)?;
        }
        Err(Errno::NAMETOOLONG)
    }

    /// Opens the task's entry `name` in /proc, such as `root`, `cwd` or `fd/3`.
    fn own(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        fs::openat(self.proc, format!("{}/{name}", self.pid), flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// Opens, as a path only (`O_PATH`), the file that the task has open under a number, or its working directory.
    pub(super) fn held(&self, number: i32) -> Result<OwnedFd, Errno> {
        let name = if number == CWD { "cwd".to_owned() } else { format!("fd/{number}") };
        let held = self.own(&name, OFlags::PATH)?;
        self.waits()?;
        Ok(held)
    }

    fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        fs::readlinkat(self.proc, format!("{}/{name}", self.pid), Vec::new()).map(std::ffi::CString::into_bytes)
    }

    /// Opens, as a path only (`O_PATH`), the entry that `path` names for the task from the directory `from`. It never
    /// reaches an entry outside the task's root.
    pub(super) fn open(&self, from: i32, path: &[u8], follow: bool) -> Result<OwnedFd, Errno> {
        let nofollow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        if let Some(own) = path.strip_prefix(b"/proc/self/fd/")
            && follow
        {
            let number = std::str::from_utf8(own).ok().and_then(|own| own.parse().ok()).ok_or(Errno::NOENT)?;
            return self.held(number);
        }
        // A name in an open directory can be looked up without the task's root.
        if !path.contains(&b'/') && path != b".." {
            let directory = self.held(from)?;
            let entry = fs::openat(&directory, OsStr::from_bytes(path), flags | OFlags::NOFOLLOW, Mode::empty())?;
            if !follow || !is_link(&entry)? {
                return Ok(entry);
            }
        }
        let root = self.own("root", OFlags::PATH | OFlags::DIRECTORY)?;
        let full = if path.starts_with(b"/") { path.to_vec() } else { self.absolute(from, path)? };
        self.waits()?;
        let mut result = Err(Errno::AGAIN);
        // The kernel gives up a lookup with `..` if any file of the system is renamed meanwhile (openat2(2), EAGAIN).
        for _ in 0..RETRIES {
            let (full, resolve) = (OsStr::from_bytes(&full), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS);
            result = fs::openat2(&root, full, flags | nofollow, Mode::empty(), resolve);
            if !matches!(result, Err(Errno::AGAIN)) {
                break;
            }
        }
        result
    }

    /// Opens the directory that holds the last name of `path`. Returns it with that name.
    pub(super) fn parent(&self, from: i32, path: &[u8]) -> Result<(OwnedFd, OsString), Errno> {
        let end = path.len() - path.iter().rev().take_while(|&&byte| byte == b'/').count();
        let path = path.get(..end).unwrap_or_default();
        let (parent, name) = path::split(path);
        let parent = match parent {
            b"" if path.starts_with(b"/") => b"/",
            b"" => b".",
            parent => parent,
        };
        if matches!(name, b"" | b"." | b"..") {
            return Err(Errno::EXIST);
        }
        Ok((self.open(from, parent, true)?, OsString::from_vec(name.to_vec())))
    }

    /// Returns `path` below the directory `from` as a path from the task's root.
    fn absolute(&self, from: i32, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let directory = self.link(&if from == CWD { "cwd".to_owned() } else { format!("fd/{from}") })?;
        let root = self.link("root")?;
        let root = if root == b"/" { &b""[..] } else { &root };
        let below = directory.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
        Ok([below.ok_or(Errno::NOENT)?, b"/", path].concat())
    }

    /// Returns a path on the host as the task would see it: without the part that leads to the task's root.
    pub(super) fn inside_root(&self, text: Vec<u8>) -> Vec<u8> {
        let root = self.link("root").unwrap_or_else(|_| b"/".to_vec());
        below(&root, &text).map(<[u8]>::to_vec).unwrap_or(text)
    }

    /// Whether a path on the host is one of the task's root.
    pub(super) fn is_below_root(&self, text: &[u8]) -> bool {
        self.link("root").is_ok_and(|root| below(&root, text).is_some())
    }

    /// Returns the start time of a process. A later process with the same id has another one.
    pub(super) fn start_time(&self, pid: u32) -> Option<String> {
        self.stat(pid)?.split_whitespace().nth(19).map(str::to_owned)
    }

    /// Returns the parent of a process; for a thread, the process that it belongs to.
    pub(super) fn parent_of(&self, pid: u32) -> Option<u32> {
        let status = self.text(&format!("{pid}/status"))?;
        let process = field(&status, "Tgid:")?;
        if process == pid { field(&status, "PPid:") } else { Some(process) }
    }

    /// Returns the process that a thread belongs to.
    pub(super) fn process_of(&self, thread: u32) -> Option<u32> {
        field(&self.text(&format!("{thread}/status"))?, "Tgid:")
    }

    /// Whether the task may send a signal to a process: as root, or if a user of the task is one of the process's (kill(2)).
    pub(super) fn may_signal(&self, process: u32) -> bool {
        let users = |pid: u32| -> Option<[u32; 3]> {
            let status = self.text(&format!("{pid}/status"))?;
            let mut ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace();
            let mut next = || ids.next()?.parse().ok();
            Some([next()?, next()?, next()?])
        };
        let (Some([real, effective, _]), Some([its_real, _, its_saved])) = (users(self.pid), users(process)) else {
            return false;
        };
        effective == 0 || [real, effective].iter().any(|user| *user == its_real || *user == its_saved)
    }

    /// Returns the ids of all processes that /proc shows.
    pub(super) fn ids(&self) -> Vec<u32> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::openat(self.proc, ".", flags, Mode::empty());
        let entries = directory.and_then(fs::Dir::read_from).into_iter().flatten();
        entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok()).collect()
    }

    /// Returns the fields of proc_pid_stat(5) after the name, which may hold any character.
    pub(super) fn stat(&self, pid: u32) -> Option<String> {
        let text = self.text(&format!("{pid}/stat"))?;
        text.rsplit_once(')').map(|(_, rest)| rest.to_owned())
    }

    fn text(&self, name: &str) -> Option<String> {
        let file = fs::openat(self.proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        // A process may have any name, also one that is not UTF-8.
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::fs::File::from(file), &mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the permission bits that the task's new files do not get.
    pub(super) fn umask(&self) -> u32 {
        let status = self.text(&format!("{}/status", self.pid));
        let umask = status.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("Umask:")));
        umask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o022)
    }

    /// Gives the task an open file under the next free descriptor, which becomes the value of its call.
    pub(super) fn give(&self, file: &OwnedFd, close_on_exec: bool) -> Result<(), Errno> {
        let given = libc::seccomp_notif_addfd {
            id: self.id,
            flags: u32::try_from(libc::SECCOMP_ADDFD_FLAG_SEND).unwrap_or(0),
            srcfd: u32::try_from(file.as_raw_fd()).unwrap_or(0),
            newfd: 0,
            newfd_flags: if close_on_exec { OFlags::CLOEXEC.bits() } else { 0 },
        };
        let listener = self.listener.as_raw_fd();
        // SAFETY: the call reads the structure it is given.
        let result = unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const given) };
        if result >= 0 { Ok(()) } else { Err(last_error()) }
    }
}

/// Returns the path that `text` has for a task whose root is at `root`; `None` if it is not below that root.
fn below<'t>(root: &[u8], text: &'t [u8]) -> Option<&'t [u8]> {
    if root == b"/" {
        return Some(text);
    }
    match text.strip_prefix(root)? {
        b"" => Some(b"/"),
        rest => rest.starts_with(b"/").then_some(rest),
    }
}

/// Returns the number in a line of proc_pid_status(5).
fn field(status: &str, name: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Returns a structure as the bytes that the kernel would write.
pub(super) fn bytes<T>(value: &T) -> Vec<u8> {
    let start = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: the system's structures consist of plain numbers and were zeroed before they were filled, so all bytes are
    // initialized.
    unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec()
}

/// Returns the error of the last system call.
pub(super) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn is_link(entry: &OwnedFd) -> Result<bool, Errno> {
    let stat = fs::statat(entry, "", AtFlags::EMPTY_PATH)?;
    Ok(fs::FileType::from_raw_mode(stat.st_mode) == fs::FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_seen_from_the_root_of_the_task() {
        for (root, path, seen) in [
            ("/srv/root", "/srv/root", Some("/")),
            ("/srv/root", "/srv/root/bin/sh", Some("/bin/sh")),
            ("/srv/root", "/srv/rootless/bin/sh", None),
            ("/srv/root", "/usr/bin/qemu-aarch64-static", None),
            ("/", "/bin/sh", Some("/bin/sh")),
        ] {
            assert_eq!(below(root.as_bytes(), path.as_bytes()), seen.map(str::as_bytes), "{root} {path}");
        }
    }
}
