//! A thread that waits for an answer: its memory, its descriptors, its paths.
#![allow(unsafe_code, reason = "another process's memory and one ioctl have no safe form")]

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The longest path, its end included (`PATH_MAX`).
const LONGEST: usize = 4096;

/// What the kernel takes for the working directory.
pub(super) const CWD: i32 = libc::AT_FDCWD;

/// Lookups tried before one counts as failed.
const RETRIES: usize = 1000;

pub(super) struct Task<'a> {
    pub proc: &'a OwnedFd,
    pub listener: &'a OwnedFd,
    pub pid: u32,
    pub id: u64,
}

/// A descriptor as an argument carries it.
#[allow(clippy::cast_possible_truncation, reason = "the kernel takes the lower half, too")]
pub(super) fn descriptor(argument: u64) -> i32 {
    argument as i32
}

/// A number of 32 bits as an argument carries it.
#[allow(clippy::cast_possible_truncation, reason = "the kernel takes the lower half, too")]
pub(super) fn number(argument: u64) -> u32 {
    argument as u32
}

impl Task<'_> {
    /// Whether the task still waits: what was learnt of its number until now is about itself and no later process.
    pub(super) fn waits(&self) -> Result<(), Errno> {
        // SAFETY: the call reads one number.
        let result =
            unsafe { libc::ioctl(self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const self.id) };
        if result == 0 { Ok(()) } else { Err(Errno::NOENT) }
    }

    fn copy(&self, address: u64, bytes: &mut [u8], out: bool) -> Result<usize, Errno> {
        let address = usize::try_from(address).map_err(|_| Errno::FAULT)?;
        let ours = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let theirs = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: bytes.len() };
        let pid = i32::try_from(self.pid).map_err(|_| Errno::SRCH)?;
        // SAFETY: `ours` is `bytes`, which lives through the call; `theirs` is checked by the kernel.
        let count = unsafe {
            if out {
                libc::process_vm_writev(pid, &raw const ours, 1, &raw const theirs, 1, 0)
            } else {
                libc::process_vm_readv(pid, &raw const ours, 1, &raw const theirs, 1, 0)
            }
        };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            // Containers' seccomp profiles may refuse these two; the other door is open to whoever may trace the task.
            Err(_) if matches!(last(), Errno::PERM | Errno::NOSYS) => self.copy_by_file(address as u64, bytes, out),
            Err(_) => Err(Errno::FAULT),
        }
    }

    fn copy_by_file(&self, address: u64, bytes: &mut [u8], out: bool) -> Result<usize, Errno> {
        let memory = self.own("mem", if out { OFlags::RDWR } else { OFlags::RDONLY })?;
        if out { rustix::io::pwrite(&memory, bytes, address) } else { rustix::io::pread(&memory, bytes, address) }
    }

    /// Writes all of `bytes` to the task's memory.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.waits()?;
        let mut copy = bytes.to_vec();
        if self.copy(address, &mut copy, true)? == bytes.len() { Ok(()) } else { Err(Errno::FAULT) }
    }

    /// Reads so many bytes of the task's memory.
    pub(super) fn read(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; length];
        let count = self.copy(address, &mut bytes, false)?;
        self.waits()?;
        if count == length { Ok(bytes) } else { Err(Errno::FAULT) }
    }

    /// The path at an address.
    pub(super) fn path(&self, address: u64) -> Result<Vec<u8>, Errno> {
        let mut path = Vec::new();
        let mut at = address;
        while path.len() < LONGEST {
            // Up to the end of a page: what lies beyond may not be there.
            let room = 256 - usize::try_from(at % 256).unwrap_or(0);
            let mut bytes = [0; 256];
            let count = self.copy(at, bytes.get_mut(..room).unwrap_or_default(), false)?;
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

    /// Opens what /proc has of the task under `name`: `root`, `cwd`, `fd/3`.
    fn own(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        fs::openat(self.proc, format!("{}/{name}", self.pid), flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// What the task has open under a number, or its working directory, as a path only.
    pub(super) fn held(&self, number: i32) -> Result<OwnedFd, Errno> {
        let name = if number == CWD { "cwd".to_owned() } else { format!("fd/{number}") };
        let held = self.own(&name, OFlags::PATH)?;
        self.waits()?;
        Ok(held)
    }

    fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        fs::readlinkat(self.proc, format!("{}/{name}", self.pid), Vec::new()).map(std::ffi::CString::into_bytes)
    }

    /// Opens what `path` leads to for the task, from the directory `from`, as a path only. Nothing outside the task's root
    /// can be reached.
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
        // A plain name in an open directory needs no root to be looked up.
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
        // The kernel gives up a lookup with `..` when anything is renamed meanwhile, anywhere (openat2(2), EAGAIN).
        for _ in 0..RETRIES {
            let (full, resolve) = (OsStr::from_bytes(&full), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS);
            result = fs::openat2(&root, full, flags | nofollow, Mode::empty(), resolve);
            if !matches!(result, Err(Errno::AGAIN)) {
                break;
            }
        }
        result
    }

    /// The directory that holds the last name of `path`, and that name.
    pub(super) fn parent(&self, from: i32, path: &[u8]) -> Result<(OwnedFd, OsString), Errno> {
        let end = path.len() - path.iter().rev().take_while(|&&byte| byte == b'/').count();
        let path = path.get(..end).unwrap_or_default();
        let (parent, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(0) => (&b"/"[..], path.get(1..)),
            Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..)),
            None => (&b"."[..], Some(path)),
        };
        let name = name.filter(|name| !matches!(*name, b"" | b"." | b"..")).ok_or(Errno::EXIST)?;
        Ok((self.open(from, parent, true)?, OsString::from_vec(name.to_vec())))
    }

    /// `path` below the directory `from`, as seen from the task's root.
    fn absolute(&self, from: i32, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let directory = self.link(&if from == CWD { "cwd".to_owned() } else { format!("fd/{from}") })?;
        let root = self.link("root")?;
        let root = if root == b"/" { &b""[..] } else { &root };
        let below = directory.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
        Ok([below.ok_or(Errno::NOENT)?, b"/", path].concat())
    }

    /// A text of the task's root as the task itself would see it: without what leads to the root.
    pub(super) fn seen(&self, text: Vec<u8>) -> Vec<u8> {
        match self.link("root") {
            Ok(root) if root != b"/" => match text.strip_prefix(root.as_slice()) {
                Some(b"") => b"/".to_vec(),
                Some(rest) if rest.starts_with(b"/") => rest.to_vec(),
                _ => text,
            },
            _ => text,
        }
    }

    /// When a process began, so that its number can be told from a later one's.
    pub(super) fn born(&self, pid: u32) -> Option<String> {
        self.stat(pid)?.split_whitespace().nth(19).map(str::to_owned)
    }

    /// The process that started another, or for a thread the process it is of.
    pub(super) fn above(&self, pid: u32) -> Option<u32> {
        let status = self.text(&format!("{pid}/status"))?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u32>().ok());
        let process = field("Tgid:")?;
        if process == pid { field("PPid:") } else { Some(process) }
    }

    /// What follows the name in proc_pid_stat(5), which may hold anything.
    fn stat(&self, pid: u32) -> Option<String> {
        let text = self.text(&format!("{pid}/stat"))?;
        text.rsplit_once(')').map(|(_, rest)| rest.to_owned())
    }

    fn text(&self, name: &str) -> Option<String> {
        let file = fs::openat(self.proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::fs::File::from(file), &mut text).ok()?;
        Some(text)
    }

    /// The permissions the task's new files shall not have.
    pub(super) fn umask(&self) -> u32 {
        let status = self.text(&format!("{}/status", self.pid));
        let umask = status.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("Umask:")));
        umask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o022)
    }
}

/// A structure as the bytes the kernel would write.
pub(super) fn bytes<T>(value: &T) -> Vec<u8> {
    let start = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: the structures of the system are plain numbers, zeroed before they were filled, so all bytes are set.
    unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec()
}

/// The error of the last call.
pub(super) fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn is_link(entry: &OwnedFd) -> Result<bool, Errno> {
    let stat = fs::statat(entry, "", AtFlags::EMPTY_PATH)?;
    Ok(fs::FileType::from_raw_mode(stat.st_mode) == fs::FileType::Symlink)
}
