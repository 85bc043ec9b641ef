//! One phase into the root: files, dpkg's database, and the scripts around them.

use crate::error::{Error, go_on};
use crate::event::{Event, Report, Stage};
use crate::install::context::BuildContext;
use crate::install::debs::{Debs, StagedDeb};
use crate::install::output::report_line;
use crate::install::{core_set, merged_usr, slim};
use crate::request::Selection;
use crate::staging::Staging;
use rootstrap_configure::preinst::Preinst;
use rootstrap_configure::{Sandbox, dpkg, fakes, preinst};
use rootstrap_distroless::Alternative;
use rootstrap_resolve::{Plan, Variant};
use rootstrap_rootfs::{Attributes, Kind, Root};
use rootstrap_suites::Suite;
use rootstrap_unpack::database::{self, Record};
use rootstrap_unpack::merge::Merged;
use rootstrap_unpack::reason_for_dpkg;
use rootstrap_unpack::{Claims, Conffiles, Rules, Verdict, after_scripts, filters, triggers};
use std::sync::atomic::AtomicBool;

/// Where .debs lie while the target's dpkg unpacks them. Its parent is there from the beginning, so no package finds a directory of ours in
/// the place of its own.
const HANDOVER: &str = "var/lib/dpkg/rootstrap";

/// What installing one phase after the other has to remember.
pub(super) struct Installer<'a> {
    selection: &'a Selection,
    slim: bool,
    suite: &'a Suite,
    root: &'a Root,
    staging: &'a Staging,
    debs: Debs<'a>,
    report: Report<'a>,
    /// Which package has which path.
    pub claims: Claims,
    /// The alternatives that scripts would register, where no scripts run.
    alternatives: Vec<Alternative>,
    dpkg_version: String,
    epoch: i64,
    is_emulated: bool,
    cancel: &'a AtomicBool,
}

impl<'a> Installer<'a> {
    pub fn new(context: &BuildContext<'a>) -> Self {
        let &BuildContext { selection, suite, plan, debs, root, staging, epoch, report, machine, .. } = context;
        let (claims, dpkg_version) = (Claims::default(), dpkg_version(plan));
        let is_emulated = !context.emulation.emulators.is_empty();
        let alternatives = Vec::new();
        Self {
            selection,
            slim: context.customization.slim,
            suite,
            root,
            staging,
            debs,
            report,
            claims,
            alternatives,
            dpkg_version,
            epoch,
            is_emulated,
            cancel: &machine.cancel,
        }
    }

    /// Returns the alternatives of all packages, in the order of the packages.
    pub fn into_alternatives(self) -> Vec<Alternative> {
        self.alternatives
    }

    /// Extracts the files of a phase before any script runs. Returns the packages that the target's dpkg has to unpack.
    pub fn extract<'p>(&mut self, packages: &'p [StagedDeb]) -> Result<Vec<&'p StagedDeb>, Error> {
        let runs_scripts = self.selection.variant.runs_scripts();
        merged_usr::merge(self.root, self.suite, self.selection.variant, packages, self.epoch)?;
        let last_directory_wins = self.suite.last_dir_wins;
        let mut filters = slim::filters(self.slim, self.suite);
        // Of the user: no package is there yet.
        filters.extend(filters::of_target(self.root)?);
        let rules = Rules { conffiles: Conffiles::InPlace, filters: &filters, overrides: None, last_directory_wins };
        if runs_scripts {
            database::create(self.root, &self.selection.architectures())?;
        }
        let (mut merged, mut for_dpkg) = (Vec::new(), Vec::new());
        for deb in packages {
            go_on(self.cancel)?;
            let verdict = match self.reason_of_architecture(deb) {
                None => rootstrap_unpack::merge(self.root, &deb.staged, rules, &mut self.claims)?,
                Some(reason) => Verdict::ForDpkg(reason),
            };
            match verdict {
                Verdict::Merged(done) => merged.push((deb, done)),
                Verdict::ForDpkg(reason) if !runs_scripts => {
                    let label = deb.staged.control.database_name();
                    return Err(rootstrap_unpack::Error::Damaged { label, reason }.into());
                }
                Verdict::ForDpkg(reason) => {
                    self.note_dpkg(deb, &reason);
                    for_dpkg.push(deb);
                }
            }
        }
        if runs_scripts {
            self.record(&merged, Conffiles::InPlace)?;
        } else if self.selection.variant == Variant::Distroless {
            packages.iter().try_for_each(|deb| self.register(deb))?;
        }
        slim::prepare(self.slim, self.root, packages, self.epoch)?;
        Ok(for_dpkg)
    }

    /// Lists a package for scanners, and remembers the alternatives that its postinst would register.
    fn register(&mut self, deb: &StagedDeb) -> Result<(), Error> {
        let control = &deb.staged.control;
        let member = |name| control.member(name).map(|member| member.contents.as_slice());
        let package = rootstrap_distroless::Package {
            name: &control.package,
            architecture: &control.architecture,
            control: member("control"),
            md5sums: member("md5sums"),
        };
        rootstrap_distroless::register(self.root, &package, &self.selection.architecture)?;
        self.alternatives.extend(member("postinst").map(Alternative::in_script).unwrap_or_default());
        Ok(())
    }

    /// Returns why a package of a further architecture goes through dpkg: it shares files, names and reference counts with packages of
    /// the native architecture.
    fn reason_of_architecture(&self, deb: &StagedDeb) -> Option<String> {
        let architecture = deb.staged.control.architecture.as_str();
        let is_merged = !self.selection.variant.runs_scripts();
        let is_native = architecture == "all" || architecture == self.selection.architecture;
        (!is_merged && !is_native).then(|| format!("it is for {architecture}"))
    }

    fn note_dpkg(&self, deb: &StagedDeb, reason: &str) {
        (self.report)(Event::Note(format!("{} goes through dpkg: {reason}", deb.staged.control.package)));
    }

    /// Writes the merged packages into dpkg's database.
    fn record(&self, merged: &[(&StagedDeb, Merged)], conffiles: Conffiles) -> Result<(), Error> {
        let records: Vec<Record<'_>> = merged
            .iter()
            .map(|(deb, merged)| Record {
                control: &deb.staged.control,
                entries: deb.staged.entries.as_deref().unwrap_or_default(),
                list: &merged.list,
                excluded: &merged.excluded,
            })
            .collect();
        database::record(self.root, &records, conffiles)?;
        let touched: Vec<_> =
            merged.iter().map(|(deb, merged)| (&deb.staged.control, merged.touched.as_slice())).collect();
        Ok(triggers::record(self.root, &touched)?)
    }

    /// Runs the scripts of the first phase, whose files are all in place.
    pub fn first(
        &mut self,
        sandbox: &mut Sandbox,
        packages: &[StagedDeb],
        for_dpkg: &[&StagedDeb],
    ) -> Result<(), Error> {
        fakes::install(self.root, self.is_emulated)?;
        if self.root.metadata(b"sbin/ldconfig")?.is_some() {
            let exit = sandbox.run(&["/sbin/ldconfig"], &[], &mut |line| self.output(line))?;
            exit.check(|| "run ldconfig".to_owned())?;
        }
        // Scripts need awk before the package that registers it is configured.
        let needs_awk = self.root.metadata(b"usr/bin/awk")?.is_none() && self.root.metadata(b"usr/bin/mawk")?.is_some();
        if needs_awk {
            let attributes = Attributes { mode: 0o777, uid: 0, gid: 0, mtime: 0 };
            self.root.at(b"usr/bin/awk")?.create_symlink(b"mawk", attributes)?;
        }
        self.first_preinsts(sandbox, packages, for_dpkg)?;
        if needs_awk {
            self.root.remove(b"usr/bin/awk")?;
        }
        self.hand_over(sandbox, for_dpkg)?;
        let core = core_set::names(self.selection.variant, packages);
        dpkg::configure(sandbox, &core, &mut |line| self.output(line))?;
        database::unconfigure(self.root, &core)?;
        let moved = core_set::set_scripts_aside(self.root, packages, &core)?;
        // Required packages may need each other without a dependency (usrmerge needs debianutils). A package that fails for this reason
        // succeeds once the others are configured; debootstrap tries again for the same reason.
        match dpkg::configure_all(sandbox, &mut |line| self.output(line)) {
            Err(error @ rootstrap_configure::Error::Failed { .. }) => {
                (self.report)(Event::Note(format!("configuring again: {error}")));
                dpkg::configure_all(sandbox, &mut |line| self.output(line))?;
            }
            other => other?,
        }
        core_set::restore_scripts(self.root, &moved)
    }

    /// Runs the preinsts of the first phase, and brings the tree into the state that dpkg would have left after each of them.
    fn first_preinsts(
        &self,
        sandbox: &mut Sandbox,
        packages: &[StagedDeb],
        for_dpkg: &[&StagedDeb],
    ) -> Result<(), Error> {
        let is_merged = |deb: &StagedDeb| !for_dpkg.iter().any(|other| std::ptr::eq(*other, deb));
        for (number, deb) in packages.iter().enumerate().filter(|(_, deb)| is_merged(deb)) {
            let before = database::diversions(self.root)?;
            if !self.preinst(sandbox, deb)? {
                continue;
            }
            after_scripts::restore_links(self.root, &deb.staged)?;
            let after = database::diversions(self.root)?;
            for (from, diversion) in after.iter().filter(|(from, _)| !before.contains_key(*from)) {
                let later = packages.iter().skip(number + 1).map(|deb| &deb.staged);
                after_scripts::divert_merged(self.root, from, diversion, later)?;
            }
        }
        Ok(())
    }

    /// Installs a later phase: each preinst runs right before its package's files appear.
    pub fn later(&mut self, sandbox: &mut Sandbox, packages: &[StagedDeb]) -> Result<(), Error> {
        // dpkg too reads its configuration once for all packages that it is given.
        let filters = slim::filters_of_target(self.slim, self.suite, self.root)?;
        let overrides = database::statoverrides(self.root)?;
        let rules = Rules {
            conffiles: Conffiles::New,
            filters: &filters,
            overrides: Some(&overrides),
            last_directory_wins: false,
        };
        let mut merged = Vec::new();
        for deb in packages {
            go_on(self.cancel)?;
            let reason = match self.reason_of_architecture(deb) {
                None => reason_for_dpkg(self.root, &deb.staged, rules, &self.claims)?,
                reason => reason,
            };
            let verdict = match reason {
                Some(reason) => Verdict::ForDpkg(reason),
                None => {
                    self.preinst(sandbox, deb)?;
                    rootstrap_unpack::merge(self.root, &deb.staged, rules, &mut self.claims)?
                }
            };
            match verdict {
                Verdict::Merged(done) => merged.push((deb, done)),
                // dpkg unpacks the package in its turn, because who takes over a file depends on which package comes first.
                Verdict::ForDpkg(reason) => {
                    self.note_dpkg(deb, &reason);
                    self.record(&std::mem::take(&mut merged), Conffiles::New)?;
                    self.hand_over(sandbox, &[deb])?;
                }
            }
        }
        self.record(&merged, Conffiles::New)?;
        slim::prepare(self.slim, self.root, packages, self.epoch)?;
        self.staging.precopy();
        (self.report)(Event::Stage(Stage::Configure));
        fakes::install(self.root, self.is_emulated)?;
        sandbox.register_native()?;
        dpkg::configure_all(sandbox, &mut |line| self.output(line))?;
        Ok(())
    }

    /// Lets the target's own dpkg unpack packages that this program's rules do not cover.
    fn hand_over(&mut self, sandbox: &mut Sandbox, packages: &[&StagedDeb]) -> Result<(), Error> {
        if packages.is_empty() {
            return Ok(());
        }
        self.root.create_directories(HANDOVER.as_bytes(), 0o700)?;
        let copy = |deb: &&StagedDeb| deb.copy_deb(&self.debs, self.root, HANDOVER);
        let paths: Vec<String> = packages.iter().map(copy).collect::<Result<_, _>>()?;
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        dpkg::unpack(sandbox, &paths, &mut |line| self.output(line))?;
        self.root.remove_tree(HANDOVER.as_bytes())?;
        // Other packages may have lost files to them, or may have disappeared.
        let known: Vec<_> = self.claims.packages().map(|(name, count)| (name.to_owned(), count)).collect();
        let new = packages.iter().map(|deb| (deb.staged.control.database_name(), 0));
        new.chain(known).try_for_each(|(name, count)| self.claim_listed(&name, count))
    }

    /// Reads which paths a package has now from dpkg's database, if it has not `count` paths as before.
    fn claim_listed(&mut self, name: &str, count: usize) -> Result<(), Error> {
        let list = self.root.read(format!("var/lib/dpkg/info/{name}.list").as_bytes())?.unwrap_or_default();
        let paths = list.split(|&b| b == b'\n').filter(|path| !matches!(*path, b"" | b"/."));
        let paths: Vec<&[u8]> = paths.collect();
        if paths.len() == count {
            return Ok(());
        }
        self.claims.forget(name);
        let mut found = Vec::with_capacity(paths.len());
        for path in paths {
            let kind = self.root.metadata(path)?.map(|metadata| metadata.kind);
            found.push((path, kind == Some(Kind::Directory)));
        }
        self.claims.add(name, found);
        Ok(())
    }

    /// Runs a package's preinst. Returns `false` if it has none.
    fn preinst(&self, sandbox: &mut Sandbox, deb: &StagedDeb) -> Result<bool, Error> {
        let control = &deb.staged.control;
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
        (self.report)(Event::Preinst { package: control.package.clone() });
        preinst::run(sandbox, self.root, &preinst, &mut |line| self.output(line))?;
        Ok(true)
    }

    fn output(&self, line: &str) {
        report_line(self.report, line);
    }
}

/// Returns the version that dpkg reports of itself: the upstream part of its package's version, without what a derivative adds.
pub(crate) fn dpkg_version(plan: &Plan) -> String {
    let version = plan.packages().find(|(_, package)| package.name == "dpkg").map(|(_, package)| &package.version);
    let version = version.map_or("", String::as_str);
    version.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default().to_owned()
}
