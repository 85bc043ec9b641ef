//! A mirror on the loopback interface that fetches each file once. So a chore that runs for hours sees one state of the archive, and the
//! vendor's mirror sends each package once.

use super::build::output;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 << 10;

struct Mirror {
    upstream: String,
    directory: PathBuf,
    /// One lock for each path, so that two requests do not fetch one file twice.
    locks: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

/// Starts a mirror of `upstream` that keeps its files in `directory`. Packages that are there already are served, and indexes are fetched
/// anew. Returns its address. It serves until this process ends.
pub fn start(upstream: &str, directory: &Path) -> Result<String, String> {
    let cannot = |error: io::Error| format!("cannot start a mirror: {error}");
    fs::create_dir_all(directory).map_err(cannot)?;
    let indexes = directory.join("dists");
    if indexes.exists() {
        fs::remove_dir_all(indexes).map_err(cannot)?;
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(cannot)?;
    let address = format!("http://{}", listener.local_addr().map_err(cannot)?);
    let upstream = upstream.trim_end_matches('/').to_owned();
    let mirror = Arc::new(Mirror { upstream, directory: directory.to_owned(), locks: Mutex::default() });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mirror = Arc::clone(&mirror);
            // A client that goes away ends its own connection alone.
            std::thread::spawn(move || mirror.serve(stream));
        }
    });
    Ok(address)
}

impl Mirror {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some(path) = requested(&mut stream)? else {
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        };
        let Some(mut file) = self.file(&path) else {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        };
        let length = file.metadata()?.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
        io::copy(&mut file, &mut stream).map(drop)
    }

    /// Opens a file, which is fetched if this is its first use; `None` if the upstream mirror does not have it.
    fn file(&self, path: &str) -> Option<File> {
        let kept = self.directory.join(path);
        let lock =
            Arc::clone(self.locks.lock().unwrap_or_else(PoisonError::into_inner).entry(path.to_owned()).or_default());
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(file) = File::open(&kept) {
            return Some(file);
        }
        fs::create_dir_all(kept.parent()?).ok()?;
        let new = tempfile::NamedTempFile::new_in(kept.parent()?).ok()?;
        // The oracle needs apt anyway, and apt knows the host's proxies.
        let mut fetch = Command::new("/usr/lib/apt/apt-helper");
        fetch.env("no_proxy", super::build::no_proxy());
        fetch.args(["-oAPT::Sandbox::User=root", "download-file", &format!("{}/{path}", self.upstream)]);
        if let Err(error) = output(fetch.arg(new.path())) {
            // Tools ask for files that an archive need not have.
            if !error.contains("404") {
                eprintln!("the mirror on the loopback interface: {error}");
            }
            return None;
        }
        // apt replaces the file, so the one that is open is not the one that is kept.
        new.into_temp_path().persist(&kept).ok()?;
        File::open(&kept).ok()
    }
}

/// Reads the head of a request. Returns the path that it asks for; `None` if that is no path of an archive.
fn requested(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_HEAD || stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.extend(byte);
    }
    Ok(path(&String::from_utf8_lossy(&head)))
}

fn path(head: &str) -> Option<String> {
    // apt writes `+` and `~` as %2b and %7e.
    let path =
        percent_encoding::percent_decode_str(head.strip_prefix("GET /")?.split(' ').next()?).decode_utf8().ok()?;
    let is_plain = Path::new(&*path).components().all(|part| matches!(part, Component::Normal(_)));
    (is_plain && !path.contains(['?', '\n'])).then(|| path.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_an_archive_are_served() {
        assert_eq!(path("GET /pool/g%2b%2b_1~2.deb HTTP/1.1\r\n\r\n").unwrap(), "pool/g++_1~2.deb");
        for head in [
            "GET /../x HTTP/1.1",
            "GET /%2e%2e/x HTTP/1.1",
            "GET /a%0ab HTTP/1.1",
            "GET //etc HTTP/1.1",
            "GET /a?b HTTP/1.1",
            "HEAD /a HTTP/1.1",
            "GET a",
        ] {
            assert_eq!(path(head), None, "{head}");
        }
    }

    #[test]
    fn a_file_is_served_as_often_as_it_is_asked_for() {
        let place = tempfile::tempdir().unwrap();
        // A file that is there already needs no upstream mirror.
        fs::create_dir_all(place.path().join("pool")).unwrap();
        fs::write(place.path().join("pool/a.deb"), "deb").unwrap();
        let address = start("http://127.0.0.1:9", place.path()).unwrap();
        let ask = |path: &str| {
            let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
            write!(stream, "GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            io::read_to_string(stream).unwrap()
        };
        for _ in 0..2 {
            assert_eq!(ask("pool/a.deb"), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\ndeb");
        }
        assert!(ask("../etc/passwd").starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn the_upstream_mirror_sends_each_file_once() {
        if !Path::new("/usr/lib/apt/apt-helper").exists() {
            return rootstrap_testkit::skip("the mirror fetches with apt, which this machine does not have");
        }
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let kept = first.path().join("g++.deb");
        fs::write(&kept, "deb").unwrap();
        let upstream = start("http://127.0.0.1:9", first.path()).unwrap();
        let mirror = Mirror { upstream, directory: second.path().to_owned(), locks: Mutex::default() };
        for _ in 0..2 {
            assert_eq!(io::read_to_string(mirror.file("g++.deb").unwrap()).unwrap(), "deb");
            let _ = fs::remove_file(&kept);
        }
        assert!(mirror.file("missing.deb").is_none());
    }
}
