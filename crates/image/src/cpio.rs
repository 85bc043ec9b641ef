//! A tree as a cpio archive in the "newc" format, which Linux takes as its initramfs: the same tree gives the same bytes.
//!
//! The format is that of cpio(5) and of the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`. Inode
//! numbers count from 1 in the order of the entries, names are relative, and no number of the host's devices gets in. A
//! file with several names has its contents with the last of them: there GNU cpio expects them, and the kernel takes
//! them anywhere.

use crate::compress::{Algorithm, Encoder};
use crate::entries::{self, Entry};
use crate::tar::Options;
use crate::{Error, Result};
use rootstrap_rootfs::{Device, Kind, Root};
use std::collections::HashMap;
use std::io::Write;

/// What went into an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files, directories, links and nodes.
    pub entries: u64,
    /// Length of the archive before compression.
    pub bytes: u64,
    /// Paths of the files whose capabilities were lost: the format has no place for extended attributes.
    pub bare: Vec<Vec<u8>>,
}

/// Writes `root` to `out`, compressed. Of `options`, `layer` has no meaning here and is not looked at. On an error what
/// has been written is no complete archive, and no reader takes it for one.
///
/// # Errors
/// The tree cannot be read or holds what the format cannot: a file of 4 GiB, a path longer than the kernel takes. The
/// compression is xz: the kernel reads it with checksums of 32 bits only, and ours have 64. `out` refuses.
pub fn write(root: &Root, out: &mut dyn Write, options: &Options<'_>) -> Result<Written> {
    if options.compression.algorithm == Algorithm::Xz {
        return Err(Error::Compression);
    }
    let mut encoder = Encoder::new(out, options.compression).map_err(Error::Write)?;
    match stream(root, &mut encoder, options) {
        Ok(written) => encoder.finish().map(|()| written).map_err(Error::Write),
        Err(error) => {
            let _ = encoder.write_all(UNFINISHED);
            encoder.abandon();
            Err(error)
        }
    }
}

fn stream(root: &Root, out: &mut dyn Write, options: &Options<'_>) -> Result<Written> {
    let options = Options { layer: false, ..*options };
    let mut archive = Archive { out, written: Written::default(), inodes: 0, links: HashMap::new() };
    // The first of a file's headers says already how many there are.
    entries::each(root, &options, &mut |entry| {
        if let Some((identity, _)) = entry.shared() {
            archive.links.entry(identity).or_default().names += 1;
        }
        Ok(())
    })?;
    entries::each(root, &options, &mut |entry| archive.add(entry))?;
    archive.finish()?;
    Ok(archive.written)
}

/// What stands in place of the rest of a failed archive. Without its last entry none is complete, but no byte at all
/// might be taken for an archive of nothing.
const UNFINISHED: &[u8] = b"070701 rootstrap-failed: this archive is incomplete\0";
const MAGIC: &str = "070701";
/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// The kernel skips entries whose name, with its final zero, is longer (`PATH_MAX`).
const LONGEST_NAME: usize = 4096;
/// Programs read whole blocks.
const BLOCK: u64 = 512;

struct Archive<'a> {
    out: &'a mut dyn Write,
    written: Written,
    inodes: u32,
    /// Of each file that has several names.
    links: HashMap<(u64, u64), Links>,
}

#[derive(Default)]
struct Links {
    /// All names below the root, and those that have been written.
    names: u32,
    seen: u32,
    inode: u32,
}

/// The numbers of a header that are not zero for all entries.
struct Header {
    inode: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    mtime: u32,
    size: u32,
    device: Device,
}

impl Archive<'_> {
    fn add(&mut self, entry: &Entry<'_>) -> Result<()> {
        let path = if entry.path.is_empty() { b"." } else { entry.path };
        if path.len() >= LONGEST_NAME {
            return Err(Error::unfit(path, FORMAT, "its path is too long"));
        }
        if path == TRAILER {
            return Err(Error::unfit(path, FORMAT, "this name ends the archive"));
        }
        let size = u32::try_from(entry.size).map_err(|_| Error::unfit(path, FORMAT, "it has 4 GiB or more"))?;
        let (inode, links, last) = self.inode(entry);
        let attributes = entry.attributes;
        let mut header = Header {
            inode,
            mode: file_type(entry.kind) | attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            links,
            // The field has no sign.
            mtime: u32::try_from(attributes.mtime.max(0)).unwrap_or(u32::MAX),
            size: 0,
            device: entry.device,
        };
        match entry.kind {
            Kind::File if last => {
                if entry.xattrs()?.iter().any(|(name, _)| name == b"security.capability") {
                    self.written.bare.push(path.to_vec());
                }
                header.size = size;
                let file = entry.open()?;
                self.put_header(path, &header)?;
                entry.contents(&file, &mut |piece| self.put(piece))?;
            }
            Kind::Symlink => {
                header.size = u32::try_from(entry.target.len()).unwrap_or(u32::MAX);
                self.put_header(path, &header)?;
                self.put(&entry.target)?;
            }
            _ => self.put_header(path, &header)?,
        }
        self.written.entries += 1;
        self.pad(4)
    }

    /// Inode number and number of links of an entry, and whether its contents belong here.
    fn inode(&mut self, entry: &Entry<'_>) -> (u32, u32, bool) {
        let known = entry.shared().and_then(|(identity, _)| self.links.get_mut(&identity));
        let Some(links) = known else {
            self.inodes += 1;
            // Nobody counts what is below a directory; 2 is what the kernel's own gen_init_cpio writes.
            return (self.inodes, if entry.kind == Kind::Directory { 2 } else { 1 }, true);
        };
        if links.seen == 0 {
            self.inodes += 1;
            links.inode = self.inodes;
        }
        links.seen += 1;
        (links.inode, links.names, links.seen == links.names)
    }

    fn put_header(&mut self, name: &[u8], header: &Header) -> Result<()> {
        let &Header { inode, mode, uid, gid, links, mtime, size, device } = header;
        let length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let mut text = MAGIC.to_owned();
        // The numbers of the filesystem's device and the checksum are zero.
        for field in [inode, mode, uid, gid, links, mtime, size, 0, 0, device.major, device.minor, length, 0] {
            text += &format!("{field:08x}");
        }
        self.put(text.as_bytes())?;
        self.put(name)?;
        self.put(b"\0")?;
        self.pad(4)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(Error::Write)?;
        self.written.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Fills up with zeros to a multiple of `unit`, which is at most [`BLOCK`].
    fn pad(&mut self, unit: u64) -> Result<()> {
        let length = usize::try_from(self.written.bytes.next_multiple_of(unit) - self.written.bytes).unwrap_or(0);
        self.put([0; BLOCK as usize].get(..length).unwrap_or_default())
    }

    fn finish(&mut self) -> Result<()> {
        let device = Device { major: 0, minor: 0 };
        let header = Header { inode: 0, mode: 0, uid: 0, gid: 0, links: 1, mtime: 0, size: 0, device };
        self.put_header(TRAILER, &header)?;
        self.pad(BLOCK)?;
        self.out.flush().map_err(Error::Write)
    }
}

const FORMAT: &str = "a cpio archive";

/// The type as inode(7) has it.
fn file_type(kind: Kind) -> u32 {
    match kind {
        Kind::Socket => 0o140_000,
        Kind::Symlink => 0o120_000,
        Kind::File => 0o100_000,
        Kind::BlockDevice => 0o060_000,
        Kind::Directory => 0o040_000,
        Kind::CharDevice => 0o020_000,
        Kind::Fifo => 0o010_000,
    }
}

#[cfg(test)]
#[path = "cpio_tests.rs"]
mod tests;
