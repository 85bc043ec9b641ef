//! The errors of this crate.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Why a tree could not be recorded. The text is `cannot <verb> <thing>`; the source is the system's reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tree cannot be read. The text already has the verb and the path.
    #[error(transparent)]
    Tree(#[from] rootstrap_rootfs::Error),
    /// The contents of a file cannot be read.
    #[error("cannot archive {}", path.display())]
    Read {
        /// The file, below the root.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// An entry that container engines take for the deletion of another.
    #[error("cannot put {} into a container image: layers use such entries to delete others", path.display())]
    Whiteout {
        /// The entry, below the root.
        path: PathBuf,
    },
    /// The OCI image specification has no layers that are compressed with xz.
    #[error("cannot compress the layer of an image with xz")]
    LayerCompression,
    /// The format cannot hold an entry.
    #[error("cannot put {} into {format}: {why}", path.display())]
    Unsupported {
        /// The entry, below the root.
        path: PathBuf,
        /// The format, with its article.
        format: &'static str,
        /// The property of the entry that the format cannot hold.
        why: String,
    },
    /// The kernel cannot read a cpio archive with this compression.
    #[error("cannot compress a cpio archive with xz: Linux reads no xz with checksums of 64 bits")]
    CpioCompression,
    /// The size asked for is too small for the tree.
    #[error("cannot make {format} of {size} bytes: this tree needs {least}")]
    TooSmall {
        /// The format, with its article.
        format: &'static str,
        /// The size asked for, in bytes.
        size: u64,
        /// The smallest possible size in bytes.
        least: u64,
    },
    /// The format does not allow the parameters of the filesystem, for example its label.
    #[error("cannot lay out {format}")]
    Layout {
        /// The format, with its article.
        format: &'static str,
        /// The reason of the library that lays the filesystem out.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This machine has no program that makes the format.
    #[error("cannot make {format}: this machine has neither {programs}")]
    NoProgram {
        /// The format, with its article.
        format: &'static str,
        /// The names of the programs searched for, joined by ` nor `.
        programs: String,
        /// Which package to install.
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
    #[error("cannot make {format}: {program}: {status}{}", quote(.last_lines))]
    ProgramFailed {
        /// The format, with its article.
        format: &'static str,
        /// The program's name.
        program: &'static str,
        /// How the program ended, for example `exit status: 1`.
        status: String,
        /// The last lines that the program wrote to standard error.
        last_lines: Vec<String>,
    },
    /// The archive or image cannot be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// The flag to stop was set.
    #[error("interrupted")]
    Cancelled,
}

/// The result of the functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn read(path: &[u8], source: io::Error) -> Self {
        Self::Read { path: to_path(path), source }
    }

    pub(crate) fn whiteout(path: &[u8]) -> Self {
        Self::Whiteout { path: to_path(path) }
    }

    pub(crate) fn unsupported(path: &[u8], format: &'static str, why: impl Into<String>) -> Self {
        Self::Unsupported { path: to_path(path), format, why: why.into() }
    }

    /// Returns the system's reason, if there is one.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Tree(error) => Some(error.io()),
            Self::Read { source, .. } | Self::Start { source, .. } | Self::Write(source) => Some(source),
            Self::Whiteout { .. }
            | Self::Unsupported { .. }
            | Self::CpioCompression
            | Self::LayerCompression
            | Self::TooSmall { .. }
            | Self::Layout { .. }
            | Self::NoProgram { .. }
            | Self::ProgramFailed { .. }
            | Self::Cancelled => None,
        }
    }

    /// Returns what the user can do about the error, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::CpioCompression => Some("compress it with gzip or zstd, or not at all"),
            Self::TooSmall { .. } => Some("ask for a larger size, or for none: the image then has free space"),
            Self::NoProgram { hint, .. } => Some(hint),
            _ => None,
        }
    }

    /// Returns whether the device is full or the user's quota is used up.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let kind = self.io().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Returns whether the reader of the archive closed the pipe, as in `… | head` or when an import fails.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn to_path(path: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path))
}

fn quote(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n    | {line}")).collect()
}
