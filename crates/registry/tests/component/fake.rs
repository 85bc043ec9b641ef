//! A registry on the loopback interface: as strict as real ones, with a record of what was asked, and faults on demand.

use crate::image::digest;
use rootstrap_testkit::http::Head;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// A registry that runs until it is dropped.
pub struct Registry {
    address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<JoinHandle<Vec<JoinHandle<()>>>>,
}

/// Who may use it.
#[derive(Clone, Debug, Default)]
pub enum Access {
    #[default]
    Open,
    /// Those who send this as `Authorization`.
    Basic(String),
    /// Those who send a token. `/token` gives one to those who send this; to everybody if it is empty.
    Bearer(String),
}

/// What it does to a request instead of answering it.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Status, further headers, JSON.
    Answer(u16, String, &'static str),
    /// Reads so many bytes of the content and closes the connection.
    Drop(usize),
    /// Reads nothing and answers nothing until it is dropped.
    Stall,
    /// Names another digest than the right one.
    WrongDigest,
}

/// One request that was received completely.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `PUT manifests/latest`, without the query; `GET /v2/` where it is not about the repository.
    pub what: String,
    pub query: String,
    pub content_type: String,
    pub authorization: Option<String>,
    pub content: Vec<u8>,
}

#[derive(Default)]
struct State {
    stopped: Condvar,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    stopping: bool,
    access: Access,
    known: BTreeSet<String>,
    tags: BTreeMap<String, String>,
    manifests: BTreeMap<String, String>,
    lists_referrers: bool,
    asked: Vec<Asked>,
    faults: Vec<(String, Fault, usize)>,
    open: Vec<TcpStream>,
    tokens: usize,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Registry {
    pub fn start(access: Access) -> Registry {
        let state = Arc::new(State::default());
        state.lock().access = access;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        let acceptor = std::thread::spawn(move || {
            let mut workers = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.lock().stopping {
                    break;
                }
                shared.lock().open.push(stream.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                workers.push(std::thread::spawn(move || {
                    serve(&stream, &shared, address).ok();
                    stream.shutdown(Shutdown::Both).ok();
                }));
            }
            workers
        });
        Registry { address, state, acceptor: Some(acceptor) }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// A name in this registry, for pushing.
    pub fn name(&self) -> String {
        format!("{}/me/base:latest", self.address)
    }

    /// Makes the next `times` requests fail whose [`Asked::what`] begins with `what`.
    pub fn fault(&self, what: &str, fault: Fault, times: usize) {
        self.state.lock().faults.push((what.to_owned(), fault, times));
    }

    /// Makes the registry answer that it has a blob.
    pub fn know(&self, digest: &str) {
        self.state.lock().known.insert(digest.to_owned());
    }

    /// Makes every token expire that was given out.
    pub fn expire(&self) {
        self.state.lock().tokens += 1;
    }

    /// Makes the registry list by itself what refers to an image.
    pub fn list_referrers(&self) {
        self.state.lock().lists_referrers = true;
    }

    /// The manifest that has this digest.
    pub fn manifest(&self, digest: &str) -> Option<String> {
        self.state.lock().manifests.get(digest).cloned()
    }

    pub fn tag(&self, tag: &str) -> Option<String> {
        self.state.lock().tags.get(tag).cloned()
    }

    /// The requests so far, in order of arrival.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().asked.clone()
    }

    /// The number of requests whose [`Asked::what`] begins with `what`.
    pub fn count(&self, what: &str) -> usize {
        self.asked().iter().filter(|asked| asked.what.starts_with(what)).count()
    }

    pub fn forget(&self) {
        self.state.lock().asked.clear();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.state.lock().stopping = true;
        self.state.stopped.notify_all();
        let woken = TcpStream::connect(self.address).is_ok();
        let workers = self.acceptor.take().filter(|_| woken).and_then(|thread| thread.join().ok());
        for stream in &self.state.lock().open {
            stream.shutdown(Shutdown::Both).ok();
        }
        for worker in workers.into_iter().flatten() {
            worker.join().ok();
        }
    }
}

fn serve(stream: &TcpStream, state: &State, address: SocketAddr) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(head) = Head::read(&mut reader)? {
        if head.method == "CONNECT" {
            return tunnel(stream, &mut reader);
        }
        let path = head.path();
        let what = match path.strip_prefix("v2/me/base/") {
            Some(rest) => format!("{} {rest}", head.method),
            None => format!("{} /{path}", head.method),
        };
        let fault = take_fault(state, &what);
        let length: usize = head.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        match fault {
            Some(Fault::Drop(bytes)) => {
                io::copy(&mut reader.by_ref().take(bytes as u64), &mut io::sink())?;
                return Ok(());
            }
            Some(Fault::Stall) => {
                let stopped = state.stopped.wait_while(state.lock(), |inner| !inner.stopping);
                return stopped.map(drop).map_err(|_| io::ErrorKind::Other.into());
            }
            _ => (),
        }
        let mut content = vec![0; length];
        reader.read_exact(&mut content)?;
        let query = head.target.split_once('?').map_or("", |(_, query)| query);
        let header = |name: &str| head.get(name).map(str::to_owned);
        let asked = Asked {
            what,
            query: query.replace("%3A", ":"),
            content_type: header("content-type").unwrap_or_default(),
            authorization: header("authorization"),
            content,
        };
        let (status, headers, body) = answer(&mut state.lock(), &asked, fault.as_ref(), address);
        state.lock().asked.push(asked);
        let body = if head.method == "HEAD" { String::new() } else { body };
        let text = format!("HTTP/1.1 {status} Fixture\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        (&*stream).write_all(text.as_bytes())?;
    }
    Ok(())
}

/// A proxy's way to a registry that does not speak TLS.
fn tunnel(mut stream: &TcpStream, reader: &mut impl io::BufRead) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 Fixture\r\n\r\n")?;
    reader.fill_buf()?;
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
}

fn take_fault(state: &State, what: &str) -> Option<Fault> {
    let mut inner = state.lock();
    let (_, fault, times) =
        inner.faults.iter_mut().find(|(begins, _, times)| *times > 0 && what.starts_with(begins.as_str()))?;
    *times -= 1;
    Some(fault.clone())
}

/// Status, headers, body.
fn answer(inner: &mut Inner, asked: &Asked, fault: Option<&Fault>, address: SocketAddr) -> (u16, String, String) {
    let plain = |status: u16| (status, String::new(), String::new());
    if let Some(Fault::Answer(status, headers, body)) = fault {
        return (*status, headers.clone(), (*body).to_owned());
    }
    let token = format!("token-{}", inner.tokens);
    if asked.what.ends_with(" /token") {
        return match &inner.access {
            Access::Bearer(key) if shows(asked, key) => {
                (200, String::new(), format!("{{\"token\":\"{token}\",\"expires_in\":60}}"))
            }
            _ => (401, String::new(), "{\"details\":\"incorrect username or password\"}".to_owned()),
        };
    }
    let (challenge, wanted) = match &inner.access {
        Access::Open => (String::new(), String::new()),
        Access::Basic(key) => ("Basic realm=\"fake\"".to_owned(), key.clone()),
        Access::Bearer(_) => {
            (format!("Bearer realm=\"http://{address}/token\",service=\"fake\""), format!("Bearer {token}"))
        }
    };
    if !wanted.is_empty() && asked.authorization.as_ref() != Some(&wanted) {
        let body = "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required\"}]}";
        return (401, format!("WWW-Authenticate: {challenge}\r\n"), body.to_owned());
    }
    let named = |digest: &str| match fault {
        Some(Fault::WrongDigest) => format!("Docker-Content-Digest: sha256:{}\r\n", "0".repeat(64)),
        _ => format!("Docker-Content-Digest: {digest}\r\n"),
    };
    let words: Vec<&str> = asked.what.split([' ', '/']).collect();
    match words[..] {
        ["GET", "", "v2", ""] => plain(200),
        ["HEAD", "blobs", digest] if inner.known.contains(digest) => (200, named(digest), String::new()),
        ["POST", "blobs", "uploads", ""] => {
            (202, "Location: /v2/me/base/blobs/uploads/one?_state=a%2Fb\r\n".to_owned(), String::new())
        }
        ["PUT", "blobs", "uploads", _] => {
            let digest = digest(&asked.content);
            if asked.query != format!("_state=a%2Fb&digest={digest}") {
                return plain(400);
            }
            inner.known.insert(digest.clone());
            (201, named(&digest), String::new())
        }
        ["PUT", "manifests", name] => {
            let text = String::from_utf8_lossy(&asked.content).into_owned();
            let digest = digest(&asked.content);
            let missing = text.match_indices("sha256:").any(|(at, _)| !inner.known.contains(&text[at..at + 71]));
            if missing || (name.starts_with("sha256:") && name != digest) {
                return (400, String::new(), "{\"errors\":[{\"code\":\"MANIFEST_BLOB_UNKNOWN\"}]}".to_owned());
            }
            inner.known.insert(digest.clone());
            inner.tags.insert(name.to_owned(), digest.clone());
            let subject = match text.contains("\"subject\"") && inner.lists_referrers {
                true => "OCI-Subject: sha256:it-is-not-read\r\n",
                false => "",
            };
            inner.manifests.insert(digest.clone(), text);
            (201, named(&digest) + subject, String::new())
        }
        ["GET" | "HEAD", "manifests", name] => {
            let digest = inner.tags.get(name).cloned().unwrap_or_else(|| name.to_owned());
            match inner.manifests.get(&digest) {
                Some(text) => (200, named(&digest), text.clone()),
                None => plain(404),
            }
        }
        _ => plain(404),
    }
}

/// Whether a request contains these credentials.
fn shows(asked: &Asked, key: &str) -> bool {
    let form = String::from_utf8_lossy(&asked.content);
    key.is_empty() || asked.authorization.as_deref() == Some(key) || form.contains(key)
}
