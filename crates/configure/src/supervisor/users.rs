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
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
        let created = || -> Result<Option<Reply>, Errno> {
            let task = ownership.task;
            let (parent, name) = task.parent(from, &task.path(path)?)?;
            let Some(owner) = self.owner(ownership, parent.as_fd())? else { return Ok(None) };
            create(ownership, call, arguments, &New { parent, name, owner, mask: task.umask() })
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

/// An entry that is to be created.
struct New {
    parent: OwnedFd,
    name: OsString,
    /// User and group.
    owner: (u32, u32),
    /// The permission bits that the task's new files do not get.
    mask: u32,
}

/// Creates what the call asks for and records its owner. `None` for a call that creates nothing.
fn create(ownership: &Ownership<'_>, call: Call, arguments: &[u64; 6], new: &New) -> Result<Option<Reply>, Errno> {
    let [first, second, third, fourth, ..] = *arguments;
    let Ownership { task, fake } = ownership;
    let New { parent, name, .. } = new;
    let bits = |mode: u64| Mode::from_raw_mode(number(mode) & 0o7777 & !new.mask);
    task.waits()?;
    match call {
        Call::Open => return open(ownership, new, number(second), bits(third)),
        Call::Openat => return open(ownership, new, number(third), bits(fourth)),
        Call::Mkdir => fs::mkdirat(parent, name, bits(second))?,
        Call::Mkdirat => fs::mkdirat(parent, name, bits(third))?,
        Call::Mknod => fs::mknodat(parent, name, file_type(second), bits(second), 0)?,
        Call::Mknodat => fs::mknodat(parent, name, file_type(third), bits(third), 0)?,
        Call::Symlink | Call::Symlinkat => {
            let text = task.path(first)?;
            fs::symlinkat(OsStr::from_bytes(&text), parent, name)?;
        }
        _ => return Ok(None),
    }
    // A script may have put another entry in the place of the new one by now. It is an entry of the same directory, and the
    // script could change its owner by a call of its own.
    let entry = fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    fake.change_owner(entry.as_fd(), Some(new.owner.0), Some(new.owner.1))?;
    Ok(Some(Reply::Value(0)))
}

/// Creates a file, records its owner, and gives it to the task open. The name is used only once: by a second time a script
/// could have replaced the file by a link to a file of the host. `None` if the call creates no file.
fn open(ownership: &Ownership<'_>, new: &New, flags: u32, mode: Mode) -> Result<Option<Reply>, Errno> {
    let wanted = OFlags::from_bits_retain(flags);
    // The kernel ignores O_CREAT beside O_PATH, and makes no directories.
    if wanted.intersects(OFlags::PATH | OFlags::DIRECTORY) {
        return Ok(None);
    }
    let file = create_file(new.parent.as_fd(), &new.name, wanted, mode)?;
    ownership.fake.change_owner(file.as_fd(), Some(new.owner.0), Some(new.owner.1))?;
    ownership.task.give(&file, wanted.contains(OFlags::CLOEXEC))?;
    Ok(Some(Reply::Answered))
}

/// Creates the file `name` in a directory, open as `wanted` says. Fails if anything has that name, even a link.
fn create_file(parent: BorrowedFd<'_>, name: &OsStr, wanted: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let own = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    fs::openat(parent, name, wanted | own, mode)
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

    #[test]
    fn a_new_file_is_never_one_that_a_link_leads_to() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        std::fs::write(&outside, "outside").unwrap();
        let tree = place.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let parent = fs::open(&tree, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let wanted = OFlags::WRONLY | OFlags::TRUNC;
        let create = |name: &str| create_file(parent.as_fd(), OsStr::new(name), wanted, Mode::from_raw_mode(0o600));
        std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
        std::os::unix::fs::symlink(tree.join("nowhere"), tree.join("dangling")).unwrap();
        std::fs::write(tree.join("file"), "").unwrap();
        for name in ["link", "dangling", "file"] {
            assert_eq!(create(name).unwrap_err(), Errno::EXIST, "{name}");
        }
        assert!(create("new").is_ok());
        assert_eq!(std::fs::read(&outside).unwrap(), b"outside");
    }
}
