//! Archives read back by GNU cpio and by the rules of the kernel.

use super::*;
use crate::sample::{self, EPOCH, options, program, run};
use crate::tar::Dev;
use rootstrap_rootfs::FakeOwnership;
use rootstrap_testkit::tree;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

fn archive(dir: &Path, options: &Options<'_>) -> (Vec<u8>, Written) {
    let mut out = Vec::new();
    let written = write(&Root::open(dir).unwrap(), &mut out, options).unwrap();
    (out, written)
}

/// One entry, read by the rules of init/initramfs.c: `(name, inode, mode, links, contents)`.
type Decoded = (String, u32, u32, u32, Vec<u8>);

fn entries(archive: &[u8]) -> Vec<Decoded> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        assert_eq!(&archive[at..at + 6], b"070701", "at {at}");
        let header = at;
        let field = |number: usize| {
            let at = header + 6 + 8 * number;
            u32::from_str_radix(std::str::from_utf8(&archive[at..at + 8]).unwrap(), 16).unwrap()
        };
        let (name, size) = (field(11) as usize, field(6) as usize);
        let start = at + 110;
        assert_eq!(archive[start + name - 1], 0);
        let text = String::from_utf8(archive[start..start + name - 1].to_vec()).unwrap();
        let body = (start + name).next_multiple_of(4);
        at = (body + size).next_multiple_of(4);
        assert_eq!((field(7), field(8), field(12)), (0, 0, 0));
        if text == "TRAILER!!!" {
            assert!(archive[at..].iter().all(|&byte| byte == 0) && archive.len().is_multiple_of(512));
            return found;
        }
        found.push((text, field(0), field(1), field(4), archive[body..body + size].to_vec()));
    }
}

fn unpack(cpio: &Path, archive: &[u8], into: &Path) -> (bool, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), archive).unwrap();
    let stdin = Stdio::from(File::open(file.path()).unwrap());
    run(Command::new(cpio).args(["-idm", "--quiet"]).stdin(stdin).current_dir(into))
}

#[test]
fn gnu_cpio_unpacks_the_same_tree() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !sample::make(dir.path(), false) {
        return;
    }
    let (bytes, written) = archive(dir.path(), &options());
    assert_eq!(written.lost_capabilities, [b"usr/bin/blocks"]);
    assert_eq!(written.bytes, bytes.len() as u64);
    let Some(cpio) = program("cpio") else { return };
    let (done, said) = unpack(&cpio, &bytes, out.path());
    assert!(done && said.is_empty(), "{said}");
    // GNU cpio sets the times neither of links nor of all directories.
    let timed = |dir: &Path| {
        let lines = sample::dump(dir);
        let kept = lines.lines().filter(|line| !line.contains(" symlink ") && !line.contains(" dir "));
        kept.collect::<Vec<_>>().join("\n")
    };
    sample::assert_same(&timed(out.path()), &timed(dir.path()), "times");
    sample::assert_same(&tree::dump(out.path()), &tree::dump(dir.path()), "everything except times");
}

#[test]
fn the_bytes_do_not_depend_on_the_order_of_creation() {
    let made = [false, true].map(|reverse| {
        let dir = tempfile::tempdir().unwrap();
        sample::make(dir.path(), reverse);
        archive(dir.path(), &options()).0
    });
    assert!(made[0] == made[1]);
}

#[test]
fn contents_come_with_the_last_name_and_names_outside_the_tree_do_not_count() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("tree");
    std::fs::create_dir_all(dir.join("z")).unwrap();
    std::fs::create_dir_all(dir.join("dev")).unwrap();
    std::fs::write(dir.join("z/file"), "contents").unwrap();
    for name in ["b", "dev/hidden", "../outside"] {
        std::fs::hard_link(dir.join("z/file"), dir.join(name)).unwrap();
    }
    std::fs::write(dir.join("alone"), "alone").unwrap();
    std::fs::hard_link(dir.join("alone"), outer.path().join("other")).unwrap();
    let (bytes, written) = archive(&dir, &Options { dev: Dev::Empty, ..options() });
    let found = entries(&bytes);
    let seen: Vec<_> = found
        .iter()
        .map(|(name, inode, _, links, contents)| (name.as_str(), *inode, *links, contents.as_slice()))
        .collect();
    let expected: [(&str, u32, u32, &[u8]); 6] = [
        (".", 1, 2, b""),
        ("alone", 2, 1, b"alone"),
        ("b", 3, 2, b""),
        ("dev", 4, 2, b""),
        ("z", 5, 2, b""),
        ("z/file", 3, 2, b"contents"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(written.entries, 6);
}

#[test]
fn modes_times_and_owners_are_in_the_header() {
    let dir = tempfile::tempdir().unwrap();
    for (name, mtime) in [("new", EPOCH + 9), ("ancient", -5)] {
        std::fs::write(dir.path().join(name), "").unwrap();
        Root::open(dir.path()).unwrap().at(name.as_bytes()).unwrap().set_mtime(mtime).unwrap();
    }
    let big = |visit: &rootstrap_rootfs::Visit<'_>| rootstrap_rootfs::Attributes {
        mode: 0o4755,
        uid: 3_000_000,
        gid: u32::MAX - 1,
        ..visit.metadata.attributes
    };
    let (bytes, _) = archive(dir.path(), &Options { attributes: Some(&big), dev: Dev::Empty, ..options() });
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(&format!("000089ed002dc6c0fffffffe00000001{EPOCH:08x}00000000")), "{text}");
    assert!(text.contains("000089ed002dc6c0fffffffe000000010000000000000000"), "{text}");
}

#[test]
fn fake_ownership_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap().with_fake_ownership(Arc::new(FakeOwnership::new(true)));
    if let Err(error) = root.write(b"file", b"x", 0o640) {
        return rootstrap_testkit::skip(error);
    }
    root.at(b"file").unwrap().set_owner(3, 42).unwrap();
    root.write(b"node", b"", 0o600).unwrap();
    let device = Device { major: 8, minor: 300 };
    let node = File::open(dir.path().join("node")).unwrap();
    root.fake_ownership().unwrap().make_node(node.as_fd(), Kind::BlockDevice, device).unwrap();
    let mut out = Vec::new();
    write(&root, &mut out, &Options { dev: Dev::Empty, ..options() }).unwrap();
    let text = String::from_utf8_lossy(&out);
    assert!(text.contains("000081a0000000030000002a00000001"), "{text}");
    let modes: Vec<_> = entries(&out).into_iter().map(|(name, _, mode, ..)| (name, mode)).collect();
    assert!(modes.contains(&("node".to_owned(), 0o060_600)), "{modes:?}");
    assert!(text.contains("000000080000012c0000000500000000node"), "{text}");
}

#[test]
fn the_error_names_what_the_format_cannot_hold() {
    let refused = |make: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let mut out = Vec::new();
        let error = write(&Root::open(dir.path()).unwrap(), &mut out, &options()).unwrap_err();
        // A failed archive has a beginning and no end.
        assert!(!out.is_empty());
        assert!(!out.windows(TRAILER.len()).any(|window| window == TRAILER) || error.to_string().contains("TRAILER"));
        error.to_string()
    };
    let huge = refused(&|dir| File::create(dir.join("huge")).unwrap().set_len(1 << 32).unwrap());
    assert_eq!(huge, "cannot put huge into a cpio archive: it has 4 GiB or more");
    let end = refused(&|dir| std::fs::write(dir.join("TRAILER!!!"), "").unwrap());
    assert!(end.ends_with("this name ends the archive"), "{end}");
    let deep = refused(&|dir| {
        // Directory by directory, because the system refuses such a path in one call.
        let root = Root::open(dir).unwrap();
        let name = "d".repeat(200);
        let mut at = root.open_directory(b"").unwrap();
        for _ in 0..21 {
            rustix::fs::mkdirat(&at, &name, 0o755.into()).unwrap();
            at = rustix::fs::openat(&at, &name, rustix::fs::OFlags::DIRECTORY, 0.into()).unwrap();
        }
    });
    assert!(deep.ends_with("its path is too long"), "{deep}");
}

#[test]
fn every_compression_except_xz() {
    let dir = tempfile::tempdir().unwrap();
    sample::make(dir.path(), false);
    let (plain, _) = archive(dir.path(), &options());
    let (gzip, written) = archive(dir.path(), &Options { compression: Algorithm::Gzip.into(), ..options() });
    assert_eq!(written.bytes, plain.len() as u64);
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut unpacked).unwrap();
    assert!(unpacked == plain);
    let (zstd, _) = archive(dir.path(), &Options { compression: Algorithm::Zstd.into(), ..options() });
    assert!(zstd::stream::decode_all(&zstd[..]).unwrap() == plain);
    let mut out = Vec::new();
    let xz = Options { compression: Algorithm::Xz.into(), ..options() };
    let error = write(&Root::open(dir.path()).unwrap(), &mut out, &xz).unwrap_err();
    assert!(out.is_empty() && error.hint().unwrap().contains("zstd"), "{error}");
}

#[test]
fn readers_refuse_a_failed_archive() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), "contents").unwrap();
    std::fs::create_dir(dir.path().join("z")).unwrap();
    File::create(dir.path().join("z/huge")).unwrap().set_len(1 << 32).unwrap();
    let mut out = Vec::new();
    let root = Root::open(dir.path()).unwrap();
    write(&root, &mut out, &options()).unwrap_err();
    let Some(cpio) = program("cpio") else { return };
    let into = tempfile::tempdir().unwrap();
    // Without the nodes of /dev, which only root can create.
    let mut out = Vec::new();
    write(&root, &mut out, &Options { dev: Dev::Empty, ..options() }).unwrap_err();
    let (done, said) = unpack(&cpio, &out, into.path());
    assert!(!done, "{said}");
    // An empty tree gives a valid archive.
    let empty = tempfile::tempdir().unwrap();
    let (bytes, _) = archive(empty.path(), &Options { dev: Dev::Empty, ..options() });
    assert_eq!(entries(&bytes).len(), 2);
    let (done, said) = unpack(&cpio, &bytes, into.path());
    assert!(done, "{said}");
}
