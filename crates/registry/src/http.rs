//! The HTTP client: TLS roots, proxies, patience.

use crate::error::{Error, Fault};
use crate::{Proxies, Timeouts, limits};
use reqwest::{Certificate, Client, NoProxy, Proxy, redirect};
use std::time::Duration;

/// Builds the client whose connections every request shares. Redirects are the session's affair: it knows whom to show
/// credentials.
///
/// `trusting`: any certificate will do.
pub(crate) fn client(proxies: &Proxies, timeouts: &Timeouts, trusting: bool) -> Result<Client, Error> {
    // Fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || -> Result<reqwest::ClientBuilder, Error> {
        let mut builder = Client::builder()
            .user_agent(concat!("rootstrap/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            .pool_max_idle_per_host(limits::UPLOADS)
            .tcp_nodelay(true)
            .redirect(redirect::Policy::none())
            .tls_danger_accept_invalid_certs(trusting)
            .no_proxy();
        for proxy in self::proxies(proxies)? {
            builder = builder.proxy(proxy);
        }
        Ok(builder)
    };
    // Without any CA bundle on the machine the client cannot even be built; a bare machine falls back to the roots
    // compiled in, any other keeps its own, SSL_CERT_FILE included.
    builder()?.build().or_else(|_| {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der));
        let roots = roots.collect::<Result<Vec<_>, _>>().map_err(|source| Error::Http { source })?;
        builder()?.tls_certs_only(roots).build().map_err(|source| Error::Http { source })
    })
}

fn proxies(proxies: &Proxies) -> Result<Vec<Proxy>, Error> {
    let mut out = Vec::new();
    for (uri, make) in
        [(&proxies.http, Proxy::http as fn(String) -> reqwest::Result<Proxy>), (&proxies.https, Proxy::https)]
    {
        // An empty variable means "no proxy", as everywhere.
        if let Some(uri) = uri.as_ref().filter(|uri| !uri.is_empty()) {
            let proxy = make(uri.clone()).map_err(|source| Error::Proxy { uri: redacted(uri), source })?;
            out.push(proxy.no_proxy(proxies.no_proxy.as_deref().and_then(NoProxy::from_string)));
        }
    }
    Ok(out)
}

/// A proxy's address without its user and password.
fn redacted(uri: &str) -> String {
    match (uri.split_once("://"), uri.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        (None, Some((_, rest))) => rest.to_owned(),
        _ => uri.to_owned(),
    }
}

/// Awaits an answer no longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, answer: impl Future<Output = reqwest::Result<T>>) -> Result<T, Fault> {
    match tokio::time::timeout(limit, answer).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Fault::Stalled(limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_shown_without_passwords() {
        for (uri, shown) in [
            ("http://u:p@proxy.example:3128", "http://proxy.example:3128"),
            ("u:p@proxy.example", "proxy.example"),
            ("http://proxy.example", "http://proxy.example"),
        ] {
            assert_eq!(redacted(uri), shown);
        }
    }
}
