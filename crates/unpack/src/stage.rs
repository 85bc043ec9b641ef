//! Decodes one .deb into the store: bodies become numbered files, everything else stays in memory.

use crate::control::Control;
use crate::entries::{self, Entry, EntryKind};
use crate::error::Error;
use crate::payload::{Tee, Writer};
use crate::{ar, decode, limits};
use md5::{Digest, Md5};
use rootstrap_rootfs::{Attributes, Metadata, Root};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// A package whose file bodies are in the store, ready to be merged.
#[derive(Debug)]
pub struct Staged {
    /// What control.tar holds.
    pub control: Control,
    /// The entries of data.tar in archive order, or the reason why the package is left to dpkg.
    pub entries: Result<Vec<Entry>, String>,
    /// The sum of the sizes of all file bodies.
    pub bytes: u64,
    /// The CRC-32 of each body, with the filesystem and inode number of its file. Merging does not change these numbers.
    pub sums: Vec<((u64, u64), u32)>,
    /// The store, and the name of the directory in it that holds the bodies. That directory is opened when the package is merged,
    /// because there may be more packages than a process may have open directories.
    store: Root,
    slot: String,
}

impl Staged {
    /// Opens the directory of the bodies.
    pub(crate) fn bodies(&self) -> rootstrap_rootfs::Result<OwnedFd> {
        self.store.open_directory(self.slot.as_bytes())
    }
}

/// A .deb to be staged.
pub struct Deb<'a> {
    /// The file.
    pub file: File,
    /// The name of the package in errors.
    pub label: &'a str,
}

/// Decodes `deb` into the directory `slot` of `store`, which is created.
///
/// Many threads may call this at the same time with different slots.
///
/// # Errors
/// The archive is damaged or exceeds a limit, the store cannot be written, or `cancel` was set.
pub fn stage(deb: Deb<'_>, store: &Root, slot: usize, cancel: &AtomicBool) -> Result<Staged, Error> {
    stage_from(deb, store, slot, cancel, None)
}

/// Does the same as [`stage`], and writes the package into the empty file `payload` in a form that is cheap to read again: see
/// [`payload`](crate::payload). Returns `false` if `payload` could not be written, which is no error.
///
/// # Errors
/// Those of [`stage`].
pub fn stage_and_keep(
    deb: Deb<'_>,
    store: &Root,
    slot: usize,
    cancel: &AtomicBool,
    payload: &mut File,
) -> Result<(Staged, bool), Error> {
    let mut writer = Writer::new(payload);
    let staged = stage_from(deb, store, slot, cancel, Some(&mut writer))?;
    let is_kept = staged.entries.is_ok() && writer.finish();
    Ok((staged, is_kept))
}

/// Reads what `deb` says of itself. Its files are not looked at.
///
/// # Errors
/// The archive is damaged or exceeds a limit.
pub fn read_control(mut deb: Deb<'_>) -> Result<Control, Error> {
    let [control, _] = deb.members()?;
    let label = deb.label;
    Control::read(label, deb.open(&control, "control.tar", limits::CONTROL)?)
}

fn stage_from(
    mut deb: Deb<'_>,
    store: &Root,
    slot: usize,
    cancel: &AtomicBool,
    mut copy: Option<&mut Writer<'_>>,
) -> Result<Staged, Error> {
    let label = deb.label;
    let io = |source| Error::Io { label: label.to_owned(), source };
    let tree = |source| Error::Tree { label: label.to_owned(), source };

    let [control, data] = deb.members()?;
    let control = deb.open(&control, "control.tar", limits::CONTROL)?;
    let control = copied(control, "control.tar", &mut copy, |tar| Control::read(label, tar))?;
    let payload = deb.open(&data, "data.tar", limits::DATA)?;

    let name = format!("{slot}");
    let place = store.at(name.as_bytes()).map_err(tree)?;
    place.create_directory(Attributes { mode: 0o700, uid: 0, gid: 0, mtime: 0 }).map_err(tree)?;
    let bodies = store.open_directory(name.as_bytes()).map_err(tree)?;

    // dpkg needs the digests of conffiles in any case, and those of all files if the package brings no md5sums.
    let needs_all = control.member("md5sums").is_none();
    let conffiles: HashSet<&[u8]> = control.conffiles.iter().map(|conffile| conffile.path.as_slice()).collect();
    let (sums, buffer) = (Vec::new(), vec![0; 1 << 17]);
    let mut writer = BodyWriter { store, bodies: &bodies, count: 0, bytes: 0, sums, buffer, cancel };
    let entries = copied(payload, "data.tar", &mut copy, |tar| {
        entries::read(tar, &mut |path, attributes, body, size| {
            writer.write(attributes, body, size, needs_all || conffiles.contains(path))
        })
    });
    let BodyWriter { bytes, sums, .. } = writer;
    let entries = match entries {
        Ok(entries) => entries,
        Err(_) if cancel.load(Ordering::Relaxed) => return Err(Error::Cancelled),
        Err(error) => return Err(io(error)),
    };
    Ok(Staged { control, entries, bytes, sums, store: store.share(), slot: name })
}

impl Deb<'_> {
    /// Finds the members that hold control.tar and data.tar. deb(5): debian-binary, control and data come in this order, and
    /// members whose names begin with `_` are ignored.
    fn members(&mut self) -> Result<[ar::Member; 2], Error> {
        let members = ar::members(&mut self.file).map_err(|error| self.io(error))?;
        let members = members.map_err(|reason| self.damaged(reason))?;
        let mut members = members.into_iter().filter(|member| !member.name.starts_with('_'));
        let (Some(format), Some(control), Some(data)) = (members.next(), members.next(), members.next()) else {
            return Err(self.damaged("it lacks control or data"));
        };
        let is_format_2 = format.name == "debian-binary" && {
            let version = read_member(&mut self.file, &format).map_err(|error| self.io(error))?;
            version.starts_with(b"2.")
        };
        if is_format_2 { Ok([control, data]) } else { Err(self.damaged("it is not of format 2")) }
    }

    /// Opens the member whose name without the suffix of its compression is `stem`, with at most `ceiling` decoded bytes.
    fn open(&mut self, member: &ar::Member, stem: &str, ceiling: u64) -> Result<decode::Decoded<'static>, Error> {
        let bytes = self.file.seek(SeekFrom::Start(member.offset)).and_then(|_| self.file.try_clone());
        let bytes = bytes.map_err(|error| self.io(error))?.take(member.size);
        decode::decoder(&member.name, stem, bytes, ceiling)
            .ok_or_else(|| self.damaged(format!("its member {} is of a kind dpkg does not know", member.name)))?
            .map_err(|error| self.io(error))
    }

    fn io(&self, source: io::Error) -> Error {
        Error::Io { label: self.label.to_owned(), source }
    }

    fn damaged(&self, reason: impl Into<String>) -> Error {
        Error::Damaged { label: self.label.to_owned(), reason: reason.into() }
    }
}

/// Reads the member `name`, a tar archive, with `read`, and writes everything that is read into `copy`.
fn copied<'r, T, E>(
    reader: impl Read + 'r,
    name: &str,
    copy: &mut Option<&mut Writer<'_>>,
    read: impl FnOnce(&mut dyn Read) -> Result<T, E>,
) -> Result<T, E> {
    if let Some(writer) = copy {
        writer.begin(name);
    }
    let mut tee = Tee { reader, writer: copy.as_deref_mut() };
    let result = read(&mut tee)?;
    tee.drain();
    if let Some(writer) = copy {
        writer.end(name);
    }
    Ok(result)
}

fn read_member(deb: &mut File, member: &ar::Member) -> io::Result<Vec<u8>> {
    deb.seek(SeekFrom::Start(member.offset))?;
    let mut bytes = Vec::new();
    deb.take(member.size.min(64)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes the bodies of one package.
struct BodyWriter<'a> {
    store: &'a Root,
    bodies: &'a OwnedFd,
    count: usize,
    bytes: u64,
    sums: Vec<((u64, u64), u32)>,
    buffer: Vec<u8>,
    cancel: &'a AtomicBool,
}

impl BodyWriter<'_> {
    /// Writes the next body. `needs_md5` says whether dpkg's database needs its digest.
    fn write(
        &mut self,
        attributes: &Attributes,
        body: &mut dyn Read,
        size: u64,
        needs_md5: bool,
    ) -> io::Result<EntryKind> {
        use rustix::fs::{self, Mode, OFlags};
        let number = self.count;
        self.count += 1;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file: File = fs::openat(self.bodies, number.to_string(), flags, Mode::empty())?.into();
        let (mut md5, mut sum) = (needs_md5.then(Md5::new), crc32fast::Hasher::new());
        let mut left = size;
        while left > 0 {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(io::Error::other("interrupted"));
            }
            let count = body.read(&mut self.buffer)?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off"));
            }
            let chunk = self.buffer.get(..count).unwrap_or_default();
            file.write_all(chunk)?;
            sum.update(chunk);
            if let Some(md5) = &mut md5 {
                md5.update(chunk);
            }
            left = left.saturating_sub(count as u64);
        }
        self.bytes += size;
        self.sums.push((Metadata::from(fs::fstat(&file)?).identity, sum.finalize()));
        self.store.set_attributes_of_new(file.as_fd(), *attributes)?;
        let md5 = md5.map(|md5| base16ct::lower::encode_string(&md5.finalize()));
        Ok(EntryKind::File { body: number, md5 })
    }
}
