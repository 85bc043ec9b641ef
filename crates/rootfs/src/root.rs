//! The root of a tree and the common operations on paths below it.

use crate::descent::remove_below;
use crate::directory;
use crate::entry::{Attributes, Kind, Metadata, Moment, timestamps};
use crate::error::{Error, Result};
use crate::fake_ownership::FakeOwnership;
use crate::path;
use crate::place::Place;
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// How often a lookup is repeated before it counts as failed.
const RETRIES: usize = 1000;

/// The most bytes that are read of a file. A script can leave a file of any size without taking any space for it.
const READ_LIMIT: u64 = 1 << 30;

/// The error for a path with too many links, or with a link to itself.
const ELOOP: i32 = rustix::io::Errno::LOOP.raw_os_error();

/// A directory that is taken as `/`.
#[derive(Debug)]
pub struct Root {
    dir: Arc<OwnedFd>,
    fake_ownership: Option<Arc<FakeOwnership>>,
}

impl From<OwnedFd> for Root {
    /// Takes a directory that is open for reading as a root.
    fn from(dir: OwnedFd) -> Self {
        Self { dir: Arc::new(dir), fake_ownership: None }
    }
}

impl Root {
    /// Opens the directory `path` of the host.
    ///
    /// # Errors
    /// It does not exist, is no directory, or may not be entered.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        match fs::open(path, flags, Mode::empty()) {
            Ok(dir) => Ok(dir.into()),
            Err(errno) => Err(Error::new("open", path.as_os_str().as_bytes(), errno)),
        }
    }

    /// The same root, with what the filesystem cannot hold recorded in `fake_ownership`.
    #[must_use]
    pub fn with_fake_ownership(self, fake_ownership: Arc<FakeOwnership>) -> Self {
        Self { fake_ownership: Some(fake_ownership), ..self }
    }

    /// The same root once more. It shares the open directory.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { dir: Arc::clone(&self.dir), fake_ownership: self.fake_ownership.clone() }
    }

    /// The same root as it is on the filesystem, without recorded owners and device nodes.
    #[must_use]
    pub fn without_fake_ownership(&self) -> Self {
        Self { dir: Arc::clone(&self.dir), fake_ownership: None }
    }

    /// The record of the owners and device nodes that the filesystem cannot hold, if this root has one.
    #[must_use]
    pub fn fake_ownership(&self) -> Option<&Arc<FakeOwnership>> {
        self.fake_ownership.as_ref()
    }

    /// The present by the clock that gives the files of this root their times. A file without a name is created for it.
    ///
    /// # Errors
    /// The filesystem has no files without names, or is full.
    pub fn moment(&self) -> Result<Moment> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let new = fs::openat(&self.dir, ".", flags, Mode::empty());
        new.and_then(|file| Moment::of_new(file.as_fd())).map_err(|errno| Error::new("create a file in", b"/", errno))
    }

    /// The metadata of an open file of this root.
    pub(crate) fn metadata_of(&self, file: BorrowedFd<'_>) -> rustix::io::Result<Metadata> {
        let mut metadata = fs::fstat(file)?.into();
        if let Some(fake_ownership) = &self.fake_ownership {
            fake_ownership.of(file).amend(&mut metadata);
        }
        Ok(metadata)
    }

    /// Sets the owner of an open file of this root.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_owner_of(&self, file: BorrowedFd<'_>, uid: u32, gid: u32) -> rustix::io::Result<()> {
        match &self.fake_ownership {
            Some(fake_ownership) => fake_ownership.change_owner(file, Some(uid), Some(gid)),
            None => fs::fchown(file, Some(fs::Uid::from_raw(uid)), Some(fs::Gid::from_raw(gid))),
        }
    }

    /// Sets owner, mode and time of an open file of this root, in the order of [`Place::set_attributes`].
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_attributes_of(&self, file: BorrowedFd<'_>, attributes: Attributes) -> rustix::io::Result<()> {
        self.set_owner_of(file, attributes.uid, attributes.gid)?;
        Self::set_mode_and_time(file, attributes)
    }

    /// Does the same as [`Self::set_attributes_of`] for a file that this process has just created. Such a file belongs to
    /// root already, so that the common case takes one system call less.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_attributes_of_new(&self, file: BorrowedFd<'_>, attributes: Attributes) -> rustix::io::Result<()> {
        if (attributes.uid, attributes.gid) != (0, 0) {
            self.set_owner_of(file, attributes.uid, attributes.gid)?;
        }
        Self::set_mode_and_time(file, attributes)
    }

    fn set_mode_and_time(file: BorrowedFd<'_>, attributes: Attributes) -> rustix::io::Result<()> {
        fs::fchmod(file, Mode::from_raw_mode(attributes.mode))?;
        fs::futimens(file, &timestamps(attributes.mtime))
    }

    /// Sets owner, mode and time of the directory that is the root itself.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_own_attributes(&self, attributes: Attributes) -> Result<()> {
        self.set_attributes_of(self.fd(), attributes)
            .map_err(|errno| Error::new("change the attributes of", b"/", errno))
    }

    /// The open directory, to hand to another process.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    fn open_at(&self, verb: &'static str, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let relative = if path.is_empty() { &b"."[..] } else { path };
        let mut result = Err(rustix::io::Errno::AGAIN);
        // The kernel gives up a lookup with `..` if anything on the system is renamed meanwhile (openat2(2), EAGAIN).
        for _ in 0..RETRIES {
            result = fs::openat2(&self.dir, relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
            if !matches!(result, Err(rustix::io::Errno::AGAIN)) {
                break;
            }
        }
        result.map_err(|errno| Error::new(verb, path, errno))
    }

    /// Opens the directory that `path` leads to. Links are followed inside the root.
    ///
    /// # Errors
    /// There is no directory.
    pub fn open_directory(&self, path: &[u8]) -> Result<OwnedFd> {
        self.open_at("open", path, OFlags::DIRECTORY | OFlags::RDONLY)
    }

    /// Opens the directory that `path` leads to as a root of its own.
    ///
    /// # Errors
    /// There is no directory.
    pub fn below(&self, path: &[u8]) -> Result<Self> {
        self.open_directory(path).map(|dir| Self { dir: Arc::new(dir), fake_ownership: self.fake_ownership.clone() })
    }

    /// Opens the file that `path` leads to for reading. Links are followed inside the root.
    ///
    /// # Errors
    /// There is nothing, or no regular file.
    pub fn open_file(&self, path: &[u8]) -> Result<File> {
        // A package may have left a fifo or a device there: opening it must not block.
        let file = File::from(self.open_at("open", path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        match file.metadata() {
            Ok(meta) if meta.is_file() => Ok(file),
            Ok(_) => Err(Error::new("read", path, rustix::io::Errno::INVAL)),
            Err(error) => Err(Error::new("read", path, error)),
        }
    }

    /// Returns the place that `path` names. Its parent has to exist; the entry itself need not.
    ///
    /// # Errors
    /// The parent cannot be opened, or `path` names the root itself.
    pub fn at(&self, path: &[u8]) -> Result<Place> {
        self.place(path, |parent| self.open_directory(parent).map(Rc::new))
    }

    /// Returns the place that `path` names. `open` opens the directory that is its parent.
    pub(crate) fn place(&self, path: &[u8], open: impl FnOnce(&[u8]) -> Result<Rc<OwnedFd>>) -> Result<Place> {
        let path = path::trim(path);
        let (parent, name) = path::split(path);
        if matches!(name, b"" | b"." | b"..") {
            return Err(Error::new("name", path, rustix::io::Errno::INVAL));
        }
        Ok(Place::new(open(parent)?, name, path, self.fake_ownership.clone()))
    }

    /// The metadata of the entry `path`; a link at its end is not followed. `None` if the entry or a parent is missing.
    ///
    /// # Errors
    /// The system refuses to say.
    pub fn metadata(&self, path: &[u8]) -> Result<Option<Metadata>> {
        match self.at(path) {
            Ok(place) => place.metadata(),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether `path` leads to anything. Links are followed inside the root.
    ///
    /// # Errors
    /// The system refuses to say.
    pub fn leads_somewhere(&self, path: &[u8]) -> Result<bool> {
        match self.open_at("inspect", path, OFlags::PATH) {
            Ok(_) => Ok(true),
            Err(error) if error.is_absent() || error.io().raw_os_error() == Some(ELOOP) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads the file that `path` leads to; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read, or has more than 1 GiB.
    pub fn read(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let file = match self.open_file(path) {
            Ok(file) => file,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error),
        };
        let failed = |error| Error::new("read", path, error);
        let size = file.metadata().map_err(failed)?.len();
        let mut contents = Vec::new();
        if size <= READ_LIMIT {
            // It may grow in the meantime.
            (&file).take(READ_LIMIT + 1).read_to_end(&mut contents).map_err(failed)?;
        }
        if size.max(contents.len() as u64) > READ_LIMIT {
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 GiB")));
        }
        Ok(Some(contents))
    }

    /// Writes a file of mode `mode` and owner root. It replaces in one step what is there.
    ///
    /// # Errors
    /// The parent is missing, a directory is there, or the system refuses (full disk).
    pub fn write(&self, path: &[u8], contents: &[u8], mode: u32) -> Result<()> {
        let place = self.at(path)?;
        let new = place.with_suffix(".rootstrap-new");
        new.remove()?;
        let mut file = new.create_file()?;
        file.write_all(contents).map_err(|error| Error::new("write", path, error))?;
        new.set_owner(0, 0)?;
        new.set_mode(mode)?;
        new.rename_to(&place)
    }

    /// Creates `path` and its missing parents as directories of mode `mode` and owner root. Links are followed inside the
    /// root.
    ///
    /// # Errors
    /// Something that is no directory is in the way, or the system refuses.
    pub fn create_directories(&self, path: &[u8], mode: u32) -> Result<()> {
        let mut prefix = Vec::with_capacity(path.len());
        for part in path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".") {
            prefix.push(b'/');
            prefix.extend_from_slice(part);
            match self.open_directory(&prefix) {
                Ok(_) => {}
                Err(error) if error.is_absent() => {
                    let place = self.at(&prefix)?;
                    place.create_directory(Attributes { mode, uid: 0, gid: 0, mtime: 0 })?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes a file, link or node. If nothing is there, nothing is done.
    ///
    /// # Errors
    /// A directory is there, or the system refuses.
    pub fn remove(&self, path: &[u8]) -> Result<()> {
        match self.at(path) {
            Ok(place) => place.remove(),
            Err(error) if error.is_absent() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes `path` and everything below it, however deep. If nothing is there, nothing is done.
    ///
    /// # Errors
    /// The system refuses.
    pub fn remove_tree(&self, path: &[u8]) -> Result<()> {
        match self.metadata(path)? {
            None => Ok(()),
            Some(meta) if meta.kind == Kind::Directory => {
                self.remove_children(path)?;
                self.at(path)?.remove_directory()
            }
            Some(_) => self.remove(path),
        }
    }

    /// Removes everything below the directory `path`, which stays. If nothing is there, nothing is done.
    ///
    /// # Errors
    /// The system refuses.
    pub fn remove_children(&self, path: &[u8]) -> Result<()> {
        let directory = match self.open_directory(path) {
            Ok(directory) => directory,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error),
        };
        remove_below(directory.as_fd())
            .map_err(|(name, errno)| Error::new("remove", &[path, b"/", &name].concat(), errno))
    }

    /// Removes everything in the directory `path` but the entries called `names`. The directory keeps its modification time,
    /// in whole seconds.
    ///
    /// # Errors
    /// The system refuses.
    pub fn retain(&self, path: &[u8], names: &[Vec<u8>]) -> Result<()> {
        let mut others = self.list(path)?;
        others.retain(|name| !names.contains(name));
        if others.is_empty() {
            return Ok(());
        }
        let failed = |errno| Error::new("change time of", path, errno);
        let directory = self.open_directory(path)?;
        let before: Metadata = fs::fstat(&directory).map_err(failed)?.into();
        for name in others {
            self.remove_tree(&[path, b"/", &name].concat())?;
        }
        fs::futimens(&directory, &timestamps(before.attributes.mtime)).map_err(failed)
    }

    /// Lists the names in the directory `path`, sorted by bytes. A missing directory has none.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let dir = match self.open_directory(path) {
            Ok(dir) => dir,
            Err(error) if error.is_absent() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        directory::names(dir.as_fd(), path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A script can leave a file of any size without taking any space for it.
    #[test]
    fn a_huge_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::File::create(dir.path().join("huge")).unwrap().set_len(1 << 40).unwrap();
        let error = Root::open(dir.path()).unwrap().read(b"huge").unwrap_err();
        assert_eq!(error.io().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn links_and_dots_stay_inside() {
        let outer = tempfile::tempdir().unwrap();
        let secret = outer.path().join("secret");
        std::fs::write(&secret, "outside").unwrap();
        let inner = outer.path().join("root");
        std::fs::create_dir(&inner).unwrap();
        symlink("../secret", inner.join("up")).unwrap();
        symlink(&secret, inner.join("absolute")).unwrap();
        symlink("/", inner.join("slash")).unwrap();
        symlink(outer.path(), inner.join("dir")).unwrap();
        let root = Root::open(&inner).unwrap();
        for path in ["up", "absolute", "../secret", "slash/../../secret", "dir/secret"] {
            assert!(root.read(path.as_bytes()).unwrap().is_none(), "{path} was read");
        }
        // A write to the path of a link replaces the link and does not touch the outside.
        root.write(b"absolute", b"inside", 0o644).unwrap();
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "outside");
        assert_eq!(root.read(b"/slash/slash/absolute").unwrap().unwrap(), b"inside");
        assert!(root.write(b"dir/secret", b"x", 0o644).is_err());
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "outside");
    }

    #[test]
    fn trees_are_removed_without_following_links() {
        let outer = tempfile::tempdir().unwrap();
        std::fs::create_dir(outer.path().join("keep")).unwrap();
        std::fs::write(outer.path().join("keep/file"), "x").unwrap();
        let inner = outer.path().join("root");
        std::fs::create_dir_all(inner.join("a/b/c")).unwrap();
        symlink(outer.path().join("keep"), inner.join("a/b/link")).unwrap();
        symlink("../../keep", inner.join("a/up")).unwrap();
        let root = Root::open(&inner).unwrap();
        root.remove_tree(b"a").unwrap();
        assert!(root.metadata(b"a").unwrap().is_none());
        assert!(outer.path().join("keep/file").exists());
        root.remove_tree(b"a").unwrap();
    }

    #[test]
    fn directories_are_created_through_links_in_the_root() {
        let outer = tempfile::tempdir().unwrap();
        symlink("usr/lib", outer.path().join("lib")).unwrap();
        std::fs::create_dir_all(outer.path().join("usr/lib")).unwrap();
        let root = Root::open(outer.path()).unwrap();
        let owner = rustix::process::getuid().is_root();
        if owner {
            root.create_directories(b"/lib/a/b", 0o750).unwrap();
            let meta = root.metadata(b"usr/lib/a/b").unwrap().unwrap();
            assert_eq!((meta.kind, meta.attributes.mode), (Kind::Directory, 0o750));
        } else {
            rootstrap_testkit::skip("only root can create files of root");
        }
        assert!(root.at(b"/").is_err());
        assert!(root.at(b"/lib/..").is_err());
    }
}
