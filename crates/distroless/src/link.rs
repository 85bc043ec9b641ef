//! Symbolic links that never replace anything.

use crate::error::Result;
use rootstrap_rootfs::{Attributes, Root};

/// Creates a symbolic link and the missing directories above it. Does nothing if something exists at `path` already.
pub(crate) fn link(root: &Root, path: &str, target: &[u8], epoch: i64) -> Result<()> {
    if root.metadata(path.as_bytes())?.is_some() {
        return Ok(());
    }
    if let Some((parent, _)) = path.rsplit_once('/') {
        root.create_directories(parent.as_bytes(), 0o755)?;
    }
    let attributes = Attributes { mode: 0o777, uid: 0, gid: 0, mtime: epoch };
    Ok(root.at(path.as_bytes())?.create_symlink(target, attributes)?)
}
