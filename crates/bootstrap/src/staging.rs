//! Where a root grows before anybody sees it, and how it gets to its place.

use crate::{Error, Request, Target};
use rootstrap_image::compress::Compression;
use rootstrap_image::tar;
use rootstrap_rootfs::Root;
use rustix::fs::Mode;
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

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

/// Refuses a target that cannot be filled, before anything is fetched.
pub(crate) fn check(target: &Target) -> Result<(), Error> {
    let path = match target {
        Target::Stdout => return Ok(()),
        Target::Archive(path, _) | Target::Directory(path) => path,
    };
    let refuse = |reason: &str, hint| Err(Error::Target { path: path.clone(), reason: reason.to_owned(), hint });
    let parent = parent(path);
    match std::fs::metadata(parent) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return refuse("its parent is no directory", "choose another place"),
        Err(_) => return refuse("its parent directory does not exist", "create it first with mkdir -p"),
    }
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
        Target::Directory(_) => match std::fs::read_dir(path).map_err(Error::io("list", path))?.next() {
            None => Ok(()),
            Some(_) => refuse("it is not empty", "remove it first, or choose another directory"),
        },
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
        let (directory, in_memory) = match &request.target {
            Target::Directory(path) if is_filled_in_place(path) => (path.join(own_name("staging")), false),
            Target::Directory(path) => {
                let name = path.file_name().map_or_else(|| OsString::from("root"), OsString::from);
                (parent(path).join(own_name(&name.to_string_lossy())), false)
            }
            Target::Archive(..) | Target::Stdout => {
                let needed = bytes.saturating_mul(HEADROOM) / 100;
                (request.temporary.join(own_name("staging")), needed < available_memory() / 2)
            }
        };
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(Error::io("create the staging directory", &directory))?;
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
            let (path, mode) = (guard.directory.join(name), Mode::from_raw_mode(mode));
            rustix::fs::mkdir(&path, mode).map_err(Error::errno("create", &path))?;
            rustix::fs::chmod(&path, mode).map_err(Error::errno("change the mode of", &path))?;
            Ok(Root::open(&path)?)
        };
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
        let dev = if request.image { tar::Dev::Empty } else { tar::Dev::Static };
        let options = |compression| tar::Options { dev, compression, layer: request.image, ..tar::Options::new(epoch) };
        match &request.target {
            Target::Directory(path) => self.publish_directory(path).map(|()| None),
            Target::Stdout => {
                let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
                let written = tar::write(&self.root, &mut out, &options(Compression::None))?;
                out.flush().map_err(Error::Stdout)?;
                Ok(Some(written.bytes))
            }
            Target::Archive(path, compression) => {
                let temporary = parent(path).join(own_name("archive"));
                let result = write_archive(&self.root, &temporary, path, &options(*compression));
                if result.is_err() {
                    let _ = std::fs::remove_file(&temporary);
                }
                result.map(Some)
            }
        }
    }

    fn publish_directory(&self, path: &Path) -> Result<(), Error> {
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
        rustix::fs::chmod(path, Mode::from_raw_mode(0o755)).map_err(Error::errno("change the mode of", path))
    }
}

fn write_archive(root: &Root, temporary: &Path, path: &Path, options: &tar::Options<'_>) -> Result<u64, Error> {
    let file = std::fs::File::create_new(temporary).map_err(Error::io("create", temporary))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let written = tar::write(root, &mut out, options)?;
    let file = out.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?;
    file.sync_all().map_err(Error::io("write", path))?;
    std::fs::rename(temporary, path).map_err(Error::io("move the finished archive to", path))?;
    Ok(written.bytes)
}

/// A hidden name no other run uses.
fn own_name(stem: &str) -> String {
    format!(".{stem}.rootstrap-{}", std::process::id())
}

/// Whether a directory is there that must stay the same one: a mount point, or where the caller is.
fn is_filled_in_place(path: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let Some(it) = identity(path) else { return false };
    // The parent by the kernel's own `..`, whatever the path looks like.
    let parent = identity(&path.join(".."));
    identity(Path::new(".")) == Some(it) || parent.is_some_and(|parent| parent.0 != it.0)
}

/// What the kernel says could be had without swapping, in bytes; 0 if it does not say.
fn available_memory() -> u64 {
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
