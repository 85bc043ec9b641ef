//! Replaces the contents of a file without changing its owner, mode and time.

use crate::error::Result;
use rootstrap_rootfs::{Attributes, Root};

/// Replaces the contents of the file at `path` and gives it `attributes`. Until it has them, only root can read the file.
pub(crate) fn rewrite(root: &Root, path: &[u8], contents: &[u8], attributes: Attributes) -> Result<()> {
    root.write(path, contents, 0o600)?;
    root.at(path)?.set_attributes(attributes)?;
    Ok(())
}
