//! What one entry of a tree is.

use rustix::fs::{FileType, Stat};

/// Mode, owner and time of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits with setuid, setgid and sticky (`07777`).
    pub mode: u32,
    /// Numeric owner as the tree's own system sees it.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
}

/// Major and minor number of a device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the two numbers")]
pub struct Device {
    pub major: u32,
    pub minor: u32,
}

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types of inode(7)")]
pub enum Kind {
    File,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

/// What `lstat` says of an entry.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields of inode(7)")]
pub struct Metadata {
    pub kind: Kind,
    pub attributes: Attributes,
    pub size: u64,
    pub device: Device,
    /// Filesystem and inode number: equal for two names of one file.
    pub identity: (u64, u64),
    pub links: u64,
}

impl From<Stat> for Metadata {
    #[allow(
        clippy::useless_conversion,
        clippy::cast_sign_loss,
        reason = "widths and signs of stat differ by architecture"
    )]
    fn from(stat: Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            _ => Kind::File,
        };
        Self {
            kind,
            attributes: Attributes {
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
                mtime: stat.st_mtime.into(),
            },
            size: stat.st_size as u64,
            device: Device { major: rustix::fs::major(stat.st_rdev), minor: rustix::fs::minor(stat.st_rdev) },
            identity: (stat.st_dev.into(), stat.st_ino.into()),
            links: stat.st_nlink.into(),
        }
    }
}
