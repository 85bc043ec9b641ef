//! The log: everything that happens, line by line. The lines go to a file if the user names one. Otherwise they stay in memory until it is
//! known whether the run fails.

use crate::environment;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The most bytes of lines that are kept in memory. Later lines are dropped.
const KEPT: usize = 16 << 20;

/// The owner that the kernel shows for a user without a number (user_namespaces(7)).
const NOBODY: u32 = 65534;

enum Place {
    File(BufWriter<File>, PathBuf),
    Memory(Vec<u8>),
}

/// A log that many threads may write to.
pub(crate) struct Log(Mutex<Place>);

impl Log {
    /// Opens a log in the file `path`, which is replaced, or in memory.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let place = match path {
            Some(path) => Place::File(BufWriter::new(create(path)?), path.to_owned()),
            None => Place::Memory(Vec::new()),
        };
        Ok(Self(Mutex::new(place)))
    }

    /// Adds a line. A failure to write the log does not stop the run.
    pub(crate) fn line(&self, text: &str) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Place::File(file, _) => drop(writeln!(file, "{text}")),
            Place::Memory(bytes) if bytes.len() < KEPT => {
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(b'\n');
            }
            Place::Memory(_) => {}
        }
    }

    /// Returns the file in which the whole log can be read after a failure. A log in memory is written to a file in `temporary` first.
    pub(crate) fn keep(&self, temporary: &Path) -> Option<PathBuf> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Place::File(file, path) => file.flush().ok().map(|()| path.clone()),
            Place::Memory(bytes) => {
                let path = temporary.join(format!("rootstrap-{}.log", std::process::id()));
                let mut file = File::create_new(&path).ok()?;
                file.write_all(bytes).ok().map(|()| path)
            }
        }
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
        if let Place::File(file, _) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = file.flush();
        }
    }
}
