//! Every message of importance, as a user meets it: `errors.txt` has the commands, what they print and how they end. docs/errors.md is made
//! from it (`cargo xtask errors`).
//!
//! A block of the file is a case: lines with `>` are for readers, `%` sets the scene, `$` is the command, `=` the exit status, and all other
//! lines are the output. ROOTSTRAP_BLESS=1 writes what the commands print now into the file; read the difference before you keep it.

use crate::{archive, debian};
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::compress::Compression;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::Key;
use rootstrap_testkit::server::Fault;
use rootstrap_testkit::{EPOCH, Files};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::filter;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need, program};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/errors.txt");

/// The number of cases that the file has at least.
const LEAST: usize = 90;

/// The heading above the cases that run packages' scripts, which takes root and the base system that the tests make.
const SCRIPTS: &str = "# Scripts";

/// Returns a server with several archives, each below a directory that says what is wrong with it.
fn world() -> World {
    let mut files = Files::new();
    let mut add = |directory: &str, more: Files| {
        files.extend(more.into_iter().map(|(path, bytes)| (format!("{directory}/{path}"), bytes)));
    };
    let changed = |change: &dyn Fn(&mut Archive)| {
        let mut archive = archive("fixture");
        change(&mut archive);
        archive.build()
    };
    add("debian", archive("fixture").build());
    add("vendor", debian(|_| Vec::new()));
    add("expired", changed(&|archive| archive.valid_until = Some(EPOCH + 86_400)));
    add("stranger", changed(&|archive| archive.keys = vec![Key::generate("stranger")]));
    add("unsigned", changed(&|archive| archive.signing = rootstrap_testkit::archive::Signing::None));
    add("other", changed(&|archive| (archive.suite, archive.codename) = ("other".into(), "other".into())));
    let date = ("Date".to_owned(), "Fri, 01 Jan 2100 00:00:00 UTC".to_owned());
    add("future", changed(&|archive| archive.fields = vec![date.clone()]));
    add("damaged", changed(&|archive| archive.forms = vec![Compression::Gz]));
    for name in ["tampered", "cut", "refusing", "busy"] {
        add(name, archive("fixture").build());
    }
    let html = b"<html>Please log in</html>".to_vec();
    add("web", [("dists/fixture/InRelease", html)].into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect());
    let release = files.get_mut("tampered/dists/fixture/InRelease").unwrap();
    *release =
        String::from_utf8(release.clone()).unwrap().replace("Description: fixture", "Description: fixturE").into();
    let world = World::serving("fixture", files);
    for path in world.server.paths() {
        let fault = match path.split('/').next().unwrap() {
            "damaged" if path.contains("/binary-") => Fault::Corrupt,
            "cut" if path.ends_with("base-files_1.0_amd64.deb") => Fault::Truncate(60),
            "refusing" if path.ends_with("Release") => Fault::Status(403),
            "busy" if path.ends_with("Release") => Fault::Status(503),
            _ => continue,
        };
        world.server.fault(&path, fault, usize::MAX);
    }
    world
}

/// Returns a world whose archive has packages with scripts that fail.
fn failing() -> Result<World, String> {
    machine::root()?;
    let package =
        |name: &str, script: &str, text: &str| Deb::new(name, "1").script(script, &format!("#!/bin/sh\n{text}\n"));
    let archive = base::archive(
        Layout::Merged,
        [
            package("bad-preinst", "preinst", "echo the disk is wrong; exit 3"),
            package("bad-postinst", "postinst", "echo alas; exit 1"),
            package("wants-network", "postinst", "echo 'curl: (6) Could not resolve host: example.org'; exit 6"),
            package("killed", "postinst", "kill -9 $$"),
            package("slow", "postinst", "while :; do :; done"),
        ],
    )?;
    Ok(World::new(&archive))
}

/// Runs a case in a new directory. Returns what it prints and its exit status, with names in the place of what differs from run to run.
fn run(world: &World, scene: &str, command: &str) -> (String, i32) {
    let place = world.path("case");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    fs::copy(world.path("key.pgp"), place.join("key.pgp")).unwrap();
    let shell = |text: &str| {
        let mut shell = Command::new("sh");
        let directory = program::path().parent().unwrap();
        shell.args(["-c", text]).current_dir(&place).env_clear().stdin(Stdio::null());
        shell
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", directory.display()))
            .env("HOME", place.join("home"));
        shell.env("MIRROR", world.server.url()).env("no_proxy", "127.0.0.1").env("TMPDIR", world.path("tmp"));
        shell.env("ROOTSTRAP_CACHE_DIR", world.path("cache"));
        shell.output().unwrap()
    };
    if !scene.is_empty() {
        let set = shell(scene);
        assert!(set.status.success(), "{scene}: {}", String::from_utf8_lossy(&set.stderr));
    }
    let output = shell(&format!("exec 2>&1; {command}"));
    let places = [
        (place.to_str().unwrap().to_owned(), "DIR"),
        (world.path("").to_str().unwrap().to_owned(), "DIR"),
        (world.server.url(), "MIRROR"),
        (world.server.url().replace("http://", ""), "HOST"),
    ];
    let text = filter(&String::from_utf8_lossy(&output.stdout), &places);
    // The base system has the apt of this machine.
    let lines = text.lines().filter(|line| !line.starts_with("    | Setting up apt "));
    let text: Vec<String> = lines.map(|line| line.split(' ').map(masked).collect::<Vec<_>>().join(" ")).collect();
    (text.join("\n").trim().to_owned(), output.status.code().unwrap_or(-1))
}

/// Returns a word, or a name for it if it is a digest or a fingerprint.
fn masked(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if let Some(pid) = word.strip_prefix("DIR/tmp/rootstrap-").and_then(|rest| rest.strip_suffix(".log"))
        && pid.bytes().all(|byte| byte.is_ascii_digit())
    {
        return "DIR/tmp/rootstrap-PID.log".to_owned();
    }
    if bare.len() == 20
        && bare != "2026-01-31T12:00:00Z"
        && bare.ends_with('Z')
        && !["2025", "2100"].iter().any(|year| bare.starts_with(year))
    {
        return word.replace(bare, "NOW");
    }
    let digest = word
        .rsplit(|c: char| !c.is_ascii_alphanumeric())
        .find(|part| part.len() >= 40 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digest.map_or_else(|| word.to_owned(), |digest| word.replace(digest, "DIGEST"))
}

#[test]
fn every_message_is_as_the_transcript_has_it() {
    need!(machine::builder());
    let text = fs::read_to_string(FILE).unwrap();
    let (plain, scripts) = (world(), failing());
    if let Err(reason) = &scripts {
        rootstrap_tests::skip(reason);
    }
    let (mut blocks, mut wrong, mut cases, mut runs_scripts) = (Vec::new(), Vec::new(), 0, false);
    for block in text.trim().split("\n\n") {
        let lines = |mark: &str| -> Vec<&str> { block.lines().filter_map(|line| line.strip_prefix(mark)).collect() };
        let (scene, command) = (lines("% ").join("\n"), lines("$ ").join("\n"));
        runs_scripts = if block.starts_with("# ") { block.starts_with(SCRIPTS) } else { runs_scripts };
        let world = if runs_scripts { scripts.as_ref().ok() } else { Some(&plain) };
        let (Some(world), false) = (world, command.is_empty()) else {
            blocks.push(block.to_owned());
            continue;
        };
        cases += 1;
        let (output, code) = run(world, &scene, &command);
        let is_head = |line: &&str| ["> ", "% ", "$ "].iter().any(|mark| line.starts_with(mark));
        let head: Vec<&str> = block.lines().filter(is_head).collect();
        let now = [&head.join("\n"), &output, &format!("= {code}")]
            .map(|part| part.as_str())
            .join("\n")
            .replace("\n\n", "\n");
        if now != block {
            wrong.push(format!("{block}\n--- now:\n{now}"));
        }
        blocks.push(now);
    }
    if std::env::var_os("ROOTSTRAP_BLESS").is_some() {
        fs::write(FILE, blocks.join("\n\n") + "\n").unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{} of {cases} messages are others:\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(cases >= LEAST || scripts.is_err(), "{cases} cases");
    assert!(Path::new(&plain.path("out")).read_dir().unwrap().next().is_none());
}
