//! The root directory itself, and the times of everything in it.

use crate::error::{Error, Result, go_on};
use rootstrap_rootfs::{Cursor, Root, walk};
use std::sync::atomic::AtomicBool;

/// Gives the root directory itself owner 0:0 and mode 0755, whatever the umask of the caller was.
///
/// # Errors
/// The system refuses.
pub fn set_root_attributes(root: &Root) -> Result<()> {
    // An unprivileged caller cannot give its root away. Archives record the owner all the same.
    let _ = root.set_owner_of(root.fd(), 0, 0);
    rustix::fs::fchmod(root.fd(), 0o755.into()).map_err(|errno| Error::root("change mode of", errno))
}

/// Sets every modification time later than `epoch` to `epoch`, of files, directories and links. This is the last change to a
/// tree that is published as a directory; archives clamp times themselves.
///
/// # Errors
/// The tree cannot be read or changed, or `cancel` was set.
pub fn clamp_times(root: &Root, epoch: i64, cancel: &AtomicBool) -> Result<()> {
    let mut cursor = Cursor::new(root);
    walk::<Error>(root, &mut |visit| {
        go_on(cancel)?;
        if visit.metadata.attributes.mtime > epoch {
            if visit.path.is_empty() {
                let time = rustix::fs::Timespec { tv_sec: epoch, tv_nsec: 0 };
                let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
                rustix::fs::futimens(root.fd(), &times).map_err(|errno| Error::root("change time of", errno))?;
            } else {
                cursor.at(visit.path)?.set_mtime(epoch)?;
            }
        }
        Ok(true)
    })
}
