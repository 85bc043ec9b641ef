//! A tree as a tar archive: the same tree gives the same bytes.
//!
//! Names begin with `./`, as in the archives of other bootstrap tools; every importer removes it. Entries are in the order of
//! the walk: a directory comes before its contents and a hard link after its file. An entry is plain ustar if that can hold it,
//! and has PAX records otherwise. There are no GNU extensions and no sparse files, because some container engines refuse them.

pub use crate::options::{Dev, Options};

use crate::compress::Encoder;
use crate::entries::{self, Entry};
use crate::tar_record::{END, Record, padding};
use crate::{Error, Result};
use rootstrap_rootfs::{Kind, Root};
use std::collections::HashMap;
use std::io::{self, Write};
use tar::EntryType;

/// What an archive holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The number of files, directories, links and device nodes.
    pub entries: u64,
    /// The length of the archive before compression.
    pub bytes: u64,
}

/// Writes `root` to `out`, compressed. After an error, every reader recognizes the output as incomplete.
///
/// # Errors
/// The tree cannot be read, has an entry that the archive must not hold, or `out` cannot be written.
pub fn write(root: &Root, out: &mut dyn Write, options: &Options<'_>) -> Result<Written> {
    let mut encoder = Encoder::with_threads(out, options.compression, options.threads).map_err(Error::Write)?;
    match stream(root, &mut encoder, options) {
        Ok(written) => encoder.finish().map(|()| written).map_err(Error::Write),
        Err(error) => {
            encoder.abandon();
            Err(error)
        }
    }
}

/// Writes `root` to `out`, uncompressed, for callers that compress or hash the archive themselves.
///
/// # Errors
/// As for [`write()`].
pub fn stream(root: &Root, out: &mut dyn Write, options: &Options<'_>) -> Result<Written> {
    let mut archive = Archive {
        out,
        written: Written::default(),
        links: HashMap::new(),
        progress: options.progress,
        keeps_xattr: options.keeps_xattr,
    };
    let done = entries::for_each(root, options, &mut |entry| archive.add(entry)).and_then(|()| archive.finish());
    match done {
        Ok(()) => Ok(archive.written),
        Err(error) => {
            let _ = spoil(archive.out);
            Err(error)
        }
    }
}

/// Marks an archive as incomplete: writes the beginning of a header and nothing after it. Many readers accept an archive that
/// is cut off between two entries, and `docker import` accepts no bytes at all as an empty archive. All of them refuse half a
/// header.
///
/// # Errors
/// `out` cannot be written.
pub fn spoil(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"./rootstrap-failed: this archive is incomplete\0")?;
    out.flush()
}

struct Archive<'a> {
    out: &'a mut dyn Write,
    written: Written,
    /// For each file with several names: its first name, and how many of its names have not been written yet.
    links: HashMap<(u64, u64), (Vec<u8>, u64)>,
    progress: Option<&'a dyn Fn(u64)>,
    keeps_xattr: fn(&[u8]) -> bool,
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
        let name = archive_name(entry.path, entry.kind == Kind::Directory);
        let (name, attributes, link) = (&name, entry.attributes, &entry.target);
        self.write_record(&Record {
            kind,
            name,
            attributes,
            size: 0,
            link,
            device,
            xattrs: entry.xattrs(self.keeps_xattr)?,
        })
    }

    fn add_file(&mut self, entry: &Entry<'_>) -> Result<()> {
        let (name, attributes, size) = (archive_name(entry.path, false), entry.attributes, entry.size);
        let (kind, xattrs) = (EntryType::Regular, Vec::new());
        let mut record = Record { kind, name: &name, attributes, size, link: b"", device: None, xattrs };
        if let Some((identity, links)) = entry.hard_links() {
            if let Some((first, missing)) = self.links.get_mut(&identity) {
                *missing = missing.saturating_sub(1);
                let last = *missing == 0;
                let first = first.clone();
                // A file is removed with its last name, so that only unfinished files take memory.
                if last {
                    self.links.remove(&identity);
                }
                return self.write_record(&Record { kind: EntryType::Link, size: 0, link: &first, ..record });
            }
            self.links.insert(identity, (name.clone(), links - 1));
        }
        record.xattrs = entry.xattrs(self.keeps_xattr)?;
        // The file is opened before its header is written, so that a file that cannot be read leaves no header.
        let file = entry.open()?;
        self.write_record(&record)?;
        entry.read_contents(&file, &mut |piece| self.put(piece))?;
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
        self.progress.iter().for_each(|progress| progress(bytes.len() as u64));
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.put(&END)?;
        self.out.flush().map_err(Error::Write)
    }
}

/// Returns the name of an entry in the archive.
fn archive_name(path: &[u8], is_directory: bool) -> Vec<u8> {
    let slash: &[u8] = if is_directory && !path.is_empty() { b"/" } else { b"" };
    [b"./", path, slash].concat()
}

#[cfg(test)]
#[path = "tar_tests.rs"]
mod tests;
