//! Files go to the target's disk while scripts still run. What they change afterwards is copied once more.

use crate::target::place_of;
use crate::{Request, Target};
use rootstrap_rootfs::{Ahead, Root};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// A thread that copies the files of a growing root.
pub(crate) struct Early {
    thread: Option<JoinHandle<Ahead>>,
    /// A word for each time there is something new to copy.
    news: Option<Sender<()>>,
    stop: Arc<AtomicBool>,
}

impl Early {
    /// Starts one for `root`, if it goes to a directory. `None` where that is of no use or not possible: what is in the way
    /// is told when the root is published.
    pub fn start(request: &Request, root: &Root) -> Option<Self> {
        let Target::Directory(path) = &request.target else { return None };
        let (store, from) = (Root::open(place_of(path)).ok()?, root.below(b"").ok()?);
        let store = store.keeping(root.aside().cloned().unwrap_or_default());
        let stop = Arc::new(AtomicBool::new(false));
        let (news, receiver) = channel();
        let (sync, stopped) = (request.sync, Arc::clone(&stop));
        let copy = move || {
            let mut ahead = Ahead::new(store);
            while receiver.recv().is_ok() {
                ahead.copy(&from, &stopped);
                if sync && !stopped.load(Ordering::Relaxed) {
                    // So much less is left to wait for at the end.
                    ahead.flush();
                }
            }
            ahead
        };
        let thread = std::thread::Builder::new().spawn(copy).ok()?;
        Some(Self { thread: Some(thread), news: Some(news), stop })
    }

    /// Says that files have been added.
    pub fn wake(&self) {
        if let Some(news) = &self.news {
            let _ = news.send(());
        }
    }

    /// Ends the thread. What it has copied.
    pub fn finish(mut self) -> Option<Ahead> {
        self.end()
    }

    fn end(&mut self) -> Option<Ahead> {
        self.stop.store(true, Ordering::Relaxed);
        self.news = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        self.end();
    }
}
