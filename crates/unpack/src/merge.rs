//! Moves one staged package into the root, entry by entry as dpkg would (dpkg `src/main/archives.c:tarobject`).

use crate::checks::{Checks, MergeError, Rules, SUFFIX};
use crate::claims::Claims;
use crate::conffiles::Conffiles;
use crate::database::{self, Ids};
use crate::entries::{Entry, EntryKind, escaped};
use crate::error::Error;
use crate::stage::Staged;
use rootstrap_rootfs::{Attributes, Cursor, Kind, Place, Root};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};

/// How a merge ended.
#[derive(Debug)]
pub enum Verdict {
    /// The package is in the root, and has to be recorded in dpkg's database.
    Merged(Merged),
    /// dpkg itself has to unpack the package, for this reason. dpkg will replace what was put in place until then by the same
    /// files.
    ForDpkg(String),
}

/// What dpkg's database needs to know about a merged package.
#[derive(Debug)]
pub struct Merged {
    /// The text of its `.list`.
    pub list: Vec<u8>,
    /// The paths that the package touched, with diversions followed. File triggers are compared with them.
    pub touched: Vec<Vec<u8>>,
    /// The paths that filters left out of the tree.
    pub excluded: HashSet<Vec<u8>>,
}

/// Moves `package` into `root`. Packages must be merged in plan order: the order decides which package creates a directory.
///
/// # Errors
/// The tree cannot be read or changed.
pub fn merge(root: &Root, package: &Staged, rules: Rules<'_>, claims: &mut Claims) -> Result<Verdict, Error> {
    let entries = match &package.entries {
        Ok(entries) => entries,
        Err(reason) => return Ok(Verdict::ForDpkg(reason.clone())),
    };
    let owner = package.control.database_name();
    let mut merger = Merger::new(root, package, rules)?;
    match merger.checks.check(entries, claims, &owner).and_then(|()| merger.put(entries)) {
        Ok(merged) => {
            let directory = |entry: &Entry| entry.kind == EntryKind::Directory;
            claims.add(&owner, entries.iter().map(|entry| (entry.path.as_slice(), directory(entry))));
            Ok(Verdict::Merged(merged))
        }
        Err(MergeError::ForDpkg(reason)) => Ok(Verdict::ForDpkg(reason)),
        Err(MergeError::Tree(source)) => Err(Error::Tree { label: owner, source }),
    }
}

struct Merger<'a> {
    checks: Checks<'a>,
    cursor: Cursor<'a>,
    /// The directory of the package's file bodies.
    bodies: OwnedFd,
    overrides: Cow<'a, HashMap<Vec<u8>, Attributes>>,
    /// The conffiles that are put beside their paths.
    conffiles: HashSet<&'a [u8]>,
    /// Users and groups of the target. They are read when the first name other than root is met.
    names: Option<(Ids, Ids)>,
}

impl<'a> Merger<'a> {
    fn new(root: &'a Root, package: &'a Staged, rules: Rules<'a>) -> Result<Self, Error> {
        Ok(Self {
            checks: Checks::new(root, package, rules)?,
            cursor: Cursor::new(root),
            bodies: package.bodies()?,
            overrides: match rules.overrides {
                Some(overrides) => Cow::Borrowed(overrides),
                None => Cow::Owned(database::statoverrides(root)?),
            },
            conffiles: match rules.conffiles {
                Conffiles::InPlace => HashSet::new(),
                Conffiles::New => package.control.conffiles.iter().map(|conffile| conffile.path.as_slice()).collect(),
            },
            names: None,
        })
    }

    /// Puts every entry in place. Symbolic links come last, because dpkg queues them until the end of the archive
    /// (tarfn.c:tar_extractor).
    fn put(&mut self, entries: &[Entry]) -> Result<Merged, MergeError> {
        let mut merged = Merged { list: Vec::new(), touched: Vec::new(), excluded: self.checks.excluded(entries) };
        let is_link = |entry: &&Entry| matches!(entry.kind, EntryKind::Symlink(_));
        for entry in entries.iter().filter(|entry| !is_link(entry)).chain(entries.iter().filter(is_link)) {
            merged.list.extend_from_slice(if entry.path == b"/" { b"/." } else { &entry.path });
            merged.list.push(b'\n');
            if entry.path == b"/" {
                continue;
            }
            let path = self.checks.diversions.follow(&entry.path);
            if !merged.excluded.contains(&entry.path) {
                self.place(entry, &path)?;
            }
            merged.touched.push(path);
        }
        Ok(merged)
    }

    /// The attributes as archived, unless an administrator or a script has fixed owner and mode. Names of owners stand for the
    /// target's own numbers (archives.c:tar_entry_update_from_system).
    fn attributes(&mut self, entry: &Entry) -> rootstrap_rootfs::Result<Attributes> {
        if let Some(fixed) = self.overrides.get(&entry.path) {
            return Ok(Attributes { mtime: entry.attributes.mtime, ..*fixed });
        }
        let is_number = |name: &[u8], id| name.is_empty() || (name == b"root" && id == 0);
        if is_number(&entry.user, entry.attributes.uid) && is_number(&entry.group, entry.attributes.gid) {
            return Ok(entry.attributes);
        }
        let (users, groups) = match &mut self.names {
            Some(names) => names,
            none => none.insert(database::names(self.checks.root)?),
        };
        let id = |names: &Ids, name: &[u8], number| names.get(name).copied().unwrap_or(number);
        Ok(Attributes {
            uid: id(users, &entry.user, entry.attributes.uid),
            gid: id(groups, &entry.group, entry.attributes.gid),
            ..entry.attributes
        })
    }

    /// The place where the file archived under the name `archived` is put, if `place` is the place of its path.
    fn target(&self, archived: &[u8], place: Place) -> Place {
        if self.conffiles.contains(archived) { place.with_suffix(SUFFIX) } else { place }
    }

    /// Puts one entry at `path`, its path with diversions followed.
    fn place(&mut self, entry: &Entry, path: &[u8]) -> Result<(), MergeError> {
        let attributes = self.attributes(entry)?;
        let place = self.cursor.at_creating(path)?;
        let existing = place.metadata()?.map(|metadata| metadata.kind);
        if entry.kind == EntryKind::Directory {
            return self.directory(&place, path, existing, attributes);
        }
        if existing.is_some() && self.checks.keeps_existing(entry, path)? {
            return Ok(());
        }
        if existing == Some(Kind::Directory) {
            return Err(MergeError::ForDpkg(format!("{} is a directory already", escaped(path))));
        }
        if existing == Some(Kind::Symlink) && self.conffiles.contains(entry.path.as_slice()) {
            return Err(MergeError::ForDpkg(format!("the conffile {} is a link already", escaped(path))));
        }
        let target = self.target(&entry.path, place);
        match &entry.kind {
            EntryKind::File { body, .. } => {
                target.rename_from(self.bodies.as_fd(), body.to_string())?;
                if attributes != entry.attributes {
                    target.set_attributes(attributes)?;
                }
            }
            EntryKind::HardLink(other) => {
                let existing = self.cursor.at_creating(&self.checks.diversions.follow(other))?;
                let existing = self.target(other, existing);
                // The attributes of a link cannot be set without following it.
                if existing.metadata()?.is_some_and(|metadata| metadata.kind == Kind::Symlink) {
                    return Err(MergeError::ForDpkg(format!("{} is a second name of a link", escaped(path))));
                }
                target.remove()?;
                target.create_link(&existing)?;
                target.set_attributes(attributes)?;
            }
            EntryKind::Symlink(text) => {
                target.remove()?;
                target.create_symlink(text, attributes)?;
            }
            EntryKind::Node(kind, device) => {
                target.remove()?;
                target.create_node(*kind, *device, attributes)?;
            }
            EntryKind::Directory => {}
        }
        Ok(())
    }

    /// Puts a directory at `place`, where `existing` is now.
    fn directory(
        &self,
        place: &Place,
        path: &[u8],
        existing: Option<Kind>,
        attributes: Attributes,
    ) -> Result<(), MergeError> {
        match existing {
            None => Ok(place.create_directory(attributes)?),
            Some(Kind::Directory) if self.checks.rules.last_directory_wins => Ok(place.set_attributes(attributes)?),
            Some(Kind::Directory) => Ok(()),
            // A link to a directory stays (archives.c:tarobject, "keep directory symlink").
            Some(Kind::Symlink) if self.checks.root.open_directory(path).is_ok() => Ok(()),
            Some(_) => Err(MergeError::ForDpkg(format!("{} is there and no directory", escaped(path)))),
        }
    }
}
