//! The children of this process, and the end of those that were orphaned to it.

use rustix::fs::{self, Mode, OFlags};
use rustix::process::{self, Pid, Signal};
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Opens /proc, to look at processes later, even after a change of the root.
///
/// # Errors
/// There is no /proc.
pub(crate) fn open_proc() -> rustix::io::Result<OwnedFd> {
    fs::open("/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Kills every child of this process that is not spared, with all that they have started, until none is left.
///
/// Processes that are orphaned below a subreaper become its children. A pid namespace ends its own processes; without
/// one this is the only way. The kernel kills a process group whole: none of it starts another process meanwhile. So processes that
/// start others for ever end too, if they cannot make new groups for ever.
pub(crate) fn end_orphans(proc: BorrowedFd<'_>, is_spared: &dyn Fn(Pid) -> bool) {
    loop {
        let mut orphans = children(proc);
        orphans.retain(|pid| !is_spared(*pid));
        if orphans.is_empty() {
            return;
        }
        // The number of a group that ended meanwhile belongs to nobody: the kernel gives out all others first.
        for group in groups_below(proc, &orphans) {
            let _ = process::kill_process_group(group, Signal::KILL);
        }
        for pid in &orphans {
            let _ = process::kill_process(*pid, Signal::KILL);
        }
        for pid in orphans {
            // The children of the killed process become ours; the next turn of the loop finds them.
            let _ = process::waitpid(Some(pid), process::WaitOptions::empty());
        }
    }
}

/// Returns the process groups of these processes and of all that descend from them, without the group of this process.
fn groups_below(proc: BorrowedFd<'_>, orphans: &[Pid]) -> HashSet<Pid> {
    let mut children: HashMap<Pid, Vec<Relation>> = HashMap::new();
    for relation in relations(proc) {
        children.entry(relation.parent).or_default().push(relation);
    }
    let own = process::getpid();
    let first = children.remove(&own).unwrap_or_default();
    let mut left: Vec<Relation> = first.into_iter().filter(|relation| orphans.contains(&relation.pid)).collect();
    let mut groups = HashSet::new();
    while let Some(relation) = left.pop() {
        groups.insert(relation.group);
        left.extend(children.remove(&relation.pid).unwrap_or_default());
    }
    groups.remove(&process::getpgrp());
    groups
}

/// A process, its parent and its group.
struct Relation {
    pid: Pid,
    parent: Pid,
    group: Pid,
}

/// Returns every process that has a parent here (proc_pid_stat(5)).
fn relations(proc: BorrowedFd<'_>) -> Vec<Relation> {
    let relation = |name: String| {
        let stat = text(proc, &format!("{name}/stat"))?;
        // The name in parentheses may hold any character; state, parent and group follow the last parenthesis.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(1).map(|field| Pid::from_raw(field.parse().ok()?));
        Some(Relation { pid: Pid::from_raw(name.parse().ok()?)?, parent: fields.next()??, group: fields.next()?? })
    };
    names(proc, ".").into_iter().filter_map(relation).collect()
}

/// Returns the children of this process.
pub(super) fn children(proc: BorrowedFd<'_>) -> Vec<Pid> {
    children_of(proc, process::getpid())
}

/// Returns the children of a process.
pub(crate) fn children_of(proc: BorrowedFd<'_>, parent: Pid) -> Vec<Pid> {
    let threads = format!("{}/task", parent.as_raw_nonzero());
    let read = |thread: &String| text(proc, &format!("{threads}/{thread}/children"));
    let lists: Vec<String> = names(proc, &threads).iter().filter_map(read).collect();
    // The kernel was built without CONFIG_PROC_CHILDREN.
    if lists.is_empty() {
        return children_by_parent(proc, parent);
    }
    let numbers = lists.iter().flat_map(|list| list.split_whitespace());
    numbers.filter_map(|number| Pid::from_raw(number.parse().ok()?)).collect()
}

/// Returns the same by reading the parent of every process.
fn children_by_parent(proc: BorrowedFd<'_>, parent: Pid) -> Vec<Pid> {
    let all = relations(proc).into_iter();
    all.filter(|relation| relation.parent == parent).map(|relation| relation.pid).collect()
}

/// Returns the names of the entries of a directory in /proc that are numbers.
fn names(proc: BorrowedFd<'_>, directory: &str) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = fs::openat(proc, directory, flags, Mode::empty());
    let entries = directory.and_then(fs::Dir::read_from).into_iter().flatten();
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

fn text(proc: BorrowedFd<'_>, path: &str) -> Option<String> {
    let file = fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // A process may have any name, also one that is not UTF-8.
    let mut bytes = Vec::new();
    std::fs::File::from(file).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn both_ways_find_the_children() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let proc = open_proc().unwrap();
        let proc = proc.as_fd();
        assert!(children(proc).contains(&pid) && children_by_parent(proc, process::getpid()).contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!children(proc).contains(&pid) && !children_by_parent(proc, process::getpid()).contains(&pid));
    }
}
