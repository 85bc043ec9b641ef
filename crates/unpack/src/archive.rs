//! A tar archive of any distribution, compressed or not, into a root.
//!
//! Nothing in the archive can lead out of the root: every path is resolved inside the root, as container engines do.

use crate::cpio_read::CpioEntries;
use crate::limits;
use crate::not_tar;
use crate::tar_read::{Entries, TarEntry};
use rootstrap_debian::compression::{self, Compression, DecoderOptions, Streams};
use rootstrap_rootfs::{Attributes, Cursor, Device, Kind, Place, Root, xattr};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use tar::EntryType;

/// Nothing else vouches for such an archive, so its own checksums are verified.
const OPTIONS: DecoderOptions = DecoderOptions {
    streams: Streams::All,
    verifies_checks: true,
    xz_memory: limits::XZ_MEMORY,
    zstd_window_log: None,
};

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tree could not be changed; the message names what was to be done, and the path.
    #[error(transparent)]
    Tree(#[from] rootstrap_rootfs::Error),
    /// The archive cannot be read, is damaged, or has an entry that cannot be unpacked.
    #[error("cannot unpack the archive")]
    Archive(#[source] io::Error),
}

impl Error {
    /// The system error beneath, to tell a full disk from other reasons.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        match self {
            Self::Tree(source) => source.io(),
            Self::Archive(source) => source,
        }
    }
}

/// Extended attributes: names and values.
type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Unpacks a tar or cpio archive into the empty `root`. Of two entries with the same name the later one replaces the earlier one.
/// `cancel` is set from outside to stop.
///
/// # Errors
/// The archive cannot be read or is damaged, the name of an entry leads out of the archive, `cancel` was set, or the tree
/// cannot be changed.
pub fn extract(input: impl Read + Send, root: &Root, cancel: &AtomicBool) -> Result<(), Error> {
    extract_entries(input, root, None, xattr::is_portable, cancel)
}

/// Unpacks an archive that this program made on this machine, as [`extract`] does. The extended attributes that mean something here alone
/// are set too, such as ACLs.
///
/// # Errors
/// The same as for [`extract`].
pub fn restore(input: impl Read + Send, root: &Root, cancel: &AtomicBool) -> Result<(), Error> {
    extract_entries(input, root, None, xattr::is_of_entry, cancel)
}

/// Unpacks a tar archive into the directory at `above` of a root, which is created if it is not there. Existing directories, and links to
/// directories, stay as they are; other files and links that have the name of an entry are replaced. `cancel` is set from outside to stop.
///
/// # Errors
/// The same as for [`extract`]; or a directory is in the place of a file.
pub fn extract_over(input: impl Read + Send, root: &Root, above: &[u8], cancel: &AtomicBool) -> Result<(), Error> {
    let above = clean(above).ok_or_else(|| unusable(above, "it leads out of the root"))?;
    extract_entries(input, root, Some(&above), xattr::is_portable, cancel)
}

/// Refuses what does not begin as a tar archive.
///
/// # Errors
/// As it says.
pub fn check(input: impl Read + Send) -> Result<(), Error> {
    Entries::new(decoder(input).map_err(Error::Archive)?).next().map(drop).map_err(Error::Archive)
}

/// Unpacks into the directory at `over` of a root with content, or into an empty root. `keeps` says of the name of an extended attribute
/// whether it is set.
fn extract_entries(
    input: impl Read + Send,
    root: &Root,
    over: Option<&[u8]>,
    keeps: fn(&[u8]) -> bool,
    cancel: &AtomicBool,
) -> Result<(), Error> {
    let below = |path: Vec<u8>| match over {
        None | Some(b"") => path,
        Some(above) if path.is_empty() => above.to_vec(),
        Some(above) => [above, b"/", &path].concat(),
    };
    if let Some(above) = over {
        root.create_directories(above, 0o755)?;
    }
    let mut entries = reader(input, over.is_none()).map_err(Error::Archive)?;
    let mut cursor = Cursor::new(root);
    // Filling a directory changes its time, and its entries inherit its ACL. So these are set when everything is there.
    let mut directories: Vec<(Vec<u8>, Attributes, Xattrs)> = Vec::new();
    while let Some(mut entry) = entries.next().map_err(Error::Archive)? {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::Archive(io::Error::other("interrupted")));
        }
        let path = clean(&entry.path).ok_or_else(|| unusable(&entry.path, "its name leads out of the archive"))?;
        let path = below(path);
        entry.path.clone_from(&path);
        entry.xattrs.retain(|(name, _)| keeps(name));
        if entry.kind == EntryType::Link {
            let target = clean(&entry.link);
            entry.link = below(target.ok_or_else(|| unusable(&path, "its link leads out of the archive"))?);
        }
        if entry.kind == EntryType::Directory
            && over.is_some()
            && (path.is_empty() || root.open_directory(&path).is_ok())
        {
            continue;
        }
        let TarEntry { mode, uid, gid, mtime, .. } = entry;
        let attributes = Attributes { mode, uid, gid, mtime };
        if entry.kind == EntryType::Directory {
            directories.push((path.clone(), attributes, std::mem::take(&mut entry.xattrs)));
        }
        if !path.is_empty() {
            let place = cursor.at_creating(&path)?;
            // The replaced entry may be the directory that the cursor holds open, or a link on the way to it.
            if over.is_some() && place.metadata()?.is_some_and(|found| found.kind == Kind::Directory) {
                return Err(unusable(&path, "a directory is in its place"));
            }
            if put(&mut entries, root, &place, &entry, attributes)? {
                cursor = Cursor::new(root);
            }
        }
    }
    set_directories(root, &directories)
}

/// Gives directories their attributes. Of several entries for one directory, the last one counts.
fn set_directories(root: &Root, directories: &[(Vec<u8>, Attributes, Xattrs)]) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for (path, attributes, xattrs) in directories.iter().rev() {
        if !seen.insert(path) {
            continue;
        }
        match path.is_empty() {
            true => root.set_own_attributes(*attributes)?,
            false if root.metadata(path)?.is_some_and(|found| found.kind == Kind::Directory) => {
                let place = root.at(path)?;
                place.set_attributes(*attributes)?;
                place.set_xattrs(xattrs)?;
            }
            false => {}
        }
    }
    Ok(())
}

/// Creates one entry, whose path and hard link are clean, and replaces what is at its place. Returns whether it replaced a directory or a link.
fn put(
    entries: &mut Reader<impl Read>,
    root: &Root,
    place: &Place,
    entry: &TarEntry,
    attributes: Attributes,
) -> Result<bool, Error> {
    let there = place.metadata()?.map(|metadata| metadata.kind);
    if (entry.kind, there) == (EntryType::Directory, Some(Kind::Directory)) {
        return Ok(false);
    }
    let path = &entry.path;
    if entry.kind == EntryType::Link && there.is_some() && entry.link == *path {
        // `tar cf x a a` makes the second entry a link to itself.
        return Ok(false);
    }
    match there {
        None => {}
        Some(Kind::Directory) => root.remove_tree(path)?,
        Some(_) => place.remove()?,
    }
    let device = Device { major: entry.device.0, minor: entry.device.1 };
    match entry.kind {
        EntryType::Directory => place.create_directory(attributes)?,
        EntryType::Regular | EntryType::Continuous => {
            let mut file = place.create_file()?;
            copy(entries, &mut file, entry).map_err(Error::Archive)?;
            place.set_attributes(attributes)?;
        }
        EntryType::Symlink => place.create_symlink(&entry.link, attributes)?,
        EntryType::Link => {
            // A hard link has the time and owner of its file, so there is nothing to set.
            return place.create_link(&root.at(&entry.link)?).map(|()| false).map_err(Error::from);
        }
        EntryType::Char => place.create_node(Kind::CharDevice, device, attributes)?,
        EntryType::Block => place.create_node(Kind::BlockDevice, device, attributes)?,
        EntryType::Fifo => place.create_node(Kind::Fifo, device, attributes)?,
        kind => {
            return Err(unusable(&entry.path, &format!("entries of type {:?} are not known", kind.as_byte() as char)));
        }
    }
    if entry.kind != EntryType::Symlink {
        place.set_xattrs(&entry.xattrs)?;
    }
    Ok(matches!(there, Some(Kind::Directory | Kind::Symlink)))
}

fn copy(entries: &mut Reader<impl Read>, file: &mut File, entry: &TarEntry) -> io::Result<()> {
    let mut buffer = [0; 65536];
    for &(offset, length) in &entry.pieces {
        if entry.pieces.len() > 1 || offset > 0 {
            file.seek(SeekFrom::Start(offset))?;
        }
        let mut left = length;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = entries.read(buffer.get_mut(..room).unwrap_or_default())?;
            file.write_all(buffer.get(..read).unwrap_or_default())?;
            left -= read as u64;
        }
    }
    // A hole at the end is not written. GNU tar marks the end of such a file by an empty last piece.
    let end = entry.pieces.iter().rfind(|(_, length)| *length > 0).map_or(0, |(offset, length)| offset + length);
    if end < entry.size { file.set_len(entry.size) } else { Ok(()) }
}

/// The path below the root, without empty and `.` parts. `None` if it has a `..` part or a zero byte.
pub(crate) fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part if part.contains(&0) => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

pub(crate) fn unusable(path: &[u8], why: &str) -> Error {
    Error::Archive(io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", String::from_utf8_lossy(path))))
}

/// A decompressed stream, and the bytes that it begins with.
type Decoded<'r> = (Vec<u8>, Box<dyn Read + Send + 'r>);

/// Recognises the compression by the first bytes, as container engines do.
fn decode<'r>(mut input: impl Read + Send + 'r) -> io::Result<Decoded<'r>> {
    // A pipe may hand out one byte at a time.
    let mut head = Vec::new();
    input.by_ref().take(compression::MAGIC_LENGTH as u64).read_to_end(&mut head)?;
    let compression = Compression::from_magic(&head);
    let mut input =
        compression.decoder(BufReader::with_capacity(1 << 18, io::Cursor::new(head).chain(input)), OPTIONS)?;
    let mut head = Vec::new();
    input.by_ref().take(not_tar::HEAD as u64).read_to_end(&mut head)?;
    Ok((head, input))
}

/// Returns the stream of a tar archive, decompressed.
///
/// # Errors
/// The stream cannot be read, or begins as something else.
pub(crate) fn decoder<'r>(input: impl Read + Send + 'r) -> io::Result<Box<dyn Read + Send + 'r>> {
    let (head, input) = decode(input)?;
    match not_tar::explain(&head) {
        Some(text) => Err(io::Error::new(io::ErrorKind::InvalidData, text)),
        None => Ok(Box::new(io::Cursor::new(head).chain(input))),
    }
}

/// Returns what reads the entries of an archive. `takes_cpio` says whether it may be one of cpio.
fn reader<'r>(input: impl Read + Send + 'r, takes_cpio: bool) -> io::Result<Reader<Box<dyn Read + Send + 'r>>> {
    let (head, input) = decode(input)?;
    // The first file of a tar archive may have such a name.
    let is_tar = head.get(257..262) == Some(b"ustar");
    let is_cpio = takes_cpio && !is_tar && [b"070701", b"070702"].iter().any(|magic| head.starts_with(*magic));
    let explained = not_tar::explain(&head).filter(|_| !is_cpio);
    let input: Box<dyn Read + Send + 'r> = Box::new(io::Cursor::new(head).chain(input));
    match (explained, is_cpio) {
        (Some(text), _) => Err(io::Error::new(io::ErrorKind::InvalidData, text)),
        (None, true) => Ok(Reader::Cpio(CpioEntries::new(input))),
        (None, false) => Ok(Reader::Tar(Entries::new(input))),
    }
}

/// Reads the entries of an archive.
enum Reader<R> {
    Tar(Entries<R>),
    Cpio(CpioEntries<R>),
}

impl<R: Read> Reader<R> {
    fn next(&mut self) -> io::Result<Option<TarEntry>> {
        match self {
            Self::Tar(entries) => entries.next(),
            Self::Cpio(entries) => entries.next(),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tar(entries) => entries.read(buffer),
            Self::Cpio(entries) => entries.read(buffer),
        }
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
