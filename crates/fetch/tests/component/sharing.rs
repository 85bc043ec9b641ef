//! Several sessions with one cache, like several processes: what one fetches, the others do not fetch.

use crate::world::*;
use rootstrap_fetch::{Error, Event, ListedDeb, Session};
use rootstrap_testkit::Files;
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::server::{Fault, Server};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Barrier;
use std::sync::atomic::Ordering;

/// A mirror of many packages, and its debs.
fn many(count: usize) -> (Files, Server, Vec<ListedDeb>) {
    let debs = (0..count).map(|n| Deb::new(&format!("p{n:02}"), "1").file("/f", 0o644, vec![b'x'; 20_000 * n]));
    let files = debs.fold(Archive::new("x").key(&KEY), |archive, deb| archive.deb("main", deb)).build();
    let server = Server::start(files.clone());
    let wanted = wanted_of(&files, &[server.url()]);
    (files, server, wanted)
}

fn path_of(cache: &tempfile::TempDir, wanted: &ListedDeb) -> std::path::PathBuf {
    let hex = wanted.digest.to_string();
    cache.path().join("v1/sha256").join(&hex[..2]).join(hex)
}

#[test]
fn everything_is_fetched_once() {
    let (files, server, _) = many(24);
    let cache = tempfile::tempdir().unwrap();
    let all = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let log = Log::default();
                let session = Session::open(options(cache.path())).unwrap();
                let asked = pocket("x", &[server.url()]);
                all.wait();
                let pockets = session.pockets(&[asked], &["amd64"], &keyring(), &POLICY, &log.report()).unwrap();
                let wanted = wanted(&pockets[0]);
                let mut got = fetch(&session, &wanted, &log).unwrap();
                got.sort();
                assert!(got.iter().map(|(position, _)| *position).eq(0..24));
                assert!(got.iter().all(|(position, bytes)| *bytes == files[&wanted[*position].path]));
                let bytes = |event| if let Event::DebBytes { bytes } = event { bytes } else { 0 };
                let (total, cached) = log.events().into_iter().fold((0, 0), |(total, cached), event| match event {
                    Event::DebsTotal { cached_bytes, .. } => (total, cached_bytes),
                    event => (total + bytes(event), cached),
                });
                let size: u64 = wanted.iter().map(|file| file.size).sum();
                assert_eq!(total, i64::try_from(size - cached).unwrap(), "the bytes of the events add up");
            });
        }
    });
    let mut times = BTreeMap::new();
    server.requests().into_iter().for_each(|request| *times.entry(request.path).or_insert(0) += 1);
    // Every session has to ask whether there is a newer Release.
    assert_eq!(times.remove("dists/x/InRelease"), Some(4));
    assert_eq!(times.len(), 25, "{times:?}");
    assert!(times.values().all(|count| *count == 1), "{times:?}");
    assert_eq!(fs::read_dir(cache.path().join("v1/tmp")).unwrap().count(), 0);
}

/// One session holds a file's lock and receives nothing. The other fetches all other files meanwhile, and that file when the first
/// session ends.
#[test]
fn a_cancelled_session_holds_up_nobody() {
    let (_, server, wanted) = many(3);
    let cache = tempfile::tempdir().unwrap();
    server.fault(&wanted[2].path, Fault::Stall, 1);
    let stalled = rootstrap_fetch::Options { jobs: 1, ..options(cache.path()) };
    let cancel = stalled.cancel.clone();
    let log = Log::default();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fetch(&Session::open(stalled).unwrap(), &wanted[2..], &Log::default()));
        while server.requests().is_empty() {
            std::thread::yield_now();
        }
        let session = Session::open(rootstrap_fetch::Options { jobs: 1, ..options(cache.path()) }).unwrap();
        let mut order = Vec::new();
        let outcome = session.debs(&wanted, &log.report(), &mut |position, _| {
            order.push(position);
            if order.len() == 2 {
                // The largest file would come first if its lock were free.
                assert_eq!(server.requests().len(), 3);
                cancel.store(true, Ordering::Relaxed);
            }
            std::ops::ControlFlow::Continue(())
        });
        outcome.unwrap();
        assert_eq!(order, [1, 0, 2]);
        assert!(matches!(first.join().unwrap(), Err(Error::Cancelled)));
    });
    assert_eq!(log.count(|event| matches!(event, Event::DebDone { .. })), 3);
}

/// Each cached file is handed over as soon as it is checked: damage that happens while the first is handed over is noticed.
#[test]
fn cached_files_are_handed_over_as_they_are_checked() {
    let (files, server, wanted) = many(24);
    let cache = tempfile::tempdir().unwrap();
    let session = Session::open(options(cache.path())).unwrap();
    fetch(&session, &wanted[1..], &Log::default()).unwrap();
    server.forget();
    let log = Log::default();
    let report = |event: Event| {
        if matches!(&event, Event::CacheHit { what } if *what == wanted[1].label) {
            let path = path_of(&cache, &wanted[23]);
            fs::write(&path, vec![0; fs::metadata(&path).unwrap().len().try_into().unwrap()]).unwrap();
        }
        log.report()(event);
    };
    let (mut got, mut order) = (Vec::new(), Vec::new());
    session
        .debs(&wanted, &report, &mut |position, deb| {
            order.push((position, deb.is_cached()));
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut deb.open().unwrap(), &mut bytes).unwrap();
            got.push(bytes == files[&wanted[position].path]);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert!(got.len() == 24 && got.iter().all(|right| *right));
    let cached: Vec<usize> = order.iter().filter(|(_, cached)| *cached).map(|(position, _)| *position).collect();
    assert_eq!(cached, (1..23).collect::<Vec<_>>(), "in the order of the request");
    let mut asked: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    asked.sort();
    assert_eq!(asked, [wanted[0].path.clone(), wanted[23].path.clone()]);
    let total = Event::DebsTotal {
        count: 24,
        bytes: wanted.iter().map(|file| file.size).sum(),
        cached_count: 23,
        cached_bytes: wanted[1..].iter().map(|file| file.size).sum(),
    };
    assert_eq!(log.events()[0], total);
}
