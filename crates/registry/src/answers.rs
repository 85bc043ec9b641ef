//! All that reads the answers of a registry, behind one function, for tests that read any bytes.

use crate::error::Fault;
use crate::referrers;
use crate::request::Manifest;
use crate::{auth, blob, message};
use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use rootstrap_http as http;

/// Reads `bytes` as each kind of answer: a challenge, a token, the reason of an error, and the list of what refers to an image. Returns
/// for any bytes.
///
/// # Panics
/// The list does not have a manifest that was put into it, or gets it twice.
pub fn read_any(bytes: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let _ = auth::challenge(&HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]));
    }
    let _ = auth::token_in(bytes);
    let reason = message::message(bytes);
    assert!(!reason.contains(char::is_control), "{reason:?} is not one line");
    let manifest = Manifest { media_type: String::new(), digest: blob::digest(bytes), bytes: bytes.to_vec() };
    let _ = referrers::subject(&manifest);
    let list: Result<Option<Manifest>, Fault> = referrers::with(Some(bytes), &manifest);
    if let Ok(Some(list)) = list {
        assert!(matches!(referrers::with(Some(&list.bytes), &manifest), Ok(None)), "the list has the manifest");
    }
}
