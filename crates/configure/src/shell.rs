//! A program in a root that somebody works with: with a terminal, the network and the host's resolver, and a /dev, /proc and /sys of its
//! own. What it starts and mounts ends with it.
#![allow(unsafe_code, reason = "unshare and the disposition of a signal have no safe form")]

use crate::emulator::{self, Emulator};
use crate::error::Error;
use crate::init::{OWN_USERS, SAME_USERS, close_descriptors_on_exec, die_with_parent, drop_capabilities};
use crate::mounts;
use crate::privilege::Mode;
use rustix::fs::{self, OFlags};
use rustix::io::Errno;
use rustix::mount;
use rustix::process::{self, Pid, Signal};
use rustix::thread::UnshareFlags;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitStatus};

/// First argument of the first stage, which leaves the host's namespaces.
pub(crate) const OUTER: &str = "__rootstrap-shell";
/// First argument of the second stage, which is process 1 of the new ones.
pub(crate) const INNER: &str = "__rootstrap-shell-init";

/// What stands between the emulators and the command.
const END: &str = "--";

/// The exit status of a stage without a command that needs a user namespace of its own (see [`crate::init::SHARES_PROC`]).
const NEEDS_OWN_USERS: u8 = 253;

/// The exit status if the program cannot be started, as shells have it.
const NOT_STARTED: u8 = 127;

/// The exit status of a stage that failed.
const FAILED: u8 = 254;

/// A program, and the root that it runs in.
pub struct Shell {
    /// The mode in which this process runs.
    pub mode: Mode,
    /// The directory that holds the root.
    pub place: OwnedFd,
    /// The name of the root in it.
    pub root: OsString,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// The text that the root finds in /etc/resolv.conf.
    pub resolv_conf: String,
    /// The emulators that run the root's programs, where the kernel cannot run them itself.
    pub emulators: Vec<Emulator>,
}

/// Runs the program to its end, with the standard streams of this process, and returns its status.
///
/// # Errors
/// The kernel refuses a namespace or a mount; standard error has said why.
pub fn run(shell: &Shell) -> Result<ExitStatus, Error> {
    // Without a command, the stages only show whether they work: the status of a command says nothing of them.
    let mut owns_users = !shell.emulators.is_empty();
    let mut probe = start(shell, &[], owns_users)?.code();
    if probe == Some(NEEDS_OWN_USERS.into()) {
        owns_users = true;
        probe = start(shell, &[], owns_users)?.code();
    }
    if probe != Some(0) {
        return Err(Error::Sandbox("see above".to_owned()));
    }
    let _terminal = Terminal::take();
    // What the terminal sends is for the command.
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP] {
        // SAFETY: the disposition is that of this process, which does nothing else any more.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    start(shell, &shell.command, owns_users)
}

fn start(shell: &Shell, words: &[String], owns_users: bool) -> Result<ExitStatus, Error> {
    let Shell { mode, place, root, command: _, environment, resolv_conf, emulators } = shell;
    let users = if owns_users { OWN_USERS } else { SAME_USERS };
    let mode = if owns_users && *mode == Mode::Root { Mode::Unshare } else { *mode };
    let mut command = Command::new("/proc/self/exe");
    command.arg(OUTER).args([mode.name(), users]).arg(root).arg(resolv_conf);
    command.args(emulator::to_words(emulators)).arg(END).args(words);
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(format!("/proc/self/fd/{}", place.as_raw_fd()));
    die_with_parent(&mut command);
    // SAFETY: the call is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGTTOU, libc::SIG_DFL);
            Ok(())
        });
    }
    command.status().map_err(|error| Error::Sandbox(format!("cannot start a process: {error}")))
}

/// The terminal, in the foreground of which the group of this process is.
struct Terminal(Option<libc::pid_t>);

impl Terminal {
    /// Puts the group of this process into the foreground. It has a group of its own, which otherwise could not read from the terminal.
    /// Does nothing where the process that waits for this one is in the background, or where another program reads what is printed.
    fn take() -> Self {
        // SAFETY: the calls take numbers, and no handler is set.
        let before = unsafe {
            let is_shown = libc::isatty(libc::STDOUT_FILENO) == 1;
            let before = Some(libc::tcgetpgrp(libc::STDIN_FILENO)).filter(|group| *group > 0 && is_shown);
            let before = before.filter(|group| *group == libc::getpgid(libc::getppid()));
            if before.is_some() {
                // A process that is not in the foreground is stopped when it changes that.
                libc::signal(libc::SIGTTOU, libc::SIG_IGN);
                libc::tcsetpgrp(libc::STDIN_FILENO, libc::getpgrp());
            }
            before
        };
        Self(before)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            // SAFETY: the call takes numbers.
            unsafe { libc::tcsetpgrp(libc::STDIN_FILENO, before) };
        }
    }
}

/// Returns whether an argument begins a stage.
pub(crate) fn is_stage(word: &OsStr) -> bool {
    word == OUTER || word == INNER
}

/// Runs a stage and ends this process.
pub(crate) fn run_stage(stage: &OsStr, words: &[OsString]) -> ! {
    let result = if stage == OUTER { outer(words) } else { inner(words) };
    let code = result.unwrap_or_else(|reason| {
        let _ = writeln!(std::io::stderr(), "rootstrap: {reason}");
        FAILED
    });
    std::process::exit(code.into())
}

/// The first stage. The words are mode, users, the name of the root in the working directory, the text of resolv.conf, the emulators, and
/// the command after [`END`].
fn outer(words: &[OsString]) -> Result<u8, String> {
    let [mode, users, ..] = words else { return Err("it was started wrongly".to_owned()) };
    close_descriptors_on_exec();
    if mode == Mode::Chroot.name() {
        return inner(words);
    }
    if users == OWN_USERS {
        emulator::enter_user_namespace()?;
        let _ = process::set_parent_process_death_signal(Some(Signal::KILL));
    }
    let flags = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    // SAFETY: this process has one thread and shares no file descriptor table.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .map_err(|errno| format!("the kernel refuses new namespaces: {errno}"))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(INNER).args(words);
    die_with_parent(&mut command);
    wait_for(command)
}

/// The second stage: makes the root the root of this process, and runs the program.
fn inner(words: &[OsString]) -> Result<u8, String> {
    let malformed = || "it was started wrongly".to_owned();
    let [mode, users, root, resolv_conf, rest @ ..] = words else { return Err(malformed()) };
    let end = rest.iter().position(|word| word == END).ok_or_else(malformed)?;
    let (emulators, command) = rest.split_at_checked(end).ok_or_else(malformed)?;
    let mode = mode.to_str().and_then(Mode::from_name).ok_or_else(malformed)?;
    if mode != Mode::Chroot && users != OWN_USERS && !mounts::proc_can_be_fresh()? {
        return Ok(NEEDS_OWN_USERS);
    }
    let _handlers = if emulators.is_empty() { None } else { Some(emulator::register(emulators)?) };
    let text = if command.len() > 1 { resolv_conf.to_str().unwrap_or_default() } else { "" };
    let mut made = None;
    if mode == Mode::Chroot {
        mounts::enter_without_mounts(root)?;
        made = write_if_absent(text)?;
    } else {
        mounts::enter_with(root, mode, &mut || {
            made = show_resolver(text)?;
            Ok(())
        })?;
        let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let name = Some(name.trim()).filter(|name| !name.is_empty() && name.len() <= 64).unwrap_or("localhost");
        let _ = rustix::system::sethostname(name.as_bytes());
    }
    process::umask(fs::Mode::from_raw_mode(0o022));
    let _ = process::chdir("/root");
    let [_, program, arguments @ ..] = command else { return Ok(0) };
    let mut command = Command::new(program);
    command.args(arguments);
    // A shell at the terminal decides itself which of its jobs a signal stops. Nobody would let another command go on.
    let stops = arguments.is_empty();
    // SAFETY: the calls are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            libc::signal(libc::SIGQUIT, libc::SIG_DFL);
            if stops {
                libc::signal(libc::SIGTSTP, libc::SIG_DFL);
            }
            drop_capabilities(mode)
        });
    }
    let ended = wait_for(command);
    if let Some(path) = made {
        // In mode chroot nothing is mounted there.
        let _ = mount::unmount(path, mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_file(path);
    }
    ended
}

/// The path of the resolver's configuration, as the C library has it.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Writes the text, if the root has no such file. Returns its path then.
fn write_if_absent(text: &str) -> Result<Option<&'static str>, String> {
    let is_absent = std::fs::symlink_metadata(RESOLV_CONF).is_err() && Path::new("/etc").is_dir();
    if is_absent && !text.is_empty() {
        std::fs::write(RESOLV_CONF, text).map_err(|error| format!("cannot write {RESOLV_CONF}: {error}"))?;
        return Ok(Some(RESOLV_CONF));
    }
    Ok(None)
}

/// Shows the text at the place of the root's resolv.conf, for this mount namespace alone. The working directory is the root. A link that
/// leads to `/run`, where the host's services would write, leads to a file in memory. Returns the path of an empty file that had to be made
/// as the mount point.
fn show_resolver(text: &str) -> Result<Option<&'static str>, String> {
    let root = rootstrap_rootfs::Root::open(Path::new(".")).map_err(|error| error.to_string())?;
    let failed = |error: rootstrap_rootfs::Error| format!("cannot show resolv.conf: {error}");
    let path = RESOLV_CONF.trim_start_matches('/').as_bytes();
    if text.is_empty() || !Path::new("run").is_dir() || root.metadata(b"etc").map_err(failed)?.is_none() {
        return Ok(None);
    }
    let options = c"mode=0755";
    let flags = mount::MountFlags::NOSUID | mount::MountFlags::NODEV;
    mount::mount("tmpfs", "run", "tmpfs", flags, Some(options))
        .map_err(|errno| format!("cannot mount /run: {errno}"))?;
    std::fs::create_dir("run/lock").map_err(|error| format!("cannot fill /run: {error}"))?;
    std::fs::write("run/rootstrap-resolv.conf", text).map_err(|error| format!("cannot fill /run: {error}"))?;
    if let Some(path) = std::fs::read_link("etc/resolv.conf").ok().and_then(|link| below_run(&link)) {
        // The directory is in memory, so nothing of this stays.
        let parent = path.parent().unwrap_or(Path::new("run"));
        let made = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, text));
        return made.map(|()| None).map_err(|error| format!("cannot fill /run: {error}"));
    }
    let is_absent = root.metadata(path).map_err(failed)?.is_none();
    if is_absent {
        root.write(path, b"", 0o644).map_err(failed)?;
    } else if !root.leads_somewhere(path).map_err(failed)? {
        return Ok(None);
    }
    // Through a descriptor, so that no link of the root leads out of it.
    let found = fs::openat2(
        fs::CWD,
        "etc/resolv.conf",
        OFlags::PATH | OFlags::CLOEXEC,
        fs::Mode::empty(),
        fs::ResolveFlags::IN_ROOT,
    );
    let found = found.map_err(|errno| format!("cannot open resolv.conf: {errno}"))?;
    mount::mount_bind("run/rootstrap-resolv.conf", format!("/proc/self/fd/{}", found.as_raw_fd()))
        .map_err(|errno| format!("cannot show resolv.conf: {errno}"))?;
    Ok(is_absent.then_some(RESOLV_CONF))
}

/// Returns where a link in /etc leads, if that is below /run.
fn below_run(link: &Path) -> Option<PathBuf> {
    let mut parts: Vec<&OsStr> = vec![OsStr::new("etc")];
    for component in link.components() {
        match component {
            Component::RootDir | Component::Prefix(_) => parts.clear(),
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => parts.push(name),
        }
    }
    (parts.len() > 1 && parts.first() == Some(&OsStr::new("run"))).then(|| parts.iter().collect())
}

/// Runs a command and returns its status as a shell has it.
fn wait_for(mut command: Command) -> Result<u8, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: cannot start {program}: {error}");
            return Ok(NOT_STARTED);
        }
    };
    let wanted = Pid::from_child(&child);
    // As process 1 of a namespace, it inherits every orphan.
    loop {
        match process::wait(process::WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == wanted => {
                let status = ExitStatus::from_raw(status.as_raw());
                let code = status.code().or(status.signal().map(|signal| 128 + signal));
                return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(format!("cannot wait for {program}: {errno}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_into_run_are_followed() {
        for (link, path) in [
            ("../run/systemd/resolve/stub-resolv.conf", Some("run/systemd/resolve/stub-resolv.conf")),
            ("/run/NetworkManager/resolv.conf", Some("run/NetworkManager/resolv.conf")),
            ("../../../run/./x", Some("run/x")),
            ("/run", None),
            ("../run/../etc/shadow", None),
            ("resolv.conf.d/x", None),
            ("", None),
        ] {
            assert_eq!(below_run(Path::new(link)), path.map(PathBuf::from), "{link}");
        }
    }
}
