//! Archives beside the suite's own: a third party's, or others of the same vendor.

use crate::archive::input_file::read_input;
use crate::error::Error;
use crate::request::{FurtherSource, Sources};
use rootstrap_debian::sources::Source;
use rootstrap_fetch::{Further, Keyring, Pocket};
use rootstrap_http::redact;
use std::path::Path;

impl FurtherSource {
    /// Takes an entry with the keys that it names. Relative paths begin at the working directory. The file of a vendor's own keyring need
    /// not be there.
    ///
    /// # Errors
    /// The keys cannot be read or used, or the entry wants to be trusted without a signature.
    pub fn read(mut entry: Source) -> Result<Self, Error> {
        if entry.trusted == Some(true) {
            let reason = "it wants its packages to be trusted without a signature".to_owned();
            let hint = "sign its Release file, and name the file of the key with signed-by";
            return Err(Error::FurtherSource { entry: shown(&entry), reason, hint });
        }
        let mut blobs: Vec<Vec<u8>> = entry.key.take().map(String::into_bytes).into_iter().collect();
        for path in std::mem::take(&mut entry.signed_by) {
            match read_input(Path::new(&path)) {
                Ok(bytes) => blobs.push(bytes),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    let of_vendor = vendor_keys(&path);
                    if of_vendor.is_empty() {
                        return Err(Error::io("read the keyring", Path::new(&path))(error));
                    }
                    blobs.extend(of_vendor.into_iter().map(<[u8]>::to_vec));
                }
                Err(error) => return Err(Error::io("read the keyring", Path::new(&path))(error)),
            }
        }
        let blobs: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
        let keys = (!blobs.is_empty()).then(|| Keyring::from_bytes(&blobs)?.to_armor()).transpose()?;
        Ok(Self { entry, keys })
    }
}

/// Returns an entry for messages.
fn shown(entry: &Source) -> String {
    let uri = entry.uris.first().map(|uri| redact::password(uri)).unwrap_or_default();
    format!("{uri} {}", entry.suites.join(" "))
}

/// Returns the keys of the vendor whose own keyring is at this path in its systems.
fn vendor_keys(path: &str) -> Vec<&'static [u8]> {
    let is_there = |suite: &&rootstrap_suites::Suite| {
        let vendor = suite.vendor();
        vendor.is_some_and(|vendor| vendor.signed_by.iter().any(|known| path.strip_prefix('/') == Some(known)))
    };
    let mut names: Vec<&String> = rootstrap_suites::all().filter(is_there).flat_map(|suite| &suite.keyrings).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter_map(|name| rootstrap_suites::keyring(name)).collect()
}

/// Returns the name that a further archive has in plans and locks: its address without user and password, and its suite.
pub(crate) fn name(uri: &str, suite: &str) -> String {
    format!("{} {suite}", redact::userinfo(uri.trim_end_matches('/')))
}

/// Returns the pockets of the further sources. `own` are the keys of the suite.
///
/// # Errors
/// One archive is named with two sets of keys.
pub(crate) fn pockets(sources: &Sources, own: &Keyring) -> Result<Vec<Pocket>, Error> {
    let mut found: Vec<(Pocket, &Option<String>)> = Vec::new();
    for FurtherSource { entry, keys } in &sources.further {
        let keyring = keys.as_ref().map_or_else(|| Ok(own.clone()), |keys| Keyring::from_bytes(&[keys.as_bytes()]))?;
        let places = entry.uris.iter().flat_map(|uri| entry.suites.iter().map(move |suite| (uri, suite)));
        for (uri, suite) in places.filter(|_| entry.binary) {
            let name = name(uri, suite);
            if let Some((known, other)) = found.iter_mut().find(|(pocket, _)| pocket.name == name) {
                if *other != keys {
                    let reason = "another source names the same archive with other keys".to_owned();
                    let hint = "name it once, with the keys that sign it";
                    return Err(Error::FurtherSource { entry: shown(entry), reason, hint });
                }
                let new = entry.components.iter().filter(|component| !known.components.contains(component));
                let new: Vec<String> = new.cloned().collect();
                known.components.extend(new);
                continue;
            }
            let further = Further { keyring: keyring.clone(), architectures: entry.architectures.clone() };
            let pocket = Pocket {
                name,
                suite: suite.clone(),
                mirrors: vec![uri.trim_end_matches('/').to_owned()],
                components: entry.components.clone(),
                ended: entry.check_valid_until == Some(false),
                further: Some(further),
                ..Pocket::default()
            };
            found.push((pocket, keys));
        }
    }
    Ok(found.into_iter().map(|(pocket, _)| pocket).collect())
}
