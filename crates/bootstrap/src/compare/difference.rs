//! How two roots differ, path by path.

use crate::compare::inventory::{Inventory, Item, ItemKind};
use std::collections::BTreeSet;

/// A path at which two roots differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathDifference {
    /// The path, with a leading slash.
    pub path: String,
    /// What differs.
    pub aspects: Vec<Aspect>,
}

/// What differs at a path, and what each root has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names and values are those of inode(7)")]
pub enum Aspect {
    /// Only the first root has it.
    OnlyFirst,
    /// Only the second root has it.
    OnlySecond,
    Type(&'static str, &'static str),
    Mode(u32, u32),
    Owner((u32, u32), (u32, u32)),
    /// The contents of a file, with both lengths in bytes.
    Content(u64, u64),
    /// The text of a symbolic link.
    Target(String, String),
    /// The numbers of a device.
    Device((u32, u32), (u32, u32)),
    /// Extended attributes.
    Attributes,
    /// Of which other name it is a further one.
    Link(Option<String>, Option<String>),
    /// The modification time, in seconds since 1970.
    Time(i64, i64),
}

/// Whether the times of files count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// They have to be the same.
    Compared,
    /// They may differ, as those of two dates do.
    Ignored,
}

/// Returns the paths at which two roots differ, sorted.
pub(crate) fn differences(first: &Inventory, second: &Inventory, times: Times) -> Vec<PathDifference> {
    let paths: BTreeSet<&Vec<u8>> = first.items.keys().chain(second.items.keys()).collect();
    let difference = |path: &Vec<u8>| {
        let aspects = match (first.items.get(path), second.items.get(path)) {
            (Some(_), None) => vec![Aspect::OnlyFirst],
            (None, Some(_)) => vec![Aspect::OnlySecond],
            (Some(first), Some(second)) => aspects(first, second, times),
            (None, None) => Vec::new(),
        };
        (!aspects.is_empty()).then(|| PathDifference { path: shown(path), aspects })
    };
    paths.into_iter().filter_map(difference).collect()
}

fn aspects(first: &Item, second: &Item, times: Times) -> Vec<Aspect> {
    let mut found = Vec::new();
    let (a, b) = (first.attributes, second.attributes);
    match (&first.what, &second.what) {
        (ItemKind::File(size, digest), ItemKind::File(other_size, other)) if digest != other => {
            found.push(Aspect::Content(*size, *other_size));
        }
        (ItemKind::Symlink(target), ItemKind::Symlink(other)) if target != other => {
            found.push(Aspect::Target(text(target), text(other)));
        }
        (ItemKind::Node(kind, device), ItemKind::Node(other_kind, other)) if kind == other_kind && device != other => {
            found.push(Aspect::Device((device.major, device.minor), (other.major, other.minor)));
        }
        (one, two) if name(one) != name(two) => found.push(Aspect::Type(name(one), name(two))),
        _ => {}
    }
    // The mode of a symbolic link means nothing.
    let are_links = matches!((&first.what, &second.what), (ItemKind::Symlink(_), ItemKind::Symlink(_)));
    if a.mode != b.mode && !are_links {
        found.push(Aspect::Mode(a.mode, b.mode));
    }
    if (a.uid, a.gid) != (b.uid, b.gid) {
        found.push(Aspect::Owner((a.uid, a.gid), (b.uid, b.gid)));
    }
    if first.xattrs != second.xattrs {
        found.push(Aspect::Attributes);
    }
    if first.link_of != second.link_of {
        let link = |item: &Item| item.link_of.as_deref().map(shown);
        found.push(Aspect::Link(link(first), link(second)));
    }
    if times == Times::Compared && a.mtime != b.mtime {
        found.push(Aspect::Time(a.mtime, b.mtime));
    }
    found
}

fn name(what: &ItemKind) -> &'static str {
    use rootstrap_rootfs::Kind;
    match what {
        ItemKind::File(..) => "file",
        ItemKind::Directory => "directory",
        ItemKind::Symlink(_) => "symbolic link",
        ItemKind::Node(Kind::BlockDevice, _) => "block device",
        ItemKind::Node(..) => "character device",
        ItemKind::Fifo => "pipe",
        ItemKind::Socket => "socket",
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(path: &[u8]) -> String {
    format!("/{}", text(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_testkit::entry::{Entry, tar};
    use std::sync::atomic::AtomicBool;

    fn of(entries: &[Entry]) -> Inventory {
        let mut inventory = Inventory::default();
        inventory.add_archive(&tar(entries)[..], false, &AtomicBool::new(false)).unwrap();
        inventory
    }

    #[test]
    fn every_aspect_is_found_by_path() {
        let first = of(&[
            Entry::file("content", 0o644, b"1"),
            Entry::file("gone", 0o644, b"1"),
            Entry::file("linked", 0o644, b"1"),
            Entry::file("mode", 0o644, b"1"),
            Entry::file("other", 0o644, b"1"),
            Entry::file("owner", 0o644, b"1"),
            Entry::file("same", 0o644, b"1"),
            Entry::symlink("target", "a"),
            Entry::file("type", 0o644, b"1"),
        ]);
        let second = of(&[
            Entry::file("content", 0o644, b"22"),
            Entry::file("linked", 0o644, b"1"),
            Entry::file("mode", 0o755, b"1"),
            Entry::file("new", 0o644, b"1"),
            Entry::hardlink("other", "linked"),
            Entry::file("owner", 0o644, b"1").owned("x", 5, "y", 6),
            Entry::file("same", 0o644, b"1"),
            Entry::symlink("target", "b"),
            Entry::dir("type", 0o644),
        ]);
        let found = differences(&first, &second, Times::Ignored);
        let expected = [
            ("/content", Aspect::Content(1, 2)),
            ("/gone", Aspect::OnlyFirst),
            ("/mode", Aspect::Mode(0o644, 0o755)),
            ("/new", Aspect::OnlySecond),
            ("/other", Aspect::Link(None, Some("/linked".into()))),
            ("/owner", Aspect::Owner((0, 0), (5, 6))),
            ("/target", Aspect::Target("a".into(), "b".into())),
            ("/type", Aspect::Type("file", "directory")),
        ];
        let expected = expected.map(|(path, aspect)| PathDifference { path: path.into(), aspects: vec![aspect] });
        assert_eq!(found, expected);
        assert_eq!(differences(&first, &first, Times::Compared), []);
    }
}
