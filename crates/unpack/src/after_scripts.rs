//! What a preinst changed under packages that were merged before it ran, put as if it had run first.

use crate::database::Diversion;
use crate::{EntryKind, Error, Staged};
use rootstrap_rootfs::{Cursor, Kind, Root};

/// Gives links of a merged package, which its own preinst has made anew just so, their archived times again: dpkg
/// would have put its own there after the script.
///
/// # Errors
/// The tree cannot be changed.
pub fn restore_links(root: &Root, package: &Staged) -> Result<(), Error> {
    let tree = |source| Error::Tree { label: package.control.database_name(), source };
    let mut cursor = Cursor::new(root);
    for entry in package.entries.as_deref().unwrap_or_default() {
        let EntryKind::Symlink(target) = &entry.kind else { continue };
        // Nor need its directory be there: filters keep both out.
        if root.metadata(&entry.path).map_err(tree)?.is_none() {
            continue;
        }
        let place = cursor.at(&entry.path).map_err(tree)?;
        let found = place.metadata().map_err(tree)?.filter(|found| found.kind == Kind::Symlink);
        let made_anew = found.is_some_and(|found| found.attributes.mtime != entry.attributes.mtime);
        if made_anew && place.link_target().map_err(tree)? == *target {
            place.set_mtime(entry.attributes.mtime).map_err(tree)?;
        }
    }
    Ok(())
}

/// Moves aside what packages put at a path that was diverted only after they were merged, as dpkg would have done
/// had it unpacked them after the diversion.
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
            // The directory itself serves others and stays; an empty one appears under the new name.
            if to.metadata().map_err(tree)?.is_none() {
                to.create_directory(entry.attributes).map_err(tree)?;
            }
        } else {
            there.rename_to(&to).map_err(tree)?;
        }
    }
    Ok(())
}
