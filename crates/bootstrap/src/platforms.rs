//! Builds for several platforms at the same time, and publishes what was built.

use crate::error::Error;
use crate::event::{Event, Report, Stage};
use crate::publish::side_file::{self, SideFile};
use crate::publish::{FinishedRoot, Publication, RootOptions, Summary, progress, publish};
use crate::request::{Machine, Request};
use crate::staging::Staging;
use rootstrap_image::oci::{Image, Name};
use rootstrap_image::tar::Dev;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is made for one platform.
pub(crate) struct BuiltPlatform {
    /// The finished root, where the target needs more of it than an image.
    pub staging: Option<Staging>,
    pub image: Option<Image>,
    /// What goes beside the result.
    pub side_files: Vec<SideFile>,
    pub epoch: i64,
    pub packages: usize,
    pub deb_bytes: u64,
    pub file_bytes: u64,
}

/// Returns how many of these requests are built at the same time.
pub(crate) fn at_once(requests: &[Request]) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = requests.first().map_or(1, |request| request.machine.jobs);
    processors.min(jobs).min(requests.len())
}

/// Builds for several platforms at once, on as many threads as there are processors and jobs. Returns what was built in the order of
/// `requests`. Of several errors, the first one counts that is not the cancellation of the others.
pub(crate) fn build_at_once<T: Send>(
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
            let architecture = &request.selection.architecture;
            let of_it = |event| report(Event::Of { architecture: architecture.clone(), event: Box::new(event) });
            let result = build(request, &of_it);
            if result.is_err() {
                request.machine.cancel.store(true, Ordering::Relaxed);
            }
            built.lock().unwrap_or_else(PoisonError::into_inner).insert(number, result);
        }
    };
    std::thread::scope(|scope| {
        // This thread works too, so a thread that cannot be started costs time alone.
        for _ in 1..at_once(requests) {
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
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

/// Publishes what was built for each platform, and completes the summary. Returns the archive that was written, if the target is one.
pub(crate) fn publish_platforms(
    platforms: Vec<BuiltPlatform>,
    request: &Request,
    names: &[Name],
    summary: &mut Summary,
    report: Report<'_>,
) -> Result<Option<File>, Error> {
    let Request { output, machine, .. } = request;
    let (mut images, mut side_files, mut epoch, mut staging) = (Vec::new(), Vec::new(), 0, None);
    for platform in platforms {
        epoch = platform.epoch.max(epoch);
        summary.packages += platform.packages;
        summary.deb_bytes += platform.deb_bytes;
        summary.file_bytes += platform.file_bytes;
        images.extend(platform.image);
        side_files.extend(platform.side_files);
        staging = platform.staging;
    }
    report(Event::Stage(Stage::Publish));
    let progress = &progress(summary.file_bytes, report);
    let of = |staging| FinishedRoot {
        progress: Some(progress),
        ..finished_root(staging, machine, epoch, output.is_base_image())
    };
    let root = staging.as_ref().map(of);
    let published = publish(Publication { images, names, root, epoch }, output, machine, report)?;
    side_file::publish(side_files, machine.sync)?;
    summary.image = published.image;
    summary.digest = published.digest;
    summary.archive_bytes = published.archive_bytes;
    summary.pushed = published.pushed;
    // The limits of the result come before those of the mode.
    summary.limits.splice(0..0, published.limits);
    Ok(published.archive)
}

/// Returns what of a staging area is published.
pub(crate) fn finished_root<'s>(
    staging: &'s Staging,
    machine: &Machine,
    epoch: i64,
    is_image: bool,
) -> FinishedRoot<'s> {
    let dev = if is_image { Dev::Empty } else { Dev::Static };
    let options = RootOptions { epoch, dev, is_layer: is_image, threads: machine.budget.threads() };
    FinishedRoot::new(&staging.root, Some(staging), options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stage;
    use crate::request::{Host, Machine, Selection, Sources, Target};
    use std::collections::BTreeSet;
    use std::sync::Barrier;

    fn requests(count: usize) -> Vec<Request> {
        let machine = Machine::new(Host::default(), 0);
        let of = |number: usize| {
            let selection = Selection::new(&number.to_string());
            Request::new(selection, Sources::new("s"), Target::Nowhere, machine.clone())
        };
        (0..count).map(of).collect()
    }

    #[test]
    fn platforms_are_built_at_once_and_come_in_order() {
        let processors = std::thread::available_parallelism().map_or(1, usize::from).min(2);
        let together = Barrier::new(processors);
        let names = build_at_once(&requests(processors), &|_| (), &|request, _| {
            together.wait();
            Ok(request.selection.architecture.clone())
        });
        assert_eq!(names.unwrap(), ["0", "1"][..processors]);
        let stages = Mutex::new(BTreeSet::new());
        let note = |event| {
            if let Event::Of { architecture, .. } = event {
                stages.lock().unwrap().insert(architecture);
            }
        };
        build_at_once(&requests(5), &note, &|_, report| {
            report(Event::Stage(Stage::Plan));
            Ok(())
        })
        .unwrap();
        assert_eq!(stages.lock().unwrap().len(), 5, "every event says whose it is");
    }

    #[test]
    fn the_error_of_one_platform_is_reported_and_not_the_end_of_the_others() {
        let requests = requests(2);
        let error =
            build_at_once::<()>(&requests, &|_| (), &|request, _| match request.selection.architecture.as_str() {
                "0" => Err(Error::Cancelled),
                _ => Err(Error::NoDpkg),
            });
        assert!(matches!(error, Err(Error::NoDpkg)));
        assert!(requests[0].machine.cancel.load(Ordering::Relaxed));
    }
}
