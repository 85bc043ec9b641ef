//! The cache: files by digest, and the Release files seen before.
//!
//! ```text
//! DIR/v1/CACHEDIR.TAG
//!        lock                      shared while a session lives; whoever cleans takes it exclusively
//!        tmp/                      being written; DIGEST.lock while a file is being fetched
//!        sha256/ab/abcd…           indexes and debs; sha512/ likewise
//!        index/FORMAT-abcd…        what was read from the index of that digest (see `parsed`)
//!        payload/ab/FORM-abcd…     what was made of the deb abcd…
//!        release/SUITE/DATE-HASH.InRelease, or .Release with .Release.gpg
//! ```
//!
//! A file is hashed while it is written and gets its name when it is whole and right, by one rename: a name under
//! `sha256/` is a statement that the content fits. Two processes writing the same file both rename the same
//! content. Before a file is fetched its lock is taken, so that of several processes one fetches it and the others find it. A disk
//! may forget, so whatever is read from here is hashed again. Release files are only remembered here, not trusted: they are
//! verified anew whenever they are read.

mod turn;

use crate::error::Error;
use crate::release::Signed;
use rootstrap_debian::digest::Digest;
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// Bumped when the layout changes; older ones are ignored, never migrated.
pub(crate) const VERSION: &str = "v1";

/// See <https://bford.info/cachedir/>: backup programs leave such a directory out.
pub(crate) const TAG: &[u8] =
    b"Signature: 8a477f597d28d172789f06886806bc55\n# A cache of rootstrap. It can be deleted at any moment.\n";

/// An open cache, with its lock held.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    /// Held, not read: closing it ends the lock.
    _lock: File,
    /// A private cache, removed when dropped.
    _private: Option<TempDir>,
}

impl Cache {
    /// Opens `directory`, creating it where needed; `None` makes a private one below `temporary`.
    pub fn open(directory: Option<&Path>, temporary: &Path) -> Result<Self, Error> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Cache { path, source }
        };
        let (root, private) = match directory {
            Some(directory) => (directory.join(VERSION), None),
            None => {
                let private =
                    tempfile::Builder::new().prefix("rootstrap-").tempdir_in(temporary).map_err(fail(temporary))?;
                (private.path().join(VERSION), Some(private))
            }
        };
        fs::create_dir_all(root.join("tmp")).map_err(fail(&root))?;
        let lock_path = root.join("lock");
        let lock = File::options().create(true).truncate(false).read(true).write(true).open(&lock_path);
        let lock = lock.map_err(fail(&lock_path))?;
        // Alone: what lies in tmp/ was left by someone who was killed.
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            clear(&root.join("tmp"));
        }
        rustix::fs::flock(&lock, FlockOperation::LockShared).map_err(|e| fail(&lock_path)(e.into()))?;
        let tag = root.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs::write(&tag, TAG).map_err(fail(&tag))?;
        }
        let cache = Self { root, _lock: lock, _private: private };
        // Fails here, with a clear error, rather than after the first download.
        cache.temporary().map_err(|error| match error {
            Error::Write { path, source } => Error::Cache { path, source },
            other => other,
        })?;
        Ok(cache)
    }

    fn path_of(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        let shelf = hex.get(..2).unwrap_or_default();
        self.root.join(digest.algorithm().to_ascii_lowercase()).join(shelf).join(&hex)
    }

    /// The directory of a layer.
    pub fn layer(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The file with this digest, if it is here. One of another size was damaged after it was written. It is left to be
    /// replaced: by now another process may have. Being asked for counts as use.
    pub fn find(&self, digest: &Digest, size: u64) -> Option<PathBuf> {
        let path = self.path_of(digest);
        let metadata = fs::symlink_metadata(&path).ok()?;
        if !metadata.is_file() || metadata.len() != size {
            return None;
        }
        touch(&path);
        Some(path)
    }

    /// A new file that can become a cached one.
    pub fn temporary(&self) -> Result<NamedTempFile, Error> {
        let directory = self.root.join("tmp");
        tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(&directory)
            .map_err(|source| Error::Write { path: directory, source })
    }

    /// Where what was read from an index is kept, by a name of the caller's.
    pub fn index_path(&self, name: &str) -> PathBuf {
        self.root.join("index").join(name)
    }

    /// Gives `file`, whose content the caller has hashed to `digest`, its name.
    pub fn keep(&self, file: NamedTempFile, digest: &Digest) -> Result<PathBuf, Error> {
        let path = self.path_of(digest);
        persist(file, &path)?;
        Ok(path)
    }

    /// Remembers a Release file that was verified.
    pub fn remember(&self, suite: &str, date: i64, signed: &Signed) -> Result<(), Error> {
        let directory = self.releases_of(suite);
        let mut hash = Sha256::new();
        let parts: Vec<(&str, &[u8])> = match signed {
            Signed::Inline(message) => vec![(".InRelease", message)],
            // The signature first: a Release without it would be unreadable.
            Signed::Detached { text, signature } => vec![(".Release.gpg", signature), (".Release", text)],
        };
        parts.iter().for_each(|(_, bytes)| hash.update(bytes));
        let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        for (extension, bytes) in parts {
            let path = directory.join(format!("{date}-{hash}{extension}"));
            if path.exists() {
                touch(&path);
                continue;
            }
            let mut file = self.temporary()?;
            file.write_all(bytes).map_err(|source| Error::Write { path: path.clone(), source })?;
            persist(file, &path)?;
        }
        Ok(())
    }

    /// The Release files remembered for `suite`, newest first, with the date each is filed under.
    pub fn remembered(&self, suite: &str) -> Vec<(i64, PathBuf)> {
        let Ok(entries) = fs::read_dir(self.releases_of(suite)) else { return Vec::new() };
        let mut found: Vec<(i64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let is_text = name.ends_with(".InRelease") || name.ends_with(".Release");
                // A date before 1970 would begin with a dash of its own; no archive is that old.
                let date = name.split_once('-')?.0.parse().ok()?;
                is_text.then(|| (date, entry.path()))
            })
            .collect();
        found.sort();
        found.reverse();
        found
    }

    fn releases_of(&self, suite: &str) -> PathBuf {
        let mut name = String::new();
        for byte in suite.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte as char),
                b'.' if !name.is_empty() => name.push('.'),
                _ => name.push_str(&format!("%{byte:02X}")),
            }
        }
        self.root.join("release").join(name)
    }
}

/// Reads a remembered Release file back.
pub(crate) fn recall(path: &Path) -> io::Result<Signed> {
    touch(path);
    let text = read_at_most(path, crate::limits::RELEASE)?;
    if path.extension().is_some_and(|extension| extension == "InRelease") {
        return Ok(Signed::Inline(text));
    }
    let signature = read_at_most(&path.with_extension("Release.gpg"), crate::limits::SIGNATURE)?;
    Ok(Signed::Detached { text, signature })
}

fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gives `file` its name, whatever had it before.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> Result<(), Error> {
    let fail = |source| Error::Write { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(fail)?;
    }
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

/// Sets the modification time to now, which is how pruning knows what is in use. Failing to is no harm.
pub(crate) fn touch(path: &Path) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    };
    let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// Empties a directory of files, as far as it can be.
fn clear(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_become_one_safe_name_each() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
        let name = |suite| cache.releases_of(suite).file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name("buster/updates"), "buster%2Fupdates");
        assert_eq!(name("../x"), "%2E.%2Fx");
        assert_eq!(name("a.b-c"), "a.b-c");
    }

    #[test]
    fn a_file_of_another_size_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
        let digest = Digest::Sha256([7; 32]);
        let mut file = cache.temporary().unwrap();
        file.write_all(b"abc").unwrap();
        let path = cache.keep(file, &digest).unwrap();
        assert!(path.ends_with(format!("v1/sha256/07/{}", "07".repeat(32))));
        assert_eq!(cache.find(&digest, 3), Some(path.clone()));
        assert_eq!(cache.find(&digest, 4), None);
    }

    #[test]
    fn leftovers_go_when_nobody_else_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
        let first = open();
        let leftover = directory.path().join("v1/tmp/leftover");
        fs::write(&leftover, "x").unwrap();
        let second = open();
        assert!(leftover.exists(), "the first session may still be writing it");
        drop((first, second));
        open();
        assert!(!leftover.exists());
    }

    #[test]
    fn a_private_cache_is_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let cache = Cache::open(None, temporary.path()).unwrap();
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
        drop(cache);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_cache_that_cannot_be_made_says_where_and_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Cache::open(Some(&file.join("cache")), Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("file/cache"), "{error}");
        assert!(error.hint().unwrap().contains("--cache-dir"));
    }
}
