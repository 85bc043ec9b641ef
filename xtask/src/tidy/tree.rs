//! The source tree as the rules see it, and what a rule finds in it.

use std::fs;
use std::path::Path;

/// Text files by path from the top. A file that is not text has an empty text.
#[derive(Default)]
pub struct Tree {
    files: Vec<(String, String)>,
}

/// A place where a rule is broken.
#[derive(Debug, PartialEq)]
pub struct Finding {
    /// The file, from the top.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong on the line.
    pub rule: String,
}

/// A finding on a line that is counted from 0.
pub fn finding(path: &str, line: usize, rule: impl Into<String>) -> Finding {
    Finding { path: path.to_owned(), line: line + 1, rule: rule.into() }
}

impl Tree {
    /// Returns a tree of these files.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// Reads a file, or all files of a directory and of those below it.
    pub fn add(&mut self, top: &Path, name: &str) -> std::io::Result<()> {
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

    /// The text of a file, if there is such a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|(known, _)| known == path).map(|(_, text)| text.as_str())
    }

    /// Returns paths and texts of the files whose path begins with `start` and ends with `end`.
    pub fn select(&self, start: &str, end: &str) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| path.starts_with(start) && path.ends_with(end))
    }

    /// All Rust files.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        ["crates/", "tests/", "xtask/"].into_iter().flat_map(|place| self.select(place, ".rs"))
    }

    /// The Rust files of the packages themselves, without their tests.
    pub fn program(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rust().filter(|(path, _)| path.contains("/src/") && !is_test_file(path))
    }

    /// The names of the crates, which are those of their directories in `crates/`.
    pub fn crates(&self) -> impl Iterator<Item = &str> {
        self.select("crates/", "/Cargo.toml").filter_map(|(path, _)| crate_of(path))
    }
}

/// The crate that a file belongs to: `crates/CRATE/...`.
pub fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

/// Returns whether a file holds only tests and helpers of tests.
pub fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("tests/")
        || path.contains("/tests/")
        || ["_test.rs", "_tests.rs"].iter().any(|end| name.ends_with(end))
        || name == "tests.rs"
}
