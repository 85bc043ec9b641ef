//! What can go wrong between a tree and its artefact.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// An entry that the format has no way to express.
    #[error("cannot put {} into {format}: {why}", path.display())]
    Unfit {
        /// The entry, below the root.
        path: PathBuf,
        /// The format, with its article.
        format: &'static str,
        /// What is in the way.
        why: String,
    },
    /// A cpio archive with a compression in which no kernel reads it.
    #[error("cannot compress a cpio archive with xz: Linux reads no xz with checksums of 64 bits")]
    Compression,
    /// A filesystem that is to be smaller than what goes into it.
    #[error("cannot make {format} of {size} bytes: this tree needs {least}")]
    Size {
        /// The format, with its article.
        format: &'static str,
        /// The size asked for.
        size: u64,
        /// The smallest that will do, in bytes.
        least: u64,
    },
    /// A filesystem whose parameters its format does not allow.
    #[error("cannot lay out {format}")]
    Layout {
        /// The format, with its article.
        format: &'static str,
        /// What the format does not allow.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This machine has no program that makes the format.
    #[error("cannot make {format}: this machine has neither {makers}")]
    NoMaker {
        /// The format, with its article.
        format: &'static str,
        /// The programs looked for: `this nor that`.
        makers: String,
        /// What to install.
        hint: &'static str,
    },
    /// A program cannot be started.
    #[error("cannot run {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The program that makes the format failed.
    #[error("cannot make {format}: {program}: {status}{}", quote(.tail))]
    Maker {
        /// The format, with its article.
        format: &'static str,
        /// The program's name.
        program: &'static str,
        /// How it ended, for example `exit status: 1`.
        status: String,
        /// The last lines it wrote to standard error.
        tail: Vec<String>,
    },
    /// The artefact's receiver.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// The user asked to stop.
    #[error("interrupted")]
    Cancelled,
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

    pub(crate) fn unfit(path: &[u8], format: &'static str, why: impl Into<String>) -> Self {
        Self::Unfit { path: below(path), format, why: why.into() }
    }

    /// The system's reason, where there is one.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Tree(error) => Some(error.io()),
            Self::Root { source, .. }
            | Self::Read { source, .. }
            | Self::Start { source, .. }
            | Self::Cache(source)
            | Self::Extract(source)
            | Self::Write(source) => Some(source),
            Self::Whiteout { .. }
            | Self::Unfit { .. }
            | Self::Compression
            | Self::LayerCompression
            | Self::Size { .. }
            | Self::Layout { .. }
            | Self::NoMaker { .. }
            | Self::Maker { .. }
            | Self::Cancelled => None,
        }
    }

    /// What the user can do about it, if anything is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Compression => Some("compress it with gzip or zstd, or not at all"),
            Self::Size { .. } => Some("ask for a larger size, or for none: then there is room to spare"),
            Self::NoMaker { hint, .. } => Some(hint),
            _ => None,
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

/// An error once `cancel` is set; what it says is never seen, [`Error::Cancelled`] takes its place.
pub(crate) fn go_on(cancel: &AtomicBool) -> io::Result<()> {
    if cancel.load(Ordering::Relaxed) { Err(io::Error::other("interrupted")) } else { Ok(()) }
}

fn below(path: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path))
}

fn quote(tail: &[String]) -> String {
    tail.iter().map(|line| format!("\n    | {line}")).collect()
}
