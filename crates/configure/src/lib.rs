//! Let the packages' own scripts and dpkg finish, inside a sandbox.
//!
//! Invariant: this crate alone starts processes in the root, and they run with private mount, pid, ipc, uts and
//! network namespaces, after `pivot_root`, so that no file, process or network of the host is in reach. When the
//! [`Sandbox`] is gone, so is every process and mount it had. Where nothing can be mounted ([`privilege::Mode::Chroot`])
//! the filter and the supervisor take the place of the namespaces, as far as they can: processes outside can be sent
//! signals then.

pub mod binfmt;
mod calls;
pub mod dpkg;
pub mod emulator;
pub mod fakes;
mod init;
mod mounts;
pub mod preinst;
pub mod privilege;
mod sandbox;
mod seccomp;
mod supervisor;
mod wire;

pub use emulator::Emulator;
pub use init::enter_if_asked;
pub use sandbox::{ENVIRONMENT, Exit, Options, Sandbox};

/// Why configuring failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the rights a build needs.
    #[error("cannot get the rights a build needs: {reason}")]
    Privilege {
        /// What is in the way.
        reason: String,
        /// What would open a way; empty if nothing is known.
        hint: String,
    },
    /// The sandbox could not be set up.
    #[error("cannot set up the sandbox for package scripts: {0}")]
    Sandbox(String),
    /// A program cannot be started in the root; the text says which and why.
    #[error("{0}")]
    Start(String),
    /// The sandbox went away or could not be talked to.
    #[error("cannot talk to the sandbox")]
    Lost(#[source] std::io::Error),
    /// A package's script or dpkg itself failed.
    #[error("cannot {action}: {status}{}", quote(.tail))]
    Failed {
        /// What was being done, for example `run the preinst of libc6`.
        action: String,
        /// How it ended, for example `exit status 1`.
        status: String,
        /// Its last lines of output.
        tail: Vec<String>,
    },
    /// The tree could not be changed.
    #[error("cannot prepare the tree for package scripts")]
    Tree(#[from] rootstrap_rootfs::Error),
    /// The user asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Privilege { hint, .. } if !hint.is_empty() => Some(hint),
            // It says so itself.
            Self::Sandbox(reason) if reason.contains("--cap-add") => None,
            Self::Sandbox(_) => Some("rootstrap has to make namespaces and mounts; a container may need --privileged"),
            _ => None,
        }
    }
}

fn quote(tail: &[String]) -> String {
    tail.iter().map(|line| format!("\n    | {line}")).collect()
}
