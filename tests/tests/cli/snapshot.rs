//! `--snapshot`, with a service that answers as Debian's does: redirects to the nearest earlier moment and from packages to
//! files by digest, limits, and pages for those whom it blocks.

use crate::{EXTRACT, archive, unlisted};
use rootstrap_testkit::Files;
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::server::Fault;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use std::collections::BTreeSet;
use std::fs;

/// The moment that the service has. The archive was signed at the beginning of that day.
const MOMENT: &str = "20250101T120000Z";

/// Returns a service that has the archive at one moment only.
fn service() -> World {
    let mut dated = archive("fixture");
    dated.valid_until = Some(dated.date + 7 * 86400);
    let files: Files =
        dated.build().into_iter().map(|(path, bytes)| (format!("archive/x/{MOMENT}/{path}"), bytes)).collect();
    World::serving_below("fixture", "/archive/x/{timestamp}", files)
}

/// Has the service answer for another moment with redirects, each to the same path at the moment that it has.
fn redirect(world: &World, asked: &str) {
    let files = archive("fixture").build();
    for path in files.keys() {
        let to = Fault::Redirect(format!("/archive/x/{MOMENT}/{path}"));
        world.server.fault(&format!("archive/x/{asked}/{path}"), to, usize::MAX);
    }
}

fn lock(world: &World, snapshot: &str) -> Outcome {
    let mut command = world.with_own_arguments(&["lock", "fixture", "--snapshot", snapshot]);
    command.args(EXTRACT).arg("--cache-dir").arg(world.path("cache"));
    world.finish(&mut command)
}

#[test]
fn a_snapshot_is_judged_at_its_moment() {
    let world = service();
    let now = unlisted();
    let (target, other) = (world.target("x.tar"), now.target("x.tar"));
    let outcome = world.run(&[&[&target, "--snapshot", "2025-01-01T12:00:00Z"], &EXTRACT[..]].concat()).expect(0);
    assert!(!outcome.transcript.contains("warning"), "{}", outcome.transcript);
    now.run(&[&[other.as_str()], &EXTRACT[..]].concat()).expect(0);
    assert!(fs::read(&target).unwrap() == fs::read(other).unwrap(), "the tree does not show where it came from");
    // A week after that, it had expired.
    redirect(&world, "20250110T000000Z");
    let late = world.run(&[&[&target, "--snapshot", "2025-01-10"], &EXTRACT[..]].concat()).expect(3);
    late.says(&["it expired at 2025-01-08T00:00:00Z, judged at 2025-01-10T00:00:00Z"]);
}

#[test]
fn the_nearest_earlier_moment_is_recorded() {
    let world = service();
    redirect(&world, "20250102T000000Z");
    lock(&world, "2025-01-02").expect(0);
    let locked = fs::read_to_string(world.path("rootstrap.lock")).unwrap();
    let service = format!("{}/archive/x", world.server.url());
    for line in [
        "snapshot = \"2025-01-02T00:00:00Z\"".to_owned(),
        format!("snapshot-services = [\"{service}/{{timestamp}}\"]"),
        format!("snapshot = \"{MOMENT}\""),
        format!("uris = [\"{service}/{MOMENT}\"]"),
    ] {
        assert!(locked.contains(&format!("{line}\n")), "{line} is not in:\n{locked}");
    }
    // What is locked is fetched from the moment that was found, and packages may be redirected to files by digest.
    world.server.forget();
    let deb = "pool/main/d/dpkg/dpkg_1.0_amd64.deb";
    let bytes = archive("fixture").build()[deb].clone();
    world.server.set("file/0123456789abcdef", bytes);
    let by_digest = Fault::Redirect("/file/0123456789abcdef".to_owned());
    world.server.fault(&format!("archive/x/{MOMENT}/{deb}"), by_digest, usize::MAX);
    let target = world.target("x.tar");
    let mut command = world.bare(&["fixture", &target, "--frozen", "--arch=amd64", "--keyring"]);
    command.arg(world.path("key.pgp")).arg("--cache-dir").arg(world.path("cache"));
    world.finish(&mut command).expect(0);
    let paths: Vec<String> = world.server.requests().into_iter().map(|request| request.path).collect();
    assert!(paths.contains(&"file/0123456789abcdef".to_owned()), "{paths:?}");
    let is_expected = |path: &String| path.contains(MOMENT) || path.starts_with("file/");
    assert!(paths.iter().all(is_expected), "{paths:?}");

    // The lock's own request is that of the moment.
    let mut command = world.bare(&["lock", "--upgrade", "--keyring"]);
    command.arg(world.path("key.pgp")).arg("--cache-dir").arg(world.path("cache"));
    world.finish(&mut command).expect(0);
    assert_eq!(fs::read_to_string(world.path("rootstrap.lock")).unwrap(), locked);
}

#[test]
fn a_service_that_has_stopped_is_noticed() {
    let world = service();
    redirect(&world, "20250105T000000Z");
    lock(&world, "2025-01-05")
        .expect(0)
        .says(&[&format!("warning: the snapshot of fixture is that of {MOMENT}, 3 days earlier\n")]);
}

/// Fourteen packages are fetched at once from a mirror, and two at a time from a service. A connection that is not free yet may be replaced
/// by a new one, so there can be a few more than two over time.
#[test]
fn a_service_is_spared() {
    let names: Vec<String> = (10..24).map(|number| format!("p{number}")).collect();
    let many = archive("fixture").debs(names.iter().map(|name| Deb::new(name, "1").field("Priority", "optional")));
    let files = many.build().into_iter().map(|(path, bytes)| (format!("archive/x/{MOMENT}/{path}"), bytes)).collect();
    let world = World::serving_below("fixture", "/archive/x/{timestamp}", files);
    let in_release = format!("archive/x/{MOMENT}/dists/fixture/InRelease");
    world.server.fault(&in_release, Fault::StatusWith(429, "Retry-After: 0\r\n".to_owned()), 1);
    let (target, include) = (world.target("x.tar"), names.join(","));
    let arguments = [target.as_str(), "--snapshot", "20250101T120000Z", "--variant=extract", "--arch=amd64"];
    let mut command = world.command(&[&arguments[..], &["--jobs=16", "--no-cache", "--include", &include]].concat());
    world.finish(&mut command).expect(0);
    let requests = world.server.requests();
    let connections: BTreeSet<usize> = requests.iter().map(|request| request.connection).collect();
    assert!(requests.len() > 14 && connections.len() <= 6, "{} connections", connections.len());
}

#[test]
fn a_service_that_blocks_is_said_to_block() {
    let world = service();
    let in_release = format!("archive/x/{MOMENT}/dists/fixture/InRelease");
    let release = format!("archive/x/{MOMENT}/dists/fixture/Release");
    let moment = "2025-01-01T12:00:00Z";
    world.server.fault(&in_release, Fault::Page("<!DOCTYPE html><title>Blocked</title>".to_owned()), 1);
    lock(&world, moment)
        .expect(3)
        .says(&["it is a web page, not a Release file", "this network or the mirror blocks the request"]);
    for path in [&in_release, &release] {
        world.server.fault(path, Fault::Status(403), 1);
    }
    world.server.forget();
    lock(&world, moment).expect(1).says(&["the server answered 403", "try later"]);
    assert!(world.server.requests().len() <= 3, "no more is asked for: {:?}", world.server.requests());
    assert!(!world.path("rootstrap.lock").exists());
}

#[test]
fn moments_and_mirrors_that_make_no_sense_are_refused() {
    let world = unlisted();
    let refused = |arguments: &[&str], reason: &str| {
        world.run(&[arguments, &["--print-plan", "--arch=amd64"]].concat()).expect(2).says(&[reason]);
    };
    refused(&["--snapshot=2025-01-02"], "cannot use --mirror: a mirror has the archive as it is now");
    refused(&["--mirror=http://127.0.0.1:1/{timestamp}"], "cannot use --mirror: {timestamp} stands for the moment");
    refused(&["--sources=snapshot"], "cannot use --sources=snapshot: there is no snapshot");
    refused(&["--snapshot=yesterday"], "it is not a date");
    assert!(world.server.requests().is_empty());
    let service = service();
    let late = service.run(&["--snapshot=2999-01-01", "--print-plan", "--arch=amd64"]).expect(2);
    late.says(&["cannot use --snapshot: 2999-01-01T00:00:00Z lies in the future"]);
    let early = service.bare(&["noble", "--snapshot=2022-01-01", "--print-plan"]).output().unwrap();
    assert!(String::from_utf8_lossy(&early.stderr).contains("the service begins on 2023-03-01"));
}

/// Two moments in one cache: neither build takes what the other has seen.
#[test]
fn moments_do_not_mix() {
    let mut later = archive("fixture").debs([Deb::new("postfix", "3.11").field("Priority", "optional")]);
    later.date += 8 * 3600;
    let at = |moment: &str, archive: &Archive| {
        archive.build().into_iter().map(|(path, bytes)| (format!("x/{moment}/{path}"), bytes)).collect::<Vec<_>>()
    };
    let mut files = Files::new();
    files.extend(at("20250101T060000Z", &archive("fixture")));
    files.extend(at("20250101T120000Z", &later));
    let world = World::serving_below("fixture", "/x/{timestamp}", files);
    let plan = |moment: &str, more: &[&str]| {
        let snapshot = format!("--snapshot={moment}");
        let arguments = [&["--print-plan", "--arch=amd64", "--include=postfix", &snapshot], more].concat();
        String::from_utf8(world.run(&arguments).expect(0).stdout).unwrap()
    };
    for more in [&[][..], &["--offline"]] {
        assert!(plan("20250101T120000Z", more).contains("3.11"));
        assert!(plan("20250101T060000Z", more).contains("3.10"));
    }
}
