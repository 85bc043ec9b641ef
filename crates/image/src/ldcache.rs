//! `/etc/ld.so.cache`, as ldconfig of the C library would write it, for trees whose own ldconfig is not run or not there.
//!
//! The format is the one that every glibc since 2.2 reads (sysdeps/generic/dl-cache.h, `cache_file_new`): a header, an
//! entry of five numbers for each library in the order of [`compare`], and the names. Its numbers are in the byte order of
//! the target. Which libraries there are, and under which name, follows elf/ldconfig.c (`search_dir`). Subdirectories for
//! better processors are left out: the plain library beside them is always right.

use crate::library::{self, Library};
use crate::{Error, Result};
use object::Endianness;
use rootstrap_rootfs::{Attributes, Kind, Root};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Where it is.
const CACHE: &[u8] = b"etc/ld.so.cache";
const CONFIGURATION: &[u8] = b"/etc/ld.so.conf";
/// What Debian's package libc-bin has in [`CONFIGURATION`] and in the directory this names.
const DEFAULT: &[u8] = b"/usr/local/lib\ninclude /etc/ld.so.conf.d/*.conf\n";
/// Searched after the configured ones, and before them their subdirectories for the C library's own architecture.
const SYSTEM: [&[u8]; 2] = [b"/lib", b"/usr/lib"];
/// Without it nobody reads the cache.
const GLIBC: &[u8] = b"libc.so.6";
/// How deep configuration files include others.
const DEEPEST: usize = 8;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
const LITTLE: u8 = 2;
const BIG: u8 = 3;

/// A library as the cache has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: Vec<u8>,
    flags: u32,
    path: Vec<u8>,
}

/// Writes the cache of the libraries in `root`, and the links from a library's own name to its file where one is missing.
/// Returns whether there is one now: nothing is done where there is no glibc.
///
/// # Errors
/// The tree cannot be read or changed, or has libraries beyond what the format can count.
pub fn write(root: &Root, epoch: i64) -> Result<bool> {
    let mut entries = Vec::new();
    let mut order = None;
    for directory in directories(root)? {
        for (name, found) in libraries(root, &directory)? {
            let path = [&directory[..], b"/", &name].concat();
            if name == GLIBC {
                order.get_or_insert(found.library.order);
            }
            if !found.is_link && root.metadata(&path)?.is_none() {
                let attributes = Attributes { mode: 0o777, uid: 0, gid: 0, mtime: epoch };
                root.at(&path)?.create_symlink(&found.file, attributes)?;
            }
            entries.push((found.library.order, Entry { name, flags: found.library.flags, path }));
        }
    }
    let Some(order) = order else { return Ok(false) };
    let mut entries: Vec<Entry> =
        entries.into_iter().filter(|(own, _)| *own == order).map(|(_, entry)| entry).collect();
    // Stable: of libraries alike, that of the first directory comes first and is taken.
    entries.sort_by(|a, b| compare(&b.name, &a.name).then(b.flags.cmp(&a.flags)));
    let bytes = encode(&entries, order).ok_or_else(|| {
        let reason = std::io::Error::other("too many libraries");
        Error::Cache(reason)
    })?;
    root.create_directories(b"etc", 0o755)?;
    root.write(CACHE, &bytes, 0o644)?;
    Ok(true)
}

/// A candidate for a name in one directory.
struct Found {
    file: Vec<u8>,
    /// Whether `file` is a link that only names a library, not one that stands for it.
    is_link: bool,
    library: Library,
}

/// The libraries of a directory under the names they are looked for.
fn libraries(root: &Root, directory: &[u8]) -> Result<BTreeMap<Vec<u8>, Found>> {
    let mut found: BTreeMap<Vec<u8>, Found> = BTreeMap::new();
    for file in root.list(directory)?.into_iter().filter(|name| is_library_name(name)) {
        let path = [directory, b"/", &file].concat();
        let kind = root.metadata(&path)?.map(|metadata| metadata.kind);
        if !matches!(kind, Some(Kind::File | Kind::Symlink)) || !root.leads_somewhere(&path)? {
            continue;
        }
        let opened = match root.open_file(&path) {
            Ok(opened) => opened,
            // A link to something else than a file.
            Err(error) if error.io().kind() == std::io::ErrorKind::InvalidInput => continue,
            Err(error) => return Err(error.into()),
        };
        let Some(library) = library::read(opened) else { continue };
        let soname = library.soname.clone().unwrap_or_else(|| file.clone());
        let is_link =
            kind == Some(Kind::Symlink) && (file == soname || (file.ends_with(b".so") && soname.starts_with(&file)));
        let name = if is_link { file.clone() } else { soname };
        let better = |old: &Found| {
            (old.is_link && !is_link) || (old.is_link == is_link && compare(&old.file, &file) == Ordering::Less)
        };
        if is_file_name(&name) && found.get(&name).is_none_or(better) {
            found.insert(name, Found { file, is_link, library });
        }
    }
    Ok(found)
}

/// `lib*.so*` and the loader under each of its names, but not what dpkg and debuggers put beside them.
fn is_library_name(name: &[u8]) -> bool {
    [&b"lib"[..], b"ld-", b"ld.so.", b"ld64.so."].iter().any(|start| name.starts_with(start))
        && name.windows(3).any(|part| part == b".so")
        && ![&b"-gdb.py"[..], b".dpkg-new", b".dpkg-tmp"].iter().any(|end| name.ends_with(end))
}

/// A soname is whatever a linker was told. One that is no plain name is not to become a path, and nobody looks for it.
fn is_file_name(name: &[u8]) -> bool {
    name.iter().all(|b| b.is_ascii_graphic() && *b != b'/') && !matches!(name, b"" | b"." | b"..")
}

/// The directories to search in their order, each once under its first name.
fn directories(root: &Root) -> Result<Vec<Vec<u8>>> {
    let mut named = Vec::new();
    match root.read(CONFIGURATION)? {
        Some(text) => configured(root, &text, 0, &mut named)?,
        None => configured(root, DEFAULT, 0, &mut named)?,
    }
    // Built into Debian's loader as the multiarch triplet. The directory that has the C library is of that name.
    for (top, other) in SYSTEM.iter().flat_map(|top| SYSTEM.map(|other| (top, other))) {
        for name in root.list(top)? {
            if root.leads_somewhere(&[top, &b"/"[..], &name, b"/", GLIBC].concat())? {
                named.push([other, b"/", &name].concat());
            }
        }
    }
    named.extend(SYSTEM.iter().map(|path| path.to_vec()));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for path in named {
        let Ok(directory) = root.open_directory(&path) else { continue };
        let stat = rustix::fs::fstat(&directory).map_err(|errno| Error::Cache(errno.into()))?;
        if seen.insert((stat.st_dev, stat.st_ino)) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The absolute paths in a configuration file and in those it includes (ldconfig(8)).
fn configured(root: &Root, text: &[u8], depth: usize, found: &mut Vec<Vec<u8>>) -> Result<()> {
    for line in text.split(|&b| b == b'\n') {
        let line = line.split(|&b| b == b'#').next().unwrap_or_default().trim_ascii();
        match line.strip_prefix(b"include").filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t")) {
            Some(patterns) if depth < DEEPEST => {
                for pattern in patterns.split(u8::is_ascii_whitespace).filter(|word| word.starts_with(b"/")) {
                    for path in matching(root, pattern)? {
                        let text = root.read(&path)?.unwrap_or_default();
                        configured(root, &text, depth + 1, found)?;
                    }
                }
            }
            Some(_) => {}
            None if line.starts_with(b"/") => {
                // "/lib=libc6" is how one once named the kind of what is in a directory.
                let path = line.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii_end();
                let end = path.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
                found.extend(path.get(..end).filter(|path| !path.is_empty()).map(<[u8]>::to_vec));
            }
            None => {}
        }
    }
    Ok(())
}

/// What a pattern with at most one `*`, in its last part, stands for, sorted.
fn matching(root: &Root, pattern: &[u8]) -> Result<Vec<Vec<u8>>> {
    let slash = pattern.iter().rposition(|&b| b == b'/').unwrap_or_default();
    let (directory, name) = pattern.split_at(slash);
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let Some(star) = name.iter().position(|&b| b == b'*') else { return Ok(vec![pattern.to_vec()]) };
    let (start, end) = (name.get(..star).unwrap_or_default(), name.get(star + 1..).unwrap_or_default());
    let names = root.list(directory)?.into_iter().filter(|name| {
        let hidden = name.starts_with(b".") && start.is_empty();
        !hidden && name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    });
    Ok(names.map(|name| [directory, b"/", &name].concat()).collect())
}

/// The cache's own order of names: as text, but for numbers in them (elf/dl-cache.c, `_dl_cache_libcmp`). The loader
/// searches by it.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.split_first(), b.split_first()) {
            (None, _) | (_, None) => return a.len().cmp(&b.len()),
            (Some((x, _)), Some((y, _))) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (first, second) = (number(&mut a), number(&mut b));
                if first != second {
                    return first.cmp(&second);
                }
            }
            // A number comes after all else.
            (Some((x, _)), Some((y, _))) if x.is_ascii_digit() != y.is_ascii_digit() => {
                return x.is_ascii_digit().cmp(&y.is_ascii_digit());
            }
            (Some((x, _)), Some((y, _))) if x != y => return x.cmp(y),
            (Some((_, rest)), Some((_, other))) => (a, b) = (rest, other),
        }
    }
}

/// Takes the digits at the beginning off as a number.
fn number(text: &mut &[u8]) -> u64 {
    let mut value = 0_u64;
    while let Some((digit, rest)) = text.split_first().filter(|(digit, _)| digit.is_ascii_digit()) {
        value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
        *text = rest;
    }
    value
}

/// The bytes of a cache with these entries; `None` beyond 4 GiB.
fn encode(entries: &[Entry], order: Endianness) -> Option<Vec<u8>> {
    let word = |number: usize| -> Option<[u8; 4]> {
        let number = u32::try_from(number).ok()?;
        Some(if order == Endianness::Little { number.to_le_bytes() } else { number.to_be_bytes() })
    };
    // A library is always found under its name, which thus is the end of its path.
    let mut names = Vec::new();
    let mut table = Vec::with_capacity(entries.len() * ENTRY);
    let start = HEADER + entries.len().checked_mul(ENTRY)?;
    for entry in entries {
        let path = start + names.len();
        names.extend_from_slice(&entry.path);
        names.push(0);
        let name = path + entry.path.len() - entry.name.len();
        table.extend(word(entry.flags as usize)?);
        table.extend(word(name)?);
        table.extend(word(path)?);
        // No demands on kernel (4 bytes) or processor (8).
        table.extend([0; 12]);
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(word(entries.len())?);
    bytes.extend(word(names.len())?);
    bytes.push(if order == Endianness::Little { LITTLE } else { BIG });
    bytes.resize(HEADER, 0);
    word(start + names.len())?;
    bytes.extend(table);
    bytes.extend(names);
    Some(bytes)
}

#[cfg(test)]
#[path = "ldcache_tests.rs"]
mod tests;
