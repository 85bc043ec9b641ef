//! A tree as every format records it: the same entries, in the same order, with the same attributes.
//!
//! Entries come in the order of the walk: a directory comes before its contents. No entry is later than the epoch, and /dev
//! holds what the options say. Sockets are left out: most formats cannot hold them, and no program listens on a recorded one.

use crate::options::{Dev, Options};
use crate::{Error, Result};
use rootstrap_rootfs::{Attributes, Device, Kind, Metadata, Root, Visit, path, skeleton, walk};
use std::fs::File;
use std::io::{self, Read};

/// One entry, of the tree or of the table of device nodes.
pub(crate) struct Entry<'e> {
    /// The path below the root, without a leading slash. It is empty for the root itself.
    pub path: &'e [u8],
    pub kind: Kind,
    pub attributes: Attributes,
    /// The length of a regular file, 0 for everything else.
    pub size: u64,
    /// The text of a symbolic link.
    pub target: Vec<u8>,
    /// The numbers of a device node.
    pub device: Device,
    /// `None` for an entry of the table of device nodes.
    visit: Option<&'e Visit<'e>>,
}

/// The largest number of bytes of a file that are read at once.
const BUFFER_SIZE: usize = 128 << 10;

const NO_DEVICE: Device = Device { major: 0, minor: 0 };

impl<'e> Entry<'e> {
    fn new(visit: &'e Visit<'e>, options: &Options<'_>) -> Result<Self> {
        let Metadata { kind, size, device, .. } = visit.metadata;
        let mut attributes = options.attributes.map_or(visit.metadata.attributes, |of| of(visit));
        attributes.mtime = attributes.mtime.min(options.epoch);
        let mut target = Vec::new();
        if kind == Kind::Symlink {
            target = visit.link_target()?;
            // Symbolic links have no mode of their own. Linux shows 0777.
            attributes.mode = 0o777;
        }
        let size = if kind == Kind::File { size } else { 0 };
        let device = if matches!(kind, Kind::CharDevice | Kind::BlockDevice) { device } else { NO_DEVICE };
        Ok(Self { path: visit.path, kind, attributes, size, target, device, visit: Some(visit) })
    }

    /// Returns the identity and the number of names of a regular file that has several names. Names outside the tree count.
    pub(crate) fn hard_links(&self) -> Option<((u64, u64), u64)> {
        let Metadata { identity, links, .. } = self.visit?.metadata;
        (self.kind == Kind::File && links > 1).then_some((identity, links))
    }

    /// Returns the extended attributes with names that `keeps` is true for, sorted by name.
    pub(crate) fn xattrs(&self, keeps: fn(&[u8]) -> bool) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some(visit) = self.visit else { return Ok(Vec::new()) };
        let mut xattrs = visit.xattrs()?;
        xattrs.retain(|(name, _)| keeps(name));
        Ok(xattrs)
    }

    /// Opens the regular file.
    pub(crate) fn open(&self) -> Result<File> {
        match self.visit {
            Some(visit) => Ok(visit.open()?),
            None => Err(Error::read(self.path, io::ErrorKind::InvalidInput.into())),
        }
    }

    /// Reads the contents of the opened `file` and calls `sink` with one piece after another. The pieces have exactly
    /// [`Entry::size`] bytes together; a file that has become shorter is an error.
    pub(crate) fn read_contents(&self, file: &File, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = self.size;
        // Most files are small, and filling a large buffer with zeros for each of them takes time.
        let mut buffer = vec![0; usize::try_from(left).map_or(BUFFER_SIZE, |size| size.min(BUFFER_SIZE))];
        let mut file = file.take(left);
        while left > 0 {
            let length = match file.read(&mut buffer) {
                // The header has already announced more bytes.
                Ok(0) => return Err(Error::read(self.path, io::ErrorKind::UnexpectedEof.into())),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::read(self.path, error)),
            };
            sink(buffer.get(..length).unwrap_or_default())?;
            left -= length as u64;
        }
        Ok(())
    }
}

/// Calls `sink` for every entry of `root` that `options` select.
pub(crate) fn for_each(
    root: &Root,
    options: &Options<'_>,
    sink: &mut dyn FnMut(&Entry<'_>) -> Result<()>,
) -> Result<()> {
    let mut is_dev_done = options.dev == Dev::Kept;
    walk(root, &mut |visit| {
        // /dev has its place in the order whether or not the tree has a /dev.
        if !is_dev_done && visit.path >= &b"dev"[..] {
            is_dev_done = true;
            for_each_of_dev(options, sink)?;
        }
        if visit.path == b"dev" && options.dev != Dev::Kept {
            return Ok(false);
        }
        if options.only.is_some_and(|only| !only(visit)) {
            return Ok(true);
        }
        if options.layer && is_whiteout(visit) {
            return Err(Error::whiteout(visit.path));
        }
        if visit.metadata.kind != Kind::Socket {
            sink(&Entry::new(visit, options)?)?;
        }
        Ok(true)
    })?;
    if is_dev_done { Ok(()) } else { for_each_of_dev(options, sink) }
}

fn for_each_of_dev(options: &Options<'_>, sink: &mut dyn FnMut(&Entry<'_>) -> Result<()>) -> Result<()> {
    let mut entry = |kind, path: &str, mode, target: &str, device| {
        // The time is the epoch: the time of the tree's own /dev would depend on whether nodes could be made there.
        let attributes = Attributes { mode, uid: 0, gid: 0, mtime: options.epoch };
        let (path, target) = (path.as_bytes(), target.as_bytes().to_vec());
        sink(&Entry { path, kind, attributes, size: 0, target, device, visit: None })
    };
    entry(Kind::Directory, "dev", 0o755, "", NO_DEVICE)?;
    if options.dev == Dev::Empty {
        return Ok(());
    }
    for (name, device) in skeleton::DEVICES {
        entry(Kind::CharDevice, &format!("dev/{name}"), 0o666, "", device)?;
    }
    for (name, target) in skeleton::DEVICE_LINKS {
        entry(Kind::Symlink, &format!("dev/{name}"), 0o777, target, NO_DEVICE)?;
    }
    for name in skeleton::DEVICE_DIRECTORIES {
        entry(Kind::Directory, &format!("dev/{name}"), 0o755, "", NO_DEVICE)?;
    }
    Ok(())
}

/// Returns whether a container engine takes the entry for the deletion of another: a name with the prefix `.wh.` (OCI image
/// layer.md, "Whiteouts"), or a character device 0:0 (overlayfs).
fn is_whiteout(visit: &Visit<'_>) -> bool {
    let Metadata { kind, device, .. } = visit.metadata;
    path::name(visit.path).starts_with(b".wh.") || (kind == Kind::CharDevice && device == NO_DEVICE)
}
