//! Names of images, by docker's rules (distribution/reference, "grammar").

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// The registry that a name without one means.
const DEFAULT_REGISTRY: &str = "docker.io";

/// Where [`DEFAULT_REGISTRY`] answers; its name is that of a web site.
const DEFAULT_HOST: &str = "registry-1.docker.io";

/// Most bytes of registry and name together, and of a tag.
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// Where to put an image: registry, name and tag.
///
/// Displayed in full: `docker.io/library/base:latest` for `base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    name: String,
    tag: String,
}

impl Reference {
    /// The registry as it was named, with its port: `docker.io`, `localhost:5000`. What `docker login` takes.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name below the registry: `library/base`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The same name with another tag.
    ///
    /// # Errors
    /// It is no tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, Error> {
        if !is_tag(tag) {
            return Err(Error::Name { name: tag.to_owned(), reason: NO_TAG });
        }
        Ok(Self { tag: tag.to_owned(), ..self.clone() })
    }

    /// The host that answers for the registry, with its port.
    pub(crate) fn host(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY { DEFAULT_HOST } else { &self.registry }
    }

    /// Whether the registry is on this machine, where docker demands no encryption.
    pub(crate) fn is_local(&self) -> bool {
        let host = without_port(&self.registry);
        let is_loopback = |ip: std::net::IpAddr| ip.is_loopback();
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(is_loopback)
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::Name { name: text.to_owned(), reason };
        match text.rsplit_once('@') {
            Some((_, end)) if end.starts_with("sha") => {
                return Err(wrong("it has a digest, which follows from the image and cannot be chosen"));
            }
            // What stands before may be a password.
            Some((_, end)) => {
                return Err(Error::Name { name: end.to_owned(), reason: "no user can be named before its registry" });
            }
            None => (),
        }
        // The first part is a registry if it could not be one of a name.
        let (registry, rest) = match text.split_once('/') {
            Some((first, rest)) if looks_like_host(first) => (first, rest),
            _ => (DEFAULT_REGISTRY, text),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        let (name, tag) = rest.split_once(':').unwrap_or((rest, "latest"));
        let name = match name.contains('/') {
            false if registry == DEFAULT_REGISTRY => format!("library/{name}"),
            _ => name.to_owned(),
        };
        if !is_host(registry) {
            return Err(wrong("its registry is no HOST or HOST:PORT"));
        }
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(wrong("names of images are in lower case"));
        }
        if !name.split('/').all(is_component) {
            return Err(wrong("its name is no letters and digits with single '.', '_', '-' or '/' between them"));
        }
        if registry.len() + 1 + name.len() > LONGEST_NAME {
            return Err(wrong("its name is longer than 255 bytes"));
        }
        if !is_tag(tag) {
            return Err(wrong(NO_TAG));
        }
        Ok(Self { registry: registry.to_owned(), name, tag: tag.to_owned() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.name, self.tag)
    }
}

const NO_TAG: &str = "its tag is no letters, digits, '_', '.' and '-', at most 128, not beginning with '.' or '-'";

fn looks_like_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// A host without its port; the brackets of an IPv6 address stay.
fn without_port(registry: &str) -> &str {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => registry,
    }
}

fn is_host(registry: &str) -> bool {
    let host = without_port(registry);
    let port = registry.get(host.len()..).and_then(|rest| rest.strip_prefix(':'));
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_v6 = |address: &str| address.parse::<std::net::Ipv6Addr>().is_ok();
    let named = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => is_v6(address),
        None => host.split('.').all(is_label),
    };
    named && port.is_none_or(|port| !port.starts_with('+') && port.parse::<u16>().is_ok())
}

/// Runs of letters and digits, with `.`, `_`, `__` or any number of `-` between two of them.
fn is_component(component: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |s: &str| matches!(s, "." | "_" | "__") || s.bytes().all(|byte| byte == b'-');
    component.starts_with(is_alphanumeric)
        && component.ends_with(is_alphanumeric)
        && component.split(is_alphanumeric).all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= LONGEST_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
