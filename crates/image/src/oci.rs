//! A tree as a container image: an OCI image layout that is a docker-archive at the same time.
//!
//! In the order of use: [`layer()`] packs a tree, [`Image::new`] adds the configuration of its containers, [`Image::attest`] adds
//! statements about the build, and [`Layout::new`] joins the images of several platforms. A layout is written as one archive or
//! as a directory, or pushed blob by blob. Digests name its files, so equal trees give equal images.
//!
//! The terms are those of the OCI image specification 1.1: `config.md`, `manifest.md`, `image-index.md`, `image-layout.md`.

mod documents;
mod image;
mod layer;
mod layout;
mod platform;

pub use documents::Config;
pub use image::{Image, Statement};
pub use layer::{Layer, layer};
pub use layout::{Layout, Name};
pub use platform::Platform;

use sha2::{Digest, Sha256};
use std::fs::File;

/// A file of a layout that is named by its digest.
#[derive(Debug)]
pub struct Blob {
    /// The media type.
    pub media_type: &'static str,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The length in bytes.
    pub size: u64,
    /// The bytes.
    pub body: Body,
}

/// Where the bytes of a blob are: in memory or in a file.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file, from its beginning. The file may be without a name.
    File(File),
}

impl Blob {
    fn of_bytes(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: digest(Sha256::digest(&bytes).as_slice()),
            size: bytes.len() as u64,
            body: Body::Bytes(bytes),
        }
    }

    fn descriptor(&self) -> documents::Descriptor {
        documents::Descriptor::new(self.media_type, &self.digest, self.size)
    }
}

/// Returns a SHA-256 as the OCI image specification writes it (descriptor.md, "Digests").
fn digest(sha256: &[u8]) -> String {
    format!("sha256:{}", base16ct::lower::encode_string(sha256))
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
