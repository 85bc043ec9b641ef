//! What the waiting parent removes when its child is killed, because nobody else can.
//!
//! Paths below a directory of another user can lead elsewhere by the time that they are followed again. So the child says which
//! directory holds a name, and which file got it, by device and inode number, and nothing else is removed.

use crate::wire;
use rootstrap_rootfs::Root;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::{self, Signal};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// First argument of a process that only removes what a killed one left; the other arguments are those of
/// [`Leftover::to_arguments`].
pub(super) const REMOVE: &str = "__rootstrap-remove";

/// A way to tell the waiting parent what it has to remove if this process is killed.
///
/// Clones talk to the same parent. The default has no parent and does nothing.
#[derive(Clone, Debug, Default)]
pub struct Janitor(Option<Arc<Mutex<UnixStream>>>);

impl Janitor {
    /// Returns the handle that talks to the parent over `socket`.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self(Some(Arc::new(Mutex::new(socket))))
    }

    /// Has the parent remove the name of `path` from the open `directory` if this process is killed. Call it before the name
    /// exists. Until [`Janitor::made`] says what has the name, the parent removes only an empty file or directory.
    pub fn remove_on_death(&self, directory: BorrowedFd<'_>, path: &Path) {
        self.send("remove", path, &Identity::of(directory).map(Identity::to_text).unwrap_or_default());
    }

    /// Says that the name of `path` belongs to the open `file`: a file, or a directory that is removed with all its contents.
    pub fn made(&self, path: &Path, file: BorrowedFd<'_>) {
        self.send("made", path, &Identity::of(file).map(Identity::to_text).unwrap_or_default());
    }

    /// Takes [`Janitor::remove_on_death`] back: `path` is part of the result now.
    pub fn keep(&self, path: &Path) {
        self.send("keep", path, "");
    }

    /// Ends this process when its parent has ended and `grace` has passed since then, whatever it is doing. Until then it has
    /// time to end in order. Without this, a loop that hears no signal would go on for nobody.
    pub fn end_after_parent(&self, grace: Duration) {
        let Some(parent) = &self.0 else { return };
        let Ok(socket) = parent.lock().unwrap_or_else(PoisonError::into_inner).try_clone() else { return };
        // Without the thread, this process still gets a signal when the parent ends.
        let _ = std::thread::Builder::new().name("parent".into()).spawn(move || {
            wait_for_end(&socket);
            std::thread::sleep(grace);
            let _ = process::kill_process(process::getpid(), Signal::KILL);
        });
    }

    fn send(&self, word: &str, path: &Path, identity: &str) {
        if let Some(parent) = &self.0 {
            let mut socket = parent.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = wire::send(&mut *socket, &[word, &to_hex(path), identity]);
        }
    }
}

/// Waits until the other side of a socket is closed.
fn wait_for_end(socket: &UnixStream) {
    // A hangup is reported whether it is asked for or not.
    let mut ready = [PollFd::new(socket, PollFlags::empty())];
    while let Err(Errno::INTR) = poll(&mut ready, None) {}
}

/// Device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity(u64, u64);

impl From<Stat> for Identity {
    #[allow(clippy::useless_conversion, reason = "the widths of numbers differ by architecture")]
    fn from(stat: Stat) -> Self {
        Self(stat.st_dev.into(), stat.st_ino.into())
    }
}

impl Identity {
    fn of(file: BorrowedFd<'_>) -> Option<Self> {
        fstat(file).ok().map(Into::into)
    }

    fn to_text(self) -> String {
        format!("{}:{}", self.0, self.1)
    }

    fn from_text(text: &str) -> Option<Self> {
        let (device, inode) = text.split_once(':')?;
        Some(Self(device.parse().ok()?, inode.parse().ok()?))
    }
}

/// What a killed process may have left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leftover {
    path: PathBuf,
    /// The directory that holds the name.
    directory: Identity,
    /// What has the name; `None` if the process did not come to say so.
    made: Option<Identity>,
}

impl Leftover {
    /// Whether something has the name.
    pub fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Returns the arguments that describe it to a process that removes it.
    pub fn to_arguments(&self) -> [OsString; 3] {
        let made = self.made.map(Identity::to_text).unwrap_or_default();
        [self.path.clone().into(), self.directory.to_text().into(), made.into()]
    }

    fn from_arguments(arguments: &[OsString; 3]) -> Option<Self> {
        let [path, directory, made] = arguments;
        let made = Identity::from_text(made.to_str()?);
        Some(Self { path: path.into(), directory: Identity::from_text(directory.to_str()?)?, made })
    }

    /// Removes it, if the name still belongs to what this program made. `None` if anything else is there.
    fn remove(&self) -> Option<()> {
        let (parent, name) = (self.path.parent()?, self.path.file_name()?);
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, parent, flags, Mode::empty()).ok()?;
        let held = openat(&directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let found = fstat(&held).ok()?;
        let is_ours = Identity::of(directory.as_fd())? == self.directory
            && found.st_uid == rustix::process::geteuid().as_raw()
            && self.made.is_none_or(|made| made == found.into());
        if !is_ours {
            return None;
        }
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {
                if self.made.is_some() {
                    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
                    let root = Root::from(openat(&held, ".", flags, Mode::empty()).ok()?);
                    root.remove_children(b"").ok()?;
                }
                unlinkat(&directory, name, AtFlags::REMOVEDIR).ok()
            }
            FileType::RegularFile if self.made.is_some() || found.st_size == 0 => {
                let named = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
                let is_same = Identity::from(named) == Identity::from(found);
                if is_same { unlinkat(&directory, name, AtFlags::empty()).ok() } else { None }
            }
            _ => None,
        }
    }
}

/// Listens until the child is gone. Returns what the child wants to have removed then.
pub(super) fn listen(socket: &mut UnixStream) -> Vec<Leftover> {
    let mut leftovers: Vec<Leftover> = Vec::new();
    while let Ok(Some(words)) = wire::receive(socket) {
        let [word, path, identity] = words.as_slice() else { continue };
        let (Some(path), identity) = (from_hex(path), Identity::from_text(identity)) else { continue };
        if word == "made" {
            leftovers.iter_mut().filter(|known| known.path == path).for_each(|known| known.made = identity);
            continue;
        }
        leftovers.retain(|known| known.path != path);
        if let ("remove", Some(directory)) = (word.as_str(), identity) {
            leftovers.push(Leftover { path, directory, made: None });
        }
    }
    leftovers
}

/// Removes what a killed process left and ends this process, if it was started for that. `arguments` are those of a
/// process that runs in a mode already.
pub(crate) fn remove_if_asked(arguments: &[OsString]) {
    let [_, word, leftovers @ ..] = arguments else { return };
    if word != REMOVE {
        return;
    }
    for leftover in leftovers.as_chunks().0.iter().filter_map(Leftover::from_arguments) {
        let _ = leftover.remove();
    }
    std::process::exit(0);
}

/// A path may hold any byte but NUL, and a frame only text, so paths travel in hexadecimal.
fn to_hex(path: &Path) -> String {
    base16ct::lower::encode_string(path.as_os_str().as_bytes())
}

fn from_hex(text: &str) -> Option<PathBuf> {
    let bytes = base16ct::lower::decode_vec(text).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::fs::File;

    #[test]
    fn any_path_gets_through() {
        let path = Path::new(OsStr::from_bytes(b"/tmp/a \xff\n'\0b"));
        assert_eq!(from_hex(&to_hex(path)).unwrap(), path);
        assert_eq!(from_hex("zz"), None);
        assert_eq!(from_hex("0"), None);
    }

    #[test]
    fn the_end_of_the_parent_is_noticed_while_nothing_is_said() {
        let (parent, child) = UnixStream::pair().unwrap();
        let (said, heard) = std::sync::mpsc::channel();
        let watcher = std::thread::spawn(move || {
            wait_for_end(&child);
            said.send(()).unwrap();
        });
        assert!(heard.try_recv().is_err());
        drop(parent);
        assert!(heard.recv_timeout(Duration::from_secs(60)).is_ok());
        watcher.join().unwrap();
    }

    #[test]
    fn the_parent_learns_what_to_remove() {
        let place = tempfile::tempdir().unwrap();
        let directory = File::open(place.path()).unwrap();
        let (mut parent, child) = UnixStream::pair().unwrap();
        let janitor = Janitor::new(child);
        let other = janitor.clone();
        janitor.remove_on_death(directory.as_fd(), Path::new("/a"));
        other.remove_on_death(directory.as_fd(), Path::new("/b"));
        janitor.remove_on_death(directory.as_fd(), Path::new("/c"));
        other.made(Path::new("/c"), directory.as_fd());
        other.keep(Path::new("/a"));
        Janitor::default().remove_on_death(directory.as_fd(), Path::new("/d"));
        drop((janitor, other));
        let left = listen(&mut parent);
        let paths: Vec<_> = left.iter().map(|left| (left.path.to_str().unwrap(), left.made.is_some())).collect();
        assert_eq!(paths, [("/b", false), ("/c", true)]);
        assert_eq!(Leftover::from_arguments(&left[1].to_arguments()).unwrap(), left[1]);
        assert_eq!(Leftover::from_arguments(&left[0].to_arguments()).unwrap(), left[0]);
    }

    /// A user who owns the directory puts something of root's under the name, or another directory under the path.
    #[test]
    fn only_what_was_made_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("elsewhere/staging/canary")).unwrap();
        fs::create_dir_all(at("mine/staging/root/etc")).unwrap();
        let directory = Identity::of(File::open(at("mine")).unwrap().as_fd()).unwrap();
        let made = Identity::of(File::open(at("mine/staging")).unwrap().as_fd());
        let leftover = Leftover { path: at("mine/staging"), directory, made };
        // Another directory has the name.
        fs::rename(at("mine/staging"), at("mine/moved")).unwrap();
        fs::rename(at("elsewhere/staging"), at("mine/staging")).unwrap();
        assert_eq!(leftover.remove(), None);
        // A link has the name.
        fs::rename(at("mine/staging"), at("elsewhere/staging")).unwrap();
        std::os::unix::fs::symlink(at("elsewhere/staging"), at("mine/staging")).unwrap();
        assert_eq!(leftover.remove(), None);
        // The path leads to another directory.
        fs::rename(at("mine"), at("was-mine")).unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("mine")).unwrap();
        assert_eq!(leftover.remove(), None);
        let unsaid = Leftover { made: None, ..leftover.clone() };
        assert_eq!(unsaid.remove(), None);
        assert!(at("elsewhere/staging/canary").is_dir());
        // As it was made.
        fs::remove_file(at("mine")).unwrap();
        fs::rename(at("was-mine"), at("mine")).unwrap();
        fs::remove_file(at("mine/staging")).unwrap();
        fs::rename(at("mine/moved"), at("mine/staging")).unwrap();
        assert_eq!(unsaid.remove(), None, "it is not empty, and nobody said that it was made");
        assert_eq!(leftover.remove(), Some(()));
        assert!(!at("mine/staging").exists());
    }
}
