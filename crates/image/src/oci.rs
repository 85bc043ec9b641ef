//! A tree as a container image: an OCI image layout that is a docker-archive at the same time.
//!
//! In the order of use: [`layer`] packs a tree, [`Image::new`] says what its container does, [`Image::attest`] adds what is
//! known of its making, and [`Layout::new`] binds images of several platforms into one. A layout is written as one archive,
//! as a directory, or pushed blob by blob. Its files are named by their digests, so equal trees make equal images.
//!
//! The words are those of the OCI image specification 1.1: `config.md`, `manifest.md`, `image-index.md`, `image-layout.md`.

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
use std::fmt::Write as _;
use std::fs::File;

/// Something a layout holds under its digest.
#[derive(Debug)]
pub struct Blob {
    /// What it is.
    pub media_type: &'static str,
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// Length in bytes.
    pub size: u64,
    /// Its bytes.
    pub body: Body,
}

/// Where the bytes of a blob are.
#[derive(Debug)]
pub enum Body {
    /// Here.
    Bytes(Vec<u8>),
    /// In a file, from its beginning; it need not have a name.
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

/// A SHA-256 as the specification writes it.
fn digest(bytes: &[u8]) -> String {
    bytes.iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
