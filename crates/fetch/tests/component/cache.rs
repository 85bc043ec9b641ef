//! What a second run does not fetch again, and what it checks again.

use crate::world::*;
use rootstrap_fetch::{Error, Event, Options, Policy, Session};
use rootstrap_testkit::compress::Compression;
use rootstrap_testkit::server::Server;
use std::fs;
use std::path::PathBuf;

/// Returns the files below `sha256/`.
fn stored(cache: &tempfile::TempDir) -> Vec<PathBuf> {
    let shelves = fs::read_dir(cache.path().join("v1/sha256")).unwrap();
    shelves.flat_map(|shelf| fs::read_dir(shelf.unwrap().path()).unwrap()).map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_second_run_only_asks_for_the_release() {
    let server = Server::start(archive().build());
    let cache = tempfile::tempdir().unwrap();
    let run = |log: &Log| {
        let session = Session::open(options(cache.path())).unwrap();
        let asked = pocket("x", &[server.url()]);
        let pockets = session.pockets(&[asked], &["amd64"], &keyring(), &POLICY, &log.report()).unwrap();
        fetch(&session, &wanted(&pockets[0]), log).unwrap().len()
    };
    assert_eq!(run(&Log::default()), 2);
    server.forget();
    let log = Log::default();
    assert_eq!(run(&log), 2);
    assert_eq!(server.requests().iter().map(|r| r.path.as_str()).collect::<Vec<_>>(), ["dists/x/InRelease"]);
    assert_eq!(log.count(|event| matches!(event, Event::CacheHit { .. })), 3);
    assert!(cache.path().join("v1/CACHEDIR.TAG").exists());
}

#[test]
fn damaged_files_are_fetched_again() {
    // The archive has one form of the index. Of several, the speed of the link decides which one a run fetches, and the damaged
    // file of another form would stay in the cache.
    let server = Server::start(but(archive(), |archive| archive.forms = vec![Compression::Gz]).build());
    let cache = tempfile::tempdir().unwrap();
    let run = || {
        // With a parsed index in the cache, the index itself would not be read.
        let _ = fs::remove_dir_all(cache.path().join("v1/index"));
        let session = Session::open(options(cache.path())).unwrap();
        let asked = pocket("x", &[server.url()]);
        let pockets = session.pockets(&[asked], &["amd64"], &keyring(), &POLICY, &|_| ()).unwrap();
        fetch(&session, &wanted(&pockets[0]), &Log::default()).unwrap().len()
    };
    run();
    for path in stored(&cache) {
        fs::write(path, "short").unwrap();
    }
    assert_eq!(run(), 2);
    // Files of the right length are hashed.
    let zeros = |path: &PathBuf| vec![0; usize::try_from(fs::metadata(path).unwrap().len()).unwrap()];
    for path in stored(&cache) {
        fs::write(&path, zeros(&path)).unwrap();
    }
    assert_eq!(run(), 2);
    assert!(stored(&cache).iter().all(|path| fs::read(path).unwrap() != zeros(path)));
}

#[test]
fn offline_runs_use_the_cache_alone() {
    let server = Server::start(archive().build());
    let cache = tempfile::tempdir().unwrap();
    let mirrors = [server.url()];
    let run = |policy: &Policy| {
        let session = Session::open(Options { offline: true, ..options(cache.path()) }).unwrap();
        let pockets = session.pockets(&[pocket("x", &mirrors)], &["amd64"], &keyring(), policy, &|_| ())?;
        fetch(&session, &wanted(&pockets[0]), &Log::default())
    };
    let error = run(&POLICY).unwrap_err();
    assert!(matches!(&error, Error::Offline { what } if what.contains("Release file of x")), "{error:?}");
    assert!(error.hint().unwrap().contains("--offline"));
    ask_with(options(cache.path()), &pocket("x", &mirrors), &keyring(), &POLICY, &Log::default()).unwrap();
    let error = run(&POLICY).unwrap_err();
    assert!(matches!(&error, Error::Offline { what } if what == "large" || what == "small"), "{error:?}");
    fetch(&Session::open(options(cache.path())).unwrap(), &wanted_of(&archive().build(), &mirrors), &Log::default())
        .unwrap();
    server.forget();
    drop(server);
    assert_eq!(run(&POLICY).unwrap().len(), 2);
    // A stored Release is verified again.
    for entry in fs::read_dir(cache.path().join("v1/release/x")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().replace("Codename: x", "Codename: y");
        fs::write(path, text).unwrap();
    }
    assert!(matches!(run(&POLICY), Err(Error::Signature { .. })));
}

#[test]
fn sessions_can_share_a_cache() {
    let server = Server::start(archive().build());
    let cache = tempfile::tempdir().unwrap();
    let files = archive().build();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let session = Session::open(options(cache.path())).unwrap();
                let wanted = wanted_of(&files, &[server.url()]);
                let got = fetch(&session, &wanted, &Log::default()).unwrap();
                assert_eq!(got.len(), 2);
                assert!(got.iter().all(|(position, bytes)| *bytes == files[&wanted[*position].path]));
            });
        }
    });
    assert_eq!(stored(&cache).len(), 2);
    assert_eq!(fs::read_dir(cache.path().join("v1/tmp")).unwrap().count(), 0);
}

#[test]
fn a_private_cache_is_removed() {
    let server = Server::start(archive().build());
    let temporary = tempfile::tempdir().unwrap();
    let session =
        Session::open(Options { cache: None, temporary: temporary.path().to_owned(), ..options(temporary.path()) });
    let session = session.unwrap();
    assert_eq!(fetch(&session, &wanted_of(&archive().build(), &[server.url()]), &Log::default()).unwrap().len(), 2);
    drop(session);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// A deb that was verified a moment ago may be another one by now, where somebody else can write.
#[test]
fn a_deb_of_a_shared_cache_is_verified_when_it_is_opened() {
    use rootstrap_testkit::{HostileClass, hostile_case};
    use std::os::unix::fs::PermissionsExt;
    for (is_shared, what) in [(false, "own"), (true, "shared")] {
        hostile_case(HostileClass::Host, &format!("cache: a deb of a {what} cache is changed after it was verified"));
        let files = archive().build();
        let server = Server::start(files.clone());
        let cache = tempfile::tempdir().unwrap();
        if is_shared {
            std::fs::set_permissions(cache.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let session = Session::open(options(cache.path())).unwrap();
        assert_eq!(session.cache().distrust().is_some(), is_shared);
        let log = Log::default();
        let wanted = wanted_of(&files, &[server.url()]);
        session
            .debs(&wanted, &log.report(), &mut |_, deb| {
                let mut bytes = std::fs::read(deb.path()).unwrap();
                assert!(deb.open().is_some());
                bytes[9] ^= 1;
                std::fs::write(deb.path(), &bytes).unwrap();
                assert_eq!(deb.open().is_none(), is_shared, "{what}");
                std::fs::remove_file(deb.path()).unwrap();
                assert!(deb.open().is_none());
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
    }
}
