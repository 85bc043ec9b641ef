//! Why packages are in a plan, and versions that are kept.

use super::case::{Case, case};
use crate::Variant;

const ARCHIVE: &str = "
    Package: core\nEssential: yes\nPre-Depends: libc\n
    Package: libc\n
    Package: apt\nDepends: libapt, mail | mailer\n
    Package: libapt\nDepends: libc, deep\n
    Package: deep\nRecommends: extra\n
    Package: mailer\nProvides: mail\n
    Package: extra\n
    Package: base\nPriority: required\nDepends: mailer\n
    Package: tool\nDepends: deep";

fn reasons(case: &Case) -> String {
    let plan = case.run().unwrap();
    let mut reasons: Vec<String> = plan.packages().map(|(_, p)| format!("{}: {}", p.name, p.why)).collect();
    reasons.sort();
    reasons.join(", ")
}

#[test]
fn every_package_has_a_reason_that_leads_to_the_request() {
    let minbase = |says| case(says, ARCHIVE).variant(Variant::Minbase);
    assert_eq!(
        reasons(&minbase("by the shortest way").include("tool")),
        "apt: variant, base: priority, core: essential, deep: needed by tool, libapt: needed by apt, \
         libc: needed by core, mailer: needed by base, tool: included"
    );
    let recommends = minbase("a recommended package").with(|request| request.recommends = true);
    assert!(reasons(&recommends).contains("extra: recommended by deep"));
    let suite = minbase("the suite's rules").with(|request| request.add = vec!["extra".to_owned()]);
    assert!(reasons(&suite).contains("extra: suite"));
}

#[test]
fn versions_are_kept_while_the_archive_has_them() {
    let keep = |version: &'static str| {
        let case = case("two versions", "Package: a\nVersion: 1\n").pocket("Package: a\nVersion: 2\n").include("a");
        case.with(|request| _ = request.keep.insert("a".to_owned(), version.to_owned())).run().unwrap()
    };
    let version = |kept| keep(kept).packages().map(|(_, package)| package.version.clone()).collect::<String>();
    assert_eq!([version("1"), version("2"), version("0")], ["1", "2", "2"]);
    let named = case("an include counts more", "Package: a\nVersion: 1\n").pocket("Package: a\nVersion: 2\n");
    let named = named.include("a=2").with(|request| _ = request.keep.insert("a".to_owned(), "1".to_owned()));
    assert!(named.run().unwrap().packages().all(|(_, package)| package.version == "2"));
}
