//! How a finished root gets to its place, in the form that was asked for.

use crate::event::Report;
use crate::format::{Format, Target};
use crate::hidden::{Directory, NewFile};
use crate::target::{is_filled_in_place, parent, place_of, stem_of};
use crate::{Error, Event, Request};
use rootstrap_image::oci::Layout;
use rootstrap_image::{cpio, ext4, squashfs, tar};
use rootstrap_rootfs::{Attributes, Root, Visit};
use rustix::fs::Mode;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A root that is ready to be published.
pub(crate) struct Finished<'a> {
    pub root: &'a Root,
    /// The hidden directory it grew in as `root`, beside its place.
    pub grown: Option<&'a Directory>,
    /// Nothing in an archive is younger.
    pub epoch: i64,
    pub dev: tar::Dev,
    /// Mode and owner where the tree's own are not meant.
    pub attributes: Option<&'a dyn Fn(&Visit<'_>) -> Attributes>,
}

impl Finished<'_> {
    /// How an archive of it is written.
    pub fn options(&self, request: &Request) -> tar::Options<'_> {
        tar::Options {
            epoch: self.epoch,
            dev: self.dev,
            layer: request.image,
            attributes: self.attributes,
            ..tar::Options::new(self.epoch)
        }
    }

    /// Puts it where it was asked for, unless that is a container image. Bytes of the archive, where one is written.
    pub fn publish(&self, request: &Request, report: Report<'_>) -> Result<Option<u64>, Error> {
        let cancel = &*request.cancel;
        match &request.target {
            Target::Nowhere | Target::Layout(..) => Ok(None),
            Target::Directory(path) => self.publish_directory(path, cancel, report).map(|()| None),
            Target::Stdout(format) => to_stdout(cancel, |out| self.write(out, *format, request, report)).map(Some),
            Target::File(path, format @ (Format::Squashfs | Format::Ext4)) => {
                let new = NewFile::create(parent(path))?;
                let written = unless_cancelled(cancel, self.make(&new.file, *format, request))?;
                new.file.sync_all().map_err(Error::io("write", path))?;
                new.publish(path).map(|()| Some(written))
            }
            Target::File(path, format) => {
                to_file(path, cancel, |out| self.write(out, *format, request, report)).map(Some)
            }
        }
    }

    fn write(&self, out: &mut dyn Write, format: Format, request: &Request, report: Report<'_>) -> Result<u64, Error> {
        let options = |compression| tar::Options { compression, ..self.options(request) };
        match format {
            Format::Cpio(compression) => {
                let written = cpio::write(self.root, out, &options(compression))?;
                if !written.bare.is_empty() {
                    let names: Vec<_> = written.bare.iter().map(|path| String::from_utf8_lossy(path)).collect();
                    report(Event::Warning(format!("cpio cannot hold the capabilities of {}", names.join(", "))));
                }
                Ok(written.bytes)
            }
            Format::Tar(compression) => Ok(tar::write(self.root, out, &options(compression))?.bytes),
            // The one is bound from layers, the others are made by programs that need a file.
            Format::Oci(_) | Format::Squashfs | Format::Ext4 => Ok(0),
        }
    }

    fn make(&self, file: &File, format: Format, request: &Request) -> Result<u64, Error> {
        let (tar, cancel) = (self.options(request), &*request.cancel);
        let written = match format {
            Format::Squashfs => {
                squashfs::write(self.root, file, &squashfs::Options { tar, programs: &request.host.programs, cancel })
            }
            _ => ext4::write(self.root, file, &ext4::Options { tar, size: None, label: None, cancel }),
        };
        Ok(written?.bytes)
    }

    fn publish_directory(&self, path: &Path, cancel: &AtomicBool, report: Report<'_>) -> Result<(), Error> {
        let copy;
        let grown = match self.grown {
            Some(directory) => directory,
            None => {
                copy = unless_cancelled(cancel, copy_to_disk(self.root, path, cancel, report))?;
                &copy
            }
        };
        put_in_place(grown, path, self.epoch, cancel)
    }
}

/// Puts a container image where it was asked for. Bytes of the archive, where one is written.
pub(crate) fn publish_layout(layout: &Layout, request: &Request, epoch: i64) -> Result<Option<u64>, Error> {
    let cancel = &*request.cancel;
    let write = |out: &mut dyn Write| {
        let mut out = Measured { out, bytes: 0 };
        layout.write_archive(&mut out, epoch)?;
        Ok(out.bytes)
    };
    match &request.target {
        Target::Layout(path, _) => {
            let grown = Directory::create(place_of(path), stem_of(path))?;
            let root = grown.path().join("root");
            std::fs::create_dir(&root).map_err(Error::io("create", &root))?;
            unless_cancelled(cancel, layout.write_directory(&root).map_err(Error::from))?;
            put_in_place(&grown, path, epoch, cancel).map(|()| None)
        }
        Target::File(path, Format::Oci(_)) => to_file(path, cancel, write).map(Some),
        Target::Stdout(Format::Oci(_)) => to_stdout(cancel, write).map(Some),
        _ => Ok(None),
    }
}

fn to_stdout(cancel: &AtomicBool, write: impl FnOnce(&mut dyn Write) -> Result<u64, Error>) -> Result<u64, Error> {
    let out = Stoppable { inner: std::io::stdout().lock(), cancel };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let written = write(&mut out).and_then(|bytes| out.flush().map(|()| bytes).map_err(Error::Stdout));
    if written.is_err() { unless_cancelled(cancel, written) } else { written }
}

fn to_file(
    path: &Path,
    cancel: &AtomicBool,
    write: impl FnOnce(&mut dyn Write) -> Result<u64, Error>,
) -> Result<u64, Error> {
    let new = NewFile::create(parent(path))?;
    let out = Stoppable { inner: &new.file, cancel };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let written = write(&mut out).and_then(|bytes| {
        let file = out.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?;
        file.inner.sync_all().map_err(Error::io("write", path))?;
        Ok(bytes)
    });
    let bytes = unless_cancelled(cancel, written)?;
    new.publish(path).map(|()| bytes)
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
pub(crate) fn unless_cancelled<T>(cancel: &AtomicBool, result: Result<T, Error>) -> Result<T, Error> {
    if cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { result }
}

/// Moves the tree `root` of a hidden directory to its place.
fn put_in_place(grown: &Directory, path: &Path, epoch: i64, cancel: &AtomicBool) -> Result<(), Error> {
    // One flush in place of all those the scripts wanted.
    let flushed = rustix::fs::syncfs(grown.fd()).map_err(Error::errno("flush", path));
    unless_cancelled(cancel, flushed)?;
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

/// Counts what goes through.
struct Measured<'o> {
    out: &'o mut dyn Write,
    bytes: u64,
}

impl Write for Measured<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
