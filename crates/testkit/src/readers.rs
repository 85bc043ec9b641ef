//! Reads documents with the tools of the formats' authors. The tools are libraries of the Python that
//! `ROOTSTRAP_TEST_PYTHON` names.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Formats that [`complaints`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// SPDX 2.3 as JSON: spdx-tools.
    Spdx,
    /// CycloneDX 1.6 as JSON: cyclonedx-python-lib with its schemas.
    CycloneDx,
    /// An in-toto statement of an SBOM or of provenance: in-toto-attestation.
    Statement,
}

/// Returns the path of the Python that has the libraries.
///
/// # Errors
/// `ROOTSTRAP_TEST_PYTHON` is not set. The text says how to get such a Python.
pub fn python() -> Result<PathBuf, String> {
    std::env::var_os("ROOTSTRAP_TEST_PYTHON").map(PathBuf::from).ok_or_else(|| {
        "ROOTSTRAP_TEST_PYTHON names no Python with spdx-tools and the like (.ci/run makes one)".to_owned()
    })
}

/// Returns the complaints of the format's own tool about a document, a line each. Where the tool cannot read the
/// document at all, this is what it prints.
pub fn complaints(python: &Path, format: Format, document: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document).unwrap();
    let name = match format {
        Format::Spdx => "spdx",
        Format::CycloneDx => "cyclonedx",
        Format::Statement => "statement",
    };
    let script = include_str!("readers.py");
    let output = Command::new(python).args(["-W", "ignore", "-c", script, name]).arg(file.path()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() || !said.is_empty(), "{} says nothing and fails", python.display());
    String::from_utf8_lossy(&said).into_owned()
}
