//! Which redirects are followed.

use reqwest::Url;
use thiserror::Error;

/// Most redirects that are followed for one request.
pub const LIMIT: usize = 5;

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say what the variants mean")]
pub enum Refusal {
    #[error("too many redirects")]
    TooMany,
    #[error("a redirect from https to an unencrypted address")]
    Unencrypted,
    #[error("a redirect to an address that is neither http nor https")]
    Scheme,
}

/// Decides whether a request that has been at all of `previous`, in this order, may go on at `next`: at most [`LIMIT`]
/// times, only to `http:` and `https:`, and never from `https:` to `http:`.
///
/// # Errors
/// It may not.
pub fn check(previous: &[Url], next: &Url) -> Result<(), Refusal> {
    if previous.len() > LIMIT {
        return Err(Refusal::TooMany);
    }
    match next.scheme() {
        "https" => Ok(()),
        "http" if previous.iter().any(|url| url.scheme() == "https") => Err(Refusal::Unencrypted),
        "http" => Ok(()),
        _ => Err(Refusal::Scheme),
    }
}

/// Whether credentials for `url` may be shown to `other`: only if scheme, host and port are the same.
#[must_use]
pub fn is_same_origin(url: &Url, other: &Url) -> bool {
    url.origin() == other.origin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(texts: &[&str]) -> Vec<Url> {
        texts.iter().map(|text| Url::parse(text).unwrap()).collect()
    }

    #[test]
    fn encryption_is_never_given_up() {
        for (previous, next, expect) in [
            (&["http://a/"][..], "http://b/", Ok(())),
            (&["http://a/"], "https://b/", Ok(())),
            (&["https://a/"], "https://b/", Ok(())),
            (&["https://a/"], "http://a/", Err(Refusal::Unencrypted)),
            (&["http://a/", "https://a/"], "http://a/", Err(Refusal::Unencrypted)),
            (&["http://a/"], "ftp://a/", Err(Refusal::Scheme)),
            (&["http://a/"], "file:///etc/passwd", Err(Refusal::Scheme)),
        ] {
            assert_eq!(check(&urls(previous), &urls(&[next])[0]), expect, "{previous:?} {next}");
        }
    }

    #[test]
    fn redirects_are_counted() {
        let previous = urls(&["http://a/"; LIMIT + 1]);
        assert_eq!(check(&previous[1..], &previous[0]), Ok(()));
        assert_eq!(check(&previous, &previous[0]), Err(Refusal::TooMany));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let [url, path, port, scheme, host] =
            &urls(&["https://a/x", "https://a:443/y", "https://a:444/x", "http://a:443/x", "https://b/x"])[..]
        else {
            panic!()
        };
        assert!(is_same_origin(url, path));
        assert!([port, scheme, host].iter().all(|other| !is_same_origin(url, other)));
    }
}
