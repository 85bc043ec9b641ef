//! The first of two stages: a tree in which nothing was run, with everything that the second stage needs below `/rootstrap`.
//!
//! ```text
//! /rootstrap/second-stage        the program that finishes the tree on a machine that runs the tree's programs
//! /rootstrap/plan                what that program has to do, one field and its value per line
//! /rootstrap/debs/               the packages of the later phases
//! /rootstrap/preinst/NAME/       the control files of packages of the first phase that have a preinst
//! /rootstrap/links/NAME          the links of these packages: time and path per line; their targets in NAME.targets
//! /rootstrap/directories/NAME    the directories of packages of the first phase: mode, owner, group, time and path per line
//! /rootstrap/files/              the files that no package ships
//! /debootstrap/debootstrap       the name that debootstrap's users know; it starts the program above
//! ```

use crate::error::Error;
use crate::install::debs::{DebPipeline, StagedDeb};
use crate::install::installer::dpkg_version;
use crate::install::native::Built;
use crate::install::{BuildContext, core_set, phases, slim};
use rootstrap_configure::{ENVIRONMENT, dpkg, fakes};
use rootstrap_http::redact;
use rootstrap_rootfs::{Attributes, Root, skeleton};
use rootstrap_unpack::{Claims, Conffiles, EntryKind, Rules};
use std::io::Write;
use std::sync::atomic::AtomicBool;

/// The directory of everything that the second stage needs.
pub(crate) const PLACE: &str = "rootstrap";
/// The file that says what the second stage has to do.
pub(crate) const PLAN: &str = "rootstrap/plan";
/// The program of the second stage.
pub(crate) const SCRIPT: &str = "rootstrap/second-stage";
/// The directory of the program by which debootstrap's users start the second stage.
pub(crate) const DEBOOTSTRAP: &str = "debootstrap";
/// The first line of the plan. It changes whenever an older or newer version of this program would misunderstand the plan.
pub(crate) const FORMAT: &str = "format 1";

const DEBS: &str = "rootstrap/debs";
/// The directory of the files that no package ships.
pub(crate) const FILES: &str = "rootstrap/files";

/// The files that no package ships, besides those in directories of apt.
const OWN_FILES: [&str; 3] = ["etc/hostname", "etc/apt/sources.list", "var/lib/apt/extended_states"];
/// The directories of apt that hold more of them.
const OWN_DIRECTORIES: [&str; 3] = ["etc/apt/keyrings", "etc/apt/preferences.d", "etc/apt/sources.list.d"];

/// The directory of keyrings for an apt that knows no keyring of one source.
const TRUSTED: &str = "etc/apt/trusted.gpg.d";

/// Writes the files that no package ships into a tree.
pub(crate) type WriteFiles<'a> = &'a dyn Fn(&Root) -> Result<(), Error>;

/// Extracts the first phase and keeps what the second stage needs. `mirrors` are
/// those that the user named, `built` is what native programs have to equal, and `write_files` writes the files that no package ships. Returns the size
/// of all files that were unpacked now, in bytes.
pub(crate) fn make(
    context: &BuildContext<'_>,
    pipeline: &mut DebPipeline<'_>,
    mirrors: &[String],
    built: &Built,
    write_files: WriteFiles<'_>,
) -> Result<u64, Error> {
    let &BuildContext { selection, suite, root, epoch, .. } = context;
    let mut plan = format!(
        "{FORMAT}\nsuite {}\narchitecture {}\nepoch {epoch}\ndpkg {}\n",
        suite.codename,
        selection.architecture,
        dpkg_version(context.plan)
    );
    let mut field = |name: &str, value: &str| plan.push_str(&format!("{name} {value}\n"));
    field("variant", selection.variant.name());
    for mirror in mirrors.iter().filter(|mirror| redact::userinfo(mirror) == **mirror) {
        field("mirror", mirror);
    }
    for (name, (source, version)) in built {
        field("built", &format!("{name} {source} {version}"));
    }
    if context.customization.slim {
        field("slim", "yes");
    }
    let bytes = phases::each_phase(context, pipeline, &mut |number, phase, packages| {
        if number == 0 {
            return first_phase(context, &packages, &mut field);
        }
        field("phase", &phase.name);
        for deb in &packages {
            field(&format!("deb-{}", phase.name), &deb.copy_deb(&context.debs, root, DEBS)?);
        }
        extract_documents(context, &packages)?;
        slim::prepare(context.customization.slim, root, &packages, epoch)
    })?;
    for path in own_files(context, write_files)? {
        field("file", &path);
    }
    let settings = &context.customization.settings;
    let hostname = settings.hostname.as_ref().map(|name| format!("{name}\n"));
    for (path, text) in [("etc/hostname", hostname), ("etc/resolv.conf", settings.resolv_conf.clone())] {
        text.map_or(Ok(()), |text| write(root, path, text.as_bytes()))?;
    }
    root.create_directories(DEBOOTSTRAP.as_bytes(), 0o755)?;
    root.write(format!("{DEBOOTSTRAP}/debootstrap").as_bytes(), include_bytes!("debootstrap.sh"), 0o755)?;
    root.write(PLAN.as_bytes(), plan.as_bytes(), 0o644)?;
    root.write(SCRIPT.as_bytes(), script().as_bytes(), 0o755)?;
    Ok(bytes)
}

fn first_phase(
    context: &BuildContext<'_>,
    packages: &[StagedDeb],
    field: &mut dyn FnMut(&str, &str),
) -> Result<(), Error> {
    let root = context.root;
    let for_dpkg = phases::extract(context, packages)?;
    for directory in [DEBS, FILES, "rootstrap/preinst", "rootstrap/links", "rootstrap/directories"] {
        root.create_directories(directory.as_bytes(), 0o755)?;
    }
    field("core", &core_set::names(context.selection.variant, packages).join(" "));
    for deb in packages {
        if for_dpkg.iter().any(|other| std::ptr::eq(*other, deb)) {
            field("first-deb", &deb.copy_deb(&context.debs, root, DEBS)?);
        } else {
            field("first", &deb.staged.control.database_name());
            keep_facts(root, deb)?;
        }
    }
    Ok(())
}

/// Brings the tree into the state in which it is published.
pub(crate) fn finish(root: &Root, is_directory: bool, epoch: i64, cancel: &AtomicBool) -> Result<(), Error> {
    rootstrap_normalize::set_root_attributes(root)?;
    if is_directory {
        skeleton::fill_dev(root, epoch)?;
    }
    rootstrap_normalize::clamp_times(root, epoch, cancel)?;
    Ok(())
}

/// Keeps what the second stage needs to run a package's preinst and to correct what the preinst changes (`unpack::after_scripts`).
fn keep_facts(root: &Root, deb: &StagedDeb) -> Result<(), Error> {
    let control = &deb.staged.control;
    let name = control.database_name();
    let (mut directories, mut links, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for entry in deb.staged.entries.as_deref().unwrap_or_default() {
        let time = entry.attributes.mtime;
        let line = |facts: String| [facts.as_bytes(), &entry.path, b"\n"].concat();
        match &entry.kind {
            EntryKind::Directory => {
                let Attributes { mode, uid, gid, .. } = entry.attributes;
                directories.extend(line(format!("{mode:o} {uid} {gid} {time} ")));
            }
            // A target with a line end would look like two targets, so such a link stays as the script leaves it.
            EntryKind::Symlink(target) if !target.contains(&b'\n') => {
                links.extend(line(format!("{time} ")));
                targets.extend([target, &b"\n"[..]].concat());
            }
            _ => {}
        }
    }
    root.write(format!("rootstrap/directories/{name}").as_bytes(), &directories, 0o644)?;
    if control.member("preinst").is_none() {
        return Ok(());
    }
    root.write(format!("rootstrap/links/{name}").as_bytes(), &links, 0o644)?;
    root.write(format!("rootstrap/links/{name}.targets").as_bytes(), &targets, 0o644)?;
    let directory = format!("rootstrap/preinst/{name}");
    root.create_directories(directory.as_bytes(), 0o755)?;
    for member in &control.members {
        let place = root.at(format!("{directory}/{}", member.name).as_bytes())?;
        place.create_file()?.write_all(&member.contents).map_err(|error| place.error("write", error))?;
        place.set_owner(0, 0)?;
        place.set_mode(member.mode)?;
    }
    Ok(())
}

/// Merges those packages of a later phase that decide the apt sources, into a tree of its own.
fn extract_documents(context: &BuildContext<'_>, packages: &[StagedDeb]) -> Result<(), Error> {
    let documents: Vec<&str> = context.suite.apt_source_documents().collect();
    let files = context.root.below(FILES.as_bytes())?;
    let rules = Rules { conffiles: Conffiles::InPlace, filters: &[], overrides: None, last_directory_wins: false };
    for deb in packages {
        let entries = deb.staged.entries.as_deref().unwrap_or_default();
        let path = |path: &[u8]| String::from_utf8_lossy(path.strip_prefix(b"/").unwrap_or(path)).into_owned();
        if entries.iter().any(|entry| documents.contains(&path(&entry.path).as_str())) {
            rootstrap_unpack::merge(&files, &deb.staged, rules, &mut Claims::default())?;
        }
    }
    Ok(())
}

/// Writes the files that no package ships into a directory beside the tree, with the content that they will have, and returns their
/// paths.
fn own_files(context: &BuildContext<'_>, write_files: WriteFiles<'_>) -> Result<Vec<String>, Error> {
    let files = context.root.below(FILES.as_bytes())?;
    for path in context.suite.apt_source_documents() {
        if let Some(contents) = context.root.read(path.as_bytes())? {
            write(&files, path, &contents)?;
        }
    }
    for path in OWN_FILES {
        create_parent(&files, path)?;
    }
    // Packages of a later phase may have brought keyrings of their own.
    let of_packages = files.list(TRUSTED.as_bytes())?;
    write_files(&files)?;
    let mut paths: Vec<String> = OWN_FILES.iter().map(|&path| path.to_owned()).collect();
    for directory in OWN_DIRECTORIES {
        for name in files.list(directory.as_bytes())? {
            paths.push(format!("{directory}/{}", String::from_utf8_lossy(&name)));
        }
    }
    for name in files.list(TRUSTED.as_bytes())?.iter().filter(|name| !of_packages.contains(name)) {
        paths.push(format!("{TRUSTED}/{}", String::from_utf8_lossy(name)));
    }
    let mut written = Vec::new();
    for path in paths {
        if let Some(contents) = files.read(path.as_bytes())? {
            written.push((path, contents));
        }
    }
    files.remove_children(b"")?;
    written.iter().try_for_each(|(path, contents)| write(&files, path, contents))?;
    Ok(written.into_iter().map(|(path, _)| path).collect())
}

fn create_parent(root: &Root, path: &str) -> Result<(), Error> {
    Ok(root.create_directories(rootstrap_rootfs::path::parent(path.as_bytes()), 0o755)?)
}

fn write(root: &Root, path: &str, contents: &[u8]) -> Result<(), Error> {
    create_parent(root, path)?;
    Ok(root.write(path.as_bytes(), contents, 0o644)?)
}

/// Returns the program of the second stage. The tables and flags in it are the ones that this program uses itself.
fn script() -> String {
    let lines = |lines: Vec<String>| lines.join("\n");
    let stand_ins = fakes::REPLACED.iter().map(|path| {
        let text = fakes::stand_in(path);
        format!("    stand_in /{path} <<'END'\n{text}END")
    });
    let devices = skeleton::DEVICES.iter().map(|(name, device)| format!("{name} {} {}", device.major, device.minor));
    let rules = rootstrap_normalize::commands().lines().map(|line| format!("    {line}")).collect();
    let environment: Vec<String> = ENVIRONMENT.iter().map(|(name, value)| format!("{name}={value}")).collect();
    [
        ("@STAND_INS@", lines(stand_ins.collect())),
        ("@REPLACED@", fakes::REPLACED.map(|path| format!("/{path}")).join(" ")),
        ("@POLICY_TEXT@", fakes::POLICY_TEXT.trim_end().to_owned()),
        ("@POLICY@", format!("/{}", fakes::POLICY)),
        ("@DEVICES@", lines(devices.collect())),
        ("@UNPACK@", dpkg::UNPACK.join(" ")),
        ("@CONFIGURE_FIRST@", dpkg::CONFIGURE_FIRST.join(" ")),
        ("@CONFIGURE_ALL@", dpkg::CONFIGURE_ALL.join(" ")),
        ("@TIDY@", lines(rules)),
        ("@UNWANTED@", slim::find_expression()),
        ("@ENVIRONMENT@", environment.join(" ")),
    ]
    .iter()
    .fold(include_str!("second-stage.sh").to_owned(), |text, (mark, value)| text.replace(mark, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_whole() {
        let text = script();
        let marks: Vec<&str> = text.lines().filter(|line| line.contains("@") && !line.contains("\"@$")).collect();
        assert!(marks.iter().all(|line| line.contains("\"$@\"")), "{marks:?}");
        for line in
            ["    empty run lock", "    endings var/cache/apt/archives .deb", "    stand_in /sbin/initctl <<'END'"]
        {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
        assert!(text.contains(" LC_ALL=C.UTF-8 ") && text.contains("'#!/bin/sh\nexit 101'"));
    }
}
