//! The log: everything that happens, line by line. The lines go to a file if the user names one. Otherwise they stay in memory until it is
//! known whether the run fails.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The most bytes of lines that are kept in memory. Later lines are dropped.
const KEPT: usize = 16 << 20;

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
            Some(path) => Place::File(BufWriter::new(File::create(path)?), path.to_owned()),
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

impl Drop for Log {
    fn drop(&mut self) {
        if let Place::File(file, _) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = file.flush();
        }
    }
}
