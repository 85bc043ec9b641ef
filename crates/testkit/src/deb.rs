//! A binary package composed in memory: an ar of `debian-binary`, a control tar and a data tar, as dpkg-deb writes it.

use crate::EPOCH;
pub use crate::compress::Compression;
use crate::digest::{md5, sha256};
pub use crate::entry::Entry;
use crate::entry::{append, block, close};
pub use tar::{EntryType, Header};

/// A package under construction. The same calls make the same bytes.
#[derive(Clone, Debug)]
pub struct Deb {
    fields: Vec<(String, String)>,
    index_fields: Vec<(String, String)>,
    data: Vec<Item>,
    control: Vec<Entry>,
    conffiles: Vec<String>,
    md5sums: bool,
    mtime: u64,
    control_compression: Compression,
    data_compression: Compression,
}

#[derive(Clone, Debug)]
enum Item {
    Entry(Entry),
    Raw(Vec<u8>),
}

impl Deb {
    /// An empty package for amd64: it holds `./` and nothing else.
    pub fn new(name: &str, version: &str) -> Deb {
        let mut deb = Deb {
            fields: Vec::new(),
            index_fields: Vec::new(),
            data: vec![Item::Entry(Entry::dir("./", 0o755))],
            control: Vec::new(),
            conffiles: Vec::new(),
            md5sums: true,
            mtime: EPOCH,
            control_compression: Compression::Xz,
            data_compression: Compression::Xz,
        };
        for (key, value) in [
            ("Package", name),
            ("Version", version),
            ("Architecture", "amd64"),
            ("Maintainer", "Rootstrap Tests <tests@example.invalid>"),
            ("Description", "fixture"),
        ] {
            deb.fields.push((key.into(), value.into()));
        }
        deb
    }

    /// Sets `Architecture`.
    pub fn arch(self, arch: &str) -> Deb {
        self.field("Architecture", arch)
    }

    /// Sets a control field. A new field is put before `Description`.
    pub fn field(mut self, key: &str, value: &str) -> Deb {
        let last = self.fields.iter().position(|(k, _)| k == "Description").unwrap_or(self.fields.len());
        match self.fields.iter_mut().find(|(k, _)| k.eq_ignore_ascii_case(key)) {
            Some(field) => field.1 = value.into(),
            None => self.fields.insert(last, (key.into(), value.into())),
        }
        self
    }

    /// Removes a control field.
    pub fn without(mut self, key: &str) -> Deb {
        self.fields.retain(|(k, _)| !k.eq_ignore_ascii_case(key));
        self
    }

    /// Sets a field of the Packages stanza only, as the archive's overrides do with Priority and Section.
    pub fn index_field(mut self, key: &str, value: &str) -> Deb {
        self.index_fields.push((key.into(), value.into()));
        self
    }

    /// The value of a control field.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.as_str())
    }

    /// The package's name.
    pub fn name(&self) -> &str {
        self.get("Package").unwrap()
    }

    /// Adds a file owned by root. Missing parent directories are added first, 0755.
    pub fn file(self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Deb {
        self.put(path, |name| Entry::file(name, mode, content))
    }

    /// Adds a file with an owner and a group, each by name and number.
    pub fn file_owned(
        self,
        path: &str,
        mode: u32,
        owner: (&str, u64),
        group: (&str, u64),
        content: impl AsRef<[u8]>,
    ) -> Deb {
        self.put(path, |name| Entry::file(name, mode, content).owned(owner.0, owner.1, group.0, group.1))
    }

    /// Adds a directory, or sets the mode of one that was added as a parent.
    pub fn dir(self, path: &str, mode: u32) -> Deb {
        self.put(path, |name| Entry::dir([name, b"/"].concat(), mode))
    }

    /// Adds a symbolic link.
    pub fn symlink(self, path: &str, target: &str) -> Deb {
        self.put(path, |name| Entry::symlink(name, target))
    }

    /// Adds a hard link to a path of this package.
    ///
    /// The link has the mode and owner of that file, as archivers write them: unpackers apply both.
    pub fn hardlink(self, path: &str, existing: &str) -> Deb {
        let link = dotted(existing);
        let file = self.data.iter().find_map(|item| match item {
            Item::Entry(entry) if entry.name == link.as_bytes() => Some(entry.clone()),
            _ => None,
        });
        self.put(path, |name| {
            let entry = Entry::hardlink(name, &link);
            match file {
                Some(file) => Entry { mode: file.mode, ..entry.owned(&file.uname, file.uid, &file.gname, file.gid) },
                None => entry,
            }
        })
    }

    /// Adds a character (`b'c'`) or block (`b'b'`) device.
    pub fn device(self, path: &str, kind: u8, mode: u32, major: u32, minor: u32) -> Deb {
        let typeflag = if kind == b'b' { b'4' } else { b'3' };
        self.put(path, |name| Entry { device: (major, minor), ..Entry::new(name, typeflag, mode) })
    }

    /// Adds a fifo.
    pub fn fifo(self, path: &str, mode: u32) -> Deb {
        self.put(path, |name| Entry::new(name, b'6', mode))
    }

    /// Adds a file, 0644, and lists it in the control member `conffiles`.
    pub fn conffile(mut self, path: &str, content: impl AsRef<[u8]>) -> Deb {
        self.conffiles.push(path.into());
        self.file(path, 0o644, content)
    }

    /// Adds a data entry exactly as it is, without its parents, without `./` and unchecked.
    pub fn entry(mut self, entry: Entry) -> Deb {
        self.data.push(Item::Entry(entry));
        self
    }

    /// Adds a header and its content, padded. The caller has to set the checksum of the header.
    pub fn raw_entry(mut self, header: &Header, content: &[u8]) -> Deb {
        let mut bytes = Vec::new();
        block(&mut bytes, header, content);
        self.data.push(Item::Raw(bytes));
        self
    }

    /// Adds a maintainer script: a control member of mode 0755.
    pub fn script(self, name: &str, text: &str) -> Deb {
        self.control_member(name, 0o755, text)
    }

    /// Adds any control member, say `triggers` or `templates`.
    pub fn control_member(self, name: &str, mode: u32, content: impl AsRef<[u8]>) -> Deb {
        self.control_entry(Entry::file(format!("./{name}"), mode, content))
    }

    /// Adds an entry to the control tar exactly as it is.
    pub fn control_entry(mut self, entry: Entry) -> Deb {
        self.control.push(entry);
        self
    }

    /// Whether to ship `md5sums` (default: yes).
    pub fn md5sums(mut self, on: bool) -> Deb {
        self.md5sums = on;
        self
    }

    /// Compression of the data tar (default: xz).
    pub fn data_compression(mut self, compression: Compression) -> Deb {
        self.data_compression = compression;
        self
    }

    /// Compression of the control tar (default: xz).
    pub fn control_compression(mut self, compression: Compression) -> Deb {
        self.control_compression = compression;
        self
    }

    /// Modification time of every entry (default: [`EPOCH`]).
    pub fn mtime(mut self, seconds: u64) -> Deb {
        self.mtime = seconds;
        self
    }

    fn put(mut self, path: &str, entry: impl FnOnce(&[u8]) -> Entry) -> Deb {
        let name = dotted(path);
        for (end, _) in name.char_indices().filter(|(at, c)| *c == '/' && *at > 1) {
            let parent = Entry::dir(&name[..=end], 0o755);
            if !self.has(&parent.name) {
                self.data.push(Item::Entry(parent));
            }
        }
        let entry = entry(name.as_bytes());
        if entry.typeflag == b'5'
            && let Some(item) = self.data.iter_mut().find(|item| item.name() == Some(&entry.name))
        {
            *item = Item::Entry(entry);
        } else {
            self.data.push(Item::Entry(entry));
        }
        self
    }

    /// Whether the package has an entry at this path, a directory included.
    pub fn ships(&self, path: &str) -> bool {
        let name = dotted(path);
        self.has(name.as_bytes()) || self.has(format!("{name}/").as_bytes())
    }

    fn has(&self, name: &[u8]) -> bool {
        self.data.iter().any(|item| item.name() == Some(name))
    }

    /// The package's file.
    pub fn build(&self) -> Vec<u8> {
        let control = self.control_compression.compress(&self.control_tar());
        let data = self.data_compression.compress(&self.data_tar());
        ar(
            &[
                ("debian-binary", b"2.0\n".as_slice()),
                (&format!("control.tar{}", self.control_compression.suffix()), &control),
                (&format!("data.tar{}", self.data_compression.suffix()), &data),
            ],
            self.mtime,
        )
    }

    /// The control tar, not compressed.
    pub fn control_tar(&self) -> Vec<u8> {
        let mut entries = vec![Entry::dir("./", 0o755), Entry::file("./control", 0o644, stanza(&self.fields))];
        if !self.conffiles.is_empty() {
            let list: String = self.conffiles.iter().map(|path| format!("{path}\n")).collect();
            entries.push(Entry::file("./conffiles", 0o644, list));
        }
        let sums = self.sums();
        if self.md5sums && !sums.is_empty() {
            entries.push(Entry::file("./md5sums", 0o644, sums));
        }
        entries.extend(self.control.iter().cloned());
        self.tar(&entries.into_iter().map(Item::Entry).collect::<Vec<_>>())
    }

    /// The data tar, not compressed.
    pub fn data_tar(&self) -> Vec<u8> {
        self.tar(&self.data)
    }

    fn tar(&self, items: &[Item]) -> Vec<u8> {
        let mut out = Vec::new();
        for item in items {
            match item {
                Item::Entry(entry) => append(&mut out, entry, self.mtime),
                Item::Raw(bytes) => out.extend_from_slice(bytes),
            }
        }
        close(&mut out);
        out
    }

    /// Returns the text of `md5sums` as debhelper writes it: regular files without conffiles, no leading slash.
    fn sums(&self) -> String {
        let files = self.data.iter().filter_map(|item| match item {
            Item::Entry(entry) if entry.typeflag == b'0' => Some(entry),
            _ => None,
        });
        files
            .filter_map(|entry| {
                let path = std::str::from_utf8(&entry.name).ok()?.strip_prefix("./")?;
                let conffile = self.conffiles.iter().any(|c| c.strip_prefix('/') == Some(path));
                (!conffile).then(|| format!("{}  {path}\n", md5(&entry.content)))
            })
            .collect()
    }

    /// The package's stanza in a `Packages` file, without the empty line after it.
    pub fn stanza(&self, filename: &str) -> String {
        self.stanza_for(filename, &self.build())
    }

    pub(crate) fn stanza_for(&self, filename: &str, file: &[u8]) -> String {
        let mut fields = self.fields.clone();
        let description = fields.pop_if(|(key, _)| key == "Description");
        for (key, value) in &self.index_fields {
            fields.retain(|(k, _)| !k.eq_ignore_ascii_case(key));
            fields.push((key.clone(), value.clone()));
        }
        let size = file.len().to_string();
        for (key, value) in [("Filename", filename), ("Size", &size), ("MD5sum", &md5(file)), ("SHA256", &sha256(file))]
        {
            // A test that wants a wrong size or digest has set it with `index_field`.
            if !self.index_fields.iter().any(|(k, _)| k.eq_ignore_ascii_case(key)) {
                fields.push((key.into(), value.into()));
            }
        }
        fields.extend(description);
        stanza(&fields)
    }
}

impl Item {
    fn name(&self) -> Option<&[u8]> {
        match self {
            Item::Entry(entry) => Some(&entry.name),
            Item::Raw(_) => None,
        }
    }
}

fn dotted(path: &str) -> String {
    format!("./{}", path.trim_matches('/'))
}

fn stanza(fields: &[(String, String)]) -> String {
    fields.iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
}

/// Returns an ar archive of any members, for debs that [`Deb`] cannot make.
pub fn ar(members: &[(&str, &[u8])], mtime: u64) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let header = format!("{name:<16}{mtime:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", content.len());
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(content);
        if content.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tar: &[u8]) -> Vec<String> {
        let name = |e: std::io::Result<tar::Entry<_>>| String::from_utf8_lossy(&e.unwrap().path_bytes()).into_owned();
        tar::Archive::new(tar).entries().unwrap().map(name).collect()
    }

    #[test]
    fn parents_come_first_and_once_and_hostile_names_as_they_are() {
        let mut header = Header::new_ustar();
        header.set_path("raw").unwrap();
        header.set_size(3);
        header.set_cksum();
        let deb = Deb::new("a", "1")
            .file("/usr/bin/x", 0o755, "x")
            .dir("/usr/bin", 0o700)
            .symlink("/usr/lib", "bin")
            .entry(Entry::file("../../etc/passwd", 0o644, "root::0:0::/:/bin/sh\n"))
            .entry(Entry::symlink("/abs", "/"))
            .raw_entry(&header, b"raw");
        let expect = ["./", "./usr/", "./usr/bin/", "./usr/bin/x", "./usr/lib", "../../etc/passwd", "/abs", "raw"];
        assert_eq!(names(&deb.data_tar()), expect);
        assert!(deb.ships("/usr/bin") && deb.ships("/usr/bin/x") && !deb.ships("/bin"));
        let conffile = deb.conffile("/etc/c", "c").script("preinst", "#!/bin/sh\n");
        assert_eq!(names(&conffile.control_tar()), ["./", "./control", "./conffiles", "./md5sums", "./preinst"]);
    }

    #[test]
    fn another_reader_finds_the_members() {
        let deb = Deb::new("a", "1").control_compression(Compression::None).data_compression(Compression::Lzma);
        let bytes = deb.build();
        let mut reader = ar::Archive::new(bytes.as_slice());
        let mut members = Vec::new();
        while let Some(member) = reader.next_entry() {
            members.push(String::from_utf8(member.unwrap().header().identifier().to_vec()).unwrap());
        }
        assert_eq!(members, ["debian-binary", "control.tar", "data.tar.lzma"]);
    }

    #[test]
    fn stanzas_have_their_fields_in_order() {
        let deb = Deb::new("a", "1").field("Depends", "b").field("depends", "c").field("Priority", "extra");
        let text = deb.index_field("Priority", "required").index_field("Size", "7").stanza("pool/a.deb");
        let keys: Vec<&str> = text.lines().map(|line| line.split_once(':').unwrap().0).collect();
        let expect = "Package Version Architecture Maintainer Depends Priority Size Filename MD5sum SHA256 Description";
        assert_eq!(keys.join(" "), expect);
        assert!(text.contains("Depends: c\nPriority: required\nSize: 7\n"), "{text}");
    }
}
