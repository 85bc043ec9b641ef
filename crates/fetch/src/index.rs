//! `Packages` indexes: which compressed form to fetch, and how to decode and parse it.

use crate::destination::Destination;
use crate::download::{Candidate, Downloader, Job};
use crate::error::Error;
use crate::event::{Event, Report};
use crate::hasher::bytes_have_digest;
use crate::limits;
use crate::mirror::Mirror;
use crate::parsed_index::{ParsedIndexFile, ParsedIndexWriters};
use rootstrap_cache::Cache;
use rootstrap_debian::compression::{Compression, DecoderOptions, Streams};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::Table;
use rootstrap_debian::release::Release;
use rootstrap_debian::sources::path_in_suite;
use std::borrow::Cow;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;

/// The request for the indexes of one pocket.
pub(crate) struct IndexFetch<'a> {
    pub downloader: &'a Downloader,
    pub cache: &'a Cache,
    pub writers: &'a ParsedIndexWriters,
    pub mirrors: &'a [Mirror],
    pub suite: &'a str,
    /// The verified Release that lists the indexes.
    pub release: &'a Release,
    /// Whether bytes come so fast that decoding takes longer than downloading.
    pub is_fast: bool,
    pub report: Report<'a>,
}

/// The forms in the order of preference: those that are cheap to decode first on a fast link, the small ones first on a slow link.
/// Zstd would be best, but no archive has it yet.
const FAST_ORDER: [Compression; 6] =
    [Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2, Compression::Lzma, Compression::None];
const SLOW_ORDER: [Compression; 6] =
    [Compression::Xz, Compression::Zstd, Compression::Gzip, Compression::Lzma, Compression::Bzip2, Compression::None];

/// The digest of the whole file has been verified before it is decoded, so the checksums inside it add nothing.
const DECODER: DecoderOptions = DecoderOptions {
    streams: Streams::All,
    verifies_checks: false,
    xz_memory: limits::XZ_MEMORY,
    zstd_window_log: Some(limits::ZSTD_WINDOW_LOG),
};

/// How often an index is downloaded that the cache loses before it is read.
const ATTEMPTS: usize = 3;

/// One form of an index that a Release lists.
#[derive(Clone, Debug)]
struct Variant {
    compression: Compression,
    /// Below the directory of the suite.
    path: String,
    size: u64,
    digest: Digest,
    /// The most bytes it may have when decompressed.
    limit: u64,
}

impl Variant {
    fn destination(&self, cache: &Cache) -> Destination {
        Destination::new(cache, self.size, self.digest)
    }
}

impl IndexFetch<'_> {
    /// Fetches the index of a component (its name as requested, and as the Release lists it) and parses it. Returns `None` for
    /// the index of `all` if the archive has that architecture but lists no index for it.
    pub async fn run(&self, names: [&str; 2], architecture: &str) -> Result<Option<Arc<Table>>, Error> {
        match self.run_one_of(&names.map(|name| format!("{name}/binary-{architecture}/Packages"))).await {
            Err(Error::NoIndex { .. }) if architecture == "all" => Ok(None),
            result => result.map(Some),
        }
    }

    /// Fetches the index of a flat repository and parses it.
    pub async fn run_flat(&self) -> Result<Arc<Table>, Error> {
        self.run_one_of(&["Packages".to_owned()]).await
    }

    /// Fetches and parses the first of some indexes, given by their paths, that the Release lists.
    async fn run_one_of(&self, paths: &[String]) -> Result<Arc<Table>, Error> {
        let variants = self.variants(paths);
        let path = paths.first().cloned().unwrap_or_default();
        // The lock must not depend on the form that each process would fetch, because that differs with the speed of the link.
        let Some(common) = variants.iter().min_by_key(|variant| variant.path.as_str()) else {
            return Err(Error::NoIndex { what: format!("the Release file of {}", self.suite), path });
        };
        let name = format!("{}/{path}", self.suite.trim_end_matches('/'));
        if let Some(packages) = self.read_cached(&variants, &name).await? {
            return Ok(packages);
        }
        let _lock = common.destination(self.cache).lock().await?;
        // The previous holder of the lock may have downloaded the index.
        if let Some(packages) = self.read_cached(&variants, &name).await? {
            return Ok(packages);
        }
        self.fetch_from_mirrors(variants, name).await
    }

    /// Returns the listed forms, the preferred one first.
    fn variants(&self, paths: &[String]) -> Vec<Variant> {
        for path in paths {
            let plain = self.release.files.get(path).map_or(u64::MAX, |(size, _)| *size);
            let listed = |compression: Compression| {
                let path = format!("{path}{}", compression.suffix());
                let (size, digest) = *self.release.files.get(&path)?;
                Some(Variant { compression, path, size, digest, limit: plain.min(limits::INDEX_TEXT) })
            };
            let order = if self.is_fast { FAST_ORDER } else { SLOW_ORDER };
            let variants: Vec<Variant> = order.into_iter().filter_map(listed).collect();
            if !variants.is_empty() {
                return variants;
            }
        }
        Vec::new()
    }

    /// Returns the packages if the cache has any form of the index: a parsed one, which is the cheapest, or a compressed one.
    async fn read_cached(&self, variants: &[Variant], name: &str) -> Result<Option<Arc<Table>>, Error> {
        let mut packages = None;
        for variant in variants {
            packages = self.read_parsed(variant).await?;
            if packages.is_some() {
                break;
            }
        }
        if packages.is_none() {
            for variant in variants {
                packages = self.read_compressed(variant, name).await?;
                if packages.is_some() {
                    break;
                }
            }
        }
        if packages.is_some() {
            (self.report)(Event::CacheHit { what: name.to_owned() });
        }
        Ok(packages)
    }

    /// Returns the packages that an earlier run parsed from this form.
    async fn read_parsed(&self, variant: &Variant) -> Result<Option<Arc<Table>>, Error> {
        // The compressed form is marked as used, although it need not be read.
        variant.destination(self.cache).has_file();
        let (place, limit) = (ParsedIndexFile::new(self.cache, &variant.digest), variant.limit);
        on_thread(move || Ok(place.read(limit).map(Arc::new))).await
    }

    /// Decodes this form from the cache. It is hashed again, because everything in the run depends on it.
    async fn read_compressed(&self, variant: &Variant, name: &str) -> Result<Option<Arc<Table>>, Error> {
        let destination = variant.destination(self.cache);
        let Some(mut file) = destination.open_unverified() else { return Ok(None) };
        let (of_thread, name) = (variant.clone(), name.to_owned());
        let decoded = on_thread(move || {
            let path = destination.path().to_owned();
            let mut bytes = Vec::with_capacity(usize::try_from(destination.size).unwrap_or_default());
            let read = (&mut file).take(destination.size).read_to_end(&mut bytes);
            read.map_err(|source| Error::Read { path, source })?;
            if !bytes_have_digest(&bytes, &of_thread.digest) {
                destination.remove();
                return Ok(None);
            }
            decode(bytes.as_slice(), &of_thread, &name).map(Some)
        });
        Ok(decoded.await?.map(|decoded| self.keep(variant, decoded)))
    }

    /// Downloads and decodes the first form that a mirror has.
    async fn fetch_from_mirrors(&self, variants: Vec<Variant>, name: String) -> Result<Arc<Table>, Error> {
        let mut last = None;
        for variant in variants {
            if variant.size > limits::INDEX_TRANSFER {
                return Err(Error::TooLarge { what: name, limit: limits::INDEX_TRANSFER });
            }
            match self.download_and_read(&variant, &name).await {
                Ok(table) => return Ok(table),
                // Some Releases list forms that the mirror does not have.
                Err(Error::Fetch { source: failures, what })
                    if failures.0.iter().all(|(_, fault)| fault.is_about_path()) =>
                {
                    last = Some(Error::Fetch { what, source: failures });
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(Error::Offline { what: name }))
    }

    /// Downloads and decodes one form. The cache may lose the file before it is read; then it is downloaded again.
    async fn download_and_read(&self, variant: &Variant, name: &str) -> Result<Arc<Table>, Error> {
        let mut path = PathBuf::new();
        for _ in 0..ATTEMPTS {
            path = self.download(variant, name).await?;
            if let Some(table) = self.read_downloaded(variant, name).await? {
                return Ok(table);
            }
        }
        Err(Error::Read { path, source: io::ErrorKind::NotFound.into() })
    }

    async fn download(&self, variant: &Variant, name: &str) -> Result<PathBuf, Error> {
        let report = self.report;
        let mut candidates = Vec::new();
        for mirror in self.mirrors {
            // By-hash first: that path has the right file even while the mirror is being updated.
            if let Some((parent, _)) = variant.path.rsplit_once('/').filter(|_| self.release.acquire_by_hash) {
                let (algorithm, hash) = (variant.digest.algorithm(), variant.digest);
                let path = path_in_suite(self.suite, &format!("{parent}/by-hash/{algorithm}/{hash}"));
                candidates.push(Candidate { mirror, path });
            }
            candidates.push(Candidate { mirror, path: path_in_suite(self.suite, &variant.path) });
        }
        report(Event::IndexStarted { name: name.to_owned(), size: variant.size });
        let progress = |bytes| {
            if bytes != 0 {
                report(Event::IndexBytes { bytes })
            }
        };
        let job = Job { what: name, report, progress: &progress };
        let path = self.downloader.download(&job, candidates, &variant.destination(self.cache)).await?;
        report(Event::IndexDone { name: name.to_owned() });
        Ok(path)
    }

    /// Decodes a file that was just downloaded and verified. Not while it arrives, so that no decoder sees unverified bytes; the
    /// decoding of one index overlaps with the download of the others.
    async fn read_downloaded(&self, variant: &Variant, name: &str) -> Result<Option<Arc<Table>>, Error> {
        let (of_thread, of_name, destination) = (variant.clone(), name.to_owned(), variant.destination(self.cache));
        let decoded = on_thread(move || {
            let Some(file) = destination.open_verified() else { return Ok(None) };
            decode(BufReader::with_capacity(256 << 10, file), &of_thread, &of_name).map(Some)
        });
        Ok(decoded.await?.map(|decoded| self.keep(variant, decoded)))
    }

    /// Starts to write the packages to the cache, and returns them.
    fn keep(&self, variant: &Variant, (packages, decoded): (Table, u64)) -> Arc<Table> {
        let packages = Arc::new(packages);
        self.writers.write(ParsedIndexFile::new(self.cache, &variant.digest), packages.clone(), decoded);
        packages
    }
}

/// Runs `work` on a thread where it may block.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Threads { source: error.into() })?
}

/// Decodes a verified index chunk by chunk while another thread parses the decoded chunks, so that the whole text is never in memory.
/// Returns the packages and the bytes of the decoded text.
fn decode(input: impl io::BufRead + Send, variant: &Variant, name: &str) -> Result<(Table, u64), Error> {
    let fail = |source| Error::Decompress { what: name.to_owned(), source };
    let limit = variant.limit;
    // The listed size or the usual ratio, and never more than the limit: a wrong guess only costs memory.
    let guess =
        if variant.compression == Compression::None { variant.size } else { limit.min(variant.size.saturating_mul(6)) };
    let capacity = usize::try_from(guess.min(limits::INDEX_TEXT)).unwrap_or(0);
    let mut decoder = variant.compression.decoder(input, DECODER).map_err(fail)?.take(limit.saturating_add(1));
    // Three buffers go around: one is filled while another is parsed and a third waits.
    let (filled, texts) = mpsc::sync_channel::<Vec<u8>>(1);
    let (emptied, room) = mpsc::channel::<Vec<u8>>();
    thread::scope(|scope| {
        let parse = move || {
            let mut packages = Table::with_capacity(capacity);
            for mut text in texts {
                packages.extend(&to_text(&text));
                text.clear();
                let _ = emptied.send(text);
            }
            packages
        };
        let parser = thread::Builder::new().name("parse".to_owned()).spawn_scoped(scope, parse);
        let parser = parser.map_err(|source| Error::Threads { source })?;
        let (mut text, mut decoded) = (Vec::new(), 0);
        loop {
            let seen = text.len().saturating_sub(1);
            let count = decoder.by_ref().take(limits::INDEX_CHUNK).read_to_end(&mut text).map_err(fail)?;
            decoded += count as u64;
            if decoded > limit {
                return Err(Error::TooLarge { what: name.to_owned(), limit });
            }
            // An empty line ends a stanza, so the text is cut after the last one.
            let last =
                memchr::memmem::rfind(text.get(seen..).unwrap_or_default(), b"\n\n").map_or(0, |at| seen + at + 2);
            let end = if count == 0 { text.len() } else { last };
            if end > 0 {
                let mut next = room.try_recv().unwrap_or_default();
                next.extend_from_slice(text.get(end..).unwrap_or_default());
                text.truncate(end);
                // The parser receives until the channel is closed, so sending cannot fail.
                let _ = filled.send(std::mem::replace(&mut text, next));
            }
            if count == 0 {
                break;
            }
        }
        drop(filled);
        let packages = parser.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((packages, decoded))
    })
}

/// Replaces what is not UTF-8. A name in Latin-1, as it was written before Policy required UTF-8, must not make a whole suite
/// unreadable. All fields that are used are ASCII; one that is not is refused where it is used.
fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    // Nearly all text is UTF-8, and checking it is quicker than repairing it.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
