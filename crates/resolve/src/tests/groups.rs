//! Includes that stand for several packages, or that name a file.

use super::case::{Case, case};
use crate::{Error, NamedDeb};
use rootstrap_debian::release::Release;

/// An archive of the vendor and one of a third party.
fn archives(says: &'static str) -> Case {
    let stable =
        Release { suite: "stable".into(), codename: "trixie".into(), origin: "Debian".into(), ..Release::default() };
    let third = Release { origin: "Third".into(), ..Release::default() };
    let vendors = "Package: base\nEssential: yes\nPriority: required\n
        Package: editor\nPriority: important\nSection: editors\n
        Package: libeditor\nSection: libs\nSource: editor (2)\n
        Package: shell\nSection: shells\nPriority: standard\nTask: server, minimal-x\n
        Package: tool\nSection: contrib/utils\nTask: minimal\nDepends: libtool\n
        Package: libtool\nSection: libs\n";
    case(says, vendors).pocket_of(stable, "deb.example", "Package: other\nSection: utils\n").pocket_of(
        third,
        "third.example",
        "Package: tool\nVersion: 2\nSection: local\n\nPackage: own\nSection: local\n",
    )
}

#[test]
fn patterns_select_what_they_are_true_of() {
    for (pattern, expected) in [
        ("?priority(important)", "editor"),
        ("~prequired", "base"),
        ("?priority(import)", ""),
        ("?section(^libs$)", "libeditor libtool"),
        ("~seditors", "editor"),
        ("?essential", "base"),
        ("~E|~pimportant", "base editor"),
        ("?or(?essential,?priority(important),)", "base editor"),
        ("?name(^lib) ?not(?name(tool))", "libeditor"),
        ("~nLIBED", "libeditor"),
        ("!~nlib !~ntool !~E (~sutils|~seditors)", "editor other"),
        ("?exact-name(tool)", "tool"),
        ("?source-package(^editor$)", "editor libeditor"),
        ("?exact-source-package(editor) ?source-version(2)", "libeditor"),
        ("?and(?origin(^third$), ?section(local))", "own tool"),
        ("?narrow(?origin(third),?version(1))", "own"),
        ("?narrow(?section(contrib),?version(2))", ""),
        // The two are true of different versions.
        ("?section(contrib) ?version(2)", "tool"),
        ("?all-versions(?section(utils))", "other"),
        ("?archive(^stable$)", "other"),
        ("?codename(trixie) ?architecture(amd64)", "other"),
        ("?name(\"(own|other)\") ?architecture(any-amd64)", "other own"),
        ("?architecture(arm64)", ""),
        ("?false", ""),
    ] {
        let plan = archives(pattern).with(|request| request.include = vec![pattern.to_owned()]).run().unwrap();
        let mut names: Vec<&str> = plan.packages().map(|(_, package)| package.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), expected, "{pattern}");
        let unmatched: &[&str] = if expected.is_empty() { &[pattern] } else { &[] };
        assert_eq!(plan.unmatched, unmatched, "{pattern}");
    }
}

#[test]
fn text_that_is_no_pattern_is_refused() {
    for (text, why) in [
        ("?installed", "asks for what is installed, and nothing is yet"),
        ("~i", "asks for what is installed"),
        ("?depends(?name(x))", "?depends is not known here"),
        ("?name", "?name needs one word in parentheses"),
        ("?name(x", "a ) is missing"),
        ("?name()", "?name needs one word"),
        ("?not(x)", "?not needs patterns"),
        ("?essential(?true)", "takes nothing in parentheses"),
        ("?name(\"x)", "a quotation mark is missing"),
        ("?name([)", "is no regular expression"),
        ("?name(a|b)", "a ) is missing"),
        ("?and(", "a word is missing"),
        ("~", "a letter is missing"),
        ("~ü", "~ü is not known"),
        ("~n", "a word is missing"),
        ("!", "a pattern is missing"),
        ("?true)", "its end is not understood: )"),
        ("?true name", "a pattern begins with ? or ~"),
        (&"(".repeat(5000), "nested too deeply"),
    ] {
        let error = archives("bad").with(|request| request.include = vec![text.to_owned()]).run().unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
}

#[test]
fn tasks_stand_for_their_packages() {
    archives("a task").include("minimal-x^").gives("base: shell");
    archives("the candidate's field counts").include("server^ own").gives("base: own shell");
    let error = archives("the candidate has none").include("minimal^").run().unwrap_err();
    assert_eq!(error.to_string(), "cannot select minimal^: no package of the archive belongs to this task");
    archives("an exclude").include("?section(^libs$)").exclude("libeditor").gives("base: libtool");
}

#[test]
fn a_file_is_the_version_that_it_has() {
    let deb = |name: &str, version: &str| NamedDeb {
        path: format!("./{name}.deb"),
        name: name.to_owned(),
        architecture: "amd64".to_owned(),
        version: version.to_owned(),
        pocket: 3,
    };
    let files = |includes: &str| {
        archives("files")
            .pocket("Package: tool\nVersion: 0.5\nDepends: helper\n\nPackage: own\nVersion: 1\n\nPackage: helper\nVersion: 1\n")
            .include(includes)
            .with(|request| request.debs = vec![deb("tool", "0.5"), deb("own", "1"), deb("helper", "1")])
    };
    files("./tool.deb ./helper.deb").takes("helper 1, tool 0.5");
    let plan = files("./own.deb").run().unwrap();
    assert_eq!(plan.packages().next().unwrap().1.pocket, 3, "not the same version of the archive");
    let error = files("./tool.deb tool=2").run().unwrap_err();
    assert!(matches!(error, Error::BadSelection { .. }), "{error}");
}

/// Two packages of a task need one of two, and one of them is there anyway.
#[test]
fn packages_of_a_task_come_in_the_order_of_the_archive() {
    let editor = "Package: editor\nTask: desk\nDepends: common\n\n";
    let tool = "Package: a-tool\nTask: desk\nDepends: other | common\n\n";
    let rest = "Package: common\n\nPackage: other";
    for (archive, expected) in [
        (format!("{editor}{tool}{rest}"), "a-tool common editor"),
        (format!("{tool}{editor}{rest}"), "a-tool common editor other"),
    ] {
        let plan = case("an order", &archive).include("desk^").run_on(|_| ()).unwrap();
        let mut names: Vec<&str> = plan.packages().map(|(_, package)| package.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), expected);
    }
}
