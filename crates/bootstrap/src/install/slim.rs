//! `--slim`: no documentation except licences, no manuals, no translations.
//!
//! The rules are those of Debian's slim images (debuerreotype, `scripts/.slimify-excludes` and `.slimify-includes`). They hold for every
//! package that this program or the target's dpkg unpacks; dpkg finds them in its configuration. At the end, what scripts wrote is
//! removed by the same rules.

use crate::error::{Error, go_on};
use crate::install::debs::StagedDeb;
use rootstrap_rootfs::{Attributes, Kind, Root, walk};
use rootstrap_suites::Suite;
use rootstrap_unpack::filters::{self, Filter, is_excluded};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

const EXCLUDED: [&str; 9] = [
    "/usr/share/doc/*",
    "/usr/share/doc/kde/HTML/*/*",
    "/usr/share/gnome/help/*/*",
    "/usr/share/info/*",
    "/usr/share/linda/*",
    "/usr/share/lintian/overrides/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/share/omf/*/*-*.emf",
];

/// Exceptions from the rules above: licences, and tables of locales that programs read.
const INCLUDED: [&str; 9] = [
    "/usr/share/doc/*/copyright",
    "/usr/share/doc/kde/HTML/C/*",
    "/usr/share/gnome/help/*/C/*",
    "/usr/share/locale/all_languages",
    "/usr/share/locale/currency/*",
    "/usr/share/locale/l10n/*",
    "/usr/share/locale/languages",
    "/usr/share/locale/locale.alias",
    "/usr/share/omf/*/*-C.emf",
];

/// Directories that stay but are empty. `update-alternatives` in the scripts of some packages makes links to manuals there and fails
/// where it cannot (debuerreotype issue 10).
const SECTIONS: &str = "/usr/share/man/man[0-9]";

/// The file from which the target's dpkg reads the rules, named as in the vendor's images.
const CONFIGURATION: &str = "etc/dpkg/dpkg.cfg.d/docker";

const HEADER: &str = "# Made with --slim: this keeps out of later installations what was left out of this one.\n";

fn filter(include: bool, pattern: &str) -> Filter {
    Filter { include, pattern: pattern.as_bytes().to_vec() }
}

fn rules() -> Vec<Filter> {
    let excluded = EXCLUDED.iter().map(|pattern| filter(false, pattern));
    excluded.chain(INCLUDED.iter().map(|pattern| filter(true, pattern))).collect()
}

fn configuration() -> String {
    let excluded = EXCLUDED.iter().map(|pattern| format!("path-exclude={pattern}\n"));
    let included = INCLUDED.iter().map(|pattern| format!("path-include={pattern}\n"));
    std::iter::once(HEADER.to_owned()).chain(excluded).chain(included).collect()
}

/// Returns the rules for packages that are unpacked before the target has a dpkg; none if the tree is not slim.
pub(crate) fn filters(slim: bool, suite: &Suite) -> Vec<Filter> {
    if !slim {
        return Vec::new();
    }
    rules().into_iter().chain(spared(slim, suite)).collect()
}

/// Returns the rules of the target's dpkg, as it is configured now.
pub(crate) fn filters_of_target(slim: bool, suite: &Suite, root: &Root) -> Result<Vec<Filter>, Error> {
    let mut filters = filters::of_target(root)?;
    filters.extend(spared(slim, suite));
    Ok(filters)
}

/// Returns exceptions for files that decide the apt sources. They stay until the sources are written.
fn spared(slim: bool, suite: &Suite) -> Vec<Filter> {
    let paths = suite.apt_source_documents().filter(|_| slim);
    paths.map(|path| filter(true, &format!("/{path}"))).collect()
}

/// Creates what has to exist before the scripts of the unpacked `packages` run: the rules in the configuration of dpkg, if the tree has
/// dpkg, and the directories of the manual's sections.
pub(crate) fn prepare(slim: bool, root: &Root, packages: &[StagedDeb], epoch: i64) -> Result<(), Error> {
    if !slim {
        return Ok(());
    }
    if root.open_directory(b"etc/dpkg/dpkg.cfg.d").is_ok() && root.metadata(CONFIGURATION.as_bytes())?.is_none() {
        root.write(CONFIGURATION.as_bytes(), configuration().as_bytes(), 0o644)?;
    }
    let entries = packages.iter().filter_map(|deb| deb.staged.entries.as_ref().ok()).flatten();
    let sections: BTreeSet<&[u8]> = entries.filter_map(|entry| section(&entry.path)).collect();
    for path in sections {
        root.create_directories(b"usr/share/man", 0o755)?;
        if root.metadata(path)?.is_none() {
            root.at(path)?.create_directory(Attributes { mode: 0o755, uid: 0, gid: 0, mtime: epoch })?;
        }
    }
    Ok(())
}

/// Returns the directory of the manual's section that `path` is or is in.
fn section(path: &[u8]) -> Option<&[u8]> {
    let start = SECTIONS.strip_suffix("[0-9]")?.as_bytes();
    match path.strip_prefix(start)? {
        [digit, rest @ ..] if digit.is_ascii_digit() && (rest.is_empty() || rest.starts_with(b"/")) => {
            path.get(..=start.len())
        }
        _ => None,
    }
}

/// Returns the directories that contain excluded files.
fn areas() -> impl Iterator<Item = &'static str> {
    EXCLUDED.iter().filter_map(|pattern| Some(pattern.split_once('*')?.0.trim_end_matches('/')))
}

/// Removes what scripts wrote against the rules: files first, then empty directories and dangling links until none is left.
///
/// # Errors
/// The tree cannot be read or changed, or `cancel` was set.
pub(crate) fn sweep(root: &Root, cancel: &AtomicBool) -> Result<(), Error> {
    let mut rules = rules();
    rules.push(filter(true, SECTIONS));
    loop {
        let mut removed = false;
        for area in areas() {
            if root.metadata(area.as_bytes())?.is_none_or(|found| found.kind != Kind::Directory) {
                continue;
            }
            let mut found = Vec::new();
            let top = root.below(area.as_bytes())?;
            walk::<Error>(&top, &mut |visit| {
                go_on(cancel)?;
                let path = [area.as_bytes(), b"/", visit.path].concat();
                if visit.path.is_empty() || !is_excluded(&rules, &path) {
                    return Ok(true);
                }
                let goes = match visit.metadata.kind {
                    Kind::Directory => top.list(visit.path)?.is_empty(),
                    Kind::Symlink => !root.leads_somewhere(&path)?,
                    _ => true,
                };
                if goes {
                    found.push(path);
                }
                Ok(true)
            })?;
            removed |= !found.is_empty();
            for path in found {
                go_on(cancel)?;
                root.remove_tree(&path)?;
            }
        }
        if !removed {
            return Ok(());
        }
    }
}

/// Returns the rules as an expression of find(1). It is true for the paths that [`sweep`] removes where they are files, empty directories
/// or dangling links.
pub(crate) fn find_expression() -> String {
    let names = |patterns: &[&str]| {
        let words: Vec<String> = patterns.iter().map(|pattern| format!("-path '{pattern}'")).collect();
        words.join(" -o ")
    };
    let kept = [&INCLUDED[..], &[SECTIONS]].concat();
    format!(r"\( {} \) ! \( {} \)", names(&EXCLUDED), names(&kept))
}

#[cfg(test)]
#[path = "slim_tests.rs"]
mod tests;
