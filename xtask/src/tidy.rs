//! `cargo xtask tidy`: checks the rules of this project.
//!
//! Each rule is one function from the tree to its findings, and each has tests that break it.

mod circles;
mod crates;
mod files;
mod functions;
mod modules;
mod pages;
mod source;
mod suites;
mod tree;

use crate::errors;
use std::path::Path;
use tree::{Finding, Tree};

const RULES: [fn(&Tree) -> Vec<Finding>; 17] = [
    crates::imports,
    crates::nevers,
    crates::state,
    circles::circles,
    circles::order,
    functions::functions,
    files::purpose,
    files::length,
    files::codenames,
    files::shortcuts,
    files::sleeps,
    files::skips,
    pages::architecture,
    pages::changelog,
    pages::errors,
    pages::keyrings,
    pages::security,
];

/// Checks every rule and prints what is broken.
pub fn run(top: &Path) -> Result<(), String> {
    let mut tree = Tree::default();
    for place in ["crates", "tests", "xtask", "suites", "keyrings", "ARCHITECTURE.md", "CHANGELOG.md", errors::PAGE] {
        if top.join(place).exists() {
            tree.add(top, place).map_err(|error| format!("cannot read {place}: {error}"))?;
        }
    }
    let findings = check(&tree);
    for Finding { path, line, rule } in &findings {
        println!("{path}:{line}: {rule}");
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("house rules are broken in {} places", findings.len())) }
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(tree)).collect();
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rules_are_checked_and_findings_are_in_order() {
        let good = [
            ("ARCHITECTURE.md", "`debian`\n"),
            ("CHANGELOG.md", "## Unreleased\n"),
            ("crates/debian/Cargo.toml", "[dependencies]\n"),
            ("crates/debian/src/lib.rs", "//! Words.\n"),
        ];
        assert_eq!(check(&Tree::of(&good)), []);
        let bad =
            [("crates/debian/src/b.rs", "//! B.\nuse std::fs;\nuse std::env;\n"), ("crates/debian/src/a.rs", "\n")];
        let found = check(&Tree::of(&[&good[..], &bad].concat()));
        let places: Vec<_> = found.iter().map(|found| (found.path.as_str(), found.line)).collect();
        let expected = [("crates/debian/src/a.rs", 1), ("crates/debian/src/b.rs", 2), ("crates/debian/src/b.rs", 3)];
        assert_eq!(places, expected);
    }
}
