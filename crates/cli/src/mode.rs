//! The names of modes on the command line.

use rootstrap_bootstrap::privilege::Mode;

/// Parses the name of a mode.
pub(crate) fn parse(name: &str) -> Result<Mode, String> {
    Mode::from_name(name).ok_or_else(|| "it must be root, unshare, single or chroot".to_owned())
}
