//! Release files that cannot be trusted lead to exit status 3, a hint, and no target.

use crate::{archive, unlisted};
use rootstrap_testkit::archive::{Archive, Signing};
use rootstrap_testkit::keys::Key;
use rootstrap_testkit::{EPOCH, Files};
use rootstrap_tests::world::World;

fn refused(files: Files, arguments: &[&str], code: i32, says: &[&str]) {
    let world = World::serving("fixture", files);
    let outcome = world.run(&[&["--print-plan", "--arch=amd64"], arguments].concat()).expect(code).says(says);
    assert!(outcome.stdout.is_empty(), "a plan was made");
    assert_eq!(outcome.transcript.matches("hint: ").count(), 1, "{}", outcome.transcript);
    let indexes = world.server.requests().into_iter().filter(|request| request.path.contains("/binary-"));
    assert_eq!(indexes.count(), 0, "an index was fetched on the word of an untrusted Release");
}

fn changed(change: impl FnOnce(&mut Archive)) -> Files {
    let mut archive = archive("fixture");
    change(&mut archive);
    archive.build()
}

#[test]
fn no_signature() {
    let files = changed(|archive| archive.signing = Signing::None);
    refused(files, &[], 1, &["cannot fetch", "not found"]);
}

#[test]
fn an_unknown_key() {
    let files = changed(|archive| archive.keys = vec![Key::generate("stranger")]);
    refused(files, &[], 3, &["error: cannot trust", "dists/fixture/InRelease"]);
}

#[test]
fn a_tampered_release() {
    for name in ["InRelease", "Release"] {
        let mut files = changed(|archive| {
            archive.signing = if name == "InRelease" { Signing::InRelease } else { Signing::Detached };
        });
        let file = files.get_mut(&format!("dists/fixture/{name}")).unwrap();
        let text = String::from_utf8(file.clone()).unwrap();
        assert!(text.contains("Suite: fixture"));
        *file = text.replace("Description: fixture", "Description: fixturE").into_bytes();
        refused(files, &[], 3, &["error: cannot trust"]);
    }
}

#[test]
fn text_around_the_signed_text_is_refused() {
    let evil = b"Origin: Evil\nSuite: evil\n\n".as_slice();
    for is_before in [true, false] {
        let mut files = archive("fixture").build();
        let file = files.get_mut("dists/fixture/InRelease").unwrap();
        *file = if is_before { [evil, file].concat() } else { [file, evil].concat() };
        files.remove("dists/fixture/Release");
        refused(files, &[], 3, &["error: cannot trust", "it is not one plain signed text"]);
    }
    // Blank lines are no text.
    let mut files = archive("fixture").build();
    let file = files.get_mut("dists/fixture/InRelease").unwrap();
    *file = [b"\n", &file[..], b"\n\n"].concat();
    World::serving("fixture", files).run(&["--print-plan", "--arch=amd64"]).expect(0);
}

#[test]
fn an_expired_release() {
    let expired = || changed(|archive| archive.valid_until = Some(EPOCH + 86_400));
    refused(
        expired(),
        &[],
        3,
        &["it expired at 2025-01-02T00:00:00Z", "hint: the mirror is stale", "--valid-at 2025-01-01T00:00:00Z"],
    );
    let world = World::serving("fixture", expired());
    world.run(&["--print-plan", "--arch=amd64", "--valid-at=2025-01-01T00:00:00Z"]).expect(0);
}

#[test]
fn a_release_from_the_future() {
    let files = changed(|archive| archive.fields = vec![("Date".into(), "Fri, 01 Jan 2100 00:00:00 UTC".into())]);
    refused(files, &[], 3, &["which lies after", "hint: check this machine's clock"]);
}

#[test]
fn a_release_for_another_suite() {
    let files = changed(|archive| {
        archive.suite = "other".into();
        archive.codename = "other".into();
    });
    refused(files, &[], 3, &["it is for suite \"other\", codename \"other\""]);
}

#[test]
fn a_release_older_than_the_last_one() {
    let world = unlisted();
    world.run(&["--print-plan", "--arch=amd64"]).expect(0);
    let mut older = archive("fixture");
    older.date = EPOCH - 86_400;
    for (path, bytes) in older.build() {
        world.server.set(&path, bytes);
    }
    let plan = world.run(&["--print-plan", "--arch=amd64"]).expect(0);
    plan.says(&["older than the one seen before", "going on with the newer one from the cache"]);
    world.run(&["--print-plan", "--arch=amd64", "--allow-rollback"]).expect(0);
}

#[test]
fn a_file_that_is_no_keyring() {
    let world = unlisted();
    std::fs::write(world.path("key.pgp"), "no key at all").unwrap();
    world.run(&["--print-plan"]).expect(1).says(&["cannot use the keyring DIR/key.pgp\n", "hint: name a file with"]);
    std::fs::remove_file(world.path("key.pgp")).unwrap();
    world.run(&["--print-plan"]).expect(1).says(&["cannot read the keyring DIR/key.pgp"]);
    assert!(world.server.requests().is_empty());
}
