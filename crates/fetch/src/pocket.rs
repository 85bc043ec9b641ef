//! Pockets: what is asked of an archive, and what the archive has proven to offer.

use crate::keyring::Keyring;
use rootstrap_debian::packages::Table;
use rootstrap_debian::release::Release;
use std::sync::Arc;

/// A part of a suite to read from an archive: the release itself, its updates, or its security fixes.
#[derive(Clone, Debug, Default)]
pub struct Pocket {
    /// The caller's name of it: `security`.
    pub name: String,
    /// Its path below `dists/`: `trixie-security`, `buster/updates`; with a slash at the end, the path of a flat repository below the
    /// base URI.
    pub suite: String,
    /// The moment of the archive, for a snapshot. Release files of one moment are never taken for those of another.
    pub moment: Option<String>,
    /// Base URIs (`http:`, `https:`, `file:`, `copy:`), tried in this order.
    pub mirrors: Vec<String>,
    /// Mirrors that are asked only if all of those answer that they do not have the pocket.
    pub fallback: Vec<String>,
    /// Components to read: `main`.
    pub components: Vec<String>,
    /// A variant of an architecture, whose name begins with that of the architecture: its indexes are read in place of the architecture's.
    pub variant: Option<String>,
    /// Whether the pocket is left out if no mirror has it. Otherwise that is an error.
    pub optional: bool,
    /// Whether the suite has ended: its `Valid-Until` passed long ago and is judged at its own `Date`.
    pub ended: bool,
    /// Whether nobody supports the suite any more, although it may not have moved to the archive of ended suites: its last Release stays
    /// as it is, so its keys are judged at its own `Date`.
    pub unsupported: bool,
    /// What makes it an archive beside the suite's own; `None` for a pocket of the suite.
    pub further: Option<Further>,
}

impl Pocket {
    /// Returns the name of the indexes of an architecture.
    pub(crate) fn indexed<'a>(&'a self, architecture: &'a str, release: &Release) -> &'a str {
        let variant = self.variant.as_deref().filter(|variant| variant.starts_with(architecture));
        variant.filter(|variant| release.architectures.iter().any(|listed| listed == variant)).unwrap_or(architecture)
    }
}

/// An archive beside that of the suite: a third party's, or one of the same vendor.
#[derive(Clone, Debug)]
pub struct Further {
    /// The keys that may sign it.
    pub keyring: Keyring,
    /// The architectures to read, of those of the session; all if empty.
    pub architectures: Vec<String>,
    /// Whether its Release file may have expired. Its keys may not.
    pub may_be_expired: bool,
}

/// How a Release is judged besides its signature.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The moment at which `Date` and `Valid-Until` are judged, in seconds since 1970: now, or a snapshot's date.
    pub now: i64,
    /// Whether a Release older than one seen before is accepted.
    pub allow_rollback: bool,
    /// Whether a Release is accepted whoever made it: neither signatures nor `Valid-Until` are looked at. Sizes, digests and names are
    /// checked all the same. Such a Release is not remembered.
    pub unsigned: bool,
}

/// A `Packages` index of a verified pocket.
#[derive(Debug)]
pub struct Index {
    pub(crate) component: String,
    pub(crate) architecture: String,
    pub(crate) packages: Arc<Table>,
}

impl Index {
    /// Returns the component as it was requested.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.component
    }

    /// Returns the requested architecture, or `all` for the separate index of an archive that has one. The index of a flat repository has
    /// packages of others too, and stands here once for each requested architecture.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Returns its packages, in its order.
    #[must_use]
    pub fn packages(&self) -> &Table {
        &self.packages
    }
}

/// A pocket whose Release is signed, unless [`Policy::unsigned`] is set, fresh, and the requested one, with the indexes that the Release
/// lists. Only this crate can make one.
#[derive(Debug)]
pub struct VerifiedPocket {
    pub(crate) name: String,
    pub(crate) suite: String,
    pub(crate) release: Release,
    pub(crate) text: String,
    pub(crate) keys: Vec<String>,
    pub(crate) mirrors: Vec<String>,
    pub(crate) moved_to: Option<String>,
    pub(crate) first_having: String,
    pub(crate) indexes: Vec<Index>,
}

impl VerifiedPocket {
    /// Returns [`Pocket::name`] of the requested pocket.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns [`Pocket::suite`] of the requested pocket.
    #[must_use]
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// Returns the parsed Release file.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Returns the text that the signature of the Release file covers, byte for byte.
    #[must_use]
    pub fn release_text(&self) -> &str {
        &self.text
    }

    /// Returns the fingerprints of the primary keys whose signatures are good, in the order of the signatures.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Returns the mirror that sent the Release; offline, the one that has the suite, as far as that is known. It contains the password, if there is
    /// one.
    #[must_use]
    pub fn mirror(&self) -> &str {
        self.mirrors.first().map_or("", String::as_str)
    }

    /// Returns the first mirror of the pocket that did not answer that it lacks it, whichever sent the Release.
    #[must_use]
    pub fn first_having(&self) -> &str {
        &self.first_having
    }

    /// Returns all mirrors without trailing slashes, the one that sent the Release first. They are the
    /// [`ListedDeb::mirrors`](crate::ListedDeb::mirrors) of the pocket's debs.
    #[must_use]
    pub fn mirrors(&self) -> &[String] {
        &self.mirrors
    }

    /// Returns the base URI that the Release came from, if a redirect led there from [`Self::mirror`].
    #[must_use]
    pub fn moved_to(&self) -> Option<&str> {
        self.moved_to.as_deref()
    }

    /// Returns the indexes, in the order of [`Pocket::components`].
    #[must_use]
    pub fn indexes(&self) -> &[Index] {
        &self.indexes
    }
}
