//! A layout of images: one archive or directory that Docker, podman, skopeo, umoci and containerd read.

use super::documents::{Descriptor, DockerImage, INDEX, Index, json};
use super::{Blob, Body, Image};
use crate::tar_record::{END, Record, padding};
use crate::{Error, Result};
use rootstrap_rootfs::Attributes;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use tar::EntryType;

/// A name of an image, in the forms that different readers look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name as Docker shows it, with its tag: `web:1`.
    pub familiar: String,
    /// The name with its registry: `docker.io/library/web:1`.
    pub full: String,
    /// The tag alone: `1`.
    pub tag: String,
}

/// Images ready to be written.
#[derive(Debug)]
pub struct Layout {
    /// Layers, configs and statements.
    blobs: Vec<Blob>,
    /// The manifests and the index. Each comes after those that it names, so the last is the one that a name of the image
    /// stands for.
    manifests: Vec<Blob>,
    /// The file `index.json`.
    index: Vec<u8>,
    /// The file `manifest.json`, which `docker load` reads.
    docker_images: Vec<u8>,
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Layout {
    /// Joins images of different platforms under `names`. The preferred image comes first.
    #[must_use]
    pub fn new(images: Vec<Image>, names: &[Name]) -> Self {
        let (mut blobs, mut manifests) = (Vec::new(), Vec::new());
        let (mut docker_images, mut descriptors, mut attested) = (Vec::new(), Vec::new(), Vec::new());
        let tags: Vec<String> = names.iter().map(|name| name.familiar.clone()).collect();
        // A single image without statements needs no index.
        let needs_index = images.len() > 1 || images.iter().any(|image| image.attestation.is_some());
        let annotations = images.first().map(|image| image.annotations().clone()).unwrap_or_default();
        for image in images {
            // Docker's older store knows no index and would give the name to one image after the other, and keep them all: so it sees the
            // preferred one alone.
            if docker_images.is_empty() {
                let (config, layers) = (path_of(&image.config.digest), vec![path_of(&image.layer.digest)]);
                docker_images.push(DockerImage { config, repo_tags: tags.clone(), layers });
            }
            let (descriptor, attestation) = image.descriptors();
            descriptors.push(descriptor);
            attested.extend(attestation);
            blobs.extend([image.layer, image.config]);
            manifests.push(image.manifest);
            if let Some(attestation) = image.attestation {
                blobs.extend(attestation.statements);
                blobs.push(attestation.config);
                manifests.push(attestation.manifest);
            }
        }
        // Statements come last, because readers take the first entry that fits.
        descriptors.extend(attested);
        let mut target = descriptors.first().cloned();
        if needs_index {
            let index = Index { schema_version: 2, media_type: INDEX, manifests: descriptors, annotations };
            let index = Blob::of_bytes(INDEX, json(&index));
            target = Some(index.descriptor());
            manifests.push(index);
        }
        let mut seen = BTreeSet::new();
        blobs.retain(|blob| seen.insert(blob.digest.clone()));
        let entries = target.iter().flat_map(|target| entries_for(target, names)).collect();
        let index = Index { schema_version: 2, media_type: INDEX, manifests: entries, annotations: Default::default() };
        Self { blobs, manifests, index: json(&index), docker_images: json(&docker_images) }
    }

    /// Returns the layers, configs and statements, each once.
    #[must_use]
    pub fn blobs(&self) -> &[Blob] {
        &self.blobs
    }

    /// The manifests and the index. Each comes after those that it names, so the last is the one that a name of the image
    /// stands for.
    #[must_use]
    pub fn manifests(&self) -> &[Blob] {
        &self.manifests
    }

    /// Returns the digest that a name of the image stands for: that of the only image, or of the index.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.manifests.last().map_or("", |last| &last.digest)
    }

    /// Writes the layout as one tar archive. The time of every entry is `epoch`. After an error, every reader recognizes the
    /// output as incomplete.
    ///
    /// # Errors
    /// A blob cannot be read, or `out` cannot be written.
    pub fn write_archive(&self, out: &mut dyn Write, epoch: i64) -> Result<()> {
        self.stream(out, epoch).inspect_err(|_| {
            let _ = crate::tar::spoil(out);
        })
    }

    fn stream(&self, out: &mut dyn Write, epoch: i64) -> Result<()> {
        let header = |name: &str, size: u64| {
            let (kind, mode) = match name.ends_with('/') {
                true => (EntryType::Directory, 0o755),
                false => (EntryType::Regular, 0o644),
            };
            let attributes = Attributes { mode, uid: 0, gid: 0, mtime: epoch };
            Record { kind, name: name.as_bytes(), attributes, size, link: b"", device: None, xattrs: Vec::new() }
                .header()
        };
        let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(Error::Write);
        put(&header("blobs/", 0))?;
        put(&header("blobs/sha256/", 0))?;
        for blob in self.sorted() {
            put(&header(&path_of(&blob.digest), blob.size))?;
            blob.read(&mut put)?;
            put(padding(blob.size))?;
        }
        for (name, contents) in self.files() {
            put(&header(name, contents.len() as u64))?;
            put(contents)?;
            put(padding(contents.len() as u64))?;
        }
        put(&END)?;
        out.flush().map_err(Error::Write)
    }

    /// Writes the layout into an empty directory.
    ///
    /// # Errors
    /// A blob cannot be read, or the directory cannot be written.
    pub fn write_directory(&self, directory: &Path) -> Result<()> {
        let blobs = directory.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).map_err(Error::Write)?;
        for blob in self.sorted() {
            let mut file = File::create(directory.join(path_of(&blob.digest))).map_err(Error::Write)?;
            match &blob.body {
                Body::Bytes(bytes) => file.write_all(bytes).map_err(Error::Write)?,
                // `io::copy` lets the kernel copy, and share blocks where the filesystem can.
                Body::File(contents) => {
                    let mut contents = contents;
                    contents.rewind().map_err(Error::Write)?;
                    let copied = io::copy(&mut contents.take(blob.size), &mut file).map_err(Error::Write)?;
                    if copied != blob.size {
                        return Err(Error::Write(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
            }
        }
        for (name, contents) in self.files() {
            std::fs::write(directory.join(name), contents).map_err(Error::Write)?;
        }
        Ok(())
    }

    /// Returns all blobs in the order of their digests.
    fn sorted(&self) -> Vec<&Blob> {
        let mut all: Vec<&Blob> = self.blobs.iter().chain(&self.manifests).collect();
        all.sort_by(|a, b| a.digest.cmp(&b.digest));
        all
    }

    fn files(&self) -> [(&'static str, &[u8]); 3] {
        [("index.json", &self.index), ("manifest.json", &self.docker_images), ("oci-layout", LAYOUT)]
    }
}

impl Blob {
    fn read(&self, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut file = match &self.body {
            Body::Bytes(bytes) => return put(bytes),
            Body::File(file) => file,
        };
        file.rewind().map_err(Error::Write)?;
        let mut buffer = vec![0; 1 << 18];
        let mut left = self.size;
        while left > 0 {
            let length = match file.take(left).read(&mut buffer) {
                Ok(0) => return Err(Error::Write(io::ErrorKind::UnexpectedEof.into())),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Write(error)),
            };
            put(buffer.get(..length).unwrap_or_default())?;
            left -= length as u64;
        }
        Ok(())
    }
}

/// Returns the path of a blob in the layout.
fn path_of(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// Returns an entry of `index.json` for each name, or one entry without a name. containerd and podman look for the full name
/// first, skopeo and umoci for the tag.
fn entries_for(target: &Descriptor, names: &[Name]) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![target.clone()];
    }
    let mut tags = BTreeSet::new();
    let mut entry = |name: &Name| {
        let mut descriptor = target.clone();
        let mut annotate = |key: &str, value: &str| descriptor.annotations.insert(key.to_owned(), value.to_owned());
        annotate("io.containerd.image.name", &name.full);
        // The annotation that skopeo and umoci look for may be there only once.
        if tags.insert(name.tag.clone()) {
            annotate("org.opencontainers.image.ref.name", &name.tag);
        }
        descriptor
    };
    names.iter().map(&mut entry).collect()
}
