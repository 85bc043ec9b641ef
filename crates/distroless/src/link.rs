//! Symbolic links that never replace anything.

use crate::error::Result;
use rootstrap_rootfs::{Attributes, Root, path};

/// Creates a symbolic link and the missing directories above it. Does nothing if something exists at `path` already.
pub(crate) fn link(root: &Root, path: &str, target: &[u8], epoch: i64) -> Result<()> {
    let path = path.as_bytes();
    if root.metadata(path)?.is_some() {
        return Ok(());
    }
    root.create_directories(path::parent(path), 0o755)?;
    let attributes = Attributes { mode: 0o777, uid: 0, gid: 0, mtime: epoch };
    Ok(root.at(path)?.create_symlink(target, attributes)?)
}
