//! Where packages come from and whom to trust.

use crate::request::lock_choice::LockChoice;
use rootstrap_debian::sources::Source;
use rootstrap_http::redact;
use std::path::PathBuf;

/// The suite, its mirrors, and the rules by which its signatures are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The codename, alias or version of the suite.
    pub suite: String,
    /// The names of the pockets to choose packages from (`release`, `updates`, `security`, `backports`); all but the last if
    /// empty. Names with a plus before them are added to these, or to those that are named without one.
    pub pockets: Vec<String>,
    /// The components to choose packages from; the vendor's default if empty.
    pub components: Vec<String>,
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
    /// The moment at which the archive is taken, from a service that has it as it was; the present if `None`.
    pub snapshot: Option<Snapshot>,
    /// Whether the target's apt gets its packages from the snapshot too.
    pub write_snapshot: bool,
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
    /// Returns the default sources of a suite.
    #[must_use]
    pub fn new(suite: &str) -> Self {
        Self { suite: suite.to_owned(), ..Self::default() }
    }
}
