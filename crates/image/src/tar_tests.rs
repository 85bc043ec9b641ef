//! Archives read back by the tar crate and by the host's tar.

use super::*;
use crate::compress::Algorithm;
use rootstrap_rootfs::{Attributes, Visit};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

const EPOCH: i64 = 1_700_000_000;

fn archive(dir: &Path, options: &Options<'_>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    write(&Root::open(dir).unwrap(), &mut out, options)?;
    Ok(out)
}

fn options() -> Options<'static> {
    Options { dev: Dev::Empty, ..Options::new(EPOCH) }
}

/// `(name, type, link)` of every entry.
fn entries(bytes: &[u8]) -> Vec<(String, EntryType, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut archive = ::tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let link = entry.link_name_bytes().map(|name| text(&name)).unwrap_or_default();
        (text(&entry.path_bytes()), entry.header().entry_type(), link)
    });
    entries.collect()
}

fn names(bytes: &[u8]) -> Vec<String> {
    entries(bytes).into_iter().map(|(name, ..)| name).collect()
}

/// Creates the sample tree. Another build may create the entries in another `order`.
fn make(dir: &Path, order: &[usize]) {
    type Step<'s> = (&'s str, &'s dyn Fn(&Path));
    let steps: [Step<'_>; 6] = [
        ("a", &|path| std::fs::create_dir_all(path).unwrap()),
        ("a/file", &|path| std::fs::write(path, "contents").unwrap()),
        ("a-b", &|path| std::fs::write(path, "").unwrap()),
        ("b/deep/er", &|path| std::fs::write(path, vec![7; 100_000]).unwrap()),
        ("link", &|path| symlink("a/file", path).unwrap()),
        ("fifo", &|path| {
            let file = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, path, file, 0o600.into(), 0).unwrap();
        }),
    ];
    for &at in order {
        let (path, step) = steps[at];
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        step(&path);
    }
    for path in ["", "a", "b", "b/deep"] {
        std::fs::set_permissions(dir.join(path), PermissionsExt::from_mode(0o755)).unwrap();
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_order_of_creation() {
    let orders = [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 5, 1, 0, 4, 2]];
    let made = orders.map(|order| {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &order);
        archive(dir.path(), &options()).unwrap()
    });
    assert!(made.iter().all(|bytes| *bytes == made[0]));
    let expected =
        ["./", "./a/", "./a/file", "./a-b", "./b/", "./b/deep/", "./b/deep/er", "./dev/", "./fifo", "./link"];
    assert_eq!(names(&made[0]), expected);
}

#[test]
fn times_are_clamped_and_not_set() {
    let dir = tempfile::tempdir().unwrap();
    for (name, mtime) in [("new", EPOCH + 99), ("old", 1000), ("ancient", -5)] {
        std::fs::write(dir.path().join(name), "").unwrap();
        Root::open(dir.path()).unwrap().at(name.as_bytes()).unwrap().set_mtime(mtime).unwrap();
    }
    let bytes = archive(dir.path(), &options()).unwrap();
    let mut archive = ::tar::Archive::new(&bytes[..]);
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let extended = entry.pax_extensions().unwrap().is_some();
        seen.push((entry.header().mtime().unwrap(), extended));
    }
    let epoch = EPOCH as u64;
    assert_eq!(seen, [(epoch, false), (0, true), (epoch, false), (epoch, false), (1000, false)]);
    assert!(bytes.windows(12).any(|window| window == b"12 mtime=-5\n"));
}

#[test]
fn the_first_name_is_the_file_and_the_others_are_links() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("z")).unwrap();
    std::fs::write(dir.path().join("z/file"), "contents").unwrap();
    std::fs::hard_link(dir.path().join("z/file"), dir.path().join("b")).unwrap();
    std::fs::hard_link(dir.path().join("z/file"), dir.path().join("c")).unwrap();
    // The other name of this file is outside the tree.
    let outside = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    std::fs::write(outside.path().join("x"), "x").unwrap();
    std::fs::hard_link(outside.path().join("x"), dir.path().join("x")).unwrap();
    let found = entries(&archive(dir.path(), &options()).unwrap());
    let links: Vec<_> = found.iter().map(|(name, kind, link)| (name.as_str(), *kind, link.as_str())).collect();
    assert_eq!(links[1..3], [("./b", EntryType::Regular, ""), ("./c", EntryType::Link, "./b")]);
    assert_eq!(
        links[4..],
        [("./x", EntryType::Regular, ""), ("./z/", EntryType::Directory, ""), ("./z/file", EntryType::Link, "./b")]
    );
}

#[test]
fn long_and_strange_names_survive() {
    let dir = tempfile::tempdir().unwrap();
    let exact = "e".repeat(98);
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(150));
    let target = format!("/{}", "t".repeat(300));
    let strange = std::ffi::OsString::from_vec(b"\xff\xfe\n ".to_vec());
    let strange_long = std::ffi::OsString::from_vec([&b"\xff"[..], &[b'g'; 200]].concat());
    std::fs::create_dir(dir.path().join("d".repeat(150))).unwrap();
    for name in [OsStr::new(&exact), OsStr::new(&long), &strange, &strange_long] {
        std::fs::write(dir.path().join(name), "x").unwrap();
    }
    symlink(&target, dir.path().join("link")).unwrap();
    let bytes = archive(dir.path(), &options()).unwrap();
    let mut archive = ::tar::Archive::new(&bytes[..]);
    let found: Vec<(Vec<u8>, Vec<u8>)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.path_bytes().into_owned(), entry.link_name_bytes().unwrap_or_default().into_owned())
        })
        .collect();
    for name in [exact.as_bytes(), long.as_bytes(), strange.as_bytes(), strange_long.as_bytes()] {
        let name = [b"./", name].concat();
        assert!(found.iter().any(|(found, _)| *found == name), "{}", String::from_utf8_lossy(&name));
    }
    assert!(found.contains(&(b"./link".to_vec(), target.into_bytes())));
    // A name that fills the field exactly needs no record.
    assert_eq!(bytes.windows(14).filter(|window| window == b"././@PaxHeader").count(), 4);
}

#[test]
fn device_nodes_come_from_the_table() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("dev/surprise")).unwrap();
    std::fs::write(dir.path().join("dev/null"), "no node").unwrap();
    std::fs::write(dir.path().join("etc"), "").unwrap();
    let found = entries(&archive(dir.path(), &Options::new(EPOCH)).unwrap());
    let names: Vec<_> = found.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names[..3], ["./", "./dev/", "./dev/console"]);
    assert_eq!(names.len(), 3 + 7 + 4 + 2 + 1);
    assert!(found.contains(&("./dev/null".into(), EntryType::Char, String::new())));
    assert!(found.contains(&("./dev/fd".into(), EntryType::Symlink, "/proc/self/fd".into())));
    assert_eq!(*names.last().unwrap(), "./etc");
    // The result is the same if the tree has no /dev.
    std::fs::remove_dir_all(dir.path().join("dev")).unwrap();
    assert_eq!(entries(&archive(dir.path(), &Options::new(EPOCH)).unwrap()), found);
}

#[test]
fn sockets_are_left_out_and_whiteouts_refused_in_layers() {
    let dir = tempfile::tempdir().unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    assert_eq!(names(&archive(dir.path(), &options()).unwrap()), ["./", "./dev/"]);
    std::fs::write(dir.path().join(".wh.gone"), "").unwrap();
    assert!(archive(dir.path(), &options()).is_ok());
    let error = archive(dir.path(), &Options { layer: true, ..options() }).unwrap_err();
    assert!(error.to_string().contains(".wh.gone"), "{error}");
    assert!(error.io().is_none() && !error.is_disk_full());
}

#[test]
fn recorded_attributes_replace_those_of_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let big = |_: &Visit<'_>| Attributes { mode: 0o4755, uid: 3_000_000, gid: 42, mtime: 5 };
    let bytes = archive(dir.path(), &Options { attributes: Some(&big), ..options() }).unwrap();
    let mut archive = ::tar::Archive::new(&bytes[..]);
    let mut file = archive.entries().unwrap().nth(2).unwrap().unwrap();
    let header = file.header();
    assert_eq!((header.mode().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0o4755, 42, 5));
    let records = file.pax_extensions().unwrap().unwrap();
    let records: Vec<_> = records.map(|record| record.unwrap().value_bytes().to_vec()).collect();
    assert_eq!(records, [b"3000000"]);
}

#[test]
fn capabilities_are_kept_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ping");
    std::fs::write(&file, "").unwrap();
    // Version 2, cap_net_raw+ep, with a line end among the bits.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let set = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(&file, name, value, rustix::fs::XattrFlags::empty())
            .inspect_err(|errno| rootstrap_testkit::skip(format!("cannot set {name} here: {errno}")))
            .is_ok()
    };
    if !set("security.capability", &capability) || !set("user.note", b"a\nb") {
        return;
    }
    let _ = set("user.overlay.opaque", b"y");
    let _ = set("trusted.overlay.opaque", b"y");
    let bytes = archive(dir.path(), &options()).unwrap();
    let record = [&b"54 SCHILY.xattr.security.capability="[..], &capability, b"\n"].concat();
    assert_eq!(record.len(), 57);
    let record = [&b"57 SCHILY.xattr.security.capability="[..], &capability, b"\n"].concat();
    assert!(bytes.windows(57).any(|window| window == record));
    assert!(bytes.windows(7).any(|window| window == b"te=a\nb\n"));
    assert!(!bytes.windows(7).any(|window| window == b"overlay"));
    if rustix::process::getuid().is_root() && has_tar() {
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join("x.tar"), &bytes).unwrap();
        let status = Command::new("tar")
            .args(["--xattrs", "--xattrs-include=*", "-xf", "x.tar"])
            .current_dir(out.path())
            .status()
            .unwrap();
        assert!(status.success());
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(out.path().join("ping"), "security.capability", &mut value[..]).unwrap();
        assert_eq!(value[..length], capability);
    }
}

fn has_tar() -> bool {
    let found = Command::new("tar").arg("--version").output().is_ok();
    if !found {
        rootstrap_testkit::skip("no tar on this host");
    }
    found
}

#[test]
fn the_hosts_tar_reads_every_compression() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &[0, 1, 2, 3, 4]);
    if !has_tar() {
        return;
    }
    for compression in [Algorithm::None, Algorithm::Gzip, Algorithm::Xz, Algorithm::Zstd] {
        let out = tempfile::NamedTempFile::new().unwrap();
        let bytes =
            archive(dir.path(), &Options { compression: compression.into(), dev: Dev::Static, ..options() }).unwrap();
        std::fs::write(out.path(), &bytes).unwrap();
        let listed = Command::new("tar").arg("-tvf").arg(out.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&listed.stderr).into_owned();
        if errors.contains("Cannot exec") {
            rootstrap_testkit::skip(format!("tar has no program for {compression:?} here"));
            continue;
        }
        assert!(listed.status.success() && errors.is_empty(), "{compression:?}: {errors}");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(text.contains("./a/file") && text.contains("crw-rw-rw- 0/0"), "{text}");
    }
}

/// A writer that fails after `left` bytes.
struct Full {
    taken: Vec<u8>,
    left: usize,
}

impl Write for Full {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let length = data.len().min(self.left);
        self.taken.extend_from_slice(&data[..length]);
        self.left -= length;
        if length == 0 && !data.is_empty() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(length) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the whole archive, as an importer does.
fn read_back(bytes: &[u8], compression: Algorithm) -> io::Result<usize> {
    let mut plain = Vec::new();
    match compression {
        Algorithm::None => plain = bytes.to_vec(),
        Algorithm::Gzip => _ = flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain)?,
        Algorithm::Xz => _ = xz2::read::XzDecoder::new(bytes).read_to_end(&mut plain)?,
        Algorithm::Zstd => _ = zstd::stream::read::Decoder::new(bytes)?.read_to_end(&mut plain)?,
    }
    let mut entries = 0;
    for entry in ::tar::Archive::new(&plain[..]).entries()? {
        io::copy(&mut entry?, &mut io::sink())?;
        entries += 1;
    }
    Ok(entries)
}

#[test]
fn readers_refuse_a_failed_archive() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &[0, 1, 2, 3, 4]);
    std::fs::write(dir.path().join(".wh.last"), "").unwrap();
    std::fs::rename(dir.path().join(".wh.last"), dir.path().join("b/deep/.wh.last")).unwrap();
    for compression in [Algorithm::None, Algorithm::Gzip, Algorithm::Xz, Algorithm::Zstd] {
        let options = Options { compression: compression.into(), ..options() };
        let whole = archive(dir.path(), &options).unwrap();
        assert!(read_back(&whole, compression).is_ok());
        // The tree has an entry that is refused.
        let mut out = Full { taken: Vec::new(), left: usize::MAX };
        let root = Root::open(dir.path()).unwrap();
        write(&root, &mut out, &Options { layer: true, ..options }).unwrap_err();
        assert!(!out.taken.is_empty(), "{compression:?}");
        assert!(read_back(&out.taken, compression).is_err(), "{compression:?}");
        // The writer fails.
        let mut out = Full { taken: Vec::new(), left: whole.len() / 2 };
        let error = write(&root, &mut out, &options).unwrap_err();
        assert!(error.is_broken_pipe(), "{compression:?}: {error}");
        assert!(read_back(&out.taken, compression).is_err(), "{compression:?}");
    }
    let mut out = Vec::new();
    spoil(&mut out).unwrap();
    assert!(out.len() < 512 && read_back(&out, Algorithm::None).is_err());
}
