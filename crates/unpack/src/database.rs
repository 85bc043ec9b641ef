//! Reads and writes dpkg's database without dpkg (dpkg `lib/dpkg/dump.c`, `lib/dpkg/parse.c:fieldinfos`, `src/main/unpack.c`).

use crate::conffiles::Conffiles;
use crate::control::{Control, Member};
use crate::entries::{Entry, EntryKind};
use crate::error::Error;
use rootstrap_rootfs::{Attributes, Cursor, Root};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;

const INFO: &str = "var/lib/dpkg/info";
const STATUS: &[u8] = b"var/lib/dpkg/status";

/// The order of the fields in a status stanza (parse.c:fieldinfos, without the fields that only `available` has). All other
/// fields follow in the order of the control file.
const FIELDS: [&str; 25] = [
    "Package",
    "Essential",
    "Protected",
    "Status",
    "Priority",
    "Section",
    "Installed-Size",
    "Origin",
    "Maintainer",
    "Bugs",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Version",
    "Replaces",
    "Provides",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Enhances",
    "Conffiles",
    "Description",
];

/// Fields of a control file that are never written to `status`.
const DROPPED: [&str; 7] =
    ["Filename", "Size", "MD5sum", "MSDOS-Filename", "Config-Version", "Triggers-Pending", "Triggers-Awaited"];

/// Creates an empty database for a system of these architectures, the native one first.
///
/// # Errors
/// The tree cannot be changed.
pub fn create(root: &Root, architectures: &[&str]) -> Result<(), Error> {
    for directory in ["info", "updates", "triggers", "alternatives"] {
        root.create_directories(format!("var/lib/dpkg/{directory}").as_bytes(), 0o755)?;
    }
    root.write(b"var/lib/dpkg/info/format", b"1\n", 0o644)?;
    root.write(b"var/lib/dpkg/arch", format!("{}\n", architectures.join("\n")).as_bytes(), 0o644)?;
    root.write(STATUS, b"", 0o644)?;
    Ok(())
}

/// A merged package, as it is to be recorded.
pub struct Record<'a> {
    /// The control data.
    pub control: &'a Control,
    /// The entries from which it was merged.
    pub entries: &'a [Entry],
    /// The text of its `.list`.
    pub list: &'a [u8],
    /// The paths of the entries that are not in the tree.
    pub excluded: &'a HashSet<Vec<u8>>,
}

/// Records merged packages as unpacked: writes their info files, and then one new `status` with all their stanzas.
///
/// # Errors
/// The database cannot be read or written.
pub fn record(root: &Root, records: &[Record<'_>], conffiles: Conffiles) -> Result<(), Error> {
    let mut cursor = Cursor::new(root);
    for record in records {
        let digests = digests(record);
        write_info(&mut cursor, record, &digests)?;
    }
    let status = root.read(STATUS)?.unwrap_or_default();
    let mut stanzas: BTreeMap<(String, String), Vec<u8>> =
        stanzas(&status).map(|stanza| (key(stanza), stanza.to_vec())).collect();
    for record in records {
        let text = stanza(record.control, &digests(record), conffiles);
        stanzas.insert((record.control.package.clone(), record.control.architecture.clone()), text);
    }
    let mut text = Vec::with_capacity(status.len());
    for stanza in stanzas.values() {
        text.extend_from_slice(stanza);
        text.push(b'\n');
    }
    root.write(STATUS, &text, 0o644)?;
    Ok(())
}

/// The stanzas of a `status`, each with its last newline. They are bytes, because packages from before Policy asked for UTF-8
/// have fields and paths in other encodings.
fn stanzas(status: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut lines = status.split_inclusive(|&b| b == b'\n');
    let mut rest = status;
    std::iter::from_fn(move || {
        let length: usize = lines.by_ref().map_while(|line| (line != b"\n").then_some(line.len())).sum();
        let (stanza, after) = rest.split_at_checked(length)?;
        rest = after.strip_prefix(b"\n").unwrap_or(after);
        (!stanza.is_empty() || !rest.is_empty()).then_some(stanza)
    })
    .filter(|stanza| !stanza.is_empty())
}

/// Package name and architecture of a stanza: the order of `status`.
fn key(stanza: &[u8]) -> (String, String) {
    let field = |name: &[u8]| {
        let value = stanza.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        String::from_utf8_lossy(value.trim_ascii()).into_owned()
    };
    (field(b"Package:"), field(b"Architecture:"))
}

/// The MD5 of every file whose digest was computed, by path. A file with hard links has one under each of its names.
fn digests<'a>(record: &Record<'a>) -> HashMap<&'a [u8], &'a str> {
    let mut digests = HashMap::new();
    for entry in record.entries.iter().filter(|entry| !record.excluded.contains(&entry.path)) {
        match &entry.kind {
            EntryKind::File { md5: Some(md5), .. } => {
                digests.insert(entry.path.as_slice(), md5.as_str());
            }
            EntryKind::HardLink(target) => {
                if let Some(&md5) = digests.get(target.as_slice()) {
                    digests.insert(entry.path.as_slice(), md5);
                }
            }
            _ => {}
        }
    }
    digests
}

/// Writes the info files of one package.
fn write_info(cursor: &mut Cursor<'_>, record: &Record<'_>, digests: &HashMap<&[u8], &str>) -> Result<(), Error> {
    let name = record.control.database_name();
    let mut write = |kind: &str, contents: &[u8], mode: u32, mtime: Option<i64>| -> rootstrap_rootfs::Result<()> {
        let place = cursor.at(format!("{INFO}/{name}.{kind}").as_bytes())?;
        place.remove()?;
        let mut file = place.create_file()?;
        file.write_all(contents).map_err(|error| place.error("write", error))?;
        place.set_owner(0, 0)?;
        place.set_mode(mode)?;
        mtime.map_or(Ok(()), |mtime| place.set_mtime(mtime))
    };
    write("list", record.list, 0o644, None)?;
    for Member { name, mode, mtime, contents } in info_members(record.control) {
        write(name, contents, *mode, Some(*mtime))?;
    }
    if record.control.member("md5sums").is_none() {
        // dpkg writes every file and hard link in the order of the list (db-fsys-digest.c:write_filehash_except).
        let mut sums = Vec::new();
        for path in record.list.split(|&b| b == b'\n') {
            if let Some(md5) = digests.get(path) {
                sums.extend_from_slice(md5.as_bytes());
                sums.extend_from_slice(b"  ");
                sums.extend_from_slice(path.strip_prefix(b"/").unwrap_or(path));
                sums.push(b'\n');
            }
        }
        write("md5sums", &sums, 0o644, None)?;
    }
    Ok(())
}

/// The members of control.tar that dpkg keeps (unpack.c:pkg_infodb_update).
fn info_members(control: &Control) -> impl Iterator<Item = &Member> {
    control
        .members
        .iter()
        .filter(|member| member.name != "control" && member.name != "list" && !member.name.contains('.'))
}

/// The stanza of a package that is unpacked and has never been configured.
fn stanza(control: &Control, digests: &HashMap<&[u8], &str>, conffiles: Conffiles) -> Vec<u8> {
    let fields = control.stanza();
    let mut conffile_lines = Vec::new();
    for conffile in &control.conffiles {
        let digest = match (conffiles, digests.get(conffile.path.as_slice())) {
            (Conffiles::InPlace, Some(md5)) if !conffile.remove_on_upgrade => md5,
            _ => "newconffile",
        };
        let flag = if conffile.remove_on_upgrade { " remove-on-upgrade" } else { "" };
        conffile_lines.extend_from_slice(b"\n ");
        conffile_lines.extend_from_slice(&conffile.path);
        conffile_lines.extend_from_slice(format!(" {digest}{flag}").as_bytes());
    }
    let mut text = Vec::with_capacity(control.text.len() + conffile_lines.len() + 32);
    let mut push = |name: &str, value: &[u8]| {
        let gap = if value.is_empty() || value.starts_with(b"\n") { "" } else { " " };
        text.extend_from_slice(format!("{name}:{gap}").as_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
    };
    for name in FIELDS {
        match name {
            "Status" => push(name, b"install ok unpacked"),
            "Conffiles" if !conffile_lines.is_empty() => push(name, &conffile_lines),
            "Conffiles" => {}
            _ => match fields.get(name) {
                Some(value) if matches!(name, "Essential" | "Protected") && !value.eq_ignore_ascii_case("yes") => {}
                Some(value) if name == "Multi-Arch" && value.eq_ignore_ascii_case("no") => {}
                Some(value) => push(name, &control.bytes(value)),
                None => {}
            },
        }
    }
    let known = |name: &str| FIELDS.iter().chain(&DROPPED).any(|field| field.eq_ignore_ascii_case(name));
    for (name, value) in fields.fields().filter(|(name, _)| !known(name)) {
        push(name, &control.bytes(value));
    }
    text
}

/// Marks configured packages as unpacked, as unpacking the same versions again would. The next run of dpkg then configures them
/// again, in the order that dpkg chooses then.
///
/// # Errors
/// The database cannot be read or written.
pub fn unconfigure(root: &Root, packages: &[&str]) -> Result<(), Error> {
    let status = root.read(STATUS)?.unwrap_or_default();
    let mut text = Vec::with_capacity(status.len());
    let mut put = |parts: [&[u8]; 3]| text.extend_from_slice(&parts.concat());
    let (mut concerned, mut installed) = (false, false);
    for line in status.split_inclusive(|&b| b == b'\n') {
        if let Some(name) = line.strip_prefix(b"Package: ") {
            (concerned, installed) =
                (packages.iter().any(|package| package.as_bytes() == name.trim_ascii_end()), false);
        }
        match line.strip_prefix(b"Version: ") {
            None if concerned && line == b"Status: install ok installed\n" => {
                installed = true;
                put([b"Status: install ok unpacked\n", b"", b""]);
            }
            Some(version) if concerned && installed => put([line, b"Config-Version: ", version]),
            _ => put([line, b"", b""]),
        }
    }
    root.write(STATUS, &text, 0o644)?;
    Ok(())
}

/// One diversion (dpkg-divert(1)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// The path to which the file is diverted.
    pub to: Vec<u8>,
    /// The package whose files are not diverted; `:` for a local diversion, which diverts the files of all packages.
    pub package: String,
}

/// Reads the diversions in force, by diverted path.
///
/// # Errors
/// The file cannot be read.
pub fn diversions(root: &Root) -> Result<BTreeMap<Vec<u8>, Diversion>, Error> {
    let text = root.read(b"var/lib/dpkg/diversions")?.unwrap_or_default();
    let mut lines = text.split(|&b| b == b'\n');
    let mut diversions = BTreeMap::new();
    while let (Some(from), Some(to), Some(package)) = (lines.next(), lines.next(), lines.next()) {
        let package = String::from_utf8_lossy(package).into_owned();
        diversions.insert(from.to_vec(), Diversion { to: to.to_vec(), package });
    }
    Ok(diversions)
}

/// The diversions in force, from the point of view of one package.
pub(crate) struct Diversions<'a> {
    pub all: BTreeMap<Vec<u8>, Diversion>,
    pub package: &'a str,
}

impl Diversions<'_> {
    /// The path where the package's `path` is put.
    pub fn follow(&self, path: &[u8]) -> Vec<u8> {
        match self.all.get(path) {
            Some(diversion) if diversion.package != self.package => diversion.to.clone(),
            _ => path.to_vec(),
        }
    }

    /// Whether a diversion separates this package's `path` from the same path of `rival` (`PKG` or `PKG:ARCH`): one of the two
    /// packages must be the one whose files are not diverted.
    pub fn separates(&self, path: &[u8], rival: &str) -> bool {
        let rival = rival.split_once(':').map_or(rival, |(package, _)| package);
        self.all.get(path).is_some_and(|diversion| diversion.package == self.package || diversion.package == rival)
    }
}

/// Reads the owners and modes that an administrator or a script has fixed (dpkg-statoverride(1)), by path.
///
/// # Errors
/// The file, or a file of users or groups, cannot be read.
pub fn statoverrides(root: &Root) -> Result<HashMap<Vec<u8>, Attributes>, Error> {
    let text = root.read(b"var/lib/dpkg/statoverride")?.unwrap_or_default();
    if text.is_empty() {
        return Ok(HashMap::new());
    }
    let (users, groups) = names(root)?;
    let id = |names: &HashMap<Vec<u8>, u32>, word: &[u8]| match word.strip_prefix(b"#") {
        Some(number) => std::str::from_utf8(number).ok()?.parse().ok(),
        None => names.get(word).copied(),
    };
    let mut overrides = HashMap::new();
    for line in text.split(|&b| b == b'\n') {
        let mut words = line.splitn(4, |&b| b == b' ');
        if let (Some(user), Some(group), Some(mode), Some(path)) =
            (words.next(), words.next(), words.next(), words.next())
            && let (Some(uid), Some(gid)) = (id(&users, user), id(&groups, group))
            && let Some(mode) = std::str::from_utf8(mode).ok().and_then(|mode| u32::from_str_radix(mode, 8).ok())
        {
            overrides.insert(path.to_vec(), Attributes { mode, uid, gid, mtime: 0 });
        }
    }
    Ok(overrides)
}

/// Names to numeric ids.
pub(crate) type Ids = HashMap<Vec<u8>, u32>;

/// Reads the target's users and groups from its passwd and group files. Before these files exist, they are read from the
/// files from which base-passwd will create them. The host's users and groups are never used.
pub(crate) fn names(root: &Root) -> rootstrap_rootfs::Result<(Ids, Ids)> {
    let read = |file: &str| -> rootstrap_rootfs::Result<Ids> {
        let text = match root.read(format!("etc/{file}").as_bytes())? {
            Some(text) => text,
            None => root.read(format!("usr/share/base-passwd/{file}.master").as_bytes())?.unwrap_or_default(),
        };
        let line_id = |line: &[u8]| {
            let mut words = line.split(|&b| b == b':');
            let (name, id) = (words.next()?.to_vec(), words.nth(1)?);
            Some((name, std::str::from_utf8(id).ok()?.parse().ok()?))
        };
        Ok(text.split(|&b| b == b'\n').filter_map(line_id).collect())
    };
    Ok((read("passwd")?, read("group")?))
}
