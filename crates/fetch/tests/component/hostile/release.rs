//! Release files and signatures that attack.

use super::{Refusal, Scene, archive, changed, untrusted};
use crate::world::*;
use rootstrap_fetch::{Error, Further, Keyring, Policy, SignatureProblem};
use rootstrap_testkit::archive::{Archive, Digest, Signing};
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::{
    Algorithm, Key, KeyOptions, SignatureDigest, Stamp, clearsign_with, detached_with, literal_packet, signed_packets,
};
use rootstrap_testkit::server::Server;
use rootstrap_testkit::{EPOCH, Files, HostileClass};
use std::time::Duration;

const DAY: u64 = 86_400;
const IN_RELEASE: &str = "dists/x/InRelease";

/// Asks for the suite in a scene of its own.
fn refused(name: &str, files: Files, refusal: &Refusal) -> Error {
    Scene::new().refuses(HostileClass::Release, name, &Server::start(files), refusal)
}

/// A refusal because of the signature, where the keyring also holds `key`.
fn beside(key: &Key, is_it: fn(&Error) -> bool) -> Refusal {
    let keyring = Keyring::from_bytes(&[&KEY.public(), &key.public()]).unwrap();
    Refusal { keyring: Some(keyring), ..untrusted(is_it) }
}

fn is_unsigned(error: &Error) -> bool {
    matches!(error, Error::Signature { source: SignatureProblem::Unsigned { .. } | SignatureProblem::Page, .. })
}

fn is_bad(error: &Error) -> bool {
    matches!(error, Error::Signature { source: SignatureProblem::Bad { .. }, .. })
}

fn is_weak(error: &Error) -> bool {
    let problem = |source: &SignatureProblem| {
        matches!(source, SignatureProblem::Weak { .. } | SignatureProblem::Unusable { .. })
            || matches!(source, SignatureProblem::Unsigned { .. })
    };
    matches!(error, Error::Signature { source, .. } if problem(source))
}

#[test]
fn keys_that_do_not_count() {
    let made = |options: KeyOptions| Key::generate_with("other", &options);
    let plain = KeyOptions::default;
    let year = Some(Duration::from_secs(365 * DAY));
    let subkey = || KeyOptions { signing_subkey: true, ..plain() };
    let of = |algorithm| made(KeyOptions { algorithm, ..plain() });
    let is_expired: fn(&Error) -> bool =
        |error| matches!(error, Error::Signature { source: SignatureProblem::Expired { .. }, .. });
    let is_revoked: fn(&Error) -> bool =
        |error| matches!(error, Error::Signature { source: SignatureProblem::Revoked { .. }, .. });
    for (name, key, is_it) in [
        ("an expired key", made(KeyOptions { valid_for: year, ..plain() }), is_expired),
        ("a revoked key", made(KeyOptions { revoked: true, ..plain() }), is_revoked),
        ("an expired subkey", made(KeyOptions { subkey_valid_for: year, ..subkey() }), is_expired),
        ("a revoked subkey", made(KeyOptions { subkey_revoked: true, ..subkey() }), is_revoked),
        ("a key made after the signature", made(KeyOptions { created: EPOCH + DAY, ..plain() }), |error| {
            matches!(error, Error::Signature { .. })
        }),
        ("an RSA key of 1024 bits", of(Algorithm::Rsa(1024)), is_weak),
        ("a DSA key of 1024 bits", of(Algorithm::Dsa(1024)), is_weak),
        ("a DSA key of 2048 bits", of(Algorithm::Dsa(2048)), is_weak),
    ] {
        let by_it = |signing| {
            changed(|archive| {
                archive.keys = vec![key.clone()];
                archive.signing = signing;
            })
        };
        refused(name, by_it(Signing::InRelease), &beside(&key, is_it));
        refused(&format!("{name}, detached"), by_it(Signing::Detached), &beside(&key, is_it));
    }
    let stranger = Key::generate("stranger");
    let files = changed(|archive| archive.keys = vec![stranger.clone()]);
    refused(
        "a stranger's key",
        files,
        &untrusted(|error| matches!(error, Error::Signature { source: SignatureProblem::Unknown { .. }, .. })),
    );
}

/// Whoever has an old key can choose the time that a signature claims.
#[test]
fn an_expired_key_with_a_backdated_signature() {
    let valid_for = Some(Duration::from_secs(5 * 365 * DAY - 30 * DAY));
    let key = Key::generate_with("old", &KeyOptions { valid_for, ..KeyOptions::default() });
    let subkey = KeyOptions { signing_subkey: true, subkey_valid_for: valid_for, ..KeyOptions::default() };
    let subkey = Key::generate_with("old", &subkey);
    let is_it: fn(&Error) -> bool =
        |error| matches!(error, Error::Signature { source: SignatureProblem::KeyExpired { .. }, .. });
    for (name, key) in [("an expired key", &key), ("an expired subkey", &subkey)] {
        for (kind, signing) in [("inline", Signing::InRelease), ("detached", Signing::Detached)] {
            for (date, days) in [("the Date of today", 0), ("a Date before it expired", 60)] {
                let files = changed(|archive| {
                    archive.keys = vec![key.clone()];
                    archive.signing = signing;
                    archive.date = EPOCH - days * DAY;
                    archive.signed_at = Some(EPOCH - 60 * DAY);
                });
                refused(&format!("a backdated signature by {name}, {date}, {kind}"), files, &beside(key, is_it));
            }
        }
    }
}

/// An archive whose Release file may have expired still needs a key that is good now.
#[test]
fn an_expired_release_is_no_reason_to_trust_an_expired_key() {
    let valid_for = Some(Duration::from_secs(5 * 365 * DAY - 30 * DAY));
    let old = Key::generate_with("old", &KeyOptions { valid_for, ..KeyOptions::default() });
    let good = Key::generate("good");
    let then = EPOCH - 60 * DAY;
    let ask = |key: &Key, may_be_expired: bool| {
        let archive = but(archive(), |archive| {
            archive.keys = vec![key.clone()];
            (archive.date, archive.signed_at, archive.valid_until) = (then, Some(then), Some(then + DAY));
        });
        let (server, cache) = (Server::start(archive.build()), tempfile::tempdir().unwrap());
        let keyring = Keyring::from_bytes(&[&key.public()]).unwrap();
        let further = Further { keyring, architectures: Vec::new(), may_be_expired };
        let asked = rootstrap_fetch::Pocket { further: Some(further), ..pocket("x", &[server.url()]) };
        ask_with(options(cache.path()), &asked, &self::keyring(), &POLICY, &Log::default())
    };
    assert!(ask(&good, true).is_ok());
    assert!(matches!(ask(&good, false).unwrap_err(), Error::Expired { .. }));
    let error = ask(&old, true).unwrap_err();
    assert!(matches!(error, Error::Signature { source: SignatureProblem::KeyExpired { .. }, .. }), "{error:?}");
}

/// What ended suites need: their keys expired long ago.
#[test]
fn ended_suites_are_judged_at_their_own_date() {
    let valid_for = Some(Duration::from_secs(5 * 365 * DAY - 30 * DAY));
    let key = Key::generate_with("old", &KeyOptions { valid_for, ..KeyOptions::default() });
    let keyring = Keyring::from_bytes(&[&key.public()]).unwrap();
    let ask = |date: u64, signed_at: u64, policy: Policy, ended: bool| {
        let archive = but(archive(), |archive| {
            archive.keys = vec![key.clone()];
            (archive.date, archive.signed_at) = (date, Some(signed_at));
        });
        let (server, cache) = (Server::start(archive.build()), tempfile::tempdir().unwrap());
        // Some suites that nobody supports are still where they were.
        let asked = rootstrap_fetch::Pocket { ended, unsupported: ended, ..pocket("x", &[server.url()]) };
        ask_with(options(cache.path()), &asked, &keyring, &policy, &Log::default())
    };
    let then = EPOCH - 60 * DAY;
    assert_eq!(ask(then, then, POLICY, true).unwrap().keys(), [key.fingerprint()]);
    assert_eq!(ask(then - DAY, then, POLICY, true).unwrap().keys(), [key.fingerprint()], "signed again later");
    // Its time to be valid passed long ago.
    let archive = but(archive(), |archive| (archive.date, archive.valid_until) = (then, Some(then + DAY)));
    let (server, cache) = (Server::start(archive.build()), tempfile::tempdir().unwrap());
    let asked = rootstrap_fetch::Pocket { ended: true, ..pocket("x", &[server.url()]) };
    assert!(ask_with(options(cache.path()), &asked, &self::keyring(), &POLICY, &Log::default()).is_ok());
    assert!(ask(then, then, Policy { now: then as i64, ..POLICY }, false).is_ok(), "judged at its own date");
    for (date, ended) in [(EPOCH, true), (then, false)] {
        let error = ask(date, then, POLICY, ended).unwrap_err();
        assert!(matches!(error, Error::Signature { source: SignatureProblem::KeyExpired { .. }, .. }), "{error:?}");
        assert!(error.is_verification() && error.hint().is_some());
    }
}

#[test]
fn weak_digests_of_data() {
    for (name, digest) in [("SHA-1", SignatureDigest::Sha1), ("MD5", SignatureDigest::Md5)] {
        for (kind, signing) in [("inline", Signing::InRelease), ("detached", Signing::Detached)] {
            let files = changed(|archive| (archive.signature_digest, archive.signing) = (digest, signing));
            refused(&format!("a signature of a {name} digest, {kind}"), files, &untrusted(is_weak));
        }
    }
    let files = changed(|archive| archive.digests = Digest::WEAK.to_vec());
    refused("no digests but MD5 and SHA-1", files, &untrusted(|error| matches!(error, Error::Release { .. })));
}

#[test]
fn messages_of_another_shape() {
    let honest = archive();
    let text = honest.release();
    let text = text.as_bytes();
    let message = honest.build()[IN_RELEASE].clone();
    let evil = b"Origin: evil\nSuite: x\nCodename: x\n";
    let other = clearsign_with(&[&Key::generate("stranger")], evil, Stamp::default());
    let at = message.windows(15).position(|part| part == b"-----BEGIN PGP ").unwrap();
    let signature = message.windows(29).position(|part| part == b"-----BEGIN PGP SIGNATURE-----").unwrap();
    let dashed =
        [&message[..signature], &b"-----BEGIN PGP SIGNED MESSAGE-----\n\n"[..], &evil[..], &message[signature..]]
            .concat();
    for (name, bytes) in [
        ("an unsigned text", text.to_vec()),
        ("an empty file", Vec::new()),
        ("a page that asks to log in", b"<html>log in first</html>".to_vec()),
        ("text before the signed text", [&evil[..], b"\n", &message[..]].concat()),
        ("text after the signature", [&message[..], &b"\n"[..], &evil[..]].concat()),
        ("text between text and signature", dashed),
        ("two messages", [&message[..], &message[..]].concat()),
        ("a stranger's message first", [&other[..], &message[..]].concat()),
        ("a stranger's message last", [&message[..], &other[..]].concat()),
        ("no signature in the frame", message[..signature].to_vec()),
        ("a frame that ends early", message[..message.len() - 20].to_vec()),
        ("a frame that begins late", message[at + 1..].to_vec()),
        ("a signed message of packets", signed_packets(&KEY, text, false)),
        ("a compressed message", signed_packets(&KEY, text, true)),
        ("a literal message", literal_packet(text)),
    ] {
        let mut files = archive().build();
        files.insert(IN_RELEASE.into(), bytes);
        refused(name, files, &untrusted(is_unsigned));
    }
    let changed_text = String::from_utf8(message).unwrap().replace("Codename: x", "Codename: y");
    let mut files = archive().build();
    files.insert(IN_RELEASE.into(), changed_text.into_bytes());
    refused("a changed text", files, &untrusted(is_bad));
}

#[test]
fn detached_signatures_of_something_else() {
    let detached = || changed(|archive| archive.signing = Signing::Detached);
    let with = |bytes: Vec<u8>| {
        let mut files = detached();
        files.insert("dists/x/Release.gpg".into(), bytes);
        files
    };
    let yesterday = but(archive(), |archive| archive.date = EPOCH - DAY).build();
    refused(
        "Release and Release.gpg of different days",
        with(yesterday["dists/x/Release.gpg"].clone()),
        &untrusted(is_bad),
    );
    refused("an empty Release.gpg", with(Vec::new()), &untrusted(is_unsigned));
    refused("a Release.gpg that is no signature", with(b"<html></html>".to_vec()), &untrusted(is_unsigned));
    refused("a literal message as Release.gpg", with(literal_packet(b"x")), &untrusted(is_unsigned));
    let stranger = detached_with(&[&Key::generate("stranger")], archive().release().as_bytes(), Stamp::default());
    refused(
        "a stranger's Release.gpg",
        with(stranger),
        &untrusted(|error| matches!(error, Error::Signature { source: SignatureProblem::Unknown { .. }, .. })),
    );
    let is_too_long: fn(&Error) -> bool =
        |error| matches!(error, Error::Fetch { .. }) && cause(error).contains("more than");
    refused("an oversized Release.gpg", with(vec![b'\n'; (1 << 20) + 1]), &untrusted(is_too_long));
    let mut files = archive().build();
    files.insert(IN_RELEASE.into(), vec![b'\n'; (16 << 20) + 1]);
    refused("an oversized InRelease", files, &untrusted(is_too_long));
    let mut files = detached();
    files.remove("dists/x/Release.gpg");
    refused(
        "a Release without Release.gpg",
        files,
        &Refusal { is_verification: false, ..untrusted(|error| matches!(error, Error::Fetch { .. })) },
    );
}

/// The names, dates and lists of a Release whose signature is good.
#[test]
fn a_signed_release_of_something_else() {
    let is_wrong_suite: fn(&Error) -> bool = |error| matches!(error, Error::WrongSuite { .. });
    let named = |suite: &str, codename: &str| {
        changed(|archive| (archive.suite, archive.codename) = (suite.to_owned(), codename.to_owned()))
    };
    refused("another suite and codename", named("y", "y"), &untrusted(is_wrong_suite));
    refused("neither suite nor codename", named("", ""), &untrusted(is_wrong_suite));
    refused("the updates pocket in place of the suite", named("x-updates", "x"), &untrusted(is_wrong_suite));
    refused("the security pocket in place of the suite", named("x-security", "x"), &untrusted(is_wrong_suite));
    let asked_for = |is_it| Refusal { is_verification: false, ..untrusted(is_it) };
    let files = changed(|archive| archive.architectures = vec!["arm64".to_owned()]);
    refused("another architecture", files, &asked_for(|error| matches!(error, Error::NoArchitecture { .. })));
    let other = Archive::new("x").key(&KEY).deb("contrib", Deb::new("a", "1"));
    let files = but(other, |archive| archive.components = vec!["contrib".to_owned()]).build();
    refused("another component", files, &asked_for(|error| matches!(error, Error::NoComponent { .. })));
    let files = changed(|archive| archive.valid_until = Some(EPOCH - 1));
    refused("Valid-Until is past", files, &untrusted(|error| matches!(error, Error::Expired { .. })));
    let files = changed(|archive| archive.date = EPOCH + 2 * DAY);
    refused("Date in the future", files, &untrusted(|error| matches!(error, Error::Future { .. })));
}

/// Texts that a good key has signed and that make no sense.
#[test]
fn a_signed_release_that_is_malformed() {
    let honest = archive();
    let text = honest.release();
    let with = |text: &str| {
        let mut files = honest.build();
        honest.publish(&mut files, text);
        files
    };
    let is_malformed: fn(&Error) -> bool = |error| matches!(error, Error::Release { .. });
    let line = text.lines().find(|line| line.ends_with("Packages.gz") && line.len() > 100).unwrap();
    let twice = text.replace(line, &format!("{line}\n {} 7 main/binary-amd64/Packages.gz", "ab".repeat(32)));
    for (name, text) in [
        ("an index twice with different digests", twice),
        ("a path that leads upwards", text.replace("main/binary-amd64/Packages.gz", "../../../../etc/passwd")),
        ("an absolute path", text.replace("main/binary-amd64/Packages.gz", "/etc/passwd")),
        ("a size that is no number", text.replace(line, &line.replace("  ", " -"))),
        ("no list of SHA256", text.split("SHA256:").next().unwrap().to_owned()),
        ("a field twice", format!("Suite: x\n{text}")),
        ("two stanzas", format!("{text}\nSuite: x\n")),
        ("no Date", text.replace("Date:", "Day:")),
        ("a Date that is none", text.replace("Date: Wed", "Date: never, Wed")),
    ] {
        refused(name, with(&text), &untrusted(is_malformed));
    }
    let mut files = honest.build();
    let bytes = [text.as_bytes(), b"X-Name: Ren\xe9\n"].concat();
    files.insert(IN_RELEASE.into(), clearsign_with(&[&KEY], &bytes, Stamp { at: Some(EPOCH), ..Stamp::default() }));
    refused("text that is not UTF-8", files, &untrusted(|error| matches!(error, Error::NotText { .. })));
    let unlisted = text.replace("/binary-amd64/", "/binary-arm64/");
    refused(
        "a promised index that is not listed",
        with(&unlisted),
        &untrusted(|error| matches!(error, Error::NoIndex { .. })),
    );
}

/// One key signs the suite and its security pocket, and until buster both have one codename.
#[test]
fn an_old_security_archive_is_not_the_main_one() {
    let main = || Archive::new("x").key(&KEY).deb("main", Deb::new("a", "1"));
    let security = || Archive::new("x/updates").key(&KEY).deb("main", Deb::new("a", "2"));
    let ask = |archive: &Archive, path: &str| {
        let archive = but(archive.clone(), |archive| archive.dist = path.to_owned());
        let server = Server::start(archive.build());
        ask(&pocket(path, &[server.url()]), &keyring())
    };
    assert!(ask(&main(), "x").is_ok() && ask(&security(), "x/updates").is_ok());
    let new = but(Archive::new("x-security").key(&KEY).deb("main", Deb::new("a", "2")), |archive| {
        archive.label = "Debian-Security".to_owned();
        archive.component_prefix = "updates/".to_owned();
    });
    assert!(ask(&new, "x-security").is_ok(), "a pocket with a name of its own");
    let stable = |archive: Archive| but(archive, |archive| archive.suite = "stable".to_owned());
    for (name, archive, path) in [
        ("the main archive below /updates", main(), "x/updates"),
        ("the main archive below /updates, by its alias", stable(main()), "stable/updates"),
        ("the security archive in place of the main one", security(), "x"),
        ("the security archive in place of the main one, by its alias", stable(security()), "stable"),
        (
            "a security label with the main components",
            but(main(), |a| a.label = "Debian-Security".to_owned()),
            "x/updates",
        ),
        ("security components with the main label", but(security(), |a| a.label = "Debian".to_owned()), "x/updates"),
    ] {
        rootstrap_testkit::hostile_case(HostileClass::Release, name);
        let error = ask(&archive, path).unwrap_err();
        assert!(matches!(error, Error::WrongSuite { .. }) && error.is_verification(), "{name}: {error:?}");
    }
}
