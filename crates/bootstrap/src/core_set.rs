//! The packages that are configured before all others: the rest of the first phase counts on them.
//!
//! They are configured in their turn once more, as in a tree of debootstrap, because the order of everything that is
//! configured later depends on it. What their scripts do is done by then: a second run leaves nothing (compared in nine
//! suites), so the scripts are put aside for it.

use crate::Error;
use crate::bodies::Body;
use rootstrap_resolve::Variant;
use rootstrap_rootfs::Root;
use rootstrap_unpack::triggers;

/// In this order: debootstrap's list, whose last comes only with its default variant.
const CORE: [&str; 7] = ["base-passwd", "base-files", "dpkg", "libc6", "perl-base", "mawk", "debconf"];

/// After the name of a script that rests.
const RESTING: &str = ".rootstrap";

/// Those of the first phase that are configured before all others.
pub(crate) fn names(variant: Variant, packages: &[Body]) -> Vec<&'static str> {
    let default = matches!(variant, Variant::Important | Variant::Standard);
    let is_core = |name: &&str| {
        (default || *name != "debconf") && packages.iter().any(|body| body.staged.control.package == *name)
    };
    CORE.into_iter().filter(is_core).collect()
}

/// Puts the scripts of configured packages aside, but for those that a trigger may want. What [`wake`] needs to know: where
/// each belongs, and where it is.
pub(crate) fn rest(root: &Root, packages: &[Body], core: &[&str]) -> Result<Vec<(String, String)>, Error> {
    let controls = packages.iter().map(|body| &body.staged.control);
    let mut resting = Vec::new();
    for control in controls.filter(|control| core.contains(&control.package.as_str())) {
        let script = format!("var/lib/dpkg/info/{}.postinst", control.database_name());
        let place = format!("{script}{RESTING}");
        if control.member("postinst").is_some() && !triggers::is_interested(control) {
            root.at(script.as_bytes())?.rename_to(&root.at(place.as_bytes())?)?;
            resting.push((script, place));
        }
    }
    Ok(resting)
}

/// Puts the scripts back.
pub(crate) fn wake(root: &Root, resting: &[(String, String)]) -> Result<(), Error> {
    for (script, place) in resting {
        root.at(place.as_bytes())?.rename_to(&root.at(script.as_bytes())?)?;
    }
    Ok(())
}
