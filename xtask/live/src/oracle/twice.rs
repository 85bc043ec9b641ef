//! Trees that rootstrap builds twice, in two ways that must not show.
//!
//! `cargo xtask oracle --twice`: here, and again on what looks like another machine on another day. Clock, time zone, host name, kernel and
//! number of processors differ ([`crate::elsewhere`]), and one root grows in memory, the other one on disk.
//!
//! `cargo xtask oracle --emulation`: a tree of another architecture, with native programs in the place of emulated ones, and again wholly
//! emulated.
//!
//! Nothing may differ in the trees but the files that rootstrap itself lists ([`rootstrap_normalize::varying`]).

use super::build::{self, Build};
use super::matrix::{Matrix, Twin};
use super::options::Options;
use super::tree::{self, Difference, Tree};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// One of the two ways to build a tree.
struct Way {
    name: &'static str,
    arguments: &'static [&'static str],
    is_elsewhere: bool,
}

/// On another machine. Elsewhere a script can wait for a moment of the clock that is more than a year away.
const ELSEWHERE: [Way; 2] = [
    Way { name: "here", arguments: &["--staging=memory", "--deadline=3600"], is_elsewhere: false },
    Way { name: "elsewhere", arguments: &["--staging=disk", "--deadline=3600"], is_elsewhere: true },
];

/// With native programs, and without.
const EMULATION: [Way; 2] = [
    Way { name: "native", arguments: &["--emulate=needed", "--verbose"], is_elsewhere: false },
    Way { name: "emulated", arguments: &["--emulate=all", "--verbose"], is_elsewhere: false },
];

/// What a log says of a build without native programs.
const NOT_NATIVE: &str = "everything is emulated";

/// What was found, in the columns of the table.
struct Outcome {
    entries: usize,
    listed: usize,
    rest: usize,
    times: [Duration; 2],
    is_native: bool,
}

/// Builds everything twice and prints a row of the table in docs/trees.md for each.
pub fn run(options: &Options) -> Result<(), String> {
    if !rustix::process::getuid().is_root() {
        return Err("must be root: it makes device nodes and owners, and traces programs of root".to_owned());
    }
    let program = options.ours.as_deref().map_or_else(build::our_program, |path| Ok(path.into()))?;
    let matrix = Matrix::read()?;
    let ways = if options.emulation { &EMULATION } else { &ELSEWHERE };
    let twins = if options.emulation { &matrix.emulation } else { &matrix.twice };
    let wanted = |list: &Option<Vec<String>>, name: &String| list.as_ref().is_none_or(|list| list.contains(name));
    let (mut rows, mut selected, mut failed) = (Vec::new(), 0, 0);
    for Twin { suite: name, variant, arch } in twins {
        let is_arch = options.arch.is_none() || options.arch == *arch;
        if !wanted(&options.suites, name) || !wanted(&options.variants, variant) || !is_arch {
            continue;
        }
        selected += 1;
        let arch = arch.as_deref();
        println!("# {name} {variant} {}, {} and {}", arch.unwrap_or_default(), ways[0].name, ways[1].name);
        let suite = build::suite(name)?;
        let mirror = options.mirror.clone().unwrap_or_else(|| suite.mirror());
        let epoch = match build::release_date(&mirror, name) {
            Ok((epoch, _)) => epoch,
            Err(error) => {
                println!("skipped: {name}: its archive does not answer: {error}");
                continue;
            }
        };
        let scratch =
            tempfile::Builder::new().prefix("oracle-").tempdir_in("/var/tmp").map_err(|error| error.to_string())?;
        let work = options.keep.as_deref().unwrap_or(scratch.path());
        std::fs::create_dir_all(work).map_err(|error| format!("cannot make {}: {error}", work.display()))?;
        let (plain, set) = matrix.variant(variant)?;
        // On the second day every Release file with a Valid-Until has expired, so each suite is judged at its own date.
        let expired = true;
        let build = Build { suite: &suite, variant: plain, set: &set, arch, mirror: &mirror, epoch, expired, work };
        let cells = match twice(&build, &program, variant, ways) {
            Ok(Outcome { entries, listed, rest, times, is_native }) => {
                failed += usize::from(rest > 0 || !is_native);
                let [one, two] = times.map(|time| time.as_secs_f64());
                let note = if is_native { "" } else { " (nothing was native)" };
                format!("{entries} | {listed} | {rest}{note} | {one:.1} s | {two:.1} s")
            }
            Err(error) => {
                println!("{error}");
                failed += 1;
                "– | – | failed | – | –".to_owned()
            }
        };
        let arch = arch.map(|arch| format!("| {arch} ")).unwrap_or_default();
        rows.push(format!("{arch}| {name} | {variant} | {cells} |"));
    }
    if selected == 0 {
        return Err("no line of tests/oracle/matrix.txt is for these suites, variants and architectures".to_owned());
    }
    let (head, rule) = if options.emulation { ("| arch ", "|---") } else { ("", "") };
    println!("{head}| suite | variant | entries | listed | unexplained | {} | {} |", ways[0].name, ways[1].name);
    println!("{rule}|---|---|--:|--:|--:|--:|--:|\n{}", rows.join("\n"));
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} pairs differ or cannot be built", rows.len())) }
}

fn twice(build: &Build<'_>, program: &Path, variant: &str, ways: &[Way; 2]) -> Result<Outcome, String> {
    let arch = build.arch.map(|arch| format!("{arch}-")).unwrap_or_default();
    let place = |way: &Way| build.work.join(format!("{}-{variant}-{arch}{}", build.suite.name, way.name));
    let (here, there) = (place(&ways[0]), place(&ways[1]));
    let mut times = [Duration::ZERO; 2];
    for ((way, target), time) in ways.iter().zip([&here, &there]).zip(&mut times) {
        build::remove(target)?;
        // The downloads of the first build serve the second one. Nothing that the first one made may do so.
        let cache = build.work.join("cache");
        for layer in ["first-phase", "root", "archive"] {
            build::remove(&cache.join("v1").join(layer))?;
        }
        let arguments: Vec<String> = way.arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut command = build.ours(program, "mmdebstrap", &arguments);
        command.arg("--cache-dir").arg(&cache).arg(target);
        if way.is_elsewhere {
            command = elsewhere(&command)?;
        }
        *time = build::logged(&mut command, &target.with_extension("log"))?;
    }
    let log = std::fs::read_to_string(here.with_extension("log")).unwrap_or_default();
    let is_native = !log.contains(NOT_NATIVE);
    // Times after the epoch would be a difference that nobody sees.
    let (first, second) = (Tree::read(&here, i64::MAX)?, Tree::read(&there, i64::MAX)?);
    let found = tree::compare(&first, &second);
    let is_listed = |found: &Difference| rootstrap_normalize::varying(&found.path).is_some();
    // A listed file that only one build has changes the time of its directory.
    let touched: BTreeSet<&str> = found
        .iter()
        .filter(|found| is_listed(found) && matches!(found.kind, "missing" | "extra"))
        .filter_map(|found| Some(found.path.rsplit_once('/')?.0))
        .collect();
    let is_time = |found: &Difference| matches!(found.kind, "touched" | "shared" | "mtime");
    let is_explained = |found: &&Difference| is_listed(found) || is_time(found) && touched.contains(&*found.path);
    let rest: Vec<&Difference> = found.iter().filter(|found| !is_explained(found)).collect();
    for difference in &rest {
        println!("{:<8} {}: {}", difference.kind, difference.path, difference.detail);
    }
    if rest.is_empty() {
        build::remove(&here)?;
        build::remove(&there)?;
    }
    Ok(Outcome { entries: first.len(), listed: found.len() - rest.len(), rest: rest.len(), times, is_native })
}

/// Returns the command that runs `command` elsewhere.
fn elsewhere(command: &Command) -> Result<Command, String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut outer = Command::new(own);
    outer.arg("elsewhere").arg(command.get_program()).args(command.get_args()).env_clear().current_dir("/");
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ok(outer)
}
