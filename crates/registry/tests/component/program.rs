//! The crate against docker's own registry, with and without users.

use crate::image::{INDEX, Image, MANIFEST, SECRET, digest, words};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Debian's package docker-registry.
const PROGRAM: &str = "/usr/bin/docker-registry";

/// `me` with the password hunter2, as `htpasswd -B` writes it.
const USERS: &str = "me:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

/// A registry that ends when it is dropped.
struct Program {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts one; `None`, and a line that says why, where there is none.
fn start(users: Option<&str>) -> Option<Program> {
    if !Path::new(PROGRAM).exists() {
        eprintln!("skipped: no docker-registry on this host");
        return None;
    }
    // Another process may take the port before the registry does.
    (0..5).find_map(|_| attempt(users)).or_else(|| panic!("docker-registry does not start"))
}

fn attempt(users: Option<&str>) -> Option<Program> {
    let directory = tempfile::tempdir().unwrap();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let place = directory.path().display();
    let mut config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {place}/store}}}}\n\
         http: {{addr: \"127.0.0.1:{port}\"}}\n"
    );
    if let Some(users) = users {
        fs::write(directory.path().join("users"), users).unwrap();
        config += &format!("auth: {{htpasswd: {{realm: test, path: {place}/users}}}}\n");
    }
    let path = directory.path().join("config.yml");
    fs::write(&path, config).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let mut program = Program { child, port, _directory: directory };
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if program.child.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Some(program);
        }
        // Nothing tells when it listens; a refused connection comes back at once.
        std::thread::park_timeout(Duration::from_millis(20));
    }
    panic!("docker-registry does not listen")
}

impl Program {
    fn name(&self) -> String {
        format!("127.0.0.1:{}/me/base:v1", self.port)
    }

    /// The content of something in the repository.
    fn get(&self, path: &str, accept: &str, authorization: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let request =
            format!("GET /v2/me/base/{path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n{authorization}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let content = answer.split_off(end + 4);
        assert!(answer.starts_with(b"HTTP/1.0 200"), "{path}: {}", String::from_utf8_lossy(&answer));
        content
    }

    /// Whether everything is there as it was pushed.
    fn check(&self, image: &Image, authorization: &str) {
        for blob in &image.blobs {
            let content = self.get(&format!("blobs/{}", blob.digest), "*/*", authorization);
            assert_eq!((digest(&content), content.len() as u64), (blob.digest.clone(), blob.size));
        }
        for manifest in &image.manifests {
            let content = self.get(&format!("manifests/{}", manifest.digest), &manifest.media_type, authorization);
            assert_eq!(content, manifest.bytes);
        }
        let index = self.get("manifests/v1", &format!("{INDEX}, {MANIFEST}"), authorization);
        assert_eq!(index, image.manifests.last().unwrap().bytes);
    }
}

#[test]
fn what_is_pushed_can_be_pulled() {
    let Some(program) = start(None) else { return };
    let image = Image::new();
    let pushed = image.push(&program.name()).unwrap();
    assert_eq!((pushed.uploaded, pushed.skipped), (5, 0));
    program.check(&image, "");
    let again = image.push(&program.name()).unwrap();
    assert_eq!((again.uploaded, again.uploaded_bytes, again.skipped), (0, 0, 5));
    assert_eq!(again.digest, pushed.digest);
}

#[test]
fn users_are_let_in() {
    let Some(program) = start(Some(USERS)) else { return };
    let image = Image::new().by("me", SECRET);
    assert_eq!(image.push(&program.name()).unwrap().uploaded, 5);
    program.check(&image, "Authorization: Basic bWU6aHVudGVyMg==\r\n");
    for image in [Image::new(), Image::new().by("me", "wrong")] {
        let text = words(&image.push(&program.name()).unwrap_err());
        assert!(text.contains("authentication failed") && text.contains("hint: log in with `docker login"), "{text}");
    }
}
