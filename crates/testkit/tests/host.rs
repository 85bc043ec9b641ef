//! The host's own dpkg reads and installs our packages.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_testkit::base::{Layout, base_system};
use rootstrap_testkit::deb::{Compression, Deb};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn run(program: &str, args: &[&str]) -> Result<Output, String> {
    let mut command = Command::new(program);
    command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.output().map_err(|e| format!("cannot run {program}: {e}"))
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn dpkg_deb_reads_every_compression() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = None;
    for compression in Compression::ALL {
        let deb = Deb::new("a", "1:1.0-1")
            .field("Depends", "b (>= 2)")
            .file("/usr/bin/x", 0o755, "x")
            .file_owned("/usr/bin/s", 0o2755, ("root", 0), ("shadow", 42), "s")
            .hardlink("/usr/bin/y", "/usr/bin/x")
            .symlink("/usr/lib/z", "../bin/x")
            .dir("/usr/lib", 0o700)
            .fifo("/run/f", 0o600)
            .device("/dev/null", b'c', 0o666, 1, 3)
            .conffile("/etc/a", "a\n")
            .script("postinst", "#!/bin/sh\n")
            .data_compression(compression)
            .control_compression(match compression {
                // dpkg knows these two for data only.
                Compression::Bz2 | Compression::Lzma => Compression::Gz,
                other => other,
            });
        assert_eq!(deb.build(), deb.build());
        let path = dir.path().join("a.deb");
        fs::write(&path, deb.build()).unwrap();
        let path = path.to_str().unwrap();
        let listing = match run("dpkg-deb", &["--contents", path]) {
            Ok(output) => stdout(&output),
            Err(why) => return rootstrap_testkit::skip(why),
        };
        for line in
            ["drwx------ root/root", "prw-------", "crw-rw-rw-", "root/shadow", "link to ./usr/bin/x", "-> ../bin/x"]
        {
            assert!(listing.contains(line), "{line} in {listing}");
        }
        assert_eq!(first.get_or_insert_with(|| listing.clone()), &listing);
        assert_eq!(stdout(&run("dpkg-deb", &["--field", path, "Version"]).unwrap()), "1:1.0-1\n");
        assert_eq!(stdout(&run("dpkg-deb", &["--info", path, "conffiles"]).unwrap()), "/etc/a\n");
        let sums = stdout(&run("dpkg-deb", &["--info", path, "md5sums"]).unwrap());
        assert_eq!(sums.lines().next(), Some("9dd4e461268c8034f5c8564e155c67a6  usr/bin/x"));
    }
}

/// Bootstraps in the simplest way: unpacks everything, then lets the real dpkg in the tree install all packages again.
fn bootstrap(layout: Layout) -> Result<(), String> {
    let debs = base_system("trixie", layout)?;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    let stage = dir.path().join("stage");
    fs::create_dir_all(&stage).unwrap();
    let mut args = vec![root.to_string(), "dpkg".into(), "--install".into(), "--force-depends".into()];
    // base-files first for its links, as every bootstrapper must.
    let mut order: Vec<&Deb> = debs.iter().collect();
    order.sort_by_key(|deb| deb.name() != "base-files");
    for deb in order {
        let path = stage.join(format!("{}.deb", deb.name()));
        fs::write(&path, deb.build()).unwrap();
        let unpack = format!("dpkg-deb --fsys-tarfile {} | tar -C {root} --keep-directory-symlink -x", path.display());
        stdout(&run("sh", &["-c", &unpack])?);
    }
    args.extend(debs.iter().map(|deb| format!("/stage/{}.deb", deb.name())));
    fs::write(dir.path().join("var/lib/dpkg/status"), "").unwrap();
    let null = dir.path().join("dev/null");
    if !run("mknod", &["-m666", null.to_str().unwrap(), "c", "1", "3"])?.status.success() {
        return Err("no right to make a device".into());
    }
    if !run("chroot", &[root, "true"])?.status.success() && !run("chroot", &["/", "true"])?.status.success() {
        return Err("no right to chroot".into());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    stdout(&run("chroot", &args)?);
    assert_eq!(stdout(&run("chroot", &[root, "dpkg", "--audit"])?), "");
    let states = stdout(&run("chroot", &[root, "dpkg-query", "-W", "-f", "${Status} ${Package}\n"])?);
    assert_eq!(states.lines().filter(|line| line.starts_with("install ok installed")).count(), debs.len(), "{states}");
    let verify = stdout(&run("chroot", &[root, "dpkg", "--verify"])?);
    assert_eq!(verify, "");
    for made in ["etc/passwd", "etc/shells", "etc/alternatives/awk", "etc/ld.so.cache", "var/lib/hello", "etc/networks"]
    {
        assert!(dir.path().join(made).symlink_metadata().is_ok(), "{made}");
    }
    assert_eq!(Path::new(root).join("bin").is_symlink(), layout == Layout::Merged);
    Ok(())
}

#[test]
fn the_merged_base_system_installs_in_a_chroot() {
    if let Err(why) = bootstrap(Layout::Merged) {
        rootstrap_testkit::skip(why);
    }
}

#[test]
fn the_split_base_system_installs_in_a_chroot() {
    if let Err(why) = bootstrap(Layout::Split) {
        rootstrap_testkit::skip(why);
    }
}
