//! /bin, /sbin and /lib as links to /usr, where the suite wants them so.

use crate::Error;
use crate::bodies::Body;
use crate::suite::{MergedUsr, Suite};
use rootstrap_resolve::Variant;
use rootstrap_rootfs::{Root, skeleton};
use rootstrap_unpack::EntryKind;

/// The links of a merged /usr, where packages do not bring them: for those directories that packages ship.
pub(crate) fn merge(root: &Root, suite: &Suite, variant: Variant, packages: &[Body], epoch: i64) -> Result<(), Error> {
    let entries = || packages.iter().filter_map(|body| body.staged.entries.as_ref().ok()).flatten();
    let brought = || entries().any(|entry| entry.path == b"/bin" && matches!(entry.kind, EntryKind::Symlink(_)));
    let buildd = variant == Variant::Buildd;
    match suite.merged_usr(buildd) {
        MergedUsr::Package => return Ok(()),
        MergedUsr::Detect if brought() => return Ok(()),
        MergedUsr::No => {
            if suite.unmerged_note {
                root.create_directories(b"etc", 0o755)?;
                let note = b"this system will not be supported in the future\n";
                root.write(b"etc/unsupported-skip-usrmerge-conversion", note, 0o644)?;
            }
            return Ok(());
        }
        MergedUsr::Links | MergedUsr::Detect => {}
    }
    // Where no scripts run, later phases meet what the first one made.
    let absent = |name: &str| root.metadata(name.as_bytes()).map(|found| found.is_none());
    let shipped = |name: &str| {
        let inside = format!("/{name}/");
        let top = format!("/{name}");
        entries().any(|entry| entry.path.starts_with(inside.as_bytes()) || entry.path == top.as_bytes())
    };
    let mut names = Vec::new();
    for name in skeleton::ALIASED.into_iter().filter(|name| shipped(name)) {
        if absent(name)? {
            names.push(name.to_owned());
        }
    }
    Ok(skeleton::merge_usr(root, &names, epoch)?)
}
