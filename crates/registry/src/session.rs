//! The requests to one registry: the client and the authorization that each may have, and the redirects.

use crate::auth::Authenticator;
use crate::clients::Clients;
use crate::error::{Error, Fault};
use crate::limits;
use crate::reference::Reference;
use crate::request::Push;
use crate::response;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Certificates, Client, Method, Redirects, Response, StatusCode, Url, redirect};
use rootstrap_http as http;
use std::time::Duration;
use tokio::sync::Mutex;

/// What every request of a push shares.
pub(crate) struct Session<'a> {
    pub clients: Clients,
    push: &'a Push<'a>,
    scope: String,
    token: Mutex<Token>,
}

/// What the registry gets as `Authorization`.
#[derive(Clone, Default)]
struct Token {
    header: Option<HeaderValue>,
    /// How many tokens there were before. With it a request knows whether another one has got a new token meanwhile.
    generation: u64,
}

impl<'a> Session<'a> {
    /// Creates a session for every address at which the registry may answer, in the order in which to try them: `https:`, and then
    /// `http:` if docker would also accept the registry without encryption.
    pub fn endpoints(push: &'a Push<'a>) -> Result<Vec<Self>, Error> {
        let reference = push.reference;
        let is_insecure = push.options.insecure || reference.is_local();
        let mut options = http::Options { connections: limits::UPLOADS, ..push.options.http.clone() };
        if reference.is_local() {
            options.proxies = http::Proxies::default();
        }
        let verifying = Client::new(&options, Redirects::Return, Certificates::Verified)?;
        let registry = match is_insecure {
            true => Client::new(&options, Redirects::Return, Certificates::Any)?,
            false => verifying.clone(),
        };
        let schemes: &[&str] = if is_insecure { &["https", "http"] } else { &["https"] };
        let endpoint = |scheme: &&str| {
            let base = Url::parse(&format!("{scheme}://{}/v2/", reference.host()));
            let base = base.map_err(|_| no_address(reference))?;
            // What is only fetched needs no more.
            let actions = if push.manifests.is_empty() { "pull" } else { "pull,push" };
            let scope = format!("repository:{}:{actions}", reference.name());
            let clients = Clients { base, registry: registry.clone(), verifying: verifying.clone() };
            Ok(Self { clients, push, scope, token: Mutex::default() })
        };
        schemes.iter().map(endpoint).collect()
    }

    /// Asks whether a registry answers here, and gets the authorization that it wants.
    pub async fn ping(&self) -> Result<(), Fault> {
        let response = self.request(Method::GET, self.clients.base.clone()).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Err(Fault::Protocol("is none: it does not speak the distribution API")),
            // A registry may forbid this address to everybody and still take uploads.
            StatusCode::FORBIDDEN => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(self.fault(response).await),
        }
    }

    /// The address of something in the repository, for example of `blobs/uploads/`.
    pub fn url(&self, path: &str) -> Result<Url, Fault> {
        let path = format!("{}/{path}", self.push.reference.name());
        self.clients.base.join(&path).map_err(|_| Fault::Protocol("has no address"))
    }

    /// How long the registry may take to answer a request that costs it nothing.
    pub fn answer_timeout(&self) -> Duration {
        self.push.options.answer_timeout()
    }

    /// Returns the fault that an answer with an unexpected status stands for.
    pub async fn fault(&self, response: Response) -> Fault {
        response::fault(response, self.push.credentials).await
    }

    /// Sends a request without content.
    pub async fn request(&self, method: Method, url: Url) -> Result<Response, Fault> {
        self.request_with(method, url, &[]).await
    }

    /// Sends a request without content and with further headers.
    pub async fn request_with(
        &self,
        method: Method,
        url: Url,
        further: &[(HeaderName, &'static str)],
    ) -> Result<Response, Fault> {
        let send = async |url: Url, mut headers: HeaderMap| {
            headers.extend(further.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))));
            let client = self.clients.client(&url);
            let request = client.request(method.clone(), url.clone()).headers(headers);
            // Some registries refuse a POST that does not say that it has no content.
            let request = if method == Method::POST { request.body("") } else { request };
            let response = client.send_within(self.answer_timeout(), request).await;
            response.map_err(|error| self.clients.fault(&url, error))
        };
        self.exchange(&method, url, send).await
    }

    /// Asks for what a server shows in place of an answer (303 See Other, RFC 9110 §15.4.4): without the content of the request.
    async fn look(&self, method: &Method, url: Url, headers: HeaderMap) -> Result<Response, Fault> {
        let method = if *method == Method::HEAD { Method::HEAD } else { Method::GET };
        let request = self.clients.client(&url).request(method, url.clone()).headers(headers);
        let response = self.clients.client(&url).send_within(self.answer_timeout(), request).await;
        response.map_err(|error| self.clients.fault(&url, error))
    }

    /// Calls `send` with an address and headers, again for every redirect and once more with a new token if the registry
    /// demands one. Only the registry's own origin gets the token. After 303, the rest of the way is gone without `send`.
    pub async fn exchange(
        &self,
        method: &Method,
        url: Url,
        mut send: impl AsyncFnMut(Url, HeaderMap) -> Result<Response, Fault>,
    ) -> Result<Response, Fault> {
        let (mut was_authorized, mut is_elsewhere) = (false, false);
        let mut urls = vec![url.clone()];
        let mut url = url;
        loop {
            let token = self.token.lock().await.clone();
            let is_registry = self.clients.is_registry(&url);
            let authorization = token.header.filter(|_| is_registry).map(|value| (AUTHORIZATION, value));
            let headers = authorization.into_iter().collect();
            let response = match is_elsewhere {
                true => self.look(method, url, headers).await?,
                false => send(url, headers).await?,
            };
            is_elsewhere |= response.status() == StatusCode::SEE_OTHER;
            url = match response.status() {
                StatusCode::UNAUTHORIZED if is_registry && !was_authorized => {
                    was_authorized = true;
                    self.authorize(response.headers(), token.generation).await?;
                    urls.pop().ok_or(Fault::Protocol("has no address"))?
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => follow(&urls, &response)?,
                _ => return Ok(response),
            };
            urls.push(url.clone());
        }
    }

    /// Returns the address that an answer of the registry names. One that gives up encryption is an error.
    pub fn location(&self, response: &Response) -> Result<Url, Fault> {
        follow(std::slice::from_ref(&self.clients.base), response)
    }

    /// Gets a new token, unless another request has got one since `generation`.
    async fn authorize(&self, challenge: &HeaderMap, generation: u64) -> Result<(), Fault> {
        let mut token = self.token.lock().await;
        if token.generation != generation {
            return Ok(());
        }
        let authenticator = Authenticator {
            clients: &self.clients,
            credentials: self.push.credentials,
            scope: &self.scope,
            timeout: self.answer_timeout(),
        };
        let header = Some(authenticator.authorization(challenge).await?);
        *token = Token { header, generation: generation + 1 };
        Ok(())
    }
}

/// The address to go on at after `previous`.
fn follow(previous: &[Url], response: &Response) -> Result<Url, Fault> {
    let next = response.location().ok_or(Fault::Protocol("names no address to go on at"))?;
    redirect::check(previous, &next).map_err(|refusal| Fault::Http(refusal.into()))?;
    Ok(next)
}

fn no_address(reference: &Reference) -> Error {
    Error::Name { name: reference.to_string(), reason: "its registry does not give a valid URL" }
}
