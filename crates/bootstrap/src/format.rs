//! What a run makes, and how that is asked for: by the ending of a name, or by a word.

use rootstrap_image::compress::{Algorithm, Compression};
use std::path::{Path, PathBuf};

/// The formats of a file or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The tree as a tar archive.
    Tar(Compression),
    /// The tree as the kernel takes it for an initramfs.
    Cpio(Compression),
    /// A container image, its layer compressed: one archive that is an OCI layout and a docker-archive.
    Oci(Compression),
    /// The tree as a read-only filesystem, by a program of the host.
    Squashfs,
    /// The tree as a filesystem, by programs of the host.
    Ext4,
}

/// Where the result goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// A directory that is absent or empty.
    Directory(PathBuf),
    /// A directory that is absent or empty, for a container image as an OCI layout whose layer is compressed like this.
    Layout(PathBuf, Compression),
    /// A file, replaced in one step.
    File(PathBuf, Format),
    /// Standard output.
    Stdout(Format),
    /// Nowhere: the run is all there is, and what it pushes.
    #[default]
    Nowhere,
}

/// Endings of names and what they ask for; the first that fits counts.
const ENDINGS: [(&str, Word); 8] = [
    (".oci.tar", Word::Oci),
    (".oci", Word::Layout),
    (".cpio", Word::Cpio),
    (".cpio.gz", Word::Cpio),
    (".cpio.zst", Word::Cpio),
    (".squashfs", Word::Squashfs),
    (".sqfs", Word::Squashfs),
    (".ext4", Word::Ext4),
];

/// A format as it is asked for, its compression apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
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
    /// An archive for the kernel.
    Cpio,
    /// Nothing at all.
    Null,
}

impl Word {
    /// All of them, as they are written.
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

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(word, format)| (word == name).then_some(format))
    }
}

impl Target {
    /// What a path (`-` is standard output), a format and a compression mean together.
    ///
    /// # Errors
    /// They contradict each other: the problem, and after a line break a hint, in words.
    pub fn new(path: Option<&Path>, word: Option<Word>, compression: Option<Compression>) -> Result<Self, String> {
        let path = path.filter(|path| path.as_os_str() != "-");
        let named = path.and_then(of_name);
        let Some(format) = word.or(named.map(|(word, _)| word)).or(path.is_none().then_some(Word::Tar)) else {
            return match (path, compression) {
                (Some(path), None) => Ok(Self::Directory(path.to_owned())),
                _ => Err("a directory is not compressed".to_owned()),
            };
        };
        // A name that says how it is compressed is taken at its word.
        let of_name = named.filter(|(of_name, _)| *of_name == format).and_then(|(_, compression)| compression);
        let compression = match (of_name, compression) {
            (Some(algorithm), Some(asked)) if word.is_none() && asked.algorithm != algorithm => {
                return Err(
                    "the name and --compression ask for different things\nhint: leave one of them out".to_owned()
                );
            }
            (_, Some(asked)) => asked,
            (Some(algorithm), None) => algorithm.into(),
            (None, None) if matches!(format, Word::Oci | Word::Layout) => Algorithm::Gzip.into(),
            (None, None) => Compression::default(),
        };
        let is_compressed = compression.algorithm != Algorithm::None;
        let xz = compression.algorithm == Algorithm::Xz;
        let file = |format| match path {
            Some(path) => Self::File(path.to_owned(), format),
            None => Self::Stdout(format),
        };
        let needs_path = |what: &str| format!("{what} needs a TARGET that is a name");
        Ok(match format {
            Word::Oci | Word::Layout if xz => {
                return Err(
                    "no container engine reads a layer that is compressed with xz\nhint: use zstd or gzip".into()
                );
            }
            // The kernel knows no other checksum of xz than CRC32 (its Documentation/staging/xz.rst).
            Word::Cpio if xz => {
                return Err(
                    "no kernel reads an initramfs that is compressed with xz here\nhint: use zstd or gzip".into()
                );
            }
            Word::Directory | Word::Squashfs | Word::Ext4 | Word::Null if is_compressed => {
                return Err("this format has no compression to choose".to_owned());
            }
            Word::Tar => file(Format::Tar(compression)),
            Word::Cpio => file(Format::Cpio(compression)),
            Word::Oci => file(Format::Oci(compression)),
            Word::Squashfs | Word::Ext4 if path.is_none() => return Err(needs_path("a filesystem")),
            Word::Squashfs => file(Format::Squashfs),
            Word::Ext4 => file(Format::Ext4),
            Word::Directory => Self::Directory(path.ok_or_else(|| needs_path("a directory"))?.to_owned()),
            Word::Layout => Self::Layout(path.ok_or_else(|| needs_path("a directory"))?.to_owned(), compression),
            Word::Null => Self::Nowhere,
        })
    }

    /// How the layer is compressed, if this is a container image.
    #[must_use]
    pub fn layer(&self) -> Option<Compression> {
        match self {
            Self::Layout(_, compression)
            | Self::File(_, Format::Oci(compression))
            | Self::Stdout(Format::Oci(compression)) => Some(*compression),
            _ => None,
        }
    }

    /// The path it has, if it has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) | Self::Layout(path, _) | Self::File(path, _) => Some(path),
            Self::Stdout(_) | Self::Nowhere => None,
        }
    }

    /// The same at another path.
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

/// What a name asks for by its ending, and which compression if it says so.
fn of_name(path: &Path) -> Option<(Word, Option<Algorithm>)> {
    if path == Path::new("/dev/null") {
        return Some((Word::Null, None));
    }
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let compression = match () {
        () if name.ends_with(".cpio.gz") => Some(Algorithm::Gzip),
        () if name.ends_with(".cpio.zst") => Some(Algorithm::Zstd),
        () if name.ends_with(".cpio") => Some(Algorithm::None),
        () => None,
    };
    if let Some((_, word)) = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)) {
        return Some((*word, compression));
    }
    Compression::from_name(path).map(|compression| (Word::Tar, Some(compression.algorithm)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str, word: Option<&str>, compression: Option<&str>) -> Result<Target, String> {
        let word = word.map(|word| Word::from_name(word).unwrap());
        Target::new(Some(Path::new(path)), word, compression.map(|text| text.parse().unwrap()))
    }

    #[test]
    fn endings_and_words() {
        let gzip = Compression::from(Algorithm::Gzip);
        let zstd = Compression::from(Algorithm::Zstd);
        let none = Compression::default();
        let best = Compression { algorithm: Algorithm::Zstd, level: Some(19) };
        let file = |path: &str, format| Target::File(path.into(), format);
        let directory = |path: &str| Target::Directory(path.into());
        for (path, word, compression, expected) in [
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
            ("a.tar", Some("null"), None, Target::Nowhere),
            ("/dev/null", None, None, Target::Nowhere),
        ] {
            assert_eq!(target(path, word, compression), Ok(expected), "{path} {word:?} {compression:?}");
        }
        for (path, word, compression) in [
            ("a", None, Some("gzip")),
            ("a.tar.gz", None, Some("zstd")),
            ("a.oci.tar", None, Some("xz")),
            ("a.cpio", Some("cpio"), Some("xz")),
            ("a.squashfs", None, Some("zstd")),
            ("-", Some("directory"), None),
            ("-", Some("ext4"), None),
            ("-", Some("oci-directory"), None),
        ] {
            assert!(target(path, word, compression).is_err(), "{path} {word:?} {compression:?}");
        }
    }
}
