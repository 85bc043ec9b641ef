//! `cargo xtask oracle --twice`: builds a tree here, and again on what looks like another machine on another day.
//!
//! Clock, time zone, host name, kernel and number of processors differ ([`crate::elsewhere`]), and one root grows in memory, the other one on
//! disk. Nothing may differ in the trees but the files that rootstrap itself lists ([`rootstrap_normalize::varying`]).

use super::build::{self, Build};
use super::matrix::Matrix;
use super::options::Options;
use super::tree::{self, Difference, Tree};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What was found, in the columns of the table.
struct Outcome {
    entries: usize,
    listed: usize,
    rest: usize,
}

/// Builds everything twice and prints a row of the table in docs/trees.md for each.
pub fn run(options: &Options) -> Result<(), String> {
    if !rustix::process::getuid().is_root() {
        return Err("must be root: it traces programs of root".to_owned());
    }
    let program = options.ours.as_deref().map_or_else(build::our_program, |path| Ok(path.into()))?;
    let matrix = Matrix::read()?;
    let wanted = |list: &Option<Vec<String>>, name: &String| list.as_ref().is_none_or(|list| list.contains(name));
    let (mut rows, mut selected, mut failed) = (Vec::new(), 0, 0);
    for (name, variant) in &matrix.twice {
        if !wanted(&options.suites, name) || !wanted(&options.variants, variant) {
            continue;
        }
        selected += 1;
        println!("# {name} {variant} twice");
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
        let build =
            Build { suite: &suite, variant: plain, set: &set, arch: None, mirror: &mirror, epoch, expired, work };
        let cells = match twice(&build, &program, variant) {
            Ok(Outcome { entries, listed, rest }) => {
                failed += usize::from(rest > 0);
                format!("{entries} | {listed} | {rest}")
            }
            Err(error) => {
                println!("{error}");
                failed += 1;
                "– | – | failed".to_owned()
            }
        };
        rows.push(format!("| {name} | {variant} | {cells} |"));
    }
    if selected == 0 {
        return Err("no line `twice` of tests/oracle/matrix.txt is for these suites and variants".to_owned());
    }
    println!("| suite | variant | entries | listed | unexplained |\n|---|---|--:|--:|--:|\n{}", rows.join("\n"));
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} pairs differ or cannot be built", rows.len())) }
}

fn twice(build: &Build<'_>, program: &Path, variant: &str) -> Result<Outcome, String> {
    let place = |which: &str| build.work.join(format!("{}-{variant}-{which}", build.suite.name));
    let (here, there) = (place("here"), place("elsewhere"));
    for (target, is_here) in [(&here, true), (&there, false)] {
        build::remove(target)?;
        // The downloads of the first build serve the second one. Nothing that the first one made may do so.
        let cache = build.work.join("cache");
        for layer in ["first-phase", "archive"] {
            build::remove(&cache.join("v1").join(layer))?;
        }
        // Elsewhere a script can wait for a moment of the clock that is more than a year away.
        let own = [if is_here { "--staging=memory" } else { "--staging=disk" }, "--deadline=3600"];
        let mut command = build.ours(program, "mmdebstrap", &own.map(str::to_owned));
        command.arg("--cache-dir").arg(&cache).arg(target);
        if !is_here {
            command = elsewhere(&command)?;
        }
        build::logged(&mut command, &target.with_extension("log"))?;
    }
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
    Ok(Outcome { entries: first.len(), listed: found.len() - rest.len(), rest: rest.len() })
}

/// Returns the command that runs `command` elsewhere.
fn elsewhere(command: &Command) -> Result<Command, String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut outer = Command::new(own);
    outer.arg("elsewhere").arg(command.get_program()).args(command.get_args()).env_clear().current_dir("/");
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ok(outer)
}
