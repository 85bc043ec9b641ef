//! What a verified Release must say to be the requested one.

use crate::error::Error;
use crate::keyring::Keyring;
use crate::limits;
use crate::pocket::{Pocket, Policy};
use rootstrap_debian::release::Release;

/// Everything that the Release of a pocket is judged by.
#[derive(Clone, Copy)]
pub(crate) struct ReleaseCriteria<'a> {
    pub pocket: &'a Pocket,
    pub architectures: &'a [&'a str],
    pub keyring: &'a Keyring,
    pub policy: &'a Policy,
}

impl ReleaseCriteria<'_> {
    /// Checks suite, dates, architectures and components of a verified Release. `what` names it in errors.
    pub fn check(&self, release: &Release, what: &str) -> Result<(), Error> {
        let what = || what.to_owned();
        let now = self.policy.now;
        if !self.is_of_suite(release) {
            let (suite, codename) = (release.suite.clone(), release.codename.clone());
            return Err(Error::WrongSuite { what: what(), suite, codename });
        }
        if self.is_in_future(release) {
            return Err(Error::Future { what: what(), date: release.date, now });
        }
        // Nobody vouches for the date of one whose signature is not looked at.
        let may_be_expired = self.policy.unsigned || self.pocket.further.as_ref().is_some_and(|it| it.may_be_expired);
        let moment = if may_be_expired { release.date } else { self.moment(release) };
        if let Some(valid_until) = release.valid_until.filter(|until| *until < moment) {
            return Err(Error::Expired { what: what(), valid_until, date: release.date, now });
        }
        // A Release made by apt-ftparchive alone has neither field. Then the list of files says what it has.
        let read = self.architectures_read(release);
        let absent = self.architectures.iter().find(|wanted| !read.contains(wanted));
        // A further archive need not have all of them, and a flat repository says nothing of them.
        let is_needed = self.pocket.further.is_none() || read.is_empty() && !lists_all(release);
        if let Some(wanted) = absent.filter(|_| is_needed && !self.pocket.suite.ends_with('/')) {
            let (wanted, listed) = ((*wanted).to_owned(), release.architectures.clone());
            return Err(Error::NoArchitecture { what: what(), wanted, listed });
        }
        let variant = self.pocket.variant.as_ref().filter(|_| self.pocket.further.is_none());
        if let Some(wanted) = variant.filter(|wanted| !release.architectures.contains(wanted)) {
            return Err(Error::NoArchitecture {
                what: what(),
                wanted: wanted.clone(),
                listed: release.architectures.clone(),
            });
        }
        for wanted in &self.pocket.components {
            if !release.components.is_empty() && listed_component(release, wanted).is_none() {
                let (wanted, listed) = (wanted.clone(), release.components.clone());
                return Err(Error::NoComponent { what: what(), wanted, listed });
            }
        }
        Ok(())
    }

    /// Returns the architectures that are asked for and that a Release lists. One without a list says nothing of them.
    pub fn architectures_read(&self, release: &Release) -> Vec<&str> {
        let is_listed = |wanted: &&str| {
            release.architectures.is_empty() || release.architectures.iter().any(|listed| listed == wanted)
        };
        self.architectures.iter().copied().filter(is_listed).collect()
    }

    /// Whether a Release is the one that was asked for. The directory of a flat repository is no name, and a Release of a third party may
    /// have none; both are known by their keys.
    fn is_of_suite(&self, release: &Release) -> bool {
        let is_known_by_keys = self.pocket.further.is_some()
            && (self.pocket.suite.ends_with('/') || release.suite.is_empty() && release.codename.is_empty());
        is_known_by_keys || is_of_suite(release, &self.pocket.suite)
    }

    /// Returns when a Release has to be valid, in seconds since 1970. A suite that has ended is judged at its own date.
    fn moment(&self, release: &Release) -> i64 {
        if self.pocket.ended { release.date } else { self.policy.now }
    }

    /// Returns when the keys that signed a Release have to be good, in seconds since 1970: at its date, and also when it has to be valid,
    /// unless nobody signs the suite any more. A thief of an expired key can choose the date too.
    pub fn moment_of_keys(&self, release: &Release) -> i64 {
        if self.pocket.unsupported { release.date } else { self.moment(release).max(release.date) }
    }

    /// Whether a Release is dated after the moment of judgement.
    pub fn is_in_future(&self, release: &Release) -> bool {
        release.date > self.policy.now.saturating_add(limits::FUTURE_LEEWAY)
    }
}

/// Whether a Release has an index for packages of all architectures.
fn lists_all(release: &Release) -> bool {
    release.architectures.iter().any(|listed| listed == "all")
}

/// Whether a Release is the one of `dists/SUITE/`.
///
/// In Debian, Suite is an alias (`stable`) and Codename the name. Until buster, the security archive published `X/updates` with the
/// codename X, so only Label and Components tell it from the main archive's X; the same keys may sign both.
/// In Ubuntu, each pocket has its own Suite (`focal-updates`) and all have one Codename: if the codename alone decided, a
/// mirror could send one pocket in place of another.
fn is_of_suite(release: &Release, suite: &str) -> bool {
    let is_named = |name: &str| !name.is_empty() && (release.suite == name || release.codename == name);
    if let Some(base) = suite.strip_suffix(SECURITY_PATH) {
        return is_named(suite) || (is_named(base) && is_of_security_archive(release));
    }
    let is_other_pocket =
        |codename: &str| release.suite.strip_prefix(codename).is_some_and(|rest| rest.starts_with('-'));
    is_named(suite)
        && (release.suite == suite || !is_other_pocket(suite))
        && (suite.ends_with("-security") || !is_of_security_archive(release))
}

/// What stands behind the name of a suite in the path of its security pocket, until buster.
const SECURITY_PATH: &str = "/updates";

/// Whether a Release says that it belongs to a security archive of Debian's layout.
fn is_of_security_archive(release: &Release) -> bool {
    let is_below = |component: &String| component.starts_with("updates/");
    release.label.ends_with("-Security") && !release.components.is_empty() && release.components.iter().all(is_below)
}

/// Returns the name under which a Release lists `component`: security pockets list `updates/main` for `main`.
pub(crate) fn listed_component<'a>(release: &'a Release, component: &str) -> Option<&'a str> {
    let is_it = |listed: &&String| {
        *listed == component || listed.strip_suffix(component).is_some_and(|prefix| prefix.ends_with('/'))
    };
    release.components.iter().find(is_it).map(String::as_str)
}
