//! `cargo xtask dist`: what a release consists of, the same bytes each time.

mod deb;
mod program;
mod release;
mod sbom;
mod tree;

use crate::arguments;
use crate::oracle::build::output;
use crate::project;
use release::Release;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const USAGE: &str = "\
usage: cargo xtask dist [OPTIONS]

Builds a static rootstrap for this machine's architecture, and makes of it an archive, a Debian package, an image of itself, an SBOM and
SHA256SUMS. The same commit gives the same bytes with the same rustc and C library.

  --to DIR          where they go (target/artifacts)
  --program FILE    a program that is built already, in place of a new one
  --program-only    build the program and nothing else
  --profile NAME    cargo's profile (dist); dev is built faster, for tests
  --help            this text";

/// Makes a release, or prints how to.
pub fn run(args: &[String]) -> Result<(), String> {
    let top = project::directory();
    let mut to = project::target().join("artifacts");
    let (mut given, mut program_only, mut profile) = (None, false, program::RELEASE.to_owned());
    let args = arguments::split(args);
    let mut words = args.iter();
    while let Some(option) = words.next() {
        match option.as_str() {
            "--to" => to = arguments::value(option, &mut words)?.into(),
            "--program" => given = Some(PathBuf::from(arguments::value(option, &mut words)?)),
            "--program-only" => program_only = true,
            "--profile" => profile = arguments::value(option, &mut words)?,
            "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            other => return Err(format!("{other} is no option\n{USAGE}")),
        }
    }
    let failed = |error: std::io::Error| format!("cannot write to {}: {error}", to.display());
    std::fs::create_dir_all(&to).map_err(failed)?;
    let program = to.join("rootstrap");
    let built = given.map_or_else(|| program::build(&top, &profile), Ok)?;
    if built.canonicalize().ok() != program.canonicalize().ok() {
        let new = to.join("rootstrap.new");
        std::fs::copy(&built, &new).and_then(|_| std::fs::rename(&new, &program)).map_err(failed)?;
    }
    if !program_only {
        let release = Release {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            arch: program::arch()?,
            epoch: epoch(&top)?,
            program,
        };
        pack(&release, &top, &to)?;
    }
    println!("{}", to.display());
    Ok(())
}

/// Writes all parts of a release.
fn pack(release: &Release, top: &Path, to: &Path) -> Result<(), String> {
    let write = |name: &str, bytes: &[u8]| -> Result<String, String> {
        std::fs::write(to.join(name), bytes).map_err(|error| format!("cannot write {name}: {error}"))?;
        Ok(name.to_owned())
    };
    let Release { version, arch, .. } = release;
    let sbom = sbom::of(top, release)?;
    let files = tree::files(release, top, &sbom)?;
    let base = format!("rootstrap-{version}-linux-{arch}");
    let image = format!("{base}.oci.tar");
    let mut names = vec![
        "rootstrap".to_owned(),
        write(&format!("{base}.tar.zst"), &tree::archive(release, &base, &files)?)?,
        write(&format!("rootstrap_{version}_{arch}.deb"), &deb::of(release, &files))?,
        write(&format!("{base}.cdx.json"), &sbom)?,
    ];
    let mut command = Command::new(&release.program);
    command.args(["image".as_ref(), release.program.as_os_str(), to.join(&image).as_os_str()]);
    command.args(["--entrypoint=/rootstrap", "--quiet"]).env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    command.arg(format!("--label=org.opencontainers.image.version={version}"));
    let _ = std::fs::remove_file(to.join(&image));
    output(&mut command)?;
    names.push(image);
    let mut sums = String::new();
    for name in &names {
        let bytes = std::fs::read(to.join(name)).map_err(|error| format!("cannot read {name}: {error}"))?;
        let _ = writeln!(sums, "{}  {name}", base16ct::lower::encode_string(&Sha256::digest(&bytes)));
    }
    print!("{sums}");
    write("SHA256SUMS", sums.as_bytes()).map(drop)
}

/// Returns the time of the commit, or that of `SOURCE_DATE_EPOCH`.
fn epoch(top: &Path) -> Result<u64, String> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(top))?,
    };
    text.trim().parse().map_err(|_| format!("{text:?} is no time: set SOURCE_DATE_EPOCH"))
}
