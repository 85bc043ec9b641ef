//! Files that get their name when they are complete.

use crate::error::Error;
use crate::staging::hidden_place::{FILE, Place};
use rootstrap_configure::privilege::Janitor;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that gets its name when it is complete. Until then it has no name, where the filesystem supports that.
pub(crate) struct NewFile {
    /// The file, open for writing and reading.
    pub file: File,
    place: Arc<Place>,
    name: Option<OsString>,
}

/// A file that has got its name.
pub(crate) struct PublishedFile {
    /// The file that was written, whatever has its name by now.
    pub file: File,
    place: Arc<Place>,
    path: PathBuf,
}

/// Creates a file in `place` that never gets a name, for writing and reading.
pub(crate) fn nameless_file(place: &Path, janitor: &Janitor) -> Result<File, Error> {
    let (place, mode) = (Place::open(place, janitor)?, Mode::from_raw_mode(0o600));
    if let Ok(file) = openat(&place.directory, ".", FILE | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    let (name, file) = place.create_file("layer", mode)?;
    place.remove(&file, &name, AtFlags::empty());
    Ok(file.into())
}

impl NewFile {
    /// Creates a file that is published in the directory `place` later.
    pub fn create(place: &Path, janitor: &Janitor) -> Result<Self, Error> {
        let (place, mode) = (Arc::new(Place::open(place, janitor)?), Mode::from_raw_mode(0o666));
        if let Ok(file) = openat(&place.directory, ".", FILE | OFlags::TMPFILE, mode)
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            return Ok(Self { file: file.into(), place, name: None });
        }
        let (name, file) = place.create_file("archive", mode)?;
        Ok(Self { file: file.into(), place, name: Some(name) })
    }

    /// Waits until the disk holds the file, if `sync` is set. `path` is for messages.
    pub fn sync(&self, sync: bool, path: &Path) -> Result<(), Error> {
        if sync { self.file.sync_all().map_err(Error::io("write", path)) } else { Ok(()) }
    }

    /// Gives the file the name of `path`, in the directory in which it was created. It replaces what has that name now. With `sync`,
    /// waits until the disk holds the name.
    pub fn publish(mut self, path: &Path, sync: bool) -> Result<PublishedFile, Error> {
        let final_name = path.file_name().unwrap_or_default();
        self.place.check_same()?;
        let file = self.file.try_clone().map_err(Error::io("open", path))?;
        // AT_EMPTY_PATH needs a capability; this way does not (linkat(2)).
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        let directory = &self.place.directory;
        let link = |to: &OsStr| rustix::fs::linkat(CWD, &own, directory, to, AtFlags::SYMLINK_FOLLOW);
        let mut is_linked = false;
        if self.name.is_none() {
            match link(final_name) {
                Ok(()) => is_linked = true,
                Err(Errno::EXIST) => {
                    let linked = self
                        .place
                        .under_new_name(OsStr::new("archive"), "create", |name| link(name).map(|()| Some(&file)));
                    self.name = Some(linked?.0);
                }
                Err(errno) => return Err(Error::errno("give the finished file the name", path)(errno)),
            }
        }
        if let (false, Some(name)) = (is_linked, &self.name) {
            rustix::fs::renameat(directory, name, directory, final_name)
                .map_err(Error::errno("move the finished file to", path))?;
        }
        self.name = None;
        self.place.sync(sync)?;
        Ok(PublishedFile { file, place: Arc::clone(&self.place), path: path.to_owned() })
    }

    /// Has the janitor remove the file under the name of `path` if this run is killed, until [`PublishedFile::keep`] is called.
    pub fn remove_on_death(&self, path: &Path) {
        self.place.janitor.remove_on_death(self.place.directory.as_fd(), path);
        self.place.janitor.made(path, self.file.as_fd());
    }
}

impl PublishedFile {
    /// Returns the path whose name it got.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the name again, if the file still has it.
    pub fn remove(&self) {
        self.place.remove(&self.file, self.path.file_name().unwrap_or_default(), AtFlags::empty());
    }

    /// Ends what [`NewFile::remove_on_death`] began: the file is part of the result.
    pub fn keep(&self) {
        self.place.janitor.keep(&self.path);
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.place.remove(&self.file, name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_takes_its_name_when_it_is_published() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("x.tar");
        for text in ["first", "second"] {
            use std::io::Write;
            let mut new = NewFile::create(place.path(), &Janitor::default()).unwrap();
            new.file.write_all(text.as_bytes()).unwrap();
            new.publish(&path, false).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        drop(NewFile::create(place.path(), &Janitor::default()).unwrap());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_without_nameless_files_is_removed_only_if_it_is_still_its_own() {
        let place = tempfile::tempdir().unwrap();
        let opened = Place::open(place.path(), &Janitor::default()).unwrap();
        let (name, file) = opened.create_file("archive", Mode::from_raw_mode(0o600)).unwrap();
        let new = NewFile { file: file.into(), place: Arc::new(opened), name: Some(name.clone()) };
        let path = place.path().join(name);
        std::fs::rename(&path, place.path().join("moved")).unwrap();
        std::fs::write(&path, "somebody else's").unwrap();
        drop(new);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody else's");
    }
}
