//! The digest of values, whatever text they are written in.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Returns the SHA-256 of a value in hexadecimal. Only values count, not how a text writes them.
pub(crate) fn digest_of(value: &impl Serialize) -> String {
    // The values of a lock can be written as JSON, and the fields of a struct have an order.
    let digest = Sha256::digest(serde_json::to_vec(value).unwrap_or_default());
    format!("{:x}", base16ct::HexDisplay(&digest))
}
