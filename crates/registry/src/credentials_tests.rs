//! Files of credentials as docker and podman write them; helpers are tested with processes.

use super::*;
use std::fs;

fn password(username: &str, password: &str) -> Credentials {
    Credentials::Password { username: username.to_owned(), password: password.to_owned() }
}

/// What the files say about an image, the first deciding.
fn found(image: &str, contents: &[&str]) -> Result<Credentials, Error> {
    let directory = tempfile::tempdir().unwrap();
    let write = |(number, text): (usize, &&str)| {
        let path = directory.path().join(number.to_string());
        fs::write(&path, text).unwrap();
        path
    };
    let files: Vec<PathBuf> = contents.iter().enumerate().map(write).collect();
    find(&image.parse().unwrap(), &files)
}

#[test]
fn files_of_docker_and_podman_are_read() {
    // me:pw, you:a:b
    let (me, you) = (password("me", "pw"), password("you", "a:b"));
    for (image, file, expect) in [
        ("r.example/a", r#"{"auths":{"r.example":{"auth":"bWU6cHc="}}}"#, &me),
        ("r.example/a", r#"{"auths":{"r.example":{"auth":"eW91OmE6Yg=="}}}"#, &you),
        ("r.example/a", r#"{"auths":{"https://r.example/v1/":{"auth":"bWU6cHc="}}}"#, &me),
        ("r.example/a", r#"{"auths":{"r.example":{"username":"me","password":"pw"}}}"#, &me),
        ("r.example:5000/a", r#"{"auths":{"r.example":{"auth":"bWU6cHc="}}}"#, &Credentials::Anonymous),
        ("r.example/a", r#"{"auths":{"r.example":{}}}"#, &Credentials::Anonymous),
        ("r.example/a", "{}", &Credentials::Anonymous),
        ("a", r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6cHc="}}}"#, &me),
        ("a", r#"{"auths":{"docker.io":{"auth":"bWU6cHc="}}}"#, &me),
        // The most precise name decides.
        ("r.example/a/b", r#"{"auths":{"r.example":{"auth":"eW91OmE6Yg=="},"r.example/a":{"auth":"bWU6cHc="}}}"#, &me),
        ("r.example/ab", r#"{"auths":{"r.example":{"auth":"eW91OmE6Yg=="},"r.example/a":{"auth":"bWU6cHc="}}}"#, &you),
        (
            "r.example/a",
            r#"{"auths":{"r.example":{"auth":"bWU6","identitytoken":"t"}}}"#,
            &Credentials::IdentityToken("t".to_owned()),
        ),
    ] {
        assert_eq!(found(image, &[file]).unwrap(), *expect, "{file}");
    }
}

#[test]
fn the_first_file_with_credentials_decides() {
    let knows = |auth: &str| format!(r#"{{"auths":{{"r.example":{{"auth":"{auth}"}}}}}}"#);
    let files = ["{}", &knows("bWU6cHc="), &knows("eW91OmE6Yg==")];
    assert_eq!(found("r.example/a", &files).unwrap(), password("me", "pw"));
    assert_eq!(find(&"a".parse().unwrap(), &[]).unwrap(), Credentials::Anonymous);
    let missing = [PathBuf::from("/nowhere/config.json"), PathBuf::from("/dev/null/config.json")];
    assert_eq!(find(&"a".parse().unwrap(), &missing).unwrap(), Credentials::Anonymous);
}

#[test]
fn a_malformed_file_is_named_without_its_secrets() {
    for file in ["", "hunter2", r#"{"auths":{"r.example":{"auth":"%hunter2"}}}"#, r#"{"auths":"hunter2"}"#] {
        let error = found("r.example/a", &[file]).unwrap_err();
        assert_eq!(error.to_string(), "cannot get the credentials for r.example");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("cannot use /"), "{cause}");
        assert!(!format!("{cause}{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn the_environment_names_the_files() {
    let paths = |variables: &[(&str, &str)]| {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        files(&variable).into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(paths(&[]), [""; 0]);
    assert_eq!(
        paths(&[("HOME", "/h"), ("DOCKER_CONFIG", "")]),
        ["/h/.docker/config.json", "/h/.config/containers/auth.json"]
    );
    assert_eq!(
        paths(&[
            ("HOME", "/h"),
            ("DOCKER_CONFIG", "/d"),
            ("REGISTRY_AUTH_FILE", "/a.json"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
            ("XDG_CONFIG_HOME", "/c"),
        ]),
        ["/a.json", "/d/config.json", "/run/user/7/containers/auth.json", "/c/containers/auth.json"]
    );
}

#[test]
fn credentials_can_be_passed_to_another_process() {
    for credentials in [Credentials::Anonymous, password("me", "p\"w"), Credentials::IdentityToken("t".to_owned())] {
        assert_eq!(Credentials::from_bytes(&credentials.to_bytes()).unwrap(), credentials);
    }
    let error = Credentials::from_bytes(b"{\"Password\":\"hunter2\"}").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let shown = [password("hunter2", "hunter2"), Credentials::IdentityToken("hunter2".to_owned())];
    assert_eq!(format!("{shown:?}"), "[Password, IdentityToken]");
}
