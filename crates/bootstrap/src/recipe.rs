//! The whole on one page: suite, indexes, plan, debs, phases, finish, publish.

use crate::event::{Report, Stage};
use crate::foreign::Emulation;
use crate::staging::Staging;
use crate::{
    Error, Event, Request, Summary, Target, archive, bodies, finish, first_stage, foreign, hidden, manifest, phases,
    target,
};
use rootstrap_configure::privilege::{self, Mode};
use rootstrap_image::tar;
use rootstrap_resolve::Plan;
use std::sync::atomic::Ordering;

/// What a plain container takes from the sandbox.
const CHROOT_LIMITS: &str = "nothing can be mounted here, so package scripts ran without namespaces of their own: /proc was \
                             stood in for and the network refused, but signals could reach the container's processes";

/// Decides what would be installed, and installs nothing.
///
/// # Errors
/// The suite, its indexes, or a set of packages that fits cannot be had.
pub fn plan(request: &Request, report: Report<'_>) -> Result<Plan, Error> {
    let suite = archive::find_suite(request)?;
    report(Event::Stage(Stage::Indexes));
    let archive = archive::open(request, &suite, report)?;
    report(Event::Stage(Stage::Plan));
    archive.plan(request, &suite)
}

/// Makes the root filesystem that `request` asks for and publishes it. Call [`privilege::enter`](crate::privilege::enter) before.
///
/// # Errors
/// Whatever went wrong first; then nothing has been published and nothing is left behind. An archive on standard
/// output is broken off so that no reader takes it for complete, even if none of it was written yet.
pub fn bootstrap(request: &Request, report: Report<'_>) -> Result<Summary, Error> {
    let mut published = false;
    let result = build(request, report, &mut published);
    if result.is_err() && !published {
        break_off(request);
    }
    result
}

/// For a run that fails before it wrote anything: an empty stream would be an empty image to `docker import`.
pub fn break_off(request: &Request) {
    if request.target == Target::Stdout {
        let _ = tar::spoil(&mut std::io::stdout());
    }
}

fn build(request: &Request, report: Report<'_>, publishing: &mut bool) -> Result<Summary, Error> {
    let suite = archive::find_suite(request)?;
    let given = request.target.clone();
    let request = &Request { target: target::resolve(&given)?, ..request.clone() };
    for path in target::places(request).iter().flat_map(|place| hidden::sweep(place)) {
        report(Event::Note(format!("removed {}, left by a run that was killed", path.display())));
    }
    target::check(request, &given)?;
    let emulation = if request.foreign { Emulation::default() } else { foreign::emulation(request)? };
    if let (Mode::Single, Target::Directory(path)) = (privilege::held(), &request.target) {
        manifest::check(path)?;
    }
    // Each decoded package keeps a directory open until its phase comes.
    raise_descriptor_limit();

    report(Event::Stage(Stage::Indexes));
    let archive = archive::open(request, &suite, report)?;
    let epoch = request.epoch.unwrap_or_else(|| archive.date());

    report(Event::Stage(Stage::Plan));
    let plan = archive.plan(request, &suite)?;
    report(Event::Planned { packages: plan.packages().count() });
    let wanted = archive.wanted(&plan);

    let installed = plan.packages().map(|(_, package)| package.installed_size).sum();
    let staging = Staging::create(request, installed, report)?;
    let work = bodies::Work {
        session: &archive.session,
        wanted: &wanted,
        store: &staging.store,
        stop: &request.cancel,
        report,
    };
    let file_bytes = std::thread::scope(|scope| {
        let mut bodies = bodies::start(scope, &work);
        let site = phases::Site {
            request,
            suite: &suite,
            plan: &plan,
            root: &staging.root,
            staging: staging.directory(),
            epoch,
            emulation,
            report,
        };
        let result = match request.foreign {
            true => first_stage::make(&site, &mut bodies, &archive.pockets),
            false => phases::install(&site, &mut bodies),
        };
        if result.is_err() {
            request.cancel.store(true, Ordering::Relaxed);
        }
        result
    })?;

    report(Event::Stage(Stage::Finish));
    match request.foreign {
        true => first_stage::finish(&staging.root, request, epoch)?,
        false => finish::finish(&staging.root, request, &suite, &archive.pockets, &plan, epoch)?,
    }

    report(Event::Stage(Stage::Publish));
    *publishing = true;
    let mut limits = Vec::new();
    if privilege::held() == Mode::Chroot {
        limits.push(CHROOT_LIMITS.to_owned());
    }
    let manifest = match &request.target {
        Target::Directory(path) => manifest::extract(&staging.root)?.map(|text| (path, text)),
        _ => None,
    };
    if let Some((path, text)) = &manifest {
        limits.push(manifest::write(path, text)?);
    }
    let archive_bytes = staging.publish(request, epoch, report).inspect_err(|_| {
        if let Some((path, _)) = &manifest {
            manifest::remove(path);
        }
    })?;
    if let Some((path, _)) = &manifest {
        manifest::keep(path);
    }
    Ok(Summary {
        packages: wanted.len(),
        deb_bytes: wanted.iter().map(|deb| deb.size).sum(),
        file_bytes,
        archive_bytes,
        suite: suite.codename.clone(),
        architecture: request.architecture()?.to_owned(),
        target: given,
        limits,
        unfinished: request.foreign,
    })
}

/// The soft limit is for programs that use select(2); this one may have as many files open as the system allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
