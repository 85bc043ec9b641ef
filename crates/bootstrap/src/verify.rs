//! `rootstrap verify`: builds a root again from its lock, and compares the two.

use crate::compare::{ComparedRoot, Form, Subject, Times, differences, open, pull, setting_differences};
use crate::diff::{RootDifference, container_name, package_updates};
use crate::error::Error;
use crate::event::{Event, Report};
use crate::lock::locked_request;
use crate::recipe::bootstrap;
use crate::request::{Container, Customization, Format, LockChoice, Machine, Purpose, Push, Request, Sources, Target};
use crate::staging::hidden::HiddenDirectory;
use rootstrap_image::compress::{Algorithm, Compression};
use rootstrap_lock::Lock;
use std::path::{Path, PathBuf};

/// Files that only container images have. One without apt lacks the first.
const OF_IMAGES: [&[u8]; 2] = [b"etc/apt/apt.conf.d/docker-clean", b"etc/dpkg/dpkg.cfg.d/docker-apt-speedup"];

/// How a root is built again.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The lock that the root was built from; the one that an attestation of the image has if `None`.
    pub lock: Option<PathBuf>,
    /// Whom to trust, and from where packages may be fetched as well.
    pub sources: Sources,
    /// The architecture of an archive or directory; that of the lock if it has only one.
    pub architecture: Option<String>,
    /// Whether an archive or directory was made with `--image`; otherwise its files decide.
    pub image: bool,
    /// The registry that has the image, if it is in one.
    pub registry: Push,
    /// What was changed on top of the packages.
    pub customization: Customization,
    /// The settings that the image was built with.
    pub container: Container,
}

/// Builds the root at `path` again and returns how it differs from what was made, architecture by architecture: an image, an archive or a
/// directory. Nothing that an earlier run made is used, only its downloads. The caller has to obtain the rights first, with
/// [`privilege::enter`](crate::privilege::enter).
///
/// # Errors
/// It cannot be read, or it cannot be built again.
pub fn verify(
    path: &Path,
    options: &VerifyOptions,
    machine: &Machine,
    report: Report<'_>,
) -> Result<Vec<RootDifference>, Error> {
    let place = HiddenDirectory::create(&machine.temporary, "verify".as_ref(), &machine.janitor)?;
    let found = match options.registry.names.is_empty() {
        true => open(path, &machine.cancel)?,
        false => open(&pull(path, &options.registry, &place, machine, report)?, &machine.cancel)?,
    };
    let Subject::Roots(form, roots) = found else {
        let reason = "it is a lock, and not what was built from one".to_owned();
        return Err(Error::NotComparable { path: path.to_owned(), reason });
    };
    let mut subject = Subjects { path, form, options, machine, place: place.path(), report, built: 0 };
    if let Some(lock) = &options.lock {
        let roots: Vec<&ComparedRoot> = roots.iter().collect();
        return subject.against(&roots, lock);
    }
    let mut found = Vec::new();
    for (number, root) in roots.iter().enumerate() {
        let text = root.lock.as_ref().ok_or_else(|| Error::NoLockInside { path: path.to_owned() })?;
        let lock = place.path().join(format!("{number}.lock"));
        let malformed = |source| Error::LockFile { path: path.to_owned(), source };
        let mut inside = Lock::parse(text).map_err(malformed)?;
        // Whoever made the image does not choose files of this machine.
        let is_remote = |uri: &String| uri.starts_with("http://") || uri.starts_with("https://");
        inside.sources.iter_mut().for_each(|source| source.uris.retain(is_remote));
        inside.request.include.retain(|include| !crate::archive::is_path(include));
        std::fs::write(&lock, inside.to_text()).map_err(Error::io("write", &lock))?;
        let text = "the lock is the image's own: the rebuild shows that the image is what it says, and not that an archive vouches for it";
        report(Event::Warning(text.to_owned()));
        found.extend(subject.against(&[root], &lock)?);
    }
    Ok(found)
}

/// What is verified, and how.
struct Subjects<'a> {
    path: &'a Path,
    form: Form,
    options: &'a VerifyOptions,
    machine: &'a Machine,
    /// Where roots are built again.
    place: PathBuf,
    report: Report<'a>,
    /// How many roots were built again.
    built: usize,
}

impl Subjects<'_> {
    /// Builds roots again from the lock at `lock_path`, and compares them.
    fn against(&mut self, roots: &[&ComparedRoot], lock_path: &Path) -> Result<Vec<RootDifference>, Error> {
        let &mut Subjects { path, form, options, machine, report, .. } = self;
        let lock = crate::archive::read_lock(lock_path)?;
        let architectures = architectures(path, roots, &lock, options)?;
        self.built += 1;
        let rebuilt = self.place.join(format!("root-{}", self.built));
        let mut request = locked_request(&lock, lock_path, options.sources.clone(), machine.clone())?;
        request.machine.reuse = false;
        request.machine.sync = false;
        request.sources.suite.clone_from(&lock.request.suite);
        request.sources.lock = Some(LockChoice { path: lock_path.to_owned(), lock: None, frozen: true });
        let slim = request.customization.slim;
        request.customization = Customization { slim, ..options.customization.clone() };
        let mut names = architectures.into_iter();
        request.selection.architecture = names.next().unwrap_or_default();
        request.output.further_platforms = names.collect();
        set_output(&mut request, form, roots, &rebuilt, options);
        report(Event::Note(format!("{} is built again", path.display())));
        bootstrap(&request, report)?;
        let Subject::Roots(_, again) = open(&rebuilt, &machine.cancel)? else { return Err(Error::Cancelled) };
        let pairs = roots.iter().map(|root| {
            let fits = |other: &&ComparedRoot| root.platform.is_none() || root.platform == other.platform;
            again.iter().find(fits).map(|other| compare(root, other))
        });
        Ok(pairs.flatten().collect())
    }
}

/// Returns the Debian architectures to build, in the order of the roots.
fn architectures(
    path: &Path,
    roots: &[&ComparedRoot],
    lock: &Lock,
    options: &VerifyOptions,
) -> Result<Vec<String>, Error> {
    let known: Vec<&String> = lock.platforms.iter().map(|platform| &platform.architecture).collect();
    let of_root = |root: &ComparedRoot| match (&root.platform, &options.architecture, known.as_slice()) {
        (Some(platform), ..) => {
            let found = known.iter().find(|architecture| container_name(architecture) == *platform);
            found.map(|architecture| (*architecture).clone()).ok_or_else(|| {
                let reason = format!("it is for {platform}, and the lock has nothing for that");
                Error::NotComparable { path: path.to_owned(), reason }
            })
        }
        (None, Some(named), _) => Ok(named.clone()),
        (None, None, [only]) => Ok((*only).clone()),
        (None, None, _) => Err(Error::NotComparable {
            path: path.to_owned(),
            reason:
                "the lock has several architectures, and the root does not say which one it is; name it with --arch"
                    .to_owned(),
        }),
    };
    roots.iter().map(|root| of_root(root)).collect()
}

/// Asks for the form that the root has.
fn set_output(request: &mut Request, form: Form, roots: &[&ComparedRoot], path: &Path, options: &VerifyOptions) {
    // Nothing is gained by compressing what is read once.
    let plain = Compression { algorithm: Algorithm::None, level: None };
    let is_image = |root: &&ComparedRoot| OF_IMAGES.iter().any(|path| root.inventory.items.contains_key(*path));
    request.output.target = match form {
        Form::Image => {
            request.output.container.clone_from(&options.container);
            Target::File(path.to_owned(), Format::Oci(plain))
        }
        Form::Archive => Target::File(path.to_owned(), Format::Tar(plain)),
        Form::Directory => Target::Directory(path.to_owned()),
    };
    if options.image || roots.iter().any(is_image) {
        request.output.purpose = Purpose::BaseImage;
    }
}

fn compare(made: &ComparedRoot, again: &ComparedRoot) -> RootDifference {
    let is_same = !made.layers.is_empty() && made.layers == again.layers;
    let paths = match is_same {
        true => Vec::new(),
        false => differences(&made.inventory, &again.inventory, Times::Compared),
    };
    let mut findings = made.findings.clone();
    if paths.is_empty() && !is_same && !made.layers.is_empty() {
        findings.push("the layers have the same files, but not the same bytes: another program wrote them".to_owned());
    }
    RootDifference {
        platform: made.platform.clone(),
        findings,
        settings: setting_differences(made, again),
        packages: package_updates(&made.inventory.packages(), &again.inventory.packages()),
        paths,
        bytes: (made.inventory.bytes(), again.inventory.bytes()),
    }
}
