//! Prints which packages a root gets, in the order in which they are unpacked. Nothing is built, so no rights are needed:
//! `cargo run -p rootstrap-bootstrap --example plan -- trixie nginx,curl`
//!
//! A mirror and a file of keys may follow, for a suite that is not listed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to whoever runs it")]

use rootstrap_bootstrap::{Error, Event, Host, Machine, Request, Selection, Sources, Target, native_architecture};
use std::error::Error as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match print_plan(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let causes = std::iter::successors(error.source(), |&error| error.source());
            causes.for_each(|cause| eprintln!("  because: {cause}"));
            error.hint().iter().for_each(|hint| eprintln!("hint: {hint}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn print_plan(words: &[String]) -> Result<(), Error> {
    let word = |number: usize| words.get(number).cloned().unwrap_or_default();
    let machine = machine();
    let architecture = native_architecture(&machine.host.machine)?;
    let include = word(1).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let selection = Selection { include, ..Selection::new(architecture) };
    let mut sources = Sources::new(&word(0));
    sources.mirrors.extend(words.get(2).cloned());
    sources.keyrings.extend(words.get(3).map(Into::into));
    let request = Request::new(selection, sources, Target::Nowhere, machine);
    let report = |event| {
        if let Event::Warning(text) | Event::Note(text) = event {
            eprintln!("{text}");
        }
    };
    let plan = rootstrap_bootstrap::plan(&request, &report)?;
    for (phase, package) in plan.packages() {
        println!("{phase} {} {} {}", package.name, package.version, package.architecture);
    }
    Ok(())
}

/// Returns this machine. The library reads neither the environment nor the clock, so what matters is given to it.
fn machine() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = if cfg!(target_arch = "x86") { "i686" } else { std::env::consts::ARCH };
    let host = Host {
        machine: machine.to_owned(),
        os_release: read("/etc/os-release"),
        resolv_conf: read("/etc/resolv.conf"),
        ..Host::default()
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Machine::new(host, i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
