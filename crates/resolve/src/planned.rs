//! One package of a plan, and what its fields may hold.

use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::is_relative_path;
use rootstrap_debian::{arch, relation};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One package of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The package's name.
    pub name: String,
    /// The version, with the epoch.
    pub version: String,
    /// The architecture, or `all`.
    pub architecture: String,
    /// Length of the .deb in bytes.
    pub size: u64,
    /// The installed size in bytes, as its maintainer estimated it; 0 if not stated.
    pub installed_size: u64,
    /// The caller's number of the pocket to fetch it from.
    pub pocket: usize,
    /// The component of its index.
    pub component: String,
    /// The path of the .deb below the mirror's address.
    pub path: String,
    /// The digest that the .deb must have.
    #[serde(serialize_with = "digest_to_hex", deserialize_with = "digest_from_hex")]
    pub digest: Digest,
    /// Whether it is `Essential: yes`.
    pub essential: bool,
    /// Whether it was installed only as a dependency (what `apt-mark showauto` would list). Dependencies of essential
    /// packages do not count, because apt never removes them.
    pub automatic: bool,
    /// The index's `Multi-Arch`.
    pub multi_arch: String,
    /// The index's `Priority`. Archives override the package's own value.
    pub priority: String,
    /// The index's `Section`. Archives override the package's own value.
    pub section: String,
    /// The index's `Source`; empty if it is the package's own name.
    pub source: String,
    /// Why it is in the plan: `included`, `essential`, `priority` or `variant` (the variant selects it), `suite` (the suite's rules do),
    /// or `needed by NAME` or `recommended by NAME`. It decides nothing.
    #[serde(default)]
    pub why: String,
    /// Why it is this version: `only version`, `newest version`, `asked for` or `priority N`; of a locked package `locked`. It decides nothing.
    #[serde(default)]
    pub choice: String,
}

impl Planned {
    /// Returns the first field whose value is not safe to use. Names, versions and architectures become parts of file names,
    /// paths become parts of addresses, and every field is printed in one line of text.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        let version = |c: char| c.is_ascii_alphanumeric() || ".+-~:_".contains(c);
        [
            ("Package", relation::is_package_name(&self.name)),
            (
                "Version",
                self.version.starts_with(|c: char| c.is_ascii_alphanumeric()) && self.version.chars().all(version),
            ),
            ("Architecture", arch::is_valid(&self.architecture)),
            ("Filename", is_relative_path(&self.path) && !self.path.contains(|c: char| c.is_control() || c == ' ')),
            ("Component", !self.component.contains(char::is_control)),
            ("Multi-Arch", !self.multi_arch.contains(char::is_control)),
            ("Priority", !self.priority.contains(char::is_control)),
            ("Section", !self.section.contains(char::is_control)),
            ("Source", !self.source.contains(char::is_control)),
            ("why", !self.why.contains(char::is_control)),
            ("choice", !self.choice.contains(char::is_control)),
        ]
        .into_iter()
        .find_map(|(field, good)| (!good).then_some(field))
    }
}

fn digest_to_hex<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

fn digest_from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let text = String::deserialize(deserializer)?;
    Digest::parse(&text).map_err(serde::de::Error::custom)
}
