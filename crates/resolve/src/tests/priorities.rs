//! Which of several versions is the candidate.

use super::case::{Case, case};
use rootstrap_debian::release::Release;

fn release(suite: &str, codename: &str, origin: &str) -> Release {
    let text = str::to_owned;
    Release { suite: text(suite), codename: text(codename), origin: text(origin), ..Release::default() }
}

/// An archive with a release, backports, experimental and a third party's archive.
fn archives(says: &'static str) -> Case {
    let stable = Release { version: "13.2".into(), label: "Debian".into(), ..release("stable", "trixie", "Debian") };
    let backports = Release {
        not_automatic: true,
        but_automatic_upgrades: true,
        ..release("stable-backports", "trixie-backports", "Debian Backports")
    };
    let experimental = Release { not_automatic: true, ..release("experimental", "rc-buggy", "Debian") };
    case(says, "Package: unused\n")
        .pocket_of(
            stable,
            "deb.example",
            "Package: a\nVersion: 1\n\nPackage: b\nVersion: 1\nSource: s\n\nPackage: same\n",
        )
        .pocket_of(
            backports,
            "deb.example",
            "Package: a\nVersion: 2\n\nPackage: b\nVersion: 2\nSource: s\n\nPackage: new\nVersion: 2\n",
        )
        .pocket_of(
            experimental,
            "deb.example",
            "Package: a\nVersion: 3\n\nPackage: new\nVersion: 3\n\nPackage: newest\nVersion: 3\n",
        )
        .pocket_of(release("", "", "Third"), "third.example", "Package: b\nVersion: 1.5\n\nPackage: same\n")
}

#[test]
fn archives_have_priorities() {
    archives("not from backports").include("a").takes("a 1");
    archives("unless there is nothing else").include("new newest").takes("new 2, newest 3");
    archives("of equal priorities the newest").include("b").takes("b 1.5");
}

#[test]
fn pins_come_before_priorities() {
    for (pins, include, takes) in [
        ("a release n=trixie-backports 900", "a b", "a 2, b 1.5"),
        ("a release a=stable-backports 900", "a", "a 2"),
        ("a release trixie-backports 900", "a", "a 2"),
        ("a release n=trixie-back* 900", "a", "a 2"),
        ("a release n=/^TRIXIE-/ 900", "a", "a 2"),
        ("a release n=trixie-backports,o=Debian 900", "a", "a 1"),
        ("* release n=trixie-backports 900", "a b", "a 2, b 2"),
        ("* release n=trixie-backports 500", "a b", "a 2, b 2"),
        ("* release n=trixie-backports 499", "a b", "a 1, b 1.5"),
        ("a version 3 501", "a", "a 3"),
        ("a version 3* 501", "a", "a 3"),
        ("a version 4 501", "a", "a 1"),
        ("/^[ab]$/ release v=13* 1001", "a b", "a 1, b 1"),
        ("? release v=13.2 1001", "b", "b 1"),
        ("src:s release n=trixie-backports 600", "a b", "a 1, b 2"),
        ("b:amd64 origin third.example -1", "b", "b 1"),
        ("b:arm64 origin third.example -1", "b", "b 1.5"),
        ("* origin \"third.example\" never\nb origin third.example 900", "b", "b 1"),
        ("* origin third.example 100\nb origin third.example 600", "b", "b 1.5"),
        ("* origin third.example 1", "b", "b 1"),
        ("* release o=Third -1\n* release * 5", "a b", "a 3, b 2"),
        ("b release l=Debian 600\nb release o=Third 700", "b", "b 1.5"),
        ("b release o=Debian 600\nb release o=* 400", "b", "b 1"),
        ("b release o=* 400\nb release o=Debian 600", "b", "b 2"),
        ("* release c=main 500", "a", "a 3"),
        ("* release b=amd64 500", "a", "a 3"),
        ("* release b=arm64 500", "a", "a 1"),
    ] {
        archives("pins").pins(pins).include(include).takes(takes);
    }
    archives("a version in two archives").pins("same release o=Third -1\n").include("same").fails(&["same"]);
    archives("no version is left").pins("a release * -1").include("a").fails(&["cannot find the package a"]);
    archives("a version that is asked for").pins("a release * -1").include("a=2").takes("a 2");
}

#[test]
fn packages_can_come_from_a_release() {
    archives("by its codename").include("a/trixie-backports").takes("a 2");
    archives("by its suite").include("a/stable-backports").takes("a 2");
    archives("by its version").include("b/13*").takes("b 1");
    archives("by what a pin says").include("b/o=Third").takes("b 1.5");
    archives("not there").include("newest/trixie").fails(&["cannot find newest in the release trixie, only 3"]);
    archives("two releases").include("a/trixie a/rc-buggy").fails(&["a/rc-buggy", "another version"]);
    for text in ["a/", "a/x=1", "/trixie"] {
        archives("no release").include(text).fails(&[text]);
    }
}

#[test]
fn what_depends_on_a_release_gets_it_from_there() {
    let stable = release("stable", "trixie", "Debian");
    let backports = Release { not_automatic: true, but_automatic_upgrades: true, ..release("", "backports", "Debian") };
    let all = |says| {
        case(says, "Package: app\nVersion: 1\n")
            .pocket_of(stable.clone(), "", "Package: lib\nVersion: 1\n\nPackage: data\nVersion: 1\n\nPackage: tool\nVersion: 1\n\nPackage: other\nVersion: 1\n")
            .pocket_of(
                backports.clone(),
                "",
                "Package: app\nVersion: 2\nDepends: lib (>= 2), tool, nothing (>= 1) | other (>= 2)\nRecommends: extra (>= 2)\n\n\
                 Package: lib\nVersion: 2\nDepends: data (= 2)\n\nPackage: data\nVersion: 2\nDepends: lib (= 2)\n\n\
                 Package: tool\nVersion: 2\n\nPackage: other\nVersion: 2\n\nPackage: extra\nVersion: 2\n",
            )
    };
    all("only what needs it").include("app/backports").takes("app 2, data 2, lib 2, other 2, tool 1");
    case("only there, but with a dependency from there", "Package: a\nVersion: 1\n\nPackage: base\nVersion: 1")
        .pocket_of(backports.clone(), "", "Package: a\nVersion: 2\nDepends: only\n\nPackage: only\nVersion: 2\nPre-Depends: base (>= 2)\n\nPackage: base\nVersion: 2")
        .include("a/backports")
        .takes("a 2, base 2, only 2");
    all("in a version of its own").include("app/backports tool=2").takes("app 2, data 2, lib 2, other 2, tool 2");
    all("not against another wish").include("app/backports lib=1").fails(&["app", "lib (>= 2)"]);
    all("a version alone brings nothing").include("app=2").fails(&["app", "lib (>= 2)"]);
    all("recommended")
        .include("app/backports")
        .with(|r| r.recommends = true)
        .takes("app 2, data 2, extra 2, lib 2, other 2, tool 1");
}

#[test]
fn a_minus_excludes() {
    archives("a minus").include("a b-").takes("a 1");
    case("what needs it", "Package: a\nDepends: b | c\n\nPackage: b\n\nPackage: c\n").include("a b-").takes("a 1, c 1");
    archives("both").include("a a-").fails(&["a", "excluded too"]);
    archives("with a version").include("a=1-").fails(&["a=1-", "no package name"]);
}

#[test]
fn a_release_means_its_own_file_of_a_version() {
    let team = format!(
        "Package: a\nDepends: b (>= 1)\nSHA256: {}\n\nPackage: b\nSHA256: {}\n",
        "cd".repeat(32),
        "cd".repeat(32)
    );
    let of = |include: &str| {
        let case = case("two builds of one version", "Package: a\n\nPackage: b\nVersion: 0").pocket_of(
            release("team", "", ""),
            "",
            &team,
        );
        let plan = case.include(include).run().unwrap();
        plan.packages()
            .map(|(_, package)| format!("{} {}", package.name, package.pocket))
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(of("a"), "a 0");
    assert_eq!(of("a/team"), "b 1, a 1");
}

/// apt counts packages for all architectures as native ones.
#[test]
fn a_pin_without_an_architecture_means_the_native_one() {
    let archive =
        "Package: a\n\nPackage: a\nArchitecture: i386\nMulti-Arch: foreign\n\nPackage: all\nArchitecture: all\n";
    let of = |pin: &str, include: &str| {
        let case = case("two architectures", archive).with(|request| request.foreign = vec!["i386".to_owned()]);
        let plan = case.pins(pin).include(include).run();
        plan.map_or_else(|_| "none".to_owned(), |plan| plan.packages().map(|(_, a)| a.architecture.clone()).collect())
    };
    // Where there is no native candidate, the name means the other one.
    assert_eq!((of("a release * -1", "a"), of("a release * -1", "a:i386")), ("i386".into(), "i386".into()));
    assert_eq!((of("a:native release * -1", "a"), of("a:any release * -1", "a:i386")), ("i386".into(), "none".into()));
    assert_eq!((of("all release * -1", "all"), of("all:i386 release * -1", "all")), ("none".into(), "all".into()));
}
