//! Digests of what each compressor and writer makes of fixed input.
//!
//! A digest that changes means that the ids of all images change. The crates that decide these bytes are pinned with `=` in the
//! workspace's manifest. Whoever changes a version or a writer on purpose puts the new digests here and says so in
//! CHANGELOG.md.

use crate::compress::{Algorithm, Compression, Encoder};
use crate::oci::{Config, Image, Layout, Name, Platform, Statement};
use crate::tar::{Dev, Options};
use crate::{cpio, ext4, oci, tar};
use rootstrap_rootfs::{Attributes, Device, FakeOwnership, Kind, Root, Visit};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const EPOCH: i64 = 1_700_000_000;
static GO_ON: AtomicBool = AtomicBool::new(false);

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns text that compresses and noise that does not, in turns, longer than one block of every compressor.
fn input() -> Vec<u8> {
    let mut state = 1_u64;
    let mut byte = |at: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if (at / 50_000).is_multiple_of(4) { (state >> 56) as u8 } else { b'a' + (at / 7 % 23) as u8 }
    };
    (0..9 << 20).map(&mut byte).collect()
}

/// Fills `dir` with entries of every kind that needs no rights, and one device node.
fn tree(dir: &Path) -> Root {
    for path in ["etc", "usr/bin", "var/empty"] {
        std::fs::create_dir_all(dir.join(path)).unwrap();
    }
    let long = format!("usr/bin/{}", "n".repeat(150));
    std::fs::write(dir.join("etc/hostname"), "golden\n").unwrap();
    std::fs::write(dir.join("usr/bin/program"), input().get(..300_000).unwrap()).unwrap();
    std::fs::write(dir.join(&long), "a name that ustar cannot hold").unwrap();
    std::fs::write(dir.join("etc/null"), "").unwrap();
    std::fs::hard_link(dir.join("etc/hostname"), dir.join("usr/bin/again")).unwrap();
    std::os::unix::fs::symlink("usr/bin", dir.join("bin")).unwrap();
    let root = Root::open(dir).unwrap().with_fake_ownership(Arc::new(FakeOwnership::new(true)));
    let node = std::fs::File::open(dir.join("etc/null")).unwrap();
    root.fake_ownership().unwrap().make_node(node.as_fd(), Kind::CharDevice, Device { major: 1, minor: 3 }).unwrap();
    root
}

/// Returns the same attributes whoever runs the test, with one owner and time that ustar cannot hold.
fn attributes(visit: &Visit<'_>) -> Attributes {
    let (mode, uid) = match visit.metadata.kind {
        Kind::Directory => (0o755, 0),
        Kind::Symlink => (0o777, 0),
        _ if visit.path.starts_with(b"usr/bin/") => (0o4755, 3_000_000),
        _ => (0o640, 33),
    };
    Attributes { mode, uid, gid: uid, mtime: EPOCH - i64::from(uid) }
}

fn options(algorithm: Algorithm) -> Options<'static> {
    Options { attributes: Some(&attributes), compression: algorithm.into(), ..Options::new(EPOCH) }
}

#[test]
fn compressors() {
    let input = input();
    for (name, digest) in [
        ("gzip", "fa29182e2f9fc5340ed83939b210f9616e9c559590076dd9044a04f662485fed"),
        ("gzip:9", "6e7a7f000411f760aa4f2e72e0a2d0ff6774054d99af5e03dc0033413a930ba2"),
        ("xz", "2f49875d1757a1f1f8c037ae9526894918e72391b95941a126fa5b1148b26f45"),
        ("xz:0", "92975c1241b89b23016b5f3388e9f4b59b6fba5e2ceeebcace5b16ad7ad72be2"),
        ("zstd", "c13a5fa726d50dba8f03f5388bca22d81e47f2affbfb47f7d1a6f700e3c2493b"),
        ("zstd:19", "e1d75b7371dfec306aa8a4ec485fc9b11ff72c2e856289b2c80856994a582ed6"),
    ] {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, name.parse::<Compression>().unwrap()).unwrap();
        encoder.write_all(&input).unwrap();
        encoder.finish().unwrap();
        assert_eq!(hex(&out), digest, "{name}");
    }
}

#[test]
fn writers() {
    let dir = tempfile::tempdir().unwrap();
    let root = tree(dir.path());
    let mut out = Vec::new();
    tar::write(&root, &mut out, &options(Algorithm::None)).unwrap();
    assert_eq!(hex(&out), "5b23f558b001567b459abf5fc546de1657a8e0fe38f4ad78df663e40242ef32d", "tar");

    let mut out = Vec::new();
    cpio::write(&root, &mut out, &options(Algorithm::None)).unwrap();
    assert_eq!(hex(&out), "dbddacc299fbe4b2957486e76d856110816d8f9c7d96e85d4776c8419a7e8111", "cpio");

    let image = tempfile::NamedTempFile::new().unwrap();
    let ext4 = ext4::Options { tar: options(Algorithm::None), size: None, label: None, uuid: None, cancel: &GO_ON };
    ext4::write(&root, image.as_file(), &ext4).unwrap();
    assert_eq!(
        hex(&std::fs::read(image.path()).unwrap()),
        "32585692eec1bd2d05ebda80017341e88ffd891ab013a5e1218f7ebd17ebf711",
        "ext4"
    );
}

#[test]
fn container_images() {
    let dir = tempfile::tempdir().unwrap();
    let root = tree(dir.path());
    let image = |architecture: &str| {
        let options = Options { dev: Dev::Empty, ..options(Algorithm::Gzip) };
        let layer = oci::layer(&root, tempfile::tempfile().unwrap(), &options, None, &GO_ON).unwrap();
        let config = Config {
            created: "2023-11-14T22:13:20Z".to_owned(),
            created_by: "golden".to_owned(),
            cmd: vec!["bash".to_owned()],
            env: vec!["PATH=/usr/bin".to_owned()],
            labels: [("a".to_owned(), "b".to_owned())].into(),
            annotations: [("c".to_owned(), "d".to_owned())].into(),
            ..Config::default()
        };
        let statement = Statement { predicate_type: "https://example.org/p".to_owned(), bytes: b"{}".to_vec() };
        Image::new(Platform::of_debian(architecture).unwrap(), layer, &config).attest(vec![statement])
    };
    let images = vec![image("amd64"), image("arm64")];
    assert_eq!(images[0].id(), "sha256:e52a123d165dc0a8b5eddfe4886cdee99b79cf38b62c6fd1d6e28aa148997f63");
    let name = Name { familiar: "g:1".to_owned(), full: "docker.io/library/g:1".to_owned(), tag: "1".to_owned() };
    let layout = Layout::new(images, &[name]);
    assert_eq!(layout.digest(), "sha256:dca6ec7b9e53789355cd3a6a42b9f79c2e320eff47fa50f6dff731c0e4105975", "index");
    let mut out = Vec::new();
    layout.write_archive(&mut out, EPOCH).unwrap();
    assert_eq!(hex(&out), "f64695e1d56bd7c775dba6eeb89703983c4e92cc67f87608ee9af256e47f7883", "archive");
}
