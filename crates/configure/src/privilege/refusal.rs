//! Finds out why a mode does not work: before it is tried, and after the kernel refused a step of it.

use super::ids;
use super::mode::Mode;
use super::obstacle::Obstacle;
use rustix::io::Errno;
use rustix::process;
use rustix::thread::CapabilitySet;

/// What the child was doing when the kernel refused a user namespace.
pub(super) const MAKE_USER_NAMESPACE: &str = "make a user namespace";

/// Returns the capabilities that this process can use.
pub(super) fn capabilities() -> CapabilitySet {
    rustix::thread::capabilities(None).map(|sets| sets.effective).unwrap_or(CapabilitySet::empty())
}

/// Refuses a mode that is known not to work without trying it.
pub(super) fn check(mode: Mode) -> Result<(), Obstacle> {
    let refuse = |reason: &str, hint: &str| Err(Obstacle::new(reason, hint));
    let is_root = process::geteuid().is_root();
    let held = capabilities();
    match mode {
        Mode::Root if !is_root => refuse("this is not root", "run rootstrap with sudo, or leave the mode out"),
        Mode::Root if !held.contains(CapabilitySet::SYS_ADMIN) => refuse(
            "this is root without CAP_SYS_ADMIN, as in a plain container",
            "run the container with --cap-add SYS_ADMIN and a seccomp profile that allows mounts (--privileged has both)",
        ),
        Mode::Root | Mode::Chroot if ids::of_this_namespace() < ids::NEEDED => refuse(
            "this user namespace has only a few user ids",
            "run rootstrap outside of it: it makes a namespace of its own",
        ),
        Mode::Chroot if !is_root => refuse("this is not root", "run rootstrap as root of a container"),
        Mode::Chroot => check_capabilities_of_chroot(held),
        Mode::Root | Mode::Unshare | Mode::Single => Ok(()),
    }
}

fn check_capabilities_of_chroot(held: CapabilitySet) -> Result<(), Obstacle> {
    let needed = [
        (CapabilitySet::SYS_CHROOT, "SYS_CHROOT"),
        (CapabilitySet::CHOWN, "CHOWN"),
        (CapabilitySet::DAC_OVERRIDE, "DAC_OVERRIDE"),
        (CapabilitySet::FOWNER, "FOWNER"),
        (CapabilitySet::SETUID, "SETUID"),
        (CapabilitySet::SETGID, "SETGID"),
    ];
    match needed.iter().find(|(capability, _)| !held.contains(*capability)) {
        Some((_, name)) => Err(Obstacle::new(
            format!("this is root without CAP_{name}"),
            format!("run the container with --cap-add {name}"),
        )),
        None => Ok(()),
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Explains why the kernel refused with `errno` what the child was doing. `what` completes "cannot …".
pub(super) fn of_kernel(what: &str, errno: Errno) -> Obstacle {
    let number = |path: &str| read(path).parse::<i64>().ok();
    let is_denied = matches!(errno, Errno::PERM | Errno::ACCESS);
    if is_denied && number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        return Obstacle::new(
            "user namespaces are switched off for users (kernel.unprivileged_userns_clone = 0)",
            "as root: sysctl -w kernel.unprivileged_userns_clone=1",
        );
    }
    if matches!(errno, Errno::NOSPC | Errno::USERS) || number("/proc/sys/user/max_user_namespaces") == Some(0) {
        let most = read("/proc/sys/user/max_user_namespaces");
        return Obstacle::new(
            format!("there may be no further user namespaces (user.max_user_namespaces = {most})"),
            "as root: sysctl -w user.max_user_namespaces=15000",
        );
    }
    if is_denied && number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return Obstacle::new(
            "AppArmor keeps programs without a profile from user namespaces \
             (kernel.apparmor_restrict_unprivileged_userns = 1)",
            apparmor_hint(),
        );
    }
    let is_filtered =
        read("/proc/self/status").lines().any(|line| line.starts_with("Seccomp:") && !line.ends_with('0'));
    if is_denied && is_filtered {
        return Obstacle::new(
            format!("a seccomp filter, as containers have one, does not let this process {what}"),
            "run the container with --security-opt seccomp=unconfined, or as its root with the usual capabilities",
        );
    }
    if is_denied && what == MAKE_USER_NAMESPACE {
        return Obstacle::new(
            format!("the kernel does not let this process {what}: {errno}; a chroot or a security module forbids it"),
            "run rootstrap outside of the chroot, or as root",
        );
    }
    if matches!(errno, Errno::INVAL | Errno::NOSYS) && what == MAKE_USER_NAMESPACE {
        return Obstacle::new("this kernel has no user namespaces (CONFIG_USER_NS)", "run rootstrap as root");
    }
    Obstacle::without_hint(format!("the kernel does not let this process {what}: {errno}"))
}

/// Returns the commands that load the profile of `packaging/apparmor/`, with the path of this very program in it.
fn apparmor_hint() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "/usr/bin/rootstrap".into());
    format!(
        "as root: printf 'abi <abi/4.0>,\\nprofile rootstrap {} flags=(unconfined) {{\\n  userns,\\n}}\\n' \
         >/etc/apparmor.d/rootstrap && apparmor_parser -r /etc/apparmor.d/rootstrap",
        program.display()
    )
}
