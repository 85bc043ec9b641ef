//! Rules about the direction in which the files of a package import each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::modules::{Imports, imports};
use super::tree::{Finding, Tree, finding, is_test_file};

/// The modules of `bootstrap`, from the top: a module imports only modules further down.
const ORDER: [&[&str]; 13] = [
    &[
        "lib",
        "recipe",
        "archives",
        "convert",
        "diff",
        "doctor",
        "download",
        "enter",
        "export",
        "inputs",
        "lock",
        "outdated",
        "own_suite",
        "prepare",
        "verify",
    ],
    &["compare"],
    &["platforms"],
    &["publish"],
    &["finish"],
    &["two_stage"],
    &["install"],
    &["transfer"],
    &["staging"],
    &["archive"],
    &["request"],
    &["event"],
    &["error"],
];

const BOOTSTRAP: &str = "crates/bootstrap/src/";

/// No two files of a package import each other, neither directly nor through other files.
pub fn circles(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for root in roots(tree) {
        let imports = imports(tree, root);
        let mut known = BTreeSet::new();
        for ((from, to), line) in &imports {
            let Some(way) = way(&imports, to, from) else { continue };
            let mut files = way.clone();
            files.sort_unstable();
            // The circle is reported once, at the first of its files.
            if known.insert(files) {
                findings.push(finding(from, *line, describe(&imports, &way)));
            }
        }
    }
    findings
}

/// The modules of `bootstrap` import in one direction.
pub fn order(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let place = |file: &str| ORDER.iter().position(|modules| modules.contains(&top_module(file)));
    for (path, _) in tree.select(BOOTSTRAP, ".rs").filter(|(path, _)| !is_test_file(path) && place(path).is_none()) {
        let rule = format!("`{}` has no place in the order of the modules of `bootstrap`", top_module(path));
        findings.push(finding(path, 0, rule));
    }
    for ((from, to), line) in imports(tree, &format!("{BOOTSTRAP}lib.rs")) {
        if place(&to) < place(&from) {
            let (upper, lower) = (top_module(&to), top_module(&from));
            let rule = format!("imports {to}: `{upper}` stands above `{lower}`, and imports run downwards");
            findings.push(finding(&from, line, rule));
        }
    }
    findings
}

/// The root files of all packages.
fn roots(tree: &Tree) -> impl Iterator<Item = &str> {
    let is_root = |path: &str| path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
    tree.rust().map(|(path, _)| path).filter(move |path| is_root(path))
}

/// The module below the root of `bootstrap` that a file belongs to.
fn top_module(file: &str) -> &str {
    let below = file.strip_prefix(BOOTSTRAP).unwrap_or(file);
    below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
}

/// Returns the shortest chain of imports between two files, both ends included; `None` if there is no chain.
fn way<'i>(imports: &'i Imports, from: &'i str, to: &str) -> Option<Vec<&'i str>> {
    let mut came_from: BTreeMap<&str, Option<&str>> = BTreeMap::from([(from, None)]);
    let mut queue = VecDeque::from([from]);
    while let Some(file) = queue.pop_front() {
        if file == to {
            let mut way = vec![file];
            while let Some(before) = way.last().and_then(|last| came_from.get(last).copied().flatten()) {
                way.push(before);
            }
            way.reverse();
            return Some(way);
        }
        for (_, next) in imports.keys().filter(|(importer, _)| importer == file) {
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, Some(file));
                queue.push_back(next);
            }
        }
    }
    None
}

/// Describes a circle by the chain of imports that leads back to the file.
fn describe(imports: &Imports, way: &[&str]) -> String {
    let at = |pair: &[&str]| {
        let line = imports.get(&(pair[0].to_owned(), pair[1].to_owned())).map_or(0, |line| line + 1);
        format!("{}:{line}", pair[0])
    };
    let places: Vec<String> = way.windows(2).map(at).collect();
    match places.as_slice() {
        [back] => format!("imports {}, which imports it back: {back}", way[0]),
        _ => format!("imports {}, which imports it back by way of {}", way[0], places.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(findings: Vec<Finding>) -> Vec<String> {
        findings.into_iter().map(|found| format!("{}:{}: {}", found.path, found.line, found.rule)).collect()
    }

    #[test]
    fn a_circle_is_reported_once_with_its_imports() {
        let files = [
            ("crates/x/src/lib.rs", "mod a;\nmod b;\nmod c;"),
            ("crates/x/src/a.rs", "use super::b::B;\npub struct A;"),
            ("crates/x/src/b.rs", "pub struct B;\n\nfn f(a: crate::a::A) {}"),
            ("crates/x/src/c.rs", "use super::a::A;"),
        ];
        let expected = "crates/x/src/a.rs:1: imports crates/x/src/b.rs, which imports it back: crates/x/src/b.rs:3";
        assert_eq!(rules(circles(&Tree::of(&files))), [expected]);

        let files = [
            ("xtask/src/main.rs", "mod a;\nmod b;\nstruct Main;\nfn f() { a::f() }"),
            ("xtask/src/a.rs", "pub fn f() { super::b::f() }"),
            ("xtask/src/b.rs", "pub fn f() {}\nfn g(x: super::Main) {}"),
        ];
        let expected = "xtask/src/a.rs:1: imports xtask/src/b.rs, which imports it back by way of xtask/src/b.rs:2, \
                        xtask/src/main.rs:4";
        assert_eq!(rules(circles(&Tree::of(&files))), [expected]);
    }

    #[test]
    fn imports_in_one_direction_are_no_circle() {
        let files = [
            ("crates/x/src/lib.rs", "mod a;\nmod b;\npub use a::A;"),
            ("crates/x/src/a.rs", "use crate::b::B;\npub struct A;\n#[cfg(test)]\nmod tests { use crate::b::g; }"),
            ("crates/x/src/b.rs", "pub struct B;\n#[cfg(test)]\nmod tests { use crate::A; }"),
        ];
        assert_eq!(circles(&Tree::of(&files)), []);
    }

    #[test]
    fn bootstrap_imports_downwards() {
        let of = |install: &str, others: &[(&str, &str)]| {
            let fixed = [
                (
                    "crates/bootstrap/src/lib.rs",
                    "mod install;\nmod publish;\nmod recipe;\nmod error;\npub use error::Error;",
                ),
                ("crates/bootstrap/src/publish/mod.rs", "use crate::install::start;\npub struct Target;"),
                ("crates/bootstrap/src/recipe.rs", "pub fn run() { crate::publish::Target }"),
                ("crates/bootstrap/src/error.rs", "pub struct Error;"),
                ("crates/bootstrap/src/install.rs", install),
            ];
            rules(order(&Tree::of(&[&fixed[..], others].concat())))
        };
        assert_eq!(of("use crate::Error;\npub fn start() {}", &[]), [""; 0]);
        let expected = "crates/bootstrap/src/install.rs:2: imports crates/bootstrap/src/publish/mod.rs: `publish` stands \
                        above `install`, and imports run downwards";
        assert_eq!(of("pub fn start() {}\nuse crate::publish::Target;", &[]), [expected]);
        let found = of("pub fn start() { crate::recipe::run() }", &[]);
        assert!(found.concat().contains("`recipe` stands above `install`"), "{found:?}");
        let expected = "crates/bootstrap/src/kept.rs:1: `kept` has no place in the order of the modules of `bootstrap`";
        assert_eq!(of("pub fn start() {}", &[("crates/bootstrap/src/kept.rs", "")]), [expected]);
    }
}
