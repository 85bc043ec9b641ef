//! The floor: the time that this machine takes for the work that no tool can leave out.
//!
//! The floor has three parts. Decoding the indexes, and decoding every package and writing its files on all cores, are
//! processes of their own that are measured like a tool. The third part is the work of the packages themselves: their preinsts,
//! and `dpkg --configure -a` of each phase, in a tree that is unpacked already. `rootstrap --foreign` makes this tree. Its second
//! stage runs in a copy on a tmpfs, where fsync costs nothing. Wrappers around dpkg and around each preinst measure these alone.

use super::sample::{Sample, time};
use super::tools::Place;
use crate::oracle::build::{Build, logged, output};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The names of the parts in the table. The row with their sum comes after them.
pub const PARTS: [&str; 3] =
    ["floor: decode the indexes", "floor: decode and write the packages", "floor: preinsts and configure"];

/// The files that the parts of the floor work on.
pub struct Floor {
    indexes: Vec<PathBuf>,
    debs: Vec<PathBuf>,
    tree: PathBuf,
    work: PathBuf,
}

/// The wrapper around dpkg. Only calls that succeed count, because a call that fails is repeated.
const WRAPPER: &str = r#"#!/bin/bash
case " $* " in
*" --configure -a "*) ;;
*) exec /usr/bin/dpkg "$@" ;;
esac
exec 3>&1 4>&2
TIMEFORMAT='%3R %3U %3S'
figures=$( { time /usr/bin/dpkg "$@" >&3 2>&4; } 2>&1 )
status=$?
[ $status != 0 ] || echo "$figures" >>/rootstrap/floor
exit $status
"#;

/// The wrapper around a preinst. A preinst may use the descriptors from 3 on for debconf, so other ones are taken here.
const PREINST_WRAPPER: &str = r#"#!/bin/bash
exec {out}>&1 {err}>&2
TIMEFORMAT='%3R %3U %3S'
figures=$( { time "$0.real" "$@" >&$out 2>&$err; } 2>&1 )
status=$?
[ $status != 0 ] || echo "$figures" >>/rootstrap/floor
exit $status
"#;

/// Puts the wrapper `$2` around the preinsts of the tree `$1`: those that its second stage runs itself, and those in debs.
const WRAP_PREINSTS: &str = r#"wrap() {
    mv "$1" "$1.real"
    cp "$2" "$1"
    chmod 755 "$1"
}
for preinst in "$1"/rootstrap/preinst/*/preinst; do
    [ ! -e "$preinst" ] || wrap "$preinst" "$2"
done
sed -n -e 's/^first-deb //p' -e 's/^deb-[^ ]* //p' "$1/rootstrap/plan" | while read -r deb; do
    deb=$1$deb
    rm -rf "$2.control"
    dpkg-deb --control "$deb" "$2.control"
    [ -e "$2.control/preinst" ] || continue
    rm -rf "$2.control" "$2.deb"
    dpkg-deb --raw-extract "$deb" "$2.deb"
    wrap "$2.deb/DEBIAN/preinst" "$2"
    dpkg-deb --root-owner-group -Znone --build "$2.deb" "$deb" >&2
done"#;

/// Copies the tree `$1` to a tmpfs at `$2` and runs its second stage there. It runs in namespaces that end with it.
const SECOND_STAGE: &str = r#"mount -t tmpfs -o mode=755 floor "$2"
cp -a "$1/." "$2/"
chroot "$2" /rootstrap/second-stage --no-tidy >&2
cat "$2/rootstrap/floor""#;

/// Fetches the files that the parts work on, with one run of rootstrap that is not measured.
pub fn prepare(place: &Place<'_>, build: &Build<'_>) -> Result<Floor, String> {
    let work = place.work.join("floor");
    let (cache, tree) = (work.join("cache"), work.join("tree"));
    std::fs::create_dir_all(work.join("place"))
        .map_err(|error| format!("cannot make the mount point of the floor: {error}"))?;
    let mut command = build.ours(place.program, "", place.extra);
    command.arg("--foreign").arg(format!("--cache-dir={}", cache.display())).arg(&tree);
    logged(&mut command, &place.work.join("floor.log"))?;
    let wrapper = tree.join("usr/sbin/dpkg");
    let written = std::fs::write(&wrapper, WRAPPER)
        .and_then(|()| std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)));
    written.map_err(|error| format!("cannot write the wrapper around dpkg: {error}"))?;
    let wrapper = work.join("preinst");
    std::fs::write(&wrapper, PREINST_WRAPPER)
        .map_err(|error| format!("cannot write {}: {error}", wrapper.display()))?;
    output(Command::new("sh").args(["-euc", WRAP_PREINSTS, "sh"]).arg(&tree).arg(&wrapper))?;
    let releases = all_files(&cache.join("v1/release"))?;
    let releases: Vec<u8> = releases.iter().filter_map(|path| std::fs::read(path).ok()).flatten().collect();
    let releases = String::from_utf8_lossy(&releases);
    let (mut indexes, mut debs) = (Vec::new(), Vec::new());
    for path in all_files(&cache.join("v1"))? {
        let mut magic = [0; 8];
        let read = File::open(&path).and_then(|mut file| file.read(&mut magic));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if read.is_ok_and(|count| count == 8) && &magic == b"!<arch>\n" {
            debs.push(path);
        } else if name.len() >= 64 && releases.contains(&name) {
            // The cache names files by their digest, and the Release file lists this digest.
            indexes.push(path);
        }
    }
    if indexes.is_empty() || debs.is_empty() {
        return Err("cannot measure the floor: our cache holds no indexes or no packages".into());
    }
    // The largest come first. Otherwise one core could still decode the largest while the others have nothing left to
    // do.
    debs.sort_by_key(|path| std::cmp::Reverse(path.metadata().map_or(0, |metadata| metadata.len())));
    Ok(Floor { indexes, debs, tree, work })
}

impl Floor {
    /// Measures each part once. The files that a part writes stay, for the reason that `set_aside` in measure.rs gives.
    pub fn sample(&self, round: usize) -> Result<[Sample; 3], String> {
        let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let part = |words: &[&Path]| {
            let mut command = Command::new(&own);
            command.arg("bench-floor").args(words);
            command
        };
        let store = self.work.join(format!("store-{round}"));
        std::fs::create_dir_all(&store).map_err(|error| format!("cannot make {}: {error}", store.display()))?;
        let list = |paths: &[PathBuf]| -> Vec<PathBuf> { paths.to_vec() };
        let words = [vec!["indexes".into()], list(&self.indexes)].concat();
        let indexes = part(&words.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        let indexes = time(&indexes, None, &self.work.join("log"))?;
        let words = [vec!["packages".into(), store.clone()], list(&self.debs)].concat();
        let packages = part(&words.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        let packages = time(&packages, None, &self.work.join("log"))?;
        Ok([indexes, packages, self.configure()?])
    }

    fn configure(&self) -> Result<Sample, String> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--ipc", "--uts", "--net", "sh", "-euc", SECOND_STAGE, "sh"]);
        command.arg(&self.tree).arg(self.work.join("place"));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        sum(&output(&mut command)?)
    }
}

/// Returns the sum of the lines that the wrappers wrote. They do not measure memory.
fn sum(text: &str) -> Result<Sample, String> {
    let mut all = Sample::default();
    for line in text.lines() {
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let &[wall, user, system] = numbers.as_slice() else {
            return Err(format!("a wrapper wrote {line}"));
        };
        all = all.and(&Sample { wall, user, system, memory: None });
    }
    if text.trim().is_empty() { Err("the second stage has configured nothing".into()) } else { Ok(all) }
}

fn all_files(top: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut left = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        let cannot = |error| format!("cannot read {}: {error}", directory.display());
        for entry in std::fs::read_dir(&directory).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            if path.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// Runs `cargo xtask bench-floor PART FILES`: one part of the floor.
pub fn work(args: &[String]) -> Result<(), String> {
    match args {
        [part, files @ ..] if part == "indexes" => on_all_cores(files, |_, path| {
            io::copy(&mut decoder(BufReader::new(File::open(path)?))?, &mut io::sink()).map(drop)
        }),
        [part, store, files @ ..] if part == "packages" => {
            on_all_cores(files, |number, path| write_files(path, &Path::new(store).join(number.to_string())))
        }
        _ => Err("usage: cargo xtask bench-floor indexes FILES | packages DIR FILES".into()),
    }
}

fn on_all_cores(files: &[String], work: impl Fn(usize, &Path) -> io::Result<()> + Sync) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    let one = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(number) else { return Ok(()) };
            work(number, Path::new(file)).map_err(|error| format!("cannot decode {file}: {error}"))?;
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread has ended early".to_owned())?)
    })
}

/// Decodes a .deb and writes the contents of its files below `directory`. The names are numbers.
fn write_files(deb: &Path, directory: &Path) -> io::Result<()> {
    std::fs::create_dir(directory)?;
    let mut deb = ar::Archive::new(BufReader::new(File::open(deb)?));
    while let Some(member) = deb.next_entry() {
        let member = member?;
        if !member.header().identifier().starts_with(b"data.tar") {
            continue;
        }
        let mut number = 0;
        for entry in tar::Archive::new(decoder(BufReader::with_capacity(1 << 16, member))?).entries()? {
            let mut entry = entry?;
            if entry.header().entry_type().is_file() {
                io::copy(&mut entry, &mut File::create_new(directory.join(number.to_string()))?)?;
                number += 1;
            }
        }
    }
    Ok(())
}

/// Returns a decoder of the compression that the first bytes show.
fn decoder<'r>(mut bytes: impl io::BufRead + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let magic = bytes.fill_buf()?;
    Ok(if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(bytes))
    } else if magic.starts_with(b"\xfd7zXZ") {
        Box::new(xz2::bufread::XzDecoder::new_multi_decoder(bytes))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::Decoder::with_buffer(bytes)?)
    } else {
        Box::new(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn times_of_all_phases_are_added_up() {
        let all = sum("1.500 1.000 0.250\n0.500 0.250 0.125\n").unwrap();
        assert!((all.wall - 2.0).abs() < 1e-9 && (all.user - 1.25).abs() < 1e-9 && (all.system - 0.375).abs() < 1e-9);
        assert_eq!(all.memory, None);
        assert!(sum("").is_err());
        assert!(sum("1.5 1.0\n").is_err());
    }

    #[test]
    fn the_files_of_a_package_are_written_whole() {
        let work = tempfile::tempdir().unwrap();
        let mut payload = tar::Builder::new(Vec::new());
        for (path, text) in [("./a", "first"), ("./b", "second")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            payload.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&payload.into_inner().unwrap()).unwrap();
        let path = work.path().join("x.deb");
        let mut deb = ar::Builder::new(File::create(&path).unwrap());
        for (name, bytes) in [("debian-binary", b"2.0\n".to_vec()), ("data.tar.xz", xz.finish().unwrap())] {
            deb.append(&ar::Header::new(name.into(), bytes.len() as u64), bytes.as_slice()).unwrap();
        }
        drop(deb);
        let store = work.path().join("store");
        std::fs::create_dir(&store).unwrap();
        let words = ["packages".into(), store.to_string_lossy().into_owned(), path.to_string_lossy().into_owned()];
        super::work(&words).unwrap();
        assert_eq!(std::fs::read(store.join("0/0")).unwrap(), b"first");
        assert_eq!(std::fs::read(store.join("0/1")).unwrap(), b"second");
        std::fs::write(&path, "no archive").unwrap();
        assert!(
            super::work(&["packages".into(), store.to_string_lossy().into_owned() + "/x", words[2].clone()]).is_err()
        );
    }
}
