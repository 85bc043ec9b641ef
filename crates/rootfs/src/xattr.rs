//! Which extended attributes go where.

/// Whether the extended attribute `name` belongs into an archive or image.
///
/// It does if it means the same on another machine and can be set there: capabilities and the attributes that users made
/// up. It does not if it is an ACL (its numbers are those of local accounts, and some engines refuse it), a label or
/// signature of this host's security modules, or a note of the overlay filesystem that the tree may lie on.
#[must_use]
pub fn is_portable(name: &[u8]) -> bool {
    let of_overlays: [&[u8]; 3] = [b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers."];
    name == CAPABILITIES || (name.starts_with(b"user.") && !of_overlays.iter().any(|prefix| name.starts_with(prefix)))
}

/// Whether the extended attribute `name` belongs to the entry and not to the host: labels of security modules are the
/// host's.
#[must_use]
pub fn is_of_entry(name: &[u8]) -> bool {
    name == CAPABILITIES || !name.starts_with(b"security.")
}

/// File capabilities (capabilities(7)).
const CAPABILITIES: &[u8] = b"security.capability";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_means_something_here_stays_here() {
        for name in ["security.capability", "user.note"] {
            assert!(is_portable(name.as_bytes()) && is_of_entry(name.as_bytes()), "{name}");
        }
        for name in ["system.posix_acl_access", "security.selinux", "security.ima", "user.overlay.origin", "trusted.x"]
        {
            assert!(!is_portable(name.as_bytes()), "{name}");
        }
        assert!(is_of_entry(b"system.posix_acl_access") && !is_of_entry(b"security.selinux"));
    }
}
