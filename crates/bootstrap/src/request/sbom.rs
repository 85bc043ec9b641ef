//! How the names of SBOMs say in which format and for which platform they are.

use std::path::{Path, PathBuf};

/// The formats of an SBOM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SbomFormat {
    Spdx,
    CycloneDx,
}

/// The ends of names and their formats, by the formats' own conventions. The first that fits counts.
const ENDINGS: [(&str, SbomFormat); 5] = [
    (".spdx.json", SbomFormat::Spdx),
    (".spdx", SbomFormat::Spdx),
    (".cdx.json", SbomFormat::CycloneDx),
    (".cdx", SbomFormat::CycloneDx),
    ("bom.json", SbomFormat::CycloneDx),
];

impl SbomFormat {
    /// Returns the format that a name asks for.
    pub fn from_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
    }
}

/// Returns the name of the SBOM for one of several platforms: `app.spdx.json` becomes `app.arm64.spdx.json`.
pub(crate) fn of_platform(path: &Path, architecture: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let split = ENDINGS.iter().find_map(|(ending, _)| Some((name.strip_suffix(ending)?, *ending)));
    let (stem, ending) = split.unwrap_or((&name, ""));
    let parts = [stem.trim_end_matches(['.', '-', '_']), architecture, ending.trim_start_matches('.')];
    path.with_file_name(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("."))
}
