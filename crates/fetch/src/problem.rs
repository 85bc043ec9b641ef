//! What can be wrong with keyrings and signatures.

use thiserror::Error;

/// Why a keyring cannot be read.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum KeyringProblem {
    #[error("it is a GnuPG keybox, not an OpenPGP keyring")]
    Keybox,
    #[error("it holds no key")]
    Empty,
    #[error("it is no OpenPGP keyring: {0}")]
    Malformed(String),
}

impl KeyringProblem {
    /// Says what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Keybox => "convert it with: gpg --no-default-keyring --keyring FILE --export > keyring.pgp",
            Self::Empty | Self::Malformed(_) => "name a file with the archive's public keys, as gpg --export writes it",
        }
        .to_owned()
    }
}

/// Why a signature does not make a file trustworthy. Keys are fingerprints or key ids in hexadecimal.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum SignatureProblem {
    #[error("the signature by {key} is bad: {reason}")]
    Bad { key: String, reason: String },
    #[error("the key {key} that signed it has been revoked")]
    Revoked { key: String },
    #[error("the signature by {key} was not valid when it was made: {reason}")]
    Expired { key: String, reason: String },
    #[error("the key {key} that signed it has expired: {reason}")]
    KeyExpired { key: String, reason: String },
    #[error("the signature by {key} is too weak: {reason}")]
    Weak { key: String, reason: String },
    #[error("the key {key} that signed it cannot be used: {reason}")]
    Unusable { key: String, reason: String },
    #[error("it is signed by unknown keys only: {}", keys.join(", "))]
    Unknown { keys: Vec<String> },
    #[error("it is not signed: it is a web page, not a Release file")]
    Page,
    #[error("it is not signed: {reason}")]
    Unsigned { reason: String },
}

impl SignatureProblem {
    /// Says what the user can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Bad { .. } => "the file was changed on its way: try another mirror with --mirror",
            Self::Unknown { .. } => "name the archive's keyring with --keyring FILE, or with signed-by in its --source",
            Self::Revoked { .. }
            | Self::Expired { .. }
            | Self::KeyExpired { .. }
            | Self::Weak { .. }
            | Self::Unusable { .. } => "a newer keyring may hold a better key: name it with --keyring FILE",
            Self::Page => {
                "this network or the mirror blocks the request: look at the address in a browser, or use another with --mirror"
            }
            Self::Unsigned { .. } => "the mirror answered with something else: try another with --mirror",
        };
        Some(hint.to_owned())
    }

    /// Returns how serious the problem is. Of several problems the most serious one is reported.
    pub(crate) fn severity(&self) -> u8 {
        match self {
            Self::Bad { .. } => 6,
            Self::Revoked { .. } => 5,
            Self::Expired { .. } | Self::KeyExpired { .. } => 4,
            Self::Weak { .. } => 3,
            Self::Unusable { .. } => 2,
            Self::Unknown { .. } => 1,
            Self::Unsigned { .. } | Self::Page => 0,
        }
    }
}
