//! The few rules of HTTP/1.1 that servers in tests need. Nothing here uses sockets.

use std::io::{self, BufRead, Read};

/// The longest head of a request, in bytes. A longer one ends the connection.
const HEAD_LIMIT: u64 = 64 * 1024;

/// A request's line and headers.
pub struct Head {
    /// `GET`, `HEAD`, ...
    pub method: String,
    /// As it was sent: with a scheme and a host if the server is used as a proxy.
    pub target: String,
    /// Whether the connection can be used again.
    pub keep_alive: bool,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads up to the empty line; `None` when the peer has closed or speaks no HTTP.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
        let mut reader = reader.take(HEAD_LIMIT);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_string()),
            }
        }
        let words: Vec<&str> = lines.first().map_or(Vec::new(), |line| line.split(' ').collect());
        let [method, target, version] = words[..] else {
            return Ok(None);
        };
        let headers: Vec<(String, String)> = lines[1..]
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_string()))
            .collect();
        let mut head = Head { method: method.into(), target: target.into(), keep_alive: true, headers };
        head.keep_alive = match head.get("connection").map(str::to_ascii_lowercase).as_deref() {
            Some("close") => false,
            Some("keep-alive") => true,
            _ => version != "HTTP/1.0",
        };
        Ok(Some(head))
    }

    /// A header's value; `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The key in a `Files` map: no scheme and host (proxies send them), no query, no escapes, no leading slash.
    pub fn path(&self) -> String {
        let target = match self.target.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => &self.target,
        };
        let target = target.split(['?', '#']).next().unwrap_or("");
        let bytes = target.trim_start_matches('/').as_bytes();
        let mut out = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let digits = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
            let escaped = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
            out.push(escaped.unwrap_or(bytes[at]));
            at += if escaped.is_some() { 3 } else { 1 };
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// What a `Range` header asks of a body of `length` bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// The whole body: there is no range, or one that a server may ignore.
    Whole,
    /// The bytes from the first up to, not including, the second.
    Part(usize, usize),
    /// Bytes that do not exist: the answer is 416.
    Nothing,
}

/// Reads `bytes=a-b`, `bytes=a-` and `bytes=-n`; several ranges are ignored, as RFC 9110 allows.
pub(crate) fn span(range: Option<&str>, length: usize) -> Span {
    let Some(range) = range.and_then(|r| r.strip_prefix("bytes=")).filter(|r| !r.contains(',')) else {
        return Span::Whole;
    };
    let Some((first, last)) = range.split_once('-') else {
        return Span::Whole;
    };
    match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
        (Ok(first), _) if first >= length => Span::Nothing,
        (Ok(first), Ok(last)) if first <= last => Span::Part(first, length.min(last.saturating_add(1))),
        (Ok(first), Err(_)) if last.trim().is_empty() => Span::Part(first, length),
        (Err(_), Ok(suffix)) if first.trim().is_empty() => match suffix.min(length) {
            0 => Span::Nothing,
            suffix => Span::Part(length - suffix, length),
        },
        _ => Span::Whole,
    }
}

/// The reason phrase of a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        304 => "Not Modified",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Fixture",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (range, length, expect) in [
            (None, 10, Span::Whole),
            (Some("bytes=0-"), 10, Span::Part(0, 10)),
            (Some("bytes=4-5"), 10, Span::Part(4, 6)),
            (Some("bytes=4-99"), 10, Span::Part(4, 10)),
            (Some("bytes=-3"), 10, Span::Part(7, 10)),
            (Some("bytes=-30"), 10, Span::Part(0, 10)),
            (Some("bytes=10-"), 10, Span::Nothing),
            (Some("bytes=-0"), 10, Span::Nothing),
            (Some("bytes=5-4"), 10, Span::Whole),
            (Some("bytes=0-1,3-4"), 10, Span::Whole),
            (Some("lines=1-2"), 10, Span::Whole),
            (Some("bytes=0-"), 0, Span::Nothing),
        ] {
            assert_eq!(span(range, length), expect, "{range:?}");
        }
    }

    #[test]
    fn paths() {
        for (target, path) in [
            ("/pool/g++_1%3a2%7E1.deb?x=1", "pool/g++_1:2~1.deb"),
            ("http://example.invalid:80/dists/x", "dists/x"),
            ("/a%2", "a%2"),
            ("/a%zz", "a%zz"),
        ] {
            let text = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n");
            let head = Head::read(&mut text.as_bytes()).unwrap().unwrap();
            assert_eq!(head.path(), path);
            assert!(!head.keep_alive);
        }
    }

    #[test]
    fn connections_stay_as_http_says() {
        let read = |text: &str| Head::read(&mut text.as_bytes()).unwrap().map(|head| head.keep_alive);
        assert_eq!(read("GET / HTTP/1.1\r\n\r\n"), Some(true));
        assert_eq!(read("GET / HTTP/1.1\r\nconnection: Close\r\n\r\n"), Some(false));
        assert_eq!(read("GET / HTTP/1.0\r\n\r\n"), Some(false));
        assert_eq!(read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), Some(true));
        assert_eq!(read("what?\r\n\r\n"), None);
        assert_eq!(read("GET / HTTP/1.1\r\n"), None);
    }
}
