//! The list of all that is in a root.

use crate::error::Error;
use rootstrap_debian::control::parse_all;
use rootstrap_rootfs::{Attributes, Device, Kind, Root, walk, xattr};
use rootstrap_unpack::list::{self, ListedEntry, ListedKind};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The most bytes of all files that are kept as a whole: dpkg's database.
const KEPT: u64 = 64 << 20;

/// What removes a name of a lower layer, and what removes all names below a directory (OCI image-spec, layer.md, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// One name of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub what: ItemKind,
    pub attributes: Attributes,
    /// Sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first name, in the order of bytes, of the same file, if this is another one.
    pub link_of: Option<Vec<u8>>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ItemKind {
    /// A file, with its length in bytes and the SHA-256 of its contents.
    File(u64, [u8; 32]),
    Directory,
    Symlink(Vec<u8>),
    Node(Kind, Device),
    Fifo,
    Socket,
}

/// The list of all that is in a root. Paths have no leading slash, and the root itself has the empty one.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub items: BTreeMap<Vec<u8>, Item>,
    /// The files of dpkg's database that say which packages are installed.
    databases: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Inventory {
    /// Lists a tree of the host.
    pub fn of_root(root: &Root, cancel: &AtomicBool) -> Result<Self, Error> {
        let mut inventory = Self::default();
        let mut names: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
        walk::<Error>(root, &mut |visit| {
            crate::error::go_on(cancel)?;
            let found = visit.metadata;
            let path = visit.path.to_vec();
            let what = match found.kind {
                Kind::File => {
                    let mut file = visit.open()?;
                    let kept = inventory.hash(&path, &mut file);
                    let (size, digest) =
                        kept.map_err(Error::io("read", Path::new(&*String::from_utf8_lossy(&path))))?;
                    ItemKind::File(size, digest)
                }
                Kind::Directory => ItemKind::Directory,
                Kind::Symlink => ItemKind::Symlink(visit.link_target()?),
                Kind::CharDevice | Kind::BlockDevice => ItemKind::Node(found.kind, found.device),
                Kind::Fifo => ItemKind::Fifo,
                Kind::Socket => ItemKind::Socket,
            };
            let mut link_of = None;
            if found.kind != Kind::Directory && found.links > 1 {
                // A walk has the order of bytes within each directory; `settle_links` finds the first name of all.
                link_of = Some(names.entry(found.identity).or_insert_with(|| path.clone()).clone());
            }
            let mut xattrs = visit.xattrs()?;
            xattrs.retain(|(name, _)| xattr::is_portable(name));
            inventory.items.insert(path, Item { what, attributes: found.attributes, xattrs, link_of });
            Ok(true)
        })?;
        inventory.settle_links();
        Ok(inventory)
    }

    /// Lists an archive on top of what is listed already, as a further layer of an image if `is_layer`.
    pub fn add_archive(
        &mut self,
        input: impl Read + Send,
        is_layer: bool,
        cancel: &AtomicBool,
    ) -> Result<(), rootstrap_unpack::archive::Error> {
        // What a layer removes is what lower layers have.
        let mut own = BTreeSet::new();
        list::list(input, cancel, &mut |entry, contents| self.add(entry, contents, is_layer.then_some(&mut own)))?;
        self.settle_links();
        Ok(())
    }

    fn add(
        &mut self,
        entry: ListedEntry,
        contents: &mut (dyn Read + Send),
        own: Option<&mut BTreeSet<Vec<u8>>>,
    ) -> io::Result<()> {
        let ListedEntry { path, what, attributes, mut xattrs } = entry;
        xattrs.sort();
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let directory = path.get(..path.len() - name.len()).unwrap_or_default();
        if let Some(own) = own {
            if name == OPAQUE {
                self.remove_below(directory, own);
                return Ok(());
            }
            if let Some(hidden) = name.strip_prefix(WHITEOUT) {
                let path = [directory, hidden].concat();
                if !own.contains(&path) {
                    self.remove(&path);
                }
                return Ok(());
            }
            own.insert(path.clone());
        }
        match &what {
            ListedKind::Directory => {}
            // Of its own name, too, some programs make a link.
            ListedKind::Link(target) if *target == path => return Ok(()),
            _ => self.remove(&path),
        }
        let what = match what {
            ListedKind::File(_) => {
                let (size, digest) = self.hash(&path, contents)?;
                ItemKind::File(size, digest)
            }
            ListedKind::Link(target) => {
                let Some(file) = self.items.get(&target) else {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a hard link names a file that is not there",
                    ));
                };
                let item = Item { link_of: Some(file.link_of.clone().unwrap_or(target)), ..file.clone() };
                self.items.insert(path, item);
                return Ok(());
            }
            ListedKind::Directory => ItemKind::Directory,
            ListedKind::Symlink(target) => ItemKind::Symlink(target),
            ListedKind::Device(kind, device) => ItemKind::Node(kind, device),
            ListedKind::Fifo => ItemKind::Fifo,
        };
        self.items.insert(path, Item { what, attributes, xattrs, link_of: None });
        Ok(())
    }

    /// Returns length and digest of a file, and keeps it if it belongs to dpkg's database.
    fn hash(&mut self, path: &[u8], contents: &mut dyn Read) -> io::Result<(u64, [u8; 32])> {
        let mut hashing = HashingReader::new(contents);
        if is_database(path) {
            let mut text = Vec::new();
            let kept: u64 = self.databases.values().map(|text| text.len() as u64).sum();
            (&mut hashing).take(KEPT.saturating_sub(kept)).read_to_end(&mut text)?;
            self.databases.insert(path.to_vec(), text);
        }
        io::copy(&mut hashing, &mut io::sink())?;
        Ok(hashing.finish())
    }

    /// Removes a name and all that is below it. What has further names stays under those.
    fn remove(&mut self, path: &[u8]) {
        self.databases.remove(path);
        if self.items.remove(path).is_some_and(|removed| removed.what != ItemKind::Directory) {
            self.rename_links(path);
            return;
        }
        self.remove_below(&[path, b"/"].concat(), &BTreeSet::new());
    }

    /// Has the further names of a file name another one of them, because its first one is gone.
    fn rename_links(&mut self, gone: &[u8]) {
        let others = self.items.iter_mut().filter(|(_, item)| item.link_of.as_deref() == Some(gone));
        let mut first: Option<Vec<u8>> = None;
        for (path, item) in others {
            item.link_of.clone_from(&first);
            first.get_or_insert_with(|| path.clone());
        }
    }

    /// Removes all that begins with `directory`, which ends in a slash, but for what is to stay.
    fn remove_below(&mut self, directory: &[u8], stays: &BTreeSet<Vec<u8>>) {
        let below: Vec<Vec<u8>> = self
            .items
            .range(directory.to_vec()..)
            .map(|(path, _)| path.clone())
            .take_while(|path| path.starts_with(directory))
            .filter(|path| !stays.contains(path))
            .collect();
        for path in below {
            self.databases.remove(&path);
            if self.items.remove(&path).is_some_and(|removed| removed.what != ItemKind::Directory) {
                self.rename_links(&path);
            }
        }
    }

    /// Names each file with several names after the first one in the order of bytes, wherever its contents stand.
    fn settle_links(&mut self) {
        let mut firsts: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (path, item) in &self.items {
            if let Some(main) = &item.link_of {
                let first = firsts.entry(main.clone()).or_insert_with(|| path.clone().min(main.clone()));
                *first = path.clone().min(first.clone());
            }
        }
        for (path, item) in &mut self.items {
            let main = item.link_of.clone().or_else(|| firsts.contains_key(path).then(|| path.clone()));
            let first = main.and_then(|main| firsts.get(&main)).cloned();
            item.link_of = first.filter(|first| first != path);
        }
    }

    /// Returns the versions of the installed packages, by name and architecture.
    pub fn packages(&self) -> BTreeMap<(String, String), String> {
        let mut found: BTreeMap<(String, String), String> = BTreeMap::new();
        for text in self.databases.values() {
            let text = String::from_utf8_lossy(text);
            for stanza in parse_all(&text).unwrap_or_default() {
                let field = |name| stanza.get(name).unwrap_or_default().to_owned();
                // Files of a tree without dpkg have no Status.
                let is_installed = stanza.get("Status").is_none_or(|status| status.ends_with(" installed"));
                if is_installed && !field("Package").is_empty() {
                    found.insert((field("Package"), field("Architecture")), field("Version"));
                }
            }
        }
        found
    }

    /// Returns the sizes of all files in bytes, each file once.
    pub fn bytes(&self) -> u64 {
        let size = |item: &Item| match item.what {
            ItemKind::File(size, _) if item.link_of.is_none() => size,
            _ => 0,
        };
        self.items.values().map(size).sum()
    }
}

fn is_database(path: &[u8]) -> bool {
    let of_distroless = |name: &[u8]| !name.contains(&b'/') && !name.ends_with(b".md5sums");
    path == b"var/lib/dpkg/status" || path.strip_prefix(b"var/lib/dpkg/status.d/").is_some_and(of_distroless)
}

/// Hashes and counts what is read through it.
pub(crate) struct HashingReader<R> {
    input: R,
    digest: Sha256,
    count: u64,
}

impl<R: Read> HashingReader<R> {
    pub fn new(input: R) -> Self {
        Self { input, digest: Sha256::new(), count: 0 }
    }

    /// Returns how much was read, and its SHA-256.
    pub fn finish(self) -> (u64, [u8; 32]) {
        (self.count, self.digest.finalize().into())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.digest.update(buffer.get(..read).unwrap_or_default());
        self.count += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_testkit::entry::{Entry, tar};

    fn of(layers: &[&[Entry]]) -> Inventory {
        let mut inventory = Inventory::default();
        for layer in layers {
            inventory.add_archive(&tar(layer)[..], true, &AtomicBool::new(false)).unwrap();
        }
        inventory
    }

    fn paths(inventory: &Inventory) -> Vec<String> {
        inventory.items.keys().map(|path| String::from_utf8(path.clone()).unwrap()).collect()
    }

    #[test]
    fn layers_replace_and_remove() {
        let lower = [
            Entry::dir("a", 0o755),
            Entry::file("a/x", 0o644, b"1"),
            Entry::file("a/y", 0o644, b"1"),
            Entry::file("b", 0o644, b"1"),
        ];
        let whiteout = [Entry::file("a/.wh.x", 0o644, b""), Entry::file("b", 0o600, b"2")];
        assert_eq!(paths(&of(&[&lower, &whiteout])), ["a", "a/y", "b"]);
        let opaque = [Entry::file("a/.wh..wh..opq", 0o644, b""), Entry::file("a/z", 0o600, b"2")];
        assert_eq!(paths(&of(&[&lower, &opaque])), ["a", "a/z", "b"]);
        let file = [Entry::file("a", 0o644, b"no directory any more")];
        assert_eq!(paths(&of(&[&lower, &file])), ["a", "b"]);
    }

    #[test]
    fn what_a_layer_removes_is_gone_from_databases_and_links_too() {
        let lower = [Entry::file("a", 0o644, b"1"), Entry::hardlink("b", "a"), Entry::hardlink("c", "a")];
        let removed = of(&[&lower, &[Entry::file(".wh.a", 0o644, b"")]]);
        assert_eq!(paths(&removed), ["b", "c"]);
        assert_eq!(removed.items[&b"c"[..]].link_of.as_deref(), Some(&b"b"[..]));
        assert_eq!(removed.bytes(), 1);
        let base = [Entry::file("var/lib/dpkg/status.d/base", 0o644, "Package: base\nVersion: 3\nArchitecture: all\n")];
        let whiteout = [Entry::file("var/lib/dpkg/status.d/.wh.base", 0o644, b"")];
        assert!(of(&[&base, &whiteout]).packages().is_empty());
        let opaque = [Entry::file("d/new", 0o644, b""), Entry::file("d/.wh..wh..opq", 0o644, b"")];
        assert_eq!(paths(&of(&[&[Entry::file("d/old", 0o644, b"")], &opaque])), ["d/new"], "its own names stay");
    }

    #[test]
    fn the_name_that_has_the_contents_makes_no_difference() {
        let one = of(&[&[Entry::file("a", 0o644, b"1"), Entry::hardlink("b", "a"), Entry::hardlink("c", "b")]]);
        let two = of(&[&[Entry::file("c", 0o644, b"1"), Entry::hardlink("a", "c"), Entry::hardlink("b", "a")]]);
        assert_eq!(one.items, two.items);
        assert_eq!(one.items[&b"c"[..]].link_of.as_deref(), Some(&b"a"[..]));
        assert_eq!(one.bytes(), 1);
    }

    #[test]
    fn packages_are_read_from_either_database() {
        let status = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\nPackage: b\nStatus: deinstall ok \
                      config-files\nArchitecture: all\nVersion: 2\n\nPackage: a\nStatus: install ok installed\nArchitecture: i386\nVersion: 1\n";
        let packages = of(&[&[Entry::file("var/lib/dpkg/status", 0o644, status)]]).packages();
        let known = |name: &str, architecture: &str, version: &str| {
            ((name.to_owned(), architecture.to_owned()), version.to_owned())
        };
        assert_eq!(packages.into_iter().collect::<Vec<_>>(), [known("a", "amd64", "1"), known("a", "i386", "1")]);
        let files = [
            Entry::file("var/lib/dpkg/status.d/base", 0o644, "Package: base\nVersion: 3\nArchitecture: all\n"),
            Entry::file("var/lib/dpkg/status.d/base.md5sums", 0o644, "Package: no\n"),
        ];
        assert_eq!(of(&[&files]).packages().into_iter().collect::<Vec<_>>(), [known("base", "all", "3")]);
    }
}
