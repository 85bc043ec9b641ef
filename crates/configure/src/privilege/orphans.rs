//! The children of this process, and the end of those that were orphaned to it.

use rustix::process::{self, Pid, Signal};

/// Kills every child of this process that is not in `spared`, until none is left.
///
/// Processes that are orphaned below a subreaper become its children. A pid namespace ends its own processes; without
/// one this is the only way.
pub(crate) fn end_orphans(spared: &[Pid]) {
    loop {
        let mut orphans = children();
        orphans.retain(|pid| !spared.contains(pid));
        if orphans.is_empty() {
            return;
        }
        for pid in orphans {
            let _ = process::kill_process(pid, Signal::KILL);
            // The children of the killed process become ours; the next turn of the loop finds them.
            let _ = process::waitpid(Some(pid), process::WaitOptions::empty());
        }
    }
}

/// Returns the children of this process.
pub(super) fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists: Result<Vec<String>, _> =
        threads.map(|thread| std::fs::read_to_string(thread.path().join("children"))).collect();
    match lists {
        Ok(lists) => {
            let numbers = lists.iter().flat_map(|list| list.split_whitespace());
            numbers.filter_map(|number| Pid::from_raw(number.parse().ok()?)).collect()
        }
        // The kernel was built without CONFIG_PROC_CHILDREN.
        Err(_) => children_by_parent(),
    }
}

/// Returns the same by reading the parent of every process (proc_pid_stat(5)).
fn children_by_parent() -> Vec<Pid> {
    let own = process::getpid().as_raw_nonzero().to_string();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = entries.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold any character; state and parent follow the last parenthesis.
        let (_, rest) = stat.rsplit_once(')')?;
        (rest.split_whitespace().nth(1)? == own).then_some(pid)
    });
    children.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_children() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(children().contains(&pid) && children_by_parent().contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!children().contains(&pid) && !children_by_parent().contains(&pid));
    }
}
