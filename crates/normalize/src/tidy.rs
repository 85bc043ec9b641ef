//! The policy: which files are removed, emptied or rewritten so that two builds of one plan give one tree.
//!
//! The tables below are the whole policy. For every target they remove what mmdebstrap removes and what names the host. For
//! images they also remove what the vendors' own images leave out and what must be unique to one machine.

use crate::error::{Error, Result, go_on};
use crate::rewrite::rewrite;
use crate::root_directory::set_root_attributes;
use crate::varying::varying_in;
use crate::{canonical, pyc};
use rootstrap_rootfs::{Kind, Root, path, walk};
use std::sync::atomic::AtomicBool;

/// How to tidy a tree.
#[derive(Clone, Copy, Debug)]
pub struct Tidy {
    /// Seconds since 1970. No day in /etc/shadow is later than this day.
    pub epoch: i64,
    /// Whether the tree becomes a container image and not a system to boot or to work in.
    pub image: bool,
}

/// What a rule does with an entry.
enum Action {
    /// Removes the entry and everything below it.
    Remove,
    /// Keeps a directory and removes what is in it, except for these names.
    Empty(&'static [&'static str]),
    /// Removes those files of a directory whose path from there ends like this.
    Endings(&'static [&'static str]),
    /// Removes the contents of a file and keeps its owner and mode.
    Truncate,
}
use Action::{Empty, Endings, Remove, Truncate};

/// A path, what is done with it, and the reason.
type Rule = (&'static str, Action, &'static str);

/// The rules for every target.
const ALWAYS: &[Rule] = &[
    ("run", Empty(&["lock"]), "a tmpfs once booted; /var/lock leads to /run/lock (Policy 9.1.4)"),
    ("tmp", Empty(&[]), "leftovers of package scripts"),
    ("var/log/dpkg.log", Remove, "times"),
    ("var/log/alternatives.log", Remove, "times"),
    ("var/log/bootstrap.log", Remove, "times"),
    ("var/log/apt/history.log", Remove, "times"),
    ("var/log/apt/term.log", Remove, "times"),
    ("var/log/apt/eipp.log.xz", Remove, "the planner's input, with the host's settings"),
    ("var/log/fontconfig.log", Remove, "the order of readdir"),
    ("var/log/sysstat", Empty(&[]), "statistics of the machine that builds"),
    ("var/lib/texmf/web2c/updmap.log", Remove, "times"),
    ("var/cache/ldconfig/aux-cache", Remove, "inode numbers and times"),
    ("var/lib/dbus/machine-id", Remove, "random"),
    ("var/lib/apt/lists", Empty(&["lock", "partial"]), "stale the day after; `apt update` fetches them"),
    ("var/lib/apt/lists/partial", Empty(&[]), "downloads that were cut off"),
    ("var/cache/apt/archives", Endings(&[".deb"]), "installed already"),
    ("var/cache/apt/archives/partial", Empty(&[]), "downloads that were cut off"),
    ("var/cache/apt", Endings(&[".bin"]), "memory maps, made again by the first apt"),
    ("var/lib/systemd/random-seed", Remove, "random, and a secret no two machines may share"),
    ("var/lib/systemd/credential.secret", Remove, "random, and a secret no two machines may share"),
    ("var/lib/urandom/random-seed", Remove, "random, and a secret no two machines may share"),
    ("etc/apt/apt.conf.d/01autoremove-kernels", Remove, "names the kernel of the host; apt makes it again"),
];

/// The rules for images, which follow those for every target.
const IMAGE: &[Rule] = &[
    ("etc/machine-id", Remove, "absent means first boot (machine-id(5)), as in the vendors' images"),
    ("var/lib/apt/lists", Empty(&[]), "size; apt makes `partial` again"),
    ("var/cache/apt", Empty(&[]), "size; apt makes `archives` again"),
    ("etc", Endings(&["/passwd-", "/group-", "/shadow-", "/gshadow-", "/subuid-", "/subgid-"]), "a backup file"),
    ("etc/apt", Endings(&["~"]), "a backup file"),
    ("var/cache/debconf", Endings(&["-old"]), "a backup file"),
    ("var/lib/dpkg", Endings(&["-old"]), "a backup file"),
    ("var/log/journal", Empty(&[]), "this build's, named by its machine-id"),
    ("var/log/lastlog", Truncate, "its size depends on the order of logins; programs want the file"),
    ("var/log/faillog", Truncate, "as lastlog"),
    ("var/log/tallylog", Truncate, "as lastlog"),
    ("var/log/btmp", Truncate, "times"),
    ("var/log/wtmp", Truncate, "times"),
    ("var/lib/systemd/catalog/database", Remove, "not reproducible on Ubuntu; journald makes it again"),
    ("etc/ssh", Endings(&["_key", "_key.pub"]), "random, and secrets no two machines may share"),
    ("etc/ssl/private/ssl-cert-snakeoil.key", Remove, "random, and a secret no two machines may share"),
    ("etc/ssl/certs/ssl-cert-snakeoil.pem", Remove, "belongs to the key"),
    ("etc/popularity-contest.conf", Remove, "a random host id"),
    ("etc/nvme/hostid", Remove, "a random host id"),
    ("etc/nvme/hostnqn", Remove, "a random host id"),
    ("etc/udev/rules.d/70-persistent-net.rules", Remove, "names the host's hardware"),
    ("etc/udev/rules.d/70-persistent-cd.rules", Remove, "names the host's hardware"),
];

/// Returns the rules for every target as commands of a shell that defines `remove PATH`, `empty DIRECTORY NAME…`, `endings
/// DIRECTORY ENDING…` and `truncate_file PATH`. The second stage runs them on a machine without this program.
#[must_use]
pub fn commands() -> String {
    let line = |(path, what, _reason): &Rule| {
        let (command, words) = match what {
            Remove => ("remove", &[][..]),
            Empty(kept) => ("empty", *kept),
            Endings(endings) => ("endings", *endings),
            Truncate => ("truncate_file", &[][..]),
        };
        [&[command, path], words].concat().join(" ")
    };
    ALWAYS.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Brings `root` into the state in which it is published. A second call changes nothing. Returns what remains that can differ from build
/// to build, as absolute paths with the reasons. A slash at the end of a path means all that is below a directory, and a star all
/// names that begin so.
///
/// # Errors
/// The tree cannot be read or changed, or `cancel` was set.
pub fn tidy(root: &Root, options: &Tidy, cancel: &AtomicBool) -> Result<Vec<(&'static str, &'static str)>> {
    apply(root, ALWAYS)?;
    // An empty file means "not set up yet" (machine-id(5)). It has to exist for a read-only /etc, but only where systemd is.
    if root.metadata(b"etc/machine-id")?.is_some() {
        root.write(b"etc/machine-id", b"", 0o644)?;
    }
    // dpkg's backup of its status file depends on how many runs of dpkg configured the packages.
    if root.metadata(b"var/lib/dpkg/status-old")?.is_some()
        && let Some(status) = root.read(b"var/lib/dpkg/status")?
    {
        root.write(b"var/lib/dpkg/status-old", &status, 0o644)?;
    }
    for path in ["etc/shadow", "etc/shadow-"] {
        clamp_days(root, path.as_bytes(), options.epoch)?;
    }
    canonical::rewrite_all(root, options.epoch, cancel)?;
    if options.image {
        apply(root, IMAGE)?;
        remove_below(root, b"var/log", cancel, |path, _| is_log(path))?;
        remove_below(root, b"var/cache/man", cancel, |path, _| path.ends_with(b"/index.db"))?;
        // Bytecode only takes space: Python compiles it again when it is needed.
        remove_below(root, b"usr", cancel, is_bytecode)?;
    }
    rewrite_pyc(root, options.epoch, cancel)?;
    set_root_attributes(root)?;
    varying_in(root, cancel)
}

fn apply(root: &Root, rules: &[Rule]) -> Result<()> {
    for (path, what, _reason) in rules {
        let Some(metadata) = root.metadata(path.as_bytes())? else { continue };
        match what {
            Remove => root.remove_tree(path.as_bytes())?,
            Empty(_) | Endings(_) if metadata.kind != Kind::Directory => {}
            Empty(kept) => remove_names(root, path, |name| !kept.iter().any(|kept| kept.as_bytes() == name))?,
            Endings(endings) => {
                remove_names(root, path, |name| {
                    let name = [b"/", name].concat();
                    endings.iter().any(|ending| name.ends_with(ending.as_bytes()))
                })?;
            }
            Truncate if metadata.kind == Kind::File => rewrite(root, path.as_bytes(), b"", metadata.attributes)?,
            Truncate => {}
        }
    }
    Ok(())
}

fn remove_names(root: &Root, path: &str, should_remove: impl Fn(&[u8]) -> bool) -> Result<()> {
    for name in root.list(path.as_bytes())? {
        if should_remove(&name) {
            root.remove_tree(&[path.as_bytes(), b"/", &name].concat())?;
        }
    }
    Ok(())
}

/// Removes the files below `start` for which `should_remove` returns true. Directories stay because packages own them.
fn remove_below(
    root: &Root,
    start: &[u8],
    cancel: &AtomicBool,
    should_remove: impl Fn(&[u8], &Root) -> bool,
) -> Result<()> {
    let mut found = Vec::new();
    walk::<Error>(root, &mut |visit| {
        go_on(cancel)?;
        let path = visit.path;
        let below = path.strip_prefix(start).is_some_and(|rest| rest.starts_with(b"/"));
        if below && visit.metadata.kind == Kind::File && should_remove(path, root) {
            found.push(path.to_vec());
        }
        // The walk enters only the directories that lead to `start` and those below it.
        Ok(path.is_empty() || below || path == start || start.starts_with(&[path, b"/"].concat()))
    })?;
    for path in found {
        go_on(cancel)?;
        root.remove(&path)?;
        // No package owns a __pycache__ directory, so an empty one goes too.
        let parent = path::parent(&path);
        if parent.ends_with(b"/__pycache__") && root.list(parent)?.is_empty() {
            root.at(parent)?.remove_directory()?;
        }
    }
    Ok(())
}

fn is_log(path: &[u8]) -> bool {
    // Logs that the build wrote or rotated. Packages ship the files without such an ending, or the rules above truncate them.
    [&b".log"[..], b".gz", b".xz", b".old"].iter().any(|ending| path.ends_with(ending))
        || path.iter().rposition(|&b| b == b'.').is_some_and(|dot| {
            let number = path.get(dot + 1..).unwrap_or_default();
            !number.is_empty() && number.iter().all(u8::is_ascii_digit)
        })
}

/// Returns whether `path` is bytecode whose source is in the tree, so that Python can compile it again.
fn is_bytecode(path: &[u8], root: &Root) -> bool {
    let Some(stem) = path.strip_suffix(b".pyc") else { return false };
    let (directory, name) = path::split(stem);
    let source = match directory.strip_suffix(b"/__pycache__") {
        // `__pycache__/name.cpython-311.pyc` and `__pycache__/name.cpython-311.opt-1.pyc` come from `name.py`.
        Some(package) => {
            let end = name.windows(9).position(|window| window == b".cpython-").unwrap_or(name.len());
            [package, b"/", name.get(..end).unwrap_or(name), b".py"].concat()
        }
        None => [stem, b".py"].concat(),
    };
    matches!(root.metadata(&source), Ok(Some(_)))
}

/// Makes bytecode that this run compiled the same in every run; see [`pyc`]. Files older than the epoch come from packages:
/// they are the same in every run already, and dpkg knows their digests.
fn rewrite_pyc(root: &Root, epoch: i64, cancel: &AtomicBool) -> Result<()> {
    walk::<Error>(root, &mut |visit| {
        go_on(cancel)?;
        let metadata = visit.metadata;
        if metadata.kind == Kind::File
            && metadata.attributes.mtime > epoch
            && metadata.size <= pyc::MAX_SIZE
            && let Some(version) = pyc::version(visit.path)
            && let Some(old) = root.read(visit.path)?
            && let Some(new) = pyc::normalized(&old, version)
        {
            rewrite(root, visit.path, &new, metadata.attributes)?;
        }
        Ok(true)
    })
}

/// Lowers the day of the last password change to the day of the epoch (Debian #857803), because passwd before 4.5 asks the
/// clock.
fn clamp_days(root: &Root, path: &[u8], epoch: i64) -> Result<()> {
    let Some(metadata) = root.metadata(path)?.filter(|metadata| metadata.kind == Kind::File) else { return Ok(()) };
    let Some(old) = root.read(path)? else { return Ok(()) };
    let today = epoch.div_euclid(86400);
    let lower = |line: &[u8]| {
        let mut fields: Vec<Vec<u8>> = line.split(|&b| b == b':').map(<[u8]>::to_vec).collect();
        if let Some(field) = fields.get_mut(2) {
            let day = std::str::from_utf8(field).ok().and_then(|day| day.parse::<i64>().ok());
            if day.is_some_and(|day| day > today) {
                *field = today.to_string().into_bytes();
            }
        }
        fields.join(&b':')
    };
    let new = old.split(|&b| b == b'\n').map(lower).collect::<Vec<_>>().join(&b'\n');
    if new == old { Ok(()) } else { rewrite(root, path, &new, metadata.attributes) }
}

#[cfg(test)]
#[path = "tidy_tests.rs"]
mod tests;
