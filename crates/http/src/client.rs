//! The client: TLS roots, proxies, redirects, and the deadline of an answer's head.

use crate::error::{Error, SetupError};
use crate::options::{Options, Pem, Timeouts};
use crate::redirect;
use crate::resolver::Resolver;
use crate::response::Response;
use reqwest::{Certificate, ClientBuilder, Identity, Method, RequestBuilder, Url};
use std::time::Duration;

/// What the client does with a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// Follows it by the rules of [`redirect::check`], and shows credentials to no other origin.
    Follow,
    /// Returns it to the caller, who follows it by the same rules.
    Return,
}

/// Which certificates of servers the client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Those that are signed by an authority that this machine trusts.
    Verified,
    /// Any. Such a client is for the one origin that the user named as insecure. It uses no proxy with `https:`, because it would not
    /// verify the certificate of the proxy either.
    Any,
}

/// Makes TLS usable, also by clients of other libraries in this process.
pub fn use_tls() {
    // This fails if the process has a provider already. That one is used then.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Sends requests. All clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    timeouts: Timeouts,
}

impl Client {
    /// Creates a client. It does not connect to anything.
    ///
    /// # Errors
    /// A proxy's address cannot be used, or the TLS library does not start.
    pub fn new(options: &Options, redirects: Redirects, certificates: Certificates) -> Result<Self, SetupError> {
        use_tls();
        let build = |builder: ClientBuilder| builder.build().map_err(|source| SetupError::Client { source });
        // The client cannot be built on a machine without CA certificates: such a machine gets the certificates that are compiled
        // in. Every other machine uses its own, which SSL_CERT_FILE can name, for example for a company's proxy.
        let own = authorities(options)?;
        let machines = builder(options, redirects, certificates)?;
        if let Some(Pem { file, .. }) = &options.identity {
            // The key is compared with the certificate only when a client is built.
            let alone = builder(options, redirects, certificates)?.tls_certs_only([]).build();
            let reason = "its key is not that of its certificate";
            alone.map_err(|_| SetupError::Pem { file: file.clone(), reason })?;
        }
        let inner = build(machines.tls_certs_merge(own.clone())).or_else(|_| {
            let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der));
            let roots = roots.collect::<Result<Vec<_>, _>>().map_err(|source| SetupError::Client { source })?;
            build(builder(options, redirects, certificates)?.tls_certs_only(roots.into_iter().chain(own)))
        })?;
        Ok(Self { inner, timeouts: options.timeouts })
    }

    /// Returns one that shares the connections and waits as long as `timeouts` say. The limit for a new connection stays, unless that for
    /// the head of the answer is shorter.
    #[must_use]
    pub fn with_timeouts(&self, timeouts: Timeouts) -> Self {
        Self { inner: self.inner.clone(), timeouts }
    }

    /// Creates a request, to be sent with one of the methods below.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.inner.request(method, url)
    }

    /// Sends a request and waits [`Timeouts::head`] for the head of the answer.
    ///
    /// # Errors
    /// There is no answer. An answer is not an error here, whatever its status is.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        self.send_within(self.timeouts.head(), request).await
    }

    /// Sends a request and waits `limit` for the head of the answer.
    ///
    /// # Errors
    /// As for [`Self::send`].
    pub async fn send_within(&self, limit: Duration, request: RequestBuilder) -> Result<Response, Error> {
        let answer = tokio::time::timeout(limit, self.send_without_deadline(request)).await;
        answer.unwrap_or(Err(Error::Stalled(limit)))
    }

    /// Sends a request whose content may take any time. The caller must check that the upload makes progress.
    ///
    /// # Errors
    /// As for [`Self::send`].
    pub async fn send_without_deadline(&self, request: RequestBuilder) -> Result<Response, Error> {
        Ok(Response::new(request.send().await?, self.timeouts))
    }
}

/// Returns the certificates of the authorities that are trusted beside those of this machine.
fn authorities(options: &Options) -> Result<Vec<Certificate>, SetupError> {
    let mut all = Vec::new();
    for Pem { file, bytes } in &options.authorities {
        let reason = "it has no certificate in PEM form";
        let found = Certificate::from_pem_bundle(bytes).ok().filter(|found| !found.is_empty());
        all.extend(found.ok_or_else(|| SetupError::Pem { file: file.clone(), reason })?);
    }
    Ok(all)
}

/// Nothing is read from the environment, and bodies come as the server stores them: no transparent decompression.
fn builder(options: &Options, redirects: Redirects, certificates: Certificates) -> Result<ClientBuilder, SetupError> {
    let policy = match redirects {
        Redirects::Follow => reqwest::redirect::Policy::custom(follow),
        Redirects::Return => reqwest::redirect::Policy::none(),
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("rootstrap/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.timeouts.connect)
        .pool_max_idle_per_host(options.connections)
        .tcp_nodelay(true)
        .dns_resolver(Resolver)
        .redirect(policy)
        // No Referer: the query of an address may contain a secret, which another origin must not see.
        .referer(false)
        .tls_danger_accept_invalid_certs(certificates == Certificates::Any)
        .no_proxy();
    if certificates == Certificates::Any
        && let Some(uri) = options.proxies.first_encrypted()
    {
        return Err(SetupError::UnverifiedProxy { uri });
    }
    for proxy in options.proxies.to_reqwest()? {
        builder = builder.proxy(proxy);
    }
    if let Some(Pem { file, bytes }) = &options.identity {
        let reason = "it needs a certificate and its key in PEM form";
        let identity = Identity::from_pem(bytes).map_err(|_| SetupError::Pem { file: file.clone(), reason })?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

/// The HTTP library drops `Authorization` itself when a redirect leads to another origin.
fn follow(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    match redirect::check(attempt.previous(), attempt.url()) {
        Ok(()) => attempt.follow(),
        Err(refusal) => attempt.error(refusal),
    }
}
