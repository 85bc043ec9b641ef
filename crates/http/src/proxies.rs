//! Which proxy a request goes through.

use crate::error::SetupError;
use crate::redact;
use reqwest::{NoProxy, Proxy, Url};

/// The schemes that a proxy's address can have.
const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The addresses of proxies, for example `http://proxy.example:3128` or `socks5h://proxy.example`. An address without a
/// scheme means `http://`. An empty string means no proxy: for its scheme, [`Self::all`] is then not used either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For requests to `http:` addresses.
    pub http: Option<String>,
    /// For requests to `https:` addresses.
    pub https: Option<String>,
    /// For requests of a scheme whose own field is `None`.
    pub all: Option<String>,
    /// Hosts to reach directly, separated by commas: names with their subdomains, addresses, networks (`10.0.0.0/8`), or
    /// `*` for all.
    pub no_proxy: Option<String>,
}

impl Proxies {
    /// Reads the variables that curl(1) documents: `http_proxy`, and `https_proxy`, `all_proxy` and `no_proxy` in lower
    /// case, else in upper case. `variable` looks one up.
    ///
    /// `HTTP_PROXY` is not read: a web server sets it from a request's `Proxy` header when it starts a CGI program, so a
    /// stranger could choose it.
    #[must_use]
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
        Self {
            http: variable("http_proxy"),
            https: either("https_proxy"),
            all: either("all_proxy"),
            no_proxy: either("no_proxy"),
        }
    }

    /// Returns the first proxy to which connections are encrypted, redacted.
    pub(crate) fn first_encrypted(&self) -> Option<String> {
        let is_encrypted = |address: &&String| {
            address.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https"))
        };
        [&self.http, &self.https, &self.all].into_iter().flatten().find(is_encrypted).map(|uri| redact::userinfo(uri))
    }

    /// The proxies in the HTTP library's form.
    pub(crate) fn to_reqwest(&self) -> Result<Vec<Proxy>, SetupError> {
        let http: fn(Url) -> reqwest::Result<Proxy> = Proxy::http;
        let mut proxies = Vec::new();
        for (address, new) in [(&self.http, http), (&self.https, Proxy::https)] {
            let Some(address) = address.as_ref().or(self.all.as_ref()).filter(|address| !address.is_empty()) else {
                continue;
            };
            let refused = |reason: String| SetupError::Proxy { uri: redact::unparsable(address), reason };
            let proxy =
                new(parse(address).map_err(refused)?).map_err(|error| refused(error.without_url().to_string()))?;
            proxies.push(proxy.no_proxy(self.no_proxy.as_deref().and_then(NoProxy::from_string)));
        }
        Ok(proxies)
    }
}

/// Parses a proxy's address. The reason of a failure does not contain the address.
fn parse(address: &str) -> Result<Url, String> {
    let url = match address.split_once("://") {
        Some((scheme, _)) if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) => Url::parse(address),
        Some(_) => return Err(format!("its scheme is none of {}", SCHEMES.join(", "))),
        None => Url::parse(&format!("http://{address}")),
    };
    match url {
        Ok(url) if url.has_host() => Ok(url),
        Ok(_) => Err("it names no host".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_reqwest(address: &str) -> Result<Vec<Proxy>, SetupError> {
        Proxies { all: Some(address.to_owned()), ..Proxies::default() }.to_reqwest()
    }

    #[test]
    fn addresses_of_proxies_need_no_scheme() {
        for (address, url) in [
            ("proxy.example:3128", "http://proxy.example:3128/"),
            ("proxy", "http://proxy/"),
            ("127.0.0.1:3128", "http://127.0.0.1:3128/"),
            ("me:secret@proxy:3128", "http://me:secret@proxy:3128/"),
            ("HTTPS://proxy.example", "https://proxy.example/"),
            ("socks5h://proxy.example", "socks5h://proxy.example"),
        ] {
            assert_eq!(parse(address).unwrap().as_str(), url, "{address}");
            assert_eq!(to_reqwest(address).unwrap().len(), 2, "{address}");
        }
    }

    #[test]
    fn wrong_addresses_are_refused_without_their_password() {
        for address in [
            "ftp://me:secret@proxy",
            "http://me:secret@",
            "me:secret@proxy:port",
            "http://me:se/secret@proxy:3128",
            "http://me:se#secret@proxy:3128",
            "socks5://",
        ] {
            let error = to_reqwest(address).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn encrypted_proxies_are_found() {
        let encrypted = |https: &str| Proxies { https: Some(https.to_owned()), ..Proxies::default() }.first_encrypted();
        assert_eq!(encrypted("HTTPS://me:secret@proxy").as_deref(), Some("HTTPS://proxy"));
        assert_eq!((encrypted("http://proxy"), encrypted("proxy:3128")), (None, None));
    }

    #[test]
    fn an_empty_address_is_no_proxy() {
        assert!(to_reqwest("").unwrap().is_empty());
        let proxies = Proxies { http: Some(String::new()), all: Some("proxy".to_owned()), ..Proxies::default() };
        assert_eq!(proxies.to_reqwest().unwrap().len(), 1, "only https");
    }

    #[test]
    fn the_environment_names_proxies() {
        let read = |variables: &[(&str, &str)]| {
            let find =
                |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Proxies::from_environment(&find)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(&[("HTTP_PROXY", "stranger")]), Proxies::default());
        let expect = Proxies { http: some("a"), https: some("b"), all: some("c"), no_proxy: some("d") };
        assert_eq!(read(&[("http_proxy", "a"), ("HTTPS_PROXY", "b"), ("ALL_PROXY", "c"), ("NO_PROXY", "d")]), expect);
        let both = read(&[("https_proxy", "b"), ("HTTPS_PROXY", "x"), ("all_proxy", "c"), ("ALL_PROXY", "x")]);
        assert_eq!((both.https, both.all), (some("b"), some("c")));
    }
}
