//! What runs the programs of the target on this machine, found before anything is fetched: the processor itself, an
//! emulator that the sandbox registers for itself, or one that the host's kernel was given.
//!
//! The sandbox's own comes before the host's, so that the result depends on the request and not on how a host registered
//! its emulator, and because scripts run by real root could change the mode of the host's emulator through
//! `/proc/self/exe`, while the sandbox runs a copy.

use crate::{Error, Request};
use rootstrap_configure::Emulator;
use rootstrap_configure::binfmt::{self, Handler};
use rootstrap_configure::privilege::{self, Mode};
use rootstrap_debian::arch;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where the kernel shows the handlers it was given (binfmt_misc).
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// The first Linux with handlers for each user namespace.
const PRIVATE_HANDLERS: (u32, u32) = (6, 7);

/// What a sandbox needs to run the programs of the target.
#[derive(Clone, Default)]
pub(crate) struct Emulation {
    /// The emulators to bring: none where the kernel can run the programs already.
    pub emulators: Vec<Emulator>,
    /// What the emulator, whoever brings it, is told.
    pub environment: Vec<(String, String)>,
}

/// Finds what runs the programs of the target.
///
/// Further architectures of the root count only beside an emulated one, whose sandbox does not see the host's handlers:
/// whether scripts of theirs will run at all is not known yet.
///
/// # Errors
/// The programs cannot be run: nothing emulates them, or what does would not be found in the root.
pub(crate) fn emulation(request: &Request) -> Result<Emulation, Error> {
    let wanted = request.architecture()?;
    let is_native =
        |wanted| arch::from_machine(&request.host.machine).is_some_and(|own| arch::runs_natively(own, wanted));
    if !request.variant.runs_scripts() || is_native(wanted) {
        return Ok(Emulation::default());
    }
    // Each emulator knows its own processors only.
    let emulated = || request.architectures().into_iter().flatten().filter(|name| !is_native(name));
    let variable = binfmt::environment(wanted).filter(|_| emulated().all(|name| name == wanted));
    let environment = variable.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let program = find_program(wanted, &request.host.programs);
    let kernel = obstacle();
    if let (Ok(interpreter), None) = (&program, &kernel) {
        let mut emulators = vec![Emulator { architecture: wanted.to_owned(), interpreter: interpreter.clone() }];
        for other in emulated().filter(|other| *other != wanted) {
            let found = find_program(other, &request.host.programs);
            emulators.extend(found.ok().map(|interpreter| Emulator { architecture: other.to_owned(), interpreter }));
        }
        return Ok(Emulation { emulators, environment });
    }
    let handlers = handlers();
    let on = globally_enabled();
    let mut ours = handlers.iter().flatten().filter(|(_, handler)| handler.runs(wanted));
    if on && ours.clone().any(|(_, handler)| handler.enabled && handler.is_fixed()) {
        return Ok(Emulation { emulators: Vec::new(), environment });
    }
    let unfit = ours.next().map(|(name, handler)| match handler.enabled && on {
        true => format!("the kernel's handler {name} lacks the flag F, so its emulator would have to be in the root"),
        false => format!("the kernel's handler {name} is switched off"),
    });
    let (reason, hint) = refusal(wanted, program.err(), kernel, unfit, handlers.is_some());
    Err(Error::ForeignArchitecture { wanted: wanted.to_owned(), machine: request.host.machine.clone(), reason, hint })
}

/// Why the programs of an architecture cannot be run, and what to do: what is wrong with QEMU, with the kernel and with
/// the handler it was given, and whether the kernel shows its handlers.
fn refusal(
    wanted: &str,
    program: Option<String>,
    kernel: Option<String>,
    handler: Option<String>,
    shown: bool,
) -> (String, String) {
    let mut hints = Vec::new();
    if binfmt::qemu_name(wanted).is_none() {
        hints.push("--variant=extract unpacks without running anything".to_owned());
    } else {
        if program.is_some() {
            hints.push("install qemu-user-static (on newer Debian qemu-user)".to_owned());
        }
        if kernel.is_some() {
            let mount = format!("mount -t binfmt_misc binfmt_misc {HANDLERS}");
            hints.extend((!shown).then_some(mount));
            hints.push("register the emulator with the flag F (package binfmt-support does)".to_owned());
        }
    }
    let reasons: Vec<String> = [handler, program, kernel].into_iter().flatten().collect();
    (reasons.join("; "), hints.join("; "))
}

/// A QEMU that runs an architecture's programs and needs no libraries: it runs inside the root.
fn find_program(architecture: &str, directories: &[PathBuf]) -> Result<PathBuf, String> {
    let Some(processor) = binfmt::qemu_name(architecture) else {
        return Err(format!("no emulator of {architecture} is known"));
    };
    let names = [format!("qemu-{processor}-static"), format!("qemu-{processor}")];
    let candidates = directories.iter().filter(|directory| directory.is_absolute());
    let mut found = None;
    for path in candidates.flat_map(|directory| names.iter().map(|name| directory.join(name))) {
        match head(&path) {
            Ok(program) if binfmt::is_static(&program) => return Ok(path),
            Ok(_) => found = Some(path),
            Err(_) => {}
        }
    }
    Err(match found {
        Some(path) => format!("{} needs libraries, which the new root has not", path.display()),
        None => format!("there is no {} in PATH", names.join(" or ")),
    })
}

/// The beginning of a file, where ELF programs have their headers.
fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(1 << 16).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Why the kernel has no handlers for a user namespace alone.
fn obstacle() -> Option<String> {
    if privilege::held() == Mode::Chroot {
        return Some("a plain container cannot register emulators for itself".to_owned());
    }
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    if version(&release).is_none_or(|version| version < PRIVATE_HANDLERS) {
        return Some(format!("Linux {release} has handlers for the whole machine only, and 6.7 for a sandbox"));
    }
    let limit = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    (limit.trim() == "0").then(|| "user namespaces are switched off (user.max_user_namespaces)".to_owned())
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The host's handlers by name; `None` where the kernel does not show them.
fn handlers() -> Option<Vec<(String, Handler)>> {
    let status = Path::new(HANDLERS).join("status");
    let entries = status.exists().then(|| fs::read_dir(HANDLERS).ok()).flatten()?;
    let mut handlers: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let handler = Handler::parse(&fs::read_to_string(entry.path()).ok()?)?;
            Some((entry.file_name().to_string_lossy().into_owned(), handler))
        })
        .collect();
    handlers.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some(handlers)
}

/// The kernel's switch for all handlers.
fn globally_enabled() -> bool {
    fs::read_to_string(format!("{HANDLERS}/status")).is_ok_and(|text| text.trim() == "enabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_apart() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("6.7.0"), Some((6, 7)));
        assert!(version("5.15.0-91-generic").unwrap() < PRIVATE_HANDLERS);
        assert!(version("7.0-rc1").unwrap() > PRIVATE_HANDLERS);
        assert_eq!(version("plan9"), None);
    }

    #[test]
    fn what_is_missing_is_said_with_what_helps() {
        let some = |text: &str| Some(text.to_owned());
        let (reason, hint) = refusal("arm64", some("no qemu"), None, None, false);
        assert_eq!(
            (reason.as_str(), hint.as_str()),
            ("no qemu", "install qemu-user-static (on newer Debian qemu-user)")
        );
        let (reason, hint) = refusal("arm64", None, some("an old kernel"), some("a handler without F"), true);
        assert_eq!(reason, "a handler without F; an old kernel");
        assert_eq!(hint, "register the emulator with the flag F (package binfmt-support does)");
        let (_, hint) = refusal("arm64", some("no qemu"), some("an old kernel"), None, false);
        assert_eq!(
            hint,
            "install qemu-user-static (on newer Debian qemu-user); mount -t binfmt_misc binfmt_misc \
             /proc/sys/fs/binfmt_misc; register the emulator with the flag F (package binfmt-support does)"
        );
        let (_, hint) = refusal("vax", some("no emulator of vax is known"), None, None, true);
        assert_eq!(hint, "--variant=extract unpacks without running anything");
    }

    #[test]
    fn only_programs_without_libraries_will_do() {
        let directory = tempfile::tempdir().unwrap();
        let places = [PathBuf::from("relative"), directory.path().to_owned()];
        let missing = find_program("arm64", &places).unwrap_err();
        assert_eq!(missing, "there is no qemu-aarch64-static or qemu-aarch64 in PATH");
        assert_eq!(find_program("vax", &places).unwrap_err(), "no emulator of vax is known");
        let path = directory.path().join("qemu-aarch64");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let dynamic = find_program("arm64", &places).unwrap_err();
        assert!(dynamic.ends_with("qemu-aarch64 needs libraries, which the new root has not"), "{dynamic}");
        let mut program = vec![0; 64];
        let order = if cfg!(target_endian = "big") { 2 } else { 1 };
        program[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, order]);
        fs::write(&path, program).unwrap();
        assert_eq!(find_program("arm64", &places).unwrap(), path);
    }
}
