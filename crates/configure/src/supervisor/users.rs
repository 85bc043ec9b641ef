//! Fakes users where there is only one: remembers which user each process has become, and gives it the files it creates.
//!
//! A process has the ids that it has set, or those of its nearest ancestor that has set some. They forbid it nothing:
//! what a script does as another user, it could do as root.

use super::owners::Ownership;
use super::reply::Reply;
use super::task::{CWD, Task, descriptor, number};
use crate::calls::Call;
use rootstrap_rootfs::Metadata;
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// With more entries than this, the entries of ended processes are removed.
const MANY: usize = 256;

/// The real, the effective and the saved id.
type Triple = [u32; 3];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ids {
    user: Triple,
    group: Triple,
}

/// The processes that have set ids, by process id and start time.
#[derive(Default)]
pub(super) struct Users {
    known: RefCell<HashMap<u32, (String, Ids)>>,
}

impl Users {
    /// Returns the answer to a call about ids; `None` for any other call.
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
            // These calls, such as setgroups(2), succeed without an effect.
            Call::SetIds => Reply::Value(0),
            Call::Getuid => self.value(task, |ids| ids.user[0]),
            Call::Geteuid => self.value(task, |ids| ids.user[1]),
            Call::Getgid => self.value(task, |ids| ids.group[0]),
            Call::Getegid => self.value(task, |ids| ids.group[1]),
            Call::Getresuid => self.write_all(task, [first, second, third], |ids| ids.user),
            Call::Getresgid => self.write_all(task, [first, second, third], |ids| ids.group),
            _ => return None,
        })
    }

    fn set(&self, task: &Task<'_>, change: impl FnOnce(&mut Ids) -> Option<()>) -> Reply {
        let mut ids = self.of(task).unwrap_or_default();
        if change(&mut ids).is_none() {
            return Reply::Fails(Errno::PERM);
        }
        let Some(started) = task.start_time(task.pid) else { return Reply::Value(0) };
        let mut known = self.known.borrow_mut();
        if known.len() > MANY {
            known.retain(|pid, (started, _)| task.start_time(*pid).as_ref() == Some(started));
        }
        known.insert(task.pid, (started, ids));
        Reply::Value(0)
    }

    fn value(&self, task: &Task<'_>, of: impl FnOnce(Ids) -> u32) -> Reply {
        self.of(task).map_or(Reply::Kernel, |ids| Reply::Value(of(ids).into()))
    }

    fn write_all(&self, task: &Task<'_>, to: [u64; 3], of: impl FnOnce(Ids) -> Triple) -> Reply {
        let Some(ids) = self.of(task) else { return Reply::Kernel };
        let written = to.into_iter().zip(of(ids)).try_for_each(|(to, id)| task.write(to, &id.to_ne_bytes()));
        written.into()
    }

    /// Returns the ids of a task, if it or an ancestor has ever set any.
    fn of(&self, task: &Task<'_>) -> Option<Ids> {
        let known = self.known.borrow();
        if known.is_empty() {
            return None;
        }
        let mut pid = task.pid;
        // A limit, in case /proc changes while it is read.
        for _ in 0..64 {
            if let Some((started, ids)) = known.get(&pid)
                && task.start_time(pid).as_ref() == Some(started)
            {
                return Some(*ids);
            }
            pid = task.parent_of(pid).filter(|pid| *pid > 1)?;
        }
        None
    }

    /// Returns the answer to a call that creates a file, if the file belongs to another user than root; `None` if the kernel
    /// can do it.
    pub(super) fn create(&self, ownership: &Ownership<'_>, call: Call, arguments: &[u64; 6]) -> Option<Reply> {
        let [first, second, third, ..] = *arguments;
        let (from, path) = match call {
            Call::Open | Call::Mkdir | Call::Mknod => (CWD, first),
            Call::Openat | Call::Mkdirat | Call::Mknodat => (descriptor(first), second),
            Call::Symlink => (CWD, second),
            Call::Symlinkat => (descriptor(second), third),
            _ => return None,
        };
        let Ownership { task, fake } = ownership;
        let created = || -> Result<Option<Reply>, Errno> {
            let (parent, name) = task.parent(from, &task.path(path)?)?;
            let Some((uid, gid)) = self.owner(ownership, parent.as_fd())? else { return Ok(None) };
            let Some(reply) = create(task, call, arguments, (parent.as_fd(), &name))? else { return Ok(None) };
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let entry = fs::openat(&parent, &name, flags, Mode::empty())?;
            fake.change_owner(entry.as_fd(), Some(uid), Some(gid))?;
            Ok(Some(reply))
        };
        // If the file cannot be created, or exists already, the kernel finds the right answer.
        created().ok().flatten()
    }

    /// Returns user and group of a file that the task creates in a directory; `None` if both are root. In a directory
    /// with the setgid bit, the group is the directory's.
    fn owner(&self, ownership: &Ownership<'_>, parent: BorrowedFd<'_>) -> Result<Option<(u32, u32)>, Errno> {
        let ids = self.of(ownership.task).unwrap_or_default();
        let mut directory = Metadata::from(fs::statat(parent, "", AtFlags::EMPTY_PATH)?);
        let inherits_group = directory.attributes.mode & 0o2000 != 0;
        let group = if inherits_group {
            ownership.fake.of(parent).amend(&mut directory);
            directory.attributes.gid
        } else {
            ids.group[1]
        };
        let owner = (ids.user[1], group);
        Ok((owner != (0, 0)).then_some(owner))
    }
}

/// Creates what the call asks for, under a name in a directory. `None` for a call that creates nothing.
fn create(
    task: &Task<'_>,
    call: Call,
    arguments: &[u64; 6],
    (parent, name): (BorrowedFd<'_>, &OsStr),
) -> Result<Option<Reply>, Errno> {
    let [first, second, third, fourth, ..] = *arguments;
    let bits = |mode: u64| Mode::from_raw_mode(number(mode) & 0o7777 & !task.umask());
    let done = |()| Reply::Value(0);
    task.waits()?;
    let reply = match call {
        Call::Open => open(task, parent, name, number(second), bits(third))?,
        Call::Openat => open(task, parent, name, number(third), bits(fourth))?,
        Call::Mkdir => fs::mkdirat(parent, name, bits(second)).map(done)?,
        Call::Mkdirat => fs::mkdirat(parent, name, bits(third)).map(done)?,
        Call::Mknod => fs::mknodat(parent, name, file_type(second), bits(second), 0).map(done)?,
        Call::Mknodat => fs::mknodat(parent, name, file_type(third), bits(third), 0).map(done)?,
        Call::Symlink | Call::Symlinkat => {
            let text = task.path(first)?;
            fs::symlinkat(OsStr::from_bytes(&text), parent, name).map(done)?
        }
        _ => return Ok(None),
    };
    Ok(Some(reply))
}

/// Creates the file. If the task wants it only if it is new (`O_EXCL`), gives it to the task open, because the kernel
/// would find it there already.
fn open(task: &Task<'_>, parent: BorrowedFd<'_>, name: &OsStr, flags: u32, mode: Mode) -> Result<Reply, Errno> {
    let wanted = OFlags::from_bits_retain(flags);
    let own = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, own | OFlags::WRONLY, mode)?;
    if !wanted.contains(OFlags::EXCL) {
        return Ok(Reply::Kernel);
    }
    let again = wanted.difference(OFlags::CREATE | OFlags::EXCL);
    let file = fs::openat(parent, name, again | OFlags::CLOEXEC, Mode::empty())?;
    task.give(&file, wanted.contains(OFlags::CLOEXEC))?;
    Ok(Reply::Answered)
}

fn file_type(mode: u64) -> fs::FileType {
    fs::FileType::from_raw_mode(number(mode))
}

/// Returns the id in an argument; `None` for -1, which leaves an id as it is.
fn id(argument: u64) -> Option<u32> {
    Some(number(argument)).filter(|id| *id != u32::MAX)
}

/// Returns `Some` if ids may be changed to these. A process that keeps its capabilities over a change may make nearly any
/// other. The one change that is refused is that back to root, because programs test for that.
fn allowed(ids: &Triple, new: &[Option<u32>]) -> Option<()> {
    (ids.contains(&0) || !new.contains(&Some(0))).then_some(())
}

/// setuid(2): sets all three ids; a process that is not root and goes back to an id that it has sets the effective one
/// only.
fn one(ids: &mut Triple, new: u32) -> Option<()> {
    allowed(ids, &[Some(new)])?;
    if ids[1] != 0 && ids.contains(&new) {
        ids[1] = new;
    } else {
        *ids = [new; 3];
    }
    Some(())
}

/// setreuid(2): the saved id becomes the new effective one if the real id is set, or the effective id is set to another
/// than the real one.
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
    fn ids_change_as_the_manual_pages_describe() {
        let mut ids = [0; 3];
        assert!(one(&mut ids, 33).is_some());
        assert_eq!(ids, [33; 3]);
        assert!(one(&mut ids, 0).is_none());
        let mut ids = [0; 3];
        assert!(three(&mut ids, [None, Some(33), None]).is_some());
        assert_eq!(ids, [0, 33, 0]);
        // The saved id allows the way back.
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
