//! Who owns which path: the question behind every file conflict, answered without touching a filesystem.
//!
//! Paths are compared literally, as dpkg compares them: `/lib/x` and `/usr/lib/x` are two names even where one
//! directory is a link to the other. Directories belong to everyone and are not claimed.

use std::collections::HashMap;

/// The owner of every path that is no directory.
#[derive(Debug, Default)]
pub struct Claims {
    packages: Vec<String>,
    owners: HashMap<Vec<u8>, usize>,
}

impl Claims {
    /// The owner of `path`, if it is one other than `package`.
    #[must_use]
    pub fn rival(&self, path: &[u8], package: &str) -> Option<&str> {
        let owner = *self.owners.get(path)?;
        self.packages.get(owner).map(String::as_str).filter(|owner| *owner != package)
    }

    /// Gives `paths` to `package`, the last claim winning.
    pub fn add<'p>(&mut self, package: &str, paths: impl IntoIterator<Item = &'p [u8]>) {
        let index = self.packages.iter().position(|known| known == package).unwrap_or_else(|| {
            self.packages.push(package.to_owned());
            self.packages.len() - 1
        });
        self.owners.extend(paths.into_iter().map(|path| (path.to_vec(), index)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_owner() {
        let mut claims = Claims::default();
        claims.add("a", [&b"/x"[..], b"/y"]);
        claims.add("b", [&b"/y"[..]]);
        assert_eq!(claims.rival(b"/x", "a"), None);
        assert_eq!(claims.rival(b"/x", "b"), Some("a"));
        assert_eq!(claims.rival(b"/y", "a"), Some("b"));
        assert_eq!(claims.rival(b"/z", "a"), None);
        assert_eq!(claims.rival(b"/usr/x", "b"), None);
    }
}
