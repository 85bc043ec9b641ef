//! The stanzas of `Packages` indexes.

use crate::digest::Digest;
use crate::error::ParseError;
use crate::version::Version;

/// One stanza of a `Packages` index. Absent fields are empty.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "each field is the index field of the same name")]
pub struct Package<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub architecture: &'a str,
    pub multi_arch: &'a str,
    pub essential: &'a str,
    pub priority: &'a str,
    pub section: &'a str,
    /// The tasks that it belongs to, separated by commas.
    pub task: &'a str,
    pub source: &'a str,
    pub depends: &'a str,
    pub pre_depends: &'a str,
    pub recommends: &'a str,
    pub suggests: &'a str,
    pub enhances: &'a str,
    pub provides: &'a str,
    pub conflicts: &'a str,
    pub breaks: &'a str,
    pub replaces: &'a str,
    pub filename: &'a str,
    pub size: &'a str,
    pub installed_size: &'a str,
    pub sha256: &'a str,
    pub sha512: &'a str,
    pub maintainer: &'a str,
    pub original_maintainer: &'a str,
    pub homepage: &'a str,
    /// Only the first line of the field.
    pub description: &'a str,
}

impl<'a> Package<'a> {
    /// The version, ready to compare.
    #[must_use]
    pub fn version(&self) -> Version<'a> {
        Version::new(self.version)
    }

    /// Whether the package is `Essential: yes`.
    #[must_use]
    pub fn is_essential(&self) -> bool {
        self.essential == "yes"
    }

    /// The path of the .deb below the mirror, its length in bytes and its digest.
    ///
    /// # Errors
    /// A missing field, a path that leaves the mirror, or no digest of SHA256 or better.
    pub fn file(&self) -> Result<(&'a str, u64, Digest), ParseError> {
        let bad = |why: &str| ParseError::new("Packages stanza", format!("{} {}: {why}", self.name, self.version));
        if !is_relative_path(self.filename) {
            return Err(bad("Filename does not stay below the mirror"));
        }
        let size = self.size.parse().map_err(|_| bad("Size is no number"))?;
        let digest = if self.sha256.is_empty() { self.sha512 } else { self.sha256 };
        let digest = Digest::parse(digest).map_err(|_| bad("it has no SHA256 or SHA512"))?;
        Ok((self.filename, size, digest))
    }
}

/// Whether `path` is relative and has no component that leads upwards.
#[must_use]
pub fn is_relative_path(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        || path.strip_prefix("./").is_some_and(|rest| !rest.starts_with("./") && is_relative_path(rest))
}

/// Parses a whole index. A stanza without `Package` is dropped, because nothing can refer to it.
#[must_use]
pub fn parse(text: &str) -> Vec<Package<'_>> {
    let mut packages = Vec::new();
    each(text, |package| packages.push(*package));
    packages
}

/// Hands each stanza of `text` to `take` as soon as it is read.
pub(crate) fn each<'a>(text: &'a str, mut take: impl FnMut(&Package<'a>)) {
    let mut finish = |package: &mut Package<'a>| {
        package.description = package.description.lines().next().unwrap_or_default().trim_end();
        if !package.name.is_empty() {
            take(package);
        }
        *package = Package::default();
    };
    let bytes = text.as_bytes();
    let mut package = Package::default();
    let mut position = 0;
    while position < bytes.len() {
        let end = field_end(bytes, position);
        let line = text.get(position..end).unwrap_or_default();
        position = end + 1;
        if line.trim().is_empty() {
            finish(&mut package);
        } else if let Some(colon) = memchr::memchr(b':', line.as_bytes())
            && let Some((name, value)) = line.split_at_checked(colon)
            && let Some(slot) = slot(&mut package, name)
        {
            *slot = value.strip_prefix(':').unwrap_or_default().trim();
        }
    }
    finish(&mut package);
}

/// Returns name and version of the source package from which the package `name` of this version was built.
///
/// `field` is the `Source` field: empty, `NAME` or `NAME (VERSION)` (Debian policy §5.6.1).
#[must_use]
pub fn source<'a>(field: &'a str, name: &'a str, version: &'a str) -> (&'a str, &'a str) {
    let (source, rest) = field.trim().split_once('(').unwrap_or((field.trim(), ""));
    let own = rest.split(')').next().unwrap_or_default().trim();
    let source = source.trim();
    (if source.is_empty() { name } else { source }, if own.is_empty() { version } else { own })
}

/// Returns the end of the field that begins at `start`: the newline that no continuation line follows.
fn field_end(bytes: &[u8], start: usize) -> usize {
    let mut from = start;
    loop {
        let newline = memchr::memchr(b'\n', bytes.get(from..).unwrap_or_default()).map_or(bytes.len(), |at| from + at);
        // An empty line ends the stanza whatever follows it.
        if newline == start || !matches!(bytes.get(newline + 1), Some(b' ' | b'\t')) {
            return newline;
        }
        from = newline + 1;
    }
}

/// Returns the place for the value of the field `name`. Length and first letter decide for nearly every field; the full
/// comparison at the end makes it exact.
fn slot<'p, 'a>(p: &'p mut Package<'a>, name: &str) -> Option<&'p mut &'a str> {
    let first = name.as_bytes().first()?.to_ascii_lowercase();
    let (wanted, slot) = match (name.len(), first) {
        (7, b'p') => ("Package", &mut p.name),
        (7, b'v') => ("Version", &mut p.version),
        (12, b'a') => ("Architecture", &mut p.architecture),
        (10, b'm') if name.eq_ignore_ascii_case("Multi-Arch") => ("Multi-Arch", &mut p.multi_arch),
        (10, b'm') => ("Maintainer", &mut p.maintainer),
        (19, b'o') => ("Original-Maintainer", &mut p.original_maintainer),
        (9, b'e') => ("Essential", &mut p.essential),
        (8, b'p') if name.eq_ignore_ascii_case("Priority") => ("Priority", &mut p.priority),
        (8, b'p') => ("Provides", &mut p.provides),
        (7, b's') => ("Section", &mut p.section),
        (6, b's') if name.eq_ignore_ascii_case("Source") => ("Source", &mut p.source),
        (6, b's') if name.eq_ignore_ascii_case("SHA256") => ("SHA256", &mut p.sha256),
        (6, b's') => ("SHA512", &mut p.sha512),
        (7, b'd') => ("Depends", &mut p.depends),
        (8, b'h') => ("Homepage", &mut p.homepage),
        (11, b'd') => ("Description", &mut p.description),
        (11, b'p') => ("Pre-Depends", &mut p.pre_depends),
        (10, b'r') => ("Recommends", &mut p.recommends),
        (8, b's') => ("Suggests", &mut p.suggests),
        (8, b'e') => ("Enhances", &mut p.enhances),
        (9, b'c') => ("Conflicts", &mut p.conflicts),
        (6, b'b') => ("Breaks", &mut p.breaks),
        (8, b'r') => ("Replaces", &mut p.replaces),
        (8, b'f') => ("Filename", &mut p.filename),
        (4, b's') => ("Size", &mut p.size),
        (4, b't') => ("Task", &mut p.task),
        (14, b'i') => ("Installed-Size", &mut p.installed_size),
        _ => return None,
    };
    name.eq_ignore_ascii_case(wanted).then_some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_and_continuations() {
        let text = "Package: a\nVersion: 1\nMaintainer: M\nDescription: x \n Package: not\nDepends: b,\n c\nPriority: required\n\
                    Suggests: s\nEnhances: e\nFilename: pool/a.deb\nSize: 10\nSHA256: "
            .to_owned()
            + &"0a".repeat(32)
            + "\n\n\nPackage: b\nversion: 2\nProvides: v\nessential: yes";
        let packages = parse(&text);
        assert_eq!(packages.len(), 2);
        let (a, b) = (packages[0], packages[1]);
        assert_eq!((a.name, a.version, a.depends, a.priority), ("a", "1", "b,\n c", "required"));
        assert_eq!((a.suggests, a.enhances), ("s", "e"));
        assert_eq!((a.maintainer, a.multi_arch, a.description), ("M", "", "x"));
        assert_eq!(a.file().unwrap().1, 10);
        assert_eq!((b.version, b.provides, b.priority, b.is_essential()), ("2", "v", "", true));
        assert!(b.file().is_err());
    }

    #[test]
    fn sources_have_a_name_and_a_version() {
        for (field, expect) in [
            ("", ("libc6", "2.41-12+b1")),
            ("glibc", ("glibc", "2.41-12+b1")),
            ("glibc (2.41-12)", ("glibc", "2.41-12")),
            (" glibc  ( 1:2 ) ", ("glibc", "1:2")),
            ("glibc ()", ("glibc", "2.41-12+b1")),
            ("(2)", ("libc6", "2")),
            ("glibc (2", ("glibc", "2")),
        ] {
            assert_eq!(source(field, "libc6", "2.41-12+b1"), expect, "{field:?}");
        }
    }

    #[test]
    fn file_names_stay_below_the_mirror() {
        for bad in ["", "/etc/passwd", "../x", "pool/../../x", "a//b", "././a", "./"] {
            assert!(!is_relative_path(bad), "{bad:?}");
        }
        for good in ["pool/a.deb", "./pool/a.deb", "a..b/c"] {
            assert!(is_relative_path(good), "{good:?}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in
            ["", "\n", "\n ", "Package", "Package:", ":", " x\n y", "Package: a\n\n \nVersion: 1", "é: é\nPackage: é"]
        {
            let _ = parse(text);
        }
    }
}
