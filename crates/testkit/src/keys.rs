//! OpenPGP keys that tests generate, and the signatures that an archive makes with them.

use sequoia_openpgp as openpgp;

use crate::EPOCH;
use openpgp::Packet;
use openpgp::armor;
use openpgp::cert::{Cert, CertBuilder, CipherSuite, SubkeyRevocationBuilder};
use openpgp::crypto::KeyPair;
use openpgp::packet::UserID;
use openpgp::packet::key::{Key4, PrimaryRole, SecretParts};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::serialize::SerializeInto;
use openpgp::serialize::stream::{Armorer, Compressor, LiteralWriter, Message, Signer};
use openpgp::types::{CompressionAlgorithm, HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType};
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A certificate with its secret keys.
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
    /// How long the subkey is valid; as long as the primary key if `None`.
    pub subkey_valid_for: Option<Duration>,
    /// Whether the public certificate carries a revocation of the subkey.
    pub subkey_revoked: bool,
    /// The kind of the primary key. The kinds that no verifier should accept sign without a subkey.
    pub algorithm: Algorithm,
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519, which every verifier accepts.
    Ed25519,
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    /// DSA with a modulus of so many bits.
    Dsa(usize),
}

impl Default for KeyOptions {
    /// Returns a valid key that is five years older than the fixtures, so that tests can date fixtures back.
    fn default() -> Self {
        let created = EPOCH - 5 * 365 * 86_400;
        KeyOptions {
            created,
            valid_for: None,
            revoked: false,
            signing_subkey: false,
            subkey_valid_for: None,
            subkey_revoked: false,
            algorithm: Algorithm::Ed25519,
        }
    }
}

/// When and with which digest a signature is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamp {
    /// The signature's creation time in unix seconds; now if `None`.
    pub at: Option<u64>,
    /// How the data is digested.
    pub digest: SignatureDigest,
}

/// The digest that is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureDigest {
    /// SHA-512.
    #[default]
    Sha512,
    /// SHA-1, which every verifier must refuse for data.
    Sha1,
    /// MD5, which every verifier must refuse.
    Md5,
}

impl SignatureDigest {
    fn algorithm(self) -> HashAlgorithm {
        match self {
            SignatureDigest::Sha512 => HashAlgorithm::SHA512,
            SignatureDigest::Sha1 => HashAlgorithm::SHA1,
            SignatureDigest::Md5 => HashAlgorithm::MD5,
        }
    }
}

impl Key {
    /// A key that signs with its primary key and never expires.
    pub fn generate(name: &str) -> Key {
        Key::generate_with(name, &KeyOptions::default())
    }

    /// Returns a key with these options.
    pub fn generate_with(name: &str, options: &KeyOptions) -> Key {
        let user = format!("{name} <{}@example.invalid>", name.replace(|c: char| !c.is_alphanumeric(), "."));
        if options.algorithm != Algorithm::Ed25519 {
            return Key { cert: certificate_of(options, &user) };
        }
        let mut builder = CertBuilder::new()
            .set_cipher_suite(CipherSuite::Cv25519)
            .set_creation_time(time(options.created))
            .set_validity_period(options.valid_for)
            .add_userid(user);
        builder = match options.signing_subkey {
            true => builder.add_subkey(KeyFlags::empty().set_signing(), options.subkey_valid_for, None),
            false => builder.set_primary_key_flags(KeyFlags::empty().set_certification().set_signing()),
        };
        let (mut cert, revocation) = builder.generate().unwrap();
        if options.revoked {
            cert = cert.insert_packets(revocation).unwrap().0;
        }
        if options.subkey_revoked {
            cert = revoke_subkey(cert);
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

/// A certificate without subkeys whose key is of a kind that [`CertBuilder`] does not make.
fn certificate_of(options: &KeyOptions, user: &str) -> Cert {
    let mut key: Key4<SecretParts, PrimaryRole> = match options.algorithm {
        Algorithm::Rsa(bits) => Key4::generate_rsa(bits).unwrap(),
        Algorithm::Dsa(bits) => Key4::generate_dsa(bits).unwrap(),
        Algorithm::Ed25519 => panic!("CertBuilder makes these"),
    };
    key.set_creation_time(time(options.created)).unwrap();
    let key = openpgp::packet::Key::from(key);
    let mut signer = key.clone().into_keypair().unwrap();
    let user = UserID::from(user);
    let cert = Cert::try_from(vec![key.into()]).unwrap();
    let binding = SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_key_flags(KeyFlags::empty().set_certification().set_signing())
        .and_then(|builder| builder.set_key_validity_period(options.valid_for))
        .and_then(|builder| builder.set_signature_creation_time(time(options.created)))
        .unwrap();
    let binding = user.bind(&mut signer, &cert, binding).unwrap();
    cert.insert_packets([Packet::from(user), binding.into()]).unwrap().0
}

/// Adds a revocation of all subkeys by the primary key.
fn revoke_subkey(cert: Cert) -> Cert {
    let mut signer = cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let revocations: Vec<Packet> = (cert.keys().subkeys())
        .map(|subkey| {
            let reason =
                SubkeyRevocationBuilder::new().set_reason_for_revocation(ReasonForRevocation::KeyCompromised, b"");
            Packet::from(reason.unwrap().build(&mut signer, &cert, subkey.key(), None).unwrap())
        })
        .collect();
    cert.insert_packets(revocations).unwrap().0
}

/// `data` as an OpenPGP message of packets that carries its signature, which is not the cleartext framework: signed, and
/// compressed around that if `compress`.
pub fn signed_packets(key: &Key, data: &[u8], compress: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let armorer = Armorer::new(Message::new(&mut out)).build().unwrap();
    let sink = if compress {
        Compressor::new(armorer).algo(CompressionAlgorithm::Uncompressed).build().unwrap()
    } else {
        armorer
    };
    let signer = Signer::new(sink, key.signer()).unwrap().build().unwrap();
    let mut message = LiteralWriter::new(signer).build().unwrap();
    message.write_all(data).unwrap();
    message.finalize().unwrap();
    out
}

/// `data` as an OpenPGP message without a signature.
pub fn literal_packet(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let armorer = Armorer::new(Message::new(&mut out)).build().unwrap();
    let mut message = LiteralWriter::new(armorer).build().unwrap();
    message.write_all(data).unwrap();
    message.finalize().unwrap();
    out
}

/// `text` in the cleartext signature framework with one signature of each key, made now.
pub fn clearsign_many(keys: &[&Key], text: &[u8]) -> Vec<u8> {
    clearsign_with(keys, text, Stamp::default())
}

/// [`clearsign_many`] at a given time or with another digest.
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
    signer = signer.hash_algo(stamp.digest.algorithm()).unwrap();
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
        let dated = clearsign_with(&[&key], TEXT, Stamp { at: Some(EPOCH), ..Stamp::default() });
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
        let subkey = KeyOptions { signing_subkey: true, ..old.clone() };
        let subkey_expired = KeyOptions { subkey_valid_for: Some(Duration::from_secs(86_400)), ..subkey.clone() };
        let subkey_revoked = KeyOptions { subkey_revoked: true, ..subkey };
        let rsa = KeyOptions { algorithm: Algorithm::Rsa(1024), ..old.clone() };
        let strong = SignatureDigest::Sha512;
        for (why, options, digest) in [
            ("sha1", old.clone(), SignatureDigest::Sha1),
            ("md5", old, SignatureDigest::Md5),
            ("expired", expired, strong),
            ("revoked", revoked, strong),
            ("young", young, strong),
            ("subkey expired", subkey_expired, strong),
            ("subkey revoked", subkey_revoked, strong),
            ("rsa", rsa, strong),
        ] {
            let key = Key::generate_with("k", &options);
            let text = clearsign_with(&[&key], TEXT, Stamp { at: Some(EPOCH), digest });
            assert!(verify(&[&key], &text).is_err(), "{why}");
        }
    }
}
