//! The packages that are configured before all others, because the rest of the first phase needs them.
//!
//! dpkg configures them in their turn once more, as in a tree of debootstrap, because the order in which the others are configured
//! depends on it. A second run of their scripts changes nothing (compared in nine suites), so the scripts are moved away for it.

use crate::error::Error;
use crate::install::debs::StagedDeb;
use rootstrap_resolve::Variant;
use rootstrap_rootfs::Root;
use rootstrap_unpack::triggers;

/// debootstrap's list, in its order. debootstrap has the last package only in its default variant.
const CORE: [&str; 7] = ["base-passwd", "base-files", "dpkg", "libc6", "perl-base", "mawk", "debconf"];

/// The end of the name of a script that is moved away.
const SUFFIX: &str = ".rootstrap";

/// Returns the packages of the first phase that are configured before all others.
pub(crate) fn names(variant: Variant, packages: &[StagedDeb]) -> Vec<&'static str> {
    let default = matches!(variant, Variant::Important | Variant::Standard);
    let is_core =
        |name: &&str| (default || *name != "debconf") && packages.iter().any(|deb| deb.staged.control.package == *name);
    CORE.into_iter().filter(is_core).collect()
}

/// Moves the postinsts of configured packages away, except for those that a trigger may run. Returns, for [`restore_scripts`], the place
/// of each script and where it is now.
pub(crate) fn set_scripts_aside(
    root: &Root,
    packages: &[StagedDeb],
    core: &[&str],
) -> Result<Vec<(String, String)>, Error> {
    let controls = packages.iter().map(|deb| &deb.staged.control);
    let mut moved = Vec::new();
    for control in controls.filter(|control| core.contains(&control.package.as_str())) {
        let script = format!("var/lib/dpkg/info/{}.postinst", control.database_name());
        let place = format!("{script}{SUFFIX}");
        if control.member("postinst").is_some() && !triggers::is_interested(control) {
            root.at(script.as_bytes())?.rename_to(&root.at(place.as_bytes())?)?;
            moved.push((script, place));
        }
    }
    Ok(moved)
}

/// Moves the scripts back.
pub(crate) fn restore_scripts(root: &Root, moved: &[(String, String)]) -> Result<(), Error> {
    for (script, place) in moved {
        root.at(place.as_bytes())?.rename_to(&root.at(script.as_bytes())?)?;
    }
    Ok(())
}
