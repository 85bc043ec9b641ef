//! Which form of an index is fetched, and how a bad index is refused.

use crate::world::*;
use rootstrap_fetch::{Error, Event};
use rootstrap_testkit::archive::{Archive, Digest};
use rootstrap_testkit::compress::Compression;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::server::{Fault, Server};

const GZ: &str = "main/binary-amd64/Packages.gz";

/// An archive that has its index at one path only.
fn plain() -> Archive {
    but(archive(), |a| {
        a.acquire_by_hash = false;
        a.forms = vec![Compression::Gz];
        a.digests = vec![Digest::Sha256];
    })
}

#[test]
fn the_by_hash_path_comes_before_the_plain_path() {
    let mut files = archive().build();
    for (path, bytes) in files.iter_mut().filter(|(path, _)| path.contains("/Packages")) {
        *bytes = format!("{path} belongs to the next update").into_bytes();
    }
    let server = Server::start(files);
    assert_eq!(wanted(&ask(&pocket("x", &[server.url()]), &keyring()).unwrap()).len(), 2);
    let mut files = archive().build();
    files.retain(|path, _| !path.contains("/by-hash/"));
    let server = Server::start(files);
    assert!(ask(&pocket("x", &[server.url()]), &keyring()).is_ok());
    assert!(server.requests().iter().any(|request| request.path.contains("/by-hash/SHA256/")));
}

#[test]
fn every_compression_is_read() {
    use Compression::{Bz2, Gz, Lzma, None, Xz, Zst};
    for form in [Gz, Xz, Zst, Bz2, Lzma, None] {
        let server = Server::start(
            but(archive(), |a| {
                a.forms = vec![form];
                a.list_plain = false;
            })
            .build(),
        );
        let pocket = ask(&pocket("x", &[server.url()]), &keyring()).unwrap_or_else(|e| panic!("{form:?}: {e:?}"));
        assert_eq!(wanted(&pocket).len(), 2, "{form:?}");
    }
}

#[test]
fn a_form_that_the_mirror_lacks_is_skipped() {
    for missing in [".gz", ".xz"] {
        let mut files = but(archive(), |a| a.acquire_by_hash = false).build();
        files.retain(|path, _| !path.ends_with(missing));
        let server = Server::start(files);
        assert!(ask(&pocket("x", &[server.url()]), &keyring()).is_ok(), "{missing}");
    }
}

#[test]
fn an_index_larger_than_listed_is_not_read_to_its_end() {
    let archive = plain();
    let mut files = archive.build();
    // Plain `Packages` is listed but not served: its size limits what the compressed one may become.
    relist(&archive, &mut files, "main/binary-amd64/Packages", vec![b'x'; 10], None);
    files.remove("dists/x/main/binary-amd64/Packages");
    let server = Server::start(files);
    let error = ask(&pocket("x", &[server.url()]), &keyring()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 10, .. }), "{error:?}");
}

#[test]
fn a_signed_index_that_cannot_be_decoded_is_an_error() {
    let archive = plain();
    let whole = archive.build()[&format!("dists/x/{GZ}")].clone();
    for (bytes, what) in [(whole[..whole.len() - 9].to_vec(), "truncated"), (b"no gzip".to_vec(), "nonsense")] {
        let mut files = archive.build();
        relist(&archive, &mut files, GZ, bytes, None);
        let server = Server::start(files);
        let error = ask(&pocket("x", &[server.url()]), &keyring()).unwrap_err();
        assert!(matches!(error, Error::Decompress { .. }), "{what}: {error:?}");
    }
    let mut files = plain().build();
    relist(&plain(), &mut files, GZ, whole, Some(1 << 40));
    let server = Server::start(files);
    assert!(matches!(ask(&pocket("x", &[server.url()]), &keyring()), Err(Error::TooLarge { .. })));
}

/// Old packages have maintainers' names in Latin-1.
#[test]
fn one_field_that_is_not_utf8_does_not_hide_the_others() {
    let archive = but(plain(), |a| a.forms = vec![Compression::None]);
    let mut files = archive.build();
    let text = b"Package: old\nMaintainer: Ren\xe9 <r@x>\n\nPackage: new\nMaintainer: Ren\xc3\xa9 <r@x>\n";
    relist(&archive, &mut files, "main/binary-amd64/Packages", text.to_vec(), None);
    let server = Server::start(files);
    let pocket = ask(&pocket("x", &[server.url()]), &keyring()).unwrap();
    let read = pocket.indexes()[0].packages().packages().map(|package| (package.name, package.maintainer));
    assert_eq!(read.collect::<Vec<_>>(), [("old", "Ren\u{fffd} <r@x>"), ("new", "Ren\u{e9} <r@x>")]);
}

#[test]
fn an_index_with_another_digest_is_refused() {
    let path = format!("dists/x/{GZ}");
    let server = Server::start(plain().build());
    server.fault(&path, Fault::Corrupt, 1);
    let (cache, log) = (tempfile::tempdir().unwrap(), Log::default());
    let asked = pocket("x", &[server.url()]);
    assert!(
        ask_with(options(cache.path()), &asked, &keyring(), &POLICY, &log).is_ok(),
        "the second attempt gets the right bytes"
    );
    assert_eq!(log.count(|event| matches!(event, Event::Retry { .. })), 1);
    server.fault(&path, Fault::Corrupt, 9);
    let error = ask(&asked, &keyring()).unwrap_err();
    assert!(error.is_verification() && cause(&error).contains("instead of"), "{error:?}");
    assert!(error.hint().unwrap().contains("middle of an update"));
}

#[test]
fn a_missing_suite_is_named() {
    let server = Server::start(archive().build());
    let error = ask(&pocket("y", &[server.url()]), &keyring()).unwrap_err();
    assert_eq!(error.to_string(), "cannot fetch the Release file of y");
    assert!(!error.is_verification());
    assert!(error.hint().unwrap().contains("suite's name"));
    for suite in ["../x", "/x", ""] {
        assert!(matches!(ask(&pocket(suite, &[server.url()]), &keyring()), Err(Error::Path { .. })), "{suite}");
    }
}

#[test]
fn an_endless_release_is_cut_off() {
    let server = Server::start(archive().build());
    server.fault("dists/x/InRelease", Fault::Endless, 9);
    let error = ask(&pocket("x", &[server.url()]), &keyring()).unwrap_err();
    assert!(cause(&error).contains("more than 16777216 bytes"), "{error:?}");
}

#[test]
fn several_pockets_at_once_come_in_order() {
    let mut files = archive().build();
    let updates = but(Archive::new("x-updates"), |a| {
        a.suite = "x-updates".into();
        a.codename = "x".into();
    });
    files.extend(updates.key(&KEY).deb("main", Deb::new("small", "2")).build());
    let server = Server::start(files);
    let cache = tempfile::tempdir().unwrap();
    let session = rootstrap_fetch::Session::open(options(cache.path())).unwrap();
    let asked = [pocket("x-updates", &[server.url()]), pocket("x", &[server.url()])];
    let got = session.pockets(&asked, &["amd64"], &keyring(), &POLICY, &|_| ()).unwrap();
    assert_eq!(got.iter().map(|pocket| pocket.suite()).collect::<Vec<_>>(), ["x-updates", "x"]);
}
