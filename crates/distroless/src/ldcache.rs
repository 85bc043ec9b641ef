//! `/etc/ld.so.cache`, as glibc's ldconfig writes it, for trees that have no ldconfig or whose ldconfig is not run.
//!
//! Every glibc since 2.2 reads this format (sysdeps/generic/dl-cache.h, `cache_file_new`): a header, an entry of five numbers
//! for each library in the order of `compare`, and the names. The numbers are in the byte order of the target. The choice of
//! libraries and of their names follows elf/ldconfig.c (`search_dir`). Subdirectories with libraries for newer processors are
//! left out, because the library for all processors beside them always works.

use crate::error::{Error, Result, go_on};
use crate::library::{self, Library};
use object::Endianness;
use rootstrap_rootfs::{Attributes, Kind, Root, path};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::atomic::AtomicBool;

/// The path of the cache.
const CACHE: &[u8] = b"etc/ld.so.cache";
const CONFIGURATION: &[u8] = b"/etc/ld.so.conf";
/// The contents of [`CONFIGURATION`] and of the directory that it names, as Debian's package libc-bin ships them.
const DEFAULT: &[u8] = b"/usr/local/lib\ninclude /etc/ld.so.conf.d/*.conf\n";
/// The system directories. The loader searches the configured directories first, then the subdirectories of these for the C
/// library's architecture, then these.
const SYSTEM: [&[u8]; 2] = [b"/lib", b"/usr/lib"];
/// The C library. Without it, no program reads the cache.
const GLIBC: &[u8] = b"libc.so.6";
/// The largest number of levels of configuration files that include others.
const MAX_INCLUDES: usize = 8;
/// The most configuration files that are read. A large system has some dozens.
const MAX_FILES: usize = 4096;
/// The most bytes of all configuration files, and the most names of files that are compared with patterns.
const MAX_BYTES: usize = 4 << 20;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
const LITTLE: u8 = 2;
const BIG: u8 = 3;

/// An entry of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: Vec<u8>,
    flags: u32,
    path: Vec<u8>,
}

/// Writes the cache of the libraries in `root`, and each missing link from a soname to its file. Does nothing if `root` has no
/// glibc. Returns whether the cache was written.
///
/// # Errors
/// The tree cannot be read or changed, the libraries are too many for the format, the configuration is larger than its limits, or
/// `cancel` was set.
pub fn write(root: &Root, epoch: i64, cancel: &AtomicBool) -> Result<bool> {
    let mut entries = Vec::new();
    let mut order = None;
    for directory in directories(root, cancel)? {
        for (name, found) in libraries(root, &directory, cancel)? {
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
    // The sort is stable. The loader takes the first of equal entries, which is the one of the first directory.
    entries.sort_by(|a, b| compare(&b.name, &a.name).then(b.flags.cmp(&a.flags)));
    let bytes = encode(&entries, order).ok_or_else(|| cannot_write("too many libraries"))?;
    root.create_directories(b"etc", 0o755)?;
    root.write(CACHE, &bytes, 0o644)?;
    Ok(true)
}

/// A library that is a candidate for one name in one directory.
struct Candidate {
    file: Vec<u8>,
    /// Whether `file` is a link that ldconfig or a -dev package made to the library. Then the library itself is preferred.
    is_link: bool,
    library: Library,
}

/// Returns the libraries of a directory, by the names under which the loader looks for them.
fn libraries(root: &Root, directory: &[u8], cancel: &AtomicBool) -> Result<BTreeMap<Vec<u8>, Candidate>> {
    let mut found: BTreeMap<Vec<u8>, Candidate> = BTreeMap::new();
    for file in root.list(directory)?.into_iter().filter(|name| is_library_name(name)) {
        go_on(cancel)?;
        let path = [directory, b"/", &file].concat();
        let kind = root.metadata(&path)?.map(|metadata| metadata.kind);
        if !matches!(kind, Some(Kind::File | Kind::Symlink)) || !root.leads_somewhere(&path)? {
            continue;
        }
        let opened = match root.open_file(&path) {
            Ok(opened) => opened,
            // The link leads to something other than a file.
            Err(error) if error.io().kind() == std::io::ErrorKind::InvalidInput => continue,
            Err(error) => return Err(error.into()),
        };
        let Some(library) = library::read(opened) else { continue };
        let soname = library.soname.clone().unwrap_or_else(|| file.clone());
        let is_link =
            kind == Some(Kind::Symlink) && (file == soname || (file.ends_with(b".so") && soname.starts_with(&file)));
        let name = if is_link { file.clone() } else { soname };
        let better = |old: &Candidate| {
            (old.is_link && !is_link) || (old.is_link == is_link && compare(&old.file, &file) == Ordering::Less)
        };
        if is_file_name(&name) && found.get(&name).is_none_or(better) {
            found.insert(name, Candidate { file, is_link, library });
        }
    }
    Ok(found)
}

/// Returns whether ldconfig takes `name` for a library: `lib*.so*`, or a name of the loader. Temporary files of dpkg and
/// scripts of gdb do not count.
fn is_library_name(name: &[u8]) -> bool {
    [&b"lib"[..], b"ld-", b"ld.so.", b"ld64.so."].iter().any(|start| name.starts_with(start))
        && name.windows(3).any(|part| part == b".so")
        && ![&b"-gdb.py"[..], b".dpkg-new", b".dpkg-tmp"].iter().any(|end| name.ends_with(end))
}

/// Returns whether a soname is a plain file name. A linker writes any soname that it is given. One with a slash must not become
/// a path here, and the loader never looks for it in a directory.
fn is_file_name(name: &[u8]) -> bool {
    name.iter().all(|b| b.is_ascii_graphic() && *b != b'/') && !matches!(name, b"" | b"." | b"..")
}

/// Returns the directories to search, in their order. A directory with several paths is listed once, under its first path.
fn directories(root: &Root, cancel: &AtomicBool) -> Result<Vec<Vec<u8>>> {
    let mut configuration = Configuration { root, cancel, seen: BTreeSet::new(), bytes: 0, found: Vec::new() };
    match configuration.open(CONFIGURATION)? {
        Some(text) => configuration.read(&text, 0)?,
        None => configuration.read(DEFAULT, 0)?,
    }
    let mut paths = configuration.found;
    // Debian's loader has the multiarch triplet built in. The subdirectory that has the C library is named after the triplet.
    for (libc, other) in SYSTEM.iter().flat_map(|libc| SYSTEM.map(|other| (libc, other))) {
        for name in root.list(libc)? {
            go_on(cancel)?;
            if root.leads_somewhere(&[libc, &b"/"[..], &name, b"/", GLIBC].concat())? {
                paths.push([other, b"/", &name].concat());
            }
        }
    }
    paths.extend(SYSTEM.iter().map(|path| path.to_vec()));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for path in paths {
        go_on(cancel)?;
        let Ok(directory) = root.open_directory(&path) else { continue };
        let stat = rustix::fs::fstat(&directory).map_err(|errno| Error::LibraryCache(errno.into()))?;
        if seen.insert((stat.st_dev, stat.st_ino)) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The configuration files that are being read (ldconfig(8)).
///
/// A file that includes itself, or files that include each other, would be read an exponential number of times. So each file is read
/// once: a second time it could only add directories that are known already.
struct Configuration<'a> {
    root: &'a Root,
    cancel: &'a AtomicBool,
    /// The files that were read, by device and inode.
    seen: BTreeSet<(u64, u64)>,
    /// How many bytes were read, plus one for each name that was compared with a pattern.
    bytes: usize,
    /// The absolute paths of directories.
    found: Vec<Vec<u8>>,
}

impl Configuration<'_> {
    /// Returns the text of a file; nothing if it was read before. `None` if there is no such file.
    fn open(&mut self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let file = match self.root.open_file(path) {
            Ok(file) => file,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| Error::LibraryCache(errno.into()))?;
        if !self.seen.insert((stat.st_dev, stat.st_ino)) {
            return Ok(Some(Vec::new()));
        }
        let mut text = Vec::new();
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(Error::LibraryCache)?;
        self.count(text.len())?;
        if self.seen.len() > MAX_FILES {
            return Err(cannot_write("etc/ld.so.conf includes too many files"));
        }
        Ok(Some(text))
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        go_on(self.cancel)?;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES {
            Err(cannot_write("etc/ld.so.conf and what it includes are too large"))
        } else {
            Ok(())
        }
    }

    /// Returns the sorted paths that match `pattern`. It may have one `*`, in its last component.
    fn expand(&mut self, pattern: &[u8]) -> Result<Vec<Vec<u8>>> {
        let (directory, name) = path::split(pattern);
        let Some(star) = name.iter().position(|&b| b == b'*') else {
            self.count(1)?;
            return Ok(vec![pattern.to_vec()]);
        };
        let (start, end) = (name.get(..star).unwrap_or_default(), name.get(star + 1..).unwrap_or_default());
        let names = self.root.list(directory)?;
        self.count(names.len() + 1)?;
        let names = names.into_iter().filter(|name| {
            let hidden = name.starts_with(b".") && start.is_empty();
            !hidden && name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        });
        Ok(names.map(|name| [directory, b"/", &name].concat()).collect())
    }

    /// Adds the absolute paths of a text, and of the files that it includes.
    fn read(&mut self, text: &[u8], depth: usize) -> Result<()> {
        for line in text.split(|&b| b == b'\n') {
            let line = line.split(|&b| b == b'#').next().unwrap_or_default().trim_ascii();
            match line.strip_prefix(b"include").filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t")) {
                Some(patterns) if depth < MAX_INCLUDES => {
                    for pattern in patterns.split(u8::is_ascii_whitespace).filter(|word| word.starts_with(b"/")) {
                        for path in self.expand(pattern)? {
                            let text = self.open(&path)?.unwrap_or_default();
                            self.read(&text, depth + 1)?;
                        }
                    }
                }
                Some(_) => {}
                None if line.starts_with(b"/") => {
                    // Old configuration files name the kind of the libraries in a directory: "/lib=libc6".
                    let path = line.split(|&b| b == b'=').next().unwrap_or_default().trim_ascii_end();
                    let end = path.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
                    self.found.extend(path.get(..end).filter(|path| !path.is_empty()).map(<[u8]>::to_vec));
                }
                None => {}
            }
        }
        Ok(())
    }
}

fn cannot_write(reason: &str) -> Error {
    Error::LibraryCache(std::io::Error::other(reason))
}

/// Compares two names in the order of the cache (elf/dl-cache.c, `_dl_cache_libcmp`): numbers by value, everything else as
/// text. The loader uses the same order for its binary search.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.split_first(), b.split_first()) {
            (None, _) | (_, None) => return a.len().cmp(&b.len()),
            (Some((x, _)), Some((y, _))) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (first, second) = (take_number(&mut a), take_number(&mut b));
                if first != second {
                    return first.cmp(&second);
                }
            }
            // A digit comes after every other character.
            (Some((x, _)), Some((y, _))) if x.is_ascii_digit() != y.is_ascii_digit() => {
                return x.is_ascii_digit().cmp(&y.is_ascii_digit());
            }
            (Some((x, _)), Some((y, _))) if x != y => return x.cmp(y),
            (Some((_, rest)), Some((_, other))) => (a, b) = (rest, other),
        }
    }
}

/// Removes the digits at the beginning of `text` and returns their value.
fn take_number(text: &mut &[u8]) -> u64 {
    let mut value = 0_u64;
    while let Some((digit, rest)) = text.split_first().filter(|(digit, _)| digit.is_ascii_digit()) {
        value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
        *text = rest;
    }
    value
}

/// Returns the bytes of a cache with these entries; `None` if it would be larger than 4 GiB.
fn encode(entries: &[Entry], order: Endianness) -> Option<Vec<u8>> {
    let word = |number: usize| -> Option<[u8; 4]> {
        let number = u32::try_from(number).ok()?;
        Some(if order == Endianness::Little { number.to_le_bytes() } else { number.to_be_bytes() })
    };
    // The path of an entry always ends with its name, so the name needs no bytes of its own.
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
        // The required version of the kernel (4 bytes) and features of the processor (8 bytes): none.
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
