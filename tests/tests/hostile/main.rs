//! The hostile ring: packages that have a right index entry and a content that attacks. However a run ends, nothing outside its
//! target changes, and if it fails, the error names the package.
//!
//! Each attack is made twice: against an empty root with `--variant=extract`, where everything depends on us, and in a later
//! phase of a whole system, where the root's own dpkg may unpack the package.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failed step is a failed test, and says how it went")]

mod archives;
mod containers;
mod extremes;
mod host;
mod names;
mod scripts;

use rootstrap_testkit::archive::{Archive, pool_path};
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::{HostileClass, hostile_case, tree};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, need};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// How a run may end that unpacks the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// With an error that names the package.
    Refused,
    /// With success: we read the package in a harmless way, as dpkg does.
    Harmless,
    /// In either way, as long as all effects stay in the root.
    Contained,
}

/// Returns the package with the name that the index has.
fn evil() -> Deb {
    Deb::new("evil", "1").field("Priority", "optional").file("/usr/share/evil/before", 0o644, "before\n")
}

/// Runs the attack that `attack` builds for a scratch directory, which contains `canary/`.
fn attack(name: &str, fate: Fate, attack: impl Fn(&Path) -> Vec<u8>) -> Option<()> {
    if let Err(reason) = machine::root() {
        rootstrap_tests::skip(reason);
        return None;
    }
    hostile_case(HostileClass::Deb, name);
    for whole_system in [false, true] {
        let archive = if whole_system {
            match base::archive(Layout::Merged, []) {
                Ok(archive) => archive,
                Err(reason) => {
                    rootstrap_tests::skip(reason);
                    return None;
                }
            }
        } else {
            Archive::new(base::SUITE).key(&KEY)
        };
        let arch = archive.architectures[0].clone();
        // The attack needs the path of the directory, and the archive needs the attack.
        let world = World::new(&archive);
        let canary = world.path("canary");
        fs::create_dir(&canary).unwrap();
        fs::write(canary.join("file"), "canary\n").unwrap();
        let bytes = attack(&world.path(""));
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = evil()
            .arch(&arch)
            .index_field("Size", &bytes.len().to_string())
            .index_field("SHA256", &digest)
            .index_field("MD5sum", &"0".repeat(32));
        let path = pool_path("main", &entry);
        for (name, content) in archive.deb("main", entry).build() {
            world.server.set(&name, content);
        }
        world.server.set(&path, bytes);

        let (before, outside) = (tree::dump(&canary), tree::dump(&world.path("")));
        let target = world.target("root");
        let variant = if whole_system { "--variant=minbase" } else { "--variant=extract" };
        // On disk, a path can lead up from the staging root to other files; in memory there are none.
        let outcome = world.run(&[&target, variant, "--staging=disk", "--include=evil"]);
        println!("{name}, whole system {whole_system}: {:?}\n{}", outcome.code, outcome.stderr);
        assert_eq!(tree::dump(&canary), before, "the canary was touched");
        assert_eq!(around(&world), around_in(&outside), "something is outside the target");
        judge(&outcome, fate);
        let published: &[&str] = if outcome.code == Some(0) { &["root"] } else { &[] };
        base::assert_nothing_left(&world, published);
        if whole_system && fate == Fate::Harmless {
            base::assert_consistent(&PathBuf::from(target));
        }
    }
    Some(())
}

fn judge(outcome: &Outcome, fate: Fate) {
    match fate {
        Fate::Harmless => assert_eq!(outcome.code, Some(0), "{}", outcome.stderr),
        Fate::Contained if outcome.code == Some(0) => {}
        Fate::Contained | Fate::Refused => {
            // 3 where we read the package, 1 where the root's own dpkg does.
            assert!(matches!(outcome.code, Some(1 | 3)), "{}", outcome.stderr);
            let said = outcome.stderr.split_once("error: ").expect("no error").1;
            assert!(said.contains("evil"), "the error does not name the package: {said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
}

/// Returns the scratch directory without what a run may fill: target, cache and temporary files.
fn around(world: &World) -> Vec<String> {
    around_in(&tree::dump(&world.path("")))
}

fn around_in(dump: &str) -> Vec<String> {
    let own = ["/out", "/cache", "/tmp"];
    dump.lines().filter(|line| !own.iter().any(|start| line.starts_with(start))).map(str::to_owned).collect()
}

/// An error in a later phase leaves nothing of the earlier phases visible.
#[test]
fn a_good_package_beside_it_makes_no_difference() {
    need!(machine::root());
    let bad = evil().entry(rootstrap_testkit::entry::Entry::file("./a\nb", 0o644, "x"));
    let good = Deb::new("good", "1").file("/usr/share/good", 0o644, "good\n");
    let world = World::new(&need!(base::archive(Layout::Merged, [bad, good])));
    let outcome = world.run(&["-", "--include=good,evil"]);
    judge(&outcome, Fate::Refused);
    assert!(!outcome.stdout.is_empty());
    let archive = tar::Archive::new(outcome.stdout.as_slice()).entries().unwrap().any(|entry| entry.is_err());
    assert!(archive, "a reader takes it for a whole archive");
    base::assert_nothing_left(&world, &[]);
}
