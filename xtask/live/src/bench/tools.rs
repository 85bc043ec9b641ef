//! The commands of one scenario: that of rootstrap and those of the other tools.

use super::scenario::{self, Case, Kind};
use crate::oracle::build::{Build, output};
use crate::project;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The other tools, as `--against` names them.
pub const PEERS: [&str; 4] = ["mmdebstrap", "debootstrap", "cdebootstrap", "rdebootstrap"];
/// The modes of rootstrap that `--against` can name as rows of their own.
pub const MODES: [&str; 3] = ["unshare", "single", "chroot"];
/// The first row: rootstrap as the scenario runs it.
pub const OURS: &str = "rootstrap";

/// The user who runs the rootless scenario.
#[derive(Clone, Debug)]
pub struct User {
    uid: u32,
    gid: u32,
    home: String,
}

/// What all commands of a scenario share.
pub struct Place<'p> {
    /// The scenario.
    pub case: &'p Case,
    /// Our program.
    pub program: &'p Path,
    /// Further arguments of our program.
    pub extra: &'p [String],
    /// The packages in our plan without additions, for tools that have no variants.
    pub packages: &'p [String],
    /// The user who runs our program, if it is not root.
    pub user: Option<&'p User>,
    /// The directory for everything that the runs make.
    pub work: &'p Path,
}

/// One run of one tool.
pub struct Run {
    /// The command to measure.
    pub command: Command,
    /// The path of the result.
    pub target: PathBuf,
    /// The directory that the tool may keep between runs.
    pub cache: PathBuf,
    /// Whether the command writes the result to standard output.
    pub prints: bool,
}

/// Returns why a tool cannot run a scenario; `None` if it can.
pub fn obstacle(tool: &str, case: &Case) -> Option<String> {
    if MODES.contains(&tool) {
        return None;
    }
    if !PEERS.contains(&tool) {
        return Some("there is no such tool".into());
    }
    if find(tool).is_none() {
        return Some("it is not installed".into());
    }
    let reason = match (case.scenario.kind, tool) {
        (Kind::Image | Kind::Unchanged, "debootstrap" | "cdebootstrap" | "rdebootstrap") => "it makes directories only",
        (Kind::Warm, "cdebootstrap") => "it keeps no packages",
        _ if tool == "cdebootstrap" && !matches!(case.variant.as_str(), "minbase" | "important" | "buildd") => {
            "it has no such variant"
        }
        _ => {
            let arch = case.arch.as_deref()?;
            return emulator(arch).map(|reason| format!("its programs need an emulator, and {reason}"));
        }
    };
    Some(reason.into())
}

/// Returns why the kernel does not start programs of this architecture; `None` if it does.
fn emulator(arch: &str) -> Option<String> {
    let native = output(Command::new("dpkg").arg("--print-architecture")).unwrap_or_default();
    let own: &[&str] = if native.trim() == "amd64" { &["amd64", "i386"] } else { &[native.trim()] };
    if own.contains(&arch) {
        return None;
    }
    let handler = match arch {
        "arm64" => "qemu-aarch64",
        "armel" | "armhf" => "qemu-arm",
        "amd64" => "qemu-x86_64",
        "ppc64el" => "qemu-ppc64le",
        "loong64" => "qemu-loongarch64",
        other => &format!("qemu-{other}"),
    };
    // A handler can be registered while binfmt_misc is not mounted. So it is mounted for the check, in a namespace that
    // ends with it.
    let look = "test -e $0/status || mount -t binfmt_misc none $0; grep -qx enabled $0/$1";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", look, "/proc/sys/fs/binfmt_misc", handler]);
    output(&mut command).err().map(|_| format!("the handler {handler} is not registered with the kernel (binfmt_misc)"))
}

/// Returns the path of a program in PATH or in a directory of system programs.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut all = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    all.find_map(|directory| Some(directory.join(name)).filter(|path| path.is_file()))
}

/// Looks a user up.
pub fn user(name: &str) -> Result<User, String> {
    let line = output(Command::new("getent").args(["passwd", name])).map_err(|_| format!("there is no user {name}"))?;
    let fields: Vec<&str> = line.trim_end().split(':').collect();
    match fields.as_slice() {
        [_, _, uid, gid, _, home, ..] => {
            let number = |text: &str| text.parse().map_err(|_| format!("getent says {line}"));
            Ok(User { uid: number(uid)?, gid: number(gid)?, home: (*home).to_owned() })
        }
        _ => Err(format!("getent says {line}")),
    }
}

impl User {
    /// Gives a directory to the user.
    pub fn own(&self, path: &Path) -> Result<(), String> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(|error| format!("cannot change the owner of {}: {error}", path.display()))
    }
}

impl Place<'_> {
    /// Returns the names of the rows: those of rootstrap, then the other tools that can run the scenario. Also returns
    /// the tools that cannot, each with the reason.
    pub fn rows(&self, against: Option<&[String]>) -> (Vec<String>, Vec<(String, String)>) {
        let mut rows = vec![OURS.to_owned()];
        match self.case.scenario.kind {
            Kind::Image => rows.push(scenario::DIRECTORY.into()),
            // Other tools take no part, because this scenario compares rootstrap with and without root.
            Kind::Rootless => return (vec![OURS.into(), scenario::ROOT.into()], Vec::new()),
            Kind::Platforms => return (vec![OURS.into(), scenario::ALONE.into()], Vec::new()),
            Kind::SamePackages => return (vec![OURS.into(), scenario::ANEW.into()], Vec::new()),
            Kind::Cold | Kind::Warm | Kind::Unchanged => {}
        }
        let all: Vec<String> = PEERS.map(str::to_owned).into();
        let mut unable = Vec::new();
        for tool in against.unwrap_or(&all) {
            match obstacle(tool, self.case) {
                None => rows.push(tool.clone()),
                Some(reason) => unable.push((tool.clone(), reason)),
            }
        }
        (rows, unable)
    }

    /// Returns the run of a row. `build` names the packages to include.
    pub fn run(&self, row: &str, build: &Build<'_>) -> Result<Run, String> {
        let home = self.work.join(row.replace(' ', "-"));
        let cannot = |error: std::io::Error| format!("cannot make {}: {error}", home.display());
        let cache = home.join("cache");
        std::fs::create_dir_all(&cache).map_err(cannot)?;
        let user = self.user.filter(|_| row == OURS && self.case.scenario.kind == Kind::Rootless);
        if let Some(user) = user {
            user.own(&home)?;
            user.own(&cache)?;
        }
        let prints = row == OURS && self.case.scenario.kind == Kind::Image;
        let archive = row != scenario::DIRECTORY && matches!(self.case.scenario.kind, Kind::Image | Kind::Unchanged);
        let target = home.join(match self.case.scenario.kind {
            Kind::Platforms | Kind::SamePackages => "root.oci.tar",
            _ if archive => "root.tar",
            _ => "root",
        });
        if row == scenario::ANEW {
            for layer in ["root", "gzip", "archive"] {
                crate::oracle::build::remove(&cache.join("v1").join(layer))?;
            }
        }
        let command = match row {
            "mmdebstrap" => {
                let mut command = build.theirs(row, &target, None)?;
                if self.case.is_filled() {
                    keep_debs(&mut command, &cache);
                }
                command
            }
            "debootstrap" => build.theirs(row, &target, self.case.is_filled().then_some(cache.as_path()))?,
            "cdebootstrap" => cdebootstrap(build, &target)?,
            "rdebootstrap" => self.rdebootstrap(build, &home, &target)?,
            _ => self.ours(row, build, user, &cache, (!prints).then_some(target.as_path())),
        };
        Ok(Run { command, target, cache, prints })
    }

    /// Returns the command of rootstrap. Without a target it writes an image to standard output.
    fn ours(&self, row: &str, build: &Build<'_>, user: Option<&User>, cache: &Path, target: Option<&Path>) -> Command {
        let ours = build.ours(self.program, "", self.extra);
        let Some(user) = user else {
            return self.finish(ours, row, cache, target);
        };
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={}", user.uid), &format!("--regid={}", user.gid), "--init-groups"]);
        command.arg(ours.get_program()).args(ours.get_args());
        build.environment(&mut command);
        command.env("HOME", &user.home).arg("--mode=unshare");
        self.finish(command, row, cache, target)
    }

    fn finish(&self, mut command: Command, row: &str, cache: &Path, target: Option<&Path>) -> Command {
        command.arg(format!("--cache-dir={}", cache.display()));
        if row == OURS && self.case.scenario.kind == Kind::Platforms {
            command.arg("--arch=amd64,arm64");
        }
        if self.case.scenario.kind == Kind::SamePackages {
            let copied = cache.with_file_name("copied");
            let moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let _ = std::fs::write(&copied, format!("{} ns\n", moment.as_nanos()));
            command.arg(format!("--copy={}:/etc/copied", copied.display()));
        }
        match target {
            Some(target) => command.arg(target),
            None => command.arg("--image"),
        };
        if MODES.contains(&row) {
            command.arg(format!("--mode={row}"));
        }
        command
    }

    /// Returns the command of rdebootstrap. It has no variants, so its manifest lists the packages of our plan. Solving
    /// and building are two commands.
    fn rdebootstrap(&self, build: &Build<'_>, home: &Path, target: &Path) -> Result<Command, String> {
        let include: Vec<&String> = self.packages.iter().chain(&build.set.include).collect();
        // rdebootstrap refuses large keyrings, so the removed keys are left out.
        let keyring = project::directory().join(format!("keyrings/{}-archive-keyring.pgp", build.suite.vendor));
        let mut archive = toml::Table::new();
        archive.insert("url".into(), build.mirror.into());
        archive.insert("suites".into(), vec![build.suite.name.clone()].into());
        archive.insert("components".into(), vec!["main"].into());
        archive.insert("signed-by".into(), keyring.to_string_lossy().into_owned().into());
        let mut spec = toml::Table::new();
        spec.insert("include".into(), include.into_iter().cloned().collect::<Vec<_>>().into());
        let mut manifest = toml::Table::new();
        manifest.insert("archive".into(), vec![archive].into());
        manifest.insert("spec".into(), spec.into());
        let path = home.join("Manifest.toml");
        std::fs::write(&path, manifest.to_string())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let program = find("rdebootstrap").ok_or("rdebootstrap is not installed")?;
        let arch = build.arch.map(|arch| format!(" --arch {arch}")).unwrap_or_default();
        let common = format!("{}{arch} --cache-dir {}", program.display(), home.join("cache").display());
        let path = path.display();
        let script = format!(
            "{common} update --manifest {path} && {common} build --manifest {path} --path {}",
            target.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        build.environment(&mut command);
        Ok(command)
    }
}

/// Makes mmdebstrap keep the debs in `cache`, with the options that its manual proposes where there is no caching
/// proxy.
fn keep_debs(command: &mut Command, cache: &Path) {
    let (cache, archives) = (cache.display(), "/var/cache/apt/archives");
    command.arg("--skip=essential/unlink");
    command.arg(format!("--setup-hook=mkdir -p \"$1\"{archives}/"));
    command.arg(format!("--setup-hook=sync-in {cache} {archives}/"));
    command.arg(format!("--customize-hook=sync-out {archives} {cache}"));
}

/// Returns the command of cdebootstrap, whose flavours are other names for the variants.
fn cdebootstrap(build: &Build<'_>, target: &Path) -> Result<Command, String> {
    let flavour = match build.variant {
        "important" => "standard",
        "buildd" => "build",
        _ => "minimal",
    };
    let mut command = Command::new("unshare");
    command.args(["--mount", "cdebootstrap", &format!("--flavour={flavour}")]);
    command.arg(format!("--keyring={}", build.keyring()?.display()));
    command.args(build.arch.map(|arch| format!("--arch={arch}")));
    command.args(build.arch.map(|_| "--foreign"));
    if !build.set.include.is_empty() {
        command.arg(format!("--include={}", build.set.include.join(",")));
    }
    command.arg(&build.suite.name).arg(target).arg(build.mirror);
    build.environment(&mut command);
    Ok(command)
}

/// Returns a text without the paths and addresses of this machine.
pub fn anonymous(text: &str, work: &Path, mirror: &str) -> String {
    let text = text.replace(&format!("{}/bin/", work.display()), "");
    let text = text.replace(&*work.to_string_lossy(), "TMP").replace(mirror, "MIRROR");
    let text = text.replace(&*project::directory().to_string_lossy(), "CHECKOUT");
    find("rdebootstrap").map_or(text.clone(), |tool| text.replace(&*tool.to_string_lossy(), "rdebootstrap"))
}

/// Returns a command as the document shows it, without the paths and names of this machine.
pub fn shown(command: &Command, work: &Path, mirror: &str, user: Option<&User>) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words
        .map(|word| {
            let mut word = anonymous(&word.to_string_lossy(), work, mirror);
            if let Some(user) = user {
                word = word.replace(&format!("--reuid={}", user.uid), "--reuid=USER");
                word = word.replace(&format!("--regid={}", user.gid), "--regid=USER");
            }
            let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./:,@".contains(c));
            if plain { word } else { format!("'{word}'") }
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str) -> Case {
        let args = ["--scenario".to_owned(), name.to_owned()];
        crate::bench::options::parse(&args).unwrap().cases().remove(0)
    }

    #[test]
    fn a_tool_that_cannot_take_part_has_a_reason() {
        assert!(obstacle("frobstrap", &case("cold")).unwrap().contains("no such tool"));
        for mode in MODES {
            assert_eq!(obstacle(mode, &case("image")), None);
        }
        for tool in ["debootstrap", "rdebootstrap"] {
            assert!(obstacle(tool, &case("unchanged")).is_some());
        }
    }

    #[test]
    fn commands_are_shown_without_paths_and_names_of_this_machine() {
        let user = User { uid: 1001, gid: 1002, home: "/home/me".into() };
        let mut command = Command::new("setpriv");
        command.args(["--reuid=1001", "--regid=1002", "/w/x/bin/rootstrap", "--mirror=http://m/debian", "/w/x/a b"]);
        assert_eq!(
            shown(&command, Path::new("/w/x"), "http://m/debian", Some(&user)),
            "setpriv --reuid=USER --regid=USER rootstrap --mirror=MIRROR 'TMP/a b'"
        );
    }
}
