//! The owners and device nodes that a directory cannot hold, listed beside it in `NAME.mtree`, in the format of mtree(5).

use crate::error::Error;
use rootstrap_configure::privilege::Janitor;
use rootstrap_rootfs::{FakeOwnership, Faked, Kind, Root, walk};
use std::fmt::Write as _;
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
    match std::fs::read(&path) {
        Ok(text) if text.starts_with(HEAD.as_bytes()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(Error::Target {
            path,
            reason: "the owners of files have to be written there, and something else is there".to_owned(),
            hint: "rename it, or write an archive: it holds them itself",
        }),
    }
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
    let text = match std::fs::read_to_string(&path) {
        Ok(text) if text.starts_with(HEAD) => text,
        // There is no manifest, or a file that rootstrap did not write.
        _ => return Ok(root),
    };
    let owner = rustix::fs::fstat(root.fd()).map_err(Error::errno("inspect", directory))?.st_uid;
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

/// Makes the manifest permanent, once its directory is published.
pub(crate) fn keep(target: &Path, janitor: &Janitor) {
    janitor.keep(&path(target));
}

/// Removes the manifest of a directory that was not published.
pub(crate) fn remove(target: &Path) {
    let _ = std::fs::remove_file(path(target));
}

/// Writes the manifest in one step. Returns a sentence for the user that says where it is.
pub(crate) fn write(target: &Path, text: &str, janitor: &Janitor) -> Result<String, Error> {
    let path = path(target);
    janitor.remove_on_death(&path);
    let mut new = path.clone().into_os_string();
    new.push(format!(".rootstrap-{}", std::process::id()));
    let new = PathBuf::from(new);
    janitor.remove_on_death(&new);
    let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&new);
        Error::io("write", &path)(error)
    })?;
    let listed = "owners and device nodes that a directory of yours cannot hold are listed in";
    Ok(format!("{listed} {}; an archive holds them itself", path.display()))
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
        write(&target, &format!("{HEAD}./x type=file uid=0 gid=5 mode=0640\n"), &Janitor::default()).unwrap();
        check(&target).unwrap();
        std::fs::write(dir.path().join("root.mtree"), "somebody's").unwrap();
        assert!(check(&target).is_err());
    }
}
