//! Counting what a cache holds, and removing part of it.
//!
//! Only files in a directory below `v1/` are counted and removed, each on its own. Links are not followed, and names that begin
//! with a dot are left alone. Directories are opened relative to each other, so that nobody can lead the removal out of the
//! cache.

use crate::directory::{is_regular, open_lock, why_not_own};
use crate::error::Error;
use crate::layer::{Layer, Retention};
use crate::layout::{LOCK, TAG, TAG_NAME, TMP, VERSION};
use rustix::fs::{Access, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The name of the layer of unfinished files.
const UNFINISHED: &str = TMP;

/// The name under which files in directories of no registered layer are counted.
const OTHER: &str = "other";

/// The file whose time says when [`keep_within`] looked, and after how many seconds it looks again.
const LOOKED: &str = "looked";
const LOOK_AGAIN: i64 = 3600;

/// The most bytes of [`default_size`].
const DEFAULT_SIZE: u64 = 10_000_000_000;

/// The deepest directory below a layer that is looked into.
const MAX_DEPTH: usize = 32;

/// What one layer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerUsage {
    /// [`Layer::name`], or `tmp` for unfinished files, or `other` for files of no registered layer.
    pub name: &'static str,
    /// The number of files.
    pub files: u64,
    /// The sum of their lengths, in bytes.
    pub bytes: u64,
    /// When the file that was not used for longest was used, in seconds since 1970.
    pub oldest: Option<i64>,
}

/// Which files may stay. Files in `tmp/` never stay: processes that were killed left them. How files of a layer are treated
/// beyond these limits is its [`Retention`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneLimits {
    /// The most bytes that all files together may have. The files used longest ago are removed until the rest fits.
    pub max_bytes: Option<u64>,
    /// Files last used before this moment are removed, in seconds since 1970.
    pub used_since: Option<i64>,
}

/// What pruning removed, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The number of removed files.
    pub files: u64,
    /// The sum of their lengths, in bytes.
    pub bytes: u64,
    /// Bytes of the files that are left.
    pub left: u64,
}

/// Counts what the cache in `directory` holds: for each of `layers` in their order, then for `tmp` and `other`, empty ones
/// included. A directory that does not exist is an empty cache. Other processes may use the cache meanwhile.
///
/// # Errors
/// The directory is something else than a cache, or cannot be read.
pub fn usage(directory: &Path, layers: &[Layer]) -> Result<Vec<LayerUsage>, Error> {
    let names = layers.iter().map(|layer| layer.name).chain([UNFINISHED, OTHER]);
    let mut usages: Vec<_> = names.map(|name| LayerUsage { name, files: 0, bytes: 0, oldest: None }).collect();
    let Some(root) = Root::open(directory)? else { return Ok(usages) };
    for file in root.list(layers)?.files {
        if let Some(usage) = usages.iter_mut().find(|usage| usage.name == file.layer) {
            usage.files += 1;
            usage.bytes = usage.bytes.saturating_add(file.bytes);
            usage.oldest = Some(usage.oldest.map_or(file.used, |oldest| oldest.min(file.used)));
        }
    }
    Ok(usages)
}

/// Removes the files that may not stay from the cache in `directory`. Nobody else may use the cache meanwhile: if
/// somebody does, `waiting` is called once and the end of all users is awaited.
///
/// # Errors
/// The directory is something else than a cache, or cannot be read or changed.
pub fn prune(
    directory: &Path,
    layers: &[Layer],
    limits: PruneLimits,
    waiting: &mut dyn FnMut(),
) -> Result<Pruned, Error> {
    let Some(root) = Root::open(directory)? else { return Ok(Pruned::default()) };
    let _lock = root.lock(waiting)?;
    remove(&root, layers, limits)
}

/// Removes what was used longest ago from a cache of more than `max_bytes`, unless somebody else uses the cache now or somebody else
/// could have written it. Looks at most once an hour, unless `now` is `None`.
///
/// # Errors
/// The directory is something else than a cache, or cannot be read or changed.
pub fn keep_within(directory: &Path, layers: &[Layer], max_bytes: u64, now: Option<i64>) -> Result<Pruned, Error> {
    let Some(root) = Root::open(directory)? else { return Ok(Pruned::default()) };
    let is_own = rustix::fs::fstat(&root.root).is_ok_and(|found| why_not_own(&found).is_none());
    let looked = rustix::fs::statat(&root.root, LOOKED, AtFlags::SYMLINK_NOFOLLOW).map_or(0, |found| found.st_mtime);
    let is_recent = now.is_some_and(|now| (looked..looked.saturating_add(LOOK_AGAIN)).contains(&now));
    if !is_own || is_recent {
        return Ok(Pruned::default());
    }
    let lock = open_lock(root.root.as_fd(), &root.directory.join(VERSION).join(LOCK))?;
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(Pruned::default());
    }
    let pruned = remove(&root, layers, PruneLimits { max_bytes: Some(max_bytes), used_since: None })?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(looked) = rustix::fs::openat(&root.root, LOOKED, flags, Mode::from_raw_mode(0o644)) {
        let _ = File::from(looked).set_modified(std::time::SystemTime::now());
    }
    Ok(pruned)
}

/// Returns how many bytes a cache in `directory` may have if nobody says it: a tenth of its disk, and at most 10 GB.
#[must_use]
pub fn default_size(directory: &Path) -> u64 {
    let disk = rustix::fs::statvfs(directory).map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
    (disk / 10).min(DEFAULT_SIZE)
}

fn remove(root: &Root<'_>, layers: &[Layer], limits: PruneLimits) -> Result<Pruned, Error> {
    let Listing { mut files, directories } = root.list(layers)?;
    let newest = newest_versions(&files);
    let mut left: u64 = files.iter().map(|file| file.bytes).sum();
    files.sort_by_cached_key(|file| (!file.is_unfinished(), file.is_versioned, file.used, file.path.clone()));
    let mut pruned = Pruned::default();
    for file in &files {
        let is_newest = file.version().is_some_and(|(directory, version)| newest.get(directory) == Some(&version));
        let is_old = limits.used_since.is_some_and(|since| file.used < since) && !is_newest;
        let fits = limits.max_bytes.is_none_or(|max| left <= max);
        if !file.is_unfinished() && !is_old && fits {
            continue;
        }
        if root.remove(&file.path, AtFlags::empty())? {
            pruned.files += 1;
            pruned.bytes = pruned.bytes.saturating_add(file.bytes);
        }
        left = left.saturating_sub(file.bytes);
    }
    // The deepest directories first. Removing fails for all that are not empty.
    for path in directories.iter().rev().filter(|path| path.components().count() > 1) {
        let _ = root.remove(path, AtFlags::REMOVEDIR);
    }
    Ok(Pruned { left, ..pruned })
}

/// Returns the highest version in each directory of a layer with [`Retention::NewestVersion`].
fn newest_versions(files: &[ListedFile]) -> HashMap<PathBuf, i64> {
    let mut newest = HashMap::new();
    for (directory, version) in files.iter().filter_map(ListedFile::version) {
        let highest = newest.entry(directory.to_owned()).or_insert(version);
        *highest = version.max(*highest);
    }
    newest
}

/// A file of the cache.
struct ListedFile {
    /// Its path below `v1`.
    path: PathBuf,
    layer: &'static str,
    /// Whether its layer has [`Retention::NewestVersion`].
    is_versioned: bool,
    bytes: u64,
    /// When it was last used, in seconds since 1970.
    used: i64,
}

impl ListedFile {
    fn new(path: PathBuf, layers: &[Layer], bytes: u64, used: i64) -> Self {
        let top = path.iter().next().unwrap_or_default();
        let layer = layers.iter().find(|layer| layer.directories.iter().any(|name| top == *name));
        let (name, retention) = match layer {
            Some(layer) => (layer.name, layer.retention),
            None if top == TMP => (UNFINISHED, Retention::LastUse),
            None => (OTHER, Retention::LastUse),
        };
        Self { path, layer: name, is_versioned: retention == Retention::NewestVersion, bytes, used }
    }

    fn is_unfinished(&self) -> bool {
        self.layer == UNFINISHED
    }

    /// Returns its directory and the number that its name begins with, if its layer has versions.
    fn version(&self) -> Option<(&Path, i64)> {
        let name = self.path.file_name()?.to_str()?;
        let version = name.split_once('-')?.0.parse().ok()?;
        Some((self.path.parent().filter(|_| self.is_versioned)?, version))
    }
}

/// The files of a cache, and the directories that hold them, each before those within it.
#[derive(Default)]
struct Listing {
    files: Vec<ListedFile>,
    directories: Vec<PathBuf>,
}

/// The directory `v1` of a cache.
struct Root<'a> {
    root: OwnedFd,
    /// The directory of the cache, for messages.
    directory: &'a Path,
}

impl<'a> Root<'a> {
    /// Opens it; `None` where the cache does not exist.
    fn open(directory: &'a Path) -> Result<Option<Self>, Error> {
        let not_a_cache = || Error::NotACache { path: directory.to_owned() };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = match rustix::fs::open(directory, flags, Mode::empty()) {
            Ok(top) => top,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR) => return Err(not_a_cache()),
            Err(errno) => return Err(Error::unusable(directory, errno)),
        };
        let root = match rustix::fs::openat(&top, VERSION, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(root) => root,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(not_a_cache()),
            Err(errno) => return Err(Error::unusable(&directory.join(VERSION), errno)),
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let tag = rustix::fs::openat(&root, TAG_NAME, flags, Mode::empty());
        let mut text = Vec::new();
        let is_read = tag.is_ok_and(|tag| {
            let is_file = rustix::fs::fstat(&tag).is_ok_and(|found| is_regular(&found));
            is_file && File::from(tag).take(TAG.len() as u64).read_to_end(&mut text).is_ok()
        });
        // A full disk may have cut the tag off. Nobody else makes such a directory.
        let is_cut_off =
            || text.is_empty() && rustix::fs::accessat(&root, LOCK, Access::EXISTS, AtFlags::empty()).is_ok();
        if is_read && (text == TAG || is_cut_off()) { Ok(Some(Self { root, directory })) } else { Err(not_a_cache()) }
    }

    fn error(&self, path: &Path, errno: Errno) -> Error {
        Error::unusable(&self.directory.join(VERSION).join(path), errno)
    }

    /// Takes the lock that every open cache shares.
    fn lock(&self, waiting: &mut dyn FnMut()) -> Result<File, Error> {
        let fail = |errno| self.error(Path::new(LOCK), errno);
        let lock = open_lock(self.root.as_fd(), &self.directory.join(VERSION).join(LOCK))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(Errno::WOULDBLOCK) => waiting(),
            Err(errno) => return Err(fail(errno)),
        }
        loop {
            match rustix::fs::flock(&lock, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(lock),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
    }

    fn list(&self, layers: &[Layer]) -> Result<Listing, Error> {
        let (mut files, mut directories) = (Vec::new(), vec![PathBuf::new()]);
        let mut next = 0;
        while let Some(parent) = directories.get(next).cloned() {
            next += 1;
            let fail = |errno| self.error(&parent, errno);
            let opened = match self.open_below(&parent) {
                Ok(opened) => opened,
                // It was removed or replaced meanwhile.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => return Err(fail(errno)),
            };
            for entry in Dir::read_from(&opened).map_err(fail)? {
                let entry = entry.map_err(fail)?;
                let name = entry.file_name();
                if name.to_bytes().starts_with(b".") {
                    continue;
                }
                let Ok(stat) = rustix::fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
                let path = parent.join(OsStr::from_bytes(name.to_bytes()));
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory if path.components().count() <= MAX_DEPTH => directories.push(path),
                    FileType::RegularFile if next > 1 => {
                        files.push(ListedFile::new(path, layers, stat.st_size.cast_unsigned(), stat.st_mtime));
                    }
                    _ => {}
                }
            }
        }
        Ok(Listing { files, directories })
    }

    /// Opens a directory by a path in which nothing may be a link.
    fn open_below(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
    }

    /// Removes a name. Returns `false` if it was removed already.
    fn remove(&self, path: &Path, flags: AtFlags) -> Result<bool, Error> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
        match self.open_below(parent).and_then(|parent| rustix::fs::unlinkat(&parent, name, flags)) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error(path, errno)),
        }
    }
}

#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
