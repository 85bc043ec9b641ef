//! Small trees before and after [`tidy`].

use super::*;
use crate::root_directory::clamp_times;
use rootstrap_rootfs::Attributes;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const EPOCH: i64 = 1_700_000_000;
static GO_ON: AtomicBool = AtomicBool::new(false);

fn make(dir: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Returns the paths of all files, links and empty directories.
fn list(root: &Root) -> Vec<String> {
    let mut found = Vec::new();
    walk::<crate::Error>(root, &mut |visit| {
        let empty = visit.metadata.kind == Kind::Directory && root.list(visit.path)?.is_empty();
        if visit.metadata.kind != Kind::Directory || empty {
            found.push(String::from_utf8_lossy(visit.path).into_owned());
        }
        Ok(true)
    })
    .unwrap();
    found
}

fn is_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        rootstrap_testkit::skip("files of root need root");
    }
    root
}

const FILES: &[(&str, &str)] = &[
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("etc/passwd", "root"),
    ("etc/apt/trusted.gpg~", ""),
    ("etc/passwd-", "root"),
    ("etc/shadow", "root:*:20000:0:99999:7:::\ndaemon:*:15000:0:99999:7:::\nodd\nx:!::\n"),
    ("etc/ssh/ssh_host_rsa_key", "secret"),
    ("etc/ssh/ssh_config", ""),
    ("run/x/y", ""),
    ("run/lock/a", ""),
    ("tmp/.hidden/x", ""),
    ("usr/lib/python3/a.py", ""),
    ("usr/lib/python3/__pycache__/a.cpython-311.pyc", ""),
    ("usr/lib/python3/__pycache__/a.cpython-311.opt-1.pyc", ""),
    ("usr/lib/python3/sourceless.pyc", ""),
    ("usr/share/keep/x.log", ""),
    ("var/cache/apt/archives/lock", ""),
    ("var/cache/apt/archives/x.deb", ""),
    ("var/cache/apt/pkgcache.bin", ""),
    ("var/cache/debconf/config.dat", ""),
    ("var/cache/debconf/config.dat-old", ""),
    ("var/cache/ldconfig/aux-cache", "inode"),
    ("var/cache/man/index.db", ""),
    ("var/cache/man/de/index.db", ""),
    ("var/lib/apt/lists/lock", ""),
    ("var/lib/apt/lists/mirror_Packages", ""),
    ("var/lib/apt/lists/auxfiles/x", ""),
    ("var/lib/apt/lists/partial/y", ""),
    ("var/lib/dpkg/status", "new"),
    ("var/lib/dpkg/status-old", "old"),
    ("var/lib/systemd/random-seed", "secret"),
    ("var/lib/texmf/fmtutil.cnf-DEBIAN", "#\ntex tex -\netex pdftex -\n"),
    ("var/lib/texmf/ls-R", "% ls-R\n\n./:\nweb2c\nls-R\n\n"),
    ("var/lib/texmf/updmap.cfg-TEXLIVEDIST", "#\nMap b.map\nMap a.map\n"),
    ("var/lib/texmf/web2c/updmap.log", "today"),
    ("var/log/apt/history.log", "today"),
    ("var/log/dpkg.log", "today"),
    ("var/log/daemon.log", "today"),
    ("var/log/fontconfig.log", "today"),
    ("var/log/lastlog", "today"),
    ("var/log/messages.1", "today"),
    ("var/log/sysstat/sa28", "the host"),
];

#[test]
fn directories_keep_what_a_system_needs() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), FILES);
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(dir.path().join("etc/shadow"), PermissionsExt::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(dir.path().join("etc/shadow"), Some(0), Some(42)).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let options = Tidy { epoch: EPOCH, image: false };
    let varying = tidy(&root, &options, &GO_ON).unwrap();
    assert_eq!(
        varying.iter().map(|(path, _)| *path).collect::<Vec<_>>(),
        ["/etc/ssh/ssh_host_*", "/var/cache/man/index.db"]
    );
    let expected = [
        "etc/apt/trusted.gpg~",
        "etc/machine-id",
        "etc/passwd",
        "etc/passwd-",
        "etc/shadow",
        "etc/ssh/ssh_config",
        "etc/ssh/ssh_host_rsa_key",
        "run/lock/a",
        "tmp",
        "usr/lib/python3/__pycache__/a.cpython-311.opt-1.pyc",
        "usr/lib/python3/__pycache__/a.cpython-311.pyc",
        "usr/lib/python3/a.py",
        "usr/lib/python3/sourceless.pyc",
        "usr/share/keep/x.log",
        "var/cache/apt/archives/lock",
        "var/cache/debconf/config.dat",
        "var/cache/debconf/config.dat-old",
        "var/cache/ldconfig",
        "var/cache/man/de/index.db",
        "var/cache/man/index.db",
        "var/lib/apt/lists/lock",
        "var/lib/apt/lists/partial",
        "var/lib/dpkg/status",
        "var/lib/dpkg/status-old",
        "var/lib/systemd",
        "var/lib/texmf/fmtutil.cnf-DEBIAN",
        "var/lib/texmf/ls-R",
        "var/lib/texmf/updmap.cfg-TEXLIVEDIST",
        "var/lib/texmf/web2c",
        "var/log/apt",
        "var/log/daemon.log",
        "var/log/lastlog",
        "var/log/messages.1",
        "var/log/sysstat",
    ];
    assert_eq!(list(&root), expected);
    assert_eq!(root.read(b"etc/machine-id").unwrap().unwrap(), b"");
    assert_eq!(root.read(b"var/lib/dpkg/status-old").unwrap().unwrap(), b"new");
    let shadow = String::from_utf8(root.read(b"etc/shadow").unwrap().unwrap()).unwrap();
    assert_eq!(shadow, "root:*:19675:0:99999:7:::\ndaemon:*:15000:0:99999:7:::\nodd\nx:!::\n");
    for (path, sorted) in [
        ("var/lib/texmf/fmtutil.cnf-DEBIAN", "#\netex pdftex -\ntex tex -\n"),
        ("var/lib/texmf/ls-R", "% ls-R\n\n./:\nls-R\nweb2c\n\n"),
        ("var/lib/texmf/updmap.cfg-TEXLIVEDIST", "#\nMap a.map\nMap b.map\n"),
    ] {
        assert_eq!(root.read(path.as_bytes()).unwrap().unwrap(), sorted.as_bytes(), "{path}");
    }
    let attributes = root.metadata(b"etc/shadow").unwrap().unwrap().attributes;
    assert_eq!((attributes.mode, attributes.gid), (0o640, 42));
    assert_eq!(std::fs::metadata(dir.path()).unwrap().mode() & 0o7777, 0o755);
    tidy(&root, &options, &GO_ON).unwrap();
    assert_eq!(list(&root), expected);
}

#[test]
fn images_keep_no_identity_and_no_logs() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), FILES);
    let root = Root::open(dir.path()).unwrap();
    assert_eq!(tidy(&root, &Tidy { epoch: EPOCH, image: true }, &GO_ON).unwrap(), []);
    let expected = [
        "etc/apt",
        "etc/passwd",
        "etc/shadow",
        "etc/ssh/ssh_config",
        "run/lock/a",
        "tmp",
        "usr/lib/python3/a.py",
        "usr/lib/python3/sourceless.pyc",
        "usr/share/keep/x.log",
        "var/cache/apt",
        "var/cache/debconf/config.dat",
        "var/cache/ldconfig",
        "var/cache/man/de",
        "var/lib/apt/lists",
        "var/lib/dpkg/status",
        "var/lib/systemd",
        "var/lib/texmf/fmtutil.cnf-DEBIAN",
        "var/lib/texmf/ls-R",
        "var/lib/texmf/updmap.cfg-TEXLIVEDIST",
        "var/lib/texmf/web2c",
        "var/log/apt",
        "var/log/lastlog",
        "var/log/sysstat",
    ];
    assert_eq!(list(&root), expected);
    assert_eq!(root.read(b"var/log/lastlog").unwrap().unwrap(), b"");
}

#[test]
fn an_empty_tree_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    tidy(&root, &Tidy { epoch: EPOCH, image: true }, &GO_ON).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn links_do_not_lead_outside_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &[("outside/keep.log", "x"), ("root/var/x", "")]);
    symlink("../../outside", dir.path().join("root/var/log")).unwrap();
    symlink("../outside", dir.path().join("root/tmp")).unwrap();
    symlink("../outside", dir.path().join("root/run")).unwrap();
    tidy(&Root::open(&dir.path().join("root")).unwrap(), &Tidy { epoch: EPOCH, image: true }, &GO_ON).unwrap();
    assert!(dir.path().join("outside/keep.log").exists());
}

#[test]
fn times_after_the_epoch_become_the_epoch() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &[("a/b/new", ""), ("a/old", "")]);
    symlink("nowhere", dir.path().join("a/link")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    root.at(b"a/old").unwrap().set_mtime(1000).unwrap();
    clamp_times(&root, EPOCH, &GO_ON).unwrap();
    let time = |path: &str| std::fs::symlink_metadata(dir.path().join(path)).unwrap().mtime();
    for path in ["", "a", "a/b", "a/b/new", "a/link"] {
        assert_eq!(time(path), EPOCH, "{path}");
    }
    assert_eq!(time("a/old"), 1000);
}

#[test]
fn only_bytecode_of_this_run_is_rewritten() {
    if !is_root() {
        return;
    }
    // {"b", "a"} and {"a", "b"}.
    let header = b"\x55\x0d\r\n\0\0\0\0timesize";
    let unsorted = [&header[..], b">\x02\0\0\0z\x01bz\x01a"].concat();
    let sorted = [&header[..], b">\x02\0\0\0z\x01az\x01b"].concat();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("opt/__pycache__")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let attributes = |mtime| Attributes { mode: 0o604, uid: 0, gid: 42, mtime };
    let files = [
        ("opt/__pycache__/compiled.cpython-38.pyc", EPOCH + 1, &sorted),
        ("opt/__pycache__/shipped.cpython-38.pyc", EPOCH, &unsorted),
        ("opt/__pycache__/later.cpython-311.pyc", EPOCH + 1, &unsorted),
        ("opt/compiled.cpython-38.pyc", EPOCH + 1, &unsorted),
    ];
    for (path, mtime, _) in files {
        std::fs::write(dir.path().join(path), &unsorted).unwrap();
        root.at(path.as_bytes()).unwrap().set_attributes(attributes(mtime)).unwrap();
    }
    for _ in 0..2 {
        tidy(&root, &Tidy { epoch: EPOCH, image: false }, &GO_ON).unwrap();
        for (path, mtime, expected) in files {
            assert_eq!(root.read(path.as_bytes()).unwrap().as_ref(), Some(expected), "{path}");
            let metadata = root.metadata(path.as_bytes()).unwrap().unwrap();
            assert_eq!(metadata.attributes, attributes(mtime), "{path}");
        }
    }
}

#[test]
fn every_loop_over_the_tree_reads_the_flag() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &[("etc/a", ""), ("var/log/a.log", ""), ("usr/a.py", "")]);
    let (root, stop) = (Root::open(dir.path()).unwrap(), AtomicBool::new(true));
    assert!(matches!(clamp_times(&root, EPOCH, &stop), Err(crate::Error::Cancelled)));
    for image in [false, true] {
        let result = tidy(&root, &Tidy { epoch: EPOCH, image }, &stop);
        assert!(matches!(result, Err(crate::Error::Cancelled)), "{image}: {result:?}");
    }
}
