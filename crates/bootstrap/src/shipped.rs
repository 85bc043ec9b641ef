//! Whether a file is as its package ships it, by the sums in dpkg's database.

use crate::Error;
use md5::{Digest, Md5};
use rootstrap_rootfs::{Root, Visit};
use std::collections::HashMap;
use std::io::Read;

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

    /// Whether `visit` is a regular file that has the sum of its package. `false` in doubt.
    pub fn has(&self, visit: &Visit<'_>) -> bool {
        // Packages may still name what lies in /usr by its old place.
        let old = visit.path.strip_prefix(b"usr/").unwrap_or_default();
        let (as_it_is, by_old) = (self.0.get(visit.path), self.0.get(old));
        let ((Some(Some(sum)), None) | (None, Some(Some(sum)))) = (as_it_is, by_old) else { return false };
        visit.open().is_ok_and(|file| digest(file).is_ok_and(|digest| digest == *sum))
    }
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

fn digest(mut file: impl Read) -> std::io::Result<[u8; 16]> {
    let mut digest = Md5::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(digest.finalize().into()),
            Ok(length) => digest.update(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
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
        let mut known = Vec::new();
        walk::<rootstrap_rootfs::Error>(&root, &mut |visit| {
            if visit.path.starts_with(b"usr/lib/") && shipped.has(visit) {
                known.push(String::from_utf8_lossy(visit.path).into_owned());
            }
            Ok(true)
        })
        .unwrap();
        assert_eq!(known, ["usr/lib/old", "usr/lib/right"]);
    }
}
