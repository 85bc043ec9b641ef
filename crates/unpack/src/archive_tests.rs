//! Archives that other programs make, and hostile ones.

use super::*;
use rootstrap_rootfs::walk;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

fn is_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        rootstrap_testkit::skip("owners need root");
    }
    root
}

fn unpacked(archive: &[u8]) -> Result<tempfile::TempDir, Error> {
    let dir = tempfile::tempdir().unwrap();
    extract(archive, &Root::open(dir.path()).unwrap(), &AtomicBool::new(false))?;
    Ok(dir)
}

/// Everything about every entry that an archive holds.
fn dump(root: &Root) -> String {
    let mut text = String::new();
    let mut files = BTreeMap::new();
    walk::<rootstrap_rootfs::Error>(root, &mut |visit| {
        let (metadata, mut contents) = (visit.metadata, Vec::new());
        match metadata.kind {
            Kind::File => _ = visit.open()?.read_to_end(&mut contents).unwrap(),
            Kind::Symlink => contents = visit.link_target()?,
            _ => {}
        }
        let sum = contents.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        // Further names of a file have the number of its first one.
        let count = files.len();
        let file = (metadata.kind == Kind::File).then(|| *files.entry(metadata.identity).or_insert(count));
        let (path, xattrs) = (visit.path.escape_ascii(), visit.xattrs()?);
        let (kind, attributes, device) = (metadata.kind, metadata.attributes, metadata.device);
        let length = contents.len();
        writeln!(text, "{path} {kind:?} {attributes:?} {device:?} {file:?} {length} {sum} {xattrs:?}").unwrap();
        Ok(true)
    })
    .unwrap();
    text
}

/// One PAX record: `LENGTH KEY=VALUE\n`, where the length counts the whole record.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

/// An archive whose only entry is the file `a` with these PAX records before it.
fn with_records(records: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(records).unwrap();
    let mut bytes = archive(&[(EntryType::Regular, "pax", text), (EntryType::Regular, "a", "x")]);
    bytes[156] = b'x';
    with_size(bytes, format!("{:011o}\0", records.len()).as_bytes().try_into().unwrap())
}

/// Makes an archive of entries given as type, name, and link or contents.
fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (kind, name, text) in entries {
        let mut header = tar::Header::new_ustar();
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
        // The next entry replaces this one.
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
fn a_root_with_content_keeps_its_directories() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let at = |path: &str| dir.path().join(path);
    std::fs::create_dir_all(at("opt/there")).unwrap();
    std::fs::set_permissions(at("opt/there"), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::create_dir(at("usr")).unwrap();
    std::os::unix::fs::symlink("/usr", at("opt/link")).unwrap();
    std::fs::write(at("opt/file"), "old").unwrap();
    let over = |bytes: &[u8], above: &[u8]| extract_over(bytes, &root, above, &AtomicBool::new(false));
    let bytes = archive(&[
        (EntryType::Directory, "./", ""),
        (EntryType::Directory, "there/", ""),
        (EntryType::Directory, "link/", ""),
        (EntryType::Regular, "link/x", "through the link"),
        (EntryType::Regular, "file", "new"),
        (EntryType::Link, "hard", "file"),
        (EntryType::Directory, "new", ""),
    ]);
    over(&bytes, b"/opt").unwrap();
    assert_eq!(at("opt/there").metadata().unwrap().mode() & 0o7777, 0o700, "it was there");
    assert_eq!(std::fs::read(at("usr/x")).unwrap(), b"through the link");
    assert!(at("opt/link").symlink_metadata().unwrap().is_symlink());
    assert_eq!(
        (std::fs::read(at("opt/file")).unwrap(), at("opt/hard").metadata().unwrap().nlink()),
        (b"new".into(), 2)
    );
    assert_eq!(at("opt/new").metadata().unwrap().gid(), 42);
    over(&archive(&[(EntryType::Regular, "a", "x")]), b"/a/new/place").unwrap();
    assert_eq!(std::fs::read(at("a/new/place/a")).unwrap(), b"x");
    // A tree is never given up for a file.
    let error = over(&archive(&[(EntryType::Regular, "usr", "x")]), b"/").unwrap_err();
    assert!(error.io().to_string().contains("usr: a directory is in its place"), "{error:?}");
    assert!(at("usr/x").exists());
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
        // Inside the root, the link leads to a directory of that name below the root, which does not exist.
        let hostile = archive(&[(EntryType::Symlink, "out", place), (EntryType::Regular, "out/escaped", "x")]);
        let _ = unpacked(&hostile);
    }
    assert_eq!(outside.path().read_dir().unwrap().count(), 0);
}

#[test]
fn an_archive_that_is_cut_off_or_is_none_is_refused() {
    if !is_root() {
        return;
    }
    let whole = archive(&[(EntryType::Regular, "a", "contents"), (EntryType::Regular, "b", "more")]);
    assert!(unpacked(&whole).is_ok());
    // The ends are in a header, in contents, and between two entries, where many readers notice nothing.
    for length in [0, 100, 515, 1024, 1536 + 3, 2048] {
        let error = unpacked(&whole[..length]).unwrap_err();
        assert!(matches!(error, Error::Archive(_)), "{length}: {error}");
    }
    for other in [&b"PK\x03\x04"[..], &[b'x'; 2000], b"\x1f\x8b\x08 no gzip"] {
        assert!(unpacked(other).is_err());
    }
    let mut damaged = whole.clone();
    damaged[0] ^= 1;
    assert!(unpacked(&damaged).is_err());
}

#[test]
fn pax_records_of_any_content_are_read() {
    if !is_root() {
        return;
    }
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    // Capabilities are binary, and line ends in values confuse other readers.
    let value = b"a\nb\0c\n12 x=y\n";
    let records = [
        record("path", long.as_bytes()),
        record("uid", b"3000000"),
        record("gid", b"4000000"),
        record("mtime", b"-4.5"),
        record("SCHILY.xattr.user.note", value),
        record("SCHILY.xattr.user.overlay.origin", b"of the overlay"),
    ];
    let copy = unpacked(&with_records(&records.concat())).unwrap();
    let root = Root::open(copy.path()).unwrap();
    let found = root.at(long.as_bytes()).unwrap().metadata().unwrap().unwrap();
    assert_eq!(found.attributes, Attributes { mode: 0o640, uid: 3_000_000, gid: 4_000_000, mtime: -5 });
    let mut xattrs = Vec::new();
    walk::<rootstrap_rootfs::Error>(&root, &mut |visit| {
        xattrs.extend(visit.xattrs()?.into_iter().filter(|(name, _)| name.starts_with(b"user.")));
        Ok(true)
    })
    .unwrap();
    if xattrs.is_empty() {
        rootstrap_testkit::skip("this filesystem has no attributes");
        return;
    }
    assert_eq!(xattrs, [(b"user.note".to_vec(), value.to_vec())]);
}

/// ACLs name accounts of this machine, so they are restored from its own archives and taken from no other. Entries do not inherit the ACL
/// of their directory.
#[test]
fn acls_are_restored_and_not_taken_from_others() {
    if !is_root() {
        return;
    }
    // Version 2: the owner, a group, the owner's group, the mask and others (Linux `posix_acl_xattr.h`).
    let entries = [(1u16, 7u16, u32::MAX), (4, 5, u32::MAX), (8, 5, 4), (16, 5, u32::MAX), (32, 5, u32::MAX)];
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        acl.extend([&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    let name = b"system.posix_acl_default";
    let mut archive = tar::Builder::new(Vec::new());
    archive
        .append_pax_extensions([(std::str::from_utf8(&[b"SCHILY.xattr.", &name[..]].concat()).unwrap(), &acl[..])])
        .unwrap();
    for (path, kind) in [("d/", EntryType::Directory), ("d/file", EntryType::Regular)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(0);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, path, &[][..]).unwrap();
    }
    let archive = archive.into_inner().unwrap();
    let acls = |unpack: &dyn Fn(&Root)| {
        let copy = tempfile::tempdir().unwrap();
        let root = Root::open(copy.path()).unwrap();
        unpack(&root);
        let mut found = Vec::new();
        walk::<rootstrap_rootfs::Error>(&root, &mut |visit| {
            let acls = visit.xattrs()?.into_iter().filter(|(name, _)| name.starts_with(b"system.posix_acl"));
            found.extend(acls.map(|(name, _)| (visit.path.to_vec(), name)));
            Ok(true)
        })
        .unwrap();
        found
    };
    assert_eq!(acls(&|root| extract(&archive[..], root, &AtomicBool::new(false)).unwrap()), []);
    let restored = acls(&|root| restore(&archive[..], root, &AtomicBool::new(false)).unwrap());
    if restored.is_empty() {
        return rootstrap_testkit::skip("this filesystem has no ACLs");
    }
    assert_eq!(restored, [(b"d".to_vec(), name.to_vec())]);
}

#[test]
fn archives_of_gnu_tar_in_every_form() {
    if !is_root() {
        return;
    }
    if Command::new("tar").arg("--version").output().is_err() {
        return rootstrap_testkit::skip("no tar on this host");
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    // The header of the old format has no room for so many pieces.
    for at in 0..20u64 {
        std::os::unix::fs::FileExt::write_at(&sparse, b"piece", at << 20).unwrap();
    }
    sparse.set_len(30 << 20).unwrap();
    File::create(tree.join("hole")).unwrap().set_len(1 << 20).unwrap();
    std::fs::write(tree.join("n".repeat(250)), "long").unwrap();
    std::os::unix::fs::symlink("t".repeat(200), tree.join("link")).unwrap();
    let expected = dump(&Root::open(&tree).unwrap());
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
            rootstrap_testkit::skip(format!("tar {options:?}: {}", String::from_utf8_lossy(&made.stderr)));
            continue;
        }
        let copy = unpacked(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(dump(&Root::open(copy.path()).unwrap()), expected, "{options:?}");
    }
}

/// Replaces the size in the first header of `bytes`, and corrects its checksum.
fn with_size(mut bytes: Vec<u8>, size: &[u8; 12]) -> Vec<u8> {
    bytes[124..136].copy_from_slice(size);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

#[test]
fn impossible_numbers_are_refused() {
    if !is_root() {
        return;
    }
    let huge = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for kind in [EntryType::Regular, EntryType::XHeader, EntryType::GNULongName] {
        assert!(unpacked(&with_size(archive(&[(kind, "a", "")]), &huge)).is_err(), "{kind:?}");
    }
    let with_record = |text: &str| {
        let (key, value) = text.split_once('=').unwrap();
        with_records(&record(key, value.as_bytes()))
    };
    assert!(unpacked(&with_record("mtime=1.5")).is_ok());
    for text in ["size=18446744073709551615", "uid=4294967295", "gid=99999999999", "mtime=x", "uid=-1"] {
        assert!(unpacked(&with_record(text)).is_err(), "{text}");
    }
    let _ = unpacked(&with_record("mtime=-9223372036854775808.5"));
}

#[test]
fn only_files_have_contents() {
    if !is_root() {
        return;
    }
    // Some programs write the size of the file into the header of a hard link.
    let bytes =
        archive(&[(EntryType::Regular, "a", "abc"), (EntryType::Link, "b", "a"), (EntryType::Regular, "c", "x")]);
    let mut changed = bytes[..1024].to_vec();
    changed.extend(with_size(bytes[1024..].to_vec(), b"00000000003\0"));
    let dir = unpacked(&changed).unwrap();
    assert_eq!(std::fs::read(dir.path().join("c")).unwrap(), b"x");
    // A directory as old versions of tar wrote it, and a file that is a link to itself.
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
fn a_slow_pipe_gives_the_same_result() {
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

/// A directory that an archive has twice is as its last entry says, as with tar(1).
#[test]
fn the_last_entry_of_a_directory_counts() {
    if !is_root() {
        return;
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (mode, mtime) in [(0o777, 1000), (0o700, 2000)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_size(0);
        header.set_mode(mode);
        header.set_uid(mtime);
        header.set_gid(mtime);
        header.set_mtime(mtime);
        archive.append_data(&mut header, "./a/", std::io::empty()).unwrap();
    }
    let place = unpacked(&archive.into_inner().unwrap()).unwrap();
    let found = std::fs::metadata(place.path().join("a")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid(), found.mtime()), (0o700, 2000, 2000));
}
