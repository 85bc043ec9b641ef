//! The program under test.
//!
//! Cargo builds a package's binaries for that package's own integration tests only, so these tests ask cargo for the
//! binary themselves, once per test binary: with the profile and into the target directory that the tests themselves
//! are in. Where it is up to date that takes a moment; where it is not there, `cargo test -p rootstrap-tests` works
//! all the same. Cargo has released its lock by the time it runs tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the program is, built if need be.
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(build)
}

fn build() -> PathBuf {
    // TARGET/PROFILE/deps/TEST
    let test = std::env::current_exe().unwrap();
    let directory = test.ancestors().nth(2).unwrap();
    let profile = match directory.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        name => name,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "rootstrap", "--bin", "rootstrap", "--profile", profile]);
    cargo.arg("--target-dir").arg(directory.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells tests of their package would make build scripts think that theirs has changed.
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
    assert!(status.success(), "the program does not build");
    directory.join("rootstrap")
}
