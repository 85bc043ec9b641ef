//! Reads the accepted differences: a file in which each line says which tool is right and why.

use super::tree::{Difference, KINDS};
use std::cell::Cell;

/// One line of the file.
pub struct Accepted {
    suites: String,
    variants: String,
    against: String,
    path: String,
    kinds: String,
    used: Cell<bool>,
    line: usize,
}

/// Which comparison is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The suite that the tools are given.
    pub suite: String,
    /// The variant that the tools are given. The name of a set of packages may follow after a `+`.
    pub variant: String,
    /// The other tool.
    pub against: String,
}

/// Reads `SUITES VARIANTS AGAINST PATH KINDS  # who is right and why`.
pub fn parse(text: &str) -> Result<Vec<Accepted>, String> {
    let mut all = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let bad = |what: &str| format!("accepted differences, line {number}: {what}");
        let (fields, reason) = line.split_once(" # ").ok_or_else(|| bad("no reason"))?;
        if reason.trim().len() < 10 {
            return Err(bad("the reason says nothing"));
        }
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let &[suites, variants, against, path, kinds] = fields.as_slice() else {
            return Err(bad("not SUITES VARIANTS AGAINST PATH KINDS"));
        };
        if let Some(kind) = kinds.split(',').find(|kind| !KINDS.contains(kind)) {
            return Err(bad(&format!("no kind of difference: {kind}")));
        }
        if !path.starts_with('/') || path.trim_end_matches("/**").contains('*') {
            return Err(bad("a path is exact, or ends in /**"));
        }
        let own = |text: &str| text.to_owned();
        all.push(Accepted {
            suites: own(suites),
            variants: own(variants),
            against: own(against),
            path: own(path),
            kinds: own(kinds),
            used: Cell::new(false),
            line: number,
        });
    }
    Ok(all)
}

/// Whether `list`, separated by commas, holds `word`; `*` holds all.
fn lists(list: &str, word: &str) -> bool {
    list == "*" || list.split(',').any(|item| item == word)
}

impl Accepted {
    fn applies(&self, to: &Comparison) -> bool {
        // A line for a variant also applies to the variant with more packages.
        let with_packages = to.variant.split_once('+').map(|(plain, _)| (plain, format!("{plain}+*")));
        let is_listed = |(plain, any): (&str, String)| lists(&self.variants, plain) || lists(&self.variants, &any);
        lists(&self.suites, &to.suite)
            && (lists(&self.variants, &to.variant) || with_packages.is_some_and(is_listed))
            && lists(&self.against, &to.against)
    }

    fn covers(&self, difference: &Difference) -> bool {
        let path = match self.path.strip_suffix("/**") {
            Some(tree) => difference.path.strip_prefix(tree).is_some_and(|rest| rest.starts_with('/')),
            None => self.path == difference.path,
        };
        path && lists(&self.kinds, difference.kind)
    }
}

/// Returns how many differences are accepted, by the list or because no two builds have the same content there, and the other ones.
pub fn sift(found: Vec<Difference>, list: &[Accepted], to: &Comparison) -> (usize, Vec<Difference>) {
    let all = found.len();
    let rest: Vec<Difference> = found
        .into_iter()
        .filter(|difference| {
            // All matching lines count as used: two of them may cover one difference for two reasons.
            let lines = list.iter().filter(|line| line.applies(to) && line.covers(difference));
            // Two builds of most suites have the same index of manual pages, so it needs a line where it differs.
            let can_be_equal = difference.path == "/var/cache/man/index.db"
                || rootstrap_normalize::varying(&difference.path).is_none();
            let is_content = matches!(difference.kind, "content" | "order");
            lines.fold(!is_content || can_be_equal, |_, line| {
                line.used.set(true);
                false
            })
        })
        .collect();
    (all - rest.len(), rest)
}

/// Returns the lines that are only for this suite or variant and accepted nothing. They are probably out of date.
pub fn unused(list: &[Accepted], to: &Comparison) -> Vec<String> {
    let unused = list.iter().filter(|line| line.applies(to) && !line.used.get());
    unused.map(|line| format!("line {}: {} {}", line.line, line.path, line.kinds)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(kind: &'static str, path: &str) -> Difference {
        Difference { kind, path: path.into(), detail: String::new() }
    }

    fn cell(variant: &str) -> Comparison {
        Comparison { suite: "trixie".into(), variant: variant.into(), against: "mmdebstrap".into() }
    }

    #[test]
    fn lines_accept_what_they_say_and_no_more() {
        let list = parse(
            "# comment\n\
             * * mmdebstrap /etc/hostname missing,content # theirs is the name of the host\n\
             bookworm,trixie minbase * /var/log/** extra # logs by nature differ between builds\n\
             sid * * /never mode # only of use in sid, so not unused here\n\
             * * * /stale mode # nothing needs this line any more\n",
        )
        .unwrap();
        let found = vec![
            difference("missing", "/etc/hostname"),
            difference("mode", "/etc/hostname"),
            difference("extra", "/var/log/a/b"),
            difference("extra", "/var/log"),
            difference("extra", "/var/logs"),
            difference("mode", "/never"),
            // No two builds have the same key.
            difference("content", "/etc/ssh/ssh_host_rsa_key"),
            difference("mode", "/etc/ssh/ssh_host_rsa_key"),
        ];
        let (accepted, rest) = sift(found, &list, &cell("minbase"));
        assert_eq!(accepted, 3);
        let rest: Vec<_> = rest.iter().map(|rest| (rest.kind, rest.path.as_str())).collect();
        assert_eq!(
            rest,
            [
                ("mode", "/etc/hostname"),
                ("extra", "/var/log"),
                ("extra", "/var/logs"),
                ("mode", "/never"),
                ("mode", "/etc/ssh/ssh_host_rsa_key")
            ]
        );
        assert_eq!(unused(&list, &cell("minbase")), ["line 5: /stale mode"]);
    }

    #[test]
    fn lines_of_a_variant_hold_for_it_with_more_packages() {
        let list = parse(
            "* minbase * /base mode # of the variant, whatever comes on top\n\
             * minbase+x * /set mode # of that set of packages alone\n\
             * minbase+* * /any mode # of every set of packages\n",
        )
        .unwrap();
        let found = || ["/base", "/set", "/any"].map(|path| difference("mode", path)).into();
        assert_eq!(sift(found(), &list, &cell("minbase")).0, 1);
        assert_eq!(sift(found(), &list, &cell("minbase+x")).0, 3);
        assert_eq!(sift(found(), &list, &cell("minbase+y")).0, 2);
        assert_eq!(sift(found(), &list, &cell("important")).0, 0);
    }

    #[test]
    fn careless_lines_are_refused() {
        for (line, expected) in [
            ("* * * /a mode", "no reason"),
            ("* * * /a mode # because", "says nothing"),
            ("* * /a mode # a field is missing here", "not SUITES"),
            ("* * * /a* mode # a pattern within a name", "exact"),
            ("* * * a mode # a path without its slash", "exact"),
            ("* * * /a colour # a kind that does not exist", "colour"),
        ] {
            let error = parse(line).err().unwrap();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn the_projects_own_list_is_well_formed() {
        let path = crate::project::directory().join("tests/oracle/accepted-differences.txt");
        parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    }
}
