//! `rootstrap lock`, and builds from a lock, on an archive that moves.

use crate::{EXTRACT, archive, unlisted};
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::Key;
use rootstrap_testkit::readers;
use rootstrap_tests::need;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World};
use std::fs;

/// The day after the first archive was signed.
const LATER: u64 = rootstrap_testkit::EPOCH + 86400;

/// Returns what became of the archive: libc6 has a second version, postfix another one, which needs one package more.
fn moved() -> Archive {
    let required = |name: &str| Deb::new(name, "1.0").field("Essential", "yes").field("Priority", "required");
    let libc6 = |version| Deb::new("libc6", version).field("Priority", "optional");
    let mut archive = Archive::new("fixture").key(&KEY).debs([
        required("base-files").file("/etc/motd", 0o644, "hello\n"),
        required("dpkg").field("Pre-Depends", "libc6 (>= 2)").file("/usr/bin/dpkg", 0o755, "dpkg\n"),
        libc6("2.41-12").file("/usr/lib/libc.so.6", 0o644, "libc\n"),
        libc6("2.41-13").file("/usr/lib/libc.so.6", 0o644, "another libc\n"),
        Deb::new("apt", "3.0.3").field("Priority", "important").field("Depends", "libc6").dir("/etc/apt", 0o755),
        Deb::new("postfix", "3.11").field("Priority", "optional").field("Depends", "libdb5"),
        Deb::new("libdb5", "5").field("Priority", "optional"),
    ]);
    archive.date = LATER;
    archive
}

fn serve(world: &World, archive: &Archive) {
    for (path, bytes) in archive.build() {
        world.server.set(&path, bytes);
    }
}

/// Runs `rootstrap lock` for the world's suite.
fn lock(world: &World, arguments: &[&str]) -> Outcome {
    let mut command = world.with_own_arguments(&[&["lock", "fixture", "--arch=amd64"], arguments].concat());
    world.finish(command.arg("--cache-dir").arg(world.path("cache")))
}

fn text(world: &World) -> String {
    fs::read_to_string(world.path("rootstrap.lock")).unwrap()
}

#[test]
fn a_lock_stays_until_it_is_upgraded() {
    let world = unlisted();
    let first = lock(&world, &["--include=postfix,exim4"]).expect(0);
    assert_eq!(
        first.transcript,
        "release: fixture of 2025-01-01T00:00:00Z\nlocked fixture amd64: 6 packages, in rootstrap.lock\n"
    );
    let written = text(&world);
    for line in ["name = \"postfix\"", "version = \"3.10\"", "why = \"included\"", "why = \"needed by dpkg\""] {
        assert!(written.contains(&format!("{line}\n")), "{line} is not in:\n{written}");
    }

    serve(
        &world,
        &moved()
            .debs([Deb::new("exim4", "4.98").field("Priority", "optional").field("Provides", "mail-transport-agent")]),
    );
    world.server.forget();
    lock(&world, &["--include=exim4", "--include=postfix"]).expect(0).says(&["is a lock of this request; --upgrade"]);
    lock(&world, &["--check", "--include=exim4,postfix,exim4"]).expect(0);
    fs::write(world.path("rootstrap.lock"), written.replace('\n', "\r\n")).unwrap();
    lock(&world, &["--check", "--include=exim4,postfix"]).expect(0);
    fs::write(world.path("rootstrap.lock"), &written).unwrap();
    let other = lock(&world, &["--check", "--include=exim4", "--slim"]).expect(10);
    assert_eq!(
        other.transcript,
        "rootstrap.lock is a lock of another request: include: exim4,postfix in the lock, exim4 here; \
         slim: no in the lock, yes here\n"
    );
    assert!(world.server.requests().is_empty(), "a check needs no archive");
    assert_eq!(text(&world), written, "a check changes nothing");

    // What the archive still has stays, although there is something newer.
    let release = "release: fixture of 2025-01-02T00:00:00Z\n";
    let some = lock(&world, &["--include=exim4,postfix", "--upgrade=postfix"]).expect(0);
    let upgraded = "  added libdb5 5\n  upgraded postfix 3.10 -> 3.11\n";
    assert_eq!(some.transcript, format!("{release}locked fixture amd64: 7 packages, in rootstrap.lock\n{upgraded}"));
    let all = lock(&world, &["--include=exim4,postfix", "--upgrade"]).expect(0);
    let upgraded = "  upgraded libc6 2.41-12 -> 2.41-13\n";
    assert_eq!(all.transcript, format!("{release}locked fixture amd64: 7 packages, in rootstrap.lock\n{upgraded}"));
    let upgraded = text(&world);
    lock(&world, &["--include=exim4,postfix", "--upgrade=missing"])
        .expect(1)
        .says(&["missing, which is to be upgraded"]);
    assert_eq!(text(&world), upgraded, "a failure changes nothing");
    let printed = lock(&world, &["--include=exim4,postfix", "--output=-"]).expect(0);
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), upgraded, "the same archive, the same text");
}

/// Without a suite, the request is the lock's own.
#[test]
fn a_lock_knows_its_request() {
    let world = unlisted();
    lock(&world, &["--include=postfix", "--exclude=apt", "--slim"]).expect(0);
    serve(&world, &moved());
    let run = |arguments: &[&str]| {
        let keyring = world.path("key.pgp");
        let mut command = world.bare(&[&["lock"], arguments].concat());
        command.arg("--keyring").arg(keyring).arg("--cache-dir").arg(world.path("cache"));
        world.finish(&mut command)
    };
    run(&["--check"]).expect(2).says(&["no suite is named"]);
    run(&["--upgrade", "--output=none.lock"]).expect(2).says(&["cannot find the lock none.lock"]);
    lock(&world, &["--check", "--output=none.lock"]).expect(10).says(&["cannot find the lock none.lock"]);
    run(&["--upgrade"]).expect(0).says(&["upgraded postfix 3.10 -> 3.11"]);
    let locked = text(&world);
    assert!(locked.contains("exclude = [\"apt\"]\n") && locked.contains("slim = true\n"), "{locked}");
    run(&["--upgrade", "--include=exim4"]).expect(2).says(&["no suite is named"]);
}

#[test]
fn a_build_from_a_lock_has_the_bytes_of_the_first_one() {
    let world = unlisted();
    let build = |name: &str, arguments: &[&str]| {
        let target = world.target(name);
        world.run(&[&[target.as_str()], arguments].concat())
    };
    let bytes = |name: &str| fs::read(world.path("out").join(name)).unwrap();
    lock(&world, &EXTRACT).expect(0);
    let unlocked = build("first.tar", &EXTRACT).expect(0);
    unlocked.says(&["warning: rootstrap.lock is here and is not used: --locked or --frozen"]);
    serve(&world, &moved());
    build("moved.tar", &EXTRACT).expect(0);
    assert!(bytes("moved.tar") != bytes("first.tar"), "the archive has moved");

    world.server.forget();
    build("locked.tar", &[&EXTRACT[..], &["--locked"]].concat()).expect(0);
    let lock_file = world.path("rootstrap.lock");
    let named = ["--lock", lock_file.to_str().unwrap()];
    build("frozen.tar", &[&named[..], &["--frozen", "--offline", "--arch=amd64"]].concat()).expect(0);
    assert!(world.server.requests().is_empty(), "the debs are in the cache, and no index is needed");
    let target = world.target("no-cache.tar");
    let mut command = world.command(&[&[target.as_str()], &EXTRACT[..], &named, &["--no-cache"]].concat());
    world.finish(&mut command).expect(0);
    let fetched: Vec<String> = world.server.requests().into_iter().map(|request| request.path).collect();
    assert!(fetched.iter().all(|path| path.starts_with("pool/")), "{fetched:?}");
    for name in ["locked.tar", "frozen.tar", "no-cache.tar"] {
        assert!(bytes(name) == bytes("first.tar"), "{name}");
    }

    // SOURCE_DATE_EPOCH and options of another request do not count, and the run says so.
    let target = world.target("other.tar");
    let mut command = world.command(&[&target, "--frozen", "--arch=amd64", "--include=postfix"]);
    let outcome =
        world.finish(command.env("SOURCE_DATE_EPOCH", "5").arg("--cache-dir").arg(world.path("cache"))).expect(0);
    outcome.says(&[
        "warning: rootstrap.lock is taken as it is, although it was made for another request: variant: extract in the lock, minbase here",
        "warning: the epoch of rootstrap.lock is taken (1735689600), not SOURCE_DATE_EPOCH (5)",
    ]);
    assert!(bytes("other.tar") == bytes("first.tar"));
    let plan = world.run(&["--frozen", "--arch=amd64", "--print-plan"]).expect(0);
    assert!(String::from_utf8(plan.stdout).unwrap().contains("libc6       2.41-12"), "the plan is the lock's");

    let gone = "pool/main/libc/libc6/libc6_2.41-12_amd64.deb";
    let deb = archive("fixture").build()[gone].clone();
    world.server.set(gone, b"something else".to_vec());
    let mut command = world.command(&[&[target.as_str()], &EXTRACT[..], &["--locked", "--no-cache"]].concat());
    world.finish(&mut command).expect(3);
    world.server.remove(gone);
    let mut command = world.command(&[&[target.as_str()], &EXTRACT[..], &["--locked", "--no-cache"]].concat());
    world.finish(&mut command).expect(1).says(&["cannot fetch libc6_2.41-12_amd64.deb"]);
    assert!(bytes("other.tar") == bytes("first.tar"), "what was there stays");

    // What the archive has dropped is in a service of snapshots, some hours after the date of the Release.
    world.server.set(&format!("snapshot/20250101T060000Z/{gone}"), deb);
    let service = format!("--mirror={}/snapshot/{{timestamp}}", world.server.url());
    let target = world.target("snapshot.tar");
    let mut command =
        world.command(&[&[target.as_str()], &EXTRACT[..], &["--locked", "--no-cache", &service]].concat());
    world.finish(&mut command).expect(0);
    assert!(bytes("snapshot.tar") == bytes("first.tar"));
}

#[test]
fn a_lock_that_cannot_be_used_is_refused() {
    let world = unlisted();
    lock(&world, &EXTRACT).expect(0);
    let good = text(&world);
    let target = world.target("x.tar");
    let build = |arguments: &[&str]| world.run(&[&[target.as_str()], &EXTRACT[..], arguments].concat());
    let with = |changed: String| {
        fs::write(world.path("rootstrap.lock"), changed).unwrap();
        build(&["--locked"])
    };
    let changed = with(good.replace("version = \"2.41-12\"", "version = \"2.41-11\"")).expect(3);
    assert_eq!(
        changed.transcript,
        "error: cannot use rootstrap.lock as a lock\n  because: its text was changed after rootstrap wrote it: its digest does \
         not match\nhint: take the last good one from version control, or write it anew with `rootstrap lock SUITE --upgrade` and its options\n"
    );
    let digest = good.lines().find(|line| line.starts_with("sha256 = ")).unwrap();
    with(good.replace(digest, &format!("sha256 = \"{}\"", "ab".repeat(32)))).expect(3);
    with(good.replace("version = 1\n", "version = 2\n"))
        .expect(2)
        .says(&["has format 2", "the version of rootstrap that wrote it"]);
    with("hello\n".to_owned()).expect(2).says(&["it is no lock file: line 1"]);
    with(String::new()).expect(2).says(&["missing field `version`"]);
    fs::write(world.path("rootstrap.lock"), [0xff, 0xfe]).unwrap();
    build(&["--locked"]).expect(2).says(&["it is not text"]);
    fs::remove_file(world.path("rootstrap.lock")).unwrap();
    build(&["--frozen"]).expect(2).says(&["cannot find the lock rootstrap.lock", "`rootstrap lock SUITE"]);

    fs::write(world.path("rootstrap.lock"), &good).unwrap();
    build(&["--locked", "--include=apt"]).expect(2).says(&[
        "because it was made for another request: include: base-files,dpkg,libc6 in the lock, apt,base-files,dpkg,libc6 here\n",
        "--frozen",
    ]);
    let arm64 = world.run(&[target.as_str(), "--variant=extract", "--arch=arm64", "--frozen"]).expect(2);
    arm64.says(&["cannot build from rootstrap.lock: it has no root for arm64, only for amd64"]);
    let other = World::new(&archive("other"));
    fs::write(other.path("rootstrap.lock"), &good).unwrap();
    other
        .run(&[&[target.as_str()], &EXTRACT[..], &["--frozen"]].concat())
        .expect(2)
        .says(&["suite: fixture in the lock, other here", "hint: make a lock of this suite"]);

    let mut command = world.bare(&["fixture", &target, "--frozen", "--arch=amd64"]);
    let outcome = world.finish(command.arg("--cache-dir").arg(world.path("cache"))).expect(2);
    outcome.says(&["cannot find the suite `fixture`"]);

    // A key that signed what is in the lock is not trusted any more.
    fs::write(world.path("key.pgp"), Key::generate("new").public()).unwrap();
    let untrusted = world.run(&[&[target.as_str()], &EXTRACT[..], &["--frozen"]].concat()).expect(3);
    let key = KEY.fingerprint();
    untrusted.says(&[&format!("because no key that signed fixture is trusted ({key})"), "--upgrade"]);
    assert!(world.names("out").is_empty());

    // A file that is no lock is replaced only if all of it is to be written anew.
    fs::write(world.path("key.pgp"), KEY.public()).unwrap();
    fs::write(world.path("rootstrap.lock"), "mine\n").unwrap();
    lock(&world, &EXTRACT).expect(2);
    assert_eq!(text(&world), "mine\n");
    lock(&world, &[&EXTRACT[..], &["--upgrade"]].concat()).expect(0);
    assert_eq!(text(&world), good);
}

#[test]
fn a_lock_is_exported_for_other_programs() {
    let world = unlisted();
    lock(&world, &["--include=postfix"]).expect(0);
    let export = |arguments: &[&str]| world.finish(&mut world.bare(&[&["lock", "export"], arguments].concat()));
    let text = |format: &str| String::from_utf8(export(&["--format", format]).expect(0).stdout).unwrap();
    let stanza = "Package: libc6\nStatus: install ok installed\nPriority: optional\nInstalled-Size: 0\nArchitecture: amd64\n\
                  Version: 2.41-12\n\n";
    assert!(text("dpkg-status").contains(stanza), "{}", text("dpkg-status"));
    let sums = text("sha256sum");
    assert_eq!(sums.lines().count(), 5, "{sums}");
    for line in sums.lines() {
        let (digest, path) = line.split_once("  ").unwrap();
        let bytes = archive("fixture").build()[path].clone();
        assert_eq!(rootstrap_testkit::archive::Digest::Sha256.hex(&bytes), digest);
    }
    let spdx: serde_json::Value = serde_json::from_str(&text("spdx")).unwrap();
    assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
    let cyclonedx: serde_json::Value = serde_json::from_str(&text("cyclonedx")).unwrap();
    let names = cyclonedx["components"].as_array().unwrap().iter().filter_map(|component| component["name"].as_str());
    assert!(names.collect::<Vec<_>>().contains(&"postfix"));
    export(&["--format=spdx", "--arch=arm64"]).expect(2).says(&["it has no root for arm64, only for amd64"]);
    export(&["none.lock", "--format=spdx"]).expect(2).says(&["cannot find the lock none.lock"]);
}

#[test]
fn exported_documents_are_valid() {
    let python = need!(readers::python());
    let world = unlisted();
    lock(&world, &["--include=postfix", "--slim"]).expect(0);
    for (name, format) in [("spdx", readers::Format::Spdx), ("cyclonedx", readers::Format::CycloneDx)] {
        let exported = world.finish(&mut world.bare(&["lock", "export", "--format", name])).expect(0);
        // The reader knows no addresses with a number in the place of a name.
        let text = String::from_utf8(exported.stdout).unwrap().replace(&world.server.url(), "http://mirror.example");
        assert_eq!(readers::complaints(&python, format, text.as_bytes()), "", "{name}");
    }
}

/// What is new may need more than the packages that were named.
#[test]
fn versions_are_kept_only_where_that_is_possible() {
    let world = unlisted();
    lock(&world, &["--include=postfix"]).expect(0);
    let newer =
        Deb::new("postfix", "3.12").field("Priority", "optional").field("Depends", "libc6 (>= 2.41-13), libdb5");
    serve(&world, &moved().debs([newer]));
    lock(&world, &["--include=postfix", "--upgrade=postfix"]).expect(0).says(&[
        "warning: the other packages cannot keep their versions beside what is new: all are upgraded\n",
        "  upgraded libc6 2.41-12 -> 2.41-13\n",
        "  upgraded postfix 3.10 -> 3.12\n",
    ]);
    // The kind of keys is part of the lock.
    let mut command = world.bare(&["lock", "--upgrade"]);
    let outcome = world.finish(command.arg("--cache-dir").arg(world.path("cache"))).expect(2);
    outcome.says(&["it trusts other keys than the suite's own, which have to be named with --keyring"]);
}
