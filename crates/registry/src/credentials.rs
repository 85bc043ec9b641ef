//! Who pushes: docker's and podman's files of credentials, and the helpers they name.

use crate::answer::one_line;
use crate::error::{CredentialProblem, Error};
use crate::reference::Reference;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The address by which docker's own files and helpers know docker.io.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What helpers say that work and know nothing (docker-credential-helpers, `credentials/error.go`).
const NOT_FOUND: &str = "credentials not found in native keychain";

/// What a registry is shown. `Debug` tells the kind and nothing else.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// Nothing.
    #[default]
    Anonymous,
    /// A name and its password, or what serves as one.
    Password {
        /// Who.
        username: String,
        /// The secret.
        password: String,
    },
    /// A long-lived token that buys the short-lived ones (OAuth2's refresh token).
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password { .. } => "Password",
            Self::IdentityToken(_) => "IdentityToken",
        })
    }
}

impl Credentials {
    /// A form to hand to another process of this program, through something nobody else can read.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings in an enum are always JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What [`Self::to_bytes`] made.
    ///
    /// # Errors
    /// The bytes are anything else; the error does not show them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|_| Error::Handed)
    }

    /// Foreign words, unless a secret is among them.
    pub(crate) fn conceal(&self, words: String) -> String {
        let secret = match self {
            Self::Anonymous => return words,
            Self::Password { password, .. } => password,
            Self::IdentityToken(token) => token,
        };
        if !secret.is_empty() && words.contains(secret) { String::new() } else { words }
    }

    fn or_anonymous(self) -> Self {
        match &self {
            Self::Password { username, password } if username.is_empty() && password.is_empty() => Self::Anonymous,
            _ => self,
        }
    }
}

/// The files that may hold credentials, by what the environment says, the first that knows a registry deciding.
///
/// `REGISTRY_AUTH_FILE` (podman-login(1)), docker's `config.json` in `DOCKER_CONFIG` or `~/.docker`, podman's `auth.json`
/// in `XDG_RUNTIME_DIR` and in `XDG_CONFIG_HOME` or `~/.config` (containers-auth.json(5)). `variable` looks one up; they
/// need not exist.
pub fn files(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |below: &str| path("HOME").map(|home| home.join(below));
    let podman = |directory: PathBuf| directory.join("containers/auth.json");
    let files = [
        path("REGISTRY_AUTH_FILE"),
        path("DOCKER_CONFIG").or_else(|| home(".docker")).map(|directory| directory.join("config.json")),
        path("XDG_RUNTIME_DIR").map(podman),
        path("XDG_CONFIG_HOME").or_else(|| home(".config")).map(podman),
    ];
    files.into_iter().flatten().collect()
}

/// The credentials for a registry from the first of `files` that has some; a file that is not there has none.
///
/// Starts the helper programs (`docker-credential-NAME`, found on `PATH`) that the files name, so it is to be called as
/// the user whose keys they hold.
///
/// # Errors
/// A file cannot be read or understood; a helper cannot be started or fails. Knowing nothing is no failure.
pub fn find(reference: &Reference, files: &[PathBuf]) -> Result<Credentials, Error> {
    for file in files {
        let found = from_file(reference, file);
        let found = found.map_err(|source| Error::Credentials { registry: reference.registry().to_owned(), source })?;
        if found != Credentials::Anonymous {
            return Ok(found);
        }
    }
    Ok(Credentials::Anonymous)
}

fn from_file(reference: &Reference, path: &Path) -> Result<Credentials, CredentialProblem> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Credentials::Anonymous);
        }
        Err(source) => return Err(CredentialProblem::File { path: path.to_owned(), source }),
    };
    let malformed = |reason| CredentialProblem::Malformed { path: path.to_owned(), reason };
    let config: Value = serde_json::from_slice(&text).map_err(|_| malformed("it is no JSON"))?;
    let (server, helper) = server(reference, &config);
    let failed = |reason: String| CredentialProblem::Helper {
        helper: format!("docker-credential-{}", helper.unwrap_or_default()),
        path: path.to_owned(),
        reason,
    };
    match docker_credential::get_credential_from_reader(text.as_slice(), &server) {
        Ok(DockerCredential::UsernamePassword(username, password)) => {
            Ok(Credentials::Password { username, password }.or_anonymous())
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Credentials::IdentityToken(token)),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(Credentials::Anonymous),
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. }) => {
            if [&stdout, &stderr].iter().any(|words| words.contains(NOT_FOUND)) {
                return Ok(Credentials::Anonymous);
            }
            Err(failed(last_words(&stdout, &stderr)))
        }
        Err(CredentialRetrievalError::HelperCommunicationError) => Err(failed("it cannot be started".to_owned())),
        Err(CredentialRetrievalError::MalformedHelperResponse) => Err(failed("it answered no credentials".to_owned())),
        Err(_) => Err(malformed("it is no docker configuration")),
    }
}

/// Under which of its own names a file knows the registry, and the helper it names for that.
///
/// The file may be as precise as the image's name (containers-auth.json(5), "key"), and docker writes its own registry as
/// a URL, as old versions did all.
fn server<'a>(reference: &Reference, config: &'a Value) -> (String, Option<&'a str>) {
    let section = |name: &str| config.get(name).and_then(Value::as_object);
    let wanted = names(reference);
    if let Some((name, helper)) =
        section("credHelpers").and_then(|helpers| wanted.iter().find_map(|name| helpers.get_key_value(name)))
    {
        return (name.clone(), helper.as_str());
    }
    let store = config.get("credsStore").and_then(Value::as_str);
    let known = section("auths").and_then(|auths| {
        let find = |name: &String| auths.keys().find(|key| *key == name || host_of(key) == Some(name));
        wanted.iter().find_map(find)
    });
    let otherwise = || if reference.registry() == "docker.io" { DOCKER_HUB } else { reference.registry() }.to_owned();
    (known.cloned().unwrap_or_else(otherwise), store)
}

/// What the registry can be called, the most precise first.
fn names(reference: &Reference) -> Vec<String> {
    let registry = reference.registry();
    let mut whole = format!("{registry}/{}", reference.name());
    let mut names = Vec::new();
    while whole.len() > registry.len() {
        names.push(whole.clone());
        whole.truncate(whole.rfind('/').unwrap_or_default());
    }
    names.push(registry.to_owned());
    if registry == "docker.io" {
        names.extend([DOCKER_HUB, "index.docker.io", "registry-1.docker.io"].map(str::to_owned));
    }
    names
}

/// The host of a key that is a URL.
fn host_of(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"))?;
    rest.split('/').next()
}

/// What a failing helper said: on standard output, by the protocol. One that answered there after all is not quoted.
fn last_words(stdout: &str, stderr: &str) -> String {
    let words = if stdout.trim().is_empty() { stderr } else { stdout };
    if words.trim().is_empty() || words.contains('{') {
        return "it failed".to_owned();
    }
    format!("it says: {}", one_line(words))
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
