//! Makes a root filesystem in a directory and shows what happens:
//! `cargo run -p rootstrap-bootstrap --example directory -- trixie ./trixie`
//!
//! A mirror and a file of keys may follow, for a suite that is not listed.
#![allow(clippy::print_stderr, reason = "an example talks to whoever runs it")]

use rootstrap_bootstrap::privilege::{self, Ended, Invocation, Rights};
use rootstrap_bootstrap::{
    Error, Event, Host, Machine, Request, Selection, Sources, Summary, Target, native_architecture,
};
use std::error::Error as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    // The program is started again for the sandbox of package scripts and for its rights. This has to be the first thing that it does,
    // while there is one thread.
    let invocation = rootstrap_bootstrap::enter_if_asked();
    match make(&invocation) {
        Ok(Some(summary)) => {
            eprintln!("{} packages, {} bytes of files", summary.packages, summary.file_bytes);
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            let causes = std::iter::successors(error.source(), |&error| error.source());
            causes.for_each(|cause| eprintln!("  because: {cause}"));
            error.hint().iter().for_each(|hint| eprintln!("hint: {hint}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Makes the root. Returns `None` if a child has failed, which has said why.
fn make(invocation: &Invocation) -> Result<Option<Summary>, Error> {
    let mut machine = machine();
    match privilege::enter(invocation, None, "", &|_| ())? {
        Rights::Here(held) => {
            machine.mode = held.mode;
            machine.janitor = held.janitor;
            privilege::raise_descriptor_limit();
        }
        // The child did all of it.
        Rights::Elsewhere(Ended::Exited(0)) => std::process::exit(0),
        Rights::Elsewhere(_) => return Ok(None),
    }
    let words: Vec<String> = invocation.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let word = |number: usize| words.get(number).cloned().unwrap_or_default();
    let selection = Selection::new(native_architecture(&machine.host.machine)?);
    let mut sources = Sources::new(&word(1));
    sources.mirrors.extend(words.get(3).cloned());
    sources.keyrings.extend(words.get(4).map(Into::into));
    let request = Request::new(selection, sources, Target::Directory(word(2).into()), machine);
    rootstrap_bootstrap::bootstrap(&request, &show).map(Some)
}

/// Shows the stages, what is configured, and warnings. Several threads call this.
fn show(event: Event) {
    match event {
        Event::Stage(stage) => eprintln!("{}", stage.name()),
        Event::Configuring { package } => eprintln!("configuring {package}"),
        Event::Warning(text) => eprintln!("warning: {text}"),
        _ => {}
    }
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
    let mut machine = Machine::new(host, i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    machine.temporary = std::env::temp_dir();
    machine
}
