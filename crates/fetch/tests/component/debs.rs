//! Debs from a mirror that misbehaves.

use crate::world::*;
use rootstrap_fetch::{Error, Event, ListedDeb, Options, Session};
use rootstrap_testkit::Files;
use rootstrap_testkit::server::{Fault, Server};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A mirror, its debs (by name, so the large one first), and an empty cache.
struct Scene {
    files: Files,
    server: Server,
    wanted: Vec<ListedDeb>,
    cache: TempDir,
    log: Log,
}

fn scene() -> Scene {
    let files = archive().build();
    let server = Server::start(files.clone());
    let wanted = wanted_of(&files, &[server.url()]);
    assert!(wanted[0].size > 1_000_000 && wanted[1].size < 10_000);
    Scene { files, server, wanted, cache: tempfile::tempdir().unwrap(), log: Log::default() }
}

impl Scene {
    fn fetch(&self, wanted: &[ListedDeb]) -> Result<Vec<(usize, Vec<u8>)>, Error> {
        fetch(&Session::open(options(self.cache.path())).unwrap(), wanted, &self.log)
    }

    fn content(&self, wanted: &ListedDeb) -> &[u8] {
        &self.files[&wanted.path]
    }

    fn has_large(&self, got: &[(usize, Vec<u8>)]) -> bool {
        got.len() == 1 && got[0].0 == 0 && got[0].1 == self.content(&self.wanted[0])
    }

    fn retries(&self) -> usize {
        self.log.count(|event| matches!(event, Event::Retry { .. }))
    }

    /// Returns the sum of the bytes of all events.
    fn bytes(&self) -> i64 {
        let of = |event| if let Event::DebBytes { bytes } = event { bytes } else { 0 };
        self.log.events().into_iter().map(of).sum()
    }
}

#[test]
fn the_largest_deb_comes_first_and_each_has_its_position() {
    let scene = scene();
    let wanted: Vec<ListedDeb> = scene.wanted.iter().rev().cloned().collect();
    let options = Options { jobs: 1, ..options(scene.cache.path()) };
    let got = fetch(&Session::open(options).unwrap(), &wanted, &scene.log).unwrap();
    assert_eq!(got.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1, 0]);
    assert!(got.iter().all(|(position, bytes)| bytes == scene.content(&wanted[*position])));
    let total: u64 = wanted.iter().map(|w| w.size).sum();
    assert_eq!(scene.bytes(), i64::try_from(total).unwrap());
    let first = Event::DebsTotal { count: 2, bytes: total, cached_count: 0, cached_bytes: 0 };
    assert_eq!(scene.log.events()[0], first);
}

#[test]
fn a_broken_transfer_is_resumed() {
    let scene = scene();
    scene.server.fault(&scene.wanted[0].path, Fault::DropAfter(100_000), 1);
    assert!(scene.has_large(&scene.fetch(&scene.wanted[..1]).unwrap()));
    let ranges: Vec<_> = scene.server.requests().into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned())]);
    assert_eq!(scene.bytes(), i64::try_from(scene.wanted[0].size).unwrap());
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_from_the_start() {
    let scene = scene();
    let (path, right) = (&scene.wanted[0].path, scene.content(&scene.wanted[0]));
    scene.server.set(path, right.iter().map(|byte| !byte).collect());
    scene.server.fault(path, Fault::DropAfter(100_000), 1);
    let session = Session::open(options(scene.cache.path())).unwrap();
    let report = |event: Event| {
        if matches!(event, Event::Retry { .. }) {
            scene.server.set(path, right.to_vec());
        }
        scene.log.report()(event);
    };
    let mut count = 0;
    let ready = &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    };
    session.debs(&scene.wanted[..1], &report, ready).unwrap();
    assert_eq!((count, scene.retries()), (1, 1));
    assert_eq!(
        scene.bytes(),
        i64::try_from(scene.wanted[0].size).unwrap(),
        "bytes that are received again are taken back"
    );
}

#[test]
fn transient_failures_are_retried() {
    for (fault, times) in [(Fault::Status(503), 2), (Fault::Refuse, 1), (Fault::Status(429), 1), (Fault::Corrupt, 1)] {
        let scene = scene();
        scene.server.fault(&scene.wanted[0].path, fault.clone(), times);
        assert!(scene.has_large(&scene.fetch(&scene.wanted[..1]).unwrap()), "{fault:?}");
        // The client itself repeats a request on a connection that was kept alive; this connection is new.
        assert_eq!(scene.retries(), times, "{fault:?}");
    }
}

#[test]
fn permanent_failures_are_errors() {
    let cases = [
        (Fault::Status(503), false, "the server answered 503", 3),
        (Fault::Status(403), false, "the server answered 403", 1),
        (Fault::Status(404), false, "not found", 1),
        (Fault::Corrupt, true, "its SHA256 is", 2),
        (Fault::Truncate(10), true, "it has 10 bytes instead of", 2),
        (Fault::Endless, true, "it has more than", 2),
    ];
    for (fault, is_verification, text, requests) in cases {
        let scene = scene();
        scene.server.fault(&scene.wanted[0].path, fault.clone(), 99);
        let error = scene.fetch(&scene.wanted[..1]).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot fetch {}", scene.wanted[0].label));
        assert!(cause(&error).contains(text), "{fault:?}: {}", cause(&error));
        assert_eq!(error.is_verification(), is_verification, "{fault:?}");
        assert_eq!(scene.server.requests().len(), requests, "{fault:?}");
        let left = std::fs::read_dir(scene.cache.path().join("v1/tmp")).unwrap().count();
        assert!(left == 0 && !scene.cache.path().join("v1/sha256").exists(), "{fault:?}: a file was left");
    }
}

#[test]
fn the_next_mirror_resumes_what_the_first_sent() {
    let scene = scene();
    let second = Server::start(scene.files.clone());
    let path = &scene.wanted[0].path;
    scene.server.fault(path, Fault::DropAfter(100_000), 1);
    scene.server.fault(path, Fault::Status(500), 99);
    let wanted = ListedDeb { mirrors: vec![scene.server.url(), second.url()], ..scene.wanted[0].clone() };
    assert!(scene.has_large(&scene.fetch(&[wanted]).unwrap()));
    assert_eq!(second.requests()[0].range.as_deref(), Some("bytes=100000-"));
    assert_eq!(scene.log.count(|event| matches!(event, Event::MirrorFailed { next: Some(_), .. })), 1);
}

#[test]
fn a_failed_mirror_is_asked_last_from_then_on() {
    let scene = scene();
    let second = Server::start(scene.files.clone());
    let mirrors = vec![scene.server.url(), second.url()];
    for wanted in &scene.wanted {
        scene.server.fault(&wanted.path, Fault::Status(500), 99);
    }
    let wanted: Vec<ListedDeb> =
        scene.wanted.iter().map(|w| ListedDeb { mirrors: mirrors.clone(), ..w.clone() }).collect();
    let options = Options { jobs: 1, ..options(scene.cache.path()) };
    assert_eq!(fetch(&Session::open(options).unwrap(), &wanted, &scene.log).unwrap().len(), 2);
    assert!(scene.server.requests().iter().all(|request| request.path == wanted[0].path));
}

#[test]
fn a_stalled_transfer_is_retried() {
    let scene = scene();
    scene.server.fault(&scene.wanted[0].path, Fault::Stall, 1);
    let mut options = options(scene.cache.path());
    options.http.timeouts.stall = Duration::from_millis(200);
    let got = fetch(&Session::open(options).unwrap(), &scene.wanted[..1], &scene.log).unwrap();
    assert!(scene.has_large(&got));
    assert_eq!(scene.retries(), 1);
}

#[test]
fn cancelling_ends_even_a_stalled_transfer() {
    let scene = scene();
    scene.server.fault(&scene.wanted[0].path, Fault::Stall, 9);
    let options = options(scene.cache.path());
    let cancel = options.cancel.clone();
    let session = Session::open(options).unwrap();
    let started = Instant::now();
    let outcome =
        session.debs(&scene.wanted, &|_| cancel.store(true, Ordering::Relaxed), &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(10), "the stall timeout is 30 s");
    let asked = pocket("x", &[scene.server.url()]);
    assert!(matches!(session.pockets(&[asked], &["amd64"], &keyring(), &POLICY, &|_| ()), Err(Error::Cancelled)));
}

#[test]
fn the_caller_can_stop_after_the_first_deb() {
    let scene = scene();
    scene.server.fault(&scene.wanted[0].path, Fault::Stall, 9);
    let session = Session::open(options(scene.cache.path())).unwrap();
    let mut count = 0;
    let ready = &mut |_, _| {
        count += 1;
        ControlFlow::Break(())
    };
    session.debs(&scene.wanted, &|_| (), ready).unwrap();
    assert_eq!(count, 1, "only the small deb is there while the large one stalls");
}

#[test]
fn redirects_are_followed_up_to_a_limit() {
    let scene = scene();
    let path = &scene.wanted[0].path;
    scene.server.set("elsewhere", scene.content(&scene.wanted[0]).to_vec());
    scene.server.fault(path, Fault::Redirect("/elsewhere".into()), 1);
    assert!(scene.has_large(&scene.fetch(&scene.wanted[..1]).unwrap()));
    scene.server.fault("around", Fault::Redirect("/around".into()), 99);
    let lost = ListedDeb { path: "around".into(), ..scene.wanted[1].clone() };
    let error = scene.fetch(&[lost]).unwrap_err();
    assert!(cause(&error).contains("too many redirects"), "{}", cause(&error));
}

#[test]
fn directories_are_mirrors() {
    let scene = scene();
    let mirror = tempfile::tempdir().unwrap();
    for (path, bytes) in &scene.files {
        let path = mirror.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    for scheme in ["file://", "file:", "copy:"] {
        let cache = tempfile::tempdir().unwrap();
        let session = Session::open(Options { offline: true, ..options(cache.path()) }).unwrap();
        let asked = pocket("x", &[format!("{scheme}{}/", mirror.path().display())]);
        let pockets = session.pockets(&[asked], &["amd64"], &keyring(), &POLICY, &|_| ()).unwrap();
        assert_eq!(fetch(&session, &wanted(&pockets[0]), &scene.log).unwrap().len(), 2, "{scheme}");
    }
    let uri = format!("file:{}", mirror.path().display());
    let directory = ListedDeb { path: "pool".into(), mirrors: vec![uri], ..scene.wanted[0].clone() };
    assert!(cause(&scene.fetch(&[directory]).unwrap_err()).contains("not found"));
}

#[test]
fn a_prefetched_deb_is_not_fetched_again() {
    let scene = scene();
    let session = Session::open(options(scene.cache.path())).unwrap();
    session.prefetch(&scene.wanted);
    let mut cached = Vec::new();
    let mut got = Vec::new();
    session
        .debs(&scene.wanted, &scene.log.report(), &mut |position, deb| {
            cached.push(deb.is_cached());
            got.push(position);
            ControlFlow::Continue(())
        })
        .unwrap();
    got.sort_unstable();
    assert_eq!((got, cached), (vec![0, 1], vec![false, false]));
    for wanted in &scene.wanted {
        let requests = scene.server.requests();
        assert_eq!(requests.iter().filter(|request| request.path == wanted.path).count(), 1, "{}", wanted.label);
    }
    let total: u64 = scene.wanted.iter().map(|wanted| wanted.size).sum();
    assert_eq!(scene.bytes(), i64::try_from(total).unwrap());
    // Files in the cache are not prefetched.
    session.prefetch(&scene.wanted);
    assert_eq!(fetch(&session, &scene.wanted, &scene.log).unwrap().len(), 2);
    assert_eq!(scene.server.requests().len(), 2);
}

#[test]
fn a_prefetch_that_is_not_needed_is_stopped() {
    let scene = scene();
    let session = Session::open(options(scene.cache.path())).unwrap();
    scene.server.fault(&scene.wanted[0].path, Fault::Stall, usize::MAX);
    session.prefetch(&scene.wanted);
    let got = fetch(&session, &scene.wanted[1..], &scene.log).unwrap();
    assert_eq!(got.len(), 1);
    drop(session);
    let left = std::fs::read_dir(scene.cache.path().join("v1/tmp")).unwrap().count();
    assert_eq!(left, 0, "a temporary file was left");
}

#[test]
fn a_failed_prefetch_is_repeated_with_events() {
    let scene = scene();
    let session = Session::open(options(scene.cache.path())).unwrap();
    // The prefetch has no events; the download after it is an ordinary one.
    scene.server.fault(&scene.wanted[0].path, Fault::DropAfter(100_000), 2);
    session.prefetch(&scene.wanted[..1]);
    assert!(scene.has_large(&fetch(&session, &scene.wanted[..1], &scene.log).unwrap()));
    assert_eq!(scene.retries(), 1);
    let ranges: Vec<_> = scene.server.requests().into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [None, None, Some("bytes=100000-".to_owned())]);
}
