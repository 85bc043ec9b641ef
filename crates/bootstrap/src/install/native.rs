//! Native programs for a root of another architecture: which, from where, and their directory beside the root.
//!
//! They come from the same archive, from packages of the same source version as the root's, and nothing of them is in the result. So a build
//! that cannot have them takes longer and makes the same bytes.

use crate::archive::{self, Archive, ArchiveOptions, ServedPocket};
use crate::error::Error;
use crate::event::{Event, Report};
use crate::install::debs::{self, DebSource};
use crate::install::emulation::Emulation;
use crate::request::{Customization, Machine, Selection, Sources};
use crate::staging::fit::check_temporary;
use crate::staging::hidden::HiddenDirectory;
use crate::staging::{Staging, add_root};
use rootstrap_configure::native;
use rootstrap_debian::packages::{Package, source};
use rootstrap_debian::relation;
use rootstrap_debian::version::Version;
use rootstrap_fetch::ListedDeb;
use rootstrap_resolve::{Plan, Planned, Variant};
use rootstrap_rootfs::{Root, skeleton};
use rootstrap_suites::Suite;
use rootstrap_unpack::filters::Filter;
use rootstrap_unpack::{Claims, Conffiles, Rules, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, Scope};

/// The programs that may run natively, with the reason.
const PROGRAMS: &str = include_str!("native_programs.txt");

/// The directory of the native programs in the staging area, and the store of their files.
const DIRECTORY: &str = "native";
const STORE: &str = "native-store";

/// The C library, and the first version whose loader starts a program under any name (`--argv0`; glibc, NEWS for 2.33).
const C_LIBRARY: (&str, &str) = ("libc6", "2.33");

/// How often a download of native packages is tried again.
const RETRIES: u32 = 1;

/// The package of perl's interpreter, and the one with the rest of perl.
const PERL: [&str; 2] = ["perl-base", "perl"];

/// What native packages bring that no program needs.
const LEFT_OUT: [&str; 4] = ["/etc/*", "/usr/share/*", "/usr/lib/*/gconv/*", "/var/*"];

/// The libraries of C packages have this field, because those of several architectures can be installed together.
const LIBRARY: &str = "same";

/// Returns the paths of the programs that may run natively, by package.
fn programs() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut programs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in PROGRAMS.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        if let Some(package) = words.next() {
            programs.entry(package).or_default().extend(words);
        }
    }
    programs
}

/// The directory of the native programs in the staging area, once it is there; `None` if all programs are emulated.
pub(crate) type NativePrograms = OnceLock<Option<PathBuf>>;

/// Where native programs come from, and for which packages.
#[derive(Clone, Copy)]
pub(crate) struct NativeInputs<'a> {
    pub suite: &'a Suite,
    pub sources: &'a Sources,
    pub variant: Variant,
    /// The packages of the root that are for its architecture.
    pub planned: &'a Built,
    pub emulation: &'a Emulation,
    pub machine: &'a Machine,
    /// Where downloads are kept.
    pub cache: &'a Path,
    pub report: Report<'a>,
}

/// From which source package, and which version of it, each package was built, by name.
pub(crate) type Built = BTreeMap<String, (String, String)>;

/// Returns those packages of a plan that are for one architecture and come from the suite's own archive.
pub(crate) fn built_for(plan: &Plan, served: &[ServedPocket], architecture: &str) -> Built {
    let is_own = |pocket: usize| served.get(pocket).is_some_and(|it| !it.is_further() && !it.is_local());
    let packages = plan.packages().map(|(_, package)| package);
    let packages = packages.filter(|package| package.architecture == architecture && is_own(package.pocket));
    let built = |package: &Planned| {
        let (name, version) = source(&package.source, &package.name, &package.version);
        (package.name.clone(), (name.to_owned(), version.to_owned()))
    };
    packages.map(built).collect()
}

/// Starts to fetch native programs into the staging area within `scope`. What prevents them is reported, and is no error.
pub(crate) fn start<'scope, 'env: 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    staging: &'env Staging,
    native: &'env NativePrograms,
    inputs: NativeInputs<'env>,
) {
    let started = Builder::new().spawn_scoped(scope, move || {
        let ready = Ready(native);
        let directories = || Ok((staging.add(DIRECTORY, 0o755)?, staging.add(STORE, 0o700)?));
        let prepared = directories().and_then(|(directory, store)| prepare(&inputs, &directory, &store));
        if said(&inputs, prepared) {
            let _ = ready.0.set(Some(PathBuf::from(DIRECTORY)));
        }
    });
    if started.is_err() {
        drop(Ready(native));
    }
}

/// Fetches native programs into a hidden directory of their own. Returns `None` after it has reported what prevents them.
pub(crate) fn beside(inputs: &NativeInputs<'_>) -> Option<(HiddenDirectory, PathBuf)> {
    let machine = inputs.machine;
    let prepared = || {
        check_temporary(machine, true)?;
        let hidden = HiddenDirectory::create(&machine.temporary, DIRECTORY.as_ref(), &machine.janitor)?;
        let (directory, store) = (add_root(hidden.fd(), DIRECTORY, 0o755)?, add_root(hidden.fd(), STORE, 0o700)?);
        prepare(inputs, &directory, &store)?;
        Ok(hidden)
    };
    let mut kept = None;
    let prepared = prepared().map(|hidden| kept = Some(hidden));
    let hidden = if said(inputs, prepared) { kept? } else { return None };
    let path = hidden.path().join(DIRECTORY);
    Some((hidden, path))
}

/// Returns whether native programs are there, or reports why not.
fn said(inputs: &NativeInputs<'_>, prepared: Result<(), Error>) -> bool {
    match prepared {
        Ok(()) => return true,
        // Another thread has failed, and says why.
        Err(_) if inputs.machine.cancel.load(Ordering::Relaxed) => {}
        Err(error) => {
            let text = format!("everything is emulated, which takes longer: {}", chain(&error));
            (inputs.report)(Event::Note(text));
        }
    }
    false
}

/// What is said of a failure that native programs may be to blame for.
pub(crate) const MAY_BE_TO_BLAME: &str = "something failed while native programs ran in the place of emulated ones";

/// Whether a build may succeed without its native programs that failed with them.
pub(crate) fn may_be_to_blame(native: &NativePrograms, error: &Error) -> bool {
    use rootstrap_configure::Error as Configure;
    let is_of_scripts =
        matches!(error, Error::Configure(Configure::Failed { .. } | Configure::Start(_) | Configure::Sandbox(_)));
    is_of_scripts && native.get().is_some_and(Option::is_some)
}

/// Whether a build is tried again that may succeed without its native programs. Hooks of the user run once only.
pub(crate) fn is_worth_another_try(native: &NativePrograms, customization: &Customization, error: &Error) -> bool {
    may_be_to_blame(native, error) && customization.hooks.is_empty()
}

/// Lets nobody wait for ever.
struct Ready<'a>(&'a NativePrograms);

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        let _ = self.0.set(None);
    }
}

/// Returns an error and its causes in one line.
pub(crate) fn chain(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Whether programs of the root are emulated in a way that lets native ones take their place.
pub(crate) fn is_possible(emulation: &Emulation, machine: &Machine) -> bool {
    !machine.emulates_all && emulation.emulators.first().is_some_and(|emulator| native::suits(&emulator.architecture))
}

/// Fetches native programs and unpacks them into `root`, by way of `store`.
///
/// # Errors
/// The archive lacks them, or they cannot be fetched or unpacked.
fn prepare(inputs: &NativeInputs<'_>, root: &Root, store: &Root) -> Result<(), Error> {
    let &NativeInputs { suite, sources, variant, planned, emulation, machine, cache, report } = inputs;
    let own = Selection { variant, ..Selection::new(native::architecture().unwrap_or_default()) };
    let sources = Sources { further: Vec::new(), arch_variant: None, ..sources.clone() };
    // Without them, the run only takes longer. So nobody waits long for a server that does not answer.
    let mut hasty = machine.clone();
    hasty.network.retries.count = hasty.network.retries.count.min(RETRIES);
    let silent: Report<'_> = &|_| ();
    let machine = &hasty;
    let options = ArchiveOptions { selection: &own, sources: &sources, machine, suite, cache, report: silent };
    let mut archive = archive::open(&options)?;
    let Choice { debs, programs } = choose(&archive, planned)?;
    archive.forget_indexes();

    skeleton::merge_usr(root, &skeleton::ALIASED.map(str::to_owned), 0)?;
    let filters = LEFT_OUT.map(|pattern| Filter { include: false, pattern: pattern.as_bytes().to_vec() });
    let rules = Rules { conffiles: Conffiles::InPlace, filters: &filters, overrides: None, last_directory_wins: false };
    // A failure here does not stop the run.
    let stop = &AtomicBool::new(false);
    let (session, threads) = (&archive.session, machine.budget.threads());
    let (cached, keeps_payloads) = (&AtomicUsize::new(0), false);
    let source = DebSource { session, wanted: &debs, store, stop, cached, keeps_payloads, threads, report: silent };
    let packages = std::thread::scope(|scope| debs::start(scope, &source)?.take(0..debs.len()))?;
    let mut claims = Claims::default();
    for deb in &packages {
        if let Verdict::ForDpkg(reason) = rootstrap_unpack::merge(root, &deb.staged, rules, &mut claims)? {
            return Err(Error::Native { reason: format!("{}: {reason}", deb.staged.control.package) });
        }
    }
    // The first emulator is that of the root's own architecture.
    let Some(emulator) = emulation.emulators.first() else { return Ok(()) };
    let lacking = native::complete(root, emulator, programs)?;
    if !lacking.is_empty() {
        report(Event::Note(format!("emulated, because native libraries are missing: {}", lacking.join(", "))));
    }
    Ok(())
}

/// What runs natively.
struct Choice {
    /// The debs of the programs and of their libraries, sorted by name.
    debs: Vec<ListedDeb>,
    /// The paths of the programs.
    programs: Vec<String>,
}

/// Chooses the native packages whose programs can take the place of those of the plan.
fn choose(archive: &Archive, planned: &Built) -> Result<Choice, Error> {
    let twins = Twins::find(archive, planned);
    let library = twins.found.get(C_LIBRARY.0).map(|(_, package)| package.version());
    if library.is_some_and(|version| version < Version::new(C_LIBRARY.1)) {
        let reason = format!("the loader of this suite's {} is older than {}", C_LIBRARY.0, C_LIBRARY.1);
        return Err(Error::Native { reason });
    }
    let (mut wanted, mut chosen) = (BTreeSet::new(), Vec::new());
    for (package, paths) in programs().into_iter().filter(|(package, _)| planned.contains_key(*package)) {
        let mut needed = BTreeSet::new();
        let is_complete = match package {
            name if name == PERL[0] => twins.add_perl(&mut needed),
            name => twins.add(name, &mut needed),
        };
        if is_complete {
            wanted.extend(needed);
            chosen.extend(paths.into_iter().map(str::to_owned));
        }
    }
    if chosen.is_empty() {
        return Err(Error::Native { reason: "the archive has no native packages of the same versions".to_owned() });
    }
    let listed = |name: &&str| twins.listed(archive, name);
    let debs = wanted.iter().map(listed).collect::<Option<Vec<_>>>();
    let debs = debs.ok_or_else(|| Error::Native { reason: "a native package names no file".to_owned() })?;
    Ok(Choice { debs, programs: chosen })
}

/// The native packages of the same name and source version as those of a plan.
struct Twins<'a> {
    /// By name, with the number of the pocket.
    found: BTreeMap<&'a str, (usize, Package<'a>)>,
    planned: &'a Built,
}

impl<'a> Twins<'a> {
    fn find(archive: &'a Archive, planned: &'a Built) -> Self {
        let mut found: BTreeMap<&str, (usize, Package<'_>)> = BTreeMap::new();
        let is_planned = |name: &str| planned.contains_key(name);
        for (pocket, package) in archive.packages(&is_planned) {
            let (name, version) = source(package.source, package.name, package.version);
            let is_twin = planned.get(package.name).is_some_and(|known| known.0 == name && known.1 == version);
            let is_newer = found.get(package.name).is_none_or(|(_, known)| package.version() > known.version());
            if is_twin && is_newer && package.architecture != "all" {
                found.insert(package.name, (pocket, package));
            }
        }
        Self { found, planned }
    }

    /// Adds a package and the libraries that it needs to `needed`. Returns `false` if one of them has no twin.
    fn add(&self, name: &str, needed: &mut BTreeSet<&'a str>) -> bool {
        let Some((&name, (_, package))) = self.found.get_key_value(name) else { return false };
        if !needed.insert(name) {
            return true;
        }
        // Of a name that the plan lacks, the programs of the plan do without.
        let libraries = depends(package).filter(|name| self.planned.contains_key(*name));
        let is_library = |name: &str| self.found.get(name).is_none_or(|(_, package)| package.multi_arch == LIBRARY);
        let libraries: Vec<&str> = libraries.filter(|name| is_library(name)).collect();
        libraries.into_iter().all(|name| self.add(name, needed))
    }

    /// Adds perl and its modules in C. Those are packages that depend on the interface of this perl, and of `perl` the libraries.
    fn add_perl(&self, needed: &mut BTreeSet<&'a str>) -> bool {
        let is_module = |name: &&String| name.ends_with("-perl") && name.starts_with("lib");
        if !self.planned.keys().filter(is_module).all(|name| self.found.contains_key(name.as_str())) {
            return false;
        }
        let uses_interface = |package: &Package<'_>| depends(package).any(|name| name.starts_with("perlapi-"));
        let modules = self.found.iter().filter(|(_, (_, package))| uses_interface(package)).map(|(name, _)| *name);
        let modules: Vec<&str> = modules.collect();
        let mut rest = BTreeSet::new();
        let is_complete = self.add(PERL[0], needed)
            && modules.into_iter().all(|name| self.add(name, needed))
            && (!self.planned.contains_key(PERL[1]) || self.add(PERL[1], &mut rest));
        rest.remove(PERL[1]);
        needed.extend(rest);
        is_complete
    }

    fn listed(&self, archive: &Archive, name: &str) -> Option<ListedDeb> {
        let (pocket, package) = self.found.get(name)?;
        archive.listed(*pocket, package)
    }
}

/// Returns the names that a package depends on, also those of alternatives.
fn depends<'p>(package: &Package<'p>) -> impl Iterator<Item = &'p str> + use<'p> {
    let groups = [package.pre_depends, package.depends].map(|field| relation::parse_field(field).unwrap_or_default());
    groups.into_iter().flatten().flatten().map(|relation| relation.name)
}
