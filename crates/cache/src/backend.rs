//! How a remote store is spoken to: plain HTTP, or the protocol of an object store.

use crate::object_stores;
use http::{Body, Certificates, Client, Method, Redirects, Response, StatusCode, Timeouts, Url};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use rootstrap_http as http;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::time::Duration;

/// Bytes of a file that are read at a time.
const CHUNK: usize = 256 << 10;

/// Bytes of a part of an object. Object stores take none below 5 MiB, except for the last one.
const PART: usize = 8 << 20;

/// A store is to save time: one that does not answer is not waited for as a mirror is.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    stall: Duration::from_secs(10),
    rate_window: Duration::from_secs(20),
    minimum_rate: 20_000,
};

/// How many bytes per second a store has to take of a file: a slower one does not save time.
const RATE: u64 = 1_000_000;

/// How long one request to an object store may take.
const TRANSFER: Duration = Duration::from_secs(600);

/// The schemes of object stores, as their own tools write them.
const OBJECTS: [&str; 3] = ["s3", "gs", "az"];

/// An open store.
#[derive(Debug)]
pub(crate) struct Backend {
    protocol: Protocol,
    timeouts: Timeouts,
}

#[derive(Debug)]
enum Protocol {
    Http { base: Url, client: Client },
    Objects { store: Box<dyn ObjectStore>, prefix: Path },
}

/// What a store has.
pub(crate) enum Answer {
    Got,
    Missing,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each field is")]
pub enum RemoteError {
    #[error(transparent)]
    Http(#[from] http::SetupError),
    #[error("cannot use the remote cache {shown}: {reason}")]
    Objects { shown: String, reason: String },
    #[error("cannot start threads for the remote cache")]
    Threads(#[from] io::Error),
}

/// Returns whether a store can be opened at an address with this scheme.
pub(crate) fn is_known(scheme: &str) -> bool {
    matches!(scheme, "http" | "https") || OBJECTS.contains(&scheme)
}

impl Backend {
    /// Opens a store. `environment` are variables that object stores are configured with, such as `AWS_ACCESS_KEY_ID`.
    pub fn open(base: &Url, options: &http::Options, environment: &[(String, String)]) -> Result<Self, RemoteError> {
        let timeouts = options.timeouts.at_most(TIMEOUTS);
        if !OBJECTS.contains(&base.scheme()) {
            let options = http::Options { timeouts, ..options.clone() };
            let client = Client::new(&options, Redirects::Follow, Certificates::Verified)?;
            return Ok(Self { protocol: Protocol::Http { base: base.clone(), client }, timeouts });
        }
        let fail = |error: object_store::Error| RemoteError::Objects {
            shown: http::redact::password(base.as_str()),
            reason: error.to_string(),
        };
        let variables = environment.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        http::use_tls();
        let limits = [("connect_timeout", timeouts.connect), ("timeout", TRANSFER)];
        let limits = limits.map(|(name, limit)| (name.to_owned(), format!("{} seconds", limit.as_secs())));
        let (store, prefix) = object_stores::open(base, &variables.chain(limits).collect::<Vec<_>>()).map_err(fail)?;
        Ok(Self { protocol: Protocol::Objects { store, prefix }, timeouts })
    }

    /// Fetches at most `limit` bytes.
    pub async fn get(&self, path: &str, limit: u64, to: &mut (dyn Write + Send)) -> Result<Answer, String> {
        let mut left = limit;
        let mut write = |chunk: &[u8]| {
            left = left.checked_sub(chunk.len() as u64).ok_or_else(|| format!("{path} is larger there"))?;
            to.write_all(chunk).map_err(|error| error.to_string())
        };
        match &self.protocol {
            Protocol::Http { base, client } => {
                let Ok(url) = base.join(path) else { return Ok(Answer::Missing) };
                let fail = |error: http::Error| error.to_string();
                let mut response = client.send(client.request(Method::GET, url)).await.map_err(fail)?;
                match response.status() {
                    StatusCode::OK => {}
                    StatusCode::NOT_FOUND => return Ok(Answer::Missing),
                    _ => return Err(answered(&response)),
                }
                while let Some(chunk) = response.chunk().await.map_err(fail)? {
                    write(&chunk)?;
                }
            }
            Protocol::Objects { store, prefix } => {
                let late = |_| "it does not answer".to_owned();
                // The library asks again for minutes.
                let asked = tokio::time::timeout(self.timeouts.head(), store.get(&below(prefix, path))).await;
                let found = match asked.map_err(late)? {
                    Ok(found) => found,
                    Err(object_store::Error::NotFound { .. }) => return Ok(Answer::Missing),
                    Err(error) => return Err(error.to_string()),
                };
                let mut chunks = std::pin::pin!(found.into_stream());
                loop {
                    let next =
                        tokio::time::timeout(self.timeouts.stall, futures_util::StreamExt::next(&mut chunks)).await;
                    let Some(chunk) = next.map_err(late)? else { break };
                    write(&chunk.map_err(|error| error.to_string())?)?;
                }
            }
        }
        Ok(Answer::Got)
    }

    /// Puts a file there.
    pub async fn put(&self, path: &str, file: File) -> Result<(), String> {
        let size = file.metadata().map_err(|error| error.to_string())?.len();
        self.in_time(size, async {
            match &self.protocol {
                Protocol::Http { base, client } => {
                    send(client, base, path, size, Body::wrap_stream(chunks(file))).await
                }
                Protocol::Objects { store, prefix } => {
                    let sent = put_object(store.as_ref(), &below(prefix, path), file).await;
                    sent.map_err(|error| error.to_string())
                }
            }
        })
        .await
    }

    /// Puts a small file there.
    pub async fn put_bytes(&self, path: &str, bytes: Vec<u8>) -> Result<(), String> {
        let size = bytes.len() as u64;
        self.in_time(size, async {
            match &self.protocol {
                Protocol::Http { base, client } => send(client, base, path, size, Body::from(bytes)).await,
                Protocol::Objects { store, prefix } => {
                    let sent = store.put(&below(prefix, path), PutPayload::from(bytes)).await;
                    sent.map(drop).map_err(|error| error.to_string())
                }
            }
        })
        .await
    }

    /// Waits until a file of this size is taken, but not for ever.
    async fn in_time(&self, size: u64, sent: impl Future<Output = Result<(), String>>) -> Result<(), String> {
        let limit = self.timeouts.connect + self.timeouts.stall * 3 + Duration::from_secs(size / RATE);
        let late = |_| "it does not take files in time".to_owned();
        tokio::time::timeout(limit, sent).await.map_err(late)?
    }
}

/// Returns the path of an object.
fn below(prefix: &Path, path: &str) -> Path {
    path.split('/').fold(prefix.clone(), |path, part| path.join(part))
}

/// Puts an object there, in parts if it is large.
async fn put_object(
    store: &dyn ObjectStore,
    path: &Path,
    mut file: File,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    file.rewind()?;
    let next = || -> io::Result<Vec<u8>> {
        let mut part = Vec::new();
        (&file).take(PART as u64).read_to_end(&mut part)?;
        Ok(part)
    };
    let first = next()?;
    if first.len() < PART {
        store.put(path, PutPayload::from(first)).await?;
        return Ok(());
    }
    let mut upload = store.put_multipart(path).await?;
    let mut part = first;
    while !part.is_empty() {
        if let Err(error) = upload.put_part(PutPayload::from(part)).await {
            let _ = upload.abort().await;
            return Err(error.into());
        }
        part = next()?;
    }
    upload.complete().await?;
    Ok(())
}

async fn send(client: &Client, base: &Url, path: &str, size: u64, body: Body) -> Result<(), String> {
    let url = base.join(path).map_err(|error| error.to_string())?;
    let request = client.request(Method::PUT, url).header(http::header::CONTENT_LENGTH, size).body(body);
    let response = client.send_without_deadline(request).await.map_err(|error| error.to_string())?;
    if response.status().is_success() { Ok(()) } else { Err(answered(&response)) }
}

fn answered(response: &Response) -> String {
    format!("the server answered {}", response.status().as_u16())
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
