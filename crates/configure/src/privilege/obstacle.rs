//! Why a mode does not hold, and the exact way to change that.

use super::{Mode, capabilities};
use crate::Error;
use rustix::io::Errno;
use rustix::process;
use rustix::thread::CapabilitySet;

/// Why a mode does not hold.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    mode: Mode,
    reason: String,
    hint: String,
}

impl Refusal {
    pub(super) fn new(mode: Mode, reason: String, hint: String) -> Self {
        Self { mode, reason, hint }
    }

    /// In one line, for who wants to know why this is not the best mode.
    pub(super) fn sentence(&self) -> String {
        let hint = if self.hint.is_empty() { String::new() } else { format!(" ({})", self.hint) };
        format!("not {}: {}{hint}", self.mode.name(), self.reason)
    }
}

/// The error for a caller whom no mode suits. What is in the way of the best one comes first.
pub(super) fn none(refusals: Vec<Refusal>) -> Error {
    let mut reasons: Vec<String> = Vec::new();
    for refusal in &refusals {
        if !reasons.contains(&refusal.reason) {
            reasons.push(refusal.reason.clone());
        }
    }
    // The last one tried asks least, so what it lacks is what has to be given.
    let hint = refusals.iter().rev().map(|refusal| refusal.hint.clone()).find(|hint| !hint.is_empty());
    Error::Privilege { reason: reasons.join("; "), hint: hint.unwrap_or_default() }
}

/// What can be told without trying.
pub(super) fn check(mode: Mode) -> Result<(), Refusal> {
    let refuse = |reason: &str, hint: &str| Err(Refusal::new(mode, reason.to_owned(), hint.to_owned()));
    let root = process::geteuid().is_root();
    let held = capabilities();
    match mode {
        Mode::Root if !root => refuse("this is not root", "run rootstrap with sudo, or leave the mode out"),
        Mode::Root if !held.contains(CapabilitySet::SYS_ADMIN) => refuse(
            "this is root without CAP_SYS_ADMIN, as in a plain container",
            "run the container with --cap-add SYS_ADMIN and a seccomp profile that allows mounts (--privileged has both)",
        ),
        Mode::Root | Mode::Chroot if super::ids::of_this_namespace() < super::ids::NEEDED => refuse(
            "this user namespace has only a few user ids",
            "run rootstrap outside of it: it makes a namespace of its own",
        ),
        Mode::Chroot if !root => refuse("this is not root", "run rootstrap as root of a container"),
        Mode::Chroot => {
            let needed = [
                (CapabilitySet::SYS_CHROOT, "SYS_CHROOT"),
                (CapabilitySet::CHOWN, "CHOWN"),
                (CapabilitySet::DAC_OVERRIDE, "DAC_OVERRIDE"),
                (CapabilitySet::FOWNER, "FOWNER"),
                (CapabilitySet::SETUID, "SETUID"),
                (CapabilitySet::SETGID, "SETGID"),
            ];
            match needed.iter().find(|(capability, _)| !held.contains(*capability)) {
                Some((_, name)) => Err(Refusal::new(
                    mode,
                    format!("this is root without CAP_{name}"),
                    format!("run the container with --cap-add {name}"),
                )),
                None => Ok(()),
            }
        }
        Mode::Root | Mode::Unshare | Mode::Single => Ok(()),
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Why the kernel refuses what it was asked for.
pub(super) fn of_kernel(mode: Mode, what: &str, errno: Errno) -> Refusal {
    let refuse = |reason: String, hint: String| Refusal::new(mode, reason, hint);
    let number = |path: &str| read(path).parse::<i64>().ok();
    let denied = matches!(errno, Errno::PERM | Errno::ACCESS);
    if denied && number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        return refuse(
            "user namespaces are switched off for users (kernel.unprivileged_userns_clone = 0)".into(),
            "as root: sysctl -w kernel.unprivileged_userns_clone=1".into(),
        );
    }
    if matches!(errno, Errno::NOSPC | Errno::USERS) || number("/proc/sys/user/max_user_namespaces") == Some(0) {
        return refuse(
            format!(
                "there may be no further user namespaces (user.max_user_namespaces = {})",
                read("/proc/sys/user/max_user_namespaces")
            ),
            "as root: sysctl -w user.max_user_namespaces=15000".into(),
        );
    }
    if denied && number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return refuse(
            "AppArmor keeps programs without a profile from user namespaces \
             (kernel.apparmor_restrict_unprivileged_userns = 1)"
                .into(),
            apparmor_hint(),
        );
    }
    let filtered = read("/proc/self/status").lines().any(|line| line.starts_with("Seccomp:") && !line.ends_with('0'));
    if denied && filtered {
        return refuse(
            format!("a seccomp filter, as containers have one, does not let this process {what}"),
            "run the container with --security-opt seccomp=unconfined, or as its root with the usual capabilities"
                .into(),
        );
    }
    if denied && what == "make a user namespace" {
        return refuse(
            format!("the kernel does not let this process {what}: {errno}; a chroot or a security module forbids it"),
            "run rootstrap outside of the chroot, or as root".into(),
        );
    }
    if matches!(errno, Errno::INVAL | Errno::NOSYS) && what == "make a user namespace" {
        return refuse("this kernel has no user namespaces (CONFIG_USER_NS)".into(), "run rootstrap as root".into());
    }
    refuse(format!("the kernel does not let this process {what}: {errno}"), String::new())
}

/// The profile in `packaging/apparmor/`, for the place this very program is in.
fn apparmor_hint() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "/usr/bin/rootstrap".into());
    format!(
        "as root: printf 'abi <abi/4.0>,\\nprofile rootstrap {} flags=(unconfined) {{\\n  userns,\\n}}\\n' \
         >/etc/apparmor.d/rootstrap && apparmor_parser -r /etc/apparmor.d/rootstrap",
        program.display()
    )
}
