//! Servers whose certificates are wrong, on a machine that trusts one authority. `SSL_CERT_FILE` names it, which each test sets for a
//! child process only.

use crate::fake::{Access, Fault, Registry};
use crate::image::{Image, SECRET, blob_of, words};
use rootstrap_testkit::tls::{self, Terminator, certificates};
use rootstrap_testkit::{HostileClass, hostile_case};
use std::process::Command;

/// The variable that tells the child process which certificate the server shows.
const CASE: &str = "ROOTSTRAP_TEST_CERTIFICATE";

/// What the server shows, and what the push says of it; nothing if it succeeds.
const CASES: [(&str, &str, &str); 4] = [
    ("a certificate of a known authority", certificates::GOOD, ""),
    ("a certificate for another name", certificates::OTHER_NAME, "it is for another name"),
    ("an expired certificate", certificates::EXPIRED, "it has expired"),
    ("a certificate that is not valid yet", certificates::FUTURE, "its certificate is not trusted"),
];

#[test]
fn only_certificates_that_the_machine_trusts_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("authority.pem");
    std::fs::write(&authority, certificates::AUTHORITY).unwrap();
    for (number, (name, _, reason)) in CASES.iter().enumerate() {
        if !reason.is_empty() {
            hostile_case(HostileClass::Network, name);
        }
        child(number, &authority);
    }
    // Without the authority, nobody has signed for even the best of them.
    hostile_case(HostileClass::Network, "a certificate of an unknown authority");
    std::fs::write(&authority, tls::CERTIFICATE).unwrap();
    child(CASES.len(), &authority);
}

fn child(number: usize, authority: &std::path::Path) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "certificates::child_process_that_pushes", "--nocapture"])
        .env("SSL_CERT_FILE", authority)
        .env_remove("SSL_CERT_DIR")
        .env(CASE, number.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{number}: {output:?}");
}

/// A registry on this machine may have any certificate, but the token server beside it may not.
#[test]
fn child_process_that_pushes() {
    let Some(number) = std::env::var_os(CASE) else { return };
    let number: usize = number.to_str().unwrap().parse().unwrap();
    let unknown = ("", certificates::GOOD, "no authority that this machine trusts has signed it");
    let (_, certificate, reason) = CASES.get(number).copied().unwrap_or(unknown);
    let registry = Registry::start(Access::Open);
    let server = Terminator::with(&Registry::host(&registry), certificate);
    let tokens = Registry::start(Access::Bearer(String::new()));
    let token_server = Terminator::with(&tokens.host(), certificate);
    let challenge = format!("WWW-Authenticate: Bearer realm=\"https://{}/token\"\r\n", token_server.host());
    registry.fault("GET /v2/", Fault::Answer(401, challenge, ""), 1);
    let result = Image::of(blob_of(b"z")).by("me", SECRET).push(&format!("{}/me/base", server.host()));
    match result {
        Ok(_) => assert_eq!((reason, tokens.asked().len()), ("", 1)),
        Err(error) => {
            let text = words(&error);
            assert!(!reason.is_empty() && text.contains(reason), "{text}");
            assert_eq!((tokens.asked().len(), registry.tag("latest")), (0, None));
        }
    }
}
