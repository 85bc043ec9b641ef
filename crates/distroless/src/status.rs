//! The list of packages that vulnerability scanners read in a tree without dpkg.

use crate::error::Result;
use rootstrap_rootfs::Root;

/// The directory in which scanners look for packages in a tree without dpkg.
const STATUS: &str = "var/lib/dpkg/status.d";

/// The parts of an unpacked package that scanners read.
#[derive(Clone, Copy, Debug)]
pub struct Package<'p> {
    /// The name of the package.
    pub name: &'p str,
    /// The architecture of the package.
    pub architecture: &'p str,
    /// The control file, as the package ships it.
    pub control: Option<&'p [u8]>,
    /// The digests of the package's files, as the package ships them.
    pub md5sums: Option<&'p [u8]>,
}

/// Lists an unpacked package for scanners. A package of another architecture than `native` has its architecture in the file
/// name.
///
/// # Errors
/// The tree cannot be changed.
pub fn register(root: &Root, package: &Package<'_>, native: &str) -> Result<()> {
    root.create_directories(STATUS.as_bytes(), 0o755)?;
    let is_native = package.architecture == native || package.architecture == "all";
    let suffix = if is_native { String::new() } else { format!(":{}", package.architecture) };
    for (contents, ending) in [(package.control, ""), (package.md5sums, ".md5sums")] {
        if let Some(contents) = contents {
            let path = format!("{STATUS}/{}{suffix}{ending}", package.name);
            root.write(path.as_bytes(), contents, 0o644)?;
        }
    }
    Ok(())
}
