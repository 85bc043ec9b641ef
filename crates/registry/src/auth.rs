//! How to prove who pushes: HTTP's Basic, and the tokens of the distribution project ("Token Authentication").

use crate::answer;
use crate::credentials::Credentials;
use crate::error::Fault;
use crate::http::within;
use http_auth::parser::ChallengeParser;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Url};
use serde_json::Value;
use std::time::Duration;

/// How this program calls itself to servers that give out tokens.
const CLIENT_ID: &str = "rootstrap";

/// A registry's demand.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

/// What is known when a registry makes a demand.
pub(crate) struct Applicant<'a> {
    pub client: &'a Client,
    pub credentials: &'a Credentials,
    /// What is to be allowed: `repository:NAME:pull,push`.
    pub scope: &'a str,
    /// Whether the registry is spoken to without encryption, so that this holds for its tokens too.
    pub in_the_clear: bool,
    /// How long to wait for an answer.
    pub patience: Duration,
}

impl Applicant<'_> {
    /// What to put into `Authorization` from now on, by the demands in the headers of an answer with status 401.
    pub async fn authorization(&self, headers: &HeaderMap) -> Result<HeaderValue, Fault> {
        let text = match (challenge(headers), self.credentials) {
            (Some(Challenge::Basic), Credentials::Password { username, password }) => {
                http_auth::basic::encode_credentials(username, password)
            }
            (Some(Challenge::Basic), _) => return Err(unauthorized("a user name and a password are needed")),
            (Some(Challenge::Bearer { realm, service }), _) => {
                format!("Bearer {}", self.token(&realm, service.as_deref()).await?)
            }
            (None, _) => return Err(unauthorized("the registry asks for it in no way that is known")),
        };
        let mut value =
            HeaderValue::try_from(text).map_err(|_| unauthorized("what it takes cannot stand in a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Result<String, Fault> {
        let realm = Url::parse(realm).map_err(|_| Fault::Protocol("names no address where it gives out tokens"))?;
        match realm.scheme() {
            "https" => (),
            "http" if self.in_the_clear => (),
            _ => return Err(Fault::Protocol("wants a password sent without encryption")),
        }
        let request = self.token_request(realm, service);
        let response = within(self.patience, request.send()).await?;
        if !response.status().is_success() {
            return Err(match answer::refusal(response, self.patience, self.credentials).await {
                Fault::Denied(words) => Fault::Unauthorized(words),
                fault => fault,
            });
        }
        let answer = answer::body(response, self.patience).await?;
        let answer: Option<Value> = serde_json::from_slice(&answer).ok();
        let field = |name| answer.as_ref()?.get(name)?.as_str().filter(|token| !token.is_empty());
        let token = field("token").or_else(|| field("access_token"));
        token.map(str::to_owned).ok_or(Fault::Protocol("gives out no token where it said it would"))
    }

    fn token_request(&self, realm: Url, service: Option<&str>) -> RequestBuilder {
        let service = service.map(|service| ("service", service));
        let common = service.into_iter().chain([("scope", self.scope)]);
        match self.credentials {
            Credentials::Anonymous => self.client.get(with_query(realm, common)),
            Credentials::Password { username, password } => {
                let url = with_query(realm, common.chain([("account", username.as_str())]));
                self.client.get(url).basic_auth(username, Some(password))
            }
            Credentials::IdentityToken(token) => {
                let grant =
                    [("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", token.as_str())];
                // A form is a query by another name.
                let mut form = realm.clone();
                form.set_query(None);
                let form = with_query(form, common.chain(grant)).query().unwrap_or_default().to_owned();
                self.client.post(realm).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
        }
    }
}

fn unauthorized(reason: &str) -> Fault {
    Fault::Unauthorized(reason.to_owned())
}

fn with_query<'a>(mut url: Url, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Url {
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

/// The best of the demands that can be met: a token rather than a password.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
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
    fn the_best_demand_is_met() {
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
