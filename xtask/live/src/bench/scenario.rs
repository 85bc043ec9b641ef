//! The scenarios of the benchmark and their limits, as data.
/// The scenarios that compare more than single runs of one command, in the order of the document.
pub const NIGHTLY: &str = "nightly";
pub const TEN: &str = "ten";
pub const LARGE: &str = "large";
pub const DISK: &str = "disk";
pub const SPECIAL: [&str; 4] = [NIGHTLY, TEN, LARGE, DISK];
/// The heading of the first.
pub const NIGHTLY_HEADING: &str = "## nightly: ten images of trixie and noble";

/// What is cached before a run, and the form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing cached; a directory.
    Cold,
    /// Nothing cached; an image on standard output, compared with rootstrap's own run to a directory.
    Image,
    /// A cache that the same command filled, and one package more; a directory.
    Warm,
    /// A cache that the same command filled; an archive.
    Unchanged,
    /// Nothing cached; rootstrap as an ordinary user, compared with rootstrap as root.
    Rootless,
    /// Nothing cached; one image for two architectures, compared with an image for one.
    Platforms,
    /// A cache that builds of the same plan filled, and another copied file; an image, compared with one whose scripts run again.
    SamePackages,
}

/// One section of the document.
#[derive(Debug)]
pub struct Scenario {
    /// The name that `--scenario` takes.
    pub name: &'static str,
    /// The cache and the result.
    pub kind: Kind,
    /// The codename of the suite.
    pub suite: &'static str,
    /// The variant.
    pub variant: &'static str,
    /// The architecture, if it is not this machine's.
    pub arch: Option<&'static str>,
    /// Whether the floor of this machine is measured too.
    pub floor: bool,
    /// The first sentence of the section.
    pub about: &'static str,
    /// The limits of our time: the name of another row, and the largest ratio of our time to that row's.
    pub limits: &'static [(&'static str, f64)],
}

/// The limit of our peak memory in every scenario, in MiB: 120 MB.
pub const MEMORY: f64 = 114.4;

/// The row of rootstrap to a directory, in the scenario of an image.
pub const DIRECTORY: &str = "rootstrap to a directory";
/// The row of rootstrap as root, in the scenario of an ordinary user.
pub const ROOT: &str = "rootstrap as root";
/// The row of an image for one architecture, in the scenario of two.
pub const ALONE: &str = "rootstrap for amd64 alone";
/// The row of rootstrap without what an earlier build of the plan has left but for downloads and the first phase.
pub const ANEW: &str = "rootstrap, scripts anew";
/// The row with the sum of the parts of the floor.
pub const FLOOR: &str = "floor";

/// All scenarios, in the order of the document.
pub const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "cold",
        kind: Kind::Cold,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: true,
        about: "Into an empty directory, nothing cached before.",
        limits: &[("mmdebstrap", 0.24), ("rdebootstrap", 0.85), (FLOOR, 1.12)],
    },
    Scenario {
        name: "warm",
        kind: Kind::Warm,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: false,
        about: "Into an empty directory. Each tool has run once and kept what it can; then each run has one included \
                package more, another in each round.",
        limits: &[("mmdebstrap", 0.16)],
    },
    Scenario {
        name: "unchanged",
        kind: Kind::Unchanged,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: false,
        about: "To a tar archive. Each tool has run once and kept what it can; then the same again, the archive removed.",
        limits: &[("mmdebstrap", 0.04)],
    },
    Scenario {
        name: "image",
        kind: Kind::Image,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: false,
        about: "Nothing cached before: `--image` to standard output, the same to a directory, others to a tar archive.",
        limits: &[(DIRECTORY, 1.10)],
    },
    Scenario {
        name: "rootless",
        kind: Kind::Rootless,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: false,
        about: "Into a directory, nothing cached before: ours as an ordinary user with subordinate ids, and as root.",
        limits: &[(ROOT, 1.15)],
    },
    Scenario {
        name: "important",
        kind: Kind::Cold,
        suite: "focal",
        variant: "important",
        arch: None,
        floor: true,
        about: "Into an empty directory, nothing cached before: what debootstrap makes unless told otherwise.",
        limits: &[(FLOOR, 1.12)],
    },
    Scenario {
        name: "foreign",
        kind: Kind::Cold,
        suite: "trixie",
        variant: "minbase",
        arch: Some("arm64"),
        floor: false,
        about: "Into an empty directory, nothing cached before. Its programs run under QEMU, with rootstrap those that have no native twin.",
        limits: &[("mmdebstrap", 0.06)],
    },
    Scenario {
        name: "platforms",
        kind: Kind::Platforms,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: false,
        about: "Nothing cached before: one OCI image for amd64 and arm64, and one for amd64 alone.",
        limits: &[(ALONE, 2.2)],
    },
    Scenario {
        name: "same-packages",
        kind: Kind::SamePackages,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: false,
        about: "To an OCI archive, with another content of one copied file in each round: with the configured root of three earlier builds in \
                the cache, and with debs and the first phase alone.",
        limits: &[(ANEW, 0.25)],
    },
];

/// The packages that warm runs add, one in each round. All are small, and in every release of Debian and Ubuntu.
pub const ADDITIONS: [&str; 16] = [
    "hello", "less", "nano", "file", "tree", "jq", "rsync", "bc", "ed", "patch", "time", "unzip", "zip", "lsof",
    "psmisc", "cpio",
];

/// A scenario with the changes that the command line asks for.
#[derive(Clone, Debug)]
pub struct Case {
    /// The scenario without the changes.
    pub scenario: &'static Scenario,
    /// The codename of the suite.
    pub suite: String,
    /// The variant.
    pub variant: String,
    /// The architecture, if it is not this machine's.
    pub arch: Option<String>,
    /// Whether nothing was changed, so that the scenario's limits apply.
    pub is_plain: bool,
}

impl Case {
    /// The heading of its section.
    pub fn heading(&self) -> String {
        let arch = self.arch.as_ref().map(|arch| format!(" {arch}")).unwrap_or_default();
        format!("## {}: {}{arch} {}", self.scenario.name, self.suite, self.variant)
    }

    /// Returns the limit of the ratio of our time to that of the row `other`, if there is one.
    pub fn limit(&self, other: &str) -> Option<f64> {
        let limits = self.scenario.limits.iter().filter(|_| self.is_plain);
        limits.into_iter().find(|(name, _)| *name == other).map(|(_, limit)| *limit)
    }

    /// Whether each run finds the cache that the run before it filled. The first round then does not count.
    pub fn is_filled(&self) -> bool {
        matches!(self.scenario.kind, Kind::Warm | Kind::Unchanged | Kind::SamePackages)
    }

    /// How many rounds come before those that count. `fills` says whether another one fills a mirror.
    pub fn rounds_before(&self, fills: bool) -> usize {
        // A configured root is kept when its plan is built for the third time.
        if self.scenario.kind == Kind::SamePackages { 3 } else { usize::from(self.is_filled() || fills) }
    }
}
