//! The figures of a benchmark as Markdown.

use crate::bench::{Options, Sample, Scenario, Series};
use crate::oracle_build::{output, project};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// A section with the table, the ratios, and what the figures depend on.
pub fn markdown(options: &Options, series: &[Series], args: &[String]) -> String {
    let mut text = format!("{}\n\n", heading(options));
    let what = match options.scenario {
        Scenario::Cold => "Into an empty directory, nothing cached before.",
        Scenario::Warm => "Into an empty directory; each tool has run once with what cache it has.",
        Scenario::Image => "To a gzip-compressed archive, nothing cached before.",
    };
    let _ = writeln!(text, "{what} Release pocket only, one mirror for all, {} runs each, in turns.\n", options.runs);
    text.push_str("| tool | wall: median | min | max | user + sys | peak memory of one process |\n");
    text.push_str("|---|--:|--:|--:|--:|--:|\n");
    for one in series {
        let walls = sorted(&one.samples, |sample| sample.wall);
        let _ = writeln!(
            text,
            "| {} | {:.2} s | {:.2} s | {:.2} s | {:.2} s | {:.0} MiB |",
            one.tool,
            median(&walls),
            walls.first().copied().unwrap_or_default(),
            walls.last().copied().unwrap_or_default(),
            median(&sorted(&one.samples, |sample| sample.user + sample.system)),
            sorted(&one.samples, |sample| sample.memory).last().copied().unwrap_or_default(),
        );
    }
    text.push('\n');
    if let Some((ours, others)) = series.split_first() {
        for theirs in others {
            let pairs = theirs.samples.iter().zip(&ours.samples);
            let ratios: Vec<f64> = pairs.map(|(their, our)| their.wall / our.wall).collect();
            let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
            let mut in_order = ratios.clone();
            in_order.sort_by(f64::total_cmp);
            let _ = writeln!(
                text,
                "* {} took **{:.2}** times as long as {} (median; pair by pair: {})",
                theirs.tool,
                median(&in_order),
                ours.tool,
                each.join(", ")
            );
        }
    }
    let _ = writeln!(text, "\n{}\n", surroundings(series));
    let command: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--write").collect();
    let _ = writeln!(text, "```\n$ cargo xtask bench {}", public(&command));
    for one in series {
        let _ = writeln!(text, "{}", one.command);
    }
    text.push_str("```\n");
    text
}

/// The arguments without the address of a mirror, which is nobody's business.
fn public(args: &[&str]) -> String {
    let mut words = Vec::new();
    let mut hide = false;
    for arg in args {
        let word = if hide {
            "MIRROR"
        } else if arg.starts_with("--mirror=") {
            "--mirror=MIRROR"
        } else {
            arg
        };
        hide = *arg == "--mirror";
        words.push(word);
    }
    words.join(" ")
}

fn heading(options: &Options) -> String {
    let scenario = match options.scenario {
        Scenario::Cold => "cold",
        Scenario::Warm => "warm",
        Scenario::Image => "image",
    };
    let arch = options.arch.as_ref().map(|arch| format!(" {arch}")).unwrap_or_default();
    format!("## {}{arch} {}, {scenario}", options.suite, options.variant)
}

fn sorted(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values.
fn median(values: &[f64]) -> f64 {
    let middle = |back: usize| values.get((values.len().saturating_sub(back)) / 2).copied().unwrap_or_default();
    f64::midpoint(middle(0), middle(1))
}

/// Machine, kernel, day and versions.
fn surroundings(series: &[Series]) -> String {
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
    let mut versions = Vec::new();
    for one in series {
        let text = match one.tool.as_str() {
            // The commit says more than a version that rarely changes.
            "rootstrap" => {
                let project = project().to_string_lossy().into_owned();
                let git = |args: &[&str]| run("git", &[&["-C", &project][..], args].concat());
                let dirty = if git(&["status", "--porcelain", "-uno"]).is_empty() { "" } else { " with changes" };
                format!("rootstrap {}{dirty}", git(&["rev-parse", "--short", "HEAD"]))
            }
            tool => run("dpkg-query", &["--show", "--showformat=${Package} ${Version}", tool]),
        };
        versions.push(text);
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

/// Replaces the section of this heading in `path`, or adds it.
pub fn store(path: &Path, options: &Options, section: &str) -> Result<(), String> {
    let old = std::fs::read_to_string(path).unwrap_or_else(|_| "# Benchmarks\n".into());
    let new = replace(&old, &heading(options), section);
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, new));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn replace(old: &str, heading: &str, section: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in old.lines() {
        if line.starts_with("## ") {
            inside = line == heading;
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    format!("{}\n\n{section}", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        for (values, expected) in [(&[][..], 0.0), (&[3.0], 3.0), (&[1.0, 2.0], 1.5), (&[1.0, 2.0, 9.0], 2.0)] {
            assert!((median(values) - expected).abs() < 1e-9, "{values:?}");
        }
    }

    #[test]
    fn a_section_replaces_its_own_elder() {
        let old = "# Benchmarks\n\nWords.\n\n## a, cold\n\nold\n\n## b, cold\n\nb\n";
        let new = replace(old, "## a, cold", "## a, cold\n\nnew\n");
        assert_eq!(new, "# Benchmarks\n\nWords.\n\n## b, cold\n\nb\n\n## a, cold\n\nnew\n");
    }

    #[test]
    fn mirrors_stay_private() {
        assert_eq!(public(&["--mirror", "http://x", "--runs=2"]), "--mirror MIRROR --runs=2");
        assert_eq!(public(&["--mirror=http://x"]), "--mirror=MIRROR");
    }
}
