//! One .deb decoded into the store: bodies as numbered files, everything else in memory.

use crate::control::Control;
use crate::entries::{self, Entry, EntryKind};
use crate::payload::{Tee, Writer};
use crate::{Error, ar, decode, limits};
use md5::{Digest, Md5};
use rootstrap_rootfs::{Attributes, Metadata, Root};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// A package whose file bodies lie in the store, ready to be merged.
#[derive(Debug)]
pub struct Staged {
    /// What control.tar holds.
    pub control: Control,
    /// The entries of data.tar in archive order; the reason it is left to dpkg otherwise.
    pub entries: Result<Vec<Entry>, String>,
    /// Bytes of file bodies.
    pub bytes: u64,
    /// A checksum (CRC-32) of each body by the filesystem and inode number of its file, which stay when it is merged.
    pub sums: Vec<((u64, u64), u32)>,
    /// The directory of the store that holds the bodies.
    pub(crate) bodies: OwnedFd,
}

/// Decodes `deb` into the directory `slot` of `store`, which is created.
///
/// `label` names the package in errors. Safe to call from many threads with different slots.
///
/// # Errors
/// The archive is damaged or exceeds a limit, the store cannot be written, or `cancel` was set.
pub fn stage(deb: File, label: &str, store: &Root, slot: usize, cancel: &AtomicBool) -> Result<Staged, Error> {
    stage_from(deb, label, store, slot, cancel, None)
}

/// The same, and writes into the empty file `payload` what is cheap to read again: see [`payload`](crate::payload). `false`
/// if that came to nothing.
///
/// # Errors
/// Those of [`stage`]; that `payload` cannot be written is none.
pub fn stage_and_keep(
    deb: File,
    label: &str,
    store: &Root,
    slot: usize,
    cancel: &AtomicBool,
    payload: &mut File,
) -> Result<(Staged, bool), Error> {
    let mut writer = Writer::new(payload);
    let staged = stage_from(deb, label, store, slot, cancel, Some(&mut writer))?;
    let kept = staged.entries.is_ok() && writer.finish();
    Ok((staged, kept))
}

fn stage_from(
    mut deb: File,
    label: &str,
    store: &Root,
    slot: usize,
    cancel: &AtomicBool,
    mut copy: Option<&mut Writer<'_>>,
) -> Result<Staged, Error> {
    let io = |source| Error::Io { label: label.to_owned(), source };
    let damaged = |reason: String| Error::Damaged { label: label.to_owned(), reason };
    let tree = |source| Error::Tree { label: label.to_owned(), source };

    let members = ar::members(&mut deb).map_err(io)?.map_err(damaged)?;
    // deb(5): debian-binary, control, data in this order; names that begin with `_` are to be ignored.
    let mut parts = members.iter().filter(|member| !member.name.starts_with('_'));
    let (Some(format), Some(control), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(damaged("it lacks control or data".into()));
    };
    if format.name != "debian-binary" || !read_member(&mut deb, format).map_err(io)?.starts_with(b"2.") {
        return Err(damaged("it is not of format 2".into()));
    }
    let mut open = |member: &ar::Member, stem: &str, ceiling: u64| {
        deb.seek(SeekFrom::Start(member.offset)).map_err(io)?;
        let bytes = deb.try_clone().map_err(io)?.take(member.size);
        decode::decoder(&member.name, stem, bytes, ceiling)
            .ok_or_else(|| damaged(format!("its member {} is of a kind dpkg does not know", member.name)))?
            .map_err(io)
    };
    let control = copied(open(control, "control.tar", limits::CONTROL)?, "control.tar", &mut copy, |tar| {
        Control::read(label, tar)
    })?;
    let payload = open(data, "data.tar", limits::DATA)?;

    let name = format!("{slot}");
    let place = store.at(name.as_bytes()).map_err(tree)?;
    place.create_directory(Attributes { mode: 0o700, uid: 0, gid: 0, mtime: 0 }).map_err(tree)?;
    let bodies = store.open_directory(name.as_bytes()).map_err(tree)?;

    // dpkg wants digests of conffiles always, of all files where the package brings no md5sums.
    let all = control.member("md5sums").is_none();
    let wanted: HashSet<&[u8]> = control.conffiles.iter().map(|conffile| conffile.path.as_slice()).collect();
    let (sums, buffer) = (Vec::new(), vec![0; 1 << 17]);
    let mut writer = BodyWriter { store, bodies: &bodies, count: 0, bytes: 0, sums, buffer, cancel };
    let entries = copied(payload, "data.tar", &mut copy, |tar| {
        entries::read(tar, &mut |path, attributes, body, size| {
            writer.write(attributes, body, size, all || wanted.contains(path))
        })
    });
    let BodyWriter { bytes, sums, .. } = writer;
    let entries = match entries {
        Ok(entries) => entries,
        Err(_) if cancel.load(Ordering::Relaxed) => return Err(Error::Cancelled),
        Err(error) => return Err(io(error)),
    };
    Ok(Staged { control, entries, bytes, sums, bodies })
}

/// Reads a tar archive that is a member, and puts what is read into `copy`.
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
    /// Owner before mode (a change of owner clears setuid), time last (writing changes it).
    fn write(
        &mut self,
        attributes: &Attributes,
        body: &mut dyn Read,
        size: u64,
        digest: bool,
    ) -> io::Result<EntryKind> {
        use rustix::fs::{self, Mode, OFlags, Timespec, Timestamps};
        let number = self.count;
        self.count += 1;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file: File = fs::openat(self.bodies, number.to_string(), flags, Mode::empty())?.into();
        let (mut md5, mut sum) = (digest.then(Md5::new), crc32fast::Hasher::new());
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
        if (attributes.uid, attributes.gid) != (0, 0) {
            self.store.set_owner_of(file.as_fd(), attributes.uid, attributes.gid)?;
        }
        fs::fchmod(file.as_fd(), Mode::from_raw_mode(attributes.mode))?;
        let time = Timespec { tv_sec: attributes.mtime, tv_nsec: 0 };
        fs::futimens(file.as_fd(), &Timestamps { last_access: time, last_modification: time })?;
        let md5 = md5.map(|md5| md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        Ok(EntryKind::File { body: number, md5 })
    }
}
