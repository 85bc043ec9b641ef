//! `--slim`: no documentation but licences, no manuals, no translations.
//!
//! The rules are those of Debian's slim images (debuerreotype, `scripts/.slimify-excludes` and `.slimify-includes`).
//! They hold for every package that is unpacked, by us or by the target's dpkg, which finds them in its configuration;
//! what scripts write is removed by them at the end.

use crate::bodies::Body;
use crate::suite::Suite;
use crate::{Error, Request, sources};
use rootstrap_rootfs::{Attributes, Kind, Root, walk};
use rootstrap_unpack::filters::{self, Filter, unwanted};
use std::collections::BTreeSet;

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

/// What of that is wanted after all: licences, and tables of locales that programs read.
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

/// Directories that stay, empty: `update-alternatives` in the scripts of some packages makes links to manuals there
/// and fails where it cannot (debuerreotype issue 10).
const SECTIONS: &str = "/usr/share/man/man[0-9]";

/// Where the target's dpkg has the rules from, named as in the vendor's images.
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

/// What is not wanted of packages that are unpacked before the target has a dpkg to be asked; nothing if this is not
/// slim.
pub(crate) fn filters(request: &Request, suite: &Suite) -> Vec<Filter> {
    if !request.slim {
        return Vec::new();
    }
    rules().into_iter().chain(spared(request, suite)).collect()
}

/// What is not wanted according to the target's dpkg, as it is configured now.
pub(crate) fn filters_of_target(request: &Request, suite: &Suite, root: &Root) -> Result<Vec<Filter>, Error> {
    let mut filters = filters::of_target(root)?;
    filters.extend(spared(request, suite));
    Ok(filters)
}

/// What stays until the apt sources are written, which depend on it.
fn spared(request: &Request, suite: &Suite) -> Vec<Filter> {
    let paths = sources::looked_at(suite).into_iter().filter(|_| request.slim);
    paths.map(|path| filter(true, &format!("/{path}"))).collect()
}

/// What has to be there before the scripts of `packages` run, whose files are: the rules where dpkg looks for them, if
/// the tree has one, and the sections of the manual.
pub(crate) fn prepare(request: &Request, root: &Root, packages: &[Body], epoch: i64) -> Result<(), Error> {
    if !request.slim {
        return Ok(());
    }
    if root.open_directory(b"etc/dpkg/dpkg.cfg.d").is_ok() && root.metadata(CONFIGURATION.as_bytes())?.is_none() {
        root.write(CONFIGURATION.as_bytes(), configuration().as_bytes(), 0o644)?;
    }
    let entries = packages.iter().filter_map(|body| body.staged.entries.as_ref().ok()).flatten();
    let sections: BTreeSet<&[u8]> = entries.filter_map(|entry| section(&entry.path)).collect();
    for path in sections {
        root.create_directories(b"usr/share/man", 0o755)?;
        if root.metadata(path)?.is_none() {
            root.at(path)?.create_directory(Attributes { mode: 0o755, uid: 0, gid: 0, mtime: epoch })?;
        }
    }
    Ok(())
}

/// The section of the manual, as a directory, that `path` is or is in.
fn section(path: &[u8]) -> Option<&[u8]> {
    let start = SECTIONS.strip_suffix("[0-9]")?.as_bytes();
    match path.strip_prefix(start)? {
        [digit, rest @ ..] if digit.is_ascii_digit() && (rest.is_empty() || rest.starts_with(b"/")) => {
            path.get(..=start.len())
        }
        _ => None,
    }
}

/// The directories that have something excluded in them.
fn areas() -> impl Iterator<Item = &'static str> {
    EXCLUDED.iter().filter_map(|pattern| Some(pattern.split_once('*')?.0.trim_end_matches('/')))
}

/// Removes what scripts left where nothing is wanted: files first, then, as long as there are any, empty directories and
/// links that lead nowhere.
pub(crate) fn sweep(root: &Root) -> Result<(), Error> {
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
                let path = [area.as_bytes(), b"/", visit.path].concat();
                if visit.path.is_empty() || !unwanted(&rules, &path) {
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
                root.remove_tree(&path)?;
            }
        }
        if !removed {
            return Ok(());
        }
    }
}

/// The rules as words of find(1): true for what [`sweep`] removes if it is a file, an empty directory or a link that
/// leads nowhere.
pub(crate) fn words() -> String {
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
