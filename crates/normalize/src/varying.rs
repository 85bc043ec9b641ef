//! Files that can differ between two builds of one plan and cannot be made equal, with the reasons. A run names those that its tree has.

use crate::error::{Result, go_on};
use rootstrap_rootfs::{Kind, Root};
use std::sync::atomic::AtomicBool;

const RANDOM: &str = "made from random numbers";
const DATABASE: &str = "a database with times and random numbers";
const FORMAT: &str = "a compiled format of TeX, with the time of the build and random hashes";
const READDIR: &str = "names in the order of readdir(3), which the filesystem decides";
const ENDED: &str = "made from the day on which the suite's support ends";
const LINKED: &str = "fractions of the second at which scripts made links to pages, in some suites";
const COMPILED: &str = "compiled code, with random numbers";
const DATED: &str = "text with the time of the build";
const GZIP: &str = "compressed by gzip, which writes the time of the build";
const THREADS: &str = "compressed by several threads, in no order";
const INODES: &str = "numbers and times of files, which the filesystem decides";
const HASHED: &str = "entries in the order of a hash table, which is random";
const LINK_ADDRESS: &str = "an identifier made from the time of the build and the address of a network interface";
const COPIED: &str = "digests of configuration files, those of this list among them";

/// A path and why it can differ. A slash at the end means all that is below a directory, and a star stands for any text, slashes too.
const VARYING: &[(&str, &str)] = &[
    ("/etc/aliases.db", DATABASE),
    ("/etc/apt/preferences.d/ubuntu-esm-infra", ENDED),
    ("/etc/apt/sources.list.d/ubuntu-esm-infra.list", ENDED),
    ("/etc/apt/trusted.gpg.d/ubuntu-advantage-esm-*", ENDED),
    ("/etc/backuppc/htpasswd", RANDOM),
    ("/etc/bacula/", RANDOM),
    ("/etc/bdii/bdii-slapd.conf", RANDOM),
    ("/etc/bdii/bdii-top-slapd.conf", RANDOM),
    ("/etc/bind/rndc.key", RANDOM),
    ("/etc/brlapi.key", RANDOM),
    ("/etc/corosync/qnetd/nssdb/", RANDOM),
    ("/etc/courier/*.pem", RANDOM),
    ("/etc/cron.d/popularity-contest", RANDOM),
    ("/etc/cron.d/sendmail", DATED),
    ("/etc/curvedns/", RANDOM),
    ("/etc/dbconfig-common/", RANDOM),
    ("/etc/default/ddclient", DATED),
    ("/etc/default/dhcpy6d", LINK_ADDRESS),
    ("/etc/dropbear/dropbear_*", RANDOM),
    ("/etc/ejabberd/ejabberd.pem", RANDOM),
    ("/etc/fence_virt.key", RANDOM),
    ("/etc/firebird/3.0/SYSDBA.password", RANDOM),
    ("/etc/grid-security/certificates/ARC-TestCA-*", RANDOM),
    ("/etc/grid-security/testCA-host*", RANDOM),
    ("/etc/init.d/.depend.*", READDIR),
    ("/etc/ircd-hybrid/key/", RANDOM),
    ("/etc/lava-server/settings.d/00-secret-key.yaml", RANDOM),
    ("/etc/ldap/slapd.d/", DATABASE),
    ("/etc/mail/Makefile", DATED),
    ("/etc/mail/access.db", DATABASE),
    ("/etc/mail/aliases.db", DATABASE),
    ("/etc/mail/databases", DATED),
    ("/etc/mail/sendmail.cf", DATED),
    ("/etc/mail/submit.cf", DATED),
    ("/etc/mail/tls/", RANDOM),
    ("/etc/miniflux/database", RANDOM),
    ("/etc/nsd/nsd_*", RANDOM),
    ("/etc/nvme/hostid", RANDOM),
    ("/etc/nvme/hostnqn", RANDOM),
    ("/etc/popularity-contest.conf", RANDOM),
    ("/etc/postsrsd.secret", RANDOM),
    ("/etc/puppetdb/conf.d/database.ini", RANDOM),
    ("/etc/redmine/default/secret_key.txt", RANDOM),
    ("/etc/roundcube/config.inc.php", RANDOM),
    ("/etc/roundcube/debian-db.php", RANDOM),
    ("/etc/sasldb2", DATABASE),
    ("/etc/schleuder/", RANDOM),
    ("/etc/ssh/ssh_host_*", RANDOM),
    ("/etc/ssl/certs/ssl-cert-snakeoil.pem", RANDOM),
    ("/etc/ssl/private/ssl-cert-snakeoil.key", RANDOM),
    ("/etc/tmate-ssh-server/keys/", RANDOM),
    ("/etc/tripwire/", RANDOM),
    ("/etc/tt-rss/database.php", RANDOM),
    ("/root/.rnd", RANDOM),
    ("/usr/lib/mono/aot-cache/", COMPILED),
    ("/usr/lib/pypy3*.pyc", COMPILED),
    ("/usr/share/cmigemo/", HASHED),
    ("/usr/share/doc/ghc-doc/html/libraries/doc-index*", READDIR),
    ("/usr/share/emacs/site-lisp/elpa/*Install.log.gz", GZIP),
    ("/usr/share/mira/mhs/", THREADS),
    ("/usr/share/octave/octave_packages", DATED),
    ("/var/cache/man/index.db", LINKED),
    ("/var/cache/redmine/default/public/assets/.manifest.json", READDIR),
    ("/var/lib/dbconfig-common/sqlite3/", DATABASE),
    ("/var/lib/doc-base/info/files.yml", DATED),
    ("/var/lib/firebird/3.0/system/security3.fdb", DATABASE),
    ("/var/lib/ghc/package.conf.d/package.cache", READDIR),
    ("/var/lib/inetsim/certs/", RANDOM),
    ("/var/lib/ldap/", DATABASE),
    ("/var/lib/mysql/", DATABASE),
    ("/var/lib/postgresql/", DATABASE),
    ("/var/lib/quassel/quasselCert.pem", RANDOM),
    ("/var/lib/rkhunter/db/rkhunter.dat", INODES),
    ("/var/lib/schleuder/db.sqlite", DATABASE),
    ("/var/lib/texmf/web2c/luahbtex/", FORMAT),
    ("/var/lib/texmf/web2c/luatex/", FORMAT),
    ("/var/lib/texmf/web2c/tex/", FORMAT),
    ("/var/lib/ucf/hashfile*", COPIED),
    ("/var/log/groonga/groonga.log", DATED),
    ("/var/log/redmine/default/production.log", DATED),
];

/// Returns why what is at this absolute path of a root may differ from build to build; `None` if it may not.
#[must_use]
pub fn varying(path: &str) -> Option<&'static str> {
    // ucf(1) keeps a copy of each file that it manages.
    let original = path.strip_prefix("/var/lib/ucf/cache/").map(|copy| copy.replace(':', "/"));
    let path = original.as_deref().unwrap_or(path);
    let covers = |known: &str| match known.split_once('*') {
        Some((start, end)) => path.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
        None if known.ends_with('/') => path.starts_with(known),
        None => path == known,
    };
    VARYING.iter().find(|(known, _)| covers(known)).map(|(_, reason)| *reason)
}

/// Returns the paths of the table that a tree has, with the reasons. A directory counts if there is something in it.
pub(crate) fn varying_in(root: &Root, cancel: &AtomicBool) -> Result<Vec<(&'static str, &'static str)>> {
    let mut found = Vec::new();
    for &(path, reason) in VARYING {
        go_on(cancel)?;
        let (directory, name) = path.trim_start_matches('/').rsplit_once('/').unwrap_or_default();
        let directory = directory.as_bytes();
        // Where the name is empty, every entry of the directory begins so.
        let is_there = match name.split_once('*').or(name.is_empty().then_some(("", ""))) {
            None => root.metadata(path.trim_start_matches('/').as_bytes())?.is_some(),
            Some((start, end)) => {
                root.metadata(directory)?.is_some_and(|found| found.kind == Kind::Directory)
                    && has(root, directory, start.as_bytes(), end.as_bytes(), cancel)?
            }
        };
        if is_there {
            found.push((path, reason));
        }
    }
    Ok(found)
}

/// Whether a directory has an entry that begins with `start` and ends with `end`, or a directory that begins with `start` and has, at any
/// depth, an entry that ends with `end`.
fn has(root: &Root, directory: &[u8], start: &[u8], end: &[u8], cancel: &AtomicBool) -> Result<bool> {
    go_on(cancel)?;
    for name in root.list(directory)?.iter().filter(|name| name.starts_with(start)) {
        if name.get(start.len()..).is_some_and(|rest| rest.ends_with(end)) {
            return Ok(true);
        }
        let path = [directory, b"/", name].concat();
        let is_directory = root.metadata(&path)?.is_some_and(|found| found.kind == Kind::Directory);
        if is_directory && has(root, &path, b"", end, cancel)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_all() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/trees.md");
        let page = std::fs::read_to_string(page).unwrap();
        for (path, reason) in VARYING {
            assert!(page.contains(&format!("| `{path}` | {reason} |")), "{path}");
        }
    }

    #[test]
    fn a_tree_is_told_what_differs_in_it() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("var/lib/postgresql/17")).unwrap();
        std::fs::create_dir_all(place.path().join("var/lib/mysql")).unwrap();
        std::fs::create_dir_all(place.path().join("etc/ssh")).unwrap();
        std::fs::write(place.path().join("etc/ssh/ssh_host_rsa_key.pub"), "").unwrap();
        std::fs::create_dir_all(place.path().join("etc/init.d/x")).unwrap();
        std::fs::create_dir_all(place.path().join("usr/lib/pypy3/lib/__pycache__")).unwrap();
        std::fs::write(place.path().join("usr/lib/pypy3/lib/x.py"), "").unwrap();
        let root = Root::open(place.path()).unwrap();
        let found = varying_in(&root, &AtomicBool::new(false)).unwrap();
        assert_eq!(found, [("/etc/ssh/ssh_host_*", RANDOM), ("/var/lib/postgresql/", DATABASE)]);
        std::fs::write(place.path().join("usr/lib/pypy3/lib/__pycache__/x.pypy311.pyc"), "").unwrap();
        let found = varying_in(&root, &AtomicBool::new(false)).unwrap();
        assert_eq!(found[1], ("/usr/lib/pypy3*.pyc", COMPILED));
        assert_eq!(varying("/usr/lib/pypy3.11/lib/__pycache__/x.pypy311.pyc"), Some(COMPILED));
        assert_eq!(varying("/usr/lib/pypy3.11/lib/x.py"), None);
        assert_eq!(varying("/var/lib/postgresql/17/main/pg_wal"), Some(DATABASE));
        assert_eq!(varying("/var/lib/ucf/cache/:etc:nsd:nsd_server.key"), Some(RANDOM), "ucf's copy");
        for path in ["/var/lib/postgresql", "/var/lib/postgresql2/x", "/etc/bind/rndc.key.old", "/etc/ssh/ssh_config"] {
            assert_eq!(varying(path), None, "{path}");
        }
    }
}
