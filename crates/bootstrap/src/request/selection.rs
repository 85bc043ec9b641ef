//! What to install.

use crate::error::Error;
use rootstrap_debian::arch;
use rootstrap_debian::preferences::Preference;
use rootstrap_resolve::Variant;

/// Which packages of which architectures are installed.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The Debian architecture of the root.
    pub architecture: String,
    /// Further architectures of the root, whose packages can be included as `name:arch`.
    pub add_architectures: Vec<String>,
    /// Which packages to start from.
    pub variant: Variant,
    /// Packages to add.
    pub include: Vec<String>,
    /// Packages that must not be installed.
    pub exclude: Vec<String>,
    /// Whether recommended packages are installed too.
    pub recommends: bool,
    /// Which versions are preferred. The target's apt gets these preferences too.
    pub preferences: Vec<Preference>,
}

impl Selection {
    /// Returns the default selection for an architecture.
    #[must_use]
    pub fn new(architecture: &str) -> Self {
        Self {
            architecture: architecture.to_owned(),
            add_architectures: Vec::new(),
            variant: Variant::default(),
            include: Vec::new(),
            exclude: Vec::new(),
            recommends: false,
            preferences: Vec::new(),
        }
    }

    /// Returns the native architecture and then the further ones, each once.
    #[must_use]
    pub fn architectures(&self) -> Vec<&str> {
        let mut all = vec![self.architecture.as_str()];
        for name in &self.add_architectures {
            if name != "all" && !all.contains(&name.as_str()) {
                all.push(name);
            }
        }
        all
    }
}

/// Returns the Debian architecture of a machine that calls itself `machine` (`uname -m`).
///
/// # Errors
/// Debian has no architecture for the machine.
pub fn native_architecture(machine: &str) -> Result<&'static str, Error> {
    arch::from_machine(machine).ok_or_else(|| Error::UnknownMachine { machine: machine.to_owned() })
}
