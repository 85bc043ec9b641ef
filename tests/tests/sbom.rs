//! The sbom ring: SBOMs of the real binary are compared with what was installed, and read by the formats' own tools.
//!
//! The archive has a host name, which the loopback server answers as a proxy, so that addresses look as they do for users.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_testkit::archive::{Archive, pool_path};
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::readers::{self, Format, complaints};
use rootstrap_testkit::server::Fault;
use rootstrap_tests::machine::{self, User};
use rootstrap_tests::need;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World};
use serde_json::Value;
use std::fs;
use std::process::Command;

const MIRROR: &str = "http://deb.example.org/debian";

fn world() -> World {
    let required =
        |name: &str, version| Deb::new(name, version).field("Essential", "yes").field("Priority", "required");
    let mut archive = Archive::new("fixture").key(&KEY).debs([
        required("base-files", "13.8")
            .file("/etc/motd", 0o644, "hello\n")
            .field("Homepage", "https://example.org/base"),
        required("dpkg", "1.22").field("Pre-Depends", "libc6 (>= 2)").file("/usr/bin/dpkg", 0o755, "dpkg\n"),
        Deb::new("libc6", "1:2.41-12+b1~x").field("Source", "glibc (1:2.41-12)").field("Priority", "optional"),
        Deb::new("libstdc++6", "14")
            .field("Depends", "libc6")
            .field("Maintainer", "\"Strange, Mr.\" (the) <x@example.org>"),
    ]);
    archive.codename = "fixture".into();
    let places =
        |(path, bytes): (String, Vec<u8>)| ["debian", "other"].map(|place| (format!("{place}/{path}"), bytes.clone()));
    let world = World::serving("fixture", archive.build().into_iter().flat_map(places).collect());
    fs::create_dir(world.path("sboms")).unwrap();
    world
}

fn arguments<'a>(target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["fixture", target, "--variant=extract", "--arch=amd64", "--include=base-files,dpkg,libstdc++6"];
    [&fixed, more].concat()
}

/// Runs the program, as another user if one is given, with a cache of its own.
fn run(world: &World, user: Option<&User>, target: &str, more: &[&str]) -> Outcome {
    world.finish(&mut command(world, user, target, more))
}

fn command(world: &World, user: Option<&User>, target: &str, more: &[&str]) -> Command {
    let words = arguments(target, more);
    let mut command: Command = match user {
        Some(user) => world.bare_as(user, &words),
        None => world.bare(&words),
    };
    command.arg("--no-cache").arg("--keyring").arg(world.path("key.pgp"));
    if !more.contains(&"--mirror") {
        command.args(["--mirror", MIRROR]);
    }
    command.env("http_proxy", world.server.url());
    command
}

fn read(world: &World, name: &str) -> String {
    fs::read_to_string(world.path(name)).unwrap()
}

fn json(world: &World, name: &str) -> Value {
    serde_json::from_str(&read(world, name)).unwrap()
}

#[test]
fn what_is_planned_is_listed() {
    need!(machine::builder());
    let world = world();
    run(&world, None, "out/x", &["--sbom", "sboms/x.spdx.json", "--sbom", "sboms/x.cdx.json"]).expect(0);
    assert_eq!(world.names("sboms"), ["x.cdx.json", "x.spdx.json"]);
    let plan = String::from_utf8(run(&world, None, "out/x", &["--print-plan"]).expect(0).stdout).unwrap();
    let planned: Vec<(String, String)> = (plan.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()))
        .map(|words| (words[1].to_owned(), words[2].to_owned()))
        .collect();
    assert_eq!(planned.len(), 4, "{plan}");
    let (spdx, bom) = (json(&world, "sboms/x.spdx.json"), json(&world, "sboms/x.cdx.json"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for (list, name, version) in [(&spdx["packages"], "name", "versionInfo"), (&bom["components"], "name", "version")] {
        let entries = list.as_array().unwrap().iter();
        let listed: Vec<(String, String)> = entries
            .filter(|entry| entry["primaryPackagePurpose"] == "INSTALL" || entry["type"] == "library")
            .map(|entry| (text(&entry[name]), text(&entry[version])))
            .collect();
        assert_eq!(listed, planned);
    }
    let find = |name: &str| {
        spdx["packages"].as_array().unwrap().iter().find(|package| package["name"] == name).unwrap().clone()
    };
    let libc = find("libc6");
    let purl = "pkg:deb/debian/libc6@1:2.41-12%2Bb1~x?arch=amd64&distro=debian-fixture&upstream=glibc%401:2.41-12";
    assert_eq!(libc["externalRefs"][0]["referenceLocator"], purl);
    assert_eq!(libc["sourceInfo"], "built package from: glibc 1:2.41-12");
    let location = text(&libc["downloadLocation"]);
    let path = location.strip_prefix("http://deb.example.org/").unwrap();
    assert!(world.server.requests().iter().any(|request| request.path == path), "{location}");
    assert_eq!(find("base-files")["homepage"], "https://example.org/base");
    assert_eq!(find("libstdc++6")["supplier"], "Person: Strange, Mr. [the] (x@example.org)");
    let depends = bom["dependencies"].as_array().unwrap();
    let dpkg = depends.iter().find(|entry| text(&entry["ref"]).contains("/dpkg@")).unwrap();
    assert_eq!(dpkg["dependsOn"], serde_json::json!([purl]));
}

#[test]
fn the_formats_own_tools_read_them() {
    need!(machine::builder());
    let python = need!(readers::python());
    let world = world();
    for (target, image) in [("out/x", None), ("out/x.tar", Some("--image"))] {
        let words: Vec<&str> =
            ["--sbom", "sboms/x.spdx.json", "--sbom", "sboms/bom.json"].into_iter().chain(image).collect();
        run(&world, None, target, &words).expect(0);
        for (name, format) in [("sboms/x.spdx.json", Format::Spdx), ("sboms/bom.json", Format::CycloneDx)] {
            let document = read(&world, name);
            assert_eq!(complaints(&python, format, document.as_bytes()), "", "{name}: {document}");
        }
    }
}

#[test]
fn the_same_bytes_whoever_builds_and_whichever_mirror_serves() {
    need!(machine::builder());
    let world = world();
    let sboms = ["--sbom", "out/x.spdx", "--sbom", "out/x.cdx"];
    let both = || [read(&world, "out/x.spdx"), read(&world, "out/x.cdx")];
    run(&world, None, "out/x.tar", &sboms).expect(0);
    let first = both();
    let again = |user: Option<&User>, target: &str, more: &[&str]| {
        for name in ["out/x.spdx", "out/x.cdx"] {
            fs::remove_file(world.path(name)).unwrap();
        }
        run(&world, user, target, &[&sboms, more].concat()).expect(0);
        assert_eq!(both(), first, "{target} {more:?}");
    };
    again(None, "out/x", &["--mode=chroot", "--jobs=1", "--staging=disk"]);
    if let Ok(user) = machine::user() {
        again(Some(&user), "out/y.tar", &[]);
    }
    if let Ok(stranger) = machine::stranger() {
        again(Some(&stranger), "out/z.tar", &["--mode=single"]);
    }
    // The first mirror fails, and the second one serves.
    for request in world.server.requests() {
        world.server.fault(&request.path, Fault::Status(404), usize::MAX);
    }
    again(None, "out/v.tar", &["--mirror", MIRROR, "--mirror", "http://other.example.org/other"]);
}

#[test]
fn names_and_places_are_checked_before_anything_is_fetched() {
    need!(machine::builder());
    let world = world();
    fs::create_dir_all(world.path("out/empty")).unwrap();
    fs::create_dir(world.path("sboms/d.cdx")).unwrap();
    for (name, reason, hint) in [
        (
            "sboms/x.json",
            "its name does not say in which format",
            "names end in .spdx.json or .spdx for SPDX, and in .cdx.json, .cdx or bom.json for CycloneDX",
        ),
        ("none/x.cdx", "its parent directory does not exist", "create it first with mkdir -p"),
        ("sboms/d.cdx", "it exists and is not a regular file", "choose another name"),
        ("out/empty/x.cdx", "it would be in the target", "choose a place beside it"),
    ] {
        let outcome = run(&world, None, "out/empty", &["--sbom", name]).expect(2);
        let said = outcome.transcript.replace("DIR/", "");
        assert_eq!(said, format!("error: cannot write an SBOM to {name}: {reason}\nhint: {hint}\n"));
    }
    run(&world, None, "out/empty", &["--sbom", "x.cdx", "--print-plan"]).expect(2);
    assert!(world.server.requests().is_empty());
    assert_eq!(world.names("out/empty"), [""; 0]);
}

#[test]
fn a_failed_run_leaves_the_old_sbom() {
    need!(machine::builder());
    let world = world();
    fs::write(world.path("sboms/x.cdx"), "old").unwrap();
    let sboms = ["--sbom", "sboms/x.cdx", "--sbom", "sboms/x.spdx"];
    let untouched = || {
        assert_eq!((read(&world, "sboms/x.cdx"), world.names("sboms")), ("old".into(), vec!["x.cdx".to_owned()]));
        assert_eq!(world.names("out"), [""; 0]);
    };
    // The run fails at its very end, because the result cannot be written.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    world
        .finish(command(&world, None, "-", &sboms).stdout(full))
        .expect(1)
        .says(&["error: cannot write the archive\n"]);
    untouched();
    let path = format!("debian/{}", pool_path("main", &Deb::new("libstdc++6", "14")));
    world.server.fault(&path, Fault::Corrupt, usize::MAX);
    run(&world, None, "out/x.tar", &sboms).expect(3);
    untouched();
}
