//! The suite that is asked for: a listed one, or one that only the user's mirrors know.

use crate::error::Error;
use crate::request::Sources;
use rootstrap_suites::{MergedUsr, Suite};
use std::borrow::Cow;

/// Returns the suite that is asked for, with the form of /usr that is asked for, and, where debootstrap's sources are, with the name
/// that is asked for.
pub(crate) fn find_suite(sources: &Sources) -> Result<Cow<'static, Suite>, Error> {
    let suite = by_asked_name(known_suite(sources)?, sources);
    let Some(is_merged) = sources.merged_usr else { return Ok(suite) };
    let own = suite.merged_usr(false);
    let wanted = match (is_merged, own) {
        (true, MergedUsr::Package | MergedUsr::Detect) => own,
        (true, MergedUsr::Links | MergedUsr::No) => MergedUsr::Links,
        (false, MergedUsr::Package | MergedUsr::Detect) => {
            let hint = "leave it out, or choose an older suite";
            return Err(Error::Combination {
                option: "--merged-usr=no".to_owned(),
                reason: format!("the packages of {} need /bin, /sbin and /lib as links into /usr", suite.codename),
                hint,
            });
        }
        (false, MergedUsr::Links | MergedUsr::No) => MergedUsr::No,
    };
    let mut suite = suite.into_owned();
    (suite.merged_usr, suite.merged_usr_buildd) = (wanted, None);
    Ok(Cow::Owned(suite))
}

/// Gives the pockets of a suite the alias that it is asked for by, if apt's sources are to be plain: the target then follows the alias.
fn by_asked_name(suite: Cow<'static, Suite>, sources: &Sources) -> Cow<'static, Suite> {
    let asked = sources.alias.as_ref().unwrap_or(&sources.suite);
    if !sources.plain_sources || !suite.aliases.contains(asked) {
        return suite;
    }
    let mut suite = suite.into_owned();
    let codename = suite.codename.clone();
    let renamed =
        |name: &String| name.strip_prefix(&codename).map_or_else(|| name.clone(), |rest| format!("{asked}{rest}"));
    let pockets = &mut suite.pockets;
    pockets.release = renamed(&pockets.release);
    for pocket in [&mut pockets.updates, &mut pockets.security, &mut pockets.backports].into_iter().flatten() {
        *pocket = renamed(pocket);
    }
    Cow::Owned(suite)
}

/// Returns the suite as it is known. One that is not listed gets the rules of a modern suite if mirror and keyring are given.
fn known_suite(sources: &Sources) -> Result<Cow<'static, Suite>, Error> {
    let name = sources.suite.as_str();
    let listed = rootstrap_suites::lookup(name);
    if sources.is_own && is_suite_name(name) {
        let vendor = listed.and_then(Suite::vendor).filter(|_| sources.keyrings.is_empty());
        return Ok(Cow::Owned(rootstrap_suites::unlisted(name, vendor.map(|vendor| vendor.name.as_str()))));
    }
    let is_served = !sources.mirrors.is_empty() || sources.snapshot.as_ref().is_some_and(|it| !it.services.is_empty());
    match listed {
        Some(suite) => Ok(Cow::Borrowed(suite)),
        // A lock names its mirror itself.
        None if (is_served || sources.lock.is_some())
            && (sources.unsigned || !sources.keyrings.is_empty())
            && is_suite_name(name) =>
        {
            Ok(Cow::Owned(rootstrap_suites::unlisted(name, None)))
        }
        None => Err(Error::UnknownSuite { name: name.to_owned(), nearest: rootstrap_suites::nearest(name) }),
    }
}

/// Returns whether a name can be part of a URL.
fn is_suite_name(name: &str) -> bool {
    rootstrap_debian::packages::is_relative_path(name) && !name.contains(|c: char| c.is_whitespace() || c.is_control())
}
