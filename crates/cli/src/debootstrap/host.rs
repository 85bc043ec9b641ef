//! What debootstrap and mmdebstrap copy from the host.

use std::path::Path;

/// What the host says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub hostname: Option<String>,
    pub has_resolv_conf: bool,
}

/// Looks at the host.
pub(crate) fn host() -> Host {
    let hostname = std::fs::read_to_string("/etc/hostname").ok().map(|text| text.trim().to_owned());
    Host { hostname: hostname.filter(|name| !name.is_empty()), has_resolv_conf: Path::new("/etc/resolv.conf").exists() }
}
