//! Stores and what they do to a run that ends.

use super::*;
use crate::key::KeyBuilder;
use rootstrap_testkit::server::{Fault, Server};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

fn open(server: &Server, options: &str) -> Remote {
    let address: RemoteAddress = format!("{}{options}", server.url()).parse().unwrap();
    let mut http = http::Options::default();
    http.timeouts.connect = std::time::Duration::from_secs(1);
    http.timeouts.stall = std::time::Duration::from_secs(1);
    Remote::open(&address, &http, &[]).unwrap()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn digest(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

#[test]
fn an_entry_comes_back() {
    let server = Server::start_store();
    let (remote, key) = (open(&server, ",trust=own"), KeyBuilder::new("test", &[0; 32]).finish());
    remote.upload_entry(&key, file(b"content"));
    assert_eq!(remote.problem(), None);
    let mut found = tempfile::tempfile().unwrap();
    assert!(remote.find_entry(&key, &mut found));
    let mut bytes = Vec::new();
    found.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"content");
    // A value that promises more than anybody has.
    let value = action::encode(&Output { digest: digest(b"content"), size: u64::MAX });
    server.set(&format!("ac/{key}"), value);
    assert!(!remote.find_entry(&key, &mut tempfile::tempfile().unwrap()));
    assert!(remote.problem().unwrap().contains("it has an entry of"));
}

/// A run that fails does not wait for its uploads. The last of them to end has the store alone, and a panic of its thread would end the
/// process.
#[test]
fn a_store_can_be_dropped_while_files_are_on_their_way() {
    let server = Server::start_store();
    let path = format!("PUT cas/{}", digest(b"x"));
    server.fault(&path, Fault::Stall, usize::MAX);
    let remote = open(&server, "");
    let (panicked, usual) = (Arc::new(AtomicBool::new(false)), std::panic::take_hook());
    let seen = panicked.clone();
    std::panic::set_hook(Box::new(move |panic| {
        seen.fetch_or(std::thread::current().name() == Some("remote"), Ordering::Relaxed);
        usual(panic);
    }));
    remote.upload(&digest(b"x"), file(b"x"));
    let shared = Arc::downgrade(&remote.0);
    drop(remote);
    let begun = std::time::Instant::now();
    while shared.strong_count() > 0 {
        assert!(begun.elapsed().as_secs() < 60, "an upload never ends");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    assert!(!panicked.load(Ordering::Relaxed));
}

/// One file that is not taken in time ends all uploads.
#[test]
fn a_store_that_takes_nothing_is_not_waited_for() {
    let server = Server::start_store();
    let remote = open(&server, "");
    for number in 0..20 {
        let bytes = format!("{number}");
        server.fault(&format!("PUT cas/{}", digest(bytes.as_bytes())), Fault::Stall, usize::MAX);
        remote.upload(&digest(bytes.as_bytes()), file(bytes.as_bytes()));
    }
    assert!(remote.problem().unwrap().contains("it does not take files"));
    let puts = server.requests().len();
    assert!(puts < 20, "{puts}");
}
