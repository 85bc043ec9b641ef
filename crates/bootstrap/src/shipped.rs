//! Whether a file is as its package ships it, by the sums in dpkg's database.

use crate::Error;
use crate::kept::hash;
use md5::Md5;
use rootstrap_rootfs::{Cursor, Root, Visit};
use std::collections::HashMap;

/// MD5 sums by path; `None` where two packages disagree.
pub(crate) struct Shipped(HashMap<Vec<u8>, Option<[u8; 16]>>);

impl Shipped {
    /// Reads the sums of all packages in `root`.
    pub fn read(root: &Root) -> Result<Self, Error> {
        const INFO: &[u8] = b"var/lib/dpkg/info";
        let mut sums = HashMap::new();
        for name in root.list(INFO)?.iter().filter(|name| name.ends_with(b".md5sums")) {
            let text = root.read(&[INFO, b"/", name].concat())?.unwrap_or_default();
            for (sum, path) in text.split(|&byte| byte == b'\n').filter_map(parse) {
                let known = sums.entry(path.to_vec()).or_insert(Some(sum));
                if *known != Some(sum) {
                    *known = None;
                }
            }
        }
        Ok(Self(sums))
    }

    /// What there is to be checked of a file. `None` if no package, or more than one, says what is in it.
    pub fn file(&self, visit: &Visit<'_>) -> Option<File> {
        // Packages may still name what lies in /usr by its old place.
        let old = visit.path.strip_prefix(b"usr/").unwrap_or_default();
        let ((Some(&sum), None) | (None, Some(&sum))) = (self.0.get(visit.path), self.0.get(old)) else { return None };
        Some(File { path: visit.path.to_vec(), identity: visit.metadata.identity, sum: sum? })
    }
}

/// A file and what its package says is in it.
pub(crate) struct File {
    path: Vec<u8>,
    identity: (u64, u64),
    sum: [u8; 16],
}

/// Whether all files are still the same ones, and as their packages ship them. `false` in doubt.
pub(crate) fn all_are_so(root: &Root, files: &[File]) -> bool {
    let mut cursor = Cursor::new(root);
    let mut is_so = |file: &File| -> Option<bool> {
        let place = cursor.at(&file.path).ok()?;
        let is_it = place.metadata().ok()?.is_some_and(|found| found.identity == file.identity);
        Some(is_it && hash::<Md5>(&mut place.open_unnoticed().ok()?).ok()?.as_slice() == file.sum)
    };
    files.iter().all(|file| is_so(file).unwrap_or(false))
}

/// A line of dpkg's `md5sums`: 32 digits, two spaces, the path below the root.
fn parse(line: &[u8]) -> Option<([u8; 16], &[u8])> {
    let (digits, rest) = line.split_first_chunk::<32>()?;
    let mut sum = [0; 16];
    for (byte, digits) in sum.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some((sum, rest.strip_prefix(b"  ")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_rootfs::walk;
    use std::fs;

    #[test]
    fn a_file_is_known_by_its_sum() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir_all(path("var/lib/dpkg/info")).unwrap();
        fs::create_dir_all(path("usr/lib")).unwrap();
        let (empty, a) = ("d41d8cd98f00b204e9800998ecf8427e", "0cc175b9c0f1b6a831c399e269772661");
        let sums =
            format!("{empty}  usr/lib/right\n{empty}  lib/old\n{empty}  usr/lib/wrong\n{empty}  usr/lib/both\nx\n");
        fs::write(path("var/lib/dpkg/info/one.md5sums"), sums).unwrap();
        fs::write(
            path("var/lib/dpkg/info/two.md5sums"),
            format!("{a}  usr/lib/both\n{empty}  usr/lib/twice\n{empty}  lib/twice\n"),
        )
        .unwrap();
        for (name, text) in [("right", ""), ("old", ""), ("wrong", "a"), ("both", ""), ("twice", ""), ("unknown", "")] {
            fs::write(path("usr/lib").join(name), text).unwrap();
        }
        let root = Root::open(place.path()).unwrap();
        let shipped = Shipped::read(&root).unwrap();
        let (mut known, mut all) = (Vec::new(), Vec::new());
        walk::<rootstrap_rootfs::Error>(&root, &mut |visit| {
            if let Some(file) = shipped.file(visit).filter(|_| visit.path.starts_with(b"usr/lib/")) {
                known.push((String::from_utf8_lossy(visit.path).into_owned(), all_are_so(&root, &[file])));
                all.extend(shipped.file(visit));
            }
            Ok(true)
        })
        .unwrap();
        let expected = [("usr/lib/old", true), ("usr/lib/right", true), ("usr/lib/wrong", false)];
        assert_eq!(known, expected.map(|(name, is_so)| (name.to_owned(), is_so)));
        assert!(!all_are_so(&root, &all) && all_are_so(&root, &all[..2]));
        // Another file of the same name.
        fs::write(path("usr/lib/other"), "").unwrap();
        fs::rename(path("usr/lib/other"), path("usr/lib/right")).unwrap();
        assert!(!all_are_so(&root, &all[..2]) && all_are_so(&root, &all[..1]));
    }
}
