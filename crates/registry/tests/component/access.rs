//! Who is let in, by which proof, and who sees it.

use crate::fake::{Door, Fault, Registry};
use crate::image::{Image, SECRET, in_file, in_memory, retries, words};
use rootstrap_registry::Credentials;

/// `me:hunter2`.
const BASIC: &str = "Basic bWU6aHVudGVyMg==";

#[test]
fn a_password_opens_the_door() {
    let registry = Registry::start(Door::Basic(BASIC.to_owned()));
    Image::new().by("me", SECRET).push(&registry.name()).unwrap();
    let shown = registry.asked().into_iter().skip(1).map(|asked| asked.authorization);
    assert!(shown.into_iter().all(|shown| shown.as_deref() == Some(BASIC)));
    // The first time it is shown only when it is asked for.
    assert_eq!(registry.asked()[0].authorization, None);
}

#[test]
fn a_password_buys_a_token() {
    let registry = Registry::start(Door::Bearer(BASIC.to_owned()));
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
fn an_identity_token_buys_another() {
    let registry = Registry::start(Door::Bearer("refresh_token=hunter2".to_owned()));
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
fn nobody_in_particular_gets_a_token_too() {
    let registry = Registry::start(Door::Bearer(String::new()));
    Image::new().push(&registry.name()).unwrap();
    assert_eq!(registry.asked().iter().find(|asked| asked.what == "GET /token").unwrap().authorization, None);
}

#[test]
fn an_old_token_is_replaced() {
    let registry = Registry::start(Door::Bearer(BASIC.to_owned()));
    let image = Image::of(in_file(&vec![b'z'; 1_000_000])).by("me", SECRET);
    let expire = |event| {
        if matches!(event, rootstrap_registry::Event::BlobDone { .. }) {
            registry.expire();
        }
    };
    image.watch(&registry.name(), &expire).unwrap();
    assert_eq!(registry.count("GET /token"), 2);
    // In the middle of a blob too; its content comes again.
    let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\"\r\n", registry.host());
    registry.fault("PUT blobs/", Fault::Answer(401, challenge, ""), 1);
    let image = Image::of(in_file(&vec![b'y'; 1_000_000])).by("me", SECRET);
    let (pushed, events) = image.events(&registry.name());
    pushed.unwrap();
    assert_eq!((crate::image::bytes(&events), retries(&events)), (1_000_000, 0));
}

#[test]
fn who_is_not_let_in_is_told_what_to_do() {
    let bearer = || Door::Bearer(BASIC.to_owned());
    let basic = || Door::Basic(BASIC.to_owned());
    for (door, image, expect) in [
        (basic(), Image::new(), "authentication failed (a user name and a password are needed)"),
        (basic(), Image::new().by("me", "wrong"), "authentication failed (UNAUTHORIZED: authentication required)"),
        (bearer(), Image::new(), "authentication failed (incorrect username or password)"),
        (bearer(), Image::new().by("me", "wrong"), "authentication failed (incorrect username or password)"),
        (bearer(), Image::new().by("you", SECRET), "authentication failed (incorrect username or password)"),
    ] {
        let registry = Registry::start(door);
        let error = image.push(&registry.name()).unwrap_err();
        let text = words(&error);
        assert!(text.contains(expect), "{text}");
        assert!(text.contains(&format!("hint: log in with `docker login {}`", registry.host())), "{text}");
        assert_eq!(registry.count("PUT "), 0);
    }
}

#[test]
fn who_may_not_push_is_told_so() {
    let registry = Registry::start(Door::Basic(BASIC.to_owned()));
    // An echo is not passed on.
    for (body, said) in [
        ("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not yours\"}]}", "DENIED: not yours"),
        ("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not with hunter2\"}]}", "without saying why"),
    ] {
        registry.fault("POST ", Fault::Answer(403, String::new(), body), 1);
        let text = words(&Image::of(in_memory(b"z")).by("me", SECRET).push(&registry.name()).unwrap_err());
        assert!(text.contains(&format!("access denied ({said})")), "{text}");
        assert!(text.contains("as a user who may push there"), "{text}");
    }
}

#[test]
fn nobody_else_sees_the_proof() {
    let registry = Registry::start(Door::Basic(BASIC.to_owned()));
    let other = Registry::start(Door::Open);
    let image = Image::of(in_file(b"z")).by("me", SECRET);
    let there = format!("Location: http://{}/v2/me/base/blobs/uploads/two?_state=a%2Fb\r\n", other.host());
    registry.fault("POST blobs/", Fault::Answer(202, there, ""), 1);
    // The other place keeps it; the registry itself does not know, and says so at the end.
    image.push(&registry.name()).unwrap_err();
    let puts = other.asked();
    assert_eq!((puts.len(), puts[0].what.as_str(), &puts[0].authorization), (1, "PUT blobs/uploads/two", &None));
}
