//! `cargo xtask oracle`: compares our tree with that of another tool. A difference that nobody has accepted is a
//! failure.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the report is what this chore is for")]

mod accepted;
mod apt;
pub mod build;
mod content;
pub mod matrix;
mod mirror;
mod options;
mod packages;
mod requests;
mod team;
mod tree;
mod twice;

use crate::project;
use accepted::{Accepted, Comparison};
use build::Build;
use matrix::Matrix;
use options::Options;
use std::path::Path;
use std::time::Duration;
use tree::{Difference, Tree};

/// The result of one comparison.
struct Outcome {
    ours: Duration,
    theirs: Duration,
    entries: usize,
    accepted: usize,
    rest: Vec<Difference>,
    unused: Vec<String>,
    complaints: Vec<String>,
}

impl Outcome {
    fn is_good(&self) -> bool {
        self.rest.is_empty() && self.complaints.is_empty()
    }
}

/// Why nothing was compared.
enum Failure {
    /// The archive does not answer. This does not count as a failure.
    Unreachable(String),
    Other(String),
}

impl From<String> for Failure {
    fn from(error: String) -> Self {
        Self::Other(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Unreachable(error) | Self::Other(error)) = self;
        f.write_str(error)
    }
}

/// Runs the chore.
pub fn run(args: &[String]) -> Result<(), String> {
    let options = options::parse(args)?;
    if options.apt {
        return apt::run(&options);
    }
    if options.twice || options.emulation {
        return twice::run(&options);
    }
    let path = project::directory().join("tests/oracle/accepted-differences.txt");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if let Some(count) = options.packages {
        let suite = options.suites.as_ref().and_then(|suites| suites.first()).map_or("trixie", String::as_str);
        let (mirror, keep, program) = (options.mirror.as_deref(), options.keep.as_deref(), options.ours.as_deref());
        return packages::run(&packages::Options { suite, count, part: options.part, mirror, keep, program }, &text);
    }
    let matrix = Matrix::read()?;
    let mut failed = 0;
    let mut rows = Vec::new();
    for cell in &cells(&options, &matrix)? {
        // The list is read again for each cell, because it counts which of its lines were used.
        let list = accepted::parse(&text)?;
        println!("# {} {} against {}", cell.suite, cell.variant, cell.against);
        let outcome = compare(&options, &matrix, cell, &list);
        match &outcome {
            Ok(outcome) => report(outcome),
            Err(error @ Failure::Unreachable(_)) => println!("skipped: {} {}: {error}", cell.suite, cell.variant),
            Err(error) => println!("{error}"),
        }
        failed += usize::from(match &outcome {
            Ok(outcome) => !outcome.is_good(),
            Err(failure) => matches!(failure, Failure::Other(_)),
        });
        rows.push(row(cell, &outcome));
    }
    if options.matrix {
        println!("| suite | variant | against | entries | accepted | unexplained | complaints | ours | theirs |");
        println!("|---|---|---|--:|--:|--:|--:|--:|--:|\n{}", rows.join("\n"));
        println!("{} lines of accepted differences", accepted::parse(&text)?.len());
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(format!("{failed} of {} comparisons have unexplained differences", rows.len()))
    }
}

/// The comparisons that the options ask for.
fn cells(options: &Options, matrix: &Matrix) -> Result<Vec<Comparison>, String> {
    if options.matrix {
        let wanted = |list: &Option<Vec<String>>, name: &String| list.as_ref().is_none_or(|list| list.contains(name));
        let cells = matrix.cells.iter().filter(|cell| {
            wanted(&options.suites, &cell.suite)
                && wanted(&options.variants, &cell.variant)
                && options.against.as_ref().is_none_or(|tool| *tool == cell.against)
        });
        return Ok(cells.cloned().collect());
    }
    let suites = options.suites.clone().unwrap_or_else(|| vec!["trixie".into()]);
    let variants = options.variants.clone().unwrap_or_else(|| vec!["minbase".into()]);
    let against = options.against.clone().unwrap_or_else(|| "mmdebstrap".into());
    let all = suites.iter().flat_map(|suite| variants.iter().map(move |variant| (suite, variant)));
    let cell = |(suite, variant): (&String, &String)| Comparison {
        suite: suite.clone(),
        variant: variant.clone(),
        against: against.clone(),
    };
    Ok(all.map(cell).collect())
}

fn compare(options: &Options, matrix: &Matrix, cell: &Comparison, list: &[Accepted]) -> Result<Outcome, Failure> {
    if let Some((ours, theirs)) = &options.trees {
        let epoch = options.epoch.unwrap_or(i64::MAX);
        return Ok(judge(ours, theirs, epoch, cell, list)?);
    }
    if !rustix::process::getuid().is_root() {
        return Err("must be root: the reference tools make device nodes and owners".to_owned().into());
    }
    let suite = build::suite(&cell.suite)?;
    let mirror = options.mirror.clone().unwrap_or_else(|| suite.mirror());
    let date = build::release_date(&mirror, &cell.suite);
    let (epoch, expired) =
        date.map_err(|error| Failure::Unreachable(format!("its archive does not answer: {error}")))?;
    // Not in /tmp, which may be a small tmpfs or mounted nodev.
    let scratch =
        tempfile::Builder::new().prefix("oracle-").tempdir_in("/var/tmp").map_err(|error| error.to_string())?;
    let work = options.keep.as_deref().unwrap_or(scratch.path());
    std::fs::create_dir_all(work).map_err(|error| format!("cannot make {}: {error}", work.display()))?;
    let place = |whose: &str| work.join(format!("{}-{}-{whose}", cell.suite, cell.variant));
    let (ours, theirs) = (place(&format!("ours-{}", cell.against)), place(&cell.against));
    let (variant, set) = matrix.variant(&cell.variant)?;
    let arch = options.arch.as_deref();
    let build = Build { suite: &suite, variant, set: &set, arch, mirror: &mirror, epoch, expired, work };
    build::remove(&ours)?;
    let their_time = reference(&build, &cell.against, &theirs)?;
    let mut own = match options.ours.as_deref() {
        Some(tool @ ("mmdebstrap" | "debootstrap")) => build.theirs(tool, &ours, None)?,
        other => {
            let program = other.map_or_else(build::our_program, |path| Ok(path.into()))?;
            let mut command = build.ours(&program, &cell.against, &options.extra);
            command.arg(&ours);
            command
        }
    };
    let our_time = build::logged(&mut own, &ours.with_extension("log"))?;
    let outcome = judge(&ours, &theirs, epoch, cell, list)?;
    // These come last, because they write to the tree.
    let complaints = build::complaints(&ours)?;
    if options.keep.is_none() {
        build::remove(&ours)?;
        build::remove(&theirs)?;
    }
    Ok(Outcome { ours: our_time, theirs: their_time, complaints, ..outcome })
}

/// Builds the other tool's tree, unless the same command has made one from the same state of the archive. Returns the
/// time that the command took.
fn reference(build: &Build<'_>, tool: &str, target: &Path) -> Result<Duration, String> {
    let mut command = build.theirs(tool, target, None)?;
    let (note, made_by) = (target.with_extension("made"), format!("{command:?}\n"));
    let known = std::fs::read_to_string(&note).unwrap_or_default();
    if let Some(seconds) = known.strip_prefix(&made_by).and_then(|seconds| seconds.trim().parse().ok()) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    let _ = std::fs::remove_file(&note);
    build::remove(target)?;
    let took = build::logged(&mut command, &target.with_extension("log"))?;
    std::fs::write(&note, format!("{made_by}{}\n", took.as_secs_f64()))
        .map_err(|error| format!("cannot write {}: {error}", note.display()))?;
    Ok(took)
}

fn judge(ours: &Path, theirs: &Path, epoch: i64, cell: &Comparison, list: &[Accepted]) -> Result<Outcome, String> {
    let (ours, theirs) = (Tree::read(ours, epoch)?, Tree::read(theirs, epoch)?);
    let (accepted, rest) = accepted::sift(tree::compare(&ours, &theirs), list, cell);
    let unused = accepted::unused(list, cell);
    let (none, complaints) = (Duration::ZERO, Vec::new());
    Ok(Outcome { ours: none, theirs: none, entries: theirs.len(), accepted, rest, unused, complaints })
}

fn report(outcome: &Outcome) {
    for difference in &outcome.rest {
        println!("{:<8} {}: {}", difference.kind, difference.path, difference.detail);
    }
    for line in &outcome.unused {
        println!("unused   accepted-differences.txt {line}");
    }
    for line in &outcome.complaints {
        println!("complaint {line}");
    }
    println!(
        "{} entries, {} accepted and {} unexplained differences; ours {:.1} s, theirs {:.1} s",
        outcome.entries,
        outcome.accepted,
        outcome.rest.len(),
        outcome.ours.as_secs_f64(),
        outcome.theirs.as_secs_f64()
    );
}

fn row(cell: &Comparison, outcome: &Result<Outcome, Failure>) -> String {
    let Comparison { suite, variant, against } = cell;
    match outcome {
        Ok(outcome) => format!(
            "| {suite} | {variant} | {against} | {} | {} | {} | {} | {:.1} s | {:.1} s |",
            outcome.entries,
            outcome.accepted,
            outcome.rest.len(),
            outcome.complaints.len(),
            outcome.ours.as_secs_f64(),
            outcome.theirs.as_secs_f64()
        ),
        Err(Failure::Unreachable(_)) => format!("| {suite} | {variant} | {against} | – | – | skipped | – | – | – |"),
        Err(Failure::Other(_)) => format!("| {suite} | {variant} | {against} | – | – | failed | – | – | – |"),
    }
}
