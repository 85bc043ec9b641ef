//! Debs: many at once, the largest first, each handed over when it is whole and right.

use crate::begun::Begun;
use crate::cache::Cache;
use crate::download::{Candidate, Destination, Job, Line, signed};
use crate::error::Error;
use crate::mirror::{Mirror, parse_all};
use crate::{Event, Report};
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::is_relative_path;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use tokio::sync::Semaphore;

/// A file to fetch, as a verified index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What to call it in messages: `libc6 2.36-9`.
    pub label: String,
    /// Its path below each mirror, from the index's `Filename`.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
    /// Base URIs, tried in this order: those of the pocket whose index lists it.
    pub mirrors: Vec<String>,
}

/// A file whose size and digest are what a verified index says. Only this crate can make one.
#[derive(Debug)]
pub struct VerifiedDeb {
    label: String,
    path: PathBuf,
    file: File,
    cached: bool,
}

impl VerifiedDeb {
    /// [`Wanted::label`].
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The file, open for reading at its beginning, and seekable. It stays readable whatever becomes of the cache.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }

    /// Whether it was in the cache already, so that it is not the first time that it is used.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.cached
    }

    /// Where it lies in the cache. A private cache goes with its session.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file in the cache, not yet opened: there may be more of them than a process may have open.
pub(crate) struct Arrived {
    position: usize,
    label: String,
    path: PathBuf,
    cached: bool,
}

impl Arrived {
    pub fn open(self) -> Result<(usize, VerifiedDeb), Error> {
        let Self { position, label, path, cached } = self;
        let file = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        Ok((position, VerifiedDeb { label, path, file, cached }))
    }
}

/// How a file came into the cache.
enum Obtained {
    /// By this call.
    Fetched(PathBuf),
    /// Before, or by somebody else meanwhile. Its digest was compared.
    Found(PathBuf),
}

/// Cached files hashed at once.
const HASHERS: usize = 4;

/// What all calls share.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub line: &'a Line,
    pub cache: &'a Cache,
    /// Downloads at once. Whoever waits for another process holds up none of them.
    pub slots: &'a Semaphore,
    /// What is on its way already.
    pub begun: &'a Begun,
}

/// What all files of one call share.
struct Work<'a> {
    means: Means<'a>,
    mirrors: BTreeMap<&'a [String], Vec<Mirror>>,
    report: Report<'a>,
}

/// Puts every wanted file into the cache and names each to `arrived` when it is there and right. Files that are here are
/// checked in the order asked for, and nothing waits for that: neither the first of them for the last, nor a download.
pub(crate) async fn fetch(
    means: &Means<'_>,
    wanted: &[Wanted],
    report: Report<'_>,
    arrived: Sender<Arrived>,
) -> Result<(), Error> {
    let mut mirrors: BTreeMap<&[String], Vec<Mirror>> = BTreeMap::new();
    for file in wanted {
        if !is_relative_path(&file.path) {
            return Err(Error::Path { path: file.path.clone() });
        }
        if !mirrors.contains_key(file.mirrors.as_slice()) {
            mirrors.insert(&file.mirrors, parse_all(&file.mirrors, &file.label)?);
        }
    }
    means.begun.end_others(wanted);
    let work = Work { means: *means, mirrors, report };
    let files = wanted.iter().enumerate();
    let (here, mut missing): (Vec<_>, Vec<_>) =
        files.partition(|(_, file)| !means.begun.has(&file.digest) && work.to(file).is_listed());
    report(Event::DebsTotal {
        count: wanted.len(),
        bytes: wanted.iter().map(|file| file.size).sum(),
        cached_count: here.len(),
        cached_bytes: here.iter().map(|(_, file)| file.size).sum(),
    });
    // The largest first, so that none of them is left alone at the end; equals in the order asked for.
    missing.sort_by_key(|(_, file)| Reverse(file.size));
    let mut downloads: FuturesUnordered<_> = missing.into_iter().map(|file| work.download(file)).collect();
    let mut checked = stream::iter(here).map(|file| work.check(file)).buffered(HASHERS).fuse();
    loop {
        let (position, file, obtained) = tokio::select! {
            Some((position, file, path)) = checked.next() => match path {
                Some(path) => (position, file, Obtained::Found(path)),
                None => {
                    report(Event::DebBytes { bytes: signed(file.size).saturating_neg() });
                    downloads.push(work.download((position, file)));
                    continue;
                }
            },
            Some(done) = downloads.next() => done?,
            else => return Ok(()),
        };
        let (path, cached) = match obtained {
            Obtained::Fetched(path) => (path, false),
            Obtained::Found(path) => (path, true),
        };
        report(match cached {
            true => Event::CacheHit { what: file.label.clone() },
            false => Event::DebDone { label: file.label.clone() },
        });
        // A closed channel means that nobody wants more: the caller stops this future.
        let _ = arrived.send(Arrived { position, label: file.label.clone(), path, cached });
    }
}

impl<'a> Work<'a> {
    fn to(&self, file: &Wanted) -> Destination<'a> {
        Destination { cache: self.means.cache, size: file.size, digest: file.digest }
    }

    /// Whether a file of the cache still is what it was.
    async fn check<'w>(&self, (position, file): (usize, &'w Wanted)) -> (usize, &'w Wanted, Option<PathBuf>) {
        (position, file, self.to(file).look().await)
    }

    /// Downloads a file, or waits until another process has.
    async fn download<'w>(
        &self,
        (position, file): (usize, &'w Wanted),
    ) -> Result<(usize, &'w Wanted, Obtained), Error> {
        let progress = |bytes| {
            if bytes != 0 {
                (self.report)(Event::DebBytes { bytes })
            }
        };
        if let Some(path) = self.means.begun.arrival(&file.digest).await {
            progress(signed(file.size));
            return Ok((position, file, Obtained::Fetched(path)));
        }
        let Means { line, cache, slots, .. } = self.means;
        let job = Job { what: &file.label, report: self.report, progress: &progress };
        let mirrors = self.mirrors.get(file.mirrors.as_slice()).map_or(&[][..], Vec::as_slice);
        let candidates = mirrors.iter().map(|mirror| Candidate { mirror, path: file.path.clone() }).collect();
        let slot = slots.acquire().await;
        let (_slot, turn) = match cache.try_turn(&file.digest)? {
            Some(turn) => (slot, turn),
            None => {
                drop(slot);
                let turn = cache.turn(&file.digest).await?;
                (slots.acquire().await, turn)
            }
        };
        // Somebody else may have had the turn before.
        if let Some(path) = self.to(file).look().await {
            progress(signed(file.size));
            return Ok((position, file, Obtained::Found(path)));
        }
        let path = line.obtain(&job, candidates, self.to(file)).await?;
        drop(turn);
        Ok((position, file, Obtained::Fetched(path)))
    }
}
