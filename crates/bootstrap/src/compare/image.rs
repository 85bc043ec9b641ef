//! Container images as files: OCI layouts in a directory or an archive, and archives of docker.

use crate::compare::inventory::{HashingReader, Inventory};
use crate::compare::root::ComparedRoot;
use crate::error::Error;
use rootstrap_sbom::LOCK_TYPE;
use rootstrap_unpack::list::{ListedKind, decoded, list};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The most bytes of a document of an image.
const DOCUMENT: u64 = 4 << 20;

/// The text of the error that ends the search in an archive that is no image.
const NO_IMAGE: &str = "no image";

/// How deep indexes may lie in indexes.
const DEPTH: usize = 4;

/// Where the files of an image are.
pub(super) enum Store {
    Directory(PathBuf),
    /// An archive, and its small files.
    Archive(PathBuf, BTreeMap<String, Vec<u8>>),
}

impl Store {
    /// Opens an image. Returns `None` for what is none.
    pub fn open(path: &Path, cancel: &AtomicBool) -> Result<Option<Self>, Error> {
        if path.is_dir() {
            let is_layout = path.join("oci-layout").is_file() && path.join("index.json").is_file();
            return Ok(is_layout.then(|| Self::Directory(path.to_owned())));
        }
        let mut documents = BTreeMap::new();
        let mut is_image = false;
        let file = File::open(path).map_err(Error::io("open", path))?;
        let listed = list(file, cancel, &mut |entry, contents| {
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            is_image |= name == "oci-layout" || name == "manifest.json";
            // A root filesystem is recognised by its first directory.
            if entry.what == ListedKind::Directory && matches!(name.as_str(), "usr" | "etc" | "bin" | "var") {
                return Err(io::Error::other(NO_IMAGE));
            }
            if let ListedKind::File(size) = entry.what
                && size <= DOCUMENT
            {
                let mut bytes = Vec::new();
                contents.read_to_end(&mut bytes)?;
                documents.insert(name, bytes);
            }
            Ok(())
        });
        match listed {
            Err(error) if error.io().to_string() == NO_IMAGE => Ok(None),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(is_image.then(|| Self::Archive(path.to_owned(), documents))),
        }
    }

    /// Returns a document; `None` if there is no such file, or a large one.
    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Archive(_, documents) => Ok(documents.get(name).cloned()),
            Self::Directory(path) => {
                let path = path.join(name);
                let mut bytes = Vec::new();
                match File::open(&path) {
                    Ok(file) => {
                        file.take(DOCUMENT).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
                        Ok(Some(bytes))
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Error::io("open", &path)(error)),
                }
            }
        }
    }

    /// Hands the contents of a file to `read`. Returns whether there is such a file.
    fn with(
        &self,
        name: &str,
        cancel: &AtomicBool,
        read: &mut dyn FnMut(&mut (dyn Read + Send)) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        match self {
            Self::Directory(path) => {
                let path = path.join(name);
                match File::open(&path) {
                    Ok(mut file) => read(&mut file).map(|()| true),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                    Err(error) => Err(Error::io("open", &path)(error)),
                }
            }
            Self::Archive(path, _) => {
                let file = File::open(path).map_err(Error::io("open", path))?;
                let (mut result, mut found) = (Ok(()), false);
                list(file, cancel, &mut |entry, contents| {
                    if entry.path == name.as_bytes() && !found {
                        found = true;
                        result = read(contents);
                    }
                    Ok(())
                })?;
                result.map(|()| found)
            }
        }
    }
}

/// Reads the roots of all platforms of an image.
///
/// # Errors
/// The image cannot be read, or its documents make no sense.
pub(super) fn roots(store: &Store, path: &Path, cancel: &AtomicBool) -> Result<Vec<ComparedRoot>, Error> {
    let reader = Reader { store, path, cancel };
    let mut roots = Vec::new();
    match (reader.json("index.json")?, reader.json("manifest.json")?) {
        (Some(index), _) => reader.index(&index, DEPTH, &mut roots)?,
        (None, Some(images)) => {
            for image in array(&images) {
                let layers: Vec<(String, Option<String>)> =
                    array(&image["Layers"]).iter().filter_map(|name| Some((name.as_str()?.to_owned(), None))).collect();
                roots.push(reader.root(text(&image["Config"]), &layers)?);
            }
        }
        (None, None) => {}
    }
    if roots.is_empty() { Err(reader.invalid("it names no root filesystem")) } else { Ok(roots) }
}

struct Reader<'a> {
    store: &'a Store,
    /// The image, for messages.
    path: &'a Path,
    cancel: &'a AtomicBool,
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

    fn blob(&self, descriptor: &Value) -> Result<Value, Error> {
        let digest = text(&descriptor["digest"]);
        self.json(&blob_path(digest))?.ok_or_else(|| self.invalid(&format!("it lacks {digest}")))
    }

    /// Reads the images of an index, without the statements about images.
    fn index(&self, index: &Value, depth: usize, roots: &mut Vec<ComparedRoot>) -> Result<(), Error> {
        for descriptor in array(&index["manifests"]) {
            if descriptor["platform"]["architecture"] == "unknown" {
                continue;
            }
            let document = self.blob(descriptor)?;
            if document["manifests"].is_array() {
                if depth == 0 {
                    return Err(self.invalid("its indexes lie in each other too often"));
                }
                self.index(&document, depth - 1, roots)?;
                continue;
            }
            let layers: Vec<(String, Option<String>)> = array(&document["layers"])
                .iter()
                .map(|layer| (blob_path(text(&layer["digest"])), Some(text(&layer["digest"]).to_owned())))
                .collect();
            let mut root = self.root(&blob_path(text(&document["config"]["digest"])), &layers)?;
            root.lock = self.lock(index, text(&descriptor["digest"]))?;
            roots.push(root);
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

    /// Reads a root from its layers, each with the digest that its manifest names.
    fn root(&self, config: &str, layers: &[(String, Option<String>)]) -> Result<ComparedRoot, Error> {
        let config = self.json(config)?.ok_or_else(|| self.invalid(&format!("it lacks {config}")))?;
        let diff_ids: Vec<&str> = array(&config["rootfs"]["diff_ids"]).iter().filter_map(Value::as_str).collect();
        let (mut inventory, mut findings, mut found) = (Inventory::default(), Vec::new(), Vec::new());
        for (number, (name, digest)) in layers.iter().enumerate() {
            let shown = digest.as_deref().unwrap_or(name);
            let mut digests = (String::new(), String::new());
            let is_there = self.store.with(name, self.cancel, &mut |blob| {
                match read_layer(blob, &mut inventory, self.cancel) {
                    Ok(read) => digests = read,
                    Err(Error::Cancelled) => return Err(Error::Cancelled),
                    Err(error) => findings.push(format!("layer {shown} is damaged: {}", with_cause(&error))),
                }
                Ok(())
            })?;
            if !is_there {
                findings.push(format!("layer {shown} is missing"));
            }
            let (of_blob, plain) = digests;
            if !of_blob.is_empty() && digest.as_ref().is_some_and(|digest| *digest != of_blob) {
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
        Ok(ComparedRoot { platform: Some(architecture + &variant), inventory, layers: found, lock: None, findings })
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
