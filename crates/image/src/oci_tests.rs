//! Layouts read back: every digest is right, every descriptor leads to a blob, and the bytes depend on the tree alone.

use super::*;
use crate::compress::Algorithm;
use crate::tar::{Dev, Options};
use rootstrap_rootfs::Root;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::AtomicBool;

const EPOCH: i64 = 1_700_000_000;

fn packed(algorithm: Algorithm) -> Layer {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    std::fs::write(dir.path().join("etc/file"), "contents").unwrap();
    let options = Options { dev: Dev::Empty, compression: algorithm.into(), ..Options::new(EPOCH) };
    layer(&Root::open(dir.path()).unwrap(), tempfile::tempfile().unwrap(), &options, None, &AtomicBool::new(false))
        .unwrap()
}

fn image(debian: &str) -> Image {
    let config = Config {
        created: "2023-11-14T22:13:20Z".to_owned(),
        cmd: vec!["sh".to_owned()],
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        annotations: BTreeMap::from([("c".to_owned(), "d".to_owned())]),
        ..Config::default()
    };
    Image::new(Platform::of_debian(debian).unwrap(), packed(Algorithm::Gzip), &config)
}

fn name(text: &str) -> Name {
    Name { familiar: format!("{text}:1"), full: format!("docker.io/library/{text}:1"), tag: "1".to_owned() }
}

/// Returns the names and contents of the files in an archive, and checks that the blobs have the digests in their names.
fn files(layout: &Layout) -> BTreeMap<String, Vec<u8>> {
    let mut bytes = Vec::new();
    layout.write_archive(&mut bytes, EPOCH).unwrap();
    let mut files = BTreeMap::new();
    for entry in ::tar::Archive::new(&bytes[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap()), (EPOCH as u64, 0));
        let name = String::from_utf8(entry.path_bytes().to_vec()).unwrap();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        if let Some(hex) = name.strip_prefix("blobs/sha256/").filter(|hex| !hex.is_empty()) {
            assert_eq!(digest(Sha256::digest(&contents).as_slice()), format!("sha256:{hex}"));
        }
        assert!(files.insert(name, contents).is_none());
    }
    files
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Returns the blob that a descriptor names, and checks its size.
fn follow<'f>(files: &'f BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'f [u8] {
    let digest = descriptor["digest"].as_str().unwrap();
    let bytes = &files[&format!("blobs/{}", digest.replace(':', "/"))];
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}

#[test]
fn a_layer_has_the_digests_of_both_its_forms() {
    let (plain, gzip, zstd) = (packed(Algorithm::None), packed(Algorithm::Gzip), packed(Algorithm::Zstd));
    assert_eq!(plain.digest, plain.diff_id);
    assert!(plain.diff_id == gzip.diff_id && gzip.diff_id == zstd.diff_id);
    assert!(plain.digest != gzip.digest && gzip.digest != zstd.digest);
    assert_eq!(gzip.media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
    for layer in [&plain, &gzip, &zstd] {
        assert_eq!(layer.size, layer.file.metadata().unwrap().len());
    }
    let dir = tempfile::tempdir().unwrap();
    let options = Options { compression: Algorithm::Xz.into(), ..Options::new(EPOCH) };
    let refused =
        layer(&Root::open(dir.path()).unwrap(), tempfile::tempfile().unwrap(), &options, None, &AtomicBool::new(false));
    assert!(matches!(refused, Err(crate::Error::LayerCompression)));
    // It stops once the flag is set.
    let stopped = AtomicBool::new(true);
    let options = Options::new(EPOCH);
    assert!(layer(&Root::open(dir.path()).unwrap(), tempfile::tempfile().unwrap(), &options, None, &stopped).is_err());
}

#[test]
fn one_image_is_an_oci_layout_and_a_docker_archive() {
    let one = image("arm64");
    let (id, digest) = (one.id().to_owned(), one.digest().to_owned());
    let layout = Layout::new(vec![one], &[name("web")]);
    assert_eq!(layout.digest(), digest);
    let files = files(&layout);
    assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = json(&files["index.json"]);
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    let top = &index["manifests"][0];
    assert_eq!(top["digest"], digest);
    assert_eq!(top["platform"], serde_json::json!({"architecture": "arm64", "os": "linux", "variant": "v8"}));
    assert_eq!(top["annotations"]["io.containerd.image.name"], "docker.io/library/web:1");
    assert_eq!(top["annotations"]["org.opencontainers.image.ref.name"], "1");
    let manifest = json(follow(&files, top));
    assert_eq!(manifest["annotations"]["c"], "d");
    let config = json(follow(&files, &manifest["config"]));
    assert_eq!(manifest["config"]["digest"], id);
    assert_eq!((&config["architecture"], &config["variant"]), (&"arm64".into(), &"v8".into()));
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(config["config"], serde_json::json!({"Cmd": ["sh"], "Labels": {"a": "b"}}));
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(follow(&files, &manifest["layers"][0])).read_to_end(&mut plain).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], super::digest(Sha256::digest(&plain).as_slice()));
    assert_eq!(config["history"].as_array().unwrap().len(), 1);
    let docker_images = json(&files["manifest.json"]);
    assert_eq!(docker_images[0]["RepoTags"], serde_json::json!(["web:1"]));
    assert!(files.contains_key(docker_images[0]["Config"].as_str().unwrap()));
    assert!(files.contains_key(docker_images[0]["Layers"][0].as_str().unwrap()));
    assert_eq!(files.len(), 8);
}

#[test]
fn several_platforms_are_one_index_and_the_first_keeps_the_name() {
    let (amd64, arm64) = (image("amd64"), image("arm64"));
    let preferred = amd64.id().replace("sha256:", "blobs/sha256/");
    let layout = Layout::new(vec![amd64, arm64], &[name("web"), name("also")]);
    let files = files(&layout);
    let top = json(&files["index.json"]);
    // One entry for each name, all for the same index.
    assert_eq!(top["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(top["manifests"][0]["digest"], layout.digest());
    assert_eq!(top["manifests"][1]["digest"], layout.digest());
    // Both have the tag 1, and a tag may be there only once.
    let tag = |at: usize| top["manifests"][at]["annotations"].get("org.opencontainers.image.ref.name").cloned();
    assert_eq!((tag(0), tag(1)), (Some("1".into()), None));
    let index = json(follow(&files, &top["manifests"][0]));
    assert_eq!(index["annotations"]["c"], "d");
    let of = |at: usize| index["manifests"][at]["platform"]["architecture"].as_str().unwrap().to_owned();
    assert_eq!((of(0), of(1)), ("amd64".to_owned(), "arm64".to_owned()));
    let docker_images = json(&files["manifest.json"]);
    assert_eq!(docker_images.as_array().unwrap().len(), 1);
    assert_eq!(docker_images[0]["Config"].as_str().unwrap(), preferred);
    // Shared blobs are there once, and each manifest comes before the index that names it.
    let manifests: Vec<&str> = layout.manifests().iter().map(|blob| blob.media_type).collect();
    assert_eq!(manifests.last().unwrap(), &"application/vnd.oci.image.index.v1+json");
    assert_eq!(layout.blobs().len(), 3, "one layer, two configs");
}

#[test]
fn statements_are_stored_as_buildkit_stores_them() {
    let plain = image("amd64");
    let digest = plain.digest().to_owned();
    let statement = Statement { predicate_type: "https://spdx.dev/Document".to_owned(), bytes: b"{}\n".to_vec() };
    let layout = Layout::new(vec![plain.attest(vec![statement])], &[]);
    let files = files(&layout);
    let top = json(&files["index.json"]);
    assert!(top["manifests"][0].get("annotations").is_none(), "no name was asked for");
    let index = json(follow(&files, &top["manifests"][0]));
    assert_eq!(index["manifests"][0]["digest"], digest);
    let about = &index["manifests"][1];
    assert_eq!(about["platform"], serde_json::json!({"architecture": "unknown", "os": "unknown"}));
    assert_eq!(about["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(about["annotations"]["vnd.docker.reference.digest"], digest);
    let manifest = json(follow(&files, about));
    assert_eq!(manifest["subject"]["digest"], digest);
    assert_eq!(manifest["artifactType"], "application/vnd.docker.attestation.manifest.v1+json");
    assert_eq!(follow(&files, &manifest["config"]), b"{}");
    assert_eq!(follow(&files, &manifest["layers"][0]), b"{}\n");
    assert_eq!(manifest["layers"][0]["annotations"]["in-toto.io/predicate-type"], "https://spdx.dev/Document");
    assert!(json(&files["manifest.json"])[0].get("RepoTags").is_none());
}

#[test]
fn a_directory_holds_what_the_archive_holds() {
    let layout = Layout::new(vec![image("amd64")], &[name("web")]);
    let dir = tempfile::tempdir().unwrap();
    layout.write_directory(dir.path()).unwrap();
    for (name, contents) in files(&layout).into_iter().filter(|(name, _)| !name.ends_with('/')) {
        assert_eq!(std::fs::read(dir.path().join(&name)).unwrap(), contents, "{name}");
    }
}

#[test]
fn readers_refuse_a_failed_archive() {
    let broken = image("amd64");
    let Body::File(file) = &broken.layer.body else { panic!("a layer is in a file") };
    file.set_len(broken.layer.size / 2).unwrap();
    let layout = Layout::new(vec![broken], &[]);
    let mut bytes = Vec::new();
    layout.write_archive(&mut bytes, EPOCH).unwrap_err();
    assert!(!bytes.is_empty());
    let mut archive = ::tar::Archive::new(&bytes[..]);
    let read =
        archive.entries().unwrap().try_for_each(|entry| std::io::copy(&mut entry?, &mut std::io::sink()).map(drop));
    assert!(read.is_err());
    assert!(layout.write_directory(tempfile::tempdir().unwrap().path()).is_err());
}

#[test]
fn platforms() {
    let armhf = Platform::of_debian("armhf").unwrap();
    assert_eq!((armhf.architecture, armhf.variant), ("arm", Some("v7")));
    assert_eq!(Platform::of_debian("hurd-i386"), None);
    // The running test is a program of this machine.
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    assert_eq!(Platform::find_debian(&root).unwrap(), None);
    std::fs::write(dir.path().join("a-script"), "#!/bin/sh\n").unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), dir.path().join("program")).unwrap();
    let expected = match std::env::consts::ARCH {
        "x86_64" => Some("amd64".to_owned()),
        "aarch64" => Some("arm64".to_owned()),
        _ => return,
    };
    assert_eq!(Platform::find_debian(&root).unwrap(), expected);
    // The shell decides, even if its machine is unknown and another program is known.
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    let mut program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    program[18] = 42;
    program.truncate(4096);
    std::fs::write(dir.path().join("bin/sh"), &program).unwrap();
    assert_eq!(Platform::find_debian(&root).unwrap().as_deref(), Some("machine-42"));
    std::fs::create_dir_all(dir.path().join("var/lib/dpkg")).unwrap();
    let status = "Package: a\nArchitecture: all\n\nPackage: dpkg\nStatus: x\nArchitecture: armhf\n";
    std::fs::write(dir.path().join("var/lib/dpkg/status"), status).unwrap();
    assert_eq!(Platform::find_debian(&root).unwrap().as_deref(), Some("armhf"));
}
