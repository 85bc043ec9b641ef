//! Where packages come from and whom to trust.

use crate::error::Error;
use crate::request::lock_choice::LockChoice;
use rootstrap_debian::sources::Source;
use rootstrap_http::redact;
use std::path::PathBuf;

/// The suite, its mirrors, and the rules by which its signatures are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The codename, alias or version of the suite.
    pub suite: String,
    /// The name that was asked for, if that was an alias and the codename was found out.
    pub alias: Option<String>,
    /// Whether it is a suite of the mirrors' own, although the name is an alias of a listed one.
    pub is_own: bool,
    /// The names of the pockets to choose packages from (`release`, `updates`, `security`, `backports`); all but the last if
    /// empty. Names with a plus before them are added to these, or to those that are named without one.
    pub pockets: Vec<String>,
    /// The components to choose packages from; the vendor's default if empty.
    pub components: Vec<String>,
    /// The variant of the architecture whose packages are taken, as in `amd64v3`; the architecture itself if `None`.
    pub arch_variant: Option<String>,
    /// The mirrors to use instead of all others, in the order in which they are tried. The first is written into the target.
    pub mirrors: Vec<String>,
    /// Mirrors that packages may be fetched from as well. They are not written into the target.
    pub further_mirrors: Vec<String>,
    /// Services of snapshots that are asked, before the vendor's, for packages of a lock that the archive has dropped. The address has
    /// `{timestamp}` in the place of the moment.
    pub services: Vec<String>,
    /// The keyring files to trust instead of the suite's own.
    pub keyrings: Vec<PathBuf>,
    /// The moment at which expiry is judged, in seconds since 1970; the present if `None`.
    pub valid_at: Option<i64>,
    /// Whether a Release file is accepted that is older than the last one seen.
    pub allow_rollback: bool,
    /// Whether Release files are accepted whoever signed them, or nobody.
    pub unsigned: bool,
    /// The moment at which the archive is taken, from a service that has it as it was; the present if `None`.
    pub snapshot: Option<Snapshot>,
    /// Whether the target's apt gets its packages from the snapshot too.
    pub write_snapshot: bool,
    /// Whether /bin, /sbin and /lib are links into /usr; what the suite has if `None`.
    pub merged_usr: Option<bool>,
    /// Whether the target's apt sources are written as debootstrap writes them: one line for each suite in `/etc/apt/sources.list`, and
    /// keys only where those of the target's own packages do not suffice.
    pub plain_sources: bool,
    /// Archives beside the suite's own, whose packages are chosen from too. They are written into the target with their keys.
    pub further: Vec<FurtherSource>,
    /// The lock to build from; what the archive has now if `None`.
    pub lock: Option<LockChoice>,
}

/// Archives beside the suite's own, as an entry of apt's sources names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FurtherSource {
    /// The entry, without its keys.
    pub entry: Source,
    /// The armored keys that may sign it; the suite's own keys if `None`.
    pub keys: Option<String>,
}

impl FurtherSource {
    /// Returns address and suite of an entry for one archive.
    fn place(&self) -> (String, Option<&String>) {
        let uri = self.entry.uris.first().map(|uri| redact::userinfo(uri));
        (uri.unwrap_or_default(), self.entry.suites.first())
    }

    /// Adds another entry for the same archive and the same kind of packages.
    fn merge(&mut self, mut other: Self) -> Result<(), Error> {
        self.agree(&mut other)?;
        self.entry.source |= other.entry.source;
        for component in other.entry.components {
            if !self.entry.components.contains(&component) {
                self.entry.components.push(component);
            }
        }
        Ok(())
    }

    /// Gives two entries for one archive the same keys and options. Nothing is verified for one of source packages alone, so its keys and
    /// architectures need not be named.
    fn agree(&mut self, other: &mut Self) -> Result<(), Error> {
        let shown = format!("{} {}", redact::password(&other.entry.uris.join(" ")), other.entry.suites.join(" "));
        let contradiction = |what: &str| Error::FurtherSource {
            entry: shown.clone(),
            reason: format!("another source names the same archive with other {what}"),
            hint: "name it once, with the keys that sign it and all options",
        };
        let both_binary = self.entry.binary && other.entry.binary;
        let is_named = |source: &Self| source.keys.is_some() || source.entry.binary;
        if self.keys != other.keys && is_named(self) && is_named(other) {
            return Err(contradiction("keys"));
        }
        if both_binary && self.entry.architectures != other.entry.architectures {
            return Err(contradiction("architectures"));
        }
        let checks = [self.entry.check_valid_until, other.entry.check_valid_until];
        if let [Some(one), Some(two)] = checks
            && one != two
        {
            return Err(contradiction("options"));
        }
        self.entry.check_valid_until = checks.into_iter().flatten().next();
        other.entry.check_valid_until = self.entry.check_valid_until;
        self.keys = self.keys.take().or(other.keys.take());
        other.keys.clone_from(&self.keys);
        Ok(())
    }

    /// Returns the entry as a stanza with its keys, without user and password. It can be parsed again.
    pub(crate) fn to_text(&self) -> String {
        let mut entry = self.entry.clone();
        entry.uris.iter_mut().for_each(|uri| *uri = redact::userinfo(uri));
        entry.to_stanza(self.keys.as_deref())
    }
}

/// A moment of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Seconds since 1970. Services answer with the nearest earlier moment that they have.
    pub at: i64,
    /// The addresses of the services, with `{timestamp}` in the place of the moment; the vendor's if empty.
    pub services: Vec<String>,
}

impl Sources {
    /// Returns the further sources with one entry for each archive, because apt refuses two that differ in keys or options.
    ///
    /// # Errors
    /// Two entries for one archive contradict each other.
    pub(crate) fn merged_further(&self) -> Result<Vec<FurtherSource>, Error> {
        merged(self.further.iter())
    }

    /// Returns as [`Self::merged_further`] those that packages are installed from. Components of source packages alone are not among them.
    ///
    /// # Errors
    /// As for [`Self::merged_further`].
    pub(crate) fn merged_binary(&self) -> Result<Vec<FurtherSource>, Error> {
        merged(self.further.iter().filter(|source| source.entry.binary))
    }

    /// Returns the default sources of a suite.
    #[must_use]
    pub fn new(suite: &str) -> Self {
        Self { suite: suite.to_owned(), ..Self::default() }
    }
}

fn merged<'s>(sources: impl Iterator<Item = &'s FurtherSource>) -> Result<Vec<FurtherSource>, Error> {
    let mut all: Vec<FurtherSource> = Vec::new();
    for FurtherSource { entry, keys } in sources {
        for uri in entry.uris.iter().map(|uri| uri.trim_end_matches('/')) {
            for suite in &entry.suites {
                let entry = Source { uris: vec![uri.to_owned()], suites: vec![suite.clone()], ..entry.clone() };
                let one = FurtherSource { entry, keys: keys.clone() };
                let is_same =
                    |known: &&mut FurtherSource| known.place() == one.place() && known.entry.binary == one.entry.binary;
                match all.iter_mut().find(is_same) {
                    Some(known) => known.merge(one)?,
                    None => all.push(one),
                }
            }
        }
    }
    // An entry for source packages alone may have other components, but no other keys and options than that for packages.
    let (mut all, of_sources): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.entry.binary);
    for mut one in of_sources {
        if let Some(known) = all.iter_mut().find(|known| known.place() == one.place()) {
            known.agree(&mut one)?;
        }
        all.push(one);
    }
    // Suites that differ in nothing else are one entry.
    let mut grouped: Vec<FurtherSource> = Vec::new();
    for one in all {
        let same = |known: &&mut FurtherSource| {
            let suites = known.entry.suites.clone();
            known.keys == one.keys && known.entry == Source { suites, ..one.entry.clone() }
        };
        match grouped.iter_mut().find(same) {
            Some(known) => known.entry.suites.extend(one.entry.suites),
            None => grouped.push(one),
        }
    }
    Ok(grouped)
}
