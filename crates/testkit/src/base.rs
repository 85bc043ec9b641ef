//! A tiny distribution that works: packages made of the test host's programs, related as Debian's are.

pub use crate::skeleton::Layout;

use crate::deb::{Compression, Deb};
use crate::host::{HostFile, chain, find, libraries, read};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs of coreutils. Those that the host lacks are left out.
const COREUTILS: &[&str] = &[
    "[",
    "basename",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "chroot",
    "cp",
    "cut",
    "date",
    "dirname",
    "echo",
    "env",
    "expr",
    "false",
    "head",
    "id",
    "install",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "mv",
    "printf",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "seq",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "uname",
    "uniq",
    "wc",
];
const DPKG: &[&str] = &[
    "dpkg",
    "dpkg-deb",
    "dpkg-divert",
    "dpkg-maintscript-helper",
    "dpkg-query",
    "dpkg-realpath",
    "dpkg-split",
    "dpkg-statoverride",
    "dpkg-trigger",
    "start-stop-daemon",
    "update-alternatives",
];
/// Packages of programs: name, version, control fields, programs.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);
const ESSENTIAL: &[(&str, &str)] = &[("Essential", "yes"), ("Priority", "required")];
const PROGRAMS: &[Row] = &[
    ("dash", "0.5.12-2", ESSENTIAL, &["sh", "dash"]),
    ("coreutils", "9.1-1", ESSENTIAL, COREUTILS),
    ("sed", "4.9-1", ESSENTIAL, &["sed"]),
    ("grep", "3.8-5", ESSENTIAL, &["grep"]),
    ("tar", "1.34+dfsg-1.2", ESSENTIAL, &["tar"]),
    ("gzip", "1.12-1", ESSENTIAL, &["gzip"]),
    ("findutils", "4.9.0-4", ESSENTIAL, &["find", "xargs"]),
    ("diffutils", "1:3.8-4", ESSENTIAL, &["cmp", "diff"]),
    ("debianutils", "5.7-0.5", ESSENTIAL, &["run-parts"]),
    ("libc-bin", "2.36-9", ESSENTIAL, &["ldconfig", "ldconfig.real"]),
    ("mawk", "1.3.4.20200120-3.1", &[("Priority", "required"), ("Provides", "awk")], &["mawk"]),
    ("dpkg", "1.21.22", ESSENTIAL, DPKG),
];
/// In split layout these stay in `/bin` and `/sbin`; all other programs are below `/usr` in both.
const ROOT_PROGRAMS: &[&str] = &[
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "cp",
    "dash",
    "date",
    "echo",
    "false",
    "grep",
    "gzip",
    "ln",
    "ls",
    "mkdir",
    "mknod",
    "mktemp",
    "mv",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "sh",
    "sleep",
    "tar",
    "touch",
    "true",
    "uname",
    "run-parts",
    "ldconfig",
    "ldconfig.real",
    "start-stop-daemon",
];

/// The packages of a suite: an essential set with a real dpkg, `apt` as a stub, and a few of priority important and
/// optional. base-passwd is first; no package of the list needs one that is not in it.
///
/// # Errors
/// The host lacks a program, for example dpkg. The text names it and serves as the reason for skipping a test.
pub fn base_system(suite: &str, layout: Layout) -> Result<Vec<Deb>, String> {
    for needed in ["dpkg", "dpkg-deb", "dpkg-query", "sh", "ldd", "tar", "cat"] {
        find(needed).ok_or_else(|| format!("the host has no {needed}"))?;
    }
    let arch = ask("dpkg", &["--print-architecture"])?;
    // The version of the host's dpkg, because the order in which dpkg configures packages depends on it.
    let dpkg_version = ask("dpkg-query", &["--show", "--showformat=${Version}", "dpkg"])?;
    let mut builder = Builder { arch, dpkg_version, layout, libraries: BTreeMap::new() };
    let mut debs = vec![crate::skeleton::base_passwd(), crate::skeleton::base_files(suite, layout)];
    for row in PROGRAMS {
        debs.extend(builder.package(row)?);
    }
    debs.extend(crate::skeleton::extras(suite));
    let Builder { arch, libraries, .. } = builder;
    let libraries = libraries.into_values().flatten().map(|deb| deb.field("Multi-Arch", "same"));
    debs.splice(2..2, libraries);
    if find("mawk").is_none() {
        // base-files pre-depends on awk, and nothing provides awk then.
        debs[1] = debs[1].clone().without("Pre-Depends");
    }
    let native = |deb: Deb| {
        if deb.get("Architecture") == Some("all") { deb } else { deb.arch(&arch) }
    };
    Ok(debs.into_iter().map(native).collect())
}

fn ask(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output().map_err(|e| format!("cannot run {program}: {e}"))?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "" => Err(format!("{program} {} says nothing", args.join(" "))),
        text => Ok(text.to_string()),
    }
}

struct Builder {
    arch: String,
    dpkg_version: String,
    layout: Layout,
    /// The packages of libraries by name; `None` while the libraries that a library needs are searched for.
    libraries: BTreeMap<String, Option<Deb>>,
}

impl Builder {
    /// Returns a package of programs; `None` if the host has none of them.
    fn package(&mut self, row: &Row) -> Result<Option<Deb>, String> {
        let (name, version, fields, programs) = row;
        let found: Vec<PathBuf> = programs.iter().filter_map(|program| find(program)).collect();
        if found.is_empty() {
            return Ok(None);
        }
        let mut deb = fields.iter().fold(Deb::new(name, version), |deb, (key, value)| deb.field(key, value));
        let mut needs = Vec::new();
        for program in &found {
            needs.extend(self.needs(program)?);
            for file in chain(program)? {
                deb = self.add_file(deb, &file);
            }
        }
        if *name == "libc-bin" {
            // ldconfig is a static program, so `ldd` names no library for it.
            needs.push("libc6 (>= 2.14)".into());
        }
        needs.sort();
        needs.dedup();
        if *name == "dpkg" {
            deb = deb.field("Depends", "tar (>= 1.28-1)").field("Version", &self.dpkg_version);
        }
        if !needs.is_empty() {
            // libc-bin only depends on libc6, as in Debian: the two are upgraded together.
            let relation = if *name == "libc-bin" { "Depends" } else { "Pre-Depends" };
            deb = deb.field(relation, &needs.join(", "));
        }
        let deb = crate::skeleton::add_scripts(deb);
        Ok(Some(if *name == "dpkg" { self.dpkg_data(deb)? } else { deb }.data_compression(Compression::Gz)))
    }

    /// Adds the shell functions and tables that dpkg's programs read.
    fn dpkg_data(&self, mut deb: Deb) -> Result<Deb, String> {
        for name in ["abitable", "cputable", "ostable", "tupletable", "sh/dpkg-error.sh"] {
            let path = Path::new("/usr/share/dpkg").join(name);
            if path.is_file() {
                deb = self.add_file(deb, &read(&path)?);
            }
        }
        Ok(deb)
    }

    /// Returns the relations of a program or library to the packages of its libraries, and makes those packages.
    fn needs(&mut self, program: &Path) -> Result<Vec<String>, String> {
        let mut out = Vec::new();
        for library in libraries(program)? {
            let soname = library.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
            let package = package_of(&soname);
            out.push(if package == "libc6" { "libc6 (>= 2.14)".into() } else { package.clone() });
            self.library(&package, &library)?;
        }
        Ok(out)
    }

    fn library(&mut self, package: &str, path: &Path) -> Result<(), String> {
        let files = chain(path)?;
        if package == "libc6" {
            let libc = self.libraries.remove(package).flatten().unwrap_or_else(|| library_deb(package, "2.36-9"));
            // libc6 holds several libraries, and each program may need one that the package does not have yet.
            let libc = files.iter().fold(libc, |deb, file| self.add_file(deb, file));
            self.libraries.insert(package.into(), Some(libc));
        } else if !self.libraries.contains_key(package) {
            self.libraries.insert(package.into(), None);
            let mut needs = self.needs(path)?;
            needs.sort();
            needs.dedup();
            let deb = library_deb(package, "1.0-1").field("Depends", &needs.join(", "));
            let deb = files.iter().fold(deb, |deb, file| self.add_file(deb, file));
            self.libraries.insert(package.into(), Some(deb));
        }
        Ok(())
    }

    /// Adds a file of the host to a package, unless the package has it: several programs can need the same link or
    /// library.
    fn add_file(&self, deb: Deb, file: &HostFile) -> Deb {
        let path = place(&file.path, self.layout);
        match &file.link {
            _ if deb.ships(&path) => deb,
            Some(target) => deb.symlink(&path, target),
            None => deb.file(&path, file.mode, &file.content),
        }
    }
}

fn library_deb(package: &str, version: &str) -> Deb {
    Deb::new(package, version)
        .field("Priority", "optional")
        .field("Section", "libs")
        .control_member("triggers", 0o644, "activate-noawait ldconfig\n")
        .data_compression(Compression::Gz)
}

/// Returns Debian's name for a library's package: `libz.so.1` is in `libz1`, `libpcre2-8.so.0` in `libpcre2-8-0`.
fn package_of(soname: &str) -> String {
    const GLIBC: [&str; 10] =
        ["ld", "libc", "libm", "libdl", "libpthread", "librt", "libresolv", "libutil", "libanl", "libmvec"];
    let (stem, version) = soname.split_once(".so.").unwrap_or((soname, ""));
    if GLIBC.contains(&stem) || stem.starts_with("ld-") || stem.starts_with("ld64") || stem.starts_with("libnss_") {
        return "libc6".into();
    }
    let hyphen = if stem.ends_with(|c: char| c.is_ascii_digit()) { "-" } else { "" };
    format!("{stem}{hyphen}{version}").to_lowercase().replace('_', "-")
}

/// Returns the path of a host's file in a layout.
fn place(path: &str, layout: Layout) -> String {
    let inner = path.strip_prefix("/usr").unwrap_or(path);
    let (Some((top, _)), Some((_, name))) = (inner[1..].split_once('/'), inner.rsplit_once('/')) else {
        return path.into();
    };
    let outside_usr = match top {
        "bin" | "sbin" => ROOT_PROGRAMS.contains(&name),
        "lib" | "lib64" => name.contains(".so"),
        _ => return path.into(),
    };
    if outside_usr && layout == Layout::Split { inner.into() } else { format!("/usr{inner}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_names() {
        for (path, merged, split) in [
            ("/usr/bin/dash", "/usr/bin/dash", "/bin/dash"),
            ("/bin/dash", "/usr/bin/dash", "/bin/dash"),
            ("/usr/bin/env", "/usr/bin/env", "/usr/bin/env"),
            (
                "/usr/lib/x86_64-linux-gnu/libc.so.6",
                "/usr/lib/x86_64-linux-gnu/libc.so.6",
                "/lib/x86_64-linux-gnu/libc.so.6",
            ),
            ("/usr/share/dpkg/cputable", "/usr/share/dpkg/cputable", "/usr/share/dpkg/cputable"),
        ] {
            assert_eq!((place(path, Layout::Merged).as_str(), place(path, Layout::Split).as_str()), (merged, split));
        }
        for (soname, package) in [
            ("libz.so.1", "libz1"),
            ("libpcre2-8.so.0", "libpcre2-8-0"),
            ("ld-linux-x86-64.so.2", "libc6"),
            ("libc.so.6", "libc6"),
        ] {
            assert_eq!(package_of(soname), package);
        }
    }
}
