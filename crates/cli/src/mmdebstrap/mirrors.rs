//! The MIRROR arguments of mmdebstrap: addresses, lines and files of apt's sources, or - for standard input.

use crate::text_file;
use rootstrap_bootstrap::apt_sources::{Source, parse};

/// What the arguments say.
#[derive(Debug)]
pub(super) struct Mirrors {
    /// The suite, from the first entry if the command line names none.
    pub suite: String,
    /// The arguments of rootstrap that name mirrors and sources.
    pub arguments: Vec<String>,
}

/// Reads the arguments. The entries of the suite itself say which mirrors and components it has, the others are further sources.
/// `components` are those of addresses. What is left out is named in `notes`.
///
/// # Errors
/// A message for the user.
pub(super) fn read(
    suite: &str,
    given: &[String],
    components: &[String],
    notes: &mut Vec<String>,
) -> Result<Mirrors, String> {
    let (uris, entries) = uris_and_entries(given)?;
    let suite = match (suite, entries.first()) {
        ("", Some(entry)) => entry.suites.join(""),
        ("", None) => return Err("no suite is named, and no source names one".to_owned()),
        (suite, _) => suite.to_owned(),
    };
    let (own, further): (Vec<Source>, Vec<Source>) =
        entries.into_iter().partition(|entry| entry.suites == [suite.as_str()]);
    let is_plain = !own.iter().any(|entry| entry.binary);
    let main = vec!["main".to_owned()];
    let of_uris = if components.is_empty() { main } else { components.to_vec() };
    let first = own.iter().find(|entry| entry.binary).map(|entry| entry.components.clone());
    let components = first.filter(|_| uris.is_empty()).unwrap_or(of_uris);
    let mut arguments: Vec<String> = uris.iter().map(|uri| format!("--mirror={uri}")).collect();
    let mut unsigned = 0;
    for entry in &own {
        // What is not like the others is a source of its own.
        if !entry.binary || entry.components != components {
            arguments.push(format!("--source={}", entry.to_lines(key_of(entry).as_deref()).trim_end()));
            continue;
        }
        arguments.extend(entry.uris.iter().map(|uri| format!("--mirror={}", uri.trim_end_matches('/'))));
        if entry.trusted == Some(true) {
            unsigned += 1;
        } else {
            arguments.extend(entry.signed_by.iter().map(|key| format!("--keyring={key}")));
        }
        if !entry.architectures.is_empty() {
            notes.push(format!("arch={} of the suite itself is left out", entry.architectures.join(",")));
        }
        if entry.check_valid_until == Some(false) {
            notes.push(
                "check-valid-until=no of the suite itself is left out: --valid-at says when it was valid".to_owned(),
            );
        }
    }
    unsigned += further.iter().filter(|entry| entry.trusted == Some(true)).count();
    let are_all = own.iter().all(|entry| entry.trusted == Some(true));
    if unsigned > 0 && are_all && uris.is_empty() && further.is_empty() {
        arguments.push("--no-check-sig".to_owned());
    } else if unsigned > 0 {
        return Err(
            "trusted=yes cannot be used for one source among others: name the key of each with signed-by".to_owned()
        );
    }
    arguments.push(format!("--components={}", components.join(",")));
    if !uris.is_empty() || !is_plain {
        arguments.push("--pockets=release".to_owned());
    }
    arguments.extend(
        further.iter().map(|entry| format!("--source={}", entry.to_lines(key_of(entry).as_deref()).trim_end())),
    );
    Ok(Mirrors { suite, arguments })
}

/// Returns the addresses among the arguments, and the entries of lines and files.
fn uris_and_entries(given: &[String]) -> Result<(Vec<String>, Vec<Source>), String> {
    let (mut uris, mut entries) = (Vec::new(), Vec::new());
    for argument in given.iter().filter(|argument| !argument.is_empty()) {
        let is_line = ["deb ", "deb\t", "deb-src ", "deb-src\t"].iter().any(|start| argument.starts_with(start));
        let text = match argument.as_str() {
            line if is_line => line.to_owned(),
            uri if uri.contains(":/") => {
                uris.push(uri.trim_end_matches('/').to_owned());
                continue;
            }
            file => text_file::read(file).map_err(|error| error.to_string())?,
        };
        entries.extend(parse(&text).map_err(|error| format!("cannot use the source {argument}: {error}"))?);
    }
    Ok((uris, one_by_one(entries)?))
}

/// Returns one entry for each suite and each kind of packages. Keys that stand in an entry cannot be named in a line.
fn one_by_one(entries: Vec<Source>) -> Result<Vec<Source>, String> {
    let mut all = Vec::new();
    for entry in entries {
        if entry.key.is_some() {
            let place = entry.uris.join(" ");
            return Err(format!(
                "cannot use the source {place}: its key stands in it\nhint: write the key to a file, and name that as Signed-By"
            ));
        }
        for suite in &entry.suites {
            let one = Source { suites: vec![suite.clone()], ..entry.clone() };
            if one.binary {
                all.push(Source { source: false, ..one.clone() });
            }
            if one.source {
                all.push(Source { binary: false, ..one });
            }
        }
    }
    Ok(all)
}

/// Returns the files of keys in the form of a line.
fn key_of(entry: &Source) -> Option<String> {
    (!entry.signed_by.is_empty()).then(|| entry.signed_by.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(given: &[&str]) -> Result<String, String> {
        let given: Vec<String> = given.iter().map(|&text| text.to_owned()).collect();
        read("", &given, &[], &mut Vec::new())
            .map(|mirrors| format!("{} {}", mirrors.suite, mirrors.arguments.join(" ")))
    }

    #[test]
    fn each_source_keeps_its_key() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stanza = |suite: &str, key: &str| {
            format!("Types: deb\nURIs: http://{suite}\nSuites: {suite}\nComponents: main\nSigned-By: {key}\n\n")
        };
        std::fs::write(file.path(), stanza("one", "/one.gpg") + &stanza("two", "/two.gpg")).unwrap();
        assert_eq!(
            arguments(&[file.path().to_str().unwrap()]).unwrap(),
            "one --mirror=http://one --keyring=/one.gpg --components=main --pockets=release \
             --source=deb [signed-by=/two.gpg] http://two two main"
        );
        let inside =
            stanza("one", "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n -----END PGP PUBLIC KEY BLOCK-----");
        std::fs::write(file.path(), inside).unwrap();
        assert!(arguments(&[file.path().to_str().unwrap()]).unwrap_err().contains("its key stands in it"));
    }

    #[test]
    fn options_of_lines_are_not_lost() {
        assert_eq!(
            arguments(&["deb [arch=amd64] http://m x main", "", "deb http://m x contrib", "deb-src http://m x main"])
                .unwrap(),
            "x --mirror=http://m --source=deb http://m x contrib --source=deb-src http://m x main --components=main --pockets=release"
        );
        assert!(arguments(&["deb [trusted=yes] http://m x main"]).unwrap().contains("--no-check-sig"));
        for lines in [
            ["deb [trusted=yes] http://m x main", "deb http://m y main"],
            ["deb http://m x main", "deb [trusted=yes] http://m y main"],
        ] {
            assert!(arguments(&lines).unwrap_err().contains("trusted=yes cannot be used"), "{lines:?}");
        }
    }
}
