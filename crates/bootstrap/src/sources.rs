//! The apt sources of the target: where the finished system will get its updates. They depend on the request and the
//! suite alone, never on which mirror happened to serve this run.

use crate::suite::{Pocket, SourceEntry, SourcesFormat, Suite};
use crate::{Error, Request, archive, host};
use rootstrap_fetch::VerifiedPocket;
use rootstrap_rootfs::Root;

/// Where apt documents the vendor's own entries (package apt, `doc/examples`).
const EXAMPLES: [&str; 2] = ["usr/share/doc/apt/examples/debian.sources", "usr/share/doc/apt/examples/sources.list"];

/// Where sources in lines are.
const SOURCES_LIST: &str = "etc/apt/sources.list";

/// The files of packages that the sources depend on.
pub(crate) fn looked_at(suite: &Suite) -> Vec<&str> {
    let keyrings = suite.vendor().map_or(&[][..], |vendor| &vendor.signed_by);
    EXAMPLES.into_iter().chain(keyrings.iter().map(String::as_str)).collect()
}

/// Where each pocket is by the sources that a tree gets, or would get if it had an apt: its name under `dists/`, and the base
/// of that.
pub(crate) fn places(
    root: &Root,
    request: &Request,
    suite: &Suite,
    served: &[VerifiedPocket],
) -> Result<Vec<(String, String)>, Error> {
    // The tree of a first stage has the sources themselves already, but not always the package that documents them.
    let written = [&path_of(suite), SOURCES_LIST];
    let documents = EXAMPLES.into_iter().chain(written).collect::<Vec<_>>();
    let entries = entries(root, &documents, request, suite, served)?.into_iter();
    let places = |entry: SourceEntry| entry.suites.into_iter().map(move |name| (name, entry.uri.clone()));
    Ok(entries.flat_map(places).collect())
}

/// Writes the sources. A system without apt's directory gets none.
pub(crate) fn write(root: &Root, request: &Request, suite: &Suite, served: &[VerifiedPocket]) -> Result<(), Error> {
    if root.metadata(b"etc/apt")?.is_none() {
        return Ok(());
    }
    let entries = entries(root, &EXAMPLES, request, suite, served)?;
    if entries.is_empty() {
        return Ok(());
    }
    let signed_by = signed_by(root, request, suite)?;
    match suite.sources_format {
        SourcesFormat::OneLine => {
            root.write(SOURCES_LIST.as_bytes(), one_line(&entries).as_bytes(), 0o644)?;
        }
        SourcesFormat::Deb822 => {
            root.create_directories(b"etc/apt/sources.list.d", 0o755)?;
            root.write(path_of(suite).as_bytes(), deb822(&entries, signed_by.as_deref()).as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

/// Where sources in stanzas are.
fn path_of(suite: &Suite) -> String {
    let vendor = suite.vendor().map_or("rootstrap", |vendor| vendor.name.as_str());
    format!("etc/apt/sources.list.d/{vendor}.sources")
}

/// The user's mirror if one was named, else the suite's list, else what the target's apt documents.
fn entries(
    root: &Root,
    documents: &[&str],
    request: &Request,
    suite: &Suite,
    served: &[VerifiedPocket],
) -> Result<Vec<SourceEntry>, Error> {
    let architecture = request.architecture()?;
    let mut wanted = archive::wanted_pockets(request, suite)?;
    // Not every mirror has every pocket of an old suite. A line for one that none has would fail each `apt update`.
    wanted.retain(|(_, name)| served.iter().any(|served| served.suite() == name));
    let components = |default: Vec<String>| {
        if request.components.is_empty() { default } else { request.components.clone() }
    };
    let vendor_components = suite.vendor().map_or_else(|| suite.components(), |v| v.sources_components.clone());
    let mut listed = suite.sources(architecture);
    let places: Vec<(String, String)> = if !request.mirrors.is_empty() {
        // The first one named, whichever served this run; where that one did, it has also shown how it is laid out.
        let first = request.mirrors.first().map_or("", String::as_str);
        let place = |(pocket, name): (Pocket, String)| {
            let places = archive::at_pocket(first, suite, pocket);
            let serving = served.iter().find(|served| served.suite() == name).map(VerifiedPocket::mirror);
            let place = places.iter().find(|place| Some(place.as_str()) == serving).or(places.first());
            (place.map(|uri| without_password(uri)).unwrap_or_default(), name)
        };
        wanted.into_iter().map(place).collect()
    } else if !listed.is_empty() {
        for entry in &mut listed {
            entry.suites.retain(|name| wanted.iter().any(|(_, wanted)| wanted == name));
            entry.components = components(std::mem::take(&mut entry.components));
        }
        listed.retain(|entry| !entry.suites.is_empty());
        return Ok(listed);
    } else {
        let main = match documented(root, documents)? {
            Some(uri) => uri,
            None => match suite.mirrors(architecture).last() {
                Some(mirror) => mirror.uri.clone(),
                None => return Ok(Vec::new()),
            },
        };
        let place = |pocket| archive::at_pocket(&main, suite, pocket).into_iter().next().unwrap_or_default();
        wanted.into_iter().map(|(pocket, name)| (place(pocket), name)).collect()
    };
    let mut entries: Vec<SourceEntry> = Vec::new();
    for (uri, name) in places {
        match entries.iter_mut().find(|entry| entry.uri == uri) {
            Some(entry) => entry.suites.push(name),
            None => {
                entries.push(SourceEntry {
                    uri,
                    suites: vec![name],
                    components: components(vendor_components.clone()),
                });
            }
        }
    }
    Ok(entries)
}

/// A mirror's address without the user and password it may carry: those are for this run, not for every reader of the
/// target.
pub(crate) fn without_password(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{path}")
}

/// The vendor's main archive as the target's apt package documents it. Its security archive is beside it, as on every
/// mirror of the vendor's; some documents name a host of its own that serves the same.
fn documented(root: &Root, documents: &[&str]) -> Result<Option<String>, Error> {
    for path in documents {
        let Some(text) = root.read(path.as_bytes())? else { continue };
        let found = host::uris(path, &String::from_utf8_lossy(&text));
        if let Some((uri, _)) = found.into_iter().find(|(_, security)| !security) {
            return Ok(Some(uri));
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
