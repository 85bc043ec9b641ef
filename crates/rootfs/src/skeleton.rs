//! The parts of a tree that no package ships: the links of a merged /usr, the static device nodes and an empty fstab.

use crate::entry::{Attributes, Device, Kind};
use crate::error::Result;
use crate::root::Root;

/// The directories that a merged /usr replaces by links.
pub const ALIASED: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// Creates for each of `names` a directory in /usr and, in the root, a link to it.
///
/// # Errors
/// Something is there already, or the system refuses.
pub fn merge_usr(root: &Root, names: &[String], mtime: i64) -> Result<()> {
    for name in names {
        let target = format!("usr/{name}");
        root.create_directories(target.as_bytes(), 0o755)?;
        let attributes = Attributes { mode: 0o777, uid: 0, gid: 0, mtime };
        root.at(name.as_bytes())?.create_symlink(target.as_bytes(), attributes)?;
    }
    Ok(())
}

/// The static device nodes that every system may expect (Linux `admin-guide/devices.txt`, FHS §6.1.3).
pub const DEVICES: [(&str, Device); 8] = [
    ("console", Device { major: 5, minor: 1 }),
    ("full", Device { major: 1, minor: 7 }),
    ("null", Device { major: 1, minor: 3 }),
    ("ptmx", Device { major: 5, minor: 2 }),
    ("random", Device { major: 1, minor: 8 }),
    ("tty", Device { major: 5, minor: 0 }),
    ("urandom", Device { major: 1, minor: 9 }),
    ("zero", Device { major: 1, minor: 5 }),
];

/// Links beside the device nodes.
pub const DEVICE_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stderr", "/proc/self/fd/2"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
];

/// Directories beside the device nodes: mount points.
pub const DEVICE_DIRECTORIES: [&str; 2] = ["pts", "shm"];

/// The table of filesystems of a system that has none yet.
const FSTAB: &[u8] = b"# UNCONFIGURED FSTAB FOR BASE SYSTEM\n";

/// Writes /etc/fstab if there is /etc, and none in it. Scripts of packages look for it: quota's enables its services only without one.
///
/// # Errors
/// The system refuses.
pub fn write_fstab(root: &Root) -> Result<()> {
    if root.metadata(b"etc/fstab")?.is_none() && root.metadata(b"etc")?.is_some() {
        root.write(b"etc/fstab", FSTAB, 0o644)?;
    }
    Ok(())
}

/// Fills /dev. Without permission to create device nodes, only links and directories are created.
///
/// Returns whether the device nodes could be created.
///
/// # Errors
/// The system refuses for any reason other than that missing permission.
pub fn fill_dev(root: &Root, mtime: i64) -> Result<bool> {
    let attributes = |mode| Attributes { mode, uid: 0, gid: 0, mtime };
    let at = |name: &str| root.at(format!("dev/{name}").as_bytes());
    root.create_directories(b"dev", 0o755)?;
    for name in DEVICE_DIRECTORIES {
        if at(name)?.metadata()?.is_none() {
            at(name)?.create_directory(attributes(0o755))?;
        }
    }
    for (name, target) in DEVICE_LINKS {
        if at(name)?.metadata()?.is_none() {
            at(name)?.create_symlink(target.as_bytes(), attributes(0o777))?;
        }
    }
    for (name, device) in DEVICES {
        let place = at(name)?;
        if place.metadata()?.is_some() {
            continue;
        }
        if let Err(error) = place.create_node(Kind::CharDevice, device, attributes(0o666)) {
            return if error.io().kind() == std::io::ErrorKind::PermissionDenied { Ok(false) } else { Err(error) };
        }
    }
    Ok(true)
}
