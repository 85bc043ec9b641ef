//! Many paths resolved one after another.

use crate::error::Result;
use crate::path;
use crate::place::Place;
use crate::root::Root;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Resolves paths one after another and keeps the last parent open, because neighbours in an archive share it.
///
/// The kept directory is the one that the path led to when it was resolved. So a cursor serves one run of changes by its
/// owner. It must not be kept while other programs work in the tree.
pub struct Cursor<'r> {
    root: &'r Root,
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
}

impl<'r> Cursor<'r> {
    /// Creates a cursor over `root` with nothing resolved yet.
    #[must_use]
    pub fn new(root: &'r Root) -> Self {
        Self { root, last: None }
    }

    /// Returns the place that `path` names. Its parent has to exist; the entry itself need not.
    ///
    /// # Errors
    /// The parent cannot be opened, or `path` names the root itself.
    pub fn at(&mut self, path: &[u8]) -> Result<Place> {
        let Self { root, last } = self;
        root.place(path, |parent| match last {
            Some((known, directory)) if known == parent => Ok(Rc::clone(directory)),
            _ => {
                let directory = Rc::new(root.open_directory(parent)?);
                *last = Some((parent.to_vec(), Rc::clone(&directory)));
                Ok(directory)
            }
        })
    }

    /// Does the same as [`Cursor::at`], and creates missing parent directories (0755, root).
    ///
    /// # Errors
    /// A parent can neither be opened nor created.
    pub fn at_creating(&mut self, path: &[u8]) -> Result<Place> {
        match self.at(path) {
            Err(error) if error.io().kind() == std::io::ErrorKind::NotFound => {
                let path = path::trim(path);
                self.root.create_directories(path::parent(path), 0o755)?;
                self.at(path)
            }
            other => other,
        }
    }
}
