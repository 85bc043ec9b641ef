//! Copies a whole tree to another filesystem, with everything that an entry consists of.

use crate::contents;
use crate::cursor::Cursor;
use crate::entry::{Attributes, Kind, Metadata};
use crate::error::{Error, Result};
use crate::place::Place;
use crate::precopy::Precopy;
use crate::root::Root;
use crate::walk::{Visit, walk};
use crate::xattr;
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// Entries handed to a thread at once: enough that they share most of their directories.
const BATCH: usize = 64;

/// How a tree is copied.
#[derive(Clone, Copy)]
pub struct CopyOptions<'a> {
    /// The number of threads that copy. The result does not depend on it.
    pub threads: usize,
    /// Files that were copied earlier, in the filesystem of the target. They are not copied again.
    pub precopy: Option<&'a Precopy>,
    /// A function that is told the size of each file that is copied. Any thread calls it.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Set from outside to stop.
    pub cancel: &'a AtomicBool,
}

/// Copies the tree `from` to `path`, which is created in `to`: contents, holes, modes, owners, times in seconds, links of
/// both kinds, nodes and extended attributes.
///
/// Sockets are left out, because no process listens on them any more. The labels of security modules are left out, because
/// they belong to the host.
///
/// Returns the paths, sorted, whose extended attributes the target filesystem cannot hold.
///
/// # Errors
/// Something is at `path`, the system refuses, or `cancel` was set. What was copied until then stays.
pub fn copy(from: &Root, to: &Root, path: &[u8], options: CopyOptions<'_>) -> Result<Vec<Vec<u8>>> {
    let (failed, first_error, without_xattrs) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
    let copy = Copy { from, to, path, options, failed, first_error, without_xattrs };
    let (sender, receiver) = channel();
    let receiver = Mutex::new(receiver);
    let deferred = std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            let started = std::thread::Builder::new().spawn_scoped(scope, || copy.check(copy.work(&receiver)));
            copy.check(started.map_err(|error| Error::new("copy", path, error)));
        }
        copy.check(copy.walk(sender))
    });
    copy.check(deferred.map_or(Ok(()), |deferred| copy.finish(&deferred)));
    if let Some(error) = copy.first_error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut without_xattrs = copy.without_xattrs.into_inner().unwrap_or_else(PoisonError::into_inner);
    without_xattrs.sort();
    Ok(without_xattrs)
}

struct Copy<'c> {
    from: &'c Root,
    to: &'c Root,
    path: &'c [u8],
    options: CopyOptions<'c>,
    /// Set with the first error. A thread that stops because of it has an error too, which says less.
    failed: AtomicBool,
    first_error: Mutex<Option<Error>>,
    /// The paths whose extended attributes could not be set.
    without_xattrs: Mutex<Vec<Vec<u8>>>,
}

/// One entry on its way to a thread.
struct Entry {
    path: Vec<u8>,
    metadata: Metadata,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The text of a symbolic link.
    text: Vec<u8>,
}

/// The work that has to wait until all files are there.
#[derive(Default)]
struct Deferred {
    /// The directories, each before its children.
    directories: Vec<Entry>,
    /// The further names of files, each with the first name of its file.
    links: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Copy<'_> {
    /// Records the first error and makes all threads stop.
    fn check<T>(&self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                self.failed.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    fn check_stopped(&self, path: &[u8]) -> Result<()> {
        let stopped = self.options.cancel.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed);
        if stopped { Err(Error::new("copy", path, std::io::Error::other("interrupted"))) } else { Ok(()) }
    }

    fn target(&self, path: &[u8]) -> Vec<u8> {
        [self.path, b"/", path].concat()
    }

    /// Creates the directories, and sends everything else to the threads.
    fn walk(&self, sender: Sender<Vec<Entry>>) -> Result<Deferred> {
        let mut deferred = Deferred::default();
        let mut names: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
        let mut to = Cursor::new(self.to);
        let mut batch = Vec::with_capacity(BATCH);
        walk::<Error>(self.from, &mut |visit| {
            self.check_stopped(visit.path)?;
            let metadata = visit.metadata;
            if metadata.links > 1 && metadata.kind != Kind::Directory {
                if let Some(first) = names.get(&metadata.identity) {
                    deferred.links.push((visit.path.to_vec(), first.clone()));
                    return Ok(false);
                }
                names.insert(metadata.identity, visit.path.to_vec());
            }
            let entry = Entry::read(visit)?;
            if metadata.kind == Kind::Directory {
                // No other user may enter the directory before it is complete.
                let attributes = Attributes { mode: 0o700, ..metadata.attributes };
                to.at(&self.target(&entry.path))?.create_directory(attributes)?;
                deferred.directories.push(entry);
            } else {
                batch.push(entry);
                if batch.len() == BATCH {
                    // Sending fails only if all threads have failed, and they have recorded their errors.
                    let _ = sender.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)));
                }
            }
            Ok(true)
        })?;
        let _ = sender.send(batch);
        Ok(deferred)
    }

    fn work(&self, receiver: &Mutex<Receiver<Vec<Entry>>>) -> Result<()> {
        let (mut from, mut to) = (Cursor::new(self.from), Cursor::new(self.to));
        let mut buffer = vec![0; contents::BUFFER];
        loop {
            let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(batch) = next else { return Ok(()) };
            for entry in &batch {
                self.check_stopped(&entry.path)?;
                let to = to.at(&self.target(&entry.path))?;
                self.create(entry, &mut from, &to, &mut buffer)?;
            }
        }
    }

    fn create(&self, entry: &Entry, from: &mut Cursor<'_>, to: &Place, buffer: &mut [u8]) -> Result<()> {
        let Metadata { kind, attributes, device, size, .. } = entry.metadata;
        match kind {
            Kind::Directory | Kind::Socket => return Ok(()),
            Kind::Symlink => to.create_symlink(&entry.text, attributes)?,
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => to.create_node(kind, device, attributes)?,
            Kind::File => {
                let mut open = || from.at(&entry.path)?.open();
                let precopy = self.options.precopy;
                let linked = precopy.map(|precopy| precopy.link(&entry.metadata, &mut open, to, buffer));
                if !linked.transpose()?.unwrap_or_default() {
                    let (mut source, mut target) = (open()?, to.create_file()?);
                    let copied = contents::copy(&mut source, &mut target, size, buffer);
                    copied.map_err(|error| to.error("copy", error))?;
                    let set = self.to.set_attributes_of(target.as_fd(), attributes);
                    set.map_err(|errno| to.error("set attributes of", errno.into()))?;
                }
                self.options.progress.iter().for_each(|progress| progress(size));
            }
        }
        self.set_xattrs(entry, to)
    }

    fn set_xattrs(&self, entry: &Entry, to: &Place) -> Result<()> {
        if !to.set_xattrs(&entry.xattrs)? {
            self.without_xattrs.lock().unwrap_or_else(PoisonError::into_inner).push(entry.path.clone());
        }
        Ok(())
    }

    /// Creates the further names of files, and then sets the attributes of the directories: their times stay only if nothing
    /// in them changes any more.
    fn finish(&self, deferred: &Deferred) -> Result<()> {
        self.check_stopped(b"")?;
        let (mut existing, mut new) = (Cursor::new(self.to), Cursor::new(self.to));
        for (path, first) in &deferred.links {
            self.check_stopped(path)?;
            new.at(&self.target(path))?.create_link(&existing.at(&self.target(first))?)?;
        }
        for entry in deferred.directories.iter().rev() {
            let place = new.at(&self.target(&entry.path))?;
            place.set_attributes(entry.metadata.attributes)?;
            self.set_xattrs(entry, &place)?;
        }
        Ok(())
    }
}

impl Entry {
    fn read(visit: &Visit<'_>) -> Result<Self> {
        let text = if visit.metadata.kind == Kind::Symlink { visit.link_target()? } else { Vec::new() };
        let mut xattrs = visit.xattrs()?;
        xattrs.retain(|(name, _)| xattr::is_of_entry(name));
        Ok(Self { path: visit.path.to_vec(), metadata: visit.metadata, xattrs, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contents::BUFFER;
    use crate::entry::Device;
    use rustix::fs::{XattrFlags, setxattr};
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;
    use std::sync::atomic::AtomicU64;

    /// Everything about every entry except its inode number and its change time.
    fn dump(root: &Root) -> Vec<String> {
        let mut lines = Vec::new();
        walk::<Error>(root, &mut |visit| {
            let Metadata { kind, attributes, size, device, links, .. } = visit.metadata;
            let size = if kind == Kind::File { size } else { 0 };
            let links = if kind == Kind::Directory { 0 } else { links };
            let text = if kind == Kind::Symlink { visit.link_target()? } else { Vec::new() };
            let mut contents = Vec::new();
            if kind == Kind::File {
                visit.open()?.read_to_end(&mut contents).unwrap();
            }
            let sum = contents.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            let (path, xattrs) = (String::from_utf8_lossy(visit.path).into_owned(), visit.xattrs()?);
            lines.push(format!("{path} {kind:?} {attributes:?} {size} {device:?} {links} {text:?} {sum} {xattrs:?}"));
            Ok(true)
        })
        .unwrap();
        lines
    }

    fn options(threads: usize, cancel: &AtomicBool) -> CopyOptions<'_> {
        CopyOptions { threads, precopy: None, progress: None, cancel }
    }

    fn set(root: &Root, path: &str, mode: u32, mtime: i64) {
        let place = root.at(path.as_bytes()).unwrap();
        if place.metadata().unwrap().unwrap().kind != Kind::Symlink {
            place.set_mode(mode).unwrap();
        }
        place.set_mtime(mtime).unwrap();
    }

    fn fill(place: &Path, root: &Root) {
        for path in ["a/deep/er", "many", "closed"] {
            std::fs::create_dir_all(place.join(path)).unwrap();
        }
        std::fs::write(place.join("a/suid"), "suid").unwrap();
        std::fs::write(place.join("a/empty"), "").unwrap();
        std::fs::write(place.join("a/deep/er/odd \n\u{fffd}"), vec![7; BUFFER * 2 + 5]).unwrap();
        std::fs::write(place.join("closed/file"), "x").unwrap();
        for number in 0..3 * BATCH {
            std::fs::write(place.join(format!("many/{number}")), number.to_string()).unwrap();
        }
        std::fs::hard_link(place.join("a/suid"), place.join("a/deep/also")).unwrap();
        std::fs::hard_link(place.join("a/suid"), place.join("0first")).unwrap();
        symlink("/nowhere", place.join("link")).unwrap();
        std::fs::hard_link(place.join("link"), place.join("link-too")).unwrap();
        let sparse = File::create(place.join("sparse")).unwrap();
        std::os::unix::fs::FileExt::write_at(&sparse, b"end", 8 << 20).unwrap();
        sparse.set_len(16 << 20).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, place.join("fifo"), rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
        let xattr = |path: &str, name: &str, value: &[u8]| {
            // Not every filesystem of every kernel has attributes for users.
            let _ = setxattr(place.join(path), name, value, XattrFlags::empty());
        };
        xattr("a/empty", "user.one", b"1");
        xattr("closed", "user.two", b"2");
        if rustix::process::getuid().is_root() {
            let device = |name, kind, major| {
                let attributes = Attributes { mode: 0o660, uid: 3, gid: 4, mtime: 5 };
                root.at(name).unwrap().create_node(kind, Device { major, minor: 3 }, attributes).unwrap();
            };
            device(b"null", Kind::CharDevice, 1);
            device(b"disk", Kind::BlockDevice, 7);
            for (path, uid, gid) in [("a/suid", 0, 42), ("link", 1, 2), ("many/7", 1000, 8), ("a/deep", 6, 12)] {
                root.at(path.as_bytes()).unwrap().set_owner(uid, gid).unwrap();
            }
            xattr("many/7", "security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        } else {
            rootstrap_testkit::skip("only root can make nodes and give files away");
        }
        let modes = [("a/suid", 0o6711), ("fifo", 0o622), ("a/deep/er", 0o1777), ("a/deep", 0o2755), ("closed", 0o500)];
        for (number, (path, mode)) in modes.into_iter().enumerate() {
            set(root, path, mode, 1_000_000 + i64::try_from(number).unwrap());
        }
        set(root, "link", 0, -5);
        set(root, "a", 0o755, 77);
    }

    #[test]
    fn a_copy_is_equal_for_any_number_of_threads() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::create_dir(&to).unwrap();
        let (source, target) = (Root::open(&from).unwrap(), Root::open(&to).unwrap());
        fill(&from, &source);
        for threads in [1, 4] {
            let name = format!("copy{threads}");
            let (copied, cancel) = (AtomicU64::new(0), AtomicBool::new(false));
            let count = |bytes| {
                copied.fetch_add(bytes, Ordering::Relaxed);
            };
            let options = CopyOptions { progress: Some(&count), ..options(threads, &cancel) };
            let without_xattrs = copy(&source, &target, name.as_bytes(), options).unwrap();
            // The long file, and the sparse one with its holes.
            assert!(copied.into_inner() > (16 << 20) + 2 * BUFFER as u64);
            assert_eq!(without_xattrs, [b""; 0]);
            let (before, after) = (dump(&source), dump(&Root::open(&to.join(&name)).unwrap()));
            // The attributes are there if the filesystem has attributes at all.
            let has = |name: &str| after.iter().any(|line| line.starts_with("a/empty ") && line.contains(name));
            let is_set = rustix::fs::getxattr(from.join("a/empty"), "user.one", &mut [0; 9][..]).is_ok();
            assert_eq!(has(&format!("{:?}", b"user.one")), is_set);
            for (before, after) in before.iter().zip(&after) {
                assert_eq!(before, after);
            }
            assert_eq!(before.len(), after.len());
            let copied = |path: &str| to.join(&name).join(path).symlink_metadata().unwrap();
            assert_eq!(copied("a/suid").ino(), copied("a/deep/also").ino());
            assert!(copied("sparse").blocks() < 1000, "the holes are filled");
        }
        assert!(copy(&source, &target, b"copy1", options(1, &AtomicBool::new(false))).is_err(), "something is there");
    }

    #[test]
    fn sockets_are_left_out_and_a_cancelled_copy_fails() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::create_dir(&to).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
        std::fs::write(from.join("file"), "x").unwrap();
        let (from, target) = (Root::open(&from).unwrap(), Root::open(&to).unwrap());
        copy(&from, &target, b"copy", options(2, &AtomicBool::new(false))).unwrap();
        assert_eq!(target.list(b"copy").unwrap(), [b"file"]);
        assert!(copy(&from, &target, b"stopped", options(2, &AtomicBool::new(true))).is_err());
        assert!(!to.join("stopped/file").exists());
    }

    #[test]
    fn attributes_that_a_filesystem_cannot_hold_are_reported() {
        let attribute = (b"user.one".to_vec(), b"1".to_vec());
        let place = Root::open(Path::new("/proc")).unwrap().at(b"version").unwrap();
        assert!(place.set_xattrs(&[]).unwrap());
        if rustix::process::getuid().is_root() {
            assert!(!place.set_xattrs(&[attribute]).unwrap());
        } else {
            rootstrap_testkit::skip("only root is asked about attributes of /proc");
        }
    }
}
