//! How the chores start cargo.

use std::path::Path;
use std::process::Command;

/// Returns a command that runs cargo in the source tree.
pub fn cargo(top: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(top);
    // Cargo sets variables about the package of this process. Build scripts would take them for a change and run again.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
            cargo.env_remove(&name);
        }
    }
    cargo
}
