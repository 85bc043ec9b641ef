//! The rounds of one scenario, and what one run takes.

use super::floor::{self, Floor};
use super::loopback;
use super::options::Options;
use super::scenario::{ADDITIONS, Case, FLOOR, Kind};
use super::tools::{self, OURS, Place, Run};
use crate::oracle::remove;
use crate::oracle_build::{self as build, Build, output};
use crate::oracle_matrix::Set;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Seconds on the wall.
    pub wall: f64,
    /// Seconds of processor in the programs.
    pub user: f64,
    /// Seconds of processor in the kernel.
    pub system: f64,
    /// The largest program's resident memory in MiB, if it was looked at.
    pub memory: Option<f64>,
}

impl Sample {
    /// One after the other.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            wall: self.wall + other.wall,
            user: self.user + other.user,
            system: self.system + other.system,
            memory: self.memory.into_iter().chain(other.memory).reduce(f64::max),
        }
    }
}

/// All runs of one tool, in order.
#[derive(Debug, Default)]
pub struct Series {
    /// The row.
    pub name: String,
    /// The last command, with places instead of the paths of one run. The floor has none.
    pub command: String,
    /// One for each round.
    pub samples: Vec<Sample>,
}

impl Series {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// What the rounds of a scenario gave.
pub struct Table {
    /// Ours first, the floor last.
    pub series: Vec<Series>,
    /// Who did not take part, and why.
    pub unable: Vec<(String, String)>,
}

/// Runs all rounds of a scenario below `work`, which others may enter.
pub fn rounds(options: &Options, case: &Case, program: &Path, work: &Path) -> Result<Table, String> {
    let suite = build::suite(&case.suite)?;
    let mut mirror = options.mirror(&suite.vendor).map_or_else(|| suite.mirror(), str::to_owned);
    if options.loopback {
        mirror = loopback::start(&mirror, &work.join("mirror"))?;
    }
    let (epoch, expired) = build::release_date(&mirror, &case.suite)?;
    let user = options.user.as_deref().filter(|_| case.scenario.kind == Kind::Rootless).map(tools::user).transpose()?;
    let mut sets = vec![Set::default()];
    if case.scenario.kind == Kind::Warm {
        sets.extend(ADDITIONS.map(|name| Set { include: vec![name.into()], ..Set::default() }));
    }
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
    let first = usize::from(!(case.is_filled() || options.loopback));
    for round in first..=options.runs {
        let set = sets.get(if sets.len() > 1 { round } else { 0 }).unwrap_or(&plain);
        let build = build_of(set);
        let mut failed = Vec::new();
        for (row, one) in series.iter_mut().enumerate() {
            let run = place.run(&one.name, &build)?;
            one.command = tools::shown(&run.command, work, &mirror, user.as_ref());
            let sample = sample(&run, &work.join(format!("{}.log", one.name)));
            set_aside(&run.target, &work.join(format!("old-{round}-{row}")))?;
            if !case.is_filled() {
                clear(&run.cache)?;
            }
            match sample {
                Ok(sample) => {
                    eprintln!("{} {round}: {:<24} {:6.2} s", case.scenario.name, one.name, sample.wall);
                    if round > 0 {
                        one.samples.push(sample);
                    }
                }
                // A peer that cannot do it at all is no reason to measure nothing. Ours is.
                Err(error) if round == first && row > 0 && tools::PEERS.contains(&one.name.as_str()) => {
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
    for entry in std::fs::read_dir(work).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("old-") {
            clear(&entry.path())?;
        }
    }
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

/// The names in our plan.
fn plan(place: &Place<'_>, build: &Build<'_>) -> Result<Vec<String>, String> {
    let mut command = build.ours(place.program, "", place.extra);
    command.arg("--print-plan").arg(format!("--cache-dir={}", place.work.join("plan-cache").display()));
    let text = output(&mut command)?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect())
}

/// Brings what later rounds include into the mirror of this machine: no run is to wait for the network.
fn fetch_additions(place: &Place<'_>, build: &Build<'_>) -> Result<(), String> {
    let mut command = build.ours(place.program, "", place.extra);
    command.args(["--no-cache", "/dev/null"]);
    output(&mut command).map(drop)
}

/// Measures one run, which is to leave a result.
fn sample(run: &Run, log: &Path) -> Result<Sample, String> {
    let sample = time(&run.command, run.prints.then_some(run.target.as_path()), log)?;
    // An empty archive or directory, as of a tool that took its arguments otherwise, is none.
    let is_there = if run.target.is_dir() {
        run.target.read_dir().is_ok_and(|mut entries| entries.next().is_some())
    } else {
        run.target.metadata().is_ok_and(|metadata| metadata.len() > 0)
    };
    if is_there { Ok(sample) } else { Err(format!("it left nothing at {}", run.target.display())) }
}

/// Measures a command, whose output goes to a file. The page cache is left alone: all fetch and write the same packages.
pub fn time(command: &Command, to: Option<&Path>, log: &Path) -> Result<Sample, String> {
    let figures = log.with_extension("figures");
    let create = |path: &Path| File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()));
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["--format=%U %S %M", "--output"]).arg(&figures);
    timed.arg(command.get_program()).args(command.get_args());
    timed.env_clear().current_dir("/").stdin(Stdio::null()).stderr(create(log)?);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            timed.env(name, value);
        }
    }
    timed.stdout(to.map_or(Ok(Stdio::null()), |path| create(path).map(Stdio::from))?);
    // What the last run left to write is not to be paid for by this one.
    rustix::fs::sync();
    let started = Instant::now();
    let status = timed.status().map_err(|error| format!("cannot run /usr/bin/time: {error}"))?;
    let wall = started.elapsed().as_secs_f64();
    if !status.success() {
        let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n    ");
        return Err(format!("{status}\n    {last}"));
    }
    let text = std::fs::read_to_string(&figures).map_err(|error| format!("no figures: {error}"))?;
    parse_figures(&text, wall)
}

fn parse_figures(text: &str, wall: f64) -> Result<Sample, String> {
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        &[user, system, memory] => Ok(Sample { wall, user, system, memory: Some(memory / 1024.0) }),
        _ => Err(format!("/usr/bin/time says {text}")),
    }
}

/// Makes a directory that everyone may enter, and a copy of our program in it that everyone may run.
pub fn workshop(work: &Path, program: &Path) -> Result<std::path::PathBuf, String> {
    let copy = work.join("bin/rootstrap");
    let made = std::fs::set_permissions(work, PermissionsExt::from_mode(0o755))
        .and_then(|()| std::fs::create_dir_all(work.join("bin")))
        .and_then(|()| std::fs::copy(program, &copy))
        .and_then(|_| std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)));
    made.map_err(|error| format!("cannot copy {}: {error}", program.display()))?;
    Ok(copy)
}

/// Results stay until all rounds are over: ext4 passes over every inode that was deleted a moment ago when it makes new
/// ones, so removing one tree makes the next one dearer, whoever makes it.
fn set_aside(target: &Path, old: &Path) -> Result<(), String> {
    if !target.exists() {
        return Ok(());
    }
    std::fs::rename(target, old).map_err(|error| format!("cannot set {} aside: {error}", target.display()))
}

fn clear(path: &Path) -> Result<(), String> {
    if path.is_dir() { remove(path) } else { std::fs::remove_file(path).or(Ok(())) }
}

/// The version of a row's tool, as far as it says.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_time() {
        let sample = parse_figures("1.50 0.25 2048\n", 2.0).unwrap();
        assert_eq!((sample.wall, sample.user, sample.system, sample.memory), (2.0, 1.5, 0.25, Some(2.0)));
        assert!(parse_figures("Command exited with non-zero status 1\n", 2.0).is_err());
    }

    #[test]
    fn sums_have_the_largest_memory() {
        let one = Sample { wall: 1.0, user: 2.0, system: 3.0, memory: Some(5.0) };
        let all = one.and(&Sample { memory: None, ..one }).and(&Sample { memory: Some(7.0), ..one });
        assert_eq!((all.wall, all.user, all.system, all.memory), (3.0, 6.0, 9.0, Some(7.0)));
    }
}
