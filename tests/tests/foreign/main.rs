//! The foreign ring: roots of an architecture whose programs this machine emulates.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod native;

use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::machine::User;
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{base, live, machine, need};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Where the host's kernel shows its handlers.
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

fn cache() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Returns the QEMU for arm64, if this machine needs one and the sandbox can register it.
fn qemu() -> Result<PathBuf, String> {
    if cfg!(target_arch = "aarch64") {
        return Err("this machine runs arm64 itself".into());
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) < (Some(6), Some(7)) {
        return Err("the kernel is older than 6.7".into());
    }
    let places = ["/usr/bin/qemu-aarch64-static", "/usr/bin/qemu-aarch64"];
    places.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| "there is no qemu-aarch64".into())
}

/// Returns the names of the handlers that are registered in the host's kernel.
fn registered() -> Vec<String> {
    rootstrap_tests::world::names(Path::new(HANDLERS))
}

/// Returns a program for arm64 without libraries. It prints `emulated`, removes all rights from what `/proc/self/exe` shows as its
/// own file, and succeeds.
fn program() -> Vec<u8> {
    const WRITE: u32 = 64;
    const FCHMODAT: u32 = 53;
    const EXIT: u32 = 93;
    let set = |register: u32, number: u32| 0xd280_0000 | number << 5 | register; // movz
    let call = |number: u32| [set(8, number), 0xd400_0001]; // svc 0
    let (said, file) = (b"emulated\n", b"/proc/self/exe\0");
    // Addresses are relative to the instruction that needs them: `adr x1, DISTANCE`.
    let address = |at: u32, of: u32| 0x1000_0001 | (of - at) >> 2 << 5;
    let text = 13 * 4;
    let mut code = vec![set(0, 1), address(4, text), set(2, 9)];
    code.extend(call(WRITE));
    // AT_FDCWD is -100: movn. The second text begins at the next word after the first.
    code.extend([0x9280_0000 | 99 << 5, address(24, text + 12), set(2, 0)]);
    code.extend(call(FCHMODAT));
    code.push(set(0, 0));
    code.extend(call(EXIT));
    let mut body: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(said);
    body.resize(text as usize + 12, 0);
    body.extend(file);

    let (base, headers) = (0x40_0000u64, 64 + 56);
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, 183, 0, 1, 0, 0, 0]);
    elf.extend([base + headers, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    elf.extend([0, 0, 64, 56, 1, 0, 0, 0].iter().flat_map(|half: &u16| half.to_le_bytes()));
    elf.resize(64, 0);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    let length = headers + body.len() as u64;
    elf.extend([0, base, base, length, length, 0x1_0000].iter().flat_map(|word| word.to_le_bytes()));
    elf.extend(body);
    // The kernel and the sandbox compare the first 256 bytes of programs.
    elf.resize(512, 0);
    elf
}

/// Returns a world for a root whose only program is that one, as dpkg and as a script.
fn world() -> World {
    let required = |name: &str| Deb::new(name, "1.0").arch("arm64").field("Essential", "yes");
    let mut archive = Archive::new("fixture").key(&KEY).debs([
        required("dpkg").file("/usr/bin/dpkg", 0o755, program()),
        required("base-files").dir("/etc", 0o755).dir("/var/log", 0o755).control_member("preinst", 0o755, program()),
    ]);
    archive.architectures = vec!["arm64".into()];
    World::new(&archive)
}

const ARGUMENTS: [&str; 4] = ["--arch=arm64", "--variant=custom", "--include=base-files,dpkg", "-v"];

/// Checks that scripts run, and that neither the emulator nor the host's handlers change.
fn is_emulated(user: Option<&User>, qemu: &Path) {
    // No two of these tests run at once, because one could undo what the other has to notice.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap();
    let mode = || fs::metadata(qemu).unwrap().permissions();
    let before = (mode(), registered());
    let world = world();
    let target = world.target("root.tar");
    let arguments = [&[target.as_str()], &ARGUMENTS[..]].concat();
    let outcome = match user {
        Some(user) => world.finish(&mut world.command_as(user, &arguments)),
        None => world.run(&arguments),
    };
    let after = (mode(), registered());
    fs::set_permissions(qemu, before.0.clone()).unwrap_or_default();
    let outcome = outcome.expect(0);
    // The preinst ran, and dpkg configured.
    assert!(outcome.stderr.matches("emulated").count() >= 2, "{}", outcome.stderr);
    assert_eq!(before, after);
    base::assert_nothing_left(&world, &["root.tar"]);
}

#[test]
fn scripts_of_root_are_emulated_and_reach_no_file_of_the_host() {
    need!(machine::root());
    let qemu = need!(qemu());
    is_emulated(None, &qemu);
}

#[test]
fn scripts_of_a_user_are_emulated() {
    let user = need!(machine::user());
    let qemu = need!(qemu());
    is_emulated(Some(&user), &qemu);
}

#[test]
fn without_an_emulator_the_error_says_what_to_install() {
    need!(machine::root());
    need!(qemu());
    if Path::new(HANDLERS).join("status").exists() {
        return rootstrap_tests::skip("this machine may have handlers of its own");
    }
    let world = world();
    let target = world.target("root");
    let mut command = world.command(&[&[target.as_str()], &ARGUMENTS[..]].concat());
    // This directory of programs has a QEMU that needs libraries, as in some distributions.
    let programs = world.path("programs");
    fs::create_dir(&programs).unwrap();
    let missing = world.finish(command.env("PATH", &programs)).expect(1);
    let machine = if cfg!(target_arch = "x86_64") { "x86_64" } else { std::env::consts::ARCH };
    let error = format!("error: cannot run programs for arm64 on this machine ({machine}): ");
    let hint = "hint: install qemu-user-static (on newer Debian qemu-user); or make a first stage (--foreign) and finish \
                it where its programs run\n";
    let reason = "there is no qemu-aarch64-static or qemu-aarch64 in PATH\n";
    assert_eq!(missing.stderr, format!("mode: root\n{error}{reason}{hint}"));
    fs::copy("/bin/sh", programs.join("qemu-aarch64")).unwrap();
    fs::set_permissions(programs.join("qemu-aarch64"), PermissionsExt::from_mode(0o755)).unwrap();
    let dynamic = world.finish(command.env("PATH", &programs)).expect(1);
    let reason = "DIR/programs/qemu-aarch64 needs libraries, which the new root does not have\n";
    assert_eq!(dynamic.transcript, format!("mode: root\n{error}{reason}{hint}"));
    // No program of the target runs, so no emulator is needed.
    let target = world.target("unpacked");
    let mut command = world.command(&[&target, "--arch=arm64", "--variant=extract", "--include=base-files,dpkg"]);
    world.finish(command.env("PATH", &programs)).expect(0);
    let target = world.target("distroless");
    let mut command = world.command(&[&target, "--arch=arm64", "--variant=distroless", "--include=dpkg"]);
    world.finish(command.env("PATH", &programs)).expect(0);
    base::assert_nothing_left(&world, &["distroless", "unpacked"]);
}

#[test]
fn several_architectures_are_given_elsewhere() {
    let world = world();
    let said = |arguments: &[&str]| world.run(&[arguments, &["--arch=amd64,arm64"]].concat()).expect(2).stderr;
    assert_eq!(
        said(&["x.tar"]),
        "error: cannot put roots of several architectures into one file or directory\n\
         hint: an image of several has a name ending in .oci.tar or .oci; packages of further architectures in one root \
         need --add-architecture\n"
    );
    assert_eq!(
        said(&["--print-plan"]),
        "error: cannot print one plan for several architectures\nhint: ask for one after the other\n"
    );
}

#[test]
fn a_user_makes_the_same_trixie_for_arm64() {
    need!(machine::root());
    let user = need!(machine::user());
    need!(qemu());
    need!(live::answers(cache(), "trixie"));
    let before = registered();
    let arguments = ["trixie", "--arch=arm64", "--image", "--quiet"];
    let ours = live::command(cache(), &arguments).output().unwrap();
    assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stderr));
    // The user gets a copy of the cache that root has filled.
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("cache");
    let copied = Command::new("cp").arg("-r").arg(cache().join("live-cache")).arg(&copy).status().unwrap();
    let owner = Command::new("chown").arg("-R").arg(user.uid.to_string()).arg(directory.path()).status();
    assert!(copied.success() && owner.unwrap().success());
    let mut command = user.command(rootstrap_tests::program::path());
    command.args(arguments).arg("--offline").arg("--cache-dir").arg(&copy).env_clear().current_dir("/");
    let theirs = command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap();
    assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
    assert!(ours.stdout == theirs.stdout, "{} and {} bytes differ", ours.stdout.len(), theirs.stdout.len());
    assert_eq!(registered(), before);
    let mut status = String::new();
    for entry in tar::Archive::new(ours.stdout.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("var/lib/dpkg/status") {
            std::io::Read::read_to_string(&mut entry, &mut status).unwrap();
        }
    }
    let states: Vec<&str> = status.lines().filter(|line| line.starts_with("Status: ")).collect();
    assert!(states.len() > 50 && states.iter().all(|state| *state == "Status: install ok installed"), "{states:?}");
    assert!(status.contains("\nArchitecture: arm64\n") && !status.contains("\nArchitecture: amd64\n"));
}
