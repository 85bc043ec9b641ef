//! What every test needs: an archive, and sessions that fetch it.

use rootstrap_debian::digest::Digest;
use rootstrap_fetch::{
    Error, Event, Keyring, ListedDeb, Options, Pocket, Policy, Session, VerifiedDeb, VerifiedPocket,
};
use rootstrap_http as http;
use rootstrap_testkit::archive::{Archive, Digest as Kind};
use rootstrap_testkit::compress::Compression;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::Key;
use rootstrap_testkit::{EPOCH, Files};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

/// The key of every archive that sets no other.
pub static KEY: LazyLock<Key> = LazyLock::new(|| Key::generate("archive"));

pub const NOW: i64 = EPOCH as i64 + 3600;
pub const POLICY: Policy = Policy { now: NOW, allow_rollback: false, unsigned: false };

/// Suite `x` with one small and one large package.
pub fn archive() -> Archive {
    let large: Vec<u8> = (0..400_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    Archive::new("x")
        .key(&KEY)
        .deb("main", Deb::new("small", "1").file("/s", 0o644, "s"))
        .deb("main", Deb::new("large", "1").data_compression(Compression::None).file("/l", 0o644, large))
}

/// Returns `archive` with one change.
pub fn but(mut archive: Archive, change: impl FnOnce(&mut Archive)) -> Archive {
    change(&mut archive);
    archive
}

pub fn keyring() -> Keyring {
    Keyring::from_bytes(&[&KEY.public()]).unwrap()
}

pub fn pocket(suite: &str, mirrors: &[String]) -> Pocket {
    Pocket {
        name: "main".into(),
        suite: suite.into(),
        mirrors: mirrors.to_vec(),
        components: vec!["main".into()],
        ..Pocket::default()
    }
}

/// Returns options with a cache and with short waits.
pub fn options(cache: &Path) -> Options {
    let retries = http::Retries { count: 2, first_wait: Duration::from_millis(1), ..http::Retries::default() };
    let http = http::Options { retries, ..http::Options::default() };
    Options { cache: Some(cache.to_owned()), http, ..Options::default() }
}

/// Collects events.
#[derive(Default)]
pub struct Log(Mutex<Vec<Event>>);

impl Log {
    pub fn report(&self) -> impl Fn(Event) + Sync {
        |event| self.0.lock().unwrap().push(event)
    }

    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self, test: fn(&Event) -> bool) -> usize {
        self.events().iter().filter(|event| test(event)).count()
    }
}

/// Fetches one pocket in a session of its own, with an empty cache.
pub fn ask(pocket: &Pocket, keyring: &Keyring) -> Result<VerifiedPocket, Error> {
    let cache = tempfile::tempdir().unwrap();
    ask_with(options(cache.path()), pocket, keyring, &POLICY, &Log::default())
}

pub fn ask_with(
    options: Options,
    pocket: &Pocket,
    keyring: &Keyring,
    policy: &Policy,
    log: &Log,
) -> Result<VerifiedPocket, Error> {
    let session = Session::open(options)?;
    let mut all = session.pockets(std::slice::from_ref(pocket), &["amd64"], keyring, policy, &log.report())?;
    Ok(all.remove(0))
}

/// Returns the debs of a pocket, in the order of its index.
pub fn wanted(pocket: &VerifiedPocket) -> Vec<ListedDeb> {
    let packages = pocket.indexes().iter().flat_map(|index| index.packages().packages());
    packages
        .map(|package| {
            let (path, size, digest) = package.file().unwrap();
            let (label, path) = (package.name.to_owned(), path.to_owned());
            ListedDeb { label, path, size, digest, mirrors: pocket.mirrors().to_vec() }
        })
        .collect()
}

/// Returns the debs of a mirror without asking it.
pub fn wanted_of(files: &Files, mirrors: &[String]) -> Vec<ListedDeb> {
    let debs = files.iter().filter(|(path, _)| path.ends_with(".deb"));
    debs.map(|(path, bytes)| ListedDeb {
        label: path.rsplit('/').next().unwrap().to_owned(),
        path: path.clone(),
        size: bytes.len() as u64,
        digest: Digest::parse(&Kind::Sha256.hex(bytes)).unwrap(),
        mirrors: mirrors.to_vec(),
    })
    .collect()
}

/// Fetches debs and returns position and content of each, in the order in which they come.
pub fn fetch(session: &Session, wanted: &[ListedDeb], log: &Log) -> Result<Vec<(usize, Vec<u8>)>, Error> {
    let mut got = Vec::new();
    session.debs(wanted, &log.report(), &mut |position, deb: VerifiedDeb| {
        let mut bytes = Vec::new();
        deb.open().unwrap().read_to_end(&mut bytes).unwrap();
        got.push((position, bytes));
        ControlFlow::Continue(())
    })?;
    Ok(got)
}

/// Returns the text of an error's cause.
pub fn cause(error: &Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

/// Replaces a file of a mirror and its line in Release (SHA256 only), and signs again. The by-hash copy stays.
pub fn relist(archive: &Archive, files: &mut Files, path: &str, bytes: Vec<u8>, size: Option<usize>) {
    let text = String::from_utf8(files[&format!("dists/{}/Release", archive.dist)].clone()).unwrap();
    let line = format!(" {} {} {path}", Kind::Sha256.hex(&bytes), size.unwrap_or(bytes.len()));
    let lines = text.lines().map(|old| if old.ends_with(&format!(" {path}")) { line.as_str() } else { old });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    assert!(text.contains(&line), "{text}");
    files.insert(format!("dists/{}/{path}", archive.dist), bytes);
    archive.publish(files, &text);
}
