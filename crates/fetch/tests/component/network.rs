//! What the HTTP client does for downloads: proxies, waits, rates, credentials.

use crate::world::*;
use rootstrap_fetch::{Error, Event, ListedDeb, Options, Session};
use rootstrap_http::Proxies;
use rootstrap_testkit::server::{Fault, Server};
use std::time::Duration;
use tempfile::TempDir;

/// A mirror, one deb of it, and a session's options with an empty cache.
struct Scene {
    server: Server,
    wanted: ListedDeb,
    log: Log,
    options: Options,
    _cache: TempDir,
}

fn scene() -> Scene {
    let files = archive().build();
    let server = Server::start(files.clone());
    let wanted = wanted_of(&files, &[server.url()]).remove(0);
    let cache = tempfile::tempdir().unwrap();
    Scene { server, wanted, log: Log::default(), options: options(cache.path()), _cache: cache }
}

impl Scene {
    /// Another server with the same files.
    fn second(&self) -> Server {
        Server::start(archive().build())
    }

    fn fetch_from(&self, mirrors: &[String]) -> Result<usize, Error> {
        let wanted = ListedDeb { mirrors: mirrors.to_vec(), ..self.wanted.clone() };
        let got = fetch(&Session::open(self.options.clone()).unwrap(), &[wanted], &self.log)?;
        Ok(got[0].1.len())
    }

    fn fetch(&self) -> Result<usize, Error> {
        self.fetch_from(&self.wanted.mirrors)
    }

    fn waits(&self) -> Vec<Duration> {
        let wait = |event| if let Event::Retry { wait, .. } = event { Some(wait) } else { None };
        self.log.events().into_iter().filter_map(wait).collect()
    }
}

#[test]
fn a_server_says_how_long_to_wait() {
    let scene = scene();
    let headers = "Date: Fri, 31 Dec 1999 23:59:59 GMT\r\nRetry-After: Sat, 01 Jan 2000 00:00:00 GMT\r\n".to_owned();
    scene.server.fault(&scene.wanted.path, Fault::StatusWith(429, headers), 1);
    scene.fetch().unwrap();
    assert_eq!(scene.waits(), [Duration::from_secs(1)]);
}

#[test]
fn a_server_that_comes_back_is_waited_for() {
    let mut scene = scene();
    scene.options.http.retries.count = 8;
    scene.options.http.retries.longest_wait = Duration::from_millis(2);
    scene.server.fault(&scene.wanted.path, Fault::Refuse, 7);
    scene.fetch().unwrap();
    assert_eq!(scene.waits().len(), 7);
}

#[test]
fn only_the_last_mirror_is_waited_for_long() {
    let mut scene = scene();
    let second = scene.second();
    scene.options.http.retries.count = 8;
    scene.options.http.retries.longest_wait = Duration::from_millis(2);
    scene.server.fault(&scene.wanted.path, Fault::Refuse, usize::MAX);
    second.fault(&scene.wanted.path, Fault::Refuse, 7);
    scene.fetch_from(&[scene.server.url(), second.url()]).unwrap();
    assert_eq!((scene.server.requests().len(), second.requests().len()), (4, 8));
    // A mirror that asks for more time than the next one needs does not get it.
    let third = scene.second();
    let headers = "Retry-After: 3\r\n".to_owned();
    second.fault("other", Fault::StatusWith(503, headers), usize::MAX);
    third.set("other", archive().build()[&scene.wanted.path].clone());
    let other =
        ListedDeb { path: "other".to_owned(), mirrors: vec![second.url(), third.url()], ..scene.wanted.clone() };
    let cache = tempfile::tempdir().unwrap();
    let options = Options { cache: Some(cache.path().to_owned()), ..scene.options.clone() };
    second.forget();
    fetch(&Session::open(options).unwrap(), &[other], &scene.log).unwrap();
    assert_eq!(second.requests().len(), 1);
}

/// The security pocket of a mirror may be at two paths of one server, and a server that restarts serves neither.
#[test]
fn another_path_of_one_server_is_no_other_mirror() {
    let mut scene = scene();
    scene.options.http.retries.count = 8;
    scene.options.http.retries.longest_wait = Duration::from_millis(2);
    let path = format!("security/{}", scene.wanted.path);
    scene.server.set(&path, archive().build()[&scene.wanted.path].clone());
    scene.server.fault(&path, Fault::Refuse, 7);
    let url = scene.server.url();
    scene.fetch_from(&[format!("{url}/security"), url]).unwrap();
    assert_eq!(scene.server.requests().iter().filter(|request| request.path.ends_with(&path)).count(), 8);
}

#[test]
fn the_only_mirror_is_asked_for_the_plain_path() {
    let scene = scene();
    let files = archive().build();
    for path in files.keys().filter(|path| path.contains("/by-hash/")) {
        scene.server.fault(path, Fault::Status(503), usize::MAX);
    }
    let asked = pocket("x", &[scene.server.url()]);
    ask_with(scene.options.clone(), &asked, &keyring(), &POLICY, &scene.log).unwrap();
}

#[test]
fn a_mirror_that_failed_is_not_asked_for_the_plain_path() {
    let scene = scene();
    let second = scene.second();
    let by_hash = |path: &str| path.contains("/by-hash/");
    let files = archive().build();
    for path in files.keys().filter(|path| by_hash(path)) {
        scene.server.fault(path, Fault::Status(503), usize::MAX);
    }
    let asked = pocket("x", &[scene.server.url(), second.url()]);
    ask_with(scene.options.clone(), &asked, &keyring(), &POLICY, &scene.log).unwrap();
    let requests = scene.server.requests();
    assert!(requests.iter().any(|request| by_hash(&request.path)));
    assert!(requests.iter().all(|request| by_hash(&request.path) || !request.path.contains("Packages")));
    assert!(second.requests().iter().any(|request| by_hash(&request.path)));
}

#[test]
fn a_body_that_trickles_is_given_up() {
    let mut scene = scene();
    scene.options.http.timeouts.rate_window = Duration::from_millis(50);
    scene.options.http.timeouts.minimum_rate = 1_000_000;
    scene.server.fault(&scene.wanted.path, Fault::Trickle(Duration::from_millis(5)), 1);
    scene.fetch().unwrap();
    let slow = |event: &Event| matches!(event, Event::Retry { reason, .. } if reason.starts_with("only "));
    assert_eq!(scene.log.count(slow), 1);
    assert!(scene.server.requests()[1].range.is_some(), "what came is not fetched again");
}

#[test]
fn no_other_origin_sees_credentials() {
    let scene = scene();
    let second = scene.second();
    let path = &scene.wanted.path;
    scene.server.fault(path, Fault::Redirect("/elsewhere".into()), 1);
    scene.server.fault("elsewhere", Fault::Redirect(format!("{}/{path}", second.url())), 1);
    let mirror = scene.server.url().replace("http://", "http://me:secret@");
    scene.fetch_from(&[mirror]).unwrap();
    let shown =
        |server: &Server| server.requests().into_iter().map(|request| request.authorization).collect::<Vec<_>>();
    let basic = Some("Basic bWU6c2VjcmV0".to_owned());
    assert_eq!((shown(&scene.server), shown(&second)), (vec![basic.clone(), basic], vec![None]));
}

#[test]
fn redirects_stay_with_http() {
    let scene = scene();
    scene.server.fault(&scene.wanted.path, Fault::Redirect("ftp://127.0.0.1/x".into()), 1);
    let error = scene.fetch().unwrap_err();
    assert!(cause(&error).contains("neither http nor https"), "{}", cause(&error));
}

#[test]
fn proxies_come_from_the_options() {
    let mut scene = scene();
    let address = scene.server.url();
    let bare = address.strip_prefix("http://").unwrap().to_owned();
    let mirrors = ["http://mirror.invalid".to_owned()];
    let some = |text: &str| Some(text.to_owned());
    for proxies in [
        Proxies { http: some(&address), ..Proxies::default() },
        Proxies { http: some(&bare), ..Proxies::default() },
        Proxies { all: some(&bare), https: some(""), ..Proxies::default() },
    ] {
        let cache = tempfile::tempdir().unwrap();
        scene.server.forget();
        scene.options.http.proxies = proxies.clone();
        scene.options.cache = Some(cache.path().to_owned());
        scene.fetch_from(&mirrors).unwrap();
        assert!(scene.server.requests()[0].target.starts_with("http://mirror.invalid/pool/"));
    }
    // The last proxy again, but not for this host.
    let cache = tempfile::tempdir().unwrap();
    scene.options.http.proxies.no_proxy = some("localhost,.invalid");
    scene.options.cache = Some(cache.path().to_owned());
    assert!(scene.fetch_from(&mirrors).is_err(), "nobody answers there");
    scene.options.http.proxies = Proxies { all: some("ftp://me:secret@proxy"), ..Proxies::default() };
    let error = Session::open(scene.options.clone()).err().unwrap();
    let text = "cannot use proxy \"***@proxy\": its scheme is none of http, https, socks4";
    assert!(error.to_string().starts_with(text), "{error}");
}
