//! The requests that the oracle makes of rootstrap and of apt: tests/oracle/requests.txt and accepted-plans.txt.

use crate::project;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One line of requests.txt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The name of the suite.
    pub suite: String,
    /// The name of the variant.
    pub variant: String,
    /// Whether recommended packages are wanted.
    pub recommends: bool,
    /// The components, separated by commas.
    pub components: String,
    /// Further pockets: `backports`, …
    pub pockets: Vec<String>,
    /// Further suites of the same mirror, which `--source` names.
    pub sources: Vec<String>,
    /// Preferences, as `--pin` takes them.
    pub pins: Vec<String>,
    /// The packages beyond the variant.
    pub packages: Vec<String>,
}

/// The content of both files.
pub struct Requests {
    /// The requests, in the order of the file.
    pub requests: Vec<Request>,
    /// The packages that are installed with the essential ones, by suite.
    pub first: BTreeMap<String, Vec<String>>,
    /// The differences that are explained.
    pub accepted: Vec<Accepted>,
}

/// One line of accepted-plans.txt.
pub struct Accepted {
    suites: Vec<String>,
    request: String,
    differences: Vec<String>,
    /// Whether the line has explained a difference yet.
    pub used: Cell<bool>,
    /// The number of the line in the file.
    pub number: usize,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.suite, self.rest())
    }
}

impl Request {
    /// Returns everything but the suite.
    fn rest(&self) -> String {
        let mut words = vec![self.variant.as_str()];
        words.extend(self.recommends.then_some("recommends"));
        words.extend((self.components != "main").then_some("universe"));
        let pockets = self.pockets.iter().map(|pocket| format!("+{pocket}"));
        let sources = self.sources.iter().map(|suite| format!("@{suite}"));
        let pins = self.pins.iter().map(|pin| format!("pin:{}", pin.replace(' ', "_")));
        let packages = self.packages.iter().cloned();
        words
            .into_iter()
            .map(str::to_owned)
            .chain(pockets)
            .chain(sources)
            .chain(pins)
            .chain(packages)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Returns what mmdebstrap asks apt for once the essential packages are installed, in the same order.
    pub fn after_essential(&self) -> Vec<String> {
        let mut names = self.packages.clone();
        if self.variant != "essential" {
            names.push("apt".into());
        }
        if self.variant == "buildd" {
            names.push("build-essential".into());
        }
        let priorities = match self.variant.as_str() {
            "minbase" | "buildd" => "?priority(required)",
            "important" => "?or(?priority(required),?priority(important))",
            "standard" => "?or(?priority(required),?priority(important),?priority(standard))",
            _ => return names,
        };
        names.push(format!("?and({priorities},?not(?essential))"));
        names
    }
}

/// Returns the lines that are neither empty nor comments, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let all = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    all.filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

/// Reads `SUITE VARIANT [recommends] [universe] [+POCKET…] [@SUITE…] [pin:PIN…] PACKAGES…`; lines `first SUITE PACKAGES…` are left out.
pub fn parse(text: &str) -> Result<Vec<Request>, String> {
    let requests = lines(text).filter(|(_, line)| !line.starts_with("first "));
    requests
        .map(|(number, line)| {
            let mut words = line.split_whitespace().peekable();
            let (Some(suite), Some(variant)) = (words.next(), words.next()) else {
                return Err(format!("requests.txt, line {number}: not SUITE VARIANT PACKAGES"));
            };
            // `after_essential` has to know what mmdebstrap asks apt for in each variant.
            if !["essential", "apt", "minbase", "buildd", "important", "standard"].contains(&variant) {
                return Err(format!("requests.txt, line {number}: no such variant: {variant}"));
            }
            let recommends = words.next_if_eq(&"recommends").is_some();
            let components = if words.next_if_eq(&"universe").is_some() { "main,universe" } else { "main" };
            let mut pockets = Vec::new();
            while let Some(pocket) = words.next_if(|word| word.starts_with('+')) {
                pockets.push(pocket.trim_start_matches('+').to_owned());
            }
            let mut sources = Vec::new();
            while let Some(suite) = words.next_if(|word| word.starts_with('@')) {
                sources.push(suite.trim_start_matches('@').to_owned());
            }
            let mut pins = Vec::new();
            while let Some(pin) = words.next_if(|word| word.starts_with("pin:")) {
                pins.push(pin.trim_start_matches("pin:").replace('_', " "));
            }
            Ok(Request {
                suite: suite.to_owned(),
                variant: variant.to_owned(),
                recommends,
                components: components.to_owned(),
                pockets,
                sources,
                pins,
                packages: words.map(str::to_owned).collect(),
            })
        })
        .collect()
}

fn parse_first(text: &str) -> BTreeMap<String, Vec<String>> {
    let first = lines(text).filter_map(|(_, line)| line.strip_prefix("first ")?.split_once(' '));
    let owned = |list: &str| list.split_whitespace().map(str::to_owned).collect();
    first.map(|(suite, packages)| (suite.to_owned(), owned(packages))).collect()
}

/// Reads `SUITES VARIANT … PACKAGES… : +only-ours -only-apt's # who is right and why`.
pub fn parse_accepted(text: &str) -> Result<Vec<Accepted>, String> {
    let accepted = lines(text).map(|(number, line)| {
        let bad = |what: &str| format!("accepted-plans.txt, line {number}: {what}");
        let (line, reason) = line.split_once(" # ").ok_or_else(|| bad("no reason"))?;
        if reason.trim().len() < 10 {
            return Err(bad("the reason says nothing"));
        }
        let (asked, differences) = line.split_once(" : ").ok_or_else(|| bad("no differences"))?;
        let (suites, request) = asked.split_once(' ').ok_or_else(|| bad("no request"))?;
        let owned = |text: &str| text.to_owned();
        let differences: Vec<String> = differences.split_whitespace().map(owned).collect();
        if !differences.iter().all(|entry| entry.starts_with(['+', '-'])) {
            return Err(bad("a difference begins with + or -"));
        }
        let request = request.split_whitespace().collect::<Vec<_>>().join(" ");
        let suites = suites.split(',').map(owned).collect();
        Ok(Accepted { suites, request, differences, used: Cell::new(false), number })
    });
    accepted.collect()
}

impl Accepted {
    /// Whether the line is about that request.
    pub fn applies(&self, request: &Request) -> bool {
        self.suites.contains(&request.suite) && self.request == request.rest()
    }

    /// Returns the differences that the line explains, each with its sign and name.
    pub fn differences(&self) -> BTreeSet<&str> {
        self.differences.iter().map(String::as_str).collect()
    }
}

/// Reads the project's own files.
pub fn read() -> Result<Requests, String> {
    let read = |name: &str| {
        let path = project::directory().join("tests/oracle").join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let text = read("requests.txt")?;
    let accepted = parse_accepted(&read("accepted-plans.txt")?)?;
    Ok(Requests { requests: parse(&text)?, first: parse_first(&text), accepted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_shown_alike() {
        let line = "s buildd recommends universe +backports @y pin:a_release_n=x_900 a b";
        let request = parse(line).unwrap().remove(0);
        assert_eq!(request.to_string(), line);
        assert_eq!(request.pins, ["a release n=x 900"]);
        let asked = ["a", "b", "apt", "build-essential", "?and(?priority(required),?not(?essential))"];
        assert_eq!(request.after_essential(), asked);
        assert!(parse("s nothing a").is_err() && parse("s").is_err());
        assert!(parse_accepted("s minbase a : x # says it all").is_err());
        assert!(parse_accepted("s minbase a : +x").is_err());
    }

    #[test]
    fn the_files_are_well_formed() {
        let all = read().unwrap();
        assert!(all.requests.len() >= 70);
        let known = |line: &Accepted| all.requests.iter().any(|request| line.applies(request));
        assert!(all.accepted.iter().all(known));
        let texts: BTreeSet<String> = all.requests.iter().map(Request::to_string).collect();
        assert_eq!(texts.len(), all.requests.len());
    }
}
