//! The way from a directory down to one far below it, with a bounded number of open directories. So neither the depth of a tree nor the
//! length of its paths can exhaust the stack, the descriptors or what the kernel takes as a path.

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, Result};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// How many directories are open at once, besides the top one. Those above are closed and opened again on the way back.
const OPEN: usize = 48;

/// Device and inode number.
type Identity = (u64, u64);

/// The directories between `top` and the current one.
pub(crate) struct Descent<'t> {
    top: BorrowedFd<'t>,
    levels: Vec<Level>,
    /// How every directory on the way is opened.
    resolve: ResolveFlags,
}

struct Level {
    directory: Option<OwnedFd>,
    identity: Identity,
}

#[allow(clippy::useless_conversion, reason = "the widths of numbers differ by architecture")]
fn identity(stat: &Stat) -> Identity {
    (stat.st_dev.into(), stat.st_ino.into())
}

impl<'t> Descent<'t> {
    /// Begins at `top`. Without `mounts`, a directory where something is mounted cannot be entered.
    pub fn new(top: BorrowedFd<'t>, mounts: bool) -> Self {
        let links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Self { top, levels: Vec::new(), resolve: if mounts { links } else { links | ResolveFlags::NO_XDEV } }
    }

    /// Returns the current directory.
    pub fn current(&self) -> BorrowedFd<'_> {
        self.levels.last().and_then(|level| level.directory.as_ref()).map_or(self.top, AsFd::as_fd)
    }

    /// Enters the directory `name` of the current directory.
    pub fn enter(&mut self, name: &[u8]) -> Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = fs::openat2(self.current(), OsStr::from_bytes(name), flags, Mode::empty(), self.resolve)?;
        let identity = identity(&fs::fstat(&directory)?);
        self.levels.push(Level { directory: Some(directory), identity });
        if let Some(distant) = self.levels.len().checked_sub(OPEN + 1).and_then(|number| self.levels.get_mut(number)) {
            distant.directory = None;
        }
        Ok(())
    }

    /// Goes back to the directory above.
    ///
    /// # Errors
    /// The system refuses, or the directory was moved since it was entered.
    pub fn leave(&mut self) -> Result<()> {
        let Some(left) = self.levels.pop() else { return Ok(()) };
        if let Some(above) = self.levels.last_mut().filter(|above| above.directory.is_none()) {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
            let below = left.directory.ok_or(Errno::STALE)?;
            let directory = fs::openat(&below, "..", flags, Mode::empty())?;
            if identity(&fs::fstat(&directory)?) != above.identity {
                return Err(Errno::STALE);
            }
            above.directory = Some(directory);
        }
        Ok(())
    }
}

/// Removes everything below `top`. Follows no link and enters no mount point.
///
/// # Errors
/// The system refuses. What was removed until then stays removed.
pub(crate) fn remove_below(top: BorrowedFd<'_>) -> std::result::Result<(), (Vec<u8>, Errno)> {
    let names = |directory: BorrowedFd<'_>| crate::directory::read(directory).map(Vec::into_iter);
    let mut descent = Descent::new(top, false);
    let mut waiting = vec![(Vec::new(), names(top).map_err(|errno| (Vec::new(), errno))?)];
    while let Some((_, left)) = waiting.last_mut() {
        if let Some(name) = left.next() {
            match fs::unlinkat(descent.current(), OsStr::from_bytes(&name), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                // unlink(2): what Linux says of a directory, and what POSIX says.
                Err(refused @ (Errno::ISDIR | Errno::PERM)) => {
                    let entered = descent.enter(&name).and_then(|()| names(descent.current()));
                    match entered {
                        Ok(inside) => waiting.push((name, inside)),
                        Err(Errno::NOTDIR | Errno::LOOP) => return Err((name, refused)),
                        Err(errno) => return Err((name, errno)),
                    }
                }
                Err(errno) => return Err((name, errno)),
            }
            continue;
        }
        let Some((name, _)) = waiting.pop().filter(|_| !waiting.is_empty()) else { break };
        let removed = descent.leave().and_then(|()| {
            fs::unlinkat(descent.current(), OsStr::from_bytes(&name), AtFlags::REMOVEDIR)
                .or_else(|errno| if errno == Errno::NOENT { Ok(()) } else { Err(errno) })
        });
        removed.map_err(|errno| (name, errno))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::error::Error;
    use crate::root::Root;
    use crate::walk::walk;
    use rustix::fs::{Mode, OFlags};

    /// Deeper than a table of descriptors allows by default, with a path four times as long as the kernel takes.
    const DEPTH: usize = 1_500;
    const NAME: &str = "directory";

    #[test]
    fn a_tree_of_any_depth_is_walked_and_removed() {
        // In memory, because the journal of a disk makes this slow.
        let memory = std::path::Path::new("/dev/shm");
        let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let open = |directory: &std::os::fd::OwnedFd, name: &str| {
            rustix::fs::openat(directory, name, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap()
        };
        let mut directory = rustix::fs::open(place.path(), OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        for _ in 0..DEPTH {
            rustix::fs::mkdirat(&directory, NAME, Mode::from_raw_mode(0o755)).unwrap();
            directory = open(&directory, NAME);
        }
        let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let root = Root::open(place.path()).unwrap();
        let (mut count, mut most) = (0, 0);
        walk::<Error>(&root, &mut |_| {
            count += 1;
            if count == DEPTH {
                most = std::fs::read_dir("/proc/self/fd").unwrap().count();
            }
            Ok(true)
        })
        .unwrap();
        assert_eq!(count, DEPTH + 1);
        assert!(most < before + 200, "{most} descriptors were open");
        root.remove_children(b"").unwrap();
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
