//! `cargo xtask dpkgs`: runs the component tests of the crate `unpack` beside the dpkg of each suite, because that is where users' dpkg
//! comes from. Each dpkg runs in an essential system of its suite that rootstrap makes.

use crate::arguments::{self, list};
use crate::oracle::build::{self, Build, output};
use crate::oracle::matrix::Set;
use crate::project;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const USAGE: &str = "usage: cargo xtask dpkgs [--suite S[,S]] [--mirror URL] [--ours PROGRAM]

Must be root. Without --suite, the suites are those that Debian supports or prepares.";

const SUITES: [&str; 5] = ["bullseye", "bookworm", "trixie", "forky", "sid"];

/// The programs of dpkg that the tests start.
const TOOLS: [&str; 4] = ["dpkg", "dpkg-deb", "dpkg-divert", "dpkg-statoverride"];

/// Runs the tests beside the dpkg of each suite, and prints a line for each.
pub fn run(args: &[String]) -> Result<(), String> {
    let mut suites = SUITES.map(str::to_owned).to_vec();
    let (mut mirror, mut ours) = (None, None);
    let words = arguments::split(args);
    let mut words = words.iter();
    while let Some(name) = words.next() {
        let mut value = || arguments::value(name, &mut words);
        match name.as_str() {
            "--suite" => suites = list(&value()?),
            "--mirror" => mirror = Some(value()?),
            "--ours" => ours = Some(arguments::program(&value()?)?.into()),
            _ => return Err(format!("what is {name}?\n{USAGE}")),
        }
    }
    if !rustix::process::getuid().is_root() {
        return Err("must be root: dpkg runs in a root of its own".to_owned());
    }
    let program = ours.map_or_else(build::our_program, Ok)?;
    let tests = tests()?;
    let mut failed = Vec::new();
    for suite in &suites {
        match try_suite(suite, mirror.as_deref(), &program, &tests)? {
            Outcome::Equal(version) => println!("dpkg {version} of {suite}: all tests pass"),
            Outcome::Unreachable(error) => println!("skipped: {suite}: its archive does not answer: {error}"),
            Outcome::Failed(text) => {
                println!("{text}\nthe dpkg of {suite}: tests fail");
                failed.push(suite.as_str());
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("tests fail beside the dpkg of {}", failed.join(", "))) }
}

/// Builds the tests and returns the path of their program. All of the workspace is built, as `cargo test --workspace` does it: alone,
/// cargo would build some libraries again with fewer features.
fn tests() -> Result<PathBuf, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--workspace", "--no-run", "--message-format=json"]).current_dir(project::directory());
    for line in output(&mut cargo)?.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let of_unpack =
            message["manifest_path"].as_str().is_some_and(|path| path.ends_with("crates/unpack/Cargo.toml"));
        if of_unpack
            && message["target"]["name"] == "component"
            && let Some(path) = message["executable"].as_str()
        {
            return Ok(path.into());
        }
    }
    Err("cargo names no component tests of the crate unpack".to_owned())
}

enum Outcome {
    /// The version of dpkg.
    Equal(String),
    Unreachable(String),
    /// What the tests said.
    Failed(String),
}

fn try_suite(name: &str, mirror: Option<&str>, program: &Path, tests: &Path) -> Result<Outcome, String> {
    let suite = build::suite(name)?;
    let mirror = mirror.map_or_else(|| suite.mirror(), str::to_owned);
    let (epoch, expired) = match build::release_date(&mirror, name) {
        Ok(date) => date,
        Err(error) => return Ok(Outcome::Unreachable(error)),
    };
    let told = |error: std::io::Error| format!("cannot prepare the dpkg of {name}: {error}");
    let scratch = tempfile::Builder::new().prefix("dpkgs-").tempdir_in("/var/tmp").map_err(told)?;
    let (root, temporary, tools) =
        (scratch.path().join("root"), scratch.path().join("tmp"), scratch.path().join("bin"));
    let set = Set::default();
    let (variant, arch) = ("essential", None);
    let build =
        Build { suite: &suite, variant, set: &set, arch, mirror: &mirror, epoch, expired, work: scratch.path() };
    build::logged(build.ours(program, "mmdebstrap", &[]).arg(&root), &scratch.path().join("log"))?;
    for directory in [&temporary, &tools] {
        fs::create_dir(directory).map_err(told)?;
    }
    for tool in TOOLS {
        let path = tools.join(tool);
        let root = root.display();
        let script =
            format!("#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec chroot {root} /usr/bin/{tool} \"$@\"\n");
        fs::write(&path, script)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o755)))
            .map_err(told)?;
    }
    // The tests' own files are in memory, and have the same paths inside.
    let script = "mount -t tmpfs tmpfs $TMPDIR && mkdir -p $0$TMPDIR && mount --bind $TMPDIR $0$TMPDIR &&
        mount --bind /proc $0/proc && dpkg --version && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(&root)
        .arg(tests)
        .current_dir(project::directory().join("crates/unpack"));
    let host = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{host}", tools.display())).env("TMPDIR", &temporary).env("LC_ALL", "C.UTF-8");
    let outcome = command.output().map_err(|error| format!("cannot run unshare: {error}"))?;
    let text = [outcome.stdout, outcome.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok(if outcome.status.success() { Outcome::Equal(version(&text)) } else { Outcome::Failed(text) })
}

/// Returns the word after `version` in what `dpkg --version` prints.
fn version(text: &str) -> String {
    let mut words = text.split_whitespace().skip_while(|word| *word != "version");
    words.nth(1).unwrap_or("of no version").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found() {
        assert_eq!(version("Debian 'dpkg' package management program version 1.20.14 (amd64).\nMore"), "1.20.14");
        assert_eq!(version(""), "of no version");
    }
}
