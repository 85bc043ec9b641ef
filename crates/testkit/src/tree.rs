//! A directory tree as text, one line per path, for comparing results.

use crate::digest::sha256;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What a dump shows besides type, mode and content.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Owner and group numbers.
    pub owner: bool,
    /// Modification times in seconds.
    pub mtime: bool,
}

/// Returns everything below `root` except times, sorted by path:
///
/// ```text
/// / dir 0755 0:0
/// /bin symlink 0777 0:0 usr/bin
/// /dev/null char 0666 0:0 1,3
/// /usr/bin/perl file 0755 0:0 3684504 0dc17e9aab2f6ab0 #1
/// /usr/bin/perl5.36.0 file 0755 0:0 3684504 0dc17e9aab2f6ab0 #1
/// ```
///
/// Paths of one file share a number; the numbers count files in the order of the lines. Symlinks are never followed.
/// Bytes outside printable ASCII, and the backslash, are written as `\xNN`.
pub fn dump(root: &Path) -> String {
    dump_with(root, Options { owner: true, mtime: false })
}

/// [`dump`] without owners or with times.
pub fn dump_with(root: &Path, options: Options) -> String {
    let mut found = vec![(Vec::new(), root.to_path_buf())];
    walk(root, &mut Vec::new(), &mut found);
    found.sort();
    let mut links = BTreeMap::new();
    let mut out = String::new();
    for (name, path) in found {
        let name = if name.is_empty() { b"/".to_vec() } else { name };
        match path.symlink_metadata() {
            Ok(meta) => out += &line(&escape(&name), &path, &meta, options, &mut links),
            Err(error) => out += &format!("{} unreadable ({:?})\n", escape(&name), error.kind()),
        }
    }
    out
}

/// A directory that cannot be read appears without its entries. The mode in its line shows the reason.
fn walk(dir: &Path, prefix: &mut Vec<u8>, found: &mut Vec<(Vec<u8>, PathBuf)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let length = prefix.len();
        prefix.push(b'/');
        prefix.extend_from_slice(entry.file_name().as_bytes());
        found.push((prefix.clone(), entry.path()));
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            walk(&entry.path(), prefix, found);
        }
        prefix.truncate(length);
    }
}

fn line(name: &str, path: &Path, meta: &Metadata, options: Options, links: &mut BTreeMap<(u64, u64), usize>) -> String {
    let kind = meta.file_type();
    let device = || Some(format!("{},{}", major(meta.rdev()), minor(meta.rdev())));
    let (kind, detail) = match () {
        () if kind.is_dir() => ("dir", None),
        () if kind.is_symlink() => ("symlink", fs::read_link(path).ok().map(|to| escape(to.as_os_str().as_bytes()))),
        () if kind.is_char_device() => ("char", device()),
        () if kind.is_block_device() => ("block", device()),
        () if kind.is_fifo() => ("fifo", None),
        () if kind.is_socket() => ("socket", None),
        () => {
            let hash = fs::read(path).map_or("unreadable".into(), |bytes| sha256(&bytes)[..16].to_string());
            ("file", Some(format!("{} {hash}", meta.len())))
        }
    };
    let mut line = format!("{name} {kind} {:04o}", meta.mode() & 0o7777);
    if options.owner {
        line += &format!(" {}:{}", meta.uid(), meta.gid());
    }
    if options.mtime {
        line += &format!(" @{}", meta.mtime());
    }
    if let Some(detail) = detail {
        line += &format!(" {detail}");
    }
    if meta.nlink() > 1 && !meta.is_dir() {
        let next = links.len() + 1;
        line += &format!(" #{}", links.entry((meta.dev(), meta.ino())).or_insert(next));
    }
    line + "\n"
}

fn escape(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'\\' | ..=b' ' | 0x7f.. => format!("\\x{byte:02x}"),
        byte => char::from(*byte).to_string(),
    };
    bytes.iter().map(one).collect()
}

// The kernel's 64-bit dev_t, as glibc and musl both split it.
fn major(device: u64) -> u64 {
    device >> 8 & 0xfff | device >> 32 & 0xffff_f000
}

fn minor(device: u64) -> u64 {
    device & 0xff | device >> 12 & 0xffff_ff00
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_tree_is_the_same_text_however_it_was_made() {
        let expect = "\
/ dir 0700
/a dir 0755
/a.b file 0644 0 e3b0c44298fc1c14
/a/hard file 0640 3 ba7816bf8f01cfea #1
/a/odd\\xff\\x20\\x0a file 0640 3 ba7816bf8f01cfea #1
/dangling symlink 0777 ../out/of/it
";
        for reverse in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path();
            fs::set_permissions(root, fs::Permissions::from_mode(0o700)).unwrap();
            fs::create_dir(root.join("a")).unwrap();
            fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
            let mut names = [root.join("a/hard"), root.join("a").join(OsStr::from_bytes(b"odd\xff \n"))];
            if reverse {
                names.reverse();
            }
            fs::write(&names[0], "abc").unwrap();
            fs::set_permissions(&names[0], fs::Permissions::from_mode(0o640)).unwrap();
            fs::hard_link(&names[0], &names[1]).unwrap();
            symlink("../out/of/it", root.join("dangling")).unwrap();
            fs::write(root.join("a.b"), "").unwrap();
            fs::set_permissions(root.join("a.b"), fs::Permissions::from_mode(0o644)).unwrap();
            assert_eq!(dump_with(root, Options { owner: false, mtime: false }), expect);
        }
    }

    #[test]
    fn devices_show_their_numbers() {
        let line = dump(Path::new("/dev"));
        assert!(line.contains("/null char 0666 0:0 1,3\n") || !Path::new("/dev/null").exists());
    }
}
