//! OpenPGP signatures: which bytes a key of the keyring has signed.
//!
//! The rules:
//!
//! * At least one signature by a key of the keyring must be good.
//! * A signature by such a key that does not verify is fatal.
//! * Signatures by unknown keys do not count.
//! * A key's expiry is judged at the time of the signature, its revocation at the time of the run.
//! * SHA-1 is accepted for a key's binding to itself, because Ubuntu's key of 2012 has no other, and never for data.

use crate::keyring::Keyring;
use crate::problem::SignatureProblem;
use openpgp::packet::Signature;
use openpgp::parse::Parse;
use openpgp::parse::stream::{
    DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationError, VerificationHelper, VerifierBuilder,
};
use openpgp::policy::{HashAlgoSecurity, StandardPolicy};
use openpgp::types::{HashAlgorithm, RevocationStatus};
use openpgp::{Cert, Fingerprint, KeyHandle, anyhow};
use sequoia_openpgp as openpgp;
use std::io::Read;

/// Bytes that a key of the keyring has signed.
#[derive(Debug)]
pub(crate) struct SignedBytes {
    pub bytes: Vec<u8>,
    /// Fingerprints of the primary keys whose signatures are good.
    pub keys: Vec<String>,
}

/// Verifies a message that carries its signatures, like `InRelease`. Returns only what the verifier put out, without any text
/// around the signed part.
pub(crate) fn verify_inline(message: &[u8], keyring: &Keyring) -> Result<SignedBytes, SignatureProblem> {
    let policy = policy();
    let mut helper = Helper { keyring, policy: &policy, verdict: None };
    let mut bytes = Vec::with_capacity(message.len());
    let outcome = VerifierBuilder::from_bytes(message)
        .and_then(|builder| builder.with_policy(&policy, None, &mut helper))
        .and_then(|mut verifier| Ok(verifier.read_to_end(&mut bytes)?));
    helper.conclude(outcome.map(|_| bytes))
}

/// Verifies `message` by a separate signature, like `Release` by `Release.gpg`.
pub(crate) fn verify_detached(
    message: Vec<u8>,
    signature: &[u8],
    keyring: &Keyring,
) -> Result<SignedBytes, SignatureProblem> {
    let policy = policy();
    let mut helper = Helper { keyring, policy: &policy, verdict: None };
    let outcome = DetachedVerifierBuilder::from_bytes(signature)
        .and_then(|builder| builder.with_policy(&policy, None, &mut helper))
        .and_then(|mut verifier| verifier.verify_bytes(&message));
    helper.conclude(outcome.map(|()| message))
}

fn policy() -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::new();
    // Only where an attacker cannot choose both inputs. Signatures of data need collision resistance, for which SHA-1 stays
    // refused.
    policy.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
    policy
}

/// Answers the verifier: which keys there are, and whether it may put out the bytes.
struct Helper<'a> {
    keyring: &'a Keyring,
    policy: &'a StandardPolicy<'static>,
    /// The keys of the good signatures, or why the message is refused. Kept here because the verifier wraps errors of `check`.
    verdict: Option<Result<Vec<String>, SignatureProblem>>,
}

impl Helper<'_> {
    /// Returns the bytes if both the verifier and the verdict accept them.
    fn conclude(self, outcome: openpgp::Result<Vec<u8>>) -> Result<SignedBytes, SignatureProblem> {
        match (self.verdict, outcome) {
            (Some(Err(problem)), _) => Err(problem),
            (Some(Ok(keys)), Ok(bytes)) => Ok(SignedBytes { bytes, keys }),
            (_, Err(error)) => Err(SignatureProblem::Unsigned { reason: flat(&error) }),
            (None, Ok(_)) => Err(SignatureProblem::Unsigned { reason: "nothing was checked".to_owned() }),
        }
    }

    /// Returns the fingerprints of the keys whose signatures are good.
    fn good_keys(&self, structure: MessageStructure<'_>) -> Result<Vec<String>, SignatureProblem> {
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
                    // The verifier judges revocations at the time of the signature. A key that was revoked later may have been
                    // stolen, and a thief can choose that time.
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
                Err(error) => self.problem(error),
            };
            if worst.as_ref().is_none_or(|known| known.severity() < problem.severity()) {
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

    /// Whether the certificate, or its subkey with this fingerprint, is revoked now.
    fn is_revoked(&self, cert: &Cert, key: &Fingerprint) -> bool {
        let is = |status: RevocationStatus<'_>| matches!(status, RevocationStatus::Revoked(_));
        is(cert.revocation_status(self.policy, None))
            || cert
                .keys()
                .subkeys()
                .filter(|subkey| subkey.key().fingerprint() == *key)
                .any(|subkey| is(subkey.bundle().revocation_status(self.policy, None)))
    }

    /// Returns what is wrong with a signature by a known key, or with one that cannot be read at all.
    fn problem(&self, error: VerificationError<'_>) -> SignatureProblem {
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
            // Neither names a key of the keyring for certain, so neither is a bad signature of such a key.
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
        Ok(self.keyring.certs().iter().filter(is_wanted).cloned().collect())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        let verdict = self.good_keys(structure);
        let refused = verdict.is_err();
        self.verdict = Some(verdict);
        // Any error makes the verifier stop; `conclude` reads the verdict.
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

/// Returns all causes in one line, because the library's types are not part of this crate's interface.
fn flat(error: &anyhow::Error) -> String {
    format!("{error:#}")
}
