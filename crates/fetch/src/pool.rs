//! Debs: many at once, the largest first, each handed over when it is whole and right.

use crate::cache::Cache;
use crate::download::{Candidate, Job, Line};
use crate::error::Error;
use crate::mirror::{Mirror, parse_all};
use crate::partial::{Partial, is_intact};
use crate::{Event, Report};
use futures_util::{StreamExt, stream};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::is_relative_path;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

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
}

impl Arrived {
    pub fn open(self) -> Result<(usize, VerifiedDeb), Error> {
        let Self { position, label, path } = self;
        let file = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        Ok((position, VerifiedDeb { label, path, file }))
    }
}

/// Cached files hashed at once.
const HASHERS: usize = 4;

/// Puts every wanted file into the cache and names each to `arrived` when it is there; first those that are already.
pub(crate) async fn fetch(
    line: &Line,
    cache: &Cache,
    jobs: usize,
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
    // A closed channel means that nobody wants more: the caller stops this future.
    let send = |position, file: &Wanted, path| {
        let _ = arrived.send(Arrived { position, label: file.label.clone(), path });
    };
    // A disk may have forgotten since; hashing costs less than what damage would.
    let look_up = |(position, file): (usize, &'_ Wanted)| {
        let (found, digest) = (cache.find(&file.digest, file.size), file.digest);
        async move {
            let Some(path) = found else { return (position, None) };
            let intact = tokio::task::spawn_blocking(move || is_intact(&path, &digest).then_some(path)).await;
            (position, intact.ok().flatten())
        }
    };
    let looked_up: Vec<_> = stream::iter(wanted.iter().enumerate().map(look_up)).buffered(HASHERS).collect().await;
    let mut missing = Vec::new();
    let mut here = Vec::new();
    for (file, (position, path)) in wanted.iter().zip(looked_up) {
        match path {
            Some(path) => here.push((position, file, path)),
            None => missing.push((position, file)),
        }
    }
    report(Event::DebsTotal {
        count: wanted.len(),
        bytes: wanted.iter().map(|file| file.size).sum(),
        cached_count: here.len(),
        cached_bytes: here.iter().map(|(_, file, _)| file.size).sum(),
    });
    for (position, file, path) in here {
        report(Event::CacheHit { what: file.label.clone() });
        send(position, file, path);
    }
    // The largest first, so that none of them is left alone at the end; equals in the order asked for.
    missing.sort_by_key(|(_, file)| Reverse(file.size));
    let downloads = missing.into_iter().map(|(position, file)| {
        let mirrors = mirrors.get(file.mirrors.as_slice()).map_or(&[][..], Vec::as_slice);
        async move { Ok::<_, Error>((position, file, download(line, cache, mirrors, file, report).await?)) }
    });
    let mut downloads = stream::iter(downloads).buffer_unordered(jobs.max(1));
    while let Some(done) = downloads.next().await {
        let (position, file, path) = done?;
        report(Event::DebDone { label: file.label.clone() });
        send(position, file, path);
    }
    Ok(())
}

async fn download(
    line: &Line,
    cache: &Cache,
    mirrors: &[Mirror],
    file: &Wanted,
    report: Report<'_>,
) -> Result<PathBuf, Error> {
    let progress = |bytes| {
        if bytes != 0 {
            report(Event::DebBytes { bytes })
        }
    };
    let job = Job { what: &file.label, report, progress: &progress };
    let candidates = mirrors.iter().map(|mirror| Candidate { mirror, path: file.path.clone() }).collect();
    let mut partial = Partial::in_file(cache.temporary()?, file.size, file.digest);
    line.fetch(&job, candidates, &mut partial).await?;
    let (file, digest) = partial.into_file().ok_or(Error::Cancelled)?;
    cache.keep(file, &digest)
}
