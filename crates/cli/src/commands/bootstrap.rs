//! `rootstrap SUITE TARGET`: from the arguments to a request, and from the outcome to an exit status.

use super::cache::close_cache;
use super::deadline::Deadline;
use super::outcome::{ended, fail, open_log, usage};
use super::rights::{apply, credentials, epoch, pass_signals_to, report_mode, stop_on_signals};
use crate::args::{Args, CommandLine, PlanFormat, SharedArgs};
use crate::lock_args::LOCK;
use crate::metadata::MetadataFile;
use crate::progress::Progress;
use crate::request_args::{DownloadArgs, PackageArgs};
use crate::system_args::SystemArgs;
use crate::visible::visible;
use clap::CommandFactory;
use rootstrap_bootstrap::privilege::{self, Held, Invocation, Rights};
use rootstrap_bootstrap::{Error, Event, FormatName, LockChoice, Machine, Output, Purpose, Request, Target};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The groups of arguments beside those of `rootstrap SUITE TARGET` alone.
pub(crate) struct Given {
    pub packages: PackageArgs,
    pub downloads: DownloadArgs,
    pub settings: SystemArgs,
    pub shared: SharedArgs,
}

/// What the command line asks for beside the request itself.
struct Around {
    /// Only the plan is printed.
    plan: Option<PlanFormat>,
    /// How many seconds the run may take.
    deadline: Option<u32>,
    /// How many bytes the cache may have after the run.
    cache_size: Option<u64>,
    /// Where it is written what became of the image.
    metadata: Option<MetadataFile>,
}

/// Runs the command and returns the exit status.
pub(crate) fn run(args: Args, given: Given, invocation: &Invocation) -> u8 {
    let Given { packages, downloads, settings, shared } = given;
    let verbosity = shared.run.verbosity.clone();
    let mode = shared.root.mode;
    let metadata = MetadataFile::new(shared.metadata_file.clone(), &args.suite, args.target.as_deref());
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(problem) => return usage(&problem),
    };
    let around =
        Around { plan: args.print_plan, deadline: shared.run.deadline, cache_size: downloads.cache_size, metadata };
    let unused = unused_lock(&args);
    let machine = downloads.machine(&shared.run.network).map_err(Problem::Request);
    let request = machine.and_then(|machine| request(args, (&packages, &settings), shared, machine));
    let mut request = match request {
        Ok(request) => request,
        Err(Problem::Usage(problem)) => return usage(&problem),
        Err(Problem::Request(error)) => return fail(&error, None),
    };
    let log = match open_log(&verbosity) {
        Ok(log) => log,
        Err(code) => return code,
    };
    let mut held = None;
    // Threads may start only once the rights are obtained.
    if around.plan.is_none() {
        let secret = match credentials(&mut request.output.push, invocation) {
            Ok(secret) => secret,
            Err(error) => return fail(&error, None),
        };
        match privilege::enter(invocation, mode, &secret, &pass_signals_to) {
            Ok(Rights::Here(here)) => held = Some(here),
            Ok(Rights::Elsewhere(how)) => return ended(how),
            Err(error) => return fail(&error.into(), None),
        }
    }
    request.machine = match downloads.with_remote(request.machine) {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    let progress = Progress::new(&verbosity, log);
    unused.into_iter().for_each(|text| progress.event(&Event::Warning(text)));
    make(request, held.as_ref(), &around, progress)
}

/// Makes what is asked for, or prints the plan, and returns the exit status.
fn make(mut request: Request, held: Option<&Held>, around: &Around, progress: Progress) -> u8 {
    let deadline = Deadline::begin(around.deadline, &request.machine.cancel);
    stop_on_signals(&request.machine.cancel);
    let report = |event| {
        around.metadata.iter().for_each(|metadata| metadata.event(&event));
        progress.event(&event);
    };
    if let Some(held) = held {
        apply(held, &mut request.machine);
        report_mode(held, &report);
    }
    let machine = &request.machine;
    let result = match around.plan {
        Some(format) => rootstrap_bootstrap::plan(&request, &report).and_then(|plan| {
            progress.end();
            let text = match format {
                PlanFormat::Text => visible(&plan.to_text()).into_owned(),
                PlanFormat::Json => rootstrap_bootstrap::plan_to_json(&plan, &request)?,
            };
            std::io::stdout().write_all(text.as_bytes()).map_err(Error::Stdout)
        }),
        None => {
            let made = rootstrap_bootstrap::bootstrap(&request, &report);
            let made = MetadataFile::write(around.metadata.as_ref(), made.map_err(|error| deadline.or(error)));
            made.map(|summary| {
                progress.summary(&summary);
                // Every description of the cache is closed by now.
                close_cache(machine, around.cache_size, &report);
            })
        }
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            progress.end();
            // The message has the last lines of a failing script; the user may want the others too.
            let log = matches!(error, Error::Configure(_)).then(|| progress.log().keep(&machine.temporary)).flatten();
            fail(&deadline.or(error), log)
        }
    }
}

/// Why there is no request.
pub(crate) enum Problem {
    /// The command line contradicts itself.
    Usage(String),
    /// The request cannot be met.
    Request(Error),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Usage(problem)
    }
}

/// Turns arguments, environment and host into a request.
pub(crate) fn request(
    args: Args,
    (packages, settings): (&PackageArgs, &SystemArgs),
    shared: SharedArgs,
    mut machine: Machine,
) -> Result<Request, Problem> {
    if CommandLine::command().find_subcommand(&args.suite).is_some() {
        let hint = format!("hint: options come after the command: rootstrap {} …", args.suite);
        return Err(format!("cannot use `{}` as a suite\n{hint}", args.suite).into());
    }
    if packages.arch.len() > 1 && args.print_plan.is_some() {
        return Err("cannot print one plan for several architectures\nhint: ask for one after the other"
            .to_owned()
            .into());
    }
    let target = match args.print_plan {
        Some(_) => Target::Nowhere,
        None => shared.container.target(args.target.as_deref(), FormatName::Tar)?,
    };
    shared.root.apply(&mut machine);
    let (selection, further_platforms) = packages.selection(&machine).map_err(Problem::Request)?;
    let mut sources = packages.sources(&args.suite, args.mirror_argument.as_ref()).map_err(Problem::Request)?;
    sources.lock = lock(&args);
    let (purpose, push) = (purpose(&args), shared.container.push(&target));
    let request = Request {
        selection,
        sources,
        customization: settings.customization(packages.slim, &args.copy).map_err(Problem::Request)?,
        output: Output {
            target,
            into_nonempty: args.non_empty.then(|| settings.kept_files(&args.copy)),
            filesystem: shared.filesystem.filesystem(),
            purpose,
            container: shared.container.container(),
            attest: args.attest && args.print_plan.is_none(),
            sboms: args.sbom,
            downloads: args.download,
            push,
            further_platforms,
            epoch: epoch()?,
        },
        machine,
    };
    let checked = if args.print_plan.is_some() { request.check_for_plan() } else { request.check() };
    checked.map_err(Problem::Request)?;
    Ok(request)
}

/// Returns the lock that the packages are taken from.
fn lock(args: &Args) -> Option<LockChoice> {
    let default = || (args.locked || args.frozen).then(|| PathBuf::from(LOCK));
    let path = args.lock.clone().or_else(default)?;
    Some(LockChoice { path, lock: None, frozen: args.frozen })
}

/// Returns what to say of a lock that is here and that nobody asked for.
fn unused_lock(args: &Args) -> Option<String> {
    let is_unused = lock(args).is_none() && Path::new(LOCK).is_file();
    is_unused.then(|| format!("{LOCK} is here and is not used: --locked or --frozen take the packages from it"))
}

/// Returns what the tree is made for.
fn purpose(args: &Args) -> Purpose {
    match (args.image, args.foreign) {
        (true, _) => Purpose::BaseImage,
        (_, true) => Purpose::FirstStage,
        _ => Purpose::System,
    }
}
