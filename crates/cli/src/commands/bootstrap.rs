//! `rootstrap SUITE TARGET`: from the arguments to a request, and from the outcome to an exit status.

use crate::args::{Args, CommandLine, PlanFormat};
use crate::container::ContainerArgs;
use crate::log::Log;
use crate::progress::{Level, Progress};
use crate::surroundings;
use clap::CommandFactory;
use rootstrap_bootstrap::privilege::{self, Held, Rights};
use rootstrap_bootstrap::{Error, Event, Request, Target, Word, parse_moment};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs the command and says how it went.
pub(crate) fn run(args: Args, container: ContainerArgs, arguments: &[OsString]) -> u8 {
    let level = Level::of(args.quiet, args.verbose);
    let plan = args.print_plan;
    let mode = args.mode;
    let mut held = None;
    let log = args.log.clone();
    let mut request = match request(args, container) {
        Ok(request) => request,
        Err(problem) => return usage(&problem),
    };
    let log = match Log::open(log.as_deref()) {
        Ok(log) => log,
        Err(error) => return usage(&format!("cannot write the log: {error}")),
    };
    // Threads may start only once the rights are there.
    if plan.is_none() {
        let secret = match credentials(&mut request) {
            Ok(secret) => secret,
            Err(error) => return fail(&error, None),
        };
        match privilege::enter(mode, arguments, &secret, &pass_signals_to) {
            Ok(Rights::Here(here)) => held = Some(here),
            Ok(Rights::Elsewhere(code)) => return code,
            Err(error) => return fail(&error.into(), None),
        }
    }
    stop_on_signals(&request.cancel);
    let progress = Progress::new(level, log);
    let report = |event| progress.event(&event);
    if let Some(held) = &held {
        say_mode(held, &report);
    }
    let result = match plan {
        Some(format) => rootstrap_bootstrap::plan(&request, &report).and_then(|plan| {
            progress.end();
            let text = match format {
                PlanFormat::Text => plan.to_text(),
                PlanFormat::Json => plan.to_json(),
            };
            std::io::stdout().write_all(text.as_bytes()).map_err(Error::Stdout)
        }),
        None => rootstrap_bootstrap::bootstrap(&request, &report).map(|summary| progress.summary(&summary)),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            progress.end();
            // A script's last words are in the message; the rest may be wanted too.
            let log = matches!(error, Error::Configure(_)).then(|| progress.log().keep(&request.temporary)).flatten();
            fail(&error, log)
        }
    }
}

/// Which mode it is, and what is in the way of a better one.
pub(super) fn say_mode(held: &Held, report: &dyn Fn(Event)) {
    report(Event::Note(format!("mode: {}", held.mode.name())));
    for obstacle in &held.obstacles {
        report(Event::Note(obstacle.clone()));
    }
}

/// Arguments, environment and host as one request.
fn request(args: Args, container: ContainerArgs) -> Result<Request, String> {
    let target = match args.print_plan {
        // Nothing goes anywhere.
        Some(_) => Target::Nowhere,
        None => container.target(args.target.as_deref(), Word::Tar)?,
    };
    if CommandLine::command().find_subcommand(&args.suite).is_some() {
        return Err(format!(
            "cannot use `{0}` as a suite\nhint: options come after the command: rootstrap {0} …",
            args.suite
        ));
    }
    if args.attest && args.print_plan.is_none() && target.layer().is_none() && container.push.is_empty() {
        return Err(
            "cannot use --attest: it is said of container images, and TARGET is none\nhint: use a name ending in \
                    .oci.tar, or --sbom for a file beside it"
                .into(),
        );
    }
    if args.foreign && (target.layer().is_some() || !container.push.is_empty()) {
        return Err("cannot use --foreign for a container image, which is finished when it is made".into());
    }
    if args.foreign && !args.variant.runs_scripts() {
        return Err(format!("cannot use --foreign with --variant={}, which has no second stage", args.variant));
    }
    let mut mirrors: Vec<String> = args.mirror_argument.into_iter().chain(args.mirror).collect();
    if mirrors.is_empty() {
        mirrors.extend(surroundings::variable("ROOTSTRAP_MIRROR"));
    }
    let words = |list: Vec<String>| -> Vec<String> {
        list.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
    };
    if args.arch.len() > 1 && args.print_plan.is_some() {
        return Err("cannot print one plan for several architectures\nhint: ask for one after the other".into());
    }
    let mut architectures = args.arch.into_iter();
    let cache = if args.no_cache { None } else { args.cache_dir.or_else(surroundings::cache_directory) };
    Ok(Request {
        sboms: args.sbom,
        attest: args.attest,
        image: args.image,
        push: container.push.clone(),
        compression: container.layer(&target),
        insecure_registry: container.insecure_registry,
        container: container.container(),
        slim: args.slim,
        copies: args.copy,
        foreign: args.foreign,
        variant: args.variant,
        architecture: architectures.next(),
        further_platforms: architectures.collect(),
        add_architectures: args.add_architecture,
        include: words(args.include),
        exclude: words(args.exclude),
        recommends: args.recommends,
        components: words(args.components),
        pockets: words(args.pockets),
        mirrors,
        keyrings: args.keyring,
        cache,
        offline: args.offline,
        jobs: args.jobs.into(),
        valid_at: args.valid_at,
        allow_rollback: args.allow_rollback,
        epoch: epoch()?,
        host: surroundings::host(),
        staging: args.staging.into(),
        temporary: surroundings::temporary_directory(),
        sync: args.sync == "yes",
        ..Request::new(&args.suite, target, surroundings::now())
    })
}

/// Who pushes is found out by the user who asked for it: helpers count on being run by nobody else. Returns what the
/// process that pushes has to know.
pub(super) fn credentials(request: &mut Request) -> Result<String, Error> {
    match privilege::handed() {
        Some(handed) => request.take_credentials(handed).map(|()| String::new()),
        None => request.find_credentials(&surroundings::path_variable),
    }
}

/// `SOURCE_DATE_EPOCH`, if it is set.
pub(super) fn epoch() -> Result<Option<i64>, String> {
    let text = surroundings::variable("SOURCE_DATE_EPOCH");
    // The year has four digits wherever a date is written.
    let parse = |text| {
        let moment = parse_moment(&format!("@{text}")).filter(|moment| (0..=253_402_300_799).contains(moment));
        moment.ok_or_else(|| "SOURCE_DATE_EPOCH is no number of seconds from 1970 to 9999".to_owned())
    };
    text.map(parse).transpose()
}

/// The first signal asks for an orderly end, an interrupt or termination after it for any; hangups may repeat.
pub(super) fn stop_on_signals(cancel: &Arc<AtomicBool>) {
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

/// In the process that only waits: what it is told goes to the one that works.
pub(super) fn pass_signals_to(process: u32) {
    if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        std::thread::spawn(move || signals.forever().for_each(|_| privilege::interrupt(process)));
    }
}

pub(super) fn usage(problem: &str) -> u8 {
    let _ = writeln!(std::io::stderr(), "error: {problem}");
    2
}

/// The error, its causes, where to read more, and what to do, each once.
pub(super) fn fail(error: &Error, log: Option<PathBuf>) -> u8 {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("  because: {error}\n"));
        cause = error.source();
    }
    if let Some(log) = log {
        text.push_str(&format!("the whole log is in {}\n", log.display()));
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("hint: {hint}\n"));
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
    error.exit_code()
}
