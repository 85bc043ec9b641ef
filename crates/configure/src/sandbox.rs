//! The outside of the sandbox: start it, send it commands, read what they print.

use crate::privilege::{self, Mode};
use crate::{Emulator, Error, emulator, init, supervisor, wire};
use rootstrap_rootfs::Aside;
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

/// Lines of output kept for an error message.
const TAIL: usize = 12;

/// Bytes after which a line counts as one, whether it has an end or not.
const LONGEST_LINE: usize = 1 << 16;

/// The environment of everything that runs in a root, beside `SOURCE_DATE_EPOCH`.
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
    /// The directory in which the staging root is: one of the host's, or the top of a mount that has no place there.
    pub staging: OwnedFd,
    /// The staging root's name in it.
    pub root: OsString,
    /// The time scripts shall take for now (`SOURCE_DATE_EPOCH`), seconds since 1970.
    pub epoch: i64,
    /// The environment beyond the fixed one, for scripts of one distribution or their emulator.
    pub environment: Vec<(String, String)>,
    /// What the filesystem cannot hold: the scripts' changes of owners and their device nodes go there.
    pub aside: Arc<Aside>,
    /// What runs the root's programs, where the kernel cannot by itself.
    pub emulators: Vec<Emulator>,
    /// Set from outside to make a running command end.
    pub cancel: Arc<AtomicBool>,
}

/// Namespaces with the staging root as `/`, alive until dropped.
///
/// The kernel ends it with the thread that started it, so it belongs on the main thread.
pub struct Sandbox {
    child: Child,
    socket: UnixStream,
    output: PipeReader,
    environment: Vec<String>,
    cancel: Arc<AtomicBool>,
    mode: Mode,
    supervisor: Option<JoinHandle<()>>,
    unfinished: Vec<u8>,
}

/// How a command ended.
pub struct Exit {
    /// Its status.
    pub status: ExitStatus,
    /// Its last lines.
    pub tail: Vec<String>,
}

impl Exit {
    /// `Ok` for success, else the failure of `action`, which completes "cannot …".
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

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

impl Sandbox {
    /// Starts a sandbox by running this same binary again; see [`crate::enter_if_asked`].
    ///
    /// # Errors
    /// The kernel refuses a namespace or a mount.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let (socket, theirs) = UnixStream::pair().map_err(Error::Lost)?;
        let (output, writer) = io::pipe().map_err(Error::Lost)?;
        let mut command = Command::new("/proc/self/exe");
        let mode = match privilege::held() {
            // With an emulator of its own the sandbox is in a user namespace, whoever started it.
            Mode::Root if !options.emulators.is_empty() => Mode::Unshare,
            held => held,
        };
        command.arg(init::OUTER).arg(mode.name()).arg(&options.root).args(emulator::to_words(&options.emulators));
        // A path would not lead to a mount that has no place; and of all descriptors the kernel takes only the working
        // directory along into a new mount namespace.
        command.env_clear().current_dir(format!("/proc/self/fd/{}", options.staging.as_raw_fd()));
        command.stdin(OwnedFd::from(theirs));
        command.stdout(Stdio::from(writer.try_clone().map_err(Error::Lost)?)).stderr(Stdio::from(writer));
        init::die_with_parent(&mut command);
        // Whatever outlives its parents in there becomes ours to wait for.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|errno| Error::Lost(errno.into()))?;
        let child = command.spawn().map_err(|error| Error::Sandbox(format!("cannot start a process: {error}")))?;
        drop(command);
        let mut environment: Vec<String> = ENVIRONMENT.iter().map(|(name, value)| format!("{name}={value}")).collect();
        environment.push(format!("SOURCE_DATE_EPOCH={}", options.epoch));
        environment.extend(options.environment.iter().map(|(name, value)| format!("{name}={value}")));
        let cancel = Arc::clone(&options.cancel);
        let mut sandbox =
            Self { child, socket, output, environment, cancel, mode, supervisor: None, unfinished: Vec::new() };
        match sandbox.answer(&mut |_| {}, &mut VecDeque::new())?.as_slice() {
            [ready] if ready == "ready" => {
                let listener = supervisor::take_over(&sandbox.socket).map_err(Error::Lost)?;
                sandbox.supervisor = listener
                    .map(|listener| {
                        let init = sandbox.child.id();
                        supervisor::start(listener, Arc::clone(&options.aside), mode != Mode::Chroot, init)
                    })
                    .transpose()
                    .map_err(Error::Lost)?;
                Ok(sandbox)
            }
            [_, reason] => Err(Error::Sandbox(reason.clone())),
            _ => Err(Error::Sandbox("it gave no sensible answer".into())),
        }
    }

    /// Runs one command to its end, calling `line` for each line it prints.
    ///
    /// # Errors
    /// It cannot be started, the sandbox is gone, or the user asked to stop. A command that fails is no error here.
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

    /// Passes output on until the sandbox answers.
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
            // Output first: what a command printed before it ended belongs to it.
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

/// A line as it may be shown: what a script prints must not steer the terminal it ends up on.
fn printable(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    line.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Reads once what is there; `false` at the end of the stream.
fn read_lines(output: &mut PipeReader, unfinished: &mut Vec<u8>, take: &mut dyn FnMut(String)) -> io::Result<bool> {
    let mut buffer = [0; 1 << 16];
    let count = match output.read(&mut buffer) {
        Ok(0) => return Ok(false),
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
        Err(error) => return Err(error),
    };
    for &byte in buffer.get(..count).unwrap_or_default() {
        // Progress bars overwrite their line; each state counts as one.
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
        let polite = !self.cancel.load(Ordering::Relaxed)
            && self.socket.shutdown(std::net::Shutdown::Write).is_ok()
            && matches!(wire::receive(&mut self.socket), Ok(None));
        if !polite {
            let _ = self.child.kill();
            // A process 1 whose parent was gone before it could ask to be killed with it hears this.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
        }
        let _ = self.child.wait();
        if self.mode == Mode::Chroot {
            privilege::end_orphans(&[]);
        }
        // Process 1 of the sandbox, orphaned by that, can be waited for only when its last process is gone: nobody
        // writes to the tree any more.
        while let Ok(Some(_)) | Err(rustix::io::Errno::INTR) =
            rustix::process::wait(rustix::process::WaitOptions::empty())
        {}
        // It ends with the last process of the sandbox.
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
    }
}
