//! The hostile ring: packages that have a right index entry and a content that attacks. However a run ends, nothing outside its
//! target changes, and if it fails, the error names the package.
//!
//! Each attack is made twice: against an empty root with `--variant=extract`, where everything depends on us, and in a later
//! phase of a whole system, where the root's own dpkg may unpack the package. The second takes most of the time, so without
//! `ROOTSTRAP_HOSTILE_ALL` it is made only for the first of several attacks of one kind.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failed step is a failed test, and says how it went")]

mod archives;
mod bombs;
mod containers;
mod disks;
mod extremes;
mod host;
mod names;
mod scripts;
mod unharmed;

use crate::unharmed::Before;
use rootstrap_testkit::archive::{Archive, pool_path};
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::{HostileClass, hostile_case, hostile_extent};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, need};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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

/// Runs the attack that `attack` builds for a scratch directory, which contains `canary/`. Attacks of one line of a test are of one kind.
#[track_caller]
fn attack(name: &str, fate: Fate, attack: impl Fn(&Path) -> Vec<u8>) -> Option<()> {
    static TRIED: Mutex<BTreeSet<(u32, &str)>> = Mutex::new(BTreeSet::new());
    if let Err(reason) = machine::root() {
        rootstrap_tests::skip(reason);
        return None;
    }
    hostile_case(HostileClass::Deb, name);
    attack_in(false, name, fate, &attack)?;
    let line = Location::caller();
    let is_first = TRIED.lock().unwrap_or_else(PoisonError::into_inner).insert((line.line(), line.file()));
    if hostile_extent(is_first, true) { attack_in(true, name, fate, &attack) } else { Some(()) }
}

/// Runs the attack in a whole system or in an empty root, and then an honest run.
fn attack_in(whole_system: bool, name: &str, fate: Fate, attack: &impl Fn(&Path) -> Vec<u8>) -> Option<()> {
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
    fs::create_dir(world.path("canary")).unwrap();
    fs::write(world.path("canary/file"), "canary\n").unwrap();
    let bytes = attack(&world.path(""));
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let entry = evil()
        .arch(&arch)
        .index_field("Size", &bytes.len().to_string())
        .index_field("SHA256", &digest)
        .index_field("MD5sum", &"0".repeat(32));
    let path = pool_path("main", &entry);
    for (name, content) in archive.clone().deb("main", entry).build() {
        world.server.set(&name, content);
    }
    world.server.set(&path, bytes);

    let before = Before::of(&world);
    let target = world.target("root");
    let variant = if whole_system { "--variant=minbase" } else { "--variant=extract" };
    // On disk, a path can lead up from the staging root to other files; in memory there are none.
    let outcome = world.run(&[&target, variant, "--staging=disk", "--include=evil"]);
    println!("{name}, whole system {whole_system}: {:?}\n{}", outcome.code, outcome.stderr);
    judge(&outcome, fate);
    let published: &[&str] = if outcome.code == Some(0) { &["root"] } else { &[] };
    before.check(&world, published);
    if whole_system && fate == Fate::Harmless {
        base::assert_consistent(&PathBuf::from(target));
    }
    for (name, content) in archive.deb("main", evil().arch(&arch)).build() {
        world.server.set(&name, content);
    }
    world.run_again(&[&world.target("honest"), variant, "--include=evil"]).expect(0);
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

/// An error in a later phase leaves nothing of the earlier phases visible.
#[test]
fn a_good_package_beside_it_makes_no_difference() {
    need!(machine::root());
    let bad = evil().entry(rootstrap_testkit::entry::Entry::file("./a\nb", 0o644, "x"));
    let good = Deb::new("good", "1").file("/usr/share/good", 0o644, "good\n");
    let world = World::new(&need!(base::archive(Layout::Merged, [bad, good])));
    let before = Before::of(&world);
    let outcome = world.run(&["-", "--include=good,evil"]);
    judge(&outcome, Fate::Refused);
    assert!(!outcome.stdout.is_empty());
    let archive = tar::Archive::new(outcome.stdout.as_slice()).entries().unwrap().any(|entry| entry.is_err());
    assert!(archive, "a reader takes it for a whole archive");
    before.check(&world, &[]);
    world.run_again(&[&world.target("honest"), "--include=good"]).expect(0);
}
