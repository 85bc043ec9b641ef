//! A root filesystem that is compared.

use crate::compare::inventory::Inventory;
use serde_json::{Map, Value};

/// A root filesystem.
pub(crate) struct ComparedRoot {
    /// The architecture, and its variant after a slash, as images name them. Only images have one.
    pub platform: Option<String>,
    pub inventory: Inventory,
    /// The digests of its layers without compression.
    pub layers: Vec<String>,
    /// The settings of containers, without those that say nothing. Only images have some.
    pub settings: Option<Map<String, Value>>,
    /// The text of the lock that an attestation of the image has.
    pub lock: Option<String>,
    /// What is wrong with its form, one sentence each.
    pub findings: Vec<String>,
}
