//! The MIRROR arguments of mmdebstrap: addresses, lines and files of apt's sources, or - for standard input.

use crate::text_file;
use rootstrap_bootstrap::FurtherSource;

/// What the arguments say.
pub(super) struct Mirrors {
    /// The suite, from the first line if the command line names none.
    pub suite: String,
    /// The arguments of rootstrap that name mirrors and sources.
    pub arguments: Vec<String>,
    /// Whether no line says which components there are.
    pub is_plain: bool,
}

/// One entry of apt's sources.
struct Entry {
    uri: String,
    suite: String,
    components: Vec<String>,
    key: Option<String>,
    /// The whole entry in one line.
    line: String,
}

/// Reads the arguments. The entries of the suite itself say which mirrors it has, the others are further sources.
pub(super) fn read(suite: &str, given: &[String], components: &[String]) -> Result<Mirrors, String> {
    let (mut uris, mut entries) = (Vec::new(), Vec::new());
    for argument in given {
        let is_line = ["deb ", "deb\t", "deb-src ", "deb-src\t"].iter().any(|start| argument.starts_with(start));
        match argument.as_str() {
            text if is_line => entries.extend(parse(text)?),
            uri if uri.contains(":/") => uris.push(uri.trim_end_matches('/').to_owned()),
            file => entries.extend(parse(&text_file::read(file).map_err(|error| error.to_string())?)?),
        }
    }
    let suite = match (suite, entries.first()) {
        ("", Some(entry)) => entry.suite.clone(),
        ("", None) => return Err("no suite is named, and no source names one".to_owned()),
        (suite, _) => suite.to_owned(),
    };
    let (own, further): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.suite == suite);
    let mut arguments: Vec<String> =
        uris.iter().chain(own.iter().map(|entry| &entry.uri)).map(|uri| format!("--mirror={uri}")).collect();
    let keys = own.iter().filter_map(|entry| entry.key.as_ref());
    arguments.extend(keys.map(|key| format!("--keyring={key}")));
    let mut named: Vec<String> = components.to_vec();
    for component in own.iter().flat_map(|entry| &entry.components) {
        if !named.contains(component) {
            named.push(component.clone());
        }
    }
    if !own.is_empty() {
        arguments.push(format!("--components={}", named.join(",")));
    }
    if !arguments.is_empty() {
        arguments.push("--pockets=release".to_owned());
    }
    arguments.extend(further.into_iter().map(|entry| format!("--source={}", entry.line)));
    Ok(Mirrors { suite, arguments, is_plain: own.is_empty() })
}

/// Reads lines or stanzas of apt's sources.
fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let lines =
        text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    if lines.first().is_some_and(|line| line.starts_with("deb")) {
        return lines.into_iter().filter(|line| !line.starts_with("deb-src")).map(entry).collect();
    }
    let stanzas = FurtherSource::parse(text, "of mmdebstrap").map_err(|error| error.to_string())?;
    let lines: String = stanzas.iter().map(|source| source.entry.to_lines(None)).collect();
    let mut entries: Vec<Entry> =
        lines.lines().filter(|line| line.starts_with("deb ")).map(entry).collect::<Result<_, _>>()?;
    let key =
        text.lines().find_map(|line| line.strip_prefix("Signed-By:")).map(str::trim).filter(|key| key.starts_with('/'));
    entries.iter_mut().for_each(|entry| entry.key = key.map(str::to_owned));
    Ok(entries)
}

fn entry(line: &str) -> Result<Entry, String> {
    let rest = line.strip_prefix("deb").unwrap_or(line).trim_start();
    let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((options, rest)) => (options, rest),
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (Some(uri), Some(suite)) = (words.next(), words.next()) else {
        return Err(format!("cannot read the source `{line}`: it has no suite"));
    };
    let key = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    Ok(Entry {
        uri: uri.trim_end_matches('/').to_owned(),
        suite,
        components: words.collect(),
        key: key.map(str::to_owned),
        line: line.to_owned(),
    })
}
