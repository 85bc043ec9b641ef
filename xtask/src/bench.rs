//! `cargo xtask bench`: our wall clock, processor time and memory beside those of other tools, run in turns.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the report is what this chore is for")]

use crate::bench_report as report;
use crate::oracle::remove;
use crate::oracle_build::{self as build, Build};
use crate::oracle_matrix::Set;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const USAGE: &str = "usage: cargo xtask bench [--suite S] [--variant V] [--arch A] [--runs N] [--mirror URL]
         [--against mmdebstrap,debootstrap,unshare,single,chroot] [--scenario cold|warm|image] [--work DIR] [--ours PROGRAM] [--write]
         [-- more arguments of ours]

cold: nothing of ours is cached; warm: our cache holds everything, theirs what they can keep; image: cold, and a
gzip-compressed archive instead of a directory. Must be root. With an --arch this machine does not run, the other
tools need an emulator registered with the kernel. unshare, single and chroot are ours in those modes.";

/// Ours in other modes, to be named as the other side.
const MODES: [&str; 3] = ["unshare", "single", "chroot"];

/// What to measure.
pub struct Options {
    /// As the archive calls it.
    pub suite: String,
    /// As the tools call it.
    pub variant: String,
    /// The architecture, if it is not this machine's.
    pub arch: Option<String>,
    /// Rounds; in each every tool runs once.
    pub runs: usize,
    mirror: Option<String>,
    against: Vec<String>,
    /// What may be cached, and what comes out.
    pub scenario: Scenario,
    work: PathBuf,
    ours: Option<PathBuf>,
    write: bool,
    extra: Vec<String>,
}

/// What may be cached, and what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing cached, a directory.
    Cold,
    /// Everything cached that a tool can cache, a directory.
    Warm,
    /// Nothing cached, an archive.
    Image,
}

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Seconds on the wall.
    pub wall: f64,
    /// Seconds of processor in the programs.
    pub user: f64,
    /// Seconds of processor in the kernel.
    pub system: f64,
    /// The largest program's resident memory in MiB.
    pub memory: f64,
}

/// All runs of one tool, in order.
pub struct Series {
    /// The tool.
    pub tool: String,
    /// The command, with places instead of the paths of one run.
    pub command: String,
    /// One for each round.
    pub samples: Vec<Sample>,
}

/// Runs the chore.
pub fn run(args: &[String]) -> Result<(), String> {
    let options = parse(args)?;
    if !rustix::process::getuid().is_root() {
        return Err("must be root: the other tools are, and both sides are to do the same".into());
    }
    if !Path::new("/usr/bin/time").exists() {
        return Err("needs /usr/bin/time (Debian package: time)".into());
    }
    let scratch =
        tempfile::Builder::new().prefix("bench-").tempdir_in(&options.work).map_err(|error| error.to_string())?;
    let series = measure(&options, scratch.path())?;
    let text = report::markdown(&options, &series, args);
    print!("{text}");
    if options.write {
        let path = build::project().join("docs/benchmarks.md");
        report::store(&path, &options, &text)?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

fn parse(args: &[String]) -> Result<Options, String> {
    let mut options = Options {
        suite: "trixie".into(),
        variant: "minbase".into(),
        arch: None,
        runs: 5,
        mirror: None,
        against: vec!["mmdebstrap".into(), "debootstrap".into()],
        scenario: Scenario::Cold,
        work: "/var/tmp".into(),
        ours: None,
        write: false,
        extra: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, given) =
            arg.split_once('=').map_or((arg.as_str(), None), |(name, value)| (name, Some(value.into())));
        let mut value =
            || given.clone().or_else(|| args.next().cloned()).ok_or_else(|| format!("{name} needs a value"));
        match name {
            "--suite" => options.suite = value()?,
            "--variant" => options.variant = value()?,
            "--arch" => options.arch = Some(value()?),
            "--runs" => options.runs = value()?.parse().map_err(|_| "--runs needs a number")?,
            "--mirror" => options.mirror = Some(value()?),
            "--against" => options.against = value()?.split(',').map(str::to_owned).collect(),
            "--scenario" => {
                options.scenario = match value()?.as_str() {
                    "cold" => Scenario::Cold,
                    "warm" => Scenario::Warm,
                    "image" => Scenario::Image,
                    other => return Err(format!("no such scenario: {other} (cold, warm, image)")),
                }
            }
            "--work" => options.work = value()?.into(),
            "--ours" => options.ours = Some(value()?.into()),
            "--write" => options.write = true,
            "--" => options.extra.extend(args.by_ref().cloned()),
            _ => return Err(format!("what is {arg}?\n{USAGE}")),
        }
    }
    if options.runs == 0 {
        return Err("--runs needs at least 1".into());
    }
    if options.scenario == Scenario::Image {
        // It makes no archives.
        options.against.retain(|tool| tool != "debootstrap");
    }
    Ok(options)
}

fn measure(options: &Options, work: &Path) -> Result<Vec<Series>, String> {
    let suite = build::suite(&options.suite)?;
    let mirror = options.mirror.clone().unwrap_or_else(|| suite.mirror());
    let (epoch, expired) = build::release_date(&mirror, &options.suite)?;
    let program = options.ours.clone().map_or_else(build::our_program, Ok)?;
    let arch = options.arch.as_deref();
    let set = Set::default();
    let build =
        Build { suite: &suite, variant: &options.variant, set: &set, arch, mirror: &mirror, epoch, expired, work };
    let tools = std::iter::once("rootstrap").chain(options.against.iter().map(String::as_str));
    let mut series: Vec<Series> =
        tools.map(|tool| Series { tool: tool.into(), command: String::new(), samples: Vec::new() }).collect();
    // A warm cache comes from a round that does not count.
    let rounds = options.runs + usize::from(options.scenario == Scenario::Warm);
    for round in 0..rounds {
        for series in &mut series {
            let target = work.join(format!("{}{}", series.tool, ending(options.scenario)));
            let cache = work.join(format!("{}-cache", series.tool));
            let command = if series.tool == "rootstrap" {
                ours(options, &build, &program, &target, &cache)
            } else if MODES.contains(&series.tool.as_str()) {
                let mut command = ours(options, &build, &program, &target, &cache);
                command.arg(format!("--mode={}", series.tool));
                command
            } else {
                let cache = (options.scenario == Scenario::Warm).then_some(cache.as_path());
                cache
                    .map_or(Ok(()), std::fs::create_dir_all)
                    .map_err(|error| format!("cannot make a cache: {error}"))?;
                build.theirs(&series.tool, &target, cache)?
            };
            series.command = shown(&command, work, &mirror);
            let sample = sample(command, &series.tool, options.scenario, &target, work)?;
            eprintln!("round {round}: {:<12} {:6.2} s", series.tool, sample.wall);
            // The first round of a warm series only fills the caches.
            if options.scenario != Scenario::Warm || round > 0 {
                series.samples.push(sample);
            }
            clear(&target)?;
            if options.scenario != Scenario::Warm {
                clear(&cache)?;
            }
        }
    }
    Ok(series)
}

fn ending(scenario: Scenario) -> &'static str {
    if scenario == Scenario::Image { ".tar.gz" } else { "" }
}

fn ours(options: &Options, build: &Build<'_>, program: &Path, target: &Path, cache: &Path) -> Command {
    let mut command = build.ours(program, "", &options.extra);
    command.arg(format!("--cache-dir={}", cache.display()));
    if options.scenario == Scenario::Image {
        // To the standard output, as for `docker import`.
        command.arg("--image");
    } else {
        command.arg(target);
    }
    command
}

/// Measures one run. The page cache is left alone: both sides fetch and write the same packages.
fn sample(command: Command, tool: &str, scenario: Scenario, target: &Path, work: &Path) -> Result<Sample, String> {
    let figures = work.join("figures");
    let log = work.join(format!("{tool}.log"));
    let create = |path: &Path| File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()));
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["--format=%U %S %M", "--output"]).arg(&figures);
    timed.arg(command.get_program()).args(command.get_args());
    timed.env_clear().current_dir("/").stdin(Stdio::null()).stderr(create(&log)?);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            timed.env(name, value);
        }
    }
    let to_output = scenario == Scenario::Image && tool == "rootstrap";
    timed.stdout(if to_output { create(target)?.into() } else { Stdio::null() });
    // What the last run left to write is not to be paid for by this one.
    rustix::fs::sync();
    let started = Instant::now();
    let status = timed.status().map_err(|error| format!("cannot run /usr/bin/time: {error}"))?;
    let wall = started.elapsed().as_secs_f64();
    if !status.success() {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n    ");
        return Err(format!("{tool} failed ({status}):\n    {last}"));
    }
    let text = std::fs::read_to_string(&figures).map_err(|error| format!("no figures: {error}"))?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        &[user, system, memory] => Ok(Sample { wall, user, system, memory: memory / 1024.0 }),
        _ => Err(format!("/usr/bin/time says {text}")),
    }
}

fn clear(path: &Path) -> Result<(), String> {
    if path.is_dir() { remove(path) } else { std::fs::remove_file(path).or(Ok(())) }
}

/// The command as a reader may repeat it.
fn shown(command: &Command, work: &Path, mirror: &str) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    // Where the checkout lies is nobody's business.
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/").replace("xtask/", "");
    let words: Vec<String> = words
        .map(|word| {
            let word = word.to_string_lossy().replace(&*work.to_string_lossy(), "TMP").replace(mirror, "MIRROR");
            let word = word.strip_prefix(&top).map(str::to_owned).unwrap_or(word);
            let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./:,".contains(c));
            if plain { word } else { format!("'{word}'") }
        })
        .collect();
    words.join(" ")
}
