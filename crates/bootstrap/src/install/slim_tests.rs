//! The rules as dpkg reads them, and what they leave of a small tree.

use super::*;
use std::os::unix::fs::symlink;
use std::path::Path;

#[test]
fn sections_of_the_manual() {
    for (path, found) in [
        ("/usr/share/man/man1", Some("/usr/share/man/man1")),
        ("/usr/share/man/man8/deep/x.8", Some("/usr/share/man/man8")),
        ("/usr/share/man/man1p", None),
        ("/usr/share/man/mann/x", None),
        ("/usr/share/man/de/man1/x.1", None),
        ("/usr/share/man", None),
    ] {
        assert_eq!(section(path.as_bytes()), found.map(str::as_bytes), "{path}");
    }
}

#[test]
fn dpkg_reads_the_same_rules() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("etc/dpkg/dpkg.cfg.d")).unwrap();
    std::fs::write(dir.path().join(CONFIGURATION), configuration()).unwrap();
    assert_eq!(filters::of_target(&Root::open(dir.path()).unwrap()).unwrap(), rules());
    for path in ["/usr/share/doc/a/changelog.gz", "/usr/share/locale/de/LC_MESSAGES/a.mo", "/usr/share/omf/a/a-de.emf"]
    {
        assert!(is_excluded(&rules(), path.as_bytes()), "{path}");
    }
    for path in ["/usr/share/doc/a/copyright", "/usr/share/locale/l10n/a", "/usr/share/omf/a/a-C.emf", "/usr/share/man"]
    {
        assert!(!is_excluded(&rules(), path.as_bytes()), "{path}");
    }
}

/// Everything below a directory.
fn list(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk::<Error>(&Root::open(top).unwrap(), &mut |visit| {
        found.push(String::from_utf8_lossy(visit.path).into_owned());
        Ok(true)
    })
    .unwrap();
    found
}

#[test]
fn what_scripts_wrote_against_the_rules_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("file"), "").unwrap();
    let share = dir.path().join("usr/share");
    for path in [
        "doc/a/copyright",
        "doc/a/deep/er/README",
        "doc/b/README",
        "gnome/help/x/C/index",
        "gnome/help/x/de/index",
        "info/dir",
        "kept/file",
        "locale/de/LC_MESSAGES/x.mo",
        "locale/locale.alias",
        "man/man1/x.1",
        "man/de/man1/x.1",
    ] {
        std::fs::create_dir_all(share.join(path).parent().unwrap()).unwrap();
        std::fs::write(share.join(path), "").unwrap();
    }
    // Links to a file that is removed, to the first link, to a directory that stays, out of the tree, and to nothing.
    symlink("README", share.join("doc/b/first")).unwrap();
    symlink("first", share.join("doc/b/second")).unwrap();
    symlink("a", share.join("doc/c")).unwrap();
    symlink(outside.path(), share.join("linda")).unwrap();
    symlink("../gone", share.join("kept/dangling")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    for _ in 0..2 {
        sweep(&root, &AtomicBool::new(false)).unwrap();
        let expect = [
            "",
            "doc",
            "doc/a",
            "doc/a/copyright",
            "doc/c",
            "gnome",
            "gnome/help",
            "gnome/help/x",
            "gnome/help/x/C",
            "gnome/help/x/C/index",
            "info",
            "kept",
            "kept/dangling",
            "kept/file",
            "linda",
            "locale",
            "locale/locale.alias",
            "man",
            "man/man1",
        ];
        assert_eq!(list(&share), expect);
    }
    assert!(outside.path().join("file").exists());
    sweep(&Root::open(outside.path()).unwrap(), &AtomicBool::new(false)).unwrap();
    std::fs::write(share.join("doc/a/README"), "").unwrap();
    assert!(sweep(&root, &AtomicBool::new(true)).unwrap_err().is_cancelled());
    assert!(share.join("doc/a/README").exists());
}
