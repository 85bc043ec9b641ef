//! The scenario `disk`: how much a cold run writes to the disk, and how many system calls it makes.

use super::loopback;
use super::options::{Options, public};
use super::report;
use super::sample::time;
use super::scenario::DISK;
use super::ten_images::command;
use super::tools::find;
use crate::oracle::build::{self, Build, output};
use crate::oracle::matrix::Set;
use std::fmt::Write;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rows of rootstrap: the name of the result, and whether there is a cache.
const OURS: [(&str, bool); 6] =
    [("x.oci.tar", false), ("x.oci.tar", true), ("x.tar", false), ("x.tar", true), ("x", false), ("x", true)];
const ABOUT: &str = "Cold runs from a mirror on this machine. What is written to the disk is what the device of the working directory counted \
                     (`/sys/dev/block/*/stat`), from a flush before the run to a flush after it. The size of a result is what it takes on the disk. \
                     System calls are those of all processes, as `strace -f -c` counts them in a run of its own.";

/// Runs all rows once, and returns the section of the document.
pub fn section(options: &Options, program: &Path, work: &Path, args: &[String]) -> Result<String, String> {
    let suite = build::suite("trixie")?;
    let mirror = loopback::start(&suite.mirror(), &work.join("mirror"))?;
    let (epoch, expired) = build::release_date(&mirror, "trixie")?;
    let set = Set::default();
    let of = Build { suite: &suite, variant: "minbase", set: &set, arch: None, mirror: &mirror, epoch, expired, work };
    let mut text = format!(
        "## disk: trixie minbase\n\n{ABOUT}\n\n| row | written | result | written / result | wall | system calls |\n|---|--:|--:|--:|--:|--:|\n"
    );
    let (place, cache) = (work.join("place"), work.join("cache"));
    let row = |name: &str, command: &Command, result: &Path| -> Result<String, String> {
        fresh(&place)?;
        remove(&cache)?;
        rustix::fs::sync();
        let before = written(&place)?;
        let sample = time(command, None, &work.join("log"))?;
        rustix::fs::sync();
        let bytes = written(&place)?.saturating_sub(before);
        let size: u64 = output(Command::new("du").args(["--summarize", "--block-size=1"]).arg(result))?
            .split_whitespace()
            .next()
            .and_then(|size| size.parse().ok())
            .ok_or("du says no size")?;
        fresh(&place)?;
        remove(&cache)?;
        let calls = calls(command, &work.join("calls"))?;
        eprintln!("{DISK}: {name:<32} {bytes} bytes");
        #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
        let ratio = bytes as f64 / size.max(1) as f64;
        let (written, size) = (bytes >> 20, size >> 20);
        Ok(format!("| {name} | {written} MiB | {size} MiB | {ratio:.2} | {:.2} s | {calls} |\n", sample.wall))
    };
    // The first run fills the mirror and does not count.
    for (number, (name, has_cache)) in [("x", false)].into_iter().chain(OURS).enumerate() {
        let mut ours = command(program, work);
        ours.args(of.ours(program, "", &[]).get_args()).arg(place.join(name));
        match has_cache {
            true => ours.arg("--cache-dir").arg(&cache),
            false => ours.arg("--no-cache"),
        };
        let shown = format!("rootstrap to {name}{}", if has_cache { "" } else { ", --no-cache" });
        let line = row(&shown, &ours, &place.join(name))?;
        text.push_str(if number == 0 { "" } else { &line });
    }
    if find("mmdebstrap").is_some() {
        for name in ["x.tar", "x"] {
            let theirs = of.theirs("mmdebstrap", &place.join(name), None)?;
            text.push_str(&row(&format!("mmdebstrap to {name}"), &theirs, &place.join(name))?);
        }
    }
    let machine = report::machine(options, &["rootstrap", "mmdebstrap"], program);
    let _ = writeln!(text, "\n{machine}\n\n```\n$ cargo xtask bench {}\n```", public(args));
    Ok(text)
}

/// Returns how many bytes were written to the device of a path since the machine was started (Linux `Documentation/block/stat.rst`).
fn written(path: &Path) -> Result<u64, String> {
    let device = path.metadata().map_err(|error| error.to_string())?.st_dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let path = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let sectors: Option<u64> = text.split_whitespace().nth(6).and_then(|sectors| sectors.parse().ok());
    sectors.map(|sectors| sectors * 512).ok_or_else(|| format!("{} has another form", path.display()))
}

/// Returns how many system calls a command makes with all its processes, or a dash without strace.
fn calls(command: &Command, log: &Path) -> Result<String, String> {
    if find("strace").is_none() {
        return Ok("–".to_owned());
    }
    let mut traced = Command::new("strace");
    traced.args(["--follow-forks", "--summary-only", "--summary-columns=calls", "--output"]).arg(log);
    traced.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    output(&mut traced)?;
    let text = std::fs::read_to_string(log).map_err(|error| error.to_string())?;
    let total = text.lines().find(|line| line.trim_end().ends_with("total"));
    let calls = total.and_then(|line| line.split_whitespace().find(|word| word.parse::<u64>().is_ok()));
    calls.map(str::to_owned).ok_or_else(|| "strace has counted nothing".to_owned())
}

fn fresh(place: &Path) -> Result<(), String> {
    remove(place)?;
    std::fs::create_dir_all(place).map_err(|error| format!("cannot make {}: {error}", place.display()))
}

fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}
