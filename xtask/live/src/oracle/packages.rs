//! `cargo xtask oracle --packages N`: installs the N packages of a suite that most others depend on, and all that have
//! pre-dependencies, in batches that apt can install together.
//!
//! rootstrap has to succeed where mmdebstrap does, with the packages that apt would install, and dpkg and apt must have nothing to say
//! about the tree. Every tenth tree is compared with mmdebstrap's as a whole. Both fetch from a mirror on the loopback interface.

use super::accepted::{self, Accepted, Comparison};
use super::apt::Archive;
use super::build::{self as build, Build};
use super::matrix::Set;
use super::requests::{self as requests, Request};
use super::team::Team;
use super::tree::{self, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How many packages of the list are installed together.
const BATCH: usize = 50;

/// Of so many trees, one is compared as a whole.
const COMPARED: usize = 10;

/// The options of the chore.
pub struct Options<'o> {
    /// The name of the suite.
    pub suite: &'o str,
    /// How many packages are taken by the number of those that depend on them.
    pub count: usize,
    /// Which of how many parts of the batches are tried, counted from 1.
    pub part: (usize, usize),
    /// The mirror to use instead of the suite's own.
    pub mirror: Option<&'o str>,
    /// The directory that keeps indexes, logs and the trees of batches that failed.
    pub keep: Option<&'o Path>,
    /// The path of rootstrap; it is built if `None`.
    pub program: Option<&'o str>,
}

/// What was found, in the columns of the table.
#[derive(Default)]
struct Tally {
    packages: usize,
    batches: usize,
    /// Packages that apt cannot install in this suite, or not beside the rest of a minbase system.
    refused: usize,
    /// Packages that neither tool can install.
    both_fail: usize,
    failed: usize,
    compared: usize,
}

/// Installs all batches and prints one line for each, and a row of the table in docs/trees.md.
pub fn run(options: &Options<'_>, accepted: &str) -> Result<(), String> {
    if !rustix::process::getuid().is_root() {
        return Err("must be root: packages have files of many owners".to_owned());
    }
    let program = options.program.map_or_else(build::our_program, |path| Ok(path.into()))?;
    let scratch =
        tempfile::Builder::new().prefix("oracle-").tempdir_in("/var/tmp").map_err(|error| error.to_string())?;
    let work = options.keep.unwrap_or(scratch.path());
    let mirror = options
        .mirror
        .map_or_else(|| build::suite(options.suite).map(|suite| suite.mirror()), |mirror| Ok(mirror.into()))?;
    if let Err(error) = build::release_date(&mirror, options.suite) {
        println!("skipped: {}: its archive does not answer: {error}", options.suite);
        return Ok(());
    }
    let mirror = super::mirror::start(&mirror, &work.join(format!("mirror-of-{}", options.suite)))?;
    let team = Rc::new(Team::make(work)?);
    let mut archive = Archive::open(&request(options.suite, &[]), Some(&mirror), (work, &team))?;
    let first = requests::read()?.first.remove(options.suite).unwrap_or_default();
    let names = chosen(&archive.available()?, options.count);
    let mut waiting = batches(&names, options.part);
    let mut tally = Tally { packages: waiting.iter().map(Vec::len).sum(), ..Tally::default() };
    while let Some(batch) = waiting.pop() {
        let request = request(options.suite, &batch);
        let theirs = match (archive.theirs(&request, &first), batch.as_slice()) {
            (Ok(theirs), _) => theirs,
            (Err(error), [name]) => {
                tally.refused += 1;
                println!("refused   {name}: {}", error.lines().last().unwrap_or_default());
                continue;
            }
            // Some of them exclude each other.
            (Err(_), _) => {
                let (first, second) = batch.split_at(batch.len() / 2);
                waiting.extend([second.to_vec(), first.to_vec()]);
                continue;
            }
        };
        tally.batches += 1;
        let case = Case { archive: &archive, request: &request, number: tally.batches, work, program: &program };
        match (case.judge(&theirs, accepted, &mut tally)?, batch.as_slice()) {
            (true, _) => {}
            (false, [name]) => {
                tally.both_fail += 1;
                println!("both fail {name}");
            }
            // The others must not go untried because of one of them.
            (false, _) => {
                tally.batches -= 1;
                let (first, second) = batch.split_at(batch.len() / 2);
                waiting.extend([second.to_vec(), first.to_vec()]);
            }
        }
    }
    println!("| suite | packages | batches | apt refuses | mmdebstrap fails too | failed | compared whole |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    let Tally { packages, batches, refused, both_fail, failed, compared } = tally;
    println!("| {} | {packages} | {batches} | {refused} | {both_fail} | {failed} | {compared} |", options.suite);
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {batches} batches failed")) }
}

/// Returns the batches of a part, the first one last. Every part has batches from the whole list.
fn batches(names: &[String], (part, of): (usize, usize)) -> Vec<Vec<String>> {
    let all = names.chunks(BATCH).enumerate().filter(|(number, _)| number % of == part - 1);
    let mut batches: Vec<Vec<String>> = all.map(|(_, batch)| batch.to_vec()).collect();
    batches.reverse();
    batches
}

fn request(suite: &str, packages: &[String]) -> Request {
    Request {
        suite: suite.to_owned(),
        variant: "minbase".to_owned(),
        recommends: false,
        components: "main".to_owned(),
        pockets: Vec::new(),
        sources: Vec::new(),
        pins: Vec::new(),
        packages: packages.to_vec(),
    }
}

/// One batch.
struct Case<'c> {
    archive: &'c Archive,
    request: &'c Request,
    number: usize,
    work: &'c Path,
    program: &'c Path,
}

impl Case<'_> {
    fn place(&self, whose: &str) -> PathBuf {
        self.work.join(format!("{}-batch-{}-{whose}", self.request.suite, self.number))
    }

    /// Installs the batch and counts what is wrong, or returns `false` if neither tool can install it. `theirs` are the packages that apt
    /// would install.
    fn judge(&self, theirs: &BTreeSet<String>, accepted: &str, tally: &mut Tally) -> Result<bool, String> {
        let set = Set { include: self.request.packages.clone(), ..Set::default() };
        let build = self.archive.build(self.request, &set, self.work);
        let (ours, reference) = (self.place("ours"), self.place("mmdebstrap"));
        build::remove(&ours)?;
        let mut command = build.ours(self.program, "mmdebstrap", &[]);
        let mut wrong = match build::logged(command.arg(&ours), &ours.with_extension("log")) {
            Ok(_) => difference(&installed(&ours)?, theirs),
            Err(error) => {
                if self.reference(&build, &reference).is_err() {
                    return Ok(false);
                }
                vec![error]
            }
        };
        if ours.exists() && self.number % COMPARED == 1 {
            match self.reference(&build, &reference) {
                Ok(()) => {
                    tally.compared += 1;
                    wrong.extend(self.compare(&ours, &reference, &accepted::parse(accepted)?)?);
                }
                Err(error) => println!("alone     {}: mmdebstrap fails, so nothing is compared: {error}", self.number),
            }
        }
        let mut complaints = if ours.exists() { build::complaints(&ours)? } else { Vec::new() };
        if !complaints.is_empty() && (reference.exists() || self.reference(&build, &reference).is_ok()) {
            // Some packages remove what they install.
            let of_theirs = build::complaints(&reference)?;
            complaints.retain(|complaint| !of_theirs.contains(complaint));
        }
        wrong.extend(complaints);
        if wrong.is_empty() {
            println!("equal     {}: {} packages", self.number, theirs.len());
            build::remove(&ours)?;
        } else {
            tally.failed += 1;
            println!("FAILED    {}: {}\n    {}", self.number, self.request.packages.join(" "), wrong.join("\n    "));
        }
        build::remove(&reference)?;
        Ok(true)
    }

    fn reference(&self, build: &Build<'_>, target: &Path) -> Result<(), String> {
        build::remove(target)?;
        let made = build::logged(&mut build.theirs("mmdebstrap", target, None)?, &target.with_extension("log"));
        if made.is_err() {
            build::remove(target)?;
        }
        made.map(drop)
    }

    fn compare(&self, ours: &Path, theirs: &Path, list: &[Accepted]) -> Result<Vec<String>, String> {
        let (suite, variant) = (self.request.suite.clone(), "minbase+packages".to_owned());
        let cell = Comparison { suite, variant, against: "mmdebstrap".to_owned() };
        let (ours, theirs) = (Tree::read(ours, self.archive.epoch)?, Tree::read(theirs, self.archive.epoch)?);
        let (_, rest) = accepted::sift(tree::compare(&ours, &theirs), list, &cell);
        Ok(rest.iter().map(|found| format!("{} {}: {}", found.kind, found.path, found.detail)).collect())
    }
}

/// Returns `name version architecture` of every package in a tree.
fn installed(tree: &Path) -> Result<BTreeSet<String>, String> {
    let mut query = std::process::Command::new("dpkg-query");
    query.arg(format!("--root={}", tree.display())).args(["-W", "-f", "${Package} ${Version} ${Architecture}\n"]);
    Ok(build::output(&mut query)?.lines().map(str::to_owned).collect())
}

fn difference(ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> Vec<String> {
    let only = |sign, these: &BTreeSet<String>, those: &BTreeSet<String>| -> Vec<String> {
        these.difference(those).map(|package| format!("{sign}{package}")).collect()
    };
    [only('+', ours, theirs), only('-', theirs, ours)].concat()
}

/// Returns the `count` packages that most others depend on, and those that have pre-dependencies, by name. `available` has the stanzas of
/// all packages.
fn chosen(available: &str, count: usize) -> Vec<String> {
    let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut chosen = BTreeSet::new();
    let mut all = BTreeSet::new();
    for stanza in available.split("\n\n") {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
        let Some(package) = field("Package: ") else { continue };
        all.insert(package);
        let before = field("Pre-Depends: ");
        chosen.extend(before.map(|_| package.to_owned()));
        for name in [before, field("Depends: ")].into_iter().flatten().flat_map(|list| list.split([',', '|'])) {
            let end = name.trim().find([' ', '(', ':']).unwrap_or(name.trim().len());
            users.entry(name.trim().get(..end).unwrap_or_default()).or_default().insert(package);
        }
    }
    let mut known: Vec<(&str, usize)> =
        users.iter().filter(|(name, _)| all.contains(*name)).map(|(name, users)| (*name, users.len())).collect();
    known.sort_by_key(|&(name, users)| (std::cmp::Reverse(users), name));
    chosen.extend(known.into_iter().take(count).map(|(name, _)| name.to_owned()));
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_with_most_users_and_those_with_pre_dependencies_are_chosen() {
        let text = "Package: a\nDepends: c, d (>= 1) | virtual\n\nPackage: b\nPre-Depends: c:any\n\n\
                    Package: c\nDepends: virtual\n\nPackage: d\nDepends: c | e\n\nPackage: e\n";
        assert_eq!(chosen(text, 1), ["b", "c"]);
        assert_eq!(chosen(text, 2), ["b", "c", "d"]);
        assert_eq!(chosen(text, 9), ["b", "c", "d", "e"]);
    }

    #[test]
    fn parts_have_all_batches_together() {
        let names: Vec<String> = (0..BATCH * 5).map(|number| number.to_string()).collect();
        let first = |part| -> Vec<String> { batches(&names, part).into_iter().map(|batch| batch[0].clone()).collect() };
        assert_eq!(first((1, 2)), ["200", "100", "0"]);
        assert_eq!(first((2, 2)), ["150", "50"]);
        assert_eq!(first((1, 1)).len(), 5);
    }

    #[test]
    fn differences_of_packages_have_signs() {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(difference(&of(&["a 1 all", "b 1 all"]), &of(&["b 1 all", "c 1 all"])), ["+a 1 all", "-c 1 all"]);
    }
}
