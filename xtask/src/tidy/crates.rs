//! Rules about what each crate may import, and what it must never use.

use super::source::{Keep, has_word, tokens, without_tests};
use super::tree::{Finding, Tree, crate_of, finding, is_test_file};

/// Which crate may import which. A new import is a decision: ARCHITECTURE.md gives the reason before the import is
/// added here.
const MAY_IMPORT: [(&str, &[&str]); 19] = [
    ("debian", &[]),
    ("suites", &["debian"]),
    ("http", &[]),
    ("cache", &["http"]),
    ("resolve", &["debian"]),
    ("fetch", &["debian", "http", "cache"]),
    ("lock", &["debian"]),
    ("rootfs", &[]),
    ("unpack", &["debian", "rootfs"]),
    ("configure", &["debian", "rootfs"]),
    ("normalize", &["rootfs"]),
    ("distroless", &["debian", "rootfs"]),
    ("image", &["rootfs"]),
    ("sbom", &["debian"]),
    ("registry", &["http"]),
    (
        "bootstrap",
        &[
            "debian",
            "suites",
            "http",
            "cache",
            "resolve",
            "fetch",
            "lock",
            "rootfs",
            "unpack",
            "configure",
            "normalize",
            "distroless",
            "image",
            "sbom",
            "registry",
        ],
    ),
    ("project", &["bootstrap"]),
    ("cli", &["bootstrap", "project"]),
    ("testkit", &["debian"]),
];

/// Input and output, threads and clocks, which a crate of pure functions must not use.
const IMPURE: &[&str] = &["std::fs", "std::net", "std::thread", "std::env", "std::process", "SystemTime", "Instant"];

/// The names that the code of a crate must not contain.
const NEVER: [(&str, &[&str]); 16] = [
    ("debian", IMPURE),
    ("suites", IMPURE),
    ("http", &["env::var", "env::vars", "process::Command", "InRelease", "Manifest", "Registry"]),
    ("cache", &["env::var", "env::vars", "process::Command", "TcpStream"]),
    ("resolve", IMPURE),
    ("fetch", &["env::var", "env::vars", "process::Command"]),
    ("lock", IMPURE),
    ("rootfs", &["env::var", "env::vars", "process::Command", "TcpStream"]),
    ("unpack", &["env::var", "env::vars", "process::Command", "TcpStream"]),
    ("configure", &["env::var", "env::vars", "TcpStream"]),
    ("normalize", &["env::var", "env::vars", "process::Command", "TcpStream", "SystemTime", "Instant"]),
    ("distroless", &["env::var", "env::vars", "process::Command", "TcpStream", "SystemTime", "Instant"]),
    ("image", &["env::var", "env::vars", "TcpStream", "SystemTime", "Instant"]),
    ("sbom", IMPURE),
    ("registry", &["env::var", "env::vars", "process::Command", "read_dir", "OpenOptions"]),
    ("bootstrap", &["env::var", "env::vars", "env::args", "process::Command"]),
];

/// Types whose value can change in a `static`, besides those that begin with `Atomic`.
const CHANGING: [&str; 9] =
    ["OnceLock", "OnceCell", "Once", "Mutex", "RwLock", "Cell", "RefCell", "UnsafeCell", "Condvar"];

/// Crates import only what the table allows. Tests of every crate may use `testkit`.
pub fn imports(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.select("crates/", "/Cargo.toml") {
        let Some(name) = crate_of(path) else { continue };
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(known, _)| *known == name) else {
            findings.push(finding(path, 0, format!("crate `{name}` is missing from the import table")));
            continue;
        };
        let table: toml::Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => {
                findings.push(finding(path, 0, format!("not valid TOML: {}", error.message())));
                continue;
            }
        };
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let dependencies = table.get(section).and_then(toml::Value::as_table);
            for dependency in dependencies.into_iter().flat_map(toml::Table::keys) {
                let Some(other) = dependency.strip_prefix("rootstrap-") else { continue };
                let for_tests = other == "testkit" && section == "dev-dependencies";
                if !for_tests && !allowed.contains(&other) {
                    let line = text.lines().position(|line| line.starts_with(dependency)).unwrap_or(0);
                    findings.push(finding(path, line, format!("`{name}` may not import `{other}` ({section})")));
                }
            }
        }
    }
    findings
}

/// No crate contains a name that is not for it.
pub fn nevers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, words) in NEVER {
        for (path, text) in tree.select(&format!("crates/{name}/src/"), ".rs").filter(|(path, _)| !is_test_file(path)) {
            for (number, line) in without_tests(text, Keep::Code).lines().enumerate() {
                for word in words.iter().filter(|word| has_word(line, word)) {
                    findings.push(finding(path, number, format!("`{word}` is not for `{name}`")));
                }
            }
        }
    }
    findings
}

/// No crate but `cli` keeps state for the whole process. `suites` may parse its own data once.
pub fn state(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.select("crates/", ".rs").filter(|(path, _)| path.contains("/src/") && !is_test_file(path))
    {
        let name = crate_of(path);
        if name == Some("cli") {
            continue;
        }
        let code = without_tests(text, Keep::Code);
        let tokens = tokens(&code);
        for (at, token) in tokens.iter().enumerate() {
            let changes = |word: &str| {
                CHANGING.contains(&word)
                    || word.starts_with("Atomic")
                    || word == "mut"
                    || (word == "LazyLock" && name != Some("suites"))
            };
            let declaration = tokens[at..].iter().take_while(|token| !["=", ";"].contains(&token.text));
            let culprit = match token.text {
                "static" => declaration.map(|token| token.text).find(|word| changes(word)),
                "thread_local" => Some("thread_local!"),
                _ => None,
            };
            if let Some(culprit) = culprit {
                let rule = format!("a `static` of `{culprit}` is state of the whole process: hand it in");
                findings.push(finding(path, token.line, rule));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(findings: Vec<Finding>) -> Vec<String> {
        findings.into_iter().map(|found| format!("{}: {}", found.line, found.rule)).collect()
    }

    #[test]
    fn imports_follow_the_table() {
        let of = |name: &str, text: &str| rules(imports(&Tree::of(&[(&format!("crates/{name}/Cargo.toml"), text)])));
        let found = of("debian", "[dependencies]\nlibc = \"1\"\nrootstrap-fetch.workspace = true\n");
        assert_eq!(found, ["3: `debian` may not import `fetch` (dependencies)"]);
        let found = of("debian", "[dependencies]\nrootstrap-testkit.workspace = true\n");
        assert_eq!(found, ["2: `debian` may not import `testkit` (dependencies)"]);
        let found = of("debian", "[dev-dependencies]\nrootstrap-image = \"1\"\n");
        assert_eq!(found, ["2: `debian` may not import `image` (dev-dependencies)"]);
        let found = of("utils", "");
        assert_eq!(found, ["1: crate `utils` is missing from the import table"]);
        assert!(of("debian", "[").concat().contains("not valid TOML"));
        assert_eq!(of("debian", "[dev-dependencies]\nrootstrap-testkit.workspace = true\n"), [""; 0]);
        assert_eq!(of("fetch", "[dependencies]\nrootstrap-http.workspace = true\ntoml = \"1\"\n"), [""; 0]);
    }

    #[test]
    fn names_that_are_not_for_a_crate_are_found() {
        let of = |path: &str, text: &str| rules(nevers(&Tree::of(&[(path, text)])));
        let found = of("crates/debian/src/lib.rs", "use std::fs;\n#[cfg(test)]\nmod tests { use std::fs; }\n");
        assert_eq!(found, ["1: `std::fs` is not for `debian`"]);
        let found = of("crates/debian/src/lib.rs", "#[cfg(test)]\nmod x_tests;\nuse std::fs;\n");
        assert_eq!(found, ["3: `std::fs` is not for `debian`"]);
        let found = of("crates/fetch/src/pool.rs", "fn f() { std::env::var(\"X\") }\n");
        assert_eq!(found, ["1: `env::var` is not for `fetch`"]);
        assert_eq!(of("crates/distroless/src/java.rs", "use std::process::Command;\n").len(), 1);
        assert_eq!(of("crates/debian/tests/x.rs", "use std::fs;\n"), [""; 0]);
    }

    #[test]
    fn state_of_the_process_is_found() {
        let of = |path: &str, text: &str| rules(state(&Tree::of(&[(path, text)])));
        let path = "crates/fetch/src/pool.rs";
        for kind in ["OnceLock<u8>", "std::sync::Mutex<Vec<u8>>", "AtomicBool", "LazyLock<Mutex<u8>>", "LazyLock<u8>"] {
            assert_eq!(of(path, &format!("fn f() {{\n    static X: {kind} = new();\n}}\n")).len(), 1, "{kind}");
        }
        let found = of(path, "\nstatic X: OnceLock<u8> = OnceLock::new();\n");
        assert_eq!(found, ["2: a `static` of `OnceLock` is state of the whole process: hand it in"]);
        assert_eq!(of(path, "static mut X: u8 = 0;").len(), 1);
        assert_eq!(of(path, "thread_local! {}").len(), 1);
        assert_eq!(of("crates/suites/src/lib.rs", "static X: LazyLock<Mutex<u8>> = y;").len(), 1);
        let fine = "static X: &str = \"\";\nfn f(x: &'static Mutex<u8>) { let m = Mutex::new(0); }";
        assert_eq!(of(path, fine), [""; 0]);
        assert_eq!(of("crates/suites/src/lib.rs", "static X: LazyLock<Vec<u8>> = y;"), [""; 0]);
        assert_eq!(of("crates/cli/src/main.rs", "static X: AtomicBool = y;"), [""; 0]);
        assert_eq!(of(path, "#[cfg(test)]\nmod tests { static X: AtomicBool = y; }"), [""; 0]);
    }
}
