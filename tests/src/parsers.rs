//! The parsers of outside data, each behind a function that takes any bytes. `fuzz/` calls these functions with bytes that it makes up,
//! and the test `corpora` calls them with the files of `fuzz/corpus`.
//!
//! A function returns for every input. It panics where the parser does, and where the result breaks a rule that holds for every
//! input, such as that versions are ordered.

use rootstrap_debian::{apt_conf, control, packages, preferences, relation, release, sources, version::Version};
use rootstrap_image::cpio;
use rootstrap_image::oci::Platform;
use rootstrap_image::tar::{self as image_tar, Dev, Options};
use rootstrap_registry::Reference;
use rootstrap_rootfs::Root;
use rootstrap_testkit::tree;
use rootstrap_unpack::{Deb, archive, stage};
use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

/// Reads any bytes.
pub type Parser = fn(&[u8]);

/// The parsers, by the name of their directory in `fuzz/corpus`.
pub const PARSERS: [(&str, Parser); 15] = [
    ("apt_conf", apt_configuration),
    ("control", control_file),
    ("deb", deb),
    ("image", image),
    ("ld_so_conf", ld_so_conf),
    ("library", library),
    ("packages", packages_index),
    ("preferences", preferences_file),
    ("pyc", pyc),
    ("reference", reference),
    ("registry", registry_answer),
    ("release", release_file),
    ("sources", sources_file),
    ("tar", tar),
    ("version", versions),
];

/// Control stanzas, and each of their fields as a list of dependencies.
pub fn control_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = control::parse_one(text);
    for stanza in control::parse_all(text).unwrap_or_default() {
        for (_, value) in stanza.fields() {
            let _ = relation::parse_field(value);
        }
    }
}

/// Two lines, each a version. Their order is that of dpkg wherever dpkg accepts both.
pub fn versions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let order = Version::new(first).cmp(&Version::new(second));
    assert_eq!(Version::new(second).cmp(&Version::new(first)), order.reverse());
    assert_eq!(Version::new(first).cmp(&Version::new(first)), Ordering::Equal);
    // Policy §5.6.12, without the spaces that dpkg trims and the empty version, to which it gives another meaning.
    let is_version = |text: &str| {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        let of = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        epoch.bytes().all(|byte| byte.is_ascii_digit())
            && epoch.parse::<i32>().is_ok()
            && upstream.starts_with(|c: char| c.is_ascii_digit())
            && of(upstream, ".+-~:")
            && !revision.is_empty()
            && of(revision, ".+~")
    };
    if text.len() > 200 || !is_version(first) || !is_version(second) {
        return;
    }
    for (operator, expected) in [("lt", order.is_lt()), ("gt", order.is_gt())] {
        let status = Command::new("dpkg").args(["--compare-versions", first, operator, second]).status();
        // A machine without dpkg tests only the rules above.
        let Some(code) = status.ok().and_then(|status| status.code()) else { return };
        assert_eq!(code == 0, expected, "{first:?} {operator} {second:?}");
    }
}

/// A Release file.
pub fn release_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(release) = release::parse(text) {
        assert!(!release.files.is_empty(), "a release without files is refused");
        assert_eq!(release::parse_moment(&release::format_date(release.date)), Some(release.date));
    }
}

/// A `Packages` index. A stored table of it has the same packages.
pub fn packages_index(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let table = packages::Table::parse(text);
    let ([heads, bodies], numbers) = table.parts();
    let stored = packages::Table::from_parts([heads.to_owned(), bodies.to_owned()], &numbers);
    let direct = packages::parse(text);
    assert_eq!((table.len(), stored.len()), (direct.len(), direct.len()));
    for (package, (stored, direct)) in table.packages().zip(stored.packages().zip(direct)) {
        let fields = |package: packages::Package<'_>| format!("{package:?}");
        assert!(fields(package) == fields(stored) && fields(stored) == fields(direct));
        let _ = package.file();
        for field in [package.depends, package.pre_depends, package.provides, package.conflicts, package.breaks] {
            let _ = relation::parse_field(field);
        }
    }
    // A damaged store makes a meaningless table and no panic.
    let damaged = packages::Table::from_parts([bodies.to_owned(), heads.to_owned()], bytes);
    for package in damaged.packages().take(64) {
        let _ = package.file();
    }
}

/// A .deb: its ar members, the tars in them, and its control files.
pub fn deb(bytes: &[u8]) {
    in_root(|root| {
        let file = file(bytes);
        let _ = stage(Deb { file, label: "fuzz" }, root, 0, &AtomicBool::new(false));
    });
}

/// A tar archive, compressed or not, into a root.
pub fn tar(bytes: &[u8]) {
    in_root(|root| {
        let _ = archive::extract(bytes, root, &AtomicBool::new(false));
    });
}

/// A tar archive of which an image is made. What is made of it, unpacked, gives the same tree and the same archive again.
pub fn image(bytes: &[u8]) {
    // No time that the kernel can store is later, so none is changed.
    let options = Options { dev: Dev::Kept, ..Options::new(i64::MAX) };
    in_root_at(|root, path| {
        if archive::extract(bytes, root, &AtomicBool::new(false)).is_err() {
            return;
        }
        let _ = Platform::find_debian(root);
        let _ = cpio::write(root, &mut io::sink(), &options);
        let _ = image_tar::write(root, &mut io::sink(), &Options { layer: true, ..options });
        let mut first = Vec::new();
        if image_tar::write(root, &mut first, &options).is_err() {
            return;
        }
        let whole = |path: &Path| tree::dump_with(path, tree::Options { owner: true, mtime: true });
        let tree = whole(path);
        in_root_at(|root, path| {
            archive::extract(&first[..], root, &AtomicBool::new(false)).unwrap();
            assert_eq!(whole(path), tree);
            let mut second = Vec::new();
            image_tar::write(root, &mut second, &options).unwrap();
            assert!(first == second, "the same tree is another archive");
        });
    });
}

/// An answer of a registry.
pub fn registry_answer(bytes: &[u8]) {
    rootstrap_registry::answers::read_any(bytes);
}

/// `/etc/ld.so.conf`. It may include itself.
pub fn ld_so_conf(bytes: &[u8]) {
    in_root(|root| {
        root.create_directories(b"etc/ld.so.conf.d", 0o755).unwrap();
        root.write(b"etc/ld.so.conf", bytes, 0o644).unwrap();
        root.write(b"etc/ld.so.conf.d/a.conf", bytes, 0o644).unwrap();
        let _ = rootstrap_distroless::ldcache::write(root, 0, &AtomicBool::new(false));
    });
}

/// A shared library.
pub fn library(bytes: &[u8]) {
    in_root(|root| {
        root.create_directories(b"lib", 0o755).unwrap();
        for name in [&b"lib/libc.so.6"[..], b"lib/libx.so.1.2"] {
            root.write(name, bytes, 0o644).unwrap();
        }
        let _ = rootstrap_distroless::ldcache::write(root, 0, &AtomicBool::new(false));
    });
}

/// Byte code of Python. The reproducible form is as long as the file, and has no other reproducible form.
pub fn pyc(bytes: &[u8]) {
    for version in 3..=10 {
        if let Some(normalized) = rootstrap_normalize::pyc::normalized(bytes, version) {
            assert_eq!(normalized.len(), bytes.len());
            assert_eq!(rootstrap_normalize::pyc::normalized(&normalized, version), None);
        }
    }
}

/// apt's configuration.
pub fn apt_configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = apt_conf::value([text, text], "Acquire::http::Proxy");
}

/// apt's preferences. What is written for those that were read is read as the same.
pub fn preferences_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = preferences::parse_line(text);
    if let Ok(parsed) = preferences::parse(text) {
        assert_eq!(preferences::parse(&preferences::to_text(&parsed)).unwrap(), parsed);
    }
}

/// apt's sources. What is written for an entry that was read is read as the same, but for what is not written.
pub fn sources_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for mut source in sources::parse(text).unwrap_or_default() {
        (source.trusted, source.key, source.signed_by) = (None, None, Vec::new());
        assert_eq!(sources::parse(&source.to_stanza(None)).unwrap(), [source.clone()]);
        let lines = sources::parse(&source.to_lines(None)).unwrap();
        assert_eq!(
            lines.len(),
            source.uris.len() * source.suites.len() * (usize::from(source.binary) + usize::from(source.source))
        );
    }
}

/// The name of an image in a registry. A name that is accepted is read back from its parts.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = text.parse::<Reference>() {
        let again = format!("{}/{}:{}", reference.registry(), reference.name(), reference.tag());
        assert!(again.parse::<Reference>().is_ok(), "{again}");
    }
}

/// Calls `function` with an empty root that is removed afterwards.
fn in_root(function: impl FnOnce(&Root)) {
    in_root_at(|root, _| function(root));
}

/// As [`in_root`], also with the path of the root.
fn in_root_at(function: impl FnOnce(&Root, &Path)) {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let root = Root::open(directory.path()).unwrap();
    function(&root, directory.path());
    // Modes of the archive may keep tempfile from removing what it made.
    root.remove_children(b"").unwrap();
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile()).unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}
