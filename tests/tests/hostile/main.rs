//! The hostile ring: packages whose index entry is right and whose content attacks. Whatever becomes of a run, nothing
//! outside its target changes, and where it fails the error names the package.
//!
//! Each attack is made twice: against an empty root by `--variant=extract`, where all depends on us, and in a later
//! phase of a whole system, where the root's own dpkg may be asked as well.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failed step is a failed test, and says how it went")]

mod containers;
mod names;

use rootstrap_testkit::archive::{Archive, pool_path};
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::tree;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, need};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// What an attack is allowed to end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// An error that names the package.
    Refused,
    /// The package is harmless in the way we read it, as it is for dpkg.
    Harmless,
    /// Its effects are the package's own affair as long as they stay in the root.
    Contained,
}

/// The package under the name that the index knows it by.
fn evil() -> Deb {
    Deb::new("evil", "1").field("Priority", "optional").file("/usr/share/evil/before", 0o644, "before\n")
}

/// Makes the attack that `attack` builds for a scratch directory with `canary/` in it.
fn attack(name: &str, fate: Fate, attack: impl Fn(&Path) -> Vec<u8>) -> Option<()> {
    if let Err(reason) = machine::root() {
        rootstrap_tests::skip(name, &reason);
        return None;
    }
    for whole_system in [false, true] {
        let archive = if whole_system {
            match base::archive(Layout::Merged, []) {
                Ok(archive) => archive,
                Err(reason) => {
                    rootstrap_tests::skip(name, &reason);
                    return None;
                }
            }
        } else {
            Archive::new(base::SUITE).key(&KEY)
        };
        let arch = archive.architectures[0].clone();
        // The attack has to know where it is, and the archive has to know the attack.
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
        // On disk there is a way up from the staging root to the rest; in memory there is none to be guarded.
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
            assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
            let said = outcome.stderr.split_once("error: ").expect("no error").1;
            assert!(said.contains("evil"), "the error does not name the package: {said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
}

/// The scratch directory without what a run may fill: target, cache and temporary files.
fn around(world: &World) -> Vec<String> {
    around_in(&tree::dump(&world.path("")))
}

fn around_in(dump: &str) -> Vec<String> {
    let own = ["/out", "/cache", "/tmp"];
    dump.lines().filter(|line| !own.iter().any(|start| line.starts_with(start))).map(str::to_owned).collect()
}

/// An error of a later phase does not make what came before it visible.
#[test]
fn a_good_package_beside_it_makes_no_difference() {
    let name = "hostile::a_good_package_beside_it_makes_no_difference";
    need!(name, machine::root());
    let bad = evil().entry(rootstrap_testkit::entry::Entry::file("./a\nb", 0o644, "x"));
    let good = Deb::new("good", "1").file("/usr/share/good", 0o644, "good\n");
    let world = World::new(&need!(name, base::archive(Layout::Merged, [bad, good])));
    let outcome = world.run(&["-", "--include=good,evil"]);
    judge(&outcome, Fate::Refused);
    assert!(!outcome.stdout.is_empty());
    let archive = tar::Archive::new(outcome.stdout.as_slice()).entries().unwrap().any(|entry| entry.is_err());
    assert!(archive, "a reader takes it for a whole archive");
    base::assert_nothing_left(&world, &[]);
}
