//! Why a run failed, what to do about it, and the exit status.

use rootstrap_debian::arch;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const READER_GONE: &str = "the program that reads the archive ended early; see what it says";

const NO_SPACE: &str =
    "free some space or choose another place; --slim leaves out documentation, and a compressed archive takes less";

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("cannot find the suite `{name}`")]
    UnknownSuite { name: String, nearest: Vec<&'static str> },
    #[error("cannot find the pocket `{name}` of {suite}")]
    UnknownPocket { name: String, suite: String },
    #[error("cannot use the source {entry}: {reason}")]
    FurtherSource { entry: String, reason: String, hint: &'static str },
    #[error("cannot use the file {path}: {reason}")]
    InputFile { path: String, reason: String },
    #[error("cannot install {path}: {reason}")]
    LocalDeb { path: String, reason: String, hint: Option<String> },
    #[error("cannot use the hook {command}: {reason}")]
    Hook { command: String, reason: String },
    #[error("cannot use the preferences {what}: {reason}")]
    Preferences { what: String, reason: String },
    #[error("cannot use `{name}` as an architecture: dpkg knows none of this name")]
    UnknownArchitecture { name: String },
    #[error("cannot tell the Debian architecture of this machine ({machine})")]
    UnknownMachine { machine: String },
    #[error("cannot run programs for {wanted} on this machine ({machine}): {reason}")]
    ForeignArchitecture { wanted: String, machine: String, reason: String, hint: String },
    #[error("cannot use {option}: {reason}")]
    Combination { option: String, reason: String, hint: &'static str },
    #[error("cannot put roots of several architectures into one file or directory")]
    SeveralPlatforms,
    #[error("cannot make a container image for {architecture}: containers have no name for it")]
    NoPlatform { architecture: String },
    #[error("cannot make an image of {}", path.display())]
    SourceArchive { path: PathBuf, source: io::Error },
    #[error("cannot make an image of {}: {reason}", path.display())]
    Source { path: PathBuf, reason: String, hint: &'static str },
    #[error("cannot enter {}: {reason}", path.display())]
    Enter { path: PathBuf, reason: String },
    #[error("cannot use {} as the target: {reason}", path.display())]
    Target { path: PathBuf, reason: String, hint: &'static str },
    #[error("cannot run programs of {variant}: this processor has no {feature}")]
    Processor { variant: String, feature: &'static str },
    #[error("cannot write an SBOM to {}: {reason}", path.display())]
    Sbom { path: PathBuf, reason: String, hint: &'static str },
    #[error("cannot write a file of the root to {}: {reason}", path.display())]
    Download { path: PathBuf, reason: String, hint: &'static str },
    #[error("cannot stage in {}: {reason}", path.display())]
    Temporary { path: PathBuf, reason: String, hint: &'static str },
    #[error("cannot stage in memory: the kernel refuses a tmpfs ({0})")]
    Memory(rustix::io::Errno),
    #[error("cannot unpack {}: {reason}", path.display())]
    TarIn { path: PathBuf, reason: String },
    #[error("cannot copy {}: {reason}", path.display())]
    Copy { path: PathBuf, reason: String },
    #[error("cannot copy {}", path.display())]
    CopySource { path: PathBuf, source: rootstrap_rootfs::Error },
    #[error("cannot finish {}: {reason}", path.display())]
    FirstStage { path: PathBuf, reason: String, hint: &'static str },
    #[error("cannot use {} as a lock", path.display())]
    LockFile { path: PathBuf, source: rootstrap_lock::Error },
    #[error("cannot use the keyring {}", path.display())]
    Keyring { path: PathBuf, source: rootstrap_fetch::KeyringProblem },
    #[error("cannot find the lock {}", path.display())]
    NoLock { path: PathBuf },
    #[error("cannot build from {}, because it was made for another request: {}", path.display(), differences.join("; "))]
    LockMismatch { path: PathBuf, differences: Vec<String> },
    #[error("cannot build from {}: {reason}", path.display())]
    Lock { path: PathBuf, reason: String },
    #[error("cannot build from {}, because no key that signed {suite} is trusted ({})", path.display(), keys.join(", "))]
    LockKeys { path: PathBuf, suite: String, keys: Vec<String> },
    #[error("cannot compare {}: {reason}", path.display())]
    NotComparable { path: PathBuf, reason: String },
    #[error("cannot verify {}: it has no lock inside", path.display())]
    NoLockInside { path: PathBuf },
    #[error("cannot lock these packages: {reason}")]
    NotLockable { reason: String },
    #[error("cannot run native programs in the place of emulated ones: {reason}")]
    Native { reason: String },
    #[error("cannot configure anything: the packages chosen do not include dpkg")]
    NoDpkg,
    #[error("cannot use {} as the target: its filesystem has {free} free, and the result takes at least {needed}", path.display())]
    NoSpace { path: PathBuf, needed: String, free: String },
    #[error("cannot {verb} {}", path.display())]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
    #[error(transparent)]
    Registry(#[from] rootstrap_registry::Error),
    #[error(transparent)]
    Fetch(#[from] rootstrap_fetch::Error),
    #[error(transparent)]
    Resolve(#[from] rootstrap_resolve::Error),
    #[error(transparent)]
    Unpack(rootstrap_unpack::Error),
    #[error(transparent)]
    Configure(rootstrap_configure::Error),
    #[error(transparent)]
    Normalize(#[from] rootstrap_normalize::Error),
    #[error(transparent)]
    Distroless(#[from] rootstrap_distroless::Error),
    #[error(transparent)]
    Extract(#[from] rootstrap_unpack::archive::Error),
    #[error(transparent)]
    Cache(#[from] rootstrap_cache::Error),
    #[error(transparent)]
    Remote(#[from] rootstrap_cache::RemoteError),
    #[error(transparent)]
    Image(#[from] rootstrap_image::Error),
    #[error(transparent)]
    Tree(#[from] rootstrap_rootfs::Error),
    #[error("interrupted")]
    Cancelled,
    #[error("cannot finish within {seconds} s, the deadline of this run")]
    Deadline { seconds: u32 },
}

impl From<rootstrap_unpack::Error> for Error {
    fn from(error: rootstrap_unpack::Error) -> Self {
        match error {
            rootstrap_unpack::Error::Cancelled => Self::Cancelled,
            error => Self::Unpack(error),
        }
    }
}

impl From<rootstrap_configure::Error> for Error {
    fn from(error: rootstrap_configure::Error) -> Self {
        match error {
            rootstrap_configure::Error::Cancelled => Self::Cancelled,
            error => Self::Configure(error),
        }
    }
}

impl Error {
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }

    /// Returns the same for the calls that return a bare error number.
    pub(crate) fn errno(verb: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.to_owned();
        move |errno| Self::Io { verb, path, source: errno.into() }
    }

    /// Returns whether the run was stopped on purpose.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Cancelled
                | Self::Image(rootstrap_image::Error::Cancelled)
                | Self::Fetch(rootstrap_fetch::Error::Cancelled)
                | Self::Registry(rootstrap_registry::Error::Cancelled)
                | Self::Normalize(rootstrap_normalize::Error::Cancelled)
                | Self::Distroless(rootstrap_distroless::Error::Cancelled)
                | Self::Resolve(rootstrap_resolve::Error::Cancelled)
        )
    }

    /// Returns the exit status: 2 for a request that makes no sense as it stands, 3 for bytes that failed verification or that are
    /// signed and malformed, 130 for an interruption, 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            _ if self.is_cancelled() => 130,
            Self::UnknownSuite { .. }
            | Self::Registry(rootstrap_registry::Error::Name { .. })
            | Self::UnknownPocket { .. }
            | Self::InputFile { .. }
            | Self::LocalDeb { .. }
            | Self::Hook { .. }
            | Self::Preferences { .. }
            | Self::FurtherSource { .. }
            | Self::UnknownArchitecture { .. }
            | Self::Combination { .. }
            | Self::SeveralPlatforms
            | Self::NoPlatform { .. }
            | Self::Source { .. }
            | Self::Enter { .. }
            | Self::Target { .. }
            | Self::Sbom { .. }
            | Self::Download { .. }
            | Self::TarIn { .. }
            | Self::Copy { .. }
            | Self::FirstStage { .. }
            | Self::NoLock { .. }
            | Self::LockMismatch { .. }
            | Self::Lock { .. }
            | Self::NotComparable { .. }
            | Self::NoLockInside { .. }
            | Self::Temporary { .. } => 2,
            Self::LockKeys { .. } | Self::LockFile { source: rootstrap_lock::Error::Changed, .. } => 3,
            Self::LockFile { .. } => 2,
            Self::Fetch(error) if error.is_verification() => 3,
            Self::Resolve(rootstrap_resolve::Error::Malformed { .. })
            | Self::Unpack(rootstrap_unpack::Error::Damaged { .. } | rootstrap_unpack::Error::Control { .. }) => 3,
            _ => 1,
        }
    }

    /// Returns what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        if self.system().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            return Some(
                "the filesystem is full: free some space, choose another place, or stage elsewhere (--staging, TMPDIR)"
                    .to_owned(),
            );
        }
        match self {
            Self::UnknownSuite { nearest, .. } if nearest.is_empty() => {
                Some("a suite rootstrap does not list needs --mirror and --keyring".to_owned())
            }
            Self::UnknownSuite { nearest, .. } => Some(format!(
                "did you mean {}? A suite rootstrap does not list needs --mirror and --keyring",
                nearest.join(", ")
            )),
            Self::FurtherSource { hint, .. } => Some((*hint).to_owned()),
            Self::LocalDeb { hint, .. } => hint.clone(),
            Self::UnknownPocket { .. } => Some("pockets are release, updates, security and backports".to_owned()),
            Self::UnknownArchitecture { name } => Some(architecture_hint(name)),
            Self::SeveralPlatforms => Some(
                "an image of several has a name ending in .oci.tar or .oci; packages of further architectures in one root \
                 need --add-architecture"
                    .to_owned(),
            ),
            Self::Processor { .. } => Some("leave --arch-variant out, or build on a newer machine".to_owned()),
            Self::NoPlatform { .. } => Some("name another with --arch, or write a tar archive".to_owned()),
            Self::UnknownMachine { .. } => Some("name it with --arch".to_owned()),
            Self::ForeignArchitecture { hint, .. } => {
                Some(format!("{hint}; or make a first stage (--foreign) and finish it where its programs run"))
            }
            Self::Enter { .. } => Some("name a directory with a root filesystem, an archive or an image".to_owned()),
            Self::Deadline { .. } => {
                Some("give it more time with --deadline; the next run takes what is in the cache".to_owned())
            }
            Self::Source { hint, .. }
            | Self::Target { hint, .. }
            | Self::Sbom { hint, .. }
            | Self::Download { hint, .. }
            | Self::Combination { hint, .. }
            | Self::FirstStage { hint, .. }
            | Self::Temporary { hint, .. } => Some((*hint).to_owned()),
            Self::Memory(_) => {
                Some("use --staging=disk; a container may need --privileged, an old kernel Linux 5.2".to_owned())
            }
            Self::NoDpkg => Some(
                "do not exclude dpkg, add it with --include=dpkg, or use --variant=extract to unpack only".to_owned(),
            ),
            Self::NoSpace { .. } => Some(NO_SPACE.to_owned()),
            Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(READER_GONE.to_owned()),
            Self::Image(error) if error.is_broken_pipe() => Some(READER_GONE.to_owned()),
            Self::Registry(error) => error.hint(),
            Self::Image(error) => error.hint().map(str::to_owned),
            Self::Cache(error) => error.hint(),
            Self::Fetch(error) => error.hint(),
            Self::Keyring { source, .. } => Some(source.hint()),
            Self::Resolve(error) => error.hint(),
            Self::Configure(error) => error.hint().map(str::to_owned),
            _ => self.lock_hint(),
        }
    }

    /// Returns what the user can do about a lock.
    fn lock_hint(&self) -> Option<String> {
        match self {
            Self::LockFile { source, .. } => Some(source.hint().to_owned()),
            Self::NoLockInside { .. } => {
                Some("name the lock that it was built from with --lock; images that are built with --attest have theirs inside".to_owned())
            }
            Self::NoLock { .. } => Some("`rootstrap lock SUITE -o FILE` makes one".to_owned()),
            Self::LockMismatch { differences, .. } if differences.iter().any(|it| it.starts_with("suite: ")) => {
                Some("make a lock of this suite with `rootstrap lock`".to_owned())
            }
            Self::LockMismatch { .. } => Some(
                "make a new lock with `rootstrap lock` and the same options, or take this one as it is with --frozen"
                    .to_owned(),
            ),
            Self::Lock { .. } => Some("make a new lock with `rootstrap lock`".to_owned()),
            Self::LockKeys { .. } => Some(
                "name a keyring with one of these keys (--keyring), or make a new lock with `rootstrap lock --upgrade`"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// Returns the system's own error beneath.
    fn system(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } | Self::SourceArchive { source, .. } | Self::Stdout(source) => Some(source),
            Self::Unpack(error) => error.io(),
            Self::Image(error) => error.io(),
            Self::Normalize(error) => error.io(),
            Self::Distroless(error) => error.io(),
            Self::Extract(error) => Some(error.io()),
            Self::Tree(error) | Self::Configure(rootstrap_configure::Error::Tree(error)) => Some(error.io()),
            _ => None,
        }
    }
}

/// Returns what to write in the place of a name that dpkg does not know.
fn architecture_hint(name: &str) -> String {
    match arch::from_other_name(name) {
        Some(known) => format!("dpkg's name for it is {known}"),
        None => "dpkg's names are amd64, arm64, armhf, armel, i386, ppc64el, riscv64, s390x and others".to_owned(),
    }
}

/// Refuses an option.
pub(crate) fn refuse(option: &str, reason: impl Into<String>, hint: &'static str) -> Result<(), Error> {
    Err(Error::Combination { option: option.to_owned(), reason: reason.into(), hint })
}

/// Fails once `cancel` is set. Loops over what an archive or a script can make long call this.
pub(crate) fn go_on(cancel: &AtomicBool) -> Result<(), Error> {
    unless_cancelled(cancel, Ok(()))
}

/// Returns [`Error::Cancelled`] in place of any result once `cancel` is set, so that nobody reports a result that was called off.
pub(crate) fn unless_cancelled<T>(cancel: &AtomicBool, result: Result<T, Error>) -> Result<T, Error> {
    if cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { result }
}
