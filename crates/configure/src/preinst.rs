//! Runs preinst scripts as dpkg runs them on a first installation (dpkg `src/main/unpack.c`,
//! `script.c:maintscript_exec`).

use crate::error::Error;
use crate::sandbox::Sandbox;
use rootstrap_rootfs::{Attributes, Root};
use std::io::Write;

/// Where dpkg keeps the control files of the package that it unpacks. debconf looks there for the package's name and its
/// templates.
const CONTROL_DIRECTORY: &str = "var/lib/dpkg/tmp.ci";

/// A package's preinst, and what dpkg provides for it.
pub struct Preinst<'a> {
    /// The package's name.
    pub package: &'a str,
    /// The package's architecture.
    pub architecture: &'a str,
    /// All control files of the package: name, mode, contents.
    pub members: Vec<(&'a str, u32, &'a [u8])>,
    /// The version of the dpkg that will configure the package.
    pub dpkg_version: &'a str,
}

/// Runs the preinst with the argument `install`. It may be any program. `line` receives each line that it prints.
///
/// # Errors
/// The script fails, or the tree cannot be changed.
pub fn run(sandbox: &mut Sandbox, root: &Root, preinst: &Preinst<'_>, line: &mut dyn FnMut(&str)) -> Result<(), Error> {
    root.remove_tree(CONTROL_DIRECTORY.as_bytes())?;
    root.at(CONTROL_DIRECTORY.as_bytes())?.create_directory(Attributes { mode: 0o755, uid: 0, gid: 0, mtime: 0 })?;
    for (name, mode, contents) in &preinst.members {
        let place = root.at(format!("{CONTROL_DIRECTORY}/{name}").as_bytes())?;
        place.create_file()?.write_all(contents).map_err(|error| place.error("write", error))?;
        place.set_owner(0, 0)?;
        place.set_mode(*mode)?;
    }
    let environment = [
        ("DPKG_MAINTSCRIPT_PACKAGE", preinst.package),
        ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
        ("DPKG_MAINTSCRIPT_ARCH", preinst.architecture),
        ("DPKG_MAINTSCRIPT_NAME", "preinst"),
        ("DPKG_MAINTSCRIPT_DEBUG", "0"),
        ("DPKG_RUNNING_VERSION", preinst.dpkg_version),
        ("DPKG_ROOT", ""),
        ("DPKG_ADMINDIR", "/var/lib/dpkg"),
    ];
    let script = format!("/{CONTROL_DIRECTORY}/preinst");
    let exit = sandbox.run(&[&script, "install"], &environment, line)?;
    root.remove_tree(CONTROL_DIRECTORY.as_bytes())?;
    exit.check(|| format!("run the preinst of {}", preinst.package))
}
