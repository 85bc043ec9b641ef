//! A tree as every format records it: the same entries, in the same order, with the same attributes.
//!
//! Entries come in the order of the walk, so a directory before what is in it. None is younger than the epoch, /dev is
//! what the table says, and sockets are left out: nothing could hold them, and nothing listens there.

use crate::tar::{Dev, Options};
use crate::{Error, Result};
use rootstrap_rootfs::{Attributes, Device, Kind, Metadata, Root, Visit, skeleton, walk};
use std::fs::File;
use std::io::{self, Read};

/// One entry, of the tree or of the table for /dev.
pub(crate) struct Entry<'e> {
    /// Below the root, without leading slash; empty for the root itself.
    pub path: &'e [u8],
    pub kind: Kind,
    pub attributes: Attributes,
    /// Length of a regular file, 0 for everything else.
    pub size: u64,
    /// The text of a symbolic link.
    pub target: Vec<u8>,
    /// The numbers of a device node.
    pub device: Device,
    visit: Option<&'e Visit<'e>>,
}

/// Bytes of a file read at once.
const CONTENTS: usize = 128 << 10;

const NO_DEVICE: Device = Device { major: 0, minor: 0 };

impl<'e> Entry<'e> {
    fn of(visit: &'e Visit<'e>, options: &Options<'_>) -> Result<Self> {
        let Metadata { kind, size, device, .. } = visit.metadata;
        let mut attributes = options.attributes.map_or(visit.metadata.attributes, |of| of(visit));
        attributes.mtime = attributes.mtime.min(options.epoch);
        let mut target = Vec::new();
        if kind == Kind::Symlink {
            target = visit.link_target()?;
            // Links have no mode; 0777 is what the system shows.
            attributes.mode = 0o777;
        }
        let size = if kind == Kind::File { size } else { 0 };
        let device = if matches!(kind, Kind::CharDevice | Kind::BlockDevice) { device } else { NO_DEVICE };
        Ok(Self { path: visit.path, kind, attributes, size, target, device, visit: Some(visit) })
    }

    /// For a regular file that has several names, inside the tree or outside: what they have in common, and their number.
    pub(crate) fn shared(&self) -> Option<((u64, u64), u64)> {
        let Metadata { identity, links, .. } = self.visit?.metadata;
        (self.kind == Kind::File && links > 1).then_some((identity, links))
    }

    /// The extended attributes worth keeping, sorted by name.
    pub(crate) fn xattrs(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some(visit) = self.visit else { return Ok(Vec::new()) };
        let mut found = visit.xattrs()?;
        found.retain(|(name, _)| is_kept(name));
        Ok(found)
    }

    /// Opens the regular file.
    pub(crate) fn open(&self) -> Result<File> {
        match self.visit {
            Some(visit) => Ok(visit.open()?),
            None => Err(Error::read(self.path, io::ErrorKind::InvalidInput.into())),
        }
    }

    /// Hands the contents of the opened `file` to `put`, piece by piece: exactly as many bytes as the entry says.
    pub(crate) fn contents(&self, file: &File, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = self.size;
        // Most files are small, and clearing more than they need is dear.
        let mut buffer = vec![0; usize::try_from(left).map_or(CONTENTS, |size| size.min(CONTENTS))];
        let mut file = file.take(left);
        while left > 0 {
            let length = match file.read(&mut buffer) {
                // More has been promised.
                Ok(0) => return Err(Error::read(self.path, io::ErrorKind::UnexpectedEof.into())),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::read(self.path, error)),
            };
            put(buffer.get(..length).unwrap_or_default())?;
            left -= length as u64;
        }
        Ok(())
    }
}

/// Calls `put` for every entry of `root`.
pub(crate) fn each(root: &Root, options: &Options<'_>, put: &mut dyn FnMut(&Entry<'_>) -> Result<()>) -> Result<()> {
    // Whether it is done, or nothing special.
    let mut dev = options.dev == Dev::Kept;
    walk(root, &mut |visit| {
        // /dev in its place in the order, whether or not the tree has one.
        if !dev && visit.path >= &b"dev"[..] {
            dev = true;
            each_of_dev(options, put)?;
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
            put(&Entry::of(visit, options)?)?;
        }
        Ok(true)
    })?;
    if dev { Ok(()) } else { each_of_dev(options, put) }
}

fn each_of_dev(options: &Options<'_>, put: &mut dyn FnMut(&Entry<'_>) -> Result<()>) -> Result<()> {
    let mut entry = |kind, path: &str, mode, target: &str, device| {
        // The time of the tree's own /dev tells whether nodes could be made there.
        let attributes = Attributes { mode, uid: 0, gid: 0, mtime: options.epoch };
        let (path, target) = (path.as_bytes(), target.as_bytes().to_vec());
        put(&Entry { path, kind, attributes, size: 0, target, device, visit: None })
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
