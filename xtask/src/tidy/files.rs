//! Rules about single files: their purpose and length, and words that must not occur in them.

use super::source::{Keep, has_word, keep, lines_of_tests, without_tests};
use super::suites;
use super::tree::{Finding, Tree, crate_of, finding, is_test_file};

const LONGEST_FILE: usize = 400;

/// Where a skipped test is reported.
const SKIP: &str = "crates/testkit/src/skip.rs";

/// Every file says on its first line what it is for.
pub fn purpose(tree: &Tree) -> Vec<Finding> {
    let undocumented = tree.rust().filter(|(_, text)| !text.starts_with("//! "));
    undocumented.map(|(path, _)| finding(path, 0, "begin with a `//!` line that says what the file is for")).collect()
}

/// A file that is too long is split, because it holds more than one idea.
pub fn length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.program() {
        let lines = text.lines().count() - lines_of_tests(text);
        if lines > LONGEST_FILE {
            let rule = format!("{lines} lines without its tests, at most {LONGEST_FILE}");
            findings.push(finding(path, LONGEST_FILE, rule));
        }
    }
    findings
}

/// Suites are data: no codename decides anything in code.
pub fn codenames(tree: &Tree) -> Vec<Finding> {
    let mut names = Vec::new();
    let mut findings = Vec::new();
    for (path, text) in tree.select("suites/", ".toml") {
        match suites::parse(text) {
            Ok(suites) => names.extend(suites.into_iter().map(|suite| suite.codename)),
            Err(error) => findings.push(finding(path, 0, error)),
        }
    }
    let code = tree.program().filter(|(path, _)| crate_of(path).is_some_and(|name| name != "testkit"));
    for (path, text) in code {
        for (number, line) in without_tests(text, Keep::CodeAndStrings).lines().enumerate() {
            for name in names.iter().filter(|name| has_word(line, name)) {
                let rule = format!("codename `{name}` in code: suites are data (suites/*.toml)");
                findings.push(finding(path, number, rule));
            }
        }
    }
    findings
}

/// No code is left for later, and no test is ignored.
pub fn shortcuts(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        for (number, line) in keep(text, Keep::Code).lines().enumerate() {
            for word in ["#[ignore", "todo!(", "unimplemented!("].into_iter().filter(|word| line.contains(word)) {
                findings.push(finding(path, number, format!("`{word}`: do it or leave it out")));
            }
        }
    }
    findings
}

/// No test waits for the clock.
pub fn sleeps(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let program = without_tests(text, Keep::Code);
        let all_tests = is_test_file(path) || crate_of(path) == Some("testkit");
        let code = keep(text, Keep::Code);
        for (number, (line, of_program)) in code.lines().zip(program.lines()).enumerate() {
            let is_test = all_tests || !of_program.contains("thread::sleep");
            if is_test && line.contains("thread::sleep") {
                findings.push(finding(path, number, "a test that sleeps is slow or flaky: wait for the event itself"));
            }
        }
    }
    findings
}

/// A test that cannot run reports it in the way that CI counts.
pub fn skips(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let places = tree.rust().filter(|(path, _)| !path.starts_with("xtask/") && *path != SKIP);
    for (path, text) in places {
        for (number, line) in keep(text, Keep::CodeAndStrings).lines().enumerate() {
            if line.contains("\"skipped:") {
                findings.push(finding(path, number, "CI does not count this skip: call `rootstrap_testkit::skip`"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lines on which a rule finds something in one file of a tree with two suites.
    fn lines(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        let suites = "[[suite]]\ncodename = \"focal\"\n[[suite]]\ncodename = \"sid\"\n";
        let tree = Tree::of(&[("suites/all.toml", suites), (path, text)]);
        rule(&tree).into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn files_begin_with_their_purpose() {
        for path in ["crates/debian/src/arch.rs", "tests/tests/cli.rs", "xtask/src/bench.rs"] {
            assert_eq!(lines(purpose, path, "use x;\n"), [1], "{path}");
            assert_eq!(lines(purpose, path, "//! X.\nuse x;\n"), [0; 0], "{path}");
        }
    }

    #[test]
    fn files_stay_short() {
        let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(400));
        let found = length(&Tree::of(&[("crates/debian/src/long.rs", &long)]));
        assert_eq!(found, [finding("crates/debian/src/long.rs", 400, "401 lines without its tests, at most 400")]);
        let tests = format!("//! Short.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(400));
        assert_eq!(lines(length, "crates/debian/src/long.rs", &tests), [0; 0]);
        for exempt in ["crates/debian/tests/long.rs", "crates/debian/src/version_tests.rs", "tests/src/long.rs"] {
            assert_eq!(lines(length, exempt, &long), [0; 0], "{exempt}");
        }
    }

    #[test]
    fn codenames_are_data() {
        let code = "//! Sid may be named here.\nlet focal_quirk = \"sid\"; // focal\nfn setsid() {}\n";
        assert_eq!(lines(codenames, "crates/fetch/src/pool.rs", code), [2, 2]);
        assert_eq!(lines(codenames, "crates/testkit/src/keys.rs", code), [0; 0]);
        let test = "//! X.\n#[cfg(test)]\nmod tests { const S: &str = \"focal\"; }\n";
        assert_eq!(lines(codenames, "crates/fetch/src/pool.rs", test), [0; 0]);
        let broken = codenames(&Tree::of(&[("suites/all.toml", "suite = 1")]));
        assert!(broken.iter().any(|found| found.rule.contains("lists no suite")));
    }

    #[test]
    fn code_left_for_later_is_found() {
        for code in ["#[ignore]", "fn f() { todo!() }", "fn f() { unimplemented!(\"x\") }"] {
            assert_eq!(lines(shortcuts, "tests/tests/cli.rs", &format!("//! Cli.\n{code}\n")), [2], "{code}");
        }
        assert_eq!(lines(shortcuts, "tests/tests/cli.rs", "let s = \"todo!(\";"), [0; 0]);
    }

    #[test]
    fn tests_do_not_sleep() {
        let code =
            "//! Waits.\nfn f() { std::thread::sleep(x) }\n#[cfg(test)]\nmod tests { use std::thread::sleep; }\n";
        assert_eq!(lines(sleeps, "crates/fetch/src/pool.rs", code), [4]);
        assert_eq!(lines(sleeps, "crates/testkit/src/server.rs", code), [2, 4]);
        assert_eq!(lines(sleeps, "crates/fetch/tests/pool.rs", code), [2, 4]);
    }

    #[test]
    fn skipped_tests_are_counted() {
        let code = "//! X.\nfn f() { println!(\"skipped: no root\"); skip(\"skipped\"); }\n";
        for path in ["crates/image/src/tar_tests.rs", "crates/testkit/src/host.rs", "tests/tests/live.rs"] {
            assert_eq!(lines(skips, path, code), [2], "{path}");
        }
        assert_eq!(lines(skips, "crates/testkit/src/skip.rs", code), [0; 0]);
        assert_eq!(lines(skips, "xtask/live/src/oracle.rs", code), [0; 0]);
    }
}
