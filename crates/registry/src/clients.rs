//! The client for each address that a push leads to.

use crate::error::Fault;
use http::{Client, Url, redirect};
use rootstrap_http as http;

/// The clients for a registry and for the servers that it names.
pub(crate) struct Clients {
    /// `https://HOST/v2/`.
    pub base: Url,
    /// For the registry's own origin. It may accept any certificate.
    pub registry: Client,
    /// For every other origin: token servers, storage. It verifies certificates.
    pub verifying: Client,
}

impl Clients {
    /// Whether an address belongs to the registry's own origin.
    pub fn is_registry(&self, url: &Url) -> bool {
        redirect::is_same_origin(url, &self.base)
    }

    /// Whether the registry is spoken to without encryption.
    pub fn is_unencrypted(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// The client for an address. Only the registry's own origin may get the one that accepts any certificate: the user
    /// called that origin insecure, and no other.
    pub fn client(&self, url: &Url) -> &Client {
        if self.is_registry(url) { &self.registry } else { &self.verifying }
    }

    /// The failure of a request to an address.
    pub fn fault(&self, url: &Url, error: http::Error) -> Fault {
        if self.is_registry(url) {
            return Fault::Http(error);
        }
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Fault::OtherHost { host, source: error }
    }
}
