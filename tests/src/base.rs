//! A tiny distribution that works, made once per test binary, and checks of a root made from it.

use crate::machine;
use crate::world::{KEY, World};
use rootstrap_testkit::archive::Archive;
pub use rootstrap_testkit::base::Layout;
use rootstrap_testkit::base::base_system;
use rootstrap_testkit::deb::Deb;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The suite of these archives, which rootstrap does not know.
pub const SUITE: &str = "fixture";

/// Returns an archive of the base system and `more`.
///
/// # Errors
/// The host lacks a program that the base system is made of.
pub fn archive(layout: Layout, more: impl IntoIterator<Item = Deb>) -> Result<Archive, String> {
    let debs = debs(layout)?;
    let mut archive = Archive::new(SUITE).key(&KEY);
    archive.architectures = vec![native(&debs)];
    let arch = archive.architectures[0].clone();
    let more = more.into_iter().map(|deb| if deb.get("Architecture") == Some("all") { deb } else { deb.arch(&arch) });
    Ok(archive.debs(debs).debs(more))
}

/// Returns the packages of the base system.
///
/// # Errors
/// The host lacks a program that they are made of.
pub fn debs(layout: Layout) -> Result<Vec<Deb>, String> {
    static MERGED: OnceLock<Result<Vec<Deb>, String>> = OnceLock::new();
    static SPLIT: OnceLock<Result<Vec<Deb>, String>> = OnceLock::new();
    let cell = match layout {
        Layout::Merged => &MERGED,
        Layout::Split => &SPLIT,
    };
    cell.get_or_init(|| base_system(SUITE, layout)).clone()
}

/// Returns the package `tools` with these programs of the host and those of their libraries that the base system lacks.
///
/// # Errors
/// The host lacks one of them.
pub fn tools(names: &[&str]) -> Result<Deb, String> {
    let others = debs(Layout::Merged)?;
    let mut deb = Deb::new("tools", "5").field("Priority", "optional").field("Essential", "no");
    for file in rootstrap_testkit::host::programs(names)? {
        let path = if file.path.starts_with("/usr/") { file.path.clone() } else { format!("/usr{}", file.path) };
        let top = file.path.matches('/').count() == 1;
        if top || others.iter().any(|other| other.ships(&path)) {
            continue;
        }
        deb = match &file.link {
            Some(target) => deb.symlink(&path, target),
            None => deb.file(&path, file.mode, &file.content),
        };
    }
    Ok(deb)
}

/// Returns the architecture of the packages of [`debs`].
pub fn native(debs: &[Deb]) -> String {
    let other = |deb: &&Deb| deb.get("Architecture") != Some("all");
    debs.iter().find(other).and_then(|deb| deb.get("Architecture")).unwrap_or("amd64").to_owned()
}

/// Panics if a run left a mount, a process or a staging directory, or anything in `out/` but `published`.
#[track_caller]
pub fn assert_nothing_left(world: &World, published: &[&str]) {
    let place = world.path("");
    let place = place.to_str().unwrap();
    assert_eq!(machine::mounts(place), [""; 0]);
    assert_eq!(machine::processes(place), [""; 0]);
    let mut out = world.names("out");
    out.retain(|name| !name.starts_with("cache-of-"));
    assert_eq!(out, published);
    let mut staging = world.names("tmp");
    staging.retain(|name| !name.ends_with(".log"));
    assert_eq!(staging, [""; 0]);
}

/// The rules of slim images as a shell script that runs in the root, written independently of the program's own. It removes files,
/// and then empty directories and dangling links until none is left. At the end it makes the directories of manual sections
/// again.
pub const SLIM_RULES: &str = r#"set -e
cd /usr/share
sections=$(find man -mindepth 1 -maxdepth 1 -name 'man[0-9]')
for area in doc info linda lintian/overrides locale man; do
    [ -d $area ] || continue
    find ./$area -mindepth 1 ! -path './doc/*/copyright' ! -path './locale/l10n/*' ! -path ./locale/locale.alias \
        ! -type d ! -type l -exec rm -f {} +
    while [ -n "$(find ./$area -mindepth 1 -depth \( -empty -o -xtype l \) -delete -print)" ]; do :; done
done
mkdir -p $sections
"#;

/// Runs a program of the root in the root, as root.
pub fn inside(root: &Path, words: &[&str]) -> Output {
    let mut command = Command::new("chroot");
    command.arg(root).args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.output().unwrap()
}

/// Runs a program of the root, which must succeed, and returns what it prints.
#[track_caller]
pub fn prints(root: &Path, words: &[&str]) -> String {
    let output = inside(root, words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{words:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Panics if the root's own dpkg finds anything wrong with the root.
#[track_caller]
pub fn assert_consistent(root: &Path) {
    assert_eq!(prints(root, &["dpkg", "--audit"]), "");
    assert_eq!(prints(root, &["dpkg", "--verify"]), "");
    let states = prints(root, &["dpkg-query", "-W", "-f", "${Status} ${Package}\n"]);
    let wrong: Vec<&str> = states.lines().filter(|line| !line.starts_with("install ok installed ")).collect();
    assert!(wrong.is_empty() && !states.is_empty(), "{wrong:?}");
}

/// Lets the root's own dpkg unpack these packages in this order and then configure them, as the user of a finished root would.
#[track_caller]
pub fn add_with_dpkg(root: &Path, debs: &[Deb]) {
    let mut words =
        vec!["dpkg", "--force-confold", "--no-triggers", "--unpack"].into_iter().map(str::to_owned).collect::<Vec<_>>();
    for deb in debs {
        let name = format!("tmp/{}.deb", deb.name());
        std::fs::write(root.join(&name), deb.build()).unwrap();
        words.push(format!("/{name}"));
    }
    prints(root, &words.iter().map(String::as_str).collect::<Vec<_>>());
    prints(root, &["dpkg", "--force-confold", "--configure", "-a"]);
    for deb in debs {
        std::fs::remove_file(root.join(format!("tmp/{}.deb", deb.name()))).unwrap();
    }
}
