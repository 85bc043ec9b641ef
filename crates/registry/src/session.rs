//! A conversation with one registry: how it is reached, who it takes us for, where it sends us.

use crate::answer::{self, location};
use crate::auth::Applicant;
use crate::error::{Error, Fault};
use crate::http::{self, within};
use crate::{Push, Reference, limits};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, Url};
use std::time::Duration;
use tokio::sync::Mutex;

/// What every request of a push shares.
pub(crate) struct Session<'a> {
    pub client: Client,
    push: &'a Push<'a>,
    /// `https://HOST/v2/`.
    base: Url,
    scope: String,
    pass: Mutex<Pass>,
}

/// What is shown to the registry, and the how-manieth it is.
#[derive(Clone, Default)]
struct Pass {
    header: Option<HeaderValue>,
    number: u64,
}

impl<'a> Session<'a> {
    /// Every way to reach the registry, in the order they are to be tried: an encrypted one, and where docker does
    /// without, one whose certificate nobody looks at and one in the clear.
    pub fn ways(push: &'a Push<'a>) -> Result<Vec<Self>, Error> {
        let reference = push.reference;
        let lax = push.options.insecure || reference.is_local();
        let direct = Default::default();
        let proxies = if reference.is_local() { &direct } else { &push.options.proxies };
        let client = http::client(proxies, &push.options.timeouts, lax)?;
        let schemes: &[&str] = if lax { &["https", "http"] } else { &["https"] };
        let way = |scheme: &&str| {
            let base = Url::parse(&format!("{scheme}://{}/v2/", reference.host()));
            let base = base.map_err(|_| unusable(reference))?;
            let scope = format!("repository:{}:pull,push", reference.name());
            Ok(Self { client: client.clone(), push, base, scope, pass: Mutex::default() })
        };
        schemes.iter().map(way).collect()
    }

    /// Says hello: whether a registry is there, and who it is to take us for.
    pub async fn greet(&self) -> Result<(), Fault> {
        let response = self.ask(Method::GET, self.base.clone()).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Err(Fault::Protocol("is none: it does not speak the distribution API")),
            // A registry that lets nobody read its front page may have an open back door.
            StatusCode::FORBIDDEN => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(self.refusal(response).await),
        }
    }

    /// The address of something in the repository: `blobs/uploads/`.
    pub fn url(&self, path: &str) -> Result<Url, Fault> {
        let path = format!("{}/{path}", self.push.reference.name());
        self.base.join(&path).map_err(|_| Fault::Protocol("has no address"))
    }

    /// How long an answer may take that costs the registry nothing.
    pub fn patience(&self) -> Duration {
        self.push.options.timeouts.connect.saturating_add(self.push.options.timeouts.stall)
    }

    /// What an answer that is no success means.
    pub async fn refusal(&self, response: Response) -> Fault {
        answer::refusal(response, self.push.options.timeouts.stall, self.push.credentials).await
    }

    /// A request without content.
    pub async fn ask(&self, method: Method, url: Url) -> Result<Response, Fault> {
        let send = async |url: Url, headers: HeaderMap| {
            // Some registries want to be told that nothing comes.
            let request = self.client.request(method.clone(), url).headers(headers);
            let request = if method == Method::POST { request.body("") } else { request };
            within(self.patience(), request.send()).await
        };
        self.converse(url, send).await
    }

    /// Calls `send` with address and headers until the answer is one: to where the registry points, and with a new
    /// proof when it wants one. No other host sees the proof.
    pub async fn converse(
        &self,
        mut url: Url,
        mut send: impl AsyncFnMut(Url, HeaderMap) -> Result<Response, Fault>,
    ) -> Result<Response, Fault> {
        let mut asked = false;
        let mut redirects = 0;
        loop {
            let pass = self.pass.lock().await.clone();
            let ours = url.origin() == self.base.origin();
            let proof = pass.header.filter(|_| ours).map(|value| (AUTHORIZATION, value));
            let response = send(url.clone(), proof.into_iter().collect()).await?;
            match response.status() {
                StatusCode::UNAUTHORIZED if ours && !asked => {
                    asked = true;
                    self.authorize(response.headers(), pass.number).await?;
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    redirects += 1;
                    url = self.allowed(location(&response))?;
                    if redirects > limits::REDIRECTS {
                        return Err(Fault::Protocol("sends us round in circles"));
                    }
                }
                _ => return Ok(response),
            }
        }
    }

    /// An address that the registry names, unless it gives up encryption.
    pub fn allowed(&self, url: Option<Url>) -> Result<Url, Fault> {
        let url = url.ok_or(Fault::Protocol("names no address to go on at"))?;
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.base.scheme() == "http" => Ok(url),
            _ => Err(Fault::Protocol("points from https to an unencrypted address")),
        }
    }

    /// Gets a new proof, unless somebody else has since `number`.
    async fn authorize(&self, demand: &HeaderMap, number: u64) -> Result<(), Fault> {
        let mut pass = self.pass.lock().await;
        if pass.number != number {
            return Ok(());
        }
        let applicant = Applicant {
            client: &self.client,
            credentials: self.push.credentials,
            scope: &self.scope,
            in_the_clear: self.base.scheme() == "http",
            patience: self.patience(),
        };
        let header = Some(applicant.authorization(demand).await?);
        *pass = Pass { header, number: number + 1 };
        Ok(())
    }
}

fn unusable(reference: &Reference) -> Error {
    Error::Name { name: reference.to_string(), reason: "its registry is no address" }
}
