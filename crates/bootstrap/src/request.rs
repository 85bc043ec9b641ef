//! What can be asked for: one plain struct that says everything a run depends on.

use crate::Error;
use rootstrap_fetch::Proxies;
use rootstrap_image::compress::Compression;
use rootstrap_resolve::Variant;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Where the result goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A directory that is absent or empty.
    Directory(PathBuf),
    /// A tar archive, replaced in one step.
    Archive(PathBuf, Compression),
    /// A tar archive on standard output.
    Stdout,
}

impl Target {
    /// What a path means by its ending; `-` is standard output.
    #[must_use]
    pub fn from_path(path: &Path) -> Self {
        if path.as_os_str() == "-" {
            return Self::Stdout;
        }
        match Compression::from_name(path) {
            Some(compression) => Self::Archive(path.to_owned(), compression),
            None => Self::Directory(path.to_owned()),
        }
    }
}

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
    /// Whether the result is a container base image: tidied further, with the settings such images have.
    pub image: bool,
    /// Whether nothing of the target is run now: what is left is done later by [`second_stage`](crate::second_stage). Makes
    /// no sense with `image` or [`Variant::Extract`].
    pub foreign: bool,
    /// Which packages to start from.
    pub variant: Variant,
    /// Debian architecture; the host's own if `None`.
    pub architecture: Option<String>,
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
            image: false,
            foreign: false,
            variant: Variant::default(),
            architecture: None,
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
            cancel: Arc::default(),
        }
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
