//! The figures of a benchmark as Markdown, and the document they are kept in.

use super::measure::{Sample, Series, Table, version};
use super::options::{Options, public};
use super::scenario::{Case, MEMORY, SCENARIOS};
use crate::oracle_build::{output, project};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// What stands before the sections.
const HEAD: &str = "\
# Benchmarks

Written by `cargo xtask bench --write`. All tools run in turns (A B A B ...), as root unless a section says otherwise, and
fetch the release pocket from one mirror. A ratio is our wall clock as a part of theirs in the same round; the one that
counts is the median. *Peak memory* is what `/usr/bin/time` says: the resident memory of the largest single process, not
the sum of all, and no pages of a tmpfs. In the commands TMP and MIRROR stand for a directory and an address.

The *floor* is what this machine takes for the work that no tool can leave out, measured in the same rounds: decoding the
indexes used; decoding every package and writing its files on all cores; the packages' own `dpkg --configure -a`, phase by
phase, in a tree that is unpacked already and lies on a tmpfs, where fsync costs nothing.
";

/// A section with the table, the ratios, and what the figures depend on.
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

/// Ours beside each other row, and our memory, with the verdict where there is a bar.
fn ratios(case: &Case, series: &[Series]) -> Vec<String> {
    let Some((ours, others)) = series.split_first() else { return Vec::new() };
    let mut lines = Vec::new();
    // The parts of the floor are no tools.
    for theirs in others.iter().filter(|other| !other.name.starts_with("floor:")) {
        let pairs = ours.samples.iter().zip(&theirs.samples);
        let ratios: Vec<f64> = pairs.map(|(our, their)| our.wall / their.wall).collect();
        let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let median = median(ratios);
        let verdict = case.bar(&theirs.name).map(|bar| verdict(median, bar, &format!("{bar:.2}")));
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
    for (name, _) in case.scenario.bars.iter().filter(|(name, _)| !others.iter().any(|other| other.name == *name)) {
        if let Some(bar) = case.bar(name) {
            lines.push(format!("{} / {name}: at most {bar:.2} is wanted: not measured", ours.name));
        }
    }
    lines
}

fn verdict(value: f64, bar: f64, shown: &str) -> String {
    format!("; at most {shown} is wanted: {}", if value <= bar { "met" } else { "**not met**" })
}

fn peak(series: &Series) -> Option<f64> {
    series.samples.iter().filter_map(|sample| sample.memory).reduce(f64::max)
}

/// Median and extremes.
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Self {
        let values: Vec<f64> = samples.iter().map(of).collect();
        let min = values.iter().copied().reduce(f64::min).unwrap_or_default();
        let max = values.iter().copied().reduce(f64::max).unwrap_or_default();
        Self { median: median(values), min, max }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = |back: usize| values.get((values.len().saturating_sub(back)) / 2).copied().unwrap_or_default();
    f64::midpoint(middle(0), middle(1))
}

/// Machine, kernel, day and versions.
fn surroundings(options: &Options, series: &[Series], program: &Path) -> String {
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
    let mut versions: Vec<String> = series.iter().filter_map(|one| version(&one.name, program)).collect();
    // The commit says more than a version that rarely changes; of a program from elsewhere nobody knows it.
    if let Some(ours) = versions.first_mut().filter(|_| options.ours.is_none()) {
        let project = project().to_string_lossy().into_owned();
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

/// Puts a section into the document, in the place of its elder.
pub fn store(path: &Path, section: &str) -> Result<(), String> {
    let old = std::fs::read_to_string(path).unwrap_or_default();
    let new = replace(&old, section);
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, new));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// The section that is written by hand, behind all others.
const STAGES: &str = "## Stage by stage";

/// The head, and all sections in the order of the scenarios; those of no scenario are gone, but for [`STAGES`].
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
            return Some(SCENARIOS.len());
        }
        let name = name.trim_start_matches("## ").split_once(':').map(|(name, _)| name.to_owned());
        name.and_then(|name| SCENARIOS.iter().position(|scenario| scenario.name == name))
    };
    sections.retain(|section| place(section).is_some());
    sections.sort_by_key(place);
    let sections = sections.iter().map(|section| format!("\n{}\n", section.trim_end()));
    std::iter::once(HEAD.to_owned()).chain(sections).collect()
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
