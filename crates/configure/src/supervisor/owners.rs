//! Lets scripts see and change owners and device nodes as root would, although all files belong to one user.
#![allow(unsafe_code, reason = "the kernel's structures as bytes")]

use super::reply::Reply;
use super::task::{CWD, Task, bytes, descriptor, number};
use crate::calls::Call;
use rootstrap_rootfs::{Device, FakeOwnership, Faked, Kind, Metadata};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const NOFOLLOW: u32 = AtFlags::SYMLINK_NOFOLLOW.bits();
const EMPTY_PATH: u32 = AtFlags::EMPTY_PATH.bits();

/// A task whose calls see and change the owners and nodes that `fake` records.
pub(super) struct Ownership<'a> {
    pub task: &'a Task<'a>,
    pub fake: &'a FakeOwnership,
}

impl Ownership<'_> {
    /// Returns the answer to a call that names an existing entry or makes a device node; `None` for any other call.
    pub(super) fn answer(&self, call: Call, arguments: &[u64; 6]) -> Option<Reply> {
        let [first, second, third, fourth, fifth, _] = *arguments;
        // The entry that a call names: by directory, path and flags; by path alone; or by an open file.
        let at = |from: u64, path: u64, flags: u32| self.entry(descriptor(from), path, flags);
        let here = |path: u64, flags: u32| self.entry(CWD, path, flags);
        let held = |number: u64| self.task.held(descriptor(number));
        Some(match call {
            Call::Chown => self.chown(here(first, 0), second, third),
            Call::Lchown => self.chown(here(first, NOFOLLOW), second, third),
            Call::Fchown => self.chown(held(first), second, third),
            Call::Fchownat => self.chown(at(first, second, number(fifth)), third, fourth),
            Call::Mknod if is_device(second) => self.mknod(CWD, first, second, third).into(),
            Call::Mknodat if is_device(third) => self.mknod(descriptor(first), second, third, fourth).into(),
            Call::Stat => self.stat(here(first, 0), second, as_stat),
            Call::Lstat => self.stat(here(first, NOFOLLOW), second, as_stat),
            Call::Fstat => self.stat(held(first), second, as_stat),
            Call::Fstatat => self.stat(at(first, second, number(fourth)), third, as_stat),
            Call::Statx => self.stat(at(first, second, number(third)), fifth, as_statx),
            Call::Stat64 => self.stat(here(first, 0), second, as_stat64),
            Call::Lstat64 => self.stat(here(first, NOFOLLOW), second, as_stat64),
            Call::Fstat64 => self.stat(held(first), second, as_stat64),
            Call::Fstatat64 => self.stat(at(first, second, number(fourth)), third, as_stat64),
            _ => return None,
        })
    }

    /// Opens the entry that a call names by the directory `from`, the address of a path, and `AT_*` flags.
    fn entry(&self, from: i32, path: u64, flags: u32) -> Result<OwnedFd, Errno> {
        // Since Linux 6.11 a null pointer counts as an empty path.
        let path = if path == 0 { Vec::new() } else { self.task.path(path)? };
        if path.is_empty() && flags & EMPTY_PATH != 0 {
            return self.task.held(from);
        }
        self.task.open(from, &path, flags & NOFOLLOW == 0)
    }

    fn chown(&self, entry: Result<OwnedFd, Errno>, uid: u64, gid: u64) -> Reply {
        let some = |id: u64| Some(number(id)).filter(|id| *id != u32::MAX);
        // If the entry cannot be opened, the kernel finds the right error.
        let Ok(entry) = entry else { return Reply::Kernel };
        self.fake.change_owner(entry.as_fd(), some(uid), some(gid)).into()
    }

    /// Makes a device node: an empty file on disk, and the node in the record.
    fn mknod(&self, from: i32, path: u64, mode: u64, device: u64) -> Result<(), Errno> {
        let (parent, name) = self.task.parent(from, &self.task.path(path)?)?;
        let kind = match FileType::from_raw_mode(number(mode)) {
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            _ => return Err(Errno::INVAL),
        };
        let bits = Mode::from_raw_mode(number(mode) & 0o7777 & !self.task.umask());
        self.task.waits()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&parent, &name, flags, Mode::empty())?;
        fs::fchmod(&file, bits)?;
        // linux/kdev_t.h:new_decode_dev
        let device = number(device);
        let device = Device { major: (device & 0xf_ff00) >> 8, minor: (device & 0xff) | ((device >> 12) & 0xf_ff00) };
        self.fake.make_node(file.as_fd(), kind, device)
    }

    fn stat(&self, entry: Result<OwnedFd, Errno>, address: u64, fill: Fill) -> Reply {
        let Ok(entry) = entry else { return Reply::Kernel };
        let faked = self.fake.of(entry.as_fd());
        if faked == Faked::default() {
            return Reply::Kernel;
        }
        match fill(&entry, &faked) {
            Ok(bytes) => self.task.write(address, &bytes).into(),
            Err(_) => Reply::Kernel,
        }
    }
}

fn is_device(mode: u64) -> bool {
    matches!(FileType::from_raw_mode(number(mode)), FileType::CharacterDevice | FileType::BlockDevice)
}

/// Returns the structure that a stat call fills, as bytes.
type Fill = fn(&OwnedFd, &Faked) -> Result<Vec<u8>, Errno>;

/// Returns the entry's type and permissions, and its other metadata, with what is recorded in place of what is on disk.
fn shown(entry: &OwnedFd, faked: &Faked) -> Result<(u32, Metadata), Errno> {
    let stat = fs::statat(entry, "", AtFlags::EMPTY_PATH)?;
    let (mode, mut metadata) = (stat.st_mode, Metadata::from(stat));
    faked.amend(&mut metadata);
    let kind = match faked.node {
        Some((Kind::BlockDevice, _)) => libc::S_IFBLK,
        Some(_) => libc::S_IFCHR,
        None => mode & libc::S_IFMT,
    };
    Ok((kind | mode & 0o7777, metadata))
}

fn as_stat(entry: &OwnedFd, faked: &Faked) -> Result<Vec<u8>, Errno> {
    let (mode, metadata) = shown(entry, faked)?;
    // SAFETY: all fields are numbers.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the call fills the structure it is given.
    if unsafe { libc::fstat(entry.as_raw_fd(), &raw mut stat) } != 0 {
        return Err(Errno::IO);
    }
    (stat.st_mode, stat.st_uid, stat.st_gid) = (mode, metadata.attributes.uid, metadata.attributes.gid);
    if let Some((_, device)) = faked.node {
        stat.st_rdev = libc::makedev(device.major, device.minor);
    }
    Ok(bytes(&stat))
}

fn as_statx(entry: &OwnedFd, faked: &Faked) -> Result<Vec<u8>, Errno> {
    let (mode, metadata) = shown(entry, faked)?;
    // SAFETY: all fields are numbers.
    let mut statx: libc::statx = unsafe { std::mem::zeroed() };
    let (flags, mask) = (libc::AT_EMPTY_PATH, libc::STATX_BASIC_STATS | libc::STATX_BTIME);
    // SAFETY: the call fills the structure it is given.
    if unsafe { libc::statx(entry.as_raw_fd(), c"".as_ptr(), flags, mask, &raw mut statx) } != 0 {
        return Err(Errno::IO);
    }
    statx.stx_mode = u16::try_from(mode).unwrap_or(0);
    (statx.stx_uid, statx.stx_gid) = (metadata.attributes.uid, metadata.attributes.gid);
    if let Some((_, device)) = faked.node {
        (statx.stx_rdev_major, statx.stx_rdev_minor) = (device.major, device.minor);
    }
    Ok(bytes(&statx))
}

/// The `struct stat64` of 32-bit programs (Linux `arch/x86/include/uapi/asm/stat.h`): 96 bytes without gaps.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn as_stat64(entry: &OwnedFd, faked: &Faked) -> Result<Vec<u8>, Errno> {
    let (mode, metadata) = shown(entry, faked)?;
    let stat = fs::statat(entry, "", AtFlags::EMPTY_PATH)?;
    let low = |value: u64| number(value).to_ne_bytes();
    let node = faked.node.map_or(0, |(_, device)| fs::makedev(device.major, device.minor));
    let time = |seconds: i64, nanoseconds: u64| [low(seconds.cast_unsigned()), low(nanoseconds)].concat();
    let fields: [&[u8]; 15] = [
        &stat.st_dev.to_ne_bytes(),
        &[0; 4],
        &low(stat.st_ino),
        &mode.to_ne_bytes(),
        &low(metadata.links),
        &metadata.attributes.uid.to_ne_bytes(),
        &metadata.attributes.gid.to_ne_bytes(),
        &node.to_ne_bytes(),
        &[0; 4],
        &metadata.size.to_ne_bytes(),
        &low(4096),
        &stat.st_blocks.to_ne_bytes(),
        &time(stat.st_atime, stat.st_atime_nsec),
        &[time(stat.st_mtime, stat.st_mtime_nsec), time(stat.st_ctime, stat.st_ctime_nsec)].concat(),
        &stat.st_ino.to_ne_bytes(),
    ];
    Ok(fields.concat())
}

/// On other architectures, 32-bit programs see what is on disk.
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
fn as_stat64(_: &OwnedFd, _: &Faked) -> Result<Vec<u8>, Errno> {
    Err(Errno::NOSYS)
}
