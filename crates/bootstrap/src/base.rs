//! What the scripts of the first phase made of its packages' files, kept: a build with other packages on top, or none, unpacks
//! the first phase again and runs nothing of it.
//!
//! What comes later has no say in the first phase, so one that was restored differs in nothing but the fractions of
//! seconds in its times. What unpacking makes again is not kept: that would be most of the root.

use crate::bodies::Body;
use crate::event::Report;
use crate::foreign::Emulation;
use crate::kept::{Found, Slot};
use crate::phases::Site;
use crate::suite::Suite;
use crate::unpacked::{self, Unpacked};
use crate::{Error, Event, Request};
use rootstrap_configure::privilege;
use rootstrap_image::compress::{Algorithm, Compression};
use rootstrap_image::{extract, tar};
use rootstrap_resolve::Plan;
use rootstrap_rootfs::{Kind, Metadata, Root, Visit};
use rootstrap_unpack::Claims;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread::JoinHandle;

/// The names in directories, by path.
type Names = HashMap<Vec<u8>, Vec<Vec<u8>>>;

/// Where the first phase of a plan is kept, and what is there.
pub(crate) struct Base {
    slot: Slot,
    found: Option<(Found, Notes)>,
}

/// What is noted beside the archive.
struct Notes {
    /// Who has which paths, if the target's dpkg had a hand in it.
    claims: Option<Claims>,
    /// All that is in the directories that changed: what else unpacking puts there is gone.
    names: Names,
}

impl Base {
    /// Looks for the first phase of `plan`. `None` where nothing is kept or nothing would be won.
    pub fn find(
        request: &Request,
        suite: &Suite,
        plan: &Plan,
        epoch: i64,
        emulation: &Emulation,
        report: Report<'_>,
    ) -> Result<Option<Self>, Error> {
        let (Some(cache), Some(phase)) = (&request.cache, plan.phases.first()) else { return Ok(None) };
        if !request.variant.runs_scripts() || request.foreign {
            return Ok(None);
        }
        let packages: Vec<_> =
            phase.packages.iter().map(|p| (&p.name, &p.version, &p.architecture, p.digest)).collect();
        let (architectures, mode) = (request.architectures()?, privilege::held().name());
        let emulators: Vec<_> = emulation.emulators.iter().map(|emulator| &emulator.interpreter).collect();
        let choices = (request.variant, request.slim, architectures, mode, epoch);
        let Some(slot) = Slot::new(cache, "base", &(suite, choices, emulators, &emulation.environment, packages))
        else {
            return Ok(None);
        };
        let found = slot.find().and_then(|found| {
            let notes = Notes::from_bytes(&found.notes)?;
            Some((found, notes))
        });
        report(Event::Cache { layer: "first phases", hit: found.is_some(), bytes: 0 });
        Ok(Some(Self { slot, found }))
    }

    /// Whether the scripts of the first phase need not run.
    pub fn is_there(&self) -> bool {
        self.found.is_some()
    }

    /// Makes of the unpacked first phase what its scripts made of it. Who has which paths then, if that is not as it was
    /// unpacked.
    pub fn restore(self, site: &Site<'_>) -> Result<Option<Claims>, Error> {
        let Some((found, notes)) = self.found else { return Ok(None) };
        (site.report)(Event::Note("the first phase is taken from the cache".to_owned()));
        let payload = found.payload().map_err(Error::io("read", Path::new("the cache")))?;
        extract::extract(payload, site.root, &site.request.cancel)?;
        for (directory, names) in &notes.names {
            site.root.retain(directory, names)?;
        }
        Ok(notes.claims)
    }

    /// Keeps what scripts have changed of `packages` since `moment`, of [`now`](rootstrap_rootfs::now), as soon as the files
    /// they have only read turn out to be as they were, which somebody is to wait for. Failing to is told and no harm.
    pub fn keep(
        &self,
        site: &Site<'_>,
        packages: &[Body],
        moment: i64,
        claims: Option<&Claims>,
    ) -> Option<JoinHandle<()>> {
        keep(self.slot.clone(), site.root, &Unpacked::of(packages), moment, claims).unwrap_or_else(|error| {
            (site.report)(Event::Note(format!("the first phase is not kept: {error}")));
            None
        })
    }
}

fn keep(
    slot: Slot,
    root: &Root,
    unpacked: &Unpacked,
    moment: i64,
    claims: Option<&Claims>,
) -> Result<Option<JoinHandle<()>>, Error> {
    let failed = || Error::io("write to", Path::new("the cache"));
    let draft = slot.draft().map_err(failed())?;
    let (fits, names) = (Cell::new(true), RefCell::new(Names::new()));
    let read = RefCell::new(Vec::new());
    let only = |visit: &Visit<'_>| {
        let Metadata { kind, changed, .. } = visit.metadata;
        let mut touched = !visit.metadata.is_untouched_since(moment);
        // What was only read, and that is what ldconfig does with all libraries, need not be kept if it is as it was.
        if touched
            && kind == Kind::File
            && changed < moment
            && let Some(file) = unpacked.file(visit)
        {
            read.borrow_mut().push(file);
            touched = false;
        }
        if let Some((parent, name)) = split(visit.path)
            && let Some(names) = names.borrow_mut().get_mut(parent)
        {
            names.push(name.to_vec());
        }
        if kind == Kind::Directory && touched {
            names.borrow_mut().insert(visit.path.to_vec(), Vec::new());
        }
        fits.set(fits.get() && (!touched || is_archivable(visit)));
        // Replacing what is in a directory changes its time.
        touched || kind == Kind::Directory
    };
    let compression = Compression { algorithm: Algorithm::Zstd, level: Some(1) };
    let options = tar::Options { dev: tar::Dev::Kept, compression, only: Some(&only), ..tar::Options::new(i64::MAX) };
    let mut out = BufWriter::with_capacity(1 << 20, draft.file());
    tar::write(root, &mut out, &options)?;
    out.flush().map_err(failed())?;
    drop(out);
    if !fits.get() {
        return Ok(None);
    }
    let notes = to_bytes(claims, &names.into_inner());
    let (root, read) = (root.below(b"")?, read.into_inner());
    let finish = move || {
        if unpacked::all_are_so(&root, &read) {
            let _ = draft.keep(&notes);
        }
    };
    Ok(std::thread::Builder::new().spawn(finish).ok())
}

/// Archives leave out sockets, and most extended attributes.
fn is_archivable(visit: &Visit<'_>) -> bool {
    let odd = |name: &[u8]| name != b"security.capability" && !name.starts_with(b"user.");
    let xattrs = visit.xattrs();
    visit.metadata.kind != Kind::Socket && xattrs.is_ok_and(|xattrs| !xattrs.iter().any(|(name, _)| odd(name)))
}

/// A path as its directory and its name; `None` for the root.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = path.rsplitn(2, |&byte| byte == b'/');
    let name = parts.next().filter(|name| !name.is_empty())?;
    Some((parts.next().unwrap_or_default(), name))
}

/// ```text
/// length of the claims, 8 bytes | claims | path NUL (name NUL)... NUL | ...
/// ```
fn to_bytes(claims: Option<&Claims>, names: &Names) -> Vec<u8> {
    let claims = claims.map(Claims::to_bytes).unwrap_or_default();
    let mut bytes = [&(claims.len() as u64).to_le_bytes()[..], &claims].concat();
    let mut names: Vec<_> = names.iter().collect();
    names.sort();
    for (directory, names) in names {
        for name in std::iter::once(directory).chain(names) {
            bytes.extend_from_slice(name);
            bytes.push(0);
        }
        bytes.push(0);
    }
    bytes
}

impl Notes {
    /// What [`to_bytes`] wrote; `None` if these are other bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (claims, mut rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let claims = if claims.is_empty() { None } else { Some(Claims::from_bytes(claims)?) };
        let mut names = Names::new();
        let mut next = || -> Option<Vec<u8>> {
            let end = rest.iter().position(|&byte| byte == 0)?;
            let (name, after) = rest.split_at_checked(end)?;
            rest = after.get(1..)?;
            Some(name.to_vec())
        };
        while let Some(directory) = next() {
            let mut inside = Vec::new();
            loop {
                let name = next()?;
                if name.is_empty() {
                    break;
                }
                inside.push(name);
            }
            names.insert(directory, inside);
        }
        Some(Self { claims, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_file_that_changed_without_a_trace_leaves_no_base() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("root/file");
        for name in ["root", "v1/tmp"] {
            fs::create_dir_all(place.path().join(name)).unwrap();
        }
        fs::write(&file, "as written through a mapping").unwrap();
        // It was read after it was written, whatever the filesystem tells of that.
        let read = fs::FileTimes::new().set_accessed(std::time::SystemTime::now() + std::time::Duration::from_secs(60));
        fs::File::options().write(true).open(&file).unwrap().set_times(read).unwrap();
        let found = fs::metadata(&file).unwrap();
        let changed = Metadata::from(rustix::fs::stat(&file).unwrap()).changed;
        while rootstrap_rootfs::now() <= changed {
            std::hint::spin_loop();
        }
        let (root, moment) = (Root::open(&place.path().join("root")).unwrap(), rootstrap_rootfs::now());
        for (unpacked, is_kept) in [("as written through a mapping", true), ("as unpacked", false)] {
            let sums = HashMap::from([((found.dev(), found.ino()), crc32fast::hash(unpacked.as_bytes()))]);
            let slot = Slot::new(place.path(), "base", &unpacked).unwrap();
            keep(slot.clone(), &root, &Unpacked(sums), moment, None).unwrap().unwrap().join().unwrap();
            assert_eq!(slot.find().is_some(), is_kept, "{unpacked}");
        }
    }
}
