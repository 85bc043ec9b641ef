//! The host's own apt reads our archives.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_testkit::archive::{AllIndex, Archive, Signing};
use rootstrap_testkit::base::{Layout, base_system};
use rootstrap_testkit::deb::{Compression, Deb};
use rootstrap_testkit::keys::{Key, KeyOptions, SignatureDigest};
use rootstrap_testkit::server::Server;
use std::fs;
use std::process::Command;

/// Runs `apt-get update` and simulates installing the `wanted` packages. Returns the text of both, or why apt cannot
/// run.
fn apt(server: &Server, dist: &str, components: &str, keyring: &[u8], wanted: &[String]) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    for sub in ["lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d", "etc/trusted.gpg.d"] {
        fs::create_dir_all(dir.path().join(sub)).unwrap();
    }
    fs::write(dir.path().join("status"), "").unwrap();
    fs::write(dir.path().join("ring.gpg"), keyring).unwrap();
    let line = format!("deb [arch=amd64 signed-by={root}/ring.gpg] {} {dist} {components}\n", server.url());
    fs::write(dir.path().join("sources"), line).unwrap();
    let config = format!(
        "Dir::Etc \"{root}/etc\"; Dir::Etc::sourcelist \"{root}/sources\"; Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::State \"{root}\"; Dir::State::lists \"{root}/lists\"; Dir::State::status \"{root}/status\";\n\
         Dir::Cache \"{root}/cache\"; APT::Architecture \"amd64\"; APT::Architectures {{ \"amd64\"; }};\n\
         APT::Sandbox::User \"root\"; Acquire::Languages \"none\"; APT::Update::Error-Mode \"any\";\n\
         Acquire::http::Proxy \"DIRECT\"; Debug::NoLocking \"true\";\n"
    );
    fs::write(dir.path().join("apt.conf"), config).unwrap();
    let mut text = String::new();
    let wanted = wanted.iter().map(String::as_str);
    let simulate = ["-s", "-o", "Dir::State::extended_states=/dev/null", "install"].into_iter().chain(wanted).collect();
    for args in [vec!["update"], simulate] {
        let mut command = Command::new("apt-get");
        command.args(args).env("APT_CONFIG", dir.path().join("apt.conf")).env("LC_ALL", "C");
        let output = command.output().map_err(|e| format!("cannot run apt-get: {e}"))?;
        text += &String::from_utf8_lossy(&output.stdout);
        text += &String::from_utf8_lossy(&output.stderr);
    }
    Ok(text)
}

fn fixture(dist: &str) -> Archive {
    Archive::new(dist)
        .deb("main", Deb::new("hello", "1.0").field("Depends", "libhello1 (>= 1), hello-data"))
        .deb("main", Deb::new("libhello1", "1.0"))
        .deb("contrib", Deb::new("hello-data", "1.0").arch("all"))
}

#[test]
fn apt_accepts_every_form_of_archive() {
    let key = Key::generate("archive");
    let sub = Key::generate_with("sub", &KeyOptions { signing_subkey: true, ..KeyOptions::default() });
    for signing in [Signing::InRelease, Signing::Detached, Signing::Both] {
        for (all, form) in [
            (AllIndex::Merged, Compression::Gz),
            (AllIndex::Both, Compression::Xz),
            (AllIndex::Separate, Compression::Zst),
            (AllIndex::Merged, Compression::None),
            (AllIndex::Merged, Compression::Bz2),
            (AllIndex::Merged, Compression::Lzma),
        ] {
            for dist in ["trixie-security", "buster/updates"] {
                let mut archive = fixture(dist).key(&sub).key(&key);
                (archive.signing, archive.all_index, archive.forms) = (signing, all, vec![form]);
                let server = Server::start(archive.build());
                let said = match apt(&server, dist, "main contrib", &archive.keyring(), &["hello".into()]) {
                    Ok(said) => said,
                    Err(why) => return rootstrap_testkit::skip(why),
                };
                let inst = said.lines().filter(|line| line.starts_with("Inst ")).count();
                assert_eq!(inst, 3, "{signing:?} {all:?} {form:?} {dist}: {said}\n{:?}", server.requests());
                assert!(!said.contains("W:") && !said.contains("E:"), "{said}");
            }
        }
    }
}

#[test]
fn apt_refuses_what_is_broken() {
    let key = Key::generate("archive");
    let refused = |name: &str, change: &dyn Fn(&mut Archive)| {
        let mut archive = fixture("trixie").key(&key);
        change(&mut archive);
        let server = Server::start(archive.build());
        match apt(&server, "trixie", "main contrib", &key.public(), &["hello".into()]) {
            Ok(said) => assert!(said.contains("E:") && !said.contains("Inst "), "{name}: {said}"),
            Err(why) => rootstrap_testkit::skip(why),
        }
    };
    refused("another key", &|archive| archive.keys = vec![Key::generate("other")]);
    refused("unsigned", &|archive| archive.keys.clear());
    refused("sha1", &|archive| archive.signature_digest = SignatureDigest::Sha1);
    refused("expired Release", &|archive| archive.valid_until = Some(archive.date + 60));
    refused("weak digests", &|archive| archive.digests = rootstrap_testkit::archive::Digest::WEAK.to_vec());
}

#[test]
fn the_base_system_needs_nothing_but_itself() {
    let debs = match base_system("trixie", Layout::Merged) {
        Ok(debs) => debs,
        Err(why) => return rootstrap_testkit::skip(why),
    };
    let names: Vec<String> = debs.iter().map(|deb| deb.name().to_string()).collect();
    let arch = debs.iter().filter_map(|deb| deb.get("Architecture")).find(|arch| *arch != "all").unwrap_or("all");
    if arch != "amd64" {
        return rootstrap_testkit::skip(format!("apt is asked for amd64, the host is {arch}"));
    }
    let archive = Archive::new("trixie").key(&Key::generate("archive")).debs(debs.clone());
    let server = Server::start(archive.build());
    match apt(&server, "trixie", "main", &archive.keyring(), &names) {
        Ok(said) => {
            let inst = said.lines().filter(|line| line.starts_with("Inst ")).count();
            assert_eq!((inst, said.contains("E:")), (names.len(), false), "{said}");
        }
        Err(why) => rootstrap_testkit::skip(why),
    }
}
