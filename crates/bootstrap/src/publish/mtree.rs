//! The owners and device nodes that a directory cannot hold, listed beside it in `NAME.mtree`, in the format of mtree(5).

use crate::error::Error;
use crate::request::Machine;
use crate::staging::new_file::{NewFile, PublishedFile};
use crate::staging::place::parent;
use rootstrap_rootfs::{FakeOwnership, Faked, Kind, Root, walk};
use rustix::fs::{Mode, OFlags};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The first lines of every manifest. A file without these lines is never replaced.
const HEAD: &str = "#mtree\n# What rootstrap could not give the directory beside this file.\n";

/// Returns the path of the manifest of the directory `target`.
pub(crate) fn path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".mtree");
    target.with_file_name(name)
}

/// Refuses a target beside which no manifest can be written: something else is there.
pub(crate) fn check(target: &Path) -> Result<(), Error> {
    let path = path(target);
    match read(&path, rustix::process::geteuid().as_raw()) {
        Ok(Some(_)) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(Error::Target {
            path,
            reason: "the owners of files have to be written there, and something else is there".to_owned(),
            hint: "rename it, or write an archive: it holds them itself",
        }),
    }
}

/// Returns the text of the manifest at `path`; `None` if something else is there, or a manifest that another user
/// than `owner` wrote.
fn read(path: &Path, owner: u32) -> std::io::Result<Option<String>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let found = rustix::fs::fstat(&file)?;
    if !file.metadata()?.is_file() || found.st_uid != owner {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(String::from_utf8(text).ok().filter(|text| text.starts_with(HEAD)))
}

/// Removes from `root` what a directory cannot hold, and returns the manifest of it; `None` if there is nothing to list.
///
/// # Errors
/// The tree cannot be read or changed.
pub(crate) fn extract(root: &Root) -> Result<Option<String>, Error> {
    let (mut lines, mut nodes) = (String::new(), Vec::new());
    walk::<Error>(root, &mut |visit| {
        let (found, faked) = (visit.metadata, visit.faked);
        if faked == Faked::default() {
            return Ok(true);
        }
        let (kind, device) = match found.kind {
            Kind::File | Kind::Socket => ("file", None),
            Kind::Directory => ("dir", None),
            Kind::Symlink => ("link", None),
            Kind::Fifo => ("fifo", None),
            Kind::CharDevice => ("char", Some(found.device)),
            Kind::BlockDevice => ("block", Some(found.device)),
        };
        let of = found.attributes;
        let (path, mode) = (escape(visit.path), of.mode);
        let _ = write!(lines, "./{path} type={kind} uid={} gid={} mode={mode:04o}", of.uid, of.gid);
        if let Some(device) = device {
            let _ = write!(lines, " device=linux,{},{}", device.major, device.minor);
            nodes.push(visit.path.to_vec());
        }
        lines.push('\n');
        Ok(true)
    })?;
    for node in nodes {
        root.remove(&node)?;
    }
    Ok((!lines.is_empty()).then(|| format!("{HEAD}{lines}")))
}

/// Gives a directory the owners that the manifest beside it lists, if there is one, as fake ownership: nothing on disk changes. Device
/// nodes stay missing.
///
/// # Errors
/// The manifest is damaged, or names what is not there.
pub(crate) fn apply(root: Root, directory: &Path) -> Result<Root, Error> {
    let path = path(directory);
    let owner = rustix::fs::fstat(root.fd()).map_err(Error::errno("inspect", directory))?.st_uid;
    // There is no manifest, or a file that the maker of the directory did not write.
    let Ok(Some(text)) = read(&path, owner) else { return Ok(root) };
    if owner != rustix::process::geteuid().as_raw() {
        return Err(Error::Source {
            path: directory.to_owned(),
            reason: format!("its owners are listed in {}, and the rest is somebody else's", path.display()),
            hint: "run it as the user who made it",
        });
    }
    let root = root.with_fake_ownership(Arc::new(FakeOwnership::new(true)));
    for line in text.lines().filter(|line| line.starts_with("./")) {
        let mut words = line.split(' ');
        let name = words.next().and_then(|name| unescape(name.strip_prefix("./")?));
        let mut fields = words.filter_map(|word| word.split_once('='));
        let mut field = |wanted: &str| fields.find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let (kind, uid, gid) = (field("type"), field("uid"), field("gid"));
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        let (Some(name), Some(kind), Some(uid), Some(gid)) = (name, kind, number(uid), number(gid)) else {
            let reason = format!("it has no owner in `{line}`");
            return Err(Error::Source { path, reason, hint: "put it back as it was written, or move it away" });
        };
        if !matches!(kind, "char" | "block") {
            root.at(&name)?.set_owner(uid, gid)?;
        }
    }
    Ok(root)
}

/// A manifest that is written, and removed if this run is killed before its directory is published.
pub(crate) struct Manifest(PublishedFile);

impl Manifest {
    /// Says where the manifest is.
    pub fn sentence(&self) -> String {
        let listed = "owners and device nodes that a directory of yours cannot hold are listed in";
        format!("{listed} {}; an archive holds them itself", self.0.path().display())
    }

    /// Makes the manifest permanent, once its directory is published.
    pub fn keep(&self) {
        self.0.keep();
    }

    /// Removes the manifest of a directory that was not published.
    pub fn remove(&self) {
        self.0.remove();
    }
}

/// Writes the manifest in one step.
pub(crate) fn write(target: &Path, text: &str, machine: &Machine) -> Result<Manifest, Error> {
    let path = path(target);
    let new = NewFile::create(parent(&path), &machine.janitor)?;
    (&new.file).write_all(text.as_bytes()).map_err(Error::io("write", &path))?;
    new.sync(machine.sync, &path)?;
    new.remove_on_death(&path);
    new.publish(&path, machine.sync).map(Manifest)
}

/// Escapes a name in octal, as vis(3) does.
fn escape(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for &byte in path {
        if byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'*' | b'?' | b'[') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\{byte:03o}");
        }
    }
    text
}

/// Undoes [`escape`].
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut path = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        path.push(match byte {
            b'\\' => {
                let digits: Vec<u8> = bytes.by_ref().take(3).collect();
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()?
            }
            other => other,
        });
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_word() {
        assert_eq!(escape(b"usr/bin/[ a\n\xff"), "usr/bin/\\133\\040a\\012\\377");
        assert_eq!(unescape(&escape(b"usr/bin/[ a\n\xff")).unwrap(), b"usr/bin/[ a\n\xff");
        assert!(unescape("a\\9").is_none() && unescape("a\\777").is_none());
        assert_eq!(path(Path::new("/a/root.d")), Path::new("/a/root.d.mtree"));
    }

    #[test]
    fn only_our_own_manifest_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("root");
        check(&target).unwrap();
        let machine = Machine::new(crate::request::Host::default(), 0);
        write(&target, &format!("{HEAD}./x type=file uid=0 gid=5 mode=0640\n"), &machine).unwrap();
        check(&target).unwrap();
        std::fs::write(dir.path().join("root.mtree"), "somebody's").unwrap();
        assert!(check(&target).is_err());
    }
}
