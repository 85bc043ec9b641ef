//! The OCI platforms of Debian architectures.

use rootstrap_rootfs::{Kind, Root, walk};
use std::fs::File;
use std::io::Read;

/// A platform. The operating system is always Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The architecture, as a value of Go's `GOARCH`.
    pub architecture: &'static str,
    /// The variant of the architecture, where the specification requires one.
    pub variant: Option<&'static str>,
}

/// Debian's name, Go's name, and the variant (OCI image-index.md, "Platform Variants"; as in Debian's and Ubuntu's own images).
const PLATFORMS: [(&str, &str, Option<&str>); 15] = [
    ("amd64", "amd64", None),
    ("arm64", "arm64", Some("v8")),
    ("armhf", "arm", Some("v7")),
    ("armel", "arm", Some("v5")),
    ("i386", "386", None),
    ("ppc64el", "ppc64le", None),
    ("s390x", "s390x", None),
    ("riscv64", "riscv64", None),
    ("loong64", "loong64", None),
    ("mips64el", "mips64le", None),
    ("mipsel", "mipsle", None),
    ("mips", "mips", None),
    ("powerpc", "ppc", None),
    ("ppc64", "ppc64", None),
    ("sparc64", "sparc64", None),
];

/// Debian's name of a variant of an architecture, Go's name of the architecture, and the variant (`GOAMD64`).
const VARIANTS: [(&str, &str, &str); 3] =
    [("amd64v2", "amd64", "v2"), ("amd64v3", "amd64", "v3"), ("amd64v4", "amd64", "v4")];

impl Platform {
    /// Returns the platform of a Debian architecture, and `None` if containers have no name for the architecture.
    #[must_use]
    pub fn of_debian(architecture: &str) -> Option<Self> {
        let found = PLATFORMS.iter().find(|(debian, ..)| *debian == architecture);
        found.map(|&(_, architecture, variant)| Self { architecture, variant })
    }

    /// Returns the platform of a variant of the architecture, if containers have a name for it.
    #[must_use]
    pub fn with_variant(self, variant: Option<&str>) -> Self {
        let found = VARIANTS.iter().find(|(debian, of, _)| Some(*debian) == variant && *of == self.architecture);
        found.map_or(self.clone(), |(.., name)| Self { variant: Some(name), ..self })
    }

    /// Returns the Debian architecture of a tree: that of its dpkg, else of its shell or init, else of its first program.
    /// Returns `None` if the tree has no program, and a name without a platform if the program is for an unknown machine.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub fn find_debian(root: &Root) -> crate::Result<Option<String>> {
        let status = root.read(b"var/lib/dpkg/status").ok().flatten().unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let dpkg = status.split("\n\n").find(|stanza| stanza.lines().any(|line| line == "Package: dpkg"));
        let field = |line: &str| line.strip_prefix("Architecture: ").map(str::to_owned);
        if let Some(found) = dpkg.and_then(|stanza| stanza.lines().find_map(field)) {
            return Ok(Some(found));
        }
        let head = |file: File| {
            let mut head = Vec::new();
            // A file that cannot be read is skipped. If it is part of the archive, writing the archive reports the error.
            file.take(HEADER_SIZE).read_to_end(&mut head).ok().and_then(|_| architecture_of_elf(&head))
        };
        for path in ["bin/sh", "usr/bin/env", "sbin/init", "bin/busybox"] {
            if let Some(found) = root.open_file(path.as_bytes()).ok().and_then(head) {
                return Ok(Some(found));
            }
        }
        let mut found = None;
        walk::<crate::Error>(root, &mut |visit| {
            let is_program = visit.metadata.kind == Kind::File && visit.metadata.attributes.mode & 0o111 != 0;
            if found.is_none() && is_program {
                found = visit.open().ok().and_then(head);
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }
}

/// The length of the larger of the two ELF headers (elf(5)).
const HEADER_SIZE: u64 = 64;

/// Returns the Debian architecture of a program with this ELF header, and `machine-N` if the machine is unknown.
fn architecture_of_elf(head: &[u8]) -> Option<String> {
    if head.get(..4)? != b"\x7fELF" {
        return None;
    }
    let (class, data) = (*head.get(4)?, *head.get(5)?);
    let half = |at: usize| {
        let bytes = head.get(at..at + 2)?.try_into().ok()?;
        Some(if data == 1 { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    // `e_machine`. The offset 36 below is the low half of `e_flags` of a 32-bit little-endian program.
    let machine = half(18)?;
    let known = match (machine, class, data) {
        (62, 2, 1) => "amd64",
        (3, 1, 1) => "i386",
        (183, 2, 1) => "arm64",
        // EF_ARM_ABI_FLOAT_HARD
        (40, 1, 1) if half(36)? & 0x400 != 0 => "armhf",
        (40, 1, 1) => "armel",
        (21, 2, 1) => "ppc64el",
        (21, 2, 2) => "ppc64",
        (20, 1, 2) => "powerpc",
        (22, 2, 2) => "s390x",
        (243, 2, 1) => "riscv64",
        (258, 2, 1) => "loong64",
        (8, 2, 1) => "mips64el",
        (8, 1, 1) => "mipsel",
        (8, 1, 2) => "mips",
        (43, 2, 2) => "sparc64",
        _ => return Some(format!("machine-{machine}")),
    };
    Some(known.to_owned())
}
