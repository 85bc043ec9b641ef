//! A finished tree moves into a directory that is not empty.
//!
//! Directories that both have stay one, files of the tree take the place of files of the same name, and everything else that is there
//! stays. Into what is mounted below the target, files are copied; what the kernel shows in /dev, /proc and its like is not touched.

use crate::error::Error;
use crate::staging::place::is_mount_point;
use rootstrap_rootfs::{Attributes, Kind, Root};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories of the target's top in which what is mounted is left alone.
const OF_KERNEL: [&[u8]; 4] = [b"dev", b"proc", b"run", b"sys"];

/// Two directories that become one.
pub(super) struct Merge<'a> {
    /// The tree that moves.
    pub from: &'a Root,
    /// The directory that it moves into.
    pub to: &'a Root,
    /// The path of `to`.
    pub path: &'a Path,
    /// The path of both, relative to the target; empty for the target itself.
    pub below: &'a [u8],
    /// Files, relative to the target, that stay if they are there.
    pub kept: &'a [PathBuf],
}

/// A directory of the tree at which something is mounted in the target.
pub(super) struct Mounted {
    /// Its path in both directories.
    pub child: Vec<u8>,
    /// What it is in the tree.
    pub attributes: Attributes,
}

impl Merge<'_> {
    /// Refuses what cannot become one, and changes nothing. Returns the mount points: what the tree has there has to be copied.
    ///
    /// # Errors
    /// A directory of the tree is something else in the target, or the other way round; or the system refuses.
    pub(super) fn check(&self) -> Result<Vec<Mounted>, Error> {
        let mut mounted = Vec::new();
        self.check_below(b"", &mut mounted)?;
        Ok(mounted)
    }

    fn check_below(&self, path: &[u8], mounted: &mut Vec<Mounted>) -> Result<(), Error> {
        for name in self.from.list(path)? {
            let child = join(path, &name);
            let (ours, theirs) = (self.from.at(&child)?.metadata()?, self.to.at(&child)?.metadata()?);
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            let reason = match (ours.kind == Kind::Directory, theirs.kind == Kind::Directory) {
                (true, true) if is_mount_point(&self.at(&child)) => {
                    if !is_of_kernel(&self.in_target(&child)) {
                        mounted.push(Mounted { child, attributes: ours.attributes });
                    }
                    continue;
                }
                (true, true) => {
                    self.check_below(&child, mounted)?;
                    continue;
                }
                (false, false) if self.is_fixed(&child, theirs.kind) && !self.stays(&child, theirs.kind) => {
                    "something is mounted there, and the new system has a file of its own"
                }
                (false, false) => continue,
                (true, false) => "it is there and is not a directory, as it is in the new system",
                (false, true) => "it is there as a directory, and is something else in the new system",
            };
            let (path, hint) = (self.at(&child), "move it away, or choose another directory");
            return Err(Error::Target { path, reason: reason.to_owned(), hint });
        }
        Ok(())
    }

    /// Moves the entries. Only what [`Self::check`] accepted may be there.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn move_entries(&self) -> Result<(), Error> {
        self.move_below(b"")
    }

    fn move_below(&self, path: &[u8]) -> Result<(), Error> {
        for name in self.from.list(path)? {
            let child = join(path, &name);
            let (ours, theirs) = (self.from.at(&child)?, self.to.at(&child)?);
            match (ours.metadata()?, theirs.metadata()?) {
                (Some(_), Some(there)) if self.stays(&child, there.kind) => {}
                (Some(metadata), Some(_)) if metadata.kind == Kind::Directory => {
                    if !is_mount_point(&self.at(&child)) {
                        self.move_below(&child)?;
                        theirs.set_attributes(metadata.attributes)?;
                    }
                }
                _ => ours.rename_to(&theirs)?,
            }
        }
        Ok(())
    }

    /// Returns whether a file of the target stays: one that the user wants to keep, or a device that is mounted.
    fn stays(&self, child: &[u8], kind: Kind) -> bool {
        let path = self.in_target(child);
        let is_kept = self.kept.iter().any(|kept| kept.as_os_str().as_bytes() == path);
        is_kept || (is_of_kernel(&path) && self.is_fixed(child, kind))
    }

    /// Returns whether a file is mounted at this path.
    fn is_fixed(&self, child: &[u8], kind: Kind) -> bool {
        !matches!(kind, Kind::Directory | Kind::Symlink) && is_mount_point(&self.at(child))
    }

    fn at(&self, child: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(child))
    }

    fn in_target(&self, child: &[u8]) -> Vec<u8> {
        join(self.below, child)
    }
}

/// Returns whether a path, relative to the target, is one of [`OF_KERNEL`] or below one.
fn is_of_kernel(path: &[u8]) -> bool {
    path.split(|&b| b == b'/').next().is_some_and(|top| OF_KERNEL.contains(&top))
}

/// Returns the path of an entry of a directory.
pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn merge(from: &Path, path: &Path) -> Result<(), Error> {
        let (from, to) = (&Root::open(from).unwrap(), &Root::open(path).unwrap());
        let merge = Merge { from, to, path, below: b"", kept: &["etc/hostname".into()] };
        assert!(merge.check()?.is_empty());
        merge.move_entries()
    }

    #[test]
    fn what_is_there_stays_beside_the_new_tree() {
        let scene = tempfile::tempdir().unwrap();
        let (from, to) = (scene.path().join("from"), scene.path().join("to"));
        for (path, text) in [("etc/hostname", "new"), ("etc/passwd", "new"), ("usr/bin/tool", "new")] {
            fs::create_dir_all(from.join(path).parent().unwrap()).unwrap();
            fs::write(from.join(path), text).unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", from.join("bin")).unwrap();
        for (path, text) in [("etc/hostname", "old"), ("etc/passwd", "old"), ("etc/own/file", "old")] {
            fs::create_dir_all(to.join(path).parent().unwrap()).unwrap();
            fs::write(to.join(path), text).unwrap();
        }
        merge(&from, &to).unwrap();
        for (path, text) in [
            ("etc/hostname", "old"),
            ("etc/passwd", "new"),
            ("etc/own/file", "old"),
            ("usr/bin/tool", "new"),
            ("bin/tool", "new"),
        ] {
            assert_eq!(fs::read_to_string(to.join(path)).unwrap(), text, "{path}");
        }
    }

    #[test]
    fn a_directory_in_the_place_of_a_link_is_refused_before_anything_moves() {
        let scene = tempfile::tempdir().unwrap();
        let (from, to) = (scene.path().join("from"), scene.path().join("to"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::create_dir_all(to.join("bin")).unwrap();
        fs::write(from.join("a/file"), "new").unwrap();
        std::os::unix::fs::symlink("usr/bin", from.join("bin")).unwrap();
        let error = merge(&from, &to).unwrap_err().to_string();
        assert!(error.contains("to/bin as the target: it is there as a directory"), "{error}");
        assert!(!to.join("a").exists() && from.join("a/file").exists());
    }
}
