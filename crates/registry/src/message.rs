//! Texts of registries and helper programs, for messages.

use crate::limits;
use serde_json::Value;

/// The reason in an answer: the first of the distribution API's errors ("Error Codes"), or what token servers say instead.
pub(crate) fn message(text: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return String::new() };
    let first = value.pointer("/errors/0").unwrap_or(&value);
    let keys = ["code", "message", "error", "error_description", "details"];
    let parts: Vec<&str> = keys.iter().filter_map(|key| first.get(key)?.as_str()).filter(|s| !s.is_empty()).collect();
    one_line(&parts.join(": "))
}

/// A text from outside as a part of one line: without control characters and not too long.
pub(crate) fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(printable).take(limits::MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_and_made_printable() {
        for (text, found) in [
            (r#"{"errors":[{"code":"DENIED","message":"no","detail":"x"},{"code":"B"}]}"#, "DENIED: no"),
            (r#"{"errors":[]}"#, ""),
            (r#"{"details":"incorrect username or password"}"#, "incorrect username or password"),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, "invalid_grant: expired"),
            (r#"{"errors":[{"code":"A","message":"two\nlines\u001b[2J"}]}"#, "A: two lines [2J"),
            ("<html>", ""),
            ("", ""),
        ] {
            assert_eq!(message(text.as_bytes()), found, "{text}");
        }
        let long = format!(r#"{{"details":"{}"}}"#, "é".repeat(1000));
        assert_eq!(message(long.as_bytes()).chars().count(), limits::MESSAGE);
    }
}
