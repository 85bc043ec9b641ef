//! A tree in one fixed order: each directory before its children, children sorted by the bytes of their names.

use crate::aside::{Aside, Kept};
use crate::entry::{Kind, Metadata};
use crate::{Error, Result, Root};
use rustix::fs::{self, AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// One entry during a walk.
pub struct Visit<'w> {
    /// Path below the root, without leading slash; empty for the root itself.
    pub path: &'w [u8],
    /// What it is.
    pub metadata: Metadata,
    /// What of it the filesystem does not hold; `metadata` says so already.
    pub kept: Kept,
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
        // Nobody has used the file because it was looked at here; whoever is not its owner may not ask for that.
        open(flags | OFlags::NOATIME)
            .or_else(|_| open(flags))
            .map(Into::into)
            .map_err(|errno| Error::new("read", self.path, errno))
    }

    /// The text of the symbolic link.
    ///
    /// # Errors
    /// It is none.
    pub fn link_target(&self) -> Result<Vec<u8>> {
        fs::readlinkat(self.directory, OsStr::from_bytes(self.name), Vec::new())
            .map(std::ffi::CString::into_bytes)
            .map_err(|errno| Error::new("read link", self.path, errno))
    }

    /// Whether something is mounted here. Linux before 5.8 does not say.
    #[must_use]
    pub fn is_mount_point(&self) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let root = fs::StatxAttributes::MOUNT_ROOT;
        fs::statx(self.directory, OsStr::from_bytes(self.name), flags, fs::StatxFlags::empty())
            .is_ok_and(|found| found.stx_attributes_mask.contains(root) && found.stx_attributes.contains(root))
    }

    /// Whether the owner is one that this user namespace has no number for, if it is shown as nobody. Only an owner that is
    /// known here can ask not to be noticed reading (open(2), O_NOATIME).
    #[must_use]
    pub fn belongs_to_nobody_here(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
        let name = if self.name.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(self.name) };
        matches!(fs::openat(self.directory, name, flags, Mode::empty()), Err(Errno::PERM | Errno::ACCESS))
    }

    /// All extended attributes, sorted by name.
    ///
    /// # Errors
    /// The system refuses; a filesystem without them has none.
    pub fn xattrs(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        if matches!(self.metadata.kind, Kind::Symlink | Kind::Socket) {
            return Ok(Vec::new());
        }
        // By way of /proc/self/fd because there is no *xattrat before Linux 6.13, and devices must not be opened.
        let err = |errno| Error::new("read attributes of", self.path, errno);
        let name = if self.name.is_empty() { b"." } else { self.name };
        let directory = format!("/proc/self/fd/{}/", self.directory.as_raw_fd());
        let path = [directory.as_bytes(), name].concat();
        // Most have none, or few, and room for all that is possible is dear.
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

/// Calls `visit` for the root and everything below it. For a directory, `false` means: not its children.
/// Mount points are not told apart, so nothing foreign may be mounted below.
///
/// # Errors
/// The first error of the system or of `visit`.
pub fn walk<E: From<Error>>(
    root: &Root,
    visit: &mut dyn FnMut(&Visit<'_>) -> std::result::Result<bool, E>,
) -> std::result::Result<(), E> {
    let aside = root.aside.as_deref();
    let mut metadata = fs::fstat(root.fd()).map_err(|errno| Error::new("inspect", b"/", errno))?.into();
    let kept = aside.map(|aside| aside.of(root.fd())).unwrap_or_default();
    kept.amend(&mut metadata);
    if visit(&Visit { path: b"", metadata, kept, directory: root.fd(), name: b"" })? {
        descend(root.fd(), aside, &mut Vec::new(), visit)?;
    }
    Ok(())
}

fn descend<E: From<Error>>(
    directory: BorrowedFd<'_>,
    aside: Option<&Aside>,
    path: &mut Vec<u8>,
    visit: &mut dyn FnMut(&Visit<'_>) -> std::result::Result<bool, E>,
) -> std::result::Result<(), E> {
    for name in names(directory, path)? {
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        let os_name = OsStr::from_bytes(&name);
        let mut metadata: Metadata = fs::statat(directory, os_name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Error::new("inspect", path, errno))?
            .into();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = || fs::openat(directory, os_name, flags, Mode::empty());
        let kept = aside.map(|aside| aside.amend(&mut metadata, entry)).unwrap_or_default();
        let deeper = visit(&Visit { path, metadata, kept, directory, name: &name })?;
        if deeper && metadata.kind == Kind::Directory {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            let child = fs::openat(directory, os_name, flags, Mode::empty())
                .map_err(|errno| Error::new("open", path, errno))?;
            descend(child.as_fd(), aside, path, visit)?;
        }
        path.truncate(length);
    }
    Ok(())
}

/// The names in an open directory, sorted.
pub(crate) fn names(directory: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let err = |errno| Error::new("list", path, errno);
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(err)? {
        let entry = entry.map_err(err)?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    names.sort();
    Ok(names)
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
