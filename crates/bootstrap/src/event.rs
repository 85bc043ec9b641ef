//! What happens during a run, as data. The command line shows it.

use std::time::{Duration, Instant};

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

/// How long each stage took. The times of a stage that begins several times are added up. Of several platforms, the stages of the first one are
/// timed, and those that all have in common.
#[derive(Debug, Default)]
pub struct StageTimes {
    platform: Option<String>,
    current: Option<(Stage, Instant)>,
    times: Vec<(Stage, Duration)>,
}

impl StageTimes {
    /// Ends the current stage and begins the next one. Returns whether that one never began before.
    pub fn begin(&mut self, platform: Option<&str>, stage: Stage) -> bool {
        if let Some(platform) = platform
            && self.platform.get_or_insert_with(|| platform.to_owned()) != platform
        {
            return false;
        }
        let is_first = !self.times.iter().any(|(known, _)| *known == stage)
            && self.current.is_none_or(|(current, _)| current != stage);
        self.end();
        self.current = Some((stage, Instant::now()));
        is_first
    }

    /// Ends the current stage.
    pub fn end(&mut self) {
        let Some((stage, since)) = self.current.take() else { return };
        match self.times.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, time)) => *time += since.elapsed(),
            None => self.times.push((stage, since.elapsed())),
        }
    }

    /// Returns the stages that have ended, in the order in which they began.
    #[must_use]
    pub fn times(&self) -> &[(Stage, Duration)] {
        &self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_of_one_platform_are_timed() {
        let mut times = StageTimes::default();
        assert!(times.begin(None, Stage::Indexes));
        assert!(times.begin(Some("arm64"), Stage::Unpack));
        assert!(!times.begin(Some("amd64"), Stage::Configure), "another platform");
        assert!(times.begin(Some("arm64"), Stage::Configure));
        assert!(!times.begin(Some("arm64"), Stage::Unpack), "the next group of packages");
        assert!(times.begin(None, Stage::Publish));
        times.end();
        let names: Vec<&str> = times.times().iter().map(|(stage, _)| stage.name()).collect();
        assert_eq!(names, ["indexes", "unpack", "configure", "publish"]);
    }
}
