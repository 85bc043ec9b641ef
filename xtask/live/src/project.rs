//! Where this project's source tree is.

use std::path::{Path, PathBuf};

/// The top of the source tree.
pub fn directory() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| directory().join("target"), PathBuf::from)
}
