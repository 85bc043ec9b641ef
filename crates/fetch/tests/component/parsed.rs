//! Parsed indexes: they are used only if they are undamaged, and the packages are the same with and without them.

use crate::world::*;
use rootstrap_debian::packages::Table;
use rootstrap_fetch::{Error, Event, Options, Session};
use rootstrap_testkit::archive::Digest;
use rootstrap_testkit::compress::Compression;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::server::Server;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the files below `index/`. The session that wrote them has ended.
fn parsed(cache: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(cache.join("v1/index")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Returns the packages of suite `x`, and how many indexes did not have to be fetched.
fn read(options: Options, url: &str) -> Result<(Table, usize), Error> {
    let log = Log::default();
    let pocket = ask_with(options, &pocket("x", &[url.to_owned()]), &keyring(), &POLICY, &log)?;
    let is_hit = |event: &Event| matches!(event, Event::CacheHit { what } if what == "x/main/binary-amd64/Packages");
    Ok((pocket.indexes()[0].packages().clone(), log.count(is_hit)))
}

#[test]
fn a_parsed_index_serves_without_the_index() {
    let server = Server::start(archive().build());
    let cache = tempfile::tempdir().unwrap();
    let (first, hits) = read(options(cache.path()), &server.url()).unwrap();
    assert_eq!((first.len(), hits), (2, 0));
    let kept = parsed(cache.path());
    assert_eq!(kept.len(), 1);
    let digest = kept[0].file_name().unwrap().to_str().unwrap().strip_prefix("2-").unwrap().to_owned();
    // No compressed index is left that could be decoded.
    fs::remove_file(cache.path().join("v1/sha256").join(&digest[..2]).join(&digest)).unwrap();
    drop(server);
    let offline = || Options { offline: true, ..options(cache.path()) };
    assert_eq!(read(offline(), "http://127.0.0.1:1").unwrap(), (first, 1));
    // A file of another format is not used.
    fs::rename(&kept[0], kept[0].with_file_name(format!("0-{digest}"))).unwrap();
    assert!(matches!(read(offline(), "http://127.0.0.1:1"), Err(Error::Offline { .. })));
}

#[test]
fn it_is_also_made_from_an_index_in_the_cache() {
    let server = Server::start(archive().build());
    let cache = tempfile::tempdir().unwrap();
    let first = read(options(cache.path()), &server.url()).unwrap().0;
    let kept = fs::read(&parsed(cache.path())[0]).unwrap();
    fs::remove_dir_all(cache.path().join("v1/index")).unwrap();
    assert_eq!(read(options(cache.path()), &server.url()).unwrap(), (first, 1));
    assert_eq!(fs::read(&parsed(cache.path())[0]).unwrap(), kept, "the same bytes");
    assert_eq!(fs::read_dir(cache.path().join("v1/tmp")).unwrap().count(), 0);
}

#[test]
fn a_damaged_parsed_index_is_made_again() {
    let server = Server::start(archive().build());
    let cache = tempfile::tempdir().unwrap();
    let first = read(options(cache.path()), &server.url()).unwrap().0;
    let path = parsed(cache.path()).remove(0);
    let good = fs::read(&path).unwrap();
    let mut bad: Vec<Vec<u8>> = (0..good.len()).step_by(41).map(|length| good[..length].to_vec()).collect();
    bad.extend((0..good.len()).step_by(37).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        bytes
    }));
    bad.extend([[good.as_slice(), b"x"].concat(), vec![0xff; 200]]);
    for bytes in bad {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(read(options(cache.path()), &server.url()).unwrap(), (first.clone(), 1));
        assert!(fs::read(&path).unwrap() == good, "made again from {} bytes", bytes.len());
    }
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert_eq!(read(options(cache.path()), &server.url()).unwrap(), (first, 1));
    assert!(fs::read(&path).unwrap() == good);
}

#[test]
fn a_renamed_parsed_index_is_not_used() {
    let (one, other) =
        (archive(), but(archive(), |a| a.forms = vec![Compression::Xz]).deb("main", Deb::new("more", "1")));
    let (server, cache, second) =
        (Server::start(one.build()), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    read(options(cache.path()), &server.url()).unwrap();
    let server = Server::start(other.build());
    let expect = read(options(second.path()), &server.url()).unwrap().0;
    assert_eq!(expect.len(), 3);
    let name = parsed(second.path())[0].file_name().unwrap().to_owned();
    fs::rename(&parsed(cache.path())[0], cache.path().join("v1/index").join(name)).unwrap();
    assert_eq!(read(options(cache.path()), &server.url()).unwrap(), (expect, 0));
}

/// The limit that a Release sets also holds for an index that was parsed under a higher limit.
#[test]
fn a_parsed_index_that_is_too_large_is_refused() {
    let archive = but(archive(), |a| {
        a.acquire_by_hash = false;
        a.forms = vec![Compression::Gz];
        a.digests = vec![Digest::Sha256];
    });
    let mut files = archive.build();
    let server = Server::start(files.clone());
    let cache = tempfile::tempdir().unwrap();
    read(options(cache.path()), &server.url()).unwrap();
    relist(&archive, &mut files, "main/binary-amd64/Packages", vec![b'x'; 10], None);
    let server = Server::start(files);
    let error = read(options(cache.path()), &server.url()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 10, .. }), "{error:?}");
}

/// Many chunks, stanzas longer than a chunk, and characters that a chunk's end cuts.
#[test]
fn an_index_of_many_chunks_is_read() {
    let mut text = String::new();
    for number in 0..3000 {
        let long = "é, ".repeat(if number % 500 == 0 { 200_000 } else { 100 });
        text += &format!("Package: p{number}\nDepends: {long}\nVersion: {number}\n\n");
    }
    for form in [Compression::None, Compression::Gz, Compression::Xz] {
        let archive = but(archive(), |a| {
            a.acquire_by_hash = false;
            a.forms = vec![form];
            a.digests = vec![Digest::Sha256];
            a.list_plain = false;
        });
        let mut files = archive.build();
        relist(
            &archive,
            &mut files,
            &format!("main/binary-amd64/Packages{}", form.suffix()),
            form.compress(text.as_bytes()),
            None,
        );
        let server = Server::start(files);
        let cache = tempfile::tempdir().unwrap();
        for hits in [0, 1] {
            let (table, got) = read(options(cache.path()), &server.url()).unwrap();
            assert!(table == Table::parse(&text) && got == hits, "{form:?}");
            assert_eq!(table.len(), 3000);
        }
    }
}

#[test]
fn a_session_that_ends_at_once_has_written_it() {
    let server = Server::start(archive().build());
    for _ in 0..20 {
        let cache = tempfile::tempdir().unwrap();
        let session = Session::open(options(cache.path())).unwrap();
        let asked = [pocket("x", &[server.url()])];
        let pockets = session.pockets(&asked, &["amd64"], &keyring(), &POLICY, &|_| ()).unwrap();
        drop(session);
        assert_eq!(parsed(cache.path()).len(), 1);
        assert_eq!(pockets[0].indexes()[0].packages().len(), 2);
    }
}

#[test]
fn nothing_is_written_if_no_later_session_finds_the_cache() {
    let server = Server::start(archive().build());
    let cache = tempfile::tempdir().unwrap();
    let once = Options { for_later: false, ..options(cache.path()) };
    read(once, &server.url()).unwrap();
    assert_eq!(parsed(cache.path()).len(), 0);
    read(options(cache.path()), &server.url()).unwrap();
    assert_eq!(parsed(cache.path()).len(), 1);
}
