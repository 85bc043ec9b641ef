//! What runs the target's programs on this machine, found before anything is fetched: the processor itself, an emulator that the sandbox
//! registers for itself, or a handler that the host's kernel has.
//!
//! The sandbox's own emulator is preferred for two reasons. The result then depends on the request and not on how the host registered its
//! emulator. And scripts of real root can change the mode of the host's emulator through `/proc/self/exe`, whereas the sandbox runs a
//! copy.

use crate::error::Error;
use crate::request::{Host, Machine, Request};
use rootstrap_configure::Emulator;
use rootstrap_configure::binfmt::{self, Handler};
use rootstrap_configure::privilege::Mode;
use rootstrap_debian::arch;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the kernel shows its handlers (binfmt_misc).
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// The first version of Linux that has handlers for each user namespace.
const PRIVATE_HANDLERS: (u32, u32) = (6, 7);

/// What a sandbox needs to run the programs of the target.
#[derive(Clone, Default)]
pub(crate) struct Emulation {
    /// The emulators to register in the sandbox: none where the kernel runs the programs already.
    pub emulators: Vec<Emulator>,
    /// The emulator of the host's handler, if that one runs the programs.
    pub handler: Option<PathBuf>,
    /// The environment variables for the emulator, whoever registers it.
    pub environment: Vec<(String, String)>,
}

impl Emulation {
    /// Says what scripts can do to the emulator of the host, if they can do anything. A program shows its emulator as its own file, and
    /// where root owns that file in the namespace of the scripts, nothing that a sandbox can set up keeps them from changing its mode,
    /// owner and times. Its content is safe: the kernel lets nobody write to an emulator that is in use. In mode chroot, the
    /// supervisor keeps scripts from the file.
    pub fn warning(&self, mode: Mode) -> Option<String> {
        let handler = self.handler.as_ref().filter(|_| mode != Mode::Chroot)?;
        // An emulator that was registered from a container has no file here.
        let may_be_roots = fs::metadata(handler).map_or(mode == Mode::Root, |found| found.uid() == 0);
        may_be_roots.then(|| {
            format!(
                "package scripts can change the mode, the owner and the times of this machine's emulator {}, because they run as \
                 real root by a handler of the kernel: to prevent that, use Linux 6.7 or later with qemu-user-static, or run \
                 rootstrap as an ordinary user",
                handler.display()
            )
        })
    }
}

/// Finds what runs the programs of the root that `request` asks for, if programs have to run.
///
/// # Errors
/// Those of [`find`].
pub(crate) fn find_for(request: &Request) -> Result<Emulation, Error> {
    if request.runs_scripts()
        && let Some(variant) = &request.sources.arch_variant
        && variant.starts_with(&request.selection.architecture)
        && let Some(feature) = missing_feature(variant)
    {
        return Err(Error::Processor { variant: variant.clone(), feature });
    }
    match request.runs_scripts() {
        true => find(&request.selection.architectures(), &request.machine),
        false => Ok(Emulation::default()),
    }
}

/// Returns what this processor lacks of a variant of amd64 (the levels of the x86-64 psABI).
#[cfg(target_arch = "x86_64")]
fn missing_feature(variant: &str) -> Option<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    let v2 = [("sse4.2", has!("sse4.2")), ("ssse3", has!("ssse3")), ("popcnt", has!("popcnt"))];
    let v3 = [
        ("avx2", has!("avx2")),
        ("bmi1", has!("bmi1")),
        ("bmi2", has!("bmi2")),
        ("f16c", has!("f16c")),
        ("fma", has!("fma")),
        ("lzcnt", has!("lzcnt")),
        ("movbe", has!("movbe")),
    ];
    let v4 = [("avx512f", has!("avx512f")), ("avx512bw", has!("avx512bw")), ("avx512vl", has!("avx512vl"))];
    let needed: Vec<(&str, bool)> = match variant {
        "amd64v2" => v2.to_vec(),
        "amd64v3" => [&v2[..], &v3].concat(),
        "amd64v4" => [&v2[..], &v3, &v4].concat(),
        _ => Vec::new(),
    };
    needed.into_iter().find_map(|(feature, is_there)| (!is_there).then_some(feature))
}

/// Other machines have no amd64 of their own.
#[cfg(not(target_arch = "x86_64"))]
fn missing_feature(_variant: &str) -> Option<&'static str> {
    None
}

/// Finds what runs the programs of a root with these architectures, the native one first.
///
/// The further ones count only beside an emulated native one, whose sandbox does not see the host's handlers. It is not known yet
/// whether scripts of theirs will run at all.
///
/// # Errors
/// The programs cannot be run: nothing emulates them, or the emulator would not be found in the root.
pub(crate) fn find(architectures: &[&str], machine: &Machine) -> Result<Emulation, Error> {
    let Machine { host, mode, .. } = machine;
    let Some(wanted) = architectures.first().copied() else { return Ok(Emulation::default()) };
    let own = arch::from_machine(&host.machine);
    let is_native = |wanted: &str| own.is_some_and(|own| is_native(own, wanted, &binfmt::runs_32_bit_arm));
    if is_native(wanted) {
        return Ok(Emulation::default());
    }
    // Each emulator knows its own processors only.
    let emulated: Vec<&str> = architectures.iter().copied().filter(|name| !is_native(name)).collect();
    let variable = binfmt::environment(wanted).filter(|_| emulated.iter().all(|name| *name == wanted));
    let environment = variable.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let program = find_program(wanted, &host.programs).or_else(|reason| emulator_of_host(wanted).ok_or(reason));
    let kernel = obstacle(*mode);
    if let (Ok(interpreter), None) = (&program, &kernel) {
        let mut emulators = vec![Emulator { architecture: wanted.to_owned(), interpreter: interpreter.clone() }];
        for other in emulated.into_iter().filter(|other| *other != wanted) {
            let found = find_program(other, &host.programs);
            emulators.extend(found.ok().map(|interpreter| Emulator { architecture: other.to_owned(), interpreter }));
        }
        return Ok(Emulation { emulators, handler: None, environment });
    }
    let handler = Some(by_host(wanted, host, program.err(), kernel)?);
    Ok(Emulation { emulators: Vec::new(), handler, environment })
}

/// Whether a machine of the architecture `own` runs the programs of `wanted` by itself. Many processors of arm64 cannot run
/// 32-bit programs, and the kernel knows.
fn is_native(own: &str, wanted: &str, runs_32_bit_arm: &dyn Fn() -> bool) -> bool {
    arch::runs_natively(own, wanted) && (own != "arm64" || own == wanted || runs_32_bit_arm())
}

/// Returns the emulator of a handler of the host that runs the programs of an architecture in every root. `program` and `kernel` say
/// why the sandbox cannot register an emulator of its own.
fn by_host(wanted: &str, host: &Host, program: Option<String>, kernel: Option<String>) -> Result<PathBuf, Error> {
    let handlers = handlers();
    let is_on = globally_enabled();
    let mut fitting = handlers.iter().flatten().filter(|(_, handler)| handler.runs(wanted));
    let mut usable = fitting.clone().filter(|(_, handler)| is_on && handler.is_enabled && handler.is_fixed());
    if let Some((_, handler)) = usable.next() {
        return Ok(handler.interpreter.clone());
    }
    let unfit = fitting.next().map(|(name, handler)| match handler.is_enabled && is_on {
        true => format!("the kernel's handler {name} lacks the flag F, so its emulator would have to be in the root"),
        false => format!("the kernel's handler {name} is switched off"),
    });
    let (reason, hint) = refusal(wanted, program, kernel, unfit, handlers.is_some());
    Err(Error::ForeignArchitecture { wanted: wanted.to_owned(), machine: host.machine.clone(), reason, hint })
}

/// Returns why the programs of an architecture cannot be run, and what to do. `program`, `kernel` and `handler` say what is wrong with
/// QEMU, the kernel and the kernel's handler; `shown` says whether the kernel shows its handlers.
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

/// Finds a QEMU that runs an architecture's programs and needs no libraries, because it runs inside the root.
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
        Some(path) => format!("{} needs libraries, which the new root does not have", path.display()),
        None => format!("there is no {} in PATH", names.join(" or ")),
    })
}

/// Returns the QEMU that the host's kernel runs the programs of an architecture with, if it is a file that needs no libraries. Only what
/// is known to be QEMU will do: others may work only where the kernel opened them.
fn emulator_of_host(architecture: &str) -> Option<PathBuf> {
    let handlers = handlers()?;
    let fitting = handlers.into_iter().filter(|(_, handler)| handler.is_fixed() && handler.runs(architecture));
    let mut paths = fitting.filter_map(|(_, handler)| fs::canonicalize(handler.interpreter).ok());
    paths.find(|path| {
        let is_qemu = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"qemu-"));
        is_qemu && head(path).is_ok_and(|program| binfmt::is_static(&program))
    })
}

/// Reads the beginning of a file, where ELF programs have their headers.
fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(1 << 16).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns why the kernel has no handlers for a user namespace alone.
fn obstacle(mode: Mode) -> Option<String> {
    if mode == Mode::Chroot {
        return Some("a plain container cannot register emulators for itself".to_owned());
    }
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    if version(&release).is_none_or(|version| version < PRIVATE_HANDLERS) {
        return Some(format!("Linux {release} cannot register emulators for a sandbox alone (6.7 and later can)"));
    }
    let limit = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    (limit.trim() == "0").then(|| "user namespaces are switched off (user.max_user_namespaces)".to_owned())
}

/// Returns the first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Returns the host's handlers by name; `None` where the kernel does not show them.
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

/// Returns whether the kernel's handlers are switched on at all.
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
    fn the_kernel_says_whether_arm64_runs_32_bit_programs() {
        for (own, wanted, can, expected) in [
            ("arm64", "armhf", true, true),
            ("arm64", "armhf", false, false),
            ("arm64", "armel", false, false),
            ("arm64", "arm64", false, true),
            ("amd64", "i386", false, true),
            ("amd64", "armhf", true, false),
        ] {
            assert_eq!(is_native(own, wanted, &|| can), expected, "{own} {wanted} {can}");
        }
    }

    #[test]
    fn a_refusal_names_what_is_missing_and_what_helps() {
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
    fn an_emulator_of_the_host_is_named_in_a_warning_where_scripts_can_change_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("qemu-aarch64");
        fs::write(&path, "").unwrap();
        let by_host = |path: &Path| Emulation { handler: Some(path.to_owned()), ..Emulation::default() };
        let is_roots = fs::metadata(&path).unwrap().uid() == 0;
        for (path, mode, warns) in [
            (path.as_path(), Mode::Root, is_roots),
            (&path, Mode::Unshare, is_roots),
            (&path, Mode::Chroot, false),
            (Path::new("/nowhere"), Mode::Root, true),
            (Path::new("/nowhere"), Mode::Unshare, false),
        ] {
            assert_eq!(by_host(path).warning(mode).is_some(), warns, "{path:?} {mode:?}");
        }
        assert_eq!(Emulation::default().warning(Mode::Root), None);
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
        assert!(dynamic.ends_with("qemu-aarch64 needs libraries, which the new root does not have"), "{dynamic}");
        let mut program = vec![0; 64];
        let order = if cfg!(target_endian = "big") { 2 } else { 1 };
        program[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, order]);
        fs::write(&path, program).unwrap();
        assert_eq!(find_program("arm64", &places).unwrap(), path);
    }
}
