//! Archives of other programs' making, honest and not.

use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

fn is_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        eprintln!("skipped: owners need root");
    }
    root
}

fn unpacked(archive: &[u8]) -> Result<tempfile::TempDir> {
    let dir = tempfile::tempdir().unwrap();
    extract(archive, &Root::open(dir.path()).unwrap(), &AtomicBool::new(false))?;
    Ok(dir)
}

/// An archive made by hand: type, name, link or contents.
fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut out = ::tar::Builder::new(Vec::new());
    for (kind, name, text) in entries {
        let mut header = ::tar::Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(if *kind == EntryType::Directory { 0o755 } else { 0o640 });
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(42);
        let contents = if *kind == EntryType::Regular { text.as_bytes() } else { b"" };
        header.set_size(contents.len() as u64);
        let ustar = header.as_ustar_mut().unwrap();
        ustar.name[..name.len()].copy_from_slice(name.as_bytes());
        if *kind != EntryType::Regular {
            ustar.linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        out.append(&header, contents).unwrap();
    }
    out.into_inner().unwrap()
}

#[test]
fn entries_come_as_they_are() {
    if !is_root() {
        return;
    }
    let bytes = archive(&[
        (EntryType::Directory, "./", ""),
        (EntryType::Directory, "./usr/", ""),
        (EntryType::Directory, "./usr/lib", ""),
        (EntryType::Symlink, "./lib", "usr/lib"),
        (EntryType::Regular, "lib/through-the-link", "x"),
        (EntryType::Regular, "/absolute", "y"),
        (EntryType::Link, "hard", "./absolute"),
        (EntryType::Fifo, "fifo", ""),
        // Replaced by what comes after it.
        (EntryType::Regular, "twice", "old"),
        (EntryType::Directory, "twice", ""),
        (EntryType::Regular, "without/parent", "z"),
    ]);
    let dir = unpacked(&bytes).unwrap();
    let at = |path: &str| dir.path().join(path);
    assert_eq!(std::fs::read(at("usr/lib/through-the-link")).unwrap(), b"x");
    let file = at("absolute").metadata().unwrap();
    assert_eq!((file.mode() & 0o7777, file.gid(), file.mtime(), file.nlink()), (0o640, 42, 1_000_000_000, 2));
    assert!(at("twice").is_dir());
    assert_eq!(at("usr").metadata().unwrap().mtime(), 1_000_000_000, "though it was filled later");
    assert_eq!(at("without").metadata().unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn nothing_leads_out() {
    let outside = tempfile::tempdir().unwrap();
    let place = outside.path().to_str().unwrap();
    for hostile in [
        archive(&[(EntryType::Regular, "../escaped", "x")]),
        archive(&[(EntryType::Regular, "a/../../escaped", "x")]),
        archive(&[(EntryType::Link, "link", "../../etc/passwd")]),
    ] {
        assert!(unpacked(&hostile).is_err());
    }
    if is_root() {
        // Inside of the root, the link leads to a directory of that name there, which is none.
        let hostile = archive(&[(EntryType::Symlink, "out", place), (EntryType::Regular, "out/escaped", "x")]);
        let _ = unpacked(&hostile);
    }
    assert_eq!(outside.path().read_dir().unwrap().count(), 0);
}

#[test]
fn what_is_cut_off_or_no_archive_is_an_error() {
    if !is_root() {
        return;
    }
    let whole = archive(&[(EntryType::Regular, "a", "contents"), (EntryType::Regular, "b", "more")]);
    assert!(unpacked(&whole).is_ok());
    // In a header, in contents, and between two entries, where many readers notice nothing.
    for length in [0, 100, 515, 1024, 1536 + 3, 2048] {
        let error = unpacked(&whole[..length]).unwrap_err();
        assert!(matches!(error, Error::Extract(_)), "{length}: {error}");
    }
    for other in [&b"PK\x03\x04"[..], &[b'x'; 2000], b"\x1f\x8b\x08 no gzip"] {
        assert!(unpacked(other).is_err());
    }
    let mut damaged = whole.clone();
    damaged[0] ^= 1;
    assert!(unpacked(&damaged).is_err());
}

#[test]
fn what_we_write_is_read_with_its_attributes() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    std::fs::create_dir(dir.path().join("d".repeat(120))).unwrap();
    std::fs::write(dir.path().join(&long), "x").unwrap();
    // As binary as capabilities are: line ends in values confuse other readers.
    let value = b"a\nb\0c\n12 x=y\n".to_vec();
    let place = root.at(long.as_bytes()).unwrap();
    place.set_attributes(Attributes { mode: 0o4755, uid: 3_000_000, gid: 4_000_000, mtime: -5 }).unwrap();
    if !place.set_xattrs(&[(b"user.note".to_vec(), value.clone())]).unwrap() {
        eprintln!("skipped: this filesystem has no attributes");
        return;
    }
    let mut bytes = Vec::new();
    crate::tar::write(&root, &mut bytes, &crate::tar::Options::new(i64::MAX)).unwrap();
    let copy = unpacked(&bytes).unwrap();
    let again = Root::open(copy.path()).unwrap();
    let found = again.at(long.as_bytes()).unwrap().metadata().unwrap().unwrap();
    assert_eq!(found.attributes, Attributes { mode: 0o4755, uid: 3_000_000, gid: 4_000_000, mtime: -5 });
    let mut twice = Vec::new();
    crate::tar::write(&again, &mut twice, &crate::tar::Options::new(i64::MAX)).unwrap();
    assert!(bytes == twice, "not the same archive");
}

#[test]
fn archives_of_gnu_tar_in_every_form() {
    if !is_root() || Command::new("tar").arg("--version").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    // More pieces than the header of an old one has room for.
    for at in 0..20u64 {
        std::os::unix::fs::FileExt::write_at(&sparse, b"piece", at << 20).unwrap();
    }
    sparse.set_len(30 << 20).unwrap();
    File::create(tree.join("hole")).unwrap().set_len(1 << 20).unwrap();
    std::fs::write(tree.join("n".repeat(250)), "long").unwrap();
    std::os::unix::fs::symlink("t".repeat(200), tree.join("link")).unwrap();
    let mut expected = Vec::new();
    crate::tar::write(&Root::open(&tree).unwrap(), &mut expected, &crate::tar::Options::new(i64::MAX)).unwrap();
    for options in [
        &["--format=gnu", "-S"][..],
        &["--format=pax", "-S"],
        &["--format=gnu"],
        &["--format=pax", "-z"],
        &["-J"],
        &["-j"],
        &["--zstd"],
    ] {
        let file = dir.path().join("x.tar");
        let made =
            Command::new("tar").args(options).arg("-C").arg(&tree).arg("-cf").arg(&file).arg(".").output().unwrap();
        if !made.status.success() {
            eprintln!("skipped: tar {options:?}: {}", String::from_utf8_lossy(&made.stderr));
            continue;
        }
        let copy = unpacked(&std::fs::read(&file).unwrap()).unwrap();
        let mut found = Vec::new();
        crate::tar::write(&Root::open(copy.path()).unwrap(), &mut found, &crate::tar::Options::new(i64::MAX)).unwrap();
        assert!(found == expected, "{options:?}");
    }
}

/// The number of a size field, as the header of an entry has it.
fn with_size(mut bytes: Vec<u8>, size: &[u8; 12]) -> Vec<u8> {
    bytes[124..136].copy_from_slice(size);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

#[test]
fn numbers_that_no_archive_has() {
    if !is_root() {
        return;
    }
    let huge = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for kind in [EntryType::Regular, EntryType::XHeader, EntryType::GNULongName] {
        assert!(unpacked(&with_size(archive(&[(kind, "a", "")]), &huge)).is_err(), "{kind:?}");
    }
    let with_record = |record: &str| {
        let mut records = crate::pax::Records::default();
        let (key, value) = record.split_once('=').unwrap();
        records.add(key.as_bytes(), value.as_bytes());
        let text = String::from_utf8(records.bytes().to_vec()).unwrap();
        let mut bytes = archive(&[(EntryType::Regular, "pax", &text), (EntryType::Regular, "a", "x")]);
        bytes[156] = b'x';
        with_size(bytes, format!("{:011o}\0", text.len()).as_bytes().try_into().unwrap())
    };
    assert!(unpacked(&with_record("mtime=1.5")).is_ok());
    for record in ["size=18446744073709551615", "uid=4294967295", "gid=99999999999", "mtime=x", "uid=-1"] {
        assert!(unpacked(&with_record(record)).is_err(), "{record}");
    }
    let _ = unpacked(&with_record("mtime=-9223372036854775808.5"));
}

#[test]
fn only_files_have_contents() {
    if !is_root() {
        return;
    }
    // A hard link that says how long its file is, as some programs write them.
    let bytes =
        archive(&[(EntryType::Regular, "a", "abc"), (EntryType::Link, "b", "a"), (EntryType::Regular, "c", "x")]);
    let mut changed = bytes[..1024].to_vec();
    changed.extend(with_size(bytes[1024..].to_vec(), b"00000000003\0"));
    let dir = unpacked(&changed).unwrap();
    assert_eq!(std::fs::read(dir.path().join("c")).unwrap(), b"x");
    // A directory as tar of old wrote it, and a file that is a link to itself.
    let bytes =
        archive(&[(EntryType::Regular, "d/", ""), (EntryType::Regular, "d/a", "x"), (EntryType::Link, "d/a", "d/a")]);
    assert_eq!(std::fs::read(unpacked(&bytes).unwrap().path().join("d/a")).unwrap(), b"x");
}

/// Hands out one byte at a time.
struct Slow<'b>(&'b [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

#[test]
fn a_slow_pipe_is_as_good() {
    if !is_root() {
        return;
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&archive(&[(EntryType::Regular, "a", "x")])).unwrap();
    let packed = packed.finish().unwrap();
    let dir = tempfile::tempdir().unwrap();
    extract(Slow(&packed), &Root::open(dir.path()).unwrap(), &AtomicBool::new(false)).unwrap();
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"x");
}
