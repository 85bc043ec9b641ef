//! Roots with further architectures: which package may meet whose dependency (multiarch, as dpkg and apt implement it).

use super::case::{Case, case};
use crate::{Index, Request, Variant};
use rootstrap_debian::packages::Table;
use std::sync::atomic::AtomicBool;

fn on_both(says: &'static str, archive: &str) -> Case {
    case(says, archive).with(|request| request.foreign = vec!["i386".to_owned()])
}

const LIBRARIES: &str = "
    Package: libc\nMulti-Arch: same\n
    Package: libc\nMulti-Arch: same\nArchitecture: i386\n
    Package: zlib\nMulti-Arch: same\nDepends: libc\n
    Package: zlib\nMulti-Arch: same\nArchitecture: i386\nDepends: libc\n
    Package: shell\nMulti-Arch: foreign\n
    Package: shell\nMulti-Arch: foreign\nArchitecture: i386\n
    Package: perl\nMulti-Arch: allowed\n
    Package: perl\nMulti-Arch: allowed\nArchitecture: i386\n
    Package: data\nArchitecture: all\n
    Package: tool\n
    Package: tool\nArchitecture: i386\n
    Package: wine\nArchitecture: i386\nDepends: zlib, shell, perl:any, data\n
    Package: only\nArchitecture: i386";

#[test]
fn names_without_an_architecture_are_native() {
    on_both("unqualified", LIBRARIES).include("zlib").gives("base: libc* zlib");
    on_both("only there", LIBRARIES).include("only").gives("base: only");
    on_both("qualified natively", LIBRARIES).include("zlib:amd64").gives("base: libc* zlib");
}

#[test]
fn dependencies_stay_within_their_architecture() {
    let plan = on_both("same", LIBRARIES).include("zlib:i386").run().unwrap();
    let all: Vec<_> = plan.packages().map(|(_, p)| format!("{}:{}", p.name, p.architecture)).collect();
    assert_eq!(all, ["libc:i386", "zlib:i386"]);
    on_both("both", LIBRARIES).include("zlib zlib:i386").gives("base: libc* libc* zlib zlib");
}

#[test]
fn multi_arch_says_whose_dependencies_a_package_meets() {
    // `foreign` packages meet everybody's dependencies, `allowed` ones those with `:any`. A package for `all` counts as
    // native and meets only the dependencies of native packages.
    let reasons = ["wine:i386", "depends on data", "another architecture"];
    on_both("all is native", LIBRARIES).include("wine:i386").fails(&reasons);
    let archive = LIBRARIES.replace("Package: data\n", "Package: data\nMulti-Arch: foreign\n");
    let plan = on_both("foreign", &archive).include("wine:i386").run().unwrap();
    let all: Vec<_> = plan.packages().map(|(_, p)| format!("{}:{}", p.name, p.architecture)).collect();
    assert_eq!(all, ["data:all", "libc:i386", "perl:i386", "shell:i386", "zlib:i386", "wine:i386"]);
    let plan = on_both("native packages", &archive).include("wine:i386 shell perl").run().unwrap();
    let native = plan.packages().filter(|(_, p)| p.architecture == "amd64").map(|(_, p)| p.name.as_str());
    assert_eq!(native.collect::<Vec<_>>(), ["perl", "shell"], "one of each is enough");
    assert_eq!(plan.packages().count(), 6);
}

#[test]
fn a_package_is_installed_twice_only_if_it_is_multi_arch_same() {
    let reasons = ["tool", "cannot be installed beside tool:i386"];
    on_both("not same", LIBRARIES).include("tool tool:i386").fails(&reasons);
    let archive = LIBRARIES.replacen("Package: libc\n", "Package: libc\nVersion: 2\n", 1);
    let reasons = ["cannot be installed beside libc:i386"];
    on_both("other versions", &archive).include("zlib zlib:i386").fails(&reasons);
}

#[test]
fn conflicts_reach_every_architecture() {
    let archive = "Package: a\nConflicts: b\n\nPackage: b\nArchitecture: i386\n\nPackage: c\nConflicts: b:amd64";
    on_both("unqualified", archive).include("a b:i386").fails(&["a conflicts with b"]);
    on_both("qualified", archive).include("c b:i386").gives("base: b c");
}

#[test]
fn architectures_that_the_root_lacks_are_refused() {
    case("none", LIBRARIES).include("zlib:i386").fails(&[
        "zlib:i386",
        "no architecture i386",
        "--add-architecture i386",
    ]);
    on_both("no package", LIBRARIES)
        .include("data:i386")
        .fails(&["data:i386", "no such package for that architecture"]);
}

/// An index that lists a package of another architecture does not make it a candidate, even where the root has that architecture.
#[test]
fn an_index_promises_its_architecture() {
    let stanza = |version: &str, architecture: &str| {
        let file = format!("Filename: pool/a.deb\nSize: 1\nSHA256: {}", "ab".repeat(32));
        format!("Package: a\nVersion: {version}\nArchitecture: {architecture}\n{file}\n\n")
    };
    let table = Table::parse(&(stanza("9", "i386") + &stanza("1", "amd64")));
    let request = |include: &str| Request {
        variant: Variant::Custom,
        architecture: "amd64".to_owned(),
        foreign: vec!["i386".to_owned()],
        include: vec![include.to_owned()],
        ..Request::default()
    };
    let index = |architecture| Index::plain(0, architecture, &table);
    let plan = crate::plan(&[index("amd64")], &request("a"), &AtomicBool::new(false)).unwrap();
    assert_eq!(plan.packages().map(|(_, package)| package.version.as_str()).collect::<Vec<_>>(), ["1"]);
    assert!(crate::plan(&[index("amd64")], &request("a:i386"), &AtomicBool::new(false)).is_err());
    assert!(crate::plan(&[index("all")], &request("a"), &AtomicBool::new(false)).is_err());
}
