//! What a registry answers besides what was asked for: reasons, digests, addresses.

use crate::credentials::Credentials;
use crate::error::Fault;
use crate::http::within;
use crate::limits;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde_json::Value;
use std::time::Duration;

/// Reads an answer to its end, or to the ceiling.
pub(crate) async fn body(mut response: Response, stall: Duration) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = within(stall, response.chunk()).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limits::ANSWER {
            return Err(Fault::Protocol("answered more than anybody would read"));
        }
    }
    Ok(bytes)
}

/// What an answer that is no success means.
pub(crate) async fn refusal(response: Response, stall: Duration, credentials: &Credentials) -> Fault {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    // A refusal that breaks off is one nevertheless.
    let text = body(response, stall).await.unwrap_or_default();
    let words = credentials.conceal(words(&text));
    match status {
        StatusCode::UNAUTHORIZED => Fault::Unauthorized(words),
        StatusCode::FORBIDDEN => Fault::Denied(words),
        StatusCode::NOT_FOUND if words.starts_with("NAME_UNKNOWN") => Fault::UnknownName(words),
        _ => Fault::Status { status: status.as_u16(), words, retry_after },
    }
}

/// The reasons in an answer: the first of the distribution API's ("Error Codes"), or what token servers say instead.
fn words(text: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return String::new() };
    let first = value.pointer("/errors/0").unwrap_or(&value);
    let keys = ["code", "message", "error", "error_description", "details"];
    let words: Vec<&str> = keys.iter().filter_map(|key| first.get(key)?.as_str()).filter(|s| !s.is_empty()).collect();
    one_line(&words.join(": "))
}

/// Foreign words, fit for a line of ours.
pub(crate) fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(printable).take(limits::WORDS).collect()
}

/// How long to wait before the next attempt, where it is said in seconds. The form with a date would need a clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(limits::LONGEST_RETRY_AFTER))
}

/// The address an answer names, which may be relative, with its query as it is.
pub(crate) fn location(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}

/// Compares the digest that an answer names, if it does, with ours.
pub(crate) fn check_digest(response: &Response, ours: &str) -> Result<(), Fault> {
    let theirs = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
    match theirs {
        Some(theirs) if theirs != ours => Err(Fault::OtherDigest { ours: ours.to_owned(), theirs: one_line(theirs) }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_and_tamed() {
        for (text, found) in [
            (r#"{"errors":[{"code":"DENIED","message":"no","detail":"x"},{"code":"B"}]}"#, "DENIED: no"),
            (r#"{"errors":[]}"#, ""),
            (r#"{"details":"incorrect username or password"}"#, "incorrect username or password"),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, "invalid_grant: expired"),
            (r#"{"errors":[{"code":"A","message":"two\nlines\u001b[2J"}]}"#, "A: two lines [2J"),
            ("<html>", ""),
            ("", ""),
        ] {
            assert_eq!(words(text.as_bytes()), found, "{text}");
        }
        let long = format!(r#"{{"details":"{}"}}"#, "é".repeat(1000));
        assert_eq!(words(long.as_bytes()).chars().count(), limits::WORDS);
    }

    #[test]
    fn waits_are_bounded() {
        let wait = |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]));
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999999999"), Some(limits::LONGEST_RETRY_AFTER));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(wait("-1"), None);
    }
}
