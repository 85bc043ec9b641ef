//! Packages that do not exist, or cannot be installed together.

use crate::unlisted;
use rootstrap_tests::world::World;

fn fails(world: &World, arguments: &[&str], expect: &str) {
    let outcome = world.run(&[&["--print-plan"], arguments].concat()).expect(1);
    let transcript = outcome.transcript.replace("release: fixture of 2025-01-01T00:00:00Z\n", "");
    assert_eq!(transcript, expect);
    assert!(outcome.stdout.is_empty());
}

#[test]
fn an_unknown_package_gets_a_suggestion() {
    let world = unlisted();
    fails(
        &world,
        &["--include=postfx"],
        "error: cannot find the package postfx in the archive\nhint: did you mean postfix?\n",
    );
    fails(
        &world,
        &["--include=zzzzzzzzzzzz"],
        "error: cannot find the package zzzzzzzzzzzz in the archive\n\
         hint: it may be in another component, or not exist for this architecture\n",
    );
    fails(&world, &["--include=apt=4"], "error: cannot find version 4 of apt in the archive, only 3.0.3\n");
}

#[test]
fn a_virtual_package_names_its_providers() {
    fails(
        &unlisted(),
        &["--include=mail-transport-agent"],
        "error: cannot choose mail-transport-agent: it is virtual, provided by exim4, postfix\nhint: name one of them\n",
    );
}

#[test]
fn an_unmet_dependency_is_shown_as_a_chain() {
    fails(
        &unlisted(),
        &["--include=broken"],
        "error: cannot install these packages together:\n  \
         broken (included) depends on half\n  \
         half depends on missing (>= 3) | libc6 (>= 9)\n  \
         missing is not in the archive\n  \
         libc6 2.41-12 is what the archive offers\n\
         hint: leave one of them out, or add the pocket or component that has what is missing\n",
    );
}

#[test]
fn conflicts_and_exclusions_are_explained() {
    let world = unlisted();
    fails(
        &world,
        &["--include=rival,apt"],
        "error: cannot install these packages together:\n  \
         rival conflicts with apt, and both are needed: apt and rival\n  \
         apt is part of the variant\n  \
         rival is included\n\
         hint: leave one of them out, or add the pocket or component that has what is missing\n",
    );
    fails(
        &world,
        &["--exclude=libc6"],
        "error: cannot install these packages together:\n  \
         dpkg (essential) pre-depends on libc6 (>= 2)\n  \
         libc6 is excluded\n\
         hint: drop the exclusion, or exclude what needs it too\n",
    );
}
