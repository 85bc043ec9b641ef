//! Which credentials a registry accepts, and which servers see them.

use crate::fake::{Access, Fault, Registry};
use crate::image::{Image, SECRET, blob_of, retries, words};
use rootstrap_registry::Credentials;
use rootstrap_testkit::tls::Terminator;
use rootstrap_testkit::{HostileClass, hostile_case};

/// `me:hunter2`.
const BASIC: &str = "Basic bWU6aHVudGVyMg==";

#[test]
fn a_password_is_sent_when_the_registry_asks() {
    let registry = Registry::start(Access::Basic(BASIC.to_owned()));
    Image::new().by("me", SECRET).push(&registry.name()).unwrap();
    let shown = registry.asked().into_iter().skip(1).map(|asked| asked.authorization);
    assert!(shown.into_iter().all(|shown| shown.as_deref() == Some(BASIC)));
    // The first request has no password: the registry has not asked for it yet.
    assert_eq!(registry.asked()[0].authorization, None);
}

#[test]
fn a_password_is_exchanged_for_a_token() {
    let registry = Registry::start(Access::Bearer(BASIC.to_owned()));
    Image::new().by("me", SECRET).push(&registry.name()).unwrap();
    let asked = registry.asked();
    let bought: Vec<_> = asked.iter().filter(|asked| asked.what == "GET /token").collect();
    assert_eq!(bought.len(), 1, "one token is enough");
    assert_eq!(bought[0].authorization.as_deref(), Some(BASIC));
    assert_eq!(bought[0].query.replace("%2C", ","), "service=fake&scope=repository:me%2Fbase:pull,push&account=me");
    let shown = asked.iter().filter(|asked| asked.what != "GET /token" && asked.what != "GET /v2/");
    assert!(shown.into_iter().all(|asked| asked.authorization.as_deref() == Some("Bearer token-0")));
}

#[test]
fn an_identity_token_is_exchanged_for_a_token() {
    let registry = Registry::start(Access::Bearer("refresh_token=hunter2".to_owned()));
    let image = Image { credentials: Credentials::IdentityToken(SECRET.to_owned()), ..Image::new() };
    image.push(&registry.name()).unwrap();
    let asked = registry.asked();
    let bought = asked.iter().find(|asked| asked.what == "POST /token").unwrap();
    assert_eq!((bought.query.as_str(), bought.authorization.as_ref()), ("", None));
    assert_eq!(bought.content_type, "application/x-www-form-urlencoded");
    let form = String::from_utf8(bought.content.clone()).unwrap();
    assert!(form.contains("grant_type=refresh_token&client_id=rootstrap"), "{form}");
}

#[test]
fn an_anonymous_user_gets_a_token_too() {
    let registry = Registry::start(Access::Bearer(String::new()));
    Image::new().push(&registry.name()).unwrap();
    assert_eq!(registry.asked().iter().find(|asked| asked.what == "GET /token").unwrap().authorization, None);
}

#[test]
fn an_expired_token_is_replaced() {
    let registry = Registry::start(Access::Bearer(BASIC.to_owned()));
    let image = Image::of(blob_of(&vec![b'z'; 1_000_000])).by("me", SECRET);
    let expire = |event| {
        if matches!(event, rootstrap_registry::Event::BlobDone { .. }) {
            registry.expire();
        }
    };
    image.watch(&registry.name(), &expire).unwrap();
    assert_eq!(registry.count("GET /token"), 2);
    // The token can also expire during an upload. The content is then sent again.
    let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\"\r\n", registry.host());
    registry.fault("PUT blobs/", Fault::Answer(401, challenge, ""), 1);
    let image = Image::of(blob_of(&vec![b'y'; 1_000_000])).by("me", SECRET);
    let (pushed, events) = image.events(&registry.name());
    pushed.unwrap();
    assert_eq!((crate::image::bytes(&events), retries(&events)), (1_000_000, 0));
}

#[test]
fn a_failed_authentication_has_a_hint() {
    let bearer = || Access::Bearer(BASIC.to_owned());
    let basic = || Access::Basic(BASIC.to_owned());
    for (access, image, expect) in [
        (basic(), Image::new(), "authentication failed (a user name and a password are needed)"),
        (basic(), Image::new().by("me", "wrong"), "authentication failed (UNAUTHORIZED: authentication required)"),
        (bearer(), Image::new(), "authentication failed (incorrect username or password)"),
        (bearer(), Image::new().by("me", "wrong"), "authentication failed (incorrect username or password)"),
        (bearer(), Image::new().by("you", SECRET), "authentication failed (incorrect username or password)"),
    ] {
        let registry = Registry::start(access);
        let error = image.push(&registry.name()).unwrap_err();
        let text = words(&error);
        assert!(text.contains(expect), "{text}");
        assert!(text.contains(&format!("hint: log in with `docker login {}`", registry.host())), "{text}");
        assert_eq!(registry.count("PUT "), 0);
    }
}

#[test]
fn a_denied_push_has_a_hint() {
    let registry = Registry::start(Access::Basic(BASIC.to_owned()));
    // A message that repeats the password is not shown.
    for (body, said) in [
        ("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not yours\"}]}", "DENIED: not yours"),
        ("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not with hunter2\"}]}", "without saying why"),
    ] {
        registry.fault("POST ", Fault::Answer(403, String::new(), body), 1);
        let text = words(&Image::of(blob_of(b"z")).by("me", SECRET).push(&registry.name()).unwrap_err());
        assert!(text.contains(&format!("access denied ({said})")), "{text}");
        assert!(text.contains("as a user who may push there"), "{text}");
    }
}

#[test]
fn no_other_origin_sees_credentials() {
    let registry = Registry::start(Access::Basic(BASIC.to_owned()));
    let other = Registry::start(Access::Open);
    let image = Image::of(blob_of(b"z")).by("me", SECRET);
    let there = format!("Location: http://{}/v2/me/base/blobs/uploads/two?_state=a%2Fb\r\n", other.host());
    registry.fault("POST blobs/", Fault::Answer(202, there, ""), 1);
    // The other server stores the blob, so the registry itself does not have it and refuses the manifest.
    image.push(&registry.name()).unwrap_err();
    let puts = other.asked();
    assert_eq!((puts.len(), puts[0].what.as_str(), &puts[0].authorization), (1, "PUT blobs/uploads/two", &None));
}

#[test]
fn only_the_insecure_registry_itself_may_have_any_certificate() {
    let registry = Registry::start(Access::Open);
    let other = Registry::start(Access::Open);
    let (here, there) = (Terminator::start(&registry.host()), Terminator::start(&other.host()));
    let name = format!("{}/me/base:latest", here.host());
    let image = || Image::of(blob_of(b"z")).by("me", SECRET);
    // The registry itself, over TLS. It is insecure, since it is on this machine.
    image().push(&name).unwrap();
    assert!(registry.tag("latest").is_some());
    // A token server elsewhere would get the password.
    let challenge = format!("WWW-Authenticate: Bearer realm=\"https://{}/token\"\r\n", there.host());
    registry.fault("GET /v2/", Fault::Answer(401, challenge, ""), 1);
    let text = words(&image().push(&name).unwrap_err());
    let expect = format!("{}, which the registry names: its certificate is not trusted", there.host());
    assert!(text.contains(&expect), "{text}");
    // A server elsewhere would get the blob.
    registry.fault("HEAD blobs/", Fault::Answer(404, String::new(), ""), 1);
    let location = format!("Location: https://{}/v2/me/base/blobs/uploads/two?_state=a%2Fb\r\n", there.host());
    registry.fault("POST blobs/", Fault::Answer(202, location, ""), 1);
    let text = words(&image().push(&name).unwrap_err());
    assert!(text.contains(&expect), "{text}");
    assert_eq!(other.asked().len(), 0);
}

#[test]
fn a_redirect_cannot_give_up_encryption() {
    let registry = Registry::start(Access::Open);
    let other = Registry::start(Access::Open);
    let here = Terminator::start(&registry.host());
    let location = format!("Location: http://{}/v2/me/base/blobs/uploads/two\r\n", other.host());
    for status in [202, 307] {
        registry.fault("POST blobs/", Fault::Answer(status, location.clone(), ""), 1);
        let image = Image::of(blob_of(b"z"));
        let text = words(&image.push(&format!("{}/me/base", here.host())).unwrap_err());
        assert!(text.contains("a redirect from https to an unencrypted address"), "{text}");
    }
    assert_eq!(other.asked().len(), 0);
}

/// The user called one origin insecure. Whatever it sends a push to over TLS has to have a certificate that this machine trusts.
#[test]
fn an_insecure_registry_cannot_send_a_push_to_another_host() {
    for (name, what, status) in [
        ("tokens", "GET /v2/", 401),
        ("the first request", "GET /v2/", 307),
        ("a look for a blob", "HEAD blobs/", 307),
        ("a look for a blob, see other", "HEAD blobs/", 303),
        ("the beginning of an upload", "POST blobs/", 307),
        ("the place of an upload", "POST blobs/", 202),
        ("the content of an upload", "PUT blobs/", 307),
        ("the content of an upload, for good", "PUT blobs/", 308),
        ("a manifest", "PUT manifests/", 307),
    ] {
        hostile_case(HostileClass::Network, &format!("a registry that sends {name} to another host"));
        let registry = Registry::start(Access::Open);
        let other = Registry::start(Access::Open);
        let (here, there) = (Terminator::start(&registry.host()), Terminator::start(&other.host()));
        let headers = match status {
            401 => format!("WWW-Authenticate: Bearer realm=\"https://{}/token\"\r\n", there.host()),
            _ => format!("Location: https://{}/v2/me/base/blobs/uploads/two?_state=a%2Fb\r\n", there.host()),
        };
        registry.fault(what, Fault::Answer(status, headers, ""), 1);
        let image = Image::of(blob_of(b"z")).by("me", SECRET);
        let text = words(&image.push(&format!("{}/me/base", here.host())).unwrap_err());
        let expect = format!("{}, which the registry names: its certificate is not trusted", there.host());
        assert!(text.contains(&expect), "{name}: {text}");
        assert_eq!((other.asked().len(), registry.tag("latest")), (0, None), "{name}");
        // The same push succeeds when the registry keeps it to itself.
        image.push(&format!("{}/me/base", here.host())).unwrap();
    }
}
