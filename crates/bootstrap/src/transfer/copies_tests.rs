//! Copies that are refused, and the files that the other copies make.

use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

const EPOCH: i64 = 1_700_000_000;

fn copies(copies: &[(&Path, &str)]) -> Vec<Copy> {
    copies.iter().map(|(from, to)| Copy { from: (*from).to_owned(), to: to.into(), mode: None, owner: None }).collect()
}

fn is_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        rootstrap_testkit::skip("files of root need root");
    }
    root
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Path, mode in octal and text or target, of everything but the root.
fn list(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk::<Error>(&Root::open(top).unwrap(), &mut |visit| {
        let path = String::from_utf8_lossy(visit.path).into_owned();
        let meta = std::fs::symlink_metadata(top.join(&path)).unwrap();
        let about = match visit.metadata.kind {
            Kind::Symlink => format!("-> {}", std::fs::read_link(top.join(&path)).unwrap().display()),
            Kind::File => std::fs::read_to_string(top.join(&path)).unwrap(),
            _ => String::new(),
        };
        if !path.is_empty() {
            assert_eq!((meta.uid(), meta.gid()), (0, 0), "{path}");
            found.push(format!("{path} {:o} {about}", meta.mode() & 0o7777));
        }
        Ok(true)
    })
    .unwrap();
    found
}

#[test]
fn copies_that_make_no_sense() {
    let dir = tempfile::tempdir().unwrap();
    let (file, fifo, tree) = (dir.path().join("file"), dir.path().join("fifo"), dir.path().join("tree"));
    write(&file, "four", 0o644);
    write(&tree.join("a/file"), "five!", 0o644);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(check(&copies(&[(&file, "/a"), (&tree, "/b/")])).unwrap(), 9);
    let said = |from: &Path, to: &str| {
        let error = check(&copies(&[(&file, "/a"), (from, to)])).unwrap_err();
        assert_eq!(error.exit_code() == 2, matches!(error, Error::Copy { .. }));
        let text = error.to_string();
        let cause = std::error::Error::source(&error).map(|cause| format!("; {cause}")).unwrap_or_default();
        (text + &cause).replace(dir.path().to_str().unwrap(), "DIR")
    };
    assert_eq!(said(&file, "a"), "cannot copy DIR/file: a is no absolute path without `..`");
    assert_eq!(said(&file, "/a/../b"), "cannot copy DIR/file: /a/../b is no absolute path without `..`");
    assert_eq!(said(&dir.path().join("none"), "/a"), "cannot copy DIR/none; No such file or directory (os error 2)");
    assert_eq!(said(&fifo, "/a"), "cannot copy DIR/fifo: it is neither file nor directory nor link");
    std::fs::rename(&fifo, tree.join("fifo")).unwrap();
    assert_eq!(said(&tree, "/a"), "cannot copy DIR/tree: fifo is neither file nor directory nor link");
}

#[test]
fn destinations() {
    for (given, path, slash) in [
        ("/a/b", "/a/b", false),
        ("/a/b/", "/a/b", true),
        ("//a/./b/.", "/a/b", true),
        ("/", "", true),
        ("/..a", "/..a", false),
    ] {
        let copy = Copy { from: PathBuf::new(), to: given.into(), mode: None, owner: None };
        assert_eq!(destination(&copy).unwrap(), (path.as_bytes().to_vec(), slash), "{given}");
    }
}

#[test]
fn files_and_directories() {
    if !is_root() {
        return;
    }
    let (host, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (tree, target) = (host.path().join("tree"), target.path());
    write(&tree.join("bin/run"), "run", 0o4711);
    write(&tree.join("etc/secret"), "secret", 0o600);
    std::fs::create_dir(tree.join("none")).unwrap();
    std::fs::set_permissions(tree.join("none"), std::fs::Permissions::from_mode(0o1700)).unwrap();
    symlink("/etc/shadow", tree.join("link")).unwrap();
    symlink(tree.join("bin/run"), host.path().join("alias")).unwrap();
    symlink(&tree, host.path().join("tree-alias")).unwrap();
    // The target has a merged /usr, and a link and a file that the copies replace.
    std::fs::create_dir_all(target.join("usr/bin")).unwrap();
    symlink("usr/bin", target.join("bin")).unwrap();
    symlink("/outside", target.join("link")).unwrap();
    write(&target.join("usr/bin/run"), "old", 0o600);
    let root = Root::open(target).unwrap();
    let alias = host.path().join("alias");
    let copies = copies(&[
        (&host.path().join("tree-alias"), "/"),
        (&alias, "/opt/new/name"),
        (&alias, "/opt/"),
        (&alias, "/usr"),
        (&alias, "/bin/run"),
        (&tree.join("etc"), "/srv/etc"),
    ]);
    for _ in 0..2 {
        make(&copies, &root, EPOCH, &AtomicBool::new(false)).unwrap();
        let expect = [
            "bin 777 -> usr/bin",
            "etc 755 ",
            "etc/secret 600 secret",
            "link 777 -> /etc/shadow",
            "none 1700 ",
            "opt 755 ",
            "opt/alias 711 run",
            "opt/new 755 ",
            "opt/new/name 711 run",
            "srv 755 ",
            "srv/etc 755 ",
            "srv/etc/secret 600 secret",
            "usr 755 ",
            "usr/alias 711 run",
            "usr/bin 755 ",
            "usr/bin/run 711 run",
        ];
        assert_eq!(list(target), expect);
        for path in ["opt/alias", "none", "link", "etc/secret"] {
            assert_eq!(std::fs::symlink_metadata(target.join(path)).unwrap().mtime(), EPOCH, "{path}");
        }
    }
}

#[test]
fn no_copy_leaves_the_target_or_replaces_a_directory() {
    if !is_root() {
        return;
    }
    let (host, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = host.path().join("file");
    write(&file, "new", 0o644);
    symlink(host.path(), target.path().join("out")).unwrap();
    symlink("../../../../../..", target.path().join("up")).unwrap();
    std::fs::create_dir_all(target.path().join("directory/file")).unwrap();
    let root = Root::open(target.path()).unwrap();
    let before = list(host.path());
    // Inside the root, `out` leads to nothing and `up` leads to the root itself.
    assert!(make(&copies(&[(&file, "/out/stolen")]), &root, EPOCH, &AtomicBool::new(false)).is_err());
    make(&copies(&[(&file, "/up/inside")]), &root, EPOCH, &AtomicBool::new(false)).unwrap();
    assert_eq!(std::fs::read_to_string(target.path().join("inside")).unwrap(), "new");
    assert!(make(&copies(&[(&file, "/directory")]), &root, EPOCH, &AtomicBool::new(false)).is_err());
    assert_eq!(list(host.path()), before);
    let cancelled = AtomicBool::new(true);
    assert!(make(&copies(&[(&file, "/late")]), &root, EPOCH, &cancelled).unwrap_err().is_cancelled());
}

#[test]
fn a_mode_and_an_owner() {
    if !is_root() {
        return;
    }
    let (host, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tree = host.path().join("tree");
    write(&tree.join("sub/file"), "new", 0o600);
    write(&target.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n", 0o644);
    write(&target.path().join("etc/group"), "root:x:0:\nshadow:x:42:\n", 0o644);
    let root = Root::open(target.path()).unwrap();
    let copy = |mode, user: &str, group: &str| Copy {
        from: tree.clone(),
        to: "/srv/x".into(),
        mode,
        owner: Some((user.to_owned(), group.to_owned())),
    };
    let make = |copy: Copy| make(&[copy], &root, EPOCH, &AtomicBool::new(false));
    make(copy(Some(0o4640), "www", "shadow")).unwrap();
    let found = |path: &str| {
        let found = std::fs::metadata(target.path().join(path)).unwrap();
        (found.mode() & 0o7777, found.uid(), found.gid())
    };
    assert_eq!(found("srv"), (0o755, 0, 0), "nobody named it");
    assert_eq!(found("srv/x/sub"), (0o4750, 33, 42), "a directory is open to whoever may read its files");
    assert_eq!(found("srv/x/sub/file"), (0o4640, 33, 42));
    make(copy(None, "7", "8")).unwrap();
    assert_eq!(found("srv/x/sub/file"), (0o600, 7, 8));
    for (user, group, why) in [("none", "0", "the root has no user none"), ("0", "www", "the root has no group www")] {
        assert!(make(copy(None, user, group)).unwrap_err().to_string().contains(why));
    }
    let first = described(&copy(None, "0", "0")).unwrap();
    let digest = first.strip_prefix("0:0 sha256:").unwrap();
    assert_eq!(described(&copy(Some(0o600), "www", "1")).unwrap(), format!("0600 www:1 sha256:{digest}"));
    std::fs::set_permissions(tree.join("sub/file"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_ne!(described(&copy(None, "0", "0")).unwrap(), first);
    let file = Copy { from: tree.join("sub/file"), to: "/x".into(), mode: None, owner: None };
    let of_content = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437";
    assert_eq!(described(&file).unwrap(), format!("0644 sha256:{of_content}"));
}
