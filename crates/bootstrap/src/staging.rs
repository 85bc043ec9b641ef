//! Where a root grows before anybody sees it, and how it gets to its place.

use crate::{Error, Request, Target};
use rootstrap_configure::privilege::{self, Mode};
use rootstrap_image::compress::Compression;
use rootstrap_image::tar;
use rootstrap_rootfs::{Aside, Root};
use rustix::mount::{MountFlags, UnmountFlags};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of files become so many per cent on disk, and scripts write some more.
const HEADROOM: u64 = 160;

/// A directory of our own with the growing `root` and, beside it on the same filesystem, the `store` of file bodies.
/// Dropping it removes all that was not published.
pub(crate) struct Staging {
    directory: PathBuf,
    mounted: bool,
    /// The growing root.
    pub root: Root,
    /// File bodies on their way.
    pub store: Root,
}

/// The target under a name that stays right: absolute, without links on the way, dots or slashes at the end. Refuses one
/// that cannot be filled, before anything is fetched.
pub(crate) fn resolve(target: &Target) -> Result<Target, Error> {
    let given = match target {
        Target::Stdout => return Ok(Target::Stdout),
        Target::Archive(path, _) | Target::Directory(path) => path,
    };
    let refuse = |reason: &str, hint| Err(Error::Target { path: given.clone(), reason: reason.to_owned(), hint });
    let path = match (std::fs::canonicalize(given), given.file_name()) {
        (Ok(path), _) if matches!(target, Target::Directory(_)) => path,
        (_, Some(name)) => match std::fs::canonicalize(parent(given)) {
            Ok(parent) if parent.is_dir() => parent.join(name),
            Ok(_) => return refuse("its parent is no directory", "choose another place"),
            Err(_) => return refuse("its parent directory does not exist", "create it first with mkdir -p"),
        },
        _ => return refuse("it names nothing that could be created", "choose another name"),
    };
    check(target, &path, &refuse)?;
    Ok(match target {
        Target::Archive(_, compression) => Target::Archive(path, *compression),
        _ => Target::Directory(path),
    })
}

fn check(
    target: &Target,
    path: &Path,
    refuse: &dyn Fn(&str, &'static str) -> Result<Target, Error>,
) -> Result<(), Error> {
    let refuse = |reason, hint| refuse(reason, hint).map(|_| ());
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("inspect", path)(error)),
    };
    match target {
        Target::Archive(..) if !found.is_file() => refuse("it is there and no regular file", "choose another name"),
        Target::Archive(..) | Target::Stdout => Ok(()),
        Target::Directory(_) if !found.is_dir() => refuse(
            "it is there and no directory",
            "choose another name; an archive is written to names ending in .tar, .tar.gz, .tar.xz or .tar.zst",
        ),
        Target::Directory(_) => {
            // A new filesystem is empty but for the directory fsck(8) keeps there.
            let of_filesystem = |name: &std::ffi::OsStr| name == "lost+found" && is_mount_point(path);
            for entry in std::fs::read_dir(path).map_err(Error::io("list", path))? {
                if !of_filesystem(&entry.map_err(Error::io("list", path))?.file_name()) {
                    return refuse("it is not empty", "remove it first, or choose another directory");
                }
            }
            Ok(())
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

impl Staging {
    /// Makes a staging area for a root of about `bytes` of files.
    ///
    /// A directory target grows beside its final name, so that one rename publishes it; everything else in memory where
    /// that suffices, because no disk is as quick and nothing is left behind even by a power cut.
    pub fn create(request: &Request, bytes: u64) -> Result<Self, Error> {
        let (place, stem, in_memory) = match &request.target {
            Target::Directory(path) if is_filled_in_place(path) => (path.as_path(), "staging".into(), false),
            Target::Directory(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                (parent(path), name, false)
            }
            Target::Archive(..) | Target::Stdout => {
                let needed = bytes.saturating_mul(HEADROOM) / 100;
                (
                    request.temporary.as_path(),
                    "staging".into(),
                    needed < available_memory() / 2 && privilege::held() != Mode::Chroot,
                )
            }
        };
        let directory = create_own_directory(place, &stem)?;
        let directory = std::path::absolute(&directory).map_err(Error::io("find", &directory))?;
        // From here on dropping it cleans up.
        let mut guard = Guard { directory, mounted: false };
        if in_memory {
            let options = format!("mode=0700,size={}", available_memory() / 10 * 8);
            let options = std::ffi::CString::new(options).unwrap_or_default();
            rustix::mount::mount("tmpfs", &guard.directory, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
                .map_err(Error::errno("mount a tmpfs on", &guard.directory))?;
            guard.mounted = true;
        }
        let room = |name: &str, mode: u32| -> Result<Root, Error> {
            let (path, mode) = (guard.directory.join(name), rustix::fs::Mode::from_raw_mode(mode));
            rustix::fs::mkdir(&path, mode).map_err(Error::errno("create", &path))?;
            rustix::fs::chmod(&path, mode).map_err(Error::errno("change the mode of", &path))?;
            Ok(Root::open(&path)?)
        };
        // Where the kernel makes no device nodes, or knows one owner only.
        let mode = privilege::held();
        let aside = Arc::new(Aside::new(mode == Mode::Single));
        let room = |name, mode| room(name, mode).map(|room| room.keeping(Arc::clone(&aside)));
        let (root, store) = (room("root", 0o755)?, room("store", 0o700)?);
        let (directory, mounted) = guard.release();
        Ok(Self { directory, mounted, root, store })
    }

    /// The growing root as a path.
    pub fn root_path(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Puts the finished root where it was asked for. Bytes of the archive, where one is written.
    pub fn publish(&self, request: &Request, epoch: i64) -> Result<Option<u64>, Error> {
        let cancel = &*request.cancel;
        // Nobody may hear of a result that came about although it was called off.
        let unless_cancelled = |result: Result<u64, Error>| match cancel.load(Ordering::Relaxed) {
            true => Err(Error::Cancelled),
            false => result,
        };
        let dev = if request.image { tar::Dev::Empty } else { tar::Dev::Static };
        let options = |compression| tar::Options { dev, compression, layer: request.image, ..tar::Options::new(epoch) };
        match &request.target {
            Target::Directory(path) => {
                unless_cancelled(Ok(0))?;
                self.publish_directory(path, epoch).map(|()| None)
            }
            Target::Stdout => {
                let out = Stoppable { inner: std::io::stdout().lock(), cancel };
                let mut out = BufWriter::with_capacity(1 << 20, out);
                let written = tar::write(&self.root, &mut out, &options(Compression::None));
                let flushed = written
                    .map_err(Error::from)
                    .and_then(|written| out.flush().map(|()| written.bytes).map_err(Error::Stdout));
                if flushed.is_err() { unless_cancelled(flushed).map(Some) } else { flushed.map(Some) }
            }
            Target::Archive(path, compression) => {
                let (file, temporary) = create_own_file(parent(path))?;
                let file = Stoppable { inner: file, cancel };
                let written = write_archive(&self.root, file, path, &options(*compression));
                let result = unless_cancelled(written).and_then(|bytes| {
                    std::fs::rename(&temporary, path)
                        .map(|()| bytes)
                        .map_err(Error::io("move the finished archive to", path))
                });
                if result.is_err() {
                    let _ = std::fs::remove_file(&temporary);
                }
                result.map(Some)
            }
        }
    }

    fn publish_directory(&self, path: &Path, epoch: i64) -> Result<(), Error> {
        // One flush in place of all those the scripts wanted.
        rustix::fs::syncfs(self.root.fd()).map_err(Error::errno("flush", path))?;
        if !is_filled_in_place(path) {
            return std::fs::rename(self.root_path(), path).map_err(Error::io("move the finished tree to", path));
        }
        // It cannot be replaced; its staging is inside it, so the entries move up one by one.
        for name in self.root.list(b"")? {
            use std::os::unix::ffi::OsStrExt;
            let name = std::ffi::OsStr::from_bytes(&name);
            let to = path.join(name);
            std::fs::rename(self.root_path().join(name), &to).map_err(Error::io("move the finished tree to", &to))?;
        }
        rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(0o755))
            .map_err(Error::errno("change the mode of", path))?;
        // Moving the entries in was a change; its time is not of this run's business.
        let time = rustix::fs::Timespec { tv_sec: epoch, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        let here = rustix::fs::CWD;
        rustix::fs::utimensat(here, path, &times, rustix::fs::AtFlags::empty())
            .map_err(Error::errno("change the time of", path))
    }
}

fn write_archive(
    root: &Root,
    file: Stoppable<'_, std::fs::File>,
    path: &Path,
    options: &tar::Options<'_>,
) -> Result<u64, Error> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let written = tar::write(root, &mut out, options)?;
    let file = out.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?;
    file.inner.sync_all().map_err(Error::io("write", path))?;
    Ok(written.bytes)
}

/// Refuses to write once the run was called off.
struct Stoppable<'c, W> {
    inner: W,
    cancel: &'c AtomicBool,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("interrupted"));
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Hidden names no other run uses: in containers many runs have the same number, and a killed one may have left its name.
fn own_names(place: &Path, stem: &str) -> impl Iterator<Item = PathBuf> {
    let start = format!(".{stem}.rootstrap-{}", std::process::id());
    let place = place.to_owned();
    (0..1000).map(move |number| place.join(if number == 0 { start.clone() } else { format!("{start}-{number}") }))
}

fn create_own_directory(place: &Path, stem: &str) -> Result<PathBuf, Error> {
    let mut last = place.to_owned();
    for path in own_names(place, stem) {
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return std::path::absolute(&path).map_err(Error::io("find", &path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => last = path,
            Err(error) => return Err(Error::io("create the staging directory", &path)(error)),
        }
    }
    Err(Error::io("create the staging directory", &last)(std::io::ErrorKind::AlreadyExists.into()))
}

fn create_own_file(place: &Path) -> Result<(std::fs::File, PathBuf), Error> {
    let mut last = place.to_owned();
    for path in own_names(place, "archive") {
        match std::fs::File::create_new(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => last = path,
            Err(error) => return Err(Error::io("create", &path)(error)),
        }
    }
    Err(Error::io("create", &last)(std::io::ErrorKind::AlreadyExists.into()))
}

/// Whether a directory is there that must stay the same one: a mount point, where the caller is, or one whose parent the
/// caller may not change.
fn is_filled_in_place(path: &Path) -> bool {
    use rustix::fs::{Access, access};
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

/// What could be had without swapping, in bytes: what the kernel says, or less where a control group has less left. 0 if
/// nobody says.
fn available_memory() -> u64 {
    let number =
        |file: &str| std::fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok()?.trim().parse::<u64>().ok();
    let group = number("memory.max").map(|most| most.saturating_sub(number("memory.current").unwrap_or(0)));
    machine_memory().min(group.unwrap_or(u64::MAX))
}

fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: Option<u64> = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0) * 1024
}

/// Removes the directory unless released: for the steps before a [`Staging`] exists.
struct Guard {
    directory: PathBuf,
    mounted: bool,
}

impl Guard {
    fn release(mut self) -> (PathBuf, bool) {
        (std::mem::take(&mut self.directory), self.mounted)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.directory.as_os_str().is_empty() {
            remove(&self.directory, self.mounted);
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        remove(&self.directory, self.mounted);
    }
}

fn remove(directory: &Path, mounted: bool) {
    if mounted {
        let _ = rustix::mount::unmount(directory, UnmountFlags::DETACH);
    } else if let Ok(root) = Root::open(directory) {
        // Threads that were just told to stop may still be writing; what they add is gone the second time.
        let _ = (0..3).find(|_| root.remove_children(b"").is_ok());
    }
    let _ = std::fs::remove_dir(directory);
}

/// Whether programs can be run from the staging root at all.
pub(crate) fn check_executable(staging: &Staging) -> Result<(), Error> {
    use rustix::fs::StatVfsMountFlags;
    let flags = rustix::fs::fstatvfs(staging.root.fd()).map_err(Error::errno("inspect", &staging.directory))?.f_flag;
    if flags.contains(StatVfsMountFlags::NOEXEC) {
        return Err(Error::Target {
            path: staging.directory.clone(),
            reason: "its filesystem is mounted noexec, so package scripts cannot run there".to_owned(),
            hint: "choose another place, write an archive, or remount it with exec",
        });
    }
    Ok(())
}
