//! apt's sources: where packages come from (sources.list(5); apt `apt-pkg/deb/debmetaindex.cc`), in one line or in deb822 stanzas.

use crate::arch;
use crate::control::{self, Stanza};
use crate::error::ParseError;
use crate::package::is_relative_path;

/// An entry of apt's sources: one or several archives that are read alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Whether it has packages to install (`deb`).
    pub binary: bool,
    /// Whether it has source packages (`deb-src`).
    pub source: bool,
    /// Base URIs.
    pub uris: Vec<String>,
    /// The paths below `dists/`; or, with a slash at the end, the path of a flat repository below the base URI.
    pub suites: Vec<String>,
    /// The components; none for a flat repository.
    pub components: Vec<String>,
    /// The only architectures to read; all of the root if empty.
    pub architectures: Vec<String>,
    /// The files of the keys that may sign it, as they are written there.
    pub signed_by: Vec<String>,
    /// The armored keys that may sign it, if they are in the entry itself.
    pub key: Option<String>,
    /// `trusted`: whether packages are taken without a signature, if the entry says so.
    pub trusted: Option<bool>,
    /// `check-valid-until`: whether the Release file may not have expired. It may not by default.
    pub check_valid_until: Option<bool>,
}

/// The options of a line, and the fields of a stanza for them, that change nothing of what packages are chosen from which Release file.
const WITHOUT_EFFECT: [&str; 6] = ["lang", "languages", "target", "targets", "pdiffs", "by-hash"];

fn bad(reason: impl Into<String>) -> ParseError {
    ParseError::new("source of apt", reason)
}

/// Returns the directory of a suite below the base URI, without a slash at its end: `dists/SUITE`, or that of a flat repository, which
/// may be empty.
#[must_use]
pub fn suite_directory(suite: &str) -> String {
    match suite.strip_suffix('/') {
        None => format!("dists/{suite}"),
        Some(flat) => {
            let parts = flat.split('/').filter(|part| !part.is_empty() && *part != ".");
            parts.collect::<Vec<_>>().join("/")
        }
    }
}

/// Returns the path of a file in the directory of a suite, below the base URI.
#[must_use]
pub fn path_in_suite(suite: &str, file: &str) -> String {
    match suite_directory(suite).as_str() {
        "" => file.to_owned(),
        directory => format!("{directory}/{file}"),
    }
}

/// Parses a file of sources: stanzas if it has a field `Types`, and lines otherwise. Entries that are not enabled are left out.
///
/// # Errors
/// The first entry that is malformed or that asks for what is not supported.
pub fn parse(text: &str) -> Result<Vec<Source>, ParseError> {
    let is_types = |line: &str| line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case("types"));
    if !text.lines().any(is_types) {
        return text.lines().filter_map(|line| parse_line(line).transpose()).collect();
    }
    let text = control::without_comments(text);
    control::parse_all(&text)?.iter().filter_map(|stanza| parse_stanza(stanza).transpose()).collect()
}

/// Parses `deb [option=value ...] URI SUITE COMPONENT...`; `None` for a comment or an empty line.
///
/// # Errors
/// As for [`parse`].
pub fn parse_line(line: &str) -> Result<Option<Source>, ParseError> {
    let line = line.split('#').next().unwrap_or_default().trim();
    if line.is_empty() {
        return Ok(None);
    }
    let (kind, mut rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let mut source = Source { binary: kind == "deb", source: kind == "deb-src", ..Source::default() };
    if !source.binary && !source.source {
        return Err(bad(format!("{line:?} does not begin with deb or deb-src")));
    }
    if let Some(after) = rest.trim_start().strip_prefix('[') {
        let (options, after) = after.split_once(']').ok_or_else(|| bad("its options have no closing bracket"))?;
        for option in options.split_whitespace() {
            let (name, value) = option.split_once('=').ok_or_else(|| bad(format!("{option:?} is no option=value")))?;
            let values: Vec<&str> = value.split(',').filter(|value| !value.is_empty()).collect();
            set(&mut source, name, &values)?;
        }
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    source.uris.extend(words.next());
    source.suites.extend(words.next());
    source.components.extend(words);
    check(source).map(Some)
}

/// Parses a stanza; `None` if it is not enabled.
///
/// # Errors
/// As for [`parse`].
pub fn parse_stanza(stanza: &Stanza<'_>) -> Result<Option<Source>, ParseError> {
    let words = |field| stanza.get(field).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    if words("Enabled").iter().any(|word| flag(word) == Some(false)) {
        return Ok(None);
    }
    let types = words("Types");
    if let Some(other) = types.iter().find(|kind| !["deb", "deb-src"].contains(&kind.as_str())) {
        return Err(bad(format!("the type {other:?} is neither deb nor deb-src")));
    }
    let has = |kind: &str| types.iter().any(|word| word == kind);
    let mut source = Source {
        binary: has("deb"),
        source: has("deb-src"),
        uris: words("URIs"),
        suites: words("Suites"),
        components: words("Components"),
        ..Source::default()
    };
    for (name, value) in stanza.fields() {
        let lower = name.to_ascii_lowercase();
        let is_read = ["types", "uris", "suites", "components", "enabled", "description"].contains(&lower.as_str());
        if is_read || lower.starts_with("x-") {
            continue;
        }
        if lower == "signed-by" && value.contains("-----BEGIN") {
            source.key = Some(inline_key(value));
            continue;
        }
        let option = if lower == "architectures" { "arch" } else { &lower };
        set(&mut source, option, &value.split_whitespace().collect::<Vec<_>>())?;
    }
    check(source).map(Some)
}

impl Source {
    /// Returns the entry as a stanza. `signed_by` takes the place of its keys: the path of a file, or armored keys.
    #[must_use]
    pub fn to_stanza(&self, signed_by: Option<&str>) -> String {
        let types = [(self.binary, "deb"), (self.source, "deb-src")];
        let types: Vec<&str> = types.into_iter().filter_map(|(is_wanted, name)| is_wanted.then_some(name)).collect();
        let inline = |key: &str| {
            let lines = key.lines().map(|line| if line.is_empty() { "\n .".to_owned() } else { format!("\n {line}") });
            lines.collect::<String>()
        };
        let signed_by = signed_by.map(|by| if by.contains("-----BEGIN") { inline(by) } else { format!(" {by}") });
        let mut text = String::new();
        for (field, value) in [
            ("Types", Some(format!(" {}", types.join(" ")))),
            ("URIs", Some(format!(" {}", self.uris.join(" ")))),
            ("Suites", Some(format!(" {}", self.suites.join(" ")))),
            ("Components", (!self.components.is_empty()).then(|| format!(" {}", self.components.join(" ")))),
            ("Architectures", (!self.architectures.is_empty()).then(|| format!(" {}", self.architectures.join(" ")))),
            ("Check-Valid-Until", self.check_valid_until.map(|is_checked| format!(" {}", word(is_checked)))),
            ("Signed-By", signed_by),
        ] {
            if let Some(value) = value {
                text += &format!("{field}:{value}\n");
            }
        }
        text
    }

    /// Returns the entry in lines. `signed_by` takes the place of its keys: the path of a file.
    #[must_use]
    pub fn to_lines(&self, signed_by: Option<&str>) -> String {
        let options = [
            (!self.architectures.is_empty()).then(|| format!("arch={}", self.architectures.join(","))),
            self.check_valid_until.map(|is_checked| format!("check-valid-until={}", word(is_checked))),
            signed_by.map(|path| format!("signed-by={path}")),
        ];
        let options: Vec<String> = options.into_iter().flatten().collect();
        let options = if options.is_empty() { String::new() } else { format!("[{}] ", options.join(" ")) };
        let mut text = String::new();
        for kind in [self.binary.then_some("deb"), self.source.then_some("deb-src")].into_iter().flatten() {
            for uri in &self.uris {
                for suite in &self.suites {
                    let line = format!("{kind} {options}{uri} {suite} {}", self.components.join(" "));
                    text += &format!("{}\n", line.trim_end());
                }
            }
        }
        text
    }
}

fn word(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

/// Returns the lines of a key, each of which has a blank before it, and a dot where it is empty.
fn inline_key(value: &str) -> String {
    let lines = value.lines().map(str::trim).skip_while(|line| line.is_empty());
    lines.map(|line| if line == "." { "\n".to_owned() } else { format!("{line}\n") }).collect()
}

fn set(source: &mut Source, option: &str, values: &[&str]) -> Result<(), ParseError> {
    let list = || values.iter().map(|value| (*value).to_owned()).collect();
    let one_flag = || match values {
        [word] => flag(word).ok_or_else(|| bad(format!("{option} is {word:?}, which is neither yes nor no"))),
        _ => Err(bad(format!("{option} is neither yes nor no"))),
    };
    match option {
        "arch" => source.architectures = list(),
        "signed-by" => source.signed_by = list(),
        "trusted" => source.trusted = Some(one_flag()?),
        "check-valid-until" => source.check_valid_until = Some(one_flag()?),
        name if WITHOUT_EFFECT.contains(&name) => {}
        _ => return Err(bad(format!("its option {option:?} is not supported"))),
    }
    Ok(())
}

/// Returns what apt reads in a word (apt `strutl.cc:StringToBool`).
fn flag(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" | "with" | "enable" => Some(true),
        "no" | "false" | "off" | "0" | "without" | "disable" => Some(false),
        _ => None,
    }
}

fn check(source: Source) -> Result<Source, ParseError> {
    let Source { uris, suites, components, architectures, signed_by, .. } = &source;
    if uris.is_empty() || suites.is_empty() || !(source.binary || source.source) {
        return Err(bad("it has no type, no URI or no suite"));
    }
    let is_clean = |text: &String| !text.chars().any(|c| c.is_control() || c.is_whitespace());
    let is_uri =
        |uri: &String| uri.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    if let Some(uri) = uris.iter().find(|uri| !is_uri(uri) || !is_clean(uri)) {
        return Err(bad(format!("{uri:?} is no URI")));
    }
    for suite in suites {
        let is_flat = suite.ends_with('/');
        let directory = suite_directory(suite);
        if !is_clean(suite) || !(is_flat && directory.is_empty() || is_relative_path(&directory)) {
            return Err(bad(format!("{suite:?} is no suite")));
        }
        if is_flat != components.is_empty() {
            let text = if is_flat {
                "a flat repository, so it has no components"
            } else {
                "no flat repository, so it needs components"
            };
            return Err(bad(format!("{suite:?} is {text}")));
        }
    }
    if let Some(name) = components.iter().find(|name| !is_clean(name) || !is_relative_path(name)) {
        return Err(bad(format!("{name:?} is no component")));
    }
    if let Some(name) = architectures.iter().find(|name| !arch::is_valid(name)) {
        return Err(bad(format!("{name:?} is no architecture")));
    }
    if let Some(word) = signed_by.iter().find(|word| !word.contains(['/', '.'])) {
        return Err(bad(format!("signed-by names the key {word:?}; name the file of the key")));
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn lines_and_stanzas_say_the_same() {
        let line = "deb [arch=amd64,arm64 signed-by=/k.gpg trusted=no lang=de check-valid-until=no] http://m.example/d x main extra # ours";
        let stanza = "# ours\nTypes: deb\nURIs: http://m.example/d\nSuites: x\nComponents: main\n# more\n extra\n\
                      architectures: amd64 arm64\nSigned-By: /k.gpg\nTrusted: no\nLanguages: de\nCheck-Valid-Until: no\nX-Mine: y\n";
        let expected = Source {
            binary: true,
            uris: words("http://m.example/d"),
            suites: words("x"),
            components: words("main extra"),
            architectures: words("amd64 arm64"),
            signed_by: words("/k.gpg"),
            trusted: Some(false),
            check_valid_until: Some(false),
            ..Source::default()
        };
        assert_eq!(parse(line).unwrap(), std::slice::from_ref(&expected));
        assert_eq!(parse(stanza).unwrap(), [expected]);
        assert_eq!(parse("# nothing\n\n").unwrap(), []);
        assert_eq!(parse("Types: deb\nEnabled: no\nURIs: nonsense\n").unwrap(), []);
        let both = parse("Types: deb deb-src\nURIs: file:/a copy:/b\nSuites: ./ y/\n").unwrap().remove(0);
        assert!(both.binary && both.source && both.components.is_empty() && both.uris.len() == 2);
        for source in [&parse(line).unwrap()[0], &both] {
            let by = source.signed_by.first().map(String::as_str);
            // No trust without a signature is written down.
            let source = &Source { trusted: None, ..source.clone() };
            assert_eq!(&parse(&source.to_stanza(by)).unwrap()[0], source);
        }
        let written = "deb [arch=amd64,arm64 check-valid-until=no signed-by=/k] http://m.example/d x main extra\n";
        assert_eq!(parse(line).unwrap()[0].to_lines(Some("/k")), written);
        assert_eq!(both.to_lines(None).lines().count(), 8);
    }

    #[test]
    fn keys_can_be_in_the_entry() {
        let text = "Types: deb\nURIs: http://m.example\nSuites: x\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n -----END PGP PUBLIC KEY BLOCK-----\n";
        let source = parse(text).unwrap().remove(0);
        let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(source.key.as_deref(), Some(key));
        assert!(source.signed_by.is_empty());
        assert_eq!(parse(&source.to_stanza(Some(key))).unwrap()[0], source);
    }

    #[test]
    fn suites_have_directories() {
        for (suite, directory) in
            [("x", "dists/x"), ("x/updates", "dists/x/updates"), ("./", ""), ("/", ""), ("a/", "a"), ("./a/b/", "a/b")]
        {
            assert_eq!(suite_directory(suite), directory, "{suite}");
        }
        assert_eq!(path_in_suite("./", "InRelease"), "InRelease");
        assert_eq!(path_in_suite("x", "InRelease"), "dists/x/InRelease");
    }

    #[test]
    fn other_entries_are_refused() {
        for line in [
            "deb",
            "deb http://m.example",
            "deb http://m.example x",
            "deb http://m.example ./ main",
            "deb http://m.example ../ ",
            "deb http://m.example a/../b/",
            "deb http://m.example ../x main",
            "deb http://m.example x ../main",
            "rpm http://m.example x main",
            "deb nonsense x main",
            "deb [arch=amd64 http://m.example x main",
            "deb [arch] http://m.example x main",
            "deb [arch=AMD] http://m.example x main",
            "deb [allow-insecure=yes] http://m.example x main",
            "deb [trusted=perhaps] http://m.example x main",
            "deb [signed-by=0123456789ABCDEF] http://m.example x main",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        for text in
            ["Types: deb\nSuites: x\n", "Types: rpm\nURIs: http://m.example\nSuites: ./\n", "Types: deb\nnonsense\n"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
