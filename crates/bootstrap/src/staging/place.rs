//! Paths around a target: where its hidden directory goes, and whether the target has to stay the same directory.

use rustix::fs::{Access, access};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Returns the directory that holds the hidden directory from which `path` is filled.
pub(crate) fn place_of(path: &Path) -> &Path {
    if is_filled_in_place(path) { path } else { parent(path) }
}

/// Returns the directory that `path` is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// Returns whether `path` is a directory that has to stay the same one, because it cannot be replaced or has something in it.
pub(crate) fn is_filled_in_place(path: &Path) -> bool {
    cannot_be_replaced(path) || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

/// Returns whether `path` is a directory that cannot be replaced: a mount point, the working directory, or a directory whose parent
/// the caller may not change.
pub(crate) fn cannot_be_replaced(path: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let Some(it) = identity(path) else { return false };
    let is_fixed = access(parent(path), Access::WRITE_OK | Access::EXEC_OK).is_err();
    is_fixed || identity(Path::new(".")) == Some(it) || is_mount_point(path)
}

/// Returns whether something is mounted at `path`, a bind mount of the same filesystem included.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    match statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS) {
        Ok(found) if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        }
        // Linux before 5.8 does not say, so a bind mount goes unnoticed there.
        _ => match (std::fs::metadata(path), std::fs::metadata(parent(path))) {
            (Ok(it), Ok(parent)) => it.dev() != parent.dev(),
            _ => false,
        },
    }
}
