//! The proxies of the environment, and apt's where the environment has none.

use rootstrap_debian::apt_conf;
use rootstrap_http::Proxies;

/// Returns the proxies to use. `variable` looks up a variable of the environment; `apt` has the texts of apt's configuration files in
/// the order in which apt reads them. apt's `Acquire::http::Proxy` counts only for a scheme that the environment does not set;
/// `DIRECT` means no proxy (apt-transport-http(1)). For https, apt takes `Acquire::https::Proxy` if it is set, else the one for http
/// (apt-transport-https(1)).
#[must_use]
pub fn proxies(variable: &dyn Fn(&str) -> Option<String>, apt: &[&str]) -> Proxies {
    let from_environment = Proxies::from_environment(variable);
    let set_in_apt = |scheme: &str| {
        let value = apt_conf::value(apt.iter().copied(), &format!("Acquire::{scheme}::Proxy"));
        value.filter(|value| !value.is_empty())
    };
    let is_proxy = |value: &String| !value.eq_ignore_ascii_case("direct");
    if from_environment.all.is_some() {
        return from_environment;
    }
    Proxies {
        http: from_environment.http.or_else(|| set_in_apt("http").filter(is_proxy)),
        https: from_environment.https.or_else(|| set_in_apt("https").or_else(|| set_in_apt("http")).filter(is_proxy)),
        ..from_environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_counts_before_apt() {
        let apt =
            ["Acquire { http { Proxy \"http://apt.example:3142\"; }; };\n", "acquire::HTTPS::proxy \"DIRECT\";\n"];
        let none = |_: &str| None;
        let found = proxies(&none, &apt);
        assert_eq!((found.http.as_deref(), found.https), (Some("http://apt.example:3142"), None));
        let http = |name: &str| (name == "http_proxy").then(|| "http://own.example".to_owned());
        assert_eq!(proxies(&http, &apt).http.as_deref(), Some("http://own.example"));
        let all = |name: &str| (name == "all_proxy").then(|| "http://all.example".to_owned());
        assert_eq!(proxies(&all, &apt).http, None, "all_proxy serves every scheme");
    }

    #[test]
    fn https_takes_what_apt_would_take() {
        let none = |_: &str| None;
        let http = "Acquire::http::Proxy \"http://apt.example:3142\";\n";
        for (more, expect) in [
            ("", Some("http://apt.example:3142")),
            ("Acquire::https::Proxy \"\";\n", Some("http://apt.example:3142")),
            ("Acquire::https::Proxy \"http://other.example\";\n", Some("http://other.example")),
            ("Acquire::https::Proxy \"DIRECT\";\n", None),
        ] {
            assert_eq!(proxies(&none, &[http, more]).https.as_deref(), expect, "{more}");
        }
        assert_eq!(proxies(&none, &["Acquire::http::Proxy \"DIRECT\";\n"]).https, None);
        let own = |name: &str| (name == "https_proxy").then(String::new);
        assert_eq!(proxies(&own, &[http]).https.as_deref(), Some(""), "the environment asks for none");
    }
}
