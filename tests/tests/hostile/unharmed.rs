//! What every case of this ring checks after a run that was attacked: the world around the target, the target and the cache are as they
//! were. The case itself says which error and exit status are right, and makes the honest run that follows.

use rootstrap_testkit::archive::Digest;
use rootstrap_testkit::tree;
use rootstrap_tests::base;
use rootstrap_tests::world::World;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A world before a run.
#[derive(Debug)]
pub struct Before {
    around: Vec<String>,
    /// The files of the cache that hold something.
    cache: BTreeMap<PathBuf, String>,
}

impl Before {
    /// Looks at a world. Results of earlier runs may be in `out/`.
    pub fn of(world: &World) -> Before {
        Before { around: around(world), cache: cache(world) }
    }

    /// Checks that `out/` has these names only, that nothing else was made, changed, mounted or left running, that the cache still has
    /// what it had, and that what is new there was verified.
    #[track_caller]
    pub fn check(&self, world: &World, published: &[&str]) {
        self.check_around(world, published);
        let now = cache(world);
        for (path, digest) in &self.cache {
            assert_eq!(now.get(path), Some(digest), "the cache lost {}", path.display());
        }
        for (path, digest) in now.iter().filter(|(path, _)| !self.cache.contains_key(*path)) {
            assert!(is_expected(path, digest), "{} is in the cache", path.display());
        }
    }

    /// The same without the cache, where the case damages files of the cache or kills a run, which leaves files in `v1/tmp`.
    #[track_caller]
    pub fn check_around(&self, world: &World, published: &[&str]) {
        assert_eq!(around(world), self.around, "something is outside the target");
        base::assert_nothing_left(world, published);
    }
}

/// The layers whose files have names of their own. An honest run shows whether their content is right.
const LAYERS: [&str; 7] = ["release", "index", "payload", "archive", "first-phase", "root", "gzip"];

/// Whether a cache may have this file: a download at its own digest, or a file of a layer. Nothing may be left in `tmp`.
fn is_expected(path: &Path, digest: &str) -> bool {
    let mut names = path.iter().filter_map(|name| name.to_str());
    match (names.next(), names.next()) {
        (Some("CACHEDIR.TAG"), None) => true,
        (Some("v1"), Some("CACHEDIR.TAG")) => true,
        (Some("v1"), Some("sha256")) => path.ends_with(digest),
        (Some("v1"), Some(layer)) => LAYERS.contains(&layer),
        _ => false,
    }
}

/// Returns the scratch directory without what a run may fill: target, cache and temporary files.
fn around(world: &World) -> Vec<String> {
    let own = ["/out", "/cache", "/tmp"];
    let dump = tree::dump(&world.path(""));
    dump.lines().filter(|line| !own.iter().any(|start| line.starts_with(start))).map(str::to_owned).collect()
}

/// Returns the files of the cache with their digests, without those that are only locked or only have a time.
fn cache(world: &World) -> BTreeMap<PathBuf, String> {
    let top = world.path("cache");
    let is_empty = |path: &Path| path.iter().any(|name| name == "lock" || name == "locks" || name == "looked");
    let files = files_below(&top).into_iter().filter(|path| !is_empty(path));
    let digest = |path: &Path| match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => Digest::Sha256.hex(&fs::read(path).unwrap()),
        _ => "no file".to_owned(),
    };
    files.map(|path| (path.strip_prefix(&top).unwrap().to_owned(), digest(&path))).collect()
}

/// Returns everything below a directory but directories.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}
