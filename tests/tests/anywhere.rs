//! The released program, which has no shared libraries, in roots that have none: with DNS, a proxy and TLS.
//!
//! `ROOTSTRAP_STATIC` names the program, which `cargo xtask dist` makes. The tests are skipped without it.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::server::Server;
use rootstrap_testkit::tls::{Terminator, certificates};
use rootstrap_tests::world::KEY;
use rootstrap_tests::{live, machine, need};
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The name of the mirror for the name server of these tests.
const HOST: &str = "mirror.example";

/// The address of that name server. No other service has it, and only root may use the port.
const NAME_SERVER: &str = "127.77.0.1";

fn program() -> Result<PathBuf, String> {
    let program = std::env::var_os("ROOTSTRAP_STATIC").map(PathBuf::from);
    program.ok_or_else(|| "ROOTSTRAP_STATIC does not name a static program".to_owned())
}

/// Puts the program into a directory, with what a machine has to say about its network.
fn equip(root: &Path, program: &Path) {
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::create_dir_all(root.join("tmp")).unwrap();
    fs::copy(program, root.join("rootstrap")).unwrap();
    let _ = fs::remove_file(root.join("etc/resolv.conf"));
    fs::copy("/etc/resolv.conf", root.join("etc/resolv.conf")).unwrap();
    fs::copy("/etc/hosts", root.join("etc/hosts")).unwrap();
}

/// Runs the program in a root, where nothing is mounted.
fn run(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("chroot");
    command.arg(root).arg("/rootstrap").args(arguments);
    finish(command, environment)
}

/// Runs the program in a root where /proc is mounted, as builds need it.
fn run_with_proc(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("unshare");
    let script = "mkdir -p \"$0/proc\" && mount -t proc proc \"$0/proc\" && exec chroot \"$0\" /rootstrap \"$@\"";
    command.args(["--mount", "sh", "-c", script]).arg(root).args(arguments);
    finish(command, environment)
}

fn finish(mut command: Command, environment: &[(&str, &str)]) -> Output {
    command.env_clear().envs(environment.iter().copied()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Answers questions about [`HOST`] with the address of this machine, until it is dropped.
struct NameServer {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    fn start() -> Result<Self, String> {
        let socket =
            UdpSocket::bind((NAME_SERVER, 53)).map_err(|error| format!("no name server can run here: {error}"))?;
        let ends = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ends);
        let serve = move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                if until.load(Ordering::Relaxed) {
                    return;
                }
                let answer = answer(&question[..length]);
                let _ = socket.send_to(&answer, from);
            }
        };
        Ok(Self { ends, thread: Some(std::thread::spawn(serve)) })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let waker = UdpSocket::bind("127.0.0.1:0").unwrap();
        waker.send_to(b"end", (NAME_SERVER, 53)).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Returns an answer in the form of RFC 1035: the address for the known host, no address of another kind, and no other host.
fn answer(question: &[u8]) -> Vec<u8> {
    let (mut at, mut name) = (12, Vec::new());
    while let Some(length) = question.get(at).map(|length| usize::from(*length)).filter(|length| *length > 0) {
        name.push(String::from_utf8_lossy(&question[at + 1..at + 1 + length]).into_owned());
        at += length + 1;
    }
    let (is_known, kind) = (name.join(".") == HOST, &question[at + 1..at + 3]);
    let has_address = is_known && kind == [0, 1];
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, if is_known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    answer.extend(&question[12..at + 5]);
    if has_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

#[test]
fn the_program_is_static() {
    let program = need!(program());
    let output = Command::new("ldd").arg(&program).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("not a dynamic executable") || said.contains("statically linked"), "{said}");
}

/// A root with nothing in it but the program.
#[test]
fn an_empty_root_suffices_for_names_proxies_and_tls() {
    need!(machine::root());
    let program = need!(program());
    let _names = need!(NameServer::start());
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    equip(root, &program);
    fs::remove_file(root.join("etc/hosts")).unwrap();
    fs::write(root.join("etc/resolv.conf"), format!("nameserver {NAME_SERVER}\n")).unwrap();
    fs::write(root.join("key.pgp"), KEY.public()).unwrap();
    fs::write(root.join("ca.pem"), certificates::AUTHORITY).unwrap();
    let required = Deb::new("base-files", "1.0").field("Essential", "yes").field("Priority", "required");
    let server = Server::start(Archive::new("fixture").key(&KEY).debs([required]).build());
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    let plan = |mirror: &str, environment: &[(&str, &str)]| {
        let arguments =
            ["fixture", "--print-plan", "--variant=extract", "--arch=amd64", "--include=base-files", "--no-cache"];
        let arguments =
            [&arguments[..], &["--keyring=/key.pgp", "--ca-file=/ca.pem", "--retries=0", "--mirror", mirror]];
        run(root, &arguments.concat(), environment)
    };
    assert!(succeeds(&run(root, &["--version"], &[])).starts_with("rootstrap "));
    let expected = succeeds(&plan(&format!("http://{HOST}:{port}"), &[]));
    assert!(expected.contains("base-files"), "{expected}");
    let tls = Terminator::with(server.url().trim_start_matches("http://"), certificates::GOOD);
    assert_eq!(succeeds(&plan(&format!("https://{}", tls.host()), &[])), expected);
    let proxy = format!("http://{HOST}:{port}");
    assert_eq!(succeeds(&plan("http://elsewhere.example", &[("http_proxy", &proxy)])), expected);
    let build = run(root, &["fixture", "/made", "--variant=extract"], &[]);
    let said = String::from_utf8_lossy(&build.stderr).into_owned();
    assert!(said.contains("/proc is not mounted") && said.contains("hint: mount it"), "{said}");
    let unknown = plan("http://unknown.example", &[]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("http://unknown.example: there is no host of this name"), "{said}");
}

/// Roots of suites whose C library is older than the one that the program was built with, and one that has only a shell: the program starts
/// there, looks up the vendor's mirror, and makes a tree.
#[test]
fn old_roots_and_a_small_one_can_make_a_tree() {
    need!(machine::root());
    let program = need!(program());
    let mirror = need!(mirror());
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (suite, more) in [
        ("trusty", &[][..]),
        ("xenial", &[]),
        ("focal", &[]),
        ("trixie", &["--variant=extract", "--include=busybox-static"]),
    ] {
        // Only the release pocket of an old suite is sure to be there.
        let more = [more, &["--pockets=release"]].concat();
        if let Err(reason) = live::answers_with(cache, suite, &more) {
            rootstrap_tests::skip(reason);
            continue;
        }
        let (_directory, root) = live::scratch();
        let made = live::command(cache, &[&[suite, root.to_str().unwrap()], &more[..]].concat()).output().unwrap();
        succeeds(&made);
        equip(&root, &program);
        let proxies: Vec<(String, String)> = ["http_proxy", "https_proxy", "no_proxy", "ROOTSTRAP_MIRROR"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        let environment: Vec<(&str, &str)> =
            proxies.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let arguments = [
            "trixie",
            "/made",
            "--variant=extract",
            "--include=dpkg",
            "--no-cache",
            "--mirror",
            &mirror,
            "--pockets=release",
        ];
        succeeds(&run_with_proc(&root, &arguments, &environment));
        assert!(root.join("made/usr/bin/dpkg").exists(), "{suite}");
    }
}

/// Returns the mirror of the host's own apt sources.
fn mirror() -> Result<String, String> {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let more = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let texts = std::iter::once(PathBuf::from("/etc/apt/sources.list")).chain(more).map(|path| read(&path));
    let text: String = texts.collect();
    let found = text
        .split_whitespace()
        .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"));
    found.map(str::to_owned).ok_or_else(|| "this machine's apt names no mirror of Debian".to_owned())
}
