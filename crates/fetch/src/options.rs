//! The options of a session.

use crate::limits;
use rootstrap_cache::Remote;
use rootstrap_debian::auth_conf::Login;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How to fetch.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of the cache. Its files are in `v1` below it. `None` stands for a private cache, which is removed with the
    /// session.
    pub cache: Option<PathBuf>,
    /// The directory in which a private cache is created. Its filesystem needs room for every deb of a run.
    pub temporary: PathBuf,
    /// A store that several machines share, behind the cache.
    pub remote: Option<Remote>,
    /// Whether to use only the cache and mirrors that are directories, and no network.
    pub offline: bool,
    /// Whether later sessions will find the cache. If not, files that only they would read are not written.
    pub for_later: bool,
    /// How many debs to fetch at once.
    pub jobs: usize,
    /// The beginnings of URIs of servers that are asked for at most [`limits::GENTLE_JOBS`] files at once.
    pub gentle: Vec<String>,
    /// How to speak HTTP. [`Self::jobs`] replaces its number of connections.
    pub http: rootstrap_http::Options,
    /// Users and passwords for servers, of which the first that fits is sent. What an address itself has comes before them.
    pub logins: Vec<Login>,
    /// Files with logins that were not read, each with the reason, for the message of a server that wants a login.
    pub left_out: Vec<String>,
    /// How long to wait for a mirror while another one is left, where that is shorter than what [`Self::http`] says.
    pub brief_timeouts: rootstrap_http::Timeouts,
    /// The caller sets this flag to stop the session. Every call then soon returns [`Error::Cancelled`](crate::Error::Cancelled).
    pub cancel: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache: None,
            temporary: PathBuf::from("/var/tmp"),
            remote: None,
            offline: false,
            for_later: true,
            jobs: 16,
            gentle: Vec::new(),
            http: rootstrap_http::Options::default(),
            logins: Vec::new(),
            left_out: Vec::new(),
            brief_timeouts: limits::BRIEF_TIMEOUTS,
            cancel: Arc::default(),
        }
    }
}
