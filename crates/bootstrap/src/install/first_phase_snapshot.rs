//! A snapshot of what the scripts of the first phase made of its packages' files. A later build with the same first phase unpacks that
//! phase again and runs none of its scripts.
//!
//! No later phase influences the first one, so a restored first phase differs only in the fractions of seconds of its times. The
//! snapshot holds only what unpacking does not make again; otherwise it would hold most of the root.

use crate::error::Error;
use crate::event::{Event, Report};
use crate::install::context::BuildContext;
use crate::install::debs::StagedDeb;
use crate::install::emulation::Emulation;
use crate::install::unpacked::{self, UnpackedSums};
use crate::request::{Machine, Selection};
use rootstrap_cache::{Cache, Entry, Key, KeyBuilder, Layer, ProgramDigest, Retention, StoredEntry};
use rootstrap_configure::Emulator;
use rootstrap_configure::privilege::Mode;
use rootstrap_image::compress::{Algorithm, Compression};
use rootstrap_image::tar;
use rootstrap_resolve::{Phase, Plan, Planned};
use rootstrap_rootfs::{Kind, Metadata, Moment, Root, Visit, path, xattr};
use rootstrap_suites::Suite;
use rootstrap_unpack::{Claims, archive};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread::JoinHandle;

/// The cache layer of snapshots.
pub(crate) const SNAPSHOTS: Layer =
    Layer { name: "first-phase", directories: &[DIRECTORY], retention: Retention::LastUse };
const DIRECTORY: &str = "first-phase";

/// The names in directories, by the path of the directory.
type Names = HashMap<Vec<u8>, Vec<Vec<u8>>>;

/// The snapshot of one plan's first phase, whether it exists or not.
pub(crate) struct FirstPhaseSnapshot {
    entry: Entry,
    stored: Option<(StoredEntry, Notes)>,
}

/// What a snapshot stores beside its archive.
struct Notes {
    /// Which package has which path, if the target's dpkg unpacked some of them.
    claims: Option<Claims>,
    /// All names in the directories that changed. Other names that unpacking puts there are removed.
    names: Names,
}

/// What decides the content of a snapshot.
pub(crate) struct SnapshotInputs<'a> {
    pub selection: &'a Selection,
    pub slim: bool,
    pub dpkg_options: &'a [String],
    pub suite: &'a Suite,
    pub plan: &'a Plan,
    pub epoch: i64,
    pub emulation: &'a Emulation,
    pub machine: &'a Machine,
}

impl FirstPhaseSnapshot {
    /// Looks for the snapshot in the cache. Returns `None` where the running program cannot be told from others, or where the plan has
    /// no phase.
    pub fn find(
        cache: &Cache,
        program: &ProgramDigest,
        inputs: &SnapshotInputs<'_>,
        report: Report<'_>,
    ) -> Option<Self> {
        let key = key(&program.get()?, inputs)?;
        let entry = Entry::new(cache, DIRECTORY, &key);
        let stored = entry.find().and_then(|stored| {
            let notes = Notes::from_bytes(stored.notes())?;
            Some((stored, notes))
        });
        report(Event::Cache { layer: "first phases", hit: stored.is_some(), bytes: 0 });
        Some(Self { entry, stored })
    }

    /// Returns whether the snapshot exists, so that the scripts of the first phase need not run.
    pub fn exists(&self) -> bool {
        self.stored.is_some()
    }

    /// Turns the unpacked first phase into what its scripts made of it. Returns which package has which path then, if that differs from
    /// what unpacking left.
    pub fn restore(self, context: &BuildContext<'_>) -> Result<Option<Claims>, Error> {
        let Some((stored, notes)) = self.stored else { return Ok(None) };
        (context.report)(Event::Note("the first phase is taken from the cache".to_owned()));
        let payload = stored.payload().map_err(Error::io("read", Path::new("the cache")))?;
        archive::restore(payload, context.root, &context.machine.cancel)?;
        for (directory, names) in &notes.names {
            context.root.retain(directory, names)?;
        }
        Ok(notes.claims)
    }

    /// Keeps what scripts have changed of `packages` since `moment`. The returned thread finishes the
    /// snapshot once it has seen that files which scripts only read are unchanged; the root has to stay until then. A failure is
    /// reported as a note and does not stop the run.
    pub fn keep(
        &self,
        context: &BuildContext<'_>,
        packages: &[StagedDeb],
        moment: Moment,
        claims: Option<&Claims>,
    ) -> Option<JoinHandle<()>> {
        if !context.staging.store.moment().is_ok_and(|now| now.is_comparable_with(&moment)) {
            (context.report)(Event::Note("the first phase is not kept: the clock was set meanwhile".to_owned()));
            return None;
        }
        let sums = UnpackedSums::of(packages);
        keep(&self.entry, context.root, &sums, moment.of_files, claims).unwrap_or_else(|error| {
            (context.report)(Event::Note(format!("the first phase is not kept: {error}")));
            None
        })
    }
}

/// Returns the key of a snapshot.
fn key(program: &[u8; 32], inputs: &SnapshotInputs<'_>) -> Option<Key> {
    // No later phase influences the first one.
    let Plan { phases, without: _, unmatched: _, pockets: _ } = inputs.plan;
    let Phase { name: _, packages } = phases.first()?;
    let mut key = KeyBuilder::new("first phase", program);
    add_inputs(&mut key, inputs);
    key.list("packages", packages, add_package);
    Some(key.finish())
}

/// Adds what decides the work of scripts, apart from the packages. It is taken apart field by field, so that a new field does not compile
/// until somebody decides whether it belongs into the key.
pub(crate) fn add_inputs(key: &mut KeyBuilder, inputs: &SnapshotInputs<'_>) {
    let &SnapshotInputs { selection, slim, dpkg_options, suite, plan: _, epoch, emulation, machine } = inputs;
    // What is included and excluded shows in the packages.
    let Selection {
        architecture: _,
        add_architectures: _,
        variant,
        include: _,
        exclude: _,
        recommends: _,
        preferences: _,
    } = selection;
    let mode = mode_of(machine);
    add_suite(key, suite);
    key.text("variant", variant.name())
        .texts("architectures", selection.architectures())
        .flag("slim", slim)
        .texts("dpkg-options", dpkg_options)
        .number("epoch", epoch)
        .text("mode", mode.name());
    add_emulation(key, emulation);
    // The results are the same. But a build without native programs must not begin with what they made.
    key.flag("emulates all", machine.emulates_all && !emulation.emulators.is_empty());
}

/// Adds what tells a suite from all others. The data of suites is part of the program, whose digest is in each key.
pub(crate) fn add_suite(key: &mut KeyBuilder, suite: &Suite) {
    let (codename, vendor) = suite.identity();
    // The user may ask for another form than the suite's own.
    let merged_usr = format!("{:?} {:?}", suite.merged_usr, suite.merged_usr_buildd);
    key.text("suite", codename)
        .text("merged-usr", &merged_usr)
        .optional("vendor", vendor, |key, vendor| key.text("name", vendor));
}

/// Returns the one thing about a machine that can decide what scripts make, apart from the emulation.
pub(crate) fn mode_of(machine: &Machine) -> Mode {
    // Where files are and how they travel decides nothing. The host is used for mirrors, whose content is verified, and for emulation.
    let &Machine {
        host: _,
        mode,
        janitor: _,
        cache: _,
        remote: _,
        offline: _,
        network: _,
        identity: _,
        logins: _,
        left_out: _,
        jobs: _,
        budget: _,
        expects_more: _,
        emulates_all: _,
        staging: _,
        temporary: _,
        keep_failed: _,
        sync: _,
        now: _,
        reuse: _,
        cancel: _,
    } = machine;
    mode
}

/// Adds what runs the programs of the target. An upgrade of the emulator can change what scripts make, so its content counts too.
pub(crate) fn add_emulation(key: &mut KeyBuilder, emulation: &Emulation) {
    let Emulation { emulators, handler, environment } = emulation;
    key.list("emulators", emulators, |key, emulator| {
        let Emulator { architecture, interpreter } = emulator;
        add_program(key.text("architecture", architecture), interpreter)
    });
    key.optional("handler", handler.as_deref(), add_program);
    key.list("environment", environment, |key, (name, value)| key.text("name", name).text("value", value));
}

fn add_program<'k>(key: &'k mut KeyBuilder, program: &Path) -> &'k mut KeyBuilder {
    let content = fs::File::open(program).and_then(|mut file| rootstrap_cache::sha256(&mut file));
    // A file that cannot be read has no digest, and cannot be run either.
    key.bytes("interpreter", program.as_os_str().as_encoded_bytes()).bytes("content", &content.unwrap_or_default())
}

/// Adds a package. Its digest decides its content; sizes and the place in the archive only decide how it is fetched.
pub(crate) fn add_package<'k>(key: &'k mut KeyBuilder, package: &Planned) -> &'k mut KeyBuilder {
    let Planned {
        name,
        version,
        architecture,
        size: _,
        installed_size: _,
        pocket: _,
        component: _,
        path: _,
        digest,
        essential: _,
        automatic: _,
        multi_arch: _,
        priority: _,
        section: _,
        source: _,
        why: _,
        choice: _,
    } = package;
    key.text("name", name)
        .text("version", version)
        .text("architecture", architecture)
        .text("digest", &digest.to_string())
}

fn keep(
    entry: &Entry,
    root: &Root,
    unpacked: &UnpackedSums,
    moment: i64,
    claims: Option<&Claims>,
) -> Result<Option<JoinHandle<()>>, Error> {
    let failed = || Error::io("write to", Path::new("the cache"));
    let new = entry.create()?;
    let (fits, names) = (Cell::new(true), RefCell::new(Names::new()));
    let read = RefCell::new(Vec::new());
    let only = |visit: &Visit<'_>| {
        let Metadata { kind, changed, .. } = visit.metadata;
        let mut touched = !visit.metadata.is_untouched_since(moment);
        // A file that was only read need not be kept if it is unchanged. ldconfig reads all libraries.
        if touched
            && kind == Kind::File
            && changed < moment
            && let Some(file) = unpacked.file(visit)
        {
            read.borrow_mut().push(file);
            touched = false;
        }
        let (parent, name) = path::split(visit.path);
        // The root itself has no name.
        if !name.is_empty()
            && let Some(names) = names.borrow_mut().get_mut(parent)
        {
            names.push(name.to_vec());
        }
        if kind == Kind::Directory && touched {
            names.borrow_mut().insert(visit.path.to_vec(), Vec::new());
        }
        fits.set(fits.get() && (!touched || is_archivable(visit)));
        // Directories are always kept, because restoring the files in a directory changes its time.
        touched || kind == Kind::Directory
    };
    let compression = Compression { algorithm: Algorithm::Zstd, level: Some(1) };
    let (dev, keeps_xattr) = (tar::Dev::Kept, xattr::is_of_entry as fn(&[u8]) -> bool);
    let options = tar::Options { dev, keeps_xattr, compression, only: Some(&only), ..tar::Options::new(i64::MAX) };
    let mut out = BufWriter::with_capacity(1 << 20, new.file());
    tar::write(root, &mut out, &options)?;
    out.flush().map_err(failed())?;
    drop(out);
    if !fits.get() {
        return Ok(None);
    }
    let notes = to_bytes(claims, &names.into_inner());
    let (root, read) = (root.below(b"")?, read.into_inner());
    let finish = move || {
        if unpacked::all_are_unchanged(&root, &read) {
            let _ = new.keep(&notes);
        }
    };
    Ok(std::thread::Builder::new().spawn(finish).ok())
}

/// Returns whether an archive holds an entry: archives leave out sockets.
pub(crate) fn is_archivable(visit: &Visit<'_>) -> bool {
    visit.metadata.kind != Kind::Socket
}

/// Returns the notes as bytes:
///
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
    /// Reads what [`to_bytes`] wrote. Returns `None` for other bytes.
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
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn another_emulator_at_the_same_path_is_another_key() {
        let place = tempfile::tempdir().unwrap();
        let interpreter = place.path().join("qemu");
        let emulator = Emulator { architecture: "arm64".to_owned(), interpreter: interpreter.clone() };
        let own = Emulation { emulators: vec![emulator], ..Emulation::default() };
        let hosts = Emulation { handler: Some(interpreter.clone()), ..Emulation::default() };
        let mut keys = Vec::new();
        for content in ["7.2", "10.0"] {
            fs::write(&interpreter, content).unwrap();
            for emulation in [&own, &hosts] {
                let mut key = KeyBuilder::new("test", &[0; 32]);
                add_emulation(&mut key, emulation);
                keys.push(format!("{:?}", key.finish()));
            }
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 4);
    }

    #[test]
    fn a_file_that_changed_without_a_trace_prevents_the_snapshot() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("root/file");
        fs::create_dir(place.path().join("root")).unwrap();
        let cache = Cache::open(Some(&place.path().join("cache")), place.path()).unwrap();
        fs::write(&file, "as written through a mapping").unwrap();
        // The file counts as read after it was written, whatever the filesystem records.
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
            let entry = Entry::new(&cache, DIRECTORY, &KeyBuilder::new(unpacked, &[0; 32]).finish());
            keep(&entry, &root, &UnpackedSums(sums), moment, None).unwrap().unwrap().join().unwrap();
            assert_eq!(entry.find().is_some(), is_kept, "{unpacked}");
        }
    }
}
