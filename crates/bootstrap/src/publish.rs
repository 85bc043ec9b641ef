//! How a finished root gets to its place, in the form that was asked for.

use crate::event::Report;
use crate::format::{Format, Target};
use crate::hidden::{Directory, NewFile};
use crate::staging::Staging;
use crate::target::{is_filled_in_place, parent, place_of, stem_of};
use crate::{Error, Event, Request, direct};
use rootstrap_image::oci::Layout;
use rootstrap_image::{cpio, ext4, squashfs, tar, tidy};
use rootstrap_rootfs::{Attributes, Root, Visit};
use rustix::fs::Mode;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A root that is ready to be published.
pub(crate) struct Finished<'a> {
    pub root: &'a Root,
    /// Where it grew, if it did in a place of ours.
    pub staging: Option<&'a Staging>,
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
}

/// What goes to the target.
pub(crate) enum Product<'a> {
    Root(Finished<'a>),
    /// Images made of roots, and their date.
    Image(&'a Layout, i64),
}

/// Everything is written but what only its reader may begin: nothing has a name yet.
pub(crate) enum Prepared<'a> {
    Nothing,
    Stdout(Format),
    File(NewFile, u64),
    Grown(&'a Directory),
    Copied(Directory),
}

impl<'a> Product<'a> {
    /// Writes it for the target, under no name. Dropping the result removes it.
    pub fn prepare(&'a self, request: &Request, report: Report<'_>) -> Result<Prepared<'a>, Error> {
        let cancel = &*request.cancel;
        Ok(match &request.target {
            Target::Nowhere => Prepared::Nothing,
            Target::Stdout(format) => Prepared::Stdout(*format),
            Target::File(path, format) => {
                let new = NewFile::create(parent(path))?;
                let written = match format {
                    Format::Squashfs | Format::Ext4 => self.make(&new.file, *format, request),
                    _ => self.write_file(&new.file, path, *format, request, report),
                };
                let bytes = unless_cancelled(cancel, written)?;
                new.sync(request, path)?;
                Prepared::File(new, bytes)
            }
            Target::Directory(path) | Target::Layout(path, _) => {
                let prepared = match self {
                    Self::Root(finished) if let Some(grown) = finished.staging.and_then(Staging::grown) => {
                        Prepared::Grown(grown)
                    }
                    Self::Root(finished) => {
                        let copy = unless_cancelled(cancel, copy_to_disk(finished, path, cancel, report))?;
                        if finished.attributes.is_some() {
                            tidy::clamp_times(&copy.root()?.below(b"root")?, finished.epoch)?;
                        }
                        Prepared::Copied(copy)
                    }
                    Self::Image(layout, _) => Prepared::Copied(write_layout(layout, path)?),
                };
                // One flush in place of all those the scripts wanted.
                let flushed = match &prepared {
                    _ if !request.sync => Ok(()),
                    Prepared::Grown(directory) => rustix::fs::syncfs(directory.fd()),
                    Prepared::Copied(directory) => rustix::fs::syncfs(directory.fd()),
                    _ => Ok(()),
                };
                unless_cancelled(cancel, flushed.map_err(Error::errno("flush", path)))?;
                prepared
            }
        })
    }

    /// Puts it where it was asked for. Bytes of the archive, where one is written.
    pub fn publish(&self, prepared: Prepared<'_>, request: &Request, report: Report<'_>) -> Result<Option<u64>, Error> {
        let path = request.target.path().unwrap_or(Path::new(""));
        let epoch = match self {
            Self::Root(finished) => finished.epoch,
            Self::Image(_, epoch) => *epoch,
        };
        match prepared {
            Prepared::Nothing => Ok(None),
            Prepared::Stdout(format) => {
                let written = self.write_stdout(format, request, report);
                if written.is_err() { unless_cancelled(&request.cancel, written) } else { written }.map(Some)
            }
            Prepared::File(new, bytes) => new.publish(path).map(|()| Some(bytes)),
            Prepared::Grown(directory) => put_in_place(directory, path, epoch).map(|()| None),
            Prepared::Copied(directory) => put_in_place(&directory, path, epoch).map(|()| None),
        }
    }

    fn write_stdout(&self, format: Format, request: &Request, report: Report<'_>) -> Result<u64, Error> {
        let out = Stoppable { inner: std::io::stdout().lock(), cancel: &request.cancel };
        let mut out = BufWriter::with_capacity(1 << 20, out);
        let bytes = self.write(&mut out, format, request, report)?;
        out.flush().map_err(Error::Stdout)?;
        Ok(bytes)
    }

    fn write_file(
        &self,
        file: &File,
        path: &Path,
        format: Format,
        request: &Request,
        report: Report<'_>,
    ) -> Result<u64, Error> {
        let fill = |out: &mut dyn Write| -> Result<u64, Error> {
            let mut out = BufWriter::with_capacity(1 << 20, Stoppable { inner: out, cancel: &request.cancel });
            let bytes = self.write(&mut out, format, request, report)?;
            out.flush().map_err(Error::io("write", path))?;
            Ok(bytes)
        };
        match request.sync {
            true => direct::write(file, fill).map_err(Error::io("write", path))?,
            false => fill(&mut &*file),
        }
    }

    /// What can be written as it comes.
    fn write(&self, out: &mut dyn Write, format: Format, request: &Request, report: Report<'_>) -> Result<u64, Error> {
        let finished = match self {
            Self::Image(layout, epoch) => {
                let mut out = Measured { out, bytes: 0 };
                layout.write_archive(&mut out, *epoch)?;
                return Ok(out.bytes);
            }
            Self::Root(finished) => finished,
        };
        let options = |compression| tar::Options { compression, ..finished.options(request) };
        match format {
            Format::Tar(compression) => Ok(tar::write(finished.root, out, &options(compression))?.bytes),
            Format::Cpio(compression) => {
                let written = cpio::write(finished.root, out, &options(compression))?;
                if !written.bare.is_empty() {
                    let names: Vec<_> = written.bare.iter().map(|path| String::from_utf8_lossy(path)).collect();
                    report(Event::Warning(format!("cpio cannot hold the capabilities of {}", names.join(", "))));
                }
                Ok(written.bytes)
            }
            // The first is made of layers, the others go to files only.
            Format::Oci(_) | Format::Squashfs | Format::Ext4 => Ok(0),
        }
    }

    /// What has to be made in a file.
    fn make(&self, file: &File, format: Format, request: &Request) -> Result<u64, Error> {
        let Self::Root(finished) = self else { return Ok(0) };
        let (tar, cancel) = (finished.options(request), &*request.cancel);
        let written = match format {
            Format::Squashfs => {
                let programs = &request.host.programs;
                squashfs::write(finished.root, file, &squashfs::Options { tar, programs, cancel })
            }
            _ => ext4::write(finished.root, file, &ext4::Options { tar, size: None, label: None, cancel }),
        };
        Ok(written?.bytes)
    }
}

/// A hidden directory beside the target with a layout.
fn write_layout(layout: &Layout, path: &Path) -> Result<Directory, Error> {
    let directory = Directory::create(place_of(path), stem_of(path))?;
    let root = directory.path().join("root");
    std::fs::create_dir(&root).map_err(Error::io("create", &root))?;
    layout.write_directory(&root)?;
    Ok(directory)
}

/// A hidden directory beside the target with a copy of `root`.
fn copy_to_disk(
    finished: &Finished<'_>,
    path: &Path,
    cancel: &AtomicBool,
    report: Report<'_>,
) -> Result<Directory, Error> {
    let root = finished.root;
    let ahead = finished.staging.and_then(Staging::copied_early);
    let directory = Directory::create(place_of(path), stem_of(path))?;
    let threads = std::thread::available_parallelism().map_or(2, Into::into);
    // The copy can hold no more than the original.
    let to = directory.root()?.keeping(root.aside().cloned().unwrap_or_default());
    let bare = rootstrap_rootfs::copy(root, &to, b"root", threads, ahead.as_ref(), cancel)?;
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

/// Refuses to write once the run was called off.
pub(crate) struct Stoppable<'c, W> {
    pub inner: W,
    pub cancel: &'c AtomicBool,
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
