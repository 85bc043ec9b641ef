//! Authorization: HTTP's Basic, and the tokens of the distribution project ("Token Authentication").

use crate::clients::Clients;
use crate::credentials::Credentials;
use crate::error::Fault;
use crate::limits;
use crate::response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Client, Method, RequestBuilder, Url};
use http_auth::parser::ChallengeParser;
use rootstrap_http as http;
use serde_json::Value;
use std::time::Duration;

/// The name of this program for token servers.
const CLIENT_ID: &str = "rootstrap";

/// How a registry wants the user to authenticate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

/// Answers a registry's challenge.
pub(crate) struct Authenticator<'a> {
    pub clients: &'a Clients,
    pub credentials: &'a Credentials,
    /// What to ask permission for: `repository:NAME:pull,push`.
    pub scope: &'a str,
    /// How long a token server may take to answer.
    pub timeout: Duration,
}

impl Authenticator<'_> {
    /// Returns the value of `Authorization` that answers the challenge in the headers of an answer with status 401.
    pub async fn authorization(&self, headers: &HeaderMap) -> Result<HeaderValue, Fault> {
        let text = match (challenge(headers), self.credentials) {
            (Some(Challenge::Basic), Credentials::Password { username, password }) => {
                http_auth::basic::encode_credentials(username, password)
            }
            (Some(Challenge::Basic), _) => return Err(unauthorized("a user name and a password are needed")),
            (Some(Challenge::Bearer { realm, service }), _) => {
                format!("Bearer {}", self.token(&realm, service.as_deref()).await?)
            }
            (None, _) => return Err(unauthorized("the registry asks for it in an unknown way")),
        };
        let mut value =
            HeaderValue::try_from(text).map_err(|_| unauthorized("the credentials cannot be written in a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Result<String, Fault> {
        let realm = Url::parse(realm).map_err(|_| Fault::Protocol("names no address where it gives out tokens"))?;
        match realm.scheme() {
            "https" => (),
            // A registry without encryption may have a token server without it.
            "http" if self.clients.is_unencrypted() => (),
            _ => return Err(Fault::Protocol("wants a password sent without encryption")),
        }
        let client = self.clients.client(&realm);
        let failed = |error| self.clients.fault(&realm, error);
        let request = self.token_request(client, realm.clone(), service);
        let response = client.send_within(self.timeout, request).await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(match response::fault(response, self.credentials).await {
                Fault::Denied(message) => Fault::Unauthorized(message),
                fault => fault,
            });
        }
        let answer = response.read(limits::ANSWER).await.map_err(failed)?;
        token_in(&answer).ok_or(Fault::Protocol("gives out no token where it said it would"))
    }

    fn token_request(&self, client: &Client, realm: Url, service: Option<&str>) -> RequestBuilder {
        let service = service.map(|service| ("service", service));
        let common = service.into_iter().chain([("scope", self.scope)]);
        match self.credentials {
            Credentials::Anonymous => client.request(Method::GET, with_query(realm, common)),
            Credentials::Password { username, password } => {
                let url = with_query(realm, common.chain([("account", username.as_str())]));
                client.request(Method::GET, url).basic_auth(username, Some(password))
            }
            Credentials::IdentityToken(token) => {
                let grant =
                    [("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", token.as_str())];
                // The body of a form is written like a query.
                let mut form = realm.clone();
                form.set_query(None);
                let form = with_query(form, common.chain(grant)).query().unwrap_or_default().to_owned();
                client.request(Method::POST, realm).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
        }
    }
}

/// Returns the token in the answer of a token server.
pub(crate) fn token_in(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let field = |name| answer.get(name)?.as_str().filter(|token| !token.is_empty());
    field("token").or_else(|| field("access_token")).map(str::to_owned)
}

fn unauthorized(reason: &str) -> Fault {
    Fault::Unauthorized(reason.to_owned())
}

fn with_query<'a>(mut url: Url, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Url {
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

/// Returns the challenge to answer. One for a token is preferred to one for a password.
pub(crate) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let known = texts.flat_map(|text| ChallengeParser::new(text).map_while(Result::ok)).filter_map(|challenge| {
        let parameter = |name: &str| {
            let mut all = challenge.params.iter();
            Some(all.find(|(key, _)| key.eq_ignore_ascii_case(name))?.1.to_unescaped())
        };
        match challenge.scheme.to_ascii_lowercase().as_str() {
            "basic" => Some(Challenge::Basic),
            "bearer" => Some(Challenge::Bearer { realm: parameter("realm")?, service: parameter("service") }),
            _ => None,
        }
    });
    known.reduce(|best, other| if best == Challenge::Basic { other } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (lines, best) in [
            (vec![r#"Bearer realm="https://a/t",service="s",scope="x""#], bearer("https://a/t", Some("s"))),
            (vec![r#"bearer Realm="https://a/t""#], bearer("https://a/t", None)),
            (vec!["Basic realm=\"r\""], Some(Challenge::Basic)),
            (vec!["Basic realm=\"r\", Bearer realm=\"https://a/t\""], bearer("https://a/t", None)),
            (vec!["Bearer realm=\"https://a/t\"", "Basic realm=\"r\""], bearer("https://a/t", None)),
            (vec!["Bearer service=\"s\"", "Digest realm=\"r\", nonce=\"n\""], None),
            (vec!["\"nonsense"], None),
            (vec![], None),
        ] {
            let headers = lines.iter().map(|line| (WWW_AUTHENTICATE, line.parse().unwrap())).collect();
            assert_eq!(challenge(&headers), best, "{lines:?}");
        }
    }
}
