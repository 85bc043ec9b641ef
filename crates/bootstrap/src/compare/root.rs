//! A root filesystem that is compared.

use crate::compare::inventory::Inventory;

/// A root filesystem.
pub(crate) struct ComparedRoot {
    /// The architecture, and its variant after a slash, as images name them. Only images have one.
    pub platform: Option<String>,
    pub inventory: Inventory,
    /// The digests of its layers without compression.
    pub layers: Vec<String>,
    /// The text of the lock that an attestation of the image has.
    pub lock: Option<String>,
    /// What is wrong with its form, one sentence each.
    pub findings: Vec<String>,
}
