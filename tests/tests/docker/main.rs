//! The docker ring: a real engine imports, loads and runs the images, and other tools read them.
//!
//! The engine may have no bridge, because these tests use the host's network or none.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod images;
mod imports;
mod tools;

use rootstrap_tests::{live, machine};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn cache() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn docker(words: &[&str]) -> Output {
    Command::new("docker").args(words).output().unwrap()
}

fn docker_is_there() -> Result<(), String> {
    match Command::new("docker").args(["info", "--format", "{{.ServerVersion}}"]).output() {
        Err(error) => Err(format!("docker cannot be run: {error}")),
        // A client without a server prints an empty version.
        Ok(output) if output.status.success() && !output.stdout.trim_ascii().is_empty() => Ok(()),
        Ok(_) => Err("docker info does not answer".into()),
    }
}

/// An image in the engine's store. It is removed when dropped.
struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        docker(&["rmi", "--force", &self.0]);
    }
}

/// Runs a command in a new container and returns what it prints.
#[track_caller]
fn run(image: &Image, network: &str, words: &[&str]) -> String {
    let network = format!("--network={network}");
    let output = docker(&[&["run", "--rm", &network, &image.0], words].concat());
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must succeed, and returns what it prints.
#[track_caller]
fn prints(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Builds a live suite into a file of that name, in a new directory.
#[track_caller]
fn build(name: &str, arguments: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::Builder::new().prefix("images").tempdir().unwrap();
    let path = directory.path().join(name);
    let target = path.to_str().unwrap();
    let (suite, options) = arguments.split_first().unwrap();
    prints(&mut live::command(cache(), &[&[*suite, target, "--quiet"], options].concat()));
    (directory, path)
}

/// Runs `docker load` and returns the name or id that it prints.
#[track_caller]
fn load(path: &Path) -> Image {
    let said = prints(Command::new("docker").arg("load").arg("--input").arg(path));
    let line = said.lines().last().unwrap_or_default();
    let (_, name) = line.split_once(": ").unwrap_or_else(|| panic!("{said}"));
    Image(name.to_owned())
}

/// Returns what the engine says about an image.
#[track_caller]
fn inspect(image: &Image) -> Value {
    let text = prints(Command::new("docker").args(["image", "inspect", &image.0]));
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

/// Checks what a test of a live image needs of the machine and the archive.
fn ready(suite: &str) -> Result<(), String> {
    machine::builder()?;
    docker_is_there()?;
    live::answers(cache(), suite)
}
