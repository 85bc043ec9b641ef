//! One staged package into the root, entry by entry as dpkg would (dpkg `src/main/archives.c:tarobject`).

use crate::Error;
use crate::claims::Claims;
use crate::database::{self, Diversions, Ids};
use crate::entries::{Entry, EntryKind, show};
use crate::filters::{self, Filter};
use crate::stage::Staged;
use rootstrap_rootfs::{Attributes, Cursor, Kind, Place, Root};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;

/// What dpkg appends to the name of a conffile until it configures the package, and to any other name until the file
/// is whole.
const SUFFIX: &str = ".dpkg-new";

/// Bytes of one name, the kernel's own ceiling.
const NAME_MAX: usize = 255;

/// What becomes of conffiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conffiles {
    /// Put in place at once, as debootstrap's first extraction does; their digest goes into the database, so that
    /// configuring leaves them alone.
    InPlace,
    /// Put beside the place as `NAME.dpkg-new`, for `dpkg --configure` to install.
    New,
}

/// The rules for one merge.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What becomes of conffiles.
    pub conffiles: Conffiles,
    /// What is left out of the tree. dpkg, where a package is left to it, goes by its own configuration:
    /// [`crate::filters::of_target`].
    pub filters: &'a [Filter],
    /// The owners and modes that are fixed, where they shall be those of an earlier moment: dpkg reads them once for all
    /// packages it is given, before their scripts may add some. Those of now otherwise.
    pub overrides: Option<&'a HashMap<Vec<u8>, Attributes>>,
    /// An existing directory takes the mode and owner of the last package that ships it, not of the first: what
    /// debootstrap's tar did for old suites.
    pub last_directory_wins: bool,
}

/// How a merge ended.
#[derive(Debug)]
pub enum Verdict {
    /// The package is in the root; dpkg's database has to hear of it.
    Merged(Merged),
    /// dpkg itself has to unpack the package, for this reason. What was put in place already is what dpkg
    /// will put there again.
    ForDpkg(String),
}

/// What dpkg's database needs to know of a merged package.
#[derive(Debug)]
pub struct Merged {
    /// The text of its `.list`.
    pub list: Vec<u8>,
    /// The paths it touched, diversions followed: what file triggers look at.
    pub touched: Vec<Vec<u8>>,
    /// The paths that filters kept out of the tree.
    pub excluded: HashSet<Vec<u8>>,
}

/// Why dpkg itself has to unpack `package`, as far as it can be told beforehand: asked before its preinst runs, which dpkg
/// would run again.
///
/// # Errors
/// The tree cannot be read.
pub fn reason_for_dpkg(
    root: &Root,
    package: &Staged,
    rules: Rules<'_>,
    claims: &Claims,
) -> Result<Option<String>, Error> {
    let entries = match &package.entries {
        Ok(entries) => entries,
        Err(reason) => return Ok(Some(reason.clone())),
    };
    let owner = package.control.database_name();
    match Merger::new(root, package, rules)?.judge(entries, claims, &owner) {
        Ok(()) => Ok(None),
        Err(Obstacle::Foreign(reason)) => Ok(Some(reason)),
        Err(Obstacle::Tree(source)) => Err(Error::Tree { label: owner, source }),
    }
}

/// Moves `package` into `root`. Packages have to come in plan order: it decides who makes a directory.
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
    match merger.judge(entries, claims, &owner).and_then(|()| merger.put(entries)) {
        Ok(merged) => {
            let directory = |entry: &Entry| entry.kind == EntryKind::Directory;
            claims.add(&owner, entries.iter().map(|entry| (entry.path.as_slice(), directory(entry))));
            Ok(Verdict::Merged(merged))
        }
        Err(Obstacle::Foreign(reason)) => Ok(Verdict::ForDpkg(reason)),
        Err(Obstacle::Tree(source)) => Err(Error::Tree { label: owner, source }),
    }
}

/// Why the package, or one entry of it, did not get to its place.
enum Obstacle {
    /// A case left to dpkg.
    Foreign(String),
    Tree(rootstrap_rootfs::Error),
}

impl From<rootstrap_rootfs::Error> for Obstacle {
    fn from(error: rootstrap_rootfs::Error) -> Self {
        Self::Tree(error)
    }
}

struct Merger<'a> {
    cursor: Cursor<'a>,
    root: &'a Root,
    package: &'a Staged,
    rules: Rules<'a>,
    diversions: Diversions<'a>,
    overrides: Cow<'a, HashMap<Vec<u8>, Attributes>>,
    /// Those that go beside their places.
    conffiles: HashSet<&'a [u8]>,
    /// Users and groups of the target, read when the first name other than root is met.
    names: Option<(Ids, Ids)>,
}

impl<'a> Merger<'a> {
    fn new(root: &'a Root, package: &'a Staged, rules: Rules<'a>) -> Result<Self, Error> {
        Ok(Self {
            cursor: Cursor::new(root),
            root,
            package,
            rules,
            diversions: Diversions { all: database::diversions(root)?, package: &package.control.package },
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

    /// What dpkg refuses, or decides by rules that are not repeated here, as far as it can be told beforehand.
    fn judge(&self, entries: &[Entry], claims: &Claims, owner: &str) -> Result<(), Obstacle> {
        let conffiles = &self.package.control.conffiles;
        let unwanted: HashSet<&[u8]> =
            conffiles.iter().filter(|conffile| conffile.remove_on_upgrade).map(|conffile| &conffile.path[..]).collect();
        for name in &unwanted {
            // dpkg moves away what nobody owns and leaves alone what another package does.
            let path = self.diversions.follow(name);
            let owned = path == *name && claims.rivals(name, owner).next().is_some();
            if !owned && self.root.metadata(&path)?.is_some() {
                return Err(Obstacle::Foreign(format!("{} is there and shall not be", show(&path))));
            }
        }
        let diverted_to: HashSet<&[u8]> = self.diversions.all.values().map(|diversion| &diversion.to[..]).collect();
        for entry in entries {
            let name = entry.path.as_slice();
            if diverted_to.contains(name) || unwanted.contains(name) {
                return Err(Obstacle::Foreign(format!("{} may not be shipped", show(name))));
            }
            let last = name.rsplit(|&b| b == b'/').next().unwrap_or_default();
            if last.len() + SUFFIX.len() > NAME_MAX {
                return Err(Obstacle::Foreign(format!("{} has too long a name", show(name))));
            }
            let conffile = conffiles.iter().any(|conffile| conffile.path == name);
            if conffile && !matches!(entry.kind, EntryKind::File { .. } | EntryKind::HardLink(_)) {
                return Err(Obstacle::Foreign(format!("the conffile {} is no plain file", show(name))));
            }
            if entry.kind == EntryKind::Directory {
                continue;
            }
            // A conffile's digest is handed on even from a package that a diversion keeps apart.
            let mut rivals = claims.rivals(name, owner).filter(|rival| conffile || !self.diversions.part(name, rival));
            if let Some(rival) = rivals.next()
                && !self.stays(entry, &self.diversions.follow(name))?
            {
                return Err(Obstacle::Foreign(format!("{} belongs to {rival} too", show(name))));
            }
        }
        let paths = entries.iter().map(|entry| entry.path.as_slice()).collect();
        if let Some(covered) = claims.covered(&paths, owner, |path, other| self.diversions.part(path, other)) {
            return Err(Obstacle::Foreign(format!("{covered} has nothing of its own beside it")));
        }
        self.judge_filters(entries)
    }

    /// What the filters take away from under something else.
    fn judge_filters(&self, entries: &[Entry]) -> Result<(), Obstacle> {
        let excluded = self.excluded(entries);
        for entry in entries.iter().filter(|entry| !excluded.is_empty() && !excluded.contains(&entry.path)) {
            let parent = entry.path.iter().rposition(|&b| b == b'/').and_then(|at| entry.path.get(..at));
            let needed = match &entry.kind {
                EntryKind::HardLink(other) => [Some(other.as_slice()), parent],
                _ => [None, parent],
            };
            for needed in needed.into_iter().flatten().filter(|needed| excluded.contains(*needed)) {
                if self.root.metadata(&self.diversions.follow(needed))?.is_none() {
                    return Err(Obstacle::Foreign(format!("{} needs what is excluded", show(&entry.path))));
                }
            }
        }
        Ok(())
    }

    fn excluded(&self, entries: &[Entry]) -> HashSet<Vec<u8>> {
        let excluded = entries.iter().filter(|entry| filters::exclude(self.rules.filters, entry));
        excluded.map(|entry| entry.path.clone()).collect()
    }

    /// Every entry to its place, links last: dpkg queues them until the archive's end (tarfn.c:tar_extractor).
    fn put(&mut self, entries: &[Entry]) -> Result<Merged, Obstacle> {
        let mut merged = Merged { list: Vec::new(), touched: Vec::new(), excluded: self.excluded(entries) };
        let is_link = |entry: &&Entry| matches!(entry.kind, EntryKind::Symlink(_));
        for entry in entries.iter().filter(|entry| !is_link(entry)).chain(entries.iter().filter(is_link)) {
            merged.list.extend_from_slice(if entry.path == b"/" { b"/." } else { &entry.path });
            merged.list.push(b'\n');
            if entry.path == b"/" {
                continue;
            }
            let path = self.diversions.follow(&entry.path);
            if !merged.excluded.contains(&entry.path) {
                self.place(entry, &path)?;
            }
            merged.touched.push(path);
        }
        Ok(merged)
    }

    /// As archived, but for what an administrator or a script has fixed and the target's own numbers for the names
    /// of owners (archives.c:tar_entry_update_from_system).
    fn attributes(&mut self, entry: &Entry) -> rootstrap_rootfs::Result<Attributes> {
        if let Some(fixed) = self.overrides.get(&entry.path) {
            return Ok(Attributes { mtime: entry.attributes.mtime, ..*fixed });
        }
        let plain = |name: &[u8], id| name.is_empty() || (name == b"root" && id == 0);
        if plain(&entry.user, entry.attributes.uid) && plain(&entry.group, entry.attributes.gid) {
            return Ok(entry.attributes);
        }
        let (users, groups) = match &mut self.names {
            Some(names) => names,
            none => none.insert(database::names(self.root)?),
        };
        let id = |names: &Ids, name: &[u8], number| names.get(name).copied().unwrap_or(number);
        Ok(Attributes {
            uid: id(users, &entry.user, entry.attributes.uid),
            gid: id(groups, &entry.group, entry.attributes.gid),
            ..entry.attributes
        })
    }

    /// Where the file archived under this name is put, `place` being where it belongs.
    fn target(&self, archived: &[u8], place: Place) -> Place {
        if self.conffiles.contains(archived) { place.with_suffix(SUFFIX) } else { place }
    }

    fn place(&mut self, entry: &Entry, path: &[u8]) -> Result<(), Obstacle> {
        let attributes = self.attributes(entry)?;
        let place = self.cursor.at_creating(path)?;
        let existing = place.metadata()?.map(|metadata| metadata.kind);
        if entry.kind == EntryKind::Directory {
            return self.directory(&place, path, existing, attributes);
        }
        if existing.is_some() && self.stays(entry, path)? {
            return Ok(());
        }
        if existing == Some(Kind::Directory) {
            return Err(Obstacle::Foreign(format!("{} is a directory already", show(path))));
        }
        if existing == Some(Kind::Symlink) && self.conffiles.contains(entry.path.as_slice()) {
            return Err(Obstacle::Foreign(format!("the conffile {} is a link already", show(path))));
        }
        let target = self.target(&entry.path, place);
        match &entry.kind {
            EntryKind::File { body, .. } => {
                target.rename_from(self.package.bodies.as_fd(), body.to_string())?;
                if attributes != entry.attributes {
                    target.set_attributes(attributes)?;
                }
            }
            EntryKind::HardLink(other) => {
                let existing = self.cursor.at_creating(&self.diversions.follow(other))?;
                let existing = self.target(other, existing);
                // Its attributes could not be set without following it.
                if existing.metadata()?.is_some_and(|metadata| metadata.kind == Kind::Symlink) {
                    return Err(Obstacle::Foreign(format!("{} is a second name of a link", show(path))));
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

    /// Whether a link in the archive leaves alone what is at its place: a directory, or a link to the very directory it
    /// would lead to itself (archives.c:tarobject, linktosameexistingdir).
    fn stays(&self, entry: &Entry, path: &[u8]) -> rootstrap_rootfs::Result<bool> {
        let EntryKind::Symlink(text) = &entry.kind else { return Ok(false) };
        let identity = |path: &[u8]| {
            let stat = rustix::fs::fstat(self.root.open_directory(path).ok()?).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        Ok(match self.root.metadata(path)?.map(|metadata| metadata.kind) {
            Some(Kind::Directory) => true,
            Some(Kind::Symlink) => {
                let parent = path.iter().rposition(|&b| b == b'/').map_or(&b""[..], |at| &path[..at]);
                let to = if text.starts_with(b"/") { text.clone() } else { [parent, b"/", text].concat() };
                identity(path).is_some_and(|there| identity(&to) == Some(there))
            }
            _ => false,
        })
    }

    fn directory(
        &self,
        place: &Place,
        path: &[u8],
        existing: Option<Kind>,
        attributes: Attributes,
    ) -> Result<(), Obstacle> {
        match existing {
            None => Ok(place.create_directory(attributes)?),
            Some(Kind::Directory) if self.rules.last_directory_wins => Ok(place.set_attributes(attributes)?),
            Some(Kind::Directory) => Ok(()),
            // A link to a directory stays (archives.c:tarobject, "keep directory symlink").
            Some(Kind::Symlink) if self.root.open_directory(path).is_ok() => Ok(()),
            Some(_) => Err(Obstacle::Foreign(format!("{} is there and no directory", show(path)))),
        }
    }
}
