//! The digest of the running program, which is part of every key.

use crate::hash::{SHA256_LENGTH, sha256};
use std::fs::File;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

type Digest = Option<[u8; SHA256_LENGTH]>;

/// The SHA-256 of the running program, computed while the caller does something else.
#[derive(Debug)]
pub struct ProgramDigest {
    thread: Mutex<Option<JoinHandle<Digest>>>,
    digest: OnceLock<Digest>,
}

impl ProgramDigest {
    /// Begins to hash `/proc/self/exe` on a thread of its own.
    #[must_use]
    pub fn start() -> Self {
        let thread = thread::Builder::new().name("program".to_owned()).spawn(hash_program);
        Self { thread: Mutex::new(thread.ok()), digest: OnceLock::new() }
    }

    /// Returns the digest; the first call waits for it. `None` if the program's file cannot be read: then nothing can be
    /// stored by a key.
    #[must_use]
    pub fn get(&self) -> Option<[u8; SHA256_LENGTH]> {
        *self.digest.get_or_init(|| {
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            match thread {
                Some(thread) => thread.join().ok().flatten(),
                // No thread could be started.
                None => hash_program(),
            }
        })
    }
}

fn hash_program() -> Digest {
    File::open("/proc/self/exe").and_then(|mut file| sha256(&mut file)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_gives_the_digest_of_the_file() {
        let program = ProgramDigest::start();
        let expected = hash_program();
        assert!(expected.is_some());
        assert_eq!((program.get(), program.get()), (expected, expected));
    }
}
