//! A store that several machines share, behind the cache of each: `GET` and `PUT` of `/cas/SHA256` and `/ac/KEY` below an address, as
//! bazel-remote has it and any server that stores what is put there, or objects with these names.
//!
//! Rule: every byte is verified before it is used. What the store does wrong costs time and no result: at the first failure that is not about
//! one file it is left alone for the rest of the run, and [`Remote::problem`] says why.

use crate::action::{self, Output};
use crate::backend::{self, Answer, Backend, RemoteError};
use crate::hash::sha256;
use crate::key::Key;
use http::Url;
use rootstrap_http as http;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Uploads at once.
const UPLOADS: usize = 4;

/// The most bytes of an entry: more than any root has, so that a store cannot fill the disk.
const LARGEST: u64 = 32 << 30;

/// A store that several machines share. Clones share its connections and its state.
#[derive(Clone, Debug)]
pub struct Remote(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    address: RemoteAddress,
    backend: Backend,
    slots: Semaphore,
    state: Mutex<State>,
    threads: Threads,
}

/// The threads that speak with the store. The last clone of a store may be dropped on one of them, where nobody may wait for the others.
#[derive(Debug)]
struct Threads {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Threads {
    fn start() -> io::Result<Self> {
        let runtime = http::runtime("remote", 1)?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
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
        if !backend::is_known(base.scheme()) {
            return Err("its address must begin with http://, https://, s3://, gs:// or az://".to_owned());
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
                _ => return Err("its options are ro and trust=own; a comma in a password is written %2C".to_owned()),
            }
        }
        Ok(Self { base, shown: http::redact::password(address), is_read_only, is_own })
    }
}

impl Remote {
    /// Opens a store. It does not connect to anything. `environment` are variables that object stores are configured with, such as
    /// `AWS_ACCESS_KEY_ID`.
    ///
    /// # Errors
    /// The options cannot be used, or threads cannot be started.
    pub fn open(
        address: &RemoteAddress,
        options: &http::Options,
        environment: &[(String, String)],
    ) -> Result<Self, RemoteError> {
        let backend = Backend::open(&address.base, options, environment)?;
        let threads = Threads::start()?;
        let (slots, state) = (Semaphore::new(UPLOADS), Mutex::default());
        Ok(Self(Arc::new(Shared { address: address.clone(), backend, slots, state, threads })))
    }

    /// Returns the address for messages.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.0.address.shown
    }

    /// Returns whether the store is asked for anything still.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.0.state().is_broken.is_none()
    }

    /// Fetches the file with this digest, 64 hexadecimal digits, into an empty file. Returns whether all of it is there.
    pub async fn fetch(&self, digest: &str, size: u64, mut to: File) -> bool {
        let (shared, output) = (self.0.clone(), Output { digest: digest.to_owned(), size });
        // Its connections belong to its own threads.
        let fetched = self.0.threads.handle.spawn(async move { shared.file(&output, &mut to).await }).await;
        fetched.unwrap_or_else(|error| Err(error.to_string())).unwrap_or_else(|reason| {
            self.give_up(&reason);
            false
        })
    }

    /// Returns whether what nothing else vouches for is believed.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.0.address.is_own
    }

    /// Leaves the store alone from now on.
    fn give_up(&self, reason: &str) {
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
            let task = self.0.threads.handle.spawn(upload);
            state.uploads.push(task);
        }
    }

    /// Fetches the content of a key into an empty file. Returns whether all of it is there.
    #[must_use]
    pub fn find_entry(&self, key: &Key, to: &mut File) -> bool {
        if !self.is_own() || !self.is_usable() {
            return false;
        }
        self.0.threads.handle.block_on(self.0.entry(key, to)).unwrap_or_else(|reason| {
            self.give_up(&reason);
            false
        })
    }

    /// Waits for the uploads. Returns why the store was left alone, if it was.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let uploads = std::mem::take(&mut self.0.state().uploads);
        self.0.threads.handle.block_on(async {
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

    async fn entry(&self, key: &Key, to: &mut File) -> Result<bool, String> {
        let mut value = Vec::new();
        if let Answer::Missing = self.backend.get(&format!("ac/{key}"), action::LONGEST as u64, &mut value).await? {
            return Ok(false);
        }
        let Some(output) = action::decode(&value) else { return Err("it has something else under a key".to_owned()) };
        if output.size > LARGEST {
            return Err(format!("it has an entry of {} bytes", output.size));
        }
        self.file(&output, to).await
    }

    /// Fetches a file and verifies it.
    async fn file(&self, output: &Output, to: &mut File) -> Result<bool, String> {
        let (path, mut hashing) = (format!("cas/{}", output.digest), Hashing { inner: to, hasher: Sha256::new() });
        if let Answer::Missing = self.backend.get(&path, output.size, &mut hashing).await? {
            return Ok(false);
        }
        let digest = base16ct::lower::encode_string(&hashing.hasher.finalize());
        let is_right = digest == output.digest && to.rewind().is_ok();
        if is_right { Ok(true) } else { Err(format!("{path} has other bytes there")) }
    }

    /// Puts a file there. Returns whether the store has it.
    async fn put(&self, path: &str, file: File) -> bool {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        !self.is_off() && self.note(self.backend.put(path, file).await)
    }

    async fn put_bytes(&self, path: &str, bytes: Vec<u8>) {
        if !self.is_off() {
            self.note(self.backend.put_bytes(path, bytes).await);
        }
    }

    /// Whether nothing is put there any more.
    fn is_off(&self) -> bool {
        let state = self.state();
        state.is_broken.is_some() || state.is_closed.is_some()
    }

    /// Notes why an upload failed. Returns whether it succeeded.
    fn note(&self, sent: Result<(), String>) -> bool {
        match sent {
            Ok(()) => true,
            Err(reason) => {
                self.state().is_closed.get_or_insert(reason);
                false
            }
        }
    }
}

/// Returns digest and size of a file.
fn hash(file: &File) -> Option<(String, u64)> {
    let mut file = file;
    file.rewind().ok()?;
    let digest = sha256(&mut file).ok()?;
    Some((base16ct::lower::encode_string(&digest), file.metadata().ok()?.len()))
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

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
