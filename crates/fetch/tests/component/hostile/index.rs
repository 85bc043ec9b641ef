//! `Packages` indexes that attack: their digests are signed, unless the case says otherwise.

use super::{Scene, archive, untrusted};
use crate::world::*;
use rootstrap_fetch::Error;
use rootstrap_testkit::archive::{Archive, Digest};
use rootstrap_testkit::compress::{Compression, xz_with_huge_dictionary};
use rootstrap_testkit::server::{Fault, Server};
use rootstrap_testkit::{Files, HostileClass, hostile_case, hostile_extent};

/// An archive that has its index at one path, in one form.
fn plain(form: Compression) -> Archive {
    but(archive(), |archive| {
        archive.acquire_by_hash = false;
        archive.forms = vec![form];
        archive.digests = vec![Digest::Sha256];
        archive.list_plain = false;
    })
}

fn path_of(form: Compression) -> String {
    format!("main/binary-amd64/Packages{}", form.suffix())
}

/// Returns the files of an archive whose index in this form has these bytes and is signed.
fn signed(form: Compression, bytes: Vec<u8>, size: Option<usize>) -> Files {
    let archive = plain(form);
    let mut files = archive.build();
    relist(&archive, &mut files, &path_of(form), bytes, size);
    files
}

fn refused(name: &str, files: Files, is_it: fn(&Error) -> bool) -> Error {
    Scene::new().refuses(HostileClass::Index, name, &Server::start(files), &untrusted(is_it))
}

fn is_undecodable(error: &Error) -> bool {
    matches!(error, Error::Decompress { .. })
}

fn is_too_large(error: &Error) -> bool {
    matches!(error, Error::TooLarge { .. })
}

fn is_mismatch(error: &Error) -> bool {
    matches!(error, Error::Fetch { .. })
}

const ALL: [Compression; 5] = [Compression::Gz, Compression::Xz, Compression::Zst, Compression::Bz2, Compression::Lzma];

#[test]
fn an_index_that_is_not_the_listed_one() {
    for (name, fault) in [
        ("an index with another digest", Fault::Corrupt),
        ("an index that is too short", Fault::Truncate(100)),
        ("an empty index", Fault::Truncate(0)),
        ("an index without end", Fault::Endless),
    ] {
        let server = Server::start(plain(Compression::Gz).build());
        server.fault(&format!("dists/x/{}", path_of(Compression::Gz)), fault, usize::MAX);
        Scene::new().refuses(HostileClass::Index, name, &server, &untrusted(is_mismatch));
    }
    let whole = plain(Compression::Gz).build()[&format!("dists/x/{}", path_of(Compression::Gz))].clone();
    refused(
        "a listed size that is too small",
        signed(Compression::Gz, whole.clone(), Some(whole.len() - 1)),
        is_mismatch,
    );
    refused(
        "a listed size that is too large",
        signed(Compression::Gz, whole.clone(), Some(whole.len() + 1)),
        is_mismatch,
    );
    refused("a listed size of a terabyte", signed(Compression::Gz, whole, Some(1 << 40)), is_too_large);
}

#[test]
fn compressed_streams_that_are_damaged() {
    for form in ALL {
        let whole = form.compress(b"Package: a\nVersion: 1\nArchitecture: amd64\n\n");
        let half = whole[..whole.len() / 2].to_vec();
        refused(&format!("half of a {form:?} stream"), signed(form, half, None), is_undecodable);
        let nonsense = b"this is no compressed stream of any kind".to_vec();
        refused(&format!("a {form:?} stream that is none"), signed(form, nonsense, None), is_undecodable);
    }
}

/// Several members are one stream, and what stands behind the last is refused or not read.
#[test]
fn compressed_streams_with_more_behind_them() {
    for form in ALL {
        let [one, two] =
            [b"Package: a\nVersion: 1\nArchitecture: amd64\n\n", b"Package: b\nVersion: 1\nArchitecture: amd64\n\n"];
        let trailing = [form.compress(one), b"Package: evil\nVersion: 1\n\n".to_vec()].concat();
        for (name, bytes) in
            [("several members", [form.compress(one), form.compress(two)].concat()), ("text", trailing)]
        {
            let name = format!("{name} behind a {form:?} stream");
            hostile_case(HostileClass::Index, &name);
            let scene = Scene::new();
            let server = Server::start(signed(form, bytes, None));
            match ask_with(scene.options(), &pocket("x", &[server.url()]), &keyring(), &POLICY, &Log::default()) {
                Ok(pocket) => {
                    let packages = pocket.indexes()[0].packages().packages();
                    let names: Vec<_> = packages.map(|package| package.name.to_owned()).collect();
                    assert!(names == ["a"] || names == ["a", "b"], "{name}: {names:?}");
                    scene.succeeds_afterwards(&name);
                }
                Err(error) => {
                    assert!(is_undecodable(&error) && error.is_verification(), "{name}: {error:?}");
                    scene.check(&name);
                }
            }
        }
    }
}

/// A listed plain size limits what a compressed index may become. Without one, the ceiling of all indexes does.
#[test]
fn bombs() {
    let zeros = vec![b'\n'; 4 << 20];
    for form in ALL {
        let archive = but(plain(form), |archive| archive.list_plain = true);
        let mut files = archive.build();
        relist(&archive, &mut files, &path_of(form), form.compress(&zeros), None);
        refused(&format!("a bomb in {form:?}"), files, is_too_large);
    }
    // An xz stream may ask for 4 GiB of dictionary and a zstd frame for a window of 2 GiB before the first byte of content.
    let xz = xz_with_huge_dictionary(b"Package: a\n\n");
    refused("an xz stream with a dictionary of 4 GiB", signed(Compression::Xz, xz, None), is_undecodable);
    // Magic number, no checksum and no size, a window of 2^(10 + 21) bytes, and a last raw block of one byte.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x09, 0x00, 0x00, b'\n'].to_vec();
    refused("a zstd frame with a window of 2 GiB", signed(Compression::Zst, zstd, None), is_undecodable);
}

/// Texts that are no good index: what can be read of them is read, and the rest does no harm.
#[test]
fn texts_of_a_strange_form() {
    let good = "Package: good\nVersion: 1\nArchitecture: amd64\n\n";
    let long = "x".repeat(8 << 20);
    // Every submission is tested with a tenth of them.
    let many: String = (0..hostile_extent(100_000, 1_000_000))
        .map(|n| format!("Package: p{n}\nVersion: 1\nArchitecture: amd64\n\n"))
        .collect();
    let cycle = "Package: a\nDepends: b\nPre-Depends: b\n\nPackage: b\nDepends: a\nPre-Depends: a\n\n";
    for (name, text) in [
        ("a gigantic line", [good.as_bytes(), b"Package: ", long.as_bytes(), b"\n\n"].concat()),
        ("a gigantic field name", [good.as_bytes(), long.as_bytes(), b": x\n\n"].concat()),
        ("a gigantic line without an end", [good.as_bytes(), b"Depends: ", long.as_bytes()].concat()),
        ("NUL bytes", [good.as_bytes(), b"Package: a\0b\nVersion: \0\n\n", &[0; 4096]].concat()),
        ("bytes that are not UTF-8", [good.as_bytes(), b"Package: \xff\xfe\nVersion: \xc3\n\n"].concat()),
        ("duplicate stanzas", [good, good].concat().into_bytes()),
        ("a field twice", [good, "Package: a\nPackage: b\nVersion: 1\nVersion: 2\n\n"].concat().into_bytes()),
        ("lines that are no fields", [good, "no field\n: x\n continued\n\n"].concat().into_bytes()),
        ("a hundred thousand empty lines", [good, &"\n".repeat(100_000)].concat().into_bytes()),
        ("very many packages", [good, &many].concat().into_bytes()),
        ("a cycle of dependencies", [good, cycle].concat().into_bytes()),
    ] {
        hostile_case(HostileClass::Index, name);
        let scene = Scene::new();
        let server = Server::start(signed(Compression::None, text, None));
        let asked = pocket("x", &[server.url()]);
        let pocket = ask_with(scene.options(), &asked, &keyring(), &POLICY, &Log::default()).unwrap();
        assert_eq!(pocket.indexes()[0].packages().package(0).name, "good", "{name}");
        scene.succeeds_afterwards(name);
    }
}

/// What an index says of a package's file is refused before anything is asked of a mirror.
#[test]
fn files_of_packages_that_lead_elsewhere() {
    let stanza = |filename: &str, size: &str, digest: &str| {
        format!("Package: a\nVersion: 1\nArchitecture: amd64\nFilename: {filename}\nSize: {size}\nSHA256: {digest}\n\n")
    };
    let digest = "ab".repeat(32);
    for (name, stanza) in [
        ("a Filename with ..", stanza("pool/../../../etc/passwd", "1", &digest)),
        ("a Filename that begins with ..", stanza("../etc/passwd", "1", &digest)),
        ("an absolute Filename", stanza("/etc/passwd", "1", &digest)),
        ("an empty Filename", stanza("", "1", &digest)),
        ("a negative Size", stanza("pool/a.deb", "-1", &digest)),
        ("a Size beyond 64 bits", stanza("pool/a.deb", "99999999999999999999999", &digest)),
        ("a Size that is no number", stanza("pool/a.deb", "one", &digest)),
        ("a digest that is too short", stanza("pool/a.deb", "1", "abab")),
        ("a digest that is not hexadecimal", stanza("pool/a.deb", "1", &"zz".repeat(32))),
        ("no SHA256", stanza("pool/a.deb", "1", &digest).replace("SHA256", "MD5sum")),
    ] {
        hostile_case(HostileClass::Index, name);
        let scene = Scene::new();
        let server = Server::start(signed(Compression::None, stanza.into_bytes(), None));
        let asked = pocket("x", &[server.url()]);
        let pocket = ask_with(scene.options(), &asked, &keyring(), &POLICY, &Log::default()).unwrap();
        assert!(pocket.indexes()[0].packages().package(0).file().is_err(), "{name}");
        scene.succeeds_afterwards(name);
    }
    // A URL is a path below the mirror, and nothing else.
    hostile_case(HostileClass::Index, "a Filename that is a URL");
    let scene = Scene::new();
    let elsewhere = Server::start(archive().build());
    let url = format!("{}/pool/a.deb", elsewhere.url());
    let server = Server::start(signed(Compression::None, stanza(&url, "1", &digest).into_bytes(), None));
    let asked = pocket("x", &[server.url()]);
    let pocket = ask_with(scene.options(), &asked, &keyring(), &POLICY, &Log::default()).unwrap();
    if pocket.indexes()[0].packages().package(0).file().is_ok() {
        let session = rootstrap_fetch::Session::open(scene.options()).unwrap();
        assert!(fetch(&session, &wanted(&pocket), &Log::default()).is_err());
    }
    assert_eq!(elsewhere.requests(), []);
}

/// The size that an index lists is a promise: a mirror cannot send more or less.
#[test]
fn a_package_of_another_size() {
    let files = archive().build();
    let path = files.keys().find(|path| path.contains("small") && path.ends_with(".deb")).unwrap();
    for (name, change) in [("a Size that is too small", -1i64), ("a Size that is too large", 1)] {
        hostile_case(HostileClass::Index, name);
        let server = Server::start(files.clone());
        let mut listed = wanted_of(&files, &[server.url()]);
        listed.retain(|deb| deb.path == *path);
        listed[0].size = listed[0].size.saturating_add_signed(change);
        let scene = Scene::new();
        let session = rootstrap_fetch::Session::open(scene.options()).unwrap();
        let error = fetch(&session, &listed, &Log::default()).unwrap_err();
        assert!(error.is_verification(), "{name}: {error:?}");
        drop(session);
        scene.check(name);
    }
}
