//! The command line of the benchmark.

use super::scenario::{Case, Kind, SCENARIOS, SPECIAL, Scenario};
use crate::arguments::{self, list};
use std::path::PathBuf;

/// The help text.
pub const USAGE: &str = "\
usage: cargo xtask bench [OPTIONS] [-- ARGUMENTS OF ROOTSTRAP]

Runs rootstrap and every peer found in PATH in turns (A B A B ...) and prints a section of Markdown for each scenario:
wall clock, user + sys and peak memory, ratios pair by pair against the project's limits, machine, versions, commands.
Must be root.

  --scenario NAME[,NAME]  all that this machine can run, unless given:
      cold        trixie minbase to a directory, nothing cached; with the floor of this machine
      warm        the tool ran once with its cache; then one --include more, another in each round
      unchanged   to a FILE.tar, a second time with nothing changed, the file removed between
      image       rootstrap by --image to standard output, rootstrap to a directory, others to a tar
      rootless    rootstrap as an ordinary user (--user), and rootstrap as root
      important   focal important, nothing cached; with the floor of this machine
      nightly     ten images of trixie and noble by rootstrap build, over three nights
      ten         ten images of trixie and noble in one call, and one after the other; all debs are cached
      large       trixie with 78 to 1554 packages, nothing cached
      disk        what cold runs write to the disk, once each
      platforms   trixie minbase for amd64 and arm64 in one image, and for amd64 alone
      same-packages  an image with another copied file in each round, and the same with all scripts run again
      foreign     trixie arm64 minbase; peers need an emulator registered with the kernel (binfmt_misc)
  --against TOOL[,TOOL]   mmdebstrap, debootstrap, cdebootstrap, rdebootstrap: all that are found, unless given;
                          unshare, single and chroot are rootstrap in those modes
  --runs N                rounds; each tool runs once in each (5)
  --suite S, --variant V, --arch A
                          instead of the scenario's; then its limits do not apply
  --mirror URL            may be given again: of several, the one that ends in the vendor's name is used
  --loopback              serve all tools from a cache on 127.0.0.1, filled by one round that does not count
  --user NAME             who runs the rootless scenario (or ROOTSTRAP_TEST_USER)
  --work DIR              where trees and caches are made (/var/tmp)
  --ours PROGRAM          instead of building rootstrap from this checkout
  --write                 put the sections into docs/benchmarks.md; each replaces the old one of the same name
  --help                  this text

The floor is what the machine takes for the work no tool can leave out, measured in the same rounds: decoding the indexes
used, decoding every package and writing its files on all cores, and the packages' own preinsts and `dpkg --configure -a` in a
tree that is unpacked already, on a tmpfs so that fsync costs nothing.";

/// What to measure, and how.
#[derive(Debug, Default)]
pub struct Options {
    /// The names of the scenarios to run; all of them if empty.
    pub scenarios: Vec<String>,
    /// The suite, instead of the scenario's.
    pub suite: Option<String>,
    /// The variant, instead of the scenario's.
    pub variant: Option<String>,
    /// The architecture, instead of the scenario's.
    pub arch: Option<String>,
    /// The number of rounds. Every tool runs once in each round.
    pub runs: usize,
    /// The mirrors to fetch from.
    pub mirrors: Vec<String>,
    /// The peers, if any were named.
    pub against: Option<Vec<String>>,
    /// The directory for trees and caches.
    pub work: PathBuf,
    /// The path of rootstrap; it is built from the checkout if `None`.
    pub ours: Option<PathBuf>,
    /// The user who runs the rootless scenario.
    pub user: Option<String>,
    /// Whether all tools fetch from a mirror on this machine.
    pub loopback: bool,
    /// Whether the sections are written to the document.
    pub write: bool,
    /// Whether only the help text is printed.
    pub help: bool,
    /// Further arguments of rootstrap.
    pub extra: Vec<String>,
}

/// Reads the command line.
pub fn parse(args: &[String]) -> Result<Options, String> {
    let mut options = Options { runs: 5, work: "/var/tmp".into(), ..Options::default() };
    let words = arguments::split(args);
    let mut words = words.iter();
    while let Some(name) = words.next() {
        let mut value = || arguments::value(name, &mut words);
        match name.as_str() {
            "--scenario" => options.scenarios.extend(list(&value()?)),
            "--suite" => options.suite = Some(value()?),
            "--variant" => options.variant = Some(value()?),
            "--arch" => options.arch = Some(value()?),
            "--runs" => options.runs = value()?.parse().map_err(|_| "--runs needs a number")?,
            "--mirror" => options.mirrors.push(value()?.trim_end_matches('/').to_owned()),
            "--against" => options.against.get_or_insert_default().extend(list(&value()?)),
            "--work" => options.work = value()?.into(),
            "--ours" => options.ours = Some(value()?.into()),
            "--user" => options.user = Some(value()?),
            "--loopback" => options.loopback = true,
            "--write" => options.write = true,
            "--help" | "-h" => options.help = true,
            "--" => options.extra.extend(words.by_ref().cloned()),
            _ => return Err(format!("what is {name}?\n{USAGE}")),
        }
    }
    if options.runs == 0 {
        return Err("--runs needs at least 1".into());
    }
    if let Some(name) = options.scenarios.iter().find(|name| !SPECIAL.contains(&name.as_str()) && find(name).is_none())
    {
        let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).chain(SPECIAL).collect();
        return Err(format!("no such scenario: {name} ({})", known.join(", ")));
    }
    Ok(options)
}

fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

impl Options {
    /// Returns the scenarios to run, in the order of the document, with the changes that the options ask for.
    pub fn cases(&self) -> Vec<Case> {
        let asked = |name: &str| self.scenarios.is_empty() || self.scenarios.iter().any(|asked| asked == name);
        let chosen = SCENARIOS.iter().filter(|scenario| asked(scenario.name));
        chosen
            .map(|scenario| {
                let suite = self.suite.clone().unwrap_or_else(|| scenario.suite.into());
                let variant = self.variant.clone().unwrap_or_else(|| scenario.variant.into());
                let arch = self.arch.clone().or_else(|| scenario.arch.map(str::to_owned));
                let is_plain = suite == scenario.suite
                    && variant == scenario.variant
                    && arch.as_deref() == scenario.arch
                    && self.extra.is_empty();
                Case { scenario, suite, variant, arch, is_plain }
            })
            .collect()
    }

    /// Returns the mirror for a vendor: the only one that was given, or the one whose address ends in the vendor's
    /// name.
    pub fn mirror(&self, vendor: &str) -> Option<&str> {
        let fits = self.mirrors.iter().find(|mirror| mirror.ends_with(vendor));
        fits.or_else(|| self.mirrors.first().filter(|_| self.mirrors.len() == 1 && self.scenarios.len() == 1))
            .map(String::as_str)
    }

    /// Returns why this machine cannot run a scenario; `None` if it can.
    pub fn obstacle(&self, case: &Case) -> Option<String> {
        match case.scenario.kind {
            Kind::Rootless if self.user.is_none() => {
                Some("there is no user to run it: --user, or ROOTSTRAP_TEST_USER".into())
            }
            Kind::Warm if self.runs > super::scenario::ADDITIONS.len() => {
                Some(format!("it has a package more for {} rounds only", super::scenario::ADDITIONS.len()))
            }
            _ => None,
        }
    }
}

/// Returns the arguments as the document shows them: without addresses, paths and names of this machine.
pub fn public(args: &[String]) -> String {
    const HIDDEN: [(&str, &str); 4] =
        [("--mirror", "MIRROR"), ("--ours", "PROGRAM"), ("--work", "DIR"), ("--user", "USER")];
    let mut words: Vec<String> = Vec::new();
    let mut hide: Option<&str> = None;
    for arg in args.iter().filter(|arg| *arg != "--write") {
        let (name, value) = arg.split_once('=').map_or((arg.as_str(), None), |(name, value)| (name, Some(value)));
        let stands_in = HIDDEN.iter().find(|(option, _)| *option == name).map(|(_, word)| *word);
        words.push(match (hide.take(), stands_in, value) {
            (Some(word), _, _) => word.to_owned(),
            (None, Some(word), Some(_)) => format!("{name}={word}"),
            (None, Some(word), None) => {
                hide = Some(word);
                name.to_owned()
            }
            (None, None, Some(value)) if is_local(value) => format!("{name}=PATH"),
            (None, None, None) if is_local(arg) => "PATH".to_owned(),
            _ => arg.clone(),
        });
    }
    words.join(" ")
}

fn is_local(word: &str) -> bool {
    word.starts_with('/') || word.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &str) -> Result<Options, String> {
        parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn all_scenarios_unless_some_are_named() {
        assert_eq!(options("").unwrap().cases().len(), SCENARIOS.len());
        let some = options("--scenario foreign,cold --scenario=warm").unwrap().cases();
        let names: Vec<&str> = some.iter().map(|case| case.scenario.name).collect();
        assert_eq!(names, ["cold", "warm", "foreign"]);
        for bad in ["--scenario lukewarm", "--runs 0", "--runs few", "--runs", "--frobnicate"] {
            assert!(options(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_changed_scenario_has_no_limits() {
        let limit = |words: &str| options(words).unwrap().cases()[0].limit("mmdebstrap");
        assert_eq!(limit("--scenario cold"), Some(0.24));
        assert_eq!(limit("--scenario cold --suite trixie --runs 1"), Some(0.24));
        for words in ["--suite sid", "--variant apt", "--arch arm64", "-- --slim"] {
            assert_eq!(limit(&format!("--scenario cold {words}")), None, "{words}");
        }
        let case = &options("--scenario cold --arch arm64 --suite sid").unwrap().cases()[0];
        assert_eq!(case.heading(), "## cold: sid arm64 minbase");
    }

    #[test]
    fn each_vendor_has_its_mirror() {
        let both = options("--mirror http://a/debian/ --mirror http://b/ubuntu").unwrap();
        assert_eq!(both.mirror("ubuntu"), Some("http://b/ubuntu"));
        assert_eq!(both.mirror("debian"), Some("http://a/debian"));
        assert_eq!(options("--mirror http://a/x --scenario cold").unwrap().mirror("debian"), Some("http://a/x"));
        assert_eq!(options("--mirror http://a/x").unwrap().mirror("debian"), None);
    }

    #[test]
    fn scenarios_that_cannot_run_say_why() {
        let obstacle = |words: &str| {
            let options = options(words).unwrap();
            options.obstacle(&options.cases()[0])
        };
        assert!(obstacle("--scenario rootless").unwrap().contains("--user"));
        assert_eq!(obstacle("--scenario rootless --user x"), None);
        assert!(obstacle("--scenario warm --runs 17").is_some());
        assert_eq!(obstacle("--scenario cold --runs 17"), None);
    }

    #[test]
    fn mirrors_paths_and_names_stay_private() {
        for (words, shown) in [
            ("--mirror http://x --runs=2", "--mirror MIRROR --runs=2"),
            ("--mirror=http://x --write", "--mirror=MIRROR"),
            ("--ours /a/b --work=/c --user me --loopback", "--ours PROGRAM --work=DIR --user USER --loopback"),
            ("-- --keyring=/k /y", "-- --keyring=PATH PATH"),
        ] {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            assert_eq!(public(&words), shown);
        }
    }
}
