//! Paths that are left out of the tree (dpkg(1), `--path-exclude` and `--path-include`; dpkg `src/main/filters.c`).
//!
//! An excluded path is missing only in the tree: dpkg still lists it, still refuses to let another package own it, and still
//! activates the triggers on it.

use crate::entries::{Entry, EntryKind};
use crate::error::Error;
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

/// Matches as POSIX's `fnmatch` does without flags in the locale C.UTF-8.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let characters = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| text.chars().collect::<Vec<char>>());
    let (pattern, text) = match (characters(pattern), characters(text)) {
        (Some(pattern), Some(text)) => (pattern, text),
        // The text has another encoding, so every byte counts as one character.
        _ => (pattern.iter().copied().map(char::from).collect(), text.iter().copied().map(char::from).collect()),
    };
    let (mut rest, mut left) = (pattern.as_slice(), text.as_slice());
    // The pattern after the last star, and the text at which that pattern was last tried.
    let mut star: Option<(&[char], &[char])> = None;
    loop {
        if let Some(('*', after)) = rest.split_first().map(|(first, after)| (*first, after)) {
            (rest, star) = (after, Some((after, left)));
            continue;
        }
        match (rest.is_empty(), left.split_first()) {
            (true, None) => return true,
            (false, Some((&character, others))) => {
                if let Some(after) = match_one(rest, character) {
                    (rest, left) = (after, others);
                    continue;
                }
            }
            _ => {}
        }
        // It does not match, so the last star takes one character more.
        let Some((after, tried)) = star else { return false };
        let Some((_, others)) = tried.split_first() else { return false };
        (rest, left, star) = (after, others, Some((after, others)));
    }
}

/// Matches the first element of the pattern, which is no star, with `character`. Returns the rest of the pattern if they match.
fn match_one(pattern: &[char], character: char) -> Option<&[char]> {
    let (first, after) = pattern.split_first()?;
    match first {
        '?' => Some(after),
        '\\' => after.split_first().filter(|(escaped, _)| **escaped == character).map(|(_, after)| after),
        '[' => match bracket(after, character) {
            Some((fits, after)) => fits.then_some(after),
            // A bracket that is never closed is an ordinary character.
            None => (character == '[').then_some(after),
        },
        first => (*first == character).then_some(after),
    }
}

/// Matches a bracket expression, whose `[` has been read. Returns whether it matches `character`, and the pattern after it;
/// `None` if it is never closed.
fn bracket(pattern: &[char], character: char) -> Option<(bool, &[char])> {
    let negated = matches!(pattern.first(), Some('!' | '^'));
    let mut rest = pattern.get(usize::from(negated)..)?;
    let (mut fits, mut begun) = (false, false);
    loop {
        let (&first, after) = rest.split_first()?;
        if first == ']' && begun {
            return Some((fits != negated, after));
        }
        begun = true;
        if first == '['
            && let Some((name, after)) = class(after)
        {
            fits |= is_of_class(&name, character);
            rest = after;
            continue;
        }
        let (low, after) = if first == '\\' { after.split_first().map(|(c, r)| (*c, r))? } else { (first, after) };
        rest = after;
        let mut high = low;
        if let Some(('-', end)) = after.split_first().map(|(c, r)| (*c, r))
            && let Some((&last, after)) = end.split_first()
            && last != ']'
        {
            (high, rest) = if last == '\\' { after.split_first().map(|(c, r)| (*c, r))? } else { (last, after) };
        }
        fits |= (low..=high).contains(&character);
    }
}

/// Reads `:alpha:]`. Returns the name of the class and the pattern after it.
fn class(pattern: &[char]) -> Option<(String, &[char])> {
    let inner = pattern.strip_prefix(&[':'])?;
    let end = inner.windows(2).position(|pair| pair == [':', ']'])?;
    let name: String = inner.get(..end)?.iter().collect();
    name.bytes().all(|b| b.is_ascii_lowercase()).then_some((name, inner.get(end + 2..)?))
}

fn is_of_class(name: &str, character: char) -> bool {
    match name {
        "alpha" => character.is_alphabetic(),
        "digit" => character.is_ascii_digit(),
        "alnum" => character.is_alphanumeric(),
        "upper" => character.is_uppercase(),
        "lower" => character.is_lowercase(),
        "space" => character.is_whitespace(),
        "blank" => matches!(character, ' ' | '\t'),
        "punct" => character.is_ascii_punctuation(),
        "cntrl" => character.is_control(),
        "xdigit" => character.is_ascii_hexdigit(),
        "graph" => !character.is_control() && !character.is_whitespace(),
        "print" => !character.is_control(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, fits, fits_not) in [
            (
                "/usr/share/doc/*",
                &["/usr/share/doc/a", "/usr/share/doc/a/b", "/usr/share/doc/"][..],
                &["/usr/share/doc"][..],
            ),
            ("*/copyright", &["/copyright", "/a/b/copyright"], &["copyright", "/copyright/x", "/xcopyright"]),
            ("/a?c", &["/abc", "/a/c", "/aéc"], &["/ac", "/abbc"]),
            ("/[a-c]*[!x]", &["/ab", "/c/y"], &["/a", "/d1", "/ax"]),
            ("/[]-]", &["/]", "/-"], &["/a"]),
            ("/[[:digit:]x]\\*", &["/1*", "/x*"], &["/1a", "/y*"]),
            ("/a[b", &["/a[b"], &["/ab"]),
            ("/a\\", &[], &["/a", "/a\\"]),
            ("*a*b*c", &["abc", "xaybzc", "aabbcc"], &["acb", "abcd"]),
            ("", &[""], &["/"]),
        ] {
            for text in fits {
                assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            }
            for text in fits_not {
                assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            }
        }
        assert!(matches(b"/\xe9?", b"/\xe9\xe8"));
    }
}
