//! Fetches many debs at once, the largest first, and hands each over as soon as it is complete and verified.

use crate::deb::{ListedDeb, VerifiedDeb};
use crate::deb_downloader::DebDownloader;
use crate::download::{Job, signed};
use crate::error::Error;
use crate::event::{Event, Report};
use crate::mirror::{Mirror, parse_all};
use crate::prefetch::Prefetch;
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use rootstrap_debian::packages::is_relative_path;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

/// How many cached files are hashed at once.
const HASHERS: usize = 4;

/// One call of [`Session::debs`](crate::Session::debs).
pub(crate) struct DebBatch<'a> {
    pub downloader: &'a DebDownloader,
    pub prefetch: &'a Prefetch,
    pub report: Report<'a>,
}

/// A requested deb and its position in the caller's list.
type Positioned<'w> = (usize, &'w ListedDeb);

/// The mirrors of the debs, parsed, by their URIs.
type Mirrors<'w> = BTreeMap<&'w [String], Vec<Mirror>>;

impl DebBatch<'_> {
    /// Puts every deb into the cache and sends each to `ready` when it is there and verified. Files that are in the cache are
    /// checked in the order of `debs`. The checks and the downloads run at the same time.
    pub async fn fetch(&self, debs: &[ListedDeb], ready: Sender<(usize, VerifiedDeb)>) -> Result<(), Error> {
        let mirrors = parse_mirrors(debs)?;
        self.prefetch.stop_others(debs);
        let (cached, mut missing): (Vec<_>, Vec<_>) = debs
            .iter()
            .enumerate()
            .partition(|(_, deb)| !self.prefetch.has(&deb.digest) && self.downloader.destination(deb).has_file());
        (self.report)(Event::DebsTotal {
            count: debs.len(),
            bytes: debs.iter().map(|deb| deb.size).sum(),
            cached_count: cached.len(),
            cached_bytes: cached.iter().map(|(_, deb)| deb.size).sum(),
        });
        // The largest first, so that no large one is left alone at the end; equally large ones in the order of `debs`.
        missing.sort_by_key(|(_, deb)| Reverse(deb.size));
        let mut downloads: FuturesUnordered<_> = missing.into_iter().map(|deb| self.download(deb, &mirrors)).collect();
        let mut checks = stream::iter(cached).map(|deb| self.check(deb)).buffered(HASHERS).fuse();
        loop {
            let ((position, deb), is_cached) = tokio::select! {
                Some((deb, path)) = checks.next() => match path {
                    Some(_) => (deb, true),
                    // The cached file is damaged.
                    None => {
                        (self.report)(Event::DebBytes { bytes: signed(deb.1.size).saturating_neg() });
                        downloads.push(self.download(deb, &mirrors));
                        continue;
                    }
                },
                Some(done) = downloads.next() => done.map(|(deb, _, is_cached)| (deb, is_cached))?,
                else => return Ok(()),
            };
            let (label, destination) = (deb.label.clone(), self.downloader.destination(deb));
            (self.report)(match is_cached {
                true => Event::CacheHit { what: label.clone() },
                false => Event::DebDone { label: label.clone() },
            });
            // The channel is closed when the caller wants no more; the caller then stops this future.
            let _ = ready.send((position, VerifiedDeb { label, destination, is_cached }));
        }
    }

    /// Returns the path of a cached file if its content is still right.
    async fn check<'w>(&self, (position, deb): Positioned<'w>) -> (Positioned<'w>, Option<PathBuf>) {
        ((position, deb), self.downloader.destination(deb).verified_path().await)
    }

    /// Downloads a file, or waits until another process has done that. Returns its path, and whether somebody else put it into
    /// the cache.
    async fn download<'w>(
        &self,
        (position, deb): Positioned<'w>,
        mirrors: &Mirrors<'w>,
    ) -> Result<(Positioned<'w>, PathBuf, bool), Error> {
        let progress = |bytes| {
            if bytes != 0 {
                (self.report)(Event::DebBytes { bytes })
            }
        };
        if let Some(path) = self.prefetch.wait(&deb.digest).await {
            progress(signed(deb.size));
            return Ok(((position, deb), path, false));
        }
        let destination = self.downloader.destination(deb);
        let slot = self.downloader.slot().await;
        // Whoever waits for another process must not take a slot away from the other downloads.
        let (_slot, _lock) = match destination.try_lock()? {
            Some(lock) => (slot, lock),
            None => {
                drop(slot);
                let lock = destination.lock().await?;
                (self.downloader.slot().await, lock)
            }
        };
        // The previous holder of the lock may have downloaded the file.
        if let Some(path) = destination.verified_path().await {
            progress(signed(deb.size));
            return Ok(((position, deb), path, true));
        }
        (self.report)(Event::DebStarted { label: deb.label.clone() });
        let job = Job { what: &deb.label, report: self.report, progress: &progress };
        let mirrors = mirrors.get(deb.mirrors.as_slice()).map_or(&[][..], Vec::as_slice);
        Ok(((position, deb), self.downloader.download(&job, deb, mirrors).await?, false))
    }
}

/// Parses the mirrors of all debs. Refuses paths that leave the mirror.
fn parse_mirrors(debs: &[ListedDeb]) -> Result<Mirrors<'_>, Error> {
    let mut mirrors = Mirrors::new();
    for deb in debs {
        if !is_relative_path(&deb.path) {
            return Err(Error::Path { path: deb.path.clone() });
        }
        if !mirrors.contains_key(deb.mirrors.as_slice()) {
            mirrors.insert(&deb.mirrors, parse_all(&deb.mirrors, &deb.label)?);
        }
    }
    Ok(mirrors)
}
