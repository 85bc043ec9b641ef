//! Downloads one file from one of several mirrors: attempts, resumption, the next mirror.

use crate::answer::{range_start, validator};
use crate::destination::Destination;
use crate::error::{Error, Failure, Failures, Fault};
use crate::event::{Event, Report};
use crate::limits;
use crate::mirror::{Location, Mirror};
use crate::options::Options;
use crate::partial::{Expected, Partial};
use http::header::{CACHE_CONTROL, IF_RANGE, RANGE};
use http::{Certificates, Client, Method, Redirects, RequestBuilder, Retries, StatusCode, Timeouts, Url};
use percent_encoding::percent_decode_str;
use rootstrap_cache::Remote;
use rootstrap_debian::auth_conf::Login;
use rootstrap_debian::digest::Digest;
use rootstrap_http as http;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Downloads files. All downloads of a session share its connections and what it learns about mirrors.
#[derive(Clone)]
pub(crate) struct Downloader {
    client: Client,
    retries: Retries,
    patience: Patience,
    /// For a mirror after which another one is left.
    brief_timeouts: Timeouts,
    pub offline: bool,
    /// The beginnings of URIs of servers that are spared, and how many more files they may be asked for now.
    gentle: Arc<(Vec<String>, Semaphore)>,
    /// Users and passwords for servers, and the files that were not read.
    logins: Arc<(Vec<Login>, Vec<String>)>,
    /// A store that several machines share.
    remote: Option<Remote>,
    /// The URIs of mirrors that failed as such. They are asked last from then on.
    failed: Arc<Mutex<BTreeSet<String>>>,
}

/// How long to ask the same mirror again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// As long as the options say, because no other mirror is left.
    Full,
    /// At most [`limits::BRIEF_RETRIES`] times, and not if the mirror was too slow or asks to wait longer than
    /// [`limits::BRIEF_RETRY_AFTER`], because another mirror is left.
    Brief,
}

/// A path below a mirror, where the file may be.
#[derive(Clone)]
pub(crate) struct Candidate<'a> {
    pub mirror: &'a Mirror,
    pub path: String,
}

/// A candidate that will be asked.
struct Attempt<'a> {
    candidate: Candidate<'a>,
    /// Whether it was asked before, briefly, and all others have failed.
    is_last: bool,
}

/// What is being downloaded, and who receives the events.
pub(crate) struct Job<'a> {
    pub what: &'a str,
    pub report: Report<'a>,
    /// Receives the number of bytes that came, negative for bytes that will come again.
    pub progress: &'a (dyn Fn(i64) + Sync),
}

impl Downloader {
    pub fn new(options: &Options) -> Result<Self, Error> {
        let http = http::Options { connections: options.jobs, ..options.http.clone() };
        Ok(Self {
            client: Client::new(&http, Redirects::Follow, Certificates::Verified)?,
            retries: http.retries,
            patience: Patience::Full,
            brief_timeouts: http.timeouts.at_most(options.brief_timeouts),
            offline: options.offline,
            gentle: Arc::new((options.gentle.clone(), Semaphore::new(limits::GENTLE_JOBS))),
            logins: Arc::new((options.logins.clone(), options.left_out.clone())),
            remote: options.remote.clone().filter(|_| !options.offline),
            failed: Arc::default(),
        })
    }

    /// Returns one that shares the connections and asks for each file once, briefly if `others_left`. Its failures do not change in which order this one asks
    /// mirrors.
    pub fn once(&self, others_left: bool) -> Self {
        let downloader = if others_left { self.brief() } else { self.clone() };
        Self { retries: self.retries.at_most(0), failed: Arc::default(), ..downloader }
    }

    /// Returns one for a mirror after which another one is left. It repeats a request less often, and waits less for each answer.
    pub fn brief(&self) -> Self {
        Self {
            client: self.client.with_timeouts(self.brief_timeouts),
            retries: self.retries.at_most(limits::BRIEF_RETRIES),
            patience: Patience::Brief,
            ..self.clone()
        }
    }

    /// Downloads a file into the cache and returns its path. The caller holds the lock of `destination`.
    pub async fn download(
        &self,
        job: &Job<'_>,
        candidates: Vec<Candidate<'_>>,
        destination: &Destination,
    ) -> Result<PathBuf, Error> {
        // The store has its files under this digest alone.
        let remote = self.remote.as_ref().filter(|_| matches!(destination.digest, Digest::Sha256(_)));
        if let Some(remote) = remote.filter(|remote| remote.is_usable())
            && let Some(path) = download_from_remote(job, remote, destination).await?
        {
            return Ok(path);
        }
        let mut partial = Partial::in_file(destination.create()?, destination.size, destination.digest);
        self.fetch(job, candidates, &mut partial).await?;
        let path = partial.into_file().ok_or(Error::Cancelled)?.keep()?;
        if let (Some(remote), Some(file)) = (remote, destination.open_unverified()) {
            remote.upload(&destination.digest.to_string(), file);
        }
        Ok(path)
    }

    /// Fetches from the first candidate that has the right bytes. When one mirror fails, the next one is only asked for the bytes
    /// that are missing: the digest covers the whole file. A mirror that was only too slow while another one was left is asked again,
    /// with patience, when all others have failed.
    ///
    /// The candidates of one mirror stand together. Returns the mirror that sent the last byte.
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
        candidates.sort_by_key(|candidate| self.has_failed(candidate.mirror));
        let brief = self.brief();
        let (mut failures, mut failed) = (Vec::new(), Vec::new());
        let first = |candidate| Attempt { candidate, is_last: false };
        let mut attempts: VecDeque<Attempt<'_>> = candidates.into_iter().map(first).collect();
        while let Some(Attempt { candidate: Candidate { mirror, path }, is_last }) = attempts.pop_front() {
            let is_same = |next: &Attempt<'_>| next.candidate.mirror.uri == mirror.uri && next.is_last == is_last;
            let next = attempts.iter().find(|next| !is_same(next)).map(|next| next.candidate.mirror.shown.clone());
            // Another path of a server that does not answer is no other mirror. What has failed for long is asked only briefly.
            let is_other = |next: &Attempt<'_>| !next.is_last && !next.candidate.mirror.is_same_server(mirror);
            let has_failed = failed.iter().any(|failed: &&Mirror| failed.is_same_server(mirror));
            let others_left = attempts.iter().any(is_other);
            let is_brief = !is_last && (has_failed || others_left);
            let downloader = if is_brief { &brief } else { self };
            let fault = match downloader.fetch_from(job, mirror, &path, partial).await {
                Ok(()) => return Ok(mirror),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Fault(fault)) => fault,
            };
            let mut again = vec![path.clone()];
            // The other paths of a mirror that does not work would fail too.
            if fault.is_about_mirror() {
                failed.push(mirror);
                while next.is_some() && attempts.front().is_some_and(is_same) {
                    again.extend(attempts.pop_front().map(|skipped| skipped.candidate.path));
                }
            }
            if others_left && !is_last && fault.asks_for_patience() {
                let last = |path| Attempt { candidate: Candidate { mirror, path }, is_last: true };
                attempts.extend(again.into_iter().map(last));
            }
            // No event for a missing by-hash path: the plain path of the same mirror follows.
            if !attempts.front().is_some_and(is_same) {
                let (uri, reason) = (mirror.shown.clone(), fault.to_string());
                (job.report)(Event::MirrorFailed { uri, reason, next });
            }
            failures.push((format!("{}/{path}", mirror.shown.trim_end_matches('/')), fault));
        }
        Err(Error::Fetch { what: job.what.to_owned(), source: Failures(failures) })
    }

    /// Fetches from one URI, and repeats that while it may help.
    pub async fn fetch_from(
        &self,
        job: &Job<'_>,
        mirror: &Mirror,
        path: &str,
        partial: &mut Partial,
    ) -> Result<(), Failure> {
        let location = mirror.locate(path);
        let (spared, permits) = &*self.gentle;
        let is_spared = spared.iter().any(|start| mirror.uri.starts_with(start));
        // The semaphore is never closed.
        let _permit = if is_spared { permits.acquire().await.ok() } else { None };
        // A validator is valid only for the URI whose answer had it.
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
                // Once more, without the copies of proxies: the file may have been replaced during the transfer.
                again = !fresh && matches!(location, Location::Http(_));
                fresh = true;
            }
            let Some(wait) = self.wait(attempt, &fault).filter(|_| again) else {
                if fault.is_about_mirror() {
                    self.mark_failed(mirror);
                }
                return Err(fault.into());
            };
            let (what, uri, reason) = (job.what.to_owned(), mirror.shown.clone(), fault.to_string());
            (job.report)(Event::Retry { what, uri, reason, attempt, wait });
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// Returns how long to wait before the next attempt; `None` if there is none.
    fn wait(&self, attempt: u32, fault: &Fault) -> Option<Duration> {
        let asked = fault.retry_after();
        let is_too_long = |asked| asked > limits::BRIEF_RETRY_AFTER;
        if self.patience == Patience::Brief && (fault.is_slowness() || asked.is_some_and(is_too_long)) {
            return None;
        }
        let retries = if fault.is_slowness() { self.retries.at_most(limits::STALL_RETRIES) } else { self.retries };
        retries.wait(attempt, asked)
    }

    /// Returns user and password for an address that has no password itself. If it has a user, it is that one's.
    fn login(&self, url: &Url) -> Option<&Login> {
        let user = Some(url.username()).filter(|user| !user.is_empty());
        let user = user.map(|user| percent_decode_str(user).decode_utf8_lossy());
        let host = url.host_str().filter(|_| url.password().is_none())?;
        let fits = |login: &&Login| {
            login.fits(url.scheme(), host, url.port_or_known_default(), url.path())
                && user.as_ref().is_none_or(|user| *user == login.user)
        };
        self.logins.0.iter().find(fits)
    }

    /// Creates the request for the missing bytes of a file. If it is `fresh`, no proxy may answer it from a cache.
    fn request(&self, url: &Url, fresh: bool, partial: &Partial) -> RequestBuilder {
        let mut request = match self.login(url) {
            None => self.client.request(Method::GET, url.clone()),
            Some(login) => {
                let mut url = url.clone();
                // The client would send the user of the address as well. An address with a host can be without one.
                let _ = url.set_username("");
                self.client.request(Method::GET, url).basic_auth(&login.user, Some(&login.password))
            }
        };
        if fresh {
            request = request.header(CACHE_CONTROL, "no-cache");
        }
        if partial.received() > 0 {
            request = request.header(RANGE, format!("bytes={}-", partial.received()));
            if let Some(validator) = &partial.validator {
                request = request.header(IF_RANGE, validator.clone());
            }
        }
        request
    }

    /// Requests the missing bytes of a file and writes them to `partial`.
    async fn get(&self, job: &Job<'_>, url: &Url, fresh: bool, partial: &mut Partial) -> Result<(), Failure> {
        if partial.is_complete() {
            return Ok(());
        }
        let mut response = self.client.send(self.request(url, fresh, partial)).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if partial.received() > 0 => {
                if range_start(&response) != Some(partial.received()) {
                    (job.progress)(-partial.restart()?);
                    return Err(Fault::OtherRange.into());
                }
            }
            StatusCode::OK => (job.progress)(-partial.restart()?),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Fault::Missing.into()),
            StatusCode::UNAUTHORIZED => {
                let is_sent = url.password().is_some() || self.login(url).is_some();
                let left_out = self.logins.1.clone();
                let is_encrypted = url.scheme() == "https";
                return Err(Fault::Login { is_sent, is_encrypted, left_out }.into());
            }
            status => {
                if status == StatusCode::RANGE_NOT_SATISFIABLE {
                    (job.progress)(-partial.restart()?);
                }
                return Err(response.status_error().into());
            }
        }
        if let (Expected::Exactly(expected), Some(length)) = (partial.expected, response.content_length()) {
            let got = partial.received().saturating_add(length);
            if got != expected {
                return Err(Fault::Size { expected, got }.into());
            }
        }
        partial.validator = validator(response.headers());
        partial.came_from = Some(response.url().clone());
        let begun = Instant::now();
        while let Some(chunk) = response.chunk().await? {
            partial.write(&chunk)?;
            (job.progress)(signed(chunk.len()));
        }
        partial.body_time += begun.elapsed();
        Ok(partial.end()?)
    }

    fn has_failed(&self, mirror: &Mirror) -> bool {
        self.failed.lock().is_ok_and(|failed| failed.contains(&mirror.uri))
    }

    fn mark_failed(&self, mirror: &Mirror) {
        if let Ok(mut failed) = self.failed.lock() {
            failed.insert(mirror.uri.clone());
        }
    }
}

/// Downloads a file from the store that several machines share, which is asked once. Returns `None` if it does not have the file.
async fn download_from_remote(
    job: &Job<'_>,
    remote: &Remote,
    destination: &Destination,
) -> Result<Option<PathBuf>, Error> {
    let mut new = destination.create()?;
    let file = new.file().try_clone().map_err(|source| rootstrap_cache::Error::write(destination.path(), source))?;
    if !remote.fetch(&destination.digest.to_string(), destination.size, file).await {
        return Ok(None);
    }
    (job.progress)(signed(destination.size));
    Ok(Some(new.keep()?))
}

/// Copies a file of a mirror that is a directory. It yields after every chunk, so that the session can be cancelled.
async fn copy(job: &Job<'_>, path: &Path, partial: &mut Partial) -> Result<(), Failure> {
    (job.progress)(-partial.restart()?);
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::Missing,
        _ => Fault::Unreadable(error),
    };
    // The type is checked before the file is opened, because opening a pipe would wait for a writer.
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

/// Returns a number of bytes as [`Job::progress`] takes it.
pub(crate) fn signed(length: impl TryInto<i64>) -> i64 {
    length.try_into().unwrap_or(i64::MAX)
}
