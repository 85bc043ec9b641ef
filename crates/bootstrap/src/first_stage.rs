//! The first of two stages: a tree in which nothing was run, with all that the second one needs below `/rootstrap`.
//!
//! ```text
//! /rootstrap/second-stage        the program that finishes the tree where its programs run
//! /rootstrap/plan                what it has to do, a field and a value per line
//! /rootstrap/debs/               the packages of the later phases
//! /rootstrap/preinst/NAME/       control files of those of the first phase that have a preinst
//! /rootstrap/links/NAME          their links: time and path per line, and in NAME.targets where they lead
//! /rootstrap/directories/NAME    directories of the first phase: mode, owner, group, time and path per line
//! /rootstrap/files/              what no package ships
//! ```

use crate::bodies::{self, Bodies, Body};
use crate::event::Stage;
use crate::phases::{self, Site};
use crate::{Error, Event, Request, finish, slim, sources};
use rootstrap_configure::{ENVIRONMENT, dpkg, fakes};
use rootstrap_fetch::VerifiedPocket;
use rootstrap_image::tidy;
use rootstrap_rootfs::{Root, skeleton};
use rootstrap_unpack::{Claims, Conffiles, EntryKind, Rules};
use std::io::Write;

/// Where everything is that the second stage needs.
pub(crate) const PLACE: &str = "rootstrap";
/// What it has to do.
pub(crate) const PLAN: &str = "rootstrap/plan";
/// The program that does it.
pub(crate) const SCRIPT: &str = "rootstrap/second-stage";
/// The first line of the plan. Changes whenever another version of this program would take it wrongly.
pub(crate) const FORMAT: &str = "format 1";

const DEBS: &str = "rootstrap/debs";
/// What no package ships.
pub(crate) const FILES: &str = "rootstrap/files";

/// Files that [`finish::files`] writes, beside those in apt's directory of sources.
const OWN_FILES: [&str; 4] = ["etc/fstab", "etc/hostname", "etc/apt/sources.list", "var/lib/apt/extended_states"];
const SOURCES: &str = "etc/apt/sources.list.d";

/// Extracts the first phase and keeps what the second stage needs. Returns the bytes of all files unpacked.
pub(crate) fn make(site: &Site<'_>, bodies: &mut Bodies<'_>, served: &[VerifiedPocket]) -> Result<u64, Error> {
    let &Site { request, suite, root, report, .. } = site;
    let mut plan = format!(
        "{FORMAT}\nsuite {}\narchitecture {}\nepoch {}\ndpkg {}\n",
        suite.codename,
        request.architecture()?,
        site.epoch,
        phases::dpkg_version(site.plan)
    );
    let mut field = |name: &str, value: &str| plan.push_str(&format!("{name} {value}\n"));
    if request.slim {
        field("slim", "yes");
    }
    let (mut bytes, mut next) = (0, 0);
    for (number, phase) in site.plan.phases.iter().enumerate() {
        let slots = next..next + phase.packages.len();
        next = slots.end;
        report(Event::Stage(Stage::Unpack));
        let packages = bodies.take(slots)?;
        bodies::check_names(&packages, &phase.packages)?;
        bytes += packages.iter().map(|body| body.staged.bytes).sum::<u64>();
        if number == 0 {
            let for_dpkg = phases::extract(site, &packages)?;
            for directory in [DEBS, FILES, "rootstrap/preinst", "rootstrap/links", "rootstrap/directories"] {
                root.create_directories(directory.as_bytes(), 0o755)?;
            }
            field("core", &crate::core_set::names(request.variant, &packages).join(" "));
            for body in &packages {
                if for_dpkg.iter().any(|other| std::ptr::eq(*other, body)) {
                    field("first-deb", &body.put_deb(root, DEBS)?);
                } else {
                    field("first", &body.staged.control.database_name());
                    keep_facts(root, body)?;
                }
            }
        } else {
            field("phase", &phase.name);
            for body in &packages {
                field(&format!("deb-{}", phase.name), &body.put_deb(root, DEBS)?);
            }
            look(site, &packages)?;
            slim::prepare(request, root, &packages, site.epoch)?;
        }
    }
    for path in own_files(site, served)? {
        field("file", &path);
    }
    root.write(PLAN.as_bytes(), plan.as_bytes(), 0o644)?;
    root.write(SCRIPT.as_bytes(), script().as_bytes(), 0o755)?;
    Ok(bytes)
}

/// Brings the tree into the shape in which it is published.
pub(crate) fn finish(root: &Root, request: &Request, epoch: i64) -> Result<(), Error> {
    tidy::settle_root(root)?;
    if matches!(request.target, crate::Target::Directory(_)) {
        skeleton::fill_dev(root, epoch)?;
    }
    tidy::clamp_times(root, epoch)?;
    Ok(())
}

/// What the second stage needs to run a preinst, and to put right what it changes: `unpack::after_scripts`.
fn keep_facts(root: &Root, body: &Body) -> Result<(), Error> {
    let control = &body.staged.control;
    let name = control.database_name();
    let (mut directories, mut links, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for entry in body.staged.entries.as_deref().unwrap_or_default() {
        let time = entry.attributes.mtime;
        let line = |facts: String| [facts.as_bytes(), &entry.path, b"\n"].concat();
        match &entry.kind {
            EntryKind::Directory => {
                let rootstrap_rootfs::Attributes { mode, uid, gid, .. } = entry.attributes;
                directories.extend(line(format!("{mode:o} {uid} {gid} {time} ")));
            }
            // One that could not be told from two is left as its script leaves it.
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

/// Merges those packages of a later phase that apt's sources depend on, into a tree of its own.
fn look(site: &Site<'_>, packages: &[Body]) -> Result<(), Error> {
    let looked_at = sources::looked_at(site.suite);
    let files = site.root.below(FILES.as_bytes())?;
    let rules = Rules { conffiles: Conffiles::InPlace, filters: &[], overrides: None, last_directory_wins: false };
    for body in packages {
        let entries = body.staged.entries.as_deref().unwrap_or_default();
        let path = |path: &[u8]| String::from_utf8_lossy(path.strip_prefix(b"/").unwrap_or(path)).into_owned();
        if entries.iter().any(|entry| looked_at.contains(&path(&entry.path).as_str())) {
            rootstrap_unpack::merge(&files, &body.staged, rules, &mut Claims::default())?;
        }
    }
    Ok(())
}

/// Writes the files no package ships beside the tree, as they will be wanted in it, and says which there are.
fn own_files(site: &Site<'_>, served: &[VerifiedPocket]) -> Result<Vec<String>, Error> {
    let files = site.root.below(FILES.as_bytes())?;
    let parents = |path: &str| path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
    for path in sources::looked_at(site.suite) {
        if let Some(contents) = site.root.read(path.as_bytes())? {
            files.create_directories(parents(path).as_bytes(), 0o755)?;
            files.write(path.as_bytes(), &contents, 0o644)?;
        }
    }
    for path in OWN_FILES {
        files.create_directories(parents(path).as_bytes(), 0o755)?;
    }
    finish::files(&files, site.request, site.suite, served, site.plan)?;
    let mut paths: Vec<String> = OWN_FILES.iter().map(|&path| path.to_owned()).collect();
    for name in files.list(SOURCES.as_bytes())? {
        paths.push(format!("{SOURCES}/{}", String::from_utf8_lossy(&name)));
    }
    let mut written = Vec::new();
    for path in paths {
        if let Some(contents) = files.read(path.as_bytes())? {
            written.push((path, contents));
        }
    }
    files.remove_children(b"")?;
    for (path, contents) in &written {
        files.create_directories(parents(path).as_bytes(), 0o755)?;
        files.write(path.as_bytes(), contents, 0o644)?;
    }
    Ok(written.into_iter().map(|(path, _)| path).collect())
}

/// The program of the second stage, with what it shares with this one.
fn script() -> String {
    let lines = |lines: Vec<String>| lines.join("\n");
    let stand_ins = fakes::REPLACED.iter().map(|path| {
        let text = fakes::stand_in(path);
        format!("    stand_in /{path} <<'END'\n{text}END")
    });
    let devices = skeleton::DEVICES.iter().map(|(name, device)| format!("{name} {} {}", device.major, device.minor));
    let tidy = tidy::commands().lines().map(|line| format!("    {line}")).collect();
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
        ("@TIDY@", lines(tidy)),
        ("@UNWANTED@", slim::words()),
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
