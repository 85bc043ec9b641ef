//! The phases and the order in which a set is installed.

use super::case::case;
use crate::Variant;

/// The groups follow dpkg's hash table. FNV-1a modulo 65521 puts systemd-sysv (4684) and init (10224) before cron (17373);
/// with a single bin, cron is first by name.
#[test]
fn pre_dependencies_make_groups() {
    let archive = "
        Package: libc6\nPriority: required\n
        Package: apt\nDepends: libapt\nPre-Depends: libc6\n
        Package: libapt\nPriority: optional\n
        Package: init\nPriority: important\nPre-Depends: systemd-sysv | sysv\n
        Package: systemd-sysv\nPre-Depends: systemd (>= 1)\n
        Package: systemd\nPre-Depends: libshared\nDepends: libkmod, udev\n
        Package: libshared\n
        Package: libkmod\nDepends: libc6\n
        Package: udev\nDepends: libkmod\n
        Package: cron\nPriority: important\nPre-Depends: virtual-tool\n
        Package: tool\nProvides: virtual-tool\nDepends: data-virtual\n
        Package: data\nProvides: data-virtual";
    let of = |bins| {
        let case = case("groups", archive).variant(Variant::Important);
        case.with(|request| request.hash_bins = bins).run().unwrap().phases
    };
    let text = |bins| {
        let phases = of(bins).into_iter().map(|phase| {
            let names: Vec<String> = phase.packages.into_iter().map(|package| package.name).collect();
            format!("{}: {}", phase.name, names.join(" "))
        });
        phases.collect::<Vec<_>>()
    };
    let systemd = ["libshared", "libkmod udev systemd", "systemd-sysv"];
    let expected = |tool_first: bool| {
        let groups: Vec<&str> = if tool_first {
            std::iter::once("data tool").chain(systemd).collect()
        } else {
            systemd.into_iter().chain(["data tool"]).collect()
        };
        let mut lines = vec!["required: libc6".to_owned()];
        lines.extend(groups.iter().enumerate().map(|(n, group)| format!("predep-{}: {group}", n + 1)));
        lines.push("base: cron init libapt apt".to_owned());
        lines
    };
    assert_eq!(text(1), expected(true));
    assert_eq!(text(65521), expected(false));
}

#[test]
fn a_cycle_of_pre_dependencies_ends() {
    let archive = "Package: a\nPre-Depends: b\n\nPackage: b\nPre-Depends: a\n\nPackage: c\nPre-Depends: c";
    case("cycle", archive).include("a c").gives("predep-1: a b*; base: c");
}

#[test]
fn the_core_packages_come_first() {
    let archive = "aaa base-files base-passwd debconf dpkg libc6.1 mawk perl-base"
        .split(' ')
        .map(|name| format!("Package: {name}\nEssential: yes"))
        .collect::<Vec<_>>()
        .join("\n\n");
    case("order", &archive)
        .variant(Variant::Essential)
        .gives("required: base-passwd base-files dpkg libc6.1 perl-base mawk debconf aaa");
}

/// As apt's `pkgOrderList::OrderUnpack` does.
#[test]
fn what_a_package_needs_is_unpacked_before_it() {
    let needs = "
        Package: addgroup\nDepends: perl\n
        Package: libperl\nDepends: modules\n
        Package: mariadb\nDepends: addgroup, other | either\n
        Package: modules\n
        Package: perl\nDepends: libperl, modules\n
        Package: a\n
        Package: either\n
        Package: other\nDepends: virtual\n
        Package: provider\nProvides: virtual";
    case("by name where nothing else counts", needs)
        .include("mariadb either other a provider")
        .unpacks("base: a modules* libperl* perl* addgroup* either provider other mariadb");
    let score = "
        Package: z\nPriority: required\n
        Package: b\nPriority: important\n
        Package: y\nPriority: standard\n
        Package: c\n
        Package: a\nPriority: extra";
    case("the higher priority first", score).include("a b c y z").unpacks("required: z; base: b y c a");
}

/// The edge that closes a loop is left out, so the package at which the loop is entered comes last. Pre-dependencies are put right
/// afterwards.
#[test]
fn loops_are_cut_where_they_are_entered() {
    let ring = "Package: a\nDepends: b\n\nPackage: b\nDepends: c\n\nPackage: c\nDepends: a\n\nPackage: d\nDepends: c";
    case("a ring", ring).include("d b").unpacks("base: c* b a* d");
    let pre = "
        Package: a\nPriority: important\nPre-Depends: z\nDepends: b\n
        Package: b\nDepends: c\n
        Package: c\nPre-Depends: a\n
        Package: z";
    case("with a pre-dependency in it", pre).include("a b").unpacks("predep-1: z*; predep-2: b a c*");
    let own = "Package: a\nDepends: a, b\n\nPackage: b\nDepends: b | a";
    case("with itself", own).include("a").unpacks("base: b* a");
}

#[test]
fn a_chain_longer_than_the_stack() {
    let link = |n: usize| format!("Package: p{n}\nDepends: p{}\n\n", n + 1);
    let archive = (0..50_000).map(link).collect::<String>() + "Package: p50000\n";
    let plan = case("a long chain", &archive).include("p0").run_on(|_| {}).unwrap();
    let last: Vec<&str> = plan.packages().map(|(_, package)| package.name.as_str()).collect();
    assert_eq!((last.first(), last.last(), last.len()), (Some(&"p50000"), Some(&"p0"), 50_001));
}
