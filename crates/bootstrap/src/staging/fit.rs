//! Whether a filesystem can hold a root, found out by trying.

use crate::error::Error;
use crate::request::Machine;
use crate::staging::hidden::HiddenDirectory;
use crate::staging::ownership::fake_ownership;
use rootstrap_rootfs::{Attributes, Device, Kind, Root};
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::ffi::OsStr;
use std::path::Path;

/// Refuses a target `path` whose tree grows in `place`, if programs cannot be run from there and scripts have to.
pub(crate) fn check_executable(runs_scripts: bool, path: &Path, place: &Path) -> Result<(), Error> {
    let flags = statvfs(place).map_err(Error::errno("inspect", place))?.f_flag;
    if flags.contains(StatVfsMountFlags::NOEXEC) && runs_scripts {
        return Err(Error::Target {
            path: path.to_owned(),
            reason: "its filesystem is mounted noexec, so package scripts cannot run there".to_owned(),
            hint: "use --staging=memory, choose another place, or remount it with exec",
        });
    }
    Ok(())
}

/// Refuses a temporary directory that a tree cannot grow in.
pub(crate) fn check_temporary(machine: &Machine, runs_scripts: bool) -> Result<(), Error> {
    let place = machine.temporary.as_path();
    let fit = || {
        check_executable(runs_scripts, place, place)?;
        let probe =
            HiddenDirectory::create(place, OsStr::new("staging"), &machine.janitor).map_err(not_writable(place))?;
        check_fit(
            place,
            &probe.root()?.with_fake_ownership(fake_ownership(machine.mode)),
            "set TMPDIR to a directory on ext4, xfs, btrfs or tmpfs, or use --staging=memory",
        )
    };
    fit().map_err(|error| match error {
        Error::Target { path, reason, hint } => Error::Temporary { path, reason, hint },
        other => other,
    })
}

/// Refuses a filesystem that cannot hold what every system has. The empty directory `probe` is used to try it, because what a
/// filesystem can hold depends on its options and on the caller's rights as much as on its type.
pub(crate) fn check_fit(path: &Path, probe: &Root, hint: &'static str) -> Result<(), Error> {
    let refuse = |what: &str| {
        let reason = format!("its filesystem cannot hold {what}");
        Err(Error::Target { path: path.to_owned(), reason, hint })
    };
    let is_full = |error: &rootstrap_rootfs::Error| error.io().kind() == std::io::ErrorKind::StorageFull;
    for (what, holds) in [
        ("owners and modes", owners(probe)),
        ("symbolic links", symbolic_links(probe)),
        ("hard links", hard_links(probe)),
        ("fifos", fifos(probe)),
        ("names that differ only in case, or that have colons", names(probe)),
    ] {
        match holds {
            Ok(true) => {}
            Err(error) if is_full(&error) => return Err(error.into()),
            Ok(false) | Err(_) => return refuse(what),
        }
    }
    Ok(())
}

/// Whether a filesystem holds something.
type Holds = Result<bool, rootstrap_rootfs::Error>;

/// Attributes that a filesystem without owners and modes would not make up.
const UNUSUAL: Attributes = Attributes { mode: 0o4611, uid: 12345, gid: 54321, mtime: 1_000_000_000 };

fn owners(probe: &Root) -> Holds {
    let place = probe.at(b"file")?;
    place.create_file()?;
    place.set_attributes(UNUSUAL)?;
    Ok(place.metadata()?.is_some_and(|found| found.attributes == UNUSUAL))
}

fn symbolic_links(probe: &Root) -> Holds {
    let place = probe.at(b"link")?;
    place.create_symlink(b"nowhere/at all", UNUSUAL)?;
    Ok(place.link_target()? == b"nowhere/at all")
}

fn hard_links(probe: &Root) -> Holds {
    probe.at(b"hard")?.create_link(&probe.at(b"file")?)?;
    Ok(probe.metadata(b"hard")?.is_some_and(|found| found.links == 2))
}

fn fifos(probe: &Root) -> Holds {
    probe.at(b"fifo")?.create_node(Kind::Fifo, Device { major: 0, minor: 0 }, UNUSUAL)?;
    Ok(probe.metadata(b"fifo")?.is_some_and(|found| found.kind == Kind::Fifo))
}

fn names(probe: &Root) -> Holds {
    probe.at(b"a::b ")?.create_file()?;
    Ok(probe.metadata(b"FILE")?.is_none() && probe.list(b"")?.contains(&b"a::b ".to_vec()))
}

/// Turns a plain "permission denied" into a refusal of the target.
pub(crate) fn not_writable(path: &Path) -> impl FnOnce(Error) -> Error {
    let path = path.to_owned();
    move |error| match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => Error::Target {
            path,
            reason: "nothing can be created beside it: permission denied".to_owned(),
            hint: "choose a place below a directory of your own",
        },
        other => other,
    }
}
