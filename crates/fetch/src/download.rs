//! One file from one of several places: attempts, resumption, the next mirror.

use crate::cache::Cache;
use crate::error::{Error, Failures, Fault};
use crate::mirror::{Location, Mirror};
use crate::partial::{Expected, Partial, is_intact};
use crate::{Event, Options, Report, Timeouts, limits};
use reqwest::header::{CACHE_CONTROL, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Client, Response, StatusCode, Url};
use rootstrap_debian::digest::Digest;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What every download of a session shares.
pub(crate) struct Line {
    client: Client,
    retries: u32,
    timeouts: Timeouts,
    pub offline: bool,
    /// Mirrors that failed as such, which are asked last from then on.
    shunned: Mutex<BTreeSet<String>>,
}

/// A place to try: a path below a mirror.
pub(crate) struct Candidate<'a> {
    pub mirror: &'a Mirror,
    pub path: String,
}

/// Why a download ended: the place is to blame, or nothing will help.
#[derive(Debug)]
pub(crate) enum Failure {
    Fault(Fault),
    Fatal(Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

/// What is being fetched, and who is told.
pub(crate) struct Job<'a> {
    pub what: &'a str,
    pub report: Report<'a>,
    /// Bytes that came, negative for those that came in vain.
    pub progress: &'a (dyn Fn(i64) + Sync),
}

/// A file of known size and digest, and where it belongs.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub cache: &'a Cache,
    pub size: u64,
    pub digest: Digest,
}

impl Destination<'_> {
    /// Whether there is such a file of that size; what is in it is another question.
    pub fn is_listed(&self) -> bool {
        self.cache.find(&self.digest, self.size).is_some()
    }

    /// The file, if it is in the cache and what it was when it was written: a disk may have forgotten since, and hashing costs
    /// less than what damage would.
    pub async fn look(&self) -> Option<PathBuf> {
        let (path, digest) = (self.cache.find(&self.digest, self.size)?, self.digest);
        let intact = tokio::task::spawn_blocking(move || is_intact(&path, &digest).then_some(path)).await;
        intact.ok().flatten()
    }
}

impl Line {
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            client: crate::http::client(options)?,
            retries: options.retries,
            timeouts: options.timeouts,
            offline: options.offline,
            shunned: Mutex::default(),
        })
    }

    /// The same for downloads that are tried once.
    pub fn trying_once(&self) -> Self {
        let (client, timeouts, offline) = (self.client.clone(), self.timeouts, self.offline);
        Self { client, retries: 0, timeouts, offline, shunned: Mutex::default() }
    }

    /// Fetches a file into the cache. The caller has the [turn](Cache::turn) to.
    pub async fn obtain(
        &self,
        job: &Job<'_>,
        candidates: Vec<Candidate<'_>>,
        to: Destination<'_>,
    ) -> Result<PathBuf, Error> {
        let mut partial = Partial::in_file(to.cache.temporary()?, to.size, to.digest);
        self.fetch(job, candidates, &mut partial).await?;
        let (file, digest) = partial.into_file().ok_or(Error::Cancelled)?;
        to.cache.keep(file, &digest)
    }

    /// Fetches from the first candidate that has the right bytes. What one mirror has sent is kept when the next one
    /// goes on: the digest covers the whole.
    ///
    /// Returns the mirror that finished it.
    pub async fn fetch<'a>(
        &self,
        job: &Job<'_>,
        mut candidates: Vec<Candidate<'a>>,
        partial: &mut Partial,
    ) -> Result<&'a Mirror, Error> {
        candidates.retain(|candidate| !self.offline || candidate.mirror.is_directory());
        if candidates.is_empty() {
            return Err(Error::Offline { what: job.what.to_owned() });
        }
        candidates.sort_by_key(|candidate| self.is_shunned(candidate.mirror));
        let mut failures = Vec::new();
        let mut candidates = candidates.into_iter().peekable();
        while let Some(Candidate { mirror, path }) = candidates.next() {
            match self.fetch_from(job, mirror, &path, partial).await {
                Ok(()) => return Ok(mirror),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Fault(fault)) => {
                    let next = candidates.peek().map(|next| next.mirror.shown.clone());
                    // A by-hash path that is missing is no event: the plain path comes next.
                    if next.as_ref() != Some(&mirror.shown) {
                        let (uri, reason) = (mirror.shown.clone(), fault.to_string());
                        (job.report)(Event::MirrorFailed { uri, reason, next });
                    }
                    failures.push((format!("{}/{path}", mirror.shown.trim_end_matches('/')), fault));
                }
            }
        }
        Err(Error::Fetch { what: job.what.to_owned(), source: Failures(failures) })
    }

    /// Fetches from one place, again and again where that may help.
    pub async fn fetch_from(
        &self,
        job: &Job<'_>,
        mirror: &Mirror,
        path: &str,
        partial: &mut Partial,
    ) -> Result<(), Failure> {
        let location = mirror.locate(path);
        // A validator belongs to the place that gave it.
        partial.validator = None;
        let mut fresh = false;
        let mut attempt = 1;
        loop {
            let outcome = match &location {
                Location::Http(url) => self.get(job, url, fresh, partial).await,
                Location::File(path) => copy(job, path, partial).await,
            };
            let fault = match outcome.and_then(|()| partial.check().map_err(Failure::Fault)) {
                Ok(()) => return Ok(()),
                Err(Failure::Fault(fault)) => fault,
                fatal => return fatal,
            };
            let mut again = fault.is_transient();
            if fault.is_mismatch() {
                (job.progress)(-partial.restart()?);
                // Once more, past any proxy's copy: the file may have been replaced on its way.
                again = !fresh && matches!(location, Location::Http(_));
                fresh = true;
            }
            if !again || attempt > self.retries {
                if fault.blames_the_mirror() {
                    self.shun(mirror);
                }
                return Err(fault.into());
            }
            let wait = self.timeouts.backoff.saturating_mul(1 << (attempt - 1).min(16)).min(limits::LONGEST_WAIT);
            let (what, reason) = (job.what.to_owned(), fault.to_string());
            (job.report)(Event::Retry { what, reason, attempt, wait });
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn get(&self, job: &Job<'_>, url: &Url, fresh: bool, partial: &mut Partial) -> Result<(), Failure> {
        if partial.is_complete() {
            return Ok(());
        }
        let mut request = self.client.get(url.clone());
        if fresh {
            request = request.header(CACHE_CONTROL, "no-cache");
        }
        if partial.received() > 0 {
            request = request.header(RANGE, format!("bytes={}-", partial.received()));
            if let Some(validator) = &partial.validator {
                request = request.header(IF_RANGE, validator.clone());
            }
        }
        let head_limit = self.timeouts.connect.saturating_add(self.timeouts.stall);
        let mut response = within(head_limit, request.send()).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if partial.received() > 0 => {
                if range_start(&response) != Some(partial.received()) {
                    (job.progress)(-partial.restart()?);
                    return Err(Fault::Network("the server sent another range than asked for".to_owned()).into());
                }
            }
            StatusCode::OK => (job.progress)(-partial.restart()?),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Fault::Missing.into()),
            status => {
                if status == StatusCode::RANGE_NOT_SATISFIABLE {
                    (job.progress)(-partial.restart()?);
                }
                return Err(Fault::Status(status.as_u16()).into());
            }
        }
        if let (Expected::Exactly(expected), Some(length)) = (partial.expected, response.content_length()) {
            let got = partial.received().saturating_add(length);
            if got != expected {
                return Err(Fault::Size { expected, got }.into());
            }
        }
        partial.validator = validator(response.headers());
        let begun = Instant::now();
        while let Some(chunk) = within(self.timeouts.stall, response.chunk()).await? {
            partial.write(&chunk)?;
            (job.progress)(signed(chunk.len()));
        }
        partial.body_time += begun.elapsed();
        Ok(partial.end()?)
    }

    fn is_shunned(&self, mirror: &Mirror) -> bool {
        self.shunned.lock().is_ok_and(|shunned| shunned.contains(&mirror.uri))
    }

    fn shun(&self, mirror: &Mirror) {
        if let Ok(mut shunned) = self.shunned.lock() {
            shunned.insert(mirror.uri.clone());
        }
    }
}

/// Reads a file of a mirror that is a directory. In chunks, giving way between them, so that an interrupt counts.
async fn copy(job: &Job<'_>, path: &Path, partial: &mut Partial) -> Result<(), Failure> {
    (job.progress)(-partial.restart()?);
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::Missing,
        _ => Fault::Unreadable(error),
    };
    // Asked before it is opened: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Fault::Missing.into());
    }
    if let Expected::Exactly(expected) = partial.expected
        && metadata.len() != expected
    {
        return Err(Fault::Size { expected, got: metadata.len() }.into());
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = file.read(&mut buffer).map_err(unreadable)?;
        if length == 0 {
            return Ok(partial.end()?);
        }
        partial.write(buffer.get(..length).unwrap_or_default())?;
        (job.progress)(signed(length));
        tokio::task::yield_now().await;
    }
}

/// Awaits an answer no longer than `limit`.
async fn within<T>(limit: Duration, answer: impl Future<Output = reqwest::Result<T>>) -> Result<T, Fault> {
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Fault::Network(flat(error))),
        Err(_) => Err(Fault::Stalled(limit.as_secs())),
    }
}

/// The chain of causes in one line, without the URL, which may hold a password and is named beside it.
fn flat(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Where the range begins that a server sent (RFC 9110 §14.4).
fn range_start(response: &Response) -> Option<u64> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    value.strip_prefix("bytes")?.trim_start().split_once('-')?.0.parse().ok()
}

/// What may stand in `If-Range` (RFC 9110 §13.1.5): a strong tag, else a date.
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    let tag = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    tag.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

/// A number of bytes for progress.
pub(crate) fn signed(length: impl TryInto<i64>) -> i64 {
    length.try_into().unwrap_or(i64::MAX)
}
