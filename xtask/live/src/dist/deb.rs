//! The Debian package. It depends on nothing.

use super::release::{MAINTAINER, Release};
use super::tree::File;
use rootstrap_testkit::deb::Deb;

const DESCRIPTION: &str = "make Debian and Ubuntu root filesystems and base images
 rootstrap makes a working Debian or Ubuntu tree, an archive, a container
 image or a filesystem image out of a suite's packages. The same packages
 give the same bytes. It needs no other program, works for ordinary users,
 and can build for other architectures.";

/// Returns the package.
pub fn of(release: &Release, files: &[File]) -> Vec<u8> {
    let size: usize = files.iter().map(|file| file.bytes.len().div_ceil(1024)).sum();
    let mut deb = Deb::new("rootstrap", &release.version)
        .arch(release.arch)
        .field("Maintainer", MAINTAINER)
        .field("Installed-Size", &size.to_string())
        .field("Section", "admin")
        .field("Priority", "optional")
        // They give an ordinary user more ids than one.
        .field("Recommends", "uidmap")
        .field("Suggests", "apparmor, qemu-user-static, squashfs-tools-ng")
        .field("Description", DESCRIPTION)
        .mtime(release.epoch)
        .script("postinst", include_str!("files/postinst"))
        .script("postrm", include_str!("files/postrm"))
        .file("usr/share/rootstrap/apparmor", 0o644, include_str!("files/apparmor"));
    for File { path, mode, bytes } in files {
        deb = deb.file(path, *mode, bytes);
    }
    deb.build()
}
