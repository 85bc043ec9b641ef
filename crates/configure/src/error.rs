//! Why configuring fails.

/// Why configuring failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No mode gives the rights that a build needs.
    #[error("cannot get the rights a build needs: {reason}")]
    Privilege {
        /// What is in the way.
        reason: String,
        /// What the user can do about it; empty if nothing is known.
        hint: String,
    },
    /// The sandbox could not be set up.
    #[error("cannot set up the sandbox for package scripts: {0}")]
    Sandbox(String),
    /// A program cannot be started in the root; the text says which one and why.
    #[error("{0}")]
    Start(String),
    /// The sandbox ended, or its socket failed.
    #[error("cannot talk to the sandbox")]
    Lost(#[source] std::io::Error),
    /// A package's script or dpkg itself failed.
    #[error("cannot {action}: {status}{}", quote(.tail))]
    Failed {
        /// What was being done, for example `run the preinst of libc6`.
        action: String,
        /// How the program ended, for example `exit status 1`.
        status: String,
        /// The last lines that the program printed.
        tail: Vec<String>,
    },
    /// Something took longer than it may.
    #[error("cannot wait for {what} any longer: it has run for {seconds} s{}", quote(.tail))]
    TimedOut {
        /// What it is: a hook, or a package's script.
        what: String,
        /// How long it may take.
        seconds: u64,
        /// The last lines that it printed.
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
    /// Returns what the user can do about the error.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Privilege { hint, .. } if !hint.is_empty() => Some(hint),
            // The reason already names the way out.
            Self::Sandbox(reason) if reason.contains("--cap-add") => None,
            Self::Sandbox(_) => Some("rootstrap has to make namespaces and mounts; a container may need --privileged"),
            Self::Failed { status, .. } if KILLED.iter().any(|words| status.contains(words)) => {
                Some("the kernel kills when memory runs out (see dmesg): use --staging=disk, or allow more memory")
            }
            Self::Failed { action: what, tail, .. } | Self::TimedOut { what, tail, .. }
                if what.contains(" hook `") && wanted_network(tail) =>
            {
                Some("it wanted the network, which hooks have with --hook-network alone")
            }
            Self::Failed { tail, .. } | Self::TimedOut { tail, .. } if wanted_network(tail) => Some(
                "it wanted the network, which package scripts do not have: preseed an answer (--debconf), or do this in a hook with \
                 --hook-network",
            ),
            Self::TimedOut { .. } => Some("give it more time with --script-timeout"),
            _ => None,
        }
    }
}

/// What a status says when SIGKILL ended a program, or a program that a shell ran.
const KILLED: [&str; 2] = ["signal 9", "exit status 137"];

/// What the usual programs say when there is no network.
const NO_NETWORK: [&str; 5] = [
    "network is unreachable",
    "temporary failure in name resolution",
    "temporary failure resolving",
    "could not resolve",
    "name or service not known",
];

/// Returns whether a program said that it has no network.
fn wanted_network(tail: &[String]) -> bool {
    // sudo says this of the name of its own host, and goes on.
    let lines = tail.iter().filter(|line| !line.starts_with("sudo: "));
    let mut lines = lines.map(|line| line.to_lowercase());
    lines.any(|line| NO_NETWORK.iter().any(|words| line.contains(words)))
}

fn quote(tail: &[String]) -> String {
    tail.iter().map(|line| format!("\n    | {line}")).collect()
}
