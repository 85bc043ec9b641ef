//! The loopback mirror, tested over a plain socket.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_testkit::Files;
use rootstrap_testkit::server::{Fault, Server};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Status, headers in lower case, and as much of the body as came.
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn new(server: &Server) -> Client {
        let stream = TcpStream::connect(server.url().strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Client(BufReader::new(stream))
    }

    fn ask(&mut self, line: &str, headers: &str) -> Option<Answer> {
        self.0.get_mut().write_all(format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = head.to_ascii_lowercase();
        let length = headers.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        let mut body = Vec::new();
        if !line.starts_with("HEAD") {
            self.0.by_ref().take(length).read_to_end(&mut body).unwrap();
        }
        Some(Answer { status, headers, body })
    }

    fn get(&mut self, path: &str, headers: &str) -> Answer {
        self.ask(&format!("GET {path}"), headers).expect("an answer")
    }
}

fn server() -> Server {
    Server::start(Files::from([("a/b".to_string(), b"0123456789".to_vec()), ("c".to_string(), Vec::new())]))
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("").trim_start_matches(": ")
}

#[test]
fn one_connection_serves_files_heads_misses_and_ranges() {
    let server = server();
    let mut client = Client::new(&server);
    let whole = client.get("/a/b", "");
    assert_eq!((whole.status, whole.body.as_slice()), (200, b"0123456789".as_slice()));
    assert_eq!(client.get("/c", "").body, b"");
    assert_eq!(client.get("/missing", "").status, 404);
    let head = client.ask("HEAD /a/b", "").unwrap();
    assert_eq!((head.status, header(&head, "content-length")), (200, "10"));

    let part = client.get("/a/b", "Range: bytes=3-\r\n");
    assert_eq!((part.status, part.body.as_slice()), (206, b"3456789".as_slice()));
    assert_eq!(header(&part, "content-range"), "bytes 3-9/10");
    assert_eq!(client.get("/a/b", "Range: bytes=-2\r\n").body, b"89");
    let past = client.get("/a/b", "Range: bytes=10-\r\n");
    assert_eq!((past.status, header(&past, "content-range")), (416, "bytes */10"));

    let requests = server.requests();
    assert_eq!(requests.len(), 7);
    assert!(requests.iter().all(|r| r.connection == requests[0].connection));
    assert_eq!(requests[4].range.as_deref(), Some("bytes=3-"));
}

#[test]
fn a_changed_file_does_not_continue() {
    let server = server();
    let mut client = Client::new(&server);
    let old = client.get("/a/b", "");
    let tag = header(&old, "etag").to_string();
    let resume = format!("Range: bytes=3-\r\nIf-Range: {tag}\r\n");
    assert_eq!(client.get("/a/b", &resume).status, 206);
    assert_eq!(client.get("/a/b", &format!("If-None-Match: {tag}\r\n")).status, 304);
    server.set("a/b", b"other".to_vec());
    let new = client.get("/a/b", &resume);
    assert_eq!((new.status, new.body.as_slice()), (200, b"other".as_slice()));
    server.remove("a/b");
    assert_eq!(client.get("/a/b", "").status, 404);
}

#[test]
fn faults_come_in_order_and_pass() {
    let server = server();
    server.fault("a/b", Fault::Status(503), 1);
    server.fault("a/b", Fault::Corrupt, 1);
    server.fault("a/b", Fault::Truncate(4), 1);
    server.fault("a/b", Fault::Redirect("/c".into()), 1);
    server.fault("a/b", Fault::DropAfter(2), 1);
    server.fault("a/b", Fault::Refuse, 1);
    server.fault("a/b", Fault::Endless, 1);
    let mut client = Client::new(&server);
    assert_eq!(client.get("/a/b", "").status, 503);
    assert_eq!(client.get("/a/b", "").body, b"0123446789");
    assert_eq!(client.get("/a/b", "").body, b"0123");
    let moved = client.get("/a/b", "");
    assert_eq!((moved.status, header(&moved, "location")), (302, "/c"));
    let dropped = client.get("/a/b", "");
    assert_eq!((header(&dropped, "content-length"), dropped.body.as_slice()), ("10", b"01".as_slice()));
    assert!(Client::new(&server).ask("GET /a/b", "").is_none());
    let mut endless = Client::new(&server);
    assert_eq!(header(&endless.get("/a/b", ""), "transfer-encoding"), "chunked");
    endless.0.read_exact(&mut vec![0; 1 << 20]).unwrap();
    drop(endless);
    assert_eq!(Client::new(&server).get("/a/b", "").body, b"0123456789");
}

#[test]
fn dropping_the_server_ends_stalled_endless_and_idle_connections_at_once() {
    let server = server();
    server.fault("a/b", Fault::Stall, 1);
    server.fault("c", Fault::Endless, 1);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::new(&server)).collect();
    for (client, path) in clients.iter_mut().zip(["a/b", "c", "missing"]) {
        client.0.get_mut().write_all(format!("GET /{path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    }
    while server.requests().len() < 3 {
        std::thread::yield_now();
    }
    let start = Instant::now();
    drop(server);
    assert!(start.elapsed() < Duration::from_secs(5));
}
