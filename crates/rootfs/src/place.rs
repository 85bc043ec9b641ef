//! A place in the tree: an open directory and one name in it.

use crate::entry::{Attributes, Device, Kind, Metadata, timestamps};
use crate::error::{Error, Result};
use crate::fake_ownership::FakeOwnership;
use rustix::fs::{self, AtFlags, Dev, FileType, Mode, OFlags};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::sync::Arc;

/// An open directory and a name in it. No operation follows a link at that name.
pub struct Place {
    dir: Rc<OwnedFd>,
    name: OsString,
    path: Vec<u8>,
    fake_ownership: Option<Arc<FakeOwnership>>,
}

impl Place {
    /// The entry `name` of `directory`; `path` names it in errors.
    pub(crate) fn new(dir: Rc<OwnedFd>, name: &[u8], path: &[u8], fake_ownership: Option<Arc<FakeOwnership>>) -> Self {
        Self { dir, name: OsStr::from_bytes(name).to_owned(), path: path.to_vec(), fake_ownership }
    }

    fn err(&self, verb: &'static str) -> impl FnOnce(rustix::io::Errno) -> Error {
        let path = self.path.clone();
        move |errno| Error::new(verb, &path, errno)
    }

    /// Makes the error `cannot <verb> <this place>`, for callers that write to a file they opened here.
    #[must_use]
    pub fn error(&self, verb: &'static str, source: std::io::Error) -> Error {
        Error::new(verb, &self.path, source)
    }

    /// The open directory.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The place in the same directory whose name is this one with `suffix` appended.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let mut name = self.name.clone();
        name.push(suffix);
        let mut path = self.path.clone();
        path.extend_from_slice(suffix.as_bytes());
        Self { dir: Rc::clone(&self.dir), name, path, fake_ownership: self.fake_ownership.clone() }
    }

    /// What is at this place; `None` if nothing is.
    ///
    /// # Errors
    /// The system refuses to say.
    pub fn metadata(&self) -> Result<Option<Metadata>> {
        match fs::statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let mut metadata = stat.into();
                if let Some(fake_ownership) = &self.fake_ownership {
                    fake_ownership.amend(&mut metadata, || self.hold());
                }
                Ok(Some(metadata))
            }
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.err("inspect")(errno)),
        }
    }

    /// Opens the entry itself with `O_PATH`: what is done through the descriptor is not done to another entry that takes the
    /// name meanwhile.
    fn hold(&self) -> rustix::io::Result<OwnedFd> {
        fs::openat(&self.dir, &self.name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    }

    /// Creates a new, empty file of mode 0, open for writing.
    ///
    /// # Errors
    /// Something is there already, or the system refuses.
    pub fn create_file(&self) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.dir, &self.name, flags, Mode::empty()).map(File::from).map_err(self.err("create"))
    }

    /// Opens the regular file there for reading.
    ///
    /// # Errors
    /// There is none, it is a link, or the system refuses.
    pub fn open(&self) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        fs::openat(&self.dir, &self.name, flags, Mode::empty()).map(File::from).map_err(self.err("open"))
    }

    /// Opens the regular file there for reading. Where this is allowed (open(2), `O_NOATIME`), its time of last access stays.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_without_atime(&self) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
        fs::openat(&self.dir, &self.name, flags, Mode::empty()).map(File::from).or_else(|_| self.open())
    }

    /// Creates a directory.
    ///
    /// # Errors
    /// Something is there already, or the system refuses.
    pub fn create_directory(&self, attributes: Attributes) -> Result<()> {
        fs::mkdirat(&self.dir, &self.name, Mode::from_raw_mode(0o700)).map_err(self.err("create directory"))?;
        self.set_attributes(attributes)
    }

    /// Creates a symbolic link whose text is `target`; its mode is not used.
    ///
    /// # Errors
    /// Something is there already, or the system refuses.
    pub fn create_symlink(&self, target: &[u8], attributes: Attributes) -> Result<()> {
        fs::symlinkat(OsStr::from_bytes(target), &self.dir, &self.name).map_err(self.err("create link"))?;
        self.set_owner(attributes.uid, attributes.gid)?;
        self.set_mtime(attributes.mtime)
    }

    /// Creates a second name for the file at `existing`.
    ///
    /// # Errors
    /// Something is there already, `existing` is not, or the system refuses.
    pub fn create_link(&self, existing: &Self) -> Result<()> {
        fs::linkat(&existing.dir, &existing.name, &self.dir, &self.name, AtFlags::empty())
            .map_err(self.err("create hard link"))
    }

    /// Gives a file that has no name (open(2), `O_TMPFILE`) this one.
    ///
    /// # Errors
    /// Something is there already, or the system refuses.
    pub fn link_file(&self, file: &File) -> Result<()> {
        let linked = match fs::linkat(file, "", &self.dir, &self.name, AtFlags::EMPTY_PATH) {
            // Callers without CAP_DAC_READ_SEARCH get this error; linkat(2) names the way through /proc for them.
            Err(rustix::io::Errno::NOENT) => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                fs::linkat(fs::CWD, path, &self.dir, &self.name, AtFlags::SYMLINK_FOLLOW)
            }
            done => done,
        };
        linked.map_err(self.err("create"))
    }

    /// Creates a device node or fifo.
    ///
    /// # Errors
    /// Something is there already, `kind` is neither, or the system refuses: device nodes need real root or a
    /// [`FakeOwnership`].
    pub fn create_node(&self, kind: Kind, device: Device, attributes: Attributes) -> Result<()> {
        let file_type = match kind {
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            _ => return Err(self.err("create node")(rustix::io::Errno::INVAL)),
        };
        let number: Dev = fs::makedev(device.major, device.minor);
        let created = fs::mknodat(&self.dir, &self.name, file_type, Mode::from_raw_mode(0o600), number);
        match (created, &self.fake_ownership) {
            (Err(rustix::io::Errno::PERM), Some(fake_ownership)) if kind != Kind::Fifo => {
                self.create_file()?;
                let faked = self.hold().and_then(|entry| fake_ownership.make_node(entry.as_fd(), kind, device));
                faked.map_err(self.err("create node"))?;
            }
            (created, _) => created.map_err(self.err("create node"))?,
        }
        self.set_attributes(attributes)
    }

    /// Moves the entry `name` of `directory`, which is on the same filesystem, to this place. A file at this place is
    /// replaced.
    ///
    /// # Errors
    /// A directory is at this place, or the system refuses.
    pub fn rename_from(&self, directory: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<()> {
        fs::renameat(directory, name, &self.dir, &self.name).map_err(self.err("put in place"))
    }

    /// Moves the entry of this place to `to`. A file at `to` is replaced.
    ///
    /// # Errors
    /// A directory is at `to`, or the system refuses.
    pub fn rename_to(&self, to: &Self) -> Result<()> {
        fs::renameat(&self.dir, &self.name, &to.dir, &to.name).map_err(self.err("rename"))
    }

    /// Removes a file, link or node. If nothing is there, nothing is done.
    ///
    /// # Errors
    /// A directory is at this place, or the system refuses.
    pub fn remove(&self) -> Result<()> {
        match fs::unlinkat(&self.dir, &self.name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.err("remove")(errno)),
        }
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// It is not empty, it is no directory, or the system refuses.
    pub fn remove_directory(&self) -> Result<()> {
        fs::unlinkat(&self.dir, &self.name, AtFlags::REMOVEDIR).map_err(self.err("remove"))
    }

    /// The text of the symbolic link at this place.
    ///
    /// # Errors
    /// There is no link at this place.
    pub fn link_target(&self) -> Result<Vec<u8>> {
        fs::readlinkat(&self.dir, &self.name, Vec::new())
            .map(std::ffi::CString::into_bytes)
            .map_err(self.err("read link"))
    }

    /// Sets the owner, then the mode (a change of owner clears setuid), then the time.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_attributes(&self, attributes: Attributes) -> Result<()> {
        self.set_owner(attributes.uid, attributes.gid)?;
        self.set_mode(attributes.mode)?;
        self.set_mtime(attributes.mtime)
    }

    /// Sets the owner. For a link, sets the owner of the link itself.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        let changed = match &self.fake_ownership {
            Some(fake_ownership) if fake_ownership.fakes_owners() => {
                self.hold().and_then(|entry| fake_ownership.change_owner(entry.as_fd(), Some(uid), Some(gid)))
            }
            _ => {
                let (uid, gid) = (fs::Uid::from_raw(uid), fs::Gid::from_raw(gid));
                fs::chownat(&self.dir, &self.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            }
        };
        changed.map_err(self.err("change owner of"))
    }

    /// Sets the mode.
    ///
    /// # Errors
    /// The entry is a link, which has no mode, or the system refuses.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        // fchmodat follows links, and a process that a script left behind may put one here. So the entry is opened first,
        // and the mode of that entry is changed.
        let entry = self.hold().map_err(self.err("change mode of"))?;
        let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
        fs::chmod(path, Mode::from_raw_mode(mode)).map_err(self.err("change mode of"))
    }

    /// Sets extended attributes. Returns `false` if this filesystem cannot hold them.
    ///
    /// # Errors
    /// There are attributes to set and the entry is a link, or the system refuses.
    pub fn set_xattrs(&self, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<bool> {
        if xattrs.is_empty() {
            return Ok(true);
        }
        let err = || self.err("set attributes of");
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = fs::openat(&self.dir, &self.name, flags, Mode::empty()).map_err(err())?;
        let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
        for (name, value) in xattrs {
            match fs::setxattr(&path, OsStr::from_bytes(name), value, fs::XattrFlags::empty()) {
                Ok(()) => {}
                Err(rustix::io::Errno::NOTSUP) => return Ok(false),
                Err(errno) => return Err(err()(errno)),
            }
        }
        Ok(true)
    }

    /// Sets access and modification time to `seconds` since 1970. For a link, sets those of the link itself.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_mtime(&self, seconds: i64) -> Result<()> {
        fs::utimensat(&self.dir, &self.name, &timestamps(seconds), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(self.err("change time of"))
    }
}
