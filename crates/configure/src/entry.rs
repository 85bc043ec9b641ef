//! The first step of `main`: find out which part of the program this process was started to be.

use crate::privilege::{self, Invocation};
use crate::{emulator, hook, init, shell};
use std::ffi::OsString;

/// Becomes the stage that this same program started this process as, if it did. Otherwise returns the program's own
/// arguments and what the process was handed.
///
/// A program that uses [`Sandbox`](crate::Sandbox) or [`privilege::enter`] calls this first in `main`, before it starts a
/// thread, and goes on with the result.
#[must_use]
pub fn enter_if_asked() -> Invocation {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.as_slice() {
        [_, stage, mode, users, network, native, root, emulators @ ..] if stage == init::OUTER => {
            init::end_with(init::outer([mode, users, network, native, root], emulators));
        }
        [_, stage, mode, users, network, native, root, emulators @ ..] if stage == init::INNER => {
            init::end_with(init::inner([mode, users, network, native, root], emulators));
        }
        [_, stage, rest @ ..] if hook::is_stage(stage) => match hook::words(rest) {
            Some(words) if stage == hook::OUTER => hook::end_with(hook::outer(words)),
            Some(words) => hook::end_with(hook::inner(words)),
            None => {}
        },
        [_, stage, rest @ ..] if shell::is_stage(stage) => shell::run_stage(stage, rest),
        [_, stage, process] if stage == emulator::MAPPER => emulator::map(&process.to_string_lossy()),
        [_, stage, rest @ ..] if stage == privilege::STAGE => {
            privilege::stage(rest);
            std::process::exit(1);
        }
        [_, stage, rest @ ..] if stage == privilege::INSIDE => {
            if let Some(invocation) = privilege::inside(rest) {
                privilege::remove_if_asked(&invocation.arguments);
                return invocation;
            }
        }
        _ => {}
    }
    Invocation { arguments, handover: None }
}
