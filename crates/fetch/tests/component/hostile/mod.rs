//! The hostile ring of this crate: Release files, indexes and networks that attack or fail.
//!
//! Each case runs between two honest runs on one cache. It must leave the cache as the first one made it, and the last one must
//! succeed.

mod index;
mod network;
mod release;

use crate::world::*;
use rootstrap_fetch::{Error, Keyring, Options, VerifiedPocket};
use rootstrap_testkit::archive::{Archive, Digest};
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::server::Server;
use rootstrap_testkit::{EPOCH, Files, HostileClass, hostile_case};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A cache that an honest run has filled.
pub struct Scene {
    cache: TempDir,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Scene {
    /// Fills a cache from an archive that is older than any of a test.
    pub fn new() -> Scene {
        let cache = tempfile::tempdir().unwrap();
        let older = but(archive().deb("main", Deb::new("older", "1")), |archive| archive.date = EPOCH - 60);
        let server = Server::start(older.build());
        ask_with(options(cache.path()), &pocket("x", &[server.url()]), &keyring(), &POLICY, &Log::default()).unwrap();
        let before = files_below(cache.path());
        Scene { cache, before }
    }

    /// Returns the options of the attacked run.
    pub fn options(&self) -> Options {
        options(self.cache.path())
    }

    /// Asks for suite `x` of a mirror, which must end as `expect` says, and leaves the cache as it was.
    pub fn refuses(&self, class: HostileClass, name: &str, server: &Server, refusal: &Refusal) -> Error {
        hostile_case(class, name);
        let keyring = refusal.keyring.clone().unwrap_or_else(keyring);
        let asked = pocket("x", &[server.url()]);
        let error = ask_with(self.options(), &asked, &keyring, &POLICY, &Log::default()).unwrap_err();
        assert!((refusal.is_it)(&error), "{name}: {error:?}");
        assert_eq!(error.is_verification(), refusal.is_verification, "{name}: {error:?}");
        self.check(name);
        error
    }

    /// Checks that the cache is as the first run left it, and that an honest run succeeds. A file at its own digest may be new: an index
    /// can have the signed digest and still be unreadable.
    pub fn check(&self, name: &str) {
        let mut after = files_below(self.cache.path());
        for (path, bytes) in &self.before {
            assert!(after.remove(path).as_ref() == Some(bytes), "{name}: {} changed", path.display());
        }
        for (path, bytes) in after {
            let digest = Digest::Sha256.hex(&bytes);
            let own = Path::new("v1/sha256").join(&digest[..2]).join(&digest);
            assert!(path == own, "{name}: {} is new", path.display());
        }
        self.succeeds_afterwards(name);
    }

    /// Checks that an honest run succeeds with a copy of the cache.
    pub fn succeeds_afterwards(&self, name: &str) -> VerifiedPocket {
        let copy = tempfile::tempdir().unwrap();
        for (path, bytes) in files_below(self.cache.path()) {
            let path = copy.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let server = Server::start(archive().build());
        let asked = pocket("x", &[server.url()]);
        let got = ask_with(options(copy.path()), &asked, &keyring(), &POLICY, &Log::default());
        got.unwrap_or_else(|error| panic!("{name}: an honest run fails afterwards: {error:?}"))
    }
}

/// How a run must be refused.
pub struct Refusal {
    pub is_it: fn(&Error) -> bool,
    /// Whether the program then ends with 3 rather than 1.
    pub is_verification: bool,
    /// The keys that are trusted; that of every honest archive if `None`.
    pub keyring: Option<Keyring>,
}

/// A refusal for which the program ends with 3.
pub fn untrusted(is_it: fn(&Error) -> bool) -> Refusal {
    Refusal { is_it, is_verification: true, keyring: None }
}

/// Every file below a directory with its content, without files that are only locked.
fn files_below(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                found.insert(path.strip_prefix(directory).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found.retain(|path, _| !path.ends_with("lock") && !path.components().any(|part| part.as_os_str() == "locks"));
    found
}

/// The archive of most cases: suite `x` with one small package.
pub fn archive() -> Archive {
    Archive::new("x").key(&KEY).deb("main", Deb::new("small", "1").file("/s", 0o644, "s"))
}

/// The archive of most cases, with one change.
pub fn changed(change: impl FnOnce(&mut Archive)) -> Files {
    but(archive(), change).build()
}
