//! Whole requests on small made-up archives. Each case has a description, stanzas, a request and the expected result.

mod architectures;
mod case;
mod choices;
mod distroless;
mod groups;
mod phases;
mod priorities;
mod reasons;

use crate::{Error, Plan, Variant};
use case::case;

/// A small distribution with packages for every variant.
const DISTRIBUTION: &str = "
    Package: libc6\nPriority: optional\n
    Package: dpkg\nEssential: yes\nPriority: required\nPre-Depends: libc6\n
    Package: base-passwd\nEssential: yes\nPriority: required\nDepends: libc6\n
    Package: bash\nEssential: yes\nPriority: optional\n
    Package: tzdata\nPriority: required\n
    Package: apt\nPriority: important\nDepends: libapt\n
    Package: libapt\n
    Package: nano\nPriority: important\n
    Package: man\nPriority: standard\n
    Package: build-essential\nDepends: gcc\n
    Package: gcc\n
    Package: unrelated\nDepends: missing";

#[test]
fn variants_select_what_mmdebstrap_selects() {
    let of = |variant| case("variant", DISTRIBUTION).variant(variant);
    of(Variant::Custom).gives("");
    of(Variant::Essential).gives("required: base-passwd dpkg libc6 bash");
    of(Variant::Apt).gives("required: base-passwd dpkg libc6 bash; base: apt libapt");
    of(Variant::Minbase).gives("required: base-passwd dpkg libc6 bash tzdata; base: apt libapt*");
    of(Variant::Buildd).gives("required: base-passwd dpkg libc6 bash tzdata; base: apt build-essential gcc* libapt*");
    of(Variant::Important).gives("required: base-passwd dpkg libc6 bash tzdata; base: apt libapt* nano");
    of(Variant::Standard).gives("required: base-passwd dpkg libc6 bash tzdata; base: apt libapt* man nano");
    of(Variant::Extract).include("tzdata gcc").gives("required: tzdata; base: gcc");
    of(Variant::Essential).include("tzdata").gives("required: base-passwd dpkg libc6 bash; base: tzdata");
    let plan = of(Variant::Extract).run().unwrap();
    assert_eq!((plan.phases.len(), plan.phases[0].name.as_str()), (1, "required"));
}

#[test]
fn the_newest_version_over_all_pockets_wins() {
    let old = "Package: a\nVersion: 1:1.0\n\nPackage: b\nVersion: 2.0~rc1";
    let new = "Package: a\nVersion: 9.0\n\nPackage: b\nVersion: 2.0";
    let two_pockets = case("epochs beat numbers, ~ comes before nothing", old).pocket(new).include("a b");
    let plan = two_pockets.run().unwrap();
    let got: Vec<_> = plan.packages().map(|(_, p)| (p.version.as_str(), p.pocket)).collect();
    assert_eq!(got, [("1:1.0", 0), ("2.0", 1)]);

    let equal = case("of equal versions the first pocket's", "Package: a").pocket("Package: a").include("a");
    assert_eq!(equal.run().unwrap().packages().next().unwrap().1.pocket, 0);

    case("other architectures do not count", "Package: a\nVersion: 2\nArchitecture: arm64\n\nPackage: a")
        .include("a:amd64")
        .gives("base: a");
}

#[test]
fn includes_may_name_a_version() {
    let archive = "Package: a\nVersion: 2\n\nPackage: a\nVersion: 1";
    let plan = case("an older version", archive).include("a=1").run().unwrap();
    assert_eq!(plan.packages().next().unwrap().1.version, "1");
    case("no such version", archive).include("a=3").fails(&["cannot find version 3 of a", "1, 2"]);
    case("two versions", archive).include("a=1 a=2").fails(&["a=2", "another version"]);
}

#[test]
fn names_that_cannot_be_found_are_errors() {
    let archive = "Package: nginx\n\nPackage: postfix\nProvides: mta\n\nPackage: exim4\nProvides: mta (= 4)";
    case("a typing slip", archive).include("ngnix").fails(&["cannot find the package ngnix"]);
    let error = case("a typing slip", archive).exclude("ngnix").run().unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean nginx?");
    case("a virtual package", archive)
        .include("mta")
        .fails(&["cannot choose mta: it is virtual, provided by exim4, postfix"]);
    case("another architecture", archive).include("nginx:arm64").fails(&["nginx:arm64", "no architecture arm64"]);
    case("a virtual package with a version", "Package: p\nProvides: v (= 1)").include("v=1").fails(&["virtual"]);
    case("an excluded virtual package", "Package: p\nProvides: v").exclude("v").fails(&["virtual"]);
    case("both ways", archive).include("nginx").exclude("nginx").fails(&["nginx", "excluded too"]);
    case("not a name at all", archive).include("../nginx").fails(&["../nginx", "no package name"]);
    case("no apt", "Package: a\nPriority: required").variant(Variant::Minbase).fails(&["cannot find the package apt"]);
}

#[test]
fn damage_counts_only_where_it_is_chosen() {
    let with = |stanza: &str| format!("Package: good\n\n{stanza}");
    for (stanza, parts) in [
        ("Package: bad\nDepends: b (", ["bad 1", "Depends"]),
        ("Package: bad\nConflicts: é", ["bad 1", "Conflicts"]),
        ("Package: bad\nProvides: a b", ["bad 1", "Provides"]),
        ("Package: bad\nFilename: ../../etc/passwd", ["bad 1", "Filename"]),
        ("Package: bad\nFilename: pool/a b.deb", ["bad 1", "Filename"]),
        ("Package: bad\nSize: many", ["bad 1", "Size"]),
        ("Package: bad\nSHA256: 00", ["bad 1", "SHA256"]),
        ("Package: bad\nVersion: ../1", ["bad ../1", "Version"]),
        ("Package: bad\nSection: a\u{1b}[31m", ["bad 1", "Section"]),
    ] {
        case("chosen", &with(stanza)).include("bad").fails(&parts);
        case("not chosen", &with(stanza)).include("good").gives("base: good");
    }
    let evil = "Package: ../evil\nEssential: yes\n\nPackage: apt";
    case("a name that is a path", evil).variant(Variant::Apt).fails(&["../evil", "Package"]);
}

#[test]
fn long_chains_and_cycles_are_resolved() {
    let chain: Vec<String> = (0..5000).map(|n| format!("Package: p{n}\nDepends: p{}", (n + 1) % 5000)).collect();
    let plan = case("chain", &chain.join("\n\n")).include("p0").run_on(|_| {}).unwrap();
    assert_eq!(plan.packages().count(), 5000);
}

#[test]
fn a_plan_can_be_called_off() {
    for archive in ["Package: a", "Package: a\nDepends: nothing"] {
        let result = case("stop", archive).include("a").cancelled().run_on(|_| {});
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    }
}

#[test]
fn saved_plans_are_checked() {
    let plan =
        case("plan", "Package: a\nInstalled-Size: 3\n\nPackage: bb\nVersion: 1:2-3").include("a bb").run().unwrap();
    assert_eq!(
        plan.to_text(),
        "base  a   1      amd64          10  only version\nbase  bb  1:2-3  amd64          10  only version\n"
    );
    assert_eq!(plan.packages().next().unwrap().1.installed_size, 3072);
    let json = plan.to_json();
    for (from, to, why) in [
        ("\"bb\"", "\"../bb\"", "Package"),
        ("\"bb\"", "\"a\"", "twice"),
        ("pool/x.deb", "/x.deb", "Filename"),
        ("\"1:2-3\"", "\"\"", "Version"),
        ("amd64", "AMD 64", "Architecture"),
        ("abab", "abxy", "digest"),
        ("\"format\": 1", "\"format\": 2", "format 2"),
        ("\"required\"", "\"first\"", "required"),
        ("\"base\"", "\"ba/se\"", "misnamed"),
        ("\"phases\"", "\"stages\"", "phases"),
    ] {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json);
        let error = Plan::from_json(&changed).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
