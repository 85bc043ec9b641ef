//! Files with logins: apt's auth.conf (apt_auth.conf(5)) and netrc, whose format that is.

use crate::error::ParseError;
use std::fmt;

/// A login, and the addresses that it is for. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// `http` or `https`.
    scheme: String,
    host: String,
    /// Any port if `None`.
    port: Option<u16>,
    /// What the path of the address begins with.
    path: String,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, path, user, password: _ } = self;
        write!(f, "Login({user} at {scheme}://{host}:{port:?}{path})")
    }
}

impl Login {
    /// Whether it is for an address. `port` is the one that the address means, also if it does not name it.
    #[must_use]
    pub fn fits(&self, scheme: &str, host: &str, port: Option<u16>, path: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
            && self.host.eq_ignore_ascii_case(host)
            && self.port.is_none_or(|own| Some(own) == port)
            && path.starts_with(&self.path)
    }

    /// Takes `[SCHEME://]HOST[:PORT][/PATH]` apart. Without a scheme it means https alone, so that no password goes over the network
    /// unencrypted unless somebody says so.
    fn of_machine(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // The colons of an IPv6 address are in brackets.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
            _ => (place, None),
        };
        let is_usable = !host.is_empty() && !host.contains('@');
        let own = str::to_owned;
        let (user, password) = (String::new(), String::new());
        is_usable.then(|| Self { scheme: own(scheme), host: own(host), port, path: own(path), user, password })
    }
}

/// Parses a file. Lines that begin with `#` are comments, unknown words are left out, and so are a `default` and macros, which are for
/// ftp(1).
///
/// # Errors
/// A machine is no host, has a value that is missing, or has no login.
pub fn parse(text: &str) -> Result<Vec<Login>, ParseError> {
    let bad = |why: String| ParseError::new("file of logins", why);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    let mut logins: Vec<Login> = Vec::new();
    let mut is_for_machine = false;
    while let Some(word) = words.next() {
        match word {
            "machine" => {
                let name = words.next().ok_or_else(|| bad("the last machine has no name".to_owned()))?;
                let login = Login::of_machine(name).ok_or_else(|| bad(format!("the machine {name} is no host")))?;
                logins.push(login);
                is_for_machine = true;
            }
            // What follows is not for the machine before it.
            "default" | "macdef" => is_for_machine = false,
            "login" | "password" | "account" => {
                let value = words.next();
                let Some(login) = logins.last_mut().filter(|_| is_for_machine) else { continue };
                let value = value.ok_or_else(|| bad(format!("the {word} of {} is missing", login.host)))?;
                match word {
                    "login" => value.clone_into(&mut login.user),
                    "password" => value.clone_into(&mut login.password),
                    _ => (),
                }
            }
            _ => (),
        }
    }
    match logins.iter().find(|login| login.user.is_empty()) {
        Some(login) => Err(bad(format!("the machine {} has no login", login.host))),
        None => Ok(logins),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a file with one machine has a login for an address.
    fn fits(machine: &str, uri: (&str, &str, u16, &str)) -> bool {
        let (scheme, host, port, path) = uri;
        let login = parse(&format!("machine {machine} login me password secret")).unwrap().remove(0);
        login.fits(scheme, host, Some(port), path)
    }

    /// The examples of apt_auth.conf(5).
    #[test]
    fn machines_are_hosts_with_port_and_path() {
        let debian = ("https", "example.org", 443, "/debian/dists/x/InRelease");
        for machine in
            ["example.org", "example.org/deb", "example.org/debian", "EXAMPLE.org/debian/", "https://example.org:443"]
        {
            assert!(fits(machine, debian), "{machine}");
        }
        for machine in [
            "example.org:8443",
            "example.org/deb/",
            "example.org/ubuntu",
            "example.orga",
            "example.net",
            "http://example.org",
        ] {
            assert!(!fits(machine, debian), "{machine}");
        }
        let plain = ("http", "example.org", 80, "/debian");
        assert!(!fits("example.org", plain) && fits("http://example.org", plain));
        assert!(fits("[::1]:8443", ("https", "[::1]", 8443, "/")) && fits("[::1]", ("https", "[::1]", 443, "/")));
    }

    #[test]
    fn files_have_words_in_any_lines() {
        let text = "# machine old.example login x password y\nmachine a.example\nlogin me account z\n\npassword p#1\n\
                    machine b.example login you unknown\ndefault login anonymous password guest\nmacdef init\nmachine c.example login c\n";
        let found = parse(text).unwrap();
        let words: Vec<_> = found.iter().map(|it| (&*it.host, &*it.user, &*it.password)).collect();
        assert_eq!(words, [("a.example", "me", "p#1"), ("b.example", "you", ""), ("c.example", "c", "")]);
        assert!(!format!("{found:?}").contains("p#1"));
    }

    #[test]
    fn damaged_files_are_refused() {
        for (text, why) in [
            ("machine", "the last machine has no name"),
            ("machine a.example login", "the login of a.example is missing"),
            ("machine a.example password p", "the machine a.example has no login"),
            ("machine me:p@a.example login x", "is no host"),
            ("machine a.example:port login x", "is no host"),
            ("machine /path login x", "is no host"),
        ] {
            assert!(parse(text).unwrap_err().to_string().contains(why), "{text}");
        }
        assert_eq!(parse(""), Ok(Vec::new()));
    }
}
