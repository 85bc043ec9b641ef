//! Addresses without the secrets in them: what stands before the host (`user:password@`, RFC 3986 §3.2.1).

use std::ops::Range;

/// `uri` without its password, for messages and logs: `http://user:***@host/path`. A lone name before the host may be a
/// token, so it becomes `***` too.
#[must_use]
pub fn password(uri: &str) -> String {
    let Some((before, userinfo, after)) = split(uri) else { return uri.to_owned() };
    match userinfo.split_once(':') {
        Some((user, _)) => format!("{before}{user}:***@{after}"),
        None => format!("{before}***@{after}"),
    }
}

/// `uri` without user and password, for files that others read: `http://host/path`.
#[must_use]
pub fn userinfo(uri: &str) -> String {
    match split(uri) {
        Some((before, _, after)) => format!("{before}{after}"),
        None => uri.to_owned(),
    }
}

/// Returns an address that cannot be parsed without anything before its last `@`. A slash in a password hides where the password ends.
#[must_use]
pub fn unparsable(uri: &str) -> String {
    match uri.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => uri.to_owned(),
    }
}

/// Returns the text before user and password, user and password themselves, and the text after their `@`.
fn split(uri: &str) -> Option<(&str, &str, &str)> {
    let Range { start, end } = authority(uri);
    let at = start + uri.get(start..end)?.rfind('@')?;
    Some((uri.get(..start)?, uri.get(start..at)?, uri.get(at + 1..)?))
}

/// Returns the range of user, password, host and port. Without a scheme, as in `user:password@proxy:3128`, the range
/// begins the text.
fn authority(uri: &str) -> Range<usize> {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let rest = uri.get(scheme.len()..).unwrap_or_default();
    let start = if ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) {
        // URL parsers accept any number of slashes here, also none (WHATWG URL, "special authority slashes state").
        uri.len() - rest.trim_start_matches([':', '/', '\\']).len()
    } else if rest.starts_with("://") {
        scheme.len() + 3
    } else {
        0
    };
    let end = uri.get(start..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(uri.len(), |length| start + length);
    start..end
}

#[cfg(test)]
mod tests {
    #[test]
    fn secrets_are_removed() {
        for (uri, message, file) in [
            ("https://me:secret@m.example/x", "https://me:***@m.example/x", "https://m.example/x"),
            ("https://me:secret@m.example?q@r", "https://me:***@m.example?q@r", "https://m.example?q@r"),
            ("https://me:secret@m.example#f@g", "https://me:***@m.example#f@g", "https://m.example#f@g"),
            ("https://me:se@cret@m.example:8/", "https://me:***@m.example:8/", "https://m.example:8/"),
            ("https://secret@m.example/", "https://***@m.example/", "https://m.example/"),
            ("me:secret@proxy:3128", "me:***@proxy:3128", "proxy:3128"),
            ("secret@proxy", "***@proxy", "proxy"),
            ("http:me:secret@m.example", "http:me:***@m.example", "http:m.example"),
            ("HTTP:/me:secret@m.example/", "HTTP:/me:***@m.example/", "HTTP:/m.example/"),
            ("http:///me:secret@m.example/", "http:///me:***@m.example/", "http:///m.example/"),
            ("socks5h://me:secret@proxy", "socks5h://me:***@proxy", "socks5h://proxy"),
        ] {
            assert_eq!((super::password(uri), super::userinfo(uri)), (message.to_owned(), file.to_owned()), "{uri}");
        }
    }

    #[test]
    fn addresses_without_secrets_stay() {
        for uri in [
            "http://m.example/a@b",
            "http://m.example?a@b",
            "http://[::1]:80/",
            "file:///srv/a@b",
            "copy:/srv/a@b",
            "",
            ":",
        ] {
            assert_eq!((super::password(uri), super::userinfo(uri)), (uri.to_owned(), uri.to_owned()));
        }
    }
}
