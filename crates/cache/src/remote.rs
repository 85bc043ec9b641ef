//! A store that several machines share, behind the cache of each: `GET` and `PUT` of `/cas/SHA256` and `/ac/KEY` below an address, as
//! bazel-remote has it and any server that stores what is put there.
//!
//! Rule: every byte is verified before it is used. What the store does wrong costs time and no result: at the first failure that is not about
//! one file it is left alone for the rest of the run, and [`Remote::problem`] says why.

use crate::action::{self, Output};
use crate::hash::sha256;
use crate::key::Key;
use http::{Body, Certificates, Client, Method, Redirects, Response, StatusCode, Timeouts, Url};
use rootstrap_http as http;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Uploads at once.
const UPLOADS: usize = 4;

/// Bytes of a file that are read at a time.
const CHUNK: usize = 256 << 10;

/// A store is to save time: one that does not answer is not waited for as a mirror is.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    stall: Duration::from_secs(10),
    rate_window: Duration::from_secs(20),
    minimum_rate: 20_000,
};

/// How long the store may take to accept a file, beside the time that it is sent.
const STORE: Duration = Duration::from_secs(60);

/// A store that several machines share. Clones share its connections and its state.
#[derive(Clone, Debug)]
pub struct Remote(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    address: RemoteAddress,
    client: Client,
    slots: Semaphore,
    state: Mutex<State>,
    runtime: Runtime,
}

#[derive(Debug, Default)]
struct State {
    uploads: Vec<JoinHandle<()>>,
    /// Why the store is not used any more.
    is_broken: Option<String>,
    /// Why nothing is put there any more.
    is_closed: Option<String>,
}

/// Where a store is, and what it is used for: `URL[,ro][,trust=own]`.
#[derive(Clone, Debug)]
pub struct RemoteAddress {
    base: Url,
    shown: String,
    /// Nothing is put there.
    is_read_only: bool,
    /// It is also asked for what nothing else vouches for: whoever can write there decides what is built.
    is_own: bool,
}

impl FromStr for RemoteAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let address = parts.next().unwrap_or_default();
        let mut base = Url::parse(address).map_err(|_| "its address is not a valid URI".to_owned())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err("its address must begin with http:// or https://".to_owned());
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err("its address has a query or a fragment".to_owned());
        }
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        let (mut is_read_only, mut is_own) = (false, false);
        for option in parts {
            match option {
                "ro" => is_read_only = true,
                "trust=own" => is_own = true,
                other => return Err(format!("`{other}` is none of ro and trust=own")),
            }
        }
        Ok(Self { base, shown: http::redact::password(address), is_read_only, is_own })
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each field is")]
pub enum RemoteError {
    #[error(transparent)]
    Http(#[from] http::SetupError),
    #[error("cannot start threads for the remote cache")]
    Threads(#[from] io::Error),
}

/// What a store has.
enum Answer {
    Got,
    Missing,
}

impl Remote {
    /// Opens a store. It does not connect to anything.
    ///
    /// # Errors
    /// The options cannot be used, or threads cannot be started.
    pub fn open(address: &RemoteAddress, options: &http::Options) -> Result<Self, RemoteError> {
        let options = http::Options { timeouts: options.timeouts.at_most(TIMEOUTS), ..options.clone() };
        let client = Client::new(&options, Redirects::Follow, Certificates::Verified)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("remote").enable_all().build()?;
        let (slots, state) = (Semaphore::new(UPLOADS), Mutex::default());
        Ok(Self(Arc::new(Shared { address: address.clone(), client, slots, state, runtime })))
    }

    /// Returns the address for messages.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.0.address.shown
    }

    /// Returns the address that files are fetched from, without a slash at its end: `cas/SHA256` below it. `None` once the store has failed.
    #[must_use]
    pub fn source(&self) -> Option<String> {
        let is_usable = self.0.state().is_broken.is_none();
        is_usable.then(|| self.0.address.base.as_str().trim_end_matches('/').to_owned())
    }

    /// Returns whether what nothing else vouches for is believed.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.0.address.is_own
    }

    /// Leaves the store alone from now on.
    pub fn give_up(&self, reason: &str) {
        self.0.state().is_broken.get_or_insert_with(|| reason.to_owned());
    }

    /// Puts a file into the store in the background. `digest` are 64 hexadecimal digits, of all of its bytes.
    pub fn upload(&self, digest: &str, file: File) {
        let (shared, digest) = (self.0.clone(), digest.to_owned());
        self.start(async move {
            shared.put(&format!("cas/{digest}"), file).await;
        });
    }

    /// Puts the content of a key into the store in the background.
    pub fn upload_entry(&self, key: &Key, file: File) {
        if !self.is_own() {
            return;
        }
        let (shared, name) = (self.0.clone(), format!("ac/{key}"));
        self.start(async move {
            let Some((digest, size)) = hash(&file) else { return };
            let value = action::encode(&Output { digest: digest.clone(), size });
            // The store may check that it has what the key stands for.
            if shared.put(&format!("cas/{digest}"), file).await {
                shared.put_bytes(&name, value).await;
            }
        });
    }

    fn start(&self, upload: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.0.state();
        let is_off = self.0.address.is_read_only || state.is_broken.is_some() || state.is_closed.is_some();
        if !is_off {
            let task = self.0.runtime.spawn(upload);
            state.uploads.push(task);
        }
    }

    /// Fetches the content of a key into an empty file. Returns whether all of it is there.
    #[must_use]
    pub fn find_entry(&self, key: &Key, to: &mut File) -> bool {
        if !self.is_own() || self.source().is_none() {
            return false;
        }
        self.0.runtime.block_on(self.0.entry(key, to)).unwrap_or_else(|reason| {
            self.give_up(&reason);
            false
        })
    }

    /// Waits for the uploads. Returns why the store was left alone, if it was.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let uploads = std::mem::take(&mut self.0.state().uploads);
        self.0.runtime.block_on(async {
            for upload in uploads {
                let _ = upload.await;
            }
        });
        let mut state = self.0.state();
        let shown = self.shown();
        let broken = state.is_broken.take().map(|reason| format!("the remote cache {shown} was left alone: {reason}"));
        broken.or_else(|| {
            let closed = state.is_closed.take();
            closed.map(|reason| format!("nothing more was put into the remote cache {shown}: {reason}"))
        })
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn url(&self, path: &str) -> Option<Url> {
        self.address.base.join(path).ok()
    }

    async fn entry(&self, key: &Key, to: &mut File) -> Result<bool, String> {
        let mut value = Vec::new();
        if let Answer::Missing = self.get(&format!("ac/{key}"), action::LONGEST as u64, &mut value).await? {
            return Ok(false);
        }
        let Some(output) = action::decode(&value) else { return Err("it has something else under a key".to_owned()) };
        let mut hashing = Hashing { inner: to, hasher: Sha256::new() };
        if let Answer::Missing = self.get(&format!("cas/{}", output.digest), output.size, &mut hashing).await? {
            return Ok(false);
        }
        let digest = base16ct::lower::encode_string(&hashing.hasher.finalize());
        let is_right = digest == output.digest && to.rewind().is_ok();
        if is_right { Ok(true) } else { Err(format!("cas/{} has other bytes there", output.digest)) }
    }

    /// Fetches at most `limit` bytes.
    async fn get(&self, path: &str, limit: u64, to: &mut (dyn Write + Send)) -> Result<Answer, String> {
        let Some(url) = self.url(path) else { return Ok(Answer::Missing) };
        let fail = |error: http::Error| error.to_string();
        let mut response = self.client.send(self.client.request(Method::GET, url)).await.map_err(fail)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Answer::Missing),
            _ => return Err(answered(&response)),
        }
        let mut left = limit;
        while let Some(chunk) = response.chunk().await.map_err(fail)? {
            left = left.checked_sub(chunk.len() as u64).ok_or_else(|| format!("{path} is larger there"))?;
            to.write_all(&chunk).map_err(|error| error.to_string())?;
        }
        Ok(Answer::Got)
    }

    /// Puts a file there. Returns whether the store has it.
    async fn put(&self, path: &str, file: File) -> bool {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        let Ok(size) = file.metadata().map(|found| found.len()) else { return false };
        self.send(path, size, Body::wrap_stream(chunks(file))).await
    }

    async fn put_bytes(&self, path: &str, bytes: Vec<u8>) {
        let size = bytes.len() as u64;
        self.send(path, size, Body::from(bytes)).await;
    }

    async fn send(&self, path: &str, size: u64, body: Body) -> bool {
        let is_off = {
            let state = self.state();
            state.is_broken.is_some() || state.is_closed.is_some()
        };
        let Some(url) = self.url(path).filter(|_| !is_off) else { return false };
        let request = self.client.request(Method::PUT, url).header(http::header::CONTENT_LENGTH, size).body(body);
        let limit = STORE.saturating_add(Duration::from_secs(size / u64::from(TIMEOUTS.minimum_rate)));
        match self.client.send_within(limit, request).await {
            Ok(response) if response.status().is_success() => true,
            Ok(response) => {
                self.state().is_closed.get_or_insert_with(|| answered(&response));
                false
            }
            Err(error) => {
                self.state().is_closed.get_or_insert_with(|| error.to_string());
                false
            }
        }
    }
}

fn answered(response: &Response) -> String {
    format!("the server answered {}", response.status().as_u16())
}

/// Returns digest and size of a file.
fn hash(file: &File) -> Option<(String, u64)> {
    let mut file = file;
    file.rewind().ok()?;
    let digest = sha256(&mut file).ok()?;
    Some((base16ct::lower::encode_string(&digest), file.metadata().ok()?.len()))
}

/// Returns a file from its beginning, in pieces.
fn chunks(mut file: File) -> impl futures_util::Stream<Item = io::Result<Vec<u8>>> + Send {
    let begun = file.rewind();
    futures_util::stream::unfold((file, begun), |(mut file, begun)| async move {
        let mut chunk = vec![0; CHUNK];
        match begun.and_then(|()| file.read(&mut chunk)) {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some((Ok(chunk), (file, Ok(()))))
            }
            Err(error) => Some((Err(error), (file, Ok(())))),
        }
    })
}

/// Hashes what is written.
struct Hashing<'a> {
    inner: &'a mut File,
    hasher: Sha256,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..length).unwrap_or_default());
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
