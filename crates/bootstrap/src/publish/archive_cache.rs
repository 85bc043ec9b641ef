//! Finished archives that are kept in the cache. The same request at the same state of the archive gets a copy.

use crate::archive::ServedPocket;
use crate::error::{Error, unless_cancelled};
use crate::event::{Event, Report, Stage};
use crate::install::emulation::Emulation;
use crate::install::first_phase_snapshot::{add_emulation, add_suite, mode_of};
use crate::publish::summary::Summary;
use crate::request::{
    Container, Customization, Format, Machine, NewUser, Output, Purpose, Request, Selection, Settings, Snapshot,
    Sources, Target,
};
use crate::staging::new_file::NewFile;
use crate::staging::place::parent;
use rootstrap_cache::{Cache, Entry, Key, KeyBuilder, Layer, ProgramDigest, Retention, direct_io};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::preferences;
use rootstrap_image::StoppableWriter;
use rootstrap_image::compress::{Algorithm, Compression};
use rootstrap_resolve::{Phase, Plan, Planned};
use rootstrap_suites::Suite;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// The cache layer of finished archives.
pub(crate) const ARCHIVES: Layer = Layer { name: "archive", directories: &[DIRECTORY], retention: Retention::LastUse };
const DIRECTORY: &str = "archive";

/// What the summary of a run says of its archive.
#[derive(Serialize, Deserialize)]
struct Notes {
    packages: usize,
    deb_bytes: u64,
    file_bytes: u64,
    archive_bytes: Option<u64>,
    image: Option<String>,
    digest: Option<String>,
}

/// What decides the bytes of an archive.
pub(crate) struct ArchiveInputs<'a> {
    pub request: &'a Request,
    pub suite: &'a Suite,
    /// The pockets that serve the build.
    pub pockets: &'a [ServedPocket],
    /// The keys of the suite, if they are not its own.
    pub own_keys: Option<&'a [u8]>,
    pub plan: &'a Plan,
    pub epoch: i64,
    pub emulation: &'a Emulation,
}

/// Returns the place of the archive that a request makes. Returns `None` for a result that is not one file, and for one that depends on
/// more than the request and the archive.
pub(crate) fn entry(cache: &Cache, program: &ProgramDigest, inputs: &ArchiveInputs<'_>) -> Option<Entry> {
    let key = key(&program.get()?, inputs)?;
    Some(Entry::new(cache, DIRECTORY, &key))
}

/// Returns the key of an archive. All that decides an archive is taken apart field by field, so that a new field does not compile until
/// somebody decides whether it belongs into the key.
fn key(program: &[u8; 32], inputs: &ArchiveInputs<'_>) -> Option<Key> {
    let &ArchiveInputs { request, suite, pockets, own_keys, plan, epoch, emulation } = inputs;
    let Request { selection, sources, customization, output, machine } = request;
    let mut key = KeyBuilder::new("archive", program);
    add_suite(&mut key, suite);
    add_plan(&mut key, plan);
    key.number("epoch", epoch).text("mode", mode_of(machine).name());
    add_emulation(&mut key, emulation);
    key.flag("emulates all", machine.emulates_all && !emulation.emulators.is_empty());
    add_selection(&mut key, selection);
    add_sources(&mut key, sources);
    key.optional("own-keys", own_keys, |key, keys| key.text("keys", &digest_of(keys)));
    key.list("pockets", pockets, |key, pocket| pocket.add_to_key(key));
    // How long scripts may take decides whether there is a result, and not which.
    let Customization { slim, copies, archives, settings, hooks, hook_network: _, script_timeout: _ } = customization;
    key.flag("slim", *slim);
    add_settings(&mut key, settings);
    // The contents of copied files, and what hooks read, are not known here.
    if !copies.is_empty() || !archives.is_empty() || !hooks.is_empty() {
        return None;
    }
    add_output(&mut key, output)?;
    Some(key.finish())
}

fn add_settings(key: &mut KeyBuilder, settings: &Settings) {
    let Settings { hostname, resolv_conf, timezone, locale, root_password, users, debconf, apt_options, dpkg_options } =
        settings;
    for (name, text) in [
        ("hostname", hostname),
        ("resolv-conf", resolv_conf),
        ("timezone", timezone),
        ("locale", locale),
        ("root-password", root_password),
    ] {
        key.optional(name, text.as_ref(), |key, text| key.text("text", text));
    }
    key.list("users", users, |key, NewUser { name, uid, shell }| {
        key.text("name", name).optional("uid", *uid, |key, uid| key.number("uid", uid)).optional(
            "shell",
            shell.as_ref(),
            |key, shell| key.text("shell", shell),
        )
    });
    key.texts("debconf", debconf).texts("apt-options", apt_options).texts("dpkg-options", dpkg_options);
}

/// Returns the digest of keys, in hexadecimal.
fn digest_of(keys: &[u8]) -> String {
    Digest::Sha256(Sha256::digest(keys).into()).to_string()
}

fn add_plan(key: &mut KeyBuilder, plan: &Plan) {
    let Plan { phases, without, unmatched: _, pockets: _ } = plan;
    key.list("phases", phases, |key, phase| {
        let Phase { name, packages } = phase;
        key.text("name", name).list("packages", packages, add_package)
    });
    key.texts("without", without);
}

/// Adds a package with all that dpkg's and apt's databases, SBOMs and labels may show of it.
fn add_package<'k>(key: &'k mut KeyBuilder, package: &Planned) -> &'k mut KeyBuilder {
    let Planned {
        name,
        version,
        architecture,
        size,
        installed_size,
        pocket,
        component,
        path,
        digest,
        essential,
        automatic,
        multi_arch,
        priority,
        section,
        source,
        why: _,
        choice: _,
    } = package;
    key.text("name", name)
        .text("version", version)
        .text("architecture", architecture)
        .number("size", *size)
        .number("installed-size", *installed_size)
        .number("pocket", i128::try_from(*pocket).unwrap_or(i128::MAX))
        .text("component", component)
        .text("path", path)
        .text("digest", &digest.to_string())
        .flag("essential", *essential)
        .flag("automatic", *automatic)
        .text("multi-arch", multi_arch)
        .text("priority", priority)
        .text("section", section)
        .text("source", source)
}

fn add_selection(key: &mut KeyBuilder, selection: &Selection) {
    let Selection { architecture, add_architectures, variant, include, exclude, recommends, preferences } = selection;
    key.text("architecture", architecture)
        .texts("add-architectures", add_architectures)
        .text("variant", variant.name())
        .texts("include", include)
        .texts("exclude", exclude)
        .flag("recommends", *recommends)
        .text("preferences", &preferences::to_text(preferences));
}

fn add_sources(key: &mut KeyBuilder, sources: &Sources) {
    // What a lock decides is in the plan and in the pockets.
    let Sources {
        suite: _,
        // It is a part of the pockets.
        alias: _,
        is_own: _,
        pockets,
        components,
        arch_variant,
        mirrors,
        further_mirrors: _,
        services: _,
        keyrings,
        valid_at: _,
        allow_rollback: _,
        // What was chosen is in the plan.
        unsigned: _,
        snapshot,
        write_snapshot,
        // It is a part of the suite here.
        merged_usr: _,
        plain_sources,
        further,
        lock: _,
    } = sources;
    // Nothing but the target's apt sources may name the snapshot.
    let written = snapshot.as_ref().filter(|_| *write_snapshot);
    key.optional("snapshot", written, |key, Snapshot { at, services }| {
        key.number("at", *at).texts("services", services)
    });
    key.optional("arch-variant", arch_variant.as_ref(), |key, variant| key.text("variant", variant));
    key.texts("components", components)
        .texts("wanted-pockets", pockets)
        .texts("mirrors", mirrors)
        // Which keys these are is added with what the archive says of itself.
        .flag("own-keys", keyrings.is_empty())
        .flag("plain-sources", *plain_sources);
    key.list("further", further, |key, source| key.text("source", &source.to_text()));
}

/// Adds what the output decides. Returns `None` if the result is not one file of bytes that this program decides alone.
fn add_output(key: &mut KeyBuilder, output: &Output) -> Option<()> {
    let Output {
        target,
        into_nonempty: _,
        // Filesystems are not kept.
        filesystem: _,
        purpose,
        container,
        attest,
        sboms,
        downloads,
        push,
        further_platforms,
        epoch: _,
    } = output;
    // A copy would repeat neither documents nor files of the root nor a push.
    let is_more = !sboms.is_empty()
        || !downloads.is_empty()
        || !push.names.is_empty()
        || *attest
        || !further_platforms.is_empty();
    if is_more || *purpose == Purpose::FirstStage {
        return None;
    }
    let (Target::File(_, format) | Target::Stdout(format)) = target else { return None };
    match format {
        Format::Tar(compression) => add_compression(key.text("format", "tar"), *compression),
        Format::Oci(compression) => add_compression(key.text("format", "oci"), *compression),
        // The host's programs make the first, and a copy would not repeat the warnings about the second.
        Format::Squashfs | Format::Ext4 | Format::Cpio(_) => return None,
    };
    key.flag("base-image", output.is_base_image());
    add_container(key, container);
    Some(())
}

/// Adds the settings and the names of an image.
pub(crate) fn add_container(key: &mut KeyBuilder, container: &Container) {
    let Container { tags, entrypoint, cmd, env, user, workdir, labels, annotations } = container;
    key.texts("tags", tags)
        .optional("entrypoint", entrypoint.as_ref(), |key, words| key.texts("words", words))
        .optional("cmd", cmd.as_ref(), |key, words| key.texts("words", words))
        .optional("user", user.as_ref(), |key, user| key.text("user", user))
        .optional("workdir", workdir.as_ref(), |key, workdir| key.text("workdir", workdir));
    for (name, map) in [("env", env), ("labels", labels), ("annotations", annotations)] {
        key.list(name, map, |key, (name, value)| key.text("name", name).text("value", value));
    }
}

pub(crate) fn add_compression(key: &mut KeyBuilder, compression: Compression) {
    let Compression { algorithm, level } = compression;
    let name = match algorithm {
        Algorithm::None => "none",
        Algorithm::Gzip => "gzip",
        Algorithm::Xz => "xz",
        Algorithm::Zstd => "zstd",
    };
    key.text("compression", name).optional("level", level, |key, level| key.number("level", level));
}

/// Publishes a kept archive. Returns `None` if there is none.
pub(crate) fn publish(
    entry: &Entry,
    target: &Target,
    machine: &Machine,
    report: Report<'_>,
) -> Result<Option<Summary>, Error> {
    let report_lookup = |hit| {
        report(Event::Cache { layer: "results", hit, bytes: 0 });
        if hit {
            report(Event::Note("nothing has changed: the result is taken from the cache".to_owned()));
        }
    };
    // If the entry turns out to be damaged while it is copied, a file can be removed again. Bytes in a pipe cannot be taken back.
    let stored = if let Target::File(..) = target { entry.find_unchecked() } else { entry.find() };
    let parsed = stored.and_then(|stored| Some((serde_json::from_slice::<Notes>(stored.notes()).ok()?, stored)));
    let Some((notes, stored)) = parsed else {
        report_lookup(false);
        return Ok(None);
    };
    report(Event::Stage(Stage::Publish));
    let cancel = &machine.cancel;
    if let Target::File(path, _) = target {
        let new = NewFile::create(parent(path), &machine.janitor)?;
        let fill = |out: &mut dyn Write| stored.copy_to(&mut StoppableWriter { inner: out, cancel });
        let copied = if stored.share_with(&new.file).map_err(Error::io("write", path))? {
            // The bytes are read all the same, because the digest has to be compared.
            fill(&mut std::io::sink())
        } else if machine.sync {
            direct_io::write(&new.file, fill).and_then(|done| done)
        } else {
            fill(&mut &new.file)
        };
        let is_whole = unless_cancelled(cancel, copied.map_err(Error::io("write", path)))?;
        report_lookup(is_whole);
        if !is_whole {
            return Ok(None);
        }
        new.sync(machine.sync, path)?;
        new.publish(path, machine.sync)?;
    } else {
        report_lookup(true);
        let mut out = StoppableWriter { inner: std::io::stdout().lock(), cancel };
        let copied = stored.copy_to(&mut out).and_then(|_| out.flush());
        unless_cancelled(cancel, copied.map_err(Error::Stdout))?;
    }
    let Notes { packages, deb_bytes, file_bytes, archive_bytes, image, digest } = notes;
    Ok(Some(Summary { packages, deb_bytes, file_bytes, archive_bytes, image, digest, ..Summary::default() }))
}

/// Keeps `archive`, the file that was just published, whatever is at its path by now. `sync` is whether this may wait for the disk.
pub(crate) fn keep(entry: &Entry, archive: &File, summary: &Summary, sync: bool) -> Result<(), Error> {
    let &Summary { packages, deb_bytes, file_bytes, archive_bytes, .. } = summary;
    let (image, digest) = (summary.image.clone(), summary.digest.clone());
    let notes = Notes { packages, deb_bytes, file_bytes, archive_bytes, image, digest };
    let notes = serde_json::to_vec(&notes).unwrap_or_default();
    let failed = || Error::io("keep", Path::new("the finished archive"));
    entry.create()?.keep_copy(archive, &notes, sync).map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_configure::privilege::Janitor;
    use rootstrap_testkit::{HostileClass, hostile_case};
    use std::io::Read;

    /// Whoever owns the directory of the target can replace the archive as soon as it has its name.
    #[test]
    fn what_replaces_a_published_archive_is_not_kept() {
        hostile_case(HostileClass::Host, "the archive is replaced before it is kept in the cache");
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("root.tar");
        let mut new = NewFile::create(place.path(), &Janitor::default()).unwrap();
        new.file.write_all(b"ours").unwrap();
        let published = new.publish(&path, false).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "theirs").unwrap();
        let cache = Cache::open(Some(&place.path().join("cache")), place.path()).unwrap();
        let entry = Entry::new(&cache, DIRECTORY, &KeyBuilder::new("test", &[0; 32]).finish());
        keep(&entry, &published.file, &Summary::default(), true).unwrap();
        let mut kept = String::new();
        entry.find().unwrap().payload().unwrap().read_to_string(&mut kept).unwrap();
        assert_eq!(kept, "ours");
    }
}
