//! The outside of the sandbox: starts it, sends it commands, and reads what they print.

use crate::emulator::{self, Emulator};
use crate::error::Error;
use crate::privilege::{Mode, end_orphans};
use crate::{init, supervisor, wire};
use rootstrap_rootfs::FakeOwnership;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// How many lines of output an error message shows.
pub(crate) const TAIL: usize = 12;

/// A line of so many bytes is passed on even if it has no end yet.
const LONGEST_LINE: usize = 1 << 16;

/// The environment of every program that runs in a root, except `SOURCE_DATE_EPOCH`.
pub const ENVIRONMENT: [(&str, &str); 11] = [
    ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("SHELL", "/bin/sh"),
    ("TERM", "dumb"),
    ("TZ", "UTC"),
    ("LANG", "C.UTF-8"),
    ("LC_ALL", "C.UTF-8"),
    ("DEBIAN_FRONTEND", "noninteractive"),
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
    /// The caller sets it to end a running command.
    pub cancel: Arc<AtomicBool>,
}

/// Namespaces with the staging root as `/`. They end when the value is dropped.
///
/// The kernel kills the sandbox when the thread that started it ends, so start it on the main thread.
pub struct Sandbox {
    child: Child,
    socket: UnixStream,
    output: PipeReader,
    environment: Vec<String>,
    cancel: Arc<AtomicBool>,
    mode: Mode,
    supervisor: Option<JoinHandle<()>>,
    /// Output since the last end of a line.
    unfinished: Vec<u8>,
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
        let (socket, theirs) = UnixStream::pair().map_err(Error::Lost)?;
        let (output, writer) = io::pipe().map_err(Error::Lost)?;
        let mut command = Command::new("/proc/self/exe");
        let mode = match options.mode {
            // With an emulator, the sandbox is in a user namespace of its own even for real root.
            Mode::Root if !options.emulators.is_empty() => Mode::Unshare,
            mode => mode,
        };
        command.arg(init::OUTER).arg(mode.name()).arg(&options.root).args(emulator::to_words(&options.emulators));
        // The working directory names the staging directory: no path leads to a mount that is mounted nowhere, and the
        // working directory is the only descriptor that the kernel moves into a new mount namespace.
        command.env_clear().current_dir(format!("/proc/self/fd/{}", options.staging.as_raw_fd()));
        command.stdin(OwnedFd::from(theirs));
        command.stdout(Stdio::from(writer.try_clone().map_err(Error::Lost)?)).stderr(Stdio::from(writer));
        init::die_with_parent(&mut command);
        // Processes of the sandbox that outlive their parents become ours to wait for.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|errno| Error::Lost(errno.into()))?;
        let child = command.spawn().map_err(|error| Error::Sandbox(format!("cannot start a process: {error}")))?;
        drop(command);
        let environment = environment(options);
        let cancel = Arc::clone(&options.cancel);
        let mut sandbox =
            Self { child, socket, output, environment, cancel, mode, supervisor: None, unfinished: Vec::new() };
        match sandbox.answer(&mut |_| {}, &mut VecDeque::new())?.as_slice() {
            [ready] if ready == "ready" => {
                let listener = supervisor::take_over(&sandbox.socket).map_err(Error::Lost)?;
                sandbox.supervisor = listener
                    .map(|listener| {
                        let init = sandbox.child.id();
                        supervisor::start(listener, Arc::clone(&options.fake_ownership), mode != Mode::Chroot, init)
                    })
                    .transpose()
                    .map_err(Error::Lost)?;
                Ok(sandbox)
            }
            [_, reason] => Err(Error::Sandbox(reason.clone())),
            _ => Err(Error::Sandbox("it gave no sensible answer".into())),
        }
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
        let mut tail = VecDeque::new();
        let answer = self.answer(line, &mut tail)?;
        match answer.as_slice() {
            [done, status] if done == "done" => {
                let raw = status.parse().map_err(|_| Error::Lost(io::ErrorKind::InvalidData.into()))?;
                Ok(Exit { status: ExitStatus::from_raw(raw), tail: tail.into() })
            }
            [_, reason] => Err(Error::Start(reason.clone())),
            _ => Err(Error::Lost(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Passes output on line by line until the sandbox answers. `tail` receives the last lines.
    fn answer(&mut self, line: &mut dyn FnMut(&str), tail: &mut VecDeque<String>) -> Result<Vec<String>, Error> {
        let mut take = |text: String| {
            line(&text);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(text);
        };
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            let mut ready = [PollFd::new(&self.output, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
            let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            match poll(&mut ready, Some(&moment)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Error::Lost(errno.into())),
            }
            let (output, socket) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
            // Read the output before the answer, because a command may print until it ends.
            if output && read_lines(&mut self.output, &mut self.unfinished, &mut take).map_err(Error::Lost)? {
                continue;
            }
            if socket {
                if !self.unfinished.is_empty() {
                    take(printable(&std::mem::take(&mut self.unfinished)));
                }
                let answer = wire::receive(&mut self.socket).map_err(Error::Lost)?;
                let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ended unexpectedly");
                return answer.ok_or_else(|| Error::Lost(gone()));
            }
        }
    }
}

/// Replaces control characters, so that what a script prints cannot control the terminal that shows it.
fn printable(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    line.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Reads once what is there, and passes on each line that is complete. Returns `false` at the end of the stream.
fn read_lines(output: &mut PipeReader, unfinished: &mut Vec<u8>, take: &mut dyn FnMut(String)) -> io::Result<bool> {
    let mut buffer = [0; 1 << 16];
    let count = match output.read(&mut buffer) {
        Ok(0) => return Ok(false),
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
        Err(error) => return Err(error),
    };
    for &byte in buffer.get(..count).unwrap_or_default() {
        // A progress bar overwrites its line with CR; each state of it counts as a line.
        if matches!(byte, b'\n' | b'\r') {
            if !unfinished.is_empty() {
                take(printable(&std::mem::take(unfinished)));
            }
        } else {
            unfinished.push(byte);
            if unfinished.len() == LONGEST_LINE {
                take(printable(&std::mem::take(unfinished)));
            }
        }
    }
    Ok(true)
}

impl Drop for Sandbox {
    /// Ends every process of the sandbox and waits until they are gone.
    fn drop(&mut self) {
        let ended = !self.cancel.load(Ordering::Relaxed)
            && self.socket.shutdown(std::net::Shutdown::Write).is_ok()
            && matches!(wire::receive(&mut self.socket), Ok(None));
        if !ended {
            let _ = self.child.kill();
            // A process 1 that could not ask in time to be killed with its parent sees its socket close.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
        }
        let _ = self.child.wait();
        if self.mode == Mode::Chroot {
            end_orphans(&[]);
        }
        // Process 1 of the sandbox is our child after its parent's end. The kernel reports its end only after the last
        // process of the sandbox is gone, so after this nobody writes to the tree any more.
        while let Ok(Some(_)) | Err(rustix::io::Errno::INTR) =
            rustix::process::wait(rustix::process::WaitOptions::empty())
        {}
        // The supervisor's thread ends with the last process of the sandbox.
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
    }
}
