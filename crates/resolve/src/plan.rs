//! The plan: which packages to install, where each comes from, and in which order. No later step chooses a package.

use crate::archive::{Archive, Id};
use crate::closure::{close, essential};
use crate::error::Error;
use crate::include::versions;
use crate::index::Index;
use crate::needs::Graph;
use crate::order::phases;
use crate::planned::Planned;
use crate::policy::Policy;
use crate::reason::reasons;
use crate::release_include;
use crate::request::{Request, Variant};
use crate::select::select;
use crate::without::Without;
use rootstrap_debian::packages::is_relative_path;
use rootstrap_debian::relation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// The number of the format. It changes when another version would read a saved plan wrongly.
const FORMAT: u32 = 1;

/// The packages of a root filesystem in the order of their installation.
///
/// A plan that was read back follows the same rules as a computed one: names, versions, paths and digests are checked, and
/// no package is in it twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct Plan {
    /// `required` first, then `predep-1`, `predep-2`, …, then `base`. `required` is always there, the others only if they
    /// have packages.
    pub phases: Vec<Phase>,
    /// The names, sorted, that packages of the plan depend on and that are left out on purpose. Only `distroless` has some.
    pub without: Vec<String>,
    /// The patterns among the includes that no package matches, for a warning.
    pub unmatched: Vec<String>,
    /// What the caller calls the pockets, in the order of their numbers, for whoever reads the plan.
    pub pockets: Vec<String>,
}

/// Packages that are unpacked together and configured before the next phase begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// The phase's name in logs and printed plans.
    pub name: String,
    /// The packages in the order in which they are unpacked.
    pub packages: Vec<Planned>,
}

/// Makes the plan for `request` on these indexes. The order of `indexes` counts only between equal versions.
///
/// # Errors
/// A name is unknown or virtual, the request cannot be met ([`Error::Unsatisfiable`] says why), or the index entry of a
/// chosen package is damaged. Damage in the entries of other packages is ignored. [`Error::Cancelled`] if `cancel` was set.
pub fn plan(indexes: &[Index<'_>], request: &Request, cancel: &AtomicBool) -> Result<Plan, Error> {
    match resolve(indexes, request, cancel) {
        // What was found out until then is not the whole truth.
        Err(_) if cancel.load(Ordering::Relaxed) => Err(Error::Cancelled),
        result => result,
    }
}

fn resolve(indexes: &[Index<'_>], request: &Request, cancel: &AtomicBool) -> Result<Plan, Error> {
    let mut versions = versions(request, indexes)?;
    let foreign = request.foreign.iter().map(String::as_str);
    let architectures: Vec<&str> = std::iter::once(request.architecture.as_str()).chain(foreign).collect();
    let (preferences, native) = (&request.preferences, request.architecture.as_str());
    let mut archive =
        Archive::new(indexes, architectures.clone(), &Policy::new(preferences, versions.clone(), native)?);
    if release_include::follow(&archive, indexes, request, &mut versions)? {
        archive = Archive::new(indexes, architectures, &Policy::new(preferences, versions, native)?);
    }
    let without = (request.variant == Variant::Distroless).then(|| Without::of(request)).transpose()?;
    let graph = Graph::new(archive, without, cancel);
    let archive = &graph.archive;
    let selection = select(archive, request)?;
    let set = close(&graph, &selection, request.recommends)?;
    let kept = essential(&graph, &selection, &set)?;
    let reasons = reasons(&graph, &selection, &set, request.recommends)?;
    let planned = |id: &Id| {
        let is_automatic = !selection.chosen.contains_key(id) && !kept.contains(id);
        planned(archive, *id, is_automatic, reasons.get(id).cloned().unwrap_or_default())
    };
    let phases = phases(&graph, request, &set)?.into_iter().map(|step| {
        let packages = step.ids.iter().map(planned).collect::<Result<Vec<Planned>, Error>>()?;
        Ok(Phase { name: step.name, packages })
    });
    let phases = phases.collect::<Result<Vec<Phase>, Error>>()?;
    let mut without = BTreeSet::new();
    for &id in &set {
        without.extend(graph.needs(id)?.without.iter().copied());
    }
    for &id in &set {
        without.remove(archive.name(id));
    }
    let without = without.into_iter().map(str::to_owned).collect();
    Ok(Plan { phases, without, unmatched: selection.unmatched, pockets: Vec::new() })
}

fn planned(archive: &Archive<'_>, id: Id, automatic: bool, why: String) -> Result<Planned, Error> {
    let (package, index) = (archive.package(id), archive.index(id));
    let (path, size, digest) = package.file().map_err(|error| {
        let field = match () {
            () if !is_relative_path(package.filename) => "Filename",
            () if package.size.parse::<u64>().is_err() => "Size",
            () => "SHA256",
        };
        Error::malformed(package, field, error)
    })?;
    let planned = Planned {
        name: package.name.to_owned(),
        version: package.version.to_owned(),
        architecture: package.architecture.to_owned(),
        size,
        // The index has KiB. This estimate is used for progress and warnings only, so text that is no number counts as 0.
        installed_size: package.installed_size.parse::<u64>().unwrap_or(0).saturating_mul(1024),
        pocket: index.pocket,
        component: index.component.to_owned(),
        path: path.to_owned(),
        digest,
        essential: package.is_essential(),
        automatic,
        multi_arch: package.multi_arch.to_owned(),
        priority: package.priority.to_owned(),
        section: package.section.to_owned(),
        source: package.source.to_owned(),
        why,
        choice: archive.choice(id).to_string(),
    };
    match planned.flaw() {
        None => Ok(planned),
        Some(field) => Err(Error::malformed(package, field, "not fit to be used")),
    }
}

impl Plan {
    /// Returns every package with the name of its phase, in order.
    pub fn packages(&self) -> impl Iterator<Item = (&str, &Planned)> {
        self.phases.iter().flat_map(|phase| phase.packages.iter().map(|package| (phase.name.as_str(), package)))
    }

    /// Returns one line per package in columns: phase, name, version, architecture, size in bytes, why it is this version, and from which
    /// pocket it comes.
    #[must_use]
    pub fn to_text(&self) -> String {
        let width = |of: fn(&(&str, &Planned)) -> usize| self.packages().map(|entry| of(&entry)).max().unwrap_or(0);
        let phase = width(|(phase, _)| phase.len());
        let name = width(|(_, package)| package.name.len());
        let version = width(|(_, package)| package.version.len());
        let architecture = width(|(_, package)| package.architecture.len());
        let choice = width(|(_, package)| package.choice.len());
        let mut text = String::new();
        for (step, p) in self.packages() {
            let line = format!(
                "{step:phase$}  {:name$}  {:version$}  {:architecture$}  {:>10}  {:choice$}  {}",
                p.name,
                p.version,
                p.architecture,
                p.size,
                p.choice,
                self.pockets.get(p.pocket).map_or("", String::as_str)
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Returns the plan as JSON: the same bytes for the same plan.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists can always be written as JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads the JSON that [`Plan::to_json`] wrote.
    ///
    /// # Errors
    /// [`Error::InvalidPlan`] for text that is no plan, or a plan that breaks the rules.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| Error::InvalidPlan { reason: error.to_string() })
    }

    /// Checks the rules that every plan follows, for a plan that was put together from elsewhere.
    ///
    /// # Errors
    /// [`Error::InvalidPlan`].
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |reason: String| Err(Error::InvalidPlan { reason });
        if let Some(name) = self.without.iter().find(|name| !relation::is_package_name(name)) {
            return invalid(format!("{name:?} is no package name"));
        }
        if self.phases.first().is_none_or(|phase| phase.name != "required") {
            return invalid("its first phase is not \"required\"".to_owned());
        }
        let (mut steps, mut names) = (BTreeSet::new(), BTreeSet::new());
        for phase in &self.phases {
            if !relation::is_package_name(&phase.name) || !steps.insert(&phase.name) {
                return invalid(format!("phase {:?} is misnamed or there twice", phase.name));
            }
            for package in &phase.packages {
                if let Some(field) = package.flaw() {
                    return invalid(format!("{field} of package {:?} is not fit to be used", package.name));
                }
                if !names.insert((&package.name, &package.architecture)) {
                    return invalid(format!("package {} is there twice", package.name));
                }
            }
        }
        Ok(())
    }
}

/// The outer form of a saved plan.
#[derive(Serialize, Deserialize)]
struct Saved {
    format: u32,
    phases: Vec<Phase>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    without: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unmatched: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pockets: Vec<String>,
}

impl From<Plan> for Saved {
    fn from(plan: Plan) -> Self {
        let Plan { phases, without, unmatched, pockets } = plan;
        Self { format: FORMAT, phases, without, unmatched, pockets }
    }
}

impl TryFrom<Saved> for Plan {
    type Error = Error;

    fn try_from(saved: Saved) -> Result<Self, Error> {
        if saved.format != FORMAT {
            let reason = format!("it has format {}, and only {FORMAT} is understood", saved.format);
            return Err(Error::InvalidPlan { reason });
        }
        let Saved { format: _, phases, without, unmatched, pockets } = saved;
        let plan = Self { phases, without, unmatched, pockets };
        plan.check()?;
        Ok(plan)
    }
}
