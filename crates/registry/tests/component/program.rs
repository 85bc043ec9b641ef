//! The crate against docker's own registry, with and without users.

use crate::image::{INDEX, Image, MANIFEST, SECRET, digest, words};
use rootstrap_testkit::registry::Registry;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

/// `me` with the password hunter2, as `htpasswd -B` writes it.
const USERS: &str = "me:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

/// The registry of docker, running.
struct Program(Registry);

/// Starts one. Returns `None` and prints why if none is installed.
fn start(users: Option<&str>) -> Option<Program> {
    Registry::start(users).inspect_err(|reason| rootstrap_testkit::skip(reason)).ok().map(Program)
}

impl Program {
    fn name(&self) -> String {
        format!("127.0.0.1:{}/me/base:v1", self.0.port)
    }

    /// Returns the content of a path in the repository.
    fn get(&self, path: &str, accept: &str, authorization: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.0.port)).unwrap();
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

    /// Checks that the registry has everything as it was pushed.
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
fn users_with_a_password_can_push() {
    let Some(program) = start(Some(USERS)) else { return };
    let image = Image::new().by("me", SECRET);
    assert_eq!(image.push(&program.name()).unwrap().uploaded, 5);
    program.check(&image, "Authorization: Basic bWU6aHVudGVyMg==\r\n");
    for image in [Image::new(), Image::new().by("me", "wrong")] {
        let text = words(&image.push(&program.name()).unwrap_err());
        assert!(text.contains("authentication failed") && text.contains("hint: log in with `docker login"), "{text}");
    }
}
