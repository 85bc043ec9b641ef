//! control.tar: what a package says about itself, and the scripts that it brings (deb-control(5), deb(5)).

use crate::error::Error;
use crate::limits;
use rootstrap_debian::control::{self, Stanza};
use rootstrap_debian::relation;
use std::io::Read;

/// One file of control.tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// File name.
    pub name: String,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Contents.
    pub contents: Vec<u8>,
}

/// One line of `conffiles` (deb-conffiles(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conffile {
    /// Absolute path.
    pub path: Vec<u8>,
    /// Whether the line says `remove-on-upgrade`: the package does not ship the file any more.
    pub remove_on_upgrade: bool,
}

/// Everything in control.tar.
#[derive(Clone, Debug)]
pub struct Control {
    /// The package name, which has been checked.
    pub package: String,
    /// Version as written.
    pub version: String,
    /// Architecture as written.
    pub architecture: String,
    /// Whether the package may be installed for several architectures side by side.
    pub multi_arch_same: bool,
    /// The text of the control file, read as Latin-1 if it is not UTF-8.
    pub text: String,
    /// Whether the control file was read as Latin-1. Packages from before Policy asked for UTF-8 need this.
    is_latin1: bool,
    /// All files, the control file included, in archive order.
    pub members: Vec<Member>,
    /// The conffiles in file order.
    pub conffiles: Vec<Conffile>,
}

impl Control {
    /// Reads a decoded control.tar.
    ///
    /// # Errors
    /// It is no tar archive, it has no control file, or that file has no usable name, version or architecture.
    pub(crate) fn read(label: &str, tar: impl Read) -> Result<Self, Error> {
        let damaged = |reason: &str| Error::Damaged { label: label.to_owned(), reason: reason.to_owned() };
        let members = read_members(label, tar)?;
        let control = members.iter().find(|member| member.name == "control");
        let control = control.ok_or_else(|| damaged("its control.tar has no control file"))?;
        let (text, is_latin1) = match std::str::from_utf8(&control.contents) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (control.contents.iter().copied().map(char::from).collect(), true),
        };
        let bad = |source| Error::Control { label: label.to_owned(), source };
        let (package, version, architecture, multi_arch_same) = {
            let stanza = control::parse_one(&text).map_err(bad)?;
            let field = |name| stanza.require(name).map(str::to_owned).map_err(bad);
            let same = stanza.get("Multi-Arch").is_some_and(|value| value.eq_ignore_ascii_case("same"));
            (field("Package")?, field("Version")?, field("Architecture")?, same)
        };
        if !relation::is_package_name(&package) || !rootstrap_debian::arch::is_valid(&architecture) {
            return Err(damaged("its name or architecture is not one"));
        }
        if version.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(damaged("its version is not one"));
        }
        let conffiles = conffiles(&members).ok_or_else(|| damaged("its list of conffiles is malformed"))?;
        Ok(Self { package, version, architecture, multi_arch_same, text, is_latin1, members, conffiles })
    }

    /// The control file's fields.
    #[must_use]
    pub fn stanza(&self) -> Stanza<'_> {
        // The text was parsed successfully when it was read, so this cannot fail.
        control::parse_one(&self.text).unwrap_or_default()
    }

    /// The bytes from which `text`, a part of [`Control::text`], was read. dpkg's database contains these bytes.
    pub(crate) fn bytes(&self, text: &str) -> Vec<u8> {
        if self.is_latin1 {
            text.chars().filter_map(|c| u8::try_from(c).ok()).collect()
        } else {
            text.as_bytes().to_vec()
        }
    }

    /// The member `name`, if the package brings it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The name of the package in the file names of dpkg's database: `PKG`, or `PKG:ARCH` if several architectures may be
    /// installed side by side (dpkg `db-ctrl-access.c:pkg_infodb_get_file`).
    #[must_use]
    pub fn database_name(&self) -> String {
        if self.multi_arch_same { format!("{}:{}", self.package, self.architecture) } else { self.package.clone() }
    }
}

/// Reads the files of a decoded control.tar, in archive order.
fn read_members(label: &str, tar: impl Read) -> Result<Vec<Member>, Error> {
    let io = |source| Error::Io { label: label.to_owned(), source };
    let damaged = |reason: &str| Error::Damaged { label: label.to_owned(), reason: reason.to_owned() };
    let mut members: Vec<Member> = Vec::new();
    for entry in tar::Archive::new(tar).entries().map_err(io)? {
        let mut entry = entry.map_err(io)?;
        let name = file_name(&entry.path_bytes());
        let kind = entry.header().entry_type();
        if kind.is_dir() && name.is_empty() {
            continue;
        }
        // The names become file names in dpkg's database, which allows 100 characters (unpack.c:pkg_infodb_update).
        if name.is_empty() || name.len() > 100 || name.contains(['/', '\0']) || name.starts_with("..") {
            return Err(damaged("its control.tar holds a file with an impossible name"));
        }
        if members.len() == limits::MEMBERS {
            return Err(damaged("its control.tar holds too many files"));
        }
        let member = if kind.is_file() {
            let (mode, mtime) = (entry.header().mode().map_err(io)?, entry.header().mtime().map_err(io)?);
            let size = entry.size();
            let mut contents = Vec::new();
            (&mut entry).take(limits::CONTROL).read_to_end(&mut contents).map_err(io)?;
            if contents.len() as u64 != size {
                return Err(damaged("its control.tar is cut off"));
            }
            Member { name, mode: mode & 0o7777, mtime: mtime.cast_signed(), contents }
        } else if kind.is_hard_link() {
            let target = file_name(&entry.link_name_bytes().unwrap_or_default());
            let known = members.iter().find(|member| member.name == target);
            Member { name, ..known.ok_or_else(|| damaged("a link in its control.tar leads nowhere"))?.clone() }
        } else {
            return Err(damaged("its control.tar holds something other than plain files"));
        };
        // Of two files with the same name the later one counts, as when tar unpacks them.
        members.retain(|known| known.name != member.name);
        members.push(member);
    }
    Ok(members)
}

/// The name of a file in control.tar, without a leading `./`.
fn file_name(path: &[u8]) -> String {
    String::from_utf8_lossy(path).trim_start_matches("./").to_owned()
}

/// Parses the member `conffiles`: absolute paths, an optional flag before each, and a line end after each line (dpkg
/// `src/main/unpack.c:deb_parse_conffiles`). `None` if it is malformed.
fn conffiles(members: &[Member]) -> Option<Vec<Conffile>> {
    let Some(list) = members.iter().find(|member| member.name == "conffiles") else { return Some(Vec::new()) };
    if list.contents.last().is_some_and(|&last| last != b'\n') {
        return None;
    }
    let mut conffiles = Vec::new();
    for line in list.contents.split(|&b| b == b'\n') {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        let (path, remove_on_upgrade) = match line.strip_prefix(b"remove-on-upgrade ") {
            Some(path) => (path.trim_ascii_start(), true),
            None => (line, false),
        };
        if !path.starts_with(b"/") {
            return None;
        }
        conffiles.push(Conffile { path: path.to_vec(), remove_on_upgrade });
    }
    Some(conffiles)
}
