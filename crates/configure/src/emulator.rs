//! Emulators for the programs of another architecture, registered for one sandbox alone.
//!
//! The kernel keeps handlers for each user namespace (binfmt_misc, since Linux 6.7). So a sandbox that needs one leaves
//! for a namespace of its own, with the ids of the one it comes from, and registers it there: the host needs none, and
//! those it has stay as they are. The handler goes when the sandbox does.

use crate::{binfmt, privilege};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::thread::UnshareFlags;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// First argument of the stage that gives ids to the process that its second names.
pub(crate) const MAPPER: &str = "__rootstrap-map";

/// A program of the host's that runs those of another architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emulator {
    /// The Debian architecture it runs; one that [`binfmt::qemu_name`] knows.
    pub architecture: String,
    /// The program, which needs no libraries. QEMU 6.0 or newer: older ones take `argv[0]` for the first argument.
    pub interpreter: PathBuf,
}

/// The emulators as arguments of a stage.
pub(crate) fn to_words(emulators: &[Emulator]) -> impl Iterator<Item = &OsStr> {
    emulators.iter().flat_map(|emulator| [OsStr::new(&emulator.architecture), emulator.interpreter.as_os_str()])
}

/// Leaves for a user namespace with the same ids as this one.
///
/// # Errors
/// The kernel refuses it, in words.
#[allow(unsafe_code, reason = "unshare has no safe form")]
pub(crate) fn leave() -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot start a process: {error}");
    // Only a process that stays can map more than one id (user_namespaces(7)).
    let mut mapper = Command::new("/proc/self/exe");
    mapper.arg(MAPPER).arg(std::process::id().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut mapper = mapper.spawn().map_err(failed)?;
    // SAFETY: this stage has one thread and shares no descriptor table.
    let left = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) };
    if let (Ok(()), Some(mut go)) = (left, mapper.stdin.take()) {
        go.write_all(&[1]).map_err(failed)?;
    }
    // Without a go-ahead it ends by itself.
    let output = mapper.wait_with_output().map_err(failed)?;
    left.map_err(|errno| format!("the kernel refuses a user namespace for the emulator: {errno}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stdout).into_owned()) }
}

/// The helper of [`leave`]: gives this namespace's own ids to the one that `process` left for. Never comes back.
pub(crate) fn map(process: &str) -> ! {
    let result = io::stdin().read_exact(&mut [0]).and_then(|()| {
        for name in ["gid_map", "uid_map"] {
            let own = std::fs::read_to_string(format!("/proc/self/{name}"))?;
            File::options()
                .write(true)
                .open(format!("/proc/{process}/{name}"))?
                .write_all(privilege::identity(&own).as_bytes())?;
        }
        Ok(())
    });
    if let Err(error) = &result {
        let _ = write!(io::stdout(), "cannot map the ids of a user namespace for the emulator: {error}");
    }
    std::process::exit(i32::from(result.is_err()))
}

/// Registers emulators, given as [`to_words`] makes them, for this user namespace, as long as the result is kept.
///
/// # Errors
/// The kernel has no binfmt_misc for user namespaces, or refuses the program, in words.
pub(crate) fn register(words: &[OsString]) -> Result<OwnedFd, String> {
    let handlers = mount().map_err(|errno| format!("cannot mount binfmt_misc: {errno}"))?;
    for pair in words.chunks_exact(2) {
        let [architecture, interpreter] = pair else { continue };
        register_one(&handlers, &architecture.to_string_lossy(), Path::new(interpreter))
            .map_err(|error| format!("cannot register the emulator {}: {error}", interpreter.display()))?;
    }
    Ok(handlers)
}

/// Mounted nowhere: no script gets to it.
fn mount() -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("binfmt_misc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn register_one(handlers: &OwnedFd, architecture: &str, interpreter: &Path) -> io::Result<()> {
    // A copy: what runs a script is the script's to reach as /proc/self/exe, and real root's scripts could change the
    // mode and the owner of the host's own file there.
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC;
    let mut copy = File::from(rustix::fs::memfd_create("emulator", flags)?);
    io::copy(&mut File::open(interpreter)?, &mut copy)?;
    rustix::fs::fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    let line = binfmt::registration(architecture, &format!("/proc/self/fd/{}", copy.as_raw_fd()));
    let line = line.ok_or_else(|| io::Error::other(format!("no program is known to be for {architecture}")))?;
    let register = rustix::fs::openat(handlers, "register", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    File::from(register).write_all(line.as_bytes())
}
