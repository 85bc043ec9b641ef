//! A mirror on 127.0.0.1 that fetches each file once from the real mirror, so that no measurement depends on the
//! network.

use rootstrap_testkit::http::Head;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Mirror {
    /// The address of the real mirror, without a slash at its end.
    origin: String,
    /// The path that requests begin with. It is the last part of the origin's address, because tools may look at it.
    prefix: String,
    /// The directory of the fetched files. A file is named by the digest of its path, so no path can lead out of the
    /// directory.
    store: PathBuf,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// Serves the files of `origin` until this process ends, and keeps them in `store`. Returns the address.
pub fn start(origin: &str, store: &Path) -> Result<String, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("cannot start a mirror on this machine: {error}");
    // This fails if the process has a provider already. That one is used then.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().build().map_err(|error| cannot(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build();
    let runtime = runtime.map_err(|error| cannot(&error))?;
    std::fs::create_dir_all(store).map_err(|error| cannot(&error))?;
    let origin = origin.trim_end_matches('/').to_owned();
    let prefix = format!("/{}/", origin.rsplit('/').next().unwrap_or_default());
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| cannot(&error))?;
    let port = listener.local_addr().map_err(|error| cannot(&error))?.port();
    let address = format!("http://127.0.0.1:{port}{}", prefix.trim_end_matches('/'));
    let mirror = Arc::new(Mirror { origin, prefix, store: store.to_owned(), client, runtime });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mirror = Arc::clone(&mirror);
            // This fails if the client closes the connection, which is not an error of the mirror.
            std::thread::spawn(move || serve(&mirror, stream).ok());
        }
    });
    Ok(address)
}

/// Answers one request after the other until the client closes the connection.
fn serve(mirror: &Mirror, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    while let Some(request) = Head::read(&mut reader)? {
        let is_head = request.method == "HEAD";
        let answer = if is_head || request.method == "GET" { mirror.answer(&request) } else { Err(405) };
        let (status, mut body, length) = match answer {
            Ok(file) => {
                let length = file.metadata()?.len();
                ("200 OK", Some(file), length)
            }
            Err(404) => ("404 Not Found", None, 0),
            Err(405) => ("405 Method Not Allowed", None, 0),
            Err(_) => ("502 Bad Gateway", None, 0),
        };
        let connection = if request.keep_alive { "keep-alive" } else { "close" };
        write!(out, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n")?;
        if let Some(body) = body.as_mut().filter(|_| !is_head) {
            std::io::copy(body, &mut out)?;
        }
        if !request.keep_alive {
            break;
        }
    }
    Ok(())
}

impl Mirror {
    /// Returns the file that is asked for, or the status of the refusal.
    fn answer(&self, request: &Head) -> Result<File, u16> {
        let path = request.target.strip_prefix(&self.prefix).ok_or(404u16)?;
        // The digest is that of the decoded path, because one tool writes `%2b` where another writes `+`.
        let kept = self.store.join(base16ct::lower::encode_string(&Sha256::digest(request.path())));
        if let Ok(file) = File::open(&kept) {
            return Ok(file);
        }
        // A file that cannot be stored counts as one that cannot be fetched.
        let mut new = tempfile::NamedTempFile::new_in(&self.store).map_err(|_| 502u16)?;
        self.runtime.block_on(self.fetch(path, new.as_file_mut()))?;
        new.persist(&kept).map_err(|_| 502u16)?;
        File::open(&kept).map_err(|_| 502)
    }

    async fn fetch(&self, path: &str, file: &mut File) -> Result<(), u16> {
        let url = format!("{}/{path}", self.origin);
        let mut response = self.client.get(url).send().await.map_err(|_| 502u16)?;
        if !response.status().is_success() {
            return Err(response.status().as_u16());
        }
        while let Some(bytes) = response.chunk().await.map_err(|_| 502u16)? {
            file.write_all(&bytes).map_err(|_| 502u16)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::Mutex;

    /// Starts a server that has only `/debian/a+b`. Returns its address and the list of requests that it gets.
    fn origin() -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/debian", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                // The client may open a second connection while the first one stays open.
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Ok(Some(request)) = Head::read(&mut reader) {
                        let found = request.path() == "debian/a+b";
                        log.lock().unwrap().push(request.target);
                        let answer = if found {
                            "200 OK\r\nContent-Length: 5\r\n\r\nbytes"
                        } else {
                            "404 No\r\nContent-Length: 0\r\n\r\n"
                        };
                        write!(stream, "HTTP/1.1 {answer}").unwrap();
                    }
                });
            }
        });
        (address, asked)
    }

    /// Sends requests over one connection and returns all that comes back. The last request must end the connection.
    fn talk(address: &str, requests: &[&str]) -> String {
        let host = address.strip_prefix("http://").unwrap().split('/').next().unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        for (number, request) in requests.iter().enumerate() {
            let end = if number + 1 == requests.len() { "Connection: close\r\n" } else { "" };
            write!(stream, "{request} HTTP/1.1\r\nHost: {host}\r\n{end}\r\n").unwrap();
        }
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        all
    }

    #[test]
    fn each_file_is_fetched_once_and_what_is_missing_is_not_kept() {
        let (origin, asked) = origin();
        let store = tempfile::tempdir().unwrap();
        let mirror = start(&origin, store.path()).unwrap();
        assert!(mirror.starts_with("http://127.0.0.1:") && mirror.ends_with("/debian"));
        let all = talk(&mirror, &["HEAD /debian/a+b", "GET /debian/a%2Bb", "GET /debian/none", "GET /debian/a+b"]);
        assert_eq!(all.matches("200 OK").count(), 3, "{all}");
        assert_eq!(all.matches("Content-Length: 5").count(), 3, "{all}");
        assert_eq!(all.matches("\r\n\r\nbytes").count(), 2, "HEAD has no body: {all}");
        assert_eq!(all.matches("404 Not Found").count(), 1, "{all}");
        talk(&mirror, &["GET /debian/none"]);
        assert_eq!(*asked.lock().unwrap(), ["/debian/a+b", "/debian/none", "/debian/none"]);
    }

    #[test]
    fn nothing_else_is_answered() {
        let (origin, asked) = origin();
        let store = tempfile::tempdir().unwrap();
        let mirror = start(&origin, store.path()).unwrap();
        let all = talk(&mirror, &["GET /etc/passwd", "POST /debian/a+b"]);
        assert!(all.contains("404 Not Found") && all.contains("405 Method"), "{all}");
        assert!(asked.lock().unwrap().is_empty());
    }
}
