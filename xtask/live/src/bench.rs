//! `cargo xtask bench`: compares the wall clock, processor time and memory of rootstrap with those of other tools, run
//! in turns.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the report is what this chore is for")]

mod disk;
pub mod floor;
mod large;
mod loopback;
mod measure;
mod nightly;
mod options;
mod report;
mod rows;
mod sample;
mod scenario;
mod ten;
mod ten_images;
mod tools;

use crate::oracle::build;
use crate::project;
use std::path::Path;

/// Measures a scenario and returns its section of the document.
type Section = fn(&options::Options, &Path, &Path, &[String]) -> Result<String, String>;

/// The scenarios with sections of their own.
const SPECIAL: [(&str, Section); 4] = [
    (scenario::NIGHTLY, nightly::section),
    (scenario::TEN, ten::section),
    (scenario::LARGE, large::section),
    (scenario::DISK, disk::section),
];

/// Runs the chore.
pub fn run(args: &[String]) -> Result<(), String> {
    let mut options = options::parse(args)?;
    if options.help {
        println!("{}", options::USAGE);
        return Ok(());
    }
    options.user = options.user.or_else(|| std::env::var("ROOTSTRAP_TEST_USER").ok());
    if !rustix::process::getuid().is_root() {
        return Err("must be root: the other tools need root, and all tools have to do the same work".into());
    }
    if !Path::new("/usr/bin/time").exists() {
        return Err("needs /usr/bin/time (Debian package: time)".into());
    }
    let program = options.ours.clone().map_or_else(build::our_program, Ok)?;
    let path = project::directory().join("docs/benchmarks.md");
    let mut written = false;
    for case in options.cases() {
        if let Some(reason) = options.obstacle(&case) {
            let text = format!("cannot run the scenario {}: {reason}", case.scenario.name);
            if !options.scenarios.is_empty() {
                return Err(text);
            }
            eprintln!("skipped: {text}");
            continue;
        }
        let work =
            tempfile::Builder::new().prefix("bench-").tempdir_in(&options.work).map_err(|error| error.to_string())?;
        let program = measure::copy_program(work.path(), &program)?;
        let table = measure::rounds(&options, &case, &program, work.path())?;
        let text = report::section(&options, &case, &table, &program, args);
        println!("{text}");
        if options.write {
            report::store(&path, &text)?;
            written = true;
        }
    }
    for (name, section) in SPECIAL {
        if !options.scenarios.is_empty() && !options.scenarios.iter().any(|asked| asked == name) {
            continue;
        }
        let work =
            tempfile::Builder::new().prefix("bench-").tempdir_in(&options.work).map_err(|error| error.to_string())?;
        let program = measure::copy_program(work.path(), &program)?;
        let text = section(&options, &program, work.path(), args)?;
        println!("{text}");
        if options.write {
            report::store(&path, &text)?;
            written = true;
        }
    }
    if written {
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}
