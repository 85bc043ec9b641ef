//! What the headers of a mirror's answer say about its bytes.

use http::Response;
use http::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};
use rootstrap_http as http;

/// Returns the position at which the range that a server sent begins (RFC 9110 §14.4).
pub(crate) fn range_start(response: &Response) -> Option<u64> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    value.strip_prefix("bytes")?.trim_start().split_once('-')?.0.parse().ok()
}

/// Returns the value for `If-Range` (RFC 9110 §13.1.5): a strong entity tag, or else the date.
pub(crate) fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    let tag = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    tag.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}
