//! Which Release files are trusted, and what the refusals say.

use crate::world::*;
use rootstrap_fetch::{Error, Event, Keyring, Policy, SignatureProblem};
use rootstrap_testkit::archive::{AllIndex, Archive, Digest, Signing};
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::{Key, KeyOptions, SignatureDigest, clearsign_with, detached_with};
use rootstrap_testkit::server::Server;
use rootstrap_testkit::{EPOCH, Files, HostileClass, hostile_case};
use sequoia_openpgp::armor::{Reader, ReaderMode};
use std::io::Read;
use std::time::Duration;

const DAY: u64 = 86_400;

fn ask_for(files: Files, suite: &str, keyring: &Keyring) -> Result<rootstrap_fetch::VerifiedPocket, Error> {
    let server = Server::start(files);
    ask(&pocket(suite, &[server.url()]), keyring)
}

fn refused(files: Files, keyring: &Keyring) -> SignatureProblem {
    let error = ask_for(files, "x", keyring).unwrap_err();
    assert!(error.is_verification() && error.hint().is_some(), "{error:?}");
    match error {
        Error::Signature { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_signed_release_and_its_index_are_accepted() {
    let archive = archive();
    let server = Server::start(archive.build());
    let pocket = ask(&pocket("x", &[server.url() + "/"]), &keyring()).unwrap();
    assert_eq!(pocket.release_text().trim_end(), archive.release().trim_end());
    assert_eq!(pocket.keys(), [KEY.fingerprint()]);
    assert_eq!((pocket.suite(), pocket.release().date), ("x", EPOCH as i64));
    assert_eq!(wanted(&pocket).len(), 2);
    assert!(server.requests().iter().all(|request| !request.path.ends_with("/Release")));
}

#[test]
fn a_separate_signature_is_used_where_there_is_no_inrelease() {
    let archive = but(archive(), |a| a.signing = Signing::Detached);
    let pocket = ask_for(archive.build(), "x", &keyring()).unwrap();
    assert_eq!(pocket.release_text(), archive.release());
    let mut files = archive.build();
    files.get_mut("dists/x/Release").unwrap().extend(b"X-Evil: yes\n");
    assert!(matches!(refused(files, &keyring()), SignatureProblem::Bad { .. }));
    let mut files = archive.build();
    files.remove("dists/x/Release.gpg");
    let error = ask_for(files, "x", &keyring()).unwrap_err();
    assert!(matches!(error, Error::Fetch { .. }), "an unsigned Release counts as missing: {error:?}");
}

#[test]
fn changed_text_is_refused() {
    let mut files = archive().build();
    let text = String::from_utf8(files["dists/x/InRelease"].clone()).unwrap();
    files.insert("dists/x/InRelease".into(), text.replace("Codename: x", "Codename: y").into_bytes());
    match refused(files, &keyring()) {
        SignatureProblem::Bad { key, .. } => assert_eq!(key, KEY.fingerprint()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn text_around_the_signed_part_is_not_read() {
    let mut files = archive().build();
    let message = files["dists/x/InRelease"].clone();
    let evil = b"Origin: evil\nCodename: x\nX-Evil: yes\n\n";
    for (before, after) in [(&evil[..], &b""[..]), (b"", evil), (evil, evil)] {
        files.insert("dists/x/InRelease".into(), [before, &message[..], b"\n", after].concat());
        let problem = refused(files.clone(), &keyring());
        assert!(matches!(problem, SignatureProblem::Unsigned { .. }), "{problem:?}");
    }
    files.insert("dists/x/InRelease".into(), message);
    let pocket = ask_for(files, "x", &keyring()).unwrap();
    assert!(pocket.release_text().starts_with("Origin: Debian\n"), "{}", pocket.release_text());
    assert!(!pocket.release_text().contains("PGP"), "{}", pocket.release_text());
}

#[test]
fn expired_revoked_and_unknown_keys_are_refused() {
    let made = |options: KeyOptions| Key::generate_with("other", &options);
    let plain = KeyOptions::default;
    let expired = made(KeyOptions { valid_for: Some(Duration::from_secs(365 * DAY)), ..plain() });
    let revoked = made(KeyOptions { revoked: true, ..plain() });
    let subkey = made(KeyOptions { signing_subkey: true, ..plain() });
    let by = |key: &Key| but(archive(), |a| a.keys = vec![key.clone()]).build();
    let ring = |key: &Key| Keyring::from_bytes(&[&KEY.public_armored(), &key.public()]).unwrap();

    match refused(by(&expired), &ring(&expired)) {
        SignatureProblem::Expired { key, .. } => assert_eq!(key, expired.fingerprint()),
        other => panic!("{other:?}"),
    }
    match refused(by(&revoked), &ring(&revoked)) {
        SignatureProblem::Revoked { key } => assert_eq!(key, revoked.fingerprint()),
        other => panic!("{other:?}"),
    }
    match refused(by(&expired), &keyring()) {
        SignatureProblem::Unknown { keys } => {
            assert_eq!(keys.len(), 1);
            assert!(expired.fingerprint().ends_with(&keys[0]) || keys[0] == expired.fingerprint(), "{keys:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ask_for(by(&subkey), "x", &ring(&subkey)).unwrap().keys(), [subkey.fingerprint()]);
    // Beside a good signature, none of them matters.
    for other in [&expired, &revoked, &subkey] {
        let files = but(archive(), |a| a.keys = vec![other.clone(), KEY.clone()]).build();
        assert!(ask_for(files, "x", &ring(other)).unwrap().keys().contains(&KEY.fingerprint()));
    }
}

#[test]
fn a_signature_made_before_its_key_expired_is_good() {
    let valid_for = Some(Duration::from_secs(5 * 365 * DAY + 7 * DAY));
    let key = Key::generate_with("old", &KeyOptions { valid_for, ..KeyOptions::default() });
    let files = but(archive(), |a| a.keys = vec![key.clone()]).build();
    assert!(ask_for(files, "x", &Keyring::from_bytes(&[&key.public()]).unwrap()).is_ok());
}

#[test]
fn a_revocation_in_one_copy_of_a_key_counts_for_all() {
    let key = Key::generate_with("stolen", &KeyOptions { revoked: true, ..KeyOptions::default() });
    let (revoked, files) = (key.public(), but(archive(), |a| a.keys = vec![key.clone()]).build());
    let certificate = sequoia_openpgp::Cert::try_from(
        <sequoia_openpgp::Cert as sequoia_openpgp::parse::Parse<_>>::from_bytes(&revoked)
            .map(sequoia_openpgp::Cert::into_packets)
            .unwrap()
            .filter(|packet| match packet {
                sequoia_openpgp::Packet::Signature(s) => {
                    s.typ() != sequoia_openpgp::types::SignatureType::KeyRevocation
                }
                _ => true,
            })
            .collect::<Vec<_>>(),
    );
    let clean = sequoia_openpgp::serialize::SerializeInto::to_vec(&certificate.unwrap()).unwrap();
    assert!(ask_for(files.clone(), "x", &Keyring::from_bytes(&[&clean]).unwrap()).is_ok());
    for order in [[&clean[..], &revoked[..]], [&revoked[..], &clean[..]]] {
        let problem = refused(files.clone(), &Keyring::from_bytes(&order).unwrap());
        assert!(matches!(problem, SignatureProblem::Revoked { .. }), "{problem:?}");
    }
}

#[test]
fn a_sha1_signature_is_too_weak() {
    let files = but(archive(), |a| a.signature_digest = SignatureDigest::Sha1).build();
    let problem = refused(files, &keyring());
    assert!(matches!(problem, SignatureProblem::Weak { .. }), "{problem:?}");
}

#[test]
fn a_bad_signature_beside_a_good_one_is_fatal_if_its_key_is_known() {
    let other = Key::generate("other");
    let archive = but(archive(), |a| a.signing = Signing::Detached);
    let mut files = archive.build();
    let stamp = Default::default();
    let plain = |armored: Vec<u8>| {
        let mut bytes = Vec::new();
        Reader::from_bytes(&armored, ReaderMode::VeryTolerant).read_to_end(&mut bytes).unwrap();
        bytes
    };
    let good = plain(detached_with(&[&KEY], &files["dists/x/Release"], stamp));
    let bad = plain(detached_with(&[&other], b"another text", stamp));
    files.insert("dists/x/Release.gpg".into(), [good, bad].concat());
    let both = Keyring::from_bytes(&[&KEY.public(), &other.public()]).unwrap();
    match refused(files.clone(), &both) {
        SignatureProblem::Bad { key, .. } => assert_eq!(key, other.fingerprint()),
        problem => panic!("{problem:?}"),
    }
    assert!(ask_for(files, "x", &keyring()).is_ok(), "a signature by an unknown key does not count, good or bad");
}

#[test]
fn unsigned_text_is_refused() {
    let page = "<html>log in first</html>";
    for message in ["", page, "Origin: Debian\nSuite: x\n"] {
        let mut files = archive().build();
        files.insert("dists/x/InRelease".into(), message.into());
        let problem = refused(files, &keyring());
        match problem {
            SignatureProblem::Page => assert_eq!(message, page),
            problem => assert!(message != page && matches!(problem, SignatureProblem::Unsigned { .. }), "{problem:?}"),
        }
    }
    let mut files = archive().build();
    let signed = clearsign_with(&[&KEY], b"Origin: Debian\n", Default::default());
    files.insert("dists/x/InRelease".into(), signed);
    assert!(matches!(ask_for(files, "x", &keyring()).unwrap_err(), Error::Release { .. }));
}

#[test]
fn a_release_with_weak_digests_only_is_refused() {
    let files = but(archive(), |a| a.digests = Digest::WEAK.to_vec()).build();
    let error = ask_for(files, "x", &keyring()).unwrap_err();
    assert!(cause(&error).contains("no SHA256"), "{error:?}");
}

#[test]
fn bad_keyrings_are_refused() {
    let mut keybox = vec![0, 0, 0, 32, 1, 1, 0, 2];
    keybox.extend(b"KBXf\0\0\0\0");
    let error = Keyring::from_bytes(&[&keybox]).unwrap_err();
    assert!(error.hint().unwrap().contains("--export"), "{error:?}");
    for blobs in [&[][..], &[&b""[..]], &[&b"no key"[..]]] {
        assert!(matches!(Keyring::from_bytes(blobs), Err(Error::Keyring { .. })), "{blobs:?}");
    }
}

#[test]
fn dates_are_judged() {
    let at = |date: u64, valid_until| {
        but(archive(), |a| {
            a.date = date;
            a.valid_until = valid_until;
        })
        .build()
    };
    let error = ask_for(at(EPOCH - 9 * DAY, Some(EPOCH)), "x", &keyring()).unwrap_err();
    assert!(matches!(error, Error::Expired { .. }) && error.is_verification(), "{error:?}");
    assert!(error.hint().unwrap().contains("--valid-at 2024-12-23T00:00:00Z"), "{:?}", error.hint());
    let error = ask_for(at(EPOCH + 2 * DAY, None), "x", &keyring()).unwrap_err();
    assert!(matches!(error, Error::Future { .. }) && error.is_verification(), "{error:?}");
    assert!(ask_for(at(EPOCH + DAY / 2, Some(EPOCH + DAY)), "x", &keyring()).is_ok());
}

#[test]
fn the_suite_must_be_the_requested_one() {
    // (requested path, Suite, Codename, whether it is accepted)
    let cases = [
        ("trixie", "stable", "trixie", true),
        ("stable", "stable", "trixie", true),
        ("trixie", "stable", "bookworm", false),
        ("trixie-security", "stable-security", "trixie-security", true),
        ("buster/updates", "oldoldstable", "buster", true),
        ("focal-updates", "focal-updates", "focal", true),
        ("focal", "focal", "focal", true),
        ("focal", "focal-updates", "focal", false),
        ("focal-updates", "focal", "focal", false),
        ("focal-updates", "focal-security", "focal", false),
    ];
    for (path, suite, codename, is_accepted) in cases {
        let archive = but(archive(), |a| {
            a.dist = path.into();
            a.suite = suite.into();
            a.codename = codename.into();
            if path.ends_with("/updates") {
                (a.label, a.component_prefix) = ("Debian-Security".into(), "updates/".into());
            }
        });
        let outcome = ask_for(archive.build(), path, &keyring());
        match outcome {
            Ok(_) => assert!(is_accepted, "{path} {suite} {codename}"),
            Err(Error::WrongSuite { .. }) => assert!(!is_accepted, "{path} {suite} {codename}"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn architecture_and_component_must_be_listed() {
    let files = but(archive(), |a| a.architectures = vec!["arm64".into()]).build();
    let error = ask_for(files, "x", &keyring()).unwrap_err();
    assert!(error.to_string().contains("no architecture \"amd64\", only"), "{error}");
    let server = Server::start(archive().build());
    let mut asked = pocket("x", &[server.url()]);
    asked.components.push("contrib".into());
    let error = ask(&asked, &keyring()).unwrap_err();
    assert!(error.to_string().ends_with("no component \"contrib\", only main"), "{error}");
}

/// apt-ftparchive writes neither field unless it is told to. Then the list of files says what there is.
#[test]
fn a_release_may_list_neither_architectures_nor_components() {
    let bare = |archive: Archive| archive.field("Architectures", "").field("Components", "");
    for all_index in [AllIndex::Merged, AllIndex::Separate] {
        let archive = but(bare(archive()).deb("main", Deb::new("data", "1").arch("all")), |a| a.all_index = all_index);
        let pocket = ask_for(archive.build(), "x", &keyring()).unwrap();
        assert_eq!(wanted(&pocket).len(), 3, "{all_index:?}");
    }
    let server = Server::start(bare(archive()).build());
    let mut asked = pocket("x", &[server.url()]);
    asked.components = vec!["contrib".into()];
    let error = ask(&asked, &keyring()).unwrap_err();
    assert!(matches!(&error, Error::NoIndex { path, .. } if path == "contrib/binary-amd64/Packages"), "{error:?}");
    let files = but(bare(archive()), |a| a.architectures = vec!["arm64".into()]).build();
    assert!(matches!(ask_for(files, "x", &keyring()), Err(Error::NoIndex { .. })));
}

#[test]
fn prefixed_components_and_separate_indexes_for_all_are_read() {
    let old = Archive::new("buster/updates").key(&KEY).deb("main", Deb::new("a", "1"));
    let pocket = ask_for(old.build(), "buster/updates", &keyring()).unwrap();
    assert_eq!(pocket.indexes()[0].component(), "main");
    for (all_index, architectures) in
        [(AllIndex::Separate, &["amd64", "all"][..]), (AllIndex::Both, &["amd64"]), (AllIndex::Merged, &["amd64"])]
    {
        let archive = but(archive().deb("main", Deb::new("data", "1").arch("all")), |a| a.all_index = all_index);
        let pocket = ask_for(archive.build(), "x", &keyring()).unwrap();
        let read: Vec<_> = pocket.indexes().iter().map(|index| index.architecture()).collect();
        assert_eq!(read, architectures, "{all_index:?}");
        assert_eq!(wanted(&pocket).len(), 3, "{all_index:?}");
    }
}

#[test]
fn a_release_older_than_the_last_is_refused() {
    hostile_case(HostileClass::Release, "older than the last one seen");
    let cache = tempfile::tempdir().unwrap();
    let ask = |archive: Archive, policy: Policy| {
        let server = Server::start(archive.build());
        ask_with(options(cache.path()), &pocket("x", &[server.url()]), &keyring(), &policy, &Log::default())
    };
    let older = || but(archive(), |a| a.date = EPOCH - DAY);
    assert!(ask(archive(), POLICY).is_ok());
    assert!(ask(archive().field("Description", "same date"), POLICY).is_ok());
    // The newer one is still there, and is used in its place.
    assert_eq!(ask(older(), POLICY).unwrap().release().date, EPOCH as i64);
    assert!(ask(but(older(), |a| a.origin = "Other".into()), POLICY).is_ok(), "another archive");
    assert!(ask(older(), Policy { allow_rollback: true, ..POLICY }).is_ok());
    assert_eq!(ask(older(), POLICY).unwrap().release().date, EPOCH as i64, "the override holds for one run");
    assert!(ask(older(), Policy { now: NOW - 2 * DAY as i64, ..POLICY }).is_ok(), "judged at its own date");
}

/// Where the newer one cannot be used any more, the older one is still refused.
#[test]
fn an_older_release_does_not_come_back_when_the_newer_one_expires() {
    hostile_case(HostileClass::Release, "older than the last one seen, which has expired");
    let cache = tempfile::tempdir().unwrap();
    let ask = |archive: Archive, now: i64| {
        let (server, log) = (Server::start(archive.build()), Log::default());
        let policy = Policy { now, ..POLICY };
        ask_with(options(cache.path()), &pocket("x", &[server.url()]), &keyring(), &policy, &log)
    };
    assert!(ask(but(archive(), |a| a.valid_until = Some(EPOCH + DAY)), NOW).is_ok());
    let error = ask(but(archive(), |a| a.date = EPOCH - DAY), NOW + 2 * DAY as i64).unwrap_err();
    assert!(matches!(error, Error::Rollback { .. }) && error.is_verification(), "{error:?}");
    assert!(error.hint().unwrap().contains("--allow-rollback"));
}

#[test]
fn a_release_without_its_indexes_is_not_stored() {
    let cache = tempfile::tempdir().unwrap();
    let ask = |files: Files| {
        let server = Server::start(files);
        ask_with(options(cache.path()), &pocket("x", &[server.url()]), &keyring(), &POLICY, &Log::default())
    };
    let mut half_updated = archive().build();
    half_updated.retain(|path, _| !path.contains("Packages") && !path.contains("by-hash"));
    assert!(matches!(ask(half_updated), Err(Error::Fetch { .. })));
    assert!(ask(but(archive(), |a| a.date = EPOCH - DAY).build()).is_ok());
}

#[test]
fn a_stored_release_of_another_keyring_does_not_count() {
    let cache = tempfile::tempdir().unwrap();
    let other = Key::generate("other");
    let newer = but(archive(), |a| a.keys = vec![other.clone()]);
    let ask = |archive: Archive, key: &Key| {
        let server = Server::start(archive.build());
        let keyring = Keyring::from_bytes(&[&key.public()]).unwrap();
        ask_with(options(cache.path()), &pocket("x", &[server.url()]), &keyring, &POLICY, &Log::default())
    };
    assert!(ask(newer, &other).is_ok());
    assert!(ask(but(archive(), |a| a.date = EPOCH - DAY), &KEY).is_ok());
}

#[test]
fn the_next_mirror_is_asked_when_one_cannot_be_trusted() {
    let bad = Server::start(but(archive(), |a| a.keys = vec![Key::generate("evil")]).build());
    let good = Server::start(archive().build());
    let (cache, log) = (tempfile::tempdir().unwrap(), Log::default());
    let asked = pocket("x", &[bad.url(), good.url()]);
    let pocket = ask_with(options(cache.path()), &asked, &keyring(), &POLICY, &log).unwrap();
    assert_eq!(pocket.mirrors(), [good.url(), bad.url()]);
    assert_eq!(log.count(|event| matches!(event, Event::MirrorFailed { .. })), 1);
    // A refusal is reported rather than an unreachable mirror: the user must learn of it.
    drop(good);
    let error = ask(&asked, &keyring()).unwrap_err();
    assert!(error.is_verification(), "{error:?}");
}
