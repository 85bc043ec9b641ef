//! Native programs in the place of emulated ones, for one sandbox alone.
//!
//! What most scripts run (a shell, sed, coreutils) gives the same answers on every architecture, so the programs of this machine's
//! architecture can run in the place of the root's, many times as fast. No file of the root is replaced: a program still reads and copies the
//! root's own files. The kernel is told by a handler for each such program (binfmt_misc) to start a launcher, which starts the native program. The
//! handler compares the first 256 bytes of a program, which hold the sizes of its parts: a program that takes another's place, in a later
//! phase or by a diversion, is emulated again. What has no native twin at its path is emulated, too.

mod libraries;

use crate::emulator::Emulator;
use crate::error::Error;
use crate::{binfmt, emulator};
use libraries::Libraries;
use rootstrap_debian::arch;
use rootstrap_rootfs::Root;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Where the sandbox shows the native programs. The launcher knows it too.
pub(crate) const MOUNT_POINT: &str = "dev/.native";

/// The paths of the native programs, one per line.
const LIST: &str = "programs";

/// The emulator, for programs that the launcher finds no twin of.
const EMULATOR: &str = "emulator";

/// Perl, which needs modules of this machine's architecture too.
const PERL: &str = "usr/bin/perl";

/// How many bytes of a program the kernel compares (`BINPRM_BUF_SIZE` of Linux).
const COMPARED: u64 = 256;

/// The launcher; empty where it cannot be built.
const LAUNCHER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/launcher"));

/// The Debian architecture whose programs can run in the place of others; `None` on a machine without a launcher.
#[must_use]
pub fn architecture() -> Option<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
}

/// Whether native programs of this machine can take the place of those of another architecture. They read tables of locales of the root, which are
/// in its order of bytes.
#[must_use]
pub fn suits(target: &str) -> bool {
    architecture().is_some() && binfmt::is_big_endian(target) == cfg!(target_endian = "big")
}

/// Returns the name of the directory of libraries of this machine's architecture.
fn triplet() -> &'static str {
    architecture().and_then(arch::multiarch).unwrap_or_default()
}

/// Returns the directories where the launcher's loader looks for libraries, below the directory of the native programs.
fn places() -> Vec<String> {
    vec![format!("usr/lib/{}", triplet()), format!("usr/lib/{}/systemd", triplet())]
}

/// Completes `directory`, which holds the files of native packages, for [`Options::native`](crate::Options::native). `programs` are the
/// paths of the programs that may run natively in the place of those that `emulator` runs. Returns those that lack a library, which will
/// not.
///
/// # Errors
/// A file cannot be read or written.
pub fn complete(directory: &Root, emulator: &Emulator, mut programs: Vec<String>) -> Result<Vec<String>, Error> {
    let target = arch::multiarch(&emulator.architecture);
    programs.retain(|path| target.is_some() || path != PERL);
    let mut libraries = Libraries::new(directory, places());
    let (programs, lacking): (Vec<_>, Vec<_>) = programs.into_iter().partition(|path| libraries.suffice_for(path));
    // The launcher starts whatever is there. Programs that may not run natively can begin with the same bytes as others.
    for place in ["bin", "sbin"] {
        let split = programs.iter().filter_map(|path| path.rsplit_once('/'));
        let of_place = split.filter(|(directory, _)| directory.trim_start_matches("usr/") == place);
        let names: Vec<Vec<u8>> = of_place.map(|(_, name)| name.as_bytes().to_vec()).collect();
        directory.retain(format!("usr/{place}").as_bytes(), &names)?;
    }
    let bytes = std::fs::read(&emulator.interpreter).map_err(Error::Lost)?;
    let write = |path: &str, bytes: &[u8], mode| directory.write(path.as_bytes(), bytes, mode);
    write(EMULATOR, &bytes, 0o755)?;
    write(LIST, (programs.join("\n") + "\n").as_bytes(), 0o644)?;
    directory.create_directories(b"perl", 0o755)?;
    write("perl/NativePerl.pm", perl_module(target.unwrap_or_default()).as_bytes(), 0o644)?;
    Ok(lacking)
}

/// Returns the module that the launcher makes perl load. It leads perl's own directories to those of the native programs, and gives perl
/// the name of the program that scripts started, which they may start again. A directory that the root does not have yet for its own
/// perl, because a later phase brings the package, is left out. `target` is the root's name in the paths of libraries.
fn perl_module(target: &str) -> String {
    let own = triplet();
    format!(
        "package NativePerl;\n\
         shift @INC;\n\
         for (@INC) {{\n\
         my $its = s{{^/usr/lib/{own}/}}{{/usr/lib/{target}/}}r;\n\
         $_ = '/{MOUNT_POINT}' . $_ if $its ne $_ && -d $its;\n\
         }}\n\
         $^X = '/{PERL}';\n\
         delete $INC{{'NativePerl.pm'}};\n\
         1;\n"
    )
}

/// Registers handlers for the native programs of one sandbox.
pub(crate) struct Registrar<'h> {
    handlers: &'h OwnedFd,
    launcher: File,
    /// The paths of programs that have no handler yet, with their numbers.
    left: Vec<(usize, Vec<u8>)>,
}

impl<'h> Registrar<'h> {
    /// Reads which programs may run natively from `directory`, a path that leads there from the working directory.
    pub(crate) fn new(handlers: &'h OwnedFd, directory: &Path) -> io::Result<Self> {
        let list = Root::open(directory).and_then(|native| native.read(LIST.as_bytes())).map_err(io::Error::other)?;
        let list = list.unwrap_or_default();
        let paths = list.split(|&byte| byte == b'\n').filter(|path| !path.is_empty()).map(<[u8]>::to_vec);
        Ok(Self { handlers, launcher: emulator::sealed_copy(&mut &*LAUNCHER)?, left: paths.enumerate().collect() })
    }

    /// Registers a handler for each program that is in `root` by now.
    pub(crate) fn register(&mut self, root: &Path) -> io::Result<()> {
        let root = Root::open(root).map_err(io::Error::other)?;
        let launcher = format!("/proc/self/fd/{}", self.launcher.as_raw_fd());
        let mut left = Vec::new();
        for (number, path) in std::mem::take(&mut self.left) {
            let mut head = Vec::new();
            if let Ok(file) = root.open_file(&path) {
                file.take(COMPARED).read_to_end(&mut head)?;
            }
            // A script is no program, and a program is longer.
            if head.starts_with(b"\x7fELF") && head.len() as u64 == COMPARED {
                let line = binfmt::registration_of_program(number, &head, &launcher);
                emulator::write_registration(self.handlers, &line)?;
            } else {
                left.push((number, path));
            }
        }
        self.left = left;
        Ok(())
    }
}
