//! The whole on one page: suite, indexes, plan, debs, phases, finish, publish.

use crate::archive::Archive;
use crate::base::Base;
use crate::event::{Report, Stage};
use crate::foreign::Emulation;
use crate::publish::{Finished, Prepared, Product};
use crate::staging::Staging;
use crate::suite::Suite;
use crate::{
    Error, Event, Request, Summary, Target, archive, bill, bodies, container, copies, finish, first_stage, foreign,
    hidden, manifest, phases, push, result, target,
};
use rootstrap_configure::privilege::{self, Mode};
use rootstrap_image::oci::{Image, Layout, Name};
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
/// Whatever went wrong first; then nothing has been published and nothing is left behind. What is on standard output by
/// then has to be broken off with [`spoil`](crate::spoil), even if that is nothing.
pub fn bootstrap(request: &Request, report: Report<'_>) -> Result<Summary, Error> {
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
    if requests.len() > 1 {
        // Not only when the first of them is made.
        requests.iter().try_for_each(|request| emulation(request).map(drop))?;
    }
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
    let mut summary = Summary { target: given.clone(), unfinished: request.foreign, ..Summary::default() };
    let (mut images, mut bills) = (Vec::new(), Vec::new());
    let (mut staging, mut epoch) = (None, 0);
    let mut slot = None;
    for request in &requests {
        let decided = decide(request, &suite, report)?;
        if requests.len() == 1 {
            slot = result::slot(request, &suite, &decided.archive.pockets, &decided.plan, decided.epoch)?;
        }
        if let Some(kept) = slot.as_ref().map(|slot| result::publish(slot, request, report)).transpose()?.flatten() {
            let (suite, architectures) = (suite.codename.clone(), vec![request.architecture()?.to_owned()]);
            return Ok(Summary { suite, architectures, limits, target: given, ..kept });
        }
        let made = make(request, &suite, &decided, copied, report)?;
        if let Some(facts) = &made.facts {
            bills.extend(bill::write(facts, request)?);
        }
        epoch = made.epoch.max(epoch);
        summary.suite.clone_from(&suite.codename);
        summary.architectures.push(request.architecture()?.to_owned());
        summary.packages += made.packages;
        summary.deb_bytes += made.deb_bytes;
        summary.file_bytes += made.file_bytes;
        if request.makes_image() {
            report(Event::Stage(Stage::Publish));
            let by = format!("rootstrap {} --variant={}", suite.codename, request.variant);
            let image = container::pack(&made.finished(request), request, request.architecture()?, &by)?;
            images.push(match made.facts.as_ref().filter(|_| request.attest) {
                Some(facts) => container::attest(image, facts, &names),
                None => image,
            });
        }
        // Of several there is no more to be had than their images.
        staging = (request.target.layer().is_none() && requests.len() == 1).then_some(made);
    }
    report(Event::Stage(Stage::Publish));
    let root = staging.as_ref().map(|made| made.finished(request));
    publish(images, &names, root, request, epoch, &mut summary, report)?;
    bill::publish(bills)?;
    if let (Some(slot), Target::File(path, _)) = (slot, &request.target) {
        let _ = result::keep(slot, path, &summary);
    }
    summary.limits.extend(limits);
    Ok(summary)
}

/// Puts everything where it was asked for. Registries come between the writing of a file and its name: what fails up to then
/// leaves no trace.
#[allow(clippy::too_many_arguments, reason = "two recipes end like this")]
pub(crate) fn publish(
    images: Vec<Image>,
    names: &[Name],
    root: Option<Finished<'_>>,
    request: &Request,
    epoch: i64,
    summary: &mut Summary,
    report: Report<'_>,
) -> Result<(), Error> {
    summary.image = images.first().map(|image| image.id().to_owned());
    let layout = (!images.is_empty()).then(|| Layout::new(images, names));
    summary.digest = layout.as_ref().map(|layout| layout.digest().to_owned());
    let product = match (&layout, root) {
        (_, Some(finished)) => Some(Product::Root(finished)),
        (Some(layout), None) => Some(Product::Image(layout, epoch)),
        (None, None) => None,
    };
    let manifest = match (&request.target, &product) {
        (Target::Directory(path), Some(Product::Root(finished))) => {
            manifest::extract(finished.root)?.map(|text| (path, text))
        }
        _ => None,
    };
    let prepared = match &product {
        Some(product) => product.prepare(request, report)?,
        None => Prepared::Nothing,
    };
    if let Some(layout) = &layout {
        summary.pushed = push::push(layout, request, report)?;
    }
    if let Some((path, text)) = &manifest {
        summary.limits.push(manifest::write(path, text)?);
    }
    if let Some(product) = &product {
        summary.archive_bytes = product.publish(prepared, request, report).inspect_err(|_| {
            if let Some((path, _)) = &manifest {
                manifest::remove(path);
            }
        })?;
    }
    if let Some((path, _)) = &manifest {
        manifest::keep(path);
    }
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

impl Made {
    fn finished(&self, request: &Request) -> Finished<'_> {
        let dev = if request.image { tar::Dev::Empty } else { tar::Dev::Static };
        let Self { staging, epoch, .. } = self;
        Finished { root: &staging.root, grown: staging.grown(), epoch: *epoch, dev, attributes: None }
    }
}

/// How the target's programs run here, if they have to.
fn emulation(request: &Request) -> Result<Emulation, Error> {
    if request.foreign { Ok(Emulation::default()) } else { foreign::emulation(request) }
}

/// What is to be made, and what it depends on.
struct Decided {
    emulation: Emulation,
    archive: Archive,
    plan: Plan,
    epoch: i64,
}

fn decide(request: &Request, suite: &Suite, report: Report<'_>) -> Result<Decided, Error> {
    let emulation = emulation(request)?;

    report(Event::Stage(Stage::Indexes));
    let archive = archive::open(request, suite, report)?;
    let epoch = request.epoch.unwrap_or_else(|| archive.date());

    report(Event::Stage(Stage::Plan));
    let plan = archive.plan(request, suite)?;
    report(Event::Planned { packages: plan.packages().count() });
    Ok(Decided { emulation, archive, plan, epoch })
}

/// Makes the root of one architecture, with room for so many bytes of `copied` files.
fn make(request: &Request, suite: &Suite, decided: &Decided, copied: u64, report: Report<'_>) -> Result<Made, Error> {
    let &Decided { ref emulation, ref archive, ref plan, epoch } = decided;
    let wanted = archive.wanted(plan);

    let installed: u64 = plan.packages().map(|(_, package)| package.installed_size).sum();
    let staging = Staging::create(request, installed.saturating_add(copied), report)?;
    let base = Base::find(request, suite, plan, epoch, emulation)?;
    let first = plan.phases.first().map_or(0, |phase| phase.packages.len());
    let needed = if base.as_ref().is_some_and(Base::is_there) { wanted.get(first..) } else { None };
    let work = bodies::Work {
        session: &archive.session,
        wanted: needed.unwrap_or(&wanted),
        store: &staging.store,
        stop: &request.cancel,
        report,
    };
    let file_bytes = std::thread::scope(|scope| {
        let mut bodies = bodies::start(scope, &work);
        let site = phases::Site {
            request,
            suite,
            plan,
            root: &staging.root,
            staging: staging.directory(),
            epoch,
            emulation,
            report,
        };
        let result = match request.foreign {
            true => first_stage::make(&site, &mut bodies, &archive.pockets),
            false => phases::install(&site, &mut bodies, base),
        };
        if result.is_err() {
            request.cancel.store(true, Ordering::Relaxed);
        }
        result
    })?;

    report(Event::Stage(Stage::Finish));
    let facts = match request.attest || !request.sboms.is_empty() {
        true => Some(bill::facts(&staging.root, request, suite, &archive.pockets, plan, epoch)?),
        false => None,
    };
    match request.foreign {
        true => first_stage::finish(&staging.root, request, epoch)?,
        false => finish::finish(&staging.root, request, suite, &archive.pockets, plan, epoch)?,
    }
    let deb_bytes = wanted.iter().map(|deb| deb.size).sum();
    Ok(Made { staging, epoch, facts, packages: wanted.len(), deb_bytes, file_bytes })
}

/// The soft limit is for programs that use select(2); this one may have as many files open as the system allows.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
