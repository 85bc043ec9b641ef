//! A thread that copies files to the target's disk while scripts still run. Files that change afterwards are copied once more.

use crate::staging::place::place_of;
use rootstrap_rootfs::{Precopy, Root};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// A thread that copies the files of a growing root.
pub(super) struct PrecopyThread {
    thread: Option<JoinHandle<Precopy>>,
    /// Receives one message for each time that there are new files to copy.
    wake: Option<Sender<()>>,
    stop: Arc<AtomicBool>,
}

impl PrecopyThread {
    /// Starts a thread that copies `root` beside the directory target `path`. Returns `None` where that is impossible: publishing the
    /// root then reports what is in the way.
    pub fn start(path: &Path, sync: bool, root: &Root) -> Option<Self> {
        let (store, from) = (Root::open(place_of(path)).ok()?, root.below(b"").ok()?);
        let store = store.with_fake_ownership(root.fake_ownership().cloned().unwrap_or_default());
        let stop = Arc::new(AtomicBool::new(false));
        let (wake, receiver) = channel();
        let stopped = Arc::clone(&stop);
        let copy = move || {
            let mut precopy = Precopy::new(store);
            while receiver.recv().is_ok() {
                precopy.copy(&from, &stopped);
                if sync && !stopped.load(Ordering::Relaxed) {
                    // What the disk has now does not have to be waited for at the end.
                    precopy.flush();
                }
            }
            precopy
        };
        let thread = std::thread::Builder::new().spawn(copy).ok()?;
        Some(Self { thread: Some(thread), wake: Some(wake), stop })
    }

    /// Tells the thread that files have been added.
    pub fn wake(&self) {
        if let Some(wake) = &self.wake {
            let _ = wake.send(());
        }
    }

    /// Ends the thread and returns what it has copied.
    pub fn finish(mut self) -> Option<Precopy> {
        self.end()
    }

    fn end(&mut self) -> Option<Precopy> {
        self.stop.store(true, Ordering::Relaxed);
        self.wake = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for PrecopyThread {
    fn drop(&mut self) {
        self.end();
    }
}
