//! A session: the open cache, the connections and the threads of one run.

use crate::deb::{ListedDeb, VerifiedDeb};
use crate::deb_downloader::DebDownloader;
use crate::debs::DebBatch;
use crate::download::Downloader;
use crate::error::Error;
use crate::event::{Event, Report};
use crate::keyring::Keyring;
use crate::options::Options;
use crate::parsed_index::ParsedIndexWriters;
use crate::pocket::{Pocket, Policy, VerifiedPocket};
use crate::pocket_fetch::PocketFetch;
use crate::prefetch::Prefetch;
use crate::release_criteria::ReleaseCriteria;
use futures_util::future::{Either, select, try_join_all};
use rootstrap_cache::Cache;
use rootstrap_http::redact;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// An open cache and the connections of a run. Its methods block; what can run at the same time does so inside.
pub struct Session {
    /// The first field is dropped first: the cache stays locked until everything is written.
    writers: ParsedIndexWriters,
    cancel: Arc<AtomicBool>,
    cache: Cache,
    downloader: Downloader,
    debs: DebDownloader,
    prefetch: Prefetch,
    runtime: Runtime,
}

/// How many threads wait for the network.
const THREADS: usize = 2;

impl Session {
    /// Opens the cache, which blocks while somebody prunes it, and prepares connections. It does not connect to anything.
    ///
    /// # Errors
    /// The cache cannot be created or written, or a proxy is not a URI.
    pub fn open(options: Options) -> Result<Self, Error> {
        let remote = options.remote.clone().filter(|_| !options.offline);
        let cache = Cache::open(options.cache.as_deref(), &options.temporary)?.with_remote(remote);
        let downloader = Downloader::new(&options)?;
        let runtime = rootstrap_http::runtime("fetch", THREADS).map_err(|source| Error::Threads { source })?;
        Ok(Self {
            writers: ParsedIndexWriters::new(options.for_later),
            cancel: options.cancel,
            debs: DebDownloader::new(&downloader, &cache, options.jobs),
            cache,
            downloader,
            prefetch: Prefetch::default(),
            runtime,
        })
    }

    /// Returns the open cache, for the layers of other crates.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Fetches and verifies `pockets`, all at once, with their indexes for all `architectures`. Returns them in the order given,
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
            let further = pocket.further.as_ref();
            let keyring = further.map_or(keyring, |further| &further.keyring);
            let only = further.map(|further| further.architectures.as_slice()).unwrap_or_default();
            let is_read = |name: &&str| only.is_empty() || only.iter().any(|only| only == name);
            let architectures: Vec<&str> = architectures.iter().copied().filter(is_read).collect();
            let fetch = async |pocket: &Pocket| {
                let criteria = ReleaseCriteria { pocket, architectures: &architectures, keyring, policy };
                let (cache, writers) = (&self.cache, &self.writers);
                PocketFetch { downloader: &self.downloader, cache, writers, criteria, report }.run().await
            };
            let fetched = match (fetch(pocket).await, pocket.fallback.first()) {
                (Err(error), Some(next)) if error.is_missing() => {
                    report(Event::PocketElsewhere { suite: pocket.suite.clone(), next: redact::password(next) });
                    let (mirrors, fallback) = (pocket.fallback.clone(), Vec::new());
                    fetch(&Pocket { mirrors, fallback, ..pocket.clone() }).await
                }
                (fetched, _) => fetched,
            };
            match fetched {
                Err(error) if pocket.optional && error.is_missing() => {
                    report(Event::PocketMissing { suite: pocket.suite.clone() });
                    Ok(None)
                }
                result => result.map(Some),
            }
        }));
        let verified = self.runtime.block_on(self.unless_cancelled(all))?;
        Ok(verified.into_iter().flatten().collect())
    }

    /// Starts to download debs that are not in the cache, for a later call of [`Self::debs`]. Each file is asked for once,
    /// without events. [`Self::debs`] downloads those that failed again, and stops those that it was not asked for.
    pub fn prefetch(&self, debs: &[ListedDeb]) {
        self.prefetch.start(&self.runtime, &self.debs, debs);
    }

    /// Fetches debs. Calls `ready` on this thread with each verified deb and its position in `debs`, as soon as it is there:
    /// those in the cache in the order of `debs`, each when it is checked, and between them the others when they are downloaded.
    /// Downloads go on while `ready` runs. When `ready` breaks, they are stopped, and this returns success.
    ///
    /// A file that another process is downloading into the same cache is waited for and not downloaded again.
    ///
    /// # Errors
    /// The first file that no mirror has with the right content. The other downloads are stopped.
    pub fn debs(
        &self,
        debs: &[ListedDeb],
        report: Report<'_>,
        ready: &mut dyn FnMut(usize, VerifiedDeb) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let (sender, verified) = mpsc::channel();
        let enough = Notify::new();
        let batch = DebBatch { downloader: &self.debs, prefetch: &self.prefetch, report };
        std::thread::scope(|scope| {
            let downloads = std::thread::Builder::new().spawn_scoped(scope, || {
                let all = batch.fetch(debs, sender);
                self.runtime.block_on(async {
                    match select(pin!(self.unless_cancelled(all)), pin!(enough.notified())).await {
                        Either::Left((outcome, _)) => outcome,
                        Either::Right(_) => Ok(()),
                    }
                })
            });
            let downloads = downloads.map_err(|source| Error::Threads { source })?;
            // The loop ends with the downloads, because they own the sender.
            for (position, deb) in verified {
                if ready(position, deb).is_break() {
                    enough.notify_one();
                    break;
                }
            }
            downloads.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `work` until it is done or the session is cancelled.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        rootstrap_http::unless_cancelled(&self.cancel, work).await.unwrap_or(Err(Error::Cancelled))
    }
}
