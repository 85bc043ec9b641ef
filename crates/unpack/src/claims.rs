//! Records which package owns which path, and so finds file conflicts without touching a filesystem.
//!
//! Paths are compared literally, as dpkg compares them: `/lib/x` and `/usr/lib/x` are two paths even if one directory is a link
//! to the other. The paths are those in the packages, before diversions are followed. A path may have several owners if one of
//! them diverts it. All packages may share a directory.

use std::collections::{HashMap, HashSet};

/// The paths of the packages that have been unpacked so far.
#[derive(Debug, Default)]
pub struct Claims {
    packages: Vec<Package>,
    /// The owners of every path: the position in `packages`, and whether the path is a directory in that package.
    owners: HashMap<Vec<u8>, Vec<(usize, bool)>>,
}

#[derive(Debug)]
struct Package {
    name: String,
    /// All paths that the package lists, directories included, without the root itself.
    paths: Vec<Vec<u8>>,
}

impl Claims {
    /// The owners of `path` other than `package`, in the order in which they claimed it. A directory has none.
    pub fn rivals(&self, path: &[u8], package: &str) -> impl Iterator<Item = &str> {
        let owners = self.owners.get(path).map_or(&[][..], Vec::as_slice);
        let names =
            owners.iter().filter(|(_, is_directory)| !is_directory).filter_map(|(owner, _)| self.packages.get(*owner));
        names.map(|owner| owner.name.as_str()).filter(move |name| *name != package)
    }

    /// Returns a package that dpkg may let disappear when `package`, which has these `paths`, is unpacked: every path of it
    /// belongs to `package` or to another package too (help.c:filesavespackage). `is_separated` says whether a diversion
    /// separates a path of the named package from that of `package`.
    #[must_use]
    pub fn disappearing(
        &self,
        paths: &HashSet<&[u8]>,
        package: &str,
        is_separated: impl Fn(&[u8], &str) -> bool,
    ) -> Option<&str> {
        let disappears = |(index, other): &(usize, &Package)| {
            let is_shared = |path: &Vec<u8>| {
                let is_sole_owner = |owners: &Vec<(usize, bool)>| owners.iter().all(|(owner, _)| owner == index);
                (paths.contains(&path[..]) || !self.owners.get(path).is_none_or(is_sole_owner))
                    && !is_separated(path, &other.name)
            };
            // Paths that a package shares with no other are likely to come last, so the search begins there.
            !other.paths.is_empty() && other.name != package && other.paths.iter().rev().all(is_shared)
        };
        self.packages.iter().enumerate().find(disappears).map(|(_, other)| other.name.as_str())
    }

    /// All packages that own any path, with the number of their paths.
    pub fn packages(&self) -> impl Iterator<Item = (&str, usize)> {
        let claimed = self.packages.iter().filter(|package| !package.paths.is_empty());
        claimed.map(|package| (package.name.as_str(), package.paths.len()))
    }

    /// Forgets `package` and all its paths.
    pub fn forget(&mut self, package: &str) {
        for (index, known) in self.packages.iter_mut().enumerate().filter(|(_, known)| known.name == package) {
            for path in std::mem::take(&mut known.paths) {
                if let Some(owners) = self.owners.get_mut(&path) {
                    owners.retain(|(owner, _)| *owner != index);
                }
            }
        }
    }

    /// Records that `package` owns these paths. Each comes with whether it is a directory.
    pub fn add<'p>(&mut self, package: &str, paths: impl IntoIterator<Item = (&'p [u8], bool)>) {
        let index = self.packages.len();
        let mut all = Vec::new();
        for (path, is_directory) in paths.into_iter().filter(|(path, _)| !matches!(*path, b"/" | b"/.")) {
            all.push(path.to_vec());
            self.owners.entry(path.to_vec()).or_default().push((index, is_directory));
        }
        self.packages.push(Package { name: package.to_owned(), paths: all });
    }

    /// Writes all claims as bytes, for [`Self::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, package) in self.packages.iter().enumerate() {
            bytes.push(b'p');
            bytes.extend_from_slice(package.name.as_bytes());
            bytes.push(0);
            for path in &package.paths {
                let owners = self.owners.get(path).map_or(&[][..], Vec::as_slice);
                bytes.push(if owners.contains(&(index, true)) { b'd' } else { b'f' });
                bytes.extend_from_slice(path);
                bytes.push(0);
            }
        }
        bytes
    }

    /// Reads claims that [`Self::to_bytes`] wrote. `None` if the bytes have another form.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut claims = Self::default();
        let mut name = None;
        let mut paths: Vec<(&[u8], bool)> = Vec::new();
        for field in bytes.split_inclusive(|&byte| byte == 0) {
            let (kind, text) = field.strip_suffix(b"\0")?.split_first()?;
            match (kind, name) {
                (b'p', before) => {
                    before.into_iter().for_each(|name| claims.add(name, paths.drain(..)));
                    name = Some(std::str::from_utf8(text).ok()?);
                }
                (b'd' | b'f', Some(_)) => paths.push((text, *kind == b'd')),
                _ => return None,
            }
        }
        name.into_iter().for_each(|name| claims.add(name, paths.drain(..)));
        Some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_owners_and_packages_disappear() {
        let mut claims = Claims::default();
        claims.add("a", [(&b"/."[..], true), (b"/x", false), (b"/d", true), (b"/y", false)]);
        claims.add("b", [(&b"/y"[..], false)]);
        claims.add("empty", [(&b"/"[..], true)]);
        let rivals = |path: &[u8], package| claims.rivals(path, package).collect::<Vec<_>>();
        assert_eq!(rivals(b"/x", "a"), [""; 0]);
        assert_eq!(rivals(b"/x", "b"), ["a"]);
        assert_eq!(rivals(b"/y", "a"), ["b"]);
        assert_eq!(rivals(b"/y", "c"), ["a", "b"]);
        assert_eq!(rivals(b"/d", "b"), [""; 0]);
        assert_eq!(rivals(b"/usr/x", "b"), [""; 0]);

        let disappearing = |paths: &[&'static [u8]], package| {
            claims.disappearing(&paths.iter().copied().collect(), package, |path, _| path == b"/diverted")
        };
        assert_eq!(disappearing(&[b"/", b"/x", b"/d"], "b"), Some("a"));
        assert_eq!(disappearing(&[b"/x", b"/d"], "a"), Some("b"), "what b has is in a too");
        let mut claims = Claims::default();
        claims.add("a", [(&b"/d"[..], true), (b"/x", false)]);
        claims.add("b", [(&b"/d"[..], true), (b"/diverted", false)]);
        claims.add("c", [(&b"/d"[..], true)]);
        let disappearing = |paths: &[&'static [u8]], package| {
            claims.disappearing(&paths.iter().copied().collect(), package, |path, _| path == b"/diverted")
        };
        assert_eq!(disappearing(&[b"/"], "e"), Some("c"));
        assert_eq!(disappearing(&[b"/x"], "e"), Some("a"));
        assert_eq!(disappearing(&[b"/diverted"], "c"), None);
        assert_eq!(disappearing(&[b"/"], "c"), None);
        let again = Claims::from_bytes(&claims.to_bytes()).unwrap();
        assert_eq!(format!("{:?}", again.packages), format!("{:?}", claims.packages));
        assert_eq!(again.owners, claims.owners);
        for bytes in [&b"x"[..], b"pa", b"f/x\0", b"p\xff\0"] {
            assert!(Claims::from_bytes(bytes).is_none(), "{bytes:?}");
        }
        claims.forget("a");
        claims.forget("b");
        assert_eq!(claims.rivals(b"/x", "c").next(), None);
        assert_eq!(claims.disappearing(&HashSet::new(), "e", |_, _| false), None);
    }
}
