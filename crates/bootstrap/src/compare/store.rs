//! The files of a container image: a directory, or an archive with its small files in memory.

use crate::error::Error;
use rootstrap_unpack::list::{ListedKind, list};
use rustix::fs::OFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The most bytes of a document of an image.
const DOCUMENT: u64 = 4 << 20;

/// The most bytes of all documents of an image.
const DOCUMENTS: u64 = 64 << 20;

/// The text of the error that ends the search in an archive that is no image.
const NO_IMAGE: &str = "no image";

/// Where the files of an image are.
pub(super) enum Store {
    Directory(PathBuf),
    /// An archive, and its small files.
    Archive(PathBuf, BTreeMap<String, Vec<u8>>),
}

impl Store {
    /// Opens an image. Returns `None` for what is none.
    pub fn open(path: &Path, cancel: &AtomicBool) -> Result<Option<Self>, Error> {
        if path.is_dir() {
            let is_layout = path.join("oci-layout").is_file() && path.join("index.json").is_file();
            return Ok(is_layout.then(|| Self::Directory(path.to_owned())));
        }
        let mut documents = BTreeMap::new();
        let (mut is_image, mut seen, mut total) = (false, BTreeSet::new(), 0);
        let file = File::open(path).map_err(Error::io("open", path))?;
        let listed = list(file, cancel, &mut |entry, contents| {
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            is_image |= name == "oci-layout" || name == "manifest.json";
            // A root filesystem is recognised by its first directory.
            if entry.what == ListedKind::Directory && matches!(name.as_str(), "usr" | "etc" | "bin" | "var") {
                return Err(io::Error::other(NO_IMAGE));
            }
            let ListedKind::File(size) = entry.what else { return Ok(()) };
            if !seen.insert(name.clone()) {
                // Of two files with one name, some readers take the first and others the last.
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} is there twice")));
            }
            if size <= DOCUMENT && (name.starts_with("blobs/") || name.ends_with(".json")) {
                total += size;
                if total > DOCUMENTS {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it has too many documents"));
                }
                let mut bytes = Vec::new();
                contents.read_to_end(&mut bytes)?;
                documents.insert(name, bytes);
            }
            Ok(())
        });
        match listed {
            Err(error) if error.io().to_string() == NO_IMAGE => Ok(None),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(is_image.then(|| Self::Archive(path.to_owned(), documents))),
        }
    }

    /// Returns a document; `None` if there is no such file, or a large one.
    pub fn document(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Archive(_, documents) => Ok(documents.get(name).cloned()),
            Self::Directory(path) => {
                let path = path.join(name);
                let Some(file) = open_file(&path)? else { return Ok(None) };
                let mut bytes = Vec::new();
                file.take(DOCUMENT).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
                Ok(Some(bytes))
            }
        }
    }

    /// Hands the contents of a file to `read`. Returns whether there is such a file.
    pub fn with(
        &self,
        name: &str,
        cancel: &AtomicBool,
        read: &mut dyn FnMut(&mut (dyn Read + Send)) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        match self {
            Self::Directory(path) => {
                let Some(mut file) = open_file(&path.join(name))? else { return Ok(false) };
                read(&mut file).map(|()| true)
            }
            Self::Archive(path, _) => {
                let file = File::open(path).map_err(Error::io("open", path))?;
                let (mut result, mut found) = (Ok(()), false);
                list(file, cancel, &mut |entry, contents| {
                    if entry.path == name.as_bytes() && !found {
                        found = true;
                        result = read(contents);
                    }
                    Ok(())
                })?;
                result.map(|()| found)
            }
        }
    }
}

/// Opens a file of a layout, which may be a link to one. Returns `None` if there is none. A pipe would be waited for without end.
fn open_file(path: &Path) -> Result<Option<File>, Error> {
    let file = match File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    if file.metadata().map_err(Error::io("read", path))?.is_file() {
        return Ok(Some(file));
    }
    Err(Error::NotComparable { path: path.to_owned(), reason: "it is no regular file".to_owned() })
}
