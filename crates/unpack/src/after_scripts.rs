//! Corrects the tree after a preinst that ran later than it would have run under dpkg: packages were merged before it, which
//! dpkg would have unpacked after it.

use crate::database::Diversion;
use crate::entries::EntryKind;
use crate::error::Error;
use crate::stage::Staged;
use rootstrap_rootfs::{Cursor, Kind, Root};

/// Restores the archived times of those links of a merged package that its own preinst has created again with the same target.
/// dpkg would have put the archived links there after the script.
///
/// # Errors
/// The tree cannot be changed.
pub fn restore_links(root: &Root, package: &Staged) -> Result<(), Error> {
    let tree = |source| Error::Tree { label: package.control.database_name(), source };
    let mut cursor = Cursor::new(root);
    for entry in package.entries.as_deref().unwrap_or_default() {
        let EntryKind::Symlink(target) = &entry.kind else { continue };
        // Filters may have left out the link, and its directory too.
        if root.metadata(&entry.path).map_err(tree)?.is_none() {
            continue;
        }
        let place = cursor.at(&entry.path).map_err(tree)?;
        let found = place.metadata().map_err(tree)?.filter(|found| found.kind == Kind::Symlink);
        let was_recreated = found.is_some_and(|found| found.attributes.mtime != entry.attributes.mtime);
        if was_recreated && place.link_target().map_err(tree)? == *target {
            place.set_mtime(entry.attributes.mtime).map_err(tree)?;
        }
    }
    Ok(())
}

/// Moves to its diverted path what packages put at `from`, a path that was diverted only after they were merged. dpkg would have
/// unpacked them after the diversion.
///
/// # Errors
/// The tree cannot be changed.
pub fn divert_merged<'p>(
    root: &Root,
    from: &[u8],
    diversion: &Diversion,
    packages: impl Iterator<Item = &'p Staged>,
) -> Result<(), Error> {
    for package in packages.filter(|package| package.control.package != diversion.package) {
        let tree = |source| Error::Tree { label: package.control.database_name(), source };
        let entries = package.entries.as_deref().unwrap_or_default();
        let Some(entry) = entries.iter().find(|entry| entry.path == from) else { continue };
        if root.metadata(from).map_err(tree)?.is_none() {
            continue;
        }
        let mut cursor = Cursor::new(root);
        let (there, to) = (cursor.at(from).map_err(tree)?, cursor.at_creating(&diversion.to).map_err(tree)?);
        if entry.kind == EntryKind::Directory {
            // Other packages may need the directory, so it stays, and an empty one is created at the diverted path.
            if to.metadata().map_err(tree)?.is_none() {
                to.create_directory(entry.attributes).map_err(tree)?;
            }
        } else {
            there.rename_to(&to).map_err(tree)?;
        }
    }
    Ok(())
}
