//! What a cache holds, and how it is made smaller.
//!
//! A file's modification time is its last use ([`crate::Session`] sets it). Only files that lie in a directory below
//! `v1/` are counted and removed, each for itself; links are not followed, and names that begin with a dot are left alone.

use crate::cache::{TAG, VERSION};
use crate::error::Error;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The layers by the directories they are in; what is in any other is `other`.
const LAYERS: [(&str, &[&str]); 8] = [
    ("downloads", &["sha256", "sha512"]),
    ("release", &["release"]),
    ("index", &["index"]),
    ("payload", &["payload"]),
    ("base", &["base"]),
    ("result", &["result"]),
    ("tmp", &["tmp"]),
    ("other", &[]),
];

/// Deepest directory below a layer that is looked into.
const DEPTH: usize = 32;

/// What one part of a cache holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it is called: `downloads` (indexes and debs), `release`, `index`, `payload`, `base`, `result`, `tmp`, `other`.
    pub name: &'static str,
    /// How many files.
    pub files: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// When the one not used for longest was used, in seconds since 1970.
    pub oldest: Option<i64>,
}

/// What may stay. What lies in `tmp` never does: it was left by someone who was killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Bytes of all files together: those used longest ago go until no more are left. Release files only go when nothing
    /// else is left: they are small, and without them an older one would be accepted again.
    pub most: Option<u64>,
    /// Files last used before that moment go, in seconds since 1970; but never the newest Release of a suite.
    pub since: Option<i64>,
}

/// What was removed, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Files removed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the files that are left.
    pub left: u64,
}

/// A file of the cache.
struct Found {
    /// Below `v1`.
    path: PathBuf,
    bytes: u64,
    used: i64,
}

impl Found {
    fn layer(&self) -> &'static str {
        let top = self.path.iter().next().unwrap_or_default();
        LAYERS.iter().find(|(_, tops)| tops.iter().any(|name| top == *name)).map_or("other", |(name, _)| name)
    }

    /// The directory of a Release file and the date it is filed under.
    fn release(&self) -> Option<(&Path, i64)> {
        let name = self.path.file_name()?.to_str()?;
        let date = name.split_once('-')?.0.parse().ok()?;
        Some((self.path.parent().filter(|_| self.layer() == "release")?, date))
    }
}

/// What the cache in `directory` holds, all layers in one order, empty ones too. A directory that is not there is an empty
/// cache. Others may be at work in it meanwhile.
///
/// # Errors
/// It is something else than a cache, or cannot be read.
pub fn usage(directory: &Path) -> Result<Vec<Layer>, Error> {
    let mut layers = LAYERS.map(|(name, _)| Layer { name, files: 0, bytes: 0, oldest: None });
    let found = match open(directory)? {
        Some(root) => walk(&root, directory)?.0,
        None => Vec::new(),
    };
    for file in found {
        if let Some(layer) = layers.iter_mut().find(|layer| layer.name == file.layer()) {
            layer.files += 1;
            layer.bytes = layer.bytes.saturating_add(file.bytes);
            layer.oldest = Some(layer.oldest.map_or(file.used, |oldest| oldest.min(file.used)));
        }
    }
    Ok(layers.into())
}

/// Removes what may not stay from the cache in `directory`, alone in it: where others are at work `waiting` is called once,
/// and their end awaited. Blocks.
///
/// # Errors
/// It is something else than a cache, or cannot be read or changed.
pub fn prune(directory: &Path, keep: Keep, waiting: &mut dyn FnMut()) -> Result<Freed, Error> {
    let Some(root) = open(directory)? else { return Ok(Freed::default()) };
    let _lock = lock(&root, directory, waiting)?;
    let (mut found, directories) = walk(&root, directory)?;
    let mut left: u64 = found.iter().map(|file| file.bytes).sum();
    let newest: Vec<(PathBuf, i64)> =
        found.iter().filter_map(|file| file.release().map(|(suite, date)| (suite.to_owned(), date))).collect();
    let is_newest = |file: &Found| {
        let Some((suite, date)) = file.release() else { return false };
        newest.iter().all(|(other, later)| other != suite || *later <= date)
    };
    // What is not there when the order is made cannot be in the way of what has to stay.
    found.sort_by_cached_key(|file| (file.layer() != "tmp", file.layer() == "release", file.used, file.path.clone()));
    let mut freed = Freed::default();
    for file in &found {
        let is_old = keep.since.is_some_and(|since| file.used < since) && !is_newest(file);
        if file.layer() != "tmp" && !is_old && keep.most.is_none_or(|most| left <= most) {
            continue;
        }
        if remove(&root, directory, &file.path, AtFlags::empty())? {
            freed.files += 1;
            freed.bytes = freed.bytes.saturating_add(file.bytes);
        }
        left = left.saturating_sub(file.bytes);
    }
    // The deepest first: only what has become empty goes.
    for path in directories.iter().rev().filter(|path| path.components().count() > 1) {
        let _ = remove(&root, directory, path, AtFlags::REMOVEDIR);
    }
    Ok(Freed { left, ..freed })
}

fn fail(directory: &Path, path: &Path) -> impl Fn(Errno) -> Error {
    let path = directory.join(VERSION).join(path);
    move |errno| Error::Cache { path: path.clone(), source: errno.into() }
}

/// Opens `v1` of a cache; `None` where there is nothing at all.
fn open(directory: &Path) -> Result<Option<OwnedFd>, Error> {
    let foreign = || Error::NoCache { path: directory.to_owned() };
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = match rustix::fs::open(directory, flags, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NOTDIR) => return Err(foreign()),
        Err(errno) => return Err(Error::Cache { path: directory.to_owned(), source: errno.into() }),
    };
    let root = match rustix::fs::openat(&top, VERSION, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(foreign()),
        Err(errno) => return Err(fail(directory, Path::new(""))(errno)),
    };
    let tag =
        rustix::fs::openat(&root, "CACHEDIR.TAG", OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let mut text = vec![0; TAG.len()];
    let is_ours = tag.is_ok_and(|tag| rustix::io::read(&tag, &mut text).is_ok_and(|count| count == TAG.len()));
    if is_ours && text == TAG { Ok(Some(root)) } else { Err(foreign()) }
}

/// Takes the lock that every session shares.
fn lock(root: &OwnedFd, directory: &Path, waiting: &mut dyn FnMut()) -> Result<File, Error> {
    let fail = fail(directory, Path::new("lock"));
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::openat(root, "lock", flags, Mode::from_raw_mode(0o644)).map_err(&fail)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(lock.into()),
        Err(Errno::WOULDBLOCK) => waiting(),
        Err(errno) => return Err(fail(errno)),
    }
    loop {
        match rustix::fs::flock(&lock, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(lock.into()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(fail(errno)),
        }
    }
}

/// All files, and the directories they are in, each before those within it.
fn walk(root: &OwnedFd, directory: &Path) -> Result<(Vec<Found>, Vec<PathBuf>), Error> {
    let (mut files, mut directories) = (Vec::new(), vec![PathBuf::new()]);
    let mut next = 0;
    while let Some(parent) = directories.get(next).cloned() {
        next += 1;
        let fail = fail(directory, &parent);
        let opened = match open_below(root, &parent) {
            Ok(opened) => opened,
            // Gone meanwhile, or no directory any more.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(errno) => return Err(fail(errno)),
        };
        for entry in Dir::read_from(&opened).map_err(&fail)? {
            let entry = entry.map_err(&fail)?;
            let name = entry.file_name();
            if name.to_bytes().starts_with(b".") {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let path = parent.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name.to_bytes()));
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if path.components().count() <= DEPTH => directories.push(path),
                FileType::RegularFile if next > 1 => {
                    files.push(Found { path, bytes: stat.st_size.cast_unsigned(), used: stat.st_mtime });
                }
                _ => {}
            }
        }
    }
    Ok((files, directories))
}

/// Opens a directory below `root` by a path without any link.
fn open_below(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

/// Removes a name; `false` if it is gone already.
fn remove(root: &OwnedFd, directory: &Path, path: &Path, flags: AtFlags) -> Result<bool, Error> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
    let removed = open_below(root, parent).and_then(|parent| rustix::fs::unlinkat(&parent, name, flags));
    match removed {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(fail(directory, path)(errno)),
    }
}

#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
