//! A root from a tar archive of whichever distribution, compressed or not.
//!
//! Nothing in the archive can lead out of the root: every path is resolved inside it, as container engines do.

use crate::tar_read::{Entries, Found};
use crate::{Error, Result};
use rootstrap_rootfs::{Attributes, Cursor, Device, Kind, Place, Root};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use tar::EntryType;

/// The dictionary of `xz -9` and some more.
const XZ_MEMORY: u64 = 256 << 20;

/// Fills the empty `root` with what is in the archive. Entries that come again replace those before. `cancel` is set from
/// outside to stop.
///
/// # Errors
/// The archive cannot be read or is damaged, a name in it leads nowhere, or the tree refuses.
pub fn extract(input: impl Read + Send, root: &Root, cancel: &AtomicBool) -> Result<()> {
    let input = decoder(input).map_err(Error::Extract)?;
    let mut entries = Entries::new(input);
    let mut cursor = Cursor::new(root);
    // Filling a directory changes its time, so theirs are set when everything is there.
    let mut directories: Vec<(Vec<u8>, Attributes)> = Vec::new();
    while let Some(found) = entries.next().map_err(Error::Extract)? {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::Extract(io::Error::other("interrupted")));
        }
        let path = clean(&found.path).ok_or_else(|| unusable(&found.path, "its name leads out of the archive"))?;
        let Found { mode, uid, gid, mtime, .. } = found;
        let attributes = Attributes { mode, uid, gid, mtime };
        if found.kind == EntryType::Directory {
            directories.push((path.clone(), attributes));
        }
        if !path.is_empty() {
            let place = cursor.at_creating(&path)?;
            // What changes on the way may be what the cursor holds open.
            if put(&mut entries, root, &place, &found, attributes)? {
                cursor = Cursor::new(root);
            }
        }
    }
    for (path, attributes) in directories.iter().rev() {
        match path.is_empty() {
            true => set_top(root, *attributes)?,
            false if root.metadata(path)?.is_some_and(|found| found.kind == Kind::Directory) => {
                root.at(path)?.set_attributes(*attributes)?;
            }
            false => {}
        }
    }
    Ok(())
}

/// Creates one entry, in place of what is there. Whether a directory or a link was replaced.
fn put(
    entries: &mut Entries<impl Read>,
    root: &Root,
    place: &Place,
    found: &Found,
    attributes: Attributes,
) -> Result<bool> {
    let there = place.metadata()?.map(|metadata| metadata.kind);
    if (found.kind, there) == (EntryType::Directory, Some(Kind::Directory)) {
        place.set_xattrs(&kept(found))?;
        return Ok(false);
    }
    let path = clean(&found.path).unwrap_or_default();
    if found.kind == EntryType::Link && there.is_some() && clean(&found.link).is_some_and(|target| target == path) {
        // `tar cf x a a` makes the second a link to itself.
        return Ok(false);
    }
    match there {
        None => {}
        Some(Kind::Directory) => root.remove_tree(&path)?,
        Some(_) => place.remove()?,
    }
    let device = Device { major: found.device.0, minor: found.device.1 };
    match found.kind {
        EntryType::Directory => place.create_directory(attributes)?,
        EntryType::Regular | EntryType::Continuous => {
            let mut file = place.create_file()?;
            copy(entries, &mut file, found).map_err(Error::Extract)?;
            place.set_attributes(attributes)?;
        }
        EntryType::Symlink => place.create_symlink(&found.link, attributes)?,
        EntryType::Link => {
            let target =
                clean(&found.link).ok_or_else(|| unusable(&found.path, "its link leads out of the archive"))?;
            // Its time and owner are those of the file.
            return place.create_link(&root.at(&target)?).map(|()| false).map_err(Error::from);
        }
        EntryType::Char => place.create_node(Kind::CharDevice, device, attributes)?,
        EntryType::Block => place.create_node(Kind::BlockDevice, device, attributes)?,
        EntryType::Fifo => place.create_node(Kind::Fifo, device, attributes)?,
        kind => {
            return Err(unusable(&found.path, &format!("entries of type {:?} are not known", kind.as_byte() as char)));
        }
    }
    if found.kind != EntryType::Symlink {
        place.set_xattrs(&kept(found))?;
    }
    Ok(matches!(there, Some(Kind::Directory | Kind::Symlink)))
}

fn copy(entries: &mut Entries<impl Read>, file: &mut File, found: &Found) -> io::Result<()> {
    let mut buffer = [0; 65536];
    for &(offset, length) in &found.pieces {
        if found.pieces.len() > 1 || offset > 0 {
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
    // The hole at the end; the last piece of a map may be an empty one there.
    let end = found.pieces.iter().rfind(|(_, length)| *length > 0).map_or(0, |(offset, length)| offset + length);
    if end < found.size { file.set_len(found.size) } else { Ok(()) }
}

fn kept(found: &Found) -> Vec<(Vec<u8>, Vec<u8>)> {
    found.xattrs.iter().filter(|(name, _)| crate::entries::is_kept(name)).cloned().collect()
}

fn set_top(root: &Root, attributes: Attributes) -> Result<()> {
    use rustix::fs::{Mode, Timespec, Timestamps};
    let failed = |errno: rustix::io::Errno| Error::root("change the attributes of", errno);
    let Attributes { mode, uid, gid, mtime } = attributes;
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    root.set_owner_of(root.fd(), uid, gid).map_err(failed)?;
    rustix::fs::fchmod(root.fd(), Mode::from_raw_mode(mode)).map_err(failed)?;
    rustix::fs::futimens(root.fd(), &Timestamps { last_access: time, last_modification: time }).map_err(failed)
}

/// The path below the root; `None` if it leads above it.
fn clean(path: &[u8]) -> Option<Vec<u8>> {
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

fn unusable(path: &[u8], why: &str) -> Error {
    Error::Extract(io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", String::from_utf8_lossy(path))))
}

/// By what the stream begins with, as container engines tell.
fn decoder<'r>(mut input: impl Read + Send + 'r) -> io::Result<Box<dyn Read + Send + 'r>> {
    // A pipe may hand out one byte at a time.
    let mut head = Vec::new();
    input.by_ref().take(6).read_to_end(&mut head)?;
    let input = BufReader::with_capacity(1 << 18, io::Cursor::new(head.clone()).chain(input));
    Ok(match head.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let stream = xz2::stream::Stream::new_stream_decoder(XZ_MEMORY, xz2::stream::CONCATENATED);
            Box::new(xz2::bufread::XzDecoder::new_stream(input, stream.map_err(io::Error::other)?))
        }
        // A frame, or one to be skipped before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(zstd::Decoder::with_buffer(input)?)
        }
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        _ => Box::new(input),
    })
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
