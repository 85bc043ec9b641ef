//! Native programs in the place of emulated ones: when they run, when not, and that it never shows in the result.

use super::{cache, program, qemu};
use rootstrap_testkit::archive::{Archive, pool_path};
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::server::Fault;
use rootstrap_tests::machine::User;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{base, live, machine, need};
use std::fs;

const ARGUMENTS: [&str; 4] = ["--arch=arm64", "--variant=custom", "--include=base-files,dpkg,dash,other", "-v"];

/// What the preinst prints where a shell runs it. The shell of the root prints `emulated`, whatever the script says.
const SAID: &str = "a shell runs /bin/sh and test";

/// The same in a script of a program that has the bytes of the shell and is not listed.
const NOT_SAID: &str = "another shell runs";

/// What a run says that has no native programs.
const NOTHING: &str = "everything is emulated, which takes longer: ";

/// Where this machine has its libraries.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// The version of all packages of the root, and one whose loader is too old.
const VERSION: &str = "2.40";
const OLD: &str = "2.31";

/// The packages of this machine's architecture.
struct Native {
    version: &'static str,
    shell: &'static str,
    libraries: Vec<&'static str>,
}

impl Default for Native {
    fn default() -> Self {
        Self { version: VERSION, shell: "/usr/bin/dash", libraries: vec!["libc.so.6", "ld-linux-x86-64.so.2"] }
    }
}

impl Native {
    fn debs(&self) -> [Deb; 2] {
        let deb = |name: &str| Deb::new(name, self.version).arch("amd64");
        let library = |deb: Deb, name: &&str| {
            let path = format!("{LIBRARIES}/{name}");
            deb.file(&path, 0o755, fs::read(&path).unwrap())
        };
        [
            deb("dash")
                .field("Depends", "libc6")
                .file("/usr/bin/dash", 0o755, fs::read(self.shell).unwrap())
                .hardlink("/usr/bin/ash", "/usr/bin/dash"),
            self.libraries.iter().fold(deb("libc6").field("Multi-Arch", "same"), library),
        ]
    }
}

/// Returns a world for a root whose shell is a program that only prints `emulated`.
fn world(version: &str, native: &[Deb], architectures: &[&str]) -> World {
    let required = |name: &str| Deb::new(name, version).arch("arm64").field("Essential", "yes");
    let preinst = "#!/bin/sh\necho \"a shell runs /bin/sh and $([ -e /dev/.native ] && echo test)\"\n";
    let mut archive = Archive::new("fixture").key(&KEY).debs([
        required("dpkg").file("/usr/bin/dpkg", 0o755, program()),
        required("dash")
            .field("Depends", "libc6")
            .file("/usr/bin/dash", 0o755, program())
            .symlink("/usr/bin/sh", "dash")
            .hardlink("/usr/bin/ash", "/usr/bin/dash"),
        required("other").script("preinst", &format!("#!/usr/bin/ash\necho {NOT_SAID}\n")),
        Deb::new("libc6", version).arch("arm64").field("Multi-Arch", "same").dir("/usr/lib", 0o755),
        required("base-files")
            .dir("/etc", 0o755)
            .dir("/var/log", 0o755)
            .symlink("/bin", "usr/bin")
            .script("preinst", preinst),
    ]);
    archive = archive.debs(native.iter().cloned());
    archive.architectures = architectures.iter().map(|&name| name.to_owned()).collect();
    World::new(&archive)
}

/// Whether this machine has the files that the native packages are made of.
fn parts() -> Result<(), String> {
    qemu()?;
    let is_there = fs::exists("/usr/bin/dash").unwrap() && fs::exists(format!("{LIBRARIES}/libc.so.6")).unwrap();
    if is_there { Ok(()) } else { Err("this machine has no dash for amd64".to_owned()) }
}

fn build(world: &World, user: Option<&User>, more: &[&str]) -> (Outcome, Vec<u8>) {
    // What one build keeps must not serve the other.
    world.forget();
    let target = world.target("root.tar");
    let arguments = [&[target.as_str()], &ARGUMENTS[..], more].concat();
    let outcome = match user {
        Some(user) => world.finish(&mut world.command_as(user, &arguments)),
        None => world.run(&arguments),
    };
    let outcome = outcome.expect(0);
    let archive = fs::read(&target).unwrap();
    base::assert_nothing_left(world, &["root.tar"]);
    fs::remove_file(&target).unwrap();
    (outcome, archive)
}

#[test]
fn scripts_are_run_by_native_programs_and_it_does_not_show() {
    need!(machine::root());
    let user = need!(machine::user());
    need!(parts());
    let world = world(VERSION, &Native::default().debs(), &["arm64", "amd64"]);
    let (outcome, emulated) = build(&world, None, &["--emulate=all"]);
    assert!(!outcome.stderr.contains(SAID), "{}", outcome.stderr);
    for (user, mode) in [(None, "root"), (None, "unshare"), (Some(&user), "unshare"), (Some(&user), "single")] {
        let (outcome, archive) = build(&world, user, &[&format!("--mode={mode}")]);
        assert!(outcome.stderr.contains(SAID), "{mode}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("emulated"), "{mode}: dpkg runs natively\n{}", outcome.stderr);
        assert!(!outcome.stderr.contains(NOT_SAID), "{mode}: {}", outcome.stderr);
        assert!(archive == emulated, "{mode}");
    }
}

#[test]
fn what_native_programs_lack_is_emulated_and_said_once() {
    need!(machine::root());
    need!(parts());
    let both: &[&str] = &["arm64", "amd64"];
    let broken = Native { libraries: vec!["ld-linux-x86-64.so.2"], ..Native::default() };
    let other = Native { version: "2.41", ..Native::default() };
    let whole = Native::default().debs();
    let is_gone = pool_path("main", &whole[0]);
    let (_, expected) = build(&world(VERSION, &[], &["arm64"]), None, &["--emulate=all"]);
    let old = Native { version: OLD, ..Native::default() };
    for (case, native, architectures, fault, said) in [
        ("the suite has no such half", &[][..], &["arm64"][..], None, NOTHING),
        ("no package of that name", &[], both, None, NOTHING),
        ("packages of another version", &other.debs(), both, None, NOTHING),
        ("an old loader", &old.debs(), both, None, "the loader of this suite's libc6 is older than 2.33"),
        (
            "a library is missing",
            &broken.debs(),
            both,
            None,
            "emulated, because native libraries are missing: bin/dash",
        ),
        ("a package is gone", &whole, both, Some(is_gone), NOTHING),
    ] {
        let version = if case == "an old loader" { OLD } else { VERSION };
        let world = world(version, native, architectures);
        if let Some(path) = fault {
            world.server.fault(&path, Fault::Status(404), usize::MAX);
        }
        let (outcome, archive) = build(&world, None, &[]);
        assert_eq!(outcome.stderr.matches(said).count(), 1, "{case}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains(SAID), "{case}: {}", outcome.stderr);
        // The Release files differ, and nothing else.
        assert_eq!(archive.len(), expected.len(), "{case}");
    }
}

#[test]
fn a_native_program_that_fails_is_emulated_in_another_try() {
    need!(machine::root());
    need!(parts());
    let failing = Native { shell: "/usr/bin/false", ..Native::default() };
    let world = world(VERSION, &failing.debs(), &["arm64", "amd64"]);
    let (_, emulated) = build(&world, None, &["--emulate=all"]);
    let (outcome, archive) = build(&world, None, &[]);
    let said = "warning: something failed while native programs ran in the place of emulated ones, so it is built again without them";
    assert_eq!(outcome.stderr.matches(said).count(), 1, "{}", outcome.stderr);
    assert!(archive == emulated);
    // Hooks of the user are not run a second time.
    let target = world.target("hooked.tar");
    let arguments = [&[target.as_str()], &ARGUMENTS[..], &["--hook=customize=true"]].concat();
    world
        .run(&arguments)
        .expect(1)
        .says(&["error: cannot run the preinst of base-files: exit status 1", "--emulate=all runs none"]);
}

/// A root with perl and its modules in C, of the real archive.
#[test]
fn trixie_for_arm64_is_the_same_with_native_programs() {
    need!(machine::root());
    need!(qemu());
    need!(live::answers(cache(), "trixie"));
    let own = tempfile::tempdir().unwrap();
    let build = |emulate: &str| {
        let arguments = ["trixie", "--arch=arm64", "--image", "--include=debconf-i18n,adduser", "-v"];
        let output = live::command(own.path(), &arguments).arg(format!("--emulate={emulate}")).output().unwrap();
        // What one build made must not serve the other.
        for layer in ["archive", "first-phase", "root"] {
            let _ = fs::remove_dir_all(own.path().join("live-cache/v1").join(layer));
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        (output.stdout, said)
    };
    let (native, said) = build("needed");
    assert!(!said.contains(NOTHING) && !said.contains("native libraries are missing"), "{said}");
    let (emulated, _) = build("all");
    assert!(native == emulated, "{} and {} bytes differ", native.len(), emulated.len());
}
