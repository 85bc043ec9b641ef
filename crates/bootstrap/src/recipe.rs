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
    hidden, kept, manifest, phases, push, result, target,
};
use rootstrap_configure::privilege::{self, Mode};
use rootstrap_image::oci::{Image, Layout, Name};
use rootstrap_image::tar;
use rootstrap_resolve::Plan;
use rootstrap_sbom::Facts;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

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
    if request.cache.is_some() {
        kept::prepare();
    }
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
    let mut slot = None;
    let platforms = match requests.as_slice() {
        [request] => {
            let decided = decide(request, &suite, report)?;
            slot = result::slot(request, &suite, &decided.archive.pockets, &decided.plan, decided.epoch)?;
            if let Some(kept) = slot.as_ref().map(|slot| result::publish(slot, request, report)).transpose()?.flatten()
            {
                let (suite, architectures) = (suite.codename.clone(), vec![request.architecture()?.to_owned()]);
                return Ok(Summary { suite, architectures, limits, target: given, ..kept });
            }
            vec![Platform::build(request, &suite, &decided, copied, &names, report)?]
        }
        several => at_once(several, report, &|request, report| {
            let decided = decide(request, &suite, report)?;
            let built = Platform::build(request, &suite, &decided, copied, &names, report)?;
            // Of several there is no more to be had than their images.
            Ok(Platform { staging: None, ..built })
        })?,
    };
    let (mut images, mut bills, mut epoch) = (Vec::new(), Vec::new(), 0);
    let mut staging = None;
    for (request, platform) in requests.iter().zip(platforms) {
        epoch = platform.epoch.max(epoch);
        summary.suite.clone_from(&suite.codename);
        summary.architectures.push(request.architecture()?.to_owned());
        summary.packages += platform.packages;
        summary.deb_bytes += platform.deb_bytes;
        summary.file_bytes += platform.file_bytes;
        images.extend(platform.image);
        bills.extend(platform.bills);
        staging = platform.staging;
    }
    report(Event::Stage(Stage::Publish));
    let root = staging.as_ref().map(|staging| finished(staging, epoch, request));
    publish(images, &names, root, request, epoch, &mut summary, report)?;
    bill::publish(bills)?;
    if let (Some(slot), Target::File(path, _)) = (slot, &request.target) {
        let _ = result::keep(slot, path, &summary, request);
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

/// What is made for one architecture.
struct Platform {
    /// The finished root, where more is wanted of it than an image.
    staging: Option<Staging>,
    image: Option<Image>,
    bills: Vec<bill::Bill>,
    epoch: i64,
    packages: usize,
    deb_bytes: u64,
    file_bytes: u64,
}

impl Platform {
    fn build(
        request: &Request,
        suite: &Suite,
        decided: &Decided,
        copied: u64,
        names: &[Name],
        report: Report<'_>,
    ) -> Result<Self, Error> {
        let made = make(request, suite, decided, copied, report)?;
        let bills = made.facts.as_ref().map(|facts| bill::write(facts, request)).transpose()?.into_iter().flatten();
        let bills = bills.collect();
        let Made { staging, facts, packages, deb_bytes, file_bytes } = made;
        let (epoch, mut image) = (decided.epoch, None);
        if request.makes_image() {
            report(Event::Stage(Stage::Publish));
            let by = format!("rootstrap {} --variant={}", suite.codename, request.variant);
            let root = finished(&staging, epoch, request);
            let packed = container::pack(&root, request, request.architecture()?, &by)?;
            image = Some(match facts.as_ref().filter(|_| request.attest) {
                Some(facts) => container::attest(packed, facts, names),
                None => packed,
            });
        }
        let staging = request.target.layer().is_none().then_some(staging);
        Ok(Self { staging, image, bills, epoch, packages, deb_bytes, file_bytes })
    }
}

/// Builds for several platforms at once, as many as there are processors and jobs. What is built comes in the order of
/// `requests`; of errors the first of them that is one of its own, and not the end of the others.
fn at_once<T: Send>(
    requests: &[Request],
    report: Report<'_>,
    build: &(dyn Fn(&Request, Report<'_>) -> Result<T, Error> + Sync),
) -> Result<Vec<T>, Error> {
    let next = AtomicUsize::new(0);
    let built = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = requests.get(number) else { return };
            // One of them tells how far all are.
            let quiet = |event| {
                if !matches!(event, Event::Stage(_)) {
                    report(event)
                }
            };
            let result = build(request, if number == 0 { report } else { &quiet });
            if result.is_err() {
                request.cancel.store(true, Ordering::Relaxed);
            }
            built.lock().unwrap_or_else(PoisonError::into_inner).insert(number, result);
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = requests.first().map_or(1, |request| request.jobs);
    std::thread::scope(|scope| {
        for _ in 0..processors.min(jobs).min(requests.len()) {
            scope.spawn(work);
        }
    });
    let (mut all, mut first) = (Vec::new(), None);
    for result in built.into_inner().unwrap_or_else(PoisonError::into_inner).into_values() {
        match result {
            Ok(built) => all.push(built),
            Err(error) if error.is_cancelled() => drop(first.get_or_insert(error)),
            Err(error) => return Err(error),
        }
    }
    first.map_or(Ok(all), Err)
}

/// A root that is finished and not yet published.
struct Made {
    staging: Staging,
    /// What documents say of it, if any are wanted.
    facts: Option<Facts>,
    packages: usize,
    deb_bytes: u64,
    file_bytes: u64,
}

fn finished<'s>(staging: &'s Staging, epoch: i64, request: &Request) -> Finished<'s> {
    let dev = if request.image { tar::Dev::Empty } else { tar::Dev::Static };
    Finished { root: &staging.root, staging: Some(staging), epoch, dev, attributes: None }
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
    archive.begin(request, suite)?;
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
    let base = Base::find(request, suite, plan, epoch, emulation, report)?;
    let work = bodies::Work {
        session: &archive.session,
        wanted: &wanted,
        store: &staging.store,
        stop: &request.cancel,
        report,
    };
    let file_bytes = std::thread::scope(|scope| {
        let mut bodies = bodies::start(scope, &work);
        let site =
            phases::Site { request, suite, plan, root: &staging.root, staging: &staging, epoch, emulation, report };
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
    Ok(Made { staging, facts, packages: wanted.len(), deb_bytes, file_bytes })
}

/// The soft limit is for programs that use select(2); this one may have as many files open as the system allows.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    fn requests(count: usize) -> Vec<Request> {
        let mut first = Request::new("s", Target::Nowhere, 0);
        (0..count)
            .map(|number| {
                first.architecture = Some(number.to_string());
                first.clone()
            })
            .collect()
    }

    #[test]
    fn platforms_are_built_at_once_and_come_in_order() {
        let processors = std::thread::available_parallelism().map_or(1, usize::from).min(2);
        let together = Barrier::new(processors);
        let names = at_once(&requests(processors), &|_| (), &|request, _| {
            together.wait();
            Ok(request.architecture.clone())
        });
        assert_eq!(names.unwrap(), ["0", "1"].map(|name| Some(name.to_owned()))[..processors]);
        let stages = Mutex::new(0);
        let count = |event| *stages.lock().unwrap() += i32::from(matches!(event, Event::Stage(_)));
        at_once(&requests(5), &count, &|_, report| {
            report(Event::Stage(Stage::Plan));
            Ok(())
        })
        .unwrap();
        assert_eq!(*stages.lock().unwrap(), 1);
    }

    #[test]
    fn the_error_of_one_platform_is_told_and_not_the_end_of_the_others() {
        let requests = requests(2);
        let error = at_once::<()>(&requests, &|_| (), &|request, _| match request.architecture.as_deref() {
            Some("0") => Err(Error::Cancelled),
            _ => Err(Error::NoDpkg),
        });
        assert!(matches!(error, Err(Error::NoDpkg)));
        assert!(requests[0].cancel.load(Ordering::Relaxed));
    }
}
