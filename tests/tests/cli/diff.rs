//! `rootstrap diff`: locks, images, archives and directories.

use crate::{EXTRACT, unlisted};
use rootstrap_testkit::entry::{Entry, tar};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use std::fs;

fn diff(world: &World, arguments: &[&str]) -> Outcome {
    world.finish(&mut world.bare(&[&["diff"], arguments].concat()))
}

fn stdout(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).unwrap()
}

fn status(packages: &[(&str, &str)]) -> String {
    let stanza = |(name, version): &(&str, &str)| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
    };
    packages.iter().map(stanza).collect()
}

#[test]
fn packages_come_first_and_then_paths() {
    let world = unlisted();
    let root = |packages: &[(&str, &str)], motd: &str, mode| {
        tar(&[
            Entry::dir("etc", 0o755),
            Entry::file("etc/motd", mode, motd),
            Entry::file("var/lib/dpkg/status", 0o644, status(packages)),
        ])
    };
    fs::write(world.path("a.tar"), root(&[("libc6", "2"), ("old", "1"), ("same", "1")], "hi\n", 0o644)).unwrap();
    fs::write(world.path("b.tar"), root(&[("libc6", "3"), ("new", "1"), ("same", "1")], "hello\n", 0o600)).unwrap();
    let text = stdout(&diff(&world, &["a.tar", "b.tar"]).expect(0));
    let status = status(&[("libc6", "2"), ("old", "1"), ("same", "1")]).len();
    let sizes = format!("{} B and {} B of files", status + 3, status + 6);
    assert_eq!(
        text,
        format!(
            "a.tar and b.tar: 3 packages and 2 paths differ, {sizes}\n  upgraded libc6 2 -> 3\n  added new 1\n  removed old 1\n  \
             /etc/motd: content (3 and 6 bytes), mode 0644 and 0600\n  /var/lib/dpkg/status: content ({status} bytes)\n"
        )
    );
    assert_eq!(stdout(&diff(&world, &["a.tar", "a.tar"]).expect(0)), "a.tar and a.tar: no difference\n");
    let markdown = stdout(&diff(&world, &["a.tar", "b.tar", "--format=markdown"]).expect(0));
    assert!(markdown.contains("| libc6 | upgraded | 2 | 3 |  |  |\n"), "{markdown}");
    assert!(markdown.contains("| /etc/motd | content (3 and 6 bytes), mode 0644 and 0600 |\n"), "{markdown}");
    let json: serde_json::Value = serde_json::from_slice(&diff(&world, &["a.tar", "b.tar", "--json"]).stdout).unwrap();
    assert_eq!(json["roots"][0]["packages"][0]["old"], "2");
    assert_eq!(json["roots"][0]["paths"][0]["differences"][1]["what"], "mode");
}

#[test]
fn a_lock_is_compared_with_locks_and_with_what_is_built() {
    let world = unlisted();
    for (name, include) in [("a.lock", "dpkg,libc6"), ("b.lock", "dpkg,libc6,postfix")] {
        let arguments =
            ["lock", "fixture", "--arch=amd64", "--variant=extract", "--include", include, "--output", name];
        let mut command = world.with_own_arguments(&arguments);
        world.finish(command.arg("--cache-dir").arg(world.path("cache"))).expect(0);
    }
    let text = stdout(&diff(&world, &["a.lock", "b.lock"]).expect(0));
    assert_eq!(
        text,
        "a.lock and b.lock (amd64): 1 package and 0 paths differ, 0 B and 0 B of files\n  added postfix 3.10\n"
    );
    // A root without a database has no packages.
    let target = world.target("x.oci.tar");
    world.run(&[&[target.as_str()], &EXTRACT[..]].concat()).expect(0);
    let text = stdout(&diff(&world, &["a.lock", &target]).expect(0));
    assert!(text.contains("  removed libc6 2.41-12\n"), "{text}");
    let other = world.target("other.oci.tar");
    world.run(&[&[other.as_str(), "--compression=zstd"], &EXTRACT[..]].concat()).expect(0);
    assert!(stdout(&diff(&world, &[&target, &other]).expect(0)).ends_with("(amd64): no difference\n"));
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let world = unlisted();
    fs::write(world.path("cut.tar"), &tar(&[Entry::file("usr/x", 0o644, "x")])[..700]).unwrap();
    fs::write(world.path("good.tar"), tar(&[Entry::file("x", 0o644, "x")])).unwrap();
    fs::write(world.path("binary"), [0, 1, 2, 3]).unwrap();
    fs::create_dir(world.path("layout")).unwrap();
    fs::write(world.path("layout/oci-layout"), "{}").unwrap();
    fs::write(world.path("layout/index.json"), "{").unwrap();
    diff(&world, &["good.tar", "cut.tar"]).expect(1).says(&["cannot unpack the archive", "the archive is cut off"]);
    diff(&world, &["good.tar", "binary"]).expect(1).says(&["cannot unpack the archive"]);
    diff(&world, &["good.tar", "missing"]).expect(1).says(&["cannot open missing"]);
    diff(&world, &["good.tar", "layout"]).expect(2).says(&["cannot compare layout: index.json is damaged"]);
    fs::write(world.path("layout/index.json"), r#"{"manifests":[{"digest":"sha256:../../x"}]}"#).unwrap();
    diff(&world, &["good.tar", "layout"]).expect(2).says(&["cannot compare layout: it lacks sha256:../../x"]);
    fs::write(world.path("layout/index.json"), "{}").unwrap();
    diff(&world, &["good.tar", "layout"]).expect(2).says(&["it names no root filesystem"]);
}
