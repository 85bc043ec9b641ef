//! Whether the programs of the target can run on this machine, asked before anything is fetched.

use crate::{Error, Request};
use rootstrap_debian::arch;
use rootstrap_resolve::Variant;

/// Where the kernel shows the emulators it was given (binfmt_misc).
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// Refuses a target whose package scripts the kernel cannot run, by itself or by an emulator.
pub(crate) fn check(request: &Request) -> Result<(), Error> {
    let wanted = request.architecture()?;
    let native = arch::from_machine(&request.host.machine).is_some_and(|host| arch::runs_natively(host, wanted));
    if native || request.variant == Variant::Extract || has_emulator(wanted) {
        return Ok(());
    }
    Err(Error::ForeignArchitecture { wanted: wanted.to_owned(), machine: request.host.machine.clone() })
}

/// Emulators are registered as `qemu-` and qemu's own name of the processor.
fn has_emulator(architecture: &str) -> bool {
    let processor = match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "armhf" | "armel" => "arm",
        "ppc64el" => "ppc64le",
        "loong64" => "loongarch64",
        other => other,
    };
    let handler = std::fs::read_to_string(format!("{HANDLERS}/qemu-{processor}"));
    handler.is_ok_and(|text| text.starts_with("enabled"))
}
