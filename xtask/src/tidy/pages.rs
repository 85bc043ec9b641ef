//! Rules about the project's pages and data: ARCHITECTURE.md, CHANGELOG.md, keyrings.

use super::source::has_word;
use super::suites;
use super::tree::{Finding, Tree, finding};
use crate::errors;

const LONGEST_ARCHITECTURE: usize = 150;

/// ARCHITECTURE.md, the page to start from, exists, is short and names every crate.
pub fn architecture(tree: &Tree) -> Vec<Finding> {
    let path = "ARCHITECTURE.md";
    let Some(text) = tree.text(path) else { return vec![finding(path, 0, "is missing")] };
    let lines = text.lines().count();
    let mut findings = Vec::new();
    if lines > LONGEST_ARCHITECTURE {
        findings.push(finding(path, LONGEST_ARCHITECTURE, format!("{lines} lines, at most {LONGEST_ARCHITECTURE}")));
    }
    for name in tree.crates().filter(|name| !text.lines().any(|line| has_word(line, name))) {
        findings.push(finding(path, 0, format!("does not mention crate `{name}`")));
    }
    findings
}

/// CHANGELOG.md has a section for the next changes that users notice.
pub fn changelog(tree: &Tree) -> Vec<Finding> {
    let log = tree.text("CHANGELOG.md").unwrap_or_default();
    if log.lines().any(|line| line.starts_with("## ") && line.contains("Unreleased")) {
        return Vec::new();
    }
    vec![finding("CHANGELOG.md", 0, "has no `## Unreleased` section")]
}

/// docs/errors.md is made from the transcript of the tests.
pub fn errors(tree: &Tree) -> Vec<Finding> {
    let Some(transcript) = tree.text(errors::TRANSCRIPT) else { return Vec::new() };
    match tree.text(errors::PAGE) == Some(errors::page(transcript).as_str()) {
        true => Vec::new(),
        false => vec![finding(errors::PAGE, 0, "is out of date: run `cargo xtask errors`")],
    }
}

/// SECURITY.md names, in the last column of its table, tests that exist.
pub fn security(tree: &Tree) -> Vec<Finding> {
    let path = "SECURITY.md";
    let tests: Vec<&str> = tree.rust().map(|(_, text)| text).collect();
    let exists = |name: &str| tests.iter().any(|text| text.contains(&format!("fn {name}(")));
    let mut findings = Vec::new();
    for (number, line) in tree.text(path).unwrap_or_default().lines().enumerate() {
        let Some((_, cell)) = line.strip_suffix(" |").and_then(|row| row.rsplit_once(" | ")) else { continue };
        for name in cell.split('`').skip(1).step_by(2).filter(|name| !exists(name)) {
            findings.push(finding(path, number, format!("there is no test `{name}`")));
        }
    }
    findings
}

/// Every key we ship has a stated origin, and every suite has its keys.
pub fn keyrings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sources = tree.text("keyrings/SOURCES.md").unwrap_or_default();
    for (path, _) in tree.select("keyrings/", "").filter(|(path, _)| !path.ends_with(".md")) {
        if !sources.contains(path.trim_start_matches("keyrings/")) {
            findings.push(finding(path, 0, "keyrings/SOURCES.md does not say where it is from"));
        }
    }
    for (path, text) in tree.select("suites/", ".toml") {
        for suite in suites::parse(text).unwrap_or_default() {
            let codename = suite.codename;
            if suite.keyrings.is_empty() {
                findings.push(finding(path, 0, format!("`{codename}` has no keyring")));
            }
            for keyring in suite.keyrings.iter().filter(|name| tree.text(&format!("keyrings/{name}")).is_none()) {
                findings.push(finding(path, 0, format!("`{codename}`: keyrings/{keyring} does not exist")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(findings: Vec<Finding>) -> Vec<String> {
        findings.into_iter().map(|found| format!("{}:{}: {}", found.path, found.line, found.rule)).collect()
    }

    #[test]
    fn the_architecture_page_names_every_crate() {
        let of = |text: &str| {
            let crates = [("crates/debian/Cargo.toml", ""), ("crates/fetch/Cargo.toml", "")];
            rules(architecture(&Tree::of(&[crates[0], crates[1], ("ARCHITECTURE.md", text)])))
        };
        assert_eq!(of("# Crates\n`debian` and `fetch`\n"), [""; 0]);
        assert_eq!(of("# Crates\n`debian`\n"), ["ARCHITECTURE.md:1: does not mention crate `fetch`"]);
        let long = format!("debian fetch\n{}", "x\n".repeat(150));
        assert_eq!(of(&long), ["ARCHITECTURE.md:151: 151 lines, at most 150"]);
        assert_eq!(rules(architecture(&Tree::default())), ["ARCHITECTURE.md:1: is missing"]);
    }

    #[test]
    fn the_changelog_has_a_place_for_changes() {
        assert_eq!(changelog(&Tree::of(&[("CHANGELOG.md", "# Changes\n\n## Unreleased\n")])), []);
        let found = rules(changelog(&Tree::of(&[("CHANGELOG.md", "# Changes\n")])));
        assert_eq!(found, ["CHANGELOG.md:1: has no `## Unreleased` section"]);
    }

    #[test]
    fn the_security_page_names_tests_that_exist() {
        let page = "# S\n\n| rule | where | test |\n|---|---|---|\n| a | `x` | `is_there`, `is_not` |\n";
        let files = [("SECURITY.md", page), ("tests/a.rs", "fn is_there() {}\n")];
        assert_eq!(rules(security(&Tree::of(&files))), ["SECURITY.md:5: there is no test `is_not`"]);
    }

    #[test]
    fn keys_have_an_origin_and_suites_have_keys() {
        let suites = "[[suite]]\ncodename = \"a\"\nkeyrings = [\"a.pgp\"]\n[[suite]]\ncodename = \"b\"\n";
        let files = [("keyrings/x.pgp", ""), ("keyrings/SOURCES.md", "y.pgp\n"), ("suites/all.toml", suites)];
        let expected = [
            "keyrings/x.pgp:1: keyrings/SOURCES.md does not say where it is from",
            "suites/all.toml:1: `a`: keyrings/a.pgp does not exist",
            "suites/all.toml:1: `b` has no keyring",
        ];
        assert_eq!(rules(keyrings(&Tree::of(&files))), expected);
    }
}
