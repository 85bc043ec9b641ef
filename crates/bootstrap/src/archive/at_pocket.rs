//! Where the pockets of a suite are on a mirror.

use rootstrap_suites::{Pocket, Suite};

/// Returns where a mirror that the user named may have a pocket. A vendor that keeps security fixes in an archive of their own has
/// that archive beside the main one, and its mirrors follow this layout (`…/debian` and `…/debian-security`).
pub(crate) fn at_pocket(mirror: &str, suite: &Suite, pocket: Pocket) -> Vec<String> {
    let mirror = mirror.trim_end_matches('/');
    let is_apart = suite.vendor().is_some_and(|vendor| vendor.separate_security());
    // A bare host name has no directory, so nothing can be beside it.
    let has_path = mirror.split_once("://").is_none_or(|(_, rest)| rest.contains('/'));
    if pocket == Pocket::Security && is_apart && has_path && !mirror.ends_with("-security") {
        return vec![format!("{mirror}-security"), mirror.to_owned()];
    }
    vec![mirror.to_owned()]
}
