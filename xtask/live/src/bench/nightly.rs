//! The scenario `nightly`: ten images of one manifest over three nights, beside ten single runs and ten runs of mmdebstrap.

use super::options::{Options, public};
use super::report::{self, Spread};
use super::sample::{Sample, time};
use super::scenario::{NIGHTLY, NIGHTLY_HEADING};
use super::ten_images::{command, images, peers, single, write};
use super::tools::find;
use crate::oracle::build;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::registry::Registry;
use std::fmt::Write;
use std::path::Path;

const ROWS: [&str; 5] =
    ["first night", "nothing has changed", "one package has changed", "ten single runs", "ten runs of mmdebstrap"];

/// Runs all rounds, and returns the section of the document.
pub fn section(options: &Options, program: &Path, work: &Path, args: &[String]) -> Result<String, String> {
    let mut samples: Vec<Vec<Sample>> = ROWS.map(|_| Vec::new()).into();
    let has_peer = find("mmdebstrap").is_some();
    for round in 1..=options.runs {
        let place = work.join(round.to_string());
        std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
        let nights = nights(program, &place)?;
        let single = single(program, &place, &place.join("cache-single"), None)?;
        let peers = has_peer.then(|| peers(&place, &|suite| Ok(build::suite(suite)?.mirror()))).transpose()?;
        for (row, sample) in samples.iter_mut().zip(nights.into_iter().chain([single]).chain(peers)) {
            row.push(sample);
        }
        for (name, row) in ROWS.iter().zip(&samples) {
            eprintln!("{NIGHTLY} {round}: {name:<24} {:6.2} s", row.last().map_or(f64::NAN, |sample| sample.wall));
        }
        std::fs::remove_dir_all(&place).map_err(|error| error.to_string())?;
    }
    let mut text = format!(
        "{NIGHTLY_HEADING}\n\nFive sets of packages in each suite, from the release pocket of the vendors' mirrors into a registry on this machine, with nothing cached in the first \
         night. In the third, a local package of one image has changed. The single runs share a cache and make the same images as files. {} \
         round(s).\n\n| row | wall: median | min–max | user + sys: median | against ten runs of mmdebstrap |\n|---|--:|--:|--:|--:|\n",
        options.runs
    );
    let wall = |row: &Vec<Sample>| Spread::of(row, |sample| sample.wall);
    let theirs = samples.last().map(&wall);
    for (name, row) in ROWS.iter().zip(&samples).filter(|(_, row)| !row.is_empty()) {
        let (spread, cpu) = (wall(row), Spread::of(row, |sample| sample.user + sample.system));
        let ratio = theirs.as_ref().map_or(f64::NAN, |theirs| spread.median / theirs.median);
        let _ = writeln!(
            text,
            "| {name} | {:.2} s | {:.2}–{:.2} s | {:.2} s | {ratio:.3} |",
            spread.median, spread.min, spread.max, cpu.median
        );
    }
    let _ = writeln!(
        text,
        "\n{}\n\n```\n$ cargo xtask bench {}\n```",
        report::machine(options, &["rootstrap", "mmdebstrap"], program),
        public(args)
    );
    Ok(text)
}

/// Runs the three nights.
fn nights(program: &Path, place: &Path) -> Result<[Sample; 3], String> {
    let registry = Registry::start(None)?;
    let images = images().map(|(suite, added)| {
        // One image has a local package in the place of another.
        let (name, added) = match (suite, added) {
            ("noble", "") => ("own", "./own.deb"),
            _ => (added, added),
        };
        let include = if added.is_empty() { String::new() } else { format!("{added:?}") };
        format!(
            "[image.{suite}-{}]\nsuite = {suite:?}\ninclude = [{include}]\n",
            if name.is_empty() { "base" } else { name }
        )
    });
    let head = format!(
        "[defaults]\nvariant = \"minbase\"\npockets = \"release\"\npush = \"127.0.0.1:{}/{{name}}\"\n",
        registry.port
    );
    let text = std::iter::once(head).chain(images).collect::<String>();
    write(&place.join("rootstrap.toml"), text.as_bytes())?;
    let night = |version: &str| {
        let deb = Deb::new("own", version).field("Priority", "optional").file("/usr/share/own", 0o644, version);
        write(&place.join("own.deb"), &deb.build())?;
        let mut command = command(program, place);
        command.args(["build", "--changed", "--push", "--quiet"]);
        command.arg("--file").arg(place.join("rootstrap.toml")).arg("--cache-dir").arg(place.join("cache"));
        time(&command, None, &place.join("log"))
    };
    Ok([night("1")?, night("1")?, night("2")?])
}
