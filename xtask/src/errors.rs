//! `cargo xtask errors`: makes docs/errors.md from the transcript that the tests compare with what the program prints.

use std::path::Path;

/// The transcript.
pub const TRANSCRIPT: &str = "tests/tests/cli/errors.txt";

/// The page.
pub const PAGE: &str = "docs/errors.md";

const HEAD: &str = "\
# Messages

What rootstrap says when something is wrong: commands, what they print and their exit status. A message says what could not be done and why;
`because:` names what lies beneath, `hint:` the way out. Exit status 1 is a failure that another attempt may heal, 2 a request that makes no sense as it
stands, 3 something from the mirror that is not what it should be.

`cargo xtask errors` makes this page from the transcript of a test, so all of it is what the program prints.
";

/// What the commands of the transcript have for the test alone, and what a reader sees in its place.
const FOR_READERS: [(&str, &str); 12] = [
    (" --mirror $MIRROR/debian --keyring key.pgp", ""),
    (" --mirror $MIRROR --keyring key.pgp", ""),
    (" --keyring key.pgp", ""),
    (" --retries=0", ""),
    (" -q", ""),
    (" no_proxy=", ""),
    ("$MIRROR", "http://mirror.example"),
    ("MIRROR", "http://mirror.example"),
    ("DIR/tmp", "/tmp"),
    ("DIR/", "/home/me/"),
    ("NOW", "2026-12-01T03:57:22Z"),
    ("PID", "4711"),
];

/// Writes the page.
pub fn run(top: &Path) -> Result<(), String> {
    let text =
        std::fs::read_to_string(top.join(TRANSCRIPT)).map_err(|error| format!("cannot read {TRANSCRIPT}: {error}"))?;
    std::fs::write(top.join(PAGE), page(&text)).map_err(|error| format!("cannot write {PAGE}: {error}"))
}

/// Returns the page for a transcript.
pub fn page(transcript: &str) -> String {
    let mut page = HEAD.to_owned();
    for block in transcript.trim().split("\n\n") {
        if let Some(title) = block.strip_prefix("# ") {
            page += &format!("\n## {}\n", title.trim());
            continue;
        }
        let lines = |mark: &str| block.lines().filter_map(|line| line.strip_prefix(mark)).collect::<Vec<_>>();
        let prose = lines("> ").join("\n");
        if !prose.is_empty() {
            page += &format!("\n{prose}\n");
        }
        let status = lines("= ").concat();
        let is_output = |line: &&str| ["> ", "% ", "$ ", "= "].iter().all(|mark| !line.starts_with(mark));
        let mut shown: Vec<String> = lines("$ ").iter().map(|line| format!("$ {line}")).collect();
        shown.extend(block.lines().filter(is_output).map(str::to_owned));
        let shown = FOR_READERS.iter().fold(shown.join("\n"), |text, (what, with)| text.replace(what, with));
        page += &format!("\n```\n{shown}\n(status {status})\n```\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_becomes_a_block() {
        let text = "# Suites\n\n> Names are looked up.\n% touch x\n$ rootstrap trixi out -q --keyring key.pgp\nerror: no\n= 2\n";
        let expected =
            "\n## Suites\n\nNames are looked up.\n\n```\n$ rootstrap trixi out\nerror: no\n(status 2)\n```\n";
        assert_eq!(page(text).strip_prefix(HEAD), Some(expected));
    }
}
