//! Which files pruning removes, which it keeps, and whom it waits for.

use super::*;
use crate::directory::Cache;
use std::fs;
use std::sync::mpsc;
use std::time::{Duration, UNIX_EPOCH};

const LAYERS: [Layer; 4] = [
    Layer { name: "downloads", directories: &["sha256", "sha512"], retention: Retention::LastUse },
    Layer { name: "release", directories: &["release"], retention: Retention::NewestVersion },
    Layer { name: "payload", directories: &["payload"], retention: Retention::LastUse },
    Layer { name: "archive", directories: &["archive"], retention: Retention::LastUse },
];

/// Files of every layer: path, bytes, and the second of the last use.
const TREE: [(&str, usize, u64); 7] = [
    ("sha256/aa/aa1", 100, 50),
    ("sha256/bb/bb1", 100, 20),
    ("sha512/cc/cc1", 100, 90),
    ("payload/dd/1-dd", 1000, 40),
    ("archive/ee", 500, 60),
    ("release/x/700-ab.InRelease", 10, 1),
    ("release/x/800-ab.InRelease", 10, 2),
];

/// Creates a cache with these files.
fn cache(files: &[(&str, usize, u64)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join(VERSION);
    for (path, bytes, used) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![b'x'; *bytes]).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(*used)).unwrap();
    }
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join(TAG_NAME), TAG).unwrap();
    directory
}

/// Returns the files of [`TREE`] that are left.
fn left(cache: &tempfile::TempDir) -> Vec<&'static str> {
    TREE.iter().map(|(path, ..)| *path).filter(|path| cache.path().join(VERSION).join(path).exists()).collect()
}

fn pruned(cache: &tempfile::TempDir, limits: PruneLimits) -> Pruned {
    prune(cache.path(), &LAYERS, limits, &mut || panic!("nobody else uses the cache")).unwrap()
}

fn at_most(bytes: u64) -> PruneLimits {
    PruneLimits { max_bytes: Some(bytes), used_since: None }
}

fn used_since(moment: i64) -> PruneLimits {
    PruneLimits { max_bytes: None, used_since: Some(moment) }
}

#[test]
fn each_layer_is_counted() {
    let cache = cache(&TREE);
    fs::create_dir(cache.path().join("v1/new")).unwrap();
    for name in ["v1/new/file", "v1/notes", "v1/new/.hidden", "beside"] {
        fs::write(cache.path().join(name), "four").unwrap();
    }
    let usages = usage(cache.path(), &LAYERS).unwrap();
    let names: Vec<_> = usages.iter().map(|usage| usage.name).collect();
    assert_eq!(names, ["downloads", "release", "payload", "archive", "tmp", "other"]);
    let layer = |name: &str| usages.iter().find(|usage| usage.name == name).cloned().unwrap();
    assert_eq!(layer("downloads"), LayerUsage { name: "downloads", files: 3, bytes: 300, oldest: Some(20) });
    assert_eq!(layer("release"), LayerUsage { name: "release", files: 2, bytes: 20, oldest: Some(1) });
    assert_eq!((layer("payload").bytes, layer("archive").bytes), (1000, 500));
    assert_eq!((layer("other").files, layer("other").bytes), (1, 4));
    assert_eq!(layer("tmp"), LayerUsage { name: "tmp", files: 0, bytes: 0, oldest: None });
}

#[test]
fn the_files_used_longest_ago_are_removed_until_the_rest_fits() {
    let cache = cache(&TREE);
    assert_eq!(pruned(&cache, at_most(2000)), Pruned { files: 0, bytes: 0, left: 1820 });
    // First the file used at second 20, then that of second 40, after which the rest fits.
    let freed = pruned(&cache, at_most(1719));
    assert_eq!(freed, Pruned { files: 2, bytes: 1100, left: 720 });
    assert_eq!(left(&cache), [TREE[0].0, TREE[2].0, TREE[4].0, TREE[5].0, TREE[6].0]);
    assert!(!cache.path().join("v1/payload/dd").exists() && cache.path().join("v1/payload").exists());
}

#[test]
fn versioned_files_are_removed_last() {
    let cache = cache(&TREE);
    pruned(&cache, at_most(20));
    assert_eq!(left(&cache), [TREE[5].0, TREE[6].0]);
    pruned(&cache, at_most(19));
    assert_eq!(left(&cache), [TREE[6].0], "the file used last stays");
    assert_eq!(pruned(&cache, at_most(0)).left, 0);
}

#[test]
fn the_age_limit_spares_the_newest_version() {
    let cache = cache(&TREE);
    pruned(&cache, used_since(50));
    assert_eq!(left(&cache), [TREE[0].0, TREE[2].0, TREE[4].0, TREE[6].0]);
    pruned(&cache, used_since(1000));
    assert_eq!(left(&cache), [TREE[6].0]);
}

#[test]
fn unfinished_files_are_always_removed_and_foreign_files_never() {
    let cache = cache(&TREE);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "x").unwrap();
    let root = cache.path().join(VERSION);
    fs::create_dir_all(root.join("tmp/half")).unwrap();
    fs::write(root.join("tmp/half/file"), "x").unwrap();
    std::os::unix::fs::symlink(outside.path(), root.join("sha256/link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("file"), root.join("sha256/aa/link")).unwrap();
    for kept in ["notes", "sha256/.kept", ".kept"] {
        fs::write(root.join(kept), "x").unwrap();
    }
    fs::write(cache.path().join("beside"), "x").unwrap();
    assert_eq!(pruned(&cache, PruneLimits::default()), Pruned { files: 1, bytes: 1, left: 1820 });
    assert!(!root.join("tmp/half").exists() && root.join("tmp").exists());
    assert_eq!(pruned(&cache, PruneLimits { max_bytes: Some(0), used_since: Some(i64::MAX) }).left, 0);
    assert!(left(&cache).is_empty());
    for kept in ["v1/notes", "v1/sha256/.kept", "v1/.kept", "v1/CACHEDIR.TAG", "v1/lock", "beside"] {
        assert!(cache.path().join(kept).exists(), "{kept}");
    }
    assert!(outside.path().join("file").exists());
}

#[test]
fn another_directory_is_refused() {
    let cache = cache(&TREE);
    let refused = |path: &Path| {
        let limits = PruneLimits::default();
        let errors = [usage(path, &LAYERS).unwrap_err(), prune(path, &LAYERS, limits, &mut || ()).unwrap_err()];
        errors.iter().all(|error| matches!(error, Error::NotACache { .. }))
    };
    fs::write(cache.path().join("v1/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n").unwrap();
    assert!(refused(cache.path()), "the tag of another program");
    fs::write(cache.path().join("v1/CACHEDIR.TAG"), TAG).unwrap();
    let other = tempfile::tempdir().unwrap();
    assert!(refused(other.path()), "an empty directory");
    std::os::unix::fs::symlink(cache.path().join("v1"), other.path().join("v1")).unwrap();
    assert!(refused(other.path()), "a link");
    assert!(refused(&cache.path().join("v1/CACHEDIR.TAG")), "a file");
    let absent = other.path().join("absent");
    assert_eq!(prune(&absent, &LAYERS, PruneLimits::default(), &mut || ()).unwrap(), Pruned::default());
    assert!(usage(&absent, &LAYERS).unwrap().iter().all(|layer| layer.files == 0) && !absent.exists());
}

#[test]
fn pruning_waits_until_the_cache_is_closed_and_says_so_once() {
    let cache = cache(&TREE);
    let open = Cache::open(Some(cache.path()), Path::new("/nowhere")).unwrap();
    let (sender, waited) = mpsc::channel();
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| prune(cache.path(), &LAYERS, at_most(0), &mut || sender.send(()).unwrap()));
        waited.recv().unwrap();
        assert_eq!(left(&cache).len(), TREE.len());
        drop(open);
        assert_eq!(pruning.join().unwrap().unwrap().left, 0);
    });
    assert!(left(&cache).is_empty() && waited.try_recv().is_err());
}

#[test]
fn a_cache_stays_within_its_size_unless_somebody_uses_it() {
    let cache = cache(&TREE);
    let trim = |max, now| keep_within(cache.path(), &LAYERS, max, now).unwrap();
    let user = Cache::open(Some(cache.path()), Path::new("/nowhere")).unwrap();
    assert_eq!(trim(700, None), Pruned::default(), "somebody uses it");
    drop(user);
    let now = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    assert_eq!(trim(1_000_000, Some(now)).files, 0);
    assert_eq!(trim(700, Some(now)), Pruned::default(), "it was just looked at");
    assert_eq!(trim(700, Some(now - 10_000)).files, 3, "the clock was set back");
    assert_eq!(trim(100, None).left, 20, "at any time if the user says how much");
    assert_eq!(left(&cache), ["release/x/700-ab.InRelease", "release/x/800-ab.InRelease"]);
    fs::set_permissions(cache.path().join(VERSION), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(trim(0, None), Pruned::default(), "others can write to it");
}
