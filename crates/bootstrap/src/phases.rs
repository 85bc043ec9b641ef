//! The phases of a plan into the root, one after the other: what makes the result equal to debootstrap's is this order,
//! not who unpacks.
//!
//! The first phase is extracted whole, conffiles in place, before any script runs. In every later one each package's
//! preinst runs right before its files appear, conffiles wait beside their places, and dpkg then configures the phase.

use crate::alternatives::Alternative;
use crate::base::Base;
use crate::bodies::{Bodies, Body, check_names};
use crate::event::{Report, Stage};
use crate::foreign::Emulation;
use crate::staging::Staging;
use crate::suite::Suite;
use crate::{Error, Event, Request, account, core_set, distroless, merged_usr, slim};
use rootstrap_configure::preinst::Preinst;
use rootstrap_configure::{Sandbox, dpkg, fakes, preinst};
use rootstrap_resolve::{Plan, Variant};
use rootstrap_rootfs::{Root, now};
use rootstrap_unpack::database::{self, Record};
use rootstrap_unpack::merge::{Merged, reason_for_dpkg};
use rootstrap_unpack::{Claims, Conffiles, Rules, Verdict, triggers};
use std::path::Path;

/// Where .debs lie while the target's dpkg unpacks them.
const HANDOVER: &str = "var/cache/apt/archives/rootstrap";

/// What the phases need to know.
pub(crate) struct Site<'a> {
    pub request: &'a Request,
    pub suite: &'a Suite,
    pub plan: &'a Plan,
    /// The growing root, and where it grows.
    pub root: &'a Root,
    pub staging: &'a Staging,
    /// The time of everything that has none of its own.
    pub epoch: i64,
    pub emulation: &'a Emulation,
    pub report: Report<'a>,
}

/// Fills the root phase by phase, from where `base` ends. Returns the bytes of all files unpacked.
pub(crate) fn install(site: &Site<'_>, bodies: &mut Bodies<'_>, mut base: Option<Base>) -> Result<u64, Error> {
    let &Site { request, plan, root, epoch, report, .. } = site;
    let mut installer = Installer::new(site);
    let mut sandbox = None;
    let mut next = 0;
    if !plan.without.is_empty() {
        report(Event::Note(format!("done without: {}", plan.without.join(", "))));
    }
    for (number, phase) in plan.phases.iter().enumerate() {
        report(Event::Stage(Stage::Unpack));
        let slots = next..next + phase.packages.len();
        next = slots.end;
        let packages = bodies.take(slots)?;
        check_names(&packages, &phase.packages)?;
        installer.bytes += packages.iter().map(|body| body.staged.bytes).sum::<u64>();
        if number == 0 {
            let for_dpkg = installer.extract(&packages)?;
            if !request.variant.runs_scripts() {
                continue;
            }
            prepare(root)?;
            let (extracted, by_dpkg) = (now(), !for_dpkg.is_empty());
            match base.take() {
                Some(base) if base.is_there() => {
                    if let Some(claims) = base.restore(site)? {
                        installer.claims = claims;
                    }
                    if plan.phases.len() > 1 {
                        site.staging.copy_early(request);
                    }
                    sandbox = Some(start(site)?);
                }
                base => {
                    site.staging.copy_early(request);
                    report(Event::Stage(Stage::Configure));
                    installer.first(sandbox.insert(start(site)?), &packages, &for_dpkg)?;
                    if let Some(base) = base {
                        let claims = by_dpkg.then_some(&installer.claims);
                        site.staging.wait_for(base.keep(site, &packages, extracted, claims));
                    }
                }
            }
        } else if let Some(sandbox) = &mut sandbox {
            installer.later(sandbox, &packages)?;
        } else {
            installer.extract(&packages)?;
        }
    }
    if request.variant == Variant::Distroless {
        distroless::complete(root, &installer.alternatives, epoch)?;
    }
    if let Some(sandbox) = &mut sandbox {
        account::create(site, sandbox, &mut |line| installer.output(line))?;
    }
    // Ends whatever a script left running, before anything else touches the tree.
    drop(sandbox);
    if request.variant.runs_scripts() {
        fakes::remove(root)?;
    }
    Ok(installer.bytes)
}

/// The sandbox around the root.
fn start(site: &Site<'_>) -> Result<Sandbox, Error> {
    let options = rootstrap_configure::Options {
        staging: site.staging.directory().try_clone_to_owned().map_err(Error::io("open", Path::new("root")))?,
        root: "root".into(),
        epoch: site.epoch,
        environment: site.emulation.environment.clone(),
        emulators: site.emulation.emulators.clone(),
        aside: site.root.aside().cloned().unwrap_or_default(),
        cancel: site.request.cancel.clone(),
    };
    Ok(Sandbox::start(&options)?)
}

/// The files of the first phase, and nothing run. Returns the packages left to dpkg.
pub(crate) fn extract<'p>(site: &Site<'_>, packages: &'p [Body]) -> Result<Vec<&'p Body>, Error> {
    let for_dpkg = Installer::new(site).extract(packages)?;
    prepare(site.root)?;
    Ok(for_dpkg)
}

/// What the sandbox needs of a root.
fn prepare(root: &Root) -> Result<(), Error> {
    if root.metadata(b"usr/bin/dpkg")?.is_none() {
        return Err(Error::NoDpkg);
    }
    for mount_point in ["dev", "proc", "sys"] {
        root.create_directories(mount_point.as_bytes(), 0o755)?;
    }
    Ok(())
}

struct Installer<'a> {
    request: &'a Request,
    suite: &'a Suite,
    root: &'a Root,
    staging: &'a Staging,
    report: Report<'a>,
    claims: Claims,
    /// What scripts would register that are not run.
    alternatives: Vec<Alternative>,
    dpkg_version: String,
    epoch: i64,
    emulated: bool,
    bytes: u64,
}

impl<'a> Installer<'a> {
    fn new(site: &Site<'a>) -> Self {
        let &Site { request, suite, plan, root, staging, epoch, report, .. } = site;
        let (claims, dpkg_version) = (Claims::default(), dpkg_version(plan));
        let emulated = !site.emulation.emulators.is_empty();
        let alternatives = Vec::new();
        Self { request, suite, root, staging, report, claims, alternatives, dpkg_version, epoch, emulated, bytes: 0 }
    }

    /// The first phase's files, no script run yet. Returns the packages left to dpkg.
    fn extract<'p>(&mut self, packages: &'p [Body]) -> Result<Vec<&'p Body>, Error> {
        merged_usr::merge(self.root, self.suite, self.request.variant, packages, self.epoch)?;
        let last_directory_wins = self.suite.last_dir_wins;
        let filters = slim::filters(self.request, self.suite);
        let rules = Rules { conffiles: Conffiles::InPlace, filters: &filters, overrides: None, last_directory_wins };
        if self.request.variant.runs_scripts() {
            database::create(self.root, &self.request.architectures()?)?;
        }
        let (mut merged, mut for_dpkg) = (Vec::new(), Vec::new());
        for body in packages {
            let verdict = match self.reason_of_architecture(body)? {
                None => rootstrap_unpack::merge(self.root, &body.staged, rules, &mut self.claims)?,
                Some(reason) => Verdict::ForDpkg(reason),
            };
            match verdict {
                Verdict::Merged(done) => merged.push((body, done)),
                Verdict::ForDpkg(reason) if !self.request.variant.runs_scripts() => {
                    let label = body.staged.control.database_name();
                    return Err(rootstrap_unpack::Error::Damaged { label, reason }.into());
                }
                Verdict::ForDpkg(reason) => {
                    self.note_dpkg(body, &reason);
                    for_dpkg.push(body);
                }
            }
        }
        if self.request.variant.runs_scripts() {
            self.record(&merged, Conffiles::InPlace)?;
        } else if self.request.variant == Variant::Distroless {
            let native = self.request.architecture()?;
            for body in packages {
                distroless::register(self.root, &body.staged.control, native)?;
                self.alternatives.extend(Alternative::of(&body.staged.control));
            }
        }
        slim::prepare(self.request, self.root, packages, self.epoch)?;
        Ok(for_dpkg)
    }

    /// Packages of a further architecture share files, names and reference counts with those of the native one.
    fn reason_of_architecture(&self, body: &Body) -> Result<Option<String>, Error> {
        let architecture = body.staged.control.architecture.as_str();
        let alone = !self.request.variant.runs_scripts();
        let own = alone || architecture == "all" || architecture == self.request.architecture()?;
        Ok((!own).then(|| format!("it is for {architecture}")))
    }

    fn note_dpkg(&self, body: &Body, reason: &str) {
        (self.report)(Event::Note(format!("{} goes through dpkg: {reason}", body.staged.control.package)));
    }

    fn record(&self, merged: &[(&Body, Merged)], conffiles: Conffiles) -> Result<(), Error> {
        let records: Vec<Record<'_>> = merged
            .iter()
            .map(|(body, merged)| Record {
                control: &body.staged.control,
                entries: body.staged.entries.as_deref().unwrap_or_default(),
                list: &merged.list,
                excluded: &merged.excluded,
            })
            .collect();
        database::record(self.root, &records, conffiles)?;
        let touched: Vec<_> =
            merged.iter().map(|(body, merged)| (&body.staged.control, merged.touched.as_slice())).collect();
        Ok(triggers::record(self.root, &touched)?)
    }

    /// Scripts of the first phase, all of it being extracted.
    fn first(&mut self, sandbox: &mut Sandbox, packages: &[Body], for_dpkg: &[&Body]) -> Result<(), Error> {
        fakes::install(self.root, self.emulated)?;
        if self.root.metadata(b"sbin/ldconfig")?.is_some() {
            let exit = sandbox.run(&["/sbin/ldconfig"], &[], &mut |line| self.output(line))?;
            exit.check(|| "run ldconfig".to_owned())?;
        }
        // Scripts want awk before the package that registers it is configured.
        let awk = self.root.metadata(b"usr/bin/awk")?.is_none() && self.root.metadata(b"usr/bin/mawk")?.is_some();
        if awk {
            let attributes = rootstrap_rootfs::Attributes { mode: 0o777, uid: 0, gid: 0, mtime: 0 };
            self.root.at(b"usr/bin/awk")?.create_symlink(b"mawk", attributes)?;
        }
        let ours = |body: &Body| !for_dpkg.iter().any(|other| std::ptr::eq(*other, body));
        for (number, body) in packages.iter().enumerate().filter(|(_, body)| ours(body)) {
            let before = database::diversions(self.root)?;
            if !self.preinst(sandbox, body)? {
                continue;
            }
            rootstrap_unpack::after_scripts::restore_links(self.root, &body.staged)?;
            let after = database::diversions(self.root)?;
            for (from, diversion) in after.iter().filter(|(from, _)| !before.contains_key(*from)) {
                let others = packages.iter().skip(number + 1);
                rootstrap_unpack::after_scripts::divert_merged(
                    self.root,
                    from,
                    diversion,
                    others.map(|body| &body.staged),
                )?;
            }
        }
        if awk {
            self.root.remove(b"usr/bin/awk")?;
        }
        self.hand_over(sandbox, for_dpkg)?;
        let core = core_set::names(self.request.variant, packages);
        dpkg::configure(sandbox, &core, &mut |line| self.output(line))?;
        database::unconfigure(self.root, &core)?;
        let resting = core_set::rest(self.root, packages, &core)?;
        // Required packages may count on each other without saying so (usrmerge on debianutils): one that fails
        // for that succeeds once the others are configured, and debootstrap tries again for the same reason.
        match dpkg::configure_all(sandbox, &mut |line| self.output(line)) {
            Err(error @ rootstrap_configure::Error::Failed { .. }) => {
                (self.report)(Event::Note(format!("configuring again: {error}")));
                dpkg::configure_all(sandbox, &mut |line| self.output(line))?;
            }
            other => other?,
        }
        core_set::wake(self.root, &resting)
    }

    /// A later phase: each preinst right before its package's files.
    fn later(&mut self, sandbox: &mut Sandbox, packages: &[Body]) -> Result<(), Error> {
        // As dpkg reads its configuration once for all packages it is given.
        let filters = slim::filters_of_target(self.request, self.suite, self.root)?;
        let overrides = database::statoverrides(self.root)?;
        let rules = Rules {
            conffiles: Conffiles::New,
            filters: &filters,
            overrides: Some(&overrides),
            last_directory_wins: false,
        };
        let mut merged = Vec::new();
        for body in packages {
            let reason = match self.reason_of_architecture(body)? {
                None => reason_for_dpkg(self.root, &body.staged, rules, &self.claims)?,
                reason => reason,
            };
            let verdict = match reason {
                Some(reason) => Verdict::ForDpkg(reason),
                None => {
                    self.preinst(sandbox, body)?;
                    rootstrap_unpack::merge(self.root, &body.staged, rules, &mut self.claims)?
                }
            };
            match verdict {
                Verdict::Merged(done) => merged.push((body, done)),
                // In its turn: whether it or the next one takes a file over depends on which is there first.
                Verdict::ForDpkg(reason) => {
                    self.note_dpkg(body, &reason);
                    self.record(&std::mem::take(&mut merged), Conffiles::New)?;
                    self.hand_over(sandbox, &[body])?;
                }
            }
        }
        self.record(&merged, Conffiles::New)?;
        slim::prepare(self.request, self.root, packages, self.epoch)?;
        self.staging.copy_early(self.request);
        (self.report)(Event::Stage(Stage::Configure));
        fakes::install(self.root, self.emulated)?;
        dpkg::configure_all(sandbox, &mut |line| self.output(line))?;
        Ok(())
    }

    /// Lets the target's own dpkg unpack what the direct way does not treat.
    fn hand_over(&mut self, sandbox: &mut Sandbox, packages: &[&Body]) -> Result<(), Error> {
        if packages.is_empty() {
            return Ok(());
        }
        self.root.create_directories(HANDOVER.as_bytes(), 0o700)?;
        let put = |body: &&Body| body.put_deb(self.root, HANDOVER);
        let paths: Vec<String> = packages.iter().map(put).collect::<Result<_, _>>()?;
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        dpkg::unpack(sandbox, &paths, &mut |line| self.output(line))?;
        self.root.remove_tree(HANDOVER.as_bytes())?;
        // Others may have lost files, or have gone altogether.
        let known: Vec<_> = self.claims.packages().map(|(name, count)| (name.to_owned(), count)).collect();
        let new = packages.iter().map(|body| (body.staged.control.database_name(), 0));
        for (name, count) in new.chain(known) {
            let list = self.root.read(format!("var/lib/dpkg/info/{name}.list").as_bytes())?.unwrap_or_default();
            let paths = list.split(|&b| b == b'\n').filter(|path| !matches!(*path, b"" | b"/."));
            let paths: Vec<&[u8]> = paths.collect();
            if paths.len() != count {
                self.claims.forget(&name);
                let mut found = Vec::with_capacity(paths.len());
                for path in paths {
                    let kind = self.root.metadata(path)?.map(|metadata| metadata.kind);
                    found.push((path, kind == Some(rootstrap_rootfs::Kind::Directory)));
                }
                self.claims.add(&name, found);
            }
        }
        Ok(())
    }

    /// Runs a package's preinst; `false` if it has none.
    fn preinst(&self, sandbox: &mut Sandbox, body: &Body) -> Result<bool, Error> {
        let control = &body.staged.control;
        if control.member("preinst").is_none() {
            return Ok(false);
        }
        let members = control.members.iter().map(|m| (m.name.as_str(), m.mode, m.contents.as_slice())).collect();
        let preinst = Preinst {
            package: &control.package,
            architecture: &control.architecture,
            members,
            dpkg_version: &self.dpkg_version,
        };
        preinst::run(sandbox, self.root, &preinst, &mut |line| self.output(line))?;
        Ok(true)
    }

    fn output(&self, line: &str) {
        if let Some(package) = dpkg::configured(line) {
            (self.report)(Event::Configuring { package: package.to_owned() });
        }
        (self.report)(Event::Output(line.to_owned()));
    }
}

/// The version dpkg calls itself: the upstream part of its package's, without what a derivative adds.
pub(crate) fn dpkg_version(plan: &Plan) -> String {
    let version = plan.packages().find(|(_, package)| package.name == "dpkg").map(|(_, package)| &package.version);
    let version = version.map_or("", String::as_str);
    version.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default().to_owned()
}
