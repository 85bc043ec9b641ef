//! Files that differ between two builds of one plan and cannot be made equal, with the reasons. A run names those that its tree has.

use crate::error::{Result, go_on};
use rootstrap_rootfs::{Kind, Root};
use std::sync::atomic::AtomicBool;

const RANDOM: &str = "made from random numbers";
const DATABASE: &str = "a database with times and random numbers";
const FORMAT: &str = "a compiled format of TeX, with the time of the build and random hashes";
const COMPILED: &str = "compiled code, with random numbers";

/// A path and why it differs. A slash at the end means all that is below a directory.
const VARYING: &[(&str, &str)] = &[
    ("/etc/bind/rndc.key", RANDOM),
    ("/etc/ldap/slapd.d/", DATABASE),
    ("/etc/nvme/hostid", RANDOM),
    ("/etc/nvme/hostnqn", RANDOM),
    ("/etc/popularity-contest.conf", RANDOM),
    ("/etc/ssh/ssh_host_dsa_key", RANDOM),
    ("/etc/ssh/ssh_host_dsa_key.pub", RANDOM),
    ("/etc/ssh/ssh_host_ecdsa_key", RANDOM),
    ("/etc/ssh/ssh_host_ecdsa_key.pub", RANDOM),
    ("/etc/ssh/ssh_host_ed25519_key", RANDOM),
    ("/etc/ssh/ssh_host_ed25519_key.pub", RANDOM),
    ("/etc/ssh/ssh_host_rsa_key", RANDOM),
    ("/etc/ssh/ssh_host_rsa_key.pub", RANDOM),
    ("/etc/ssl/certs/ssl-cert-snakeoil.pem", RANDOM),
    ("/etc/ssl/private/ssl-cert-snakeoil.key", RANDOM),
    ("/usr/lib/mono/aot-cache/", COMPILED),
    ("/var/lib/inetsim/certs/", RANDOM),
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

/// Returns the paths of the table that a tree has, with the reasons. A directory counts if there is something in it.
pub(crate) fn varying_in(root: &Root, cancel: &AtomicBool) -> Result<Vec<(&'static str, &'static str)>> {
    let mut found = Vec::new();
    for &(path, reason) in VARYING {
        go_on(cancel)?;
        let name = path.trim_matches('/').as_bytes();
        let Some(metadata) = root.metadata(name)? else { continue };
        let is_there = match path.ends_with('/') {
            true => metadata.kind == Kind::Directory && !root.list(name)?.is_empty(),
            false => true,
        };
        if is_there {
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
        std::fs::create_dir_all(place.path().join("var/lib/mysql")).unwrap();
        std::fs::create_dir_all(place.path().join("etc/ssh")).unwrap();
        std::fs::write(place.path().join("etc/ssh/ssh_host_rsa_key.pub"), "").unwrap();
        let root = Root::open(place.path()).unwrap();
        let found = varying_in(&root, &AtomicBool::new(false)).unwrap();
        assert_eq!(found, [("/etc/ssh/ssh_host_rsa_key.pub", RANDOM), ("/var/lib/postgresql/", DATABASE)]);
        assert_eq!(varying("/var/lib/postgresql/17/main/pg_wal"), Some(DATABASE));
        for path in ["/var/lib/postgresql", "/var/lib/postgresql2/x", "/etc/ssh/ssh_host_rsa_key.pub.old"] {
            assert_eq!(varying(path), None, "{path}");
        }
    }
}
