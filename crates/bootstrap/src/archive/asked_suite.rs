//! The suite that is asked for: a listed one, or one that only the user's mirrors know.

use crate::error::Error;
use crate::request::Sources;
use rootstrap_suites::{MergedUsr, Suite};
use std::borrow::Cow;

/// Returns the suite that is asked for, with the form of /usr that is asked for.
pub(crate) fn find_suite(sources: &Sources) -> Result<Cow<'static, Suite>, Error> {
    let suite = known_suite(sources)?;
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
