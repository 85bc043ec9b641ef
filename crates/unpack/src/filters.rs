//! Paths that are left out of the tree (dpkg(1), `--path-exclude` and `--path-include`; dpkg `src/main/filters.c`).
//!
//! An excluded path is missing only in the tree: dpkg still lists it, still refuses to let another package own it, and still
//! activates the triggers on it.

use crate::entries::{Entry, EntryKind};
use crate::error::Error;
use rootstrap_debian::fnmatch::matches;
use rootstrap_rootfs::Root;

/// One `path-exclude` or `path-include`. In a list of filters, the last one that matches a path decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Whether matching paths are included, not excluded.
    pub include: bool,
    /// A shell pattern, which is matched against the whole path; `*` also matches slashes.
    pub pattern: Vec<u8>,
}

/// Reads the filters from the configuration of the target's own dpkg, in the order in which dpkg reads them.
///
/// # Errors
/// A configuration file cannot be read.
pub fn of_target(root: &Root) -> Result<Vec<Filter>, Error> {
    let mut filters = Vec::new();
    let fits = |name: &&Vec<u8>| name.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let names = root.list(b"etc/dpkg/dpkg.cfg.d")?;
    let parts = names.iter().filter(fits).map(|name| [b"etc/dpkg/dpkg.cfg.d/", name.as_slice()].concat());
    for path in parts.chain([b"etc/dpkg/dpkg.cfg".to_vec()]) {
        let text = root.read(&path)?.unwrap_or_default();
        filters.extend(text.split(|&b| b == b'\n').filter_map(parse));
    }
    Ok(filters)
}

/// Parses one line of dpkg.cfg(5): `OPTION=VALUE` or `OPTION VALUE`, with or without quotes around the value.
fn parse(line: &[u8]) -> Option<Filter> {
    let line = line.trim_ascii_end();
    let end = line.iter().position(|&b| !b.is_ascii_alphanumeric() && b != b'-')?;
    let (option, rest) = line.split_at_checked(end)?;
    let include = match option {
        b"path-include" => true,
        b"path-exclude" => false,
        _ => return None,
    };
    // dpkg skips the character that ends the option's name, whatever it is, and an equals sign after it.
    let rest = rest.get(1..)?;
    let value = rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii_start();
    let quoted = |quote: &[u8]| value.strip_prefix(quote)?.strip_suffix(quote);
    let pattern = quoted(b"\"").or_else(|| quoted(b"'")).unwrap_or(value);
    Some(Filter { include, pattern: pattern.to_vec() })
}

/// Whether the filters exclude an absolute path, whatever its type is.
#[must_use]
pub fn is_excluded(filters: &[Filter], path: &[u8]) -> bool {
    filters.iter().rfind(|filter| matches(&filter.pattern, path)).is_some_and(|last| !last.include)
}

/// Whether the filters leave `entry` out of the tree.
pub(crate) fn excludes_entry(filters: &[Filter], entry: &Entry) -> bool {
    // dpkg matches the root itself as the empty path. The root exists in any case.
    let path: &[u8] = if entry.path == b"/" { b"" } else { &entry.path };
    if !is_excluded(filters, path) {
        return false;
    }
    // A directory or link that may lead to an included path stays.
    let may_lead = matches!(entry.kind, EntryKind::Directory | EntryKind::Symlink(_));
    !(may_lead && filters.iter().any(|filter| filter.include && path.starts_with(literal_prefix(&filter.pattern))))
}

/// The text with which every matching path begins, without slashes at its end.
fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|b| b"*?[\\".contains(b)).unwrap_or(pattern.len());
    let mut prefix = pattern.get(..end).unwrap_or_default();
    while let Some(shorter) = prefix.strip_suffix(b"/") {
        prefix = shorter;
    }
    prefix
}
