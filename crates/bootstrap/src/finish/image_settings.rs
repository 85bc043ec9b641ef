//! The settings that container images have and installed systems do not have.
//!
//! They are those of the vendors' own images, file for file, so that everything that works in those images works here.

use crate::error::Error;
use rootstrap_rootfs::{Kind, Root};

/// Which settings apply.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ImageSettings {
    /// Ubuntu's additions: a locale of UTF-8, no periodic updates, and the note for `systemd-detect-virt`.
    pub ubuntu: bool,
    /// apt asks for gzip indexes first, because an apt before 1.0.9.2 cannot keep others compressed.
    pub gzip_first: bool,
    /// /sbin/initctl is diverted, for suites whose init is upstart.
    pub initctl: bool,
    /// The suite no longer changes, so its apt must not refuse the last Release file as expired.
    pub ended: bool,
}

/// 101 is "forbidden by policy" (invoke-rc.d(8)).
const POLICY: &[u8] = b"#!/bin/sh
# No service is started by the installation of its package: a container runs what it was started for.
exit 101
";

const INITCTL: &[u8] = b"#!/bin/sh
# Nothing answers here: a container has no upstart. The package's own program is initctl.distrib.
exit 0
";

/// A container that dies keeps nothing of a half-done dpkg anyway.
const SPEEDUP: &[u8] = b"# Layers are thrown away as a whole: do not wait for the disk.
force-unsafe-io
";

const APT: &[(&str, &str)] = &[
    (
        "docker-clean",
        r#"// What apt fetched and what it computed from that would stay in the layer: remove both at once.
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };

Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"#,
    ),
    (
        "docker-no-languages",
        r#"// Translated descriptions are rarely read in a container.
Acquire::Languages "none";
"#,
    ),
    (
        "docker-autoremove-suggests",
        r#"// `apt-get autoremove` also takes packages that are only suggested.
Apt::AutoRemove::SuggestsImportant "false";
"#,
    ),
];

const GZIP_INDEXES: &str = r#"// Lists stay compressed on disk; apt reads them all the same.
Acquire::GzipIndexes "true";
"#;

const GZIP_FIRST: &str = r#"Acquire::CompressionTypes::Order:: "gz";
"#;

const NO_PERIODIC: &str = r#"// Nothing in a container updates it in place (LP: #1810451).
APT::Periodic::Enable "0";
"#;

const NO_VALID_UNTIL: &str = r#"// The archive of an ended suite stands still: its Release files say they are out of date, and there are no others.
Acquire::Check-Valid-Until "false";
"#;

/// PAM reads this file for sessions. The programs that a container engine starts do not read it.
const LOCALE: &[u8] = b"etc/default/locale";

/// Writes the settings. Those of a program whose configuration directory is missing are left out. Call it after
/// [`tidy`](rootstrap_normalize::tidy), which empties /run.
pub(crate) fn write(root: &Root, settings: &ImageSettings) -> Result<(), Error> {
    if is_directory(root, b"usr/sbin")? {
        root.write(b"usr/sbin/policy-rc.d", POLICY, 0o755)?;
    }
    if is_directory(root, b"etc/dpkg/dpkg.cfg.d")? {
        root.write(b"etc/dpkg/dpkg.cfg.d/docker-apt-speedup", SPEEDUP, 0o644)?;
    }
    if is_directory(root, b"etc/apt/apt.conf.d")? {
        let write = |name: &str, text: &str| {
            root.write(format!("etc/apt/apt.conf.d/{name}").as_bytes(), text.as_bytes(), 0o644)
        };
        for (name, text) in APT {
            write(name, text)?;
        }
        let first = if settings.gzip_first { GZIP_FIRST } else { "" };
        write("docker-gzip-indexes", &format!("{GZIP_INDEXES}{first}"))?;
        if settings.ubuntu {
            write("docker-disable-periodic-update", NO_PERIODIC)?;
        }
        if settings.ended {
            write("check-valid-until.conf", NO_VALID_UNTIL)?;
        }
    }
    if settings.ubuntu {
        if is_directory(root, b"etc/default")? && root.metadata(LOCALE)?.is_none() {
            root.write(LOCALE, b"LANG=C.UTF-8\n", 0o644)?;
        }
        root.create_directories(b"run/systemd", 0o755)?;
        root.write(b"run/systemd/container", b"docker\n", 0o644)?;
    }
    if settings.initctl { divert_initctl(root) } else { Ok(()) }
}

/// Diverts /sbin/initctl as `dpkg-divert --local --rename --add /sbin/initctl` does, so that an upgrade of upstart keeps the
/// replacement.
fn divert_initctl(root: &Root) -> Result<(), Error> {
    const DATABASE: &[u8] = b"var/lib/dpkg/diversions";
    // The path, the path it is diverted to, and a colon that means "by the local administrator".
    const ENTRY: &[u8] = b"/sbin/initctl\n/sbin/initctl.distrib\n:\n";
    if !is_directory(root, b"sbin")? || !is_directory(root, b"var/lib/dpkg")? {
        return Ok(());
    }
    let mut database = root.read(DATABASE)?.unwrap_or_default();
    let lines: Vec<&[u8]> = database.split(|&b| b == b'\n').collect();
    if !lines.chunks(3).any(|entry| entry.first() == Some(&&b"/sbin/initctl"[..])) {
        database.extend_from_slice(ENTRY);
        if root.metadata(b"sbin/initctl")?.is_some() {
            root.at(b"sbin/initctl")?.rename_to(&root.at(b"sbin/initctl.distrib")?)?;
        }
        root.write(DATABASE, &database, 0o644)?;
    }
    root.write(b"sbin/initctl", INITCTL, 0o755)?;
    Ok(())
}

/// Returns whether `path` leads to a directory, through links inside the root: /sbin is a link in a merged /usr.
fn is_directory(root: &Root, path: &[u8]) -> Result<bool, Error> {
    match root.metadata(path)? {
        Some(metadata) if metadata.kind == Kind::Directory => Ok(true),
        Some(metadata) if metadata.kind == Kind::Symlink => Ok(root.open_directory(path).is_ok()),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn is_root() -> bool {
        let root = rustix::process::getuid().is_root();
        if !root {
            rootstrap_testkit::skip("files of root need root");
        }
        root
    }

    #[test]
    fn only_what_has_a_place_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        write(&root, &ImageSettings::default()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        if !is_root() {
            return;
        }
        for path in ["usr/sbin", "etc/dpkg/dpkg.cfg.d", "etc/apt/apt.conf.d", "etc/default"] {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        write(&root, &ImageSettings { ubuntu: true, gzip_first: true, initctl: false, ended: true }).unwrap();
        let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode("usr/sbin/policy-rc.d"), 0o755);
        assert_eq!(mode("etc/dpkg/dpkg.cfg.d/docker-apt-speedup"), 0o644);
        assert_eq!(root.list(b"etc/apt/apt.conf.d").unwrap().len(), 6);
        assert_eq!(root.read(b"run/systemd/container").unwrap().unwrap(), b"docker\n");
        assert_eq!(root.read(LOCALE).unwrap().unwrap(), b"LANG=C.UTF-8\n");
        root.write(LOCALE, b"", 0o644).unwrap();
        write(&root, &ImageSettings { ubuntu: true, gzip_first: true, ..ImageSettings::default() }).unwrap();
        assert_eq!(root.read(LOCALE).unwrap().unwrap(), b"", "what a package or the user wants stays");
        let indexes = root.read(b"etc/apt/apt.conf.d/docker-gzip-indexes").unwrap().unwrap();
        assert!(String::from_utf8(indexes).unwrap().ends_with("Order:: \"gz\";\n"));
    }

    #[test]
    fn apt_understands_the_settings() {
        if std::process::Command::new("apt-config").arg("--version").output().is_err() {
            rootstrap_testkit::skip("no apt-config on this host");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let all = APT.iter().map(|(_, text)| *text).chain([GZIP_INDEXES, GZIP_FIRST, NO_PERIODIC, NO_VALID_UNTIL]);
        let file = dir.path().join("apt.conf");
        std::fs::write(&file, all.collect::<String>()).unwrap();
        let output = std::process::Command::new("apt-config").arg("dump").env("APT_CONFIG", &file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        for line in [
            "Acquire::GzipIndexes \"true\";",
            "Acquire::Check-Valid-Until \"false\";",
            "APT::Periodic::Enable \"0\";",
            "Dir::Cache::pkgcache \"\";",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }

    #[test]
    fn initctl_is_diverted_once() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        for path in ["sbin", "var/lib/dpkg"] {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        std::fs::write(dir.path().join("sbin/initctl"), "upstart").unwrap();
        std::fs::write(dir.path().join("var/lib/dpkg/diversions"), "/bin/sh\n/bin/sh.distrib\ndash\n").unwrap();
        let root = Root::open(dir.path()).unwrap();
        for _ in 0..2 {
            write(&root, &ImageSettings { initctl: true, ..ImageSettings::default() }).unwrap();
            assert_eq!(root.read(b"sbin/initctl.distrib").unwrap().unwrap(), b"upstart");
            assert_eq!(root.read(b"sbin/initctl").unwrap().unwrap(), INITCTL);
            let database = String::from_utf8(root.read(b"var/lib/dpkg/diversions").unwrap().unwrap()).unwrap();
            let expected = "/bin/sh\n/bin/sh.distrib\ndash\n/sbin/initctl\n/sbin/initctl.distrib\n:\n";
            assert_eq!(database, expected);
        }
    }
}
