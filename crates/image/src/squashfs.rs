//! A tree as a squashfs image: a program of this machine makes the image from a tar stream that this crate writes.
//!
//! The program never sees the tree, because only the stream has the owners and device nodes that an unprivileged user cannot
//! create. `tar2sqfs` (squashfs-tools-ng) is preferred, because it takes everything about / from the stream. `sqfstar`
//! (squashfs-tools 4.5) takes the mode of / from an option, always uses the epoch as its time and root as its owner. Each
//! program makes the same bytes from the same tree on any number of cores. Images of the two programs differ in layout and
//! compression, as do images of different versions of a program or of its zstd.

use crate::stoppable::StoppableWriter;
use crate::{Error, Result, entries, tar};
use rootstrap_rootfs::{Attributes, Root};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Access, MemfdFlags};
use rustix::process::{Pid, PidfdFlags};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// How an image is made.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// What the image holds. The compression in here has no effect: the image is always compressed with zstd.
    pub tar: tar::Options<'o>,
    /// The directories to search for a program, in this order.
    pub programs: &'o [PathBuf],
    /// Another thread sets this flag to stop. The program is killed then.
    pub cancel: &'o AtomicBool,
}

/// What an image holds: the number of entries, and the length of the tar stream.
pub type Written = tar::Written;

/// Writes `root` as an image to `file`, an open regular file. It may be without a name and open for writing only. After an
/// error the file is empty.
///
/// # Errors
/// This machine has no program that makes squashfs images, the program fails, the tree cannot be read, or `cancel` was set.
pub fn write(root: &Root, file: &File, options: &Options<'_>) -> Result<Written> {
    write_with_jobs(root, file, options, None)
}

const FORMAT: &str = "a squashfs image";

/// A kind of program that makes an image from a tar stream on its standard input.
struct Tool {
    name: &'static str,
    /// Returns all arguments except the name of the image, from the attributes of / and the number of threads.
    arguments: fn(&Attributes, jobs: Option<usize>) -> Vec<String>,
}

/// The known tools, the preferred one first.
const TOOLS: [Tool; 2] =
    [Tool { name: "tar2sqfs", arguments: tar2sqfs_arguments }, Tool { name: "sqfstar", arguments: sqfstar_arguments }];

fn tar2sqfs_arguments(_: &Attributes, jobs: Option<usize>) -> Vec<String> {
    // `--no-skip`: an entry that tar2sqfs cannot handle is an error. `--no-symlink-retarget`: links keep their text. `--force`:
    // the file exists already. SOURCE_DATE_EPOCH sets the time of the image.
    let mut arguments = split_words("--quiet --force --no-skip --no-symlink-retarget --compressor zstd");
    arguments.extend(jobs.into_iter().flat_map(|jobs| split_words(&format!("--num-jobs {jobs}"))));
    arguments
}

fn sqfstar_arguments(root: &Attributes, jobs: Option<usize>) -> Vec<String> {
    // SOURCE_DATE_EPOCH sets the times of the image and of /, which would be the current time otherwise. sqfstar refuses
    // options for times when that variable is set.
    let options = format!("-quiet -no-progress -force -exit-on-error -comp zstd -root-mode {:o}", root.mode);
    let mut arguments = split_words(&options);
    arguments.extend(jobs.into_iter().flat_map(|jobs| split_words(&format!("-processors {jobs}"))));
    arguments
}

fn split_words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Does what [`write()`] does, with `jobs` threads. `None` leaves the number to the program.
fn write_with_jobs(root: &Root, file: &File, options: &Options<'_>, jobs: Option<usize>) -> Result<Written> {
    let program = Program::find(options.programs)?;
    let result = program.run(root, file, options, jobs);
    let result = if options.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { result };
    if result.is_err() {
        // A file with a part of an image could be taken for an image.
        let _ = file.set_len(0);
    }
    result
}

/// A tool that this machine has.
struct Program {
    tool: &'static Tool,
    path: PathBuf,
}

impl Program {
    /// Finds the preferred tool. `directories` are searched for one tool after the other.
    fn find(directories: &[PathBuf]) -> Result<Self> {
        for tool in &TOOLS {
            let mut paths = directories.iter().map(|directory| directory.join(tool.name));
            if let Some(path) = paths.find(|path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()) {
                return Ok(Self { tool, path });
            }
        }
        let programs = TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>().join(" nor ");
        Err(Error::NoProgram {
            format: FORMAT,
            programs,
            hint: "install squashfs-tools-ng, or squashfs-tools 4.5 or newer",
        })
    }

    fn run(&self, root: &Root, file: &File, options: &Options<'_>, jobs: Option<usize>) -> Result<Written> {
        let cannot_start = |source: io::Error| Error::Start { program: self.path.clone(), source };
        let attributes = root_attributes(root, &options.tar, self.tool)?;
        // The child inherits this descriptor. A file without a name has no other path than this one in /proc.
        let image = rustix::io::dup(file).map_err(|errno| cannot_start(errno.into()))?;
        // A memory file and not a pipe: no thread has to empty it while the program runs.
        let mut stderr = rustix::fs::memfd_create("stderr", MemfdFlags::CLOEXEC)
            .map(File::from)
            .map_err(|errno| cannot_start(errno.into()))?;
        let mut command = Command::new(&self.path);
        command
            .args((self.tool.arguments)(&attributes, jobs))
            .arg(format!("/proc/self/fd/{}", image.as_raw_fd()))
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("SOURCE_DATE_EPOCH", options.tar.epoch.max(0).to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(stderr.try_clone().map_err(cannot_start)?);
        let mut child = command.spawn().map_err(cannot_start)?;
        drop(image);
        let stdin = child.stdin.take().ok_or_else(|| cannot_start(io::ErrorKind::BrokenPipe.into()))?;
        // The buffer is as large as a pipe (pipe(7)).
        let mut stream = BufWriter::with_capacity(65536, StoppableWriter { inner: stdin, cancel: options.cancel });
        let result = tar::stream(root, &mut stream, &options.tar);
        if !matches!(&result, Ok(_) | Err(Error::Write(_))) {
            // The tree could not be read, so the stream is incomplete. The program must not see its end.
            let _ = child.kill();
        }
        drop(stream);
        let status = wait(&mut child, options.cancel).map_err(cannot_start)?;
        match result {
            // The program failed and stopped reading; the reason is on its standard error.
            Ok(_) | Err(Error::Write(_)) if !status.success() => Err(Error::ProgramFailed {
                format: FORMAT,
                program: self.tool.name,
                status: status.to_string(),
                last_lines: last_lines(&mut stderr),
            }),
            result => result,
        }
    }
}

/// Returns the attributes of / in the stream. Refuses what `sqfstar` would record differently from the stream.
fn root_attributes(root: &Root, options: &tar::Options<'_>, tool: &Tool) -> Result<Attributes> {
    let mut attributes = Attributes { mode: 0o755, uid: 0, gid: 0, mtime: options.epoch };
    entries::for_each(root, options, &mut |entry| {
        if entry.path.is_empty() {
            attributes = entry.attributes;
        }
        match tool.name {
            "sqfstar" if entry.path.is_empty() && (attributes.uid, attributes.gid) != (0, 0) => {
                Err(Error::unsupported(b"/", FORMAT, "sqfstar always makes root its owner; tar2sqfs keeps the owner"))
            }
            // sqfstar 4.5.1 removes the leading slash of a link in a PAX record, as it does for names.
            "sqfstar" if entry.target.len() > 100 && entry.target.starts_with(b"/") => Err(Error::unsupported(
                entry.path,
                FORMAT,
                "sqfstar changes absolute links of more than 100 bytes; tar2sqfs does not",
            )),
            _ => Ok(()),
        }
    })?;
    Ok(attributes)
}

/// Waits for the program to end, and kills it once `cancel` is set.
fn wait(child: &mut Child, cancel: &AtomicBool) -> io::Result<ExitStatus> {
    let handle = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty());
    let interval = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while let Ok(handle) = &handle
        && child.try_wait()?.is_none()
    {
        if cancel.load(Ordering::Relaxed) {
            child.kill()?;
        }
        let _ = rustix::event::poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&interval));
    }
    child.wait()
}

/// Returns the last lines that the program wrote to standard error.
fn last_lines(stderr: &mut File) -> Vec<String> {
    const LINES: usize = 8;
    const BYTES: u64 = 4096;
    let end = stderr.seek(io::SeekFrom::End(0)).unwrap_or(0);
    let mut bytes = Vec::new();
    let _ = stderr.seek(io::SeekFrom::Start(end.saturating_sub(BYTES)));
    let _ = stderr.take(BYTES).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
#[path = "squashfs_tests.rs"]
mod tests;
