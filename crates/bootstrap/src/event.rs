//! What happens during a run, as data. The command line shows it.

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
    /// Returns the stage in one word, for people.
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

/// One thing that happened. Several threads send events.
#[derive(Clone, Debug)]
pub enum Event {
    /// A stage began. A stage begins again for each group of packages.
    Stage(Stage),
    /// Something worth knowing: which mirror is used, which package goes through dpkg and why.
    Note(String),
    /// Something is wrong, and the run goes on.
    Warning(String),
    /// The plan is made.
    Planned {
        /// How many packages it has.
        packages: usize,
    },
    /// Something happened to a download.
    Fetch(rootstrap_fetch::Event),
    /// One file or entry was looked up in the cache.
    Cache {
        /// What was looked up, in the plural: `debs`.
        layer: &'static str,
        /// Whether the cache had it, undamaged.
        hit: bool,
        /// Its length in bytes; 0 for kinds whose bytes are not counted.
        bytes: u64,
    },
    /// A thread begins to decode a package. The same thread says when it is [`Unpacked`](Self::Unpacked).
    Unpacking {
        /// Package name, or its label before that is known.
        package: String,
    },
    /// The preinst of a package begins to run.
    Preinst {
        /// Package name.
        package: String,
    },
    /// The files of a package are decoded.
    Unpacked {
        /// Package name.
        package: String,
    },
    /// dpkg began to configure a package.
    Configuring {
        /// Package name.
        package: String,
    },
    /// An archive is begun.
    Packing {
        /// About how many bytes it will have, before compression: the size of all files that packages brought.
        bytes: u64,
    },
    /// More of an archive was written.
    Packed {
        /// How many bytes, before compression.
        bytes: u64,
    },
    /// A line that a script or dpkg printed.
    Output(String),
    /// Something happened to one root of several that are built for one image.
    Of {
        /// Its Debian architecture.
        architecture: String,
        /// What happened.
        event: Box<Event>,
    },
    /// Another build of the same plan can have something else there.
    Varying {
        /// An absolute path in the root. A slash at its end means all that is below a directory, and a star all names that begin so.
        path: &'static str,
        /// The reason, in a few words.
        reason: &'static str,
    },
}

/// Where events go.
pub type Report<'a> = &'a (dyn Fn(Event) + Sync);
