//! `rootstrap image`: a root filesystem that is there, whoever made it, in any form that a bootstrapped one can have.

use crate::event::{Report, Stage};
use crate::publish::{Finished, unless_cancelled};
use crate::recipe::{publish, raise_descriptor_limit};
use crate::staging::Staging;
use crate::{Error, Event, Request, Summary, Target, container, hidden, manifest, target};
use rootstrap_configure::privilege::{self, Mode};
use rootstrap_image::oci::Platform;
use rootstrap_image::{extract, tar};
use rootstrap_rootfs::{Aside, Attributes, Kind, Metadata, Root, Visit, walk};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What an archive may grow to by being unpacked, for the choice of where to unpack it.
const USUAL_RATIO: u64 = 4;

/// Program headers are at the beginning, whoever links.
const HEADERS: u64 = 64 << 10;

/// The last second of the year 9999.
const LATEST: i64 = 253_402_300_799;

/// What the kernel shows in place of an owner that a user namespace has no number for (user_namespaces(7)).
const NOBODY: u32 = 65534;

/// What an image can be made of.
enum Source {
    Directory(Root),
    /// With the length of the file, 0 where that is not known.
    Archive(Box<dyn Read + Send>, u64),
    Program(File),
}

/// Makes what `request` asks for of the directory, the tar archive (`-` is standard input) or the program at `source`.
/// What concerns packages and suites does not count in the request. Call [`privilege::enter`](crate::privilege::enter)
/// before; a directory can do without, if everything in it may be read.
///
/// # Errors
/// As for [`bootstrap`](crate::bootstrap).
pub fn image(source: &Path, request: &Request, report: Report<'_>) -> Result<Summary, Error> {
    let given = request.target.clone();
    let mut request = Request { target: target::resolve(&given)?, image: request.makes_image(), ..request.clone() };
    for path in target::places(&request).iter().flat_map(|place| hidden::sweep(place)) {
        report(Event::Note(format!("removed {}, left by a run that was killed", path.display())));
    }
    let found = open(source, &request.cancel)?;
    target::check(&request, &given)?;
    target::check_outside(&request, source, &given)?;
    if let (Mode::Single, Target::Directory(path)) = (privilege::held(), &request.target) {
        manifest::check(path)?;
    }
    let names = container::names(&request, None)?;

    report(Event::Stage(Stage::Source));
    // Each directory on the way to a file is open.
    raise_descriptor_limit();
    let of_host = matches!(found, Source::Directory(_));
    let (staging, root);
    let place = match found {
        Source::Directory(found) => {
            root = found;
            None
        }
        Source::Archive(input, size) => {
            staging = Staging::create(&request, size.saturating_mul(USUAL_RATIO), report)?;
            root = in_staging(&staging, &request)?;
            let extracted = extract::extract(input, &root, &request.cancel).map_err(Error::from);
            unless_cancelled(&request.cancel, extracted)?;
            Some(&staging)
        }
        Source::Program(file) => {
            staging = Staging::create(&request, 0, report)?;
            root = in_staging(&staging, &request)?;
            put_program(file, source, &mut request, &root)?;
            Some(&staging)
        }
    };
    let newest = inspect(&root, source, of_host)?;
    let epoch = request.epoch.unwrap_or(newest);
    let attributes = |visit: &Visit<'_>| attributes(visit, epoch, of_host);
    let is_directory = |found: Metadata| found.kind == Kind::Directory;
    let dev = match request.image && root.metadata(b"dev")?.is_some_and(is_directory) {
        true => tar::Dev::Empty,
        false => tar::Dev::Kept,
    };
    let finished = Finished { root: &root, staging: place, epoch, dev, attributes: Some(&attributes) };

    report(Event::Stage(Stage::Publish));
    let mut summary = Summary { target: given, ..Summary::default() };
    let mut images = Vec::new();
    if request.makes_image() {
        let architecture = match request.architecture.clone() {
            Some(architecture) => architecture,
            // Without a program, an image is for whoever makes it.
            None => match Platform::find_debian(&root)? {
                Some(found) => found,
                None => request.architecture()?.to_owned(),
            },
        };
        images.push(container::pack(&finished, &request, &architecture, "rootstrap image")?);
        summary.architectures.push(architecture);
    }
    let root = request.target.layer().is_none().then_some(finished);
    publish(images, &names, root, &request, epoch, &mut summary, report)?;
    Ok(summary)
}

/// Whether a program is started by another one, which brings its libraries (elf(5), PT_INTERP), or is none at all.
fn needs_others(file: &mut File) -> std::io::Result<bool> {
    let mut head = Vec::new();
    file.by_ref().take(HEADERS).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(!rootstrap_configure::binfmt::is_static(&head))
}

fn open(source: &Path, cancel: &Arc<AtomicBool>) -> Result<Source, Error> {
    let patient = |input: File| Source::Archive(Box::new(Patient { input, cancel: cancel.clone() }), 0);
    if source.as_os_str() == "-" {
        let input = std::io::stdin().as_fd().try_clone_to_owned().map_err(Error::io("open", source))?;
        return Ok(patient(input.into()));
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
        return Ok(patient(file));
    }
    let mut magic = Vec::new();
    (&file).take(4).read_to_end(&mut magic).map_err(Error::io("read", source))?;
    file.rewind().map_err(Error::io("read", source))?;
    Ok(if magic == b"\x7fELF" { Source::Program(file) } else { Source::Archive(Box::new(file), metadata.len()) })
}

/// A pipe in which nothing may ever come: it is given up when the run is called off.
struct Patient {
    input: File,
    cancel: Arc<AtomicBool>,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let often = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        while !self.cancel.load(Ordering::Relaxed) {
            match poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&often)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.input.read(buffer),
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(std::io::Error::other("interrupted"))
    }
}

/// The root in staging. Owners go aside where a user namespace has not all of them: an archive may name any.
fn in_staging(staging: &Staging, request: &Request) -> Result<Root, Error> {
    let root = staging.root.plain()?;
    Ok(match privilege::held() {
        Mode::Root => root,
        Mode::Unshare | Mode::Chroot if !matches!(request.target, Target::Directory(_)) => {
            root.keeping(Arc::new(Aside::new(true)))
        }
        _ => root.keeping(staging.root.aside().cloned().unwrap_or_default()),
    })
}

/// A program that needs no other file is the whole tree, and what its container runs.
fn put_program(mut file: File, source: &Path, request: &mut Request, root: &Root) -> Result<(), Error> {
    if needs_others(&mut file).map_err(Error::io("read", source))? {
        return Err(Error::Source {
            path: source.to_owned(),
            reason: "it is a program that needs shared libraries".to_owned(),
            hint: "link it statically, or give a directory that has them too (--variant=distroless makes one)",
        });
    }
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
fn inspect(root: &Root, source: &Path, of_host: bool) -> Result<i64, Error> {
    let mut newest = 0;
    if root.metadata(b"oci-layout")?.is_some() || is_docker_archive(root)? {
        return Err(Error::Source {
            path: source.to_owned(),
            reason: "it is an image already".to_owned(),
            hint: "give the root filesystem in it: umoci unpack, or docker export of a container",
        });
    }
    walk::<Error>(root, &mut |visit| {
        let of = visit.metadata.attributes;
        let refuse = |reason: &str, hint| {
            let path = source.join(std::ffi::OsStr::from_bytes(visit.path));
            Err(Error::Source { path, reason: reason.to_owned(), hint })
        };
        if of_host && !visit.path.is_empty() && visit.is_mount_point() {
            return refuse("something is mounted there", "unmount it first");
        }
        if of_host && of.uid == NOBODY && privilege::held() != Mode::Root && visit.belongs_to_nobody_here() {
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
    // Later, and before 1970, no date has four digits for its year.
    Ok(newest.clamp(0, LATEST))
}

/// What `docker save` writes has no other way to say so.
fn is_docker_archive(root: &Root) -> Result<bool, Error> {
    let layers = |text: Vec<u8>| text.windows(8).any(|window| window == b"\"Layers\"");
    Ok(root.metadata(b"manifest.json")?.is_some() && root.read(b"manifest.json")?.is_some_and(layers))
}

/// What an archive says of an entry.
fn attributes(visit: &Visit<'_>, epoch: i64, of_host: bool) -> Attributes {
    let mut of = visit.metadata.attributes;
    // Wherever the tree lies, its top is the root directory of a system.
    if visit.path.is_empty() {
        return Attributes { mode: 0o755, uid: 0, gid: 0, mtime: epoch };
    }
    if !of_host {
        return of;
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
