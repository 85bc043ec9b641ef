//! What the waiting parent removes when its child is killed, because nobody else can.

use crate::wire;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// First argument of a process that only removes what a killed one left; the other arguments are the paths.
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

    /// Has the parent remove `path`, a file or a directory with all its contents, if this process is killed.
    pub fn remove_on_death(&self, path: &Path) {
        self.send("remove", path);
    }

    /// Takes [`Janitor::remove_on_death`] back: `path` is part of the result now.
    pub fn keep(&self, path: &Path) {
        self.send("keep", path);
    }

    fn send(&self, word: &str, path: &Path) {
        if let Some(parent) = &self.0 {
            let mut socket = parent.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = wire::send(&mut *socket, &[word, &to_hex(path)]);
        }
    }
}

/// Listens until the child is gone. Returns the paths that the child wants to have removed then.
pub(super) fn listen(socket: &mut UnixStream) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    while let Ok(Some(words)) = wire::receive(socket) {
        let [word, path] = words.as_slice() else { continue };
        let Some(path) = from_hex(path) else { continue };
        paths.retain(|known| *known != path);
        if word == "remove" {
            paths.push(path);
        }
    }
    paths
}

/// Removes what a killed process left and ends this process, if it was started for that. `arguments` are those of a
/// process that runs in a mode already.
pub(crate) fn remove_if_asked(arguments: &[OsString]) {
    let [_, word, paths @ ..] = arguments else { return };
    if word != REMOVE {
        return;
    }
    for path in paths {
        let path = Path::new(path);
        let _ = std::fs::remove_dir_all(path).or_else(|_| std::fs::remove_file(path));
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

    #[test]
    fn any_path_gets_through() {
        let path = Path::new(OsStr::from_bytes(b"/tmp/a \xff\n'\0b"));
        assert_eq!(from_hex(&to_hex(path)).unwrap(), path);
        assert_eq!(from_hex("zz"), None);
        assert_eq!(from_hex("0"), None);
    }

    #[test]
    fn the_parent_learns_what_to_remove() {
        let (mut parent, child) = UnixStream::pair().unwrap();
        let janitor = Janitor::new(child);
        let other = janitor.clone();
        janitor.remove_on_death(Path::new("/a"));
        other.remove_on_death(Path::new("/b"));
        janitor.remove_on_death(Path::new("/c"));
        other.keep(Path::new("/a"));
        Janitor::default().remove_on_death(Path::new("/d"));
        drop((janitor, other));
        assert_eq!(listen(&mut parent), [Path::new("/b"), Path::new("/c")]);
    }
}
