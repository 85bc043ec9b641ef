//! Mirrors and networks that fail, stall and lie. Each case ends with the right bytes or with an error, within a bounded number of
//! requests, and the cache holds nothing else.

use super::{Scene, archive};
use crate::world::*;
use rootstrap_fetch::{Error, Event, ListedDeb, Options, Session};
use rootstrap_testkit::archive::Signing;
use rootstrap_testkit::server::{Fault, Server};
use rootstrap_testkit::{Files, HostileClass, hostile_case};
use std::time::Duration;

/// A mirror and its small package.
struct Mirror {
    files: Files,
    server: Server,
    deb: ListedDeb,
}

impl Mirror {
    fn new() -> Mirror {
        let files = archive().build();
        let server = Server::start(files.clone());
        let deb = wanted_of(&files, &[server.url()]).into_iter().find(|deb| deb.size < 10_000).unwrap();
        Mirror { files, server, deb }
    }

    /// Fetches the package. Returns its bytes and how many requests it took.
    fn fetch(&self, options: Options, mirrors: &[&Server]) -> Result<Vec<u8>, Error> {
        let mirrors = mirrors.iter().map(|server| server.url()).collect();
        let deb = ListedDeb { mirrors, ..self.deb.clone() };
        Ok(fetch(&Session::open(options)?, &[deb], &Log::default())?.remove(0).1)
    }

    fn right(&self) -> &Vec<u8> {
        &self.files[&self.deb.path]
    }
}

/// Short limits, so that no test waits for a mirror that never answers.
fn impatient(scene: &Scene) -> Options {
    let mut options = scene.options();
    let timeouts = &mut options.http.timeouts;
    timeouts.stall = Duration::from_millis(300);
    timeouts.connect = Duration::from_millis(300);
    (timeouts.rate_window, timeouts.minimum_rate) = (Duration::from_millis(200), 100_000);
    options.brief_timeouts = *timeouts;
    options
}

#[test]
fn one_mirror_that_fails_for_good() {
    let html = Fault::Page("<html>log in first</html>".to_owned());
    let elsewhere = |target: &str| Fault::Redirect(target.to_owned());
    // (the fault, a part of the message, whether the program ends with 3)
    for (name, fault, text, is_verification) in [
        ("a connection that is closed", Fault::Refuse, "", false),
        ("a page in place of a package", html, "bytes instead of", true),
        ("an answer of 403", Fault::Status(403), "the server answered 403", false),
        ("an answer of 404", Fault::Status(404), "not found", false),
        ("an answer of 410", Fault::Status(410), "not found", false),
        ("an answer of 416", Fault::Status(416), "the server answered 416", false),
        ("an answer of 429", Fault::Status(429), "the server answered 429", false),
        ("an answer of 500", Fault::Status(500), "the server answered 500", false),
        ("an answer of 503", Fault::Status(503), "the server answered 503", false),
        ("a Content-Length that is too small", Fault::WrongLength(-1), "bytes instead of", true),
        ("a Content-Length that is too large", Fault::WrongLength(1), "bytes instead of", true),
        ("a body without end", Fault::Endless, "more than", true),
        ("another content", Fault::Corrupt, "SHA256", true),
        ("a redirect to itself", elsewhere("/around"), "too many redirects", false),
        ("a redirect to a file", elsewhere("file:///etc/passwd"), "", false),
        ("a redirect to ftp", elsewhere("ftp://127.0.0.1/x"), "neither http nor https", false),
        ("a redirect to a host that does not exist", elsewhere("http://mirror.invalid/x"), "", false),
        ("a redirect to nowhere", elsewhere("http://"), "", false),
        ("a body that stalls", Fault::Stall, "nothing moved for", false),
        ("a body that trickles", Fault::Trickle(Duration::from_millis(20)), "only ", false),
    ] {
        hostile_case(HostileClass::Network, name);
        let (scene, mirror) = (Scene::new(), Mirror::new());
        mirror.server.fault(&mirror.deb.path, fault, usize::MAX);
        mirror.server.fault("around", Fault::Redirect("/around".to_owned()), usize::MAX);
        let error = mirror.fetch(impatient(&scene), &[&mirror.server]).unwrap_err();
        assert!(cause(&error).contains(text), "{name}: {}", cause(&error));
        assert_eq!(error.is_verification(), is_verification, "{name}: {error:?}");
        assert!(error.hint().is_some(), "{name}");
        assert!(mirror.server.requests().len() <= 9, "{name}: {} requests", mirror.server.requests().len());
        scene.check(name);
    }
}

#[test]
fn a_mirror_that_fails_before_a_healthy_one() {
    for (name, fault) in [
        ("a mirror that closes connections", Fault::Refuse),
        ("a mirror that answers 403", Fault::Status(403)),
        ("a mirror that answers 503", Fault::Status(503)),
        ("a mirror that asks for an hour", Fault::StatusWith(503, "Retry-After: 3600\r\n".to_owned())),
        ("a mirror that asks for an hour, with 429", Fault::StatusWith(429, "Retry-After: 3600\r\n".to_owned())),
        ("a mirror that sends pages", Fault::Page("<html></html>".to_owned())),
        ("a mirror that sends other bytes", Fault::Corrupt),
        ("a mirror that sends no more bytes", Fault::Stall),
        ("a mirror that sends a byte now and then", Fault::Trickle(Duration::from_millis(20))),
        ("a mirror that says less than it sends", Fault::WrongLength(-1)),
        ("a mirror that breaks off", Fault::DropAfter(100)),
    ] {
        hostile_case(HostileClass::Network, name);
        let (scene, mirror) = (Scene::new(), Mirror::new());
        let healthy = Server::start(mirror.files.clone());
        mirror.server.fault(&mirror.deb.path, fault, usize::MAX);
        let got = mirror.fetch(impatient(&scene), &[&mirror.server, &healthy]).unwrap();
        assert!(got == *mirror.right(), "{name}");
        assert_eq!(healthy.requests().len(), 1, "{name}");
        scene.check(name);
    }
}

/// The usual limits are much longer than a test may take, so it succeeds only if a slow mirror is left at the brief ones.
#[test]
fn a_slow_mirror_does_not_hold_up_a_healthy_one() {
    let brief = |scene: &Scene| {
        let mut options = scene.options();
        options.brief_timeouts.stall = Duration::from_millis(100);
        options.brief_timeouts.connect = Duration::from_millis(50);
        options.brief_timeouts.rate_window = Duration::from_millis(100);
        options.brief_timeouts.minimum_rate = 1_000_000;
        options
    };
    let trickle = || Fault::Trickle(Duration::from_millis(10));
    for (name, fault) in [("a silent mirror", Fault::Stall), ("a mirror that drips", trickle())] {
        // For packages, and for the files of the suite.
        hostile_case(HostileClass::Network, &format!("{name} before a healthy one"));
        let (scene, mirror) = (Scene::new(), Mirror::new());
        let healthy = Server::start(mirror.files.clone());
        for path in mirror.files.keys() {
            mirror.server.fault(path, fault.clone(), usize::MAX);
        }
        assert!(mirror.fetch(brief(&scene), &[&mirror.server, &healthy]).unwrap() == *mirror.right());
        assert_eq!(mirror.server.requests().len(), 1, "{name}: it is not asked again");
        mirror.server.forget();
        let asked = pocket("x", &[mirror.server.url(), healthy.url()]);
        let log = Log::default();
        let got = ask_with(brief(&scene), &asked, &keyring(), &POLICY, &log).unwrap();
        assert_eq!(got.mirror(), healthy.url());
        assert_eq!(mirror.server.requests().len(), 1, "{name}: {:?}", mirror.server.requests());
        // A download that begins before the plan exists does not wait longer.
        let session = Session::open(Options { cache: None, ..brief(&scene) }).unwrap();
        let deb = ListedDeb { mirrors: vec![mirror.server.url(), healthy.url()], ..mirror.deb.clone() };
        session.prefetch(std::slice::from_ref(&deb));
        assert_eq!(fetch(&session, &[deb], &Log::default()).unwrap().len(), 1);
    }
}

/// A mirror that is slow and honest is not given up where there is no better one.
#[test]
fn a_slow_mirror_is_asked_again_when_the_others_fail() {
    for (name, fault) in [("closed", Fault::Refuse), ("missing", Fault::Status(404)), ("wrong", Fault::Corrupt)] {
        hostile_case(HostileClass::Network, &format!("a slow mirror before one where everything is {name}"));
        let (scene, mirror) = (Scene::new(), Mirror::new());
        let other = Server::start(mirror.files.clone());
        other.fault(&mirror.deb.path, fault.clone(), usize::MAX);
        other.fault("dists/x/InRelease", fault.clone(), usize::MAX);
        other.fault("dists/x/Release", fault, usize::MAX);
        let mut options = scene.options();
        (options.brief_timeouts.stall, options.brief_timeouts.connect) = (Duration::ZERO, Duration::from_millis(50));
        for path in [&mirror.deb.path, "dists/x/InRelease"] {
            mirror.server.fault(path, Fault::Stall, 1);
        }
        options.brief_timeouts.stall = Duration::from_millis(50);
        assert!(mirror.fetch(options.clone(), &[&mirror.server, &other]).unwrap() == *mirror.right(), "{name}");
        let asked = pocket("x", &[mirror.server.url(), other.url()]);
        let got = ask_with(options, &asked, &keyring(), &POLICY, &Log::default()).unwrap();
        assert_eq!(got.mirror(), mirror.server.url());
    }
}

#[test]
fn a_transfer_that_breaks_off_at_every_kilobyte() {
    let (scene, mirror) = (Scene::new(), Mirror::new());
    let piece: Vec<u8> = (0..10_240u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let digest = rootstrap_testkit::archive::Digest::Sha256.hex(&piece);
    let deb = ListedDeb {
        label: "piece".to_owned(),
        path: "pool/piece.deb".to_owned(),
        size: piece.len() as u64,
        digest: rootstrap_debian::digest::Digest::parse(&digest).unwrap(),
        mirrors: vec![mirror.server.url()],
    };
    mirror.server.set(&deb.path, piece.clone());
    for kilobyte in 0..40usize {
        hostile_case(HostileClass::Network, &format!("a reset after {kilobyte} KiB"));
        mirror.server.fault(&deb.path, Fault::DropAfter(kilobyte << 10), 1);
        let cache = tempfile::tempdir().unwrap();
        let options = Options { cache: Some(cache.path().to_owned()), ..scene.options() };
        let got = fetch(&Session::open(options).unwrap(), std::slice::from_ref(&deb), &Log::default()).unwrap();
        assert!(got[0].1 == piece, "{kilobyte}");
    }
    // Each transfer goes on where the one before it ended.
    hostile_case(HostileClass::Network, "a reset after every kilobyte of one transfer");
    let options = impatient(&scene);
    let options = Options { http: rootstrap_http::Options { retries: many(), ..options.http.clone() }, ..options };
    mirror.server.forget();
    mirror.server.fault(&deb.path, Fault::DropAfter(1 << 10), 39);
    let got = fetch(&Session::open(options).unwrap(), std::slice::from_ref(&deb), &Log::default()).unwrap();
    assert!(got[0].1 == piece);
    let ranges: Vec<_> = mirror.server.requests().into_iter().filter_map(|request| request.range).collect();
    assert_eq!(ranges, (1..40usize).map(|k| format!("bytes={}-", k << 10)).collect::<Vec<_>>());
}

fn many() -> rootstrap_http::Retries {
    let wait = Duration::from_millis(1);
    rootstrap_http::Retries { count: 100, first_wait: wait, longest_wait: wait }
}

#[test]
fn ranges_that_are_not_the_requested_ones() {
    for (name, second) in [
        ("another range", Fault::ShiftedRange(7)),
        ("no such range", Fault::Status(416)),
        ("the whole file in place of a range", Fault::WrongLength(0)),
        ("a page in place of a range", Fault::Page("<html></html>".to_owned())),
    ] {
        hostile_case(HostileClass::Network, name);
        let (scene, mirror) = (Scene::new(), Mirror::new());
        mirror.server.fault(&mirror.deb.path, Fault::DropAfter(100), 1);
        mirror.server.fault(&mirror.deb.path, second, 1);
        let got = mirror.fetch(impatient(&scene), &[&mirror.server]).unwrap();
        assert!(got == *mirror.right(), "{name}");
        scene.check(name);
    }
}

/// The mirror is updated between two requests of one run.
#[test]
fn a_mirror_that_changes_between_requests() {
    let newer = || but(archive(), |archive| archive.date += 60);
    let more = || newer().deb("main", rootstrap_testkit::deb::Deb::new("more", "1"));
    for (name, keeps_old) in [("with the old index by its digest", true), ("without the old index", false)] {
        hostile_case(HostileClass::Network, &format!("an update between Release and index, {name}"));
        let scene = Scene::new();
        // The old Release, and the files of the next update.
        let (old, mut files) = (archive().build(), more().build());
        for (path, bytes) in &old {
            if path.ends_with("Release") || path.ends_with(".gpg") || (keeps_old && path.contains("by-hash")) {
                files.insert(path.clone(), bytes.clone());
            }
        }
        let server = Server::start(files);
        let asked = pocket("x", &[server.url()]);
        let got = ask_with(scene.options(), &asked, &keyring(), &POLICY, &Log::default());
        match got {
            Ok(pocket) => assert!(keeps_old && wanted(&pocket).len() == 1, "{name}"),
            Err(error) => assert!(!keeps_old && error.is_verification(), "{name}: {error:?}"),
        }
        scene.succeeds_afterwards(name);
    }
    hostile_case(HostileClass::Network, "an index by its digest that is gone");
    let mut files = archive().build();
    files.retain(|path, _| !path.contains("by-hash"));
    let server = Server::start(files);
    assert!(ask(&pocket("x", &[server.url()]), &keyring()).is_ok());
}

/// Object stores answer 403 for a file that does not exist.
#[test]
fn an_inrelease_that_is_forbidden() {
    for status in [403, 404, 410, 451] {
        hostile_case(HostileClass::Network, &format!("an InRelease that is answered with {status}"));
        let scene = Scene::new();
        let server = Server::start(but(archive(), |archive| archive.signing = Signing::Both).build());
        server.fault("dists/x/InRelease", Fault::Status(status), usize::MAX);
        let asked = pocket("x", &[server.url()]);
        let got = ask_with(scene.options(), &asked, &keyring(), &POLICY, &Log::default());
        got.unwrap_or_else(|error| panic!("{status}: {error:?}"));
    }
    // If there is no Release either, the first answer is the one to report, and an optional pocket is not left out for it.
    let server = Server::start(Files::new());
    server.fault("dists/x/InRelease", Fault::Status(403), usize::MAX);
    let asked = rootstrap_fetch::Pocket { optional: true, ..pocket("x", &[server.url()]) };
    let error = ask(&asked, &keyring()).unwrap_err();
    assert!(cause(&error).contains("the server answered 403"), "{error:?}");
}

/// The same for the forms of an index, of which a Release may list more than the mirror has.
#[test]
fn a_form_of_an_index_that_is_forbidden() {
    for form in [".gz", ".xz"] {
        hostile_case(HostileClass::Network, &format!("an index as {form} that is answered with 403"));
        let scene = Scene::new();
        let files = but(archive(), |archive| archive.acquire_by_hash = false).build();
        let server = Server::start(files.clone());
        for path in files.keys().filter(|path| path.ends_with(form)) {
            server.fault(path, Fault::Status(403), usize::MAX);
        }
        let asked = pocket("x", &[server.url()]);
        let got = ask_with(scene.options(), &asked, &keyring(), &POLICY, &Log::default());
        got.unwrap_or_else(|error| panic!("{form}: {error:?}"));
    }
}

/// A second mirror that is older, or of another archive, does not replace what the first sent.
#[test]
fn mirrors_that_disagree() {
    hostile_case(HostileClass::Network, "a stale mirror before a current one");
    let scene = Scene::new();
    let stale = Server::start(but(archive(), |archive| archive.date -= 86_400).build());
    let current = Server::start(archive().build());
    let asked = pocket("x", &[stale.url(), current.url()]);
    let log = Log::default();
    let got = ask_with(scene.options(), &asked, &keyring(), &POLICY, &log).unwrap();
    assert_eq!(got.mirror(), current.url());
    assert_eq!(log.count(|event| matches!(event, Event::MirrorFailed { .. })), 1);
}

#[test]
fn credentials_stay_with_their_origin() {
    for (name, target) in [("another port", true), ("the same origin", false)] {
        hostile_case(HostileClass::Network, &format!("a redirect with a password to {name}"));
        let (scene, mirror) = (Scene::new(), Mirror::new());
        let other = Server::start(mirror.files.clone());
        mirror.server.set("copy", mirror.right().clone());
        let to = if target { format!("{}/{}", other.url(), mirror.deb.path) } else { "/copy".to_owned() };
        mirror.server.fault(&mirror.deb.path, Fault::Redirect(to), 1);
        let url = mirror.server.url().replace("http://", "http://me:secret@");
        let deb = ListedDeb { mirrors: vec![url], ..mirror.deb.clone() };
        let got = fetch(&Session::open(scene.options()).unwrap(), &[deb], &Log::default()).unwrap();
        assert!(got[0].1 == *mirror.right());
        assert!(mirror.server.requests().iter().all(|request| request.authorization.is_some()), "{name}");
        assert!(other.requests().iter().all(|request| request.authorization.is_none()), "{name}");
        assert_eq!(other.requests().is_empty(), !target);
    }
}

#[test]
fn proxies_that_refuse() {
    for (name, fault, text) in [
        ("a proxy that wants a password", Fault::Status(407), "the server answered 407"),
        ("a proxy that closes connections", Fault::Refuse, ""),
        ("a proxy that answers with a page", Fault::Page("<html></html>".to_owned()), "bytes instead of"),
        ("a proxy whose upstream is gone", Fault::Status(502), "the server answered 502"),
    ] {
        hostile_case(HostileClass::Network, name);
        let (scene, mirror) = (Scene::new(), Mirror::new());
        mirror.server.fault(&mirror.deb.path, fault, usize::MAX);
        let mut options = impatient(&scene);
        let proxy = mirror.server.url().replace("http://", "http://me:hunter2@");
        options.http.proxies.http = Some(proxy);
        let deb = ListedDeb { mirrors: vec!["http://mirror.invalid".to_owned()], ..mirror.deb.clone() };
        let log = Log::default();
        let error = fetch(&Session::open(options).unwrap(), &[deb], &log).unwrap_err();
        assert!(cause(&error).contains(text), "{name}: {}", cause(&error));
        let said = format!("{error} {} {:?} {:?}", cause(&error), error, log.events());
        assert!(!said.contains("hunter2"), "{name}: {said}");
        assert!(mirror.server.requests().iter().all(|request| request.target.starts_with("http://mirror.invalid/")));
        scene.check(name);
    }
}

/// A proxy gets its own password and not the mirror's, and the other way round.
#[test]
fn proxies_and_mirrors_with_passwords() {
    let basic = |words: &str| match words {
        "me:hunter2" => Some("Basic bWU6aHVudGVyMg==".to_owned()),
        _ => Some("Basic eW91OnNlY3JldA==".to_owned()),
    };
    for (name, proxy, mirror) in [
        ("a proxy with a password", "me:hunter2@", ""),
        ("a proxy with a password before a mirror with another", "me:hunter2@", "you:secret@"),
        ("a proxy without a password before a mirror with one", "", "you:secret@"),
    ] {
        hostile_case(HostileClass::Network, name);
        let (scene, server) = (Scene::new(), Mirror::new());
        let mut options = scene.options();
        options.http.proxies.http = Some(server.server.url().replace("http://", &format!("http://{proxy}")));
        let deb = ListedDeb { mirrors: vec![format!("http://{mirror}mirror.invalid")], ..server.deb.clone() };
        let got = fetch(&Session::open(options).unwrap(), &[deb], &Log::default()).unwrap();
        assert!(got[0].1 == *server.right(), "{name}");
        let shown = |words: &str| if words.is_empty() { None } else { basic(words.trim_end_matches('@')) };
        for request in server.server.requests() {
            assert_eq!((request.proxy_authorization, request.authorization), (shown(proxy), shown(mirror)), "{name}");
        }
    }
}

#[test]
fn mirrors_where_nobody_listens() {
    let (scene, mirror) = (Scene::new(), Mirror::new());
    let gone = Server::start(Files::new()).url();
    hostile_case(HostileClass::Network, "a mirror where nobody listens");
    let deb = ListedDeb { mirrors: vec![gone.clone()], ..mirror.deb.clone() };
    let error = fetch(&Session::open(scene.options()).unwrap(), &[deb], &Log::default()).unwrap_err();
    assert!(cause(&error).contains("it cannot be reached") && !error.is_verification(), "{error:?}");
    scene.check("nobody listens");
    hostile_case(HostileClass::Network, "a mirror where nobody listens before a healthy one");
    let deb = ListedDeb { mirrors: vec![gone, mirror.server.url()], ..mirror.deb.clone() };
    let got = fetch(&Session::open(scene.options()).unwrap(), &[deb], &Log::default()).unwrap();
    assert!(got[0].1 == *mirror.right());
}
