//! The log: everything that happens, line by line. The lines go to a file if the user names one. Otherwise they stay in memory until it is
//! known whether the run fails.

use crate::environment;
use crate::trace::Trace;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The most bytes of lines that are kept in memory.
const KEPT: usize = 16 << 20;

/// The owner that the kernel shows for a user without a number (user_namespaces(7)).
const NOBODY: u32 = 65534;

enum Place {
    File(BufWriter<File>, PathBuf),
    Memory(LastLines),
}

/// At least the last half of [`KEPT`] bytes of lines, because the end says why a run failed.
#[derive(Default)]
struct LastLines {
    older: Vec<u8>,
    newer: Vec<u8>,
    /// Whether lines before `older` were dropped.
    is_cut: bool,
}

impl LastLines {
    fn push(&mut self, text: &str) {
        if self.newer.len() + text.len() >= KEPT / 2 {
            self.is_cut |= !self.older.is_empty();
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.extend_from_slice(text.as_bytes());
        self.newer.push(b'\n');
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        if self.is_cut {
            out.write_all(b"(the lines before this one are not kept)\n")?;
        }
        out.write_all(&self.older)?;
        out.write_all(&self.newer)
    }
}

/// A log that many threads may write to.
pub(crate) struct Log {
    place: Mutex<Place>,
    trace: Option<Trace>,
}

impl Log {
    /// Opens a log in the file `path`, which is replaced, or in memory.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let place = match path {
            Some(path) => Place::File(BufWriter::new(create(path)?), path.to_owned()),
            None => Place::Memory(LastLines::default()),
        };
        Ok(Self { place: Mutex::new(place), trace: None })
    }

    /// Adds a timeline in the file `path`, which is replaced.
    pub(crate) fn with_trace(mut self, path: &Path) -> io::Result<Self> {
        self.trace = Some(Trace::new(create(path)?));
        Ok(self)
    }

    /// Returns the timeline, if there is one.
    pub(crate) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Adds a line. A failure to write the log does not stop the run.
    pub(crate) fn line(&self, text: &str) {
        match &mut *self.place.lock().unwrap_or_else(PoisonError::into_inner) {
            Place::File(file, _) => drop(writeln!(file, "{text}")),
            Place::Memory(lines) => lines.push(text),
        }
    }

    /// Returns the file in which the whole log can be read after a failure. A log in memory is written to a file in `temporary` first.
    pub(crate) fn keep(&self, temporary: &Path) -> Option<PathBuf> {
        match &mut *self.place.lock().unwrap_or_else(PoisonError::into_inner) {
            Place::File(file, path) => file.flush().ok().map(|()| path.clone()),
            Place::Memory(lines) => {
                let path = temporary.join(format!("rootstrap-{}.log", std::process::id()));
                let mut file = File::create_new(&path).ok()?;
                lines.write_to(&mut file).ok().map(|()| path)
            }
        }
    }
}

impl Log {
    /// Returns all lines that are in memory.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Place::Memory(lines) = &*self.place.lock().unwrap_or_else(PoisonError::into_inner) {
            // A vector takes everything.
            let _ = lines.write_to(&mut text);
        }
        text
    }
}

/// Opens the log file and empties it. Follows a link only if the caller or root made it: in a directory like /tmp, another user can put a
/// link to any file in the place of the log.
fn create(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    let file = match rustix::fs::open(path, flags, mode) {
        Err(Errno::LOOP) => {
            let link = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            let owner = rustix::fs::fstat(&link)?.st_uid;
            // In a user namespace of our own, the real root has no number. There, the first process has looked already.
            let is_roots = owner == 0 || (owner == NOBODY && !environment::is_root());
            if !is_roots && owner != rustix::process::geteuid().as_raw() {
                return Err(io::Error::other("it is a link that another user made"));
            }
            let text = rustix::fs::readlinkat(&link, "", Vec::new())?;
            let target = path.parent().unwrap_or(path).join(OsStr::from_bytes(text.as_bytes()));
            rustix::fs::open(target, flags - OFlags::NOFOLLOW, mode)?
        }
        opened => opened?,
    };
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    let file = File::from(file);
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Place::File(file, _) = &mut *self.place.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = file.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_log_is_kept() {
        let mut lines = LastLines::default();
        for number in 0..300_000 {
            lines.push(&format!("{number} {}", "x".repeat(100)));
        }
        lines.push("the last words");
        let mut bytes = Vec::new();
        assert!(lines.write_to(&mut bytes).is_ok());
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.len() <= KEPT + 100 && text.len() > KEPT / 2);
        assert!(text.starts_with("(the lines before this one are not kept)\n"));
        let numbers: Vec<u32> = text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]) && numbers.last() == Some(&299_999));
        assert!(text.ends_with("the last words\n"));
    }
}
