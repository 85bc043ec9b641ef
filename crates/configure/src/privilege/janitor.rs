//! What is left to do for the waiting parent when its child is killed: nobody else can.

use super::Mode;
use crate::wire;
use rustix::process::{self, Pid, Signal};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// First argument of a program that only removes what a killed one left; the others are what.
const REMOVE: &str = "__rootstrap-remove";

/// The way to the parent.
static PARENT: OnceLock<Mutex<UnixStream>> = OnceLock::new();

pub(super) fn remember(socket: UnixStream) {
    let _ = PARENT.set(Mutex::new(socket));
}

/// Has the waiting parent remove `path`, a file or a directory with all that is in it, if this process is killed. Without
/// a parent nothing happens.
pub fn on_death_remove(path: &Path) {
    tell("remove", path);
}

/// Takes [`on_death_remove`] back: `path` is part of the result now.
pub fn on_death_keep(path: &Path) {
    tell("keep", path);
}

fn tell(word: &str, path: &Path) {
    if let Some(parent) = PARENT.get() {
        let mut socket = parent.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = wire::send(&mut *socket, &[word, &to_hex(path)]);
    }
}

/// Listens until the child is gone; what it wants removed then.
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

/// After a killed child: ends what is left of it and removes what it had. `before`: the children of the process there were
/// before, which are somebody else's.
pub(super) fn clean(mode: Mode, paths: &[PathBuf], arguments: &[OsString], before: &[Pid]) {
    end_orphans(before);
    let Some(program) = arguments.first() else { return };
    if paths.iter().any(|path| path.symlink_metadata().is_ok()) {
        // In the same mode: the files may belong to ids that only it has.
        let mut arguments = vec![program.clone(), REMOVE.into()];
        arguments.extend(paths.iter().map(OsString::from));
        let _ = super::start(mode, &[], &arguments, "", &|_| {});
    }
}

/// Removes what was left, if this process was started for that. Ends the process then.
pub(crate) fn remove_if_asked(arguments: &[OsString]) {
    let [_, word, paths @ ..] = arguments else { return };
    if word != REMOVE || super::HELD.get().is_none() {
        return;
    }
    for path in paths {
        let path = Path::new(path);
        let _ = std::fs::remove_dir_all(path).or_else(|_| std::fs::remove_file(path));
    }
    std::process::exit(0);
}

/// Kills every process that has become a child of this one, but for those of `before`, until none is left. A pid namespace
/// ends its own; without one this is the only way.
pub(crate) fn end_orphans(before: &[Pid]) {
    loop {
        let mut orphans = children();
        orphans.retain(|pid| !before.contains(pid));
        if orphans.is_empty() {
            return;
        }
        for pid in orphans {
            let _ = process::kill_process(pid, Signal::KILL);
            // Its own children become ours by that and are seen in the next turn.
            let _ = process::waitpid(Some(pid), process::WaitOptions::empty());
        }
    }
}

/// The children of this process.
pub(super) fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists: Result<Vec<String>, _> =
        threads.map(|thread| std::fs::read_to_string(thread.path().join("children"))).collect();
    match lists {
        Ok(lists) => {
            let numbers = lists.iter().flat_map(|list| list.split_whitespace());
            numbers.filter_map(|number| Pid::from_raw(number.parse().ok()?)).collect()
        }
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => children_by_parent(),
    }
}

/// The same by looking at every process (proc_pid_stat(5)).
fn children_by_parent() -> Vec<Pid> {
    let own = process::getpid().as_raw_nonzero().to_string();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = entries.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything; state and parent come after its end.
        let (_, rest) = stat.rsplit_once(')')?;
        (rest.split_whitespace().nth(1)? == own).then_some(pid)
    });
    children.collect()
}

fn to_hex(path: &Path) -> String {
    path.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<PathBuf> {
    let digits = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    let bytes: Option<Vec<u8>> = digits.collect();
    Some(PathBuf::from(OsStr::from_bytes(&bytes?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_found_in_both_ways() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(children().contains(&pid) && children_by_parent().contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!children().contains(&pid) && !children_by_parent().contains(&pid));
    }

    #[test]
    fn any_path_gets_through() {
        let path = Path::new(OsStr::from_bytes(b"/tmp/a \xff\n'\0b"));
        assert_eq!(from_hex(&to_hex(path)).unwrap(), path);
        assert_eq!(from_hex("zz"), None);
        assert_eq!(from_hex("0"), None);
    }
}
