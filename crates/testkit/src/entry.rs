//! A tar entry whose fields can have any value, hostile ones included, and tars made of such entries.

use crate::EPOCH;
use tar::Header;

/// A tar entry. Nothing is checked: names are written as they are, so `../x` and `/etc/passwd` are possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name exactly as it is written to the archive. A name of more than 100 bytes becomes a GNU long name.
    pub name: Vec<u8>,
    /// The type byte: `b'0'` file, `b'1'` hard link, `b'2'` symlink, `b'3'`/`b'4'` device, `b'5'` directory, ...
    pub typeflag: u8,
    /// Permission bits.
    pub mode: u32,
    /// Owner name.
    pub uname: String,
    /// Owner number.
    pub uid: u64,
    /// Group name.
    pub gname: String,
    /// Group number.
    pub gid: u64,
    /// Modification time; the archive's own when `None`.
    pub mtime: Option<u64>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Content.
    pub content: Vec<u8>,
    /// The size that the header states instead of the length of the content.
    pub claimed_size: Option<u64>,
    /// Records of a PAX header ('x') written before the entry.
    pub pax: Vec<(String, Vec<u8>)>,
}

impl Entry {
    /// An entry of any type; the constructors below are shorter.
    pub fn new(name: impl AsRef<[u8]>, typeflag: u8, mode: u32) -> Entry {
        Entry {
            name: name.as_ref().to_vec(),
            typeflag,
            mode,
            uname: "root".into(),
            uid: 0,
            gname: "root".into(),
            gid: 0,
            mtime: None,
            link: Vec::new(),
            device: (0, 0),
            content: Vec::new(),
            claimed_size: None,
            pax: Vec::new(),
        }
    }

    /// A regular file.
    pub fn file(name: impl AsRef<[u8]>, mode: u32, content: impl AsRef<[u8]>) -> Entry {
        Entry { content: content.as_ref().to_vec(), ..Entry::new(name, b'0', mode) }
    }

    /// A directory; honest archives end its name with a slash.
    pub fn dir(name: impl AsRef<[u8]>, mode: u32) -> Entry {
        Entry::new(name, b'5', mode)
    }

    /// A symbolic link.
    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
        Entry { link: target.as_ref().to_vec(), ..Entry::new(name, b'2', 0o777) }
    }

    /// A hard link to another entry's name.
    pub fn hardlink(name: impl AsRef<[u8]>, existing: impl AsRef<[u8]>) -> Entry {
        Entry { link: existing.as_ref().to_vec(), ..Entry::new(name, b'1', 0o644) }
    }

    /// The entry with another owner.
    pub fn owned(self, uname: &str, uid: u64, gname: &str, gid: u64) -> Entry {
        Entry { uname: uname.into(), uid, gname: gname.into(), gid, ..self }
    }

    fn write(&self, out: &mut Vec<u8>, default_mtime: u64) {
        if !self.pax.is_empty() {
            let records: Vec<u8> = self.pax.iter().flat_map(|(k, v)| pax_record(k, v)).collect();
            block(out, &Entry::file("./PaxHeaders/x", 0o644, &records).header(b'x', default_mtime), &records);
        }
        for (flag, long) in [(b'K', &self.link), (b'L', &self.name)] {
            if long.len() > 100 {
                // GNU tar ends the long name with a NUL and counts it.
                let content = [long.as_slice(), b"\0"].concat();
                block(out, &Entry::file("././@LongLink", 0o644, &content).header(flag, 0), &content);
            }
        }
        block(out, &self.header(self.typeflag, default_mtime), &self.content);
    }

    fn header(&self, typeflag: u8, default_mtime: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(typeflag));
        header.set_mode(self.mode);
        header.set_uid(self.uid);
        header.set_gid(self.gid);
        header.set_mtime(self.mtime.unwrap_or(default_mtime));
        header.set_size(self.claimed_size.unwrap_or(self.content.len() as u64));
        header.set_username(&self.uname).unwrap();
        header.set_groupname(&self.gname).unwrap();
        if matches!(typeflag, b'3' | b'4') {
            header.set_device_major(self.device.0).unwrap();
            header.set_device_minor(self.device.1).unwrap();
        }
        // Header::set_path refuses names that hostile archives have.
        let old = header.as_old_mut();
        copy(&mut old.name, &self.name);
        copy(&mut old.linkname, &self.link);
        header.set_cksum();
        header
    }
}

fn copy(field: &mut [u8; 100], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    // The length of a record includes the digits of the length itself, so it is searched for.
    let length = (1..).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

pub(crate) fn block(out: &mut Vec<u8>, header: &Header, content: &[u8]) {
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// The bytes of a tar of these entries, with its two closing blocks.
pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        entry.write(&mut out, EPOCH);
    }
    close(&mut out);
    out
}

pub(crate) fn append(out: &mut Vec<u8>, entry: &Entry, default_mtime: u64) {
    entry.write(out, default_mtime);
}

/// Ends a tar with two zero blocks, and fills it up to a multiple of 20 blocks, as GNU tar and dpkg-deb do.
pub(crate) fn close(out: &mut Vec<u8>) {
    out.resize((out.len() + 1024).next_multiple_of(10240), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn long_names_links_and_pax_records_read_back() {
        let long = format!("./{}", "d/".repeat(90));
        let mut pax = Entry::file("./p", 0o600, b"x");
        pax.pax = vec![("SCHILY.xattr.user.a".into(), b"v".to_vec()), ("comment".into(), vec![b'c'; 90])];
        let bytes =
            tar(&[Entry::dir(&long, 0o755), Entry::symlink("./l", &long), pax, Entry::file("../x", 0o4755, b"")]);

        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let pax = entry.pax_extensions().unwrap().map_or(0, |all| all.filter(|e| e.is_ok()).count());
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let link = entry.link_name_bytes().map(|l| l.len());
            seen.push((String::from_utf8(entry.path_bytes().to_vec()).unwrap(), link, pax, content));
        }
        assert_eq!(
            seen,
            [
                (long.clone(), None, 0, String::new()),
                ("./l".into(), Some(long.len()), 0, String::new()),
                ("./p".into(), None, 2, "x".into()),
                ("../x".into(), None, 0, String::new()),
            ]
        );
    }
}
