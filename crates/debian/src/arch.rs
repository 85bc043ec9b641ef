//! Debian's architecture names (dpkg's `cputable` and `ostable`, Linux only).

/// The Debian architecture of the programs that a machine runs natively; `machine` is what `uname -m` prints there.
///
/// `None` for a machine for which Debian has no port.
#[must_use]
pub fn from_machine(machine: &str) -> Option<&'static str> {
    Some(match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i486" | "i586" | "i686" => "i386",
        "armv7l" | "armv8l" => "armhf",
        "armv5tel" | "armv6l" => "armel",
        "ppc64le" => "ppc64el",
        "s390x" => "s390x",
        "riscv64" => "riscv64",
        "loongarch64" => "loong64",
        "mips64" => "mips64el",
        _ => return None,
    })
}

/// Whether a kernel of Debian architecture `host` runs programs of `target` without an emulator.
#[must_use]
pub fn runs_natively(host: &str, target: &str) -> bool {
    host == target || matches!((host, target), ("amd64", "i386") | ("arm64", "armhf" | "armel") | ("armhf", "armel"))
}

/// The name of an architecture in the paths of its libraries, as `dpkg-architecture -qDEB_HOST_MULTIARCH` prints it. `None` for
/// architectures that are not listed here.
#[must_use]
pub fn multiarch(architecture: &str) -> Option<&'static str> {
    Some(match architecture {
        "amd64" => "x86_64-linux-gnu",
        "arm64" => "aarch64-linux-gnu",
        "armel" => "arm-linux-gnueabi",
        "armhf" => "arm-linux-gnueabihf",
        "i386" => "i386-linux-gnu",
        "loong64" => "loongarch64-linux-gnu",
        "mips64el" => "mips64el-linux-gnuabi64",
        "mipsel" => "mipsel-linux-gnu",
        "ppc64el" => "powerpc64le-linux-gnu",
        "riscv64" => "riscv64-linux-gnu",
        "s390x" => "s390x-linux-gnu",
        _ => return None,
    })
}

/// Whether `name` has the form of an architecture name: lower-case letters, digits and `-`.
///
/// Names become parts of URLs and file names, so any other name is refused first.
#[must_use]
pub fn is_valid(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 40
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_have_debian_names() {
        assert_eq!(from_machine("x86_64"), Some("amd64"));
        assert_eq!(from_machine("aarch64"), Some("arm64"));
        assert_eq!(from_machine("vax"), None);
        assert!(runs_natively("amd64", "i386"));
        assert!(!runs_natively("amd64", "arm64"));
        assert_eq!(multiarch("armhf"), Some("arm-linux-gnueabihf"));
        assert_eq!(multiarch("vax"), None);
    }

    #[test]
    fn names_that_could_leave_a_path_are_refused() {
        for bad in ["", "../amd64", "AMD64", "amd64/..", "-x", "a b"] {
            assert!(!is_valid(bad), "{bad:?}");
        }
        assert!(is_valid("kfreebsd-amd64"));
    }
}
