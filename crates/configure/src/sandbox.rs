//! The outside of the sandbox: starts it, sends it commands, and reads what they print.

use crate::emulator::{self, Emulator};
use crate::error::Error;
use crate::output::{LastLines, Splitter, turned_to};
use crate::privilege::{Mode, children_of, end_orphans, open_proc};
use crate::{init, supervisor, wire};
use rootstrap_rootfs::FakeOwnership;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, AtFlags, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The environment of every program that runs in a root, except `SOURCE_DATE_EPOCH`.
pub const ENVIRONMENT: [(&str, &str); 11] = [
    ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("SHELL", "/bin/sh"),
    ("TERM", "dumb"),
    ("LANG", "C.UTF-8"),
    ("LC_ALL", "C.UTF-8"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    // TeX writes the date into formats; with this it takes SOURCE_DATE_EPOCH (pdftex manual, "FORCE_SOURCE_DATE").
    ("FORCE_SOURCE_DATE", "1"),
    ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
];

/// How to start a sandbox.
pub struct Options {
    /// The mode in which this process runs.
    pub mode: Mode,
    /// The directory that holds the staging root: one of the host's, or the top of a mount that is mounted nowhere.
    pub staging: OwnedFd,
    /// The name of the staging root in `staging`.
    pub root: OsString,
    /// `SOURCE_DATE_EPOCH`: the time that scripts write into files, in seconds since 1970.
    pub epoch: i64,
    /// Variables beside [`ENVIRONMENT`], which one distribution's scripts or their emulator need.
    pub environment: Vec<(String, String)>,
    /// Records the owners and device nodes that scripts set and the filesystem cannot hold.
    pub fake_ownership: Arc<FakeOwnership>,
    /// The emulators that run the root's programs, where the kernel cannot run them itself.
    pub emulators: Vec<Emulator>,
    /// The directory of native programs for the root ([`native::complete`](crate::native::complete)), absolute or relative to `staging`.
    /// They count only beside `emulators`.
    pub native: Option<PathBuf>,
    /// Whether its programs may use the network of the machine.
    pub has_network: bool,
    /// How long a command may take; of a command of dpkg, each package's part.
    pub timeout: Option<Duration>,
    /// The caller sets it to end a running command.
    pub cancel: Arc<AtomicBool>,
}

/// Namespaces with the staging root as `/`. They end when the value is dropped.
///
/// The kernel kills the sandbox when the thread that started it ends, so that thread has to live as long as the value.
pub struct Sandbox {
    child: Child,
    /// Process 1 of the sandbox, unless that is `child` itself.
    first: Option<OwnedFd>,
    socket: UnixStream,
    output: PipeReader,
    lines: Splitter,
    environment: Vec<String>,
    has_native: bool,
    timeout: Option<Duration>,
    cancel: Arc<AtomicBool>,
    mode: Mode,
    /// Device and inode of the root.
    tree: Option<(u64, u64)>,
    supervisor: Option<JoinHandle<()>>,
    /// Tells the supervisor that the sandbox is being ended.
    is_ending: Arc<AtomicBool>,
}

/// How a command ended.
pub struct Exit {
    /// The exit status.
    pub status: ExitStatus,
    /// The last lines that it printed.
    pub tail: Vec<String>,
}

impl Exit {
    /// Returns `Ok` for status 0, else the failure of `action`. `action` completes "cannot …".
    ///
    /// # Errors
    /// The command did not end with status 0.
    pub fn check(self, action: impl FnOnce() -> String) -> Result<(), Error> {
        if self.status.success() {
            return Ok(());
        }
        Err(Error::Failed { action: action(), status: describe(self.status), tail: self.tail })
    }
}

/// Returns the whole environment of the commands, as `NAME=value`.
fn environment(options: &Options) -> Vec<String> {
    let mut environment: Vec<String> = ENVIRONMENT.iter().map(|(name, value)| format!("{name}={value}")).collect();
    environment.push(format!("SOURCE_DATE_EPOCH={}", options.epoch));
    environment.extend(options.environment.iter().map(|(name, value)| format!("{name}={value}")));
    environment
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

impl Sandbox {
    /// Starts a sandbox by running this same binary again; its `main` must call [`crate::enter_if_asked`] first.
    ///
    /// # Errors
    /// The kernel refuses a namespace or a mount.
    pub fn start(options: &Options) -> Result<Self, Error> {
        // Whether the kernel allows a fresh /proc shows only in the new namespaces.
        match Self::start_with(options, !options.emulators.is_empty()) {
            Err(Error::Sandbox(reason)) if reason == init::SHARES_PROC => Self::start_with(options, true),
            result => result,
        }
    }

    /// Starts a sandbox, in a user namespace of its own if `owns_users` is set.
    fn start_with(options: &Options, owns_users: bool) -> Result<Self, Error> {
        let (socket, theirs) = UnixStream::pair().map_err(Error::Lost)?;
        let (output, writer) = io::pipe().map_err(Error::Lost)?;
        let mut command = Command::new("/proc/self/exe");
        let mode = match options.mode {
            // In a user namespace of its own, nobody is real root.
            Mode::Root if owns_users => Mode::Unshare,
            mode => mode,
        };
        let users = if owns_users { init::OWN_USERS } else { init::SAME_USERS };
        let network = if options.has_network { init::NETWORK } else { init::NO_NETWORK };
        command.arg(init::OUTER).args([mode.name(), users, network]);
        command.arg(options.native.as_deref().unwrap_or(Path::new(""))).arg(&options.root);
        command.args(emulator::to_words(&options.emulators));
        // The working directory names the staging directory: no path leads to a mount that is mounted nowhere, and the
        // working directory is the only descriptor that the kernel moves into a new mount namespace.
        command.env_clear().current_dir(format!("/proc/self/fd/{}", options.staging.as_raw_fd()));
        command.stdin(OwnedFd::from(theirs));
        command.stdout(Stdio::from(writer.try_clone().map_err(Error::Lost)?)).stderr(Stdio::from(writer));
        // Without a pid namespace, process 1 has to end all others before it ends, so it must not be killed.
        if mode != Mode::Chroot {
            init::die_with_parent(&mut command);
        }
        // Processes of a sandbox whose process 1 is killed become ours to end and to wait for.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|errno| Error::Lost(errno.into()))?;
        let child = command.spawn().map_err(|error| Error::Sandbox(format!("cannot start a process: {error}")))?;
        drop(command);
        let tree = fs::statat(&options.staging, &options.root, AtFlags::SYMLINK_NOFOLLOW).ok();
        let mut sandbox = Self {
            child,
            first: None,
            socket,
            output,
            lines: Splitter::default(),
            environment: environment(options),
            has_native: options.native.is_some() && !options.emulators.is_empty(),
            timeout: options.timeout,
            cancel: Arc::clone(&options.cancel),
            mode,
            tree: tree.map(|tree| (tree.st_dev, tree.st_ino)),
            supervisor: None,
            is_ending: Arc::default(),
        };
        match sandbox.answer(&mut |_| {})?.as_slice() {
            [ready] if ready == "ready" => {
                let listener = supervisor::take_over(&sandbox.socket).map_err(Error::Lost)?;
                sandbox.supervise(listener, &options.fake_ownership).map_err(Error::Lost)?;
                sandbox.register_native()?;
                Ok(sandbox)
            }
            [_, reason] => Err(Error::Sandbox(reason.clone())),
            _ => Err(Error::Sandbox("it gave no sensible answer".into())),
        }
    }

    /// Learns which process is process 1, and starts the thread that answers supervised calls.
    fn supervise(&mut self, listener: Option<OwnedFd>, fake_ownership: &Arc<FakeOwnership>) -> io::Result<()> {
        let mut network = None;
        if self.mode != Mode::Chroot
            && let Some((proc, first)) = first_process(&self.child)
        {
            self.first = pidfd_open(first, PidfdFlags::empty()).ok();
            let path = format!("{}/ns/net", first.as_raw_nonzero());
            network = fs::openat(&proc, path, OFlags::RDONLY | OFlags::CLOEXEC, fs::Mode::empty()).ok();
        }
        let has_proc = self.mode != Mode::Chroot;
        let fake_ownership = Arc::clone(fake_ownership);
        let is_ending = Arc::clone(&self.is_ending);
        let setting = supervisor::Setting { fake_ownership, has_proc, init: self.child.id(), network, is_ending };
        let start = |listener| supervisor::start(listener, setting);
        self.supervisor = listener.map(start).transpose()?;
        Ok(())
    }

    /// Runs one command to its end, and calls `line` for each line that it prints.
    ///
    /// # Errors
    /// The command cannot be started, the sandbox is gone, or the user asked to stop. A command that ends with another
    /// status than 0 is no error here; see [`Exit::check`].
    pub fn run(
        &mut self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        line: &mut dyn FnMut(&str),
    ) -> Result<Exit, Error> {
        let count = arguments.len().to_string();
        let extra: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut words = vec![count.as_str()];
        words.extend(arguments);
        words.extend(self.environment.iter().chain(&extra).map(String::as_str));
        wire::send(&mut self.socket, &words).map_err(Error::Lost)?;
        let mut last = LastLines::default();
        let answer = self.answer(&mut |text| {
            line(text);
            last.push(text);
        });
        let answer = match answer {
            Err(Error::TimedOut { what, seconds, .. }) => {
                // Process 1 watches for this, and ends with all that is in the sandbox.
                let _ = self.socket.shutdown(std::net::Shutdown::Both);
                let what = if what.is_empty() { arguments.join(" ") } else { what };
                return Err(Error::TimedOut { what, seconds, tail: last.into() });
            }
            answer => answer?,
        };
        match answer.as_slice() {
            [done, status] if done == "done" => {
                let raw = status.parse().map_err(|_| Error::Lost(io::ErrorKind::InvalidData.into()))?;
                Ok(Exit { status: ExitStatus::from_raw(raw), tail: last.into() })
            }
            [_, reason] => Err(Error::Start(reason.clone())),
            _ => Err(Error::Lost(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Has native programs take the place of those that are in the root by now ([`Options::native`]). Does nothing in a sandbox without them.
    ///
    /// # Errors
    /// The kernel refuses a handler, the sandbox is gone, or the user asked to stop.
    pub fn register_native(&mut self) -> Result<(), Error> {
        if !self.has_native {
            return Ok(());
        }
        wire::send(&mut self.socket, &[init::REGISTER]).map_err(Error::Lost)?;
        match self.answer(&mut |_| ())?.as_slice() {
            [done, _] if done == "done" => Ok(()),
            [_, reason] => Err(Error::Sandbox(reason.clone())),
            _ => Err(Error::Lost(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Passes output on line by line until the sandbox answers.
    fn answer(&mut self, take: &mut dyn FnMut(&str)) -> Result<Vec<String>, Error> {
        let mut is_open = true;
        // When dpkg turned to the present package, and that package.
        let progress = RefCell::new((Instant::now(), String::new()));
        let mut take = |line: &str| {
            if let Some(name) = turned_to(line) {
                *progress.borrow_mut() = (Instant::now(), format!("the scripts of {name}"));
            }
            take(line);
        };
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            if let Some(limit) = self.timeout.filter(|limit| progress.borrow().0.elapsed() > *limit) {
                return Err(Error::TimedOut {
                    what: progress.into_inner().1,
                    seconds: limit.as_secs(),
                    tail: Vec::new(),
                });
            }
            let awaited = if is_open { PollFlags::IN } else { PollFlags::empty() };
            let mut ready = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&self.output, awaited)];
            let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            match poll(&mut ready, Some(&moment)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::Lost(errno.into())),
            }
            let (socket, output) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
            if socket {
                return self.finish(&mut take);
            }
            if output && is_open {
                is_open = self.lines.read(&mut self.output, usize::MAX, &mut take).map_err(Error::Lost)? > 0;
            }
        }
    }

    /// Receives the answer, after all output that was there before it: a command may print until it ends. What processes
    /// that outlive the command print from now on is read during the next command.
    fn finish(&mut self, take: &mut dyn FnMut(&str)) -> Result<Vec<String>, Error> {
        let waiting = rustix::io::ioctl_fionread(&self.output).map_err(|errno| Error::Lost(errno.into()))?;
        let mut left = usize::try_from(waiting).unwrap_or(0);
        while left > 0 {
            match self.lines.read(&mut self.output, left, take).map_err(Error::Lost)? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        self.lines.finish(take);
        let answer = wire::receive(&mut self.socket).map_err(Error::Lost)?;
        let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ended unexpectedly");
        answer.ok_or_else(|| Error::Lost(gone()))
    }
}

impl Drop for Sandbox {
    /// Ends every process of the sandbox and waits until they are gone, so that nobody writes to the tree any more. Other
    /// children of this process are left alone.
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        let ended = !self.cancel.load(Ordering::Relaxed)
            && self.socket.shutdown(std::net::Shutdown::Write).is_ok()
            && matches!(wire::receive(&mut self.socket), Ok(None));
        if !ended {
            // Process 1 watches for this, and ends with all that is in the sandbox.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
        }
        let _ = self.child.wait();
        // If somebody killed our child, process 1 of the sandbox is our child now. The kernel reports its end only after the
        // last process of the sandbox is gone. Otherwise this fails at once.
        if let Some(first) = &self.first {
            let options = WaitIdOptions::EXITED;
            while let Err(Errno::INTR) = waitid(WaitId::PidFd(first.as_fd()), options) {}
        }
        if self.mode == Mode::Chroot {
            self.end_strays();
        }
        // The supervisor's thread ends with the last process of the sandbox.
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
    }
}

impl Sandbox {
    /// Ends the processes that a killed process 1 left to this process. They are known by their root.
    fn end_strays(&self) {
        let Ok(proc) = open_proc() else { return };
        end_orphans(proc.as_fd(), &|pid| {
            let root = fs::statat(&proc, format!("{}/root", pid.as_raw_nonzero()), AtFlags::empty());
            root.map(|root| (root.st_dev, root.st_ino)).ok() != self.tree
        });
    }
}

/// Returns process 1 of the sandbox, the only child of `outer`, and the /proc that shows it.
fn first_process(outer: &Child) -> Option<(OwnedFd, Pid)> {
    let proc = open_proc().ok()?;
    let first = *children_of(proc.as_fd(), Pid::from_child(outer)).first()?;
    Some((proc, first))
}
