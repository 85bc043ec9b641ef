//! The ten images of the scenarios `nightly` and `ten`, made one after the other by rootstrap and by mmdebstrap.

use super::sample::{Sample, time};
use crate::oracle::build::{self, Build};
use crate::oracle::matrix::Set;
use std::path::Path;
use std::process::Command;

/// The suites, and what is added to minbase in each image.
const SUITES: [&str; 2] = ["trixie", "noble"];
const ADDED: [&str; 5] = ["", "ca-certificates", "curl", "jq", "openssh-client"];

/// Returns the mirror of a suite.
pub type MirrorOf<'m> = &'m dyn Fn(&str) -> Result<String, String>;

/// Makes the same images one after the other, as files, from the vendor's mirrors or others.
pub fn single(program: &Path, place: &Path, cache: &Path, mirror_of: Option<MirrorOf<'_>>) -> Result<Sample, String> {
    let mut all = Sample::default();
    for (suite, added) in images() {
        let mut command = command(program, place);
        command.arg(suite).arg(place.join("x.oci.tar")).args(["--quiet", "--variant=minbase", "--pockets=release"]);
        command.arg(format!("--include={added}")).arg("--cache-dir").arg(cache);
        if let Some(mirror_of) = mirror_of {
            command.arg(format!("--mirror={}", mirror_of(suite)?));
        }
        all = all.and(&time(&command, None, &place.join("log"))?);
    }
    Ok(all)
}

/// Makes them with mmdebstrap, as archives.
pub fn peers(place: &Path, mirror_of: MirrorOf<'_>) -> Result<Sample, String> {
    let mut all = Sample::default();
    for (name, added) in images() {
        let suite = build::suite(name)?;
        let include = Some(added).filter(|added| !added.is_empty()).map(str::to_owned);
        let set = Set { include: include.into_iter().collect(), ..Set::default() };
        let mirror = mirror_of(name)?;
        let (epoch, expired) = build::release_date(&mirror, name)?;
        let of = Build {
            suite: &suite,
            variant: "minbase",
            set: &set,
            arch: None,
            mirror: &mirror,
            epoch,
            expired,
            work: place,
        };
        let command = of.theirs("mmdebstrap", &place.join("x.tar"), None)?;
        all = all.and(&time(&command, None, &place.join("log"))?);
    }
    Ok(all)
}

/// Returns the suite of each image, and what is added.
pub fn images() -> impl Iterator<Item = (&'static str, &'static str)> {
    SUITES.into_iter().flat_map(|suite| ADDED.into_iter().map(move |added| (suite, added)))
}

/// Returns the program with an environment of its own.
pub fn command(program: &Path, place: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env("PATH", path).env("HOME", place).env("TMPDIR", place).env("no_proxy", "127.0.0.1");
    command
}

/// Writes a file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
