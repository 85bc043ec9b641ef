//! A snapshot of a root in which all packages of a plan are configured. A later build of the same plan, with other files, hooks or labels,
//! begins with it and runs no script.
//!
//! The second build of a plan notes a digest of its root, and the third one keeps its root if the digest is the same. So plans that are built
//! once cost nothing, and a root with anything that differs from build to build is not kept: secrets that scripts make for one machine must
//! not get into two trees.

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
use rootstrap_rootfs::{Attributes, Kind, Metadata, Root, walk, xattr};
use rootstrap_unpack::archive;
use sha2::{Digest, Sha256};
use std::io::{BufWriter, Write};
use std::path::Path;

/// The cache layer of these snapshots.
pub(crate) const ROOTS: Layer = Layer { name: "root", directories: &[DIRECTORY], retention: Retention::LastUse };
const DIRECTORY: &str = "root";

/// The snapshot of one plan's root, whether it exists or not.
pub(crate) struct RootSnapshot {
    entry: Entry,
    stored: Option<StoredEntry>,
    /// An entry that says what is known of the root. Its notes are nothing after the first build, and the digest of the root or [`MISFIT`]
    /// after the second one.
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
        archive::restore(payload, context.root, &context.machine.cancel)?;
        context.staging.precopy();
        Ok((Installed { bytes, sandbox: Some(start(context, false)?) }, controls))
    }

    /// Takes the next step towards a kept root. `controls` are the control files of its packages. A failure is reported as a note and does
    /// not stop the run.
    pub fn keep(&self, context: &BuildContext<'_>, installed: &Installed, controls: &[String]) {
        if let Err(error) = self.next_step(context, installed, controls) {
            (context.report)(Event::Note(format!("the configured root is not kept: {error}")));
        }
    }

    fn next_step(&self, context: &BuildContext<'_>, installed: &Installed, controls: &[String]) -> Result<(), Error> {
        let Some(mark) = self.mark.find() else { return self.note(&[]) };
        if mark.notes() == MISFIT {
            return Ok(());
        }
        let (digest, misfit) = digest_of(context.root)?;
        if let Some(path) = misfit {
            (context.report)(Event::Note(format!("the configured root is not kept, because of {path}")));
            return self.note(MISFIT);
        }
        if mark.notes() == digest {
            return self.write(context, installed, controls);
        }
        if !mark.notes().is_empty() {
            let text = "the configured root is not kept: another build of this plan had other files";
            (context.report)(Event::Note(text.to_owned()));
        }
        self.note(&digest)
    }

    /// Writes what is known of the root.
    fn note(&self, known: &[u8]) -> Result<(), Error> {
        self.mark.create()?.keep(known).map_err(failed_to_write())
    }

    fn write(&self, context: &BuildContext<'_>, installed: &Installed, controls: &[String]) -> Result<(), Error> {
        let new = self.entry.create()?;
        let compression = Compression { algorithm: Algorithm::Zstd, level: Some(1) };
        let options = tar::Options {
            dev: tar::Dev::Kept,
            keeps_xattr: xattr::is_of_entry,
            compression,
            ..tar::Options::new(i64::MAX)
        };
        let mut out = BufWriter::with_capacity(1 << 20, new.file());
        tar::write(context.root, &mut out, &options)?;
        out.flush().map_err(failed_to_write())?;
        drop(out);
        new.keep(&to_notes(installed.bytes, controls)).map_err(failed_to_write())
    }
}

/// What is known of a root that has something that no snapshot may have.
const MISFIT: &[u8] = b"misfit";

/// The start of names of files that vary only if others do (ucf(1)): digests of configuration files.
const FOLLOWING: &str = "/var/lib/ucf/hashfile";

/// Where scripts write what every build removes or makes anew.
const PASSING: [&[u8]; 5] = [b"/run/", b"/tmp/", b"/var/cache/", b"/var/log/", b"/var/tmp/"];

/// Returns a digest of all in a root that two builds have to have alike, without times. Returns also the first path that no snapshot may
/// have.
fn digest_of(root: &Root) -> Result<([u8; 32], Option<String>), Error> {
    let mut all = Sha256::new();
    let mut misfit = None;
    walk(root, &mut |visit| {
        let path = [b"/", visit.path.strip_prefix(b"/").unwrap_or(visit.path)].concat();
        let shown = String::from_utf8_lossy(&path);
        let varies = varying(&shown).is_some() && !shown.starts_with(FOLLOWING);
        if misfit.is_none() && (varies || !is_archivable(visit)) {
            misfit = Some(shown.into_owned());
        }
        let Metadata { kind, attributes, size, .. } = visit.metadata;
        let is_passing = PASSING.iter().any(|place| path.starts_with(place));
        if misfit.is_some() || is_passing {
            return Ok::<_, Error>(misfit.is_none());
        }
        let Attributes { mode, uid, gid, mtime: _ } = attributes;
        let facts = format!("{kind:?} {mode:o} {uid} {gid} {:?}", visit.faked.node);
        for part in [&path, facts.as_bytes()] {
            all.update((part.len() as u64).to_le_bytes());
            all.update(part);
        }
        let mut xattrs = visit.xattrs()?;
        xattrs.retain(|(name, _)| xattr::is_of_entry(name));
        all.update((xattrs.len() as u64).to_le_bytes());
        for part in xattrs.iter().flat_map(|(name, value)| [name, value]) {
            all.update((part.len() as u64).to_le_bytes());
            all.update(part);
        }
        match kind {
            Kind::File => {
                all.update(size.to_le_bytes());
                let shown = String::from_utf8_lossy(&path).into_owned();
                let digest = rootstrap_cache::sha256(&mut visit.open()?);
                all.update(digest.map_err(Error::io("read", Path::new(&shown)))?);
            }
            Kind::Symlink => {
                let target = root.at(&path)?.link_target()?;
                all.update((target.len() as u64).to_le_bytes());
                all.update(target);
            }
            _ => {}
        }
        Ok(true)
    })?;
    Ok((all.finalize().into(), misfit))
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
