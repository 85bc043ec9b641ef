//! What must not be in a finished tree: traces of its making, and everything two builds of one plan would not share.
//!
//! The tables are the whole policy. For every target they take what mmdebstrap takes and what names this host; for
//! images also what the vendors' own images leave out and what is only there once per machine.

use crate::{Result, compiled};
use rootstrap_rootfs::{Attributes, Cursor, Kind, Root, walk};

/// What to tidy for.
#[derive(Clone, Copy, Debug)]
pub struct Tidy {
    /// Seconds since 1970; the day of it is the youngest one in /etc/shadow.
    pub epoch: i64,
    /// Whether the tree becomes a container image, not a system to boot or work in.
    pub image: bool,
}

/// What is done with an entry.
enum Do {
    /// It goes, with everything below it.
    Remove,
    /// A directory stays and what is in it goes, but for these names.
    Empty(&'static [&'static str]),
    /// In a directory, files go whose name ends so.
    Endings(&'static [&'static str]),
    /// A file keeps its owner and mode and loses its contents.
    Truncate,
}
use Do::{Empty, Endings, Remove, Truncate};

type Rule = (&'static str, Do, &'static str);

/// For every target. Path, what is done, why.
const ALWAYS: &[Rule] = &[
    ("run", Empty(&["lock"]), "a tmpfs once booted; /var/lock leads to /run/lock (Policy 9.1.4)"),
    ("tmp", Empty(&[]), "leftovers of package scripts"),
    ("var/log/dpkg.log", Remove, "times"),
    ("var/log/alternatives.log", Remove, "times"),
    ("var/log/bootstrap.log", Remove, "times"),
    ("var/log/apt/history.log", Remove, "times"),
    ("var/log/apt/term.log", Remove, "times"),
    ("var/log/apt/eipp.log.xz", Remove, "the planner's input, with the host's settings"),
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

/// For images, after the rules for every target.
const IMAGE: &[Rule] = &[
    ("etc/machine-id", Remove, "absent means first boot (machine-id(5)), as in the vendors' images"),
    ("var/lib/apt/lists", Empty(&[]), "size; apt makes `partial` again"),
    ("var/cache/apt", Empty(&[]), "size; apt makes `archives` again"),
    (
        "etc",
        Endings(&["/passwd-", "/group-", "/shadow-", "/gshadow-", "/subuid-", "/subgid-"]),
        "the last state but one",
    ),
    ("etc/apt", Endings(&["~"]), "the last state but one"),
    ("var/cache/debconf", Endings(&["-old"]), "the last state but one"),
    ("var/lib/dpkg", Endings(&["-old"]), "the last state but one"),
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

/// The rules for every target as commands of a shell that has `remove PATH`, `empty DIRECTORY NAME…`, `endings DIRECTORY
/// ENDING…` and `truncate_file PATH`: for trees that are finished where this program is not.
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

/// Brings `root` into the state it is published in. Running it again changes nothing.
///
/// # Errors
/// The tree cannot be read or changed.
pub fn tidy(root: &Root, options: &Tidy) -> Result<()> {
    apply(root, ALWAYS)?;
    // "Not yet set up": the file has to exist for a read-only /etc, but only where systemd is.
    if root.metadata(b"etc/machine-id")?.is_some() {
        root.write(b"etc/machine-id", b"", 0o644)?;
    }
    // dpkg's copy of the last state but one depends on how the work was cut into runs.
    if root.metadata(b"var/lib/dpkg/status-old")?.is_some()
        && let Some(status) = root.read(b"var/lib/dpkg/status")?
    {
        root.write(b"var/lib/dpkg/status-old", &status, 0o644)?;
    }
    for path in ["etc/shadow", "etc/shadow-"] {
        clamp_days(root, path.as_bytes(), options.epoch)?;
    }
    crate::canonical::settle(root, options.epoch)?;
    if options.image {
        apply(root, IMAGE)?;
        remove_below(root, b"var/log", |path, _| is_log(path))?;
        remove_below(root, b"var/cache/man", |path, _| path.ends_with(b"/index.db"))?;
        // Size: whoever wants it has it compiled again.
        remove_below(root, b"usr", is_bytecode)?;
    }
    settle_compiled(root, options.epoch)?;
    settle_root(root)
}

/// Gives the root itself its owner and mode, whatever the umask of the caller was.
///
/// # Errors
/// The system refuses.
pub fn settle_root(root: &Root) -> Result<()> {
    // An unprivileged caller may not own its own root; archives record it.
    let _ = root.set_owner_of(root.fd(), 0, 0);
    rustix::fs::fchmod(root.fd(), 0o755.into()).map_err(|errno| crate::Error::root("change mode of", errno))
}

/// Sets every modification time after `epoch` to `epoch`: files, directories and links. The last change to a tree
/// that is published as a directory; archives clamp on their own.
///
/// # Errors
/// The tree cannot be read or changed.
pub fn clamp_times(root: &Root, epoch: i64) -> Result<()> {
    let mut cursor = Cursor::new(root);
    walk::<crate::Error>(root, &mut |visit| {
        if visit.metadata.attributes.mtime > epoch {
            if visit.path.is_empty() {
                let time = rustix::fs::Timespec { tv_sec: epoch, tv_nsec: 0 };
                let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
                rustix::fs::futimens(root.fd(), &times).map_err(|errno| crate::Error::root("change time of", errno))?;
            } else {
                cursor.at(visit.path)?.set_mtime(epoch)?;
            }
        }
        Ok(true)
    })
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

fn remove_names(root: &Root, path: &str, goes: impl Fn(&[u8]) -> bool) -> Result<()> {
    for name in root.list(path.as_bytes())? {
        if goes(&name) {
            root.remove_tree(&[path.as_bytes(), b"/", &name].concat())?;
        }
    }
    Ok(())
}

/// Removes the files below `start` for which `goes` says so; directories stay, for packages own them.
fn remove_below(root: &Root, start: &[u8], goes: impl Fn(&[u8], &Root) -> bool) -> Result<()> {
    let mut found = Vec::new();
    walk::<crate::Error>(root, &mut |visit| {
        let path = visit.path;
        let below = path.strip_prefix(start).is_some_and(|rest| rest.starts_with(b"/"));
        if below && visit.metadata.kind == Kind::File && goes(path, root) {
            found.push(path.to_vec());
        }
        // The way down to `start`, and everything below it.
        Ok(path.is_empty() || below || path == start || start.starts_with(&[path, b"/"].concat()))
    })?;
    for path in found {
        root.remove(&path)?;
        // A cache directory is nobody's once it is empty.
        let parent = path.iter().rposition(|&b| b == b'/').and_then(|at| path.get(..at)).unwrap_or_default();
        if parent.ends_with(b"/__pycache__") && root.list(parent)?.is_empty() {
            root.at(parent)?.remove_directory()?;
        }
    }
    Ok(())
}

fn is_log(path: &[u8]) -> bool {
    // Written during the build, or rotated away. Files without such an ending were shipped or truncated above.
    [&b".log"[..], b".gz", b".xz", b".old"].iter().any(|ending| path.ends_with(ending))
        || path.iter().rposition(|&b| b == b'.').is_some_and(|dot| {
            let number = path.get(dot + 1..).unwrap_or_default();
            !number.is_empty() && number.iter().all(u8::is_ascii_digit)
        })
}

/// Compiled Python that Python can compile again: its source is there.
fn is_bytecode(path: &[u8], root: &Root) -> bool {
    let Some(stem) = path.strip_suffix(b".pyc") else { return false };
    let (directory, name) = match stem.iter().rposition(|&b| b == b'/') {
        Some(at) => stem.split_at(at),
        None => (&b""[..], stem),
    };
    let source = match directory.strip_suffix(b"/__pycache__") {
        // `__pycache__/name.cpython-311.pyc` of `name.py`, `__pycache__/name.cpython-311.opt-1.pyc` as well.
        Some(package) => {
            let end = name.windows(9).position(|window| window == b".cpython-").unwrap_or(name.len());
            [package, name.get(..end).unwrap_or(name), b".py"].concat()
        }
        None => [stem, b".py"].concat(),
    };
    matches!(root.metadata(&source), Ok(Some(_)))
}

/// Makes what Python compiled the same in every run, see [`compiled`]. Only files of this run, which are younger than
/// the epoch: one that a package ships is the same already, and dpkg knows its digest.
fn settle_compiled(root: &Root, epoch: i64) -> Result<()> {
    walk::<crate::Error>(root, &mut |visit| {
        let metadata = visit.metadata;
        if metadata.kind == Kind::File
            && metadata.attributes.mtime > epoch
            && metadata.size <= compiled::LARGEST
            && let Some(version) = compiled::version(visit.path)
            && let Some(old) = root.read(visit.path)?
            && let Some(new) = compiled::settled(&old, version)
        {
            rewrite(root, visit.path, &new, metadata.attributes)?;
        }
        Ok(true)
    })
}

/// Lowers the day of the last change of password to the day of the epoch (Debian #857803): passwd before 4.5 asks
/// the clock.
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

/// New contents under the old owner and mode; nobody can read them in between.
pub(crate) fn rewrite(root: &Root, path: &[u8], contents: &[u8], attributes: Attributes) -> Result<()> {
    root.write(path, contents, 0o600)?;
    root.at(path)?.set_attributes(attributes)?;
    Ok(())
}

#[cfg(test)]
#[path = "tidy_tests.rs"]
mod tests;
