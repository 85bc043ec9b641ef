//! `rootstrap enter`: a program in a root, with the network and the host's resolver.

use crate::compare::{extract_image, image_size};
use crate::error::Error;
use crate::event::{Event, Report};
use crate::install::emulation;
use crate::request::{Machine, Target, native_architecture};
use crate::staging::Staging;
use crate::staging::place::parent;
use rootstrap_configure::privilege::Mode as PrivilegeMode;
use rootstrap_configure::shell::{self, Shell};
use rootstrap_image::oci::Platform;
use rootstrap_rootfs::{FakeOwnership, Kind, Root};
use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;

/// An archive unpacks to about so many times its size.
const USUAL_RATIO: u64 = 4;

const RESOLV_CONF: &[u8] = b"etc/resolv.conf";

/// A root that can be entered.
pub struct EnteredRoot {
    shell: Shell,
    /// The root, where it has no resolv.conf of its own: one that is left in it is removed.
    without_resolver: Option<Root>,
    /// The copy of an archive or an image. It ends with this value.
    _staging: Option<Staging>,
}

impl EnteredRoot {
    /// Runs the command to its end, with the standard streams of this process.
    ///
    /// # Errors
    /// The kernel refuses what it takes.
    pub fn run(&self) -> Result<ExitStatus, Error> {
        let ended = shell::run(&self.shell);
        if let Some(root) = &self.without_resolver
            && root.metadata(RESOLV_CONF)?.is_some_and(|found| found.kind == Kind::File)
            && root.read(RESOLV_CONF)?.is_some_and(|text| text.is_empty() || text == self.shell.resolv_conf.as_bytes())
        {
            // The mount point that somebody who was killed could not remove.
            root.remove(RESOLV_CONF)?;
        }
        Ok(ended?)
    }
}

/// Prepares to run `command`, or a shell if it is empty, in the root at `path`: a directory, or an archive or an image, whose changes are
/// lost afterwards. `environment` is added to that of the program. The caller has to obtain the rights first, with
/// [`privilege::enter`](crate::privilege::enter).
///
/// # Errors
/// There is no root at the path, or its programs cannot be run here.
pub fn enter(
    path: &Path,
    command: &[String],
    environment: &[(String, String)],
    machine: &Machine,
    report: Report<'_>,
) -> Result<EnteredRoot, Error> {
    let found = std::fs::metadata(path).map_err(Error::io("open", path))?;
    let is_root = found.is_dir() && !path.join("oci-layout").exists();
    let staging = if is_root { None } else { Some(unpack(path, image_size(path, found.len()), machine, report)?) };
    let (place, name) = match &staging {
        Some(staging) => (open(Path::new("/proc/self/fd"), staging)?, OsString::from("root")),
        None => {
            let path = std::fs::canonicalize(path).map_err(Error::io("find", path))?;
            let name = path.file_name().ok_or_else(|| bad(&path, "it is the root of this machine"))?.to_owned();
            (open_directory(parent(&path))?, name)
        }
    };
    let root = match &staging {
        Some(staging) => staging.root.share(),
        None => Root::open(path)?,
    };
    let shell = ["bin/bash", "bin/sh"].into_iter().find(|path| root.leads_somewhere(path.as_bytes()).unwrap_or(false));
    let command = match (command, shell) {
        ([], Some(shell)) => vec![format!("/{shell}")],
        ([], None) => return Err(bad(path, "it has no shell")),
        (command, _) => command.to_vec(),
    };
    let architecture = match Platform::find_debian(&root)? {
        Some(found) => found,
        None => native_architecture(&machine.host.machine)?.to_owned(),
    };
    let emulation = emulation::find(&[&architecture], machine)?;
    let own = rootstrap_configure::ENVIRONMENT.iter().filter(|(name, _)| SHELL_VARIABLES.contains(name));
    let own = own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = own.chain(emulation.environment.clone()).chain(environment.iter().cloned()).collect();
    let shell = Shell {
        mode: machine.mode,
        place,
        root: name,
        command,
        environment,
        resolv_conf: machine.host.resolv_conf.clone(),
        emulators: emulation.emulators,
    };
    let without_resolver = root.metadata(RESOLV_CONF)?.is_none().then_some(root);
    Ok(EnteredRoot { shell, without_resolver, _staging: staging })
}

/// Of the environment of scripts, what holds for somebody at a terminal too.
const SHELL_VARIABLES: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG"];

fn bad(path: &Path, reason: &str) -> Error {
    Error::Enter { path: path.to_owned(), reason: reason.to_owned() }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(Error::errno("open", path))
}

/// Returns a descriptor of the directory that holds the staging root.
fn open(path: &Path, staging: &Staging) -> Result<OwnedFd, Error> {
    staging.directory().try_clone_to_owned().map_err(Error::io("open", path))
}

/// Unpacks an archive or an image.
fn unpack(path: &Path, size: u64, machine: &Machine, report: Report<'_>) -> Result<Staging, Error> {
    let bytes = size.saturating_mul(USUAL_RATIO);
    let staging = Staging::create(machine, &Target::Nowhere, true, bytes, report)?;
    let root = match machine.mode {
        PrivilegeMode::Root => staging.root.without_fake_ownership(),
        PrivilegeMode::Single => staging.root.share(),
        // An archive may name any owner, and the ids of a user namespace are limited.
        PrivilegeMode::Unshare | PrivilegeMode::Chroot => {
            let fake_ownership = Arc::new(FakeOwnership::new(true));
            staging.root.without_fake_ownership().with_fake_ownership(fake_ownership)
        }
    };
    let own = Platform::of_debian(native_architecture(&machine.host.machine)?);
    let own = own.map_or("", |platform| platform.architecture);
    if !extract_image(path, &root, (own, false), &machine.cancel)? {
        let file = std::fs::File::open(path).map_err(Error::io("open", path))?;
        rootstrap_unpack::archive::extract(file, &root, &machine.cancel)?;
    }
    // The mount is taken by the first process that enters it, unless it has a path here.
    staging.show(machine)?;
    report(Event::Note("what changes in there is lost in the end: it is a copy".to_owned()));
    Ok(staging)
}
