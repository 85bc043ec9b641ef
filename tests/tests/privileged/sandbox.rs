//! A package's script reaches no network, file, process or environment of the host, and does not outlive the run.

use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::User;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process of the host. It is ended when dropped.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs a script that tries everything and reports what it reached, in a root in memory and in one on disk.
fn reaches_nothing(user: Option<&User>) {
    for staging in ["--staging=memory", "--staging=disk"] {
        reaches_nothing_but(&[staging], user, "");
    }
}

fn reaches_nothing_but(more: &[&str], user: Option<&User>, expected: &str) {
    // bash can open a connection by itself, and perl can make any system call.
    let tools = need!(base::tools(&["bash", "mount", "mknod", "chmod", "chroot", "unshare", "nsenter", "perl"]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let token = format!("rootstrap-canary-{}-{port}", std::process::id());
    let scratch = tempfile::tempdir().unwrap();
    let canary = scratch.path().join("canary");
    fs::write(&canary, "canary").unwrap();
    // A process of the host, known by its arguments.
    let script = format!("read line # {token}");
    let mut host = Host(Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap());
    let postinst = format!(
        "#!/bin/bash\nset -e\nexec >/var/lib/seen\n\
         (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo network\n\
         cd /\n\
         for place in '' /proc/1/root /proc/self/root /.. ../../..; do [ ! -e \"$place{canary}\" ] || echo file; done\n\
         for place in /proc/[0-9]*; do ! grep -q {token_start}'-'{token_end} $place/cmdline 2>/dev/null || echo process; done\n\
         ! kill -0 {pid} 2>/dev/null || [ -n \"$(grep -s . /proc/{pid}/comm)\" ] || echo kill\n\
         command -v mount mknod chmod >/dev/null || echo tools\n\
         for node in /var/lib/evil /dev/evil; do\n\
         mknod $node c 1 9 || echo mknod\n\
         ! (read -r -N 4 random <$node && [ -n \"$random\" ]) 2>/dev/null || echo device\n\
         rm -f $node || true\ndone\n\
         ! chmod 4777 /proc/1/exe 2>/dev/null || echo chmod\n\
         ! cat /proc/1/exe >/dev/null 2>&1 || echo exe\n\
         ! (echo x >/proc/sys/kernel/hostname) 2>/dev/null || echo sysctl\n\
         ! (echo h >/proc/sysrq-trigger) 2>/dev/null || echo sysrq\n\
         mkdir -p /var/lib/old && ! mount --bind / /var/lib/old 2>/dev/null || echo mounted\n\
         rmdir /var/lib/old\n\
         # The ways out of a root: another one inside with the old one still open, another namespace, another process's.\n\
         ! perl -e 'mkdir q(/var/lib/in); open D, q(<), q(/); chroot(q(/var/lib/in)) and exit 0; rmdir q(/var/lib/in); exit 1' || echo chroot\n\
         ! nsenter --target 1 --mount true 2>/dev/null || echo nsenter\n\
         ! unshare --user true 2>/dev/null || echo unshare\n\
         ! unshare --mount true 2>/dev/null || echo mount namespace\n\
         [ ! -e /proc/1/root{canary} ] && [ ! -e /proc/1/cwd{canary} ] || echo init\n\
         # A terminal of the caller's, and typing on one.\n\
         ! (: </dev/tty) 2>/dev/null || echo tty\n\
         ! perl -e 'open T, q(+<), q(/dev/ptmx) or exit 1; my $c = q(x); exit !ioctl(T, 0x5412, $c)' || echo typed\n\
         ! perl -e 'exit !(syscall(101, 16, 1, 0, 0) == 0)' || echo traced\n\
         roots=0; while read -r _ _ _ _ place _; do [ \"$place\" != / ] || roots=$((roots + 1)); done </proc/self/mountinfo\n\
         [ $roots = 1 ] || echo \"$roots roots\"\n\
         env >/var/lib/environment\n\
         mkfifo /var/lib/fifo\n\
         bash -c 'trap \"\" HUP INT TERM; read line </var/lib/fifo' daemon-{token} </dev/null >/dev/null 2>&1 &\n\
         disown\nrm -f /var/lib/fifo || true\necho done\n",
        canary = canary.display(),
        token_start = token.split_once('-').unwrap().0,
        token_end = token.split_once('-').unwrap().1,
        pid = host.0.id(),
    );
    let spy = Deb::new("spy", "1").field("Pre-Depends", "tools").script("postinst", &postinst);
    let world = World::new(&need!(base::archive(Layout::Merged, [tools, spy])));
    let target = world.target("root");
    let arguments = [&[target.as_str(), "--include=spy"], more].concat();
    let mut command = match user {
        Some(user) => world.command_as(user, &arguments),
        None => world.command(&arguments),
    };
    world.finish(command.env("ROOTSTRAP_TEST_SECRET", &token).env("LD_LIBRARY_PATH", "/nowhere")).expect(0);
    let root = Path::new(&target);
    assert_eq!(fs::read_to_string(root.join("var/lib/seen")).unwrap(), format!("{expected}done\n"));
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody connected");
    assert!(host.0.try_wait().unwrap().is_none(), "the host's process was ended");
    assert_eq!(machine::processes(&format!("daemon-{token}")), [""; 0]);

    let environment = fs::read_to_string(root.join("var/lib/environment")).unwrap();
    assert!(!environment.contains(&token) && !environment.contains("/nowhere"), "{environment}");
    for line in [
        "DEBIAN_FRONTEND=noninteractive",
        "FORCE_SOURCE_DATE=1",
        "SOURCE_DATE_EPOCH=1735689600",
        "LC_ALL=C.UTF-8",
        "HOME=/root",
    ] {
        assert!(environment.lines().any(|known| known == line), "{line} is not in {environment}");
    }
    // The zone is that of the root's own /etc/localtime.
    assert!(!environment.lines().any(|line| line.starts_with("TZ=")), "{environment}");
    fs::remove_file(format!("{target}.mtree")).ok();
    base::assert_nothing_left(&world, &["root"]);
}

#[test]
fn a_script_of_root_reaches_nothing_of_the_host() {
    need!(machine::root());
    reaches_nothing(None);
}

#[test]
fn a_script_of_a_user_reaches_nothing_of_the_host() {
    let user = need!(machine::user());
    reaches_nothing(Some(&user));
}

#[test]
fn a_script_of_a_user_without_a_range_reaches_nothing_of_the_host() {
    let stranger = need!(machine::stranger());
    reaches_nothing(Some(&stranger));
}

/// In a plain container, the mounts that scripts see are the container's.
#[test]
fn a_script_without_namespaces_reaches_no_file_no_process_and_no_network() {
    need!(machine::root());
    reaches_nothing_but(&["--mode=chroot"], None, "0 roots\n");
}

/// An open lock file or directory of the caller would be a way out.
#[test]
fn a_script_gets_no_descriptor_of_the_caller() {
    need!(machine::root());
    let postinst = "#!/bin/sh\nset -e\nif [ -e /proc/self/fd/8 ]; then readlink /proc/self/fd/8; ls /proc/self/fd/8/; fi >/var/lib/seen\n";
    let spy = Deb::new("spy", "1").script("postinst", postinst);
    let world = World::new(&need!(base::archive(Layout::Merged, [spy])));
    let target = world.target("root");
    let inner = world.command(&[&target, "--include=spy", "--no-cache"]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 8<.", "sh"]).arg(inner.get_program()).args(inner.get_args());
    world.finish(command.current_dir(world.path(""))).expect(0);
    assert_eq!(fs::read_to_string(Path::new(&target).join("var/lib/seen")).unwrap(), "");
}
