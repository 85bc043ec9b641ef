//! Why a request has no plan.

use rootstrap_debian::packages::Package;
use std::fmt::Display;

/// Why there is no plan. [`Error::hint`] returns what the user can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what the messages show")]
pub enum Error {
    /// No variant has that name. `known` are the names that exist, `nearest` those similar to it.
    #[error("cannot find the variant {name}")]
    UnknownVariant { name: String, nearest: Vec<String>, known: Vec<&'static str> },
    /// No index has a package of that name.
    #[error("cannot find the package {name} in the archive")]
    UnknownPackage { name: String, nearest: Vec<String> },
    /// No package has that name, but others provide it.
    #[error("cannot choose {name}: it is virtual, provided by {}", providers.join(", "))]
    VirtualPackage { name: String, providers: Vec<String> },
    /// The archive has the package, but not that version.
    #[error("cannot find version {version} of {name} in the archive, only {}", available.join(", "))]
    UnknownVersion { name: String, version: String, available: Vec<String> },
    /// The archive has the package, but not in that release.
    #[error("cannot find {name} in the release {release}, only {}", available.join(", "))]
    UnknownRelease { name: String, release: String, available: Vec<String> },
    /// An include or exclude is no package name, or names an architecture that the root does not have.
    #[error("cannot select {what}: {why}")]
    BadSelection { what: String, why: String },
    /// A field of a chosen package cannot be parsed.
    #[error("cannot use {package} {version}: its field {field} is {reason}")]
    Malformed { package: String, version: String, field: &'static str, reason: String },
    /// The request contradicts the archive or itself. `reasons` is the chain that shows it, one step each.
    #[error("cannot install these packages together:\n  {}", reasons.join("\n  "))]
    Unsatisfiable { reasons: Vec<String> },
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// The text is no saved plan.
    #[error("this is no plan: {reason}")]
    InvalidPlan { reason: String },
}

impl Error {
    /// Returns the error for a field of a package. `reason` completes "its field … is". Name and version come from the
    /// archive and may hold any character, so they are escaped.
    pub(crate) fn malformed(package: &Package<'_>, field: &'static str, reason: impl Display) -> Self {
        let escaped = |text: &str| text.escape_debug().to_string();
        let (package, version) = (escaped(package.name), escaped(package.version));
        Self::Malformed { package, version, field, reason: reason.to_string() }
    }

    /// Returns what the user can do about it, if something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownVariant { nearest, known, .. } if nearest.is_empty() => {
                Some(format!("the variants are {}", known.join(", ")))
            }
            Self::UnknownPackage { name, .. } if name.ends_with(".deb") => {
                Some(format!("a file is named with its directory: ./{name}"))
            }
            Self::UnknownVariant { nearest, .. } | Self::UnknownPackage { nearest, .. } if !nearest.is_empty() => {
                Some(format!("did you mean {}?", nearest.join(" or ")))
            }
            Self::UnknownPackage { .. } => {
                Some("it may be in another component, or not exist for this architecture".to_owned())
            }
            Self::VirtualPackage { .. } => Some("name one of them".to_owned()),
            Self::Unsatisfiable { reasons } if reasons.iter().any(|line| line.contains("excluded")) => {
                Some("drop the exclusion, or exclude what needs it too".to_owned())
            }
            Self::Unsatisfiable { .. } => {
                Some("leave one of them out, or add the pocket or component that has what is missing".to_owned())
            }
            Self::Malformed { .. } => Some("the archive's index is damaged: try another mirror".to_owned()),
            Self::UnknownRelease { .. } => Some(
                "a release is a suite or codename as its Release file names it, such as stable-backports".to_owned(),
            ),
            Self::BadSelection { .. } => {
                Some("patterns are those of apt-patterns(7), and a task is a word of the field Task".to_owned())
            }
            Self::UnknownVersion { .. } | Self::InvalidPlan { .. } | Self::Cancelled | Self::UnknownVariant { .. } => {
                None
            }
        }
    }
}
