//! Where a result goes and in which format. The ending of a file name, or the name of a format, decides the format.

use rootstrap_image::compress::{Algorithm, Compression};
use std::path::{Path, PathBuf};

/// The format of a file or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The tree as a tar archive.
    Tar(Compression),
    /// The tree as a cpio archive, which the kernel takes for an initramfs.
    Cpio(Compression),
    /// A container image with a compressed layer: one archive that is an OCI layout and a docker-archive.
    Oci(Compression),
    /// The tree as a squashfs filesystem, made by a program of the host.
    Squashfs,
    /// The tree as an ext4 filesystem.
    Ext4,
}

/// Where the result goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// A directory that is absent or empty.
    Directory(PathBuf),
    /// A directory that is absent or empty, for a container image as an OCI layout with a compressed layer.
    Layout(PathBuf, Compression),
    /// A file, which is replaced in one step.
    File(PathBuf, Format),
    /// Standard output.
    Stdout(Format),
    /// Nowhere: the result is dropped, or only pushed.
    #[default]
    Nowhere,
}

/// The ends of names and the formats that they ask for. The first that fits counts.
const ENDINGS: [(&str, FormatName); 8] = [
    (".oci.tar", FormatName::Oci),
    (".oci", FormatName::Layout),
    (".cpio", FormatName::Cpio),
    (".cpio.gz", FormatName::Cpio),
    (".cpio.zst", FormatName::Cpio),
    (".squashfs", FormatName::Squashfs),
    (".sqfs", FormatName::Squashfs),
    (".ext4", FormatName::Ext4),
];

/// The ends of names that ask for a format which is not written. A directory with such a name is rarely what somebody wants.
const UNWRITTEN: [&str; 30] = [
    ".7z", ".ar", ".bin", ".btrfs", ".bz2", ".deb", ".erofs", ".ext2", ".ext3", ".gz", ".img", ".iso", ".lz", ".lz4",
    ".lzma", ".qcow2", ".rar", ".raw", ".rpm", ".sif", ".tbz", ".tbz2", ".vdi", ".vhd", ".vhdx", ".vmdk", ".xfs",
    ".xz", ".zip", ".zst",
];

/// The name of a format, without its compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatName {
    /// A directory.
    Directory,
    /// A tar archive.
    Tar,
    /// A container image in one archive.
    Oci,
    /// A container image in a directory.
    Layout,
    /// A squashfs filesystem.
    Squashfs,
    /// An ext4 filesystem.
    Ext4,
    /// A cpio archive.
    Cpio,
    /// No result.
    Null,
}

impl FormatName {
    /// All formats by their names on the command line.
    pub const ALL: [(&'static str, Self); 8] = [
        ("directory", Self::Directory),
        ("tar", Self::Tar),
        ("oci", Self::Oci),
        ("oci-directory", Self::Layout),
        ("squashfs", Self::Squashfs),
        ("ext4", Self::Ext4),
        ("cpio", Self::Cpio),
        ("null", Self::Null),
    ];

    /// Returns the format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, format)| (known == name).then_some(format))
    }
}

impl Target {
    /// Returns the target that a path (`-` is standard output), a format and a compression ask for together.
    ///
    /// # Errors
    /// They contradict each other. The text says how, with a hint after a line break.
    pub fn new(
        path: Option<&Path>,
        name: Option<FormatName>,
        compression: Option<Compression>,
    ) -> Result<Self, String> {
        let path = path.filter(|path| path.as_os_str() != "-");
        let of_path = path.and_then(of_name);
        let Some(format) = name.or(of_path.map(|(name, _)| name)).or(path.is_none().then_some(FormatName::Tar)) else {
            if let Some(ending) = path.and_then(unwritten) {
                return Err(format!(
                    "cannot write a file with the name {ending}: no format that is made has it\n\
                     hint: {WRITTEN}; --format=directory makes a directory of that name"
                ));
            }
            return match (path, compression) {
                (Some(path), None) => Ok(Self::Directory(path.to_owned())),
                _ => Err("a directory is not compressed".to_owned()),
            };
        };
        // The name decides the compression where it says one.
        let of_name = of_path.filter(|(named, _)| *named == format).and_then(|(_, compression)| compression);
        let compression = match (of_name, compression) {
            (Some(algorithm), Some(asked)) if name.is_none() && asked.algorithm != algorithm => {
                return Err(
                    "the name and --compression ask for different things\nhint: leave one of them out".to_owned()
                );
            }
            (_, Some(asked)) => asked,
            (Some(algorithm), None) => algorithm.into(),
            (None, None) if matches!(format, FormatName::Oci | FormatName::Layout) => Algorithm::Gzip.into(),
            (None, None) => Compression::default(),
        };
        let is_compressed = compression.algorithm != Algorithm::None;
        let file = |format| match path {
            Some(path) => Self::File(path.to_owned(), format),
            None => Self::Stdout(format),
        };
        let needs_path = |what: &str| format!("{what} needs a TARGET that is a name");
        Ok(match format {
            // The kernel knows no other checksum of xz than CRC32 (its Documentation/staging/xz.rst).
            FormatName::Cpio if compression.algorithm == Algorithm::Xz => {
                return Err(
                    "no kernel reads an initramfs that is compressed with xz here\nhint: use zstd or gzip".into()
                );
            }
            FormatName::Directory | FormatName::Squashfs | FormatName::Ext4 | FormatName::Null if is_compressed => {
                return Err("this format has no compression to choose".to_owned());
            }
            FormatName::Tar => file(Format::Tar(compression)),
            FormatName::Cpio => file(Format::Cpio(compression)),
            FormatName::Oci => file(Format::Oci(compression)),
            FormatName::Squashfs | FormatName::Ext4 if path.is_none() => return Err(needs_path("a filesystem")),
            FormatName::Squashfs => file(Format::Squashfs),
            FormatName::Ext4 => file(Format::Ext4),
            FormatName::Directory => Self::Directory(path.ok_or_else(|| needs_path("a directory"))?.to_owned()),
            FormatName::Layout => Self::Layout(path.ok_or_else(|| needs_path("a directory"))?.to_owned(), compression),
            FormatName::Null => Self::Nowhere,
        })
    }

    /// Returns the compression of the layer, if the target is a container image.
    #[must_use]
    pub fn layer(&self) -> Option<Compression> {
        match self {
            Self::Layout(_, compression)
            | Self::File(_, Format::Oci(compression))
            | Self::Stdout(Format::Oci(compression)) => Some(*compression),
            _ => None,
        }
    }

    /// Returns the path, if the target has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) | Self::Layout(path, _) | Self::File(path, _) => Some(path),
            Self::Stdout(_) | Self::Nowhere => None,
        }
    }

    /// Returns the same target at another path.
    #[must_use]
    pub fn at(&self, path: PathBuf) -> Self {
        match self {
            Self::Directory(_) => Self::Directory(path),
            Self::Layout(_, compression) => Self::Layout(path, *compression),
            Self::File(_, format) => Self::File(path, *format),
            Self::Stdout(_) | Self::Nowhere => self.clone(),
        }
    }
}

/// The ends of names, as a hint has them.
const WRITTEN: &str =
    "a name ends with .tar, .tar.gz, .tar.xz, .tar.zst, .oci.tar, .oci, .cpio, .cpio.gz, .cpio.zst, .squashfs or .ext4";

/// Returns the end of a name that asks for a format which is not written. A slash behind it asks for a directory.
fn unwritten(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let is_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    UNWRITTEN.into_iter().find(|ending| !is_directory && name.ends_with(ending))
}

/// Returns the format that the end of a name asks for, and the compression where the name says one.
fn of_name(path: &Path) -> Option<(FormatName, Option<Algorithm>)> {
    if path == Path::new("/dev/null") {
        return Some((FormatName::Null, None));
    }
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let compression = match () {
        () if name.ends_with(".cpio.gz") => Some(Algorithm::Gzip),
        () if name.ends_with(".cpio.zst") => Some(Algorithm::Zstd),
        () if name.ends_with(".cpio") => Some(Algorithm::None),
        () => None,
    };
    if let Some((_, format)) = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)) {
        return Some((*format, compression));
    }
    Compression::from_name(path).map(|compression| (FormatName::Tar, Some(compression.algorithm)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str, name: Option<&str>, compression: Option<&str>) -> Result<Target, String> {
        let name = name.map(|name| FormatName::from_name(name).unwrap());
        Target::new(Some(Path::new(path)), name, compression.map(|text| text.parse().unwrap()))
    }

    #[test]
    fn ends_and_names_of_formats() {
        let gzip = Compression::from(Algorithm::Gzip);
        let zstd = Compression::from(Algorithm::Zstd);
        let none = Compression::default();
        let best = Compression { algorithm: Algorithm::Zstd, level: Some(19) };
        let file = |path: &str, format| Target::File(path.into(), format);
        let directory = |path: &str| Target::Directory(path.into());
        for (path, name, compression, expected) in [
            ("focal", None, None, directory("focal")),
            ("focal.d/", None, None, directory("focal.d/")),
            ("-", None, None, Target::Stdout(Format::Tar(none))),
            ("-", None, Some("zstd"), Target::Stdout(Format::Tar(zstd))),
            ("-", Some("oci"), None, Target::Stdout(Format::Oci(gzip))),
            ("a.tar", None, None, file("a.tar", Format::Tar(none))),
            ("a.TGZ", None, None, file("a.TGZ", Format::Tar(gzip))),
            ("a.tar.zst", None, Some("zstd:19"), file("a.tar.zst", Format::Tar(best))),
            ("a", Some("tar"), Some("gzip"), file("a", Format::Tar(gzip))),
            ("a.tar", Some("tar"), Some("gzip"), file("a.tar", Format::Tar(gzip))),
            ("a.oci.tar", None, None, file("a.oci.tar", Format::Oci(gzip))),
            ("a.oci.tar", None, Some("zstd:19"), file("a.oci.tar", Format::Oci(best))),
            ("a.oci.tar", None, Some("none"), file("a.oci.tar", Format::Oci(none))),
            ("a.tar", Some("oci"), None, file("a.tar", Format::Oci(gzip))),
            ("a.oci/", None, None, Target::Layout("a.oci/".into(), gzip)),
            ("a", Some("oci-directory"), None, Target::Layout("a".into(), gzip)),
            ("a.squashfs", None, None, file("a.squashfs", Format::Squashfs)),
            ("a.ext4", None, None, file("a.ext4", Format::Ext4)),
            ("a.cpio", None, None, file("a.cpio", Format::Cpio(none))),
            ("a.cpio.gz", None, None, file("a.cpio.gz", Format::Cpio(gzip))),
            ("a.tar", Some("directory"), None, directory("a.tar")),
            ("a.img/", None, None, directory("a.img/")),
            ("a.raw", Some("directory"), None, directory("a.raw")),
            ("a.raw", Some("ext4"), None, file("a.raw", Format::Ext4)),
            ("bookworm-12.5", None, None, directory("bookworm-12.5")),
            ("a.tar", Some("null"), None, Target::Nowhere),
            ("/dev/null", None, None, Target::Nowhere),
        ] {
            assert_eq!(target(path, name, compression), Ok(expected), "{path} {name:?} {compression:?}");
        }
        for (path, name, compression) in [
            ("a", None, Some("gzip")),
            ("a.tar.gz", None, Some("zstd")),
            ("a.cpio", Some("cpio"), Some("xz")),
            ("a.squashfs", None, Some("zstd")),
            ("-", Some("directory"), None),
            ("-", Some("ext4"), None),
            ("-", Some("oci-directory"), None),
            ("a.qcow2", None, None),
            ("a.IMG", None, None),
            ("a.tar.bz2", None, None),
            ("a.cpio.xz", None, None),
        ] {
            assert!(target(path, name, compression).is_err(), "{path} {name:?} {compression:?}");
        }
    }

    #[test]
    fn the_hint_names_the_ends_that_are_written() {
        let named: Vec<&str> = WRITTEN.split([' ', ',']).filter(|word| word.starts_with('.')).collect();
        for ending in &named {
            assert!(
                !matches!(target(&format!("a{ending}"), None, None), Ok(Target::Directory(_)) | Err(_)),
                "{ending}"
            );
        }
        // One of the two for squashfs is enough.
        for (ending, _) in ENDINGS.iter().filter(|(ending, _)| *ending != ".sqfs") {
            assert!(named.contains(ending), "{ending}");
        }
    }
}
