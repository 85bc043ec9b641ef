//! The scenario `ten`: ten images of one manifest in one call, beside ten single runs and ten runs of mmdebstrap. All debs are there.

use super::loopback;
use super::options::Options;
use super::rows::{self, Limit, Row};
use super::sample::{Sample, time};
use super::scenario::TEN;
use super::ten_images::{MirrorOf, command, images, peers, single, write};
use super::tools::find;
use crate::oracle::build;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const ROWS: [&str; 3] = ["ten images in one call", "ten single runs", "ten runs of mmdebstrap"];
const LIMITS: [Limit; 2] = [(0, 1, 0.65), (0, 2, 0.06)];
const ABOUT: &str = "Five sets of packages in each suite, as OCI archives. All debs are in the cache before, in a copy for each row; the single runs of a round \
                     share theirs, as the images of one call do. mmdebstrap makes archives, and fetches from the same mirror on this machine.";

/// Runs all rounds, and returns the section of the document.
pub fn section(options: &Options, program: &Path, work: &Path, args: &[String]) -> Result<String, String> {
    let mut mirrors: BTreeMap<String, String> = BTreeMap::new();
    for (suite, _) in images() {
        if !mirrors.contains_key(suite) {
            let mirror = loopback::start(&build::suite(suite)?.mirror(), &work.join(format!("mirror-{suite}")))?;
            mirrors.insert(suite.to_owned(), mirror);
        }
    }
    let mirror_of: MirrorOf<'_> = &|suite| mirrors.get(suite).cloned().ok_or_else(|| format!("no mirror for {suite}"));
    let warm = work.join("warm");
    let place = work.join("place");
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    together(program, &place, &warm, mirror_of, &["--download-only"])?;
    let mut all = ROWS.map(|name| Row { name: name.to_owned(), samples: Vec::new() });
    let has_peer = find("mmdebstrap").is_some();
    if has_peer {
        // This fills the mirror with what mmdebstrap alone asks for.
        peers(&place, mirror_of)?;
    }
    for round in 1..=options.runs {
        let (one, other) = (place.join("cache"), place.join("cache-single"));
        copy(&warm, &one)?;
        copy(&warm, &other)?;
        let samples = [
            Some(together(program, &place, &one, mirror_of, &[])?),
            Some(single(program, &place, &other, Some(mirror_of))?),
            has_peer.then(|| peers(&place, mirror_of)).transpose()?,
        ];
        for (row, sample) in all.iter_mut().zip(samples) {
            eprintln!("{TEN} {round}: {:<24} {:6.2} s", row.name, sample.map_or(f64::NAN, |sample| sample.wall));
            row.samples.extend(sample);
        }
    }
    Ok(rows::section((options, program, args), ("## ten: ten images of trixie and noble", ABOUT), &all, &LIMITS))
}

/// Makes the images in one call.
fn together(
    program: &Path,
    place: &Path,
    cache: &Path,
    mirror_of: MirrorOf<'_>,
    further: &[&str],
) -> Result<Sample, String> {
    let mut text =
        String::from("[defaults]\nvariant = \"minbase\"\npockets = \"release\"\ntarget = \"{name}.oci.tar\"\n");
    for (suite, added) in images() {
        let (name, mirror) = (if added.is_empty() { "base" } else { added }, mirror_of(suite)?);
        let include = if added.is_empty() { String::new() } else { format!("{added:?}") };
        text += &format!("[image.{suite}-{name}]\nsuite = {suite:?}\nmirror = {mirror:?}\ninclude = [{include}]\n");
    }
    write(&place.join("rootstrap.toml"), text.as_bytes())?;
    let mut command = command(program, place);
    command.args(["build", "--quiet"]).args(further);
    command.arg("--file").arg(place.join("rootstrap.toml")).arg("--cache-dir").arg(cache);
    time(&command, None, &place.join("log"))
}

/// Puts a copy of a directory in the place of another.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    if to.exists() {
        std::fs::remove_dir_all(to).map_err(|error| error.to_string())?;
    }
    build::output(Command::new("cp").arg("--archive").arg(from).arg(to)).map(drop)
}
