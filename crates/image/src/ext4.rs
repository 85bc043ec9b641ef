//! A tree as an ext4 image: the same tree gives the same bytes, on any machine.
//!
//! The library mkext4 lays out the filesystem. No program of the host runs, so the image does not depend on the host. The
//! version of mkext4 is pinned, because a new version can change every image. The features are those of e2fsprogs 1.43 without
//! `64bit` and `resize_inode`: an image can grow to 16 GiB with every kernel, and further with a kernel that changes to
//! `meta_bg`. A target whose e2fsck is older than 1.43 cannot check the image.
//!
//! If the caller gives no size, the free space is a quarter of the used space and at least [`MIN_FREE`]. A twentieth of the
//! filesystem is reserved for root, as with mke2fs.

use crate::entries::{self, Entry};
use crate::holes::{BLOCK, Contents, segments};
use crate::stoppable::go_on;
use crate::tar::{self, Written};
use crate::{Error, Result};
use mkext4::{FsBuilder, InodeCount, InodeHandle, Meta, ROOT, SparseSeg, SpecialKind};
use rootstrap_rootfs::{Attributes, Kind, Root, path, xattr};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// How an image is made.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// What the image holds. The compression in here has no effect.
    pub tar: tar::Options<'o>,
    /// The size of the image in bytes, rounded up to blocks of 4096 bytes. `None` is the size that the tree needs, with free
    /// space.
    pub size: Option<u64>,
    /// The label of the filesystem, at most 16 bytes.
    pub label: Option<&'o str>,
    /// The UUID of the filesystem. `None` is one that follows from the contents, size and label.
    pub uuid: Option<[u8; 16]>,
    /// Another thread sets this flag to stop.
    pub cancel: &'o AtomicBool,
}

/// The least free space in bytes of an image whose size the caller does not give.
pub const MIN_FREE: u64 = 64 << 20;

/// Writes `root` as an image to `file`, a regular file. It may be without a name and open for writing only. After an error the
/// file is empty.
///
/// Without a UUID of the caller's, it follows from the contents, size and label; so does the seed of the directories' hashes. Long runs
/// of zeros in files become holes. The filesystem's own /lost+found replaces an empty one of the tree.
///
/// # Errors
/// The tree cannot be read, does not fit into the size, or has an entry that the format cannot hold: a name that is not UTF-8
/// (a limit of the library) or extended attributes of more than 4 KiB. `file` cannot be written, or `cancel` was set.
pub fn write(root: &Root, file: &File, options: &Options<'_>) -> Result<Written> {
    let result = write_image(root, file, options);
    let result = if options.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { result };
    if result.is_err() {
        // A file with a part of an image could be taken for an image.
        let _ = file.set_len(0);
    }
    result
}

const FORMAT: &str = "an ext4 image";

fn write_image(root: &Root, file: &File, options: &Options<'_>) -> Result<Written> {
    let mut tree = Tree::default();
    entries::for_each(root, &options.tar, &mut |entry| tree.add(entry, options.cancel))?;
    let size = size_for(&tree, options.size)?;
    let uuid = options.uuid.map_or_else(|| uuid(root, options, size), Ok)?;
    let mut parameters = mkext4::Options::new(size, uuid, options.tar.epoch.max(0));
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
        let Content::File(segments) = &item.content else { continue };
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

/// The inodes to declare, in the order of the entries.
#[derive(Default)]
struct Tree {
    items: Vec<Item>,
    /// The index of the item of each file that has several names.
    links: HashMap<(u64, u64), usize>,
    entries: u64,
    /// An upper bound of the blocks that data and directories take.
    blocks: u64,
    /// How many bytes the names take in their directories.
    names: u64,
}

struct Item {
    path: Vec<u8>,
    attributes: Attributes,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    content: Content,
}

enum Content {
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
        let (parent, name) = path::split(entry.path);
        if parent.is_empty() && name == b"lost+found" && entry.kind == Kind::Directory {
            return Ok(());
        }
        if entry.path == b"lost+found" || parent.starts_with(b"lost+found/") || parent == b"lost+found" {
            return Err(Error::unsupported(entry.path, FORMAT, "the filesystem has a /lost+found of its own"));
        }
        let (major, minor) = (entry.device.major, entry.device.minor);
        let content = match entry.kind {
            Kind::Directory => Content::Directory,
            Kind::Symlink => Content::Symlink(entry.target.clone()),
            Kind::CharDevice => Content::Special(SpecialKind::Char { major, minor }),
            Kind::BlockDevice => Content::Special(SpecialKind::Block { major, minor }),
            Kind::Fifo => Content::Special(SpecialKind::Fifo),
            Kind::Socket => Content::Special(SpecialKind::Socket),
            Kind::File => {
                let identity = entry.hard_links().map(|(identity, _)| identity);
                match identity.and_then(|identity| self.links.get(&identity)) {
                    Some(&first) => Content::Link(first),
                    None => {
                        self.links.extend(identity.map(|identity| (identity, self.items.len())));
                        Content::File(segments(entry, cancel)?)
                    }
                }
            }
        };
        let xattrs = if matches!(content, Content::Link(_)) { Vec::new() } else { entry.xattrs(xattr::is_portable)? };
        self.blocks += blocks(&content) + u64::from(!xattrs.is_empty());
        self.names += (8 + name.len() as u64).next_multiple_of(4);
        self.items.push(Item { path: entry.path.to_vec(), attributes: entry.attributes, xattrs, content });
        Ok(())
    }
}

/// Returns an upper bound of the blocks that an item takes besides its inode and its name.
fn blocks(content: &Content) -> u64 {
    match content {
        // A block that is not full, and the root of an index.
        Content::Directory => 2,
        Content::Symlink(target) => u64::from(target.len() >= 60),
        Content::Link(_) | Content::Special(_) => 0,
        Content::File(segments) => {
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

/// Returns the size that the caller asked for, or else one with free space.
fn size_for(tree: &Tree, asked: Option<u64>) -> Result<u64> {
    const MIB: u64 = 1 << 20;
    // Blocks of indexed directories are not full, and the filesystem itself uses some blocks.
    let used = (tree.blocks + 16) * BLOCK + tree.names * 2;
    // The overhead grows with the size, but far more slowly, so a second step is exact enough.
    let with_overhead = |bytes: u64| bytes + overhead(tree, bytes + overhead(tree, bytes));
    // The smallest journal (4 MiB) takes at most a quarter of the image.
    let least = with_overhead(used).next_multiple_of(BLOCK).max(16 * MIB);
    match asked.map(|size| size.next_multiple_of(BLOCK)) {
        Some(size) if size < least => Err(Error::TooSmall { format: FORMAT, size, least }),
        Some(size) => Ok(size),
        None => Ok(with_overhead(used + MIN_FREE.max(used / 4)).next_multiple_of(MIB)),
    }
}

/// Returns an upper bound of the bytes that a filesystem of `size` bytes takes for itself.
fn overhead(tree: &Tree, size: u64) -> u64 {
    let groups = size.div_ceil(32768 * BLOCK);
    // Two bitmaps, at most one copy of superblock and descriptors, and inodes in whole blocks.
    let group = 2 + 1 + (groups * 32).div_ceil(BLOCK) + 1;
    inodes(tree, size) * 256 + (groups * group + u64::from(journal(size))) * BLOCK
}

/// Returns the number of inodes: one for each 16 KiB, as with mke2fs, but at least a quarter more than there are entries.
fn inodes(tree: &Tree, size: u64) -> u64 {
    (size / 16384).max(tree.entries + tree.entries / 4 + 32)
}

/// Returns the number of blocks of the journal, in the steps of mke2fs up to 64 MiB.
fn journal(size: u64) -> u32 {
    match size >> 20 {
        0..128 => 1024,
        128..1024 => 4096,
        1024..2048 => 8192,
        _ => 16384,
    }
}

/// Returns the UUID of the filesystem: a digest of the tree as a tar archive and of the other parameters of the image, as a
/// UUID of version 8, which is for a definition of one's own (RFC 9562 §5.8).
fn uuid(root: &Root, options: &Options<'_>, size: u64) -> Result<[u8; 16]> {
    let digest = Sha256::new_with_prefix(format!("ext4 {size} {}\0", options.label.unwrap_or_default()));
    let mut out = BufWriter::with_capacity(1 << 18, Hashing { digest, cancel: options.cancel });
    tar::stream(root, &mut out, &options.tar)?;
    let hashing = out.into_inner().map_err(|error| Error::Write(error.into_error()))?;
    let digest = hashing.digest.finalize();
    Ok(Uuid::new_v8(digest.first_chunk().copied().unwrap_or_default()).into_bytes())
}

/// Declares all items and returns their handles.
fn declare(builder: &mut FsBuilder, tree: &Tree) -> Result<Vec<InodeHandle>> {
    let mut directories: HashMap<&[u8], InodeHandle> = HashMap::from([(&b""[..], ROOT)]);
    let mut handles = Vec::with_capacity(tree.items.len());
    for item in &tree.items {
        let unfit = |why: String| Error::unsupported(&item.path, FORMAT, why);
        let refused = |error: mkext4::Error| unfit(error.to_string());
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| unfit("it has a name that is not UTF-8".to_owned()));
        let (parent, name) = path::split(&item.path);
        let (name, meta) = (text(name)?, meta(&item.attributes));
        let parent = directories.get(parent).copied().unwrap_or(ROOT);
        let handle = match &item.content {
            Content::Directory if item.path.is_empty() => builder.set_meta(ROOT, meta).map(|()| ROOT),
            Content::Directory => builder.mkdir(parent, name, meta),
            Content::File(segments) => match segments[..] {
                [] => builder.file(parent, name, meta, 0),
                [SparseSeg::Data(size)] => builder.file(parent, name, meta, size),
                _ => builder.file_sparse(parent, name, meta, segments),
            },
            Content::Link(first) => {
                let first = handles.get(*first).copied().unwrap_or(ROOT);
                builder.hardlink(parent, name, first).map(|()| first)
            }
            Content::Symlink(target) => builder.symlink(parent, name, text(target)?, meta),
            Content::Special(kind) => builder.mknod(parent, name, meta, *kind),
        };
        let handle = handle.map_err(refused)?;
        for (key, value) in &item.xattrs {
            builder.set_xattr(handle, text(key)?, value).map_err(refused)?;
        }
        if matches!(item.content, Content::Directory) {
            directories.insert(&item.path, handle);
        }
        handles.push(handle);
    }
    Ok(handles)
}

/// Converts attributes. All times become the time of modification, because the others would be those of the build.
fn meta(attributes: &Attributes) -> Meta {
    let Attributes { mode, uid, gid, mtime } = *attributes;
    // The 34 bits of the format hold the years 1901 to 2446.
    let mtime = mtime.clamp(-(1 << 31), (1 << 34) - (1 << 31) - 1);
    Meta::new(u16::try_from(mode & 0o7777).unwrap_or(0), uid, gid, (mtime, 0))
}

/// The file of the image. It has the length of the image and is all zeros, so zeros are not written.
struct Image<'f>(&'f File);

impl mkext4::RegionSink for Image<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn zeros(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that only hashes.
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
