//! `rootstrap outdated`: what a rebuild would change, on an archive that moves.

use crate::{debian, trixie, unlisted};
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::Key;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World};
use std::fs;

fn lock(world: &World, name: &str, arguments: &[&str]) {
    let output = format!("--output={name}");
    let mut command = world.with_own_arguments(&[&["lock", "trixie", "--arch=amd64", &output], arguments].concat());
    world.finish(command.arg("--cache-dir").arg(world.path("cache"))).expect(0);
}

fn outdated(world: &World, arguments: &[&str]) -> Outcome {
    let mut command = world.bare(&[&["outdated", "--quiet"], arguments].concat());
    command.arg("--keyring").arg(world.path("key.pgp")).arg("--cache-dir").arg(world.path("cache"));
    world.finish(&mut command)
}

fn stdout(outcome: &Outcome) -> &str {
    std::str::from_utf8(&outcome.stdout).unwrap()
}

/// The updates pocket gets a postfix that needs one package more, the security pocket a libc6 and packages that nobody has.
fn move_archive(world: &World) {
    let files = debian(|pocket| match pocket {
        "updates" => vec![
            Deb::new("postfix", "3.11").field("Priority", "optional").field("Depends", "libdb5"),
            Deb::new("libdb5", "5").field("Priority", "optional"),
            // Updates take over what was in the security pocket.
            Deb::new("libc6", "2.41-14").field("Priority", "optional"),
        ],
        _ => vec![
            Deb::new("libc6", "2.41-13").field("Priority", "optional"),
            Deb::new("apt", "3.0.2").field("Priority", "important"),
            Deb::new("other", "1").field("Priority", "optional"),
        ],
    });
    for (path, bytes) in files {
        world.server.set(&path, bytes);
    }
}

#[test]
fn what_moved_is_listed_and_which_of_it_is_security() {
    let world = trixie();
    lock(&world, "mail.lock", &["--include=postfix"]);
    lock(&world, "rootstrap.lock", &["--variant=custom", "--include=exim4"]);
    let nothing = outdated(&world, &["mail.lock", "rootstrap.lock", "--exit-code"]).expect(0);
    assert_eq!(
        stdout(&nothing),
        "mail.lock: trixie amd64: nothing to update\nrootstrap.lock: trixie amd64: nothing to update\n"
    );
    move_archive(&world);
    world.server.forget();
    let moved = outdated(&world, &["mail.lock", "rootstrap.lock"]).expect(0);
    let list = "mail.lock: trixie amd64: 3 packages, 1 with a security fix\n  upgraded libc6 2.41-12 -> 2.41-14 (security)\n  \
                added libdb5 5\n  upgraded postfix 3.10 -> 3.11\n";
    assert_eq!(stdout(&moved), format!("{list}rootstrap.lock: trixie amd64: nothing to update\n"));
    let requests: Vec<String> = world.server.requests().into_iter().map(|request| request.path).collect();
    let mut once = requests.clone();
    once.sort();
    once.dedup();
    assert_eq!(requests.len(), once.len(), "each index is read once: {requests:?}");
    assert!(requests.iter().all(|path| !path.contains("/pool/")), "{requests:?}");
    outdated(&world, &["mail.lock", "--exit-code"]).expect(10);
    assert!(!outdated(&world, &["--exit-code"]).expect(0).stdout.is_empty(), "rootstrap.lock is the default");

    let security = outdated(&world, &["mail.lock", "--security-only", "--exit-code"]).expect(10);
    let fix =
        "mail.lock: trixie amd64: 1 package, with a security fix\n  upgraded libc6 2.41-12 -> 2.41-14 (security)\n";
    assert_eq!(stdout(&security), fix);
    let markdown = outdated(&world, &["mail.lock", "--format=markdown"]).expect(0);
    let row = "| libc6 | upgraded | 2.41-12 | 2.41-14 | updates | security |\n";
    assert!(stdout(&markdown).starts_with("### mail.lock: trixie amd64\n\n| package |"), "{}", stdout(&markdown));
    assert!(stdout(&markdown).contains(row), "{}", stdout(&markdown));
    let json = outdated(&world, &["mail.lock", "rootstrap.lock", "--json"]).expect(0);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["locks"][0]["due"], true);
    assert_eq!(json["locks"][1]["due"], false);
    let first = &json["locks"][0]["roots"][0]["updates"][0];
    let expected = serde_json::json!({
        "name": "libc6", "change": "upgraded", "old": "2.41-12", "new": "2.41-14", "pocket": "updates", "security": true
    });
    assert_eq!(first, &expected);

    // What is listed is what `lock --upgrade` does.
    let mut command = world.bare(&["lock", "--upgrade", "--output=mail.lock", "--keyring"]);
    command.arg(world.path("key.pgp")).arg("--cache-dir").arg(world.path("cache"));
    world
        .finish(&mut command)
        .expect(0)
        .says(&["  upgraded libc6 2.41-12 -> 2.41-14\n  added libdb5 5\n  upgraded postfix 3.10 -> 3.11\n"]);
    outdated(&world, &["mail.lock", "--exit-code"]).expect(0);
}

#[test]
fn a_lock_that_cannot_be_compared_does_not_hide_the_others() {
    let world = trixie();
    lock(&world, "good.lock", &[]);
    lock(&world, "old.lock", &["--include=exim4"]);
    let required = |name: &str| Deb::new(name, "1.1").field("Essential", "yes").field("Priority", "required");
    let mut without_exim4 = Archive::new("trixie").key(&KEY).debs([required("base-files"), required("apt")]);
    without_exim4.date += 86400;
    for (path, bytes) in without_exim4.build() {
        world.server.set(&format!("debian/{path}"), bytes);
    }
    let both = outdated(&world, &["old.lock", "good.lock"]).expect(1);
    both.says(&["old.lock: this lock cannot be compared\nerror: cannot find the package exim4 in the archive\n"]);
    let list = "good.lock: trixie amd64: 4 packages\n  downgraded apt 3.0.3 -> 1.1\n";
    let outcome = outdated(&world, &["old.lock", "good.lock"]);
    assert!(stdout(&outcome).starts_with(list), "{}", stdout(&outcome));
    fs::write(world.path("bad.lock"), "x\n").unwrap();
    let bad = outdated(&world, &["bad.lock", "good.lock"]).expect(2);
    assert!(stdout(&bad).starts_with(list), "{}", stdout(&bad));
    bad.says(&["bad.lock: this lock cannot be compared", "cannot use bad.lock as a lock"]);
    outdated(&world, &["none.lock"]).expect(2).says(&["cannot find the lock none.lock"]);
    let without_keys =
        world.bare(&["trixie", "x.tar", "--lock=good.lock", "--frozen", "--arch=amd64"]).output().unwrap();
    let said = String::from_utf8_lossy(&without_keys.stderr).into_owned();
    assert!(said.contains("other keys than the suite's own, which have to be named with --keyring"), "{said}");
    // Of another keyring, whose key did not sign the archive.
    let other = rootstrap_testkit::keys::Key::generate("other");
    fs::write(world.path("other.pgp"), other.public()).unwrap();
    let mut command = world.bare(&["outdated", "good.lock", "--keyring"]);
    command.arg(world.path("other.pgp")).arg("--cache-dir").arg(world.path("cache"));
    world.finish(&mut command).expect(3).says(&["good.lock: this lock cannot be compared\n"]);
}

/// An update that is handed out to a part of all machines first is taken at once; a package that is gone is removed; and the archive
/// signs with another key.
#[test]
fn keys_rotate_and_updates_are_phased() {
    let world = unlisted();
    let arguments =
        ["lock", "fixture", "--arch=amd64", "--variant=extract", "--include=postfix,libc6", "--output=a.lock"];
    let run = |arguments: &[&str]| {
        let mut command = world.with_own_arguments(arguments);
        world.finish(command.arg("--cache-dir").arg(world.path("cache")))
    };
    let relock = |arguments: &[&str]| {
        let mut command = world.bare(&[&["lock", "--output=a.lock"], arguments].concat());
        command.arg("--keyring").arg(world.path("key.pgp")).arg("--cache-dir").arg(world.path("cache"));
        world.finish(&mut command)
    };
    run(&arguments).expect(0);
    let target = world.target("first.tar");
    let first = world.target("x.tar");
    let build = |target: &str| world.run(&[target, "--frozen", "--arch=amd64", "--lock=a.lock"]);
    build(&target).expect(0);

    let new = Key::generate("new");
    let plain = |name: &str, version: &str| Deb::new(name, version).field("Priority", "optional");
    let mut archive = Archive::new("fixture").key(&new).debs([
        plain("libc6", "2.41-13").index_field("Phased-Update-Percentage", "10"),
        plain("postfix", "3.10").field("Provides", "mail-transport-agent"),
    ]);
    archive.date += 86400;
    for (path, bytes) in archive.build() {
        world.server.set(&path, bytes);
    }
    // The keyring of a distribution has the new key beside the old one.
    let both = [KEY.public(), new.public()].concat();
    outdated(&world, &["a.lock"]).expect(3);
    fs::write(world.path("key.pgp"), &both).unwrap();
    let list = "a.lock: fixture amd64: 1 package\n  upgraded libc6 2.41-12 -> 2.41-13\n";
    assert_eq!(stdout(&outdated(&world, &["a.lock"]).expect(0)), list);
    build(&first).expect(0);
    assert!(fs::read(&first).unwrap() == fs::read(&target).unwrap(), "the old lock still gives the old bytes");
    let old = fs::read_to_string(world.path("a.lock")).unwrap();
    assert!(old.contains(&KEY.fingerprint()) && !old.contains(&new.fingerprint()), "{old}");
    relock(&["--upgrade"]).expect(0);
    let locked = fs::read_to_string(world.path("a.lock")).unwrap();
    assert!(locked.contains(&new.fingerprint()) && !locked.contains(&KEY.fingerprint()), "{locked}");
    assert!(locked.contains("phased-updates = \"newest\"\n"), "{locked}");
    // What a lock includes by name has to be there.
    let mut gone = Archive::new("fixture").key(&new).debs([plain("libc6", "2.41-13")]);
    gone.date += 2 * 86400;
    for (path, bytes) in gone.build() {
        world.server.set(&path, bytes);
    }
    relock(&["--upgrade"]).expect(1).says(&["cannot find the package postfix"]);
    assert_eq!(fs::read_to_string(world.path("a.lock")).unwrap(), locked, "the lock stays as it was");
    // Without the old key, the old lock is of no use any more.
    fs::write(world.path("key.pgp"), new.public()).unwrap();
    build(&first).expect(0);
    fs::write(world.path("a.lock"), old).unwrap();
    build(&first).expect(3).says(&["no key that signed fixture is trusted"]);
}
