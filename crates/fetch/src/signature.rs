//! OpenPGP: which bytes a key of the keyring vouches for.
//!
//! The rules (design §4): at least one good signature by a key of the keyring; a signature by such a key that does not
//! verify is fatal; unknown keys do not count; a key's expiry is judged when it signed, its revocation now; SHA-1 is
//! accepted for a key's binding to itself only, because Ubuntu's key of 2012 has no other, and never for data.

use crate::error::Error;
use openpgp::cert::prelude::*;
use openpgp::packet::Signature;
use openpgp::parse::Parse;
use openpgp::parse::stream::{
    DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationError, VerificationHelper, VerifierBuilder,
};
use openpgp::policy::{HashAlgoSecurity, StandardPolicy};
use openpgp::types::{HashAlgorithm, RevocationStatus};
use openpgp::{Cert, Fingerprint, KeyHandle, anyhow};
use sequoia_openpgp as openpgp;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use thiserror::Error as ThisError;

/// The keys that are trusted to sign a suite.
#[derive(Clone, Debug)]
pub struct Keyring(Arc<Vec<Cert>>);

impl Keyring {
    /// Reads keyrings, each binary or armored, each with any number of keys. Keys that cannot be parsed are left out,
    /// as long as one remains: old keyrings hold formats that nothing reads any more.
    ///
    /// # Errors
    /// A blob without any key, a GnuPG keybox, or no blob at all.
    pub fn from_bytes(blobs: &[&[u8]]) -> Result<Self, Error> {
        let fail = |source| Error::Keyring { source };
        // A key given twice is one key: what revokes it in one copy must count for the other.
        let mut certs: BTreeMap<String, Cert> = BTreeMap::new();
        for blob in blobs {
            // A keybox begins with a length and a type, then its magic.
            if blob.get(8..12) == Some(b"KBXf") {
                return Err(fail(KeyringProblem::Keybox));
            }
            let parser = CertParser::from_bytes(blob).map_err(|e| fail(KeyringProblem::Malformed(flat(&e))))?;
            let mut found = false;
            for cert in parser.flatten() {
                found = true;
                let name = cert.fingerprint().to_hex();
                let merged = match certs.remove(&name) {
                    Some(known) => known.merge_public(cert).map_err(|e| fail(KeyringProblem::Malformed(flat(&e))))?,
                    None => cert,
                };
                certs.insert(name, merged);
            }
            if !found {
                return Err(fail(KeyringProblem::Empty));
            }
        }
        if certs.is_empty() {
            return Err(fail(KeyringProblem::Empty));
        }
        Ok(Self(Arc::new(certs.into_values().collect())))
    }

    /// Fingerprints (upper-case hexadecimal) of the primary keys, sorted.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(|cert| cert.fingerprint().to_hex()).collect()
    }
}

/// Why a keyring could not be read.
#[derive(Debug, ThisError)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum KeyringProblem {
    #[error("it is a GnuPG keybox, not an OpenPGP keyring")]
    Keybox,
    #[error("it holds no key")]
    Empty,
    #[error("{0}")]
    Malformed(String),
}

impl KeyringProblem {
    pub(crate) fn hint(&self) -> Option<String> {
        matches!(self, Self::Keybox)
            .then(|| "convert it with: gpg --no-default-keyring --keyring FILE --export > keyring.pgp".to_owned())
    }
}

/// Why a signature does not make a file trustworthy. Keys are fingerprints or key ids in hexadecimal.
#[derive(Debug, ThisError)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SignatureProblem {
    #[error("the signature by {key} is bad: {reason}")]
    Bad { key: String, reason: String },
    #[error("the key {key} that signed it has been revoked")]
    Revoked { key: String },
    #[error("the signature by {key} was not valid when it was made: {reason}")]
    Expired { key: String, reason: String },
    #[error("the signature by {key} is too weak: {reason}")]
    Weak { key: String, reason: String },
    #[error("the key {key} that signed it cannot be used: {reason}")]
    Unusable { key: String, reason: String },
    #[error("it is signed by unknown keys only: {}", keys.join(", "))]
    Unknown { keys: Vec<String> },
    #[error("it is not signed: {reason}")]
    Unsigned { reason: String },
}

impl SignatureProblem {
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Bad { .. } => "the file was changed on its way: try another mirror with --mirror",
            Self::Unknown { .. } => "name the archive's keyring with --keyring FILE",
            Self::Revoked { .. } | Self::Expired { .. } | Self::Weak { .. } | Self::Unusable { .. } => {
                "a newer keyring may hold a better key: name it with --keyring FILE"
            }
            Self::Unsigned { .. } => "the mirror answered with something else: try another with --mirror",
        };
        Some(hint.to_owned())
    }

    /// Which of several problems is worth telling: a greater one hides the smaller ones.
    fn weight(&self) -> u8 {
        match self {
            Self::Bad { .. } => 6,
            Self::Revoked { .. } => 5,
            Self::Expired { .. } => 4,
            Self::Weak { .. } => 3,
            Self::Unusable { .. } => 2,
            Self::Unknown { .. } => 1,
            Self::Unsigned { .. } => 0,
        }
    }
}

/// What a signature vouches for, and the primary keys (fingerprints) whose signatures are good.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub bytes: Vec<u8>,
    pub keys: Vec<String>,
}

/// Verifies a message that carries its signatures, like `InRelease`. The bytes returned are what the verifier put out:
/// text around the signed part is not among them.
pub(crate) fn verify_inline(message: &[u8], keyring: &Keyring) -> Result<Vouched, SignatureProblem> {
    let policy = policy();
    let mut helper = Helper { keyring, policy: &policy, verdict: None };
    let mut bytes = Vec::with_capacity(message.len());
    let outcome = VerifierBuilder::from_bytes(message)
        .and_then(|builder| builder.with_policy(&policy, None, &mut helper))
        .and_then(|mut verifier| Ok(verifier.read_to_end(&mut bytes)?));
    helper.conclude(outcome.map(|_| bytes))
}

/// Verifies `message` against a separate signature, like `Release` and `Release.gpg`.
pub(crate) fn verify_detached(
    message: Vec<u8>,
    signature: &[u8],
    keyring: &Keyring,
) -> Result<Vouched, SignatureProblem> {
    let policy = policy();
    let mut helper = Helper { keyring, policy: &policy, verdict: None };
    let outcome = DetachedVerifierBuilder::from_bytes(signature)
        .and_then(|builder| builder.with_policy(&policy, None, &mut helper))
        .and_then(|mut verifier| verifier.verify_bytes(&message));
    helper.conclude(outcome.map(|()| message))
}

fn policy() -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::new();
    // Only where an attacker cannot choose both sides. Data signatures need collision resistance, which stays refused.
    policy.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
    policy
}

/// What the verifier asks: which keys there are, and whether it may hand out the bytes.
struct Helper<'a> {
    keyring: &'a Keyring,
    policy: &'a StandardPolicy<'static>,
    /// The keys of the good signatures or the refusal; kept here because errors of `check` come back wrapped.
    verdict: Option<Result<Vec<String>, SignatureProblem>>,
}

impl Helper<'_> {
    /// Bytes are good only when the verifier *and* the verdict say so.
    fn conclude(self, outcome: openpgp::Result<Vec<u8>>) -> Result<Vouched, SignatureProblem> {
        match (self.verdict, outcome) {
            (Some(Err(problem)), _) => Err(problem),
            (Some(Ok(keys)), Ok(bytes)) => Ok(Vouched { bytes, keys }),
            (_, Err(error)) => Err(SignatureProblem::Unsigned { reason: flat(&error) }),
            (None, Ok(_)) => Err(SignatureProblem::Unsigned { reason: "nothing was checked".to_owned() }),
        }
    }

    fn judge(&self, structure: MessageStructure<'_>) -> Result<Vec<String>, SignatureProblem> {
        let unsigned = |reason: &str| SignatureProblem::Unsigned { reason: reason.to_owned() };
        let mut layers = structure.into_iter();
        let (Some(MessageLayer::SignatureGroup { results }), None) = (layers.next(), layers.next()) else {
            return Err(unsigned("it is not a plain signed text"));
        };
        let mut good = Vec::new();
        let mut unknown = Vec::new();
        let mut worst: Option<SignatureProblem> = None;
        for result in results {
            let problem = match result {
                Ok(checked) => {
                    let cert = checked.ka.cert();
                    // The verifier looked at revocations as they were when the signature was made; a key revoked
                    // since may have been stolen, and a thief chooses the date.
                    if !self.is_revoked(cert, &checked.ka.key().fingerprint()) {
                        good.push(cert.fingerprint().to_hex());
                        continue;
                    }
                    SignatureProblem::Revoked { key: cert.fingerprint().to_hex() }
                }
                Err(VerificationError::MissingKey { sig }) => {
                    unknown.push(issuer(sig));
                    continue;
                }
                Err(error) => self.explain(error),
            };
            if worst.as_ref().is_none_or(|known| known.weight() < problem.weight()) {
                worst = Some(problem);
            }
        }
        match worst {
            Some(problem @ SignatureProblem::Bad { .. }) => Err(problem),
            _ if !good.is_empty() => Ok(good),
            Some(problem) => Err(problem),
            None if !unknown.is_empty() => Err(SignatureProblem::Unknown { keys: unknown }),
            None => Err(unsigned("it has no signature")),
        }
    }

    /// Whether the certificate, or the subkey of this fingerprint, is revoked by now.
    fn is_revoked(&self, cert: &Cert, key: &Fingerprint) -> bool {
        let is = |status: RevocationStatus<'_>| matches!(status, RevocationStatus::Revoked(_));
        is(cert.revocation_status(self.policy, None))
            || cert
                .keys()
                .subkeys()
                .filter(|subkey| subkey.key().fingerprint() == *key)
                .any(|subkey| is(subkey.bundle().revocation_status(self.policy, None)))
    }

    /// Names what is wrong with a signature by a key that is known, or that cannot be read at all.
    fn explain(&self, error: VerificationError<'_>) -> SignatureProblem {
        match error {
            VerificationError::UnboundKey { cert, error, .. } => {
                let (key, reason) = (cert.fingerprint().to_hex(), flat(&error));
                if is_policy(&error) {
                    SignatureProblem::Weak { key, reason }
                } else {
                    SignatureProblem::Unusable { key, reason }
                }
            }
            VerificationError::BadKey { ka, error, .. } => {
                let (key, reason) = (ka.cert().fingerprint().to_hex(), flat(&error));
                if self.is_revoked(ka.cert(), &ka.key().fingerprint()) {
                    SignatureProblem::Revoked { key }
                } else if is_expired(&error) {
                    SignatureProblem::Expired { key, reason }
                } else {
                    SignatureProblem::Unusable { key, reason }
                }
            }
            VerificationError::BadSignature { ka, error, .. } => {
                let (key, reason) = (ka.cert().fingerprint().to_hex(), flat(&error));
                if is_policy(&error) {
                    SignatureProblem::Weak { key, reason }
                } else if is_expired(&error) {
                    SignatureProblem::Expired { key, reason }
                } else {
                    SignatureProblem::Bad { key, reason }
                }
            }
            // Neither names a key of the keyring for certain, so neither can be held against it.
            VerificationError::MalformedSignature { error, .. } => SignatureProblem::Unsigned { reason: flat(&error) },
            VerificationError::UnknownSignature { sig } => {
                SignatureProblem::Unsigned { reason: sig.error().to_string() }
            }
            other => SignatureProblem::Unsigned { reason: other.to_string() },
        }
    }
}

impl VerificationHelper for &mut Helper<'_> {
    fn get_certs(&mut self, ids: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        let is_wanted = |cert: &&Cert| cert.keys().any(|key| ids.iter().any(|id| key.key().key_handle().aliases(id)));
        Ok(self.keyring.0.iter().filter(is_wanted).cloned().collect())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        let verdict = self.judge(structure);
        let refused = verdict.is_err();
        self.verdict = Some(verdict);
        // What is said here does not matter, only that it is an error: the verdict is read by `conclude`.
        if refused { Err(openpgp::Error::ManipulatedMessage.into()) } else { Ok(()) }
    }
}

fn issuer(signature: &Signature) -> String {
    signature.get_issuers().first().map_or_else(|| "(unnamed)".to_owned(), KeyHandle::to_hex)
}

fn is_policy(error: &anyhow::Error) -> bool {
    error.chain().any(|e| matches!(e.downcast_ref(), Some(openpgp::Error::PolicyViolation(..))))
}

fn is_expired(error: &anyhow::Error) -> bool {
    let is = |e: &openpgp::Error| matches!(e, openpgp::Error::Expired(_) | openpgp::Error::NotYetLive(_));
    error.chain().any(|e| e.downcast_ref().is_some_and(is))
}

/// The whole chain in one line: the library's types are no part of this crate's interface.
fn flat(error: &anyhow::Error) -> String {
    format!("{error:#}")
}
