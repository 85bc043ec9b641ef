//! Owners and device nodes as root would see them, where all files belong to one user.
#![allow(unsafe_code, reason = "the kernel's structures as bytes")]

use super::Reply;
use super::task::{CWD, Task, bytes, descriptor, number};
use super::users::Users;
use crate::calls::Call;
use rootstrap_rootfs::{Aside, Device, Kept, Kind, Metadata};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const NOFOLLOW: u32 = AtFlags::SYMLINK_NOFOLLOW.bits();
const EMPTY_PATH: u32 = AtFlags::EMPTY_PATH.bits();

pub(super) fn answer(task: &Task<'_>, aside: &Aside, users: &Users, call: Call, arguments: &[u64; 6]) -> Reply {
    let [first, second, third, fourth, fifth, _] = *arguments;
    // Where the entry is named: a descriptor, a path, and whether a link at its end is followed.
    let at = |from: u64, path: u64, flags: u32| named(task, descriptor(from), path, flags);
    let here = |path: u64, flags: u32| named(task, CWD, path, flags);
    match call {
        Call::Chown => chown(aside, here(first, 0), second, third),
        Call::Lchown => chown(aside, here(first, NOFOLLOW), second, third),
        Call::Fchown => chown(aside, task.held(descriptor(first)), second, third),
        Call::Fchownat => chown(aside, at(first, second, number(fifth)), third, fourth),
        Call::Mknod if is_device(second) => mknod(task, aside, CWD, first, second, third).into(),
        Call::Mknodat if is_device(third) => mknod(task, aside, descriptor(first), second, third, fourth).into(),
        Call::Stat => stat(task, aside, here(first, 0), second, as_stat),
        Call::Lstat => stat(task, aside, here(first, NOFOLLOW), second, as_stat),
        Call::Fstat => stat(task, aside, task.held(descriptor(first)), second, as_stat),
        Call::Fstatat => stat(task, aside, at(first, second, number(fourth)), third, as_stat),
        Call::Statx => stat(task, aside, at(first, second, number(third)), fifth, as_statx),
        Call::Stat64 => stat(task, aside, here(first, 0), second, as_stat64),
        Call::Lstat64 => stat(task, aside, here(first, NOFOLLOW), second, as_stat64),
        Call::Fstat64 => stat(task, aside, task.held(descriptor(first)), second, as_stat64),
        Call::Fstatat64 => stat(task, aside, at(first, second, number(fourth)), third, as_stat64),
        _ => users.make(task, aside, call, arguments).unwrap_or(Reply::Kernel),
    }
}

fn is_device(mode: u64) -> bool {
    matches!(FileType::from_raw_mode(number(mode)), FileType::CharacterDevice | FileType::BlockDevice)
}

fn named(task: &Task<'_>, from: i32, path: u64, flags: u32) -> Result<OwnedFd, Errno> {
    // A null pointer is as good as an empty path (Linux 6.11).
    let path = if path == 0 { Vec::new() } else { task.path(path)? };
    if path.is_empty() && flags & EMPTY_PATH != 0 {
        return task.held(from);
    }
    task.open(from, &path, flags & NOFOLLOW == 0)
}

fn chown(aside: &Aside, entry: Result<OwnedFd, Errno>, uid: u64, gid: u64) -> Reply {
    let some = |id: u64| Some(number(id)).filter(|id| *id != u32::MAX);
    // What cannot be found is the kernel's to explain.
    let Ok(entry) = entry else { return Reply::Kernel };
    aside.change_owner(entry.as_fd(), some(uid), some(gid)).into()
}

fn mknod(task: &Task<'_>, aside: &Aside, from: i32, path: u64, mode: u64, device: u64) -> Result<(), Errno> {
    let (parent, name) = task.parent(from, &task.path(path)?)?;
    let kind = match FileType::from_raw_mode(number(mode)) {
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        _ => return Err(Errno::INVAL),
    };
    let bits = Mode::from_raw_mode(number(mode) & 0o7777 & !task.umask());
    task.waits()?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(&parent, &name, flags, Mode::empty())?;
    fs::fchmod(&file, bits)?;
    // linux/kdev_t.h:new_decode_dev
    let device = number(device);
    let device = Device { major: (device & 0xf_ff00) >> 8, minor: (device & 0xff) | ((device >> 12) & 0xf_ff00) };
    aside.make_node(file.as_fd(), kind, device)
}

/// The structure a stat call fills, as bytes.
type Fill = fn(&OwnedFd, &Kept) -> Result<Vec<u8>, Errno>;

fn stat(task: &Task<'_>, aside: &Aside, entry: Result<OwnedFd, Errno>, address: u64, fill: Fill) -> Reply {
    let Ok(entry) = entry else { return Reply::Kernel };
    let kept = aside.of(entry.as_fd());
    if kept == Kept::default() {
        return Reply::Kernel;
    }
    match fill(&entry, &kept) {
        Ok(bytes) => task.write(address, &bytes).into(),
        Err(_) => Reply::Kernel,
    }
}

/// The entry's type and permissions, owner and device, as they shall be seen.
fn shown(entry: &OwnedFd, kept: &Kept) -> Result<(u32, Metadata), Errno> {
    let stat = fs::statat(entry, "", AtFlags::EMPTY_PATH)?;
    let (mode, mut metadata) = (stat.st_mode, Metadata::from(stat));
    kept.amend(&mut metadata);
    let kind = match kept.node {
        Some((Kind::BlockDevice, _)) => libc::S_IFBLK,
        Some(_) => libc::S_IFCHR,
        None => mode & libc::S_IFMT,
    };
    Ok((kind | mode & 0o7777, metadata))
}

fn as_stat(entry: &OwnedFd, kept: &Kept) -> Result<Vec<u8>, Errno> {
    let (mode, metadata) = shown(entry, kept)?;
    // SAFETY: all fields are numbers.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the call fills the structure it is given.
    if unsafe { libc::fstat(entry.as_raw_fd(), &raw mut stat) } != 0 {
        return Err(Errno::IO);
    }
    (stat.st_mode, stat.st_uid, stat.st_gid) = (mode, metadata.attributes.uid, metadata.attributes.gid);
    if let Some((_, device)) = kept.node {
        stat.st_rdev = libc::makedev(device.major, device.minor);
    }
    Ok(bytes(&stat))
}

fn as_statx(entry: &OwnedFd, kept: &Kept) -> Result<Vec<u8>, Errno> {
    let (mode, metadata) = shown(entry, kept)?;
    // SAFETY: all fields are numbers.
    let mut statx: libc::statx = unsafe { std::mem::zeroed() };
    let (flags, mask) = (libc::AT_EMPTY_PATH, libc::STATX_BASIC_STATS | libc::STATX_BTIME);
    // SAFETY: the call fills the structure it is given.
    if unsafe { libc::statx(entry.as_raw_fd(), c"".as_ptr(), flags, mask, &raw mut statx) } != 0 {
        return Err(Errno::IO);
    }
    statx.stx_mode = u16::try_from(mode).unwrap_or(0);
    (statx.stx_uid, statx.stx_gid) = (metadata.attributes.uid, metadata.attributes.gid);
    if let Some((_, device)) = kept.node {
        (statx.stx_rdev_major, statx.stx_rdev_minor) = (device.major, device.minor);
    }
    Ok(bytes(&statx))
}

/// Linux `arch/x86/include/uapi/asm/stat.h`, `struct stat64` of 32-bit programs: 96 bytes without gaps.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn as_stat64(entry: &OwnedFd, kept: &Kept) -> Result<Vec<u8>, Errno> {
    let (mode, metadata) = shown(entry, kept)?;
    let stat = fs::statat(entry, "", AtFlags::EMPTY_PATH)?;
    let low = |value: u64| number(value).to_ne_bytes();
    let node = kept.node.map_or(0, |(_, device)| fs::makedev(device.major, device.minor));
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

/// Programs of 32 bits elsewhere see what is on disk.
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
fn as_stat64(_: &OwnedFd, _: &Kept) -> Result<Vec<u8>, Errno> {
    Err(Errno::NOSYS)
}
