//! What this machine has: rights, users, processes and mounts.

use rustix::process::{Pid, geteuid, getuid};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A user of this machine who may make namespaces.
#[derive(Clone, Debug)]
pub struct User {
    name: String,
    /// The user's number.
    pub uid: u32,
    gid: u32,
}

/// Checks whether this process is root with the right to mount.
///
/// # Errors
/// Names what is missing.
pub fn root() -> Result<(), String> {
    if !geteuid().is_root() {
        return Err("this is not root".into());
    }
    let capabilities = rustix::thread::capabilities(None).unwrap().effective;
    let admin = capabilities.contains(rustix::thread::CapabilitySet::SYS_ADMIN);
    if admin { Ok(()) } else { Err("this is root without CAP_SYS_ADMIN".into()) }
}

/// Returns a user with a range of subordinate ids: the caller, or for root the user that `ROOTSTRAP_TEST_USER` names, or the
/// first one of `/etc/subuid`.
///
/// # Errors
/// Names what is missing.
pub fn user() -> Result<User, String> {
    if !["/usr/bin/newuidmap", "/bin/newuidmap"].iter().any(|path| Path::new(path).exists()) {
        return Err("newuidmap is not installed".into());
    }
    let ranges = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let wanted = std::env::var("ROOTSTRAP_TEST_USER").ok();
    let user = ranges.lines().filter_map(|line| {
        let owner = line.split(':').next()?;
        accounts.lines().find_map(|account| {
            let words: Vec<&str> = account.split(':').collect();
            let (name, uid, gid) = (words.first()?, words.get(2)?, words.get(3)?);
            let user = User { name: (*name).to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? };
            (owner == *name || owner == *uid).then_some(user)
        })
    });
    let own = getuid();
    let fits = |user: &User| {
        if own.is_root() {
            user.uid >= 1000 && wanted.as_ref().is_none_or(|wanted| *wanted == user.name)
        } else {
            user.uid == own.as_raw()
        }
    };
    user.into_iter().find(fits).ok_or_else(|| "no ordinary user with a range in /etc/subuid".to_owned())
}

/// Returns a user without a range of subordinate ids. Root can act as any user, even one that is not in /etc/passwd. Another
/// caller can only be that user itself.
///
/// # Errors
/// The caller is an ordinary user with a range.
pub fn stranger() -> Result<User, String> {
    let own = getuid();
    if own.is_root() {
        return Ok(User { name: "nobody in particular".to_owned(), uid: 4242, gid: 4242 });
    }
    match user() {
        Ok(_) => Err("this user has a range in /etc/subuid, and only root can be another".into()),
        Err(_) => Ok(User { name: String::new(), uid: own.as_raw(), gid: rustix::process::getgid().as_raw() }),
    }
}

/// Checks whether this process can build a root, as root or as an ordinary user.
///
/// # Errors
/// It can do neither.
pub fn builder() -> Result<(), String> {
    root().or_else(|_| if getuid().is_root() { Err("root may not mount here".into()) } else { user().map(drop) })
}

impl User {
    /// Returns a command that runs a program as this user. The user need not be able to enter the program's directory.
    pub fn command(&self, program: &Path) -> Command {
        if getuid().as_raw() == self.uid {
            return Command::new(program);
        }
        let mut command = Command::new("sh");
        let script = "uid=$1 gid=$2 program=$3; shift 3; exec setpriv --reuid \"$uid\" --regid \"$gid\" \
                      --clear-groups --inh-caps=-all /proc/self/fd/9 \"$@\" 9<\"$program\"";
        let words: Vec<OsString> =
            vec!["-c".into(), script.into(), "sh".into(), self.uid.to_string().into(), self.gid.to_string().into()];
        command.args(words).arg(program);
        command
    }
}

/// How long a test waits for something before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `done` returns true. Panics after a minute.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < PATIENCE, "this did not happen: {what}");
        std::thread::yield_now();
    }
}

/// Returns the processes whose command line contains `text`.
pub fn processes(text: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text) {
            found.push(format!("{pid} {line}"));
        }
    }
    found
}

/// Returns the children of a process.
pub fn children(parent: u32) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let children = entries.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        (rest.split_whitespace().nth(1)? == parent.to_string()).then_some(pid)
    });
    children.collect()
}

/// Returns the mount points whose path contains `text`.
pub fn mounts(text: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| point.contains(text)).map(str::to_owned).collect()
}

/// Returns whether a program is in one of the usual directories.
pub fn has(program: &str) -> bool {
    ["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(program).is_file())
}

/// Returns the process id of a running child, for signals.
pub fn pid(child: &std::process::Child) -> Pid {
    Pid::from_child(child)
}
