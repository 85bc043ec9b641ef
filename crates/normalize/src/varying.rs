//! What differs between two builds of one plan, whatever is done, and why. A run names what its tree has of this.

use crate::error::{Result, go_on};
use rootstrap_rootfs::Root;
use std::sync::atomic::AtomicBool;

const KEY: &str = "a random key of this machine";
const DATABASE: &str = "a database with times and random numbers";
const FORMAT: &str = "a format of TeX itself, with the date and hashes";

/// A path and why it differs. A slash at the end means all that is below a directory.
const VARYING: &[(&str, &str)] = &[
    ("/etc/bind/rndc.key", KEY),
    ("/etc/ldap/slapd.d/", DATABASE),
    ("/etc/ssh/ssh_host_dsa_key", KEY),
    ("/etc/ssh/ssh_host_dsa_key.pub", KEY),
    ("/etc/ssh/ssh_host_ecdsa_key", KEY),
    ("/etc/ssh/ssh_host_ecdsa_key.pub", KEY),
    ("/etc/ssh/ssh_host_ed25519_key", KEY),
    ("/etc/ssh/ssh_host_ed25519_key.pub", KEY),
    ("/etc/ssh/ssh_host_rsa_key", KEY),
    ("/etc/ssh/ssh_host_rsa_key.pub", KEY),
    ("/etc/ssl/certs/ssl-cert-snakeoil.pem", KEY),
    ("/etc/ssl/private/ssl-cert-snakeoil.key", KEY),
    ("/var/lib/ldap/", DATABASE),
    ("/var/lib/mysql/", DATABASE),
    ("/var/lib/postgresql/", DATABASE),
    ("/var/lib/texmf/web2c/luahbtex/", FORMAT),
    ("/var/lib/texmf/web2c/luatex/", FORMAT),
    ("/var/lib/texmf/web2c/tex/", FORMAT),
];

/// Returns why what is at this absolute path of a root may differ from build to build; `None` if it may not.
#[must_use]
pub fn varying(path: &str) -> Option<&'static str> {
    let covers = |known: &str| if known.ends_with('/') { path.starts_with(known) } else { path == known };
    VARYING.iter().find(|(known, _)| covers(known)).map(|(_, reason)| *reason)
}

/// Returns what of that is in a tree, as absolute paths with the reasons.
///
/// # Errors
/// The tree cannot be read, or `cancel` was set.
pub fn varying_in(root: &Root, cancel: &AtomicBool) -> Result<Vec<(&'static str, &'static str)>> {
    let mut found = Vec::new();
    for &(path, reason) in VARYING {
        go_on(cancel)?;
        if root.metadata(path.trim_matches('/').as_bytes())?.is_some() {
            found.push((path, reason));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_told_what_differs_in_it() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("var/lib/postgresql/17")).unwrap();
        std::fs::create_dir_all(place.path().join("etc/ssh")).unwrap();
        std::fs::write(place.path().join("etc/ssh/ssh_host_rsa_key.pub"), "").unwrap();
        let root = Root::open(place.path()).unwrap();
        let found = varying_in(&root, &AtomicBool::new(false)).unwrap();
        assert_eq!(found, [("/etc/ssh/ssh_host_rsa_key.pub", KEY), ("/var/lib/postgresql/", DATABASE)]);
        assert_eq!(varying("/var/lib/postgresql/17/main/pg_wal"), Some(DATABASE));
        for path in ["/var/lib/postgresql", "/var/lib/postgresql2/x", "/etc/ssh/ssh_host_rsa_key.pub.old"] {
            assert_eq!(varying(path), None, "{path}");
        }
    }
}
