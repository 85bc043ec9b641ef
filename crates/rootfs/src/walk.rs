//! Walks a tree in one fixed order: each directory before its children, children sorted by the bytes of their names.

use crate::descent::Descent;
use crate::directory::names;
use crate::entry::{Kind, Metadata};
use crate::error::{Error, Result};
use crate::fake_ownership::{FakeOwnership, Faked};
use crate::root::Root;
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// One entry during a walk.
pub struct Visit<'w> {
    /// Path below the root, without leading slash; empty for the root itself.
    pub path: &'w [u8],
    /// What the entry is, recorded owners and device nodes included.
    pub metadata: Metadata,
    /// What is recorded about the entry because the filesystem cannot hold it; `metadata` contains it already.
    pub faked: Faked,
    directory: BorrowedFd<'w>,
    name: &'w [u8],
}

impl Visit<'_> {
    /// Opens the regular file for reading.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(&self) -> Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = |flags| fs::openat(self.directory, OsStr::from_bytes(self.name), flags, Mode::empty());
        // Reading here does not count as use of the file. Only its owner may ask for that (open(2), O_NOATIME).
        open(flags | OFlags::NOATIME)
            .or_else(|_| open(flags))
            .map(Into::into)
            .map_err(|errno| Error::new("read", self.path, errno))
    }

    /// The text of the symbolic link.
    ///
    /// # Errors
    /// The entry is no symbolic link.
    pub fn link_target(&self) -> Result<Vec<u8>> {
        fs::readlinkat(self.directory, OsStr::from_bytes(self.name), Vec::new())
            .map(std::ffi::CString::into_bytes)
            .map_err(|errno| Error::new("read link", self.path, errno))
    }

    /// Whether the entry is a mount point. It is `false` on Linux before 5.8, which does not say.
    #[must_use]
    pub fn is_mount_point(&self) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let root = fs::StatxAttributes::MOUNT_ROOT;
        fs::statx(self.directory, OsStr::from_bytes(self.name), flags, fs::StatxFlags::empty())
            .is_ok_and(|found| found.stx_attributes_mask.contains(root) && found.stx_attributes.contains(root))
    }

    /// For an entry whose owner is shown as nobody: whether this user namespace has no number for the real owner.
    ///
    /// The test is that only an owner with a number here may open with `O_NOATIME` (open(2)).
    #[must_use]
    pub fn belongs_to_nobody_here(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
        let name = if self.name.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(self.name) };
        matches!(fs::openat(self.directory, name, flags, Mode::empty()), Err(Errno::PERM | Errno::ACCESS))
    }

    /// All extended attributes, sorted by name.
    ///
    /// # Errors
    /// The system refuses. A filesystem without extended attributes is no error: the entry has none.
    pub fn xattrs(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        if matches!(self.metadata.kind, Kind::Symlink | Kind::Socket) {
            return Ok(Vec::new());
        }
        // The path goes through /proc/self/fd because Linux before 6.13 has no *xattrat, and devices must not be opened.
        let err = |errno| Error::new("read attributes of", self.path, errno);
        let name = if self.name.is_empty() { b"." } else { self.name };
        let directory = format!("/proc/self/fd/{}/", self.directory.as_raw_fd());
        let path = [directory.as_bytes(), name].concat();
        // Most entries have few attributes or none, and a buffer for the longest possible list is slow to clear.
        let mut names = vec![0; 256];
        let length = match fs::llistxattr(&path[..], &mut names) {
            Ok(length) => length,
            Err(Errno::NOTSUP) => 0,
            Err(Errno::RANGE) => {
                names.resize(65536, 0);
                fs::llistxattr(&path[..], &mut names).map_err(err)?
            }
            Err(errno) => return Err(err(errno)),
        };
        names.truncate(length);
        let mut found = Vec::new();
        for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
            let mut value = vec![0; 65536];
            let length = fs::lgetxattr(&path[..], OsStr::from_bytes(name), &mut value).map_err(err)?;
            value.truncate(length);
            found.push((name.to_vec(), value));
        }
        found.sort();
        Ok(found)
    }
}

/// Calls `visit` for the root and everything below it. If `visit` returns `false` for a directory, its children are left out.
///
/// The walk enters mount points, so no other filesystem may be mounted below the root.
///
/// # Errors
/// The first error of the system or of `visit`.
pub fn walk<E: From<Error>>(
    root: &Root,
    visit: &mut dyn FnMut(&Visit<'_>) -> std::result::Result<bool, E>,
) -> std::result::Result<(), E> {
    let fake_ownership = root.fake_ownership().map(|fake_ownership| &**fake_ownership);
    let mut metadata = fs::fstat(root.fd()).map_err(|errno| Error::new("inspect", b"/", errno))?.into();
    let faked = fake_ownership.map(|fake_ownership| fake_ownership.of(root.fd())).unwrap_or_default();
    faked.amend(&mut metadata);
    if visit(&Visit { path: b"", metadata, faked, directory: root.fd(), name: b"" })? {
        descend(root.fd(), fake_ownership, visit)?;
    }
    Ok(())
}

/// Visits everything below `top`.
fn descend<E: From<Error>>(
    top: BorrowedFd<'_>,
    fake_ownership: Option<&FakeOwnership>,
    visit: &mut dyn FnMut(&Visit<'_>) -> std::result::Result<bool, E>,
) -> std::result::Result<(), E> {
    let mut descent = Descent::new(top, true);
    let mut path = Vec::new();
    // For each directory on the way, the names that are still to be visited, and the length of its path.
    let mut waiting = vec![(names(top, &path)?.into_iter(), 0)];
    while let Some((left, length)) = waiting.last_mut() {
        path.truncate(*length);
        let Some(name) = left.next() else {
            waiting.pop();
            if !waiting.is_empty() {
                descent.leave().map_err(|errno| Error::new("open", &path, errno))?;
            }
            continue;
        };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        let (directory, os_name) = (descent.current(), OsStr::from_bytes(&name));
        let mut metadata: Metadata = fs::statat(directory, os_name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Error::new("inspect", &path, errno))?
            .into();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = || fs::openat(directory, os_name, flags, Mode::empty());
        let faked = fake_ownership.map(|fake_ownership| fake_ownership.amend(&mut metadata, entry)).unwrap_or_default();
        let deeper = visit(&Visit { path: &path, metadata, faked, directory, name: &name })?;
        if deeper && metadata.kind == Kind::Directory {
            descent.enter(&name).map_err(|errno| Error::new("open", &path, errno))?;
            waiting.push((names(descent.current(), &path)?.into_iter(), path.len()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_directory_then_name() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["b", "a/x", "a/y/z", "a-b", "c"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        let mut seen = Vec::new();
        walk::<Error>(&root, &mut |visit| {
            seen.push(String::from_utf8_lossy(visit.path).into_owned());
            Ok(visit.path != b"a/y")
        })
        .unwrap();
        assert_eq!(seen, ["", "a", "a/x", "a/y", "a-b", "b", "c"]);
    }
}
