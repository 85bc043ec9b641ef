//! The certificates of authorities that packages ship, bundled into one file as update-ca-certificates does.

use crate::error::{Error, Result, go_on};
use crate::link::link;
use base64::Engine;
use rootstrap_rootfs::{Kind, Root};
use std::sync::atomic::AtomicBool;

/// The directory in which the package ca-certificates ships certificates.
const CERTIFICATES: &str = "usr/share/ca-certificates";
/// The file that holds all of them.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// Links at the places where OpenSSL looks for certificates unless the environment names others.
const OPENSSL: [(&str, &str); 2] =
    [("usr/lib/ssl/certs", "/etc/ssl/certs"), ("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")];

/// A certificate that a package ships.
pub(crate) struct Certificate {
    /// The file name without its ending.
    pub name: String,
    /// The whole file.
    pub pem: Vec<u8>,
}

impl Certificate {
    /// Returns the first certificate of the file in binary form; `None` if the file has none.
    pub fn der(&self) -> Option<Vec<u8>> {
        let text = String::from_utf8_lossy(&self.pem);
        let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
        let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
        let body: String = body.split_ascii_whitespace().collect();
        base64::engine::general_purpose::STANDARD.decode(body).ok()
    }
}

/// Returns all certificates in the order in which ca-certificates lists them, which is the order of their paths.
pub(crate) fn read(root: &Root, cancel: &AtomicBool) -> Result<Vec<Certificate>> {
    let mut paths = Vec::new();
    if root.metadata(CERTIFICATES.as_bytes())?.is_some_and(|found| found.kind == Kind::Directory) {
        let directory = root.below(CERTIFICATES.as_bytes())?;
        rootstrap_rootfs::walk::<Error>(&directory, &mut |visit| {
            go_on(cancel)?;
            if visit.metadata.kind == Kind::File && visit.path.ends_with(b".crt") {
                paths.push([CERTIFICATES.as_bytes(), b"/", visit.path].concat());
            }
            Ok(true)
        })?;
    }
    // ca-certificates sorts whole paths, whereas a walk visits `a/x` before `a.crt`.
    paths.sort();
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        go_on(cancel)?;
        let name = rootstrap_rootfs::path::name(&path).strip_suffix(b".crt").unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        found.push(Certificate { name, pem: root.read(&path)?.unwrap_or_default() });
    }
    Ok(found)
}

/// Writes one file with all certificates, and the links by which OpenSSL finds it.
pub(crate) fn bundle(root: &Root, certificates: &[Certificate], epoch: i64) -> Result<()> {
    let mut bytes = Vec::new();
    for certificate in certificates {
        bytes.extend_from_slice(&certificate.pem);
        if !certificate.pem.ends_with(b"\n") {
            bytes.push(b'\n');
        }
    }
    root.create_directories(b"etc/ssl/certs", 0o755)?;
    root.write(BUNDLE.as_bytes(), &bytes, 0o644)?;
    OPENSSL.iter().try_for_each(|(path, target)| link(root, path, target.as_bytes(), epoch))
}
