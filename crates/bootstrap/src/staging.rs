//! Where a root grows before anybody sees it, and how it gets to its place.

use crate::event::Report;
use crate::hidden::{Directory, NewFile};
use crate::request::StagingPlace;
use crate::target::{check_executable, check_temporary, is_filled_in_place, parent, place_of, stem_of};
use crate::{Error, Event, Request, Target, memory};
use rootstrap_configure::privilege;
use rootstrap_image::compress::Compression;
use rootstrap_image::tar;
use rootstrap_rootfs::{Aside, Root};
use rustix::fs::{Mode, OFlags, openat};
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of files become so many per cent on disk, and scripts write some more.
const HEADROOM: u64 = 160;

/// A place of our own with the growing `root` and, beside it on the same filesystem, the `store` of file bodies.
/// Dropping it removes all that was not published.
pub(crate) struct Staging {
    ground: Ground,
    /// The growing root.
    pub root: Root,
    /// File bodies on their way.
    pub store: Root,
}

enum Ground {
    /// The top of a tmpfs that is mounted nowhere: nobody has to remove it.
    Memory(OwnedFd),
    Disk(Directory),
}

impl Staging {
    /// Makes a staging area for a root of about `bytes` of files: in memory, unless there is too little of it, because
    /// nothing is left there even by a power cut. On disk a directory target grows beside its final name, so that one
    /// rename publishes it, and everything else in the temporary directory.
    pub fn create(request: &Request, bytes: u64, report: Report<'_>) -> Result<Self, Error> {
        let available = memory::available();
        let in_memory = || memory::filesystem(available / 10 * 8);
        let needed = bytes.saturating_mul(HEADROOM) / 100;
        let ground = match request.staging {
            StagingPlace::Memory => Ground::Memory(in_memory().map_err(Error::Memory)?),
            StagingPlace::Auto if needed < available / 2 => match in_memory() {
                Ok(top) => Ground::Memory(top),
                Err(errno) => {
                    report(Event::Note(format!("staging on disk: the kernel refuses a tmpfs: {errno}")));
                    on_disk(request)?
                }
            },
            StagingPlace::Auto => {
                report(Event::Note("staging on disk: there is too little memory".to_owned()));
                on_disk(request)?
            }
            StagingPlace::Disk => on_disk(request)?,
        };
        let directory = ground.directory();
        let room = |name: &str, mode: u32| -> Result<Root, Error> {
            let (path, mode) = (Path::new(name), Mode::from_raw_mode(mode));
            rustix::fs::mkdirat(directory, path, mode).map_err(Error::errno("create", path))?;
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
            let opened = openat(directory, path, flags, Mode::empty()).map_err(Error::errno("open", path))?;
            rustix::fs::fchmod(&opened, mode).map_err(Error::errno("change the mode of", path))?;
            Ok(Root::from(opened))
        };
        let aside = aside();
        let room = |name, mode| room(name, mode).map(|room| room.keeping(Arc::clone(&aside)));
        let (root, store) = (room("root", 0o755)?, room("store", 0o700)?);
        Ok(Self { ground, root, store })
    }

    /// The directory that has the growing root under the name `root`.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.ground.directory()
    }

    /// Puts the finished root where it was asked for. Bytes of the archive, where one is written.
    pub fn publish(&self, request: &Request, epoch: i64, report: Report<'_>) -> Result<Option<u64>, Error> {
        let cancel = &*request.cancel;
        let dev = if request.image { tar::Dev::Empty } else { tar::Dev::Static };
        let options = |compression| tar::Options { dev, compression, layer: request.image, ..tar::Options::new(epoch) };
        match &request.target {
            Target::Directory(path) => {
                let copy;
                let grown = match &self.ground {
                    Ground::Disk(directory) => directory,
                    Ground::Memory(_) => {
                        copy = unless_cancelled(cancel, copy_to_disk(&self.root, path, cancel, report))?;
                        &copy
                    }
                };
                // One flush in place of all those the scripts wanted.
                let flushed = rustix::fs::syncfs(grown.fd()).map_err(Error::errno("flush", path));
                unless_cancelled(cancel, flushed)?;
                put_in_place(grown, path, epoch).map(|()| None)
            }
            Target::Stdout => {
                let out = Stoppable { inner: std::io::stdout().lock(), cancel };
                let mut out = BufWriter::with_capacity(1 << 20, out);
                let written = tar::write(&self.root, &mut out, &options(Compression::None));
                let flushed = written
                    .map_err(Error::from)
                    .and_then(|written| out.flush().map(|()| written.bytes).map_err(Error::Stdout));
                if flushed.is_err() { unless_cancelled(cancel, flushed).map(Some) } else { flushed.map(Some) }
            }
            Target::Archive(path, compression) => {
                let new = NewFile::create(parent(path))?;
                let out = Stoppable { inner: &new.file, cancel };
                let bytes = unless_cancelled(cancel, write_archive(&self.root, out, path, &options(*compression)))?;
                new.publish(path).map(|()| Some(bytes))
            }
        }
    }
}

impl Ground {
    fn directory(&self) -> BorrowedFd<'_> {
        match self {
            Self::Memory(top) => top.as_fd(),
            Self::Disk(directory) => directory.fd(),
        }
    }
}

/// For where the kernel makes no device nodes, or knows one owner only.
pub(crate) fn aside() -> Arc<Aside> {
    Arc::new(Aside::new(privilege::held() == privilege::Mode::Single))
}

fn on_disk(request: &Request) -> Result<Ground, Error> {
    let (place, stem) = match &request.target {
        Target::Directory(path) => {
            check_executable(request, path, place_of(path))?;
            (place_of(path), stem_of(path))
        }
        Target::Archive(..) | Target::Stdout => {
            check_temporary(request)?;
            (request.temporary.as_path(), "staging".as_ref())
        }
    };
    Directory::create(place, stem).map(Ground::Disk)
}

/// A hidden directory beside the target with a copy of `root`.
fn copy_to_disk(root: &Root, path: &Path, cancel: &AtomicBool, report: Report<'_>) -> Result<Directory, Error> {
    let directory = Directory::create(place_of(path), stem_of(path))?;
    let threads = std::thread::available_parallelism().map_or(2, Into::into);
    // The copy can hold no more than the original.
    let to = directory.root()?.keeping(root.aside().cloned().unwrap_or_default());
    let bare = rootstrap_rootfs::copy(root, &to, b"root", threads, cancel)?;
    if !bare.is_empty() {
        let names: Vec<_> = bare.iter().map(|path| String::from_utf8_lossy(path)).collect();
        let names = names.join(", ");
        report(Event::Warning(format!("the target's filesystem cannot hold the extended attributes of {names}")));
    }
    Ok(directory)
}

/// Nobody may hear of a result that came about although it was called off.
fn unless_cancelled<T>(cancel: &AtomicBool, result: Result<T, Error>) -> Result<T, Error> {
    if cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { result }
}

/// Moves the tree `root` of a hidden directory to its place.
fn put_in_place(grown: &Directory, path: &Path, epoch: i64) -> Result<(), Error> {
    let root: PathBuf = grown.path().join("root");
    if !is_filled_in_place(path) {
        return std::fs::rename(root, path).map_err(Error::io("move the finished tree to", path));
    }
    // It cannot be replaced; the hidden directory is inside it, so the entries move up one by one.
    for name in Root::open(&root)?.list(b"")? {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(&name);
        let to = path.join(name);
        std::fs::rename(root.join(name), &to).map_err(Error::io("move the finished tree to", &to))?;
    }
    rustix::fs::chmod(path, Mode::from_raw_mode(0o755)).map_err(Error::errno("change the mode of", path))?;
    // Moving the entries in was a change; its time is not of this run's business.
    let time = rustix::fs::Timespec { tv_sec: epoch, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let here = rustix::fs::CWD;
    rustix::fs::utimensat(here, path, &times, rustix::fs::AtFlags::empty())
        .map_err(Error::errno("change the time of", path))
}

fn write_archive(
    root: &Root,
    file: Stoppable<'_, &std::fs::File>,
    path: &Path,
    options: &tar::Options<'_>,
) -> Result<u64, Error> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let written = tar::write(root, &mut out, options)?;
    let file = out.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?;
    file.inner.sync_all().map_err(Error::io("write", path))?;
    Ok(written.bytes)
}

/// Refuses to write once the run was called off.
struct Stoppable<'c, W> {
    inner: W,
    cancel: &'c AtomicBool,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("interrupted"));
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
