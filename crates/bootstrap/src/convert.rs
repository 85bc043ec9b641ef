//! `rootstrap image`: a root filesystem that is there, whoever made it, in any form that a bootstrapped one can have.

use crate::event::{Report, Stage};
use crate::publish::{Finished, unless_cancelled};
use crate::recipe::publish;
use crate::staging::Staging;
use crate::{Error, Event, Request, Summary, Target, container, hidden, manifest, target};
use rootstrap_configure::privilege::{self, Mode};
use rootstrap_image::oci::Platform;
use rootstrap_image::{extract, tar};
use rootstrap_rootfs::{Attributes, Kind, Root, Visit, walk};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What an archive may grow to by being unpacked, for the choice of where to unpack it.
const USUAL_RATIO: u64 = 4;

/// What the kernel shows in place of an owner that a user namespace has no number for (user_namespaces(7)).
const NOBODY: u32 = 65534;

/// Makes what `request` asks for of the directory, the tar archive (`-` is standard input) or the program at `source`.
/// What concerns packages and suites does not count in the request. Call [`privilege::enter`](crate::privilege::enter)
/// before; a directory can do without, if everything in it may be read.
///
/// # Errors
/// As for [`bootstrap`](crate::bootstrap).
pub fn image(source: &Path, request: &Request, report: Report<'_>) -> Result<Summary, Error> {
    let mut published = false;
    let result = convert(source, request, report, &mut published);
    if result.is_err() && !published {
        crate::break_off(request);
    }
    result
}

/// What an image can be made of.
enum Source {
    Directory(Root),
    /// With the length of the file, 0 where that is not known.
    Archive(Box<dyn Read + Send>, u64),
    Program(File),
}

fn convert(source: &Path, request: &Request, report: Report<'_>, publishing: &mut bool) -> Result<Summary, Error> {
    let given = request.target.clone();
    let mut request = Request { target: target::resolve(&given)?, image: request.makes_image(), ..request.clone() };
    for path in target::places(&request).iter().flat_map(|place| hidden::sweep(place)) {
        report(Event::Note(format!("removed {}, left by a run that was killed", path.display())));
    }
    let found = open(source)?;
    target::check(&request, &given)?;
    target::check_outside(&request, source, &given)?;
    if let (Mode::Single, Target::Directory(path)) = (privilege::held(), &request.target) {
        manifest::check(path)?;
    }
    let names = container::names(&request, None)?;

    report(Event::Stage(Stage::Unpack));
    let (staging, directory);
    let (root, grown) = match found {
        Source::Directory(found) => {
            directory = found;
            (&directory, None)
        }
        Source::Archive(input, size) => {
            staging = Staging::create(&request, size.saturating_mul(USUAL_RATIO), report)?;
            let extracted = extract::extract(input, &staging.root, &request.cancel).map_err(Error::from);
            unless_cancelled(&request.cancel, extracted)?;
            (&staging.root, staging.grown())
        }
        Source::Program(file) => {
            staging = Staging::create(&request, 0, report)?;
            put_program(file, source, &mut request, &staging.root)?;
            (&staging.root, staging.grown())
        }
    };
    let newest = inspect(root, source)?;
    let epoch = request.epoch.unwrap_or(newest);
    let attributes = |visit: &Visit<'_>| attributes(visit, epoch);
    let dev = if request.image && root.metadata(b"dev")?.is_some() { tar::Dev::Empty } else { tar::Dev::Kept };
    let finished = Finished { root, grown, epoch, dev, attributes: Some(&attributes) };

    report(Event::Stage(Stage::Publish));
    let mut summary = Summary { target: given, ..Summary::default() };
    let mut images = Vec::new();
    if request.makes_image() {
        let found = Platform::find_debian(root)?.map(str::to_owned);
        let architecture = match request.architecture.clone().or(found) {
            Some(architecture) => architecture,
            None => request.architecture()?.to_owned(),
        };
        images.push(container::pack(&finished, &request, &architecture, "rootstrap image")?);
        summary.architectures.push(architecture);
    }
    let root = request.target.layer().is_none().then_some(finished);
    publish(images, &names, root, &request, epoch, &mut summary, publishing, report)?;
    Ok(summary)
}

fn open(source: &Path) -> Result<Source, Error> {
    if source.as_os_str() == "-" {
        return Ok(Source::Archive(Box::new(std::io::stdin()), 0));
    }
    let metadata = std::fs::metadata(source).map_err(Error::io("open", source))?;
    if metadata.is_dir() {
        // Under its true name the list of owners is found beside it.
        let path = std::fs::canonicalize(source).map_err(Error::io("find", source))?;
        return Ok(Source::Directory(manifest::apply(Root::open(&path)?, &path)?));
    }
    let mut file = File::open(source).map_err(Error::io("open", source))?;
    if !metadata.is_file() {
        // A pipe, as shells make of `<(…)`.
        return Ok(Source::Archive(Box::new(file), 0));
    }
    let mut magic = Vec::new();
    (&file).take(4).read_to_end(&mut magic).map_err(Error::io("read", source))?;
    file.rewind().map_err(Error::io("read", source))?;
    Ok(if magic == b"\x7fELF" { Source::Program(file) } else { Source::Archive(Box::new(file), metadata.len()) })
}

/// A program that needs no other file is the whole tree, and what its container runs.
fn put_program(mut file: File, source: &Path, request: &mut Request, root: &Root) -> Result<(), Error> {
    let name = source.file_name().unwrap_or_default();
    let place = root.at(name.as_bytes())?;
    let mut copy = place.create_file()?;
    std::io::copy(&mut file, &mut copy).map_err(Error::io("copy", source))?;
    drop(copy);
    place.set_attributes(Attributes { mode: 0o755, uid: 0, gid: 0, mtime: request.epoch.unwrap_or(0) })?;
    let container = &mut request.container;
    if container.entrypoint.is_none() && container.cmd.is_none() {
        container.entrypoint = Some(vec![format!("/{}", name.to_string_lossy())]);
    }
    Ok(())
}

/// Refuses a tree that cannot be read as it is meant. Returns the time of the newest file; directories do not count, which
/// are new wherever a tree was copied to.
fn inspect(root: &Root, source: &Path) -> Result<i64, Error> {
    let mut newest = 0;
    walk::<Error>(root, &mut |visit| {
        let of = visit.metadata.attributes;
        let refuse = |reason: &str, hint| {
            let path = source.join(std::ffi::OsStr::from_bytes(visit.path));
            Err(Error::Source { path, reason: reason.to_owned(), hint })
        };
        if !visit.path.is_empty() && visit.metadata.kind == Kind::Directory && visit.is_mount_point() {
            return refuse("something is mounted there", "unmount it first");
        }
        if of.uid == NOBODY && privilege::held() != Mode::Root && visit.belongs_to_nobody_here() {
            return refuse(
                "it belongs to a user that this user namespace does not know",
                "run it as root, or as the user who made the tree",
            );
        }
        if visit.metadata.kind != Kind::Directory {
            newest = newest.max(of.mtime);
        }
        Ok(true)
    })?;
    Ok(newest)
}

/// What an archive says of an entry.
fn attributes(visit: &Visit<'_>, epoch: i64) -> Attributes {
    let mut of = visit.metadata.attributes;
    // Wherever the tree lies, its top is the root directory of a system.
    if visit.path.is_empty() {
        return Attributes { mode: 0o755, uid: 0, gid: 0, mtime: epoch };
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // Without any rights, what is the caller's own is root's.
    if uid != 0 && of.uid == uid {
        of.uid = 0;
    }
    // A group that the namespace has no number for cannot be meant.
    if gid != 0 && of.gid == gid || privilege::held() != Mode::Root && of.gid == NOBODY && of.uid != NOBODY {
        of.gid = 0;
    }
    of
}
