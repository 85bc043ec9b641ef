//! Debs that will be wanted, on their way while the plan is still being made. What the plan does not name is not used.

use crate::Event;
use crate::cache::Cache;
use crate::download::{Candidate, Destination, Job, Line};
use crate::mirror::{Mirror, parse_all};
use crate::pool::Wanted;
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::is_relative_path;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Downloads by what they bring.
#[derive(Default)]
pub(crate) struct Begun(Mutex<BTreeMap<Digest, JoinHandle<Option<PathBuf>>>>);

/// What a download needs to go on by itself.
#[derive(Clone)]
pub(crate) struct Means {
    pub line: Arc<Line>,
    pub cache: Arc<Cache>,
    /// As many downloads as there may be at once.
    pub slots: Arc<Semaphore>,
}

impl Begun {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Digest, JoinHandle<Option<PathBuf>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to fetch what is not in the cache, the largest first.
    pub fn begin(&self, runtime: &Runtime, means: &Means, wanted: &[Wanted]) {
        let to = |file: &Wanted| Destination { cache: &means.cache, size: file.size, digest: file.digest };
        let is_new = |file: &&Wanted| is_relative_path(&file.path) && !to(file).is_listed();
        let mut missing: Vec<_> = wanted.iter().filter(is_new).collect();
        missing.sort_by_key(|file| Reverse(file.size));
        let mut mirrors: BTreeMap<&[String], Arc<Vec<Mirror>>> = BTreeMap::new();
        for file in missing {
            let known = mirrors.entry(&file.mirrors);
            let mirrors = known.or_insert_with(|| Arc::new(parse_all(&file.mirrors, &file.label).unwrap_or_default()));
            let (means, file, mirrors) = (means.clone(), file.clone(), Arc::clone(mirrors));
            self.all().entry(file.digest).or_insert_with(|| runtime.spawn(fetch(means, file, mirrors)));
        }
    }

    /// Whether this file is being fetched, or was.
    pub fn has(&self, digest: &Digest) -> bool {
        self.all().contains_key(digest)
    }

    /// Ends all downloads but those of `wanted`.
    pub fn end_others(&self, wanted: &[Wanted]) {
        self.all().retain(|digest, download| {
            let is_wanted = wanted.iter().any(|file| file.digest == *digest);
            if !is_wanted {
                download.abort();
            }
            is_wanted
        });
    }

    /// Waits for a file that is being fetched. `None` if it is not, or did not come: why is found out by fetching it again.
    pub async fn arrival(&self, digest: &Digest) -> Option<PathBuf> {
        let download = self.all().remove(digest)?;
        download.await.ok().flatten()
    }
}

/// Tries once, and tells nobody.
async fn fetch(Means { line, cache, slots }: Means, file: Wanted, mirrors: Arc<Vec<Mirror>>) -> Option<PathBuf> {
    let _slot = slots.acquire().await.ok()?;
    let _turn = cache.try_turn(&file.digest).ok()??;
    let to = Destination { cache: &cache, size: file.size, digest: file.digest };
    if to.is_listed() {
        return None;
    }
    let job = Job { what: &file.label, report: &|_: Event| (), progress: &|_| () };
    let candidates = mirrors.iter().map(|mirror| Candidate { mirror, path: file.path.clone() }).take(1).collect();
    line.obtain(&job, candidates, to).await.ok()
}
