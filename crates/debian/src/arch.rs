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

/// The names that dpkg knows (`dpkg-architecture -L`, those with ports of Debian or Ubuntu, past ones included).
const KNOWN: [&str; 29] = [
    "alpha",
    "amd64",
    "arm",
    "arm64",
    "armel",
    "armhf",
    "hppa",
    "hurd-amd64",
    "hurd-i386",
    "i386",
    "ia64",
    "kfreebsd-amd64",
    "kfreebsd-i386",
    "loong64",
    "m68k",
    "mips",
    "mips64el",
    "mipsel",
    "powerpc",
    "ppc64",
    "ppc64el",
    "riscv64",
    "s390",
    "s390x",
    "sh4",
    "sparc",
    "sparc64",
    "x32",
    "powerpcspe",
];

/// Whether dpkg knows an architecture of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Returns dpkg's name for what compilers, kernels, containers and other distributions call an architecture.
#[must_use]
pub fn from_other_name(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase().replace(['_', '/'], "-");
    // `linux/arm/v7` is how containers write it.
    let name = lower.strip_prefix("linux-").unwrap_or(&lower);
    let found = match name {
        "x86-64" | "x64" | "amd64-v1" => "amd64",
        "arm64-v8" | "arm64v8" | "armv8" | "armv8-a" | "arm64e" => "arm64",
        "arm" | "arm-v7" | "arm32v7" | "armv7" | "armv7hl" | "armhfp" => "armhf",
        "arm-v5" | "arm-v6" | "arm32v5" | "arm32v6" | "armv5" | "armv6" | "armv6hl" => "armel",
        "x86" | "386" | "ia32" => "i386",
        "ppc64le" | "powerpc64le" => "ppc64el",
        "powerpc64" => "ppc64",
        "ppc" => "powerpc",
        "riscv64gc" | "rv64" => "riscv64",
        "loongarch64" => "loong64",
        "mips64le" => "mips64el",
        "mipsle" => "mipsel",
        other => {
            return from_machine(&other.replace("x86-64", "x86_64"))
                .or_else(|| KNOWN.into_iter().find(|it| *it == other));
        }
    };
    Some(found)
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
    fn other_names_lead_to_debian_names() {
        for (other, name) in [
            ("x86_64", "amd64"),
            ("x86-64", "amd64"),
            ("AMD64", "amd64"),
            ("aarch64", "arm64"),
            ("linux/arm64", "arm64"),
            ("linux/arm/v7", "armhf"),
            ("armv7l", "armhf"),
            ("i686", "i386"),
            ("ppc64le", "ppc64el"),
        ] {
            assert_eq!(from_other_name(other), Some(name), "{other}");
            assert!(is_known(name) && !is_known(other), "{other}");
        }
        assert_eq!(from_other_name("vax"), None);
    }

    #[test]
    fn names_that_could_leave_a_path_are_refused() {
        for bad in ["", "../amd64", "AMD64", "amd64/..", "-x", "a b"] {
            assert!(!is_valid(bad), "{bad:?}");
        }
        assert!(is_valid("kfreebsd-amd64"));
    }
}
