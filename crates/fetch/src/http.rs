//! The HTTP client: TLS roots, proxies, redirects.

use crate::error::Error;
use crate::limits;
use crate::mirror::redacted;
use crate::{Options, Proxies};
use reqwest::{Certificate, Client, NoProxy, Proxy, redirect};

/// Builds the one client of a session, whose connections every request shares.
///
/// Nothing is read from the environment, and bodies come as the server stores them: no transparent decompression.
pub(crate) fn client(options: &Options) -> Result<Client, Error> {
    // Fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Without any CA bundle on the machine the client cannot even be built (facts/crates.md §4); a bare machine
    // falls back to the roots compiled in, any other keeps its own, a company's proxy included.
    builder(options)?.build().or_else(|_| {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der));
        let roots = roots.collect::<Result<Vec<_>, _>>().map_err(|source| Error::Http { source })?;
        builder(options)?.tls_certs_only(roots).build().map_err(|source| Error::Http { source })
    })
}

fn builder(options: &Options) -> Result<reqwest::ClientBuilder, Error> {
    let mut builder = Client::builder()
        .user_agent(concat!("rootstrap/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.timeouts.connect)
        .pool_max_idle_per_host(options.jobs)
        .tcp_nodelay(true)
        .redirect(redirect::Policy::custom(follow))
        .no_proxy();
    for proxy in proxies(&options.proxies)? {
        builder = builder.proxy(proxy);
    }
    Ok(builder)
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

/// Follows a few redirects, and none that gives up encryption.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    if attempt.previous().len() > limits::REDIRECTS {
        return attempt.error("too many redirects");
    }
    let was_https = attempt.previous().iter().any(|url| url.scheme() == "https");
    match attempt.url().scheme() {
        "https" => attempt.follow(),
        "http" if !was_https => attempt.follow(),
        _ => attempt.error("a redirect from https to an unencrypted address"),
    }
}
