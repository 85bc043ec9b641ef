//! Writes the figures of a benchmark as Markdown, and into the document that keeps them.

use super::measure::{Series, Table, version};
use super::options::{Options, public};
use super::sample::Sample;
use super::scenario::{Case, MEMORY, SCENARIOS, SPECIAL};
use crate::oracle::build::output;
use crate::project;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// The beginning of the document, before all sections.
const HEAD: &str = "\
# Benchmarks

Written by `cargo xtask bench --write`. All tools run in turns (A B A B ...), as root unless a section says otherwise, and
fetch the release pocket from one mirror. A ratio is our wall clock divided by theirs in the same round; the median of the ratios
counts. *Peak memory* is what `/usr/bin/time` prints: the resident memory of the largest single process, not the sum of all
processes, and without the pages of a tmpfs. In the commands, TMP and MIRROR stand for a directory and an address.

The *floor* is the time that this machine takes for the work that no tool can leave out, measured in the same rounds: decoding the
indexes that are used; decoding every package and writing its files on all cores; and the packages' own preinsts and `dpkg --configure
-a`, phase by phase, in a tree that is unpacked already and lies on a tmpfs, where fsync costs nothing.
";

/// Returns a section: the table, the ratios, the machine and versions that the figures depend on, and the commands.
pub fn section(options: &Options, case: &Case, table: &Table, program: &Path, args: &[String]) -> String {
    let mut text = format!("{}\n\n", case.heading());
    let runs = if options.runs == 1 { "One run".to_owned() } else { format!("{} runs", options.runs) };
    let network = if options.loopback { ", from a mirror on this machine" } else { "" };
    let _ = writeln!(text, "{} {runs} each, in turns{network}.\n", case.scenario.about);
    text.push_str("| tool | wall: median | min–max | user + sys: median | min–max | peak memory of one process |\n");
    text.push_str("|---|--:|--:|--:|--:|--:|\n");
    for one in &table.series {
        let wall = Spread::of(&one.samples, |sample| sample.wall);
        let cpu = Spread::of(&one.samples, |sample| sample.user + sample.system);
        let memory = peak(one).map_or_else(|| "–".to_owned(), |memory| format!("{memory:.0} MiB"));
        let _ = writeln!(
            text,
            "| {} | {:.2} s | {:.2}–{:.2} s | {:.2} s | {:.2}–{:.2} s | {memory} |",
            one.name, wall.median, wall.min, wall.max, cpu.median, cpu.min, cpu.max
        );
    }
    text.push('\n');
    for line in ratios(case, &table.series) {
        let _ = writeln!(text, "* {line}");
    }
    for (tool, reason) in &table.unable {
        let _ = writeln!(text, "* {tool} is not in the table: {reason}");
    }
    let _ = writeln!(text, "\n{}\n", surroundings(options, &table.series, program));
    let _ = writeln!(text, "```\n$ cargo xtask bench {}", public(args));
    for one in table.series.iter().filter(|one| !one.command.is_empty()) {
        let _ = writeln!(text, "{}", one.command);
    }
    text.push_str("```\n");
    text
}

/// Returns a line for the ratio of rootstrap to each other row, and one for its memory. Each says whether a limit is
/// met, if there is one.
fn ratios(case: &Case, series: &[Series]) -> Vec<String> {
    let Some((ours, others)) = series.split_first() else { return Vec::new() };
    let mut lines = Vec::new();
    // The parts of the floor are left out; the row with their sum stays.
    for theirs in others.iter().filter(|other| !other.name.starts_with("floor:")) {
        let pairs = ours.samples.iter().zip(&theirs.samples);
        let ratios: Vec<f64> = pairs.map(|(our, their)| our.wall / their.wall).collect();
        let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let median = median(ratios);
        let verdict = case.limit(&theirs.name).map(|limit| verdict(median, limit, &format!("{limit:.2}")));
        lines.push(format!(
            "{} / {}: **{median:.2}** (pair by pair: {}){}",
            ours.name,
            theirs.name,
            each.join(", "),
            verdict.unwrap_or_default()
        ));
    }
    if let Some(memory) = peak(ours) {
        let verdict = verdict(memory, MEMORY, &format!("{MEMORY:.0} MiB"));
        lines.push(format!("peak memory of {}: **{memory:.0} MiB**{verdict}", ours.name));
    }
    for (name, _) in case.scenario.limits.iter().filter(|(name, _)| !others.iter().any(|other| other.name == *name)) {
        if let Some(limit) = case.limit(name) {
            lines.push(format!("{} / {name}: at most {limit:.2} is wanted: not measured", ours.name));
        }
    }
    lines
}

/// Says what is wanted, and whether it is met.
pub fn verdict(value: f64, limit: f64, shown: &str) -> String {
    format!("; at most {shown} is wanted: {}", if value <= limit { "met" } else { "**not met**" })
}

fn peak(series: &Series) -> Option<f64> {
    series.samples.iter().filter_map(|sample| sample.memory).reduce(f64::max)
}

/// Median and extremes.
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Self {
        let values: Vec<f64> = samples.iter().map(of).collect();
        let min = values.iter().copied().reduce(f64::min).unwrap_or_default();
        let max = values.iter().copied().reduce(f64::max).unwrap_or_default();
        Self { median: median(values), min, max }
    }
}

/// Returns the value in the middle, or the mean of the two there.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = |back: usize| values.get((values.len().saturating_sub(back)) / 2).copied().unwrap_or_default();
    f64::midpoint(middle(0), middle(1))
}

/// Returns a sentence with machine, kernel, day and versions.
fn surroundings(options: &Options, series: &[Series], program: &Path) -> String {
    machine(options, &series.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), program)
}

/// Returns a sentence with machine, kernel, day and the versions of these rows.
pub fn machine(options: &Options, rows: &[&str], program: &Path) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kib: u64 = field(&memory, "MemTotal").split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
    let run = |program: &str, args: &[&str]| {
        output(Command::new(program).args(args)).map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    let mut versions: Vec<String> = rows.iter().filter_map(|row| version(row, program)).collect();
    // The version rarely changes, so the commit is added. It is unknown for a program that was not built here.
    if let Some(ours) = versions.first_mut().filter(|_| options.ours.is_none()) {
        let project = project::directory().to_string_lossy().into_owned();
        let git = |args: &[&str]| run("git", &[&["-C", &project][..], args].concat());
        let dirty = if git(&["status", "--porcelain", "-uno"]).is_empty() { "" } else { " with changes" };
        let _ = write!(ours, " ({}{dirty})", git(&["rev-parse", "--short", "HEAD"]));
    }
    format!(
        "{}, {cores} cores, {} MiB; Linux {}; {}; {}.",
        field(&cpu, "model name"),
        kib / 1024,
        run("uname", &["-rm"]),
        run("date", &["-u", "+%Y-%m-%d"]),
        versions.join(", ")
    )
}

/// Puts a section into the document. It replaces the section with the same heading.
pub fn store(path: &Path, section: &str) -> Result<(), String> {
    let old = std::fs::read_to_string(path).unwrap_or_default();
    let new = replace(&old, section);
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, new));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// The heading of the last section, which is written by hand.
const STAGES: &str = "## Stage by stage";

/// Returns the document with a new section: the beginning, then all sections in the order of the scenarios. Sections
/// that belong to no scenario are removed, except [`STAGES`].
fn replace(old: &str, section: &str) -> String {
    let heading = |section: &str| section.lines().next().unwrap_or_default().to_owned();
    let mut sections: Vec<String> = Vec::new();
    for line in old.lines() {
        if line.starts_with("## ") {
            sections.push(String::new());
        }
        if let Some(last) = sections.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    match sections.iter_mut().find(|old| heading(old) == heading(section)) {
        Some(old) => section.clone_into(old),
        None => sections.push(section.to_owned()),
    }
    let place = |section: &String| {
        let name = heading(section);
        if name == STAGES {
            return Some(SCENARIOS.len() + SPECIAL.len());
        }
        let (name, _) = name.trim_start_matches("## ").split_once(':')?;
        let mut names = SCENARIOS.iter().map(|scenario| scenario.name).chain(SPECIAL);
        names.position(|known| known == name)
    };
    sections.retain(|section| place(section).is_some());
    sections.sort_by_key(place);
    let sections = sections.iter().map(|section| format!("\n{}\n", section.trim_end()));
    std::iter::once(HEAD.to_owned()).chain(sections).collect()
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
