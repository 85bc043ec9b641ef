//! The debs of a root before anything is made of them: in the cache and the store behind it, as files, and as one archive.

use crate::archive::{self, ArchiveOptions, locked};
use crate::error::Error;
use crate::event::{Event, Report, Stage};
use crate::lock::{self, LockInUse, Upgrade};
use crate::own_suite;
use crate::request::{LockChoice, Request};
use crate::staging::downloads::Downloads;
use crate::staging::hidden::HiddenDirectory;
use crate::staging::new_file::NewFile;
use crate::staging::place::parent;
use rootstrap_fetch::VerifiedDeb;
use rootstrap_image::compress::Algorithm;
use rootstrap_image::tar;
use rootstrap_lock::Lock;
use rootstrap_resolve::{Plan, Planned};
use rootstrap_rootfs::{Attributes, Root, Visit};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Where apt keeps debs.
const DEBS: &str = "var/cache/apt/archives";
/// The lock in an archive of debs.
const LOCK: &str = "debootstrap/rootstrap.lock";
/// The directory of an unpacked archive that is laid out as a mirror.
const MIRROR: &str = "mirror";

/// Takes a package of a plan and its deb.
type Take<'a> = &'a mut dyn FnMut(&Planned, &VerifiedDeb) -> Result<(), Error>;

/// Fetches all debs that `request` needs.
///
/// # Errors
/// As for [`plan`](crate::plan()); a deb cannot be fetched or verified.
pub fn download(request: &Request, report: Report<'_>) -> Result<(), Error> {
    fetch(request, report, &mut |_, _| Ok(()))
}

/// Fetches all debs that `request` needs, and puts them below `directory`, where the apt of a root in it finds them. Returns the plan's
/// packages.
///
/// # Errors
/// As for [`download`]; a file cannot be written.
pub fn download_to(request: &Request, directory: &Path, report: Report<'_>) -> Result<(), Error> {
    std::fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    copy_debs(request, &Root::open(directory)?, report)
}

/// Fetches all debs that `request` needs, and puts them into the archive `path`, which is replaced, with the lock that a later build
/// from it goes by: a tar compressed with gzip, with the directories that debootstrap's archives have.
///
/// # Errors
/// As for [`download_to`]; the request cannot be locked.
pub fn pack_debs(request: &Request, path: &Path, report: Report<'_>) -> Result<(), Error> {
    let machine = &request.machine;
    let lock = lock::decide(request, None, &Upgrade::All, report)?;
    let place = HiddenDirectory::create(parent(path), "debs".as_ref(), &machine.janitor)?;
    let (root, text, epoch) = (place.root()?, lock.to_text(), lock.epoch);
    let mut request = request.clone();
    let lock = Some(Arc::new(lock));
    request.sources.lock = Some(LockChoice { path: path.to_owned(), lock, frozen: true });
    copy_debs(&request, &root, report)?;
    root.create_directories(b"debootstrap", 0o755)?;
    root.write(LOCK.as_bytes(), text.as_bytes(), 0o644)?;
    let new = NewFile::create(parent(path), &machine.janitor)?;
    let mut out = BufWriter::with_capacity(1 << 20, &new.file);
    let plain = |visit: &Visit<'_>| Attributes { uid: 0, gid: 0, ..visit.metadata.attributes };
    let options = tar::Options {
        compression: Algorithm::Gzip.into(),
        attributes: Some(&plain),
        dev: tar::Dev::Kept,
        ..tar::Options::new(epoch)
    };
    tar::write(&root, &mut out, &options)?;
    out.flush().map_err(Error::io("write", path))?;
    drop(out);
    new.sync(machine.sync, path)?;
    new.publish(path, machine.sync).map(drop)
}

/// An unpacked archive of debs, which lasts as long as this.
pub struct UnpackedDebs {
    _place: HiddenDirectory,
}

/// Unpacks an archive that [`pack_debs`] made, and has `request` take its packages from it, and from nowhere else.
///
/// # Errors
/// The archive cannot be read, or is none of this kind.
pub fn unpack_debs(request: &mut Request, path: &Path) -> Result<UnpackedDebs, Error> {
    let bad = |reason: String| Error::InputFile { path: path.display().to_string(), reason };
    let machine = &request.machine;
    let place = HiddenDirectory::create(&machine.temporary, "debs".as_ref(), &machine.janitor)?;
    let root = place.root()?;
    let file = File::open(path).map_err(Error::io("read", path))?;
    rootstrap_unpack::archive::extract(file, &root, &machine.cancel).map_err(|error| bad(error.io().to_string()))?;
    let text = root.read(LOCK.as_bytes())?.ok_or_else(|| {
        bad(format!("it has no {LOCK}: `rootstrap debootstrap --make-tarball` makes archives that have one"))
    })?;
    let lock = Lock::parse(&String::from_utf8_lossy(&text))
        .map_err(|source| Error::LockFile { path: path.to_owned(), source })?;
    for package in lock.platforms.iter().flat_map(|platform| &platform.packages) {
        let (name, to) =
            (file_name(&package.name, &package.version, &package.architecture), mirror_path(&package.path));
        root.create_directories(rootstrap_rootfs::path::parent(to.as_bytes()), 0o755)?;
        root.at(format!("{DEBS}/{name}").as_bytes())?.rename_to(&root.at(to.as_bytes())?)?;
    }
    let mirror = format!("file:{}", place.path().join(MIRROR).display());
    request.sources.further_mirrors.push(mirror);
    let lock = Some(Arc::new(lock));
    request.sources.lock = Some(LockChoice { path: path.to_owned(), lock, frozen: true });
    request.machine.offline = true;
    Ok(UnpackedDebs { _place: place })
}

fn mirror_path(path: &str) -> String {
    format!("{MIRROR}/{path}")
}

/// Puts the debs of a request where apt keeps them in `root`.
fn copy_debs(request: &Request, root: &Root, report: Report<'_>) -> Result<(), Error> {
    root.create_directories(DEBS.as_bytes(), 0o755)?;
    fetch(request, report, &mut |planned, deb| {
        let name = file_name(&planned.name, &planned.version, &planned.architecture);
        let path = format!("{DEBS}/{name}");
        let failed = || Error::io("copy", Path::new(&path));
        let mut from = deb.open().ok_or_else(|| failed()(io::Error::other("the cache has lost it")))?;
        let place = root.at(path.as_bytes())?;
        place.remove()?;
        io::copy(&mut from, &mut place.create_file()?).map_err(failed())?;
        Ok(place.set_mode(0o644)?)
    })
}

/// Returns the name that apt gives a deb.
fn file_name(name: &str, version: &str, architecture: &str) -> String {
    format!("{name}_{}_{architecture}.deb", version.replace(':', "%3a"))
}

/// Fetches the debs of all architectures of a request.
fn fetch(request: &Request, report: Report<'_>, take: Take<'_>) -> Result<(), Error> {
    let request = &own_suite::settle(request, report)?;
    let suite = archive::find_suite(&request.sources)?;
    let (request, lock) = lock::apply(request, &suite, report)?;
    for request in request.platforms() {
        let Request { selection, sources, machine, .. } = &request;
        report(Event::Stage(Stage::Indexes));
        let downloads = Downloads::create(machine)?;
        let options =
            ArchiveOptions { selection, sources, machine, suite: &suite, cache: &downloads.path(machine), report };
        let (archive, plan): (_, Plan) = match &lock {
            Some(LockInUse { lock, path }) => {
                (archive::open_locked(&options, lock, path)?, locked::plan(lock, &selection.architecture, path)?)
            }
            None => {
                let archive = archive::open(&options)?;
                report(Event::Stage(Stage::Plan));
                let plan = archive.plan(selection, &suite, BTreeMap::new(), report)?;
                (archive, plan)
            }
        };
        let packages: Vec<&Planned> = plan.packages().map(|(_, package)| package).collect();
        let report = |event| report(Event::Fetch(event));
        let mut result = Ok(());
        archive.session.debs(&archive.wanted(&plan), &report, &mut |number, deb| {
            result = packages.get(number).map_or(Ok(()), |package| take(package, &deb));
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result?;
    }
    Ok(())
}
