//! The whole on one page: suite, indexes, plan, debs, phases, finish, publish.

use crate::event::{Report, Stage};
use crate::foreign::Emulation;
use crate::publish::{Finished, publish_layout};
use crate::staging::Staging;
use crate::suite::Suite;
use crate::{
    Error, Event, Request, Summary, Target, archive, bill, bodies, container, copies, finish, first_stage, foreign,
    hidden, manifest, phases, push, target,
};
use rootstrap_configure::privilege::{self, Mode};
use rootstrap_image::oci::{Image, Layout};
use rootstrap_image::tar;
use rootstrap_resolve::Plan;
use rootstrap_sbom::Facts;
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
    if matches!(request.target, Target::Stdout(_)) {
        let _ = tar::spoil(&mut std::io::stdout());
    }
}

fn build(request: &Request, report: Report<'_>, publishing: &mut bool) -> Result<Summary, Error> {
    let suite = archive::find_suite(request)?;
    let given = request.target.clone();
    let image = request.image || request.makes_image();
    let (target, sboms) = (target::resolve(&given)?, bill::resolve(&request.sboms)?);
    let request = &Request { target, sboms, image, ..request.clone() };
    for path in target::places(request).iter().flat_map(|place| hidden::sweep(place)) {
        report(Event::Note(format!("removed {}, left by a run that was killed", path.display())));
    }
    target::check(request, &given)?;
    let requests = request.platforms()?;
    requests.iter().try_for_each(bill::check)?;
    let copied = copies::check(request)?;
    if let (Mode::Single, Target::Directory(path)) = (privilege::held(), &request.target) {
        manifest::check(path)?;
    }
    let names = container::names(request, Some(&suite.codename))?;
    // Each decoded package keeps a directory open until its phase comes.
    raise_descriptor_limit();
    let mut limits = Vec::new();
    if privilege::held() == Mode::Chroot && !request.foreign {
        limits.push(CHROOT_LIMITS.to_owned());
    }
    let mut summary = Summary { target: given, unfinished: request.foreign, ..Summary::default() };
    let (mut images, mut bills) = (Vec::new(), Vec::new());
    let mut epoch = 0;
    for request in &requests {
        let Made { staging, epoch: date, facts, packages, deb_bytes, file_bytes } =
            make(request, &suite, copied, report)?;
        if let Some(facts) = &facts {
            bills.extend(bill::write(facts, request)?);
        }
        epoch = date.max(epoch);
        summary.suite.clone_from(&suite.codename);
        summary.architectures.push(request.architecture()?.to_owned());
        summary.packages += packages;
        summary.deb_bytes += deb_bytes;
        summary.file_bytes += file_bytes;
        report(Event::Stage(Stage::Publish));
        let dev = if request.image { tar::Dev::Empty } else { tar::Dev::Static };
        let finished = Finished { root: &staging.root, grown: staging.grown(), epoch: date, dev, attributes: None };
        if request.makes_image() {
            let by = format!("rootstrap {} --variant={}", suite.codename, request.variant);
            let image = container::pack(&finished, request, request.architecture()?, &by)?;
            images.push(match facts.filter(|_| request.attest) {
                Some(facts) => container::attest(image, &facts, &names),
                None => image,
            });
        }
        if request.target.layer().is_none() {
            *publishing = true;
            summary.archive_bytes = publish_root(&finished, request, &mut limits, report)?;
        }
    }
    *publishing = true;
    summary.limits = limits;
    if !images.is_empty() {
        publish_images(images, &names, request, epoch, &mut summary, report)?;
    }
    bill::publish(bills)?;
    Ok(summary)
}

/// Publishes anything but a container image.
pub(crate) fn publish_root(
    finished: &Finished<'_>,
    request: &Request,
    limits: &mut Vec<String>,
    report: Report<'_>,
) -> Result<Option<u64>, Error> {
    let manifest = match &request.target {
        Target::Directory(path) => manifest::extract(finished.root)?.map(|text| (path, text)),
        _ => None,
    };
    if let Some((path, text)) = &manifest {
        limits.push(manifest::write(path, text)?);
    }
    let archive_bytes = finished.publish(request, report).inspect_err(|_| {
        if let Some((path, _)) = &manifest {
            manifest::remove(path);
        }
    })?;
    if let Some((path, _)) = &manifest {
        manifest::keep(path);
    }
    Ok(archive_bytes)
}

/// Binds the images of all platforms into one, and puts it wherever it was asked for.
pub(crate) fn publish_images(
    images: Vec<Image>,
    names: &[rootstrap_image::oci::Name],
    request: &Request,
    epoch: i64,
    summary: &mut Summary,
    report: Report<'_>,
) -> Result<(), Error> {
    summary.image = images.first().map(|image| image.id().to_owned());
    let layout = Layout::new(images, names);
    summary.digest = Some(layout.digest().to_owned());
    if request.target.layer().is_some() {
        summary.archive_bytes = publish_layout(&layout, request, epoch)?;
    }
    push::push(&layout, request, report)?;
    Ok(())
}

/// A root that is finished and not yet published.
struct Made {
    staging: Staging,
    epoch: i64,
    /// What documents say of it, if any are wanted.
    facts: Option<Facts>,
    packages: usize,
    deb_bytes: u64,
    file_bytes: u64,
}

/// Makes the root of one architecture, with room for so many bytes of `copied` files.
fn make(request: &Request, suite: &Suite, copied: u64, report: Report<'_>) -> Result<Made, Error> {
    let emulation = if request.foreign { Emulation::default() } else { foreign::emulation(request)? };

    report(Event::Stage(Stage::Indexes));
    let archive = archive::open(request, suite, report)?;
    let epoch = request.epoch.unwrap_or_else(|| archive.date());

    report(Event::Stage(Stage::Plan));
    let plan = archive.plan(request, suite)?;
    report(Event::Planned { packages: plan.packages().count() });
    let wanted = archive.wanted(&plan);

    let installed: u64 = plan.packages().map(|(_, package)| package.installed_size).sum();
    let staging = Staging::create(request, installed.saturating_add(copied), report)?;
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
            suite,
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
    let facts = match request.attest || !request.sboms.is_empty() {
        true => Some(bill::facts(&staging.root, request, suite, &archive.pockets, &plan, epoch)?),
        false => None,
    };
    match request.foreign {
        true => first_stage::finish(&staging.root, request, epoch)?,
        false => finish::finish(&staging.root, request, suite, &archive.pockets, &plan, epoch)?,
    }
    let deb_bytes = wanted.iter().map(|deb| deb.size).sum();
    Ok(Made { staging, epoch, facts, packages: wanted.len(), deb_bytes, file_bytes })
}

/// The soft limit is for programs that use select(2); this one may have as many files open as the system allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
