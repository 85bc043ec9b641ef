//! A tree as a tar archive: the same tree gives the same bytes.
//!
//! Names begin with `./`, as the archives of other bootstrap tools do; every importer cleans them. Entries follow
//! in the order of the walk, so directories come before what is in them and a hard link after its file. Plain ustar
//! where it can hold the entry, PAX records where not; nothing GNU, nothing sparse: engines refuse those.

use crate::compress::{Compression, Encoder};
use crate::entries::{self, Entry};
use crate::tar_record::{END, Record, padding};
use crate::{Error, Result};
use rootstrap_rootfs::{Attributes, Kind, Root, Visit};
use std::collections::HashMap;
use std::io::{self, Write};
use tar::EntryType;

/// What /dev holds in the archive, whatever it holds in the tree: an unprivileged user can make no nodes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dev {
    /// The nodes, links and mount points of [`rootstrap_rootfs::skeleton`].
    Static,
    /// Nothing: container engines bring their own, and refuse nodes when they run unprivileged.
    Empty,
    /// What it holds in the tree, if there is one.
    Kept,
}

/// How an archive is written.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// No entry is younger than this, in seconds since 1970.
    pub epoch: i64,
    /// What /dev holds.
    pub dev: Dev,
    /// The compression around the archive; [`stream`] ignores it.
    pub compression: Compression,
    /// Whether container engines will read it: entries that layers take for deletions are refused.
    pub layer: bool,
    /// Mode and owner to record where the tree itself cannot hold them; `None`: those of the tree.
    pub attributes: Option<&'o dyn Fn(&Visit<'_>) -> Attributes>,
    /// Which entries are recorded; `None`: all. What is below one that is not may be.
    pub only: Option<&'o dyn Fn(&Visit<'_>) -> bool>,
}

impl Options<'_> {
    /// An uncompressed archive of a system, with static device nodes.
    #[must_use]
    pub fn new(epoch: i64) -> Self {
        Self {
            epoch,
            dev: Dev::Static,
            compression: Compression::default(),
            layer: false,
            attributes: None,
            only: None,
        }
    }
}

/// What went into an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files, directories, links and nodes.
    pub entries: u64,
    /// Length of the archive before compression.
    pub bytes: u64,
}

/// Writes `root` to `out`, compressed. On an error what has been written is no complete archive, and no reader
/// takes it for one.
///
/// # Errors
/// The tree cannot be read, holds something the archive must not, or `out` refuses.
pub fn write(root: &Root, out: &mut dyn Write, options: &Options<'_>) -> Result<Written> {
    let mut encoder = Encoder::new(out, options.compression).map_err(Error::Write)?;
    match stream(root, &mut encoder, options) {
        Ok(written) => encoder.finish().map(|()| written).map_err(Error::Write),
        Err(error) => {
            encoder.abandon();
            Err(error)
        }
    }
}

/// Writes `root` to `out`, uncompressed; for callers that compress or hash on their own.
///
/// # Errors
/// As for [`write`].
pub fn stream(root: &Root, out: &mut dyn Write, options: &Options<'_>) -> Result<Written> {
    let mut archive = Archive { out, written: Written::default(), links: HashMap::new() };
    let done = entries::each(root, options, &mut |entry| archive.add(entry)).and_then(|()| archive.finish());
    match done {
        Ok(()) => Ok(archive.written),
        Err(error) => {
            let _ = spoil(archive.out);
            Err(error)
        }
    }
}

/// Writes the beginning of a header and no more. An archive cut off between two entries is complete to many readers,
/// and no byte at all is an empty archive to `docker import`; this is an error to all of them.
///
/// # Errors
/// Those of `out`.
pub fn spoil(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"./rootstrap-failed: this archive is incomplete\0")?;
    out.flush()
}

struct Archive<'a> {
    out: &'a mut dyn Write,
    written: Written,
    /// Name of the first and number of the missing names of each file that has several.
    links: HashMap<(u64, u64), (Vec<u8>, u64)>,
}

impl Archive<'_> {
    fn add(&mut self, entry: &Entry<'_>) -> Result<()> {
        let (kind, device) = match entry.kind {
            Kind::Directory => (EntryType::Directory, None),
            Kind::Symlink => (EntryType::Symlink, None),
            Kind::Fifo => (EntryType::Fifo, None),
            Kind::CharDevice => (EntryType::Char, Some(entry.device)),
            Kind::BlockDevice => (EntryType::Block, Some(entry.device)),
            Kind::File | Kind::Socket => return self.add_file(entry),
        };
        let name = named(entry.path, entry.kind == Kind::Directory);
        let (name, attributes, link) = (&name, entry.attributes, &entry.target);
        self.write_record(&Record { kind, name, attributes, size: 0, link, device, xattrs: entry.xattrs()? })
    }

    fn add_file(&mut self, entry: &Entry<'_>) -> Result<()> {
        let (name, attributes, size) = (named(entry.path, false), entry.attributes, entry.size);
        let (kind, xattrs) = (EntryType::Regular, Vec::new());
        let mut record = Record { kind, name: &name, attributes, size, link: b"", device: None, xattrs };
        if let Some((identity, links)) = entry.shared() {
            if let Some((first, missing)) = self.links.get_mut(&identity) {
                *missing = missing.saturating_sub(1);
                let last = *missing == 0;
                let first = first.clone();
                // Forgotten with its last name, so the memory is that of the links still open.
                if last {
                    self.links.remove(&identity);
                }
                return self.write_record(&Record { kind: EntryType::Link, size: 0, link: &first, ..record });
            }
            self.links.insert(identity, (name.clone(), links - 1));
        }
        record.xattrs = entry.xattrs()?;
        // Opened before its header is written: a file that cannot be read leaves no header behind.
        let file = entry.open()?;
        self.write_record(&record)?;
        entry.contents(&file, &mut |piece| self.put(piece))?;
        self.put(padding(size))
    }

    fn write_record(&mut self, record: &Record<'_>) -> Result<()> {
        self.put(&record.header())?;
        self.written.entries += 1;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(Error::Write)?;
        self.written.bytes += bytes.len() as u64;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.put(&END)?;
        self.out.flush().map_err(Error::Write)
    }
}

/// The name in the archive.
fn named(path: &[u8], directory: bool) -> Vec<u8> {
    let slash: &[u8] = if directory && !path.is_empty() { b"/" } else { b"" };
    [b"./", path, slash].concat()
}

#[cfg(test)]
#[path = "tar_tests.rs"]
mod tests;
