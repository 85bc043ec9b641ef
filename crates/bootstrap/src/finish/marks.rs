//! apt's marks: which packages are installed only as dependencies, so that `apt autoremove` may remove them when nothing needs them any
//! more (apt `apt-pkg/depcache.cc:writeStateFile`).

use crate::error::Error;
use crate::request::Selection;
use rootstrap_debian::control::{Stanza, parse_all};
use rootstrap_resolve::{Plan, Planned};
use rootstrap_rootfs::Root;
use std::collections::{HashMap, HashSet};

/// Writes the marks. A system without apt's directory gets none.
///
/// In an image all packages are marked except those that were asked for, as in the vendor's images, so that `apt-mark showmanual` lists
/// what was added. A package of the variant itself stays unmarked only if apt would otherwise remove it.
pub(crate) fn write(root: &Root, selection: &Selection, is_image: bool, plan: &Plan) -> Result<(), Error> {
    if root.metadata(b"var/lib/apt")?.is_none() {
        return Ok(());
    }
    let native = selection.architecture.as_str();
    let status = if is_image { root.read(b"var/lib/dpkg/status")? } else { None };
    let status = String::from_utf8_lossy(&status.unwrap_or_default()).into_owned();
    let stanzas = parse_all(&status).unwrap_or_default();
    let safe = safe(&stanzas);
    let asked_for = |name: &str| selection.include.iter().any(|word| word.split([':', '=', '/']).next() == Some(name));
    let of_image = |phase: &str, package: &Planned| {
        (phase == "required" || package.name == "apt") && safe.contains(&*package.name) && !asked_for(&package.name)
    };
    let marked = plan.packages().filter(|(phase, package)| package.automatic || of_image(phase, package));
    let mut stanzas: Vec<String> = marked
        // apt lists packages for all architectures under the native one.
        .map(|(_, package)| {
            let architecture = if package.architecture == "all" { native } else { package.architecture.as_str() };
            format!("Package: {}\nArchitecture: {architecture}\nAuto-Installed: 1\n\n", package.name)
        })
        .collect();
    stanzas.sort();
    if !stanzas.is_empty() {
        root.write(b"var/lib/apt/extended_states", stanzas.concat().as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Returns the installed packages that apt keeps whatever their mark is: those that another package mentions, and apt's roots
/// (`depcache.cc:MarkRequired`). The priority in the package counts, which can differ from the archive's.
fn safe<'s>(stanzas: &[Stanza<'s>]) -> HashSet<&'s str> {
    let names = |stanza: &Stanza<'s>, fields: &[&str]| -> Vec<&'s str> {
        let relations = fields.iter().filter_map(|field| stanza.get(field)).flat_map(|text| text.split([',', '|']));
        relations.filter_map(|relation| relation.trim().split([' ', ':', '(']).next()).collect()
    };
    // The packages that mention a name.
    let mut mentions: HashMap<&str, Vec<&str>> = HashMap::new();
    for stanza in stanzas {
        for name in names(stanza, &["Pre-Depends", "Depends", "Recommends"]) {
            mentions.entry(name).or_default().extend(stanza.get("Package"));
        }
    }
    let needed = |package: &str, stanza: &Stanza<'s>| {
        let provided = names(stanza, &["Provides"]);
        let mut by = [package].into_iter().chain(provided).filter_map(|name| mentions.get(name)).flatten();
        by.any(|other| *other != package)
    };
    let is_root = |stanza: &Stanza<'s>| {
        let is = |field: &str, value: &str| stanza.get(field) == Some(value);
        is("Essential", "yes") || is("Protected", "yes") || is("Priority", "required") || is("Package", "apt")
    };
    let named = stanzas.iter().filter_map(|stanza| Some((stanza.get("Package")?, stanza)));
    named.filter(|(name, stanza)| is_root(stanza) || needed(name, stanza)).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_keeps() {
        let text = "Package: base\nEssential: yes\nPre-Depends: libone (>= 1), mail:any | other\n\n\
                    Package: libone\nDepends: libone-data\n\n\
                    Package: postfix\nProvides: mail (= 1), smtp\n\n\
                    Package: tool\nPriority: required\nRecommends: friend\n\n\
                    Package: friend\nSuggests: lonely\n\n\
                    Package: apt\n\nPackage: keyring\nProtected: yes\n\n\
                    Package: lonely\nPriority: important\nDepends: lonely\n";
        let stanzas = parse_all(text).unwrap();
        let mut found: Vec<&str> = safe(&stanzas).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, ["apt", "base", "friend", "keyring", "libone", "postfix", "tool"]);
    }
}
