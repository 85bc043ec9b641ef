//! What can be asked for: one plain struct that says everything a run depends on.

use crate::bill::of_platform;
use crate::container::Container;
use crate::copies::Copy;
use crate::{Error, Target};
use rootstrap_fetch::Proxies;
use rootstrap_image::compress::Compression;
use rootstrap_registry::Credentials;
use rootstrap_resolve::Variant;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Where a root grows before it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StagingPlace {
    /// In memory, or on disk where that is too small or not to be had.
    #[default]
    Auto,
    /// In memory, or not at all.
    Memory,
    /// Beside a directory target; for archives in the temporary directory.
    Disk,
}

/// What the host says of itself, read by the caller.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// `uname -m`.
    pub machine: String,
    /// The text of `/etc/os-release`.
    pub os_release: String,
    /// Where programs are looked for (`PATH`).
    pub programs: Vec<PathBuf>,
    /// apt's sources, as file name and contents.
    pub sources: Vec<(String, String)>,
    /// The proxies of the environment, or apt's.
    pub proxies: Proxies,
}

/// Everything a run depends on. Times are seconds since 1970.
#[derive(Clone, Debug)]
pub struct Request {
    /// Codename, alias or version of the suite.
    pub suite: String,
    /// Where the result goes.
    pub target: Target,
    /// Where bills of materials go. The endings of their names say in which format: `.spdx.json` and `.spdx`, or `.cdx.json`,
    /// `.cdx` and `bom.json`.
    pub sboms: Vec<PathBuf>,
    /// Whether the result is a container base image: tidied further, with the settings such images have. That it is
    /// wherever the target is one.
    pub image: bool,
    /// What is asked of it.
    pub container: Container,
    /// Whether it says what it is made of and where that came from: SPDX and SLSA provenance in its index.
    pub attest: bool,
    /// Where it is pushed, as `docker push` names it.
    pub push: Vec<String>,
    /// How the layer of an image is compressed that is only pushed.
    pub compression: Option<Compression>,
    /// Whether registries need not prove who they are.
    pub insecure_registry: bool,
    /// Who pushes there, one for each: see [`Self::find_credentials`].
    pub credentials: Vec<Credentials>,
    /// Whether documentation, manuals and translations are left out, now and by the target's own dpkg later.
    pub slim: bool,
    /// The host's files to put into the finished root, in this order. Makes no sense with `foreign`.
    pub copies: Vec<Copy>,
    /// Whether nothing of the target is run now: what is left is done later by [`second_stage`](crate::second_stage). Makes
    /// no sense with `image` or a variant that [runs no scripts](Variant::runs_scripts).
    pub foreign: bool,
    /// Which packages to start from.
    pub variant: Variant,
    /// Debian architecture; the host's own if `None`.
    pub architecture: Option<String>,
    /// Architectures of further roots, for one image of several platforms.
    pub further_platforms: Vec<String>,
    /// Further architectures of the root, whose packages can be included as `name:arch`.
    pub add_architectures: Vec<String>,
    /// Packages to add.
    pub include: Vec<String>,
    /// Packages that must not be there.
    pub exclude: Vec<String>,
    /// Whether recommended packages are taken too.
    pub recommends: bool,
    /// Components to choose from; the vendor's default if empty.
    pub components: Vec<String>,
    /// Names of the pockets to choose from (`release`, `updates`, `security`, `backports`); all but the last if empty.
    pub pockets: Vec<String>,
    /// Mirrors to use instead of any other, in the order to try. The first is written into the target.
    pub mirrors: Vec<String>,
    /// Keyring files to trust instead of the suite's own.
    pub keyrings: Vec<PathBuf>,
    /// The cache directory, or `None` to keep nothing.
    pub cache: Option<PathBuf>,
    /// Use no network.
    pub offline: bool,
    /// How many debs to download at once.
    pub jobs: usize,
    /// The moment at which expiry is judged instead of `now`.
    pub valid_at: Option<i64>,
    /// Whether a Release older than the last one seen will do.
    pub allow_rollback: bool,
    /// The epoch of the result; the newest Release's date if `None`.
    pub epoch: Option<i64>,
    /// The present.
    pub now: i64,
    /// What the host says of itself.
    pub host: Host,
    /// Where the root grows.
    pub staging: StagingPlace,
    /// Where archives are staged on disk, and downloads lie that are not kept.
    pub temporary: PathBuf,
    /// Whether the result is on the disk, and not only on its way there, when the run ends.
    pub sync: bool,
    /// Set from outside to stop.
    pub cancel: Arc<AtomicBool>,
}

impl Request {
    /// A request for `suite` with the defaults of the command line.
    #[must_use]
    pub fn new(suite: &str, target: Target, now: i64) -> Self {
        Self {
            suite: suite.to_owned(),
            target,
            sboms: Vec::new(),
            image: false,
            container: Container::default(),
            attest: false,
            push: Vec::new(),
            compression: None,
            insecure_registry: false,
            credentials: Vec::new(),
            slim: false,
            copies: Vec::new(),
            foreign: false,
            variant: Variant::default(),
            architecture: None,
            further_platforms: Vec::new(),
            add_architectures: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            recommends: false,
            components: Vec::new(),
            pockets: Vec::new(),
            mirrors: Vec::new(),
            keyrings: Vec::new(),
            cache: None,
            offline: false,
            jobs: 16,
            valid_at: None,
            allow_rollback: false,
            epoch: None,
            now,
            host: Host::default(),
            staging: StagingPlace::default(),
            temporary: PathBuf::from("/tmp"),
            sync: true,
            cancel: Arc::default(),
        }
    }

    /// Whether a container image is made, be it to be pushed.
    #[must_use]
    pub fn makes_image(&self) -> bool {
        self.target.layer().is_some() || !self.push.is_empty()
    }

    /// This request once for each architecture that a root is made for.
    ///
    /// # Errors
    /// As [`Self::architecture`]; or there are several and no image is made.
    pub fn platforms(&self) -> Result<Vec<Self>, Error> {
        let mut all = vec![self.architecture()?.to_owned()];
        for name in &self.further_platforms {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        let only_pushed = self.target == Target::Nowhere && !self.push.is_empty();
        if all.len() > 1 && self.target.layer().is_none() && !only_pushed {
            return Err(Error::SeveralPlatforms);
        }
        let several = all.len() > 1;
        let of = |architecture: String| {
            let sbom = |path: &PathBuf| if several { of_platform(path, &architecture) } else { path.clone() };
            let sboms = self.sboms.iter().map(sbom).collect();
            Self { sboms, architecture: Some(architecture), further_platforms: Vec::new(), ..self.clone() }
        };
        let all: Vec<Self> = all.into_iter().map(of).collect();
        for request in &all {
            let architecture = request.architecture()?;
            if self.makes_image() {
                crate::container::platform(architecture)?;
            }
        }
        Ok(all)
    }

    /// The architecture asked for, or the host's own.
    ///
    /// # Errors
    /// It is none, or cannot be run here.
    pub fn architecture(&self) -> Result<&str, Error> {
        let native = rootstrap_debian::arch::from_machine(&self.host.machine);
        let wanted = match (self.architecture.as_deref(), native) {
            (Some(wanted), _) => wanted,
            (None, Some(native)) => native,
            (None, None) => return Err(Error::UnknownMachine { machine: self.host.machine.clone() }),
        };
        let mut all = std::iter::once(wanted).chain(self.add_architectures.iter().map(String::as_str));
        if let Some(name) = all.find(|name| !rootstrap_debian::arch::is_valid(name)) {
            return Err(Error::UnknownArchitecture { name: name.to_owned() });
        }
        Ok(wanted)
    }

    /// The native architecture and the further ones of the root, each once.
    ///
    /// # Errors
    /// As [`Self::architecture`].
    pub fn architectures(&self) -> Result<Vec<&str>, Error> {
        let mut all = vec![self.architecture()?];
        for name in &self.add_architectures {
            if name != "all" && !all.contains(&name.as_str()) {
                all.push(name);
            }
        }
        Ok(all)
    }
}
