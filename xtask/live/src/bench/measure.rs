//! Runs the rounds of a scenario and measures each run.

use super::floor::{self, Floor};
use super::loopback;
use super::options::Options;
use super::sample::{Sample, time};
use super::scenario::{ADDITIONS, Case, FLOOR, Kind};
use super::tools::{self, OURS, Place, Run};
use crate::oracle::build::{self as build, Build, output};
use crate::oracle::matrix::Set;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// All runs of one tool, in order.
#[derive(Debug, Default)]
pub struct Series {
    /// The name of the row.
    pub name: String,
    /// The last command, with names such as TMP instead of paths. It is empty for the floor.
    pub command: String,
    /// The samples, one for each round.
    pub samples: Vec<Sample>,
}

impl Series {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// The samples of all rounds of a scenario.
pub struct Table {
    /// The rows: rootstrap first, the floor last.
    pub series: Vec<Series>,
    /// The tools that did not take part, and why.
    pub unable: Vec<(String, String)>,
}

/// Runs all rounds of a scenario below `work`, a directory that every user may enter.
pub fn rounds(options: &Options, case: &Case, program: &Path, work: &Path) -> Result<Table, String> {
    let suite = build::suite(&case.suite)?;
    let mut mirror = options.mirror(&suite.vendor).map_or_else(|| suite.mirror(), str::to_owned);
    if options.loopback {
        mirror = loopback::start(&mirror, &work.join("mirror"))?;
    }
    let (epoch, expired) = build::release_date(&mirror, &case.suite)?;
    let user = options.user.as_deref().filter(|_| case.scenario.kind == Kind::Rootless).map(tools::user).transpose()?;
    let sets = sets(case);
    let arch = case.arch.as_deref();
    let build_of =
        |set| Build { suite: &suite, variant: &case.variant, set, arch, mirror: &mirror, epoch, expired, work };
    let plain = Set::default();
    let all_additions = Set { include: ADDITIONS.map(str::to_owned).into(), ..Set::default() };
    let build = build_of(&plain);
    let mut place = Place { case, program, extra: &options.extra, packages: &[], user: user.as_ref(), work };
    let (rows, mut unable) = place.rows(options.against.as_deref());
    let packages = if rows.iter().any(|row| row == "rdebootstrap") { plan(&place, &build)? } else { Vec::new() };
    place.packages = &packages;
    if options.loopback && case.scenario.kind == Kind::Warm {
        fetch_additions(&place, &build_of(&all_additions))?;
    }
    let floor = case.scenario.floor.then(|| floor::prepare(&place, &build)).transpose()?;
    let mut series: Vec<Series> = rows.into_iter().map(Series::new).collect();
    let mut floors: Vec<Series> =
        floor.iter().flat_map(|_| floor::PARTS.into_iter().chain([FLOOR])).map(Series::new).collect();
    let before = case.rounds_before(options.loopback);
    for number in 0..before + options.runs {
        let round = (number + 1).saturating_sub(before);
        let set = sets.get(if sets.len() > 1 { round } else { 0 }).unwrap_or(&plain);
        let build = build_of(set);
        let mut failed = Vec::new();
        for (row, one) in series.iter_mut().enumerate() {
            match run_once(&place, &build, one, &work.join(format!("old-{number}-{row}")))? {
                Ok(sample) => {
                    eprintln!("{} {round}: {:<24} {:6.2} s", case.scenario.name, one.name, sample.wall);
                    if round > 0 {
                        one.samples.push(sample);
                    }
                }
                // A peer that fails in the first round is left out, and the others are measured. A failure of rootstrap
                // ends the run.
                Err(error) if number == 0 && row > 0 && tools::PEERS.contains(&one.name.as_str()) => {
                    eprintln!("{} does not take part: {error}", one.name);
                    let last = error.lines().last().unwrap_or_default().trim();
                    unable.push((one.name.clone(), format!("it failed: {}", tools::anonymous(last, work, &mirror))));
                    failed.push(one.name.clone());
                }
                Err(error) => return Err(format!("{} failed: {error}", one.name)),
            }
        }
        series.retain(|one| !failed.contains(&one.name));
        if round > 0 {
            sample_floor(floor.as_ref(), &mut floors, round)?;
        }
    }
    clear_results(work)?;
    series.append(&mut floors);
    Ok(Table { series, unable })
}

fn sample_floor(floor: Option<&Floor>, floors: &mut [Series], round: usize) -> Result<(), String> {
    let Some(floor) = floor else { return Ok(()) };
    let parts = floor.sample(round)?;
    let all = parts.iter().fold(Sample::default(), |sum, part| sum.and(part));
    for (series, sample) in floors.iter_mut().zip(parts.into_iter().chain([all])) {
        eprintln!("{round}: {:<36} {:6.2} s", series.name, sample.wall);
        series.samples.push(sample);
    }
    Ok(())
}

/// Returns the packages that each round adds. Rounds with a warm cache add another package each; all others add none.
fn sets(case: &Case) -> Vec<Set> {
    let mut sets = vec![Set::default()];
    if case.scenario.kind == Kind::Warm {
        sets.extend(ADDITIONS.map(|name| Set { include: vec![name.into()], ..Set::default() }));
    }
    sets
}

/// Runs one tool in one round and moves its result to `old`. The inner error is that of the tool.
fn run_once(
    place: &Place<'_>,
    build: &Build<'_>,
    series: &mut Series,
    old: &Path,
) -> Result<Result<Sample, String>, String> {
    let run = place.run(&series.name, build)?;
    series.command = tools::shown(&run.command, place.work, build.mirror, place.user);
    let sample = sample(&run, &place.work.join(format!("{}.log", series.name)));
    set_aside(&run.target, old)?;
    if !place.case.is_filled() {
        clear(&run.cache)?;
    }
    Ok(sample)
}

/// Removes the results of all rounds.
fn clear_results(work: &Path) -> Result<(), String> {
    for entry in std::fs::read_dir(work).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("old-") {
            clear(&entry.path())?;
        }
    }
    Ok(())
}

/// Returns the names of the packages in rootstrap's plan.
fn plan(place: &Place<'_>, build: &Build<'_>) -> Result<Vec<String>, String> {
    let mut command = build.ours(place.program, "", place.extra);
    command.arg("--print-plan").arg(format!("--cache-dir={}", place.work.join("plan-cache").display()));
    let text = output(&mut command)?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect())
}

/// Fetches the packages that later rounds add into the mirror of this machine, so that no run waits for the network.
fn fetch_additions(place: &Place<'_>, build: &Build<'_>) -> Result<(), String> {
    let mut command = build.ours(place.program, "", place.extra);
    command.args(["--no-cache", "/dev/null"]);
    output(&mut command).map(drop)
}

/// Measures one run. It is an error if the run leaves no result.
fn sample(run: &Run, log: &Path) -> Result<Sample, String> {
    let sample = time(&run.command, run.prints.then_some(run.target.as_path()), log)?;
    // An empty archive or directory is no result: the tool has understood its arguments in another way.
    let is_there = if run.target.is_dir() {
        run.target.read_dir().is_ok_and(|mut entries| entries.next().is_some())
    } else {
        run.target.metadata().is_ok_and(|metadata| metadata.len() > 0)
    };
    if is_there { Ok(sample) } else { Err(format!("it left nothing at {}", run.target.display())) }
}

/// Copies our program to a place below `work` where every user may run it. Returns the path of the copy.
pub fn copy_program(work: &Path, program: &Path) -> Result<std::path::PathBuf, String> {
    let copy = work.join("bin/rootstrap");
    let made = std::fs::set_permissions(work, PermissionsExt::from_mode(0o755))
        .and_then(|()| std::fs::create_dir_all(work.join("bin")))
        .and_then(|()| std::fs::copy(program, &copy))
        .and_then(|_| std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)));
    made.map_err(|error| format!("cannot copy {}: {error}", program.display()))?;
    Ok(copy)
}

/// Moves a result to another name. Results are removed only after all rounds, because ext4 does not use inodes that
/// were freed a moment ago for new files and has to search past them. So removing one tree would make the next run
/// slower, whichever tool it is.
fn set_aside(target: &Path, old: &Path) -> Result<(), String> {
    if !target.exists() {
        return Ok(());
    }
    std::fs::rename(target, old).map_err(|error| format!("cannot set {} aside: {error}", target.display()))
}

fn clear(path: &Path) -> Result<(), String> {
    if path.is_dir() { build::remove(path) } else { std::fs::remove_file(path).or(Ok(())) }
}

/// Returns the version of a row's tool, if it can be found out.
pub fn version(row: &str, program: &Path) -> Option<String> {
    let run = |command: &mut Command| output(command).ok().map(|text| text.trim().to_owned());
    match row {
        OURS => run(Command::new(program).arg("--version")),
        "rdebootstrap" => run(Command::new(tools::find(row)?).arg("--version")),
        row if tools::PEERS.contains(&row) => {
            run(Command::new("dpkg-query").args(["--show", "--showformat=${Package} ${Version}", row]))
                .filter(|text| !text.is_empty())
        }
        _ => None,
    }
}
