//! What can stand between a request and a plan.

use rootstrap_debian::packages::Package;
use std::fmt::Display;

/// Why there is no plan. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what the messages show")]
pub enum Error {
    /// No variant has that name.
    #[error("cannot find the variant {name}")]
    UnknownVariant { name: String, nearest: Vec<String> },
    /// A name asked for is in no index.
    #[error("cannot find the package {name} in the archive")]
    UnknownPackage { name: String, nearest: Vec<String> },
    /// A name asked for is only provided by others.
    #[error("cannot choose {name}: it is virtual, provided by {}", providers.join(", "))]
    VirtualPackage { name: String, providers: Vec<String> },
    /// The package is there, that version is not.
    #[error("cannot find version {version} of {name} in the archive, only {}", available.join(", "))]
    UnknownVersion { name: String, version: String, available: Vec<String> },
    /// An include or exclude that is no package name, or one of another architecture.
    #[error("cannot select {what}: {why}")]
    BadSelection { what: String, why: String },
    /// A chosen package has a field that cannot be understood.
    #[error("cannot use {package} {version}: its field {field} is {reason}")]
    Malformed { package: String, version: String, field: &'static str, reason: String },
    /// The request contradicts the archive or itself: the chain that shows it, one step per line.
    #[error("cannot install these packages together:\n  {}", reasons.join("\n  "))]
    Unsatisfiable { reasons: Vec<String> },
    /// A saved plan that is not one.
    #[error("this is no plan: {reason}")]
    InvalidPlan { reason: String },
}

impl Error {
    /// `reason` completes "its field … is". Name and version are outside text and may hold anything, so they are escaped.
    pub(crate) fn malformed(package: &Package<'_>, field: &'static str, reason: impl Display) -> Self {
        let escaped = |text: &str| text.escape_debug().to_string();
        let (package, version) = (escaped(package.name), escaped(package.version));
        Self::Malformed { package, version, field, reason: reason.to_string() }
    }

    /// What the user can do, if there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownVariant { nearest, .. } if nearest.is_empty() => {
                let names: Vec<&str> = crate::Variant::ALL.iter().map(|variant| variant.name()).collect();
                Some(format!("the variants are {}", names.join(", ")))
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
            Self::UnknownVersion { .. }
            | Self::BadSelection { .. }
            | Self::InvalidPlan { .. }
            | Self::UnknownVariant { .. } => None,
        }
    }
}
