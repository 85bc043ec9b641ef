//! The tree of a run in which a script failed, for those who want to look at it.

use crate::error::{Error, refuse};
use crate::event::Event;
use crate::install::BuildContext;
use crate::request::Machine;
use crate::staging::place::parent;
use rootstrap_rootfs::{CopyOptions, Root};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Refuses a place at which something is.
pub(crate) fn check(machine: &Machine) -> Result<(), Error> {
    match &machine.keep_failed {
        Some(path) if path.symlink_metadata().is_ok() => {
            refuse("--keep-failed", format!("{} exists already", path.display()), "remove it, or choose another name")
        }
        _ => Ok(()),
    }
}

/// Keeps the tree if that is asked for and a script has failed, and says how to enter it.
pub(crate) fn keep_if_asked(context: &BuildContext<'_>, error: &Error) {
    let &BuildContext { root, machine, report, .. } = context;
    let (Some(path), Error::Configure(_)) = (&machine.keep_failed, error) else { return };
    report(Event::Warning(match keep(root, path) {
        Ok(()) => format!("the tree is kept as the failure left it: rootstrap enter {}", path.display()),
        Err(error) => format!("the tree cannot be kept in {}: {error}", path.display()),
    }));
}

/// Copies a tree to `path`, where nothing may be.
fn keep(root: &Root, path: &Path) -> Result<(), Error> {
    let to = Root::open(parent(path))?.with_fake_ownership(root.fake_ownership().cloned().unwrap_or_default());
    let name = path.file_name().unwrap_or_default().as_bytes();
    // The run has been told to stop, and this is not a part of it any more.
    let options = CopyOptions { threads: 1, precopy: None, progress: None, cancel: &AtomicBool::new(false) };
    rootstrap_rootfs::copy(root, &to, name, options)?;
    Ok(())
}
