//! The steps that complete a tree without scripts, in their order.

use crate::alternatives::Alternative;
use crate::error::Result;
use crate::link::link;
use crate::{certificates, java, ldcache};
use rootstrap_rootfs::{Kind, Root};
use std::sync::atomic::AtomicBool;

/// The number of the unprivileged user `nonroot`, as in other distroless images.
const NONROOT: u32 = 65532;

const PASSWD: &str = "\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
";
const GROUP: &str = "\
root:x:0:
tty:x:5:
staff:x:50:
nonroot:x:65532:
nobody:x:65534:
";
/// The sources of names: files, and for host names also DNS.
const NSSWITCH: &str = "\
passwd:         files
group:          files
shadow:         files
hosts:          files dns
networks:       files
protocols:      files
services:       files
ethers:         files
rpc:            files
";

/// Files that programs read but no package ships.
const FILES: [(&str, &str); 3] = [("etc/passwd", PASSWD), ("etc/group", GROUP), ("etc/nsswitch.conf", NSSWITCH)];

/// Directories with their mode and owner, parents first.
const DIRECTORIES: [(&str, u32, u32); 10] = [
    ("etc", 0o755, 0),
    ("home", 0o755, 0),
    ("home/nonroot", 0o700, NONROOT),
    ("proc", 0o755, 0),
    ("root", 0o700, 0),
    ("run", 0o755, 0),
    ("run/lock", 0o1777, 0),
    ("tmp", 0o1777, 0),
    ("var", 0o755, 0),
    ("var/tmp", 0o1777, 0),
];

/// Directories that the postinst of base-files replaces with links.
const LINKED_DIRECTORIES: [(&str, &str); 2] = [("var/run", "/run"), ("var/lock", "/run/lock")];

/// Completes a tree in which every package is unpacked. The result follows from the tree, `alternatives` and `epoch`.
///
/// # Errors
/// The tree cannot be read or changed, or `cancel` was set.
pub fn complete(root: &Root, alternatives: &[Alternative], epoch: i64, cancel: &AtomicBool) -> Result<()> {
    for (path, mode, owner) in DIRECTORIES {
        root.create_directories(path.as_bytes(), 0o755)?;
        // A package may ship /tmp as a link; then the directory behind it keeps its attributes.
        let place = root.at(path.as_bytes())?;
        if place.metadata()?.is_some_and(|found| found.kind == Kind::Directory) {
            place.set_owner(owner, owner)?;
            place.set_mode(mode)?;
        }
    }
    for (path, target) in LINKED_DIRECTORIES {
        let found = root.metadata(path.as_bytes())?;
        if found.is_some_and(|found| found.kind == Kind::Directory) && root.list(path.as_bytes())?.is_empty() {
            root.at(path.as_bytes())?.remove_directory()?;
        }
        link(root, path, target.as_bytes(), epoch)?;
    }
    for (path, text) in FILES {
        if root.metadata(path.as_bytes())?.is_none() {
            root.write(path.as_bytes(), text.as_bytes(), 0o644)?;
        }
    }
    let certificates = certificates::read(root, cancel)?;
    if !certificates.is_empty() {
        certificates::bundle(root, &certificates, epoch)?;
    }
    java::write_keystores(root, &certificates, epoch, cancel)?;
    // The lists of commands that Java packages ship take precedence over the alternatives that their scripts register.
    java::link_commands(root, epoch, cancel)?;
    Alternative::link(root, alternatives, epoch, cancel)?;
    ldcache::write(root, epoch, cancel)?;
    Ok(())
}
