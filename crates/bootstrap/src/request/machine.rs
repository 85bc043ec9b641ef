//! On which machine a run takes place, and how.

use super::budget::Budget;
use rootstrap_cache::Remote;
use rootstrap_configure::privilege::{Janitor, Mode};
use rootstrap_debian::auth_conf::Login;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Where a root grows before it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StagingPlace {
    /// In memory, or on disk where memory is too small or cannot be used.
    #[default]
    Auto,
    /// In memory, or the run fails.
    Memory,
    /// Beside a directory target; for archives in the temporary directory.
    Disk,
}

/// What the host says of itself. The caller reads it, because nothing here reads the environment.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The machine's name for itself (`uname -m`).
    pub machine: String,
    /// The text of `/etc/os-release`.
    pub os_release: String,
    /// The directories of programs (`PATH`).
    pub programs: Vec<PathBuf>,
    /// The text of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// The host's apt sources, as file names and contents.
    pub sources: Vec<(String, String)>,
}

/// The machine and the way in which a run uses it. Nothing here decides a byte of the result.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What the host says of itself.
    pub host: Host,
    /// The mode that [`privilege::enter`](crate::privilege::enter) obtained.
    pub mode: Mode,
    /// Who removes what this process leaves behind if it is killed.
    pub janitor: Janitor,
    /// The cache directory; `None` keeps nothing.
    pub cache: Option<PathBuf>,
    /// A store that several machines share, behind the cache.
    pub remote: Option<Remote>,
    /// Whether finished archives and snapshots of earlier runs are taken from the cache, and kept there.
    pub reuse: bool,
    /// Whether the network must not be used.
    pub offline: bool,
    /// Proxies, authorities, deadlines and retries.
    pub network: rootstrap_http::Options,
    /// The certificate, with its key, for mirrors that ask for one.
    pub identity: Option<rootstrap_http::Pem>,
    /// Users and passwords for mirrors.
    pub logins: Vec<Login>,
    /// Files with logins that were not read, each with the reason.
    pub left_out: Vec<String>,
    /// How many debs are downloaded at once, and how many platforms are made at once.
    pub jobs: usize,
    /// Whether the caller makes more roots of the same debs. Then what the second of them can use is kept at once, and not only when the
    /// cache sees it for the second time.
    pub expects_more: bool,
    /// What the roots share that are built at the same time. Requests that are built by one process have the same one.
    pub budget: Arc<Budget>,
    /// Whether all programs of another architecture are emulated. Otherwise native ones run in the place of some.
    pub emulates_all: bool,
    /// Where the root grows.
    pub staging: StagingPlace,
    /// Where archives are staged on disk, and where downloads go that are not kept.
    pub temporary: PathBuf,
    /// Where the tree is kept if a script fails; `None` removes it.
    pub keep_failed: Option<PathBuf>,
    /// Whether the run waits until the result is on the disk.
    pub sync: bool,
    /// The present, in seconds since 1970.
    pub now: i64,
    /// The caller sets this to stop the run.
    pub cancel: Arc<AtomicBool>,
}

impl Machine {
    /// Returns a machine with the defaults of the command line, without a cache and in mode `root`.
    #[must_use]
    pub fn new(host: Host, now: i64) -> Self {
        Self {
            host,
            mode: Mode::Root,
            janitor: Janitor::default(),
            cache: None,
            remote: None,
            reuse: true,
            offline: false,
            network: rootstrap_http::Options::default(),
            identity: None,
            logins: Vec::new(),
            left_out: Vec::new(),
            jobs: 16,
            expects_more: false,
            budget: Arc::default(),
            emulates_all: false,
            staging: StagingPlace::default(),
            temporary: PathBuf::from("/tmp"),
            keep_failed: None,
            sync: true,
            now,
            cancel: Arc::default(),
        }
    }
}
