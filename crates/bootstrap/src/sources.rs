//! The apt sources of the target: where the finished system will get its updates. They depend on the request and the
//! suite alone, never on which mirror happened to serve this run.

use crate::suite::{Pocket, SourceEntry, SourcesFormat, Suite};
use crate::{Error, Request, archive, host};
use rootstrap_rootfs::Root;

/// Where apt documents the vendor's own entries (package apt, `doc/examples`).
const EXAMPLES: [&str; 2] = ["usr/share/doc/apt/examples/debian.sources", "usr/share/doc/apt/examples/sources.list"];

/// Writes the sources. A system without apt's directory gets none.
pub(crate) fn write(root: &Root, request: &Request, suite: &Suite) -> Result<(), Error> {
    if root.metadata(b"etc/apt")?.is_none() {
        return Ok(());
    }
    let entries = entries(root, request, suite)?;
    if entries.is_empty() {
        return Ok(());
    }
    let signed_by = signed_by(root, request, suite)?;
    let vendor = suite.vendor().map_or("rootstrap", |vendor| vendor.name.as_str());
    match suite.sources_format {
        SourcesFormat::OneLine => {
            root.write(b"etc/apt/sources.list", one_line(&entries).as_bytes(), 0o644)?;
        }
        SourcesFormat::Deb822 => {
            root.create_directories(b"etc/apt/sources.list.d", 0o755)?;
            let path = format!("etc/apt/sources.list.d/{vendor}.sources");
            root.write(path.as_bytes(), deb822(&entries, signed_by.as_deref()).as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

/// The user's mirror if one was named, else the suite's list, else what the target's apt documents.
fn entries(root: &Root, request: &Request, suite: &Suite) -> Result<Vec<SourceEntry>, Error> {
    let architecture = request.architecture()?;
    let wanted = archive::wanted_pockets(request, suite)?;
    let is_wanted = |name: &str| wanted.iter().any(|(_, wanted)| wanted == name);
    let components = |default: Vec<String>| {
        if request.components.is_empty() { default } else { request.components.clone() }
    };
    let vendor_components = suite.vendor().map_or_else(|| suite.components(), |v| v.sources_components.clone());
    let (main, security) = match request.mirrors.first() {
        Some(mirror) => {
            let security = archive::at_pocket(mirror, suite, Pocket::Security);
            (mirror.clone(), security.into_iter().next().unwrap_or_default())
        }
        None => {
            let mut listed = suite.sources(architecture);
            if !listed.is_empty() {
                for entry in &mut listed {
                    entry.suites.retain(|name| is_wanted(name));
                    entry.components = components(std::mem::take(&mut entry.components));
                }
                listed.retain(|entry| !entry.suites.is_empty());
                return Ok(listed);
            }
            match documented(root)? {
                Some(found) => found,
                None => match suite.mirrors(architecture).last() {
                    Some(mirror) => (mirror.uri.clone(), mirror.security.clone()),
                    None => return Ok(Vec::new()),
                },
            }
        }
    };
    let (apart, together): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|(pocket, _)| *pocket == Pocket::Security && main != security);
    let entry = |uri: String, pockets: Vec<(Pocket, String)>| SourceEntry {
        uri,
        suites: pockets.into_iter().map(|(_, name)| name).collect(),
        components: components(vendor_components.clone()),
    };
    let entries = [entry(main, together), entry(security, apart)];
    Ok(entries.into_iter().filter(|entry| !entry.suites.is_empty()).collect())
}

/// The vendor's main and security archive as the target's apt package documents them.
fn documented(root: &Root) -> Result<Option<(String, String)>, Error> {
    for path in EXAMPLES {
        let Some(text) = root.read(path.as_bytes())? else { continue };
        let found = host::uris(path, &String::from_utf8_lossy(&text));
        let main = found.iter().find(|(_, security)| !security).map(|(uri, _)| uri.clone());
        let security = found.iter().find(|(_, security)| *security).map(|(uri, _)| uri.clone());
        if let Some(main) = main {
            let security = security.unwrap_or_else(|| main.clone());
            return Ok(Some((main, security)));
        }
    }
    Ok(None)
}

/// The keyring the target's apt checks with, as a path in the target; none when the user brought other keys, which
/// the target does not have.
fn signed_by(root: &Root, request: &Request, suite: &Suite) -> Result<Option<String>, Error> {
    let Some(vendor) = suite.vendor().filter(|_| request.keyrings.is_empty()) else { return Ok(None) };
    for path in &vendor.signed_by {
        if root.metadata(path.as_bytes())?.is_some() {
            return Ok(Some(format!("/{path}")));
        }
    }
    Ok(None)
}

fn one_line(entries: &[SourceEntry]) -> String {
    let mut text = String::new();
    for entry in entries {
        for suite in &entry.suites {
            text.push_str(&format!("deb {} {suite} {}\n", entry.uri, entry.components.join(" ")));
        }
    }
    text
}

fn deb822(entries: &[SourceEntry], signed_by: Option<&str>) -> String {
    let stanzas = entries.iter().map(|entry| {
        let (suites, components) = (entry.suites.join(" "), entry.components.join(" "));
        let signed_by = signed_by.map(|path| format!("Signed-By: {path}\n")).unwrap_or_default();
        format!("Types: deb\nURIs: {}\nSuites: {suites}\nComponents: {components}\n{signed_by}", entry.uri)
    });
    stanzas.collect::<Vec<_>>().join("\n")
}
