//! The mounts of the sandbox: the staging root as `/`, a small /dev, fresh /proc and /sys. All of them private.

use crate::privilege::Mode as Rung;
use rootstrap_rootfs::{Root, skeleton};
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{self, MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags};
use rustix::process;
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A step of the set-up and why it failed.
fn explain<T>(result: Result<T, Errno>, what: &str) -> Result<T, String> {
    result.map_err(|errno| format!("cannot {what}: {errno}"))
}

/// Makes `root`, a directory of the working directory, the root of this process where nothing can be mounted. Its /dev gets
/// nodes of its own, which archives take from a table anyway and a directory is to have.
///
/// # Errors
/// The first step the kernel refuses, in words.
pub(crate) fn enter_without(root: &OsStr) -> Result<(), String> {
    let tree = Root::open(Path::new(root)).map_err(|error| error.to_string())?;
    let made = skeleton::fill_dev(&tree, 0).map_err(|error| error.to_string())?;
    let null = fs::open(Path::new(root).join("dev/null"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    if !made || null.is_err() {
        return Err("device nodes cannot be made or opened below the staging directory; the container may need \
                    --cap-add MKNOD, or TMPDIR on a filesystem without nodev"
            .to_owned());
    }
    explain(process::chroot(root), "change the root")?;
    explain(process::chdir("/"), "enter the new root")
}

/// Makes `root`, a directory of the working directory, the root of this process in its own mount namespace.
///
/// # Errors
/// The first step the kernel refuses, in words.
pub(crate) fn enter(root: &OsStr, rung: Rung) -> Result<(), String> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    explain(mount::mount_change("/", private), "make the mounts private")?;
    // Staging in memory has no place among the mounts yet, and only what has one can be bound. Any will do: the host's
    // root goes away, and this with it. A staging directory is no mount, for which the kernel answers EINVAL.
    let moved = mount::move_mount(CWD, ".", CWD, "/", MoveMountFlags::empty());
    // pivot_root wants a mount point.
    explain(mount::mount_bind_recursive(root, root), "bind the staging root")?;
    explain(process::chdir(root), "enter the staging root")?;
    if rung == Rung::Root {
        // Real root can make any device; nobody shall open it here.
        let flags = explain(fs::statvfs("."), "inspect the staging root")?.f_flag;
        let kept = MountFlags::from_bits_truncate(u32::try_from(flags.bits()).unwrap_or(0));
        let kept = kept & (MountFlags::NOSUID | MountFlags::RDONLY | MountFlags::NOEXEC);
        explain(mount::mount_remount(".", MountFlags::BIND | MountFlags::NODEV | kept, ""), "keep devices out")?;
    }
    fill_dev()?;
    fill_proc()?;
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    // Read-only: scripts look at it, none may change the kernel. Where the host hides its own /sys the kernel
    // refuses a new one; scripts cope, as they do in containers.
    match mount::mount("sysfs", "sys", "sysfs", strict | MountFlags::RDONLY, None) {
        Ok(()) | Err(Errno::PERM | Errno::BUSY) => {}
        Err(errno) => return Err(format!("cannot mount /sys: {errno}")),
    }
    match process::pivot_root(".", ".") {
        // The old root now lies over the new one at `/`; detaching it leaves no way back.
        Ok(()) => {
            // Over it lies what was moved there.
            if moved.is_ok() {
                explain(mount::unmount(".", UnmountFlags::DETACH), "detach the staging area")?;
            }
            explain(mount::unmount(".", UnmountFlags::DETACH), "detach the host's root")?;
        }
        // Containers' seccomp profiles refuse it even where they allow mounts. Moved over `/`, the new root hides the old
        // one, and scripts may not change their root.
        Err(Errno::PERM) => {
            explain(mount::mount_move(".", "/"), "move the staging root over /")?;
            explain(process::chroot("."), "change the root")?;
        }
        Err(errno) => return Err(format!("cannot change the root: {errno}")),
    }
    explain(process::chdir("/"), "enter the new root")
}

/// A /proc of the sandbox's processes. Where a container masks parts of its own the kernel refuses a new one, and that of
/// the container has to do: its processes are seen there, and cannot be reached.
fn fill_proc() -> Result<(), String> {
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    match mount::mount("proc", "proc", "proc", strict, None) {
        Ok(()) => {}
        Err(Errno::PERM) => return explain(mount::mount_bind_recursive("/proc", "proc"), "bind /proc"),
        Err(errno) => return Err(format!("cannot mount /proc: {errno}")),
    }
    // The parts of /proc that change the kernel listen to user 0 alone, capabilities or not.
    for part in ["sys", "sysrq-trigger", "irq", "bus", "fs"] {
        let path = format!("proc/{part}");
        if mount::mount_bind(&path, &path).is_ok() {
            let read_only = MountFlags::BIND | MountFlags::RDONLY | strict;
            explain(mount::mount_remount(&path, read_only, ""), &format!("make /{path} read-only"))?;
        }
    }
    Ok(())
}

/// The host's device `like` as /dev/`name`. Nodes of our own would work for real root only, and where they do, so would
/// any that a script makes beside them.
fn bind_device(name: &str, like: &str) -> Result<(), String> {
    let path = format!("dev/{name}");
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    explain(fs::open(&path, flags, Mode::from_raw_mode(0o666)), "create a mount point in /dev")?;
    explain(mount::mount_bind(format!("/dev/{like}"), &path), &format!("bind /dev/{like}"))
}

/// A tmpfs, so that the tree's own /dev stays as the packages left it.
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
            // The sign of a /dev that makes its own nodes: makedev's scripts, which could make none here, leave it alone.
            bind_device(".devfsd", name)?;
        }
    }
    for (name, target) in skeleton::DEVICE_LINKS {
        symlink(target, format!("dev/{name}")).map_err(|error| format!("cannot fill /dev: {error}"))?;
    }
    for name in skeleton::DEVICE_DIRECTORIES {
        explain(fs::mkdir(format!("dev/{name}"), Mode::from_raw_mode(0o755)), "fill /dev")?;
    }
    // An instance of its own: the caller's terminals are not in it.
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    explain(mount::mount("devpts", "dev/pts", "devpts", flags, Some(options)), "mount /dev/pts")?;
    symlink("pts/ptmx", "dev/ptmx").map_err(|error| format!("cannot fill /dev: {error}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    explain(mount::mount("tmpfs", "dev/shm", "tmpfs", flags, Some(c"mode=1777")), "mount /dev/shm")
}
