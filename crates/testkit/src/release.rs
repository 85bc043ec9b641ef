//! The index files of an [`Archive`] and the Release text over them.

use crate::Files;
use crate::archive::{AllIndex, Archive, Digest, index_of, pool_path};
use crate::compress::Compression;
use crate::keys::{Key, Stamp, clearsign_with};

/// One form of one index file.
struct Index {
    /// The path relative to the suite's directory.
    path: String,
    bytes: Vec<u8>,
    /// Whether the mirror has the file. If not, Release lists it all the same.
    published: bool,
}

impl Archive {
    /// Returns the files of the whole mirror: pool, indexes, by-hash copies and Release files. To have several suites
    /// on one mirror, `extend` the map of one with that of another.
    pub fn build(&self) -> Files {
        let pool = pool(self);
        let indexes = indexes(self, &stanzas(self, &pool));
        let mut files: Files = pool.into_iter().collect();
        let dists = || std::iter::once(&self.dist).chain(&self.aliases).map(|dist| format!("dists/{dist}"));
        for dist in dists() {
            for index in indexes.iter().filter(|index| index.published) {
                files.insert(format!("{dist}/{}", index.path), index.bytes.clone());
                let (dir, _) = index.path.rsplit_once('/').unwrap();
                for digest in self.digests.iter().filter(|_| self.acquire_by_hash) {
                    let path = format!("{dist}/{dir}/by-hash/{}/{}", digest.name(), digest.hex(&index.bytes));
                    files.insert(path, index.bytes.clone());
                }
            }
        }
        self.publish(&mut files, &text(self, &indexes));
        files
    }

    /// Returns the files of a flat repository with the same packages, all in one directory below the base URI. Its `InRelease` says nothing
    /// but the date and the digests, as that of `apt-ftparchive release` does.
    pub fn flat(&self, directory: &str) -> Files {
        let mut files = Files::new();
        let mut packages = String::new();
        for (_, deb) in &self.debs {
            let name = format!("{directory}{}_{}.deb", deb.name(), deb.get("Version").unwrap());
            let bytes = deb.build();
            packages += &format!("{}\n", deb.stanza_for(&name, &bytes));
            files.insert(name, bytes);
        }
        let sha256 = Digest::Sha256.hex(packages.as_bytes());
        let date = rfc2822(self.date);
        let fields: String = self.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let text = format!("{fields}Date: {date}\nSHA256:\n {sha256} {} Packages\n", packages.len());
        let keys: Vec<&Key> = self.keys.iter().collect();
        let signed =
            clearsign_with(&keys, text.as_bytes(), Stamp { at: Some(self.date), digest: self.signature_digest });
        files.insert(format!("{directory}Packages"), packages.into_bytes());
        files.insert(format!("{directory}InRelease"), signed);
        files
    }

    /// The text of Release as [`Archive::build`] signs it.
    pub fn release(&self) -> String {
        text(self, &indexes(self, &stanzas(self, &pool(self))))
    }
}

/// All packages, each with its path on the mirror. A test may give two of them the same path.
fn pool(archive: &Archive) -> Vec<(String, Vec<u8>)> {
    archive.debs.iter().map(|(component, deb)| (pool_path(component, deb), deb.build())).collect()
}

/// The stanzas of all packages for `Packages`, with their component and architecture.
fn stanzas<'a>(archive: &'a Archive, pool: &[(String, Vec<u8>)]) -> Vec<(&'a str, &'a str, String)> {
    let mut stanzas = Vec::new();
    for ((component, deb), (path, bytes)) in archive.debs.iter().zip(pool) {
        let stanza = deb.stanza_for(path, bytes);
        stanzas.push((component.as_str(), index_of(deb), stanza));
    }
    stanzas
}

/// All forms of all indexes. A stanza comes with its component and its architecture.
fn indexes(archive: &Archive, stanzas: &[(&str, &str, String)]) -> Vec<Index> {
    let mut out = Vec::new();
    let all = (archive.all_index != AllIndex::Merged).then_some("all");
    for component in &archive.components {
        for arch in archive.architectures.iter().map(String::as_str).chain(all) {
            let text: String = stanzas
                .iter()
                .filter(|(c, a, _)| c == component && (*a == arch || *a == "all" && shows_all(archive)))
                .map(|(_, _, stanza)| format!("{stanza}\n"))
                .collect();
            let mut forms = archive.forms.clone();
            if archive.list_plain && !forms.contains(&Compression::None) {
                forms.insert(0, Compression::None);
            }
            for form in forms {
                out.push(Index {
                    path: format!("{component}/binary-{arch}/Packages{}", form.suffix()),
                    bytes: form.compress(text.as_bytes()),
                    published: archive.forms.contains(&form),
                });
            }
        }
    }
    out
}

fn shows_all(archive: &Archive) -> bool {
    archive.all_index != AllIndex::Separate
}

/// The text of Release.
fn text(archive: &Archive, indexes: &[Index]) -> String {
    let prefixed = |c: &String| format!("{}{c}", archive.component_prefix);
    let components: Vec<String> = archive.components.iter().map(prefixed).collect();
    let mut architectures = archive.architectures.clone();
    if archive.all_index != AllIndex::Merged {
        architectures.insert(0, "all".into());
    }
    let no_support = (archive.all_index == AllIndex::Both).then(|| "Packages".to_string());
    let mut fields: Vec<(&str, String)> = [
        ("Origin", Some(archive.origin.clone())),
        ("Label", Some(archive.label.clone())),
        ("Suite", Some(archive.suite.clone())),
        ("Version", archive.version.clone()),
        ("Codename", Some(archive.codename.clone())),
        ("Date", Some(rfc2822(archive.date))),
        ("Valid-Until", archive.valid_until.map(rfc2822)),
        ("Acquire-By-Hash", archive.acquire_by_hash.then(|| "yes".to_string())),
        ("No-Support-for-Architecture-all", no_support),
        ("Architectures", Some(architectures.join(" "))),
        ("Components", Some(components.join(" "))),
        ("Description", Some("fixture".into())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect();
    for (key, value) in &archive.fields {
        match fields.iter_mut().find(|(k, _)| k.eq_ignore_ascii_case(key)) {
            Some(field) => field.1 = value.clone(),
            None => fields.push((key, value.clone())),
        }
    }
    let mut text = String::new();
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        text += &format!("{key}: {value}\n");
    }
    for digest in &archive.digests {
        text += &format!("{}:\n", digest.name());
        for index in indexes {
            text += &format!(" {} {:>8} {}\n", digest.hex(&index.bytes), index.bytes.len(), index.path);
        }
    }
    text
}

/// A time as Release and HTTP headers write it, with `UTC` as the zone's name.
pub(crate) fn rfc2822(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds / 86_400;
    let mut left = days;
    let leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let weekday = DAYS[(days % 7) as usize];
    format!("{weekday}, {:02} {} {year} {hour:02}:{minute:02}:{second:02} UTC", left + 1, MONTHS[month])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Digest, Signing};
    use crate::deb::Deb;
    use crate::keys::Key;

    #[test]
    fn dates() {
        assert_eq!(rfc2822(0), "Thu, 01 Jan 1970 00:00:00 UTC");
        assert_eq!(rfc2822(951_782_399), "Mon, 28 Feb 2000 23:59:59 UTC");
        assert_eq!(rfc2822(951_782_400), "Tue, 29 Feb 2000 00:00:00 UTC");
        assert_eq!(rfc2822(crate::EPOCH), "Wed, 01 Jan 2025 00:00:00 UTC");
    }

    #[test]
    fn a_mirror_lists_exactly_what_it_has() {
        let mut archive = Archive::new("trixie")
            .key(&Key::generate("archive"))
            .deb("main", Deb::new("hello", "1:2.0-1").file("/usr/bin/hello", 0o755, "x"))
            .deb("contrib", Deb::new("libfoo1", "1").arch("all"));
        archive.all_index = AllIndex::Both;
        archive.aliases = vec!["stable".into()];
        archive.digests = vec![Digest::Sha256];
        let files = archive.build();
        let release = archive.release();
        assert_eq!(files["dists/stable/Release"], release.as_bytes());
        for name in ["dists/trixie/InRelease", "dists/trixie/Release.gpg", "pool/main/h/hello/hello_2.0-1_amd64.deb"] {
            assert!(files.contains_key(name), "{name}");
        }
        assert!(files.contains_key("pool/contrib/libf/libfoo1/libfoo1_1_all.deb"));
        assert!(!files.contains_key("dists/trixie/main/binary-amd64/Packages"));
        assert!(release.contains("\nArchitectures: all amd64\nComponents: main contrib\n"), "{release}");
        let mut listed = 0;
        for line in release.lines().filter(|line| line.starts_with(' ') && !line.ends_with("Packages")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let bytes = &files[&format!("dists/trixie/{}", words[2])];
            assert_eq!((words[0], words[1]), (Digest::Sha256.hex(bytes).as_str(), &*bytes.len().to_string()));
            let (dir, _) = words[2].rsplit_once('/').unwrap();
            assert_eq!(&files[&format!("dists/trixie/{dir}/by-hash/SHA256/{}", words[0])], bytes);
            listed += 1;
        }
        assert_eq!(listed, 8);
    }

    #[test]
    fn the_updates_of_old_suites_have_a_deeper_path() {
        let mut archive = Archive::new("buster/updates").key(&Key::generate("security"));
        archive.signing = Signing::InRelease;
        let files = archive.build();
        assert!(files.contains_key("dists/buster/updates/InRelease"));
        assert!(!files.contains_key("dists/buster/updates/Release"));
        assert!(archive.release().contains("Codename: buster\n"));
        assert!(archive.release().contains("Components: updates/main\n"));
    }
}
