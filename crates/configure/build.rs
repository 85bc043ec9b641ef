//! Compiles the launcher of native programs (`launcher/main.rs`), which runs where no library is.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=launcher/main.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name| env::var(name).unwrap_or_default();
    let launcher = Path::new(&variable("OUT_DIR")).join("launcher");
    if !matches!(variable("CARGO_CFG_TARGET_ARCH").as_str(), "x86_64" | "aarch64") {
        // There, everything is emulated.
        std::fs::write(launcher, "").expect("the launcher can be written");
        return;
    }
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args(["--edition=2024", "--crate-name=launcher", "launcher/main.rs", "-o"]).arg(launcher);
    compiler.args(["--target", &variable("TARGET")]);
    compiler.args(["-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols", "-Crelocation-model=static"]);
    compiler.args(["-Cdefault-linker-libraries=no", "-Ctarget-feature=+crt-static"]);
    if variable("CARGO_CFG_TARGET_ENV") == "musl" {
        // There, rustc would add a start of its own.
        compiler.arg("-Clink-self-contained=no");
    }
    compiler.args(["-nostartfiles", "-nostdlib", "-static", "-no-pie"].map(|flag| format!("-Clink-arg={flag}")));
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.arg(format!("-Clinker={linker}"));
    }
    let status = compiler.status().expect("rustc can be started");
    assert!(status.success(), "the launcher does not compile");
}
