//! What one entry of a tree is.

use rustix::fs::{FileType, Stat, Timespec, Timestamps};

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

/// What `lstat` says about an entry.
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
    /// When the attributes or the contents of the entry last changed, in nanoseconds since 1970.
    pub changed: i64,
    /// When the entry was last read, as far as the filesystem records it, in nanoseconds since 1970.
    pub accessed: i64,
}

impl Metadata {
    /// Whether contents and attributes have not changed since `moment`, in nanoseconds of [`now`].
    ///
    /// It is `false` where this is not certain: a file that was read may have been mapped, and tmpfs records no change that is
    /// written through a mapping. The first read after a change is recorded on every filesystem that is not mounted with
    /// `noatime` (mount(2), `MS_RELATIME`).
    #[must_use]
    pub fn is_untouched_since(&self, moment: i64) -> bool {
        self.changed < moment && self.is_unread()
    }

    /// Whether nobody has read the file since its last change.
    pub(crate) fn is_unread(&self) -> bool {
        self.accessed < self.changed
    }
}

/// The time of the clock from which filesystems take their times, in nanoseconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    nanoseconds(time.tv_sec, time.tv_nsec)
}

/// A moment, by the clock that gives the files of one filesystem their times and by a clock that nobody sets.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// In nanoseconds since 1970, by the filesystem.
    pub of_files: i64,
    /// In nanoseconds since the machine started.
    monotonic: i64,
}

/// The most nanoseconds by which the two clocks of a [`Moment`] may drift apart before the times of files count as set: more than a
/// tick of the kernel, less than scripts take to start.
const MAX_DRIFT: i64 = 20_000_000;

impl Moment {
    /// Returns the present by the clock of the filesystem that `file` was just created in.
    pub(crate) fn of_new(file: std::os::fd::BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let of_files = Metadata::from(rustix::fs::fstat(file)?).changed;
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Ok(Self { of_files, monotonic: nanoseconds(time.tv_sec, time.tv_nsec) })
    }

    /// Whether the clock of the files ran from `earlier` to this moment as the other one did: nobody has set it.
    #[must_use]
    pub fn is_comparable_with(&self, earlier: &Self) -> bool {
        let drift = (self.of_files - earlier.of_files) - (self.monotonic - earlier.monotonic);
        drift.abs() <= MAX_DRIFT
    }
}

#[allow(clippy::useless_conversion, reason = "the widths of times differ by architecture")]
fn nanoseconds(seconds: impl Into<i64>, nanoseconds: impl TryInto<i64>) -> i64 {
    seconds.into().saturating_mul(1_000_000_000).saturating_add(nanoseconds.try_into().unwrap_or_default())
}

/// The timestamps that set access and modification time to `seconds`. The current time as access time would make two runs
/// differ.
pub(crate) fn timestamps(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
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
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
            accessed: nanoseconds(stat.st_atime, stat.st_atime_nsec),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock is set back, or forward, while scripts run; or the filesystem's clock is another machine's and stands still.
    #[test]
    fn a_clock_that_was_set_is_noticed() {
        let earlier = Moment { of_files: 1_000_000_000_000, monotonic: 5_000_000_000 };
        for (of_files, monotonic, is_comparable) in [
            (1_002_000_000_000, 7_000_000_000, true),
            (1_002_004_000_000, 7_000_000_000, true),
            (1_001_000_000_000, 7_000_000_000, false),
            (940_000_000_000, 7_000_000_000, false),
            (4_600_000_000_000, 7_000_000_000, false),
            (1_000_000_000_000, 7_000_000_000, false),
        ] {
            assert_eq!(Moment { of_files, monotonic }.is_comparable_with(&earlier), is_comparable, "{of_files}");
        }
        let place = tempfile::tempdir().unwrap();
        let root = crate::root::Root::open(place.path()).unwrap();
        let (one, other) = (root.moment().unwrap(), root.moment().unwrap());
        assert!(other.is_comparable_with(&one) && other.of_files >= one.of_files);
    }
}
