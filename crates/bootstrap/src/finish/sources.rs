//! The apt sources of the target: where the finished system gets its updates. They depend on the request and the suite, and on
//! which of the user's mirrors has a pocket.

use crate::archive::{self, ServedPocket, host_mirrors};
use crate::error::Error;
use crate::finish::further_sources::{self, AptKeys, vendor_name};
use crate::request::{Snapshot, Sources};
use rootstrap_fetch::Keyring;
use rootstrap_http::redact;
use rootstrap_rootfs::Root;
use rootstrap_suites::{Pocket, SourceEntry, SourcesFormat, Suite, Vendor};

/// The file of sources in one-line format.
const SOURCES_LIST: &str = "etc/apt/sources.list";

/// Returns the name under `dists/` and the base URI of each pocket, by the sources that a tree gets or would get if it had apt.
pub(crate) fn pocket_uris(
    root: &Root,
    architecture: &str,
    sources: &Sources,
    suite: &Suite,
    served: &[ServedPocket],
) -> Result<Vec<(String, String)>, Error> {
    // The tree of a first stage already has the sources themselves, but not always the package that documents them.
    let written = [&deb822_path(suite), SOURCES_LIST];
    let documents = Vendor::apt_examples().into_iter().chain(written).collect::<Vec<_>>();
    let builder = Entries { root, architecture, sources, suite, served };
    let uris = |entry: SourceEntry| entry.suites.into_iter().map(move |name| (name, entry.uri.clone()));
    Ok(builder.entries(&documents)?.into_iter().flat_map(uris).collect())
}

/// Writes the sources. A system without apt's directory gets none.
pub(crate) fn write(builder: &Entries<'_>, keys: &AptKeys<'_>) -> Result<(), Error> {
    let &Entries { root, sources, suite, .. } = builder;
    if root.metadata(b"etc/apt")?.is_none() {
        return Ok(());
    }
    if sources.plain_sources {
        return write_plain(builder, keys);
    }
    let signed_by = match keys.own_keys {
        Some(own) => keys.write(root, vendor_name(suite), own)?,
        // In one line, nothing is said of the vendor's own keys: apt trusts them.
        None if suite.sources_format == SourcesFormat::OneLine => None,
        None => signed_by(root, suite)?,
    };
    let entries = builder.entries(&Vendor::apt_examples())?;
    let further = further_sources::entries(root, sources, suite, keys, (&entries, signed_by.as_deref()))?;
    further_sources::write(root, suite, &further)?;
    if entries.is_empty() {
        return Ok(());
    }
    // A snapshot is used long after it has expired.
    let is_old = sources.snapshot.is_some() && sources.write_snapshot;
    match suite.sources_format {
        SourcesFormat::OneLine => {
            let text = one_line(&entries, signed_by.as_deref(), is_old);
            root.write(SOURCES_LIST.as_bytes(), text.as_bytes(), 0o644)?;
        }
        SourcesFormat::Deb822 => {
            root.create_directories(b"etc/apt/sources.list.d", 0o755)?;
            root.write(
                deb822_path(suite).as_bytes(),
                deb822(&entries, signed_by.as_deref(), is_old).as_bytes(),
                0o644,
            )?;
        }
    }
    Ok(())
}

/// Writes the sources as debootstrap does: one line for each suite, in one file. Keys that the vendor's own packages bring are not named,
/// because apt refuses a line of the user for the same suite that names none.
fn write_plain(builder: &Entries<'_>, keys: &AptKeys<'_>) -> Result<(), Error> {
    let &Entries { root, sources, suite, served, .. } = builder;
    let signed_by = match keys.own_keys.filter(|_| !is_signed_by_vendor(suite, served)) {
        Some(own) => keys.write(root, vendor_name(suite), own)?,
        None => None,
    };
    let is_old = sources.snapshot.is_some() && sources.write_snapshot;
    let entries = builder.entries(&Vendor::apt_examples())?;
    let mut text = one_line(&entries, signed_by.as_deref(), is_old);
    for further in further_sources::entries(root, sources, suite, keys, (&entries, signed_by.as_deref()))? {
        text += &further.entry.to_lines(further.signed_by.as_deref());
    }
    Ok(root.write(SOURCES_LIST.as_bytes(), text.as_bytes(), 0o644)?)
}

/// Returns whether a key of the suite's own keyrings has signed each pocket of the suite that anybody signed.
fn is_signed_by_vendor(suite: &Suite, served: &[ServedPocket]) -> bool {
    let blobs: Vec<&[u8]> = suite.keyrings.iter().filter_map(|name| rootstrap_suites::keyring(name)).collect();
    let Ok(own) = Keyring::from_bytes(&blobs) else { return false };
    let own = own.fingerprints();
    let is_own = |pocket: &ServedPocket| pocket.keys.is_empty() || pocket.keys.iter().any(|key| own.contains(key));
    let is_further = |pocket: &&ServedPocket| Pocket::ALL.iter().all(|known| known.name() != pocket.name);
    served.iter().filter(|pocket| !is_further(pocket)).all(is_own)
}

/// Returns the path of the file of sources in deb822 format.
fn deb822_path(suite: &Suite) -> String {
    format!("etc/apt/sources.list.d/{}.sources", vendor_name(suite))
}

/// What decides the entries of the sources.
pub(crate) struct Entries<'a> {
    pub root: &'a Root,
    pub architecture: &'a str,
    pub sources: &'a Sources,
    pub suite: &'a Suite,
    pub served: &'a [ServedPocket],
}

impl Entries<'_> {
    /// Returns the entries: those of the user's mirrors that have a pocket, and the vendor's for the others.
    fn entries(&self, documents: &[&str]) -> Result<Vec<SourceEntry>, Error> {
        let mut wanted = archive::wanted_pockets(self.sources, self.suite)?;
        // No mirror has every pocket of an old suite. An entry for a pocket that no mirror has would make each `apt update` fail.
        wanted.retain(|(pocket, _)| self.served.iter().any(|served| served.name == pocket.name()));
        if let Some(snapshot) = self.sources.snapshot.as_ref().filter(|_| self.sources.write_snapshot) {
            return Ok(self.grouped(wanted.into_iter().map(|(pocket, name)| self.at_snapshot(snapshot, pocket, name))));
        }
        let place = |(pocket, name): &(Pocket, String)| Some((self.of_user(*pocket)?, name.clone()));
        let own: Vec<(String, String)> = wanted.iter().filter_map(place).collect();
        wanted.retain(|(pocket, _)| self.of_user(*pocket).is_none());
        let mut entries = self.grouped(own.into_iter());
        entries.extend(self.of_vendor(&wanted, documents)?);
        Ok(entries)
    }

    /// Returns the vendor's entries for pockets: the suite's list, otherwise what the target's apt documents.
    fn of_vendor(&self, wanted: &[(Pocket, String)], documents: &[&str]) -> Result<Vec<SourceEntry>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut listed = self.suite.sources(self.architecture);
        if !listed.is_empty() {
            for entry in &mut listed {
                entry.suites.retain(|name| wanted.iter().any(|(_, wanted)| wanted == name));
                entry.components = self.components(std::mem::take(&mut entry.components));
            }
            listed.retain(|entry| !entry.suites.is_empty());
            return Ok(listed);
        }
        let main = match documented(self.root, documents)? {
            Some(uri) => uri,
            None => match self.suite.mirrors(self.architecture).last() {
                Some(mirror) => mirror.uri.clone(),
                None => return Ok(Vec::new()),
            },
        };
        let at = |pocket| archive::at_pocket(&main, self.suite, pocket).into_iter().next().unwrap_or_default();
        Ok(self.grouped(wanted.iter().map(|(pocket, name)| (at(*pocket), name.clone()))))
    }

    /// Returns the base URI of a pocket at the mirror of the user that has it; `None` if none has.
    fn of_user(&self, pocket: Pocket) -> Option<String> {
        let served = self.served.iter().find(|served| served.name == pocket.name())?;
        // User and password are for this run, not for every reader of the target.
        archive::is_of_user(self.sources, self.suite, pocket, &served.first_having)
            .then(|| redact::userinfo(&served.first_having))
    }

    /// Returns the base URI of a pocket at the first service of snapshots, and at the moment that was asked for. If that service has shown how
    /// it is laid out, that decides.
    fn at_snapshot(&self, snapshot: &Snapshot, pocket: Pocket, name: String) -> (String, String) {
        let places = archive::snapshot_uris(snapshot, self.suite, pocket);
        let serving = self.served.iter().find(|served| served.name == pocket.name()).map(|served| served.mirror());
        let shown = |place: &&String| {
            let moment = archive::moment_of(place).unwrap_or_default();
            serving.is_some_and(|serving| archive::at_moment(serving, moment) == **place)
        };
        let place = places.iter().find(shown).or(places.first());
        (place.map(|uri| redact::userinfo(uri)).unwrap_or_default(), name)
    }

    /// Returns one entry for each URI.
    fn grouped(&self, places: impl Iterator<Item = (String, String)>) -> Vec<SourceEntry> {
        let of_vendor = self.suite.vendor().map(|vendor| vendor.sources_components.clone());
        let components = self.components(of_vendor.unwrap_or_else(|| self.suite.components()));
        let mut entries: Vec<SourceEntry> = Vec::new();
        for (uri, name) in places {
            match entries.iter_mut().find(|entry| entry.uri == uri) {
                Some(entry) => entry.suites.push(name),
                None => entries.push(SourceEntry { uri, suites: vec![name], components: components.clone() }),
            }
        }
        entries
    }

    fn components(&self, default: Vec<String>) -> Vec<String> {
        if self.sources.components.is_empty() { default } else { self.sources.components.clone() }
    }
}

/// Returns the URI of the vendor's main archive, as the target's apt package documents it. The security archive is beside it, as on every
/// mirror of the vendor; some documents name a separate host that serves the same.
fn documented(root: &Root, documents: &[&str]) -> Result<Option<String>, Error> {
    for path in documents {
        let Some(text) = root.read(path.as_bytes())? else { continue };
        let found = host_mirrors::uris(path, &String::from_utf8_lossy(&text));
        if let Some((uri, _)) = found.into_iter().find(|(_, security)| !security) {
            return Ok(Some(uri));
        }
    }
    Ok(None)
}

/// Returns the path, in the target, of the vendor's keyring that the target's apt checks with.
fn signed_by(root: &Root, suite: &Suite) -> Result<Option<String>, Error> {
    let Some(vendor) = suite.vendor() else { return Ok(None) };
    for path in &vendor.signed_by {
        if root.metadata(path.as_bytes())?.is_some() {
            return Ok(Some(format!("/{path}")));
        }
    }
    Ok(None)
}

fn one_line(entries: &[SourceEntry], signed_by: Option<&str>, is_old: bool) -> String {
    let mut text = String::new();
    let options =
        [is_old.then(|| "check-valid-until=no".to_owned()), signed_by.map(|path| format!("signed-by={path}"))];
    let options: Vec<String> = options.into_iter().flatten().collect();
    let options = if options.is_empty() { String::new() } else { format!("[{}] ", options.join(" ")) };
    for entry in entries {
        for suite in &entry.suites {
            text.push_str(&format!("deb {options}{} {suite} {}\n", entry.uri, entry.components.join(" ")));
        }
    }
    text
}

fn deb822(entries: &[SourceEntry], signed_by: Option<&str>, is_old: bool) -> String {
    let stanzas = entries.iter().map(|entry| {
        let (suites, components) = (entry.suites.join(" "), entry.components.join(" "));
        let signed_by = signed_by.map(|path| format!("Signed-By: {path}\n")).unwrap_or_default();
        let check = if is_old { "Check-Valid-Until: no\n" } else { "" };
        format!("Types: deb\nURIs: {}\nSuites: {suites}\nComponents: {components}\n{check}{signed_by}", entry.uri)
    });
    stanzas.collect::<Vec<_>>().join("\n")
}
