//! The program under test.
//!
//! Cargo builds a package's binaries only for that package's own integration tests. So each test binary asks cargo once to
//! build the program, with the profile and into the target directory of the tests themselves. If the program is up to date,
//! that takes a moment. Cargo no longer holds its lock when it runs tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the path of the program, which is built first if necessary.
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(build)
}

fn build() -> PathBuf {
    built(&["--package", "rootstrap", "--bin", "rootstrap"]).join("rootstrap")
}

/// Returns the path of an example of the library, which is built first if necessary.
pub fn example(name: &str) -> PathBuf {
    built(&["--package", "rootstrap-bootstrap", "--example", name]).join("examples").join(name)
}

/// Builds what these arguments of `cargo build` name, and returns the directory of what was built.
fn built(what: &[&str]) -> PathBuf {
    // TARGET/PROFILE/deps/TEST
    let test = std::env::current_exe().unwrap();
    let directory = test.ancestors().nth(2).unwrap();
    let profile = match directory.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        name => name,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--profile", profile]).args(what);
    cargo.arg("--target-dir").arg(directory.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    // Cargo describes the package of the tests in these variables. Build scripts that see them run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_"]
            .iter()
            .any(|start| text.starts_with(start))
        {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status().unwrap();
    assert!(status.success(), "{what:?} does not build");
    directory.to_owned()
}
