//! A request on a small made-up archive, and what is expected of it.

use crate::{Error, Index, Plan, Planned, Request, Variant, plan};
use rootstrap_debian::packages::Table;
use rootstrap_debian::preferences::parse_line;
use rootstrap_debian::release::Release;
use std::sync::atomic::AtomicBool;

/// A request on an archive. Stanzas may lack fields that do not matter to the test.
pub(super) struct Case {
    pub(super) says: &'static str,
    pockets: Vec<Vec<String>>,
    /// What the Release file of each pocket says, and the host that sends it.
    releases: Vec<(Release, &'static str)>,
    request: Request,
    cancel: AtomicBool,
}

/// Returns the case with these stanzas, which are separated by empty lines. Its variant is `custom` until it is changed.
/// `says` describes the case in messages.
pub(super) fn case(says: &'static str, archive: &str) -> Case {
    let request = Request { variant: Variant::Custom, architecture: "amd64".to_owned(), ..Request::default() };
    Case { says, pockets: Vec::new(), releases: Vec::new(), request, cancel: AtomicBool::new(false) }.pocket(archive)
}

pub(super) fn names(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

impl Case {
    pub(super) fn pocket(mut self, archive: &str) -> Self {
        let stanzas = archive.split("\n\n").map(|stanza| {
            let lines: Vec<&str> = stanza.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let mut stanza = lines.join("\n") + "\n";
            for (field, value) in [
                ("Version", "1"),
                ("Architecture", "amd64"),
                ("Priority", "optional"),
                ("Filename", "pool/x.deb"),
                ("Size", "10"),
                ("Installed-Size", "2"),
                ("SHA256", &"ab".repeat(32)),
            ] {
                if !lines.iter().any(|line| line.starts_with(&format!("{field}:"))) {
                    stanza += &format!("{field}: {value}\n");
                }
            }
            stanza
        });
        self.pockets.push(stanzas.collect());
        self.releases.push((Release::default(), ""));
        self
    }

    /// Adds a pocket whose Release file says this, from a host.
    pub(super) fn pocket_of(self, release: Release, site: &'static str, archive: &str) -> Self {
        let mut case = self.pocket(archive);
        case.releases.pop();
        case.releases.push((release, site));
        case
    }

    /// Adds preferences, one in each line.
    pub(super) fn pins(mut self, lines: &str) -> Self {
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        self.request.preferences.extend(lines.map(|line| parse_line(line).unwrap()));
        self
    }

    /// Checks the versions in the plan, written as `a 1, b 2`, in the order of names.
    #[track_caller]
    pub(super) fn takes(self, expected: &str) {
        let plan = self.run().unwrap_or_else(|error| panic!("{}: {error}", self.says));
        let mut found: Vec<String> = plan.packages().map(|(_, p)| format!("{} {}", p.name, p.version)).collect();
        found.sort();
        assert_eq!(found.join(", "), expected, "{}", self.says);
    }

    pub(super) fn variant(mut self, variant: Variant) -> Self {
        self.request.variant = variant;
        self
    }

    pub(super) fn include(mut self, list: &str) -> Self {
        self.request.include = names(list);
        self
    }

    pub(super) fn exclude(mut self, list: &str) -> Self {
        self.request.exclude = names(list);
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Request)) -> Self {
        change(&mut self.request);
        self
    }

    pub(super) fn cancelled(mut self) -> Self {
        self.cancel = AtomicBool::new(true);
        self
    }

    pub(super) fn run_on(&self, order: impl Fn(&mut Vec<String>)) -> Result<Plan, Error> {
        let mut pockets = self.pockets.clone();
        pockets.iter_mut().for_each(order);
        // Each architecture has an index of its own, and the packages for `all` are in that of the native one.
        let architectures = || [&self.request.architecture].into_iter().chain(&self.request.foreign);
        let belongs = |stanza: &str, architecture: &str| {
            let own = stanza.lines().find_map(|line| line.strip_prefix("Architecture: ")).unwrap_or_default();
            let is_listed = architectures().any(|known| known == own);
            own == architecture || (!is_listed && architecture == self.request.architecture)
        };
        let table = |stanzas: &Vec<String>, architecture: &str| {
            let own = stanzas.iter().filter(|stanza| belongs(stanza, architecture)).map(String::as_str);
            Table::parse(&own.collect::<Vec<_>>().join("\n"))
        };
        let tables = pockets.iter().enumerate().flat_map(|(pocket, stanzas)| {
            architectures().map(move |architecture| (pocket, architecture, table(stanzas, architecture)))
        });
        let tables: Vec<(usize, &String, Table)> = tables.collect();
        let indexes = tables.iter().map(|(pocket, architecture, packages)| {
            let (release, site) = &self.releases[*pocket];
            Index { release, site, ..Index::plain(*pocket, architecture, packages) }
        });
        plan(&indexes.collect::<Vec<_>>(), &self.request, &self.cancel)
    }

    /// Returns the plan. Checks that it is the same for other orders of stanzas, and after a round trip through JSON.
    pub(super) fn run(&self) -> Result<Plan, Error> {
        let result = self.run_on(|_| {});
        for turn in 0..4 {
            let shuffled = self.run_on(|stanzas| {
                stanzas.reverse();
                let middle = turn.min(stanzas.len());
                stanzas.rotate_left(middle);
            });
            assert_eq!(
                format!("{result:?}"),
                format!("{shuffled:?}"),
                "{}: depends on the order of stanzas",
                self.says
            );
        }
        if let Ok(plan) = &result {
            assert_eq!(&Plan::from_json(&plan.to_json()).unwrap(), plan, "{}", self.says);
        }
        result
    }

    /// Checks the phases, written as `required: a b; base: c`, with the packages of later phases in the order of their names.
    /// Automatically installed packages have a `*`. An empty `required` is left out.
    #[track_caller]
    pub(super) fn gives(self, expected: &str) {
        self.gives_in_order(expected, |later| later.sort_by(|a, b| a.name.cmp(&b.name)));
    }

    /// Checks the phases as [`Self::gives`] does, with the packages in the order in which they are unpacked.
    #[track_caller]
    pub(super) fn unpacks(self, expected: &str) {
        self.gives_in_order(expected, |_| {});
    }

    #[track_caller]
    fn gives_in_order(self, expected: &str, order: impl Fn(&mut [Planned])) {
        let mut plan = self.run().unwrap_or_else(|error| panic!("{}: {error}", self.says));
        plan.phases.iter_mut().skip(1).for_each(|phase| order(&mut phase.packages));
        let phases = plan.phases.iter().filter(|phase| !phase.packages.is_empty()).map(|phase| {
            let packages = phase.packages.iter().map(|p| format!(" {}{}", p.name, if p.automatic { "*" } else { "" }));
            format!("{}:{}", phase.name, packages.collect::<String>())
        });
        assert_eq!(phases.collect::<Vec<_>>().join("; "), expected, "{}", self.says);
    }

    /// Checks that the request fails with an error that contains each of `parts`, in that order.
    #[track_caller]
    pub(super) fn fails(self, parts: &[&str]) {
        let error = self.run().expect_err(self.says).to_string();
        let mut rest = error.as_str();
        for part in parts {
            let at = rest.find(part).unwrap_or_else(|| panic!("{}: no {part:?} in {error}", self.says));
            rest = &rest[at + part.len()..];
        }
    }
}
