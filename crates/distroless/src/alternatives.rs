//! Alternatives, read from the scripts that would register them. Each call with literal arguments gives a link for each of its
//! programs.
//!
//! Scripts call `update-alternatives --install LINK NAME PATH PRIORITY [--slave LINK NAME PATH]…` (update-alternatives(1)).
//! No script is run. The value of a variable is not known, so calls with variables are skipped.

use crate::error::{Result, go_on};
use crate::link::link;
use rootstrap_rootfs::Root;
use std::sync::atomic::AtomicBool;

/// A program that provides the path of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    link: String,
    path: String,
    priority: i64,
}

impl Alternative {
    /// Returns the alternatives that a postinst registers with literal arguments, in the order of the script.
    #[must_use]
    pub fn in_script(postinst: &[u8]) -> Vec<Self> {
        Self::read(&String::from_utf8_lossy(postinst))
    }

    fn read(script: &str) -> Vec<Self> {
        let script = script.replace("\\\n", " ");
        let calls = script.lines().filter_map(|line| line.split_once("update-alternatives "));
        calls.filter(|(before, _)| !before.contains('#')).flat_map(|(_, call)| Self::parse(call)).collect()
    }

    /// Parses the arguments of one call.
    fn parse(call: &str) -> Vec<Self> {
        let end = call.find([';', '|', '&', '>', '<', '#', ')']).unwrap_or(call.len());
        let words: Vec<&str> = call.get(..end).unwrap_or_default().split_ascii_whitespace().collect();
        let words = words.as_slice();
        let Some((at, rest)) =
            words.iter().position(|word| *word == "--install").and_then(|at| Some((at, words.get(at + 1..at + 5)?)))
        else {
            return Vec::new();
        };
        let [link, _, path, priority] = rest else { return Vec::new() };
        let Ok(priority) = priority.parse() else { return Vec::new() };
        let mut pairs = vec![(*link, *path)];
        let slaves = words.get(at + 5..).unwrap_or_default();
        for (number, _) in slaves.iter().enumerate().filter(|(_, word)| **word == "--slave") {
            if let Some([link, _, path]) = slaves.get(number + 1..number + 4) {
                pairs.push((link, path));
            }
        }
        let alternatives = pairs.into_iter().filter(|(link, path)| is_plain(link) && is_plain(path));
        alternatives.map(|(link, path)| Self { link: link.to_owned(), path: path.to_owned(), priority }).collect()
    }

    /// Creates the links of those alternatives whose program exists. The highest priority wins; among equal priorities, the
    /// first in `all` wins. Existing files and links stay.
    pub(crate) fn link(root: &Root, all: &[Self], epoch: i64, cancel: &AtomicBool) -> Result<()> {
        let mut order: Vec<&Self> = all.iter().collect();
        order.sort_by_key(|alternative| std::cmp::Reverse(alternative.priority));
        for alternative in order {
            go_on(cancel)?;
            if root.leads_somewhere(alternative.path.as_bytes())? {
                link(root, &alternative.link, alternative.path.as_bytes(), epoch)?;
            }
        }
        Ok(())
    }
}

/// Returns whether `path` is absolute, has no empty or dot components, and has no character that a shell expands.
fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && !path.ends_with('/')
        && path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."))
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+:@,".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_with_literal_arguments_count() {
        let read = |script: &str| {
            let found = Alternative::read(script).into_iter();
            found.map(|a| format!("{} {} {}", a.link, a.path, a.priority)).collect::<Vec<_>>()
        };
        let script = "#!/bin/sh\nupdate-alternatives --install /usr/lib/b.so.3 \\\n  b.so.3-x /usr/lib/blas/b.so.3 10 \\\n\
                      \t--slave /usr/lib/b.so b /usr/lib/blas/b.so || true\n";
        assert_eq!(read(script), ["/usr/lib/b.so.3 /usr/lib/blas/b.so.3 10", "/usr/lib/b.so /usr/lib/blas/b.so 10"]);
        assert_eq!(
            read("  update-alternatives --quiet --install /usr/bin/a a /usr/bin/b 50; fi"),
            ["/usr/bin/a /usr/bin/b 50"]
        );
        for other in [
            "update-alternatives --install /usr/bin/${binary} a /usr/bin/b 50",
            "update-alternatives --install /usr/bin/a a $path 50",
            "update-alternatives --install /usr/bin/a a /usr/bin/b $priority",
            "# update-alternatives --install /usr/bin/a a /usr/bin/b 50",
            "update-alternatives --install /usr/bin/../../x a /usr/bin/b 50",
            "update-alternatives --install usr/bin/a a /usr/bin/b 50",
            "update-alternatives --install /usr/bin/a a",
            "update-alternatives --remove a /usr/bin/b",
            "update-alternatives",
        ] {
            assert_eq!(read(other), [""; 0], "{other}");
        }
    }
}
