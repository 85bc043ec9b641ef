//! What happens during a run, as data for whoever shows it.

use crate::Target;

/// A part of the run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Stage {
    Source,
    Indexes,
    Plan,
    Unpack,
    Configure,
    Finish,
    Publish,
}

impl Stage {
    /// The stage in one word, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Indexes => "indexes",
            Self::Plan => "plan",
            Self::Unpack => "unpack",
            Self::Configure => "configure",
            Self::Finish => "finish",
            Self::Publish => "publish",
        }
    }
}

/// One thing that happened. Sent from several threads.
#[derive(Clone, Debug)]
pub enum Event {
    /// A stage began; a stage may come again for each group of packages.
    Stage(Stage),
    /// Something worth knowing that is no error: which mirror, which package goes through dpkg and why.
    Note(String),
    /// Something is not as it should be, and the run goes on.
    Warning(String),
    /// The plan stands: so many packages.
    Planned {
        /// How many.
        packages: usize,
    },
    /// What the downloads do.
    Fetch(rootstrap_fetch::Event),
    /// Something was looked for in a layer of the cache. Sent once for each thing, when it is known.
    Cache {
        /// What the things of the layer are called: `debs`.
        layer: &'static str,
        /// Whether it was there and right.
        hit: bool,
        /// How long it is, if that is worth telling, else 0.
        bytes: u64,
    },
    /// The files of so many packages are decoded.
    Unpacked {
        /// Package name.
        package: String,
    },
    /// dpkg began to configure a package.
    Configuring {
        /// Package name.
        package: String,
    },
    /// A line that a script or dpkg printed.
    Output(String),
}

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Packages installed.
    pub packages: usize,
    /// Bytes of .debs.
    pub deb_bytes: u64,
    /// Bytes of files in them.
    pub file_bytes: u64,
    /// Bytes of the archive before compression, where one was written.
    pub archive_bytes: Option<u64>,
    /// Codename of the suite.
    pub suite: String,
    /// Architectures, one unless it is an image of several platforms.
    pub architectures: Vec<String>,
    /// Digest of the container image, or of the index of several.
    pub digest: Option<String>,
    /// Id of the container image, as Docker and podman call it; of several, that of the first.
    pub image: Option<String>,
    /// Where it went.
    pub target: Target,
    /// Where the image was pushed, by its full name.
    pub pushed: Vec<String>,
    /// What could not be done as it should, a sentence each.
    pub limits: Vec<String>,
    /// Whether the second stage is still to be run.
    pub unfinished: bool,
}

/// Where events go.
pub type Report<'a> = &'a (dyn Fn(Event) + Sync);
