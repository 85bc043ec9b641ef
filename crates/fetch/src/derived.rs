//! What was made of a deb and is cheaper to read than to make again. Kept beside the debs, by their digests.
//!
//! The bytes are the caller's: no index vouches for them, so they have to carry their own guard against damage.

use crate::error::Error;
use crate::{Session, VerifiedDeb};
use std::fs::File;
use std::path::PathBuf;
use tempfile::NamedTempFile;

/// A file that can become a kept one, and is removed if it does not.
#[derive(Debug)]
pub struct Draft {
    file: NamedTempFile,
    path: PathBuf,
}

impl Draft {
    /// The file, empty at first.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn keep(self) -> Result<(), Error> {
        crate::cache::persist(self.file, &self.path)
    }
}

impl Session {
    /// What was kept in this `form` (a word) for a deb, open at its beginning. Being asked for counts as use.
    #[must_use]
    pub fn derived(&self, deb: &VerifiedDeb, form: &str) -> Option<File> {
        let path = self.path_of(deb, form);
        let file = File::open(&path).ok()?;
        crate::cache::touch(&path);
        Some(file)
    }

    /// A file to write what is to be kept in this `form` for a deb.
    ///
    /// # Errors
    /// None can be made.
    pub fn draft(&self, deb: &VerifiedDeb, form: &str) -> Result<Draft, Error> {
        Ok(Draft { file: self.cache.temporary()?, path: self.path_of(deb, form) })
    }

    fn path_of(&self, deb: &VerifiedDeb, form: &str) -> PathBuf {
        let name = deb.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.cache.layer("payload").join(name.get(..2).unwrap_or_default()).join(format!("{form}-{name}"))
    }
}
