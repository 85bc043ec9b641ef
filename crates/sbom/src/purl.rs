//! Package URLs (package-url/purl-spec, type `deb`) and the encoding of addresses.
//!
//! The crate `packageurl` does not fit: it changes capitals in names to lower case, and the names of such packages would no
//! longer match those in dpkg's database.

use crate::facts::{Facts, Package};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write;

/// Returns the URL of a binary package: `pkg:deb/VENDOR/NAME@VERSION?arch=ARCH&distro=VENDOR-RELEASE`.
///
/// The qualifier `upstream` names the source package if its name or version differs. The definition of the type `deb` does
/// not have it, but scanners look for it, because vendors publish their advisories by source package.
pub(crate) fn binary(facts: &Facts, package: &Package) -> String {
    let distro = match facts.vendor.as_str() {
        "" => facts.release().to_owned(),
        vendor => format!("{vendor}-{}", facts.release()),
    };
    let upstream = match (package.source == package.name, package.source_version == package.version) {
        (true, true) => None,
        (_, true) => Some(package.source.clone()),
        (_, false) => Some(format!("{}@{}", package.source, package.source_version)),
    };
    // The specification wants the keys in alphabetical order.
    let mut qualifiers = vec![("arch", package.architecture.as_str()), ("distro", &distro)];
    qualifiers.extend(upstream.iter().map(|upstream| ("upstream", upstream.as_str())));
    url(package, &package.name, &package.version, &qualifiers)
}

/// Returns the URL of the source package that a binary package was built from.
pub(crate) fn source(package: &Package) -> String {
    url(package, &package.source, &package.source_version, &[("arch", "source")])
}

fn url(package: &Package, name: &str, version: &str, qualifiers: &[(&str, &str)]) -> String {
    let encode = |text| utf8_percent_encode(text, ENCODED);
    let vendor = match package.vendor.as_str() {
        "" => String::new(),
        vendor => format!("{}/", encode(vendor)),
    };
    let mut url = format!("pkg:deb/{vendor}{}@{}", encode(name), encode(version));
    for (position, (key, value)) in qualifiers.iter().enumerate() {
        let separator = if position == 0 { '?' } else { '&' };
        // Writing to a string cannot fail.
        let _ = write!(url, "{separator}{key}={}", encode(value));
    }
    url
}

/// The characters that are encoded in each part of a package URL: all but letters, digits, `.-_~` and the colon.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~').remove(b':');

/// All characters that no URI may contain (RFC 3986). `%` may be part of an encoding already.
const ILLEGAL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'/')
    .remove(b'?')
    .remove(b'#')
    .remove(b'[')
    .remove(b']')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'%');

/// Returns the address of `path` below `base`. Characters that no URI may contain (RFC 3986) are percent-encoded.
#[must_use]
pub fn uri(base: &str, path: &str) -> String {
    utf8_percent_encode(&format!("{}/{path}", base.trim_end_matches('/')), ILLEGAL).to_string()
}

/// Returns `text` if it is an address that a browser can open: http or https, with a host and without illegal characters.
pub(crate) fn web(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let has_host = rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
    let is_legal = utf8_percent_encode(text, ILLEGAL).eq([text]);
    (has_host && is_legal).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// Names, versions and qualifiers are encoded as they always were, character by character.
    #[test]
    fn every_character_that_debian_allows_keeps_its_encoding() {
        let package = &fixture::facts().packages[0];
        let encode = |text: &str| -> String {
            let kept = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte);
            text.bytes().map(|b| if kept(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
        };
        for text in (b'a'..=b'z').chain(b'A'..=b'Z').chain(b'0'..=b'9').chain(*b".+-~:_").map(char::from) {
            let (text, encoded) = (format!("a{text}b"), encode(&format!("a{text}b")));
            let found = url(package, &text, &text, &[("arch", &text)]);
            assert_eq!(found, format!("pkg:deb/debian/{encoded}@{encoded}?arch={encoded}"));
        }
    }

    #[test]
    fn versions_and_names_are_encoded() {
        let mut package = fixture::facts().packages.remove(0);
        for (name, version, expect) in [
            ("a", "1.0-1", "pkg:deb/debian/a@1.0-1"),
            ("libstdc++6", "14.2.0-19+b1", "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1"),
            ("dash", "0.5.12-12~deb13u1", "pkg:deb/debian/dash@0.5.12-12~deb13u1"),
            ("passwd", "1:4.17.4-2", "pkg:deb/debian/passwd@1:4.17.4-2"),
            ("x_y", "2:1+é ?#", "pkg:deb/debian/x_y@2:1%2B%C3%A9%20%3F%23"),
        ] {
            assert_eq!(url(&package, name, version, &[]), expect);
        }
        package.vendor = String::new();
        assert_eq!(url(&package, "a", "1", &[]), "pkg:deb/a@1");
    }

    #[test]
    fn the_source_is_named_where_it_differs() {
        let facts = fixture::facts();
        let purls: Vec<String> = facts.packages.iter().map(|package| binary(&facts, package)).collect();
        assert_eq!(
            purls,
            [
                "pkg:deb/debian/base-files@13.8?arch=amd64&distro=debian-13",
                "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc",
                "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1?arch=amd64&distro=debian-13&upstream=gcc-14%4014.2.0-19",
                "pkg:deb/debian/libc-bin@2.41-12?arch=all&distro=debian-13&upstream=glibc",
            ]
        );
        assert_eq!(source(&facts.packages[2]), "pkg:deb/debian/gcc-14@14.2.0-19?arch=source");
        let rolling = Facts { version: String::new(), codename: "rolling".into(), vendor: "kali".into(), ..facts };
        let mut package = rolling.packages[0].clone();
        package.vendor = "docker-ce".into();
        let text = binary(&rolling, &package);
        assert_eq!(text, "pkg:deb/docker-ce/base-files@13.8?arch=amd64&distro=kali-rolling");
    }

    #[test]
    fn addresses() {
        assert_eq!(uri("http://m.example/debian/", "pool/a_1+b~2.deb"), "http://m.example/debian/pool/a_1+b~2.deb");
        assert_eq!(uri("file:/srv/a b", "x\"y%3a"), "file:/srv/a%20b/x%22y%3a");
        for good in ["https://a.example", "http://[::1]/x", "http://a.example/~b?c=d#e"] {
            assert_eq!(web(good), Some(good));
        }
        for bad in [
            "",
            "a.example",
            "ftp://a.example",
            "http://",
            "http:///x",
            "http://a b",
            "https://a.example/<x>",
            "http://bücher.example",
        ] {
            assert_eq!(web(bad), None, "{bad}");
        }
    }
}
