//! Names of images by the rules of docker (distribution/reference, "grammar").

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// The registry of a name that does not contain one.
const DEFAULT_REGISTRY: &str = "docker.io";

/// The host that serves [`DEFAULT_REGISTRY`]. The host `docker.io` itself is a web site.
const DEFAULT_HOST: &str = "registry-1.docker.io";

/// Most bytes of registry and name together, with the `/` between them.
const LONGEST_NAME: usize = 255;

/// Most bytes of a tag.
const LONGEST_TAG: usize = 128;

/// The place of an image: registry, name and tag.
///
/// It is displayed in full: `base` as `docker.io/library/base:latest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    name: String,
    tag: String,
}

impl Reference {
    /// Returns the registry as it was named, with its port: `docker.io`, `localhost:5000`. `docker login` takes this name.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the name of the image in the registry: `library/base`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Returns the same name with another tag.
    ///
    /// # Errors
    /// `tag` is not a valid tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, Error> {
        if !is_tag(tag) {
            return Err(Error::Name { name: tag.to_owned(), reason: TAG_RULE });
        }
        Ok(Self { tag: tag.to_owned(), ..self.clone() })
    }

    /// Returns the host that serves the registry, with its port.
    pub(crate) fn host(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY { DEFAULT_HOST } else { &self.registry }
    }

    /// Whether the registry is on this machine. Docker requires no encryption there.
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
                return Err(wrong("it has a digest; the digest follows from the image and cannot be chosen"));
            }
            // The part before `@` may be a password, so the error does not show it.
            Some((_, end)) => {
                return Err(Error::Name {
                    name: end.to_owned(),
                    reason: "a user name before the registry is not allowed",
                });
            }
            None => (),
        }
        // The first part is a registry if it cannot be a part of a name.
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
            return Err(wrong("its registry must have the form HOST or HOST:PORT"));
        }
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(wrong("its name must be in lower case"));
        }
        if !name.split('/').all(is_component) {
            return Err(wrong(
                "its name must be letters and digits, with '.', '_', '__', '-' or '/' only between them",
            ));
        }
        if registry.len() + 1 + name.len() > LONGEST_NAME {
            return Err(wrong("its registry and name are longer than 255 bytes"));
        }
        if !is_tag(tag) {
            return Err(wrong(TAG_RULE));
        }
        Ok(Self { registry: registry.to_owned(), name, tag: tag.to_owned() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.name, self.tag)
    }
}

/// What the error says about a tag that is not valid.
const TAG_RULE: &str = "its tag must be 1 to 128 letters, digits, '_', '.' or '-', and not begin with '.' or '-'";

/// Whether the first part of a text cannot be a part of a name, and so must be a registry.
fn looks_like_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Returns a host without its port. The brackets of an IPv6 address stay.
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

/// Whether this is a valid part of a name: lower-case letters and digits, with `.`, `_`, `__` or any number of `-` only between them.
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
