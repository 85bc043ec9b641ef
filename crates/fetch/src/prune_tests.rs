//! What goes, what stays, and whom pruning waits for.

use super::*;
use std::fs;
use std::sync::mpsc;
use std::time::{Duration, UNIX_EPOCH};

const TREE: [(&str, usize, u64); 7] = [
    ("sha256/aa/aa1", 100, 50),
    ("sha256/bb/bb1", 100, 20),
    ("sha512/cc/cc1", 100, 90),
    ("payload/dd/1-dd", 1000, 40),
    ("base/ee", 500, 60),
    ("release/x/700-ab.InRelease", 10, 1),
    ("release/x/800-ab.InRelease", 10, 2),
];

/// A cache with these files: path, bytes, and the second of their last use.
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
    fs::write(root.join("CACHEDIR.TAG"), TAG).unwrap();
    directory
}

/// What is left of [`TREE`].
fn left(cache: &tempfile::TempDir) -> Vec<&'static str> {
    TREE.iter().map(|(path, ..)| *path).filter(|path| cache.path().join(VERSION).join(path).exists()).collect()
}

fn cut(cache: &tempfile::TempDir, keep: Keep) -> Freed {
    prune(cache.path(), keep, &mut || panic!("nobody else is there")).unwrap()
}

#[test]
fn layers_are_counted_each_for_itself() {
    let cache = cache(&TREE);
    fs::create_dir(cache.path().join("v1/new")).unwrap();
    for name in ["v1/new/file", "v1/notes", "v1/new/.hidden", "beside"] {
        fs::write(cache.path().join(name), "four").unwrap();
    }
    let layers = usage(cache.path()).unwrap();
    let layer = |name: &str| layers.iter().find(|layer| layer.name == name).cloned().unwrap();
    assert_eq!(layer("downloads"), Layer { name: "downloads", files: 3, bytes: 300, oldest: Some(20) });
    assert_eq!(layer("release"), Layer { name: "release", files: 2, bytes: 20, oldest: Some(1) });
    assert_eq!((layer("payload").bytes, layer("base").bytes), (1000, 500));
    assert_eq!((layer("other").files, layer("other").bytes), (1, 4));
    assert_eq!(layer("tmp"), Layer { name: "tmp", files: 0, bytes: 0, oldest: None });
}

#[test]
fn what_was_used_longest_ago_goes_first_and_the_rest_stays() {
    let cache = cache(&TREE);
    assert_eq!(cut(&cache, Keep { most: Some(2000), since: None }), Freed { files: 0, bytes: 0, left: 1820 });
    // 20 seconds, then 40: the second is what makes it fit.
    let freed = cut(&cache, Keep { most: Some(1719), since: None });
    assert_eq!(freed, Freed { files: 2, bytes: 1100, left: 720 });
    assert_eq!(left(&cache), [TREE[0].0, TREE[2].0, TREE[4].0, TREE[5].0, TREE[6].0]);
    assert!(!cache.path().join("v1/payload/dd").exists() && cache.path().join("v1/payload").exists());
}

#[test]
fn release_files_are_the_last_to_go() {
    let cache = cache(&TREE);
    cut(&cache, Keep { most: Some(20), since: None });
    assert_eq!(left(&cache), [TREE[5].0, TREE[6].0]);
    cut(&cache, Keep { most: Some(19), since: None });
    assert_eq!(left(&cache), [TREE[6].0], "the one used last");
    assert_eq!(cut(&cache, Keep { most: Some(0), since: None }).left, 0);
}

#[test]
fn what_was_not_used_goes_but_the_newest_release() {
    let cache = cache(&TREE);
    cut(&cache, Keep { most: None, since: Some(50) });
    assert_eq!(left(&cache), [TREE[0].0, TREE[2].0, TREE[4].0, TREE[6].0]);
    cut(&cache, Keep { most: None, since: Some(1000) });
    assert_eq!(left(&cache), [TREE[6].0]);
}

#[test]
fn leftovers_go_always_and_what_is_not_ours_never() {
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
    assert_eq!(cut(&cache, Keep::default()), Freed { files: 1, bytes: 1, left: 1820 });
    assert!(!root.join("tmp/half").exists() && root.join("tmp").exists());
    assert_eq!(cut(&cache, Keep { most: Some(0), since: Some(i64::MAX) }).left, 0);
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
        let errors = [usage(path).unwrap_err(), prune(path, Keep::default(), &mut || ()).unwrap_err()];
        errors.iter().all(|error| matches!(error, Error::NoCache { .. }))
    };
    fs::write(cache.path().join("v1/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n").unwrap();
    assert!(refused(cache.path()), "a tag of somebody else");
    fs::write(cache.path().join("v1/CACHEDIR.TAG"), TAG).unwrap();
    let other = tempfile::tempdir().unwrap();
    assert!(refused(other.path()), "an empty directory");
    std::os::unix::fs::symlink(cache.path().join("v1"), other.path().join("v1")).unwrap();
    assert!(refused(other.path()), "a link");
    assert!(refused(&cache.path().join("v1/CACHEDIR.TAG")), "a file");
    let absent = other.path().join("absent");
    assert_eq!(prune(&absent, Keep::default(), &mut || ()).unwrap(), Freed::default());
    assert!(usage(&absent).unwrap().iter().all(|layer| layer.files == 0) && !absent.exists());
}

#[test]
fn it_waits_for_a_session_and_says_so() {
    let cache = cache(&TREE);
    let session = crate::cache::Cache::open(Some(cache.path()), Path::new("/nowhere")).unwrap();
    let (sender, said) = mpsc::channel();
    std::thread::scope(|scope| {
        let pruning =
            scope.spawn(|| prune(cache.path(), Keep { most: Some(0), since: None }, &mut || sender.send(()).unwrap()));
        said.recv().unwrap();
        assert_eq!(left(&cache).len(), TREE.len());
        drop(session);
        assert_eq!(pruning.join().unwrap().unwrap().left, 0);
    });
    assert!(left(&cache).is_empty() && said.try_recv().is_err());
}
