//! Whether a file is still as it was unpacked.

use crate::install::debs::StagedDeb;
use rootstrap_rootfs::{Cursor, Root, Visit};
use std::collections::HashMap;
use std::io::{self, Read};

/// Checksums of unpacked files, by filesystem and inode number. They detect accidental changes. Forging one takes root in the tree, which
/// only the scripts have that made the tree.
pub(crate) struct UnpackedSums(pub HashMap<(u64, u64), u32>);

impl UnpackedSums {
    /// Returns the checksums of all files of `packages`.
    pub fn of(packages: &[StagedDeb]) -> Self {
        Self(packages.iter().flat_map(|deb| &deb.staged.sums).copied().collect())
    }

    /// Returns what to check of a file whose times have not changed since. Returns `None` if it was not unpacked here.
    pub fn file(&self, visit: &Visit<'_>) -> Option<File> {
        let identity = visit.metadata.identity;
        Some(File { path: visit.path.to_vec(), identity, sum: *self.0.get(&identity)? })
    }
}

/// A file and the checksum of what was unpacked into it.
pub(crate) struct File {
    path: Vec<u8>,
    identity: (u64, u64),
    sum: u32,
}

/// Returns whether all files are still the same and as they were unpacked. Returns `false` in doubt.
pub(crate) fn all_are_unchanged(root: &Root, files: &[File]) -> bool {
    let (mut cursor, mut buffer) = (Cursor::new(root), vec![0; 1 << 18]);
    let mut is_unchanged = |file: &File| -> Option<bool> {
        let place = cursor.at(&file.path).ok()?;
        let is_same = place.metadata().ok()?.is_some_and(|found| found.identity == file.identity);
        Some(is_same && sum(&mut place.open_without_atime().ok()?, &mut buffer).ok()? == file.sum)
    };
    files.iter().all(|file| is_unchanged(file).unwrap_or(false))
}

fn sum(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<u32> {
    let mut sum = crc32fast::Hasher::new();
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(sum.finalize()),
            Ok(count) => sum.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_rootfs::{Error, walk};
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_file_is_known_by_its_sum() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let mut sums = HashMap::new();
        for name in ["right", "wrong"] {
            fs::write(path(name), "a").unwrap();
            let found = fs::metadata(path(name)).unwrap();
            sums.insert((found.dev(), found.ino()), crc32fast::hash(if name == "right" { b"a" } else { b"b" }));
        }
        fs::hard_link(path("right"), path("too")).unwrap();
        fs::write(path("unknown"), "a").unwrap();
        let (root, unpacked) = (Root::open(place.path()).unwrap(), UnpackedSums(sums));
        let (mut known, mut right) = (Vec::new(), Vec::new());
        walk::<Error>(&root, &mut |visit| {
            if let Some(file) = unpacked.file(visit) {
                let is_unchanged = all_are_unchanged(&root, std::slice::from_ref(&file));
                known.push((String::from_utf8_lossy(visit.path).into_owned(), is_unchanged));
                right.extend(is_unchanged.then_some(file));
            }
            Ok(true)
        })
        .unwrap();
        let expected = [("right", true), ("too", true), ("wrong", false)];
        assert_eq!(known, expected.map(|(name, is_unchanged)| (name.to_owned(), is_unchanged)));
        assert!(all_are_unchanged(&root, &right));
        // Another file of the same name.
        fs::rename(path("unknown"), path("right")).unwrap();
        assert!(!all_are_unchanged(&root, &right) && all_are_unchanged(&root, &right[1..]));
    }
}
