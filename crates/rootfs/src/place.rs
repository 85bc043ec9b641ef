//! A place in the tree: an open directory and one name in it.

use crate::aside::Aside;
use crate::entry::{Attributes, Device, Kind, Metadata};
use crate::{Error, Result, Root};
use rustix::fs::{self, AtFlags, Dev, FileType, Mode, OFlags, Timespec, Timestamps};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::sync::Arc;

/// Resolves paths one after another and keeps the last parent open: neighbours in an archive share it.
///
/// The kept directory is the one the path led to when it was resolved, so a cursor is for one run of changes by its
/// owner, not for keeping across other programs' work in the tree.
pub struct Cursor<'r> {
    root: &'r Root,
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
}

impl<'r> Cursor<'r> {
    /// A cursor over `root` with nothing resolved yet.
    #[must_use]
    pub fn new(root: &'r Root) -> Self {
        Self { root, last: None }
    }

    /// The place `path` names; its parent has to exist, it itself need not.
    ///
    /// # Errors
    /// The parent cannot be opened, or `path` names the root itself.
    pub fn at(&mut self, path: &[u8]) -> Result<Place> {
        let path = trim(path);
        let (parent, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        if matches!(name, b"" | b"." | b"..") {
            return Err(Error::new("name", path, rustix::io::Errno::INVAL));
        }
        let dir = match &self.last {
            Some((last, dir)) if last == parent => Rc::clone(dir),
            _ => {
                let dir = Rc::new(self.root.open_directory(parent)?);
                self.last = Some((parent.to_vec(), Rc::clone(&dir)));
                dir
            }
        };
        let aside = self.root.aside.clone();
        Ok(Place { dir, name: OsStr::from_bytes(name).to_owned(), path: path.to_vec(), aside })
    }

    /// As [`Cursor::at`], creating missing parent directories (0755, root).
    ///
    /// # Errors
    /// A parent can neither be opened nor created.
    pub fn at_creating(&mut self, path: &[u8]) -> Result<Place> {
        match self.at(path) {
            Err(error) if error.io().kind() == std::io::ErrorKind::NotFound => {
                let path = trim(path);
                let parent = path.iter().rposition(|&b| b == b'/').map_or(&b""[..], |at| &path[..at]);
                self.root.create_directories(parent, 0o755)?;
                self.at(path)
            }
            other => other,
        }
    }
}

/// Without leading and trailing slashes and a leading `./`.
fn trim(path: &[u8]) -> &[u8] {
    let mut path = path;
    while let Some(rest) = path.strip_prefix(b"./").or_else(|| path.strip_prefix(b"/")) {
        path = rest;
    }
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    path
}

/// A directory held open and a name in it. Nothing here follows a link at that name.
pub struct Place {
    dir: Rc<OwnedFd>,
    name: OsString,
    path: Vec<u8>,
    aside: Option<Arc<Aside>>,
}

impl Place {
    fn err(&self, verb: &'static str) -> impl FnOnce(rustix::io::Errno) -> Error {
        let path = self.path.clone();
        move |errno| Error::new(verb, &path, errno)
    }

    /// `cannot <verb> <this place>`, for callers that write to a file they opened here.
    #[must_use]
    pub fn error(&self, verb: &'static str, source: std::io::Error) -> Error {
        Error::new(verb, &self.path, source)
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The same directory under another last name.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let mut name = self.name.clone();
        name.push(suffix);
        let mut path = self.path.clone();
        path.extend_from_slice(suffix.as_bytes());
        Self { dir: Rc::clone(&self.dir), name, path, aside: self.aside.clone() }
    }

    /// What is there, or `None`.
    ///
    /// # Errors
    /// The system refuses to say.
    pub fn metadata(&self) -> Result<Option<Metadata>> {
        match fs::statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let mut metadata = stat.into();
                if let Some(aside) = &self.aside {
                    aside.amend(&mut metadata, || self.hold());
                }
                Ok(Some(metadata))
            }
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.err("inspect")(errno)),
        }
    }

    /// The entry itself, as a path only: what is done with it then is done to no other that takes its name.
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

    /// Opens the regular file there for reading, and leaves the time of its last access as it is where that is allowed.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_unnoticed(&self) -> Result<File> {
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
            // What whoever may not read all files is told, for whom there is a longer way (linkat(2)).
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
    /// Something is there already, the system refuses (device nodes need real root, or an [`Aside`]), or `kind` is neither.
    pub fn create_node(&self, kind: Kind, device: Device, attributes: Attributes) -> Result<()> {
        let file_type = match kind {
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            _ => return Err(self.err("create node")(rustix::io::Errno::INVAL)),
        };
        let number: Dev = fs::makedev(device.major, device.minor);
        let made = fs::mknodat(&self.dir, &self.name, file_type, Mode::from_raw_mode(0o600), number);
        match (made, &self.aside) {
            (Err(rustix::io::Errno::PERM), Some(aside)) if kind != Kind::Fifo => {
                self.create_file()?;
                let kept = self.hold().and_then(|entry| aside.make_node(entry.as_fd(), kind, device));
                kept.map_err(self.err("create node"))?;
            }
            (made, _) => made.map_err(self.err("create node"))?,
        }
        self.set_attributes(attributes)
    }

    /// Moves the entry `name` of `directory` (same filesystem) here, replacing a file that is here.
    ///
    /// # Errors
    /// A directory is here, or the system refuses.
    pub fn rename_from(&self, directory: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<()> {
        fs::renameat(directory, name, &self.dir, &self.name).map_err(self.err("put in place"))
    }

    /// Moves what is here to `to`, replacing a file that is there.
    ///
    /// # Errors
    /// A directory is there, or the system refuses.
    pub fn rename_to(&self, to: &Self) -> Result<()> {
        fs::renameat(&self.dir, &self.name, &to.dir, &to.name).map_err(self.err("rename"))
    }

    /// Removes a file, link or node; nothing there is fine.
    ///
    /// # Errors
    /// A directory is here, or the system refuses.
    pub fn remove(&self) -> Result<()> {
        match fs::unlinkat(&self.dir, &self.name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.err("remove")(errno)),
        }
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// It is not empty, is none, or the system refuses.
    pub fn remove_directory(&self) -> Result<()> {
        fs::unlinkat(&self.dir, &self.name, AtFlags::REMOVEDIR).map_err(self.err("remove"))
    }

    /// The text of the symbolic link here.
    ///
    /// # Errors
    /// There is no link here.
    pub fn link_target(&self) -> Result<Vec<u8>> {
        fs::readlinkat(&self.dir, &self.name, Vec::new())
            .map(std::ffi::CString::into_bytes)
            .map_err(self.err("read link"))
    }

    /// Sets owner, then mode (a change of owner clears setuid), then time.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_attributes(&self, attributes: Attributes) -> Result<()> {
        self.set_owner(attributes.uid, attributes.gid)?;
        self.set_mode(attributes.mode)?;
        self.set_mtime(attributes.mtime)
    }

    /// Sets the owner, of a link itself.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        let changed = match &self.aside {
            Some(aside) if aside.keeps_owners() => {
                self.hold().and_then(|entry| aside.change_owner(entry.as_fd(), Some(uid), Some(gid)))
            }
            _ => {
                let (uid, gid) = (fs::Uid::from_raw(uid), fs::Gid::from_raw(gid));
                fs::chownat(&self.dir, &self.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            }
        };
        changed.map_err(self.err("change owner of"))
    }

    /// Sets the mode. Where a link is, that is an error: links have none.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        // fchmodat follows links, and something of a script may still be alive to plant one: so the entry is held
        // first, and what is held is changed.
        let entry = self.hold().map_err(self.err("change mode of"))?;
        let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
        fs::chmod(path, Mode::from_raw_mode(mode)).map_err(self.err("change mode of"))
    }

    /// Sets extended attributes, if any; `false` if this filesystem cannot hold them. Where a link is, that is an error.
    ///
    /// # Errors
    /// The system refuses.
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

    /// Sets the modification time (seconds since 1970), of a link itself.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_mtime(&self, seconds: i64) -> Result<()> {
        fs::utimensat(&self.dir, &self.name, &times(seconds), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(self.err("change time of"))
    }
}

/// Access and modification time both `seconds`: an access time of now would differ from run to run.
pub(crate) fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
