//! The form of the result, and where it goes.

use crate::request::container::{Container, Push};
use crate::request::target::Target;
use rootstrap_image::compress::Compression;
use std::path::PathBuf;

/// What the root is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A system to boot or to work in.
    #[default]
    System,
    /// A container base image: tidied further, with the settings that such images have.
    BaseImage,
    /// The first of two stages: nothing of the target is run, and [`second_stage`](crate::second_stage) finishes the tree later.
    FirstStage,
}

/// What is made of the root, and where it goes.
#[derive(Clone, Debug)]
pub struct Output {
    /// Where the result goes, and in which format.
    pub target: Target,
    /// Whether a directory target may have something in it. What is there stays, unless the root has a file of the same name. These
    /// files, relative to the target, stay also then.
    pub into_nonempty: Option<Vec<PathBuf>>,
    /// What a filesystem is like that is made of the root.
    pub filesystem: Filesystem,
    /// What the root is for. Every target that is a container image implies [`Purpose::BaseImage`].
    pub purpose: Purpose,
    /// The settings of a container image.
    pub container: Container,
    /// Whether the index of an image says what the image is made of and where that came from, as SPDX and SLSA provenance.
    pub attest: bool,
    /// Where SBOMs go. The end of each name says in which format: `.spdx.json` or `.spdx`; `.cdx.json`, `.cdx` or `bom.json`.
    pub sboms: Vec<PathBuf>,
    /// Files of the finished root that are written beside the result.
    pub downloads: Vec<Download>,
    /// Where an image is pushed.
    pub push: Push,
    /// The architectures of further roots, for one image of several platforms.
    pub further_platforms: Vec<String>,
    /// The epoch of the result, in seconds since 1970; the date of the newest Release file if `None`.
    pub epoch: Option<i64>,
}

/// What an ext4 filesystem is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filesystem {
    /// Its size in bytes, rounded up to blocks of 4096; as large as the root needs, with free space, if `None`.
    pub size: Option<u64>,
    /// Its label, of at most 16 bytes.
    pub label: Option<String>,
    /// Its UUID; one that follows from the content if `None`.
    pub uuid: Option<[u8; 16]>,
}

/// A file of the finished root, and its place on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// An absolute path in the root. Links are followed inside the root.
    pub from: PathBuf,
    /// A file of the host, which is replaced.
    pub to: PathBuf,
}

impl Filesystem {
    /// Returns the name of the first option that is set.
    pub(crate) fn first_option(&self) -> Option<&'static str> {
        let Self { size, label, uuid } = self;
        let options = [("--fs-size", size.is_some()), ("--fs-label", label.is_some()), ("--fs-uuid", uuid.is_some())];
        options.into_iter().find(|(_, is_set)| *is_set).map(|(name, _)| name)
    }
}

impl Output {
    /// Returns a plain result at `target`.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            into_nonempty: None,
            filesystem: Filesystem::default(),
            purpose: Purpose::default(),
            container: Container::default(),
            attest: false,
            sboms: Vec::new(),
            downloads: Vec::new(),
            push: Push::default(),
            further_platforms: Vec::new(),
            epoch: None,
        }
    }

    /// Returns whether a container image is made, for the target or to be pushed.
    #[must_use]
    pub fn makes_image(&self) -> bool {
        self.target.layer().is_some() || !self.push.names.is_empty()
    }

    /// Returns whether the root gets the content of a container base image.
    #[must_use]
    pub fn is_base_image(&self) -> bool {
        self.purpose == Purpose::BaseImage || self.makes_image()
    }

    /// Returns whether nothing of the target is run now.
    #[must_use]
    pub fn is_first_stage(&self) -> bool {
        self.purpose == Purpose::FirstStage
    }

    /// Returns the compression of an image's layer, if one is set.
    pub(crate) fn layer_compression(&self) -> Option<Compression> {
        self.target.layer().or(self.push.compression)
    }
}
