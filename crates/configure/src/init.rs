//! The inside of the sandbox: two small stages of this same binary.
//!
//! The first stage leaves the host's namespaces. The second is process 1 of the new ones: it sets up the mounts, gives up
//! the host's root, and then runs the commands that it is sent, one at a time. It ends when its socket closes, and the
//! kernel then ends every process that is left in the namespaces.
#![allow(unsafe_code, reason = "unshare, prctl in a child before exec, and one ioctl have no safe form")]

use crate::native::Registrar;
use crate::privilege::{Mode, end_orphans, open_proc};
use crate::seccomp::{self, Supervised};
use crate::{emulator, mounts, supervisor, wire};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{self, Signal};
use rustix::thread::UnshareFlags;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

/// First argument of the first stage.
pub(crate) const OUTER: &str = "__rootstrap-sandbox";
/// First argument of the second stage.
pub(crate) const INNER: &str = "__rootstrap-init";

/// The second argument of both stages: whether the sandbox gets a user namespace of its own, with the ids of the present one.
pub(crate) const OWN_USERS: &str = "own-users";
pub(crate) const SAME_USERS: &str = "same-users";

/// The third argument of both stages: whether the sandbox shares the network of the machine.
pub(crate) const NETWORK: &str = "network";
pub(crate) const NO_NETWORK: &str = "no-network";

/// The command that has native programs take the place of those that are in the root by now.
pub(crate) const REGISTER: &str = "native";

/// Why a sandbox with [`SAME_USERS`] fails where the kernel refuses a fresh /proc: scripts have to share the /proc of the container.
/// Behind its entries are the roots of other processes. The kernel bars them from those of other user namespaces only.
pub(crate) const SHARES_PROC: &str = "a part of /proc is covered here";

/// Ends this process after a stage, and tells the caller of the sandbox why the stage failed.
pub(crate) fn end_with(result: Result<(), String>) -> ! {
    if let Err(reason) = result {
        // The caller waits for a frame; an exit status alone would not tell it the reason.
        if let Ok(mut socket) = socket() {
            let _ = wire::send(&mut socket, &["failed", &reason]);
        }
        std::process::exit(1);
    }
    std::process::exit(0);
}

/// Returns the socket to the caller, which is standard input.
fn socket() -> Result<UnixStream, String> {
    let fd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3);
    fd.map(UnixStream::from).map_err(|errno| format!("cannot reach the caller: {errno}"))
}

/// The first stage. The working directory holds the staging root under the name `root`, which follows mode, users, network
/// and the directory of native programs, empty for none.
pub(crate) fn outer(words: [&OsString; 5], emulators: &[OsString]) -> Result<(), String> {
    let [mode, users, network, _, _] = words;
    close_descriptors_on_exec();
    if mode == Mode::Chroot.name() {
        return inner(words, &[]);
    }
    if users == OWN_USERS {
        emulator::enter_user_namespace()?;
        // A change of credentials may have cleared it.
        let _ = process::set_parent_process_death_signal(Some(Signal::KILL));
    }
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if network != NETWORK {
        flags |= UnshareFlags::NEWNET;
    }
    // SAFETY: this process has one thread and shares no file descriptor table.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .map_err(|errno| format!("the kernel refuses new namespaces: {errno}"))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(INNER).args(words).args(emulators);
    die_with_parent(&mut command);
    let mut child = command.spawn().map_err(|error| format!("cannot start the first process: {error}"))?;
    let status = child.wait().map_err(|error| format!("cannot wait for the first process: {error}"))?;
    std::process::exit(status.code().unwrap_or(1));
}

/// Marks all descriptors but the standard ones to be closed at the next exec. A file that the caller of the whole program
/// had open would be a way out of the sandbox.
pub(crate) fn close_descriptors_on_exec() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // SAFETY: the call only marks the descriptor; for one that is closed by now it fails without effect.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Has the kernel kill the command when the thread that starts it ends.
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe, and nothing else happens between fork and exec.
    unsafe {
        command.pre_exec(|| process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from));
    }
}

/// The second stage: sets up the sandbox around this process, then runs commands until the socket closes.
pub(crate) fn inner(
    [mode, users, network, native, root]: [&OsString; 5],
    emulators: &[OsString],
) -> Result<(), String> {
    let mode = mode.to_str().and_then(Mode::from_name).ok_or("it was started wrongly")?;
    let mut socket = socket()?;
    if mode != Mode::Chroot && users != OWN_USERS && !mounts::proc_can_be_fresh()? {
        return Err(SHARES_PROC.to_owned());
    }
    let keeper = Keeper::start(&socket, mode)?;
    let victim = Victim::open();
    // The handlers stay registered as long as this descriptor is open: until this process ends, and with it every program
    // in the sandbox.
    let handlers = if emulators.is_empty() { None } else { Some(emulator::register(emulators)?) };
    let native = handlers.as_ref().map(|_| Path::new(native)).filter(|path| !path.as_os_str().is_empty());
    let mut registrar = match (&handlers, native) {
        (Some(handlers), Some(native)) => Some(Registrar::new(handlers, native).map_err(not_registered)?),
        _ => None,
    };
    if mode == Mode::Chroot {
        mounts::enter_without_mounts(root)?;
    } else {
        mounts::enter(root, mode, native)?;
        if network != NETWORK {
            raise_loopback();
        }
        rustix::system::sethostname(b"localhost").map_err(|errno| format!("cannot set the host name: {errno}"))?;
    }
    process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Some scripts close every possible descriptor; with a limit of a million, as hosts have it, that takes seconds.
    let files = process::Rlimit { current: Some(1024), maximum: Some(4096) };
    let _ = process::setrlimit(process::Resource::Nofile, files);
    // A new session keyring: without it, scripts could read the keys in the caller's.
    // SAFETY: a null name asks for an anonymous keyring; a failure is harmless.
    unsafe {
        libc::syscall(libc::SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, std::ptr::null::<u8>())
    };
    process::setsid().map_err(|errno| format!("cannot leave the caller's session: {errno}"))?;
    // No program gains rights from a set-user-id bit or file capabilities. A process without CAP_SYS_ADMIN may install a
    // seccomp filter only under this condition.
    rustix::thread::set_no_new_privs(true).map_err(|errno| format!("cannot give up new privileges: {errno}"))?;
    install_filter(&mut socket, Supervised::of(mode))?;
    while let Some(words) = wire::receive(&mut socket).map_err(lost)? {
        let result = match (words.as_slice(), &mut registrar) {
            ([command], Some(registrar)) if command == REGISTER => {
                registrar.register(Path::new("/")).map(|()| 0).map_err(not_registered)
            }
            _ => run(&words, mode, &keeper, &victim).map(ExitStatus::into_raw),
        };
        let answer = match result {
            Ok(status) => ["done".to_owned(), status.to_string()],
            Err(error) => ["cannot".to_owned(), error],
        };
        wire::send(&mut socket, &[&answer[0], &answer[1]]).map_err(lost)?;
    }
    keeper.end_all();
    Ok(())
}

/// Ends the sandbox when the caller is gone or has given it up, whatever a command is doing.
struct Keeper {
    /// The /proc that shows the processes of the sandbox, where no pid namespace ends them with process 1.
    proc: Option<Arc<OwnedFd>>,
    /// Held while a process is started, and for ever once all are being ended.
    starting: Arc<Mutex<()>>,
}

impl Keeper {
    /// Starts the thread that watches the socket.
    fn start(socket: &UnixStream, mode: Mode) -> Result<Self, String> {
        let proc = match mode {
            Mode::Chroot => {
                // Daemons of scripts become children of this process.
                let own = Some(process::getpid());
                process::set_child_subreaper(own).map_err(|errno| format!("cannot adopt processes: {errno}"))?;
                Some(Arc::new(open_proc().map_err(|errno| format!("cannot open /proc: {errno}"))?))
            }
            _ => None,
        };
        let keeper = Self { proc, starting: Arc::default() };
        let watched = socket.try_clone().map_err(lost)?;
        let watcher = Self { proc: keeper.proc.clone(), starting: Arc::clone(&keeper.starting) };
        let watch = move || {
            // A hangup is reported whether it is asked for or not.
            let mut ready = [PollFd::new(&watched, PollFlags::empty())];
            while let Err(Errno::INTR) = poll(&mut ready, None) {}
            let _ended = watcher.starting.lock();
            watcher.end_all();
            // SAFETY: the call does not return.
            unsafe { libc::_exit(1) }
        };
        let thread = std::thread::Builder::new().name("keeper".into()).spawn(watch);
        thread.map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(keeper)
    }

    /// Ends all processes of the sandbox but this one, where the kernel does not do it at the end of this one.
    fn end_all(&self) {
        if let Some(proc) = &self.proc {
            end_orphans(proc.as_fd(), &|_| false);
        }
    }
}

fn lost(error: std::io::Error) -> String {
    format!("cannot talk to the caller: {error}")
}

fn not_registered(error: std::io::Error) -> String {
    format!("cannot register native programs: {error}")
}

/// Installs the seccomp filter and hands its listener to the caller, whose supervisor answers it.
fn install_filter(socket: &mut UnixStream, supervised: Supervised) -> Result<(), String> {
    // A kernel or container without seccomp only makes the scripts slower where there is nothing to supervise but sockets, so
    // the run goes on. The namespaces stay.
    let installed = match seccomp::install(supervised) {
        Err(_) if supervised.is_dispensable() => seccomp::install(Supervised::default()),
        result => result,
    };
    match installed {
        Ok(listener) => supervisor::hand_over(socket, listener).map_err(lost),
        Err(error) if supervised.is_dispensable() => {
            let _ = writeln!(std::io::stderr(), "rootstrap: fsync is not suppressed: {error}");
            supervisor::hand_over(socket, None).map_err(lost)
        }
        Err(error) => Err(format!("cannot supervise package scripts by seccomp: {error}")),
    }
}

/// Runs one command to its end. The words are: the number of arguments, the arguments, then the environment as
/// `NAME=value`.
fn run(words: &[String], mode: Mode, keeper: &Keeper, victim: &Victim) -> Result<ExitStatus, String> {
    let malformed = || "malformed command".to_owned();
    let (count, rest) = words.split_first().ok_or_else(malformed)?;
    let count = count.parse::<usize>().map_err(|_| malformed())?;
    let (arguments, environment) = rest.split_at_checked(count).ok_or_else(malformed)?;
    let (program, arguments) = arguments.split_first().ok_or_else(malformed)?;
    let environment = environment.iter().filter_map(|pair| pair.split_once('='));
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment).stdin(Stdio::null());
    // SAFETY: prctl is async-signal-safe, and nothing else happens between fork and exec.
    unsafe { command.pre_exec(move || drop_capabilities(mode)) };
    if mode == Mode::Chroot {
        // The end kills groups, and must not kill this process with them.
        command.process_group(0);
    }
    let starting = keeper.starting.lock();
    let child = victim.of(|| command.spawn()).map_err(|error| not_started(program, &error))?;
    drop(starting);
    let wanted = process::Pid::from_child(&child);
    // Process 1 inherits every orphan, so it reaps whatever ends until the command itself does.
    loop {
        match process::wait(process::WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == wanted => return Ok(ExitStatus::from_raw(status.as_raw())),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(format!("cannot wait for {program}: {errno}")),
        }
    }
}

/// Says why a program cannot be started. The kernel reports the absence of a script's interpreter, or of the loader that a program names,
/// as that of the script or program itself (execve(2)).
fn not_started(program: &str, error: &std::io::Error) -> String {
    let mut head = Vec::new();
    // A script may have put a pipe there since then, which must not be waited for.
    let open = || File::options().read(true).custom_flags(libc::O_NONBLOCK).open(program);
    let is_there = error.kind() == std::io::ErrorKind::NotFound
        && open().is_ok_and(|file| file.take(256).read_to_end(&mut head).is_ok());
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let interpreter = line.strip_prefix(b"#!").map(String::from_utf8_lossy);
    let interpreter = interpreter.as_ref().and_then(|line| line.split_whitespace().next());
    let reason = match interpreter {
        _ if !is_there => error.to_string(),
        Some(name) if Path::new(name).exists() => {
            format!("its interpreter {name} names a loader that is not in the root")
        }
        Some(name) => format!("its interpreter {name} is not in the root"),
        None => "it names a loader that is not in the root".to_owned(),
    };
    format!("cannot start {program}: {reason}")
}

/// Has the kernel choose commands, and not this process or programs of the user, when memory runs out.
///
/// A command inherits the score of the process that starts it, and its /proc is read-only. So this process raises its own score while it
/// starts one. Everybody may raise a score, and lower it again to what it was (proc_pid_oom_score_adj(5)).
struct Victim(Option<File>);

impl Victim {
    /// Opens the score of this process. Call it while /proc can still be written.
    fn open() -> Self {
        Self(File::options().read(true).write(true).open("/proc/self/oom_score_adj").ok())
    }

    /// Calls `start` while this process has the highest score. If the score cannot be changed, the kernel chooses by size alone.
    fn of<T>(&self, start: impl FnOnce() -> T) -> T {
        let mut old = [0; 8];
        let length = self.0.as_ref().and_then(|score| score.read_at(&mut old, 0).ok());
        let write = |text: &[u8]| self.0.as_ref().map(|score| score.write_at(text, 0));
        if length.is_some() {
            write(b"1000");
        }
        let started = start();
        if let Some(old) = length.and_then(|length| old.get(..length)) {
            write(old);
        }
        started
    }
}

/// `CAP_MKNOD`. Scripts have it in mode root only: there the root is mounted `nodev`, so they cannot open the nodes that
/// they make. In the other modes the supervisor makes the nodes.
const MKNOD: u32 = 27;

/// What scripts may do as root: own, read and change files of any owner, switch users, and send signals. They may not
/// mount, load modules, change the root, trace processes, or administer the kernel.
///
/// Process 1 keeps more capabilities than they have. That also bars them from its `/proc/1/exe`, which is the host's own
/// file (ptrace(2), "access mode checking").
const CAPABILITIES: [u32; 11] = [
    0,  // CAP_CHOWN
    1,  // CAP_DAC_OVERRIDE
    3,  // CAP_FOWNER
    4,  // CAP_FSETID
    5,  // CAP_KILL
    6,  // CAP_SETGID
    7,  // CAP_SETUID
    8,  // CAP_SETPCAP
    10, // CAP_NET_BIND_SERVICE
    29, // CAP_AUDIT_WRITE
    31, // CAP_SETFCAP
];

/// Drops all other capabilities from the bounding set. At the exec that follows, root gains only those that are left in
/// that set.
pub(crate) fn drop_capabilities(mode: Mode) -> std::io::Result<()> {
    let is_kept = |number: &u32| CAPABILITIES.contains(number) || (mode == Mode::Root && *number == MKNOD);
    for capability in (0..64).filter(|number| !is_kept(number)) {
        // SAFETY: the call takes numbers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) } != 0 {
            let error = std::io::Error::last_os_error();
            // EINVAL: this number is past the last capability that the kernel knows.
            return if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

/// Brings up 127.0.0.1, because some packages talk to themselves there. It is the only network interface. A failure is
/// harmless.
pub(crate) fn raise_loopback() {
    let Ok(socket) = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None) else {
        return;
    };
    // SAFETY: an all-zero ifreq is valid; the name is shorter than the field, and the ioctl only reads it.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
            *slot = libc::c_char::from_ne_bytes([*byte]);
        }
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
        libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCSIFFLAGS, &raw const request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let said = |content: Option<&[u8]>, error: std::io::ErrorKind| {
            let path = dir.path().join("program");
            let _ = std::fs::remove_file(&path);
            content.inspect(|content| std::fs::write(&path, content).unwrap());
            let text = not_started(path.to_str().unwrap(), &error.into());
            text.strip_prefix(&format!("cannot start {}: ", path.display())).unwrap().to_owned()
        };
        let missing = std::io::ErrorKind::NotFound;
        assert_eq!(
            said(Some(b"#! /bin/missing -e\nexit\n"), missing),
            "its interpreter /bin/missing is not in the root"
        );
        assert_eq!(
            said(Some(b"#!/proc/self/exe\n"), missing),
            "its interpreter /proc/self/exe names a loader that is not in the root"
        );
        assert_eq!(said(Some(b"\x7fELF\xff"), missing), "it names a loader that is not in the root");
        assert_eq!(said(None, missing), "entity not found");
        assert_eq!(said(Some(b"#!/bin/missing\n"), std::io::ErrorKind::PermissionDenied), "permission denied");
    }
}
