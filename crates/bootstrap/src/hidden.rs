//! Hidden directories and files of a run beside its target, each locked as long as the run lives, so that the next run
//! can tell what a killed one left behind.

use crate::{Error, Request};
use rootstrap_configure::privilege::{on_death_keep, on_death_remove};
use rootstrap_rootfs::Root;
use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, statat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What every name has after the dot and the stem; the number of the process follows.
const MARK: &str = ".rootstrap-";

/// The longest stem that leaves room for the rest in the 255 bytes of a name.
const LONGEST_STEM: usize = 200;

/// Filesystems that several machines can share, by their number (statfs(2)): a lock taken here may say nothing there.
const SHARED: [u64; 11] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x6573_5546, // FUSE, virtiofs too
    0x0102_1997, // 9p
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x7461_636f, // OCFS2
    0x0116_1970, // GFS2
    0x0bd0_0bd0, // Lustre
];

/// Names no other run uses: in containers many runs have the same number, and a killed one may have left its name.
fn names(place: &Path, stem: &OsStr) -> impl Iterator<Item = PathBuf> {
    let stem = if stem.len() > LONGEST_STEM { OsStr::new("staging") } else { stem };
    let mut start = OsString::from(".");
    start.push(stem);
    start.push(format!("{MARK}{}", std::process::id()));
    let place = place.to_owned();
    (0..1000).map(move |number| {
        let mut name = start.clone();
        if number > 0 {
            name.push(format!("-{number}"));
        }
        place.join(name)
    })
}

/// Whether [`names`] could have made this one.
fn is_ours(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let Some((stem, numbers)) = text.rsplit_once(MARK) else { return false };
    let is_number = |text: &str| text.parse::<u32>().is_ok_and(|number| number > 0 && number.to_string() == text);
    let mut numbers = numbers.split('-');
    stem.len() > 1 && stem.starts_with('.') && numbers.next().is_some_and(is_number) && {
        let (second, third) = (numbers.next(), numbers.next());
        second.is_none_or(is_number) && third.is_none()
    }
}

/// Tries names until `make` succeeds under one; `None` from it means: this one is taken.
fn under_new_name<T>(
    place: &Path,
    stem: &OsStr,
    verb: &'static str,
    make: impl Fn(&Path) -> Result<Option<T>, Errno>,
) -> Result<(PathBuf, T), Error> {
    let mut last = place.to_owned();
    for path in names(place, stem) {
        if path.symlink_metadata().is_ok() {
            last = path;
            continue;
        }
        // Told before it is there: a kill may come right after.
        on_death_remove(&path);
        match make(&path) {
            Ok(Some(made)) => return Ok((path, made)),
            Ok(None) | Err(Errno::EXIST) => {
                on_death_keep(&path);
                last = path;
            }
            Err(errno) => {
                on_death_keep(&path);
                return Err(Error::errno(verb, &path)(errno));
            }
        }
    }
    Err(Error::errno(verb, &last)(Errno::EXIST))
}

/// Takes the lock of what was just created at `path` and opened as `file`; `false` if another run, taking it for a
/// leftover, was quicker.
fn lock(file: impl AsFd, path: &Path) -> Result<bool, Errno> {
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => is_at(&file, CWD, path),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Whether `name` is still what is open as `file`.
fn is_at(file: impl AsFd, directory: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<bool, Errno> {
    let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
    let held = identity(fstat(file)?);
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(identity(stat) == held),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A hidden directory of this run, for nobody else to enter. Dropping it removes it with all that is in it.
pub(crate) struct Directory {
    path: PathBuf,
    held: OwnedFd,
}

impl Directory {
    /// Makes one in `place`, named after `stem`.
    pub fn create(place: &Path, stem: &OsStr) -> Result<Self, Error> {
        let place = std::path::absolute(place).map_err(Error::io("find", place))?;
        let (path, held) = under_new_name(&place, stem, "create the staging directory", |path| {
            rustix::fs::mkdir(path, Mode::from_raw_mode(0o700))?;
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            match rustix::fs::open(path, flags, Mode::empty()) {
                Ok(held) => Ok(lock(&held, path)?.then_some(held)),
                Err(Errno::NOENT) => Ok(None),
                Err(errno) => Err(errno),
            }
        })?;
        Ok(Self { path, held })
    }

    /// Its path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }

    /// The same as a tree.
    pub fn root(&self) -> Result<Root, Error> {
        // A descriptor of its own: reading a directory moves the position in it.
        Ok(Root::open(&self.path)?)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Ok(root) = self.root() {
            // Threads that were just told to stop may still be writing; what they add is gone the second time.
            let _ = (0..3).find(|_| root.remove_children(b"").is_ok());
        }
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// A file that gets its name when it is complete. It has none before where the filesystem can do that.
pub(crate) struct NewFile {
    /// Open for writing.
    pub file: File,
    name: Option<PathBuf>,
}

/// A file in `place` that never gets a name, to be read once it is written.
pub(crate) fn nameless_file(place: &Path) -> Result<File, Error> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    if let Ok(file) = rustix::fs::open(place, flags | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    let (path, file) = under_new_name(place, OsStr::new("layer"), "create", |path| {
        let file = rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
        Ok(lock(&file, path)?.then_some(file))
    })?;
    std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    Ok(file.into())
}

impl NewFile {
    /// Makes one to be published in the directory `place`.
    pub fn create(place: &Path) -> Result<Self, Error> {
        let mode = Mode::from_raw_mode(0o666);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::open(place, flags | OFlags::TMPFILE, mode)
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            return Ok(Self { file: file.into(), name: None });
        }
        let (name, file) = under_new_name(place, OsStr::new("archive"), "create", |path| {
            let file = rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
            Ok(lock(&file, path)?.then_some(file))
        })?;
        Ok(Self { file: file.into(), name: Some(name) })
    }

    /// Has the disk hold it, unless nobody asked for that. `path` is for messages.
    pub fn sync(&self, request: &Request, path: &Path) -> Result<(), Error> {
        if request.sync { self.file.sync_all().map_err(Error::io("write", path)) } else { Ok(()) }
    }

    /// Gives it its name, in place of what has it now.
    pub fn publish(mut self, path: &Path) -> Result<(), Error> {
        if self.name.is_none() {
            // The way for whoever may not read all files (linkat(2), AT_EMPTY_PATH).
            let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let link = |to: &Path| rustix::fs::linkat(CWD, &own, CWD, to, AtFlags::SYMLINK_FOLLOW);
            match link(path) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::errno("give the finished file the name", path)(errno)),
            }
            let place = path.parent().unwrap_or(path);
            let linked = under_new_name(place, OsStr::new("archive"), "create", |name| link(name).map(Some))?;
            self.name = Some(linked.0);
        }
        if let Some(name) = &self.name {
            std::fs::rename(name, path).map_err(Error::io("move the finished file to", path))?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = std::fs::remove_file(name);
        }
    }
}

/// Removes from `place` what runs that were killed left there. What is another user's, in use or not to be removed stays.
/// Returns what was removed.
pub(crate) fn sweep(place: &Path) -> Vec<PathBuf> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(directory) = rustix::fs::open(place, flags, Mode::empty()) else { return Vec::new() };
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "width and sign differ by architecture")]
    let shared = rustix::fs::fstatfs(&directory).is_ok_and(|found| SHARED.contains(&(found.f_type as u32 as u64)));
    let Ok(entries) = Dir::read_from(&directory) else { return Vec::new() };
    if shared {
        return Vec::new();
    }
    let names = entries.filter_map(|entry| Some(OsStr::from_bytes(entry.ok()?.file_name().to_bytes()).to_owned()));
    let found: Vec<OsString> = names.filter(|name| is_ours(name.as_bytes())).collect();
    found.into_iter().filter(|name| remove_dead(&directory, name).is_some()).map(|name| place.join(name)).collect()
}

fn remove_dead(directory: &OwnedFd, name: &OsStr) -> Option<()> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return None;
    }
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => OFlags::DIRECTORY,
        FileType::RegularFile => OFlags::NONBLOCK,
        _ => return None,
    };
    let flags = kind | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let held = openat(directory, name, flags, Mode::empty()).ok()?;
    flock(&held, FlockOperation::NonBlockingLockExclusive).ok()?;
    // Whoever has the lock and the name has the right to both.
    if !is_at(&held, directory.as_fd(), name).ok()? {
        return None;
    }
    if kind == OFlags::DIRECTORY {
        let root = Root::from(held);
        root.remove_children(b"").ok()?;
        rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).ok()
    } else {
        rustix::fs::unlinkat(directory, name, AtFlags::empty()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_made_here_count_as_ours() {
        let own = names(Path::new(""), OsStr::from_bytes(b"ro\xff ot")).take(3);
        let longest = "x".repeat(255);
        let long = names(Path::new(""), OsStr::new(&longest)).take(1);
        for name in own.chain(long) {
            assert!(is_ours(name.as_os_str().as_bytes()), "{}", name.display());
            assert!(name.as_os_str().len() < 255);
        }
        for name in [
            "root",
            ".root",
            "root.rootstrap-1",
            ".rootstrap-1",
            ".root.rootstrap-",
            ".root.rootstrap-01",
            ".root.rootstrap-0",
            ".root.rootstrap-+1",
            ".root.rootstrap-1-",
            ".root.rootstrap-1-2-3",
            ".root.rootstrap-1.bak",
            ".root.rootstrap-1a",
        ] {
            assert!(!is_ours(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn the_dead_are_removed_and_the_living_are_not() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let living = Directory::create(place.path(), OsStr::new("root")).unwrap();
        std::fs::create_dir(living.path().join("root")).unwrap();
        // What does not take a name of ours, or is no file and no directory, is not ours.
        for name in [".mine.rootstrap-x", "keep"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::write(at("keep/file"), "x").unwrap();
        std::os::unix::fs::symlink("keep", at(".link.rootstrap-5")).unwrap();
        std::fs::create_dir_all(at(".root.rootstrap-7/root/etc")).unwrap();
        std::fs::write(at(".root.rootstrap-7/root/etc/file"), "x").unwrap();
        std::os::unix::fs::symlink(at("keep"), at(".root.rootstrap-7/root/link")).unwrap();
        std::fs::write(at(".archive.rootstrap-7-2"), "x").unwrap();
        let mut removed = sweep(place.path());
        removed.sort();
        assert_eq!(removed, [at(".archive.rootstrap-7-2"), at(".root.rootstrap-7")]);
        assert!(living.path().join("root").exists() && at("keep/file").exists());
        for name in [".mine.rootstrap-x", ".link.rootstrap-5"] {
            assert!(at(name).symlink_metadata().is_ok(), "{name}");
        }
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn a_new_file_takes_its_name_when_it_is_published() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("x.tar");
        for text in ["first", "second"] {
            use std::io::Write;
            let mut new = NewFile::create(place.path()).unwrap();
            new.file.write_all(text.as_bytes()).unwrap();
            assert_eq!(sweep(place.path()), [""; 0].map(PathBuf::from), "a live run's");
            new.publish(&path).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        drop(NewFile::create(place.path()).unwrap());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
