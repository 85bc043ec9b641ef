//! Whether standard output was closed when this program was started.
//!
//! Before `main`, Rust's runtime opens /dev/null in the place of a closed standard stream, so that no other file gets its number. After
//! that, an archive would be written to nowhere with success.
#![allow(unsafe_code, reason = "only a function that runs before the runtime can see the closed descriptor")]

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// The C library calls this before Rust's runtime starts.
// SAFETY: the section holds addresses of functions that take no arguments, which is what this is.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: the kernel is only asked about the number.
    let stdout = unsafe { BorrowedFd::borrow_raw(1) };
    WAS_CLOSED.store(rustix::io::fcntl_getfd(stdout).is_err(), Ordering::Relaxed);
}

/// Whether standard output was closed.
pub(crate) fn was_closed() -> bool {
    WAS_CLOSED.load(Ordering::Relaxed)
}
