//! The mounts of the sandbox: the staging root as `/`, a small /dev, fresh /proc and /sys. All of them private.

use rootstrap_rootfs::Device;
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{self, MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A step of the set-up and why it failed.
fn explain<T>(result: Result<T, Errno>, what: &str) -> Result<T, String> {
    result.map_err(|errno| format!("cannot {what}: {errno}"))
}

/// Makes `root` the root of this process, its mount namespace being private already.
///
/// # Errors
/// The first step the kernel refuses, in words.
pub(crate) fn enter(root: &Path) -> Result<(), String> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    explain(mount::mount_change("/", private), "make the mounts private")?;
    // pivot_root wants a mount point.
    explain(mount::mount_bind_recursive(root, root), "bind the staging root")?;
    explain(process::chdir(root), "enter the staging root")?;
    fill_dev()?;
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    explain(mount::mount("proc", "proc", "proc", strict, None), "mount /proc")?;
    // The parts of /proc that change the kernel listen to user 0 alone, capabilities or not.
    for part in ["sys", "sysrq-trigger", "irq", "bus", "fs"] {
        let path = format!("proc/{part}");
        if mount::mount_bind(&path, &path).is_ok() {
            let read_only = MountFlags::BIND | MountFlags::RDONLY | strict;
            explain(mount::mount_remount(&path, read_only, ""), &format!("make /{path} read-only"))?;
        }
    }
    // Read-only: scripts look at it, none may change the kernel. Where the host hides its own /sys the kernel
    // refuses a new one; scripts cope, as they do in containers.
    match mount::mount("sysfs", "sys", "sysfs", strict | MountFlags::RDONLY, None) {
        Ok(()) | Err(Errno::PERM | Errno::BUSY) => {}
        Err(errno) => return Err(format!("cannot mount /sys: {errno}")),
    }
    explain(process::pivot_root(".", "."), "change the root")?;
    // The old root now lies over the new one at `/`; detaching it leaves no way back.
    explain(mount::unmount(".", UnmountFlags::DETACH), "detach the host's root")?;
    explain(process::chdir("/"), "enter the new root")
}

/// A device node, or in a user namespace, where none can be made, the host's `like` in its place.
fn make_device(name: &str, like: &str, device: Device) -> Result<(), String> {
    let path = format!("dev/{name}");
    let number = fs::makedev(device.major, device.minor);
    match fs::mknodat(CWD, &path, fs::FileType::CharacterDevice, Mode::from_raw_mode(0o666), number) {
        Ok(()) => explain(fs::chmod(&path, Mode::from_raw_mode(0o666)), "change the mode of a device"),
        Err(_) => {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            explain(fs::open(&path, flags, Mode::from_raw_mode(0o666)), "create a mount point in /dev")?;
            explain(mount::mount_bind(format!("/dev/{like}"), &path), &format!("bind /dev/{like}"))
        }
    }
}

/// A tmpfs, so that the tree's own /dev stays as the packages left it.
fn fill_dev() -> Result<(), String> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    explain(mount::mount("tmpfs", "dev", "tmpfs", flags, Some(c"mode=0755,size=1m")), "mount a tmpfs on /dev")?;
    for (name, device) in rootstrap_rootfs::skeleton::DEVICES {
        if matches!(name, "console" | "ptmx") {
            continue;
        }
        make_device(name, name, device)?;
        if name == "null" {
            // The sign of a /dev that makes its own nodes: makedev's scripts, which could make none here, leave it alone.
            make_device(".devfsd", name, device)?;
        }
    }
    for (name, target) in rootstrap_rootfs::skeleton::DEVICE_LINKS {
        symlink(target, format!("dev/{name}")).map_err(|error| format!("cannot fill /dev: {error}"))?;
    }
    for name in rootstrap_rootfs::skeleton::DEVICE_DIRECTORIES {
        explain(fs::mkdir(format!("dev/{name}"), Mode::from_raw_mode(0o755)), "fill /dev")?;
    }
    // An instance of its own: the caller's terminals are not in it.
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    explain(mount::mount("devpts", "dev/pts", "devpts", flags, Some(options)), "mount /dev/pts")?;
    symlink("pts/ptmx", "dev/ptmx").map_err(|error| format!("cannot fill /dev: {error}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    explain(mount::mount("tmpfs", "dev/shm", "tmpfs", flags, Some(c"mode=1777")), "mount /dev/shm")
}
