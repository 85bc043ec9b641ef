//! Why the cache cannot be used, and what the user can do about it.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error as ThisError;

/// Why the cache cannot be used. The text names the path; the cause is the source.
#[derive(Debug, ThisError)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("cannot use the cache {}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("cannot use {} as a cache: rootstrap did not create it", path.display())]
    NotACache { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Error {
    /// Returns the error of a cache that cannot be opened, read or pruned at `path`.
    pub(crate) fn unusable(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Unusable { path: path.to_owned(), source: source.into() }
    }

    /// Returns the error of a file of the cache that cannot be written.
    #[must_use]
    pub fn write(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Write { path: path.to_owned(), source: source.into() }
    }

    /// Says what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unusable { .. } => {
                "choose another directory with --cache-dir, or do without with --no-cache".to_owned()
            }
            Self::NotACache { .. } => {
                "`rootstrap cache dir` says where the cache is; --cache-dir names another".to_owned()
            }
            Self::Write { source, path } if source.kind() == io::ErrorKind::StorageFull => format!(
                "the filesystem of {} is full: free some space, or choose another with --cache-dir",
                path.display()
            ),
            Self::Write { .. } => "choose another directory with --cache-dir".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_where_and_what_to_do() {
        let error = Error::write(Path::new("/c/v1/tmp/x"), io::ErrorKind::StorageFull);
        assert_eq!(error.to_string(), "cannot write /c/v1/tmp/x");
        assert!(error.hint().unwrap().contains("the filesystem of /c/v1/tmp/x is full"));
    }
}
