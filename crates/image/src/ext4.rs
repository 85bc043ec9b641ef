//! A tree as an ext4 image: the same tree gives the same bytes, on any machine.
//!
//! The library mkext4 lays the filesystem out; no program of the host is asked, so neither its version nor its settings
//! show. What it decides is the image: its version is pinned, and a new one changes every image. The features are those
//! of e2fsprogs 1.43 without `64bit` and `resize_inode`: an image can grow up to 16 GiB everywhere, and beyond where the
//! kernel changes to `meta_bg`; a target whose own e2fsck is older than 1.43 cannot check it.
//!
//! A size that nobody gave leaves a quarter of what is used free, and at least [`LEAST_FREE`]; of it, a twentieth of the
//! filesystem is for root alone, as with mke2fs.

use crate::entries::{self, Entry};
use crate::error::go_on;
use crate::holes::{BLOCK, Contents, segments};
use crate::tar::{self, Written};
use crate::{Error, Result};
use mkext4::{FsBuilder, InodeCount, InodeHandle, Meta, ROOT, SparseSeg, SpecialKind};
use rootstrap_rootfs::{Attributes, Kind, Root};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// How an image is made.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// What goes in; its compression is not looked at.
    pub tar: tar::Options<'o>,
    /// Size of the image in bytes, rounded up to whole blocks of 4096; `None`: what the tree needs, and room to spare.
    pub size: Option<u64>,
    /// The label of the filesystem, at most 16 bytes.
    pub label: Option<&'o str>,
    /// Set from outside to stop.
    pub cancel: &'o AtomicBool,
}

/// Free space in bytes where no size was given, if that is more than a quarter of what is used.
pub const LEAST_FREE: u64 = 64 << 20;

/// Writes `root` to `file`: a regular file, which may have no name and be open for writing only. On an error it is empty.
///
/// The filesystem's UUID and the seed of its directories' hashes follow from the contents, size and label. Zeros in
/// files become holes. An empty /lost+found of the tree gives way to the filesystem's own.
///
/// # Errors
/// The tree cannot be read, does not fit into the size, or has what the format has not: names that are not UTF-8 (a limit
/// of the library), extended attributes of more than 4 KiB. `file` cannot be written, or `cancel` was set.
pub fn write(root: &Root, file: &File, options: &Options<'_>) -> Result<Written> {
    let made = make(root, file, options);
    let made = if options.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { made };
    if made.is_err() {
        // Nothing may lie there that could be taken for an image.
        let _ = file.set_len(0);
    }
    made
}

const FORMAT: &str = "an ext4 image";

fn make(root: &Root, file: &File, options: &Options<'_>) -> Result<Written> {
    let mut tree = Tree::default();
    entries::each(root, &options.tar, &mut |entry| tree.add(entry, options.cancel))?;
    let size = size_for(&tree, options.size)?;
    let mut parameters = mkext4::Options::new(size, identity(root, options, size)?, options.tar.epoch.max(0));
    parameters.label = options.label.map(str::to_owned);
    parameters.journal_blocks = Some(journal(size));
    parameters.inodes = InodeCount::Exact(u32::try_from(inodes(&tree, size)).unwrap_or(u32::MAX));
    let layout = |source: mkext4::Error| Error::Layout { format: FORMAT, source: source.into() };
    let mut builder = FsBuilder::new(parameters).map_err(layout)?;
    let handles = declare(&mut builder, &tree)?;
    let layout = builder.seal().map_err(layout)?;

    file.set_len(0).and_then(|()| file.set_len(size)).map_err(Error::Write)?;
    let failed = |error| match error {
        mkext4::Error::Io(source) => Error::Write(source),
        error => Error::Layout { format: FORMAT, source: error.into() },
    };
    let mut writer = layout.writer(Image(file)).map_err(failed)?;
    for (item, handle) in tree.items.iter().zip(handles) {
        let What::File(segments) = &item.what else { continue };
        if !segments.iter().any(|segment| matches!(segment, SparseSeg::Data(_))) {
            continue;
        }
        let source = root.open_file(&item.path)?;
        let mut contents = Contents::new(source, segments, options.cancel);
        let filled = writer.fill(handle, &mut contents);
        match contents.failed() {
            Some(error) => return Err(Error::read(&item.path, error)),
            None => filled.map_err(failed)?,
        }
    }
    writer.finish().map_err(failed)?;
    Ok(Written { entries: tree.entries, bytes: size })
}

/// What will be declared, in the order of the entries.
#[derive(Default)]
struct Tree {
    items: Vec<Item>,
    /// The item of each file that has several names.
    links: HashMap<(u64, u64), usize>,
    entries: u64,
    /// Blocks that contents and directories take, or a few more.
    blocks: u64,
    /// Bytes that names take in their directories.
    names: u64,
}

struct Item {
    path: Vec<u8>,
    attributes: Attributes,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    what: What,
}

enum What {
    Directory,
    File(Vec<SparseSeg>),
    /// Another name of an earlier item.
    Link(usize),
    Symlink(Vec<u8>),
    Special(SpecialKind),
}

impl Tree {
    fn add(&mut self, entry: &Entry<'_>, cancel: &AtomicBool) -> Result<()> {
        self.entries += 1;
        let (above, name) = split(entry.path);
        if above.is_empty() && name == b"lost+found" && entry.kind == Kind::Directory {
            return Ok(());
        }
        if entry.path == b"lost+found" || above.starts_with(b"lost+found/") || above == b"lost+found" {
            return Err(Error::unfit(entry.path, FORMAT, "the filesystem has a /lost+found of its own"));
        }
        let (major, minor) = (entry.device.major, entry.device.minor);
        let what = match entry.kind {
            Kind::Directory => What::Directory,
            Kind::Symlink => What::Symlink(entry.target.clone()),
            Kind::CharDevice => What::Special(SpecialKind::Char { major, minor }),
            Kind::BlockDevice => What::Special(SpecialKind::Block { major, minor }),
            Kind::Fifo => What::Special(SpecialKind::Fifo),
            Kind::Socket => What::Special(SpecialKind::Socket),
            Kind::File => {
                let identity = entry.shared().map(|(identity, _)| identity);
                match identity.and_then(|identity| self.links.get(&identity)) {
                    Some(&first) => What::Link(first),
                    None => {
                        self.links.extend(identity.map(|identity| (identity, self.items.len())));
                        What::File(segments(entry, cancel)?)
                    }
                }
            }
        };
        let xattrs = if matches!(what, What::Link(_)) { Vec::new() } else { entry.xattrs()? };
        self.blocks += blocks(&what) + u64::from(!xattrs.is_empty());
        self.names += (8 + name.len() as u64).next_multiple_of(4);
        self.items.push(Item { path: entry.path.to_vec(), attributes: entry.attributes, xattrs, what });
        Ok(())
    }
}

/// A path's directory and the name in it; both empty for the root.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

/// Blocks that something takes besides its inode and its name.
fn blocks(what: &What) -> u64 {
    match what {
        // One that is not full, and the root of an index.
        What::Directory => 2,
        What::Symlink(target) => u64::from(target.len() >= 60),
        What::Link(_) | What::Special(_) => 0,
        What::File(segments) => {
            let data = segments.iter().filter_map(|segment| match segment {
                SparseSeg::Data(length) => Some(length.div_ceil(BLOCK)),
                SparseSeg::Hole(_) => None,
            });
            // An extent has at most 32768 blocks, an inode holds 4 of them, a block 340.
            let extents: u64 = data.clone().map(|blocks| blocks / 32768 + 2).sum();
            data.sum::<u64>() + if extents > 4 { extents / 340 + 2 } else { 0 }
        }
    }
}

/// The size asked for, or one with room to spare.
fn size_for(tree: &Tree, asked: Option<u64>) -> Result<u64> {
    const MIB: u64 = 1 << 20;
    // Indexed directories are not full; some blocks are the filesystem's own.
    let used = (tree.blocks + 16) * BLOCK + tree.names * 2;
    // What the filesystem itself takes grows with its size, but far slower.
    let with_overhead = |bytes: u64| bytes + overhead(tree, bytes + overhead(tree, bytes));
    // The smallest journal may take no more than a quarter.
    let least = with_overhead(used).next_multiple_of(BLOCK).max(16 * MIB);
    match asked.map(|size| size.next_multiple_of(BLOCK)) {
        Some(size) if size < least => Err(Error::Size { format: FORMAT, size, least }),
        Some(size) => Ok(size),
        None => Ok(with_overhead(used + LEAST_FREE.max(used / 4)).next_multiple_of(MIB)),
    }
}

/// Bytes that a filesystem of `size` takes for itself, or a few more.
fn overhead(tree: &Tree, size: u64) -> u64 {
    let groups = size.div_ceil(32768 * BLOCK);
    // Two bitmaps, at most one copy of superblock and descriptors, and inodes in whole blocks.
    let group = 2 + 1 + (groups * 32).div_ceil(BLOCK) + 1;
    inodes(tree, size) * 256 + (groups * group + u64::from(journal(size))) * BLOCK
}

/// One for each 16 KiB, as mke2fs has it, or a quarter more than there are entries.
fn inodes(tree: &Tree, size: u64) -> u64 {
    (size / 16384).max(tree.entries + tree.entries / 4 + 32)
}

/// Blocks of the journal, in the steps of mke2fs up to 64 MiB.
fn journal(size: u64) -> u32 {
    match size >> 20 {
        0..128 => 1024,
        128..1024 => 4096,
        1024..2048 => 8192,
        _ => 16384,
    }
}

/// A UUID that says it was made up (version 8, RFC 9562 §5.8): the digest of the tree as a tar archive, and of what else
/// makes the image.
fn identity(root: &Root, options: &Options<'_>, size: u64) -> Result<[u8; 16]> {
    let digest = Sha256::new_with_prefix(format!("ext4 {size} {}\0", options.label.unwrap_or_default()));
    let mut out = BufWriter::with_capacity(1 << 18, Hashing { digest, cancel: options.cancel });
    tar::stream(root, &mut out, &options.tar)?;
    let hashing = out.into_inner().map_err(|error| Error::Write(error.into_error()))?;
    let digest = hashing.digest.finalize();
    let mut uuid = [0; 16];
    uuid.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut uuid;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    Ok(uuid)
}

/// Declares all items; the handle of each.
fn declare(builder: &mut FsBuilder, tree: &Tree) -> Result<Vec<InodeHandle>> {
    let mut directories: HashMap<&[u8], InodeHandle> = HashMap::from([(&b""[..], ROOT)]);
    let mut handles = Vec::with_capacity(tree.items.len());
    for item in &tree.items {
        let unfit = |why: String| Error::unfit(&item.path, FORMAT, why);
        let refused = |error: mkext4::Error| unfit(error.to_string());
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| unfit("it has a name that is not UTF-8".to_owned()));
        let (above, name) = split(&item.path);
        let (name, meta) = (text(name)?, meta(&item.attributes));
        let above = directories.get(above).copied().unwrap_or(ROOT);
        let handle = match &item.what {
            What::Directory if item.path.is_empty() => builder.set_meta(ROOT, meta).map(|()| ROOT),
            What::Directory => builder.mkdir(above, name, meta),
            What::File(segments) => match segments[..] {
                [] => builder.file(above, name, meta, 0),
                [SparseSeg::Data(size)] => builder.file(above, name, meta, size),
                _ => builder.file_sparse(above, name, meta, segments),
            },
            What::Link(first) => {
                let first = handles.get(*first).copied().unwrap_or(ROOT);
                builder.hardlink(above, name, first).map(|()| first)
            }
            What::Symlink(target) => builder.symlink(above, name, text(target)?, meta),
            What::Special(kind) => builder.mknod(above, name, meta, *kind),
        };
        let handle = handle.map_err(refused)?;
        for (key, value) in &item.xattrs {
            builder.set_xattr(handle, text(key)?, value).map_err(refused)?;
        }
        if matches!(item.what, What::Directory) {
            directories.insert(&item.path, handle);
        }
        handles.push(handle);
    }
    Ok(handles)
}

/// All times are that of the last change: the others would be those of the build.
fn meta(attributes: &Attributes) -> Meta {
    let Attributes { mode, uid, gid, mtime } = *attributes;
    // What the format's 34 bits hold: 1901 to 2446.
    let mtime = mtime.clamp(-(1 << 31), (1 << 34) - (1 << 31) - 1);
    Meta::new(u16::try_from(mode & 0o7777).unwrap_or(0), uid, gid, (mtime, 0))
}

/// The image's file: it is as long as the image and empty, so zeros need not be written.
struct Image<'f>(&'f File);

impl mkext4::RegionSink for Image<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn zeros(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Digests what is written.
struct Hashing<'c> {
    digest: Sha256,
    cancel: &'c AtomicBool,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        go_on(self.cancel)?;
        self.digest.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "ext4_tests.rs"]
mod tests;
