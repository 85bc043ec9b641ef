//! The scenario `large`: what a package costs where there are more and more of them, beside mmdebstrap.

use super::loopback;
use super::options::Options;
use super::rows::{self, Limit, Row};
use super::sample::time;
use super::scenario::LARGE;
use super::ten_images::command;
use super::tools::find;
use crate::oracle::build::{self, Build};
use crate::oracle::matrix::Set;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variants of trixie and what is added with what it recommends, from the smallest to the largest.
const SETS: [(&str, &str); 5] = [
    ("minbase", ""),
    ("standard", ""),
    ("minbase", "xfce4"),
    ("minbase", "gnome-core"),
    ("standard", "task-gnome-desktop"),
];
const LIMITS: [Limit; 1] = [(8, 9, 0.45)];
const ABOUT: &str =
    "trixie into a directory, with recommended packages where some are included, nothing cached before.";

/// Runs all rounds, and returns the section of the document.
pub fn section(options: &Options, program: &Path, work: &Path, args: &[String]) -> Result<String, String> {
    let suite = build::suite("trixie")?;
    let mirror = loopback::start(&suite.mirror(), &work.join("mirror"))?;
    let (epoch, expired) = build::release_date(&mirror, "trixie")?;
    let peer = find("mmdebstrap").is_some().then_some("mmdebstrap");
    let target = work.join("root");
    let mut all: Vec<Row> = Vec::new();
    for (variant, added) in SETS {
        let include = Some(added).filter(|added| !added.is_empty()).map(str::to_owned);
        let set = Set { recommends: !added.is_empty(), include: include.into_iter().collect(), ..Set::default() };
        let of = Build { suite: &suite, variant, set: &set, arch: None, mirror: &mirror, epoch, expired, work };
        let mut ours = command(program, work);
        ours.args(of.ours(program, "mmdebstrap", &[]).get_args());
        let packages = packages(&ours)?;
        ours.arg("--no-cache").arg(&target);
        let theirs = peer.map(|tool| of.theirs(tool, &target, None)).transpose()?;
        let of_set = if added.is_empty() { variant.to_owned() } else { format!("{variant} + {added}") };
        let mut rows = ["rootstrap", "mmdebstrap"]
            .map(|tool| Row { name: format!("{tool}, {packages} packages: {of_set}"), samples: Vec::new() });
        let mut results = Vec::new();
        // The first round fills the mirror and does not count.
        for round in 0..=options.runs {
            for (row, run) in rows.iter_mut().zip([Some(&ours), theirs.as_ref()]) {
                let Some(run) = run else { continue };
                let sample = time(run, None, &work.join("log"))?;
                eprintln!("{LARGE} {round}: {:<56} {:6.2} s", row.name, sample.wall);
                row.samples.extend((round > 0).then_some(sample));
                results.push(set_aside(&target, work, results.len())?);
            }
        }
        all.extend(rows);
        results.iter().try_for_each(|result| build::remove(result))?;
    }
    Ok(rows::section((options, program, args), ("## large: more and more packages of trixie", ABOUT), &all, &LIMITS))
}

/// Returns how many packages a command of rootstrap would install.
fn packages(ours: &Command) -> Result<usize, String> {
    let mut plan = Command::new(ours.get_program());
    plan.args(ours.get_args()).arg("--print-plan=json");
    let text = build::output(&mut plan)?;
    let plan: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let phases = plan.get("phases").and_then(serde_json::Value::as_array).ok_or("the plan has no phases")?;
    let packages = phases.iter().filter_map(|phase| phase.get("packages")?.as_array());
    Ok(packages.map(Vec::len).sum())
}

/// Moves a result to another name. All are removed after the last round, because ext4 searches past inodes that were freed a moment
/// ago, which would make the next run slower.
fn set_aside(target: &Path, work: &Path, number: usize) -> Result<PathBuf, String> {
    let old = work.join(format!("old-{number}"));
    std::fs::rename(target, &old).map_err(|error| format!("cannot set {} aside: {error}", target.display()))?;
    Ok(old)
}
