//! A tree with entries of every kind, for the tests of all formats.

use crate::tar::{Dev, Options};
use rootstrap_rootfs::{Error, Root, skeleton, walk};
use rootstrap_testkit::tree;
use rustix::fs::XattrFlags;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

pub const EPOCH: i64 = 1_700_000_000;
/// Version 2, cap_net_raw+ep, with a line end among the bits.
pub const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Names that confuse programs which read lists, quote or print.
pub const STRANGE: [&str; 9] =
    [" blank ", "quo\"te", "it's", "new\nline", "back\\slash", "<12>", "-dash", "ü→", "#!$(x)`y`;*?[z]"];

/// The path of an entry and the function that creates it.
type Step = (PathBuf, Box<dyn Fn(&Path)>);

fn steps() -> Vec<Step> {
    fn step(path: impl AsRef<Path>, make: impl Fn(&Path) + 'static) -> Step {
        (path.as_ref().to_owned(), Box::new(make))
    }
    let file = |path: &str, contents: Vec<u8>| step(path, move |path| std::fs::write(path, &contents).unwrap());
    let mut steps = vec![
        file("etc/hostname", b"sample\n".to_vec()),
        file("etc/empty", Vec::new()),
        // Noise of a length that fills no block, then one that fills them.
        file("usr/bin/large", (0..5_000_003u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        file("usr/bin/blocks", vec![b'x'; 8192]),
        // Zeros long and short, in the middle and at the end.
        file(
            "var/sparse",
            [&[b'a'; 5000][..], &vec![0; 3 << 20], b"b", &vec![0; 9000], b"c", &vec![0; 300_001]].concat(),
        ),
        file("var/zeros", vec![0; 1 << 20]),
        step("lib", |path| symlink("usr/lib", path).unwrap()),
        step("usr/lib/long", |path| symlink("t".repeat(300), path).unwrap()),
        step("usr/lib/dangling", |path| symlink("./../no where/\"\\", path).unwrap()),
        step("usr/lib/fifty-nine", |path| symlink("s".repeat(59), path).unwrap()),
        step("usr/lib/sixty", |path| symlink("s".repeat(60), path).unwrap()),
        step("run/fifo", |path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        }),
        step("srv", |path| std::fs::create_dir_all(path).unwrap()),
    ];
    steps.extend(STRANGE.map(|name| file(&format!("strange/{name}"), name.as_bytes().to_vec())));
    steps.extend((0..400).map(|at| file(&format!("many/{at}-{}", "n".repeat(at % 90)), vec![b'm'; at])));
    steps
}

/// Creates the tree in `dir`, in reverse order if `reverse` is true. Returns whether all of it could be created: owners and
/// nodes need root, and capabilities need a filesystem that has them.
pub fn make(dir: &Path, reverse: bool) -> bool {
    let mut steps = steps();
    if reverse {
        steps.reverse();
    }
    for (path, step) in &steps {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        step(&path);
    }
    // Three names of one file and two of an empty one, in several directories.
    let mut names = [("etc/hostname", "a-first"), ("etc/hostname", "usr/bin/third"), ("etc/empty", "srv/empty")];
    if reverse {
        names.reverse();
    }
    for (name, other) in names {
        std::fs::hard_link(dir.join(name), dir.join(other)).unwrap();
    }
    for path in ["", "etc", "many", "run", "strange", "usr", "usr/bin", "usr/lib", "var"] {
        std::fs::set_permissions(dir.join(path), PermissionsExt::from_mode(0o755)).unwrap();
    }
    for path in steps.iter().map(|(path, _)| dir.join(path)).filter(|path| path.symlink_metadata().unwrap().is_file()) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    }
    let is_root = rustix::process::getuid().is_root();
    if !is_root {
        rootstrap_testkit::skip("only root can make nodes and give files away");
    }
    let complete = is_root && owned(dir);
    for (path, mode) in [("srv", 0o1770), ("usr/bin/large", 0o4755), ("etc/empty", 0o400), ("var", 0o2775)] {
        std::fs::set_permissions(dir.join(path), PermissionsExt::from_mode(mode)).unwrap();
    }
    let root = Root::open(dir).unwrap();
    for (path, mtime) in [("etc/empty", 1), ("usr/bin", 1_000_000_000), ("run/fifo", 5), ("lib", 1_600_000_000)] {
        root.at(path.as_bytes()).unwrap().set_mtime(mtime).unwrap();
    }
    clamp_times(&root);
    complete
}

/// Sets every modification time after the epoch to the epoch.
fn clamp_times(root: &Root) {
    let mut found = Vec::new();
    walk::<Error>(root, &mut |visit| {
        if visit.metadata.attributes.mtime > EPOCH && !visit.path.is_empty() {
            found.push(visit.path.to_vec());
        }
        Ok(true)
    })
    .unwrap();
    found.iter().for_each(|path| root.at(path).unwrap().set_mtime(EPOCH).unwrap());
    let time = rustix::fs::Timespec { tv_sec: EPOCH, tv_nsec: 0 };
    rustix::fs::futimens(root.fd(), &rustix::fs::Timestamps { last_access: time, last_modification: time }).unwrap();
}

fn owned(dir: &Path) -> bool {
    for (path, uid, gid) in [("srv", 33, 33), ("etc/hostname", 0, 42), ("var/zeros", 3_000_000, 70_000)] {
        chown(dir.join(path), Some(uid), Some(gid)).unwrap();
    }
    lchown(dir.join("lib"), Some(7), Some(8)).unwrap();
    for (path, name, value) in
        [("usr/bin/blocks", "security.capability", &CAPABILITY[..]), ("srv", "user.note", b"a\nb")]
    {
        if let Err(errno) = rustix::fs::setxattr(dir.join(path), name, value, XattrFlags::empty()) {
            rootstrap_testkit::skip(format!("cannot set {name} here: {errno}"));
            return false;
        }
    }
    let root = Root::open(dir).unwrap();
    let complete = skeleton::fill_dev(&root, EPOCH).unwrap();
    std::fs::set_permissions(dir.join("dev"), PermissionsExt::from_mode(0o755)).unwrap();
    if !complete {
        rootstrap_testkit::skip("device nodes cannot be created here");
    }
    complete
}

/// Returns everything in `dir` except extended attributes, as text.
pub fn dump(dir: &Path) -> String {
    tree::dump_with(dir, tree::Options { owner: true, mtime: true })
}

/// Returns the extended attribute `name` of `path`. A symbolic link is not followed.
pub fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

/// Returns the options that record the sample tree.
pub fn options() -> Options<'static> {
    Options { dev: Dev::Static, ..Options::new(EPOCH) }
}

/// Returns the path of a program of this host. Reports a skipped test if the host has no such program.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = search_path().into_iter().map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        rootstrap_testkit::skip(format!("no {name} on this host"));
    }
    found
}

/// The directories to search for programs.
pub fn search_path() -> Vec<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from).to_vec()
}

/// Runs a command. Returns whether it succeeded, and its standard output followed by its standard error.
pub fn run(command: &mut Command) -> (bool, String) {
    let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Fails with the first line in which two dumps differ.
pub fn assert_same(found: &str, expected: &str, what: &str) {
    let mut lines = found.lines().zip(expected.lines());
    let differs = lines.find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{what}: {differs:?} of {} and {} lines",
        found.lines().count(),
        expected.lines().count()
    );
}
