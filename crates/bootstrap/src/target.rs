//! Whether a target can work, found out before anything is fetched.

use crate::format::{Format, Target};
use crate::hidden::{Directory, NewFile};
use crate::request::StagingPlace;
use crate::staging::aside;
use crate::{Error, Request, memory};
use rootstrap_image::compress::Compression;
use rootstrap_rootfs::{Attributes, Device, Kind, Root};
use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The target under a name that stays right: absolute, without links on the way, dots or slashes at the end. Refuses one
/// that cannot be filled whatever is put there.
pub(crate) fn resolve(target: &Target) -> Result<Target, Error> {
    let Some(given) = target.path().map(Path::to_owned) else { return Ok(target.clone()) };
    let refuse = |reason: &str, hint| Err(Error::Target { path: given.clone(), reason: reason.to_owned(), hint });
    let path = match (std::fs::canonicalize(&given), given.file_name()) {
        (Ok(path), _) if matches!(target, Target::Directory(_) | Target::Layout(..)) => path,
        (_, Some(name)) => match std::fs::canonicalize(parent(&given)) {
            Ok(parent) if parent.is_dir() => parent.join(name),
            Ok(_) => return refuse("its parent is no directory", "choose another place"),
            Err(_) => return refuse("its parent directory does not exist", "create it first with mkdir -p"),
        },
        _ => return refuse("it names nothing that could be created", "choose another name"),
    };
    Ok(target.at(path))
}

/// Refuses a resolved target that cannot work: something is there, or its filesystem is not fit. The error names it as it
/// was `given`.
pub(crate) fn check(request: &Request, given: &Target) -> Result<(), Error> {
    check_resolved(request).map_err(|error| match (error, given.path()) {
        (Error::Target { reason, hint, .. }, Some(path)) => Error::Target { path: path.to_owned(), reason, hint },
        (error, _) => error,
    })
}

/// Refuses a target inside of the directory it is made of: the next run would find it there.
pub(crate) fn check_outside(request: &Request, source: &Path, given: &Target) -> Result<(), Error> {
    let (Some(path), Some(given), Ok(source)) = (request.target.path(), given.path(), std::fs::canonicalize(source))
    else {
        return Ok(());
    };
    if source.is_dir() && path.starts_with(&source) {
        return Err(Error::Target {
            path: given.to_owned(),
            reason: "it is inside of the directory that it is made of".to_owned(),
            hint: "choose another place",
        });
    }
    Ok(())
}

fn check_resolved(request: &Request) -> Result<(), Error> {
    check_free(&request.target)?;
    if request.staging == StagingPlace::Memory {
        memory::filesystem(1 << 20).map_err(Error::Memory)?;
    }
    let staging_on_disk = request.staging == StagingPlace::Disk || memory::filesystem(1 << 20).is_err();
    match &request.target {
        Target::Directory(path) => {
            let place = place_of(path);
            check_writable(path, place)?;
            let probe = Directory::create(place, stem_of(path)).map_err(not_writable(path))?;
            check_fit(
                path,
                &probe.root()?.keeping(aside()),
                "choose a place on ext4, xfs, btrfs or tmpfs, or write an archive",
            )?;
            if staging_on_disk { check_executable(request, path, place) } else { Ok(()) }
        }
        target => {
            match target {
                Target::File(path, _) => check_file(path)?,
                Target::Layout(path, _) => {
                    check_writable(path, place_of(path))?;
                    Directory::create(place_of(path), stem_of(path)).map_err(not_writable(path))?;
                }
                _ => {}
            }
            if staging_on_disk { check_temporary(request) } else { Ok(()) }
        }
    }
}

/// Whether a file of this name can be made, or replaced in one step.
pub(crate) fn check_file(path: &Path) -> Result<(), Error> {
    check_free(&Target::File(path.to_owned(), Format::Tar(Compression::default())))?;
    check_writable(path, parent(path))?;
    NewFile::create(parent(path)).map_err(not_writable(path))?;
    Ok(())
}

fn check_free(target: &Target) -> Result<(), Error> {
    let Some(path) = target.path() else { return Ok(()) };
    let refuse = |reason: &str, hint| Err(Error::Target { path: path.to_owned(), reason: reason.to_owned(), hint });
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("inspect", path)(error)),
    };
    match target {
        Target::File(..) if !found.is_file() => refuse("it is there and no regular file", "choose another name"),
        Target::File(..) | Target::Stdout(_) | Target::Nowhere => Ok(()),
        Target::Directory(_) | Target::Layout(..) if !found.is_dir() => refuse(
            "it is there and no directory",
            "choose another name; an archive is written to names ending in .tar, .tar.gz, .tar.xz or .tar.zst",
        ),
        Target::Directory(_) | Target::Layout(..) => {
            // A new filesystem is empty but for the directory fsck(8) keeps there.
            let of_filesystem = |name: &OsStr| name == "lost+found" && is_mount_point(path);
            for entry in std::fs::read_dir(path).map_err(Error::io("list", path))? {
                if !of_filesystem(&entry.map_err(Error::io("list", path))?.file_name()) {
                    return refuse("it is not empty", "remove it first, or choose another directory");
                }
            }
            Ok(())
        }
    }
}

fn check_writable(path: &Path, place: &Path) -> Result<(), Error> {
    let flags = statvfs(place).map_err(Error::errno("inspect", place))?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
        return Err(Error::Target {
            path: path.to_owned(),
            reason: "its filesystem is mounted read-only".to_owned(),
            hint: "choose another place, or remount it with rw",
        });
    }
    Ok(())
}

/// The refusal in place of an error that says no more than that nothing can be created.
fn not_writable(path: &Path) -> impl FnOnce(Error) -> Error {
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

/// Whether programs can be run from a tree for `path` that grows in `place`.
pub(crate) fn check_executable(request: &Request, path: &Path, place: &Path) -> Result<(), Error> {
    let flags = statvfs(place).map_err(Error::errno("inspect", place))?.f_flag;
    if flags.contains(StatVfsMountFlags::NOEXEC) && request.variant.runs_scripts() {
        return Err(Error::Target {
            path: path.to_owned(),
            reason: "its filesystem is mounted noexec, so package scripts cannot run there".to_owned(),
            hint: "use --staging=memory, choose another place, or remount it with exec",
        });
    }
    Ok(())
}

/// Whether a tree can grow in the temporary directory.
pub(crate) fn check_temporary(request: &Request) -> Result<(), Error> {
    let place = request.temporary.as_path();
    let fit = || {
        check_executable(request, place, place)?;
        let probe = Directory::create(place, OsStr::new("staging")).map_err(not_writable(place))?;
        check_fit(
            place,
            &probe.root()?.keeping(aside()),
            "set TMPDIR to a directory on ext4, xfs, btrfs or tmpfs, or use --staging=memory",
        )
    };
    fit().map_err(|error| match error {
        Error::Target { path, reason, hint } => Error::Temporary { path, reason, hint },
        other => other,
    })
}

/// Refuses a filesystem that cannot hold what every system has. Tries it in the empty directory `probe`: what a
/// filesystem can do depends on its options and on the caller's rights as much as on its name.
fn check_fit(path: &Path, probe: &Root, hint: &'static str) -> Result<(), Error> {
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

type Holds = Result<bool, rootstrap_rootfs::Error>;

/// Far from what a filesystem without them would make up.
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

/// Where the hidden directory goes out of which `path` is filled.
pub(crate) fn place_of(path: &Path) -> &Path {
    if is_filled_in_place(path) { path } else { parent(path) }
}

/// What that directory is named after.
pub(crate) fn stem_of(path: &Path) -> &OsStr {
    if is_filled_in_place(path) { OsStr::new("staging") } else { path.file_name().unwrap_or(OsStr::new("staging")) }
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// Whether a directory is there that must stay the same one: a mount point, where the caller is, or one whose parent the
/// caller may not change.
pub(crate) fn is_filled_in_place(path: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let Some(it) = identity(path) else { return false };
    let is_fixed = access(parent(path), Access::WRITE_OK | Access::EXEC_OK).is_err();
    is_fixed || identity(Path::new(".")) == Some(it) || is_mount_point(path)
}

/// Whether something is mounted there, be it of the same filesystem (a bind mount).
fn is_mount_point(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    match statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS) {
        Ok(found) if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        }
        // Linux before 5.8 does not say; a bind mount then goes unnoticed.
        _ => match (std::fs::metadata(path), std::fs::metadata(parent(path))) {
            (Ok(it), Ok(parent)) => it.dev() != parent.dev(),
            _ => false,
        },
    }
}

/// The directories in which a run for this target puts hidden ones.
pub(crate) fn places(request: &Request) -> Vec<PathBuf> {
    let mut places = vec![request.temporary.clone()];
    places.extend(request.sboms.iter().map(|path| parent(path).to_owned()));
    if let Some(path) = request.target.path() {
        places.push(parent(path).to_owned());
        if is_filled_in_place(path) {
            places.push(path.to_owned());
        }
    }
    places
}
