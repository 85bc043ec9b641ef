//! `cargo xtask oracle --apt`: compares, for each request, rootstrap's plan with what apt would install from the same
//! indexes.
//!
//! apt is asked as mmdebstrap asks it: first for the essential packages on an empty system, then for everything else
//! with those installed. Both steps are only simulated, in an apt root that takes nothing from the host's
//! configuration.

use super::build::{self as build, Build, Suite};
use super::matrix::Set;
use super::options::Options;
use super::requests::{self as requests, Accepted, Request};
use super::team::{FLAT, Team};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

/// The architecture of the plans, on every host: the requests name packages that only this architecture has, and a
/// simulation runs none of its programs.
const ARCHITECTURE: &str = "amd64";

/// `name version architecture` of every package, or the error of the tool.
pub type Answer = Result<BTreeSet<String>, String>;

/// The directory of an apt with its own configuration, for one suite and some of its components.
struct Root {
    path: PathBuf,
    /// The packages of the first step, simulated already. The key is whether recommended packages are installed, and the
    /// preferences.
    first: BTreeMap<(bool, Vec<String>), BTreeSet<String>>,
}

/// Compares every request and prints one line for each.
pub fn run(options: &Options) -> Result<(), String> {
    let all = requests::read()?;
    let program = options.ours.as_deref().map_or_else(build::our_program, |path| Ok(path.into()))?;
    let scratch =
        tempfile::Builder::new().prefix("oracle-").tempdir_in("/var/tmp").map_err(|error| error.to_string())?;
    let work = options.keep.as_deref().unwrap_or(scratch.path());
    let team = Rc::new(Team::make(work)?);
    let wanted = |request: &&Request| options.suites.as_ref().is_none_or(|suites| suites.contains(&request.suite));
    let (mut equal, mut explained, mut failed) = (0, 0, 0);
    let mut archives: BTreeMap<(String, String, Vec<String>), Archive> = BTreeMap::new();
    for request in all.requests.iter().filter(wanted) {
        let further = [request.pockets.as_slice(), &request.sources].concat();
        let key = (request.suite.clone(), request.components.clone(), further);
        if !archives.contains_key(&key) {
            let archive = Archive::open(request, options.mirror.as_deref(), (work, &team))?;
            archives.insert(key.clone(), archive);
        }
        let Some(archive) = archives.get_mut(&key) else { continue };
        let ours = archive.ours(&program, request);
        let first = all.first.get(&request.suite).map(Vec::as_slice).unwrap_or_default();
        let theirs = archive.theirs(request, first);
        match judge(request, &ours, &theirs, &all.accepted) {
            Verdict::Equal(count) => {
                equal += 1;
                println!("equal      {request}: {count}");
            }
            Verdict::Accepted(difference) => {
                explained += 1;
                println!("explained  {request}: {difference}");
            }
            Verdict::Different(difference) => {
                failed += 1;
                println!("DIFFERENT  {request}: {difference}");
            }
        }
    }
    if options.suites.is_none() {
        for line in all.accepted.iter().filter(|line| !line.used.get()) {
            println!("unused     accepted-plans.txt line {}", line.number);
        }
    }
    println!("{} requests: {equal} equal, {explained} explained, {failed} different", equal + explained + failed);
    if failed == 0 { Ok(()) } else { Err(format!("{failed} requests have unexplained differences")) }
}

enum Verdict {
    Equal(String),
    Accepted(String),
    Different(String),
}

fn judge(request: &Request, ours: &Answer, theirs: &Answer, accepted: &[Accepted]) -> Verdict {
    let found = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) if ours == theirs => return Verdict::Equal(format!("{} packages", ours.len())),
        // Other errors do not count as equal: both tools also fail for an unknown name or an unreachable mirror.
        (Err(ours), Err(theirs)) if refuses(ours) && refuses(theirs) => return Verdict::Equal("both refuse".into()),
        (Err(_), Err(_)) => vec!["*".to_owned()],
        (Ok(ours), Ok(theirs)) => {
            let only = |sign: char, these: &BTreeSet<String>, those: &BTreeSet<String>| {
                these.difference(those).map(|package| format!("{sign}{}", package.replace(' ', "_"))).collect()
            };
            let mut all: Vec<String> = only('+', ours, theirs);
            all.extend::<Vec<String>>(only('-', theirs, ours));
            all
        }
        (Err(_), Ok(_)) => vec!["-*".to_owned()],
        (Ok(_), Err(_)) => vec!["+*".to_owned()],
    };
    let names: BTreeSet<&str> = found.iter().map(|entry| entry.split('_').next().unwrap_or(entry)).collect();
    let mut text = found.join(" ");
    for (who, answer) in [("ours", ours), ("apt", theirs)] {
        if let Err(error) = answer {
            text += &format!(" ({who}: {})", error.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    match accepted.iter().find(|line| line.applies(request) && line.differences() == names) {
        Some(line) => {
            line.used.set(true);
            Verdict::Accepted(text)
        }
        None => Verdict::Different(text),
    }
}

/// Whether an error is about the request: the packages cannot be installed together, or a virtual package needs a
/// choice.
fn refuses(error: &str) -> bool {
    let ours = [
        "cannot install these packages together",
        "it is virtual, provided by",
        "cannot find the package",
        " in the release ",
    ];
    let theirs = [
        "held broken packages",
        "is a virtual package provided by",
        "has no installation candidate",
        "was not found",
        "Resolve generated breaks",
    ];
    ours.iter().chain(&theirs).any(|words| error.contains(words))
}

/// One suite with some of its components, for rootstrap and for apt.
pub(super) struct Archive {
    suite: Suite,
    mirror: String,
    /// The date of the archive's Release file.
    pub epoch: i64,
    expired: bool,
    root: Root,
    team: Rc<Team>,
}

impl Archive {
    /// Opens the archive of a request's suite and components, and fetches its indexes.
    pub fn open(request: &Request, mirror: Option<&str>, (work, team): (&Path, &Rc<Team>)) -> Result<Self, String> {
        let suite = build::suite(&request.suite)?;
        let mirror = mirror.map_or_else(|| suite.mirror(), str::to_owned);
        let (epoch, expired) = build::release_date(&mirror, &request.suite)?;
        let parts: [&[String]; 3] = [
            &[request.suite.clone(), request.components.replace(',', "-")],
            request.pockets.as_slice(),
            &request.sources,
        ];
        let path = work.join(format!("apt-{}", parts.concat().join("-")));
        let root = Root { path, first: BTreeMap::new() };
        root.make()?;
        let archive = Self { suite, mirror, epoch, expired, root, team: Rc::clone(team) };
        let (none, trusted) = (Set::default(), archive.root.path.join("etc/apt/trusted.gpg.d"));
        archive.build(request, &none, &trusted).keyring()?;
        archive.root.update(&archive.source(request))?;
        Ok(archive)
    }

    /// Returns how the tree of a request is built.
    pub fn build<'b>(&'b self, request: &'b Request, set: &'b Set, work: &'b Path) -> Build<'b> {
        let (variant, arch) = (request.variant.as_str(), Some(ARCHITECTURE));
        let Self { suite, mirror, epoch, expired, .. } = self;
        Build { suite, variant, set, arch, mirror, epoch: *epoch, expired: *expired, work }
    }

    /// Returns the packages that mmdebstrap would install, with `first` beside the essential ones.
    pub fn theirs(&mut self, request: &Request, first: &[String]) -> Answer {
        let packages = request.packages.iter().map(|name| self.team.resolved(name)).collect();
        self.root.theirs(&Request { packages, ..request.clone() }, first)
    }

    /// Returns the stanzas of all packages.
    pub fn available(&self) -> Result<String, String> {
        build::output(self.root.apt("apt-cache").arg("dumpavail"))
    }

    fn source(&self, request: &Request) -> String {
        let mut options = format!("arch={ARCHITECTURE}");
        if self.suite.trusted {
            options += " trusted=yes";
        }
        if self.expired {
            options += " check-valid-until=no";
        }
        let components = request.components.replace(',', " ");
        let further = request.pockets.iter().map(|pocket| format!("{}-{pocket}", request.suite));
        let suites = std::iter::once(request.suite.clone()).chain(further);
        let own = suites.map(|suite| format!("deb [{options}] {} {suite} {components}\n", self.mirror));
        own.chain(request.sources.iter().map(|suite| self.further(request, suite) + "\n")).collect()
    }

    /// Returns a further source. Suites of one mirror expire at different times.
    fn further(&self, request: &Request, suite: &str) -> String {
        if suite == FLAT {
            return self.team.source(ARCHITECTURE);
        }
        let (mirror, components) = (&self.mirror, request.components.replace(',', " "));
        format!("deb [arch={ARCHITECTURE} check-valid-until=no] {mirror} {suite} {components}")
    }

    fn ours(&self, program: &Path, request: &Request) -> Answer {
        // A pattern may have commas, so it is a list of its own.
        let is_pattern = |name: &&String| name.starts_with(['?', '~', '!', '(']);
        let (patterns, include): (Vec<_>, Vec<_>) = request.packages.iter().partition(is_pattern);
        let include = include.into_iter().map(|name| self.team.resolved(name)).collect();
        let set = Set { include, recommends: request.recommends, ..Set::default() };
        let mut extra = vec!["--print-plan".to_owned(), "--quiet".to_owned()];
        extra.extend(patterns.iter().map(|pattern| format!("--include={pattern}")));
        extra.push(format!("--components={}", request.components));
        extra.extend(request.pockets.iter().map(|pocket| format!("--pockets={pocket}")));
        extra.extend(request.sources.iter().map(|suite| format!("--source={}", self.further(request, suite))));
        extra.extend(request.pins.iter().map(|pin| format!("--pin={pin}")));
        let text = build::output(&mut self.build(request, &set, &self.root.path).ours(program, "apt", &extra))?;
        let package = |line: &str| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            &[_, name, version, architecture, _, ..] => Ok(format!("{name} {version} {architecture}")),
            _ => Err(format!("no line of a plan: {line}")),
        };
        text.lines().map(package).collect()
    }
}

impl Root {
    fn make(&self) -> Result<(), String> {
        for directory in ["etc/apt/trusted.gpg.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"] {
            let path = self.path.join(directory);
            std::fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        }
        // apt reads this file first. Its `Dir` then keeps apt from finding the host's configuration. Without
        // `ForceEssential`, which mmdebstrap sets too, apt would count itself as essential.
        let config = format!(
            "Dir \"{root}\";\nDir::State::status \"{root}/status\";\nDir::Etc::Trusted \"/dev/null\";\n\
             APT::Architecture \"{ARCHITECTURE}\";\nAPT::Architectures {{ \"{ARCHITECTURE}\"; }};\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nDebug::NoLocking \"true\";\n\
             pkgCacheGen::ForceEssential \",\";\nAPT::Get::AutomaticRemove \"false\";\n",
            root = self.path.display()
        );
        self.write("apt.conf", &config)?;
        self.write("status", "")
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.path.join(name);
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.path.join("apt.conf")).env("LC_ALL", "C.UTF-8");
        command
    }

    fn update(&self, source: &str) -> Result<(), String> {
        self.write("etc/apt/sources.list", source)?;
        build::output(self.apt("apt-get").args(["-qq", "--error-on=any", "update"])).map(drop)
    }

    /// Returns the packages that mmdebstrap would install: the essential ones, then those of the variant and the
    /// request.
    fn theirs(&mut self, request: &Request, add: &[String]) -> Answer {
        self.write("etc/apt/preferences", &preferences(&request.pins)?)?;
        let key = (request.recommends, request.pins.clone());
        let first = match self.first.get(&key) {
            Some(known) => known.clone(),
            None => {
                self.write("status", "")?;
                let mut names = vec!["?essential".to_owned()];
                names.extend_from_slice(add);
                let set = self.simulate(request.recommends, &names, BTreeSet::new())?;
                self.first.insert(key, set.clone());
                set
            }
        };
        let names = request.after_essential();
        if names.is_empty() {
            return Ok(first);
        }
        self.write("status", &self.status(&first)?)?;
        self.simulate(request.recommends, &names, first)
    }

    /// Returns the text of a dpkg database in which these packages are installed.
    fn status(&self, installed: &BTreeSet<String>) -> Result<String, String> {
        let exact = |package: &String| match package.split(' ').collect::<Vec<_>>().as_slice() {
            &[name, version, _] => format!("{name}={version}"),
            _ => package.clone(),
        };
        let text = build::output(self.apt("apt-cache").arg("show").args(installed.iter().map(exact)))?;
        let lines = text.lines().map(|line| match line.starts_with("Package: ") {
            true => format!("{line}\nStatus: install ok installed\n"),
            false => format!("{line}\n"),
        });
        Ok(lines.collect())
    }

    /// Simulates installing `names` on a system with the packages `present`. Returns the packages of the system
    /// afterwards.
    fn simulate(&self, recommends: bool, names: &[String], mut present: BTreeSet<String>) -> Answer {
        let mut command = self.apt("apt-get");
        command.args(["--simulate", "--yes", &format!("-oAPT::Install-Recommends={recommends}"), "install"]);
        let text = build::output(command.args(names))?;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = words.get(1).copied().unwrap_or_default();
            match words.first() {
                Some(&"Remv") => present.retain(|package| package.split(' ').next() != Some(name)),
                Some(&"Inst") => {
                    let new = installed(line).ok_or(format!("what is {line}?"))?;
                    // It takes the place of another version.
                    present.retain(|package| identity(package) != identity(&new));
                    present.insert(new);
                }
                _ => {}
            }
        }
        Ok(present)
    }
}

/// Returns `PACKAGES PIN PRIORITY` of each line as a file of apt has it.
fn preferences(pins: &[String]) -> Result<String, String> {
    let stanza = |pin: &String| {
        let (packages, rest) = pin.split_once(' ').ok_or_else(|| format!("no pin: {pin}"))?;
        let (pin, priority) = rest.rsplit_once(' ').ok_or_else(|| format!("no pin: {pin}"))?;
        Ok(format!("Package: {}\nPin: {pin}\nPin-Priority: {priority}\n\n", packages.replace(',', " ")))
    };
    pins.iter().map(stanza).collect()
}

/// Returns name and architecture of `name version architecture`.
fn identity(package: &str) -> (&str, &str) {
    (package.split(' ').next().unwrap_or_default(), package.rsplit(' ').next().unwrap_or_default())
}

/// Parses `Inst name (version origin [architecture])`, in which the origin may have several words.
fn installed(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
    let (version, rest) = rest.split_once('(')?.1.split_once(' ')?;
    let (architecture, _) = rest.rsplit_once("])").or_else(|| rest.split_once(']'))?;
    Some(format!("{name} {version} {}", architecture.rsplit_once('[')?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_installations_name_version_and_architecture() {
        let line = "Inst libc6 (2.36-9 Debian:12/stable, Debian:13/x [amd64]) []";
        assert_eq!(installed(line).unwrap(), "libc6 2.36-9 amd64");
        assert_eq!(installed("Inst tzdata [1] (2 Ubuntu:24.04/noble [all])").unwrap(), "tzdata 2 all");
        assert_eq!(installed("Conf tzdata (2 Ubuntu:24.04/noble [all])"), None);
    }

    #[test]
    fn a_difference_needs_a_line_that_says_just_that() {
        let accepted = requests::parse_accepted("s,t minbase a b : +x -y # apt takes the older name").unwrap();
        let request = requests::parse("t minbase a b").unwrap().remove(0);
        let set = |names: &str| -> Answer { Ok(names.split(' ').map(|name| format!("{name} 1 all")).collect()) };
        assert!(matches!(judge(&request, &set("a"), &set("a"), &[]), Verdict::Equal(_)));
        assert!(matches!(judge(&request, &set("a x"), &set("a y"), &accepted), Verdict::Accepted(_)));
        assert!(accepted.iter().all(|line| line.used.get()));
        assert!(matches!(judge(&request, &set("a x z"), &set("a y"), &accepted), Verdict::Different(_)));
        assert!(matches!(judge(&request, &Err("no".into()), &set("a y"), &accepted), Verdict::Different(_)));
        let (ours, apt) = ("error: cannot install these packages together", "E: you have held broken packages.");
        assert!(matches!(judge(&request, &Err(ours.into()), &Err(apt.into()), &[]), Verdict::Equal(_)));
        assert!(matches!(judge(&request, &Err(ours.into()), &Err("no network".into()), &[]), Verdict::Different(_)));
    }
}
