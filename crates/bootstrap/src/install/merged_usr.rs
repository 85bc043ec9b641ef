//! /bin, /sbin and /lib as links into /usr, where the suite has them.

use crate::error::Error;
use crate::install::debs::StagedDeb;
use rootstrap_resolve::Variant;
use rootstrap_rootfs::{Root, skeleton};
use rootstrap_suites::{MergedUsr, Suite};
use rootstrap_unpack::EntryKind;

/// Makes the links of a merged /usr where packages do not ship them, one for each directory that packages ship.
pub(crate) fn merge(
    root: &Root,
    suite: &Suite,
    variant: Variant,
    packages: &[StagedDeb],
    epoch: i64,
) -> Result<(), Error> {
    let entries = || packages.iter().filter_map(|deb| deb.staged.entries.as_ref().ok()).flatten();
    let is_shipped = || entries().any(|entry| entry.path == b"/bin" && matches!(entry.kind, EntryKind::Symlink(_)));
    let buildd = variant == Variant::Buildd;
    match suite.merged_usr(buildd) {
        MergedUsr::Package => return Ok(()),
        MergedUsr::Detect if is_shipped() => return Ok(()),
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
    // Where no scripts run, this is called for every phase, and later phases find the links of the first.
    let is_absent = |name: &str| root.metadata(name.as_bytes()).map(|found| found.is_none());
    let has_files = |name: &str| {
        let inside = format!("/{name}/");
        let top = format!("/{name}");
        entries().any(|entry| entry.path.starts_with(inside.as_bytes()) || entry.path == top.as_bytes())
    };
    let mut names = Vec::new();
    for name in skeleton::ALIASED.into_iter().filter(|name| has_files(name)) {
        if is_absent(name)? {
            names.push(name.to_owned());
        }
    }
    Ok(skeleton::merge_usr(root, &names, epoch)?)
}
