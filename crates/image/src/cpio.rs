//! A tree as a cpio archive in the "newc" format, which Linux takes as its initramfs: the same tree gives the same bytes.
//!
//! The format is described in cpio(5) and in the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`. Inode
//! numbers count from 1 in the order of the entries, names are relative, and the device numbers of the host's filesystems are
//! left out. The contents of a file with several names come with its last name: GNU cpio expects them there, and the kernel
//! accepts them with any name.

use crate::compress::{Algorithm, Encoder};
use crate::entries::{self, Entry};
use crate::options::Options;
use crate::{Error, Result};
use rootstrap_rootfs::{Device, Kind, Root, xattr};
use std::collections::HashMap;
use std::io::Write;

/// What an archive holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The number of files, directories, links and device nodes.
    pub entries: u64,
    /// The length of the archive before compression.
    pub bytes: u64,
    /// The paths of the files whose capabilities are not recorded, because the format has no extended attributes.
    pub lost_capabilities: Vec<Vec<u8>>,
}

/// Writes `root` to `out`, compressed. `options.layer` has no effect. After an error, every reader recognizes the output as
/// incomplete.
///
/// # Errors
/// The tree cannot be read. The tree has an entry that the format cannot hold: a file of 4 GiB or a path that is too long for
/// the kernel. The compression is xz: the kernel reads only xz with checksums of 32 bits, and this crate writes 64 bits. `out`
/// cannot be written.
pub fn write(root: &Root, out: &mut dyn Write, options: &Options<'_>) -> Result<Written> {
    if options.compression.algorithm == Algorithm::Xz {
        return Err(Error::CpioCompression);
    }
    let mut encoder = Encoder::with_threads(out, options.compression, options.threads).map_err(Error::Write)?;
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
    let mut archive =
        Archive { out, written: Written::default(), inodes: 0, links: HashMap::new(), progress: options.progress };
    // Count the names first: the first header of a file already has their number.
    entries::for_each(root, &options, &mut |entry| {
        if let Some((identity, _)) = entry.hard_links() {
            archive.links.entry(identity).or_default().names += 1;
        }
        Ok(())
    })?;
    entries::for_each(root, &options, &mut |entry| archive.add(entry))?;
    archive.finish()?;
    Ok(archive.written)
}

/// Takes the place of the rest of an archive that failed. A reader recognizes an archive without its last entry as incomplete,
/// but might take no bytes at all for an empty archive.
const UNFINISHED: &[u8] = b"070701 rootstrap-failed: this archive is incomplete\0";
const MAGIC: &str = "070701";
/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// The largest length of a name with its final zero. The kernel skips entries with longer names (`PATH_MAX`).
const MAX_NAME: usize = 4096;
/// The archive is filled up to a multiple of this, because programs read whole blocks.
const BLOCK: u64 = 512;

struct Archive<'a> {
    out: &'a mut dyn Write,
    written: Written,
    inodes: u32,
    /// The files that have several names.
    links: HashMap<(u64, u64), Links>,
    progress: Option<&'a dyn Fn(u64)>,
}

#[derive(Default)]
struct Links {
    /// The number of names below the root.
    names: u32,
    /// How many of the names have been written.
    written: u32,
    inode: u32,
}

/// The fields of a header that can differ from zero.
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
        if path.len() >= MAX_NAME {
            return Err(Error::unsupported(path, FORMAT, "its path is too long"));
        }
        if path == TRAILER {
            return Err(Error::unsupported(path, FORMAT, "this name ends the archive"));
        }
        let size = u32::try_from(entry.size).map_err(|_| Error::unsupported(path, FORMAT, "it has 4 GiB or more"))?;
        let (inode, links, last) = self.inode(entry);
        let attributes = entry.attributes;
        let mut header = Header {
            inode,
            mode: file_type(entry.kind) | attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            links,
            // The field is unsigned.
            mtime: u32::try_from(attributes.mtime.max(0)).unwrap_or(u32::MAX),
            size: 0,
            device: entry.device,
        };
        match entry.kind {
            Kind::File if last => {
                if entry.xattrs(xattr::is_portable)?.iter().any(|(name, _)| name == b"security.capability") {
                    self.written.lost_capabilities.push(path.to_vec());
                }
                header.size = size;
                let file = entry.open()?;
                self.put_header(path, &header)?;
                entry.read_contents(&file, &mut |piece| self.put(piece))?;
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

    /// Returns the inode number and the number of links of an entry, and whether its contents come with this name.
    fn inode(&mut self, entry: &Entry<'_>) -> (u32, u32, bool) {
        let known = entry.hard_links().and_then(|(identity, _)| self.links.get_mut(&identity));
        let Some(links) = known else {
            self.inodes += 1;
            // No reader checks the number of links of a directory. The kernel's gen_init_cpio writes 2.
            return (self.inodes, if entry.kind == Kind::Directory { 2 } else { 1 }, true);
        };
        if links.written == 0 {
            self.inodes += 1;
            links.inode = self.inodes;
        }
        links.written += 1;
        (links.inode, links.names, links.written == links.names)
    }

    fn put_header(&mut self, name: &[u8], header: &Header) -> Result<()> {
        let &Header { inode, mode, uid, gid, links, mtime, size, device } = header;
        let length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let mut text = MAGIC.to_owned();
        // The device numbers of the filesystem and the checksum are zero.
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
        self.progress.iter().for_each(|progress| progress(bytes.len() as u64));
        Ok(())
    }

    /// Writes zeros up to a multiple of `unit`, which is at most [`BLOCK`].
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

/// Returns the file type bits of inode(7).
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
