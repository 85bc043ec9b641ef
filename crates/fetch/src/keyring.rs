//! Keyrings: the OpenPGP keys that a suite is signed with.

use crate::error::Error;
use crate::problem::KeyringProblem;
use openpgp::Cert;
use openpgp::armor::{Kind, Writer};
use openpgp::cert::prelude::*;
use openpgp::parse::Parse;
use openpgp::serialize::Serialize;
use sequoia_openpgp as openpgp;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

fn unwritable(error: &openpgp::anyhow::Error) -> Error {
    Error::Keyring { source: KeyringProblem::Malformed(format!("{error:#}")) }
}

/// The keys that are trusted to sign a suite.
#[derive(Clone, Debug, Default)]
pub struct Keyring(Arc<Vec<Cert>>);

impl Keyring {
    /// Reads keyrings, each binary or armored, each with any number of keys. Keys that cannot be parsed are left out as long as one
    /// key of the keyring remains, because old keyrings hold formats that no program reads any more.
    ///
    /// # Errors
    /// A keyring without any key, a GnuPG keybox, or no keyring at all.
    pub fn from_bytes(blobs: &[&[u8]]) -> Result<Self, Error> {
        let fail = |source| Error::Keyring { source };
        let malformed = |error: openpgp::anyhow::Error| fail(KeyringProblem::Malformed(format!("{error:#}")));
        // Copies of one key are merged: a revocation in one copy must count for the other.
        let mut certs: BTreeMap<String, Cert> = BTreeMap::new();
        for blob in blobs {
            // A keybox begins with a length and a type, then its magic number.
            if blob.get(8..12) == Some(b"KBXf") {
                return Err(fail(KeyringProblem::Keybox));
            }
            let parser = CertParser::from_bytes(blob).map_err(malformed)?;
            let mut found = false;
            for cert in parser.flatten() {
                found = true;
                let name = cert.fingerprint().to_hex();
                let merged = match certs.remove(&name) {
                    Some(known) => known.merge_public(cert).map_err(malformed)?,
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

    /// Returns the fingerprints of the primary keys in upper-case hexadecimal, sorted.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(|cert| cert.fingerprint().to_hex()).collect()
    }

    /// Returns the keys as a binary keyring, which every apt reads.
    ///
    /// # Errors
    /// A key cannot be written.
    pub fn to_binary(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.0.iter().try_for_each(|cert| cert.export(&mut bytes)).map_err(|error| unwritable(&error))?;
        Ok(bytes)
    }

    /// Returns the keys as armored text.
    ///
    /// # Errors
    /// A key cannot be written.
    pub fn to_armor(&self) -> Result<String, Error> {
        let write = || -> openpgp::Result<Vec<u8>> {
            let mut writer = Writer::new(Vec::new(), Kind::PublicKey)?;
            writer.write_all(&self.to_binary()?)?;
            Ok(writer.finalize()?)
        };
        let bytes = write().map_err(|error| unwritable(&error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the keys with their certificates.
    pub(crate) fn certs(&self) -> &[Cert] {
        &self.0
    }
}
