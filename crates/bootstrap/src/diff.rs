//! `rootstrap diff`: how two roots differ, whatever form each of them has.

use crate::compare::{
    ComparedRoot, PathDifference, SettingDifference, Subject, Times, differences, open, pull, setting_differences,
};
use crate::error::Error;
use crate::event::Report;
use crate::outdated::{Update, updates};
use crate::request::{Machine, Push};
use crate::staging::hidden::HiddenDirectory;
use rootstrap_debian::version::Version;
use rootstrap_lock::{Change, Lock, Platform};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How two roots of one architecture differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootDifference {
    /// The architecture, where it is known.
    pub platform: Option<String>,
    /// What is wrong with the form of either one, one sentence each.
    pub findings: Vec<String>,
    /// The settings of containers that differ, sorted by name. Only images have some.
    pub settings: Vec<SettingDifference>,
    /// The packages that differ, sorted by name.
    pub packages: Vec<Update>,
    /// The paths that differ, sorted. Locks have none.
    pub paths: Vec<PathDifference>,
    /// How many bytes the files of each root have. For locks, this is an estimate.
    pub bytes: (u64, u64),
}

impl RootDifference {
    /// Whether there is no difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty() && self.settings.is_empty() && self.packages.is_empty() && self.paths.is_empty()
    }
}

/// Compares two locks, images, archives or directories, architecture by architecture. Of a lock and a root, only the packages are compared.
/// The times of files make no difference. An image in a registry is fetched as its [`Push`] says.
///
/// # Errors
/// One of them cannot be read, or one has a root of an unknown architecture and the other several.
pub fn diff(
    (first_path, first_registry): (&Path, &Push),
    (second, second_registry): (&Path, &Push),
    machine: &Machine,
    report: Report<'_>,
) -> Result<Vec<RootDifference>, Error> {
    let read = |path: &Path, registry: &Push| -> Result<Vec<Side>, Error> {
        if registry.names.is_empty() {
            return Ok(sides(open(path, &machine.cancel)?));
        }
        let place = HiddenDirectory::create(&machine.temporary, "diff".as_ref(), &machine.janitor)?;
        Ok(sides(open(&pull(path, registry, &place, machine, report)?, &machine.cancel)?))
    };
    let (first, other) = (read(first_path, first_registry)?, read(second, second_registry)?);
    let is_unclear = |one: &[Side], two: &[Side]| two.len() > 1 && one.iter().any(|side| side.platform.is_none());
    if is_unclear(&first, &other) || is_unclear(&other, &first) {
        let reason = "it has one root, and does not say of which architecture; the other one has several".to_owned();
        return Err(Error::NotComparable { path: first_path.to_owned(), reason });
    }
    // Where only one of them says which architecture it is, that is the one.
    let fits =
        |one: &Side, two: &Side| one.platform.is_none() || two.platform.is_none() || one.platform == two.platform;
    let mut found = Vec::new();
    for one in &first {
        found.push(match other.iter().find(|two| fits(one, two)) {
            Some(two) => one.compare(two),
            None => one.alone("only the first has this architecture", true),
        });
    }
    for two in other.iter().filter(|two| !first.iter().any(|one| fits(one, two))) {
        found.push(two.alone("only the second has this architecture", false));
    }
    Ok(found)
}

/// One of the two roots.
struct Side {
    platform: Option<String>,
    what: Content,
}

enum Content {
    Lock(Box<Platform>),
    Root(Box<ComparedRoot>),
}

fn sides(subject: Subject) -> Vec<Side> {
    match subject {
        Subject::Lock(lock) => {
            let Lock { platforms, .. } = *lock;
            let side = |platform: Platform| Side {
                platform: Some(container_name(&platform.architecture)),
                what: Content::Lock(Box::new(platform)),
            };
            platforms.into_iter().map(side).collect()
        }
        Subject::Roots(_, roots) => {
            let side =
                |root: ComparedRoot| Side { platform: root.platform.clone(), what: Content::Root(Box::new(root)) };
            roots.into_iter().map(side).collect()
        }
    }
}

/// Returns how images name a Debian architecture, with its variant after a slash; the architecture itself if they have no name for it.
pub(crate) fn container_name(architecture: &str) -> String {
    match rootstrap_image::oci::Platform::of_debian(architecture) {
        Some(platform) => {
            let variant = platform.variant.map(|variant| format!("/{variant}")).unwrap_or_default();
            format!("{}{variant}", platform.architecture)
        }
        None => architecture.to_owned(),
    }
}

impl Side {
    fn compare(&self, other: &Self) -> RootDifference {
        let platform = self.platform.clone().or_else(|| other.platform.clone());
        let bytes = (self.bytes(), other.bytes());
        match (&self.what, &other.what) {
            (Content::Lock(old), Content::Lock(new)) => {
                let packages = updates(old, new);
                RootDifference { platform, packages, bytes, ..RootDifference::default() }
            }
            (Content::Root(one), Content::Root(two)) => {
                let findings = one.findings.iter().chain(&two.findings).cloned().collect();
                let paths = differences(&one.inventory, &two.inventory, Times::Ignored);
                RootDifference {
                    platform,
                    findings,
                    settings: setting_differences(one, two),
                    packages: package_updates(&self.packages(), &other.packages()),
                    paths,
                    bytes,
                }
            }
            _ => {
                let packages = package_updates(&self.packages(), &other.packages());
                RootDifference { platform, packages, bytes, ..RootDifference::default() }
            }
        }
    }

    /// Returns what is to say of a root that only one of the two has.
    fn alone(&self, finding: &str, is_first: bool) -> RootDifference {
        RootDifference {
            platform: self.platform.clone(),
            findings: vec![finding.to_owned()],
            bytes: if is_first { (self.bytes(), 0) } else { (0, self.bytes()) },
            ..RootDifference::default()
        }
    }

    fn bytes(&self) -> u64 {
        match &self.what {
            Content::Lock(platform) => platform.packages.iter().map(|package| package.installed_size).sum(),
            Content::Root(root) => root.inventory.bytes(),
        }
    }

    /// Returns the versions of the packages, by name and architecture.
    fn packages(&self) -> BTreeMap<(String, String), String> {
        match &self.what {
            Content::Root(root) => root.inventory.packages(),
            Content::Lock(platform) => {
                let entry = |package: &rootstrap_lock::Package| {
                    ((package.name.clone(), package.architecture.clone()), package.version.clone())
                };
                platform.packages.iter().map(entry).collect()
            }
        }
    }
}

/// Returns the packages that differ, by name, with the architecture where one root has a name for several.
pub(crate) fn package_updates(
    old: &BTreeMap<(String, String), String>,
    new: &BTreeMap<(String, String), String>,
) -> Vec<Update> {
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (side, all) in [old, new].into_iter().enumerate() {
        for (name, _) in all.keys() {
            if let Some(count) = counts.entry(name).or_default().get_mut(side) {
                *count += 1;
            }
        }
    }
    let label = |(name, architecture): &(String, String)| match counts
        .get(name.as_str())
        .is_some_and(|counts| counts.iter().any(|count| *count > 1))
    {
        true => format!("{name}:{architecture}"),
        false => name.clone(),
    };
    let by_label = |all: &BTreeMap<(String, String), String>| -> BTreeMap<String, String> {
        all.iter().map(|(key, version)| (label(key), version.clone())).collect()
    };
    let (old, new) = (by_label(old), by_label(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let update = |name: &String| {
        let (old, new) = (old.get(name), new.get(name));
        let change = match (old, new) {
            (Some(_), None) => Change::Removed,
            (None, Some(_)) => Change::Added,
            (Some(old), Some(new)) => match Version::new(old).cmp(&Version::new(new)) {
                Ordering::Less => Change::Upgraded,
                Ordering::Greater => Change::Downgraded,
                Ordering::Equal => return None,
            },
            (None, None) => return None,
        };
        let (old, new) = (old.cloned(), new.cloned());
        Some(Update { name: name.clone(), change, old, new, pocket: None, security: false })
    };
    names.into_iter().filter_map(update).collect()
}
