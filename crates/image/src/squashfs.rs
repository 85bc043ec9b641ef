//! A tree as a squashfs image: our own tar stream, fed to a program of this machine that makes one of it.
//!
//! The tree is never shown to that program: owners and nodes that are kept aside are in the stream alone. `tar2sqfs`
//! (squashfs-tools-ng) is preferred: it takes all of / from the stream. `sqfstar` (squashfs-tools 4.5) takes its mode
//! from an option, its time can only be the epoch, and its owner root. Either makes the same bytes of the same tree on
//! any number of cores; the two, their versions and those of their zstd differ from each other in how they lay out
//! and compress.

use crate::error::go_on;
use crate::{Error, Result, entries, tar};
use rootstrap_rootfs::{Attributes, Root};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Access, MemfdFlags};
use rustix::process::{Pid, PidfdFlags};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// How an image is made.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// What goes in; its compression is not looked at, that of the image is zstd.
    pub tar: tar::Options<'o>,
    /// Where programs are looked for, in this order.
    pub programs: &'o [PathBuf],
    /// Set from outside to stop: the program is killed then.
    pub cancel: &'o AtomicBool,
}

/// What went into an image: its entries, and the length of the stream they came in.
pub type Written = tar::Written;

/// Writes `root` to `file`: an open regular file of ours, which may have no name and be open for writing only. On an
/// error it is empty.
///
/// # Errors
/// There is no program for it on this machine, it fails, the tree cannot be read, or `cancel` was set.
pub fn write(root: &Root, file: &File, options: &Options<'_>) -> Result<Written> {
    with_jobs(root, file, options, None)
}

const FORMAT: &str = "a squashfs image";

/// A program, and its arguments but for the image's name.
struct Maker {
    name: &'static str,
    arguments: fn(&Attributes, jobs: Option<usize>) -> Vec<String>,
}

/// The best first.
const MAKERS: [Maker; 2] =
    [Maker { name: "tar2sqfs", arguments: tar2sqfs }, Maker { name: "sqfstar", arguments: sqfstar }];

fn tar2sqfs(_: &Attributes, jobs: Option<usize>) -> Vec<String> {
    // No entry is skipped, links stay as they are, and an existing file is written to. The time of the image is that of
    // the environment.
    let mut arguments = words("--quiet --force --no-skip --no-symlink-retarget --compressor zstd");
    arguments.extend(jobs.into_iter().flat_map(|jobs| words(&format!("--num-jobs {jobs}"))));
    arguments
}

fn sqfstar(root: &Attributes, jobs: Option<usize>) -> Vec<String> {
    // The environment sets the time of the image, and of /, which would else be now. Together with an option for times
    // it is refused.
    let mode = format!("-quiet -no-progress -force -exit-on-error -comp zstd -root-mode {:o}", root.mode);
    let mut arguments = words(&mode);
    arguments.extend(jobs.into_iter().flat_map(|jobs| words(&format!("-processors {jobs}"))));
    arguments
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// [`write`] with `jobs` threads; the program's own choice for `None`.
fn with_jobs(root: &Root, file: &File, options: &Options<'_>, jobs: Option<usize>) -> Result<Written> {
    let (maker, program) = find(options.programs)?;
    let made = run(root, file, options, jobs, maker, &program);
    let made = if options.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { made };
    if made.is_err() {
        // Nothing may lie there that could be taken for an image.
        let _ = file.set_len(0);
    }
    made
}

fn find(directories: &[PathBuf]) -> Result<(&'static Maker, PathBuf)> {
    for maker in &MAKERS {
        let mut paths = directories.iter().map(|directory| directory.join(maker.name));
        if let Some(path) = paths.find(|path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()) {
            return Ok((maker, path));
        }
    }
    let makers = MAKERS.iter().map(|maker| maker.name).collect::<Vec<_>>().join(" nor ");
    Err(Error::NoMaker { format: FORMAT, makers, hint: "install squashfs-tools-ng, or squashfs-tools 4.5 or newer" })
}

fn run(
    root: &Root,
    file: &File,
    options: &Options<'_>,
    jobs: Option<usize>,
    maker: &Maker,
    program: &PathBuf,
) -> Result<Written> {
    let start = |source: io::Error| Error::Start { program: program.clone(), source };
    let top = top(root, &options.tar, maker)?;
    // Inherited: where the file has no name, this is one for the program that runs, and for nobody else.
    let image = rustix::io::dup(file).map_err(|errno| start(errno.into()))?;
    // Nobody has to read it while the program runs.
    let mut said =
        rustix::fs::memfd_create("stderr", MemfdFlags::CLOEXEC).map(File::from).map_err(|e| start(e.into()))?;
    let mut command = Command::new(program);
    command
        .args((maker.arguments)(&top, jobs))
        .arg(format!("/proc/self/fd/{}", image.as_raw_fd()))
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .env("SOURCE_DATE_EPOCH", options.tar.epoch.max(0).to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(said.try_clone().map_err(start)?);
    let mut child = command.spawn().map_err(start)?;
    drop(image);
    let stream = Stoppable { inner: child.stdin.take(), cancel: options.cancel };
    // As much as a pipe takes at once.
    let mut stream = BufWriter::with_capacity(65536, stream);
    let streamed = tar::stream(root, &mut stream, &options.tar);
    if !matches!(&streamed, Ok(_) | Err(Error::Write(_))) {
        // Killed before its input ends: what it has is no archive.
        let _ = child.kill();
    }
    drop(stream);
    let status = wait(&mut child, options.cancel).map_err(start)?;
    match streamed {
        // It stopped reading because it failed, and knows why.
        Ok(_) | Err(Error::Write(_)) if !status.success() => {
            Err(Error::Maker { format: FORMAT, program: maker.name, status: status.to_string(), tail: tail(&mut said) })
        }
        streamed => streamed,
    }
}

/// The attributes of /. For `sqfstar`, refuses what it would write otherwise than the stream has it.
fn top(root: &Root, options: &tar::Options<'_>, maker: &Maker) -> Result<Attributes> {
    let mut top = Attributes { mode: 0o755, uid: 0, gid: 0, mtime: options.epoch };
    entries::each(root, options, &mut |entry| {
        let unfit = |why| Err(Error::unfit(entry.path, FORMAT, why));
        if entry.path.is_empty() {
            top = entry.attributes;
        }
        match maker.name {
            "sqfstar" if entry.path.is_empty() && (top.uid, top.gid) != (0, 0) => {
                Err(Error::unfit(b"/", FORMAT, "sqfstar has it belong to root, tar2sqfs would not"))
            }
            // Version 4.5.1 takes its slash away, as it does for names.
            "sqfstar" if entry.target.len() > 100 && entry.target.starts_with(b"/") => {
                unfit("sqfstar changes such a long link, tar2sqfs would not")
            }
            _ => Ok(()),
        }
    })?;
    Ok(top)
}

/// Waits for the program to end, or kills it.
fn wait(child: &mut Child, cancel: &AtomicBool) -> io::Result<ExitStatus> {
    let handle = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty());
    let a_moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while let Ok(handle) = &handle
        && child.try_wait()?.is_none()
    {
        if cancel.load(Ordering::Relaxed) {
            child.kill()?;
        }
        let _ = rustix::event::poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&a_moment));
    }
    child.wait()
}

/// The last lines of what the program wrote to standard error.
fn tail(said: &mut File) -> Vec<String> {
    const LINES: usize = 8;
    const BYTES: u64 = 4096;
    let end = said.seek(io::SeekFrom::End(0)).unwrap_or(0);
    let mut bytes = Vec::new();
    let _ = said.seek(io::SeekFrom::Start(end.saturating_sub(BYTES)));
    let _ = said.take(BYTES).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| (*line).to_owned()).collect()
}

/// Refuses to write once the work was called off.
struct Stoppable<'c, W> {
    inner: Option<W>,
    cancel: &'c AtomicBool,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        go_on(self.cancel)?;
        self.inner.as_mut().map_or(Err(io::ErrorKind::BrokenPipe.into()), |inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
#[path = "squashfs_tests.rs"]
mod tests;
