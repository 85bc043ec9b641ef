//! Credentials from helper programs. They are found on `PATH`, which each test changes for a child process only.

use rootstrap_registry::{Credentials, Reference, credentials};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The variable that names the directory with the input and the output of the child process.
const DIRECTORY: &str = "ROOTSTRAP_TEST_CREDENTIALS";

/// Calls `credentials::find` for a registry with this configuration, in a child process that has the shell script `helper` as
/// `docker-credential-x` on its `PATH`.
fn find(registry: &str, config: &str, helper: &str) -> Result<Credentials, String> {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("docker-credential-x");
    fs::write(&program, format!("#!/bin/sh\n[ \"$1\" = get ] || exit 9\nserver=$(cat)\n{helper}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.path().join("config.json"), config).unwrap();
    fs::write(directory.path().join("reference"), format!("{registry}/me/base")).unwrap();
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helpers::child_process_that_looks_up_credentials"])
        .env("PATH", path)
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
    match fs::read(directory.path().join("found")) {
        Ok(found) => Ok(Credentials::from_bytes(&found).unwrap()),
        Err(_) => Err(fs::read_to_string(directory.path().join("error")).unwrap()),
    }
}

#[test]
fn child_process_that_looks_up_credentials() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let path = |name: &str| Path::new(&directory).join(name);
    let reference: Reference = fs::read_to_string(path("reference")).unwrap().parse().unwrap();
    match credentials::find(&reference, &[path("missing"), path("config.json")]) {
        Ok(found) => fs::write(path("found"), found.to_bytes()).unwrap(),
        Err(error) => fs::write(path("error"), crate::image::words(&error)).unwrap(),
    }
}

fn password(username: &str, password: &str) -> Result<Credentials, String> {
    Ok(Credentials::Password { username: username.to_owned(), password: password.to_owned() })
}

const ANSWER: &str = r#"printf '{"ServerURL":"%s","Username":"me","Secret":"for %s"}' "$server" "$server""#;

#[test]
fn helpers_are_asked_by_the_name_they_know() {
    for (registry, config, server) in [
        ("r.example", r#"{"credHelpers":{"r.example":"x"}}"#, "r.example"),
        ("r.example", r#"{"credHelpers":{"r.example":"x"},"credsStore":"none"}"#, "r.example"),
        ("r.example:5000", r#"{"credsStore":"x"}"#, "r.example:5000"),
        ("r.example", r#"{"credsStore":"x","auths":{"https://r.example":{}}}"#, "https://r.example"),
        ("docker.io", r#"{"credsStore":"x"}"#, "https://index.docker.io/v1/"),
        ("docker.io", r#"{"credHelpers":{"docker.io":"x"}}"#, "docker.io"),
    ] {
        assert_eq!(find(registry, config, ANSWER), password("me", &format!("for {server}")), "{config}");
    }
}

#[test]
fn a_helper_can_hold_an_identity_token() {
    let answer = r#"printf '{"ServerURL":"s","Username":"<token>","Secret":"t"}'"#;
    assert_eq!(find("r.example", r#"{"credsStore":"x"}"#, answer), Ok(Credentials::IdentityToken("t".to_owned())));
}

#[test]
fn a_helper_without_credentials_is_no_error() {
    let answer = "echo credentials not found in native keychain; exit 1";
    assert_eq!(find("r.example", r#"{"credsStore":"x"}"#, answer), Ok(Credentials::Anonymous));
    let answer = r#"printf '{"ServerURL":"s","Username":"","Secret":""}'"#;
    assert_eq!(find("r.example", r#"{"credsStore":"x"}"#, answer), Ok(Credentials::Anonymous));
    // The helper of another registry is not asked.
    assert_eq!(find("s.example", r#"{"credHelpers":{"r.example":"x"}}"#, ANSWER), Ok(Credentials::Anonymous));
}

#[test]
fn a_helper_that_fails_is_named() {
    for (config, helper, expect) in [
        (r#"{"credsStore":"x"}"#, "echo the keychain is locked; exit 1", "docker-credential-x, which "),
        (r#"{"credsStore":"x"}"#, "echo the keychain is locked; exit 1", "it says: the keychain is locked"),
        (r#"{"credsStore":"x"}"#, "echo '{\"Secret\":\"hunter2\"}'; exit 1", "it failed"),
        (r#"{"credsStore":"x"}"#, "echo '\"hunter2\"'", "it answered no credentials"),
        (r#"{"credsStore":"absent"}"#, "", "docker-credential-absent, which "),
        (r#"{"credsStore":"absent"}"#, "", "it cannot be started"),
    ] {
        let text = find("r.example", config, helper).unwrap_err();
        assert!(text.starts_with("cannot get the credentials for r.example\n"), "{text}");
        assert!(text.contains(expect), "{text}");
        assert!(text.contains("\nhint: see to it that docker-credential-"), "{text}");
    }
}
