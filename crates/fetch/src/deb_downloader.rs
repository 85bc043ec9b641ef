//! Downloads one deb into the cache, for a plan or before there is one.

use crate::deb::ListedDeb;
use crate::destination::Destination;
use crate::download::{Candidate, Downloader, Job};
use crate::error::Error;
use crate::mirror::Mirror;
use rootstrap_cache::Cache;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Downloads debs into the cache, only so many at once. Clones share that limit.
#[derive(Clone)]
pub(crate) struct DebDownloader {
    downloader: Downloader,
    cache: Cache,
    slots: Arc<Semaphore>,
}

impl DebDownloader {
    /// Creates one that runs at most `jobs` downloads at once.
    pub fn new(downloader: &Downloader, cache: &Cache, jobs: usize) -> Self {
        Self { downloader: downloader.clone(), cache: cache.clone(), slots: Arc::new(Semaphore::new(jobs.max(1))) }
    }

    /// Returns one that asks for each file once, briefly if `others_left`. It shares the limit of this one.
    pub fn once(&self, others_left: bool) -> Self {
        Self { downloader: self.downloader.once(others_left), ..self.clone() }
    }

    /// Returns the place of a deb in the cache.
    pub fn destination(&self, deb: &ListedDeb) -> Destination {
        Destination::new(&self.cache, deb.size, deb.digest)
    }

    /// Waits until one more download may run. `None` only if the session ends.
    pub async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }

    /// Downloads a deb into the cache. The caller holds the lock of its destination.
    pub async fn download(&self, job: &Job<'_>, deb: &ListedDeb, mirrors: &[Mirror]) -> Result<PathBuf, Error> {
        let candidates = mirrors.iter().map(|mirror| Candidate { mirror, path: deb.path.clone() }).collect();
        self.downloader.download(job, candidates, &self.destination(deb)).await
    }
}
