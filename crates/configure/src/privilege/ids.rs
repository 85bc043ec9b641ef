//! Which ids a user namespace gets (user_namespaces(7)).

use super::mode::Mode;
use super::obstacle::Obstacle;
use rustix::process;
use std::process::Command;

/// How many ids a system needs: Debian and Ubuntu number their users up to 65534.
pub(super) const NEEDED: u64 = 65535;

/// How the ids of a new user namespace map to those of this one.
pub(super) enum Map {
    /// There is no new user namespace.
    None,
    /// The setuid helpers newuidmap(1) and newgidmap(1) write the map: id 0 is the caller, the others come from these
    /// ranges (first id, count).
    Helpers { users: (u32, u32), groups: (u32, u32) },
    /// Every id of this namespace maps to itself.
    Same,
    /// Id 0 is the caller; there is no other id.
    Own,
}

impl Map {
    /// Returns the map that `mode` needs.
    pub(super) fn of(mode: Mode) -> Result<Self, Obstacle> {
        let uid = process::getuid();
        match mode {
            Mode::Root | Mode::Chroot => Ok(Self::None),
            Mode::Single => Ok(Self::Own),
            Mode::Unshare if uid.is_root() && of_this_namespace() >= NEEDED => Ok(Self::Same),
            Mode::Unshare => {
                let range = |file| subordinate(file, uid.as_raw());
                Ok(Self::Helpers { users: range("/etc/subuid")?, groups: range("/etc/subgid")? })
            }
        }
    }

    /// Gives the process `child`, which is in its new user namespace already, its ids.
    pub(super) fn write(&self, child: u32) -> Result<(), Obstacle> {
        let (uid, gid) = (process::geteuid().as_raw(), process::getegid().as_raw());
        match self {
            Self::None => Ok(()),
            Self::Helpers { users, groups } => {
                run_helper("newuidmap", child, uid, *users)?;
                run_helper("newgidmap", child, gid, *groups)
            }
            Self::Same => {
                write(child, "uid_map", &same("/proc/self/uid_map"))?;
                write(child, "gid_map", &same("/proc/self/gid_map"))
            }
            Self::Own => {
                // An unprivileged process may map a group only after this (user_namespaces(7)).
                write(child, "setgroups", "deny")?;
                write(child, "uid_map", &format!("0 {uid} 1"))?;
                write(child, "gid_map", &format!("0 {gid} 1"))
            }
        }
    }
}

fn write(child: u32, file: &str, text: &str) -> Result<(), Obstacle> {
    std::fs::write(format!("/proc/{child}/{file}"), text).map_err(|error| {
        Obstacle::without_hint(format!("the kernel refuses the ids of a user namespace ({file}): {error}"))
    })
}

/// Returns the map of every id of this namespace to itself.
fn same(file: &str) -> String {
    identity(&std::fs::read_to_string(file).unwrap_or_default())
}

/// Returns a map that leaves every id of a namespace as it is. `own` is the namespace's own map, with lines
/// `inside outside count`.
pub(crate) fn identity(own: &str) -> String {
    let ranges = own.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (inside, count) = (words.next()?, words.nth(1)?);
        Some(format!("{inside} {inside} {count}\n"))
    });
    ranges.collect()
}

/// Returns how many user ids this namespace has.
pub(super) fn of_this_namespace() -> u64 {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    // Without a map to read, the kernel has no user namespaces, and every id exists.
    if map.is_empty() { u64::MAX } else { counts.sum() }
}

/// Returns the caller's first range of enough subordinate ids, by number or name (subuid(5)): first id and count.
fn subordinate(file: &str, uid: u32) -> Result<(u32, u32), Obstacle> {
    let name = user_name(uid);
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let range = text.lines().find_map(|line| {
        let mut words = line.trim().split(':');
        let owner = words.next()?;
        let (start, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let is_callers = owner == uid.to_string() || Some(owner) == name.as_deref();
        (is_callers && u64::from(count) >= NEEDED).then_some((start, count))
    });
    let user = name.unwrap_or_else(|| uid.to_string());
    range.ok_or_else(|| {
        Obstacle::new(
            format!("{user} has no range of 65536 ids in {file}"),
            format!("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"),
        )
    })
}

fn user_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut words = line.split(':');
        let name = words.next()?;
        (words.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Has newuidmap(1) or newgidmap(1) map id 0 of `process` to `own`, and the ids from 1 on to the range.
fn run_helper(helper: &str, process: u32, own: u32, (start, count): (u32, u32)) -> Result<(), Obstacle> {
    let words = [process, 0, own, 1, 1, start, count].map(|number| number.to_string());
    match Command::new(helper).args(&words).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Obstacle::new(
            format!("{helper} failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
            "check the caller's ranges in /etc/subuid and /etc/subgid",
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Obstacle::new(format!("{helper} is not installed"), "as root: apt install uidmap"))
        }
        Err(error) => Err(Obstacle::without_hint(format!("cannot run {helper}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_as_they_are() {
        assert_eq!(identity("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity("0 1001 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }
}
