//! What is not wanted of any package (dpkg(1), `--path-exclude` and `--path-include`; dpkg `src/main/filters.c`).
//!
//! An excluded path is left out of the tree alone: dpkg still lists it, guards it against other packages and tells
//! the triggers on it.

use crate::Error;
use crate::entries::{Entry, EntryKind};
use rootstrap_rootfs::Root;

/// One `path-exclude` or `path-include`. Of a list of them the last that matches a path decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Whether matching paths are wanted after all.
    pub include: bool,
    /// A pattern of the shell's kind, matched against the whole path; `*` stands for slashes too.
    pub pattern: Vec<u8>,
}

/// Those that the target's own dpkg is configured with, in the order in which it reads them.
///
/// # Errors
/// A file of the configuration cannot be read.
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

/// One line of dpkg.cfg(5): `OPTION=VALUE` or `OPTION VALUE`, the value perhaps in quotes.
fn parse(line: &[u8]) -> Option<Filter> {
    let line = line.trim_ascii_end();
    let end = line.iter().position(|&b| !b.is_ascii_alphanumeric() && b != b'-')?;
    let (option, rest) = line.split_at_checked(end)?;
    let include = match option {
        b"path-include" => true,
        b"path-exclude" => false,
        _ => return None,
    };
    // The character that ends the option's name, whichever it is, and an equals sign after it.
    let rest = rest.get(1..)?;
    let value = rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii_start();
    let quoted = |quote: &[u8]| value.strip_prefix(quote)?.strip_suffix(quote);
    let pattern = quoted(b"\"").or_else(|| quoted(b"'")).unwrap_or(value);
    Some(Filter { include, pattern: pattern.to_vec() })
}

/// Whether an absolute path is not wanted, whatever it is and leads to.
#[must_use]
pub fn unwanted(filters: &[Filter], path: &[u8]) -> bool {
    filters.iter().rfind(|filter| matches(&filter.pattern, path)).is_some_and(|last| !last.include)
}

/// Whether `entry` stays out of the tree.
pub(crate) fn exclude(filters: &[Filter], entry: &Entry) -> bool {
    // dpkg matches the root itself by an empty text, and it is there in any case.
    let path: &[u8] = if entry.path == b"/" { b"" } else { &entry.path };
    if !unwanted(filters, path) {
        return false;
    }
    // What could lead to something included stays.
    let leads = matches!(entry.kind, EntryKind::Directory | EntryKind::Symlink(_));
    !(leads && filters.iter().any(|filter| filter.include && path.starts_with(beginning(&filter.pattern))))
}

/// What every path that matches begins with.
fn beginning(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|b| b"*?[\\".contains(b)).unwrap_or(pattern.len());
    let mut beginning = pattern.get(..end).unwrap_or_default();
    while let Some(shorter) = beginning.strip_suffix(b"/") {
        beginning = shorter;
    }
    beginning
}

/// POSIX's `fnmatch` without any flag, in the locale C.UTF-8.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let characters = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| text.chars().collect::<Vec<char>>());
    let (pattern, text) = match (characters(pattern), characters(text)) {
        (Some(pattern), Some(text)) => (pattern, text),
        // Of another encoding: byte by byte.
        _ => (pattern.iter().copied().map(char::from).collect(), text.iter().copied().map(char::from).collect()),
    };
    let (mut rest, mut left) = (pattern.as_slice(), text.as_slice());
    // Where the last star was, and where in the text what follows it was tried.
    let mut star: Option<(&[char], &[char])> = None;
    loop {
        if let Some(('*', after)) = rest.split_first().map(|(first, after)| (*first, after)) {
            (rest, star) = (after, Some((after, left)));
            continue;
        }
        match (rest.is_empty(), left.split_first()) {
            (true, None) => return true,
            (false, Some((&character, others))) => {
                if let Some(after) = one(rest, character) {
                    (rest, left) = (after, others);
                    continue;
                }
            }
            _ => {}
        }
        // Let the last star stand for one character more.
        let Some((after, tried)) = star else { return false };
        let Some((_, others)) = tried.split_first() else { return false };
        (rest, left, star) = (after, others, Some((after, others)));
    }
}

/// The pattern after the element at its beginning, no star, if that stands for `character`.
fn one(pattern: &[char], character: char) -> Option<&[char]> {
    let (first, after) = pattern.split_first()?;
    match first {
        '?' => Some(after),
        '\\' => after.split_first().filter(|(escaped, _)| **escaped == character).map(|(_, after)| after),
        '[' => match bracket(after, character) {
            Some((fits, after)) => fits.then_some(after),
            // Never closed: an ordinary character.
            None => (character == '[').then_some(after),
        },
        first => (*first == character).then_some(after),
    }
}

/// What follows `[`: whether it stands for `character`, and the pattern after its end.
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

/// `:alpha:]` and what follows it.
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
    fn patterns() {
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
