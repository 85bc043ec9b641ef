//! The whole of a build on one page: suite, indexes, plan, debs, phases, finish, publish.

use crate::archive::{self, Archive, ArchiveOptions, locked};
use crate::error::Error;
use crate::event::{Event, Report, Stage};
use crate::finish::{self, FinishInputs};
use crate::install::BuildContext;
use crate::install::debs::{self, DebSource, Debs};
use crate::install::emulation::{self, Emulation};
use crate::install::failed;
use crate::install::first_phase_snapshot::SnapshotInputs;
use crate::install::native::{self, NativeInputs, NativePrograms};
use crate::install::phases;
use crate::install::snapshots::Snapshots;
use crate::lock::{self, LockInUse};
use crate::own_suite;
use crate::platforms::{BuiltPlatform, at_once, build_at_once, finished_root, publish_platforms};
use crate::prepare::{prepare, resolve};
use crate::publish::archive_cache::{self, ArchiveInputs};
use crate::publish::known_pieces::known_pieces;
use crate::publish::sbom::{self, BuildFacts};
use crate::publish::target::NewParents;
use crate::publish::{FinishedRoot, Summary, container, options, progress, side_file};
use crate::request::{Machine, Request, Target};
use crate::staging::downloads::Downloads;
use crate::staging::{Staging, space};
use crate::two_stage::first;
use rootstrap_cache::ProgramDigest;
use rootstrap_configure::privilege::Mode;
use rootstrap_image::oci::Name;
use rootstrap_lock::Lock;
use rootstrap_resolve::Plan;
use rootstrap_sbom::Facts;
use rootstrap_suites::Suite;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What mode `chroot` lacks.
const CHROOT_LIMITS: &str = "nothing can be mounted here, so package scripts ran without namespaces of their own: /proc was \
                             emulated, sockets were refused and signals stayed inside, but shared memory, semaphores and \
                             message queues, and /dev/console, were the container's";

/// Decides what would be installed, and installs nothing.
///
/// # Errors
/// The name of an architecture is not valid, the suite is unknown, its indexes cannot be fetched or verified, or no set of packages
/// satisfies the selection.
pub fn plan(request: &Request, report: Report<'_>) -> Result<Plan, Error> {
    request.check_for_plan()?;
    let request = &own_suite::settle(request, report)?;
    let suite = archive::find_suite(&request.sources)?;
    let (request, lock) = lock::apply(request, &suite, report)?;
    request.check_for_plan()?;
    let Request { selection, sources, machine, .. } = &request;
    if let Some(LockInUse { lock, path }) = &lock {
        return locked::plan(lock, &selection.architecture, path);
    }
    report(Event::Stage(Stage::Indexes));
    let downloads = Downloads::create(machine)?;
    let options =
        ArchiveOptions { selection, sources, machine, suite: &suite, cache: &downloads.path(machine), report };
    let archive = archive::open(&options)?;
    report(Event::Stage(Stage::Plan));
    archive.plan(selection, &suite, BTreeMap::new(), report)
}

/// Returns the plan of a request as JSON, with the options that decide what is made of it. It is the same for the same plan and request.
///
/// # Errors
/// A file that is to be copied, or a hook's, cannot be read.
pub fn plan_to_json(plan: &Plan, request: &Request) -> Result<String, Error> {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        plan: &'a Plan,
        options: BTreeMap<String, String>,
    }
    let document = Document { plan, options: options::options(request)?.into_iter().collect() };
    // Texts, numbers and lists can always be written.
    Ok(serde_json::to_string_pretty(&document).unwrap_or_default() + "\n")
}

/// Makes the root filesystem that `request` asks for and publishes it. The caller has to obtain the rights first, with
/// [`privilege::enter`](crate::privilege::enter).
///
/// # Errors
/// Returns the first failure. Then nothing is published and nothing is left behind. The caller has to break off a stream on standard
/// output with [`spoil`](crate::spoil), even if nothing has been written to it.
pub fn bootstrap(request: &Request, report: Report<'_>) -> Result<Summary, Error> {
    request.check()?;
    let program = ProgramDigest::start();
    let request = &own_suite::settle(request, report)?;
    let suite = archive::find_suite(&request.sources)?;
    let given = &request.output.target;
    let parents = NewParents::make(given)?;
    let (request, lock) = lock::apply(&resolve(request)?, &suite, report)?;
    // The lock has decided a part of it.
    request.check()?;
    let request = &request;
    let copied_bytes = prepare(request, given, report)?;
    let names = container::names(&request.output, Some(&suite.codename))?;
    let requests = request.platforms();
    if requests.len() > 1 {
        // Every platform is checked before the first one is built.
        requests.iter().try_for_each(|request| emulation::find_for(request).map(drop))?;
    }
    request.machine.budget.expect(at_once(&requests));
    let run = Run { suite: &suite, program: &program, names: &names, lock: lock.as_ref(), copied_bytes };
    let mut summary =
        Summary { target: given.clone(), unfinished: request.output.is_first_stage(), ..Summary::default() };
    summary.suite.clone_from(&suite.codename);
    summary.tags = container::tags(&request.output, &names);
    summary.architectures = requests.iter().map(|request| request.selection.architecture.clone()).collect();
    if request.machine.mode == Mode::Chroot && !request.output.is_first_stage() {
        summary.limits.push(CHROOT_LIMITS.to_owned());
    }
    let mut entry = None;
    let platforms = match requests.as_slice() {
        [request] => {
            let inputs = run.decide(request, report)?;
            entry = run.archive_entry(request, &inputs);
            let machine = &request.machine;
            if let Some(entry) = &entry
                && let Some(kept) = archive_cache::publish(entry, &request.output.target, machine, report)?
            {
                parents.keep();
                let Summary { packages, deb_bytes, file_bytes, archive_bytes, image, digest, .. } = kept;
                let of_archive = Summary { packages, deb_bytes, file_bytes, archive_bytes, image, digest, ..summary };
                return Ok(Summary { reused: true, ..of_archive });
            }
            vec![run.build_platform(request, &inputs, report)?]
        }
        several => build_at_once(several, report, &|request, report| {
            let inputs = run.decide(request, report)?;
            let platform = run.build_platform(request, &inputs, report)?;
            // Only the images of several platforms are published.
            Ok(BuiltPlatform { staging: None, ..platform })
        })?,
    };
    let archive = publish_platforms(platforms, request, &names, &mut summary, report)?;
    parents.keep();
    if let (Some(entry), Some(archive)) = (entry, archive) {
        // An archive that cannot be kept is made again next time.
        let _ = archive_cache::keep(&entry, &archive, &summary, request.machine.sync);
    }
    Ok(summary)
}

/// What decides the root of one platform.
struct BuildInputs {
    emulation: Emulation,
    archive: Archive,
    plan: Plan,
    epoch: i64,
    downloads: Downloads,
}

/// A root that is finished and not yet published.
struct BuiltRoot {
    staging: Staging,
    /// What SBOMs and attestations say of it, if any are wanted.
    facts: Option<Facts>,
    packages: usize,
    deb_bytes: u64,
    file_bytes: u64,
    /// Whether the cache has been used for such a root before.
    is_known: bool,
}

/// What all platforms of one run share.
struct Run<'a> {
    suite: &'a Suite,
    program: &'a ProgramDigest,
    names: &'a [Name],
    /// The lock that decides the packages, if there is one.
    lock: Option<&'a LockInUse>,
    /// The size, in bytes, of the host's files that are copied into the root.
    copied_bytes: u64,
}

impl Run<'_> {
    /// Fetches the indexes and decides what is installed.
    fn decide(&self, request: &Request, report: Report<'_>) -> Result<BuildInputs, Error> {
        let Request { selection, sources, output, machine, .. } = request;
        let (suite, emulation) = (self.suite, emulation::find_for(request)?);
        emulation.warning(machine.mode).into_iter().for_each(|text| report(Event::Warning(text)));

        report(Event::Stage(Stage::Indexes));
        let downloads = Downloads::create(machine)?;
        let options = ArchiveOptions { selection, sources, machine, suite, cache: &downloads.path(machine), report };
        let (archive, plan, epoch) = match self.lock {
            Some(LockInUse { lock, path }) => {
                let plan = locked::plan(lock, &selection.architecture, path)?;
                (archive::open_locked(&options, lock, path)?, plan, lock.epoch)
            }
            None => {
                let mut archive = archive::open(&options)?;
                report(Event::Stage(Stage::Plan));
                archive.prefetch(selection, suite);
                let plan = archive.plan(selection, suite, BTreeMap::new(), report)?;
                archive.forget_indexes();
                let epoch = output.epoch.unwrap_or_else(|| archive.date());
                (archive, plan, epoch)
            }
        };
        report(Event::Planned { packages: plan.packages().count() });
        // It runs the scripts. A dpkg from a package of another name is not looked for.
        let has_dpkg = plan.packages().any(|(_, package)| package.name == "dpkg");
        if request.runs_scripts() && !has_dpkg {
            return Err(Error::NoDpkg);
        }
        Ok(BuildInputs { emulation, archive, plan, epoch, downloads })
    }

    /// Returns the place of the finished archive in the cache, if the cache can hold it.
    fn archive_entry(&self, request: &Request, inputs: &BuildInputs) -> Option<rootstrap_cache::Entry> {
        request.machine.cache.as_ref().filter(|_| request.machine.reuse)?;
        let BuildInputs { archive, plan, epoch, emulation, .. } = inputs;
        let (pockets, own_keys, epoch) = (archive.served.as_slice(), archive.own_keys.as_deref(), *epoch);
        let inputs = ArchiveInputs { request, suite: self.suite, pockets, own_keys, plan, epoch, emulation };
        archive_cache::entry(archive.session.cache(), self.program, &inputs)
    }

    /// Builds the root of one platform and everything that is made from it.
    fn build_platform(
        &self,
        request: &Request,
        inputs: &BuildInputs,
        report: Report<'_>,
    ) -> Result<BuiltPlatform, Error> {
        let BuiltRoot { staging, facts, packages, deb_bytes, file_bytes, is_known } =
            self.build(request, inputs, report)?;
        let Request { selection, output, machine, .. } = request;
        let write = |facts| sbom::write(facts, &output.sboms, &machine.janitor);
        let mut side_files = facts.as_ref().map(write).transpose()?.unwrap_or_default();
        side_files.extend(side_file::download(&output.downloads, &staging.root, &machine.janitor)?);
        let (epoch, mut image) = (inputs.epoch, None);
        if output.makes_image() {
            report(Event::Stage(Stage::Publish));
            let created_by = format!("rootstrap {} --variant={}", self.suite.codename, selection.variant);
            let known = || known_pieces(inputs.archive.session.cache(), self.program, is_known || machine.expects_more);
            let known_pieces = (machine.cache.is_some() && machine.reuse).then(known).flatten();
            let progress = &progress(file_bytes, report);
            let root = FinishedRoot {
                known_pieces,
                progress: Some(progress),
                ..finished_root(&staging, machine, epoch, true)
            };
            let platform = (selection.architecture.as_str(), request.sources.arch_variant.as_deref());
            let packed = container::pack(&root, output, machine, platform, &created_by)?;
            image = Some(match facts.as_ref().filter(|_| output.attest) {
                Some(facts) => {
                    let BuildInputs { archive, plan, .. } = inputs;
                    let lock = lock::of_platform(request, (self.suite, archive, plan), epoch, self.lock)?;
                    container::attest(packed, facts, lock.as_ref().map(Lock::to_text).as_deref(), self.names)
                }
                None => packed,
            });
        }
        let staging = output.target.layer().is_none().then_some(staging);
        Ok(BuiltPlatform { staging, image, side_files, epoch, packages, deb_bytes, file_bytes })
    }

    /// Builds the root of one platform, and again without native programs if a script fails while they run.
    fn build(&self, request: &Request, inputs: &BuildInputs, report: Report<'_>) -> Result<BuiltRoot, Error> {
        let native = NativePrograms::new();
        match self.build_with(request, inputs, &native, report) {
            Err(error)
                if native::is_worth_another_try(&native, &request.customization, &error)
                    && !request.machine.cancel.load(Ordering::Relaxed) =>
            {
                let (text, reason) = (native::MAY_BE_TO_BLAME, native::chain(&error));
                report(Event::Warning(format!("{text}, so it is built again without them ({reason})")));
                let machine = Machine { emulates_all: true, ..request.machine.clone() };
                let request = Request { machine, ..request.clone() };
                self.build_with(&request, inputs, &NativePrograms::new(), report)
            }
            Err(error) if native::may_be_to_blame(&native, &error) => {
                report(Event::Warning(format!("{}; --emulate=all runs none", native::MAY_BE_TO_BLAME)));
                Err(error)
            }
            result => result,
        }
    }

    /// Builds the root of one platform, with what native programs there are in the end.
    fn build_with(
        &self,
        request: &Request,
        inputs: &BuildInputs,
        native: &NativePrograms,
        report: Report<'_>,
    ) -> Result<BuiltRoot, Error> {
        let Request { selection, sources, customization, output, machine } = request;
        let &BuildInputs { ref emulation, ref archive, ref plan, epoch, ref downloads } = inputs;
        let (suite, pockets) = (self.suite, archive.served.as_slice());
        let wanted = archive.wanted(plan);
        let installed_bytes: u64 = plan.packages().map(|(_, package)| package.installed_size).sum();
        let bytes = installed_bytes.saturating_add(self.copied_bytes);
        let is_slim = customization.slim || !customization.settings.dpkg_options.is_empty();
        space::check(&output.target, bytes, is_slim, machine)?;
        let area = Staging::create(machine, &output.target, selection.variant.runs_scripts(), bytes, report)?;
        let (staging, root) = (&area, &area.root);
        let (session, store, stop) = (&archive.session, &staging.store, &*machine.cancel);
        let (slim, dpkg_options) = (customization.slim, customization.settings.dpkg_options.as_slice());
        let inputs = SnapshotInputs { selection, slim, dpkg_options, suite, plan, epoch, emulation, machine };
        let snapshots = Snapshots::find(request, session.cache(), self.program, &inputs, report);
        let (keeps_payloads, threads) = (machine.expects_more && machine.cache.is_some(), machine.budget.threads());
        let (cached, has_root) = (&AtomicUsize::new(0), snapshots.have_root());
        let source = DebSource { session, wanted: &wanted, store, stop, cached, keeps_payloads, threads, report };
        let debs = Debs { session, report };
        let context = BuildContext {
            selection,
            customization,
            suite,
            plan,
            debs,
            root,
            staging,
            epoch,
            emulation,
            native,
            machine,
            report,
        };
        let own_keys = archive.own_keys.as_deref();
        let finish = FinishInputs { sources, copies: &customization.copies, output, pockets, own_keys };
        let runs_scripts = request.runs_scripts() && !output.is_first_stage() && !snapshots.are_enough_for(plan);
        let (variant, planned) = (selection.variant, &native::built_for(plan, pockets, &selection.architecture));
        let cache = &downloads.path(machine);
        let for_native = NativeInputs { suite, sources, variant, planned, emulation, machine, cache, report };
        let for_native = (runs_scripts && native::is_possible(emulation, machine)).then_some(for_native);
        let (file_bytes, controls) = fill(&context, &source, snapshots, for_native, finish)?;

        report(Event::Stage(Stage::Finish));
        let facts = BuildFacts { root, request, suite, served: pockets, plan, controls: &controls, epoch };
        let facts = (output.attest || !output.sboms.is_empty()).then(|| sbom::facts(&facts)).transpose()?;
        match output.is_first_stage() {
            true => first::finish(root, matches!(output.target, Target::Directory(_)), epoch, &machine.cancel)?,
            false => finish::finish(&context, finish)?,
        }
        let deb_bytes = wanted.iter().map(|deb| deb.size).sum();
        // Another platform of this run may have fetched a few.
        let is_known = has_root || 2 * cached.load(Ordering::Relaxed) > wanted.len();
        Ok(BuiltRoot { facts, packages: wanted.len(), deb_bytes, file_bytes, is_known, staging: area })
    }
}

/// Fills the root with packages and lets their scripts run. Returns the size of all unpacked files in bytes, and the control file of each
/// package.
fn fill(
    context: &BuildContext<'_>,
    source: &DebSource<'_>,
    snapshots: Snapshots,
    for_native: Option<NativeInputs<'_>>,
    finish: FinishInputs<'_>,
) -> Result<(u64, Vec<String>), Error> {
    let &BuildContext { native, staging, machine, .. } = context;
    let Snapshots { first_phase, mut root } = snapshots;
    if let Some(kept) = root.take_if(|root| root.exists()) {
        let _ = native.set(None);
        let (installed, controls) = kept.restore(context)?;
        let ended = finish::end_scripts(context, installed, finish);
        return ended.inspect_err(|error| failed::keep_if_asked(context, error)).map(|bytes| (bytes, controls));
    }
    std::thread::scope(|scope| {
        let mut pipeline = debs::start(scope, source)?;
        match for_native {
            Some(inputs) => native::start(scope, staging, native, inputs),
            None => drop(native.set(None)),
        }
        let result = match finish.output.is_first_stage() {
            true => {
                let write_files = |root: &_| finish::write_files(root, context, finish);
                let built = native::built_for(context.plan, finish.pockets, &context.selection.architecture);
                first::make(context, &mut pipeline, &finish.sources.mirrors, &built, &write_files)
            }
            false => phases::install(context, &mut pipeline, first_phase).and_then(|installed| {
                root.iter().for_each(|root| root.keep(context, &installed, &pipeline.controls));
                finish::end_scripts(context, installed, finish)
            }),
        };
        if let Err(error) = &result
            && !native::is_worth_another_try(native, context.customization, error)
        {
            machine.cancel.store(true, Ordering::Relaxed);
            failed::keep_if_asked(context, error);
        }
        result.map(|bytes| (bytes, pipeline.controls))
    })
}
