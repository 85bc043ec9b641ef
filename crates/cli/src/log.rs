//! Everything that happened, as lines: in a file if one was asked for, else kept until it is known whether anybody
//! will want it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Lines kept in memory end here; a run that prints more keeps its first half and says so.
const KEPT: usize = 16 << 20;

enum Place {
    File(BufWriter<File>, PathBuf),
    Memory(Vec<u8>),
}

/// A log that many threads may write to.
pub(crate) struct Log(Mutex<Place>);

impl Log {
    /// A log in `path`, which is replaced, or in memory.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let place = match path {
            Some(path) => Place::File(BufWriter::new(File::create(path)?), path.to_owned()),
            None => Place::Memory(Vec::new()),
        };
        Ok(Self(Mutex::new(place)))
    }

    /// Adds a line. A log that cannot be written is no reason to stop.
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

    /// Where the whole log can be read after a failure; what is in memory is written below `temporary` first.
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
