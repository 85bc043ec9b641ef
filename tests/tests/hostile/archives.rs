//! Archives and mirrors that attack or fail, against the real binary: the exit status, and that neither the target nor the cache keeps
//! anything of it. `crates/fetch/tests/component/hostile` has many more of them, without a target.

use crate::unharmed::{Before, files_below};
use rootstrap_testkit::archive::{Archive, Digest, Signing, pool_path};
use rootstrap_testkit::compress::Compression;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::{Key, KeyOptions, SignatureDigest};
use rootstrap_testkit::server::Fault;
use rootstrap_testkit::{EPOCH, Files, HostileClass, hostile_case};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World};
use std::path::Path;
use std::time::Duration;

const DAY: u64 = 86_400;
const INDEX: &str = "main/binary-amd64/Packages";

fn package() -> Deb {
    Deb::new("small", "1").field("Priority", "optional").file("/usr/share/small", 0o644, "small\n")
}

/// A suite with one package and one form of its index.
fn archive() -> Archive {
    let mut archive = Archive::new("x").key(&KEY).deb("main", package());
    archive.acquire_by_hash = false;
    archive.forms = vec![Compression::Gz];
    archive.list_plain = false;
    archive.digests = vec![Digest::Sha256];
    archive
}

fn changed(change: impl FnOnce(&mut Archive)) -> Files {
    let mut archive = archive();
    change(&mut archive);
    archive.build()
}

/// Returns the files of the archive with another text as its index, which the Release lists.
fn with_index(bytes: Vec<u8>) -> Files {
    let archive = archive();
    let mut files = archive.build();
    let release = String::from_utf8(files["dists/x/Release"].clone()).unwrap();
    let line = format!(" {} {} {INDEX}.gz", Digest::Sha256.hex(&bytes), bytes.len());
    let lines = release.lines().map(|old| if old.ends_with(".gz") { line.as_str() } else { old });
    let release = lines.collect::<Vec<_>>().join("\n") + "\n";
    files.insert(format!("dists/x/{INDEX}.gz"), bytes);
    archive.publish(&mut files, &release);
    files
}

/// Returns the files of the archive with another package at the place of the listed one, with its size and digest in the index.
fn with_deb(deb: &Deb) -> Files {
    let bytes = deb.build();
    let entry = package()
        .index_field("Size", &bytes.len().to_string())
        .index_field("SHA256", &Digest::Sha256.hex(&bytes))
        .index_field("MD5sum", &"0".repeat(32));
    let path = pool_path("main", &entry);
    let mut files = Archive::new("x").key(&KEY).deb("main", entry).build();
    files.insert(path, bytes);
    files
}

fn run(world: &World) -> Outcome {
    world.run(&[&world.target("root.tar"), "--variant=extract", "--include=small", "--arch=amd64"])
}

/// Runs with these files. Checks the exit status and what is said, that nothing is left, and that an honest run succeeds afterwards.
fn refused(class: HostileClass, name: &str, files: Files, expect: (i32, &str), fault: Option<(&str, Fault)>) {
    hostile_case(class, name);
    let world = World::serving("x", files);
    if let Some((path, fault)) = fault {
        world.server.fault(path, fault, usize::MAX);
    }
    let before = Before::of(&world);
    let outcome = run(&world);
    assert_eq!(outcome.code, Some(expect.0), "{name}: {}", outcome.stderr);
    assert!(outcome.stderr.contains(expect.1), "{name}: {}", outcome.stderr);
    assert!(!outcome.stderr.contains("panicked"), "{name}: {}", outcome.stderr);
    before.check(&world, &[]);
    check_cache(&world.path("cache"), class, name);
    succeeds_afterwards(&world, name);
}

/// Makes an honest run with the cache of a world.
fn succeeds_afterwards(world: &World, name: &str) {
    let honest = World::serving("x", archive().build());
    let target = honest.target("root.tar");
    let mut command = honest.command(&[&target, "--variant=extract", "--include=small", "--arch=amd64"]);
    let outcome = honest.finish(command.arg("--cache-dir").arg(world.path("cache")));
    assert_eq!(outcome.code, Some(0), "{name}: an honest run fails afterwards: {}", outcome.stderr);
}

/// Nothing may be kept of a Release that cannot be trusted, or of what it lists.
fn check_cache(cache: &Path, class: HostileClass, name: &str) {
    for layer in ["release", "index"] {
        let kept = files_below(&cache.join("v1").join(layer));
        assert!(class != HostileClass::Release || kept.is_empty(), "{name}: {kept:?}");
    }
}

#[test]
fn release_files_that_are_not_to_be_trusted() {
    let key = |options: KeyOptions| Key::generate_with("other", &options);
    let by = |key: Key| changed(|archive| archive.keys = vec![key]);
    let mut tampered = archive().build();
    let text = String::from_utf8(tampered["dists/x/InRelease"].clone()).unwrap();
    tampered.insert("dists/x/InRelease".into(), text.replace("Origin: Debian", "Origin: Evil").into_bytes());
    let mut unsigned = archive().build();
    unsigned.insert("dists/x/InRelease".into(), archive().release().into_bytes());
    for (name, files, said) in [
        ("unsigned", unsigned, "it is not signed"),
        ("signed by a stranger", by(key(KeyOptions::default())), "unknown keys"),
        ("changed after it was signed", tampered, "is bad"),
        ("a SHA-1 signature", changed(|archive| archive.signature_digest = SignatureDigest::Sha1), "too weak"),
        (
            "another suite",
            changed(|archive| (archive.suite, archive.codename) = ("y".into(), "y".into())),
            "suite \"y\"",
        ),
        ("expired", changed(|archive| archive.valid_until = Some(EPOCH + 1)), "it expired at"),
        ("no digests but weak ones", changed(|archive| archive.digests = Digest::WEAK.to_vec()), "lists no SHA256"),
        ("a date that is none", changed(|archive| archive.fields.push(("Date".into(), "never".into()))), "is no date"),
    ] {
        let name = format!("a Release that is {name}, real binary");
        refused(HostileClass::Release, &name, files, (3, said), None);
    }
}

/// The keyring of the run holds the key, which has expired. The signature claims to be older than that.
#[test]
fn a_backdated_signature_by_an_expired_key() {
    let valid_for = Some(Duration::from_secs(5 * 365 * DAY - 30 * DAY));
    let key = Key::generate_with("old", &KeyOptions { valid_for, ..KeyOptions::default() });
    for (name, signing) in [("inline", Signing::InRelease), ("detached", Signing::Detached)] {
        let name = format!("a backdated signature by an expired key, {name}, real binary");
        hostile_case(HostileClass::Release, &name);
        let files = changed(|archive| {
            archive.keys = vec![key.clone()];
            archive.signing = signing;
            archive.signed_at = Some(EPOCH - 60 * DAY);
        });
        let world = World::serving("x", files);
        std::fs::write(world.path("key.pgp"), [KEY.public(), key.public()].concat()).unwrap();
        let before = Before::of(&world);
        let outcome = run(&world);
        assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("has expired"), "{}", outcome.stderr);
        before.check(&world, &[]);
        check_cache(&world.path("cache"), HostileClass::Release, &name);
        succeeds_afterwards(&world, &name);
    }
}

/// A good key has signed what follows, and it makes no sense.
#[test]
fn signed_indexes_that_make_no_sense() {
    let gz = |text: &str| Compression::Gz.compress(text.as_bytes());
    let stanza =
        |fields: &str| gz(&format!("Package: small\nVersion: 1\nArchitecture: amd64\nPriority: optional\n{fields}\n"));
    let digest = "ab".repeat(32);
    let whole = stanza("Filename: pool/a.deb\n");
    let good = format!("Filename: pool/a.deb\nSize: 1\nSHA256: {digest}\n");
    let with_version = |version: &str| {
        gz(&format!("Package: small\nVersion: {version}\nArchitecture: amd64\nPriority: optional\n{good}\n"))
    };
    for (name, bytes, said) in [
        ("half of it", whole[..whole.len() / 2].to_vec(), "cannot decompress"),
        ("no compressed stream", b"nonsense".to_vec(), "cannot decompress"),
        ("a Filename with ..", stanza(&format!("Filename: ../../etc/passwd\nSize: 1\nSHA256: {digest}\n")), "Filename"),
        ("an absolute Filename", stanza(&format!("Filename: /etc/passwd\nSize: 1\nSHA256: {digest}\n")), "Filename"),
        ("a Size that is none", stanza(&format!("Filename: pool/a.deb\nSize: x\nSHA256: {digest}\n")), "Size"),
        ("a digest that is none", stanza("Filename: pool/a.deb\nSize: 1\nSHA256: x\n"), "SHA256"),
        ("a version that is a path", with_version("../../1"), "Version"),
        ("a version with a space", with_version("1 2"), "Version"),
        ("a version with escape sequences", with_version("1\u{1b}[2J"), "Version"),
        ("no version", with_version(""), "Version"),
        ("a dependency that cannot be parsed", stanza(&format!("Depends: (((\n{good}")), "Depends"),
    ] {
        let name = format!("a signed index: {name}, real binary");
        refused(HostileClass::Index, &name, with_index(bytes), (3, said), None);
    }
}

/// The digest of the package is right, and the package is another one than the index says.
#[test]
fn packages_that_the_index_does_not_describe() {
    for (name, deb) in [
        ("another name", Deb::new("other", "1").file("/x", 0o644, "x")),
        ("another version", Deb::new("small", "2").file("/x", 0o644, "x")),
        ("another architecture", Deb::new("small", "1").arch("arm64").file("/x", 0o644, "x")),
    ] {
        let name = format!("a package with {name} in it, real binary");
        refused(HostileClass::Index, &name, with_deb(&deb), (3, "the package in it calls itself"), None);
    }
}

#[test]
fn mirrors_that_lie_or_fail() {
    let path = pool_path("main", &package());
    for (name, at, fault, expect) in [
        ("a package with other bytes", path.as_str(), Fault::Corrupt, (3, "SHA256")),
        ("a page in place of a package", &path, Fault::Page("<html></html>".to_owned()), (3, "bytes instead of")),
        (
            "a page in place of InRelease",
            "dists/x/InRelease",
            Fault::Page("<html></html>".to_owned()),
            (3, "not signed"),
        ),
        ("a package that is missing", &path, Fault::Status(404), (1, "not found")),
        ("a package that is forbidden", &path, Fault::Status(403), (1, "answered 403")),
    ] {
        let name = format!("{name}, real binary");
        refused(HostileClass::Network, &name, archive().build(), expect, Some((at, fault)));
    }
}
