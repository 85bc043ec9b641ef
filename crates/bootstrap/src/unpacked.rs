//! Whether a file still is as it was unpacked.

use crate::bodies::Body;
use rootstrap_rootfs::{Cursor, Root, Visit};
use std::collections::HashMap;
use std::io::{self, Read};

/// Checksums by filesystem and inode number. They tell what came about by accident: who would forge one needs to be root in
/// the tree, and that is what the scripts are that made it.
pub(crate) struct Unpacked(pub HashMap<(u64, u64), u32>);

impl Unpacked {
    /// Of all files of `packages`.
    pub fn of(packages: &[Body]) -> Self {
        Self(packages.iter().flat_map(|body| &body.staged.sums).copied().collect())
    }

    /// What there is to be checked of a file that has not changed since. `None` if it was not unpacked here.
    pub fn file(&self, visit: &Visit<'_>) -> Option<File> {
        let identity = visit.metadata.identity;
        Some(File { path: visit.path.to_vec(), identity, sum: *self.0.get(&identity)? })
    }
}

/// A file and what was unpacked into it.
pub(crate) struct File {
    path: Vec<u8>,
    identity: (u64, u64),
    sum: u32,
}

/// Whether all files are still the same ones, and as they were unpacked. `false` in doubt.
pub(crate) fn all_are_so(root: &Root, files: &[File]) -> bool {
    let (mut cursor, mut buffer) = (Cursor::new(root), vec![0; 1 << 18]);
    let mut is_so = |file: &File| -> Option<bool> {
        let place = cursor.at(&file.path).ok()?;
        let is_it = place.metadata().ok()?.is_some_and(|found| found.identity == file.identity);
        Some(is_it && sum(&mut place.open_unnoticed().ok()?, &mut buffer).ok()? == file.sum)
    };
    files.iter().all(|file| is_so(file).unwrap_or(false))
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
        let (root, unpacked) = (Root::open(place.path()).unwrap(), Unpacked(sums));
        let (mut known, mut right) = (Vec::new(), Vec::new());
        walk::<Error>(&root, &mut |visit| {
            if let Some(file) = unpacked.file(visit) {
                let is_so = all_are_so(&root, std::slice::from_ref(&file));
                known.push((String::from_utf8_lossy(visit.path).into_owned(), is_so));
                right.extend(is_so.then_some(file));
            }
            Ok(true)
        })
        .unwrap();
        let expected = [("right", true), ("too", true), ("wrong", false)];
        assert_eq!(known, expected.map(|(name, is_so)| (name.to_owned(), is_so)));
        assert!(all_are_so(&root, &right));
        // Another file of the same name.
        fs::rename(path("unknown"), path("right")).unwrap();
        assert!(!all_are_so(&root, &right) && all_are_so(&root, &right[1..]));
    }
}
