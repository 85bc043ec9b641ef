//! Where a root grows before anybody sees it.

use crate::early::Early;
use crate::event::Report;
use crate::hidden::Directory;
use crate::request::StagingPlace;
use crate::target::{check_executable, check_temporary, place_of, stem_of};
use crate::{Error, Event, Request, Target, memory};
use rootstrap_configure::privilege;
use rootstrap_rootfs::{Ahead, Aside, Root};
use rustix::fs::{Mode, OFlags, openat};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Bytes of files become so many per cent on disk, and scripts write some more.
const HEADROOM: u64 = 160;

/// A place of our own with the growing `root` and, beside it on the same filesystem, the `store` of file bodies.
/// Dropping it removes all that was not published.
pub(crate) struct Staging {
    ground: Ground,
    /// The growing root.
    pub root: Root,
    /// File bodies on their way.
    pub store: Root,
    early: Mutex<Option<Early>>,
    readers: Mutex<Vec<JoinHandle<()>>>,
}

enum Ground {
    /// The top of a tmpfs that is mounted nowhere: nobody has to remove it.
    Memory(OwnedFd),
    Disk(Directory),
}

impl Staging {
    /// Makes a staging area for a root of about `bytes` of files: in memory, unless there is too little of it, because
    /// nothing is left there even by a power cut. On disk a directory target grows beside its final name, so that one
    /// rename publishes it, and everything else in the temporary directory.
    pub fn create(request: &Request, bytes: u64, report: Report<'_>) -> Result<Self, Error> {
        let available = memory::available();
        let in_memory = || memory::filesystem(available / 10 * 8);
        let needed = bytes.saturating_mul(HEADROOM) / 100;
        let ground = match request.staging {
            StagingPlace::Memory => Ground::Memory(in_memory().map_err(Error::Memory)?),
            StagingPlace::Auto if needed < available / 2 => match in_memory() {
                Ok(top) => Ground::Memory(top),
                Err(errno) => {
                    report(Event::Note(format!("staging on disk: the kernel refuses a tmpfs: {errno}")));
                    on_disk(request)?
                }
            },
            StagingPlace::Auto => {
                report(Event::Note("staging on disk: there is too little memory".to_owned()));
                on_disk(request)?
            }
            StagingPlace::Disk => on_disk(request)?,
        };
        let directory = ground.directory();
        let room = |name: &str, mode: u32| -> Result<Root, Error> {
            let (path, mode) = (Path::new(name), Mode::from_raw_mode(mode));
            rustix::fs::mkdirat(directory, path, mode).map_err(Error::errno("create", path))?;
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
            let opened = openat(directory, path, flags, Mode::empty()).map_err(Error::errno("open", path))?;
            rustix::fs::fchmod(&opened, mode).map_err(Error::errno("change the mode of", path))?;
            Ok(Root::from(opened))
        };
        let aside = aside();
        let room = |name, mode| room(name, mode).map(|room| room.keeping(Arc::clone(&aside)));
        let (root, store) = (room("root", 0o755)?, room("store", 0o700)?);
        Ok(Self { ground, root, store, early: Mutex::default(), readers: Mutex::default() })
    }

    /// Begins to copy the root to the target's disk, or goes on with what is new, if it does not grow there: for when scripts
    /// are about to run.
    pub fn copy_early(&self, request: &Request) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        if early.is_none() && self.grown().is_none() {
            *early = Early::start(request, &self.root);
        }
        early.iter().for_each(Early::wake);
    }

    /// Has whoever drops this wait for a thread that still reads the root.
    pub fn wait_for(&self, reader: Option<JoinHandle<()>>) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).extend(reader);
    }

    /// What was copied so far.
    pub fn copied_early(&self) -> Option<Ahead> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner).take()?.finish()
    }

    /// The directory that has the growing root under the name `root`.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.ground.directory()
    }

    /// The hidden directory beside a directory target, if the root grows in one.
    pub fn grown(&self) -> Option<&Directory> {
        match &self.ground {
            Ground::Memory(_) => None,
            Ground::Disk(directory) => Some(directory),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        for reader in self.readers.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = reader.join();
        }
    }
}

impl Ground {
    fn directory(&self) -> BorrowedFd<'_> {
        match self {
            Self::Memory(top) => top.as_fd(),
            Self::Disk(directory) => directory.fd(),
        }
    }
}

/// For where the kernel makes no device nodes, or knows one owner only.
pub(crate) fn aside() -> Arc<Aside> {
    Arc::new(Aside::new(privilege::held() == privilege::Mode::Single))
}

fn on_disk(request: &Request) -> Result<Ground, Error> {
    let (place, stem) = match &request.target {
        Target::Directory(path) => {
            check_executable(request, path, place_of(path))?;
            (place_of(path), stem_of(path))
        }
        _ => {
            check_temporary(request)?;
            (request.temporary.as_path(), "staging".as_ref())
        }
    };
    Directory::create(place, stem).map(Ground::Disk)
}
