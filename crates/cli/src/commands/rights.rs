//! What every command that builds something needs first: rights, the user's credentials, and signals.

use crate::environment;
use rootstrap_bootstrap::privilege::{self, Held, Invocation};
use rootstrap_bootstrap::{Error, Event, Machine, Push, parse_moment};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The last second of the year 9999.
const LATEST: i64 = 253_402_300_799;

/// How long a run may take to end in order after the process that waits for it was killed.
const GRACE: Duration = Duration::from_secs(15);

/// Hands the rights of this process to a run.
pub(crate) fn apply(held: &Held, machine: &mut Machine) {
    machine.mode = held.mode;
    machine.janitor = held.janitor.clone();
    held.janitor.end_after_parent(GRACE);
    // Each decoded package keeps a directory open until its phase comes.
    privilege::raise_descriptor_limit();
}

/// Reports the mode, and what prevents a better one.
pub(crate) fn report_mode(held: &Held, report: &dyn Fn(Event)) {
    report(Event::Note(format!("mode: {}", held.mode.name())));
    for obstacle in &held.obstacles {
        report(Event::Note(obstacle.clone()));
    }
}

/// Finds the credentials for a push in the first process, because helpers expect to be run by the user who asked. The process that
/// continues takes them over. Returns what that process has to know.
pub(crate) fn credentials(push: &mut Push, invocation: &Invocation) -> Result<String, Error> {
    match &invocation.handover {
        Some(handover) => push.take_credentials(&handover.secret).map(|()| String::new()),
        None => push.find_credentials(&environment::path_variable),
    }
}

/// Returns `SOURCE_DATE_EPOCH`, if it is set.
pub(crate) fn epoch() -> Result<Option<i64>, String> {
    let text = environment::variable("SOURCE_DATE_EPOCH");
    // Dates are written with four digits for the year.
    let parse = |text| {
        let moment = parse_moment(&format!("@{text}")).filter(|moment| (0..=LATEST).contains(moment));
        moment.ok_or_else(|| {
            "cannot use SOURCE_DATE_EPOCH: it must be a number of seconds between the years 1970 and 9999".to_owned()
        })
    };
    text.map(parse).transpose()
}

/// Sets `cancel` at the first signal, which asks for an orderly end. An interrupt or a termination after it ends the process at once;
/// hangups may repeat.
pub(crate) fn stop_on_signals(cancel: &Arc<AtomicBool>) {
    let cancel = cancel.clone();
    if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if cancel.swap(true, Ordering::Relaxed) && signal != SIGHUP {
                    std::process::exit(130);
                }
            }
        });
    }
}

/// Passes the signals of the process that only waits to the process that works.
pub(crate) fn pass_signals_to(process: u32) {
    if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        std::thread::spawn(move || signals.forever().for_each(|_| privilege::interrupt(process)));
    }
}
