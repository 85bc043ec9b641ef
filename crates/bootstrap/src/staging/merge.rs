//! A finished tree moves into a directory that is not empty.
//!
//! Directories that both have stay one, files of the tree take the place of files of the same name, and everything else that is there
//! stays. Into what is mounted below the target, files are copied; what the kernel shows in /dev, /proc and its like is not touched.

use crate::error::Error;
use crate::staging::place::is_mount_point;
use rootstrap_rootfs::{Kind, Root};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Files that no package ships. Who made them before the run wants them to stay, as they do with debootstrap.
const OF_USER: [&[u8]; 3] = [b"etc/fstab", b"etc/hostname", b"etc/resolv.conf"];

/// Directories of the target's top in which other filesystems are left alone.
const OF_KERNEL: [&[u8]; 4] = [b"dev", b"proc", b"run", b"sys"];

/// Moves the entries of `from` into `to`, which is the directory `path`. Nothing has changed if this refuses what is there. Returns the
/// directories, relative to both, that are mount points of the target: what they hold has to be copied.
///
/// # Errors
/// A directory of the tree is something else in the target, or the other way round; or the system refuses.
pub(super) fn move_into(from: &Root, to: &Root, path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut merge = Merge { from, to, path, mounted: Vec::new() };
    merge.check(b"")?;
    merge.move_entries(b"")?;
    Ok(merge.mounted)
}

/// Two directories that become one.
struct Merge<'a> {
    from: &'a Root,
    to: &'a Root,
    /// The path of `to`.
    path: &'a Path,
    mounted: Vec<PathBuf>,
}

impl Merge<'_> {
    fn check(&self, path: &[u8]) -> Result<(), Error> {
        for name in self.from.list(path)? {
            let child = join(path, &name);
            let (ours, theirs) = (self.from.at(&child)?.metadata()?, self.to.at(&child)?.metadata()?);
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            match (ours.kind == Kind::Directory, theirs.kind == Kind::Directory) {
                // What is mounted there is looked at when something is copied into it.
                (true, true) if is_mount_point(&self.at(&child)) => {}
                (true, true) => self.check(&child)?,
                (false, false) => {}
                (is_directory, _) => {
                    let reason = match is_directory {
                        true => "it is there and is not a directory, as it is in the new system",
                        false => "it is there as a directory, and is something else in the new system",
                    };
                    let (path, hint) = (self.at(&child), "move it away, or choose another directory");
                    return Err(Error::Target { path, reason: reason.to_owned(), hint });
                }
            }
        }
        Ok(())
    }

    fn move_entries(&mut self, path: &[u8]) -> Result<(), Error> {
        for name in self.from.list(path)? {
            let child = join(path, &name);
            let (ours, theirs) = (self.from.at(&child)?, self.to.at(&child)?);
            match (ours.metadata()?, theirs.metadata()?) {
                (Some(_), Some(_)) if OF_USER.contains(&child.as_slice()) => {}
                (Some(metadata), Some(_)) if metadata.kind == Kind::Directory => {
                    if !is_mount_point(&self.at(&child)) {
                        self.move_entries(&child)?;
                        theirs.set_attributes(metadata.attributes)?;
                    } else if !OF_KERNEL.contains(&child.as_slice()) {
                        self.mounted.push(OsStr::from_bytes(&child).into());
                    }
                }
                _ => ours.rename_to(&theirs)?,
            }
        }
        Ok(())
    }

    fn at(&self, child: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(child))
    }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn merge(from: &Path, to: &Path) -> Result<Vec<PathBuf>, Error> {
        move_into(&Root::open(from).unwrap(), &Root::open(to).unwrap(), to)
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
        assert!(merge(&from, &to).unwrap().is_empty());
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
