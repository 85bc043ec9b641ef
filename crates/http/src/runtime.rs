//! The threads that wait for the network.

use std::io;
use std::sync::mpsc;
use tokio::runtime::{Builder, Runtime};

/// Returns so many threads that wait for the network.
///
/// # Errors
/// A limit on memory or processes keeps this process from starting threads. tokio would panic, and then wait for ever for those that it
/// could start, so as many threads and one more are started and ended first.
pub fn runtime(name: &str, threads: usize) -> io::Result<Runtime> {
    let mut waiting = Vec::new();
    for _ in 0..=threads {
        let (ends, end) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || end.recv())?;
        waiting.push((ends, thread));
    }
    for (ends, thread) in waiting {
        drop(ends);
        let _ = thread.join();
    }
    Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()
}
