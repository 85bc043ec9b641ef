//! In which way two texts differ.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The most lines that are shown for one text.
const LINES: usize = 12;

/// Returns the lines that only one side has. In dpkg's database each line also shows its stanza.
pub(super) fn diff(ours: &str, theirs: &str) -> String {
    let (ours, theirs) = (lines(ours), lines(theirs));
    let count = |lines: &[String]| {
        let mut counts = BTreeMap::<String, i64>::new();
        for line in lines {
            *counts.entry(line.clone()).or_default() += 1;
        }
        counts
    };
    let (mut left, right) = (count(&ours), count(&theirs));
    for (line, number) in right {
        *left.entry(line).or_default() -= number;
    }
    let only: Vec<String> = ours
        .iter()
        .filter(|line| left.get(*line).is_some_and(|&count| count > 0))
        .map(|line| format!("ours   + {line}"))
        .chain(
            theirs
                .iter()
                .filter(|line| left.get(*line).is_some_and(|&count| count < 0))
                .map(|line| format!("theirs + {line}")),
        )
        .collect();
    let mut text = String::new();
    if only.is_empty() {
        let first = ours.iter().zip(&theirs).position(|(our, their)| our != their);
        let at = first.map_or_else(
            || "at the end".into(),
            |at| format!("from line {}: {}", at + 1, ours.get(at).cloned().unwrap_or_default()),
        );
        let _ = write!(text, "\n      the same lines in another order or ended otherwise, {at}");
    }
    for line in only.iter().take(LINES) {
        let _ = write!(text, "\n      {line}");
    }
    if only.len() > LINES {
        let _ = write!(text, "\n      … {} more lines", only.len() - LINES);
    }
    text
}

/// Returns the stanzas of dpkg's status, sorted, because dpkg before 1.19.1 wrote them in the order of its hash table.
/// The fields that an archive can override are left out.
pub(super) fn unclassified(status: &str) -> Vec<String> {
    let kept = |line: &&str| !line.starts_with("Priority: ") && !line.starts_with("Section: ");
    let stanzas = status.split("\n\n").map(|stanza| stanza.lines().filter(kept).collect::<Vec<_>>().join("\n"));
    let mut stanzas: Vec<String> = stanzas.filter(|stanza| !stanza.is_empty()).collect();
    stanzas.sort();
    stanzas
}

/// Returns the lines of a shadow file without the day of the last change.
pub(super) fn undated(shadow: &str) -> Vec<Vec<&str>> {
    let fields = |line| str::split(line, ':').enumerate().filter(|(at, _)| *at != 2).map(|(_, field)| field).collect();
    shadow.lines().map(fields).collect()
}

/// Returns whether two texts differ only in the order of their lines.
pub(super) fn same_lines(ours: &str, theirs: &str) -> bool {
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    sorted(ours) == sorted(theirs)
}

fn lines(text: &str) -> Vec<String> {
    let mut package = None;
    text.lines()
        .map(|line| {
            if let Some(name) = line.strip_prefix("Package: ") {
                package = Some(name);
            }
            package.map_or_else(|| line.to_owned(), |package| format!("[{package}] {line}"))
        })
        .collect()
}

/// Returns the lines of a file of users or groups without the numbers, sorted, because the numbers follow from the order; `None` for any
/// other file.
pub(super) fn unnumbered<'t>(path: &[u8], text: &'t str) -> Option<Vec<Vec<&'t str>>> {
    let numbers: &[usize] = match path.strip_suffix(b"-").unwrap_or(path) {
        b"etc/passwd" => &[2, 3],
        b"etc/group" => &[2],
        _ => return None,
    };
    let fields = |line| {
        let all = str::split(line, ':').enumerate();
        all.filter(|(at, _)| !numbers.contains(at)).map(|(_, field)| field).collect()
    };
    let mut lines: Vec<Vec<&str>> = text.lines().map(fields).collect();
    lines.sort_unstable();
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_database_name_their_stanza() {
        let text = diff(
            "Package: a\nSection: x\n\nPackage: b\nSection: x\n",
            "Package: a\nSection: x\n\nPackage: b\nSection: y\n",
        );
        assert_eq!(text, "\n      ours   + [b] Section: x\n      theirs + [b] Section: y");
        assert!(diff("a\nb\n", "b\na\n").contains("another order or ended otherwise, from line 1: a"));
        assert!(same_lines("a\nb\n", "b\na\n") && !same_lines("a\na\nb\n", "a\nb\nb\n"));
    }
}
