//! The meaning of the status and the headers of a registry's answer.

use crate::credentials::Credentials;
use crate::error::Fault;
use crate::limits;
use crate::message::{message, one_line};
use http::{Response, StatusCode};
use rootstrap_http as http;

/// Returns the fault that an answer with an unexpected status stands for.
pub(crate) async fn fault(response: Response, credentials: &Credentials) -> Fault {
    let status = response.status();
    let retry_after = response.retry_after();
    // The status counts even if the text does not come.
    let text = response.read(limits::ANSWER).await.unwrap_or_default();
    let message = credentials.redact(message(&text));
    match status {
        StatusCode::UNAUTHORIZED => Fault::Unauthorized(message),
        StatusCode::FORBIDDEN => Fault::Denied(message),
        StatusCode::NOT_FOUND if message.starts_with("NAME_UNKNOWN") => Fault::UnknownName(message),
        _ => Fault::Status { status: status.as_u16(), message, retry_after },
    }
}

/// Compares the digest that an answer may name with ours.
pub(crate) fn check_digest(response: &Response, ours: &str) -> Result<(), Fault> {
    let theirs = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
    match theirs {
        Some(theirs) if theirs != ours => Err(Fault::OtherDigest { ours: ours.to_owned(), theirs: one_line(theirs) }),
        _ => Ok(()),
    }
}
