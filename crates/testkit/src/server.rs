//! A mirror on the loopback interface: HTTP/1.1 with ranges, a record of what was asked, and faults on demand.
//!
//! One thread accepts and one serves each connection, at most [`MAX_CONNECTIONS`]. Dropping the server closes every
//! socket and joins every thread.

use crate::http::{Head, Span, reason, span};
use crate::slow::{trickle, wait_for_the_end};
use crate::{EPOCH, Files, digest, release, store};
use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The number of connections that are served at once. A further one is closed without an answer.
pub const MAX_CONNECTIONS: usize = 128;

/// The number of bytes after which [`Fault::Endless`] ends.
pub const ENDLESS_LIMIT: u64 = 1 << 30;

/// A mirror that serves a `Files` map until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<JoinHandle<Vec<JoinHandle<()>>>>,
}

/// One request that the server has answered, or has refused to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD`, mostly.
    pub method: String,
    /// As a key of the `Files` map: unescaped, without the leading slash.
    pub path: String,
    /// The target as it was sent: with a scheme and a host if the server was used as a proxy.
    pub target: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Proxy-Authorization` header.
    pub proxy_authorization: Option<String>,
    /// The number of the connection that the request came on, counted from 0.
    pub connection: usize,
}

/// How an answer goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another status and no content.
    Status(u16),
    /// Another status with these header lines, each with its `\r\n`, and no content.
    StatusWith(u16, String),
    /// The right headers, that many bytes of the body, then the connection is closed.
    DropAfter(usize),
    /// The right headers, then nothing until the client leaves or the server is dropped.
    Stall,
    /// The right headers, then one byte of the body after each interval of this length, until the client leaves.
    Trickle(Duration),
    /// One byte in the middle is flipped.
    Corrupt,
    /// Only that many bytes, with a `Content-Length` that agrees.
    Truncate(usize),
    /// A chunked body that goes on up to [`ENDLESS_LIMIT`].
    Endless,
    /// A redirection to this place, absolute or relative.
    Redirect(String),
    /// The connection is closed without an answer.
    Refuse,
    /// This page with status 200 in place of the file, as a hotel's network sends it.
    Page(String),
    /// A partial answer whose range begins that many bytes later than the requested one.
    ShiftedRange(usize),
    /// The whole file, and a `Content-Length` that differs from its length by so much. Then the connection is closed.
    WrongLength(isize),
}

#[derive(Debug, Default)]
struct State {
    stopping: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether files can be put here.
    is_store: bool,
    files: BTreeMap<String, Stored>,
    faults: Vec<(String, Fault, usize)>,
    requests: Vec<Request>,
    open: BTreeMap<usize, TcpStream>,
    changes: u64,
}

#[derive(Clone, Debug)]
struct Stored {
    bytes: Arc<Vec<u8>>,
    etag: String,
    modified: String,
}

impl Server {
    /// Starts a mirror of `files` on a free port of 127.0.0.1.
    pub fn start(files: Files) -> Server {
        let state = Arc::new(State::default());
        state.lock().files = files.into_iter().map(|(path, bytes)| (path, stored(bytes, 0))).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        let acceptor = std::thread::spawn(move || accept(&listener, &shared));
        Server { address, state, acceptor: Some(acceptor) }
    }

    /// Starts an empty store of files that can be put there, as bazel-remote is one: what is below `cas/` has to have its digest as its
    /// name, and what is below `ac/` has to name a file there.
    pub fn start_store() -> Server {
        let server = Server::start(Files::new());
        server.state.lock().is_store = true;
        server
    }

    /// Returns a copy of a file.
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.state.lock().files.get(path).map(|file| file.bytes.to_vec())
    }

    /// Returns the paths of all files.
    pub fn paths(&self) -> Vec<String> {
        self.state.lock().files.keys().cloned().collect()
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().requests.clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.state.lock().requests.clear();
    }

    /// Adds or replaces a file; its ETag and Last-Modified change with it.
    pub fn set(&self, path: &str, bytes: Vec<u8>) {
        let mut inner = self.state.lock();
        inner.changes += 1;
        let file = stored(bytes, inner.changes);
        inner.files.insert(path.into(), file);
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) {
        self.state.lock().files.remove(path);
    }

    /// Makes the next `times` requests for `path` fail, or with `PUT ` before it, the next attempts to put a file there; `usize::MAX` means all of them. Several faults for one path
    /// apply one after the other.
    pub fn fault(&self, path: &str, fault: Fault, times: usize) {
        self.state.lock().faults.push((path.into(), fault, times));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        // `accept` cannot be interrupted, but it returns for a connection.
        let woken = TcpStream::connect(self.address).is_ok();
        let workers = self.acceptor.take().filter(|_| woken).and_then(|thread| thread.join().ok());
        for stream in self.state.lock().open.values() {
            stream.shutdown(Shutdown::Both).ok();
        }
        for worker in workers.into_iter().flatten() {
            worker.join().ok();
        }
    }
}

impl State {
    /// Ignores that the lock is poisoned, because the message of the thread that panicked is the one to show.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self, path: &str) -> Option<Fault> {
        let mut inner = self.lock();
        let at = inner.faults.iter().position(|(p, _, times)| p == path && *times > 0)?;
        inner.faults[at].2 -= 1;
        Some(inner.faults[at].1.clone())
    }
}

fn stored(bytes: Vec<u8>, change: u64) -> Stored {
    let etag = format!("\"{}\"", &digest::sha256(&bytes)[..16]);
    let modified = release::rfc2822(EPOCH + change).replace("UTC", "GMT");
    Stored { bytes: Arc::new(bytes), etag, modified }
}

fn accept(listener: &TcpListener, state: &Arc<State>) -> Vec<JoinHandle<()>> {
    let mut workers: Vec<JoinHandle<()>> = Vec::new();
    for (id, stream) in listener.incoming().enumerate() {
        if state.stopping.load(Ordering::SeqCst) {
            break;
        }
        workers.retain(|worker| !worker.is_finished());
        let Ok(stream) = stream else { continue };
        let Ok(copy) = stream.try_clone() else {
            continue;
        };
        if workers.len() >= MAX_CONNECTIONS {
            continue;
        }
        state.lock().open.insert(id, copy);
        let state = Arc::clone(state);
        workers.push(std::thread::spawn(move || {
            // This fails if the client has closed the connection, which is not an error of the mirror.
            serve(&stream, &state, id).ok();
            stream.shutdown(Shutdown::Both).ok();
            state.lock().open.remove(&id);
        }));
    }
    workers
}

fn serve(stream: &TcpStream, state: &State, connection: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(head) = Head::read(&mut reader)? {
        let path = head.path();
        let is_put = head.method == "PUT" && state.lock().is_store;
        let fault = state.next_fault(&if is_put { format!("PUT {path}") } else { path.clone() });
        let file = {
            let mut inner = state.lock();
            inner.requests.push(Request {
                method: head.method.clone(),
                path: path.clone(),
                target: head.target.clone(),
                range: head.get("range").map(str::to_string),
                authorization: head.get("authorization").map(str::to_string),
                proxy_authorization: head.get("proxy-authorization").map(str::to_string),
                connection,
            });
            inner.files.get(&path).cloned()
        };
        let goes_on = match is_put {
            true => {
                let put = store::read(&mut reader, &head)?;
                take(stream, &head, state, put, fault)?
            }
            false => answer(stream, &head, file, fault)?,
        };
        if !goes_on || !head.keep_alive {
            break;
        }
    }
    Ok(())
}

/// Takes a file, if it may be there. Returns whether the connection can be used again.
fn take(stream: &TcpStream, head: &Head, state: &State, bytes: Vec<u8>, fault: Option<Fault>) -> io::Result<bool> {
    match &fault {
        Some(Fault::Status(status)) => return empty(stream, head, *status, ""),
        Some(Fault::Stall) => return wait_for_the_end(stream).and(Ok(false)),
        Some(_) => return Ok(false),
        None => {}
    }
    let path = head.path();
    let mut inner = state.lock();
    let is_right = store::may_be(&path, &bytes, &|path| inner.files.contains_key(path));
    if is_right {
        inner.changes += 1;
        let file = stored(bytes, inner.changes);
        inner.files.insert(path, file);
    }
    drop(inner);
    // Clients of object stores want a tag.
    empty(stream, head, if is_right { 200 } else { 400 }, "ETag: \"1\"\r\n")
}

/// Answers one request. Returns whether the connection can be used again.
fn answer(stream: &TcpStream, head: &Head, file: Option<Stored>, fault: Option<Fault>) -> io::Result<bool> {
    match &fault {
        Some(Fault::Refuse) => return Ok(false),
        Some(Fault::Status(status)) => return empty(stream, head, *status, ""),
        Some(Fault::StatusWith(status, headers)) => return empty(stream, head, *status, headers),
        Some(Fault::Redirect(to)) => {
            return empty(stream, head, 302, &format!("Location: {to}\r\n"));
        }
        Some(Fault::Endless) => return endless(stream),
        Some(Fault::Page(page)) => return whole(stream, page.as_bytes(), page.len()).and(Ok(false)),
        _ => {}
    }
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        // The body of the request is not read, so the connection cannot be used again.
        return empty(stream, head, 405, "Allow: GET, HEAD\r\n").and(Ok(false));
    }
    let Some(file) = file else {
        return empty(stream, head, 404, "");
    };
    let validators = format!("ETag: {}\r\nLast-Modified: {}\r\nAccept-Ranges: bytes\r\n", file.etag, file.modified);
    let known = match head.get("if-none-match") {
        Some(tags) => tags == "*" || tags.split(',').any(|tag| tag.trim() == file.etag),
        None => head.get("if-modified-since") == Some(&file.modified),
    };
    if known {
        return empty(stream, head, 304, &validators);
    }
    content(stream, head, &file, &validators, fault)
}

/// Answers with the file or the requested part of it, changed or cut short by the fault.
fn content(
    mut stream: &TcpStream,
    head: &Head,
    file: &Stored,
    validators: &str,
    fault: Option<Fault>,
) -> io::Result<bool> {
    let current = head.get("if-range").is_none_or(|tag| tag == file.etag || tag == file.modified);
    let total = file.bytes.len();
    let (status, from, to) = match span(head.get("range").filter(|_| current && head.method == "GET"), total) {
        Span::Whole => (200, 0, total),
        Span::Part(from, to) => (206, from, to),
        Span::Nothing => {
            return empty(stream, head, 416, &format!("Content-Range: bytes */{total}\r\n"));
        }
    };
    if let Some(Fault::WrongLength(difference)) = fault {
        return whole(stream, &file.bytes, total.saturating_add_signed(difference)).and(Ok(false));
    }
    let shift = if let Some(Fault::ShiftedRange(bytes)) = fault { bytes } else { 0 };
    let mut body = file.bytes[from..to].to_vec();
    let mut sent = body.len();
    match fault {
        Some(Fault::Corrupt) => {
            let middle = body.len() / 2;
            body.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
        }
        Some(Fault::Truncate(n)) => {
            body.truncate(n);
            sent = body.len();
        }
        Some(Fault::DropAfter(n)) => sent = sent.min(n),
        Some(Fault::Stall | Fault::Trickle(_)) => sent = 0,
        _ => {}
    }
    let range = match status {
        206 => format!("Content-Range: bytes {}-{}/{total}\r\n", from + shift, to - 1),
        _ => String::new(),
    };
    start(stream, status, &format!("{validators}{range}Content-Length: {}\r\n", body.len()))?;
    if head.method != "HEAD" {
        stream.write_all(&body[..sent])?;
    }
    match fault {
        Some(Fault::DropAfter(_)) => Ok(false),
        Some(Fault::Stall) => wait_for_the_end(stream).and(Ok(false)),
        Some(Fault::Trickle(interval)) => trickle(stream, &body, interval).and(Ok(false)),
        _ => Ok(true),
    }
}

/// Sends an answer with a body of another length than it says.
fn whole(mut stream: &TcpStream, body: &[u8], length: usize) -> io::Result<()> {
    start(stream, 200, &format!("Content-Length: {length}\r\n"))?;
    stream.write_all(body)
}

fn start(mut stream: &TcpStream, status: u16, headers: &str) -> io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {status} {}\r\n{headers}\r\n", reason(status)).as_bytes())
}

/// Sends an answer whose body is one line of text, so that a test notices a client that takes the body for the file.
fn empty(mut stream: &TcpStream, head: &Head, status: u16, headers: &str) -> io::Result<bool> {
    let body = if status == 304 { String::new() } else { format!("{status} {}\n", reason(status)) };
    start(stream, status, &format!("{headers}Content-Length: {}\r\n", body.len()))?;
    if head.method != "HEAD" {
        stream.write_all(body.as_bytes())?;
    }
    Ok(true)
}

fn endless(mut stream: &TcpStream) -> io::Result<bool> {
    start(stream, 200, "Transfer-Encoding: chunked\r\n")?;
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    for _ in 0..ENDLESS_LIMIT / 0x10000 {
        stream.write_all(&chunk)?;
    }
    stream.write_all(b"0\r\n\r\n")?;
    Ok(true)
}
