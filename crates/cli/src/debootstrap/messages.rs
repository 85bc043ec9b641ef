//! What happens, in the words of debootstrap: one line for each step on standard output. Errors are there too, because programs that run
//! debootstrap read them there.

use crate::log::Log;
use crate::visible::visible_line;
use rootstrap_bootstrap::{Error, Event, FetchEvent, Stage};
use std::error::Error as _;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Prints lines and keeps them.
pub(super) struct Messages {
    pub log: Log,
    /// Whether standard output is for a result, and messages go to standard error.
    has_result: bool,
    stages: Mutex<Stages>,
}

/// How often the stages began that begin more than once.
#[derive(Default)]
struct Stages {
    unpack: usize,
    configure: usize,
}

impl Messages {
    pub(super) fn new(log: Log, has_result: bool) -> Self {
        Self { log, has_result, stages: Mutex::default() }
    }

    pub(super) fn info(&self, text: &str) {
        self.print("I", text);
    }

    pub(super) fn warning(&self, text: &str) {
        self.print("W", text);
    }

    /// Prints an error with its causes, and what to do.
    pub(super) fn error(&self, error: &Error) {
        let causes = std::iter::successors(error.source(), |&error| error.source());
        let texts = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string));
        let hint = error.hint().map(|hint| format!("hint: {hint}"));
        for line in texts.chain(hint).flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()) {
            self.print("E", &line);
        }
    }

    fn print(&self, kind: &str, text: &str) {
        let line = format!("{kind}: {}", visible_line(text));
        self.log.line(&line);
        // Nobody may read them any more.
        let _ = match self.has_result {
            true => writeln!(std::io::stderr(), "{line}"),
            false => writeln!(std::io::stdout(), "{line}"),
        };
    }

    /// Shows an event. Any thread may call this.
    pub(super) fn event(&self, event: &Event) {
        match event {
            Event::Stage(stage) => self.stage(*stage),
            Event::Fetch(event) => self.fetch(event),
            Event::Warning(text) => self.warning(text),
            Event::Unpacked { package } => self.info(&format!("Extracting {}...", name(package))),
            Event::Configuring { package } => self.info(&format!("Configuring {}...", name(package))),
            Event::Note(text) | Event::Output(text) => self.log.line(&visible_line(text)),
            _ => {}
        }
    }

    fn stage(&self, stage: Stage) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match stage {
            Stage::Indexes => "Retrieving InRelease",
            Stage::Plan => "Resolving dependencies of required packages...",
            Stage::Unpack => {
                stages.unpack += 1;
                match stages.unpack {
                    1 => "Unpacking required packages...",
                    2 => "Unpacking the base system...",
                    _ => return,
                }
            }
            Stage::Configure => {
                stages.configure += 1;
                match stages.configure {
                    1 => "Configuring required packages...",
                    2 => "Configuring the base system...",
                    _ => return,
                }
            }
            _ => return,
        };
        drop(stages);
        self.info(text);
        if stage == Stage::Plan {
            self.info("Resolving dependencies of base packages...");
        }
    }

    fn fetch(&self, event: &FetchEvent) {
        match event {
            FetchEvent::ReleaseVerified { keys, .. } if keys.is_empty() => {}
            FetchEvent::ReleaseVerified { keys, .. } => {
                self.info("Checking Release signature");
                self.info(&format!("Valid Release signature (key id {})", keys.join(", ")));
            }
            FetchEvent::IndexStarted { .. } => self.info("Retrieving Packages"),
            FetchEvent::IndexDone { .. } => self.info("Validating Packages"),
            FetchEvent::DebStarted { label } => self.info(&format!("Retrieving {}", words(label))),
            FetchEvent::DebDone { label } => self.info(&format!("Validating {}", words(label))),
            FetchEvent::Retry { what, reason, .. } => {
                self.warning(&format!("Retrying failed download of {what}: {reason}"))
            }
            FetchEvent::MirrorFailed { uri, reason, .. } => self.warning(&format!("{uri} failed: {reason}")),
            _ => {}
        }
    }
}

/// Returns the name of a package without its architecture.
fn name(package: &str) -> &str {
    let name = package.split(['_', ':']).next().unwrap_or(package);
    name.strip_suffix(".deb").unwrap_or(name)
}

/// Returns name and version of a deb.
fn words(label: &str) -> String {
    let mut parts = label.split('_');
    let parts: Vec<&str> = [parts.next(), parts.next()].into_iter().flatten().collect();
    parts.join(" ")
}
