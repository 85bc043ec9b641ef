//! What a tree without scripts lacks, done by ourselves: users, certificates, commands, shared libraries, and a list of
//! packages for scanners. Nothing of the target is run, so the tree can be of any architecture.

use crate::{Error, alternatives::Alternative, java};
use base64::Engine;
use rootstrap_image::ldcache;
use rootstrap_rootfs::{Attributes, Kind, Root};
use rootstrap_unpack::Control;

/// Who runs programs that need no rights, and where those are at home.
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
/// Names come from files, those of hosts also from name servers.
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

/// Files that programs look for and no package ships.
const FILES: [(&str, &str); 3] = [("etc/passwd", PASSWD), ("etc/group", GROUP), ("etc/nsswitch.conf", NSSWITCH)];

/// Directories, parents first, with mode and owner.
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

/// Directories of old that lead elsewhere (base-files has its postinst make them links).
const MOVED: [(&str, &str); 2] = [("var/run", "/run"), ("var/lock", "/run/lock")];

/// Where certificates are, and where OpenSSL looks for them unless the environment says otherwise.
const CERTIFICATES: &str = "usr/share/ca-certificates";
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
const OPENSSL: [(&str, &str); 2] =
    [("usr/lib/ssl/certs", "/etc/ssl/certs"), ("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")];

/// Where scanners look for packages that no dpkg knows of.
const STATUS: &str = "var/lib/dpkg/status.d";

/// Lists an unpacked package for scanners: its control file and the digests of its files, as they are.
///
/// Packages of a further architecture than `native` have theirs in the name.
pub(crate) fn register(root: &Root, control: &Control, native: &str) -> Result<(), Error> {
    root.create_directories(STATUS.as_bytes(), 0o755)?;
    let is_native = control.architecture == native || control.architecture == "all";
    let suffix = if is_native { String::new() } else { format!(":{}", control.architecture) };
    for (member, ending) in [("control", ""), ("md5sums", ".md5sums")] {
        if let Some(member) = control.member(member) {
            let path = format!("{STATUS}/{}{suffix}{ending}", control.package);
            root.write(path.as_bytes(), &member.contents, 0o644)?;
        }
    }
    Ok(())
}

/// Completes a tree in which everything is unpacked. The result follows from the tree, `alternatives` and `epoch`.
pub(crate) fn complete(root: &Root, alternatives: &[Alternative], epoch: i64) -> Result<(), Error> {
    for (path, mode, owner) in DIRECTORIES {
        root.create_directories(path.as_bytes(), 0o755)?;
        // /tmp may lead elsewhere, but that is a directory then.
        let place = root.at(path.as_bytes())?;
        if place.metadata()?.is_some_and(|found| found.kind == Kind::Directory) {
            place.set_owner(owner, owner)?;
            place.set_mode(mode)?;
        }
    }
    for (path, target) in MOVED {
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
    let certificates = certificates(root)?;
    if !certificates.is_empty() {
        bundle(root, &certificates, epoch)?;
    }
    java::trust(root, &certificates, epoch)?;
    // Java's own before what its scripts might say of the same commands.
    java::commands(root, epoch)?;
    Alternative::link(root, alternatives, epoch)?;
    ldcache::write(root, epoch)?;
    Ok(rootstrap_image::tidy::settle_root(root)?)
}

/// Makes a link where nothing is, and the directories above it.
pub(crate) fn link(root: &Root, path: &str, target: &[u8], epoch: i64) -> Result<(), Error> {
    if root.metadata(path.as_bytes())?.is_some() {
        return Ok(());
    }
    if let Some((parent, _)) = path.rsplit_once('/') {
        root.create_directories(parent.as_bytes(), 0o755)?;
    }
    let attributes = Attributes { mode: 0o777, uid: 0, gid: 0, mtime: epoch };
    Ok(root.at(path.as_bytes())?.create_symlink(target, attributes)?)
}

/// A certificate as a package ships it.
pub(crate) struct Certificate {
    /// File name without its ending.
    pub name: String,
    /// The whole file.
    pub pem: Vec<u8>,
}

impl Certificate {
    /// The first certificate of the file in binary form; `None` if there is none.
    pub fn der(&self) -> Option<Vec<u8>> {
        let text = String::from_utf8_lossy(&self.pem);
        let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
        let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
        let body: String = body.split_ascii_whitespace().collect();
        base64::engine::general_purpose::STANDARD.decode(body).ok()
    }
}

/// All certificates of packages, in the order in which ca-certificates lists them: that of their paths.
fn certificates(root: &Root) -> Result<Vec<Certificate>, Error> {
    let mut paths = Vec::new();
    if root.metadata(CERTIFICATES.as_bytes())?.is_some_and(|found| found.kind == Kind::Directory) {
        let directory = root.below(CERTIFICATES.as_bytes())?;
        rootstrap_rootfs::walk::<rootstrap_rootfs::Error>(&directory, &mut |visit| {
            if visit.metadata.kind == Kind::File && visit.path.ends_with(b".crt") {
                paths.push([CERTIFICATES.as_bytes(), b"/", visit.path].concat());
            }
            Ok(true)
        })?;
    }
    // As one text: a walk has `a/x` before `a.crt`.
    paths.sort();
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        let name = path.rsplit(|&b| b == b'/').next().and_then(|name| name.strip_suffix(b".crt")).unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        found.push(Certificate { name, pem: root.read(&path)?.unwrap_or_default() });
    }
    Ok(found)
}

/// One file of them all, and the links by which OpenSSL finds it.
fn bundle(root: &Root, certificates: &[Certificate], epoch: i64) -> Result<(), Error> {
    let mut bytes = Vec::new();
    for certificate in certificates {
        bytes.extend_from_slice(&certificate.pem);
        if !certificate.pem.ends_with(b"\n") {
            bytes.push(b'\n');
        }
    }
    root.create_directories(b"etc/ssl/certs", 0o755)?;
    root.write(BUNDLE.as_bytes(), &bytes, 0o644)?;
    OPENSSL.iter().try_for_each(|(path, target)| link(root, path, target.as_bytes(), epoch))
}
