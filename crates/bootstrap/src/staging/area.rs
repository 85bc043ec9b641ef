//! The staging area: the growing root and the store of unpacked files beside it, in memory or on disk.

use crate::error::Error;
use crate::event::{Event, Report};
use crate::request::{Machine, Share, StagingPlace, Target};
use crate::staging::fit::{check_executable, check_temporary};
use crate::staging::hidden::HiddenDirectory;
use crate::staging::memory;
use crate::staging::ownership::fake_ownership;
use crate::staging::place::place_of;
use crate::staging::precopy::PrecopyThread;
use rootstrap_rootfs::{Precopy, Root};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The space that a root needs, in per cent of the size of its files: blocks are not filled, and scripts write files too.
const HEADROOM: u64 = 160;

/// A private place with the growing `root` and, on the same filesystem, the `store` of unpacked files. Dropping it removes everything
/// that was not published.
pub(crate) struct Staging {
    backing: Backing,
    /// The growing root.
    pub root: Root,
    /// Unpacked files that do not have their place in the root yet.
    pub store: Root,
    /// The directory target, and whether the run waits for its disk.
    destination: Option<(PathBuf, bool)>,
    /// The directory at which a root in memory is mounted, if it has a path.
    shown: Mutex<Option<HiddenDirectory>>,
    precopy: Mutex<Option<PrecopyThread>>,
    readers: Mutex<Vec<JoinHandle<()>>>,
    /// Dropped last, when the memory is free again.
    _share: Share,
}

enum Backing {
    /// The top of a tmpfs that is mounted nowhere, so nobody has to remove it.
    Memory(OwnedFd),
    Disk(HiddenDirectory),
}

impl Staging {
    /// Creates a staging area for a root with about `bytes` of files, as soon as the budget of the machine has a share for it. Memory is
    /// preferred because nothing is left there even by a power cut. On disk, a root for a directory target grows beside the target, so
    /// that one rename publishes it; every other root grows in the temporary directory.
    pub fn create(
        machine: &Machine,
        target: &Target,
        runs_scripts: bool,
        bytes: u64,
        report: Report<'_>,
    ) -> Result<Self, Error> {
        let share = machine.budget.share(&machine.cancel).ok_or(Error::Cancelled)?;
        let available = memory::available();
        let on_disk = || on_disk(machine, target, runs_scripts);
        let needed = bytes.saturating_mul(HEADROOM) / 100;
        let backing = match machine.staging {
            StagingPlace::Memory => {
                let limit = share.memory(needed, available, true).unwrap_or(0);
                Backing::Memory(memory::filesystem(limit).map_err(Error::Memory)?)
            }
            StagingPlace::Auto => match share.memory(needed, available, false).map(memory::filesystem) {
                Some(Ok(top)) => Backing::Memory(top),
                Some(Err(errno)) => {
                    report(Event::Note(format!("staging on disk: the kernel refuses a tmpfs: {errno}")));
                    on_disk()?
                }
                None => {
                    report(Event::Note("staging on disk: there is too little memory".to_owned()));
                    on_disk()?
                }
            },
            StagingPlace::Disk => on_disk()?,
        };
        let directory = backing.directory();
        let fake_ownership = fake_ownership(machine.mode);
        let create = |name: &str, mode: u32| {
            add_root(directory, name, mode).map(|root| root.with_fake_ownership(Arc::clone(&fake_ownership)))
        };
        let (root, store) = (create("root", 0o755)?, create("store", 0o700)?);
        let destination = match target {
            Target::Directory(path) => Some((path.clone(), machine.sync)),
            _ => None,
        };
        let (shown, precopy, readers) = Default::default();
        Ok(Self { backing, root, store, destination, shown, precopy, readers, _share: share })
    }

    /// Creates another directory beside the root, for files of root alone.
    pub fn add(&self, name: &str, mode: u32) -> Result<Root, Error> {
        add_root(self.directory(), name, mode)
    }

    /// Starts to copy the root to the disk of a directory target, or wakes the thread that does. Call it when scripts are about to run:
    /// they leave the disk idle. Does nothing where the root already grows on that disk.
    pub fn precopy(&self) {
        let mut precopy = self.precopy.lock().unwrap_or_else(PoisonError::into_inner);
        if precopy.is_none()
            && self.hidden_directory().is_none()
            && let Some((path, sync)) = &self.destination
        {
            *precopy = PrecopyThread::start(path, *sync, &self.root);
        }
        precopy.iter().for_each(PrecopyThread::wake);
    }

    /// Ends the copying and returns what was copied so far.
    pub fn take_precopy(&self) -> Option<Precopy> {
        self.precopy.lock().unwrap_or_else(PoisonError::into_inner).take()?.finish()
    }

    /// Makes the drop of the staging area wait for a thread that still reads the root.
    pub fn wait_for(&self, reader: Option<JoinHandle<()>>) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).extend(reader);
    }

    /// Returns the directory that holds the growing root under the name `root`.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.backing.directory()
    }

    /// Gives the root a path, and returns it. Memory is mounted in the mount namespace of this process. Call it before a sandbox takes the
    /// mount into its own.
    pub fn show(&self, machine: &Machine) -> Result<PathBuf, Error> {
        let directory = match &self.backing {
            Backing::Disk(directory) => directory.path(),
            Backing::Memory(top) => {
                let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(shown) = &*shown {
                    shown.path()
                } else {
                    let place = HiddenDirectory::create(&machine.temporary, "hook".as_ref(), &machine.janitor)?;
                    let path = place.path();
                    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                    move_mount(top, "", CWD, &path, flags).map_err(Error::errno("mount the root at", &path))?;
                    *shown = Some(place);
                    path
                }
            }
        };
        std::path::absolute(directory.join("root")).map_err(Error::io("find", &directory))
    }

    /// Returns the hidden directory that the root grows in, if it grows on disk.
    pub fn hidden_directory(&self) -> Option<&HiddenDirectory> {
        match &self.backing {
            Backing::Memory(_) => None,
            Backing::Disk(directory) => Some(directory),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        for reader in self.readers.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = reader.join();
        }
        if let Some(shown) = self.shown.get_mut().unwrap_or_else(PoisonError::into_inner) {
            // Nothing but the mount point may be removed.
            let _ = unmount(shown.path(), UnmountFlags::DETACH);
        }
    }
}

impl Backing {
    fn directory(&self) -> BorrowedFd<'_> {
        match self {
            Self::Memory(top) => top.as_fd(),
            Self::Disk(directory) => directory.fd(),
        }
    }
}

/// Creates a directory for files of root, and opens it as a tree.
pub(crate) fn add_root(directory: BorrowedFd<'_>, name: &str, mode: u32) -> Result<Root, Error> {
    let (path, mode) = (Path::new(name), Mode::from_raw_mode(mode));
    rustix::fs::mkdirat(directory, path, mode).map_err(Error::errno("create", path))?;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = openat(directory, path, flags, Mode::empty()).map_err(Error::errno("open", path))?;
    rustix::fs::fchmod(&opened, mode).map_err(Error::errno("change the mode of", path))?;
    Ok(Root::from(opened))
}

fn on_disk(machine: &Machine, target: &Target, runs_scripts: bool) -> Result<Backing, Error> {
    let janitor = &machine.janitor;
    let directory = match target {
        Target::Directory(path) => {
            check_executable(runs_scripts, path, place_of(path))?;
            HiddenDirectory::for_target(path, janitor)
        }
        _ => {
            check_temporary(machine, runs_scripts)?;
            HiddenDirectory::create(&machine.temporary, "staging".as_ref(), janitor)
        }
    };
    directory.map(Backing::Disk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Budget, Host};

    /// Areas that are made at the same time see the same free memory, before any of them is filled.
    #[test]
    fn areas_share_the_memory() {
        let place = tempfile::tempdir().unwrap();
        let machine = Machine { temporary: place.path().to_owned(), ..Machine::new(Host::default(), 0) };
        let machine = Machine { budget: Arc::new(Budget::new(2)), ..machine };
        let third = memory::available() * 100 / HEADROOM / 3;
        let notes = Mutex::new(Vec::new());
        let report = |event| notes.lock().unwrap().push(format!("{event:?}"));
        let create = || Staging::create(&machine, &Target::Nowhere, false, third, &report).unwrap();
        let (first, second) = (create(), create());
        if notes.lock().unwrap().iter().any(|note| note.contains("refuses a tmpfs")) {
            return rootstrap_testkit::skip("the kernel gives this user no tmpfs");
        }
        let is_on_disk = |staging: &Staging| staging.hidden_directory().is_some();
        assert!(!is_on_disk(&first) && is_on_disk(&second), "{notes:?}");
        drop(first);
        drop(second);
        assert!(!is_on_disk(&create()), "{notes:?}");
    }
}
