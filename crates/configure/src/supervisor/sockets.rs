//! Sockets of programs that make them by socketcall(2), whose arguments are in memory: a filter cannot read them, and a script
//! could change them after somebody has. So the supervisor's thread enters the sandbox's network namespace and makes the socket.
#![allow(unsafe_code, reason = "socket(2) with any type and protocol")]

use super::reply::Reply;
use super::task::{Task, last_error};
use crate::calls::Call;
use crate::seccomp::FAMILIES;
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

/// Has this thread make sockets in the network namespace that `namespace` is. Returns whether it does.
pub(super) fn enter(namespace: Option<&OwnedFd>) -> bool {
    let enter = |namespace: &OwnedFd| move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
    namespace.is_some_and(|namespace| enter(namespace).is_ok())
}

/// Returns the answer to socketcall(SYS_SOCKET, …); `None` for any other call.
pub(super) fn answer(task: &Task<'_>, call: Call, arguments: &[u64; 6]) -> Option<Reply> {
    if call != Call::Socketcall {
        return None;
    }
    let made = || -> Result<(), Errno> {
        let words = task.read(arguments[1], 3 * task.word)?;
        let [family, kind, protocol] = [0, 1, 2].map(|position| word(&words, position, task.word));
        if !FAMILIES.contains(&family) {
            return Err(Errno::AFNOSUPPORT);
        }
        let (family, kind, protocol) = (family.cast_signed(), kind.cast_signed(), protocol.cast_signed());
        // SAFETY: the call takes numbers.
        let socket = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
        if socket < 0 {
            return Err(last_error());
        }
        // SAFETY: the descriptor is new, so nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        task.give(&socket, kind & libc::SOCK_CLOEXEC != 0)
    };
    Some(made().map_or_else(Reply::Fails, |()| Reply::Answered))
}

/// Returns the lower 32 bits of a word of `size` bytes.
fn word(words: &[u8], position: usize, size: usize) -> u32 {
    let offset = if cfg!(target_endian = "big") { size - 4 } else { 0 };
    let bytes = words.get(position * size + offset..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_words_of_the_program() {
        let words = [2u32, 1, 6].map(u32::to_ne_bytes).concat();
        assert_eq!([0, 1, 2].map(|position| word(&words, position, 4)), [2, 1, 6]);
        let words = [2u64, 1, 6].map(u64::to_ne_bytes).concat();
        assert_eq!([0, 1, 2].map(|position| word(&words, position, 8)), [2, 1, 6]);
        assert_eq!(word(&words, 3, 8), 0);
    }
}
