//! The mounts of the sandbox: the staging root as `/`, a small /dev, a fresh /proc and a read-only /sys. All are private
//! to the sandbox.

use crate::native;
use crate::privilege::Mode as Privilege;
use rootstrap_rootfs::{Root, skeleton};
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{self, MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags};
use rustix::process;
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Names the step `what` in the error. `what` completes "cannot …".
fn explain<T>(result: Result<T, Errno>, what: &str) -> Result<T, String> {
    result.map_err(|errno| format!("cannot {what}: {errno}"))
}

/// Makes `root`, a directory of the working directory, the root of this process, where nothing can be mounted.
///
/// It makes the device nodes in the tree's own /dev. A directory target has them in the end anyway, and archives take
/// them from a table.
///
/// # Errors
/// The first step that the kernel refuses, in words.
pub(crate) fn enter_without_mounts(root: &OsStr) -> Result<(), String> {
    let tree = Root::open(Path::new(root)).map_err(|error| error.to_string())?;
    let is_filled = skeleton::fill_dev(&tree, 0).map_err(|error| error.to_string())?;
    let null = fs::open(Path::new(root).join("dev/null"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    if !is_filled || null.is_err() {
        return Err("device nodes cannot be made or opened below the staging directory; the container may need \
                    --cap-add MKNOD, or TMPDIR on a filesystem without nodev"
            .to_owned());
    }
    explain(process::chroot(root), "change the root")?;
    explain(process::chdir("/"), "enter the new root")
}

/// Makes `root`, a directory of the working directory, the root of this process in its own mount namespace. `native`, a directory with
/// an absolute path or one beside it, is shown at [`native::MOUNT_POINT`].
///
/// # Errors
/// The first step that the kernel refuses, in words.
pub(crate) fn enter(root: &OsStr, mode: Privilege, native: Option<&Path>) -> Result<(), String> {
    enter_with(root, mode, &mut || {
        let Some(native) = native else { return Ok(()) };
        explain(fs::mkdir(native::MOUNT_POINT, Mode::from_raw_mode(0o755)), "create a mount point in /dev")?;
        let original = Path::new("..").join(native);
        explain(mount::mount_bind(&original, native::MOUNT_POINT), "show the native programs")?;
        make_read_only(native::MOUNT_POINT, "the native programs")
    })
}

/// Does the same as [`enter`], and calls `prepare` while the host's files can still be reached. The working directory is the root then.
///
/// # Errors
/// As for [`enter`], and those of `prepare`.
pub(crate) fn enter_with(
    root: &OsStr,
    mode: Privilege,
    prepare: &mut dyn FnMut() -> Result<(), String>,
) -> Result<(), String> {
    make_private()?;
    // Staging in memory is a mount that is mounted nowhere, and the kernel binds only from a mount that is mounted. Any
    // place will do, because it goes away together with the host's root. Where staging is a plain directory, this fails
    // with EINVAL.
    let moved = mount::move_mount(CWD, ".", CWD, "/", MoveMountFlags::empty());
    // pivot_root(2) needs a mount point.
    explain(mount::mount_bind_recursive(root, root), "bind the staging root")?;
    explain(process::chdir(root), "enter the staging root")?;
    if mode == Privilege::Root {
        // A script of real root can make any device node; `nodev` keeps it from opening one.
        let flags = explain(fs::statvfs("."), "inspect the staging root")?.f_flag;
        let kept = MountFlags::from_bits_truncate(u32::try_from(flags.bits()).unwrap_or(0));
        let kept = kept & (MountFlags::NOSUID | MountFlags::RDONLY | MountFlags::NOEXEC);
        explain(mount::mount_remount(".", MountFlags::BIND | MountFlags::NODEV | kept, ""), "keep devices out")?;
    }
    fill_dev()?;
    fill_proc()?;
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    // Read-only: scripts read /sys, but may not change the kernel. Where parts of the host's own /sys are hidden, the
    // kernel refuses a new one; scripts do without it, as they do in containers.
    match mount::mount("sysfs", "sys", "sysfs", strict | MountFlags::RDONLY, None) {
        Ok(()) | Err(Errno::PERM | Errno::BUSY) => {}
        Err(errno) => return Err(format!("cannot mount /sys: {errno}")),
    }
    prepare()?;
    match process::pivot_root(".", ".") {
        // The old root is now mounted over the new one at `/`. Once it is detached, no way leads back to it.
        Ok(()) => {
            // The staging mount that was moved to `/` above lies on top of it.
            if moved.is_ok() {
                explain(mount::unmount(".", UnmountFlags::DETACH), "detach the staging area")?;
            }
            explain(mount::unmount(".", UnmountFlags::DETACH), "detach the host's root")?;
        }
        // The seccomp profiles of containers refuse pivot_root(2) even where they allow mounts. Moving the new root over
        // `/` hides the old one, and scripts lack the capability to change their root.
        Err(Errno::PERM) => {
            explain(mount::mount_move(".", "/"), "move the staging root over /")?;
            explain(process::chroot("."), "change the root")?;
        }
        Err(errno) => return Err(format!("cannot change the root: {errno}")),
    }
    explain(process::chdir("/"), "enter the new root")
}

/// Mounts a small /dev, /proc and /sys below `root` for its programs, as far as it has these directories, in the mount namespace of this
/// process.
///
/// # Errors
/// The first step that the kernel refuses, in words.
pub(crate) fn prepare(root: &Path) -> Result<(), String> {
    make_private()?;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let before = explain(fs::open(".", flags, Mode::empty()), "open the working directory")?;
    explain(process::chdir(root), "enter the staging root")?;
    if Path::new("dev").is_dir() {
        fill_dev()?;
    }
    if Path::new("proc").is_dir() {
        fill_proc()?;
    }
    if Path::new("sys").is_dir() {
        let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
        // Programs do without it where the kernel refuses it, as in a network namespace of others.
        let _ = mount::mount("sysfs", "sys", "sysfs", strict | MountFlags::RDONLY, None);
    }
    explain(process::fchdir(before), "enter the working directory")
}

/// Whether the kernel lets this process, which has a mount namespace of its own, mount a fresh /proc. It does not where a part of the
/// present one is covered for good, as containers do.
///
/// # Errors
/// The first step that the kernel refuses, in words.
pub(crate) fn proc_can_be_fresh() -> Result<bool, String> {
    make_private()?;
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV | MountFlags::RDONLY;
    let mounted = mount::mount("proc", "/proc", "proc", strict, None);
    if mounted.is_ok() {
        explain(mount::unmount("/proc", UnmountFlags::DETACH), "unmount /proc")?;
    }
    Ok(!matches!(mounted, Err(Errno::PERM)))
}

/// Keeps what this process mounts from the host, which may share its mounts with namespaces that are made from its own.
fn make_private() -> Result<(), String> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    explain(mount::mount_change("/", private), "make the mounts private")
}

/// Mounts a read-only /proc that shows the sandbox's processes. Where a container masks parts of its own /proc, the kernel
/// refuses a new one. Then the container's /proc is bound: scripts see its processes there, but cannot reach what is behind them,
/// because the sandbox has a user namespace of its own.
///
/// User 0 may write to many entries without any capability, and so change the kernel; and the mode and owner of an entry that
/// is not about a process are shared by every /proc of the machine. So scripts cannot set their own `oom_score_adj` either.
/// The files that a process has open in `self/fd` are on mounts of their own and can be written as ever.
fn fill_proc() -> Result<(), String> {
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    match mount::mount("proc", "proc", "proc", strict | MountFlags::RDONLY, None) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => {
            explain(mount::mount_bind_recursive("/proc", "proc"), "bind /proc")?;
            make_read_only("proc", "/proc")
        }
        Err(errno) => Err(format!("cannot mount /proc: {errno}")),
    }
}

/// Makes the mount at `path`, relative to the working directory, and all mounts below it read-only. It is a copy of the mount at
/// `original`, which names it in the error too.
fn make_read_only(path: &str, original: &str) -> Result<(), String> {
    let what = format!("make {original} read-only");
    match set_read_only(path) {
        // Linux before 5.12, or the seccomp profile of a container.
        Err(Errno::NOSYS | Errno::PERM) => {
            let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            explain(remount_read_only(Path::new(path)), &what)?;
            // The table may not show where the staging root is, but it shows the originals.
            let below = mount_points(&table).filter_map(|place| Some(place.strip_prefix(original).ok()?.to_owned()));
            let mut copies = below.filter(|below| below != Path::new("")).map(|below| Path::new(path).join(below));
            copies.try_for_each(|place| explain(remount_read_only(&place), &what))
        }
        result => explain(result, &what),
    }
}

/// mount_setattr(2) for a whole tree of mounts. It leaves all other flags as they are, also those that are locked.
#[allow(unsafe_code, reason = "rustix has no form of the call")]
fn set_read_only(path: &str) -> Result<(), Errno> {
    let path = std::ffi::CString::new(path).map_err(|_| Errno::INVAL)?;
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the call reads a string and a structure of the size that it is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)) }
}

/// Makes one mount read-only. The flags that it has stay, because a user namespace may not clear those of its owner.
fn remount_read_only(place: &Path) -> Result<(), Errno> {
    let flags = fs::statvfs(place)?.f_flag;
    let kept = MountFlags::from_bits_truncate(u32::try_from(flags.bits()).unwrap_or(0));
    let known = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    let kept = kept & (known | MountFlags::NODIRATIME);
    // statvfs(3) has a number of its own for this flag.
    let relatime = if flags.bits() & 0x1000 != 0 { MountFlags::RELATIME } else { MountFlags::empty() };
    mount::mount_remount(place, MountFlags::BIND | MountFlags::RDONLY | kept | relatime, "")
}

/// Returns the mount points in a table (proc_pid_mountinfo(5)).
fn mount_points(table: &str) -> impl Iterator<Item = PathBuf> {
    table.lines().filter_map(|line| {
        let place = line.split(' ').nth(4)?;
        // The kernel writes these four characters in octal.
        let octal = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
        Some(octal.iter().fold(place.to_owned(), |place, (code, character)| place.replace(code, character)).into())
    })
}

/// Binds the host's device `like` as /dev/`name`, read-only: the device can be read and written, but its mode, owner, times
/// and attributes, which are those of the host's node, cannot be changed. Nodes that we make would work for real root only;
/// and where they work, any other node that a script makes would work too.
fn bind_device(name: &str, like: &str) -> Result<(), String> {
    let path = format!("dev/{name}");
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    explain(fs::open(&path, flags, Mode::from_raw_mode(0o666)), "create a mount point in /dev")?;
    explain(mount::mount_bind(format!("/dev/{like}"), &path), &format!("bind /dev/{like}"))?;
    make_read_only(&path, &format!("/dev/{like}"))
}

/// Fills a small tmpfs on /dev, so that the tree's own /dev stays as the packages left it.
fn fill_dev() -> Result<(), String> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    let own = flags | MountFlags::NODEV;
    explain(mount::mount("tmpfs", "dev", "tmpfs", own, Some(c"mode=0755,size=1m")), "mount a tmpfs on /dev")?;
    for (name, _) in skeleton::DEVICES {
        if matches!(name, "console" | "ptmx") {
            continue;
        }
        bind_device(name, name)?;
        if name == "null" {
            // makedev's scripts, which could make no nodes here, leave a /dev alone that has this sign of devfs.
            bind_device(".devfsd", name)?;
        }
    }
    for (name, target) in skeleton::DEVICE_LINKS {
        symlink(target, format!("dev/{name}")).map_err(|error| format!("cannot fill /dev: {error}"))?;
    }
    for name in skeleton::DEVICE_DIRECTORIES {
        explain(fs::mkdir(format!("dev/{name}"), Mode::from_raw_mode(0o755)), "fill /dev")?;
    }
    // A new instance, which does not show the caller's terminals.
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    explain(mount::mount("devpts", "dev/pts", "devpts", flags, Some(options)), "mount /dev/pts")?;
    symlink("pts/ptmx", "dev/ptmx").map_err(|error| format!("cannot fill /dev: {error}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    explain(mount::mount("tmpfs", "dev/shm", "tmpfs", flags, Some(c"mode=1777")), "mount /dev/shm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_from_the_table() {
        let table =
            "22 28 0:20 / /proc rw,nosuid - proc proc rw\n30 22 0:20 / /proc/a\\040b rw shared:1 - proc proc rw\n\n";
        assert_eq!(mount_points(table).collect::<Vec<_>>(), [Path::new("/proc"), Path::new("/proc/a b")]);
    }
}
