//! What a process holds, and how it comes to know.

use super::janitor::Janitor;
use super::mode::Mode;
use std::ffi::OsString;

/// The mode that a process runs in, and what belongs to it.
///
/// The default is right for a process that never called [`enter`](super::enter): mode [`Root`](Mode::Root), and nobody
/// waits for it.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The mode.
    pub mode: Mode,
    /// Why each better mode does not work, one sentence each.
    pub obstacles: Vec<String>,
    /// Where to say what has to be removed if this process is killed.
    pub janitor: Janitor,
}

/// What the first process hands over to the one that continues its work.
#[derive(Clone, Debug)]
pub struct Handover {
    /// The mode in which the process runs, and what belongs to it.
    pub held: Held,
    /// What only the caller's own user can find out; see [`enter`](super::enter). It came over a socket, so no other
    /// user sees it.
    pub secret: String,
}

/// How this process was started.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The program's name and its own arguments.
    pub arguments: Vec<OsString>,
    /// What the first process handed over; `None` in the first process.
    pub handover: Option<Handover>,
}
