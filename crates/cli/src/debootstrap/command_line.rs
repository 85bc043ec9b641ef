//! The command line of debootstrap 1.0.145 (debootstrap(8)), and the arguments of rootstrap that ask for the same.

use super::host::Host;
use rootstrap_bootstrap::suites;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The version of debootstrap whose options these are.
pub(crate) const VERSION: &str = "1.0.145";

/// What a command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Action {
    /// A whole system.
    #[default]
    Install,
    /// The help text.
    Help,
    /// The version.
    Version,
    /// The first of two stages.
    FirstStage,
    /// The second one, of the system in a directory.
    SecondStage(PathBuf),
    /// The names of the packages.
    PrintDebs,
    /// The packages, and no system.
    DownloadOnly,
    /// The packages as an archive.
    MakeTarball(PathBuf),
}

/// A command line of debootstrap.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandLine {
    pub action: Action,
    pub suite: String,
    pub target: PathBuf,
    pub mirror: Option<String>,
    /// An archive that takes the place of the mirror.
    pub unpack_tarball: Option<PathBuf>,
    pub keep_directory: bool,
    /// Options that decide nothing here, as they were given.
    pub unused: Vec<String>,
    variant: String,
    architecture: Option<String>,
    include: Vec<String>,
    exclude: Vec<String>,
    extra_suites: Vec<String>,
    components: Vec<String>,
    keyring: Option<String>,
    is_unsigned: bool,
    must_be_signed: bool,
    merged_usr: Option<bool>,
    cache: Option<String>,
    /// Options of rootstrap, with their values.
    access: Vec<(&'static str, String)>,
}

/// The options that take a value, which follows an equals sign or is the next word.
const VALUED: [&str; 16] = [
    "--arch",
    "--ca-certificate",
    "--cache-dir",
    "--certificate",
    "--components",
    "--exclude",
    "--extra-suites",
    "--extractor",
    "--include",
    "--inrelease-path",
    "--keyring",
    "--make-tarball",
    "--private-key",
    "--second-stage-target",
    "--unpack-tarball",
    "--variant",
];

impl CommandLine {
    /// Reads the words after the program's name. Options end at the first other word, as they do for debootstrap.
    ///
    /// # Errors
    /// A message for the user.
    pub(crate) fn parse(words: &[OsString]) -> Result<Self, String> {
        let mut line = Self::default();
        let text = |word: &OsString| {
            let text = word.to_str().map(str::to_owned);
            text.ok_or_else(|| format!("{} is no text in UTF-8", word.to_string_lossy()))
        };
        let mut words = words.iter().map(text).collect::<Result<Vec<_>, _>>()?.into_iter().peekable();
        while let Some(word) = words.next_if(|word| word.starts_with('-') && word != "-") {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word.clone(), None),
            };
            match VALUED.contains(&name.as_str()) {
                true => {
                    let value = value.or_else(|| words.next()).filter(|value| !value.is_empty());
                    line.set(&name, value.ok_or_else(|| format!("option requires an argument: {name}"))?)?;
                }
                false if value.is_some() => return Err(format!("unrecognized or invalid option {word}")),
                false => line.flag(&name)?,
            }
        }
        line.positional(words.collect())
    }

    /// Takes an option without a value.
    fn flag(&mut self, name: &str) -> Result<(), String> {
        match name {
            "--help" => self.begin(name, Action::Help)?,
            "--version" => self.begin(name, Action::Version)?,
            "--foreign" => self.begin(name, Action::FirstStage)?,
            "--second-stage" => self.begin(name, Action::SecondStage("/".into()))?,
            "--print-debs" => self.begin(name, Action::PrintDebs)?,
            "--download-only" => self.begin(name, Action::DownloadOnly)?,
            "--keep-debootstrap-dir" => self.keep_directory = true,
            "--merged-usr" => self.merged_usr = Some(true),
            "--no-merged-usr" => self.merged_usr = Some(false),
            "--no-check-sig" | "--no-check-gpg" => self.is_unsigned = true,
            "--force-check-sig" | "--force-check-gpg" => self.must_be_signed = true,
            // Dependencies are always resolved, and everything is in the log.
            "--resolve-deps" | "--verbose" | "--debug" => {}
            "--no-resolve-deps" | "--log-extra-deps" | "--debian-installer" | "--no-check-certificate" => {
                self.unused.push(name.to_owned());
            }
            _ => return Err(format!("unrecognized or invalid option {name}")),
        }
        Ok(())
    }

    /// Sets what is done. Only one thing can be.
    fn begin(&mut self, name: &str, action: Action) -> Result<(), String> {
        if self.action != Action::Install || (self.unpack_tarball.is_some() && action != Action::FirstStage) {
            return Err(format!("{name} is given with another option of this kind, please use only one of them"));
        }
        self.action = action;
        Ok(())
    }

    /// Takes an option with its value.
    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        let list = |value: &str| value.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let missing = |what: &str| Err(format!("{value}: no such {what}"));
        match name {
            "--arch" => self.architecture = Some(value),
            "--variant" => self.variant = value,
            "--include" => self.include = list(&value),
            "--exclude" => self.exclude = list(&value),
            "--extra-suites" => self.extra_suites = list(&value),
            "--components" => self.components = value.split([',', '|', ' ']).map(str::to_owned).collect(),
            "--keyring" if !Path::new(&value).exists() => {
                return Err(format!("specified keyring file ({value}) not found"));
            }
            "--keyring" => self.keyring = Some(value),
            "--cache-dir" if !value.starts_with('/') => {
                return Err("cache directory should be specified with an absolute path".to_owned());
            }
            "--cache-dir" if !Path::new(&value).is_dir() => return missing("directory"),
            "--cache-dir" => self.cache = Some(value),
            "--make-tarball" => self.begin(name, Action::MakeTarball(value.into()))?,
            "--unpack-tarball" if !Path::new(&value).is_file() => return missing("file"),
            "--unpack-tarball" if !matches!(self.action, Action::Install | Action::FirstStage) => {
                return Err(format!("{name} is given with another option of this kind, please use only one of them"));
            }
            "--unpack-tarball" => self.unpack_tarball = Some(value.into()),
            "--second-stage-target" => match &mut self.action {
                Action::SecondStage(directory) => *directory = value.into(),
                _ => return Err(format!("option {name} only applies in the second stage")),
            },
            "--certificate" => self.access.push(("--client-cert", value)),
            "--private-key" => self.access.push(("--client-key", value)),
            "--ca-certificate" => self.access.push(("--ca-file", value)),
            "--extractor" if !["dpkg-deb", "ar"].contains(&value.as_str()) => {
                return Err(format!("{value}: unknown extractor"));
            }
            "--extractor" => self.unused.push(format!("{name}={value}")),
            "--inrelease-path" => return Err(format!("{name} cannot be used: InRelease is read at its usual place")),
            _ => return Err(format!("unrecognized or invalid option {name}")),
        }
        Ok(())
    }

    /// Takes suite, target, mirror and script.
    fn positional(mut self, words: Vec<String>) -> Result<Self, String> {
        if matches!(self.action, Action::Help | Action::Version | Action::SecondStage(_)) {
            return Ok(self);
        }
        if self.is_unsigned && self.must_be_signed {
            return Err("both --no-check-sig and --force-check-sig are given, please pick one".to_owned());
        }
        if self.is_unsigned && self.keyring.is_some() {
            self.keyring = None;
        }
        let mut words = words.into_iter();
        let mut word = || words.next().filter(|word| !word.is_empty());
        let (Some(suite), Some(target)) = (word(), word()) else {
            return Err("You must specify a suite and a target.".to_owned());
        };
        (self.suite, self.target) = (suite, target.into());
        self.mirror =
            words.next().filter(|mirror| !mirror.is_empty()).map(|mirror| mirror.trim_end_matches('/').into());
        let unchecked = "--no-check-certificate";
        if self.unused.iter().any(|option| option == unchecked)
            && self.mirror.as_ref().is_some_and(|mirror| mirror.starts_with("https:"))
        {
            return Err(format!("{unchecked} cannot be used: name the authority of the mirror with --ca-certificate"));
        }
        // The suite's own rules are built in.
        self.unused
            .extend(words.next().filter(|script| !script.is_empty()).map(|script| format!("the script {script}")));
        match self.variant.as_str() {
            "" | "-" => self.variant = "important".to_owned(),
            "minbase" | "buildd" => {}
            // What fakechroot is for works without it.
            "fakechroot" => {
                self.unused.push("--variant=fakechroot".to_owned());
                self.variant = "important".to_owned();
            }
            _ => return Err("unsupported variant".to_owned()),
        }
        Ok(self)
    }

    /// Returns the command line of rootstrap that makes the same system, without the program's name.
    ///
    /// # Errors
    /// A message for the user.
    pub(crate) fn to_rootstrap(&self, host: &Host) -> Result<Vec<String>, String> {
        let mut words = vec![self.suite.clone(), self.target.display().to_string()];
        words.extend(self.mirror.clone());
        let mut option = |name: &str, value: &str| words.push(format!("{name}={value}"));
        // Whatever the end of its name is.
        option("--format", "directory");
        option("--variant", &self.variant);
        let (suite, mut pockets) = (suites::lookup(&self.suite), vec!["release"]);
        for extra in &self.extra_suites {
            // A suite that is not listed has no further pockets.
            let pocket = extra.strip_prefix(&format!("{}-", self.suite)).filter(|_| suite.is_some());
            match pocket {
                Some(pocket @ ("updates" | "security" | "backports")) => pockets.push(pocket),
                _ => {
                    let mirror = self.mirror.as_deref().ok_or_else(|| format!("the suite {extra} needs a mirror"))?;
                    option("--source", &format!("deb {mirror} {extra} {}", self.components().join(" ")));
                }
            }
        }
        option("--pockets", &pockets.join(","));
        option("--components", &self.components().join(","));
        option("--sources-format", "plain");
        let lists = [
            ("--arch", self.architecture.iter().cloned().collect()),
            ("--include", self.included()),
            ("--exclude", self.exclude.clone()),
        ];
        for (name, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
            option(name, &list.join(","));
        }
        for (name, value) in [("--keyring", &self.keyring), ("--cache-dir", &self.cache)] {
            value.iter().for_each(|value| option(name, value));
        }
        self.access.iter().for_each(|(name, value)| option(name, value));
        // debootstrap makes no links where packages ship them, and cannot prevent those. Of a suite that is not listed, they decide.
        let has_choice = suite.is_some_and(|suite| {
            matches!(suite.merged_usr(self.variant == "buildd"), suites::MergedUsr::Links | suites::MergedUsr::No)
        });
        if let Some(is_merged) = self.merged_usr.filter(|is_merged| *is_merged || has_choice) {
            option("--merged-usr", if is_merged { "yes" } else { "no" });
        }
        host.hostname.iter().for_each(|name| option("--hostname", name));
        if host.has_resolv_conf {
            option("--resolv-conf", "host");
        }
        words.push("--non-empty".to_owned());
        words.extend(self.is_unsigned.then(|| "--no-check-sig".to_owned()));
        words.extend((self.action == Action::FirstStage).then(|| "--foreign".to_owned()));
        Ok(words)
    }

    /// Returns whether a system is made, whole or in two stages.
    pub(crate) fn makes_system(&self) -> bool {
        matches!(self.action, Action::Install | Action::FirstStage) && self.unpack_tarball.is_none()
    }

    fn components(&self) -> Vec<String> {
        if self.components.is_empty() { vec!["main".to_owned()] } else { self.components.clone() }
    }

    /// Returns the packages that are added. apt in the new system needs certificates for such a mirror.
    fn included(&self) -> Vec<String> {
        let needs_certificates = self.mirror.as_ref().is_some_and(|mirror| mirror.starts_with("https:"));
        let certificates = needs_certificates.then(|| "ca-certificates".to_owned());
        self.include.iter().cloned().chain(certificates).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<CommandLine, String> {
        CommandLine::parse(&words.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn translated(words: &str) -> String {
        let host = Host { hostname: Some("builder".to_owned()), has_resolv_conf: true };
        parse(words).unwrap().to_rootstrap(&host).unwrap().join(" ")
    }

    #[test]
    fn a_system_is_asked_for_as_debootstrap_makes_it() {
        assert_eq!(
            translated("--arch amd64 --include=a,b --keyring=/dev/null trixie /srv/root http://mirror.test/debian/"),
            "trixie /srv/root http://mirror.test/debian --format=directory --variant=important --pockets=release --components=main \
             --sources-format=plain --arch=amd64 --include=a,b --keyring=/dev/null --hostname=builder --resolv-conf=host \
             --non-empty"
        );
        let text =
            translated("--variant=buildd --no-merged-usr --extra-suites=bookworm-updates,x bookworm r https://m sid");
        for part in ["--pockets=release,updates", "--source=deb https://m x main", "ca-certificates", "--merged-usr=no"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(translated("--no-check-gpg --foreign --keyring=/dev/null sid r").ends_with("--no-check-sig --foreign"));
        assert!(!translated("--no-check-gpg --keyring=/dev/null sid r").contains("--keyring"));
        let text = translated("--no-merged-usr --extra-suites=other-updates --keyring=/dev/null other r http://m");
        assert!(!text.contains("merged-usr") && text.contains("--source=deb http://m other-updates main"), "{text}");
    }

    #[test]
    fn what_it_refuses_is_refused() {
        for (words, problem) in [
            ("trixie", "suite and a target"),
            ("--variant=scratchbox trixie r", "unsupported variant"),
            ("--arch", "requires an argument: --arch"),
            ("--foreign --print-debs trixie r", "only one of them"),
            ("--second-stage-target=/x trixie r", "only applies in the second stage"),
            ("--keyring=/does/not/exist trixie r", "not found"),
            ("--cache-dir=x trixie r", "absolute path"),
            ("--wrong trixie r", "unrecognized or invalid option --wrong"),
            ("--foreign=yes trixie r", "unrecognized or invalid option"),
            ("--extractor=tar trixie r", "unknown extractor"),
            ("--force-check-gpg --no-check-gpg trixie r", "please pick one"),
            ("--no-check-certificate trixie r https://m", "--ca-certificate"),
        ] {
            let found = parse(words).unwrap_err();
            assert!(found.contains(problem), "{words}: {found}");
        }
        assert!(CommandLine::parse(&["sid".into(), "".into()]).is_err());
        assert!(CommandLine::parse(&["sid".into(), std::os::unix::ffi::OsStringExt::from_vec(vec![0xff])]).is_err());
        assert_eq!(parse("--second-stage --second-stage-target /r").unwrap().action, Action::SecondStage("/r".into()));
        let unused = parse("--extractor=ar --no-resolve-deps trixie r http://m sid").unwrap().unused;
        assert_eq!(unused, ["--extractor=ar", "--no-resolve-deps", "the script sid"]);
    }
}
