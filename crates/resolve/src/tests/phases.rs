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
    let systemd = ["libshared", "libkmod systemd udev", "systemd-sysv"];
    let expected = |tool_first: bool| {
        let groups: Vec<&str> = if tool_first {
            std::iter::once("data tool").chain(systemd).collect()
        } else {
            systemd.into_iter().chain(["data tool"]).collect()
        };
        let mut lines = vec!["required: libc6".to_owned()];
        lines.extend(groups.iter().enumerate().map(|(n, group)| format!("predep-{}: {group}", n + 1)));
        lines.push("base: apt cron init libapt".to_owned());
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
