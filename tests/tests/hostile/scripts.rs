//! Package scripts that attack, in every mode. Whatever a script tries, nothing outside its root changes, the run ends as it should,
//! and the next honest run succeeds.
//!
//! Many attacks are tried by one script. Each reports by its own name if it reached something.

use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::{HostileClass, hostile_case, tree};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

pub const MODES: [&str; 4] = ["root", "unshare", "single", "chroot"];

/// The attacks: a name, and a command of the script that succeeds if it reached something. PID is a process of root outside, USERS
/// one of user 12345, PORT a port and NAME an abstract socket outside.
const ATTACKS: &[(&str, &str)] = &[
    ("a signal to a process outside", "attack signal PID"),
    ("a signal to a thread outside", "attack signal-thread PID"),
    ("a queued signal to a process outside", "attack signal-queue PID"),
    ("a signal through a pidfd", "attack signal-pidfd PID"),
    ("a signal to a group outside", "attack signal-group PID"),
    ("a signal to everybody", "attack signal-all"),
    ("a signal when a file becomes ready", "attack signal-owner PID"),
    ("a signal as the same user", "attack signal-as-user USERS"),
    ("a signal to process 1", "attack signal 1; false"),
    ("tracing a process of the same user", "attack trace USERS"),
    ("tracing a process of the script", "attack trace-own"),
    ("the memory of a process of the same user", "attack memory USERS"),
    ("a descriptor of a process outside", "attack descriptor PID"),
    ("the limits of a process outside", "attack limits PID"),
    ("the priority of a process outside", "attack priority PID"),
    ("the processors of a process outside", "attack affinity PID"),
    ("sockets of every odd family", "attack families"),
    ("a connection to the loopback interface outside", "attack connect PORT"),
    ("the same by the call of 32-bit programs", "attack old-connect PORT"),
    ("a socket to the hypervisor by the call of 32-bit programs", "attack old-family 40"),
    ("a packet socket by the call of 32-bit programs", "attack old-family 17"),
    ("an abstract socket outside", "attack abstract NAME"),
    ("a datagram to an abstract socket outside", "attack abstract-datagram NAME-datagrams"),
    ("io_uring", "attack uring"),
    ("the keyrings of the kernel", "attack keyring"),
    ("bpf, perf, userfaultfd and kcmp", "attack kernel"),
    ("a new namespace", "attack namespace"),
    ("the namespaces of process 1", "attack setns"),
    ("a mount", "attack mount"),
    ("the end of a mount", "attack unmount"),
    ("another root", "attack root"),
    ("a file by its handle", "attack handle"),
    ("raw devices", "attack device"),
    ("the name of the host", "attack hostname"),
    ("a race for a file that is being made", "cd /var/lib && attack race CANARY/file"),
    (
        "writing to /proc",
        "attack write $(find /proc -maxdepth 1 -type f) /proc/sys/kernel/* /proc/sys/vm/* /proc/sys/fs/* /proc/irq/*/* /proc/bus/*/*",
    ),
    ("writing to /sys", "attack write $(find /sys -maxdepth 4 -type f -perm -200 2>/dev/null | head -n 300)"),
    (
        "mode, owner and times of entries of /proc",
        "attack change $(find /proc -maxdepth 1 ! -name '[0-9]*' ! -name '*self' ! -path /proc ! -type l) /proc/uptime /proc/cpuinfo /proc/meminfo /proc/version /proc/sys/kernel/hostname /proc/net/dev",
    ),
    ("the own entries of /proc", "attack write /proc/self/oom_score_adj /proc/self/comm /proc/self/uid_map"),
    (
        "files outside behind exe, root, cwd, fd and map_files of every process",
        "attack behind self thread-self 1 PID USERS",
    ),
    ("mode, owner, times and ACL of /dev/full", "attack change /dev/full; false"),
    ("mode, owner, times and ACL of /dev/null", "attack change /dev/null; false"),
    ("mode, owner, times and ACL of /dev/random", "attack change /dev/random; false"),
    ("mode, owner, times and ACL of /dev/tty", "attack change /dev/tty; false"),
    ("mode, owner, times and ACL of /dev/urandom", "attack change /dev/urandom; false"),
    ("mode, owner, times and ACL of /dev/zero", "attack change /dev/zero; false"),
    ("mode, owner and times of what standard input is", "attack change /proc/self/fd/0 /dev/stdin; false"),
    ("processes that are left behind", "attack bomb 200 NAME; false"),
    ("a lot of memory", "attack hog 300; false"),
];

/// What honest scripts need. Each must succeed.
const HONEST: &[(&str, &str)] = &[
    ("write to devices", "echo x >/dev/null && head -c 4 /dev/urandom >/dev/null && ! echo x >/dev/full"),
    (
        "write to an open file through /proc",
        "{ echo x >/proc/self/fd/7; } 7>/var/lib/seven && { echo y >/dev/fd/7; } 7>/var/lib/seven",
    ),
    ("signal a child", "sleep 1000 & kill -0 $! && kill $! && ! wait $!"),
    ("signal a group", "attack group"),
    ("be another user and signal oneself", "sh -c 'trap \"exit 0\" TERM; kill $$; exit 1'"),
    ("lower the own priority", "attack nice"),
    (
        "make a socket by the call of 32-bit programs",
        "[ MODE = chroot ] || [ $(uname -m) != x86_64 ] || { attack old-family 1 && attack old-family 2; }",
    ),
    ("set the limits of the own process", "ulimit -n 100"),
];

/// A process of the host. It is ended when dropped.
struct Host(Child);

impl Host {
    /// Starts a process that waits, and records a signal that it gets in `record`.
    fn start(user: u32, record: &Path) -> Host {
        let script = format!("trap 'echo signalled >{}' WINCH; while :; do read line && exit; done", record.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).uid(user).gid(user).process_group(0);
        Host(command.spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Returns the program of [`ATTACKS`], which needs a C compiler and a static C library.
pub fn program() -> Result<Vec<u8>, String> {
    static PROGRAM: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
    let compile = || {
        let place = tempfile::tempdir().unwrap();
        let (source, program) = (place.path().join("attack.c"), place.path().join("attack"));
        fs::write(&source, include_str!("attack.c")).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-static", "-pthread", "-O1", "-o"]).arg(&program).arg(&source);
        match compiler.output() {
            Ok(output) if output.status.success() => Ok(fs::read(&program).unwrap()),
            Ok(output) => Err(format!("cc makes no static program: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("there is no C compiler: {error}")),
        }
    };
    PROGRAM.get_or_init(compile).clone()
}

/// Returns mode, owner and times of the program itself and of the devices, and mode and owner of the entries of /proc that every
/// script could see.
fn host() -> Vec<String> {
    let mut found = Vec::new();
    let devices = ["full", "null", "random", "tty", "urandom", "zero"].map(|name| format!("/dev/{name}"));
    for path in devices.into_iter().chain([rootstrap_tests::program::path().display().to_string()]) {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
        found.push(format!("{path} {mode:o} {uid} {gid} {}.{}", metadata.ctime(), metadata.ctime_nsec()));
    }
    for directory in ["/proc", "/proc/sys/kernel", "/proc/irq", "/proc/bus"] {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().into_string().unwrap();
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
            if !name.bytes().all(|byte| byte.is_ascii_digit()) {
                found.push(format!("{directory}/{name} {:o} {} {}", metadata.mode(), metadata.uid(), metadata.gid()));
            }
        }
    }
    found.sort();
    found
}

/// Returns a package whose script tries all attacks and then does what honest scripts do.
fn attacker(program: &[u8], values: &[(&str, String)]) -> Deb {
    let mut script = "#!/bin/sh\nexec 3>/var/lib/report\n".to_owned();
    for (word, value) in values.iter().filter(|(word, _)| matches!(*word, "PID" | "USERS")) {
        // Inside a pid namespace another process could have the same number by chance.
        script.push_str(&format!("{word}={value}\n[ ! -e /proc/${word} ] || {word}=4000000\n"));
    }
    for (name, command) in ATTACKS {
        let put = |command: String, (word, value): &(&str, String)| match *word {
            "PID" | "USERS" => command.replace(word, &format!("${word}")),
            _ => command.replace(word, value),
        };
        let command = values.iter().fold((*command).to_owned(), put);
        script.push_str(&format!("if ( {command} ) >/dev/null 2>&1 3>&-; then echo 'reached: {name}' >&3; fi\n"));
    }
    let mode = values.iter().find(|(word, _)| *word == "MODE").map_or("", |(_, value)| value);
    for (name, command) in HONEST {
        let command = command.replace("MODE", mode);
        script.push_str(&format!("if ! ( {command} ) >/dev/null 2>&1 3>&-; then echo 'cannot {name}' >&3; fi\n"));
    }
    script.push_str("echo done >&3\nrm -rf /var/lib/race\n");
    Deb::new("attacker", "1").file("/usr/bin/attack", 0o755, program).script("postinst", &script)
}

/// Runs the attacks in a mode. Returns what was reported.
fn attacks_in(mode: &str, program: &[u8]) -> Option<()> {
    let record = tempfile::tempdir().unwrap();
    fs::set_permissions(record.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let record = record.path().join("signal");
    let (mut roots, mut users) = (Host::start(0, &record), Host::start(12345, &record));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = format!("rootstrap-canary-{}-{port}", std::process::id());
    let address = |name: &str| SocketAddr::from_abstract_name(name).unwrap();
    let stream = UnixListener::bind_addr(&address(&name)).unwrap();
    stream.set_nonblocking(true).unwrap();
    let datagrams = UnixDatagram::bind_addr(&address(&format!("{name}-datagrams"))).unwrap();
    datagrams.set_nonblocking(true).unwrap();
    // The scratch directory exists before the package that names it.
    let place = tempfile::Builder::new().prefix("canary").tempdir().unwrap();
    fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    fs::write(place.path().join("file"), "canary\n").unwrap();
    fs::set_permissions(place.path().join("file"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let values = [
        ("PID", roots.0.id().to_string()),
        ("USERS", users.0.id().to_string()),
        ("PORT", port.to_string()),
        ("NAME", name.clone()),
        ("MODE", mode.to_owned()),
        ("CANARY", place.path().to_str().unwrap().to_owned()),
    ];
    let deb = attacker(program, &values);
    let archive = match base::archive(Layout::Merged, [deb]) {
        Ok(archive) => archive,
        Err(reason) => {
            rootstrap_tests::skip(reason);
            return None;
        }
    };
    for (attack, _) in ATTACKS {
        hostile_case(HostileClass::Script, &format!("{attack}, mode {mode}"));
    }
    let world = World::new(&archive);
    let (before, outside) = (host(), tree::dump(place.path()));
    let target = world.target("root");
    let option = format!("--mode={mode}");
    world.run(&[&target, "--include=attacker", &option, "--staging=disk", "--sync=no"]).expect(0);
    assert_eq!(fs::read_to_string(Path::new(&target).join("var/lib/report")).unwrap(), "done\n", "mode {mode}");
    assert_eq!(host(), before, "mode {mode}");
    assert_eq!(tree::dump(place.path()), outside, "mode {mode}");
    assert!(roots.is_alive() && users.is_alive() && !record.exists(), "mode {mode}: a process outside got a signal");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "mode {mode}: somebody connected");
    assert_eq!(stream.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "mode {mode}: somebody connected");
    assert_eq!(datagrams.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "mode {mode}: a datagram came");
    assert_eq!(machine::processes(&format!("attack bomb 200 {name}")), [""; 0], "mode {mode}");
    fs::remove_file(format!("{target}.mtree")).ok();
    base::assert_nothing_left(&world, &["root"]);
    // An honest run with the same cache.
    let honest = world.target("honest");
    world.run_again(&[&honest, &option, "--sync=no"]).expect(0);
    Some(())
}

fn attacks(mode: &str) {
    need!(machine::root());
    let program = need!(program());
    attacks_in(mode, &program);
}

#[test]
fn a_script_of_root_changes_its_root_alone() {
    attacks(MODES[0]);
}

#[test]
fn a_script_in_a_user_namespace_changes_its_root_alone() {
    attacks(MODES[1]);
}

#[test]
fn a_script_with_a_single_id_changes_its_root_alone() {
    attacks(MODES[2]);
}

#[test]
fn a_script_without_namespaces_changes_its_root_alone() {
    attacks(MODES[3]);
}

/// Runs the rest of its arguments as root of a user namespace that has all ids, as in a container of a container: a part of /proc is
/// covered there for good, so that the kernel refuses a fresh /proc. A process of another user runs beside it.
const CONTAINER: &str = r#"
mkfifo left go
unshare --mount sh -c 'mount --bind /dev/null /proc/uptime && exec unshare --user --mount "$@"' sh sh -c '
    echo $$ >left
    read line <go
    exec setpriv --reuid 0 --regid 0 --clear-groups sh -c "
        setpriv --reuid 12345 --regid 12345 --clear-groups sh -c \"while :; do read line <go && exit; done\" &
        \"\$@\"
        code=\$?
        kill -KILL \$!
        exit \$code" sh "$@"' sh "$@" &
read pid <left
echo '0 0 4294967295' >/proc/$pid/uid_map
echo '0 0 4294967295' >/proc/$pid/gid_map
echo >go
wait $!
"#;

/// Scripts see all processes of a container whose /proc they have to share. They reach nothing behind those.
#[test]
fn a_script_that_sees_the_processes_of_a_container_reaches_nothing_behind_them() {
    need!(machine::root());
    let program = need!(program());
    for mode in ["root", "unshare"] {
        hostile_case(HostileClass::Script, &format!("files behind the processes of a container, mode {mode}"));
        let script = "#!/bin/sh\nset -- /proc/[0-9]*\necho $(($# > 9)) >/var/lib/report\nattack behind >>/var/lib/report 2>&1\necho $? >>/var/lib/report\n";
        let spy = Deb::new("spy", "1").file("/usr/bin/attack", 0o755, &program).script("postinst", script);
        let world = World::new(&need!(base::archive(Layout::Merged, [spy])));
        let target = world.target("root");
        let inner =
            world.command(&[&target, "--include=spy", &format!("--mode={mode}"), "--staging=disk", "--sync=no"]);
        let mut command = Command::new("sh");
        command.args(["-c", CONTAINER, "sh"]).arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.path(""));
        command.arg("--cache-dir").arg(world.path("out/cache"));
        let outcome = world.finish(&mut command).expect(0);
        let report = fs::read_to_string(Path::new(&target).join("var/lib/report")).unwrap();
        assert_eq!(report, "1\n1\n", "mode {mode}: {}", outcome.stderr);
    }
}

/// What the recipe reads, writes or removes after the scripts, or while they run. A script puts links to places outside there. The
/// paths of one row are replaced in one run.
const LINKED: &[&[&str]] = &[
    &["etc/apt/sources.list.d"],
    &[
        "etc/apt/sources.list",
        "etc/apt/apt.conf.d",
        "etc/hostname",
        "etc/hosts",
        "etc/machine-id",
        "etc/resolv.conf",
        "etc/ld.so.cache",
        "usr/sbin/policy-rc.d",
        "usr/sbin/start-stop-daemon",
    ],
    &["dev", "run", "tmp", "var/log/dpkg.log", "var/lib/dbus/machine-id"],
    &["var/cache/apt", "var/cache/ldconfig/aux-cache", "var/lib/apt/extended_states", "var/lib/apt/lists", "var/log"],
    &["var/cache/apt/archives", "var/lib/dpkg/status", "var/lib/dpkg/status-old", "var/lib/dpkg/available"],
    &["var/lib/dpkg/lock", "var/lib/dpkg/info", "var/lib/dpkg/tmp.ci"],
];

/// The script of one package does it for one row, as its last act.
#[test]
fn links_that_scripts_leave_are_not_followed_outwards() {
    need!(machine::root());
    let place = tempfile::Builder::new().prefix("canary").tempdir().unwrap();
    fs::create_dir(place.path().join("directory")).unwrap();
    fs::write(place.path().join("directory/file"), "canary\n").unwrap();
    fs::write(place.path().join("file"), "canary\n").unwrap();
    let debs = LINKED.iter().enumerate().map(|(number, paths)| {
        let mut script = "#!/bin/sh\n".to_owned();
        for path in *paths {
            let is_file = Path::new(path).extension().is_some_and(|end| end != "d") || path.ends_with("hosts");
            let kind = if is_file { "file" } else { "directory" };
            let link = format!("{}/{kind}", place.path().display());
            script.push_str(&format!(
                "mkdir -p $(dirname /{path})\nrm -rf /{path} 2>/dev/null || mv /{path} /moved\nln -sfn {link} /{path}\n"
            ));
        }
        Deb::new(&format!("linker{number}"), "1").script("postinst", &script)
    });
    let world = World::new(&need!(base::archive(Layout::Merged, debs)));
    let before = tree::dump(place.path());
    for (number, paths) in LINKED.iter().enumerate() {
        for path in *paths {
            hostile_case(HostileClass::Script, &format!("a link at {path}"));
        }
        let target = world.target("root");
        let outcome = world.run(&[&target, &format!("--include=linker{number}"), "--staging=disk", "--sync=no"]);
        assert_eq!(tree::dump(place.path()), before, "{paths:?}: {}", outcome.stderr);
        // A directory of the recipe's cannot be made where a link is.
        assert_eq!(outcome.code, Some(i32::from(number == 0)), "{paths:?}: {}", outcome.stderr);
        base::assert_nothing_left(&world, if outcome.code == Some(0) { &["root"] } else { &[] });
        fs::remove_dir_all(&target).ok();
    }
}

/// A process that prints without end does not keep the run from going on after its script, and does not fill the memory.
#[test]
fn a_flood_of_output_ends_with_its_script() {
    need!(machine::root());
    let program = need!(program());
    let flood = |script: &str| {
        // The flood ends by itself after a minute, so that a test that fails ends too.
        let script = format!("#!/bin/sh\n(attack flood; echo >/var/lib/outlived) &\n{script}\n");
        Deb::new("flood", "1").file("/usr/bin/attack", 0o755, &program).script("postinst", &script)
    };
    for mode in MODES {
        hostile_case(HostileClass::Script, &format!("a flood of output, mode {mode}"));
        let world = World::new(&need!(base::archive(Layout::Merged, [flood("sleep 1; exit 0")])));
        let option = format!("--mode={mode}");
        world.run(&[&world.target("root"), "--include=flood", &option]).expect(0);
        assert_eq!(machine::processes("attack flood"), [""; 0], "mode {mode}");
        assert!(!world.path("out/root/var/lib/outlived").exists(), "mode {mode}: the run waited for the flood");
        // The owners that one user's files cannot have are listed beside the tree.
        let published: &[&str] = if mode == "single" { &["root", "root.mtree"] } else { &["root"] };
        base::assert_nothing_left(&world, published);

        hostile_case(HostileClass::Script, &format!("a flood of output that a signal has to end, mode {mode}"));
        let world = World::new(&need!(base::archive(Layout::Merged, [flood("wait")])));
        let mut command = world.command(&[&world.target("root.tar"), "--include=flood", &option]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        machine::wait_until("the flood begins", || !machine::processes("attack flood").is_empty());
        rustix::process::kill_process(machine::pid(&child), rustix::process::Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "mode {mode}");
        assert_eq!(machine::processes("attack flood"), [""; 0], "mode {mode}");
        base::assert_nothing_left(&world, &[]);

        hostile_case(
            HostileClass::Script,
            &format!("a flood of output while the waiting process is killed, mode {mode}"),
        );
        let mut child = command.spawn().unwrap();
        machine::wait_until("the flood begins", || !machine::processes("attack flood").is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
        let place = world.path("");
        machine::wait_until("all processes end", || {
            machine::processes("attack flood").is_empty() && machine::processes(place.to_str().unwrap()).is_empty()
        });
        base::assert_nothing_left(&world, &[]);
    }
}

/// The words of a script that do not end with a newline stand before dpkg's own on the same line.
#[test]
fn an_error_names_the_package_whatever_its_script_prints() {
    need!(machine::root());
    let bad = Deb::new("bad", "1").script("postinst", "#!/bin/sh\nprintf 'no newline here'\nexit 3\n");
    let world = World::new(&need!(base::archive(Layout::Merged, [bad])));
    hostile_case(HostileClass::Script, "output without a newline at its end");
    world
        .run(&[&world.target("root.tar"), "--include=bad"])
        .expect(1)
        .says(&["error: cannot run the postinst of bad: exit status 3\n    | ", "    | no newline here\n"]);
    base::assert_nothing_left(&world, &[]);
}

/// Returns the parent of a process.
fn parent(process: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")).map(|parent| parent.trim().to_owned())
}

/// Process 1 of a sandbox is killed, as the kernel does where memory is short. The scripts end with it, whatever the mode.
#[test]
fn scripts_do_not_outlive_process_1_of_their_sandbox() {
    need!(machine::root());
    let program = need!(program());
    for mode in MODES {
        hostile_case(HostileClass::Script, &format!("process 1 is killed, mode {mode}"));
        let token = format!("attack bomb 20 token-{}-{mode}", std::process::id());
        let script = format!("#!/bin/sh\n{token}\nwhile :; do sleep 0.1; done\n");
        let bad = Deb::new("bad", "1").file("/usr/bin/attack", 0o755, &program).script("postinst", &script);
        let world = World::new(&need!(base::archive(Layout::Merged, [bad])));
        let mut command = world.command(&[&world.target("root.tar"), "--include=bad", &format!("--mode={mode}")]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        machine::wait_until("the script runs", || !machine::processes(&token).is_empty());
        let name = if mode == "chroot" { "__rootstrap-sandbox chroot" } else { "__rootstrap-init" };
        let of_this_run = |process: &String| {
            let mut process = process.split(' ').next().map(str::to_owned);
            while let Some(above) = process.as_deref().and_then(parent) {
                if above == child.id().to_string() {
                    return true;
                }
                process = Some(above).filter(|above| above != "0");
            }
            false
        };
        let first = machine::processes(name).into_iter().find(of_this_run).unwrap();
        let first: i32 = first.split(' ').next().unwrap().parse().unwrap();
        let first = rustix::process::Pid::from_raw(first).unwrap();
        rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
        world.outcome(&child.wait_with_output().unwrap()).expect(1).says(&["error: cannot talk to the sandbox"]);
        assert_eq!(machine::processes(&token), [""; 0], "mode {mode}");
        base::assert_nothing_left(&world, &[]);
    }
}
