//! Registries and networks that fail, temporarily or permanently.

use crate::fake::{Access, Fault, Registry};
use crate::image::{Image, blob_of, bytes, retries, words};
use rootstrap_http::Proxies;
use rootstrap_registry::Event;
use std::time::Duration;

fn busy(status: u16, headers: &str) -> Fault {
    Fault::Answer(status, headers.to_owned(), "{\"errors\":[{\"code\":\"UNAVAILABLE\",\"message\":\"busy\"}]}")
}

#[test]
fn transient_failures_are_retried() {
    for (what, fault) in [
        ("GET /v2/", busy(503, "")),
        ("HEAD blobs/", busy(500, "")),
        ("POST blobs/", busy(429, "Retry-After: 0\r\n")),
        ("PUT blobs/", busy(502, "")),
        ("PUT blobs/", Fault::Answer(404, String::new(), "")),
        ("PUT blobs/", Fault::Drop(700_000)),
        ("PUT blobs/", Fault::Drop(1_500_000)),
        ("PUT manifests/", busy(500, "")),
        // Another push writes the same.
        ("PUT manifests/", Fault::Answer(400, String::new(), "{\"errors\":[{\"code\":\"DIGEST_INVALID\"}]}")),
    ] {
        let registry = Registry::start(Access::Open);
        let image = Image::of(blob_of(&vec![b'z'; 1_500_000]));
        registry.fault(what, fault.clone(), 2);
        let (pushed, events) = image.events(&registry.name());
        assert_eq!(pushed.unwrap().uploaded, 1, "{what} {fault:?}");
        assert_eq!(retries(&events), 2, "{what} {fault:?}");
        assert_eq!(bytes(&events), 1_500_000, "{what} {fault:?}");
        assert_eq!(registry.tag("latest").unwrap(), image.manifests[0].digest);
    }
}

#[test]
fn a_registry_says_how_long_to_wait() {
    let registry = Registry::start(Access::Open);
    registry.fault("POST blobs/", busy(429, "Retry-After: 1\r\n"), 1);
    let (pushed, events) = Image::of(blob_of(b"z")).events(&registry.name());
    pushed.unwrap();
    let waits = events.iter().filter_map(|event| match event {
        Event::Retry { wait, reason, .. } => Some((*wait, reason.as_str())),
        _ => None,
    });
    let reason = "the registry answered 429 (UNAVAILABLE: busy)";
    assert_eq!(waits.collect::<Vec<_>>(), [(Duration::from_secs(1), reason)]);
}

#[test]
fn permanent_failures_are_named() {
    for (what, fault, expect) in [
        ("HEAD blobs/", busy(503, ""), "blob sha256:"),
        ("PUT manifests/", busy(503, ""), "tag latest: the registry answered 503 (UNAVAILABLE: busy)"),
        ("PUT blobs/", busy(413, ""), "hint: the registry, or a proxy before it, takes no files of this size"),
        ("GET /v2/", Fault::Answer(404, String::new(), ""), "it does not speak the distribution API"),
        ("POST blobs/", Fault::Answer(202, String::new(), ""), "the registry names no address to go on at"),
        ("POST blobs/", Fault::Answer(201, String::new(), ""), "does not begin an upload"),
        ("PUT blobs/", Fault::Answer(202, String::new(), ""), "does not end an upload"),
        ("PUT blobs/", Fault::WrongDigest, "instead of sha256:"),
        ("PUT manifests/", Fault::WrongDigest, "tag latest: the registry took it for sha256:0000"),
        (
            "POST blobs/",
            Fault::Answer(404, String::new(), "{\"errors\":[{\"code\":\"NAME_UNKNOWN\",\"message\":\"none\"}]}"),
            "hint: create the repository first",
        ),
        (
            "POST blobs/",
            Fault::Answer(302, "Location: /v2/me/base/blobs/uploads/\r\n".to_owned(), ""),
            "too many redirects",
        ),
    ] {
        let registry = Registry::start(Access::Open);
        let image = Image::of(blob_of(b"z"));
        registry.fault(what, fault.clone(), usize::MAX);
        let error = image.push(&registry.name()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot push to {}", registry.name()));
        let text = words(&error);
        assert!(text.contains(expect), "{what} {fault:?}: {text}");
        // The registry sets the tag even when it answers with another digest.
        if !matches!(fault, Fault::WrongDigest) {
            assert_eq!(registry.tag("latest"), None, "{what} {fault:?}");
        }
    }
}

#[test]
fn a_known_blob_with_another_digest_is_an_error() {
    let registry = Registry::start(Access::Open);
    let image = Image::of(blob_of(b"z"));
    registry.know(&image.blobs[0].digest);
    registry.fault("HEAD blobs/", Fault::WrongDigest, 1);
    assert!(words(&image.push(&registry.name()).unwrap_err()).contains("took it for sha256:0000"));
}

#[test]
fn uploads_follow_the_registry_elsewhere() {
    let registry = Registry::start(Access::Open);
    let other = Registry::start(Access::Open);
    let image = Image::of(blob_of(b"z"));
    let there = format!("Location: http://{}/v2/me/base/blobs/uploads/two?_state=a%2Fb\r\n", other.host());
    registry.fault("POST blobs/", Fault::Answer(202, there, ""), 1);
    // A redirect keeps the query of the address that it names, and the content is sent again.
    let here = "Location: three?_state=a%2Fb&digest=".to_owned() + &image.blobs[0].digest + "\r\n";
    other.fault("PUT blobs/", Fault::Answer(307, here, ""), 1);
    registry.know(&image.blobs[0].digest);
    registry.fault("HEAD blobs/", Fault::Answer(404, String::new(), ""), 1);
    let (pushed, events) = image.events(&registry.name());
    assert_eq!(pushed.unwrap().uploaded, 1);
    assert_eq!(bytes(&events), 1);
    let puts: Vec<_> = other.asked().into_iter().map(|asked| (asked.what, asked.content)).collect();
    let expect = ["two", "three"].map(|id| (format!("PUT blobs/uploads/{id}"), b"z".to_vec()));
    assert_eq!(puts, expect);
}

#[test]
fn every_wait_has_a_limit() {
    for what in ["GET /v2/", "HEAD blobs/", "PUT blobs/", "PUT manifests/"] {
        let registry = Registry::start(Access::Open);
        // More bytes than the sockets can hold.
        let mut image = Image::of(blob_of(&vec![b'z'; 16 << 20])).once();
        image.options.http.timeouts.connect = Duration::from_millis(200);
        image.options.http.timeouts.stall = Duration::from_millis(200);
        registry.fault(what, Fault::Stall, usize::MAX);
        let text = words(&image.push(&registry.name()).unwrap_err());
        assert!(text.contains("nothing moved for") && text.contains("hint: check the network"), "{what}: {text}");
    }
}

#[test]
fn an_unreachable_registry_is_named() {
    let host = Registry::start(Access::Open).host();
    let text = words(&Image::new().once().push(&format!("{host}/a")).unwrap_err());
    assert!(text.contains("it cannot be reached: Connection refused"), "{text}");
    assert!(text.contains(&format!("hint: check the name {host}, the network and https_proxy")), "{text}");
}

#[test]
fn a_remote_registry_without_encryption_is_refused() {
    let proxy = Registry::start(Access::Open);
    let mut image = Image::new().once();
    image.options.http.proxies = Proxies { https: Some(proxy.host()), ..Proxies::default() };
    let text = words(&image.push("registry.example:5000/a").unwrap_err());
    assert!(text.contains("registry.example:5000: it does not speak TLS"), "{text}");
    assert!(text.contains("--insecure-registry"), "{text}");
    // With `insecure` it is allowed, and the proxy for `http:` gets the requests.
    image.options.http.proxies.http = Some(proxy.host());
    image.options.insecure = true;
    image.push("registry.example:5000/me/base").unwrap();
    assert!(proxy.tag("latest").is_some());
    // A registry on this machine is reached without a proxy.
    let registry = Registry::start(Access::Open);
    proxy.forget();
    image.push(&registry.name()).unwrap();
    assert_eq!(proxy.asked().len(), 0);
}
