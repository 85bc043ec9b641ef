//! Whether a target can work, found out before anything is fetched.

use crate::error::Error;
use crate::request::{Format, Machine, Output, StagingPlace, Target};
use crate::staging::fit::{check_executable, check_fit, check_temporary, not_writable};
use crate::staging::hidden::{self, HiddenDirectory};
use crate::staging::new_file::NewFile;
use crate::staging::place::{cannot_be_replaced, is_filled_in_place, is_mount_point, parent, place_of};
use crate::staging::{fake_ownership, memory};
use rootstrap_configure::privilege::Janitor;
use rootstrap_image::compress::Compression;
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::ffi::OsStr;
use std::io::ErrorKind::{AlreadyExists, NotFound};
use std::path::{Path, PathBuf};

/// Directories that were made for a target. They are removed again, if they are empty, unless the target is there in the end.
#[derive(Debug, Default)]
pub struct NewParents(Vec<PathBuf>);

impl NewParents {
    /// Makes the directories above a target that do not exist.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub fn make(target: &Target) -> Result<Self, Error> {
        let mut made = Self::default();
        let Some(path) = target.path() else { return Ok(made) };
        let is_missing = |above: &&Path| std::fs::symlink_metadata(above).is_err_and(|it| it.kind() == NotFound);
        let above = std::iter::successors(Some(parent(path)), |above| Some(parent(above)).filter(|next| next != above));
        let missing: Vec<&Path> = above.take_while(is_missing).collect();
        for directory in missing.into_iter().rev() {
            match std::fs::create_dir(directory) {
                Ok(()) => made.0.push(directory.to_owned()),
                Err(error) if error.kind() == AlreadyExists => {}
                Err(error) => return Err(Error::io("create", directory)(error)),
            }
        }
        Ok(made)
    }

    /// Lets the directories stay.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for NewParents {
    fn drop(&mut self) {
        for directory in self.0.iter().rev() {
            let _ = std::fs::remove_dir(directory);
        }
    }
}

/// Returns the target with a path that stays valid: absolute, without links on the way, and without dots or slashes at the end.
/// Refuses a path at which nothing can be created.
pub(crate) fn resolve(target: &Target) -> Result<Target, Error> {
    let Some(given) = target.path().map(Path::to_owned) else { return Ok(target.clone()) };
    let refuse = |reason: &str, hint| Err(Error::Target { path: given.clone(), reason: reason.to_owned(), hint });
    let path = match (std::fs::canonicalize(&given), given.file_name()) {
        (Ok(path), _) if matches!(target, Target::Directory(_) | Target::Layout(..)) => path,
        (_, Some(name)) => match std::fs::canonicalize(parent(&given)) {
            Ok(parent) if parent.is_dir() => parent.join(name),
            Ok(_) => return refuse("its parent is not a directory", "choose another place"),
            Err(_) => return refuse("its parent directory does not exist", "create it first with mkdir -p"),
        },
        _ => return refuse("it names nothing that could be created", "choose another name"),
    };
    Ok(target.at(path))
}

/// Refuses a resolved target that cannot work because something is there or its filesystem does not fit. The error names the target as
/// it was `given`.
pub(crate) fn check(output: &Output, given: &Target, machine: &Machine, runs_scripts: bool) -> Result<(), Error> {
    check_resolved(output, machine, runs_scripts).map_err(|error| match (error, given.path()) {
        (Error::Target { reason, hint, .. }, Some(path)) => Error::Target { path: path.to_owned(), reason, hint },
        (error, _) => error,
    })
}

/// Refuses a target inside of the directory that it is made from: the next run would find it there.
pub(crate) fn check_outside(target: &Target, source: &Path, given: &Target) -> Result<(), Error> {
    let (Some(path), Some(given), Ok(source)) = (target.path(), given.path(), std::fs::canonicalize(source)) else {
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

/// Refuses a directory target that would contain the cache, because it would not be empty when it is published.
fn check_cache(target: &Target, cache: Option<&Path>) -> Result<(), Error> {
    let (Target::Directory(path) | Target::Layout(path, _), Some(cache)) = (target, cache) else { return Ok(()) };
    let cache = std::path::absolute(cache).map_err(Error::io("find", cache))?;
    // The cache need not exist yet.
    let known = cache.ancestors().find_map(|above| Some((above, std::fs::canonicalize(above).ok()?)));
    let cache =
        known.map_or_else(|| cache.clone(), |(above, real)| real.join(cache.strip_prefix(above).unwrap_or(&cache)));
    if cache.starts_with(path) {
        return Err(Error::Target {
            path: path.clone(),
            reason: "the cache would be inside of it".to_owned(),
            hint: "choose another place for the cache with --cache-dir",
        });
    }
    Ok(())
}

fn check_resolved(output: &Output, machine: &Machine, runs_scripts: bool) -> Result<(), Error> {
    let target = &output.target;
    check_free(target, output.into_nonempty.is_some())?;
    check_cache(target, machine.cache.as_deref())?;
    if machine.staging == StagingPlace::Memory {
        memory::filesystem(1 << 20).map_err(Error::Memory)?;
    }
    let is_on_disk = machine.staging == StagingPlace::Disk || memory::filesystem(1 << 20).is_err();
    let probe = |path: &Path| {
        check_writable(path, place_of(path))?;
        HiddenDirectory::for_target(path, &machine.janitor).map_err(not_writable(path))
    };
    match target {
        Target::Directory(path) => {
            let root = probe(path)?;
            let root = root.root()?.with_fake_ownership(fake_ownership(machine.mode));
            check_fit(path, &root, "choose a place on ext4, xfs, btrfs or tmpfs, or write an archive")?;
            return if is_on_disk { check_executable(runs_scripts, path, place_of(path)) } else { Ok(()) };
        }
        Target::File(path, _) => check_file(path, &machine.janitor)?,
        Target::Layout(path, _) => drop(probe(path)?),
        Target::Stdout(_) | Target::Nowhere => {}
    }
    if is_on_disk { check_temporary(machine, runs_scripts) } else { Ok(()) }
}

/// Refuses the name of a file that can neither be created nor be replaced in one step.
pub(crate) fn check_file(path: &Path, janitor: &Janitor) -> Result<(), Error> {
    check_free(&Target::File(path.to_owned(), Format::Tar(Compression::default())), false)?;
    check_writable(path, parent(path))?;
    NewFile::create(parent(path), janitor).map_err(not_writable(path))?;
    Ok(())
}

/// Refuses a target at whose place something is, unless it is a directory and `into_nonempty` is set. Hidden directories of runs do not count.
pub(super) fn check_free(target: &Target, into_nonempty: bool) -> Result<(), Error> {
    let Some(path) = target.path() else { return Ok(()) };
    let refuse = |reason: &str, hint| Err(Error::Target { path: path.to_owned(), reason: reason.to_owned(), hint });
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == NotFound => return Ok(()),
        Err(error) => return Err(Error::io("inspect", path)(error)),
    };
    match target {
        Target::File(..) if !found.is_file() => refuse("it exists and is not a regular file", "choose another name"),
        Target::File(..) | Target::Stdout(_) | Target::Nowhere => Ok(()),
        Target::Directory(_) | Target::Layout(..) if !found.is_dir() => refuse(
            "it exists and is not a directory",
            "choose another name; an archive is written to names ending in .tar, .tar.gz, .tar.xz or .tar.zst",
        ),
        Target::Directory(_) if path.canonicalize().is_ok_and(|path| path == Path::new("/")) => {
            refuse("it is the system that runs", "choose another directory")
        }
        Target::Directory(_) if into_nonempty => Ok(()),
        Target::Directory(_) | Target::Layout(..) => {
            // A new filesystem is empty except for the directory that fsck(8) keeps there.
            let is_of_filesystem = |name: &OsStr| name == "lost+found" && is_mount_point(path);
            let counts = |name: &OsStr| !is_of_filesystem(name) && !hidden::is_of_run(name);
            for entry in std::fs::read_dir(path).map_err(Error::io("list", path))? {
                if counts(&entry.map_err(Error::io("list", path))?.file_name()) {
                    // Nobody should be told to remove where they stand.
                    let hint = match cannot_be_replaced(path) {
                        true => "choose another directory",
                        false => "remove it first, or choose another directory",
                    };
                    return refuse("it is not empty", hint);
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

/// Returns the directories in which a run puts hidden directories and files.
pub(crate) fn hidden_places(output: &Output, machine: &Machine) -> Vec<PathBuf> {
    let mut places = vec![machine.temporary.clone()];
    let beside = output.downloads.iter().map(|download| &download.to).chain(&output.sboms);
    places.extend(beside.map(|path| parent(path).to_owned()));
    if let Some(path) = output.target.path() {
        places.push(parent(path).to_owned());
        if is_filled_in_place(path) {
            places.push(path.to_owned());
        }
    }
    places
}
