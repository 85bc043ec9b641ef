//! Which package meets a dependency where there is a choice, and what happens when choices conflict.

use super::case::{case, names};
use crate::{Request, Variant};

#[test]
fn alternatives_as_apt_chooses_them() {
    let archive = "
        Package: a\nDepends: x | y\n
        Package: b\nDepends: y\n
        Package: x\n\nPackage: y\n
        Package: c\nDepends: gone | y\n
        Package: d\nDepends: v\n
        Package: p1\nProvides: v\nPriority: extra\n
        Package: p2\nProvides: v\nPriority: standard\n
        Package: e\nDepends: v (>= 2)\n
        Package: p3\nProvides: v (= 2~)\n
        Package: p4\nProvides: v (= 2), v (= 3)\nPriority: extra\n
        Package: f\nDepends: x:any, y:native, p1:amd64\n
        Package: g\nDepends: x:arm64\n
        Package: h\nDepends: x | v\nRecommends: p3, nowhere";
    let of = |says, list| case(says, archive).include(list);
    of("the first", "a").gives("base: a x*");
    of("unless one is there already", "a b y").gives("base: a b y");
    of("the second where the first does not exist", "c").gives("base: c y*");
    of("the provider of higher priority", "d").gives("base: d p2*");
    of("only a versioned Provides meets a versioned demand", "e").gives("base: e p4*");
    of("qualifiers for the one architecture", "f").gives("base: f p1* x* y*");
    of("a qualifier for another one", "g").fails(&["g (included) depends on x:arm64", "another architecture"]);
    of("no Recommends", "h").gives("base: h x*");
    of("Recommends as far as they go", "h").with(|r| r.recommends = true).gives("base: h p3* x*");
}

/// Of equal providers, the one that the archive mentions last is taken. Only this depends on the order of stanzas.
#[test]
fn ties_are_broken_as_apt_breaks_them() {
    let plan = |archive: &str, list| {
        let plan = case("ties", archive).include(list).run_on(|_| {}).unwrap();
        plan.packages().map(|(_, package)| package.name.clone()).collect::<Vec<_>>().join(" ")
    };
    let archive = "
        Package: user\nDepends: v\n
        Package: p1\nProvides: v\n
        Package: p3\nProvides: v\n
        Package: p2\nProvides: v\n
        Package: keeper\nDepends: p1, other\n
        Package: other\nDepends: v\n
        Package: picky\nDepends: p3 | v";
    assert_eq!(plan(archive, "user"), "p2 user");
    assert_eq!(plan(&format!("Package: early\nSuggests: p2\n\n{archive}"), "user"), "p3 user");
    assert_eq!(plan(&format!("Package: early\nConflicts: p2:any\n\n{archive}"), "user"), "p2 user");
    assert_eq!(plan(archive, "keeper"), "p1 other keeper", "one that is there already is enough");
    assert_eq!(plan(archive, "picky"), "p3 picky", "the one of that name before others");
}

#[test]
fn includes_are_taken_in_their_order() {
    let archive = "
        Package: z\nDepends: x | y\n
        Package: b\nDepends: y | x\n
        Package: x\n\nPackage: y\n
        Package: alone\nProvides: alias";
    let of = |says, list| case(says, archive).include(list);
    of("b before z", "b z").gives("base: b y* z");
    of("z before b", "z b").gives("base: b x* z");
    of("a virtual name with one provider", "alias").gives("base: alone");
}

#[test]
fn conflicts_are_worked_around() {
    let archive = "
        Package: a\nDepends: x | y\n
        Package: b\nConflicts: x\n
        Package: x\n\nPackage: y\n
        Package: m1\nProvides: mta\nConflicts: mta\n
        Package: m2\nProvides: mta\nConflicts: mta\n
        Package: user\nDepends: m1 | mta\n
        Package: breaker\nBreaks: x (<< 2)\n
        Package: modern\nBreaks: x (<< 1)\n
        Package: deep\nDepends: left | right\n
        Package: left\nDepends: m1\n
        Package: right\n
        Package: wish\nRecommends: x, m1, y\n";
    let of = |says, list| case(says, archive).include(list);
    of("the next alternative, when the first conflicts", "a b").gives("base: a b y*");
    of("Breaks of an older version", "a breaker").gives("base: a breaker y*");
    of("Breaks of still older versions only", "a modern").gives("base: a modern x*");
    of("a package does not conflict with itself through what it provides", "m1").gives("base: m1");
    of("another provider", "user m2").gives("base: m2 user");
    of("the conflict is one level down", "deep m2").gives("base: deep m2 right*");
    of("recommends give way", "wish m2 b").with(|r| r.recommends = true).gives("base: b m2 wish y*");
    of("two providers", "m1 m2").fails(&[
        "conflicts with mta, and both are needed",
        "m2 is included",
        "m1 is included",
    ]);
}

/// Cases in which apt's walk finds no valid set.
#[test]
fn the_solver_takes_over() {
    let archive = "
        Package: a\nDepends: x | y\n
        Package: z\nDepends: w | v\n
        Package: x\nConflicts: w\n
        Package: w\nConflicts: y\n
        Package: y\n
        Package: v\nConflicts: x\n
        Package: odd\nDepends: p | q, q | r, r | p\n
        Package: p\nConflicts: q, r\n\nPackage: q\nConflicts: r\n\nPackage: r";
    let taste = "
        Package: a\nDepends: b | c\n\nPackage: b\nDepends: x | y\n\nPackage: c\nDepends: term\n
        Package: x\nConflicts: z, z2\n\nPackage: y\nConflicts: z3\n
        Package: z\nDepends: z2 | z3\n\nPackage: z2\n\nPackage: z3\nConflicts: z2\n
        Package: term\nDepends: tool | any-tool\n\nPackage: tool\n\nPackage: other\nProvides: any-tool\n
        Package: user\nDepends: other";
    case("around the conflict, first alternatives still count", taste)
        .include("a term user z")
        .gives("base: a b* other* term tool* user y* z z2*");
    case("only y with v goes together", archive).include("a z").gives("base: a v* y* z");
    case("no chain shows it", archive).include("odd").fails(&["no choice among", "odd is included"]);
}

#[test]
fn exclusions_forbid() {
    let archive = "
        Package: a\nDepends: b\n
        Package: b\nDepends: c (>= 2)\n
        Package: c\n
        Package: core\nEssential: yes\nDepends: conv | conv2\n
        Package: conv\nDepends: conv3\n\nPackage: conv2\n\nPackage: conv3\n
        Package: needs-conv\nDepends: conv\n
        Package: apt";
    let of = |says, list| case(says, archive).include(list);
    of("too old", "a").fails(&["a (included) depends on b", "b depends on c (>= 2)", "c 1 is what the archive offers"]);
    of("excluded", "a").exclude("b").fails(&["a (included) depends on b", "b is excluded"]);
    let minbase = |says| case(says, archive).variant(Variant::Minbase);
    minbase("first alternative").gives("required: conv conv3 core; base: apt");
    minbase("excluded from the selection, not needed").exclude("apt conv").gives("required: conv2 core");
    let avoid = |r: &mut Request| r.avoid = names("conv unknown");
    minbase("avoided").with(avoid).gives("required: conv2 core; base: apt");
    minbase("avoided, but included").with(avoid).include("conv").gives("required: conv conv3 core; base: apt");
    minbase("avoided, but the only way")
        .with(avoid)
        .include("needs-conv")
        .gives("required: conv* conv3* core; base: apt needs-conv");
    minbase("added for the suite").with(|r| r.add = names("conv2")).gives("required: conv2 core; base: apt");
}
