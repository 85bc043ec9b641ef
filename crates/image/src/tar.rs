//! A tree as a tar archive: the same tree gives the same bytes.
//!
//! Names begin with `./`, as the archives of other bootstrap tools do; every importer cleans them. Entries follow
//! in the order of the walk, so directories come before what is in them and a hard link after its file. Plain ustar
//! where it can hold the entry, PAX records where not; nothing GNU, nothing sparse: engines refuse those.

use crate::compress::{Compression, Encoder};
use crate::tar_entry::{END, Entry, padding};
use crate::{Error, Result};
use rootstrap_rootfs::{Attributes, Device, Kind, Metadata, Root, Visit, skeleton, walk};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use tar::EntryType;

/// What /dev holds in the archive, whatever it holds in the tree: an unprivileged user can make no nodes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dev {
    /// The nodes, links and mount points of [`skeleton`].
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
}

impl Options<'_> {
    /// An uncompressed archive of a system, with static device nodes.
    #[must_use]
    pub fn new(epoch: i64) -> Self {
        Self { epoch, dev: Dev::Static, compression: Compression::default(), layer: false, attributes: None }
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
    let dev = options.dev == Dev::Kept;
    let mut archive = Archive { out, options, written: Written::default(), links: HashMap::new(), dev };
    let done = walk(root, &mut |visit| archive.visit(visit)).and_then(|()| archive.finish());
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
    options: &'a Options<'a>,
    written: Written,
    /// Name of the first and number of the missing names of each file that has several.
    links: HashMap<(u64, u64), (Vec<u8>, u64)>,
    /// Whether /dev is done, or nothing special.
    dev: bool,
}

impl Archive<'_> {
    fn visit(&mut self, visit: &Visit<'_>) -> Result<bool> {
        let path = visit.path;
        // /dev in its place in the order, whether or not the tree has one.
        if !self.dev && path >= &b"dev"[..] {
            self.write_dev()?;
        }
        if path == b"dev" && self.options.dev != Dev::Kept {
            return Ok(false);
        }
        if self.options.layer && is_whiteout(visit) {
            return Err(Error::whiteout(path));
        }
        let Metadata { kind, size, device, .. } = visit.metadata;
        let mut attributes = self.options.attributes.map_or(visit.metadata.attributes, |of| of(visit));
        attributes.mtime = attributes.mtime.min(self.options.epoch);
        let mut entry = Entry {
            kind: EntryType::Regular,
            name: path,
            attributes,
            size: 0,
            link: b"",
            device: None,
            xattrs: Vec::new(),
        };
        let target;
        match kind {
            // Nothing could hold it, and nothing listens there.
            Kind::Socket => return Ok(true),
            Kind::File => return self.write_file(visit, entry, size).map(|()| true),
            Kind::Directory => entry.kind = EntryType::Directory,
            Kind::Symlink => {
                target = visit.link_target()?;
                entry.kind = EntryType::Symlink;
                entry.link = &target;
                // Links have no mode; 0777 is what the system shows.
                entry.attributes.mode = 0o777;
            }
            Kind::Fifo => entry.kind = EntryType::Fifo,
            Kind::CharDevice | Kind::BlockDevice => {
                entry.kind = if kind == Kind::CharDevice { EntryType::Char } else { EntryType::Block };
                entry.device = Some(device);
            }
        }
        entry.xattrs = visit.xattrs()?;
        self.write_entry(entry)?;
        Ok(true)
    }

    fn write_file(&mut self, visit: &Visit<'_>, mut entry: Entry<'_>, size: u64) -> Result<()> {
        let Metadata { identity, links, .. } = visit.metadata;
        if links > 1 {
            if let Some((first, missing)) = self.links.get_mut(&identity) {
                *missing = missing.saturating_sub(1);
                let last = *missing == 0;
                let first = first.clone();
                // Forgotten with its last name, so the memory is that of the links still open.
                if last {
                    self.links.remove(&identity);
                }
                return self.write_entry(Entry { kind: EntryType::Link, link: &first, ..entry });
            }
            self.links.insert(identity, (named(entry.name, false), links - 1));
        }
        entry.size = size;
        entry.xattrs = visit.xattrs()?;
        let path = entry.name;
        // Opened before its header is written: a file that cannot be read leaves no header behind.
        let file = visit.open()?;
        self.write_entry(entry)?;
        self.write_contents(path, &file, size)
    }

    fn write_contents(&mut self, path: &[u8], file: &File, size: u64) -> Result<()> {
        let mut buffer = [0; 65536];
        let mut left = size;
        let mut file = file.take(size);
        while left > 0 {
            let length = match file.read(&mut buffer) {
                // The header has promised more.
                Ok(0) => return Err(Error::read(path, io::ErrorKind::UnexpectedEof.into())),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::read(path, error)),
            };
            self.put(buffer.get(..length).unwrap_or_default())?;
            left -= length as u64;
        }
        self.pad(size)
    }

    fn write_dev(&mut self) -> Result<()> {
        self.dev = true;
        let contents = self.options.dev == Dev::Static;
        let mut entry = |kind, path: &str, mode, link: &str, device| {
            // The time of the tree's own /dev tells whether nodes could be made there.
            let attributes = Attributes { mode, uid: 0, gid: 0, mtime: self.options.epoch };
            let (path, link) = (path.as_bytes(), link.as_bytes());
            self.write_entry(Entry { kind, name: path, attributes, size: 0, link, device, xattrs: Vec::new() })
        };
        entry(EntryType::Directory, "dev", 0o755, "", None)?;
        if !contents {
            return Ok(());
        }
        for (name, device) in skeleton::DEVICES {
            entry(EntryType::Char, &format!("dev/{name}"), 0o666, "", Some(device))?;
        }
        for (name, target) in skeleton::DEVICE_LINKS {
            entry(EntryType::Symlink, &format!("dev/{name}"), 0o777, target, None)?;
        }
        for name in skeleton::DEVICE_DIRECTORIES {
            entry(EntryType::Directory, &format!("dev/{name}"), 0o755, "", None)?;
        }
        Ok(())
    }

    fn write_entry(&mut self, mut entry: Entry<'_>) -> Result<()> {
        let name = named(entry.name, entry.kind == EntryType::Directory);
        entry.xattrs.retain(|(key, _)| is_kept(key));
        self.put(&Entry { name: &name, ..entry }.header())?;
        self.written.entries += 1;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(Error::Write)?;
        self.written.bytes += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        self.put(padding(size))
    }

    fn finish(&mut self) -> Result<()> {
        if !self.dev {
            self.write_dev()?;
        }
        self.put(&END)?;
        self.out.flush().map_err(Error::Write)
    }
}

/// The name in the archive.
fn named(path: &[u8], directory: bool) -> Vec<u8> {
    let slash: &[u8] = if directory && !path.is_empty() { b"/" } else { b"" };
    [b"./", path, slash].concat()
}

/// Attributes that mean the same on another machine and can be set there: capabilities, and what users made up.
/// Not ACLs (numbers of local accounts, refused by some engines), labels and signatures of this host's security
/// modules, or the notes of the overlay filesystem this tree may lie on.
pub(crate) fn is_kept(xattr: &[u8]) -> bool {
    let host: [&[u8]; 3] = [b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers."];
    xattr == b"security.capability"
        || (xattr.starts_with(b"user.") && !host.iter().any(|prefix| xattr.starts_with(prefix)))
}

fn is_whiteout(visit: &Visit<'_>) -> bool {
    let name = visit.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let Metadata { kind, device, .. } = visit.metadata;
    name.starts_with(b".wh.") || (kind == Kind::CharDevice && device == Device { major: 0, minor: 0 })
}

#[cfg(test)]
#[path = "tar_tests.rs"]
mod tests;
