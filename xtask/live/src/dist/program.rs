//! Builds the program without shared libraries, so that it starts on every Linux.

use crate::oracle::build::output;
use crate::project;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The profile of a release.
pub const RELEASE: &str = "dist";

/// The most bytes of a released program.
const MOST: u64 = 20_000_000;

/// Builds the program and returns its path.
///
/// Paths of this machine do not get into it. With `--target`, cargo builds macros and build scripts, which have to be shared libraries,
/// without these flags.
pub fn build(top: &Path, profile: &str) -> Result<PathBuf, String> {
    let target = target()?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))).ok_or("HOME is not set")?;
    let top = top.canonicalize().map_err(|error| format!("cannot find {}: {error}", top.display()))?;
    let places = [(home.as_path(), "/cargo"), (top.as_path(), "/rootstrap")];
    let mut rustc = vec!["-Ctarget-feature=+crt-static".to_owned()];
    // Crate `getrandom` would look for the function in shared libraries, find none, and need /dev/urandom, which an empty root lacks.
    rustc.extend(["--cfg", "getrandom_backend=\"linux_getrandom\""].map(str::to_owned));
    rustc.extend(places.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())));
    let gcc: Vec<String> =
        places.iter().map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display())).collect();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&top).args(["build", "--quiet", "--locked", "--package=rootstrap", "--profile", profile]);
    cargo.args(["--target", &target]);
    // Flags that hold for this target alone: the separator keeps paths with spaces whole.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rustc.join("\x1f")).env("CFLAGS", gcc.join(" "));
    let status = cargo.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err(format!(
            "cannot build a static program: cargo: {status}\nhint: the linker needs libc.a, which is part of libc6-dev, glibc-static or glibc"
        ));
    }
    let directory = if profile == "dev" { "debug" } else { profile };
    let program = project::target().join(&target).join(directory).join("rootstrap");
    let size = program.metadata().map_err(|error| format!("cannot find {}: {error}", program.display()))?.len();
    if profile == RELEASE && size > MOST {
        return Err(format!("the program has {size} bytes, more than the {MOST} that it may have"));
    }
    Ok(program)
}

/// Returns rustc's name for this machine.
pub fn target() -> Result<String, String> {
    let said = output(Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say which machine this is".to_owned())
}

/// Returns dpkg's name for the architecture of this machine.
pub fn arch() -> Result<&'static str, String> {
    Ok(match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "armhf",
        "riscv64" => "riscv64",
        "powerpc64" => "ppc64el",
        "s390x" => "s390x",
        other => return Err(format!("dpkg has no name for {other} here")),
    })
}
