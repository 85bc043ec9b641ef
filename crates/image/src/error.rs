//! What can go wrong between a tree and its archive.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// `cannot <verb> <thing>`, the system's reason as its source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tree itself: the message already names verb and path.
    #[error(transparent)]
    Tree(#[from] rootstrap_rootfs::Error),
    /// The directory that is the root.
    #[error("cannot {verb} /")]
    Root {
        /// What was to be done.
        verb: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Reading a file's contents into the archive.
    #[error("cannot archive {}", path.display())]
    Read {
        /// The file, below the root.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A name or node a container engine takes for an instruction.
    #[error("cannot put {} into a container image: layers use such entries to delete others", path.display())]
    Whiteout {
        /// The entry, below the root.
        path: PathBuf,
    },
    /// An archive that a root is made from.
    #[error("cannot unpack the archive")]
    Extract(#[source] io::Error),
    /// A compression that no layer of a container image may have.
    #[error("cannot compress the layer of an image with xz")]
    LayerCompression,
    /// The list of shared libraries.
    #[error("cannot write etc/ld.so.cache")]
    Cache(#[source] io::Error),
    /// The archive's receiver.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}

/// What the operations here return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn read(path: &[u8], source: io::Error) -> Self {
        Self::Read { path: below(path), source }
    }

    pub(crate) fn root(verb: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Root { verb, source: source.into() }
    }

    pub(crate) fn whiteout(path: &[u8]) -> Self {
        Self::Whiteout { path: below(path) }
    }

    /// The system's reason, where there is one.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Tree(error) => Some(error.io()),
            Self::Root { source, .. } | Self::Read { source, .. } => Some(source),
            Self::Cache(source) | Self::Write(source) | Self::Extract(source) => Some(source),
            Self::Whiteout { .. } | Self::LayerCompression => None,
        }
    }

    /// Whether space ran out, on the device or in the user's quota.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let kind = self.io().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Whether the receiver of the archive went away: `… | head`, or an import that failed.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn below(path: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path))
}
