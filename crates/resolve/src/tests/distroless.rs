//! What a tree without scripts has, and which dependencies it leaves out.

use super::case::{Case, case};
use crate::Variant;

const ARCHIVE: &str = "
    Package: base-files\nEssential: yes\nPriority: required\nPre-Depends: awk\n
    Package: mawk\nPriority: required\nProvides: awk\n
    Package: dash\nEssential: yes\nPriority: required\n
    Package: dpkg\nEssential: yes\nPriority: required\nDepends: tar\n
    Package: tar\nEssential: yes\nPriority: required\n
    Package: apt\nPriority: important\nDepends: libapt\n
    Package: libapt\nDepends: libc6\n
    Package: debconf\nProvides: debconf-2.0\n
    Package: cdebconf\nProvides: debconf-2.0\n
    Package: ca-certificates\nDepends: openssl (>= 1.1.1), debconf (>= 0.5) | debconf-2.0\n
    Package: openssl\nDepends: libssl\n
    Package: tzdata\nDepends: debconf | debconf-2.0\n
    Package: netbase\n
    Package: libc6\nRecommends: libidn, apt\n
    Package: libidn\n
    Package: libssl\nDepends: libc6\n
    Package: app\nDepends: libc6, dpkg (>= 9), init-system-helpers (>= 1) | lib-init, debconf-2.0, awk, dash | zsh\n
    Package: zsh\n
    Package: lib-init\n
    Package: init\nDepends: zsh | dash, libc6 | dpkg\n
    Package: tls\nDepends: openssl | gnutls\n
    Package: gnutls\n
    Package: perl-base\nEssential: yes\nPriority: required\nSource: perl (5.40-1)\n
    Package: perl\nDepends: perl-base (= 1), libc6\n
    Package: script\nDepends: perl-base\n
    Package: picky\nDepends: base-files (>= 1), tzdata";

fn distroless(says: &'static str, list: &str) -> Case {
    case(says, ARCHIVE).variant(Variant::Distroless).include(list)
}

/// Checks the packages beside those of data, and the dependencies that are left out.
#[track_caller]
fn gives(case: Case, expected: &str, without: &str) {
    let says = case.says;
    let plan = case.run().unwrap_or_else(|error| panic!("{says}: {error}"));
    let data = crate::without::DATA;
    let mut names: Vec<&str> = plan.packages().map(|(_, package)| package.name.as_str()).collect();
    names.sort_unstable();
    assert!(data.iter().all(|name| names.contains(name)), "{says}: {names:?}");
    names.retain(|name| !data.contains(name));
    assert_eq!(names.join(" "), expected, "{says}");
    assert_eq!(plan.without.join(" "), without, "{says}");
}

#[test]
fn dependencies_end_at_packages_for_installing_and_scripts() {
    gives(distroless("data alone, whose dependencies are those of scripts", ""), "", "awk debconf openssl");
    gives(
        distroless("essential, listed and virtual", "app"),
        "app libc6",
        "awk dash debconf debconf-2.0 dpkg init-system-helpers openssl",
    );
    gives(distroless("an alternative that a whole system has", "init"), "init", "awk debconf libc6 openssl zsh");
    gives(
        distroless("what runs is kept, though others want it for scripts", "tls"),
        "libc6 libssl openssl tls",
        "awk debconf",
    );
    gives(distroless("half of an interpreter", "perl"), "libc6 perl perl-base", "awk debconf openssl");
    gives(distroless("an interpreter that is always there", "script"), "script", "awk debconf openssl perl-base");
    gives(
        distroless("recommended tools", "libc6").with(|r| r.recommends = true),
        "libc6 libidn",
        "awk debconf openssl",
    );
}

#[test]
fn included_packages_are_installed() {
    gives(
        distroless("a shell", "app dash"),
        "app dash libc6",
        "awk debconf debconf-2.0 dpkg init-system-helpers openssl",
    );
    gives(distroless("a tool, as far as it runs", "apt dpkg"), "apt dpkg libapt libc6", "awk debconf openssl tar");
    gives(
        distroless("another provider", "cdebconf app"),
        "app cdebconf libc6",
        "awk dash debconf debconf-2.0 dpkg init-system-helpers openssl",
    );
    gives(distroless("data", "tzdata=1 base-files"), "", "awk debconf openssl");
    distroless("a name nobody knows", "nothing").fails(&["cannot find the package nothing"]);
}

#[test]
fn data_is_installed_unless_it_is_excluded_or_missing() {
    let names = |case: Case| {
        let says = case.says;
        let plan = case.run().unwrap_or_else(|error| panic!("{says}: {error}"));
        plan.packages().map(|(_, package)| package.name.clone()).collect::<Vec<_>>().join(" ")
    };
    let all = distroless("excluded", "libc6").exclude("base-files ca-certificates netbase tzdata");
    assert_eq!(names(all), "libc6");
    assert_eq!(names(distroless("one of them", "").exclude("tzdata")), "base-files ca-certificates netbase");
    distroless("but needed", "picky")
        .exclude("tzdata")
        .fails(&["picky (included) depends on tzdata", "tzdata is excluded"]);
    assert_eq!(
        names(distroless("base-files is no need", "picky").exclude("base-files")),
        "ca-certificates netbase tzdata picky"
    );
    let small = case("missing", "Package: app\n\nPackage: tzdata").variant(Variant::Distroless).include("app");
    assert_eq!(names(small), "app tzdata");
    case("named and missing", "Package: app")
        .variant(Variant::Distroless)
        .include("tzdata")
        .fails(&["cannot find the package tzdata"]);
}

#[test]
fn other_variants_leave_out_no_dependency() {
    case("custom", ARCHIVE).include("tzdata").gives("base: debconf* tzdata");
    let plan = case("custom", ARCHIVE).include("tzdata").run().unwrap();
    assert!(plan.without.is_empty() && !plan.to_json().contains("without"));
}

#[test]
fn there_are_no_pre_dependency_groups() {
    let archive = "Package: a\nPre-Depends: b\n\nPackage: b\nPre-Depends: c\n\nPackage: c";
    case("phases", archive).variant(Variant::Distroless).include("a").gives("base: a b* c*");
}
