//! Whether there is room for what a run is about to write.

use crate::error::Error;
use crate::request::{Format, Machine, Target};
use crate::staging::place::{parent, place_of};
use rootstrap_configure::privilege::Mode;
use rootstrap_image::compress::Algorithm;
use rustix::fs::statvfs;
use std::path::Path;

/// What an uncompressed result takes at least, in per cent of the sum of the packages' `Installed-Size`. That field is an estimate, and
/// a filesystem may compress (btrfs with zstd: to about 40 %).
const PLAIN: u64 = 30;

/// The same for a compressed one, or where documentation and translations are left out.
const SMALL: u64 = 15;

/// Refuses a target whose filesystem has no room for a result of about `installed` bytes of files. What is there already may be
/// replaced, and does not count.
pub(crate) fn check(target: &Target, installed: u64, is_slim: bool, machine: &Machine) -> Result<(), Error> {
    let (place, share) = match target {
        Target::Directory(path) => (place_of(path), PLAIN),
        Target::File(path, Format::Tar(it) | Format::Cpio(it)) if it.algorithm == Algorithm::None => {
            (parent(path), PLAIN)
        }
        Target::File(path, Format::Ext4) => (parent(path), PLAIN),
        Target::File(path, _) => (parent(path), SMALL),
        Target::Layout(path, _) => (place_of(path), SMALL),
        Target::Stdout(_) | Target::Nowhere => return Ok(()),
    };
    let share = if is_slim { SMALL } else { share };
    has(target.path().unwrap_or(place), place, installed.saturating_mul(share) / 100, machine.mode == Mode::Root)
}

/// Refuses `shown` if the filesystem of `place` has less than `needed` bytes for those who are not root.
pub(super) fn enough(shown: &Path, place: &Path, needed: u64) -> Result<(), Error> {
    has(shown, place, needed, false)
}

/// Refuses `shown` if the filesystem of `place` has less than `needed` bytes. Some blocks are for root alone.
fn has(shown: &Path, place: &Path, needed: u64, is_root: bool) -> Result<(), Error> {
    let found = statvfs(place).map_err(Error::errno("inspect", place))?;
    let blocks = if is_root { found.f_bfree } else { found.f_bavail };
    let free = blocks.saturating_mul(found.f_frsize);
    // A filesystem without a size does not say how much is free.
    if free >= needed || found.f_blocks == 0 {
        return Ok(());
    }
    let mebibytes = |bytes: u64| format!("{} MiB", bytes.div_ceil(1 << 20));
    Err(Error::NoSpace { path: shown.to_owned(), needed: mebibytes(needed), free: mebibytes(free) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_filesystem_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("root");
        assert!(has(&path, place.path(), 1, true).is_ok());
        let error = enough(&path, place.path(), u64::MAX).unwrap_err().to_string();
        assert!(error.contains("root as the target: its filesystem has "), "{error}");
    }

    #[test]
    fn forms_need_different_room() {
        let place = tempfile::tempdir().unwrap();
        let machine = Machine { mode: Mode::Unshare, ..Machine::new(crate::request::Host::default(), 0) };
        let found = statvfs(place.path()).unwrap();
        // Twice what is free fits where it is compressed, and four times what is free does not where it is not.
        let free = found.f_bavail * found.f_frsize;
        let fits = |target: Target, times: u64, is_slim| check(&target, free * times, is_slim, &machine).is_ok();
        let directory = || Target::Directory(place.path().join("root"));
        assert!(fits(directory(), 2, false) && !fits(directory(), 4, false) && fits(directory(), 4, true));
        let image = || Target::File(place.path().join("x.squashfs"), Format::Squashfs);
        assert!(fits(image(), 4, false) && !fits(image(), 8, false));
        assert!(fits(Target::Nowhere, 100, false));
    }
}
