//! Verified bytes from mirror or cache.
//!
//! Invariant: nothing leaves this crate that a key of the keyring does not vouch for. [`VerifiedPocket`] and
//! [`VerifiedDeb`] can be made only here: the first from a signed Release and the indexes it lists, the second from a
//! file of a listed size and digest. Nothing here touches the target.
//!
//! A [`Session`] holds the cache's lock, the connections and two threads. Its methods block; what runs at once runs
//! inside. Neither environment nor clock decides anything: both are handed in ([`Options`], [`Policy`]).
//!
//! To read: `pocket` (the way of a pocket), `release` (what makes a Release acceptable), `signature` (what makes it
//! trusted), `index` and `parsed`, `pool`, and beneath them `download` (attempts and mirrors) and `cache`;
//! [`prune`] is for whoever looks after a cache.

mod begun;
mod cache;
mod derived;
mod download;
mod error;
mod http;
mod index;
pub mod limits;
mod mirror;
mod parsed;
mod partial;
mod pocket;
mod pool;
pub mod prune;
mod release;
mod signature;

pub use derived::Draft;
pub use error::{Error, Failures, Fault};
pub use pocket::{Index, Pocket, Policy, VerifiedPocket};
pub use pool::{VerifiedDeb, Wanted};
pub use signature::{Keyring, KeyringProblem, SignatureProblem};

use begun::Begun;
use cache::Cache;
use download::Line;
use futures_util::future::{Either, select, try_join_all};
use parsed::Writers;
use release::Question;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, Semaphore};

/// How to fetch.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the cache is; it keeps to a directory `v1` below. `None`: a private one, removed with the session.
    pub cache: Option<PathBuf>,
    /// Where a private cache is made. It may have to hold every .deb of a run.
    pub temporary: PathBuf,
    /// Use no network: only the cache, and mirrors that are directories.
    pub offline: bool,
    /// Whether later sessions will find the cache: what only they have a use for is written.
    pub for_later: bool,
    /// How many debs to fetch at once.
    pub jobs: usize,
    /// How many times to try again at one mirror, after the first attempt.
    pub retries: u32,
    /// Proxies, as the environment would name them.
    pub proxies: Proxies,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Set from outside to stop: every call then ends soon with [`Error::Cancelled`].
    pub cancel: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache: None,
            temporary: PathBuf::from("/var/tmp"),
            offline: false,
            for_later: true,
            jobs: 16,
            retries: 3,
            proxies: Proxies::default(),
            timeouts: Timeouts::default(),
            cancel: Arc::default(),
        }
    }
}

/// Proxies. An empty string is none; a URI without a scheme means `http://`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http:` mirrors.
    pub http: Option<String>,
    /// For `https:` mirrors.
    pub https: Option<String>,
    /// Hosts to reach directly: names with their subdomains, addresses, networks (`10.0.0.0/8`) or `*`, by commas.
    pub no_proxy: Option<String>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next byte of a body.
    pub stall: Duration,
    /// Before the second attempt; doubled before each later one, up to [`limits::LONGEST_WAIT`].
    pub backoff: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(15), stall: Duration::from_secs(30), backoff: Duration::from_millis(250) }
    }
}

/// What happens, as it happens. Events of one kind come in order; different files mix.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields say what the variants do not")]
pub enum Event {
    /// A Release is signed, fresh, and the one asked for. `date` in seconds since 1970, `keys` fingerprints.
    ReleaseVerified { suite: String, date: i64, keys: Vec<String> },
    /// No mirror has this optional pocket.
    PocketMissing { suite: String },
    /// An index is being fetched: its name, and its size in bytes as it travels.
    IndexStarted { name: String, size: u64 },
    /// Bytes of indexes came. Negative: so many came in vain and will come again.
    IndexBytes { bytes: i64 },
    /// An index is complete and right.
    IndexDone { name: String },
    /// Once for each [`Session::debs`], before any of them is fetched. What is cached is yet to be checked: where it is
    /// damaged its bytes are taken back by [`Self::DebBytes`].
    DebsTotal { count: usize, bytes: u64, cached_count: usize, cached_bytes: u64 },
    /// Bytes of debs came. Negative: so many came in vain and will come again.
    DebBytes { bytes: i64 },
    /// A deb was fetched and is right.
    DebDone { label: String },
    /// Something did not have to be fetched.
    CacheHit { what: String },
    /// An attempt failed, and the same mirror is asked again after `wait`. Attempts count from 1.
    Retry { what: String, reason: String, attempt: u32, wait: Duration },
    /// A mirror is given up for a file, and the next one, if any, is asked. URIs are without passwords.
    MirrorFailed { uri: String, reason: String, next: Option<String> },
}

/// Where events go. Called from several threads.
pub type Report<'a> = &'a (dyn Fn(Event) + Sync);

/// An open cache and the connections of a run.
pub struct Session {
    /// First, and so dropped first: the cache stays locked until all is written.
    writers: Writers,
    options: Options,
    cache: Arc<Cache>,
    line: Arc<Line>,
    slots: Arc<Semaphore>,
    begun: Begun,
    runtime: Runtime,
}

impl Session {
    /// Opens the cache (waiting for whoever is cleaning it) and prepares connections; connects to nothing.
    ///
    /// # Errors
    /// The cache cannot be made or written; a proxy that is no URI.
    pub fn open(options: Options) -> Result<Self, Error> {
        let cache = Cache::open(options.cache.as_deref(), &options.temporary)?;
        let line = Line::new(&options)?;
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("fetch").enable_all().build();
        let runtime = runtime.map_err(|source| Error::Threads { source })?;
        let (cache, line, slots) = (Arc::new(cache), Arc::new(line), Arc::new(Semaphore::new(options.jobs.max(1))));
        Ok(Self {
            writers: Writers::new(options.for_later),
            options,
            cache,
            line,
            slots,
            begun: Begun::default(),
            runtime,
        })
    }

    /// Fetches and verifies `pockets`, all at once, with their indexes for all `architectures`. In the order given,
    /// without the optional ones that no mirror has.
    ///
    /// # Errors
    /// The first pocket that cannot be had or trusted; see [`Error`].
    pub fn pockets(
        &self,
        pockets: &[Pocket],
        architectures: &[&str],
        keyring: &Keyring,
        policy: &Policy,
        report: Report<'_>,
    ) -> Result<Vec<VerifiedPocket>, Error> {
        let is_name = |name: &str| rootstrap_debian::packages::is_relative_path(name) && !name.contains('/');
        if let Some(path) = architectures.iter().find(|name| !is_name(name)) {
            return Err(Error::Path { path: (*path).to_owned() });
        }
        let all = try_join_all(pockets.iter().map(|pocket| async move {
            let question = Question { pocket, architectures, keyring, policy };
            match pocket::fetch(&self.line, &self.cache, &self.writers, &question, report).await {
                Err(error) if pocket.optional && error.is_missing() => {
                    report(Event::PocketMissing { suite: pocket.suite.clone() });
                    Ok(None)
                }
                result => result.map(Some),
            }
        }));
        let found = self.runtime.block_on(self.unless_cancelled(all))?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Begins to fetch what is not in the cache, for a [`Self::debs`] that will want it. Each file is tried once, without a
    /// word: what does not come is fetched then, and what is not wanted then is given up.
    pub fn begin(&self, wanted: &[Wanted]) {
        let (line, cache) = (Arc::new(self.line.trying_once()), Arc::clone(&self.cache));
        let means = begun::Means { line, cache, slots: Arc::clone(&self.slots) };
        self.begun.begin(&self.runtime, &means, wanted);
    }

    /// Fetches what is not in the cache, and calls `ready` on this thread with the position in `wanted` of each file as it
    /// becomes available: those in the cache in the order of `wanted`, each as soon as it is checked, and between them the
    /// others as they come. While `ready` runs the rest goes on. When it breaks that is stopped, and this is a success.
    ///
    /// A file that another process is fetching into the same cache is waited for and not fetched again.
    ///
    /// # Errors
    /// The first file that no mirror has right; the others are stopped.
    pub fn debs(
        &self,
        wanted: &[Wanted],
        report: Report<'_>,
        ready: &mut dyn FnMut(usize, VerifiedDeb) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let (sender, arrived) = mpsc::channel();
        let enough = Notify::new();
        let means = pool::Means { line: &self.line, cache: &self.cache, slots: &self.slots, begun: &self.begun };
        std::thread::scope(|scope| {
            let downloads = scope.spawn(|| {
                let all = pool::fetch(&means, wanted, report, sender);
                self.runtime.block_on(async {
                    match select(pin!(self.unless_cancelled(all)), pin!(enough.notified())).await {
                        Either::Left((outcome, _)) => outcome,
                        Either::Right(_) => Ok(()),
                    }
                })
            });
            let mut outcome = Ok(());
            // Ends when the downloads do: they own the other end.
            for file in arrived {
                match file.open().map(|(position, deb)| ready(position, deb)) {
                    Ok(ControlFlow::Continue(())) => continue,
                    Ok(ControlFlow::Break(())) => (),
                    Err(error) => outcome = Err(error),
                }
                enough.notify_one();
                break;
            }
            let downloaded = downloads.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome.and(downloaded)
        })
    }

    /// Runs `work` until it is done or the flag is set.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        // A flag cannot wake anybody: look often enough that a user does not notice.
        let cancelled = async {
            while !self.options.cancel.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match select(pin!(cancelled), pin!(work)).await {
            Either::Left(_) => Err(Error::Cancelled),
            Either::Right((outcome, _)) => outcome,
        }
    }
}
