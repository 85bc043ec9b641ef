//! The plan: which packages, where each comes from, in which order. After it, nothing decides.

use crate::closure::{close, essential};
use crate::index::{Archive, Id, Index};
use crate::order::phases;
use crate::select::{pins, select};
use crate::without::Without;
use crate::{Error, Request, Variant};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::is_relative_path;
use rootstrap_debian::{arch, relation};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Changes whenever a saved plan would be read wrongly by another version.
const FORMAT: u32 = 1;

/// The packages of a root filesystem in the order of their installation.
///
/// A plan read back satisfies the same rules as a computed one: names, versions, paths and digests are checked, and no
/// package is there twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct Plan {
    /// `required` first, then `predep-1`, `predep-2`, …, then `base`. `required` is always there; of the others, only
    /// those that have packages.
    pub phases: Vec<Phase>,
    /// What packages of the plan depend on and is not there, by intent, sorted: `distroless` alone has some.
    pub without: Vec<String>,
}

/// Packages unpacked together and configured before the next phase begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// What it is called in logs and printed plans.
    pub name: String,
    /// In the order in which they are unpacked.
    pub packages: Vec<Planned>,
}

/// One package of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// Its version, with the epoch.
    pub version: String,
    /// The architecture or `all`.
    pub architecture: String,
    /// Length of the .deb in bytes.
    pub size: u64,
    /// Bytes it takes once installed, as its maintainer estimated; 0 if not stated.
    pub installed_size: u64,
    /// Which of the caller's pockets to fetch it from.
    pub pocket: usize,
    /// The component of its index.
    pub component: String,
    /// Where the .deb is, below the mirror's address.
    pub path: String,
    /// What the .deb must hash to.
    #[serde(serialize_with = "digest_to_hex", deserialize_with = "digest_from_hex")]
    pub digest: Digest,
    /// Whether it is `Essential: yes`.
    pub essential: bool,
    /// Whether only a dependency brought it in (what `apt-mark showauto` would list). What essential packages need is
    /// not: apt never removes it.
    pub automatic: bool,
    /// The index's `Multi-Arch`.
    pub multi_arch: String,
    /// The index's `Priority`: archives override what the package itself says.
    pub priority: String,
    /// The index's `Section`, likewise.
    pub section: String,
    /// The index's `Source`; empty where it is the package's own name.
    pub source: String,
}

/// Decides what `request` means on these indexes. The order of `indexes` counts only between equal versions.
///
/// # Errors
/// Names that are unknown or virtual, requests that cannot be met ([`Error::Unsatisfiable`] says why), and chosen
/// packages whose index entry is damaged. Damage in entries that are not chosen goes unnoticed.
pub fn plan(indexes: &[Index<'_>], request: &Request) -> Result<Plan, Error> {
    let pins = pins(request, indexes)?;
    let foreign = request.foreign.iter().map(String::as_str);
    let architectures = std::iter::once(request.architecture.as_str()).chain(foreign).collect();
    let mut archive = Archive::new(indexes, architectures, &pins);
    if request.variant == Variant::Distroless {
        archive = archive.without(Without::of(request)?);
    }
    let selection = select(&archive, request)?;
    let set = close(&archive, &selection, request.recommends)?;
    let kept = essential(&archive, &selection, &set)?;
    let planned = |id: &Id| planned(&archive, *id, !selection.chosen.contains_key(id) && !kept.contains(id));
    let phases = phases(&archive, request, &set)?.into_iter().map(|step| {
        let packages = step.ids.iter().map(planned).collect::<Result<Vec<Planned>, Error>>()?;
        Ok(Phase { name: step.name, packages })
    });
    let phases = phases.collect::<Result<Vec<Phase>, Error>>()?;
    let mut without = BTreeSet::new();
    for &id in &set {
        without.extend(archive.needs(id)?.without.iter().copied());
    }
    for &id in &set {
        without.remove(archive.name(id));
    }
    Ok(Plan { phases, without: without.into_iter().map(str::to_owned).collect() })
}

fn planned(archive: &Archive<'_>, id: Id, automatic: bool) -> Result<Planned, Error> {
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
        // In KiB there. An estimate for progress and warnings, so nonsense is as good as none.
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
    };
    match planned.flaw() {
        None => Ok(planned),
        Some(field) => Err(Error::malformed(package, field, "not fit to be used")),
    }
}

impl Planned {
    /// The first field that must not be trusted: names, versions and architectures end up in file names, paths in
    /// addresses, and everything in one line of text.
    fn flaw(&self) -> Option<&'static str> {
        let version = |c: char| c.is_ascii_alphanumeric() || ".+-~:_".contains(c);
        [
            ("Package", relation::is_package_name(&self.name)),
            (
                "Version",
                self.version.starts_with(|c: char| c.is_ascii_alphanumeric()) && self.version.chars().all(version),
            ),
            ("Architecture", arch::is_valid(&self.architecture)),
            ("Filename", is_relative_path(&self.path) && !self.path.contains(|c: char| c.is_control() || c == ' ')),
            ("Component", !self.component.contains(char::is_control)),
            ("Multi-Arch", !self.multi_arch.contains(char::is_control)),
            ("Priority", !self.priority.contains(char::is_control)),
            ("Section", !self.section.contains(char::is_control)),
            ("Source", !self.source.contains(char::is_control)),
        ]
        .into_iter()
        .find_map(|(field, good)| (!good).then_some(field))
    }
}

impl Plan {
    /// Every package with the name of its phase, in order.
    pub fn packages(&self) -> impl Iterator<Item = (&str, &Planned)> {
        self.phases.iter().flat_map(|phase| phase.packages.iter().map(|package| (phase.name.as_str(), package)))
    }

    /// One line per package: phase, name, version, architecture and size in bytes, in columns.
    #[must_use]
    pub fn to_text(&self) -> String {
        let width = |of: fn(&(&str, &Planned)) -> usize| self.packages().map(|entry| of(&entry)).max().unwrap_or(0);
        let phase = width(|(phase, _)| phase.len());
        let name = width(|(_, package)| package.name.len());
        let version = width(|(_, package)| package.version.len());
        let architecture = width(|(_, package)| package.architecture.len());
        let mut text = String::new();
        for (step, p) in self.packages() {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{step:phase$}  {:name$}  {:version$}  {:architecture$}  {:>10}",
                p.name, p.version, p.architecture, p.size
            );
        }
        text
    }

    /// The plan as JSON, the same bytes for the same plan.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads what [`Plan::to_json`] wrote.
    ///
    /// # Errors
    /// [`Error::InvalidPlan`] for anything that is not a plan or breaks the rules of one.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| Error::InvalidPlan { reason: error.to_string() })
    }

    fn check(&self) -> Result<(), Error> {
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
}

impl From<Plan> for Saved {
    fn from(plan: Plan) -> Self {
        Self { format: FORMAT, phases: plan.phases, without: plan.without }
    }
}

impl TryFrom<Saved> for Plan {
    type Error = Error;

    fn try_from(saved: Saved) -> Result<Self, Error> {
        if saved.format != FORMAT {
            let reason = format!("it has format {}, and only {FORMAT} is understood", saved.format);
            return Err(Error::InvalidPlan { reason });
        }
        let plan = Self { phases: saved.phases, without: saved.without };
        plan.check()?;
        Ok(plan)
    }
}

fn digest_to_hex<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

fn digest_from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let text = String::deserialize(deserializer)?;
    Digest::parse(&text).map_err(serde::de::Error::custom)
}
