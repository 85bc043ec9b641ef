//! Thousands of small random archives. Every plan is valid; and where there is no plan, no subset of the archive is valid.

use crate::{Error, Index, Plan, Request, Variant, plan};
use rootstrap_debian::packages::{self, Package, Table};
use rootstrap_debian::relation::{self, Relation};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

/// Pseudorandom numbers that are the same in every run (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn relation(&mut self) -> String {
        let name = ["a", "b", "c", "d", "e", "f", "g", "h", "v", "w"][self.roll(10) as usize];
        match self.roll(8) {
            0 => format!("{name} (>= 2)"),
            1 => format!("{name} (<< 2)"),
            _ => name.to_owned(),
        }
    }

    fn archive(&mut self) -> String {
        let mut text = String::new();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            text += &format!("Package: {name}\nVersion: {}\nArchitecture: all\n", 1 + self.roll(2));
            text += &format!("Filename: pool/{name}\nSize: 1\nSHA256: {}\n", "0".repeat(64));
            text += ["Priority: required\n", "Essential: yes\n", ""][self.roll(8).min(2) as usize];
            for (field, odds) in [("Depends", 2), ("Pre-Depends", 4), ("Conflicts", 4), ("Breaks", 6)] {
                if self.roll(odds) == 0 {
                    let mut value = self.relation();
                    if field.ends_with("Depends") {
                        while self.roll(2) == 0 {
                            value += [" | ", ", "][self.roll(2) as usize];
                            value += &self.relation();
                        }
                    }
                    text += &format!("{field}: {value}\n");
                }
            }
            if self.roll(4) == 0 {
                text += ["Provides: v\n", "Provides: w (= 2)\n", "Provides: v (= 1), w\n"][self.roll(3) as usize];
            }
            text += "\n";
        }
        text
    }
}

fn meets(package: &Package<'_>, wanted: &Relation<'_>) -> bool {
    let provided = relation::parse_field(package.provides).unwrap().into_iter().flatten().any(|provided| {
        provided.name == wanted.name
            && (wanted.version.is_none() || provided.version.is_some_and(|(_, version)| wanted.admits(version)))
    });
    provided || (package.name == wanted.name && wanted.admits(package.version()))
}

/// Whether the dependencies of `members` are met by `present`.
fn complete(members: &[&Package<'_>], present: &[&Package<'_>]) -> bool {
    members.iter().all(|member| {
        [member.depends, member.pre_depends].into_iter().all(|field| {
            let mut groups = relation::parse_field(field).unwrap().into_iter();
            groups.all(|group| group.iter().any(|wanted| present.iter().any(|package| meets(package, wanted))))
        })
    })
}

/// Whether no two of `members` conflict.
fn has_no_conflict(members: &[&Package<'_>]) -> bool {
    members.iter().all(|member| {
        [member.conflicts, member.breaks].into_iter().all(|field| {
            let mut others = relation::parse_field(field).unwrap().into_iter().flatten();
            others.all(|conflict| members.iter().all(|other| other.name == member.name || !meets(other, &conflict)))
        })
    })
}

/// Whether some subset of `packages` has all of `include` and is valid. It tries every subset.
fn is_possible(packages: &[Package<'_>], include: &[String]) -> bool {
    (0..1_u32 << packages.len()).any(|bits| {
        let set: Vec<&Package<'_>> =
            packages.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, package)| package).collect();
        include.iter().all(|name| set.iter().any(|package| package.name == name))
            && has_no_conflict(&set)
            && complete(&set, &set)
    })
}

fn assert_valid(plan: &Plan, packages: &[Package<'_>], text: &str) {
    let find = |name: &str| packages.iter().find(|package| package.name == name).unwrap();
    let mut present: Vec<&Package<'_>> = Vec::new();
    for phase in &plan.phases {
        let members: Vec<&Package<'_>> = phase.packages.iter().map(|package| find(&package.name)).collect();
        present.extend(&members);
        assert!(complete(&members, &present), "{} needs later phases in {plan:#?}\n{text}", phase.name);
    }
    assert!(has_no_conflict(&present), "conflicts in {plan:#?}\n{text}");
    let names: BTreeSet<&str> = present.iter().map(|package| package.name).collect();
    assert_eq!(names.len(), present.len(), "twice in {plan:#?}");
}

#[test]
fn plans_are_valid_and_refusals_are_right() {
    let (mut planned, mut refused) = (0, 0);
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let text = dice.archive();
        let packages = packages::parse(&text);
        let include: Vec<String> =
            ["a", "b", "c"].into_iter().take(1 + dice.roll(3) as usize).map(str::to_owned).collect();
        let request = Request {
            variant: Variant::Custom,
            recommends: dice.roll(2) == 0,
            include: include.clone(),
            hash_bins: 1 + dice.roll(7) as u32,
            ..Request::default()
        };
        match plan(&[Index::plain(0, "amd64", &Table::parse(&text))], &request, &AtomicBool::new(false)) {
            Ok(plan) => {
                planned += 1;
                assert!(include.iter().all(|name| plan.packages().any(|(_, package)| &package.name == name)));
                assert_valid(&plan, &packages, &text);
            }
            Err(Error::Unsatisfiable { reasons }) => {
                refused += 1;
                assert!(reasons.len() > 1, "{reasons:?}\n{text}");
                assert!(!is_possible(&packages, &include), "{reasons:?}\n{text}");
            }
            Err(other) => panic!("{other}\n{text}"),
        }
    }
    // Both must occur often, or the test shows nothing.
    assert!(planned > 500 && refused > 500, "{planned} planned, {refused} refused");
}
