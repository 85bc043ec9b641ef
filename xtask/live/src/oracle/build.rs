//! Builds the trees that the oracle compares, with rootstrap, mmdebstrap and debootstrap, all from one archive.

use super::matrix::Set;
use crate::project;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a suite is built, from tests/oracle/suites.txt.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The name under `dists/`.
    pub name: String,
    /// `debian` or `ubuntu`.
    pub vendor: String,
    mirror: Option<String>,
    merged: String,
    /// Whether the other tools skip verification, because they cannot verify the suite's signature any more.
    pub trusted: bool,
    split_buildd: bool,
    core_first: bool,
    also: Vec<String>,
}

/// What to build.
pub struct Build<'b> {
    /// The suite.
    pub suite: &'b Suite,
    /// The variant.
    pub variant: &'b str,
    /// What the tree has beyond its variant.
    pub set: &'b Set,
    /// The Debian architecture, if it is not the host's.
    pub arch: Option<&'b str>,
    /// The mirror that all tools fetch from.
    pub mirror: &'b str,
    /// The SOURCE_DATE_EPOCH of all tools: the date of the archive's Release file.
    pub epoch: i64,
    /// Whether the archive's Release file has expired, because the archive no longer changes.
    pub expired: bool,
    /// The directory for logs and keyrings.
    pub work: &'b Path,
}

/// A hook for mmdebstrap. It configures first what debootstrap configures first, and PAM, from the packages that were
/// extracted.
const CORE_FIRST: &str = r#"for p in base-passwd base-files dpkg libc6 perl-base mawk debconf libpam-runtime; do
    chroot "$1" sh -c "dpkg --force-depends --install /var/cache/apt/archives/${p}_*.deb"; done"#;

/// Reads one line per suite.
pub fn parse_suites(text: &str) -> Result<Vec<Suite>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [name, vendor, mirror, merged, flags @ ..] = fields.as_slice() else {
                return Err(format!("suites.txt: not SUITE VENDOR MIRROR MERGED: {line}"));
            };
            if !matches!(*merged, "package" | "hook" | "links" | "no") {
                return Err(format!("suites.txt: {name}: no way to merge /usr: {merged}"));
            }
            Ok(Suite {
                name: (*name).to_owned(),
                vendor: (*vendor).to_owned(),
                mirror: (*mirror != "-").then(|| (*mirror).to_owned()),
                merged: (*merged).to_owned(),
                trusted: flags.contains(&"trusted"),
                core_first: flags.contains(&"core-first"),
                split_buildd: flags.contains(&"split-buildd"),
                also: flags
                    .iter()
                    .filter_map(|flag| flag.strip_prefix("also="))
                    .flat_map(|list| list.split(',').map(str::to_owned))
                    .collect(),
            })
        })
        .collect()
}

/// Returns the suite of that name.
pub fn suite(name: &str) -> Result<Suite, String> {
    let path = project::directory().join("tests/oracle/suites.txt");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let found = parse_suites(&text)?.into_iter().find(|suite| suite.name == name);
    found.ok_or_else(|| format!("no line for {name} in {}", path.display()))
}

impl Suite {
    /// Returns the mirror: the suite's own, else one from the host's apt sources, else the vendor's.
    pub fn mirror(&self) -> String {
        if let Some(mirror) = &self.mirror {
            return mirror.clone();
        }
        if let Some(mirror) = host_mirrors().into_iter().find(|uri| uri.trim_end_matches('/').ends_with(&self.vendor)) {
            return mirror;
        }
        match self.vendor.as_str() {
            "ubuntu" => "http://archive.ubuntu.com/ubuntu".into(),
            _ => "http://ftp.debian.org/debian".into(),
        }
    }
}

/// Returns the URIs of the host's apt sources, in both formats.
fn host_mirrors() -> Vec<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        files.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "list" || end == "sources")));
    }
    files.sort();
    let texts = files.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    texts.flat_map(|text| uris(&text)).collect()
}

fn uris(text: &str) -> Vec<String> {
    let words = |line: &str| -> Vec<String> {
        let words = line.split_whitespace().filter(|word| word.contains("://"));
        words.take(1).map(str::to_owned).collect()
    };
    let lines = text.lines().filter(|line| line.starts_with("URIs:") || line.starts_with("deb "));
    lines.flat_map(words).collect()
}

/// Returns the date of the archive's Release file, in seconds since 1970, and whether the file has expired.
pub fn release_date(mirror: &str, suite: &str) -> Result<(i64, bool), String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let url = format!("{}/dists/{suite}/Release", mirror.trim_end_matches('/'));
    // The oracle needs apt for mmdebstrap anyway, and apt knows the host's proxies.
    let mut fetch = Command::new("/usr/lib/apt/apt-helper");
    fetch.args(["-oAPT::Sandbox::User=root", "download-file", &url]).arg(file.path());
    output(&mut fetch)?;
    let text = std::fs::read_to_string(file.path()).map_err(|error| error.to_string())?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let seconds = |date: &str| -> Result<i64, String> {
        let seconds = output(Command::new("date").args(["-u", "+%s", "-d", date]))?;
        seconds.trim().parse().map_err(|_| format!("date says {seconds}"))
    };
    let date = seconds(field("Date: ").ok_or("the Release file has no Date")?)?;
    let until = field("Valid-Until: ").map(seconds).transpose()?;
    Ok((date, until.map_or(Ok(false), |until| seconds("now").map(|now| until < now))?))
}

/// Runs a program. Returns its standard output, or its standard error if it fails.
pub fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Builds rootstrap and returns the path of the program.
pub fn our_program() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--package", "rootstrap"])
        .current_dir(project::directory())
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !built.success() {
        return Err("cannot build rootstrap".into());
    }
    let target = project::target();
    Ok(target.join("release/rootstrap"))
}

/// Removes a tree. Refuses a tree in which a failed tool left something mounted, because the mounted files would be
/// removed too.
pub fn remove(tree: &Path) -> Result<(), String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let inside = |line: &str| line.split(' ').nth(1).is_some_and(|at| Path::new(at).starts_with(tree));
    if let Some(line) = mounts.lines().find(|line| inside(line)) {
        return Err(format!("cannot remove {}: still mounted: {line}", tree.display()));
    }
    match std::fs::remove_dir_all(tree) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", tree.display()))
        }
        _ => Ok(()),
    }
}

impl Build<'_> {
    /// Returns the command of rootstrap, without a target.
    pub fn ours(&self, program: &Path, against: &str, extra: &[String]) -> Command {
        let mut command = Command::new(program);
        command.arg(&self.suite.name);
        command.arg(format!("--variant={}", self.variant));
        if !self.set.pockets {
            command.arg("--pockets=release").arg(format!("--mirror={}", self.mirror));
        }
        let of_suite = self.suite.also.iter().filter(|_| self.variant == "important");
        let also = of_suite.chain(&self.set.also).filter(|_| against == "debootstrap");
        let include: Vec<&str> = self.set.include.iter().chain(also).map(String::as_str).collect();
        if !include.is_empty() {
            command.arg(format!("--include={}", include.join(",")));
        }
        command.args(self.set.add_architecture.as_ref().map(|arch| format!("--add-architecture={arch}")));
        command.args(self.arch.map(|arch| format!("--arch={arch}")));
        command.args(self.set.recommends.then_some("--recommends"));
        command.args(self.expired.then(|| format!("--valid-at=@{}", self.epoch)));
        command.args(extra);
        self.environment(&mut command);
        command
    }

    /// Returns the command of another tool, with its target. debootstrap can keep packages in a `cache`.
    pub fn theirs(&self, tool: &str, target: &Path, cache: Option<&Path>) -> Result<Command, String> {
        // The mounts of a killed tool are gone before its tree is removed. The host has the name that ours gives to scripts, because
        // names of this machine say nothing about a tool.
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "sh", "-c", "hostname localhost && exec \"$@\"", "sh", tool]);
        match tool {
            "mmdebstrap" => {
                command.args(["--mode=root", &format!("--variant={}", self.variant)]);
                command.arg(format!("--keyring={}", self.keyring()?.display()));
                command.args(self.architectures().map(|list| format!("--architectures={list}")));
                if !self.set.include.is_empty() {
                    command.arg(format!("--include={}", self.set.include.join(",")));
                }
                command.args(self.set.recommends.then_some("--aptopt=APT::Install-Recommends \"true\""));
                if matches!(self.variant, "minbase" | "buildd") {
                    // mmdebstrap takes these names for `required`, with the compiler for buildd. In some suites that has no apt.
                    command.arg("--include=apt");
                }
                match self.suite.merged.as_str() {
                    "links" if self.is_split() => {}
                    "hook" if self.is_split() => {
                        command.arg("--hook-dir=/usr/share/mmdebstrap/hooks/no-merged-usr");
                    }
                    "hook" => _ = command.arg("--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr"),
                    "links" => _ = command.arg(format!("--setup-hook={}", self.merge()?)),
                    _ => {}
                }
                if self.suite.core_first {
                    command.arg(format!("--extract-hook={CORE_FIRST}"));
                }
                command.arg(&self.suite.name).arg(target).args(self.sources());
            }
            "debootstrap" => {
                // debootstrap has no name for its default variant.
                if !matches!(self.variant, "important" | "standard" | "debootstrap" | "-") {
                    command.arg(format!("--variant={}", self.variant));
                }
                if !self.set.include.is_empty() {
                    command.arg(format!("--include={}", self.set.include.join(",")));
                }
                if self.suite.trusted {
                    command.arg("--no-check-gpg");
                } else {
                    command.arg(format!("--keyring={}", self.keyring()?.display()));
                }
                command.args(self.arch.map(|arch| format!("--arch={arch}")));
                command.args(cache.map(|cache| format!("--cache-dir={}", cache.display())));
                command.arg(&self.suite.name).arg(target).arg(self.mirror);
                // The installed debootstrap may not know a newer suite. All newer suites of a vendor have the same
                // script.
                let scripts = Path::new("/usr/share/debootstrap/scripts");
                if !scripts.join(&self.suite.name).exists() {
                    command.arg(scripts.join(if self.suite.vendor == "ubuntu" { "gutsy" } else { "sid" }));
                }
            }
            _ => return Err(format!("no such tool: {tool} (mmdebstrap, debootstrap)")),
        }
        self.environment(&mut command);
        Ok(command)
    }

    /// Returns the lines of sources.list that mmdebstrap is given.
    fn sources(&self) -> Vec<String> {
        let name = &self.suite.name;
        let trusted = if self.suite.trusted { "[trusted=yes] " } else { "" };
        let expired = if self.expired { "[check-valid-until=no] " } else { "" };
        let line = |mirror: &str, pocket: &str| format!("deb {trusted}{expired}{mirror} {name}{pocket} main");
        let mut lines = vec![line(self.mirror, "")];
        if self.set.pockets {
            lines.push(line(self.mirror, "-updates"));
            // Ubuntu's main archive has the security pocket. Debian's security archive is beside the main one.
            let beside = format!("{}-security", self.mirror.trim_end_matches('/'));
            lines.push(line(if self.suite.vendor == "debian" { &beside } else { self.mirror }, "-security"));
        }
        lines
    }

    fn is_split(&self) -> bool {
        self.suite.split_buildd && self.variant == "buildd"
    }

    fn architectures(&self) -> Option<String> {
        match (self.arch, self.set.add_architecture.as_deref()) {
            (None, None) => None,
            (Some(arch), None) => Some(arch.to_owned()),
            (arch, Some(more)) => {
                Some(format!("{},{more}", arch.map_or_else(native, |arch| Ok(arch.to_owned())).ok()?))
            }
        }
    }

    /// Gives a command the environment that all tools get, whatever the caller's own environment is.
    pub fn environment(&self, command: &mut Command) {
        command.env_clear().current_dir("/");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        for name in ["HOME", "http_proxy", "https_proxy"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("no_proxy", no_proxy()).env("LC_ALL", "C.UTF-8").env("SOURCE_DATE_EPOCH", self.epoch.to_string());
    }

    /// Writes all keys of the vendor into one file, removed ones too, and returns its path. The oracle compares trees
    /// and does not test which keys are trusted.
    pub fn keyring(&self) -> Result<PathBuf, String> {
        let mut keys = Vec::new();
        for file in ["archive-keyring", "archive-removed-keys"] {
            let name = format!("{}-{file}", self.suite.vendor);
            let own = project::directory().join(format!("keyrings/{name}.pgp"));
            let host = PathBuf::from(format!("/usr/share/keyrings/{name}.gpg"));
            if let Some(bytes) = [own, host].iter().find_map(|path| std::fs::read(path).ok()) {
                keys.extend(bytes);
            }
        }
        if keys.is_empty() {
            return Err(format!("no keyring for {} in keyrings/ or /usr/share/keyrings", self.suite.vendor));
        }
        // apt takes the format of a keyring from the ending of its name.
        let path = self.work.join(format!("{}.gpg", self.suite.vendor));
        std::fs::write(&path, keys).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }

    /// Returns a hook that makes the links that debootstrap makes before it unpacks the first package.
    fn merge(&self) -> Result<String, String> {
        let arch = self.arch.map_or_else(native, |arch| Ok(arch.to_owned()))?;
        // debootstrap merges only the directories that required packages ship.
        let more = if matches!(arch.as_str(), "amd64" | "ppc64el" | "loong64") { " lib64" } else { "" };
        Ok(format!(r#"for d in bin sbin lib{more}; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done"#))
    }
}

/// Returns the hosts that are asked without a proxy: those of the caller, and this machine, on which the oracle's own mirror is.
pub fn no_proxy() -> String {
    std::env::var("no_proxy").map_or_else(|_| "127.0.0.1".to_owned(), |hosts| format!("127.0.0.1,{hosts}"))
}

/// The host's architecture.
fn native() -> Result<String, String> {
    Ok(output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned())
}

/// Returns what dpkg and apt report as wrong in a tree. The checks change files of the tree.
pub fn complaints(tree: &Path) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let checks =
        [("usr/bin/dpkg", "dpkg --audit"), ("usr/bin/dpkg", "dpkg --verify"), ("usr/bin/apt-get", "apt-get -qq check")];
    for (needs, check) in checks {
        if !tree.join(needs).exists() {
            continue;
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "chroot"]).arg(tree).args(check.split(' '));
        let outcome = command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").output();
        let outcome = outcome.map_err(|error| format!("cannot run {check}: {error}"))?;
        let said = [outcome.stdout, outcome.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        all.extend(said.lines().map(|line| format!("{check}: {line}")));
        if !outcome.status.success() {
            all.push(format!("{check}: {}", outcome.status));
        }
    }
    Ok(all)
}

/// Runs a command and writes its output to `log`. If the command fails, the error has the last lines of the log.
pub fn logged(command: &mut Command, log: &Path) -> Result<std::time::Duration, String> {
    let open = || File::create(log).and_then(|file| Ok((file.try_clone()?, file)));
    let (out, err) = open().map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let name = format!("{command:?}");
    let started = std::time::Instant::now();
    let status = command
        .stdin(std::process::Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    if status.success() {
        return Ok(started.elapsed());
    }
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    // Lines are shortened, because a command in the log may name hundreds of packages.
    let short = |line: &&str| line.chars().take(200).collect::<String>();
    let last = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default();
    let last = last.iter().map(short).collect::<Vec<_>>().join("\n    ");
    Err(format!("{name} failed ({status}); the end of {}:\n    {last}", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_suites_is_well_formed() {
        let text = std::fs::read_to_string(project::directory().join("tests/oracle/suites.txt")).unwrap();
        assert!(parse_suites(&text).unwrap().len() > 10);
        assert!(parse_suites("x debian -").is_err());
        assert!(parse_suites("x debian - maybe").is_err());
    }

    #[test]
    fn both_formats_of_sources_name_their_mirror() {
        let text = "# deb http://no/\ndeb [signed-by=/x] http://a/debian s main\nTypes: deb\nURIs: https://b/ubuntu\n";
        assert_eq!(uris(text), ["http://a/debian", "https://b/ubuntu"]);
    }
}
