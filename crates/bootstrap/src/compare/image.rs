//! Container images as files: OCI layouts in a directory or an archive, and archives of docker.

use crate::compare::inventory::{HashingReader, Inventory};
use crate::compare::root::ComparedRoot;
use crate::compare::settings::settings;
use crate::compare::store::Store;
use crate::error::{Error, go_on};
use rootstrap_rootfs::Root;
use rootstrap_sbom::LOCK_TYPE;
use rootstrap_unpack::list::decoded;
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The most roots, and the most layers of a root.
const ROOTS: usize = 256;
const LAYERS: usize = 1000;

/// The most documents that are read of an image: indexes may name one document again and again.
const DOCUMENTS: usize = 10_000;

/// How deep indexes may lie in indexes.
const DEPTH: usize = 4;

/// Reads the roots of all platforms of an image.
///
/// # Errors
/// The image cannot be read, or its documents make no sense.
pub(super) fn roots(store: &Store, path: &Path, cancel: &AtomicBool) -> Result<Vec<ComparedRoot>, Error> {
    let reader = Reader { store, path, cancel, visited: Cell::new(0) };
    let mut roots = Vec::new();
    let (index, images) = (reader.json("index.json")?, reader.json("manifest.json")?);
    if let Some(index) = &index {
        reader.index(index, DEPTH, &mut roots)?;
    }
    let known: Vec<Parts> = roots.iter().map(|(_, parts): &(_, Parts)| parts.clone()).collect();
    for image in images.iter().flat_map(array) {
        let layers = array(&image["Layers"]).iter().filter_map(Value::as_str);
        let parts = Parts { config: text(&image["Config"]).to_owned(), layers: layers.map(str::to_owned).collect() };
        match &index {
            None => roots.push((reader.root(&parts, &[])?, parts)),
            // docker's older store reads this list, and all others read the index.
            Some(_) if !known.contains(&parts) => {
                return Err(reader.invalid("its manifest.json names another image than its index.json"));
            }
            Some(_) => {}
        }
    }
    let roots: Vec<ComparedRoot> = roots.into_iter().map(|(root, _)| root).collect();
    if roots.is_empty() { Err(reader.invalid("it names no root filesystem")) } else { Ok(roots) }
}

/// Returns an annotation that all images at a path have alike, and the digest of what has the image's name there. Returns `None` where there
/// is no image, and for images that do not have it or cannot be read.
pub(crate) fn annotation(path: &Path, name: &str, cancel: &AtomicBool) -> Option<(String, String)> {
    let store = Store::open(path, cancel).ok()??;
    let reader = Reader { store: &store, path, cancel, visited: Cell::new(0) };
    let index = reader.json("index.json").ok()??;
    let (first, mut found) = (array(&index["manifests"]).first()?, BTreeSet::new());
    reader.annotations(&index, name, DEPTH, &mut found)?;
    let only = found.pop_first().filter(|_| found.is_empty())?;
    Some((only, text(&first["digest"]).to_owned()))
}

/// Returns how many bytes an archive, or the blobs of an image in a directory, have.
pub(crate) fn image_size(path: &Path, of_file: u64) -> u64 {
    let blobs = std::fs::read_dir(path.join("blobs/sha256"));
    let lengths = blobs.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
    of_file.saturating_add(lengths.sum())
}

/// Unpacks the layer of an image into an empty root: of several platforms that of the architecture `own`, as images name it. Where there is none,
/// it is the first, unless `is_wanted` says that it has to be that one. Returns `false` if there is no image at the path.
///
/// # Errors
/// The image cannot be read or has other bytes than it names, or has several layers.
pub(crate) fn extract_image(
    path: &Path,
    root: &Root,
    (own, is_wanted): (&str, bool),
    cancel: &AtomicBool,
) -> Result<bool, Error> {
    let Some(store) = Store::open(path, cancel)? else { return Ok(false) };
    let reader = Reader { store: &store, path, cancel, visited: Cell::new(0) };
    let mut images: Vec<(String, Vec<String>)> = Vec::new();
    if let Some(index) = reader.json("index.json")? {
        reader.layers(&index, DEPTH, &mut images)?;
    } else {
        for image in reader.json("manifest.json")?.iter().flat_map(array) {
            let layers = array(&image["Layers"]).iter().filter_map(Value::as_str).map(str::to_owned);
            images.push((String::new(), layers.collect()));
        }
    }
    let of_own = images.iter().find(|(architecture, _)| architecture == own);
    if of_own.is_none() && is_wanted && images.iter().all(|(architecture, _)| !architecture.is_empty()) {
        let there: Vec<&str> = images.iter().map(|(architecture, _)| architecture.as_str()).collect();
        return Err(reader.invalid(&format!("it has no root for {own}, only for {}", there.join(", "))));
    }
    let chosen = of_own.or(images.first());
    let (_, layers) = chosen.ok_or_else(|| reader.invalid("it names no root filesystem"))?;
    let [layer] = layers.as_slice() else {
        return Err(reader.invalid("it has several layers, and one can be unpacked"));
    };
    let name = if layer.contains(':') { blob_path(layer) } else { layer.clone() };
    let is_there = store.with(&name, cancel, &mut |blob| {
        let mut bytes = HashingReader::new(blob);
        rootstrap_unpack::archive::extract(&mut bytes, root, cancel)?;
        let failed = |error| Error::from(rootstrap_unpack::archive::Error::Archive(error));
        io::copy(&mut bytes, &mut io::sink()).map_err(failed)?;
        let found = format!("sha256:{}", rootstrap_debian::digest::Digest::Sha256(bytes.finish().1));
        if layer.contains(':') && found != *layer {
            return Err(reader.invalid(&format!("layer {layer} has other bytes: their digest is {found}")));
        }
        Ok(())
    })?;
    if is_there { Ok(true) } else { Err(reader.invalid(&format!("layer {layer} is missing"))) }
}

/// The files that an image consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    config: String,
    layers: Vec<String>,
}

struct Reader<'a> {
    store: &'a Store,
    /// The image, for messages.
    path: &'a Path,
    cancel: &'a AtomicBool,
    /// How many documents were read.
    visited: Cell<usize>,
}

impl Reader<'_> {
    fn invalid(&self, reason: &str) -> Error {
        Error::NotComparable { path: self.path.to_owned(), reason: reason.to_owned() }
    }

    fn json(&self, name: &str) -> Result<Option<Value>, Error> {
        let parse = |bytes: Vec<u8>| serde_json::from_slice(&bytes);
        let parsed = self.store.document(name)?.map(parse).transpose();
        parsed.map_err(|error| self.invalid(&format!("{name} is damaged: {error}")))
    }

    /// Returns the document that a descriptor names.
    fn blob(&self, descriptor: &Value) -> Result<Value, Error> {
        go_on(self.cancel)?;
        self.visited.set(self.visited.get() + 1);
        if self.visited.get() > DOCUMENTS {
            return Err(self.invalid("it has too many documents"));
        }
        let digest = text(&descriptor["digest"]);
        let name = blob_path(digest);
        let bytes = self.store.document(&name)?.ok_or_else(|| self.invalid(&format!("it lacks {digest}")))?;
        if sha256(&bytes) != digest {
            return Err(self.invalid(&format!("{digest} has other bytes: their digest is {}", sha256(&bytes))));
        }
        serde_json::from_slice(&bytes).map_err(|error| self.invalid(&format!("{digest} is damaged: {error}")))
    }

    /// Collects an annotation of all images of an index. Returns `None` if one does not have it.
    fn annotations(&self, index: &Value, name: &str, depth: usize, found: &mut BTreeSet<String>) -> Option<()> {
        for descriptor in array(&index["manifests"]) {
            if descriptor["platform"]["architecture"] == "unknown" {
                continue;
            }
            let document = self.blob(descriptor).ok()?;
            if document["manifests"].is_array() {
                self.annotations(&document, name, depth.checked_sub(1)?, found)?;
                continue;
            }
            found.insert(document["annotations"][name].as_str()?.to_owned());
        }
        Some(())
    }

    /// Reads the images of an index, without the statements about images.
    fn index(&self, index: &Value, depth: usize, roots: &mut Vec<(ComparedRoot, Parts)>) -> Result<(), Error> {
        for descriptor in array(&index["manifests"]) {
            if descriptor["platform"]["architecture"] == "unknown" {
                continue;
            }
            let document = self.blob(descriptor)?;
            if document["manifests"].is_array() && document["layers"].is_array() {
                return Err(self.invalid("a document of it can be read as an index and as an image"));
            }
            if roots.len() >= ROOTS {
                return Err(self.invalid("it has too many images"));
            }
            if document["manifests"].is_array() {
                if depth == 0 {
                    return Err(self.invalid("its indexes lie in each other too often"));
                }
                self.index(&document, depth - 1, roots)?;
                continue;
            }
            let digests: Vec<&str> = array(&document["layers"]).iter().map(|layer| text(&layer["digest"])).collect();
            self.blob(&document["config"])?;
            let parts = Parts {
                config: blob_path(text(&document["config"]["digest"])),
                layers: digests.iter().map(|digest| blob_path(digest)).collect(),
            };
            let mut root = self.root(&parts, &digests)?;
            root.lock = self.lock(index, text(&descriptor["digest"]))?;
            roots.push((root, parts));
        }
        Ok(())
    }

    /// Adds the architecture and the layers of each image of an index.
    fn layers(&self, index: &Value, depth: usize, images: &mut Vec<(String, Vec<String>)>) -> Result<(), Error> {
        for descriptor in array(&index["manifests"]) {
            let architecture = text(&descriptor["platform"]["architecture"]);
            if architecture == "unknown" {
                continue;
            }
            let document = self.blob(descriptor)?;
            if document["manifests"].is_array() {
                if depth == 0 {
                    return Err(self.invalid("its indexes lie in each other too often"));
                }
                self.layers(&document, depth - 1, images)?;
                continue;
            }
            let layers = array(&document["layers"]).iter().map(|layer| text(&layer["digest"]).to_owned());
            images.push((architecture.to_owned(), layers.collect()));
        }
        Ok(())
    }

    /// Returns the text of the lock in the attestation of an image.
    fn lock(&self, index: &Value, image: &str) -> Result<Option<String>, Error> {
        let is_about = |descriptor: &&Value| descriptor["annotations"]["vnd.docker.reference.digest"] == image;
        let Some(descriptor) = array(&index["manifests"]).iter().find(is_about) else { return Ok(None) };
        let manifest = self.blob(descriptor)?;
        let is_lock = |layer: &&Value| layer["annotations"]["in-toto.io/predicate-type"] == LOCK_TYPE;
        let Some(layer) = array(&manifest["layers"]).iter().find(is_lock) else { return Ok(None) };
        Ok(self.blob(layer)?["predicate"]["lock"].as_str().map(str::to_owned))
    }

    /// Reads a root from its layers. `digests` are those that its manifest names, if it has one.
    fn root(&self, parts: &Parts, digests: &[&str]) -> Result<ComparedRoot, Error> {
        let Parts { config, layers } = parts;
        if layers.len() > LAYERS {
            return Err(self.invalid("it has too many layers"));
        }
        let config = self.json(config)?.ok_or_else(|| self.invalid(&format!("it lacks {config}")))?;
        let diff_ids: Vec<&str> = array(&config["rootfs"]["diff_ids"]).iter().filter_map(Value::as_str).collect();
        let (mut inventory, mut findings, mut found) = (Inventory::default(), Vec::new(), Vec::new());
        for (number, name) in layers.iter().enumerate() {
            let digest = digests.get(number).copied();
            let shown = digest.unwrap_or(name);
            let mut read_digests = (String::new(), String::new());
            let is_there = self.store.with(name, self.cancel, &mut |blob| {
                match read_layer(blob, &mut inventory, self.cancel) {
                    Ok(read) => read_digests = read,
                    Err(Error::Cancelled) => return Err(Error::Cancelled),
                    Err(error) => findings.push(format!("layer {shown} is damaged: {}", with_cause(&error))),
                }
                Ok(())
            })?;
            if !is_there {
                findings.push(format!("layer {shown} is missing"));
            }
            let (of_blob, plain) = read_digests;
            if !of_blob.is_empty() && digest.is_some_and(|digest| digest != of_blob) {
                findings.push(format!("layer {shown} has other bytes: their digest is {of_blob}"));
            }
            if !plain.is_empty() && diff_ids.get(number).is_some_and(|known| *known != plain) {
                findings
                    .push(format!("layer {shown} is another one than its image names: {plain} without compression"));
            }
            found.push(plain);
        }
        let architecture = text(&config["architecture"]).to_owned();
        let variant = config["variant"].as_str().map(|variant| format!("/{variant}")).unwrap_or_default();
        let platform = Some(architecture + &variant);
        let settings = Some(settings(&config["config"]));
        Ok(ComparedRoot { platform, inventory, layers: found, settings, lock: None, findings })
    }
}

/// Lists a layer. Returns the digests of its bytes with and without compression.
fn read_layer(
    blob: &mut (dyn Read + Send),
    inventory: &mut Inventory,
    cancel: &AtomicBool,
) -> Result<(String, String), Error> {
    let failed = |error| Error::from(rootstrap_unpack::archive::Error::Archive(error));
    let mut bytes = HashingReader::new(blob);
    let mut plain = HashingReader::new(decoded(&mut bytes).map_err(failed)?);
    inventory.add_archive(&mut plain, true, cancel)?;
    io::copy(&mut plain, &mut io::sink()).map_err(failed)?;
    let (_, of_plain) = plain.finish();
    io::copy(&mut bytes, &mut io::sink()).map_err(failed)?;
    let name = |digest: [u8; 32]| format!("sha256:{}", rootstrap_debian::digest::Digest::Sha256(digest));
    Ok((name(bytes.finish().1), name(of_plain)))
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    format!("sha256:{}", rootstrap_debian::digest::Digest::Sha256(sha2::Sha256::digest(bytes).into()))
}

fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns where a layout has a blob. What is no digest leads to no file.
fn blob_path(digest: &str) -> String {
    let is_name = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match digest.split_once(':').filter(|(algorithm, hex)| is_name(algorithm) && is_name(hex)) {
        Some((algorithm, hex)) => format!("blobs/{algorithm}/{hex}"),
        None => "blobs/none".to_owned(),
    }
}
