//! Sections of the document whose rows are not one command of each tool.

use super::options::{Options, public};
use super::report::{self, Spread};
use super::sample::Sample;
use std::fmt::Write;
use std::path::Path;

/// One row: what was measured, in each round.
pub struct Row {
    pub name: String,
    pub samples: Vec<Sample>,
}

/// A limit: the numbers of the row and of the one it is compared with, and the largest ratio.
pub type Limit = (usize, usize, f64);

/// Returns the text of a section: what it is about, the rows, the ratios pair by pair, the machine and the command.
pub fn section(
    (options, program, args): (&Options, &Path, &[String]),
    (heading, about): (&str, &str),
    rows: &[Row],
    limits: &[Limit],
) -> String {
    let mut text = format!(
        "{heading}\n\n{about}\n\n| row | wall: median | min–max | user + sys: median | peak memory of one process |\n|---|--:|--:|--:|--:|\n"
    );
    for Row { name, samples } in rows.iter().filter(|row| !row.samples.is_empty()) {
        let (wall, cpu) = (Spread::of(samples, |it| it.wall), Spread::of(samples, |it| it.user + it.system));
        let memory = samples.iter().filter_map(|sample| sample.memory).reduce(f64::max).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {name} | {:.2} s | {:.2}–{:.2} s | {:.2} s | {memory:.0} MiB |",
            wall.median, wall.min, wall.max, cpu.median
        );
    }
    text.push('\n');
    for &(ours, theirs, limit) in limits {
        let (Some(ours), Some(theirs)) = (rows.get(ours), rows.get(theirs)) else { continue };
        let pairs = ours.samples.iter().zip(&theirs.samples);
        let ratios: Vec<f64> = pairs.map(|(our, their)| our.wall / their.wall).collect();
        let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        if each.is_empty() {
            continue;
        }
        let median = report::median(ratios);
        let verdict = report::verdict(median, limit, &format!("{limit:.2}"));
        let (ours, theirs, each) = (&ours.name, &theirs.name, each.join(", "));
        let _ = writeln!(text, "* {ours} / {theirs}: **{median:.2}** (pair by pair: {each}){verdict}");
    }
    let machine = report::machine(options, &["rootstrap", "mmdebstrap"], program);
    let _ = writeln!(text, "\n{machine}\n\n```\n$ cargo xtask bench {}\n```", public(args));
    text
}
