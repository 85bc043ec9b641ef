//! A snapshot of a root in which all packages of a plan are configured. A later build of the same plan, with other files, hooks or labels,
//! begins with it and runs no script.
//!
//! It is kept when a plan is built for the second time, so that plans that are built once cost nothing. A root with files that differ from
//! build to build is not kept: secrets that scripts make for one machine must not get into two trees.

use crate::error::Error;
use crate::event::{Event, Report, Stage};
use crate::install::context::BuildContext;
use crate::install::first_phase_snapshot::{SnapshotInputs, add_inputs, add_package, is_archivable};
use crate::install::phases::Installed;
use crate::install::sandbox::start;
use rootstrap_cache::{Cache, Entry, Key, KeyBuilder, Layer, ProgramDigest, Retention, StoredEntry};
use rootstrap_image::compress::{Algorithm, Compression};
use rootstrap_image::tar;
use rootstrap_normalize::varying;
use rootstrap_resolve::{Phase, Plan};
use rootstrap_rootfs::Visit;
use rootstrap_unpack::archive;
use std::cell::Cell;
use std::io::{BufWriter, Write};
use std::path::Path;

/// The cache layer of these snapshots.
pub(crate) const ROOTS: Layer = Layer { name: "root", directories: &[DIRECTORY], retention: Retention::LastUse };
const DIRECTORY: &str = "root";

/// The snapshot of one plan's root, whether it exists or not.
pub(crate) struct RootSnapshot {
    entry: Entry,
    stored: Option<StoredEntry>,
    /// An empty entry, which says that the plan was built before.
    mark: Entry,
}

impl RootSnapshot {
    /// Looks for the snapshot in the cache. Returns `None` where the running program cannot be told from others.
    pub fn find(
        cache: &Cache,
        program: &ProgramDigest,
        inputs: &SnapshotInputs<'_>,
        debconf: &[String],
        report: Report<'_>,
    ) -> Option<Self> {
        let program = program.get()?;
        let entry = Entry::new(cache, DIRECTORY, &key("root", &program, inputs, debconf));
        let mark = Entry::new(cache, DIRECTORY, &key("root that was built", &program, inputs, debconf));
        let stored = entry.find();
        report(Event::Cache { layer: "roots", hit: stored.is_some(), bytes: 0 });
        Some(Self { entry, stored, mark })
    }

    /// Returns whether the snapshot exists, so that no script has to run.
    pub fn exists(&self) -> bool {
        self.stored.is_some()
    }

    /// Fills the empty root. Returns also the control file of each package, in plan order.
    pub fn restore(self, context: &BuildContext<'_>) -> Result<(Installed, Vec<String>), Error> {
        let failed = || Error::io("read", Path::new("the cache"));
        let lost = || failed()(std::io::ErrorKind::NotFound.into());
        let stored = self.stored.ok_or_else(lost)?;
        (context.report)(Event::Stage(Stage::Unpack));
        (context.report)(Event::Note("the configured root is taken from the cache".to_owned()));
        let (bytes, controls) = from_notes(stored.notes()).ok_or_else(lost)?;
        if !context.customization.hooks.is_empty() {
            context.staging.show(context.machine)?;
        }
        let payload = stored.payload().map_err(failed())?;
        archive::extract(payload, context.root, &context.machine.cancel)?;
        context.staging.precopy();
        Ok((Installed { bytes, sandbox: Some(start(context, false)?) }, controls))
    }

    /// Keeps the root, if its plan was built before. `controls` are the control files of its packages. A failure is reported as a note and
    /// does not stop the run.
    pub fn keep(&self, context: &BuildContext<'_>, installed: &Installed, controls: &[String]) {
        let result = match self.mark.find() {
            None => self.mark.create().map_err(Error::from).and_then(|mark| mark.keep(&[]).map_err(failed_to_write())),
            Some(_) => self.write(context, installed, controls),
        };
        if let Err(error) = result {
            (context.report)(Event::Note(format!("the configured root is not kept: {error}")));
        }
    }

    fn write(&self, context: &BuildContext<'_>, installed: &Installed, controls: &[String]) -> Result<(), Error> {
        let new = self.entry.create()?;
        let fits = Cell::new(true);
        let only = |visit: &Visit<'_>| {
            let path = format!("/{}", String::from_utf8_lossy(visit.path).trim_start_matches('/'));
            fits.set(fits.get() && varying(&path).is_none() && is_archivable(visit));
            fits.get()
        };
        let compression = Compression { algorithm: Algorithm::Zstd, level: Some(1) };
        let options =
            tar::Options { dev: tar::Dev::Kept, compression, only: Some(&only), ..tar::Options::new(i64::MAX) };
        let mut out = BufWriter::with_capacity(1 << 20, new.file());
        tar::write(context.root, &mut out, &options)?;
        out.flush().map_err(failed_to_write())?;
        drop(out);
        if fits.get() { new.keep(&to_notes(installed.bytes, controls)).map_err(failed_to_write()) } else { Ok(()) }
    }
}

fn failed_to_write() -> impl FnOnce(std::io::Error) -> Error {
    Error::io("write to", Path::new("the cache"))
}

/// Returns the key of a snapshot, or of its mark: all that decides the work of scripts.
fn key(kind: &str, program: &[u8; 32], inputs: &SnapshotInputs<'_>, debconf: &[String]) -> Key {
    let Plan { phases, without: _, unmatched: _, pockets: _ } = inputs.plan;
    let mut key = KeyBuilder::new(kind, program);
    add_inputs(&mut key, inputs);
    key.texts("debconf", debconf).list("phases", phases, |key, phase| {
        let Phase { name, packages } = phase;
        key.text("name", name).list("packages", packages, add_package)
    });
    key.finish()
}

/// Returns the notes as bytes: the size of all unpacked files, 8 bytes, and the control files, each with a NUL at its end.
fn to_notes(bytes: u64, controls: &[String]) -> Vec<u8> {
    let mut notes = bytes.to_le_bytes().to_vec();
    for control in controls {
        notes.extend_from_slice(control.as_bytes());
        notes.push(0);
    }
    notes
}

fn from_notes(notes: &[u8]) -> Option<(u64, Vec<String>)> {
    let (bytes, rest) = notes.split_first_chunk()?;
    let text = std::str::from_utf8(rest).ok()?;
    Some((u64::from_le_bytes(*bytes), text.split_terminator('\0').map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written() {
        let controls = ["Package: a\n".to_owned(), String::new(), "Package: ä\n".to_owned()];
        assert_eq!(from_notes(&to_notes(7, &controls)), Some((7, controls.to_vec())));
        assert_eq!(from_notes(b"short"), None);
    }
}
