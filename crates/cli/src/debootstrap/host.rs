//! What debootstrap and mmdebstrap copy from the host.

use rootstrap_bootstrap::Settings;
use std::path::Path;

/// What the host says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub hostname: Option<String>,
    pub has_resolv_conf: bool,
}

/// Looks at the host.
pub(crate) fn host() -> Host {
    let text = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    Host { hostname: hostname(&text), has_resolv_conf: Path::new("/etc/resolv.conf").exists() }
}

impl Host {
    /// Returns what a target gets from the host: nothing that it has already.
    pub(super) fn without_files_of(self, target: &Path) -> Self {
        let has = |path: &str| target.join(path).symlink_metadata().is_ok();
        Self {
            hostname: self.hostname.filter(|_| !has("etc/hostname")),
            has_resolv_conf: self.has_resolv_conf && !has("etc/resolv.conf"),
        }
    }
}

/// Returns the name in the text of /etc/hostname (hostname(5)), unless it is one that no system should get.
fn hostname(text: &str) -> Option<String> {
    let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Settings::is_hostname(name).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_systemd_reads_them() {
        assert_eq!(hostname("# by hand\n\n build-1.example \n").as_deref(), Some("build-1.example"));
        for text in ["", "#\n", "build_host\n", "-x\n"] {
            assert_eq!(hostname(text), None, "{text}");
        }
    }
}
