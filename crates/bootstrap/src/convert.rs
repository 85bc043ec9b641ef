//! `rootstrap image`: an existing root filesystem, whoever made it, in any form that a bootstrapped one can have.

use crate::compare::{extract_image, image_size};
use crate::error::{Error, refuse, unless_cancelled};
use crate::event::{Event, Report, Stage};
use crate::publish::target::{self, NewParents};
use crate::publish::{FinishedRoot, Publication, RootOptions, Summary, container, mtree, publish, push};
use crate::request::{Machine, Output, Target, native_architecture};
use crate::staging::Staging;
use crate::staging::hidden;
use rootstrap_configure::privilege::Mode;
use rootstrap_image::oci::Platform;
use rootstrap_image::tar;
use rootstrap_rootfs::{Attributes, FakeOwnership, Kind, Metadata, Root, Visit, walk};
use rootstrap_unpack::archive;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many times its size an archive may take when it is unpacked. This decides where it is unpacked.
const USUAL_RATIO: u64 = 4;

/// The bytes at the beginning of a program that hold its program headers, whichever linker made it.
const HEADERS: u64 = 64 << 10;

/// The last second of the year 9999.
const LATEST: i64 = 253_402_300_799;

/// The owner that the kernel shows for an owner that the user namespace has no number for (user_namespaces(7)).
const NOBODY: u32 = 65534;

/// The bytes at the beginning of a file that say what it is: the name of the first entry of a tar archive, and more.
const MAGIC: u64 = 128;

/// What an image can be made of.
enum Source {
    Directory(Root),
    /// A container image in a directory or an archive, and the length of its file.
    Image(u64),
    /// An archive, and the length of its file, or 0 where the length is not known.
    Archive(Box<dyn Read + Send>, u64),
    Program(File),
}

/// Makes what `output` asks for from the directory, the tar or cpio archive (`-` is standard input), the container image or the program at
/// `source`. Of an image, the tree is taken, and not its settings; of several platforms, that of `architecture` or of this machine. `architecture` is
/// the Debian architecture of the image; `None` takes that of the first program in the tree. The caller has to obtain the rights first,
/// with [`privilege::enter`](crate::privilege::enter). No rights are needed for a directory of which the caller can read everything.
///
/// # Errors
/// As for [`bootstrap`](crate::bootstrap).
pub fn image(
    source: &Path,
    architecture: Option<&str>,
    output: &Output,
    machine: &Machine,
    report: Report<'_>,
) -> Result<Summary, Error> {
    output.check(architecture)?;
    let given = output.target.clone();
    let parents = NewParents::make(&given)?;
    let mut output = Output { target: target::resolve(&given)?, ..output.clone() };
    for path in target::hidden_places(&output, machine).iter().flat_map(|place| hidden::sweep(place)) {
        report(Event::Note(format!("removed {}, left by a run that was killed", path.display())));
    }
    let found = take_architecture(open(source, &machine.cancel)?, architecture, &output)?;
    target::check(&output, &given, machine, true)?;
    target::check_outside(&output.target, source, &given)?;
    if let (Mode::Single, Target::Directory(path)) = (machine.mode, &output.target) {
        mtree::check(path)?;
    }
    push::check(&output.push, machine, report)?;
    let names = container::names(&output, None)?;

    report(Event::Stage(Stage::Source));
    let tree = read((found, source), architecture, &mut output, machine, report)?;
    let Tree { root, staging, of_host } = &tree;
    let newest = inspect(root, source, *of_host, machine.mode)?;
    let epoch = output.epoch.unwrap_or(newest);
    let attributes = |visit: &Visit<'_>| attributes(visit, epoch, *of_host, machine.mode);
    let is_directory = |found: Metadata| found.kind == Kind::Directory;
    let is_layer = output.makes_image();
    let dev = match is_layer && root.metadata(b"dev")?.is_some_and(is_directory) {
        true => tar::Dev::Empty,
        false => tar::Dev::Kept,
    };
    let options = RootOptions { epoch, dev, is_layer, threads: machine.budget.threads() };
    let finished = FinishedRoot { attributes: Some(&attributes), ..FinishedRoot::new(root, staging.as_ref(), options) };

    report(Event::Stage(Stage::Publish));
    let (mut images, mut architectures) = (Vec::new(), Vec::new());
    if is_layer {
        let architecture = architecture_of(root, architecture, machine)?;
        images.push(container::pack(&finished, &output, machine, (&architecture, None), "rootstrap image")?);
        architectures.push(architecture);
    }
    let root = output.target.layer().is_none().then_some(finished);
    let published = publish(Publication { images, names: &names, root, epoch }, &output, machine, report)?;
    parents.keep();
    Ok(Summary {
        target: given,
        architectures,
        tags: container::tags(&output, &names),
        image: published.image,
        digest: published.digest,
        archive_bytes: published.archive_bytes,
        pushed: published.pushed,
        limits: published.limits,
        ..Summary::default()
    })
}

/// Returns the source, unless the architecture chooses nothing of it and is written nowhere.
fn take_architecture(found: Source, architecture: Option<&str>, output: &Output) -> Result<Source, Error> {
    if architecture.is_none() || output.makes_image() || matches!(found, Source::Image(_)) {
        return Ok(found);
    }
    let hint = "leave it out: of a container image, it says which tree is taken, and a new image has it as a setting";
    refuse("--arch", "there is nothing to choose, and TARGET is no container image", hint).map(|()| found)
}

/// A tree to be packed.
struct Tree {
    root: Root,
    /// The staging area, unless the tree is a directory of the host.
    staging: Option<Staging>,
    of_host: bool,
}

/// Brings a source into the form of a tree. A program becomes the entrypoint of `output`.
fn read(
    (found, source): (Source, &Path),
    architecture: Option<&str>,
    output: &mut Output,
    machine: &Machine,
    report: Report<'_>,
) -> Result<Tree, Error> {
    let stage = |bytes: u64| -> Result<(Root, Staging), Error> {
        let staging = Staging::create(machine, &output.target, true, bytes, report)?;
        Ok((in_staging(&staging, &output.target, machine.mode)?, staging))
    };
    match found {
        Source::Image(_) if output.makes_image() => Err(already(source)),
        Source::Image(size) => {
            let (root, staging) = stage(size.saturating_mul(USUAL_RATIO))?;
            let wanted = architecture.map_or_else(|| native_architecture(&machine.host.machine), Ok)?;
            let wanted = Platform::of_debian(wanted).map_or("", |platform| platform.architecture);
            let is_image =
                extract_image(source, &root, (wanted, architecture.is_some()), &machine.cancel).map_err(|error| {
                    match error {
                        Error::NotComparable { path, reason } => Error::Source {
                            path,
                            reason,
                            hint: "name an image of one layer that has this architecture",
                        },
                        error => error,
                    }
                });
            if !is_image? {
                let file = File::open(source).map_err(Error::io("open", source))?;
                extract(Box::new(file), &root, source, machine)?;
            }
            Ok(Tree { root, staging: Some(staging), of_host: false })
        }
        Source::Directory(root) => Ok(Tree { root, staging: None, of_host: true }),
        Source::Archive(input, size) => {
            let (root, staging) = stage(size.saturating_mul(USUAL_RATIO))?;
            extract(input, &root, source, machine)?;
            Ok(Tree { root, staging: Some(staging), of_host: false })
        }
        Source::Program(file) => {
            let (root, staging) = stage(0)?;
            put_program(file, source, output, &root)?;
            Ok(Tree { root, staging: Some(staging), of_host: false })
        }
    }
}

/// Unpacks an archive, whose name is for messages.
fn extract(input: Box<dyn Read + Send>, root: &Root, name: &Path, machine: &Machine) -> Result<(), Error> {
    let extracted = archive::extract(input, root, &machine.cancel).map_err(|error| match error {
        archive::Error::Archive(source) => Error::SourceArchive { path: name.to_owned(), source },
        error => error.into(),
    });
    unless_cancelled(&machine.cancel, extracted)
}

/// Returns the architecture of the image: the one asked for, that of a program in the tree, or the machine's own.
fn architecture_of(root: &Root, asked: Option<&str>, machine: &Machine) -> Result<String, Error> {
    if let Some(architecture) = asked {
        return Ok(architecture.to_owned());
    }
    match Platform::find_debian(root)? {
        Some(found) => Ok(found),
        None => native_architecture(&machine.host.machine).map(str::to_owned),
    }
}

/// Returns whether a program needs a loader and libraries (elf(5), PT_INTERP), or is no program at all.
fn needs_others(file: &mut File) -> std::io::Result<bool> {
    let mut head = Vec::new();
    file.by_ref().take(HEADERS).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(!rootstrap_configure::binfmt::is_static(&head))
}

fn open(source: &Path, cancel: &Arc<AtomicBool>) -> Result<Source, Error> {
    let patient = |input: File| Source::Archive(Box::new(PatientReader { input, cancel: cancel.clone() }), 0);
    if source.as_os_str() == "-" {
        let input = std::io::stdin().as_fd().try_clone_to_owned().map_err(Error::io("open", source))?;
        return Ok(patient(input.into()));
    }
    let metadata = std::fs::metadata(source).map_err(Error::io("open", source))?;
    if metadata.is_dir() && source.join("oci-layout").exists() && source.join("index.json").exists() {
        return Ok(Source::Image(image_size(source, 0)));
    }
    if metadata.is_dir() {
        // The list of owners lies beside the true name of the directory.
        let path = std::fs::canonicalize(source).map_err(Error::io("find", source))?;
        return Ok(Source::Directory(mtree::apply(Root::open(&path)?, &path)?));
    }
    let mut file = File::open(source).map_err(Error::io("open", source))?;
    if !metadata.is_file() {
        // A pipe, which shells make from `<(…)`.
        return Ok(patient(file));
    }
    let mut magic = Vec::new();
    (&file).take(MAGIC).read_to_end(&mut magic).map_err(Error::io("read", source))?;
    file.rewind().map_err(Error::io("read", source))?;
    Ok(match magic.as_slice() {
        head if head.starts_with(b"\x7fELF") => Source::Program(file),
        head if begins_as_image(head) => Source::Image(metadata.len()),
        _ => Source::Archive(Box::new(file), metadata.len()),
    })
}

/// Returns whether a tar archive begins with a name that archives of container images begin with. Only such archives are read to find out.
fn begins_as_image(head: &[u8]) -> bool {
    let name = head.split(|&byte| byte == 0).next().unwrap_or_default();
    let is_known = [&b"oci-layout"[..], b"index.json", b"manifest.json", b"repositories"].contains(&name);
    let digits = name.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    name.len() <= 100 && (is_known || name.starts_with(b"blobs/") || digits == 64)
}

/// Reads from a pipe to which perhaps nobody ever writes. Reading ends when the run is cancelled.
struct PatientReader {
    input: File,
    cancel: Arc<AtomicBool>,
}

impl Read for PatientReader {
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

/// Returns the root in the staging area. Owners are faked where a user namespace lacks some, because an archive may name any owner.
fn in_staging(staging: &Staging, target: &Target, mode: Mode) -> Result<Root, Error> {
    let root = staging.root.without_fake_ownership();
    Ok(match mode {
        Mode::Root => root,
        Mode::Unshare | Mode::Chroot if !matches!(target, Target::Directory(_)) => {
            root.with_fake_ownership(Arc::new(FakeOwnership::new(true)))
        }
        _ => root.with_fake_ownership(staging.root.fake_ownership().cloned().unwrap_or_default()),
    })
}

/// Puts a program that needs no other file into the empty tree, and makes it the program of the container.
fn put_program(mut file: File, source: &Path, output: &mut Output, root: &Root) -> Result<(), Error> {
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
    place.set_attributes(Attributes { mode: 0o755, uid: 0, gid: 0, mtime: output.epoch.unwrap_or(0) })?;
    let container = &mut output.container;
    if container.entrypoint.is_none() && container.cmd.is_none() {
        container.entrypoint = Some(vec![format!("/{}", name.to_string_lossy())]);
    }
    Ok(())
}

/// An image has settings that an image of its tree would not have.
fn already(source: &Path) -> Error {
    Error::Source {
        path: source.to_owned(),
        reason: "it is an image already".to_owned(),
        hint: "skopeo copy, docker tag and crane mutate change images; its tree becomes an archive, a filesystem or a directory here",
    }
}

/// Refuses a tree of which an image would be wrong: one that is an image itself, has something mounted in it, or has owners that cannot
/// be told apart. Returns the time of the newest file. Directories do not count, because copying a tree gives them new times.
fn inspect(root: &Root, source: &Path, of_host: bool, mode: Mode) -> Result<i64, Error> {
    let mut newest = 0;
    if root.metadata(b"oci-layout")?.is_some() || is_docker_archive(root)? {
        return Err(already(source));
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
        if of_host && of.uid == NOBODY && mode != Mode::Root && visit.belongs_to_nobody_here() {
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
    // A directory was named as it is. An archive without a file is rather something else.
    if !of_host && root.list(b"")?.is_empty() {
        return Err(Error::Source {
            path: source.to_owned(),
            reason: "there is no file in it".to_owned(),
            hint: "name an archive with a root filesystem, or an empty directory",
        });
    }
    // Dates are written with four digits for the year.
    Ok(newest.clamp(0, LATEST))
}

/// Returns whether the tree is an unpacked archive of `docker save`. Such an archive has no better mark than its `manifest.json`.
fn is_docker_archive(root: &Root) -> Result<bool, Error> {
    let layers = |text: Vec<u8>| text.windows(8).any(|window| window == b"\"Layers\"");
    Ok(root.metadata(b"manifest.json")?.is_some() && root.read(b"manifest.json")?.is_some_and(layers))
}

/// Returns the attributes of an entry in an archive.
fn attributes(visit: &Visit<'_>, epoch: i64, of_host: bool, mode: Mode) -> Attributes {
    let mut of = visit.metadata.attributes;
    // The top of the tree becomes the root directory of a system, wherever the tree lies.
    if visit.path.is_empty() {
        return Attributes { mode: 0o755, uid: 0, gid: 0, mtime: epoch };
    }
    if !of_host {
        return of;
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // The files of a caller without rights become root's.
    if uid != 0 && of.uid == uid {
        of.uid = 0;
    }
    // The caller's own group becomes root's too. So does a group that the namespace has no number for.
    if gid != 0 && of.gid == gid || mode != Mode::Root && of.gid == NOBODY && of.uid != NOBODY {
        of.gid = 0;
    }
    of
}
