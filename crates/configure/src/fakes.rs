//! Puts programs that do nothing in the place of those that start services, while packages are configured
//! (`/usr/share/doc/init-system-helpers/README.policy-rc.d.gz`).

use rootstrap_rootfs::{Kind, Root};

/// The program that invoke-rc.d asks first; its exit status 101 forbids every action.
pub const POLICY: &str = "usr/sbin/policy-rc.d";

/// The text of [`POLICY`].
pub const POLICY_TEXT: &str = "#!/bin/sh\nexit 101\n";

/// The programs that are replaced where they exist.
pub const REPLACED: [&str; 3] = ["sbin/start-stop-daemon", "usr/sbin/start-stop-daemon", "sbin/initctl"];

/// The real program gets this suffix while it is replaced.
const REAL: &str = ".REAL";

const DOES_NOTHING: &str = "#!/bin/sh\n# Services are not started while the system is being made.\nexit 0\n";

/// Scripts run `initctl version` to learn whether upstart is the init system. The real initctl answers that, as with
/// debootstrap.
const INITCTL: &str = "#!/bin/sh\n# Jobs are not started while the system is being made.\n\
                       [ \"$1\" != version ] || exec /sbin/initctl.REAL \"$@\"\nexit 0\n";

/// Replaced where programs are emulated (dpkg-maintscript-helper(1)). Every second script calls it, and under an emulator
/// it takes 0.1 s to find that there is nothing to move without an earlier version of the package.
const HELPER: &str = "usr/bin/dpkg-maintscript-helper";

const HELPER_TEXT: &str = r#"#!/bin/sh
# On a first installation no file of an earlier version is there to be moved or removed.
first() {
    while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
    [ $# -gt 1 ] || return 1
    case $2 in
        install | configure) [ -z "$3" ] ;;
        *) return 1 ;;
    esac
}
case $1 in
    rm_conffile | mv_conffile | symlink_to_dir | dir_to_symlink) first "$@" && exit 0 ;;
esac
exec /usr/bin/dpkg-maintscript-helper.REAL "$@"
"#;

/// Returns the text of the program that replaces the one at `path`.
#[must_use]
pub fn stand_in(path: &str) -> &'static str {
    if path.ends_with("/initctl") { INITCTL } else { DOES_NOTHING }
}

/// Replaces the programs that are there and not yet replaced. If the root's programs are emulated (`is_emulated`), it
/// replaces `dpkg-maintscript-helper` too. Call it again after more packages were unpacked.
///
/// # Errors
/// The tree cannot be changed.
pub fn install(root: &Root, is_emulated: bool) -> rootstrap_rootfs::Result<()> {
    if root.metadata(POLICY.as_bytes())?.is_none() && root.metadata(b"usr/sbin")?.is_some() {
        root.write(POLICY.as_bytes(), POLICY_TEXT.as_bytes(), 0o755)?;
    }
    for path in REPLACED {
        replace(root, path, stand_in(path))?;
    }
    if is_emulated { replace(root, HELPER, HELPER_TEXT) } else { Ok(()) }
}

fn replace(root: &Root, path: &str, text: &str) -> rootstrap_rootfs::Result<()> {
    let program = root.metadata(path.as_bytes())?;
    if program.is_some_and(|meta| meta.kind == Kind::File) && !is_replaced(root, path)? {
        let place = root.at(path.as_bytes())?;
        place.rename_to(&place.with_suffix(REAL))?;
        root.write(path.as_bytes(), text.as_bytes(), 0o755)?;
    }
    Ok(())
}

/// Puts the real programs back.
///
/// # Errors
/// The tree cannot be changed.
pub fn remove(root: &Root) -> rootstrap_rootfs::Result<()> {
    for path in REPLACED.into_iter().chain([HELPER]) {
        // With a merged /usr, two of the names are one file; the second one is restored already.
        if is_replaced(root, path)? {
            let place = root.at(path.as_bytes())?;
            place.with_suffix(REAL).rename_to(&place)?;
        }
    }
    if root.read(POLICY.as_bytes())?.as_deref() == Some(POLICY_TEXT.as_bytes()) {
        root.remove(POLICY.as_bytes())?;
    }
    Ok(())
}

fn is_replaced(root: &Root, path: &str) -> rootstrap_rootfs::Result<bool> {
    Ok(root.metadata(format!("{path}{REAL}").as_bytes())?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_the_fakes_restores_the_programs() {
        if !rustix::process::getuid().is_root() {
            return rootstrap_testkit::skip("only root can create files of root");
        }
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        root.create_directories(b"usr/sbin", 0o755).unwrap();
        std::os::unix::fs::symlink("usr/sbin", dir.path().join("sbin")).unwrap();
        root.write(b"usr/sbin/start-stop-daemon", b"real", 0o755).unwrap();
        root.create_directories(b"usr/bin", 0o755).unwrap();
        root.write(b"usr/bin/dpkg-maintscript-helper", b"real", 0o755).unwrap();
        for _ in 0..2 {
            install(&root, true).unwrap();
        }
        assert_ne!(root.read(b"sbin/start-stop-daemon").unwrap().unwrap(), b"real");
        assert!(root.read(b"usr/sbin/policy-rc.d").unwrap().is_some());
        assert!(
            root.read(b"usr/bin/dpkg-maintscript-helper").unwrap().unwrap().starts_with(b"#!/bin/sh\n# On a first")
        );
        remove(&root).unwrap();
        assert_eq!(root.list(b"usr/bin").unwrap(), [b"dpkg-maintscript-helper"]);
        assert_eq!(root.read(b"usr/bin/dpkg-maintscript-helper").unwrap().unwrap(), b"real");
        assert_eq!(root.list(b"usr/sbin").unwrap(), [b"start-stop-daemon"]);
        assert_eq!(root.read(b"sbin/start-stop-daemon").unwrap().unwrap(), b"real");
    }
}
