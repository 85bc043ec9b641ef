//! Debs that the plan will probably need, downloaded while the plan is still being made. Debs that the plan does not name
//! are not used.

use crate::deb::ListedDeb;
use crate::deb_downloader::DebDownloader;
use crate::download::Job;
use crate::event::Event;
use crate::mirror::{Mirror, parse_all};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::is_relative_path;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// The downloads that were started ahead of the plan, by digest. Each results in a path in the cache, or in `None` if it failed.
#[derive(Default)]
pub(crate) struct Prefetch(Mutex<BTreeMap<Digest, JoinHandle<Option<PathBuf>>>>);

impl Prefetch {
    fn downloads(&self) -> MutexGuard<'_, BTreeMap<Digest, JoinHandle<Option<PathBuf>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to download those of `debs` that are not in the cache, the largest first.
    pub fn start(&self, runtime: &Runtime, downloader: &DebDownloader, debs: &[ListedDeb]) {
        let is_missing = |deb: &&ListedDeb| is_relative_path(&deb.path) && !downloader.destination(deb).has_file();
        let mut missing: Vec<_> = debs.iter().filter(is_missing).collect();
        missing.sort_by_key(|deb| Reverse(deb.size));
        let mut mirrors: BTreeMap<&[String], Arc<Vec<Mirror>>> = BTreeMap::new();
        for deb in missing {
            let parsed = mirrors.entry(&deb.mirrors);
            let mirrors = parsed.or_insert_with(|| Arc::new(parse_all(&deb.mirrors, &deb.label).unwrap_or_default()));
            let (downloader, deb, mirrors) = (downloader.clone(), deb.clone(), Arc::clone(mirrors));
            self.downloads().entry(deb.digest).or_insert_with(|| runtime.spawn(download(downloader, deb, mirrors)));
        }
    }

    /// Whether the download of this file was started.
    pub fn has(&self, digest: &Digest) -> bool {
        self.downloads().contains_key(digest)
    }

    /// Stops all downloads of files that are not among `debs`.
    pub fn stop_others(&self, debs: &[ListedDeb]) {
        self.downloads().retain(|digest, download| {
            let is_needed = debs.iter().any(|deb| deb.digest == *digest);
            if !is_needed {
                download.abort();
            }
            is_needed
        });
    }

    /// Waits for the download of this file and returns its path in the cache. `None` if no download was started or it failed: the
    /// caller then downloads the file and so learns the reason.
    pub async fn wait(&self, digest: &Digest) -> Option<PathBuf> {
        let download = self.downloads().remove(digest)?;
        download.await.ok().flatten()
    }
}

/// Asks the first mirror once, and reports nothing. Does not wait long for a slow mirror where another one could be asked.
async fn download(downloader: DebDownloader, deb: ListedDeb, mirrors: Arc<Vec<Mirror>>) -> Option<PathBuf> {
    let _slot = downloader.slot().await?;
    let destination = downloader.destination(&deb);
    let _lock = destination.try_lock().ok()??;
    if destination.has_file() {
        return None;
    }
    let job = Job { what: &deb.label, report: &|_: Event| (), progress: &|_| () };
    downloader.once(mirrors.len() > 1).download(&job, &deb, mirrors.get(..1)?).await.ok()
}
