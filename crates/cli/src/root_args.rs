//! The arguments that say how roots are made on this machine, for all commands that make some.

use clap::ValueEnum;
use rootstrap_bootstrap::privilege::Mode;
use rootstrap_bootstrap::{Machine, StagingPlace};
use std::path::PathBuf;

/// With which rights roots are made, where they grow, and whether the disk is waited for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RootArgs {
    /// How to get the rights to read and keep all owners: root, unshare (users with a range in /etc/subuid), single (all others) or
    /// chroot (root of a plain container); by default the best that works
    #[arg(long, value_name = "MODE", value_parser = crate::mode::parse)]
    pub mode: Option<Mode>,

    /// Where the root grows before it is moved to TARGET; in memory, nothing is left behind whatever happens
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    pub staging: Staging,

    #[command(flatten)]
    pub emulation: EmulationArgs,

    /// If a script fails, keep the tree in a new directory, for `rootstrap enter`; by default below TMPDIR
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub keep_failed: Option<PathBuf>,

    /// Whether to wait until the result is on the disk
    #[arg(long, value_name = "YES|NO", default_value = "yes", value_parser = ["yes", "no"])]
    pub sync: String,
}

impl RootArgs {
    /// Sets where roots grow, and whether the disk is waited for.
    pub(crate) fn apply(&self, machine: &mut Machine) {
        machine.staging = self.staging.into();
        self.emulation.apply(machine);
        machine.keep_failed = self.keep_failed.as_ref().map(|path| match path.as_os_str().is_empty() {
            true => machine.temporary.join(format!("rootstrap-failed-{}", std::process::id())),
            // The working directory may change.
            false => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
        });
        machine.sync = self.sync == "yes";
    }
}

/// How programs of another architecture run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EmulationArgs {
    /// Which programs of another architecture are emulated; in the place of others, native ones run, with the same result
    #[arg(long, value_name = "WHICH", default_value = "needed")]
    emulate: Emulate,
}

impl EmulationArgs {
    /// Sets what is emulated.
    pub(crate) fn apply(&self, machine: &mut Machine) {
        machine.emulates_all = matches!(self.emulate, Emulate::All);
    }
}

/// Which programs of another architecture are emulated.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Emulate {
    /// Those that no native program can take the place of
    Needed,
    /// All
    All,
}

/// Where the root grows.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Staging {
    /// In memory if half of the available memory suffices, otherwise on disk
    Auto,
    /// In memory
    Memory,
    /// Beside a directory; for archives in TMPDIR
    Disk,
}

impl From<Staging> for StagingPlace {
    fn from(staging: Staging) -> Self {
        match staging {
            Staging::Auto => Self::Auto,
            Staging::Memory => Self::Memory,
            Staging::Disk => Self::Disk,
        }
    }
}
