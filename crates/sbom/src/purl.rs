//! Package URLs (package-url/purl-spec, type `deb`) and the encoding of addresses.

use crate::{Facts, Package};
use std::fmt::Write;

/// Of a binary package: `pkg:deb/VENDOR/NAME@VERSION?arch=ARCH&distro=VENDOR-RELEASE`.
///
/// `upstream` names the source package where that differs from it. It is not part of the type's definition, but it is what
/// scanners look for: vendors publish their advisories by source package.
pub(crate) fn binary(facts: &Facts, package: &Package) -> String {
    let distro = match facts.vendor.as_str() {
        "" => encode(facts.release()),
        vendor => encode(&format!("{vendor}-{}", facts.release())),
    };
    let arch = encode(&package.architecture);
    let mut text = format!("{}?arch={arch}&distro={distro}", bare(facts, &package.name, &package.version));
    let upstream = match (package.source == package.name, package.source_version == package.version) {
        (true, true) => return text,
        (_, true) => encode(&package.source),
        (_, false) => encode(&format!("{}@{}", package.source, package.source_version)),
    };
    let _ = write!(text, "&upstream={upstream}");
    text
}

/// Of the source package it was built from.
pub(crate) fn source(facts: &Facts, package: &Package) -> String {
    format!("{}?arch=source", bare(facts, &package.source, &package.source_version))
}

fn bare(facts: &Facts, name: &str, version: &str) -> String {
    let vendor = match facts.vendor.as_str() {
        "" => String::new(),
        vendor => encode(vendor) + "/",
    };
    format!("pkg:deb/{vendor}{}@{}", encode(name), encode(version))
}

/// Everything but letters, digits, `.-_~` and the colon is percent-encoded.
fn encode(text: &str) -> String {
    escape(text, |byte| byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte))
}

/// The address of `path` below `base`. What no URI may contain (RFC 3986) is percent-encoded.
#[must_use]
pub fn uri(base: &str, path: &str) -> String {
    escape(&format!("{}/{path}", base.trim_end_matches('/')), is_legal)
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn escape(text: &str, keep: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if keep(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Where a browser can go: an address of the web without anything that would make it none.
pub(crate) fn web(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let host = rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
    (host && text.bytes().all(is_legal)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn versions_and_names_are_encoded() {
        let mut facts = fixture::facts();
        for (name, version, expect) in [
            ("a", "1.0-1", "pkg:deb/debian/a@1.0-1"),
            ("libstdc++6", "14.2.0-19+b1", "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1"),
            ("dash", "0.5.12-12~deb13u1", "pkg:deb/debian/dash@0.5.12-12~deb13u1"),
            ("passwd", "1:4.17.4-2", "pkg:deb/debian/passwd@1:4.17.4-2"),
            ("x_y", "2:1+é ?#", "pkg:deb/debian/x_y@2:1%2B%C3%A9%20%3F%23"),
        ] {
            assert_eq!(bare(&facts, name, version), expect);
        }
        facts.vendor = String::new();
        assert_eq!(bare(&facts, "a", "1"), "pkg:deb/a@1");
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
        assert_eq!(source(&facts, &facts.packages[2]), "pkg:deb/debian/gcc-14@14.2.0-19?arch=source");
        let rolling = Facts { version: String::new(), codename: "rolling".into(), vendor: "kali".into(), ..facts };
        let text = binary(&rolling, &rolling.packages[0]);
        assert_eq!(text, "pkg:deb/kali/base-files@13.8?arch=amd64&distro=kali-rolling");
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
