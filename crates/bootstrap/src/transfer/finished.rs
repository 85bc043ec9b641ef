//! Files of a tree that is finished, or that a failure left. Its links lead nowhere but into it, whoever made them.

use crate::error::Error;
use rootstrap_rootfs::{Kind, Root};
use std::path::Path;

/// Writes a file of the tree in `directory`, with the directories above it. It replaces what is there, also a link.
///
/// # Errors
/// There is no such directory, or the system refuses.
pub fn write_in_tree(directory: &Path, path: &str, contents: &[u8]) -> Result<(), Error> {
    let root = Root::open(directory)?;
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    root.create_directories(parent.as_bytes(), 0o755)?;
    Ok(root.write(path.as_bytes(), contents, 0o644)?)
}

/// Removes a file of the tree in `directory`, and the directory that it is in if that is empty then. What is not there needs no removal.
///
/// # Errors
/// There is no such directory, or the system refuses.
pub fn remove_from_tree(directory: &Path, path: &str) -> Result<(), Error> {
    remove_from(&Root::open(directory)?, path)
}

/// Does the same in an open tree.
pub(crate) fn remove_from(root: &Root, path: &str) -> Result<(), Error> {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).as_bytes();
    if root.metadata(parent)?.is_none_or(|found| found.kind != Kind::Directory) {
        return Ok(());
    }
    root.remove(path.as_bytes())?;
    if !parent.is_empty() && root.list(parent)?.is_empty() {
        root.remove_tree(parent)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_of_the_tree_lead_nowhere_else() {
        let scene = tempfile::tempdir().unwrap();
        let at = |path: &str| scene.path().join(path);
        fs::create_dir_all(at("root/debootstrap")).unwrap();
        fs::write(at("canary"), "canary").unwrap();
        symlink(at("canary"), at("root/debootstrap/log")).unwrap();
        symlink(scene.path(), at("root/var")).unwrap();
        for path in ["debootstrap/log", "var/log/x"] {
            let _ = write_in_tree(&at("root"), path, b"text");
        }
        assert_eq!(fs::read_to_string(at("canary")).unwrap(), "canary");
        assert_eq!(fs::read_to_string(at("root/debootstrap/log")).unwrap(), "text");
        assert!(!at("log").exists());
        remove_from_tree(&at("root"), "debootstrap/log").unwrap();
        remove_from_tree(&at("root"), "none/log").unwrap();
        assert!(!at("root/debootstrap").exists());
    }
}
