//! The credentials of the user: docker's and podman's files, and the helper programs that they name.

use crate::error::{CredentialProblem, Error};
use crate::message::one_line;
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

/// The message of a helper that works but has no credentials for the registry (docker-credential-helpers, `credentials/error.go`).
const NOT_FOUND: &str = "credentials not found in native keychain";

/// What a registry gets as proof of who the user is. `Debug` shows only the kind.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// Nothing.
    #[default]
    Anonymous,
    /// A user and a password, or a token in its place.
    Password {
        /// The user.
        username: String,
        /// The secret.
        password: String,
    },
    /// A long-lived token that is exchanged for short-lived ones (the refresh token of OAuth2).
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
    /// Serializes the credentials for another process of this program. Nobody else may be able to read the channel.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings in an enum are always JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Self::to_bytes`] returned.
    ///
    /// # Errors
    /// The bytes are something else; the error does not show them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|_| Error::DamagedCredentials)
    }

    /// A registry's message, or nothing if the message contains the secret.
    pub(crate) fn redact(&self, message: String) -> String {
        let secret = match self {
            Self::Anonymous => return message,
            Self::Password { password, .. } => password,
            Self::IdentityToken(token) => token,
        };
        if !secret.is_empty() && message.contains(secret) { String::new() } else { message }
    }

    fn or_anonymous(self) -> Self {
        match &self {
            Self::Password { username, password } if username.is_empty() && password.is_empty() => Self::Anonymous,
            _ => self,
        }
    }
}

/// Returns the files that may hold credentials, according to the environment. The first file with credentials for a registry counts.
///
/// `REGISTRY_AUTH_FILE` (podman-login(1)), docker's `config.json` in `DOCKER_CONFIG` or `~/.docker`, podman's `auth.json`
/// in `XDG_RUNTIME_DIR` and in `XDG_CONFIG_HOME` or `~/.config` (containers-auth.json(5)). `variable` looks up a
/// variable. The files need not exist.
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

/// Returns the credentials for a registry from the first of `files` that has some. A file that does not exist has none.
///
/// Starts the helper programs that the files name (`docker-credential-NAME`, found on `PATH`), so call it as the user to
/// whom the credentials belong.
///
/// # Errors
/// A file cannot be read or parsed; a helper cannot be started or fails. It is not an error if there are no credentials.
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
            if [&stdout, &stderr].iter().any(|output| output.contains(NOT_FOUND)) {
                return Ok(Credentials::Anonymous);
            }
            Err(failed(helper_failure(&stdout, &stderr)))
        }
        Err(CredentialRetrievalError::HelperCommunicationError) => Err(failed("it cannot be started".to_owned())),
        Err(CredentialRetrievalError::MalformedHelperResponse) => Err(failed("it answered no credentials".to_owned())),
        Err(_) => Err(malformed("it is no docker configuration")),
    }
}

/// The name under which a file knows the registry, and the helper that the file names for it.
///
/// A file may have entries as precise as the image's name (containers-auth.json(5), "key"). Docker writes its own registry
/// as a URL; old versions wrote all registries so.
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

/// The names under which a file may know the registry, the most precise first.
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

/// Returns why a helper failed. By the protocol, a helper writes the reason to standard output. Output that looks like an answer is
/// not quoted, because it may contain the secret.
fn helper_failure(stdout: &str, stderr: &str) -> String {
    let message = if stdout.trim().is_empty() { stderr } else { stdout };
    if message.trim().is_empty() || message.contains('{') {
        return "it failed".to_owned();
    }
    format!("it says: {}", one_line(message))
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
