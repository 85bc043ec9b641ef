//! Compares two trees path by path and lists every difference.

use super::content::{diff, same_lines, unclassified, undated, unnumbered};
use rootstrap_normalize::pyc;
use rootstrap_rootfs::{Device, Kind, Root, walk};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::Path;

/// What there is at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
    mtime: i64,
    size: u64,
    digest: Option<[u8; 32]>,
    target: Option<Vec<u8>>,
    device: Option<Device>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first path of the same file, if the file has several paths in the tree.
    first_path: Option<Vec<u8>>,
}

/// A whole tree, by path.
pub struct Tree {
    root: Root,
    nodes: BTreeMap<Vec<u8>, Node>,
    epoch: i64,
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

/// A difference at one path.
pub struct Difference {
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// The path below the root, with a leading slash.
    pub path: String,
    /// What both trees have there, and for texts the lines that differ.
    pub detail: String,
}

/// All kinds of difference that a list of accepted ones may name. Some differences of content have kinds of their own,
/// so that nobody has to accept more than those: the same lines in another `order`, dpkg's status with other `priority`
/// and section fields, a shadow file with another `day` of the last change, a `compiled` Python module that loads the
/// same objects. `ids` are users or groups of the same names with other numbers, as owners and in the files that name them.
/// `touched` is a directory in which only one of the tools made or removed an entry after it had unpacked the directory; `shared` is a
/// directory that has its time from another package.
pub const KINDS: [&str; 18] = [
    "missing", "extra", "type", "mode", "owner", "ids", "content", "order", "priority", "day", "compiled", "target",
    "device", "xattr", "hardlink", "mtime", "touched", "shared",
];

/// Texts larger than this are compared by digest alone.
const TEXT: u64 = 16 << 20;

impl Tree {
    /// Reads everything below `path`; times after `epoch` count as `epoch`.
    pub fn read(path: &Path, epoch: i64) -> Result<Self, String> {
        let root = Root::open(path).map_err(|error| chain(&error))?;
        let mut nodes = BTreeMap::new();
        let mut hard_links: HashMap<(u64, u64), Vec<Vec<u8>>> = HashMap::new();
        walk::<rootstrap_rootfs::Error>(&root, &mut |visit| {
            let meta = visit.metadata;
            let is_device = matches!(meta.kind, Kind::CharDevice | Kind::BlockDevice);
            let mut node = Node {
                kind: meta.kind,
                mode: meta.attributes.mode,
                owner: (meta.attributes.uid, meta.attributes.gid),
                mtime: meta.attributes.mtime.min(epoch),
                size: if meta.kind == Kind::File { meta.size } else { 0 },
                digest: None,
                target: None,
                device: is_device.then_some(meta.device),
                xattrs: visit.xattrs()?,
                first_path: None,
            };
            match meta.kind {
                Kind::File => {
                    let mut hash = Sha256::new();
                    let mut file = visit.open()?;
                    // A file that cannot be read has no digest and so differs from every other file.
                    node.digest = std::io::copy(&mut file, &mut Hasher(&mut hash)).ok().map(|_| hash.finalize().into());
                    if meta.links > 1 {
                        hard_links.entry(meta.identity).or_default().push(visit.path.to_vec());
                    }
                }
                Kind::Symlink => node.target = Some(visit.link_target()?),
                _ => {}
            }
            nodes.insert(visit.path.to_vec(), node);
            Ok(true)
        })
        .map_err(|error| chain(&error))?;
        for group in hard_links.into_values().filter(|group| group.len() > 1) {
            for path in &group {
                if let Some(node) = nodes.get_mut(path) {
                    node.first_path = group.first().cloned();
                }
            }
        }
        let (users, groups) = (names(&root, b"etc/passwd"), names(&root, b"etc/group"));
        Ok(Self { root, nodes, epoch, users, groups })
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the content of a file, if it is text.
    fn text(&self, path: &[u8]) -> Option<String> {
        let node = self.nodes.get(path).filter(|node| node.kind == Kind::File && node.size <= TEXT)?;
        let bytes = if node.size == 0 { Vec::new() } else { self.root.read(path).ok()?? };
        String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
    }
}

/// Returns the names of the ids in `etc/passwd` or `etc/group`. The first line of an id names it.
fn names(root: &Root, path: &[u8]) -> BTreeMap<u32, String> {
    let bytes = root.read(path).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

/// Whether two ids are equal, or numbers of the same name.
fn is_same(our: u32, their: u32, ours: &BTreeMap<u32, String>, theirs: &BTreeMap<u32, String>) -> bool {
    our == their || ours.get(&our).is_some_and(|name| theirs.get(&their) == Some(name))
}

/// Returns everything in which `ours` differs from `theirs`, by path.
pub fn compare(ours: &Tree, theirs: &Tree) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut paths: Vec<&Vec<u8>> = ours.nodes.keys().chain(theirs.nodes.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        match (ours.nodes.get(path), theirs.nodes.get(path)) {
            (Some(our), Some(their)) => compare_nodes(path, (ours, our), (theirs, their), &mut found),
            (Some(our), None) => push(&mut found, "extra", path, describe(our), "-".into()),
            (None, Some(their)) => push(&mut found, "missing", path, "-".into(), describe(their)),
            (None, None) => {}
        }
    }
    found
}

fn push(found: &mut Vec<Difference>, kind: &'static str, path: &[u8], ours: String, theirs: String) {
    found.push(Difference { kind, path: shown(path), detail: format!("ours={ours} theirs={theirs}") });
}

fn compare_nodes(path: &[u8], ours: (&Tree, &Node), theirs: (&Tree, &Node), found: &mut Vec<Difference>) {
    let (our, their) = (ours.1, theirs.1);
    if our.kind != their.kind {
        push(found, "type", path, describe(our), describe(their));
        return;
    }
    if our.mode != their.mode && our.kind != Kind::Symlink {
        push(found, "mode", path, format!("{:04o}", our.mode), format!("{:04o}", their.mode));
    }
    if our.owner != their.owner {
        let text = |(uid, gid): (u32, u32)| format!("{uid}:{gid}");
        let is_same = is_same(our.owner.0, their.owner.0, &ours.0.users, &theirs.0.users)
            && is_same(our.owner.1, their.owner.1, &ours.0.groups, &theirs.0.groups);
        push(found, if is_same { "ids" } else { "owner" }, path, text(our.owner), text(their.owner));
    }
    if our.digest != their.digest || (our.kind == Kind::File && our.digest.is_none()) {
        compare_contents(path, ours, theirs, found);
    }
    if our.target != their.target {
        let text = |node: &Node| node.target.as_deref().map(shown_raw).unwrap_or_default();
        push(found, "target", path, text(our), text(their));
    }
    if our.device != their.device {
        let text =
            |node: &Node| node.device.map(|device| format!("{}:{}", device.major, device.minor)).unwrap_or_default();
        push(found, "device", path, text(our), text(their));
    }
    if our.xattrs != their.xattrs {
        let text = |node: &Node| {
            let each = node.xattrs.iter().map(|(key, value)| format!("{}={}", shown_raw(key), hex(value)));
            format!("[{}]", each.collect::<Vec<_>>().join(" "))
        };
        push(found, "xattr", path, text(our), text(their));
    }
    if our.first_path != their.first_path {
        let text = |node: &Node| node.first_path.as_deref().map_or_else(|| "alone".into(), shown);
        push(found, "hardlink", path, text(our), text(their));
    }
    if our.mtime != their.mtime {
        let is_touched = |tree: &Tree, node: &Node| node.mtime == tree.epoch;
        let kind = match our.kind {
            Kind::Directory if is_touched(ours.0, our) || is_touched(theirs.0, their) => "touched",
            Kind::Directory if our.mtime > 0 && their.mtime > 0 => "shared",
            _ => "mtime",
        };
        push(found, kind, path, our.mtime.to_string(), their.mtime.to_string());
    }
}

/// Reports different contents, and in which harmless way they differ if they do.
fn compare_contents(path: &[u8], ours: (&Tree, &Node), theirs: (&Tree, &Node), found: &mut Vec<Difference>) {
    let text = |node: &Node| format!("{} bytes {}", node.size, short(node.digest));
    push(found, "content", path, text(ours.1), text(theirs.1));
    if let (Some(our), Some(their), Some(last)) = (ours.0.text(path), theirs.0.text(path), found.last_mut()) {
        last.detail.push_str(&diff(&our, &their));
        if same_lines(&our, &their) {
            last.kind = "order";
        } else if path == b"var/lib/dpkg/status" && unclassified(&our) == unclassified(&their) {
            last.kind = "priority";
        } else if path.starts_with(b"etc/shadow") && undated(&our) == undated(&their) {
            last.kind = "day";
        } else if unnumbered(path, &our).is_some_and(|own| unnumbered(path, &their) == Some(own)) {
            last.kind = "ids";
        }
    } else if let (Some(version), Some(last)) = (pyc::version(path), found.last_mut()) {
        let same = |tree: &Tree| {
            let file = tree.root.read(path).ok().flatten()?;
            Some(pyc::normalized(&file, version).unwrap_or(file))
        };
        if same(ours.0).is_some_and(|own| same(theirs.0) == Some(own)) {
            last.kind = "compiled";
        }
    }
}

fn describe(node: &Node) -> String {
    let what = match node.kind {
        Kind::File => format!("file, {} bytes", node.size),
        Kind::Directory => "directory".into(),
        Kind::Symlink => format!("link to {}", node.target.as_deref().map(shown_raw).unwrap_or_default()),
        Kind::CharDevice | Kind::BlockDevice => "device".into(),
        Kind::Fifo => "fifo".into(),
        Kind::Socket => "socket".into(),
    };
    format!("({what}, {:04o} {}:{})", node.mode, node.owner.0, node.owner.1)
}

fn shown(path: &[u8]) -> String {
    format!("/{}", shown_raw(path))
}

/// Returns bytes as readable text on one line.
fn shown_raw(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\"")
}

fn short(digest: Option<[u8; 32]>) -> String {
    digest.map_or_else(|| "unreadable".into(), |digest| hex(digest.get(..6).unwrap_or_default()))
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Returns an error and its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

struct Hasher<'h>(&'h mut Sha256);

impl std::io::Write for Hasher<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn found(make: impl Fn(&Path, &Path)) -> Vec<(&'static str, String)> {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [&ours, &theirs] {
            std::fs::write(dir.path().join("same"), "same").unwrap();
        }
        make(ours.path(), theirs.path());
        let read = |dir: &tempfile::TempDir| Tree::read(dir.path(), 1000).unwrap();
        compare(&read(&ours), &read(&theirs)).into_iter().map(|found| (found.kind, found.path)).collect()
    }

    #[test]
    fn equal_trees_have_no_differences() {
        assert!(found(|_, _| {}).is_empty());
    }

    #[test]
    fn every_kind_is_seen() {
        let both = found(|ours, theirs| {
            std::fs::write(ours.join("extra"), "").unwrap();
            std::fs::write(theirs.join("missing"), "").unwrap();
            std::fs::write(ours.join("type"), "").unwrap();
            std::fs::create_dir(theirs.join("type")).unwrap();
            std::fs::write(ours.join("mode"), "").unwrap();
            std::fs::write(theirs.join("mode"), "").unwrap();
            std::fs::set_permissions(theirs.join("mode"), PermissionsExt::from_mode(0o4700)).unwrap();
            std::fs::write(ours.join("content"), "a\nc\n").unwrap();
            std::fs::write(theirs.join("content"), "b\na\n").unwrap();
            symlink("a", ours.join("target")).unwrap();
            symlink("b", theirs.join("target")).unwrap();
            std::fs::hard_link(ours.join("same"), ours.join("twin")).unwrap();
            std::fs::write(theirs.join("twin"), "same").unwrap();
            std::fs::write(ours.join("mtime"), "").unwrap();
            std::fs::write(theirs.join("mtime"), "").unwrap();
            let root = Root::open(theirs).unwrap();
            root.at(b"mtime").unwrap().set_mtime(7).unwrap();
            for (dir, times) in [(ours, [0, 7, 7]), (theirs, [7, 8, 1000])] {
                let root = Root::open(dir).unwrap();
                for (name, time) in [("old", times[0]), ("shared", times[1]), ("touched", times[2])] {
                    std::fs::create_dir(dir.join(name)).unwrap();
                    root.at(name.as_bytes()).unwrap().set_mtime(time).unwrap();
                }
            }
        });
        let expected = [
            ("content", "/content"),
            ("extra", "/extra"),
            ("missing", "/missing"),
            ("mode", "/mode"),
            ("mtime", "/mtime"),
            ("mtime", "/old"),
            ("hardlink", "/same"),
            ("shared", "/shared"),
            ("target", "/target"),
            ("touched", "/touched"),
            ("hardlink", "/twin"),
            ("type", "/type"),
        ];
        let both: Vec<_> = both.iter().map(|(kind, path)| (*kind, path.as_str())).collect();
        assert_eq!(both, expected);
    }

    #[test]
    fn ids_are_the_same_by_name_alone() {
        let names = |id: u32| BTreeMap::from([(id, "user".to_owned())]);
        assert!(is_same(100, 101, &names(100), &names(101)) && is_same(7, 7, &names(1), &names(2)));
        assert!(!is_same(100, 101, &names(1), &names(2)), "neither has a name");
        assert!(!is_same(100, 101, &names(100), &names(2)), "one has no name");
    }

    #[test]
    fn harmless_contents_have_kinds_of_their_own() {
        let both = found(|ours, theirs| {
            for (dir, priority, code, other) in [(ours, "x", "a", "a"), (theirs, "y", "b", "bb")] {
                std::fs::create_dir_all(dir.join("var/lib/dpkg")).unwrap();
                let status = format!("Package: a\nPriority: {priority}\nSection: {priority}\nVersion: 1\n");
                std::fs::write(dir.join("var/lib/dpkg/status"), &status).unwrap();
                std::fs::write(dir.join("other"), &status).unwrap();
                std::fs::create_dir_all(dir.join("etc")).unwrap();
                std::fs::write(
                    dir.join("etc/shadow"),
                    format!("root:*:{}:0:9:\n", priority.len() + code.len() * other.len()),
                )
                .unwrap();
                std::fs::write(dir.join("etc/shadow-"), format!("root:*:1:{}:9:\n", other.len())).unwrap();
                let number = other.len();
                std::fs::write(dir.join("etc/passwd"), format!("u:x:{number}:{number}::/:\n")).unwrap();
                std::fs::write(dir.join("etc/passwd-"), format!("{other}:x:{number}:{number}::/:\n")).unwrap();
                std::fs::write(dir.join("etc/group"), format!("u:x:{number}:\n")).unwrap();
                std::fs::create_dir_all(dir.join("__pycache__")).unwrap();
                // A set of two letters, written in the order of a random seed.
                let module = |letters: [&str; 2]| {
                    let letters = letters.map(|letter| format!("z\x01{letter}")).concat();
                    [b"U\r\r\n\0\0\0\0source and size"[..16].to_vec(), b">\x02\0\0\0".to_vec(), letters.into()].concat()
                };
                let (first, second) = if code == "a" { (["x", "y"], ["x", "y"]) } else { (["y", "x"], ["y", "z"]) };
                std::fs::write(dir.join("__pycache__/a.cpython-38.pyc"), module(first)).unwrap();
                std::fs::write(dir.join("__pycache__/b.cpython-38.pyc"), module(second)).unwrap();
                std::fs::write(dir.join("__pycache__/c.cpython-311.pyc"), module(first)).unwrap();
            }
        });
        let both: Vec<_> = both.iter().map(|(kind, path)| (*kind, path.as_str())).collect();
        let expected = [
            ("compiled", "/__pycache__/a.cpython-38.pyc"),
            ("content", "/__pycache__/b.cpython-38.pyc"),
            ("content", "/__pycache__/c.cpython-311.pyc"),
            ("ids", "/etc/group"),
            ("ids", "/etc/passwd"),
            ("content", "/etc/passwd-"),
            ("day", "/etc/shadow"),
            ("content", "/etc/shadow-"),
            ("content", "/other"),
            ("priority", "/var/lib/dpkg/status"),
        ];
        assert_eq!(both, expected);
    }
}
