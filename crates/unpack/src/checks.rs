//! Which packages and entries are left to dpkg, because dpkg refuses them or treats them by rules that are not repeated here.

use crate::claims::Claims;
use crate::conffiles::Conffiles;
use crate::database::{self, Diversions};
use crate::entries::{Entry, EntryKind, escaped};
use crate::error::Error;
use crate::filters::{self, Filter};
use crate::stage::Staged;
use rootstrap_rootfs::{Attributes, Kind, Root, path};
use std::collections::{HashMap, HashSet};

/// The suffix that dpkg appends to the name of a conffile until it configures the package, and to the name of any other file
/// until the file is complete.
pub(crate) const SUFFIX: &str = ".dpkg-new";

/// The most bytes of one name: the kernel's own ceiling.
const NAME_MAX: usize = 255;

/// The rules for one merge.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Where conffiles are put.
    pub conffiles: Conffiles,
    /// What is left out of the tree. If a package is left to dpkg, dpkg uses its own configuration instead:
    /// [`crate::filters::of_target`].
    pub filters: &'a [Filter],
    /// The fixed owners and modes (dpkg-statoverride(1)) of an earlier moment. `None` stands for those in the tree now. dpkg
    /// reads them once for all packages that it is given, before the scripts of these packages may add some.
    pub overrides: Option<&'a HashMap<Vec<u8>, Attributes>>,
    /// Whether an existing directory takes the mode and owner of the last package that ships it, not of the first.
    /// debootstrap's tar did so for old suites.
    pub last_directory_wins: bool,
}

/// Returns the reason why dpkg itself has to unpack `package`, as far as the reason is known before the merge. Callers ask
/// before they run the preinst, because dpkg would run the preinst again.
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
    match Checks::new(root, package, rules)?.check(entries, claims, &owner) {
        Ok(()) => Ok(None),
        Err(MergeError::ForDpkg(reason)) => Ok(Some(reason)),
        Err(MergeError::Tree(source)) => Err(Error::Tree { label: owner, source }),
    }
}

/// Why the package, or one of its entries, was not put in place.
pub(crate) enum MergeError {
    /// The package is left to dpkg, for this reason.
    ForDpkg(String),
    /// The tree cannot be read or changed.
    Tree(rootstrap_rootfs::Error),
}

impl From<rootstrap_rootfs::Error> for MergeError {
    fn from(error: rootstrap_rootfs::Error) -> Self {
        Self::Tree(error)
    }
}

/// What decides whether a package can be merged here.
pub(crate) struct Checks<'a> {
    pub root: &'a Root,
    pub package: &'a Staged,
    pub rules: Rules<'a>,
    pub diversions: Diversions<'a>,
}

impl<'a> Checks<'a> {
    pub fn new(root: &'a Root, package: &'a Staged, rules: Rules<'a>) -> Result<Self, Error> {
        let diversions = Diversions { all: database::diversions(root)?, package: &package.control.package };
        Ok(Self { root, package, rules, diversions })
    }

    /// Fails for a package that dpkg refuses, or treats by rules that are not repeated here, as far as this is known before the
    /// merge.
    pub fn check(&self, entries: &[Entry], claims: &Claims, owner: &str) -> Result<(), MergeError> {
        let conffiles = &self.package.control.conffiles;
        let unwanted: HashSet<&[u8]> =
            conffiles.iter().filter(|conffile| conffile.remove_on_upgrade).map(|conffile| &conffile.path[..]).collect();
        for name in &unwanted {
            // dpkg moves away a file that no package owns, and leaves alone a file that another package owns.
            let path = self.diversions.follow(name);
            let owned = path == *name && claims.rivals(name, owner).next().is_some();
            if !owned && self.root.metadata(&path)?.is_some() {
                return Err(MergeError::ForDpkg(format!("{} is there and shall not be", escaped(&path))));
            }
        }
        let diverted_to: HashSet<&[u8]> = self.diversions.all.values().map(|diversion| &diversion.to[..]).collect();
        for entry in entries {
            let name = entry.path.as_slice();
            if diverted_to.contains(name) || unwanted.contains(name) {
                return Err(MergeError::ForDpkg(format!("{} may not be shipped", escaped(name))));
            }
            if path::name(name).len() + SUFFIX.len() > NAME_MAX {
                return Err(MergeError::ForDpkg(format!("{} has too long a name", escaped(name))));
            }
            let conffile = conffiles.iter().any(|conffile| conffile.path == name);
            if conffile && !matches!(entry.kind, EntryKind::File { .. } | EntryKind::HardLink(_)) {
                return Err(MergeError::ForDpkg(format!("the conffile {} is no plain file", escaped(name))));
            }
            if entry.kind == EntryKind::Directory {
                continue;
            }
            // dpkg takes over the digest of a conffile even from a package whose path a diversion separates from this one.
            let mut rivals =
                claims.rivals(name, owner).filter(|rival| conffile || !self.diversions.separates(name, rival));
            if let Some(rival) = rivals.next()
                && !self.keeps_existing(entry, &self.diversions.follow(name))?
            {
                return Err(MergeError::ForDpkg(format!("{} belongs to {rival} too", escaped(name))));
            }
        }
        let paths = entries.iter().map(|entry| entry.path.as_slice()).collect();
        if let Some(disappearing) =
            claims.disappearing(&paths, owner, |path, other| self.diversions.separates(path, other))
        {
            return Err(MergeError::ForDpkg(format!("{disappearing} has nothing of its own beside it")));
        }
        self.check_filters(entries)
    }

    /// Fails if an entry needs a path that the filters leave out.
    fn check_filters(&self, entries: &[Entry]) -> Result<(), MergeError> {
        let excluded = self.excluded(entries);
        for entry in entries.iter().filter(|entry| !excluded.is_empty() && !excluded.contains(&entry.path)) {
            let parent = path::parent(&entry.path);
            let first_name = match &entry.kind {
                EntryKind::HardLink(first_name) => Some(first_name.as_slice()),
                _ => None,
            };
            for needed in first_name.into_iter().chain([parent]).filter(|needed| excluded.contains(*needed)) {
                if self.root.metadata(&self.diversions.follow(needed))?.is_none() {
                    return Err(MergeError::ForDpkg(format!("{} needs what is excluded", escaped(&entry.path))));
                }
            }
        }
        Ok(())
    }

    /// The paths that the filters leave out.
    pub fn excluded(&self, entries: &[Entry]) -> HashSet<Vec<u8>> {
        let excluded = entries.iter().filter(|entry| filters::excludes_entry(self.rules.filters, entry));
        excluded.map(|entry| entry.path.clone()).collect()
    }

    /// Whether the entry is a symbolic link that does not replace what is at its place: a directory, or a link to the same
    /// directory (archives.c:tarobject, linktosameexistingdir).
    pub fn keeps_existing(&self, entry: &Entry, path: &[u8]) -> rootstrap_rootfs::Result<bool> {
        let EntryKind::Symlink(text) = &entry.kind else { return Ok(false) };
        let identity = |path: &[u8]| {
            let stat = rustix::fs::fstat(self.root.open_directory(path).ok()?).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        Ok(match self.root.metadata(path)?.map(|metadata| metadata.kind) {
            Some(Kind::Directory) => true,
            Some(Kind::Symlink) => {
                let to = match text.starts_with(b"/") {
                    true => text.clone(),
                    false => [path::parent(path), b"/", text].concat(),
                };
                identity(path).is_some_and(|there| identity(&to) == Some(there))
            }
            _ => false,
        })
    }
}
