//! OpenPGP signatures: which bytes a key of the keyring has signed.
//!
//! The rules:
//!
//! * At least one signature by a key of the keyring must be good.
//! * A signature by such a key that does not verify is fatal.
//! * Signatures by unknown keys do not count.
//! * A key must not have expired at the time of the signature. Whoever has the key chooses that time, so the key is judged again at
//!   the `Date` of the file, and, while the suite is supported, at the moment at which `Valid-Until` is judged.
//! * A key's revocation is judged at the time of the run.
//! * RSA keys of less than 2048 bits and DSA keys do not count, nor do signatures of data by way of MD5, SHA-1 or RIPEMD-160. The
//!   library refuses most of them by itself, from dates on that its versions may change.
//! * `InRelease` is one text in the cleartext framework, from its first line to its last. Other messages of OpenPGP may nest and
//!   compress packets, and a text around the signed one may mislead a reader.
//! * SHA-1 is accepted for a key's binding to itself, because Ubuntu's key of 2012 has no other, and never for data.

use crate::keyring::Keyring;
use crate::problem::SignatureProblem;
use openpgp::cert::amalgamation::key::ValidErasedKeyAmalgamation;
use openpgp::packet::Signature;
use openpgp::packet::key::PublicParts;
use openpgp::parse::Parse;
use openpgp::parse::stream::{
    DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationError, VerificationHelper, VerifierBuilder,
};
use openpgp::policy::{AsymmetricAlgorithm, HashAlgoSecurity, StandardPolicy};
use openpgp::types::{HashAlgorithm, RevocationStatus};
use openpgp::{Cert, Fingerprint, KeyHandle, anyhow};
use sequoia_openpgp as openpgp;
use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes that a key of the keyring has signed.
#[derive(Debug)]
pub(crate) struct SignedBytes {
    pub bytes: Vec<u8>,
    /// The good signatures.
    pub signatures: Vec<GoodSignature>,
}

/// A signature that verifies, by a key that was good when the signature says that it was made.
#[derive(Clone, Debug)]
pub(crate) struct GoodSignature {
    cert: Fingerprint,
    key: Fingerprint,
    made: SystemTime,
}

/// Returns the fingerprints of the primary keys of `signatures`, without those that have expired at `moment`, in seconds since 1970.
///
/// A signature that claims to be made after `moment` is judged at its own time, at which it was found good: an archive may sign an old
/// file again with a newer key.
pub(crate) fn keys_good_at(
    signatures: &[GoodSignature],
    moment: i64,
    keyring: &Keyring,
) -> Result<Vec<String>, SignatureProblem> {
    let policy = policy();
    let moment = UNIX_EPOCH + Duration::from_secs(moment.max(0).unsigned_abs());
    let (mut good, mut problem) = (Vec::new(), SignatureProblem::Unsigned { reason: "it has no signature".to_owned() });
    for signature in signatures {
        match is_good_at(signature, moment.max(signature.made), keyring, &policy) {
            Ok(()) => good.push(signature.cert.to_hex()),
            Err(error) => {
                problem = SignatureProblem::KeyExpired { key: signature.cert.to_hex(), reason: flat(&error) };
            }
        }
    }
    if good.is_empty() { Err(problem) } else { Ok(good) }
}

/// Checks that neither the certificate of a signature nor the key that made it has expired at `moment`.
fn is_good_at(
    signature: &GoodSignature,
    moment: SystemTime,
    keyring: &Keyring,
    policy: &StandardPolicy<'static>,
) -> openpgp::Result<()> {
    let is_it = |cert: &&Cert| cert.fingerprint() == signature.cert;
    let cert = keyring.certs().iter().find(is_it).ok_or_else(|| anyhow::anyhow!("the key is not in the keyring"))?;
    let cert = cert.with_policy(policy, moment)?;
    cert.alive()?;
    let is_it = |key: &ValidErasedKeyAmalgamation<'_, PublicParts>| key.key().fingerprint() == signature.key;
    let key = cert.keys().find(is_it).ok_or_else(|| anyhow::anyhow!("its subkey is not valid any more"))?;
    key.alive()
}

/// Verifies a message that carries its signatures, like `InRelease`. Returns only what the verifier put out, without any text
/// around the signed part.
pub(crate) fn verify_inline(message: &[u8], keyring: &Keyring) -> Result<SignedBytes, SignatureProblem> {
    if !is_cleartext(message) {
        return Err(SignatureProblem::Unsigned { reason: "it is not one plain signed text".to_owned() });
    }
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
    for algorithm in WEAK_KEYS {
        policy.reject_asymmetric_algo(algorithm);
    }
    for algorithm in [HashAlgorithm::MD5, HashAlgorithm::RipeMD, HashAlgorithm::SHA1] {
        policy.reject_hash(algorithm);
    }
    // Only where an attacker cannot choose both inputs. Signatures of data need collision resistance.
    policy.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
    policy
}

/// The kinds of keys that do not count. The number is that of the largest modulus minus one: `RSA1024` is every RSA key below 2048 bits.
const WEAK_KEYS: [AsymmetricAlgorithm; 5] = [
    AsymmetricAlgorithm::RSA1024,
    AsymmetricAlgorithm::DSA1024,
    AsymmetricAlgorithm::DSA2048,
    AsymmetricAlgorithm::DSA3072,
    AsymmetricAlgorithm::DSA4096,
];

/// The lines that begin a text in the cleartext framework, end its text and end its signature (RFC 9580 §7). A signed line cannot be
/// one of them, because the framework puts `- ` before each that begins with a dash.
const FRAME: [&[u8]; 3] =
    [b"-----BEGIN PGP SIGNED MESSAGE-----", b"-----BEGIN PGP SIGNATURE-----", b"-----END PGP SIGNATURE-----"];

/// Whether a message is one text in the cleartext framework and nothing else but blank lines around it.
fn is_cleartext(message: &[u8]) -> bool {
    let message = message.trim_ascii();
    let lines = message.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let frame: Vec<&[u8]> = lines.filter(|line| line.starts_with(b"-----")).collect();
    frame == FRAME && message.starts_with(FRAME[0]) && message.ends_with(FRAME[2])
}

/// Returns what stands in a text of the cleartext framework, without the frame (RFC 9580 §7), and any other text as it is. Nothing is
/// verified.
pub(crate) fn text_of(message: Vec<u8>) -> Vec<u8> {
    if !is_cleartext(&message) {
        return message;
    }
    let lines = message.trim_ascii().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    // Headers of the frame end with a blank line.
    let text = lines.skip_while(|line| !line.is_empty()).skip(1).take_while(|line| *line != FRAME[1]);
    let text = text.map(|line| line.strip_prefix(b"- ").unwrap_or(line));
    text.flat_map(|line| [line, b"\n"].concat()).collect()
}

/// Answers the verifier: which keys there are, and whether it may put out the bytes.
struct Helper<'a> {
    keyring: &'a Keyring,
    policy: &'a StandardPolicy<'static>,
    /// The good signatures, or why the message is refused. Kept here because the verifier wraps errors of `check`.
    verdict: Option<Result<Vec<GoodSignature>, SignatureProblem>>,
}

impl Helper<'_> {
    /// Returns the bytes if both the verifier and the verdict accept them.
    fn conclude(self, outcome: openpgp::Result<Vec<u8>>) -> Result<SignedBytes, SignatureProblem> {
        match (self.verdict, outcome) {
            (Some(Err(problem)), _) => Err(problem),
            (Some(Ok(signatures)), Ok(bytes)) => Ok(SignedBytes { bytes, signatures }),
            (_, Err(error)) => Err(SignatureProblem::Unsigned { reason: flat(&error) }),
            (None, Ok(_)) => Err(SignatureProblem::Unsigned { reason: "nothing was checked".to_owned() }),
        }
    }

    /// Returns the good signatures.
    fn good_signatures(&self, structure: MessageStructure<'_>) -> Result<Vec<GoodSignature>, SignatureProblem> {
        let unsigned = |reason: &str| SignatureProblem::Unsigned { reason: reason.to_owned() };
        let mut layers = structure.into_iter();
        let (Some(MessageLayer::SignatureGroup { results }), None) = (layers.next(), layers.next()) else {
            return Err(unsigned("it is not a plain signed text"));
        };
        let mut good: Vec<GoodSignature> = Vec::new();
        let mut unknown = Vec::new();
        let mut worst: Option<SignatureProblem> = None;
        for result in results {
            let problem = match result {
                Ok(checked) => {
                    let cert = checked.ka.cert();
                    // The verifier judges revocations at the time of the signature. A key that was revoked later may have been
                    // stolen, and a thief can choose that time.
                    let key = checked.ka.key().fingerprint();
                    if !self.is_revoked(cert, &key) {
                        let made = checked.sig.signature_creation_time().unwrap_or(UNIX_EPOCH);
                        good.push(GoodSignature { cert: cert.fingerprint(), key, made });
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
        let verdict = self.good_signatures(structure);
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
