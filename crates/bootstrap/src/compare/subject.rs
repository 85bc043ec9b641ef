//! What is compared: a lock, an image, an archive or a directory.

use crate::compare::image;
use crate::compare::inventory::Inventory;
use crate::compare::root::ComparedRoot;
use crate::compare::store::Store;
use crate::error::Error;
use crate::publish::mtree;
use rootstrap_lock::Lock;
use rootstrap_rootfs::Root;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The form of roots that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Image,
    Archive,
    Directory,
}

/// What is compared.
pub(crate) enum Subject {
    Lock(Box<Lock>),
    Roots(Form, Vec<ComparedRoot>),
}

/// Reads what is at a path.
///
/// # Errors
/// It cannot be read, or is nothing that can be compared.
pub(crate) fn open(path: &Path, cancel: &AtomicBool) -> Result<Subject, Error> {
    let found = std::fs::metadata(path).map_err(Error::io("open", path))?;
    if !found.is_dir() && is_lock(path)? {
        return Ok(Subject::Lock(Box::new(crate::archive::read_lock(path)?)));
    }
    if let Some(store) = Store::open(path, cancel)? {
        return Ok(Subject::Roots(Form::Image, image::roots(&store, path, cancel)?));
    }
    let mut inventory = Inventory::default();
    let form = match found.is_dir() {
        true => {
            // The list of owners lies beside the true name of the directory.
            let path = std::fs::canonicalize(path).map_err(Error::io("find", path))?;
            inventory = Inventory::of_root(&mtree::apply(Root::open(&path)?, &path)?, cancel)?;
            Form::Directory
        }
        false => {
            inventory.add_archive(File::open(path).map_err(Error::io("open", path))?, false, cancel)?;
            Form::Archive
        }
    };
    let layers = Vec::new();
    let root = ComparedRoot { platform: None, inventory, layers, settings: None, lock: None, findings: Vec::new() };
    Ok(Subject::Roots(form, vec![root]))
}

/// Whether a file begins as a lock does: with text.
fn is_lock(path: &Path) -> Result<bool, Error> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(Error::io("open", path))?;
    file.take(512).read_to_end(&mut head).map_err(Error::io("read", path))?;
    let is_text =
        std::str::from_utf8(&head).is_ok_and(|text| !text.contains(|c: char| c.is_control() && !c.is_whitespace()));
    Ok(is_text && !head.is_empty())
}
