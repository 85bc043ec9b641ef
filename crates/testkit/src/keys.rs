//! OpenPGP keys that tests generate, and the signatures that an archive makes with them.

use sequoia_openpgp as openpgp;

use crate::EPOCH;
use openpgp::armor;
use openpgp::cert::{Cert, CertBuilder, CipherSuite};
use openpgp::crypto::KeyPair;
use openpgp::serialize::SerializeInto;
use openpgp::serialize::stream::{Armorer, Message, Signer};
use openpgp::types::{HashAlgorithm, KeyFlags};
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An Ed25519 certificate with its secret key.
#[derive(Clone, Debug)]
pub struct Key {
    cert: Cert,
}

/// What [`Key::generate_with`] can vary.
#[derive(Clone, Debug)]
pub struct KeyOptions {
    /// Creation time in unix seconds. A signature made before it does not count.
    pub created: u64,
    /// How long the key is valid; for ever if `None`.
    pub valid_for: Option<Duration>,
    /// Whether the public certificate carries its own revocation.
    pub revoked: bool,
    /// Whether a subkey signs, as with Debian's archive keys, instead of the primary key.
    pub signing_subkey: bool,
}

impl Default for KeyOptions {
    /// Returns a valid key that is five years older than the fixtures, so that tests can date fixtures back.
    fn default() -> Self {
        let created = EPOCH - 5 * 365 * 86_400;
        KeyOptions { created, valid_for: None, revoked: false, signing_subkey: false }
    }
}

/// When and with which digest a signature is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamp {
    /// The signature's creation time in unix seconds; now if `None`.
    pub at: Option<u64>,
    /// Whether the data is digested with SHA-1, which every verifier must refuse.
    pub sha1: bool,
}

impl Key {
    /// A key that signs with its primary key and never expires.
    pub fn generate(name: &str) -> Key {
        Key::generate_with(name, &KeyOptions::default())
    }

    /// Returns a key with these options.
    pub fn generate_with(name: &str, options: &KeyOptions) -> Key {
        let mut builder = CertBuilder::new()
            .set_cipher_suite(CipherSuite::Cv25519)
            .set_creation_time(time(options.created))
            .set_validity_period(options.valid_for)
            .add_userid(format!("{name} <{}@example.invalid>", name.replace(|c: char| !c.is_alphanumeric(), ".")));
        builder = match options.signing_subkey {
            true => builder.add_signing_subkey(),
            false => builder.set_primary_key_flags(KeyFlags::empty().set_certification().set_signing()),
        };
        let (mut cert, revocation) = builder.generate().unwrap();
        if options.revoked {
            cert = cert.insert_packets(revocation).unwrap().0;
        }
        Key { cert }
    }

    /// The certificate, without secrets, in binary form.
    pub fn public(&self) -> Vec<u8> {
        self.cert.to_vec().unwrap()
    }

    /// The certificate, without secrets, ASCII-armored.
    pub fn public_armored(&self) -> Vec<u8> {
        self.cert.armored().to_vec().unwrap()
    }

    /// The certificate's fingerprint in upper-case hex without blanks.
    pub fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }

    /// `text` in the cleartext signature framework, as an `InRelease` file is, signed now.
    pub fn clearsign(&self, text: &[u8]) -> Vec<u8> {
        clearsign_many(&[self], text)
    }

    /// An armored detached signature, as in `Release.gpg`, made now.
    pub fn detached(&self, data: &[u8]) -> Vec<u8> {
        detached_with(&[self], data, Stamp::default())
    }

    fn signer(&self) -> KeyPair {
        // No policy is applied, because fixtures sign with expired and revoked keys too.
        let keys: Vec<_> = self.cert.keys().secret().collect();
        keys.last().unwrap().key().clone().into_keypair().unwrap()
    }
}

/// `text` in the cleartext signature framework with one signature of each key, made now.
pub fn clearsign_many(keys: &[&Key], text: &[u8]) -> Vec<u8> {
    clearsign_with(keys, text, Stamp::default())
}

/// [`clearsign_many`] at a given time or with SHA-1.
pub fn clearsign_with(keys: &[&Key], text: &[u8], stamp: Stamp) -> Vec<u8> {
    let mut out = Vec::new();
    // The line end before the signature is not signed. gpg uses the last line end of the text for it, so no empty line
    // comes before the signature. sequoia would add a second line end.
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    sign(signer(Message::new(&mut out), keys, stamp).cleartext(), text);
    out
}

/// An armored detached signature of each key, all in one block.
pub fn detached_with(keys: &[&Key], data: &[u8], stamp: Stamp) -> Vec<u8> {
    let mut out = Vec::new();
    let armorer = Armorer::new(Message::new(&mut out)).kind(armor::Kind::Signature).build().unwrap();
    sign(signer(armorer, keys, stamp).detached(), data);
    out
}

fn signer<'a>(sink: Message<'a>, keys: &[&Key], stamp: Stamp) -> Signer<'a> {
    let (first, rest) = keys.split_first().expect("a signature needs a key");
    let mut signer = Signer::new(sink, first.signer()).unwrap();
    for key in rest {
        signer = signer.add_signer(key.signer()).unwrap();
    }
    let hash = if stamp.sha1 { HashAlgorithm::SHA1 } else { HashAlgorithm::SHA512 };
    signer = signer.hash_algo(hash).unwrap();
    match stamp.at {
        Some(seconds) => signer.creation_time(time(seconds)),
        None => signer,
    }
}

fn sign(signer: Signer<'_>, text: &[u8]) {
    let mut message = signer.build().unwrap();
    message.write_all(text).unwrap();
    message.finalize().unwrap();
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openpgp::KeyHandle;
    use openpgp::parse::Parse;
    use openpgp::parse::stream::{
        DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationHelper, VerifierBuilder,
    };
    use openpgp::policy::StandardPolicy;
    use std::io::Read;

    struct Strict(Vec<Cert>);

    impl VerificationHelper for Strict {
        fn get_certs(&mut self, _: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
            Ok(self.0.clone())
        }

        fn check(&mut self, structure: MessageStructure) -> openpgp::Result<()> {
            for layer in structure {
                if let MessageLayer::SignatureGroup { results } = layer {
                    assert!(!results.is_empty());
                    for result in results {
                        result.map_err(|error| openpgp::anyhow::anyhow!("{error}"))?;
                    }
                }
            }
            Ok(())
        }
    }

    fn verify(keys: &[&Key], signed: &[u8]) -> openpgp::Result<Vec<u8>> {
        let policy = StandardPolicy::new();
        let certs = keys.iter().map(|key| Cert::from_bytes(&key.public()).unwrap()).collect();
        let mut verifier = VerifierBuilder::from_bytes(signed)?.with_policy(&policy, None, Strict(certs))?;
        let mut out = Vec::new();
        verifier.read_to_end(&mut out)?;
        Ok(out)
    }

    const TEXT: &[u8] = b"Origin: x\n- dashed\nSuite: y\n";

    #[test]
    fn what_is_signed_verifies() {
        let key = Key::generate("one");
        let sub = Key::generate_with("sub", &KeyOptions { signing_subkey: true, ..KeyOptions::default() });
        assert_eq!(verify(&[&key], &key.clearsign(TEXT)).unwrap(), TEXT.strip_suffix(b"\n").unwrap());
        let text = String::from_utf8(key.clearsign(TEXT)).unwrap();
        assert!(
            text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: x\n- - dashed\n"),
            "{text}"
        );
        assert!(text.contains("\nSuite: y\n-----BEGIN PGP SIGNATURE-----\n"), "{text}");
        verify(&[&key, &sub], &clearsign_many(&[&key, &sub], TEXT)).unwrap();
        let dated = clearsign_with(&[&key], TEXT, Stamp { at: Some(EPOCH), sha1: false });
        verify(&[&key], &dated).unwrap();
        verify(&[&sub], &key.clearsign(TEXT)).unwrap_err();
        let mut changed = key.clearsign(TEXT);
        let at = changed.iter().position(|b| *b == b'x').unwrap();
        changed[at] = b'z';
        verify(&[&key], &changed).unwrap_err();
    }

    #[test]
    fn detached_signatures_verify() {
        let key = Key::generate("one");
        let policy = StandardPolicy::new();
        let cert = Cert::from_bytes(&key.public_armored()).unwrap();
        assert!(!cert.is_tsk());
        let signature = key.detached(TEXT);
        let mut verifier = DetachedVerifierBuilder::from_bytes(&signature)
            .unwrap()
            .with_policy(&policy, None, Strict(vec![cert]))
            .unwrap();
        verifier.verify_bytes(TEXT).unwrap();
    }

    #[test]
    fn weak_expired_revoked_and_too_young_keys_are_refused() {
        let old = KeyOptions::default();
        let expired = KeyOptions { valid_for: Some(Duration::from_secs(86_400)), ..old.clone() };
        let revoked = KeyOptions { revoked: true, ..old.clone() };
        let young = KeyOptions { created: EPOCH + 1, ..old.clone() };
        for (why, options, sha1) in
            [("sha1", old, true), ("expired", expired, false), ("revoked", revoked, false), ("young", young, false)]
        {
            let key = Key::generate_with("k", &options);
            let text = clearsign_with(&[&key], TEXT, Stamp { at: Some(EPOCH), sha1 });
            assert!(verify(&[&key], &text).is_err(), "{why}");
        }
    }
}
