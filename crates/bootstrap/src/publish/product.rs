//! A finished root or image, written in the form that was asked for and moved to its place.

use crate::error::{Error, unless_cancelled};
use crate::event::{Event, Report};
use crate::publish::target::check_free;
use crate::request::{Filesystem, Format, Machine, Output, Target};
use crate::staging::Staging;
use crate::staging::hidden::HiddenDirectory;
use crate::staging::new_file::NewFile;
use crate::staging::place::parent;
use rootstrap_cache::direct_io;
use rootstrap_image::compress::KnownPieces;
use rootstrap_image::oci::Layout;
use rootstrap_image::{StoppableWriter, cpio, ext4, squashfs, tar};
use rootstrap_rootfs::{Attributes, CopyOptions, Root, Visit};
use rustix::fs::Mode;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A root that is ready to be published.
pub(crate) struct FinishedRoot<'a> {
    pub root: &'a Root,
    /// The staging area that the root grew in; `None` for a directory of the host.
    pub staging: Option<&'a Staging>,
    /// The time that no entry of an archive is later than, and what /dev holds there.
    pub options: RootOptions,
    /// The mode and owner of each entry, where they differ from the tree's own.
    pub attributes: Option<&'a dyn Fn(&Visit<'_>) -> Attributes>,
    /// A function that is told how many bytes of an archive or a directory were written since its last call.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// The pieces of layers that need not be compressed again.
    pub known_pieces: Option<Arc<KnownPieces>>,
}

/// How a root is recorded.
#[derive(Clone, Copy)]
pub(crate) struct RootOptions {
    /// No entry of an archive is later than this, in seconds since 1970.
    pub epoch: i64,
    /// What /dev holds in an archive.
    pub dev: tar::Dev,
    /// Whether container engines will read the archive.
    pub is_layer: bool,
    /// How many threads copy or compress it.
    pub threads: usize,
}

impl<'a> FinishedRoot<'a> {
    /// Returns a root with the attributes that it has, of which nothing is known.
    pub fn new(root: &'a Root, staging: Option<&'a Staging>, options: RootOptions) -> Self {
        Self { root, staging, options, attributes: None, progress: None, known_pieces: None }
    }

    /// Returns how an uncompressed archive of the root is written.
    pub fn tar_options(&self) -> tar::Options<'_> {
        let RootOptions { epoch, dev, is_layer, threads } = self.options;
        let attributes = self.attributes;
        let progress = self.progress.map(|progress| progress as &dyn Fn(u64));
        tar::Options { dev, layer: is_layer, attributes, threads, progress, ..tar::Options::new(epoch) }
    }
}

/// What goes to the target.
pub(crate) enum Product<'a> {
    Root(FinishedRoot<'a>),
    /// Container images, and the time of the entries in their archive.
    Image(&'a Layout, i64),
}

/// An archive that was written.
#[derive(Default)]
pub(crate) struct Written {
    /// Its size in bytes; `None` if the product is no archive.
    pub bytes: Option<u64>,
    /// The file that was written, whatever is at its path by now.
    pub file: Option<File>,
}

/// A product that is written but has no name yet. Only what goes to standard output is not written yet.
pub(crate) enum Prepared<'a> {
    Nothing,
    Stdout(Format),
    File(NewFile, u64),
    Grown(&'a HiddenDirectory),
    Copied(HiddenDirectory),
}

impl<'a> Product<'a> {
    /// Writes the product without giving it a name. Dropping the result removes what was written.
    pub fn prepare(&'a self, output: &Output, machine: &Machine, report: Report<'_>) -> Result<Prepared<'a>, Error> {
        let cancel = &*machine.cancel;
        Ok(match &output.target {
            Target::Nowhere => Prepared::Nothing,
            Target::Stdout(format) => Prepared::Stdout(*format),
            Target::File(path, format) => {
                let new = NewFile::create(parent(path), &machine.janitor)?;
                let written = match format {
                    Format::Squashfs | Format::Ext4 => self.make(&new.file, *format, output, machine),
                    _ => self.write_file((&new.file, path), *format, machine, report),
                };
                let bytes = unless_cancelled(cancel, written)?;
                new.sync(machine.sync, path)?;
                Prepared::File(new, bytes)
            }
            Target::Directory(path) | Target::Layout(path, _) => {
                // Something may have come there during the run.
                check_free(&output.target, output.into_nonempty.is_some())?;
                let prepared = self.prepare_directory(path, machine, report)?;
                // One flush takes the place of all those that the scripts asked for.
                let directory = match &prepared {
                    Prepared::Grown(directory) => Some(*directory),
                    Prepared::Copied(directory) => Some(directory),
                    _ => None,
                };
                let flushed = directory.filter(|_| machine.sync).map_or(Ok(()), |it| rustix::fs::syncfs(it.fd()));
                unless_cancelled(cancel, flushed.map_err(Error::errno("flush", path)))?;
                prepared
            }
        })
    }

    fn prepare_directory(&'a self, path: &Path, machine: &Machine, report: Report<'_>) -> Result<Prepared<'a>, Error> {
        Ok(match self {
            Self::Root(finished) if let Some(grown) = finished.staging.and_then(Staging::hidden_directory) => {
                Prepared::Grown(grown)
            }
            Self::Root(finished) => {
                let copy = unless_cancelled(&machine.cancel, copy_to_disk(finished, path, machine, report))?;
                if finished.attributes.is_some() {
                    let root = copy.root()?.below(b"root")?;
                    rootstrap_normalize::clamp_times(&root, finished.options.epoch, &machine.cancel)?;
                }
                Prepared::Copied(copy)
            }
            Self::Image(layout, _) => Prepared::Copied(write_layout(layout, path, machine)?),
        })
    }

    /// Moves the product to its place, or writes it to standard output.
    pub fn publish(
        &self,
        prepared: Prepared<'_>,
        output: &Output,
        machine: &Machine,
        report: Report<'_>,
    ) -> Result<Written, Error> {
        let path = output.target.path().unwrap_or(Path::new(""));
        let kept = output.into_nonempty.as_deref().unwrap_or_default();
        let epoch = match self {
            Self::Root(finished) => finished.options.epoch,
            Self::Image(_, epoch) => *epoch,
        };
        let mut done = Written::default();
        match prepared {
            Prepared::Nothing => {}
            Prepared::Stdout(format) => {
                let written = self.write_stdout(format, machine, report);
                done.bytes = Some(if written.is_err() { unless_cancelled(&machine.cancel, written) } else { written }?);
            }
            Prepared::File(new, bytes) => {
                done.file = Some(new.publish(path, machine.sync)?.file);
                done.bytes = Some(bytes);
            }
            Prepared::Grown(&ref directory) | Prepared::Copied(ref directory) => {
                // Another run may have filled a directory that has to stay the same one.
                check_free(&output.target, output.into_nonempty.is_some())?;
                directory.publish(path, epoch, kept, machine.sync)?;
            }
        }
        Ok(done)
    }

    fn write_stdout(&self, format: Format, machine: &Machine, report: Report<'_>) -> Result<u64, Error> {
        let out = StoppableWriter { inner: std::io::stdout().lock(), cancel: &machine.cancel };
        let mut out = BufWriter::with_capacity(1 << 20, out);
        let bytes = self.write(&mut out, format, report)?;
        out.flush().map_err(Error::Stdout)?;
        Ok(bytes)
    }

    fn write_file(
        &self,
        (file, path): (&File, &Path),
        format: Format,
        machine: &Machine,
        report: Report<'_>,
    ) -> Result<u64, Error> {
        let fill = |out: &mut dyn Write| -> Result<u64, Error> {
            let out = StoppableWriter { inner: out, cancel: &machine.cancel };
            let mut out = BufWriter::with_capacity(1 << 20, out);
            let bytes = self.write(&mut out, format, report)?;
            out.flush().map_err(Error::io("write", path))?;
            Ok(bytes)
        };
        match machine.sync {
            true => direct_io::write(file, fill).map_err(Error::io("write", path))?,
            false => fill(&mut &*file),
        }
    }

    /// Writes a format that is a stream.
    fn write(&self, out: &mut dyn Write, format: Format, report: Report<'_>) -> Result<u64, Error> {
        let finished = match self {
            Self::Image(layout, epoch) => {
                let mut out = CountingWriter { out, bytes: 0 };
                layout.write_archive(&mut out, *epoch)?;
                return Ok(out.bytes);
            }
            Self::Root(finished) => finished,
        };
        let options = |compression| tar::Options { compression, ..finished.tar_options() };
        match format {
            Format::Tar(compression) => Ok(tar::write(finished.root, out, &options(compression))?.bytes),
            Format::Cpio(compression) => {
                let written = cpio::write(finished.root, out, &options(compression))?;
                if !written.lost_capabilities.is_empty() {
                    let names: Vec<_> =
                        written.lost_capabilities.iter().map(|path| String::from_utf8_lossy(path)).collect();
                    report(Event::Warning(format!("cpio cannot hold the capabilities of {}", names.join(", "))));
                }
                Ok(written.bytes)
            }
            // An image is made of layers, and the filesystems are written to files only.
            Format::Oci(_) | Format::Squashfs | Format::Ext4 => Ok(0),
        }
    }

    /// Makes a filesystem in a file.
    fn make(&self, file: &File, format: Format, output: &Output, machine: &Machine) -> Result<u64, Error> {
        let Self::Root(finished) = self else { return Ok(0) };
        let (tar, cancel) = (finished.tar_options(), &*machine.cancel);
        let written = match format {
            Format::Squashfs => {
                let programs = &machine.host.programs;
                squashfs::write(finished.root, file, &squashfs::Options { tar, programs, cancel })
            }
            _ => {
                let &Filesystem { size, ref label, uuid } = &output.filesystem;
                ext4::write(finished.root, file, &ext4::Options { tar, size, label: label.as_deref(), uuid, cancel })
            }
        };
        Ok(written?.bytes)
    }
}

/// Writes a layout into a hidden directory beside the target.
fn write_layout(layout: &Layout, path: &Path, machine: &Machine) -> Result<HiddenDirectory, Error> {
    let directory = HiddenDirectory::for_target(path, &machine.janitor)?;
    let failed = || Error::errno("create", path);
    rustix::fs::mkdirat(directory.fd(), "root", Mode::from_raw_mode(0o755)).map_err(failed())?;
    let root = directory.root()?.below(b"root")?;
    // The path leads to the directory that was just made, wherever its name leads.
    layout.write_directory(&PathBuf::from(format!("/proc/self/fd/{}", root.fd().as_raw_fd())))?;
    Ok(directory)
}

/// Copies a root into a hidden directory beside the target.
fn copy_to_disk(
    finished: &FinishedRoot<'_>,
    path: &Path,
    machine: &Machine,
    report: Report<'_>,
) -> Result<HiddenDirectory, Error> {
    let root = finished.root;
    let precopy = finished.staging.and_then(Staging::take_precopy);
    let directory = HiddenDirectory::for_target(path, &machine.janitor)?;
    let threads = finished.options.threads;
    // The copy can hold no more than the original.
    let to = directory.root()?.with_fake_ownership(root.fake_ownership().cloned().unwrap_or_default());
    let (precopy, progress) = (precopy.as_ref(), finished.progress);
    let options = CopyOptions { threads, precopy, progress, cancel: &machine.cancel };
    let bare = rootstrap_rootfs::copy(root, &to, b"root", options)?;
    if !bare.is_empty() {
        let names: Vec<_> = bare.iter().map(|path| String::from_utf8_lossy(path)).collect();
        let names = names.join(", ");
        report(Event::Warning(format!("the target's filesystem cannot hold the extended attributes of {names}")));
    }
    Ok(directory)
}

/// Counts the bytes that pass through.
struct CountingWriter<'o> {
    out: &'o mut dyn Write,
    bytes: u64,
}

impl Write for CountingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = self.out.write(bytes)?;
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
