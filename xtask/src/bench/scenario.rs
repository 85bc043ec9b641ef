//! What is measured: the scenarios and the bars they are held to, as data.

/// What may be cached before a run, and what comes out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing cached; a directory.
    Cold,
    /// Nothing cached; an image on standard output, beside ours to a directory.
    Image,
    /// A cache as the same command left it, but for one package more; a directory.
    Warm,
    /// A cache as the same command left it; an archive.
    Unchanged,
    /// Nothing cached; ours as an ordinary user, beside ours as root.
    Rootless,
}

/// One section of the document.
#[derive(Debug)]
pub struct Scenario {
    /// As `--scenario` has it.
    pub name: &'static str,
    /// Cache and result.
    pub kind: Kind,
    /// As the archive calls it.
    pub suite: &'static str,
    /// As the tools call it.
    pub variant: &'static str,
    /// The architecture, if it is not this machine's.
    pub arch: Option<&'static str>,
    /// Whether the floor of this machine is measured with it.
    pub floor: bool,
    /// The first sentence of the section.
    pub about: &'static str,
    /// What our time is to be at most, as a part of that of the row named.
    pub bars: &'static [(&'static str, f64)],
}

/// What our peak memory is to be at most, in MiB, in every scenario.
pub const MEMORY: f64 = 200.0;

/// Ours, to a directory, beside an image.
pub const DIRECTORY: &str = "rootstrap to a directory";
/// Ours as root, beside ours as a user.
pub const ROOT: &str = "rootstrap as root";
/// The sum of what this machine takes for the work that nobody can leave out.
pub const FLOOR: &str = "floor";

/// All scenarios, in the order of the document.
pub const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "cold",
        kind: Kind::Cold,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: true,
        about: "Into an empty directory, nothing cached before.",
        bars: &[("mmdebstrap", 0.25), ("debootstrap", 0.12), ("rdebootstrap", 0.70), (FLOOR, 1.25)],
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
        bars: &[("mmdebstrap", 0.16)],
    },
    Scenario {
        name: "unchanged",
        kind: Kind::Unchanged,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: false,
        about: "To a tar archive. Each tool has run once and kept what it can; then the same again, the archive removed.",
        bars: &[("mmdebstrap", 0.04)],
    },
    Scenario {
        name: "image",
        kind: Kind::Image,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: false,
        about: "Nothing cached before: `--image` to standard output, the same to a directory, others to a tar archive.",
        bars: &[(DIRECTORY, 1.10)],
    },
    Scenario {
        name: "rootless",
        kind: Kind::Rootless,
        suite: "trixie",
        variant: "minbase",
        arch: None,
        floor: false,
        about: "Into a directory, nothing cached before: ours as an ordinary user with subordinate ids, and as root.",
        bars: &[(ROOT, 1.15)],
    },
    Scenario {
        name: "important",
        kind: Kind::Cold,
        suite: "focal",
        variant: "important",
        arch: None,
        floor: true,
        about: "Into an empty directory, nothing cached before: what debootstrap makes unless told otherwise.",
        bars: &[("mmdebstrap", 0.33), ("debootstrap", 0.22), (FLOOR, 1.25)],
    },
    Scenario {
        name: "foreign",
        kind: Kind::Cold,
        suite: "trixie",
        variant: "minbase",
        arch: Some("arm64"),
        floor: false,
        about: "Into an empty directory, nothing cached before; its programs run under QEMU.",
        bars: &[("mmdebstrap", 0.25)],
    },
];

/// What a warm run has that the run before it had not. Small, and in every release of Debian and Ubuntu.
pub const ADDITIONS: [&str; 16] = [
    "hello", "less", "nano", "file", "tree", "jq", "rsync", "bc", "ed", "patch", "time", "unzip", "zip", "lsof",
    "psmisc", "cpio",
];

/// A scenario with what the command line says otherwise.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it comes from.
    pub scenario: &'static Scenario,
    /// As the archive calls it.
    pub suite: String,
    /// As the tools call it.
    pub variant: String,
    /// The architecture, if it is not this machine's.
    pub arch: Option<String>,
    /// Nothing differs from the scenario, so its bars hold.
    pub is_plain: bool,
}

impl Case {
    /// The heading of its section.
    pub fn heading(&self) -> String {
        let arch = self.arch.as_ref().map(|arch| format!(" {arch}")).unwrap_or_default();
        format!("## {}: {}{arch} {}", self.scenario.name, self.suite, self.variant)
    }

    /// The bar for our time as a part of that of `other`.
    pub fn bar(&self, other: &str) -> Option<f64> {
        let bars = self.scenario.bars.iter().filter(|_| self.is_plain);
        bars.into_iter().find(|(name, _)| *name == other).map(|(_, bar)| *bar)
    }

    /// What the run before has to leave behind: the first round does not count.
    pub fn is_filled(&self) -> bool {
        matches!(self.scenario.kind, Kind::Warm | Kind::Unchanged)
    }
}
