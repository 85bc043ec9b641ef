//! `cargo xtask tidy`: the house rules, executable.
//!
//! Each rule is one function from the tree to its findings, and each has a test that breaks it.

use std::fs;
use std::path::Path;

use crate::source::{Keep, has_word, keep, tests_begin};

/// Which room may import which. A new edge is a decision: ARCHITECTURE.md says why before this table does.
const MAY_IMPORT: [(&str, &[&str]); 12] = [
    ("debian", &[]),
    ("resolve", &["debian"]),
    ("fetch", &["debian"]),
    ("rootfs", &[]),
    ("unpack", &["debian", "rootfs"]),
    ("configure", &["debian", "rootfs"]),
    ("image", &["rootfs"]),
    ("sbom", &["debian"]),
    ("registry", &[]),
    ("bootstrap", &["debian", "resolve", "fetch", "rootfs", "unpack", "configure", "image", "registry", "sbom"]),
    ("cli", &["bootstrap"]),
    ("testkit", &["debian"]),
];

/// What a room never does, by the names that would do it.
const NEVER: [(&str, &[&str]); 10] = [
    ("debian", &["std::fs", "std::net", "std::thread", "std::env", "std::process", "SystemTime", "Instant"]),
    ("resolve", &["std::fs", "std::net", "std::thread", "std::env", "std::process", "SystemTime", "Instant"]),
    ("fetch", &["env::var", "env::vars", "process::Command"]),
    ("rootfs", &["env::var", "env::vars", "process::Command", "TcpStream"]),
    ("unpack", &["env::var", "env::vars", "process::Command", "TcpStream"]),
    ("configure", &["env::var", "env::vars", "TcpStream"]),
    ("image", &["env::var", "env::vars", "TcpStream", "SystemTime", "Instant"]),
    ("sbom", &["std::fs", "std::net", "std::thread", "std::env", "std::process", "SystemTime", "Instant"]),
    ("registry", &["env::var", "env::vars", "env::var_os", "process::Command", "read_dir", "OpenOptions"]),
    ("bootstrap", &["env::var", "env::vars", "env::args", "process::Command"]),
];

const LONGEST_FILE: usize = 400;
const LONGEST_ARCHITECTURE: usize = 150;

/// A tree of text files, paths relative to the top. Files that are no text have an empty one.
#[derive(Default)]
struct Tree {
    files: Vec<(String, String)>,
}

#[derive(Debug, PartialEq)]
struct Finding {
    path: String,
    line: usize,
    rule: String,
}

/// Checks every rule and prints what it found.
pub fn run(top: &Path) -> Result<(), String> {
    let mut tree = Tree::default();
    for place in ["crates", "tests", "xtask", "suites", "keyrings"] {
        tree.add(top, place).map_err(|e| format!("cannot read {place}: {e}"))?;
    }
    for file in ["ARCHITECTURE.md", "CHANGELOG.md"] {
        if top.join(file).exists() {
            tree.add(top, file).map_err(|e| format!("cannot read {file}: {e}"))?;
        }
    }
    let findings = check(&tree);
    for Finding { path, line, rule } in &findings {
        println!("{path}:{line}: {rule}");
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("{} house rules broken", findings.len())) }
}

fn check(tree: &Tree) -> Vec<Finding> {
    let rules = [imports, nevers, module_docs, file_length, codenames, shortcuts, documents, keyrings];
    let mut findings: Vec<Finding> = rules.iter().flat_map(|rule| rule(tree)).collect();
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

impl Tree {
    fn add(&mut self, top: &Path, name: &str) -> std::io::Result<()> {
        let path = top.join(name);
        if !path.is_dir() {
            let text = String::from_utf8(fs::read(&path)?).unwrap_or_default();
            self.files.push((name.to_owned(), text));
            return Ok(());
        }
        for entry in fs::read_dir(&path)? {
            let entry = entry?.file_name();
            let entry = entry.to_string_lossy();
            if entry != "target" && !entry.starts_with('.') {
                self.add(top, &format!("{name}/{entry}"))?;
            }
        }
        Ok(())
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|(known, _)| known == path).map(|(_, text)| text.as_str())
    }

    /// Paths and texts of the files whose path begins and ends so.
    fn select(&self, start: &str, end: &str) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| path.starts_with(start) && path.ends_with(end))
    }

    fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        ["crates/", "tests/", "xtask/"].into_iter().flat_map(|place| self.select(place, ".rs"))
    }

    fn crates(&self) -> impl Iterator<Item = &str> {
        self.select("crates/", "/Cargo.toml").filter_map(|(path, _)| room(path))
    }
}

fn finding(path: &str, line: usize, rule: impl Into<String>) -> Finding {
    Finding { path: path.to_owned(), line: line + 1, rule: rule.into() }
}

/// The crate a path belongs to: `crates/ROOM/...`.
fn room(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("tests/")
        || path.contains("/tests/")
        || ["_test.rs", "_tests.rs"].iter().any(|end| name.ends_with(end))
        || name == "tests.rs"
}

/// Crates import only what the table lets them; the test kit comes in for tests alone.
fn imports(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.select("crates/", "/Cargo.toml") {
        let Some(room) = room(path) else { continue };
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
            findings.push(finding(path, 0, format!("crate `{room}` is missing from the import table")));
            continue;
        };
        let table: toml::Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => {
                findings.push(finding(path, 0, format!("no valid TOML: {}", error.message())));
                continue;
            }
        };
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let dependencies = table.get(section).and_then(toml::Value::as_table);
            for name in dependencies.into_iter().flat_map(toml::Table::keys) {
                let Some(other) = name.strip_prefix("rootstrap-") else { continue };
                let for_tests = other == "testkit" && section == "dev-dependencies";
                if !for_tests && !allowed.contains(&other) {
                    let line = text.lines().position(|line| line.starts_with(name)).unwrap_or(0);
                    findings.push(finding(path, line, format!("`{room}` may not import `{other}` ({section})")));
                }
            }
        }
    }
    findings
}

/// No room does what is another's.
fn nevers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (room, words) in NEVER {
        for (path, text) in tree.select(&format!("crates/{room}/src/"), ".rs").filter(|(path, _)| !is_test_file(path)) {
            for (number, line) in keep(text, Keep::Code).lines().enumerate().take(tests_begin(text)) {
                for word in words.iter().filter(|word| has_word(line, word)) {
                    findings.push(finding(path, number, format!("`{word}` is not for `{room}`")));
                }
            }
        }
    }
    findings
}

/// Every file says on its first line what it is for.
fn module_docs(tree: &Tree) -> Vec<Finding> {
    let undocumented = tree.rust().filter(|(_, text)| !text.starts_with("//! "));
    undocumented.map(|(path, _)| finding(path, 0, "begin with a `//!` line that says what the file is for")).collect()
}

/// A file that has grown past one idea is split.
fn file_length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| path.contains("/src/") && !is_test_file(path)) {
        let lines = tests_begin(text);
        if lines > LONGEST_FILE {
            findings.push(finding(
                path,
                LONGEST_FILE,
                format!("{lines} lines before the tests, at most {LONGEST_FILE}"),
            ));
        }
    }
    findings
}

/// Suites are data: no codename decides anything in code.
fn codenames(tree: &Tree) -> Vec<Finding> {
    let mut names = Vec::new();
    let mut findings = Vec::new();
    for (path, text) in tree.select("suites/", ".toml") {
        match suites(text) {
            Ok(suites) => names.extend(suites.into_iter().map(|(codename, _)| codename)),
            Err(error) => findings.push(finding(path, 0, error)),
        }
    }
    for (path, text) in tree.select("crates/", ".rs").filter(|(path, _)| path.contains("/src/") && !is_test_file(path))
    {
        if room(path) == Some("testkit") {
            continue;
        }
        for (number, line) in keep(text, Keep::CodeAndStrings).lines().enumerate().take(tests_begin(text)) {
            for name in names.iter().filter(|name| has_word(line, name)) {
                findings.push(finding(
                    path,
                    number,
                    format!("codename `{name}` in code: suites are data (suites/*.toml)"),
                ));
            }
        }
    }
    findings
}

/// Nothing is put off, and no test waits for the clock.
fn shortcuts(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let all_tests = is_test_file(path) || room(path) == Some("testkit");
        let begin = if all_tests { 0 } else { tests_begin(text) };
        for (number, line) in keep(text, Keep::Code).lines().enumerate() {
            for word in ["#[ignore", "todo!(", "unimplemented!("] {
                if line.contains(word) {
                    findings.push(finding(path, number, format!("`{word}`: do it or leave it out")));
                }
            }
            if number >= begin && line.contains("thread::sleep") {
                findings.push(finding(path, number, "a test that sleeps is slow or flaky: wait for the event itself"));
            }
        }
    }
    findings
}

/// The pages people start from exist, stay short and know every crate.
fn documents(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    match tree.text("ARCHITECTURE.md") {
        None => findings.push(finding("ARCHITECTURE.md", 0, "is missing")),
        Some(text) => {
            let lines = text.lines().count();
            if lines > LONGEST_ARCHITECTURE {
                let rule = format!("{lines} lines, at most {LONGEST_ARCHITECTURE}");
                findings.push(finding("ARCHITECTURE.md", LONGEST_ARCHITECTURE, rule));
            }
            for room in tree.crates().filter(|room| !text.lines().any(|line| has_word(line, room))) {
                findings.push(finding("ARCHITECTURE.md", 0, format!("does not mention crate `{room}`")));
            }
        }
    }
    let log = tree.text("CHANGELOG.md").unwrap_or_default();
    if !log.lines().any(|line| line.starts_with("## ") && line.contains("Unreleased")) {
        findings.push(finding("CHANGELOG.md", 0, "has no `## Unreleased` section"));
    }
    findings
}

/// Every key we ship has a stated origin, and every suite has its keys.
fn keyrings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sources = tree.text("keyrings/SOURCES.md").unwrap_or_default();
    for (path, _) in tree.select("keyrings/", "").filter(|(path, _)| !path.ends_with(".md")) {
        if !sources.contains(&path["keyrings/".len()..]) {
            findings.push(finding(path, 0, "keyrings/SOURCES.md does not say where it is from"));
        }
    }
    for (path, text) in tree.select("suites/", ".toml") {
        for (codename, keyrings) in suites(text).unwrap_or_default() {
            if keyrings.is_empty() {
                findings.push(finding(path, 0, format!("`{codename}` has no keyring")));
            }
            for keyring in keyrings.iter().filter(|name| tree.text(&format!("keyrings/{name}")).is_none()) {
                findings.push(finding(path, 0, format!("`{codename}`: keyrings/{keyring} does not exist")));
            }
        }
    }
    findings
}

/// Codename and keyrings of each suite in a file of `suites/`.
fn suites(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let table: toml::Table = toml::from_str(text).map_err(|e| format!("no valid TOML: {}", e.message()))?;
    let suites = table.get("suite").and_then(toml::Value::as_array).ok_or("lists no suite")?;
    let name = |suite: &toml::Value| suite.get("codename")?.as_str().map(str::to_owned);
    let keyrings = |suite: &toml::Value| -> Vec<String> {
        let list = suite.get("keyrings").and_then(toml::Value::as_array);
        list.into_iter().flatten().filter_map(|keyring| keyring.as_str().map(str::to_owned)).collect()
    };
    suites.iter().map(|suite| Ok((name(suite).ok_or("a suite has no codename")?, keyrings(suite)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITES: &str = "[[suite]]\ncodename = \"focal\"\nkeyrings = [\"u.pgp\"]\n[[suite]]\ncodename = \"sid\"\nkeyrings = [\"d.pgp\"]\n";

    /// A tree that keeps every rule.
    fn good() -> Tree {
        let mut tree = Tree::default();
        for (path, text) in [
            ("ARCHITECTURE.md", "# Rooms\n\n`debian` and `fetch`\n"),
            ("CHANGELOG.md", "# Changes\n\n## Unreleased\n"),
            ("crates/debian/Cargo.toml", "[dev-dependencies]\nrootstrap-testkit.workspace = true\n"),
            (
                "crates/debian/src/lib.rs",
                "//! Words.\n\n// focal is a comment\nfn setsid() {}\n\n#[cfg(test)]\nmod tests { const S: &str = \"focal\"; }\n",
            ),
            ("crates/fetch/Cargo.toml", "[dependencies]\nrootstrap-debian.workspace = true\ntoml = \"1\"\n"),
            ("crates/fetch/src/lib.rs", "//! Bytes.\nfn wait() { std::thread::sleep(x); let s = \"todo!(\"; }\n"),
            ("keyrings/SOURCES.md", "u.pgp d.pgp\n"),
            ("keyrings/d.pgp", ""),
            ("keyrings/u.pgp", ""),
            ("suites/all.toml", SUITES),
            ("tests/src/lib.rs", "//! Tests.\n"),
        ] {
            tree.files.push((path.to_owned(), text.to_owned()));
        }
        tree
    }

    /// What is found once one file of the good tree reads otherwise.
    fn with(path: &str, text: &str) -> Vec<String> {
        let mut tree = good();
        tree.files.retain(|(known, _)| known != path);
        tree.files.push((path.to_owned(), text.to_owned()));
        check(&tree).into_iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.rule)).collect()
    }

    #[test]
    fn a_good_tree_passes() {
        assert_eq!(check(&good()), []);
    }

    #[test]
    fn imports_follow_the_table() {
        let found =
            with("crates/debian/Cargo.toml", "[dependencies]\nlibc = \"1\"\nrootstrap-fetch.workspace = true\n");
        assert_eq!(found, ["crates/debian/Cargo.toml:3: `debian` may not import `fetch` (dependencies)"]);
        let found = with("crates/debian/Cargo.toml", "[dependencies]\nrootstrap-testkit.workspace = true\n");
        assert_eq!(found, ["crates/debian/Cargo.toml:2: `debian` may not import `testkit` (dependencies)"]);
        let found = with("crates/fetch/Cargo.toml", "[dev-dependencies.rootstrap-unpack]\nworkspace = true\n");
        assert_eq!(found, ["crates/fetch/Cargo.toml:1: `fetch` may not import `unpack` (dev-dependencies)"]);
        assert!(with("crates/debian/Cargo.toml", "[").iter().any(|f| f.contains("no valid TOML")));
        assert!(
            with("crates/utils/Cargo.toml", "")
                .contains(&"crates/utils/Cargo.toml:1: crate `utils` is missing from the import table".to_owned())
        );
    }

    #[test]
    fn rooms_keep_to_themselves() {
        let code = "//! Words; never std::fs.\nuse std::fs;\n#[cfg(test)]\nuse std::env;\n";
        assert_eq!(
            with("crates/debian/src/arch.rs", code),
            ["crates/debian/src/arch.rs:2: `std::fs` is not for `debian`"]
        );
        assert_eq!(with("crates/fetch/src/cache.rs", code), [""; 0]);
        assert_eq!(with("crates/fetch/src/cache.rs", "//! Cache.\nlet home = std::env::var(x);\n").len(), 1);
    }

    #[test]
    fn files_begin_with_their_purpose() {
        for path in ["crates/debian/src/arch.rs", "tests/tests/cli.rs", "xtask/src/bench.rs"] {
            assert_eq!(with(path, "use x;\n").len(), 1, "{path}");
        }
    }

    #[test]
    fn files_stay_short() {
        let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(400));
        let found = with("crates/debian/src/long.rs", &long);
        assert_eq!(found, ["crates/debian/src/long.rs:401: 401 lines before the tests, at most 400"]);
        let tests = format!("//! Short.\n#[cfg(test)]\n{}", "fn f() {}\n".repeat(400));
        assert_eq!(with("crates/debian/src/long.rs", &tests), [""; 0]);
        for exempt in ["crates/debian/tests/long.rs", "crates/debian/src/version_tests.rs", "tests/src/long.rs"] {
            assert_eq!(with(exempt, &long), [""; 0], "{exempt}");
        }
    }

    #[test]
    fn codenames_are_data() {
        let found = with("crates/fetch/src/pool.rs", "//! Sid may be named here.\nlet focal_quirk = \"sid\";\n");
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("crates/fetch/src/pool.rs:2: codename `focal`"), "{found:?}");
        assert_eq!(with("crates/testkit/src/keys.rs", "//! Keys.\nlet focal = 1;\n"), [""; 0]);
        assert!(with("suites/all.toml", "suite = 1").iter().any(|f| f.contains("lists no suite")));
    }

    #[test]
    fn nothing_is_put_off() {
        for code in ["#[ignore]", "fn f() { todo!() }", "fn f() { unimplemented!(\"x\") }"] {
            assert_eq!(with("tests/tests/cli.rs", &format!("//! Cli.\n{code}\n")).len(), 1, "{code}");
        }
        let sleepy = "//! Waits.\n#[cfg(test)]\nmod tests { fn f() { std::thread::sleep(x) } }\n";
        assert_eq!(with("crates/fetch/src/pool.rs", sleepy).len(), 1);
        assert_eq!(with("crates/testkit/src/server.rs", "//! Server.\nuse std::thread::sleep;\n").len(), 1);
    }

    #[test]
    fn documents_are_kept() {
        let found = with("ARCHITECTURE.md", "# Rooms\n`debian`\n");
        assert_eq!(found, ["ARCHITECTURE.md:1: does not mention crate `fetch`"]);
        let found = with("ARCHITECTURE.md", &format!("debian fetch\n{}", "x\n".repeat(150)));
        assert_eq!(found, ["ARCHITECTURE.md:151: 151 lines, at most 150"]);
        assert_eq!(with("CHANGELOG.md", "# Changes\n"), ["CHANGELOG.md:1: has no `## Unreleased` section"]);
        let mut tree = good();
        tree.files.retain(|(path, _)| path != "ARCHITECTURE.md");
        assert_eq!(check(&tree), [finding("ARCHITECTURE.md", 0, "is missing")]);
    }

    #[test]
    fn keys_have_an_origin_and_suites_have_keys() {
        assert_eq!(with("keyrings/x.pgp", ""), ["keyrings/x.pgp:1: keyrings/SOURCES.md does not say where it is from"]);
        let found = with(
            "suites/more.toml",
            "[[suite]]\ncodename = \"a\"\nkeyrings = [\"a.pgp\"]\n[[suite]]\ncodename = \"b\"\n",
        );
        assert_eq!(
            found,
            ["suites/more.toml:1: `a`: keyrings/a.pgp does not exist", "suites/more.toml:1: `b` has no keyring"]
        );
    }
}
