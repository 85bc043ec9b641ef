//! Who a process is, and whose what it makes: where there is one user only, others are played.
//!
//! A process has the ids it has set, or those of the nearest process above it that has set some. Nothing is forbidden to
//! it by them: what a script does as another user it could do as root.

use super::Reply;
use super::task::{CWD, Task, descriptor, last, number};
use crate::calls::Call;
use rootstrap_rootfs::{Aside, Metadata};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Entries after which those of ended processes are looked for.
const MANY: usize = 256;

/// Real, effective and saved id.
type Triple = [u32; 3];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ids {
    user: Triple,
    group: Triple,
}

/// The processes that are somebody else, by number and moment of birth.
#[derive(Default)]
pub(super) struct Users {
    known: RefCell<HashMap<u32, (String, Ids)>>,
}

impl Users {
    /// The answer to a call about ids; `None` for any other.
    pub(super) fn answer(&self, task: &Task<'_>, call: Call, arguments: &[u64; 6]) -> Option<Reply> {
        let [first, second, third, ..] = *arguments;
        let (first_id, second_id, third_id) = (id(first), id(second), id(third));
        Some(match call {
            Call::Setuid => self.set(task, |ids| one(&mut ids.user, first_id?)),
            Call::Setgid => self.set(task, |ids| one(&mut ids.group, first_id?)),
            Call::Setreuid => self.set(task, |ids| two(&mut ids.user, [first_id, second_id])),
            Call::Setregid => self.set(task, |ids| two(&mut ids.group, [first_id, second_id])),
            Call::Setresuid => self.set(task, |ids| three(&mut ids.user, [first_id, second_id, third_id])),
            Call::Setresgid => self.set(task, |ids| three(&mut ids.group, [first_id, second_id, third_id])),
            // Supplementary groups change nothing here.
            Call::SetIds => Reply::Value(0),
            Call::Getuid => self.tell(task, |ids| ids.user[0]),
            Call::Geteuid => self.tell(task, |ids| ids.user[1]),
            Call::Getgid => self.tell(task, |ids| ids.group[0]),
            Call::Getegid => self.tell(task, |ids| ids.group[1]),
            Call::Getresuid => self.tell_all(task, [first, second, third], |ids| ids.user),
            Call::Getresgid => self.tell_all(task, [first, second, third], |ids| ids.group),
            _ => return None,
        })
    }

    fn set(&self, task: &Task<'_>, change: impl FnOnce(&mut Ids) -> Option<()>) -> Reply {
        let mut ids = self.of(task).unwrap_or_default();
        if change(&mut ids).is_none() {
            return Reply::Fails(Errno::PERM);
        }
        let Some(born) = task.born(task.pid) else { return Reply::Value(0) };
        let mut known = self.known.borrow_mut();
        if known.len() > MANY {
            known.retain(|pid, (born, _)| task.born(*pid).as_ref() == Some(born));
        }
        known.insert(task.pid, (born, ids));
        Reply::Value(0)
    }

    fn tell(&self, task: &Task<'_>, of: impl FnOnce(Ids) -> u32) -> Reply {
        self.of(task).map_or(Reply::Kernel, |ids| Reply::Value(of(ids).into()))
    }

    fn tell_all(&self, task: &Task<'_>, to: [u64; 3], of: impl FnOnce(Ids) -> Triple) -> Reply {
        let Some(ids) = self.of(task) else { return Reply::Kernel };
        let written = to.into_iter().zip(of(ids)).try_for_each(|(to, id)| task.write(to, &id.to_ne_bytes()));
        written.into()
    }

    /// The ids of a task, if it or a process above it has ever set any.
    fn of(&self, task: &Task<'_>) -> Option<Ids> {
        let known = self.known.borrow();
        if known.is_empty() {
            return None;
        }
        let mut pid = task.pid;
        // As deep as processes are nested, and no deeper.
        for _ in 0..64 {
            if let Some((born, ids)) = known.get(&pid)
                && task.born(pid).as_ref() == Some(born)
            {
                return Some(*ids);
            }
            pid = task.above(pid).filter(|pid| *pid > 1)?;
        }
        None
    }

    /// The answer to a call that makes a file of somebody else's; `None` for any other. Its group is that of a directory
    /// with the setgid bit.
    pub(super) fn make(&self, task: &Task<'_>, aside: &Aside, call: Call, arguments: &[u64; 6]) -> Option<Reply> {
        let [first, second, third, fourth, ..] = *arguments;
        let (from, path) = match call {
            Call::Open | Call::Mkdir | Call::Mknod => (CWD, first),
            Call::Openat | Call::Mkdirat | Call::Mknodat => (descriptor(first), second),
            Call::Symlink => (CWD, second),
            Call::Symlinkat => (descriptor(second), third),
            _ => return None,
        };
        let made = || -> Result<Option<Reply>, Errno> {
            let (parent, name) = task.parent(from, &task.path(path)?)?;
            let Some((uid, gid)) = self.owner(task, aside, parent.as_fd())? else { return Ok(None) };
            let bits = |mode: u64| Mode::from_raw_mode(number(mode) & 0o7777 & !task.umask());
            task.waits()?;
            let reply = match call {
                Call::Open => open(task, parent.as_fd(), &name, number(second), bits(third)),
                Call::Openat => open(task, parent.as_fd(), &name, number(third), bits(fourth)),
                Call::Mkdir => fs::mkdirat(&parent, &name, bits(second)).map(|()| Reply::Value(0)),
                Call::Mkdirat => fs::mkdirat(&parent, &name, bits(third)).map(|()| Reply::Value(0)),
                Call::Mknod => node(parent.as_fd(), &name, second, bits(second)),
                Call::Mknodat => node(parent.as_fd(), &name, third, bits(third)),
                Call::Symlink | Call::Symlinkat => {
                    let text = task.path(first)?;
                    fs::symlinkat(OsStr::from_bytes(&text), &parent, &name).map(|()| Reply::Value(0))
                }
                _ => return Ok(None),
            }?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let entry = fs::openat(&parent, &name, flags, Mode::empty())?;
            aside.change_owner(entry.as_fd(), Some(uid), Some(gid))?;
            Ok(Some(reply))
        };
        // What cannot be made, or is there already, is the kernel's to treat.
        Some(made().ok().flatten().unwrap_or(Reply::Kernel))
    }

    /// Whose a file is that the task makes in a directory; `None` if it is root's.
    fn owner(&self, task: &Task<'_>, aside: &Aside, parent: BorrowedFd<'_>) -> Result<Option<(u32, u32)>, Errno> {
        let ids = self.of(task).unwrap_or_default();
        let mut directory = Metadata::from(fs::statat(parent, "", AtFlags::EMPTY_PATH)?);
        let inherits = directory.attributes.mode & 0o2000 != 0;
        let group = if inherits {
            aside.of(parent).amend(&mut directory);
            directory.attributes.gid
        } else {
            ids.group[1]
        };
        let owner = (ids.user[1], group);
        Ok((owner != (0, 0)).then_some(owner))
    }
}

/// Makes the file, and gives it to the task open if only who makes it may have it.
fn open(task: &Task<'_>, parent: BorrowedFd<'_>, name: &OsStr, flags: u32, mode: Mode) -> Result<Reply, Errno> {
    let wanted = OFlags::from_bits_retain(flags);
    let own = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, own | OFlags::WRONLY, mode)?;
    if !wanted.contains(OFlags::EXCL) {
        return Ok(Reply::Kernel);
    }
    let again = wanted.difference(OFlags::CREATE | OFlags::EXCL);
    let file = fs::openat(parent, name, again | OFlags::CLOEXEC, Mode::empty())?;
    give(task, &file, wanted.contains(OFlags::CLOEXEC))?;
    Ok(Reply::Answered)
}

fn node(parent: BorrowedFd<'_>, name: &OsStr, mode: u64, bits: Mode) -> Result<Reply, Errno> {
    fs::mknodat(parent, name, fs::FileType::from_raw_mode(number(mode)), bits, 0).map(|()| Reply::Value(0))
}

/// The open file as the task's own next descriptor, and that as the value of its call.
#[allow(unsafe_code, reason = "the ioctl has no safe form")]
pub(super) fn give(task: &Task<'_>, file: &OwnedFd, cloexec: bool) -> Result<(), Errno> {
    let given = libc::seccomp_notif_addfd {
        id: task.id,
        flags: u32::try_from(libc::SECCOMP_ADDFD_FLAG_SEND).unwrap_or(0),
        srcfd: u32::try_from(file.as_raw_fd()).unwrap_or(0),
        newfd: 0,
        newfd_flags: if cloexec { OFlags::CLOEXEC.bits() } else { 0 },
    };
    // SAFETY: the call reads the structure it is given.
    let result = unsafe { libc::ioctl(task.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const given) };
    if result >= 0 { Ok(()) } else { Err(last()) }
}

/// An id as an argument carries it; `None` leaves one as it is.
fn id(argument: u64) -> Option<u32> {
    Some(number(argument)).filter(|id| *id != u32::MAX)
}

/// Whether ids may be changed to these. A process that keeps its capabilities over the change may do nearly all; what
/// programs make sure of is that there is no way back to root.
fn allowed(ids: &Triple, new: &[Option<u32>]) -> Option<()> {
    (ids.contains(&0) || !new.contains(&Some(0))).then_some(())
}

/// setuid(2): all three for good, but for somebody who goes back to one of his own.
fn one(ids: &mut Triple, new: u32) -> Option<()> {
    allowed(ids, &[Some(new)])?;
    if ids[1] != 0 && ids.contains(&new) {
        ids[1] = new;
    } else {
        *ids = [new; 3];
    }
    Some(())
}

/// setreuid(2): the saved id follows the effective one where either is set to something new.
fn two(ids: &mut Triple, new: [Option<u32>; 2]) -> Option<()> {
    allowed(ids, &new)?;
    let [real, effective, saved] = *ids;
    let moves = new[0].is_some() || new[1].is_some_and(|id| id != real);
    let now = new[1].unwrap_or(effective);
    *ids = [new[0].unwrap_or(real), now, if moves { now } else { saved }];
    Some(())
}

/// setresuid(2).
fn three(ids: &mut Triple, new: [Option<u32>; 3]) -> Option<()> {
    allowed(ids, &new)?;
    for (id, new) in ids.iter_mut().zip(new) {
        *id = new.unwrap_or(*id);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_change_as_the_manual_pages_say() {
        let mut ids = [0; 3];
        assert!(one(&mut ids, 33).is_some());
        assert_eq!(ids, [33; 3]);
        assert!(one(&mut ids, 0).is_none());
        let mut ids = [0; 3];
        assert!(three(&mut ids, [None, Some(33), None]).is_some());
        assert_eq!(ids, [0, 33, 0]);
        // Back by the saved one.
        assert!(one(&mut ids, 0).is_some());
        assert_eq!(ids, [0, 0, 0]);
        assert!(two(&mut ids, [Some(7), Some(8)]).is_some());
        assert_eq!(ids, [7, 8, 8]);
        assert!(two(&mut ids, [None, Some(7)]).is_some());
        assert_eq!(ids, [7, 7, 8]);
        assert!(three(&mut ids, [Some(0), None, None]).is_none());
        assert!(two(&mut ids, [None, None]).is_some());
        assert_eq!(ids, [7, 7, 8]);
    }
}
