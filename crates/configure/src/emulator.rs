//! Emulators for the programs of another architecture, registered for one sandbox alone.
//!
//! Since Linux 6.7 every user namespace can have its own binfmt_misc handlers. So a sandbox that needs an emulator enters
//! a user namespace of its own, with the same ids, and registers the emulator there. The host needs no handler, and the
//! handlers that it has stay as they are. The handler disappears with the sandbox.

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

/// First argument of the stage that maps the ids for another process; the second argument is that process's id.
pub(crate) const MAPPER: &str = "__rootstrap-map";

/// A program of the host that runs the programs of another architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emulator {
    /// The Debian architecture whose programs it runs; one that [`binfmt::qemu_name`] knows.
    pub architecture: String,
    /// The emulator's own file, a program that needs no libraries. QEMU must be 6.0 or newer: older ones take `argv[0]` for
    /// the first argument.
    pub interpreter: PathBuf,
}

/// Returns the emulators as arguments of a stage.
pub(crate) fn to_words(emulators: &[Emulator]) -> impl Iterator<Item = &OsStr> {
    emulators.iter().flat_map(|emulator| [OsStr::new(&emulator.architecture), emulator.interpreter.as_os_str()])
}

/// Enters a user namespace with the same ids as the present one.
///
/// # Errors
/// The kernel refuses it; the text says why.
#[allow(unsafe_code, reason = "unshare has no safe form")]
pub(crate) fn enter_user_namespace() -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot start a process: {error}");
    // Only a process outside the new namespace can map more than one id (user_namespaces(7)).
    let mut mapper = Command::new("/proc/self/exe");
    mapper.arg(MAPPER).arg(std::process::id().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut mapper = mapper.spawn().map_err(failed)?;
    // SAFETY: this stage has one thread and shares no descriptor table.
    let left = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) };
    if let (Ok(()), Some(mut go)) = (left, mapper.stdin.take()) {
        go.write_all(&[1]).map_err(failed)?;
    }
    // Without the byte on its input, the mapper ends by itself.
    let output = mapper.wait_with_output().map_err(failed)?;
    left.map_err(|errno| format!("the kernel refuses the sandbox a user namespace of its own: {errno}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stdout).into_owned()) }
}

/// The helper of [`enter_user_namespace`]: maps each id of this namespace to itself in the namespace of `process`. Never
/// returns.
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
        let _ = write!(io::stdout(), "cannot map the ids of the user namespace of the sandbox: {error}");
    }
    std::process::exit(i32::from(result.is_err()))
}

/// Registers emulators for this user namespace. `words` is what [`to_words`] returned. The handlers stay registered as
/// long as the result is open.
///
/// # Errors
/// The kernel has no binfmt_misc for user namespaces, or refuses the program; the text says which.
pub(crate) fn register(words: &[OsString]) -> Result<OwnedFd, String> {
    let handlers = mount().map_err(|errno| format!("cannot mount binfmt_misc: {errno}"))?;
    for pair in words.chunks_exact(2) {
        let [architecture, interpreter] = pair else { continue };
        register_one(&handlers, &architecture.to_string_lossy(), Path::new(interpreter))
            .map_err(|error| format!("cannot register the emulator {}: {error}", interpreter.display()))?;
    }
    Ok(handlers)
}

/// Opens a binfmt_misc filesystem that is mounted nowhere, so that no script reaches it.
fn mount() -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("binfmt_misc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn register_one(handlers: &OwnedFd, architecture: &str, interpreter: &Path) -> io::Result<()> {
    // Register a copy: every emulated script reaches its emulator as /proc/self/exe, and a script of real root could
    // change the mode and the owner of the host's own file there.
    let copy = sealed_copy(&mut File::open(interpreter)?)?;
    let line = binfmt::registration(architecture, &format!("/proc/self/fd/{}", copy.as_raw_fd()));
    let line = line.ok_or_else(|| io::Error::other(format!("no program is known to be for {architecture}")))?;
    write_registration(handlers, &line)
}

/// Copies a program into memory, where nobody can change its content.
pub(crate) fn sealed_copy(program: &mut dyn Read) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC;
    let mut copy = File::from(rustix::fs::memfd_create("emulator", flags)?);
    io::copy(program, &mut copy)?;
    rustix::fs::fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(copy)
}

/// Registers the handler that `line` describes.
pub(crate) fn write_registration(handlers: &OwnedFd, line: &str) -> io::Result<()> {
    let register = rustix::fs::openat(handlers, "register", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    File::from(register).write_all(line.as_bytes())
}
