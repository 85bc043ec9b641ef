//! Images checked by e2fsck and read back by the kernel and by debugfs.

use super::*;
use crate::sample::{self, EPOCH, program, run, xattr};
use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

static GO_ON: AtomicBool = AtomicBool::new(false);

fn options() -> Options<'static> {
    Options { tar: sample::options(), size: None, label: None, uuid: None, cancel: &GO_ON }
}

/// Writes an image into a file that is open for writing only.
fn image(tree: &Path, options: &Options<'_>) -> Result<tempfile::NamedTempFile> {
    let place = tempfile::NamedTempFile::new().unwrap();
    let file = rustix::fs::open(place.path(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map(File::from).unwrap();
    let result = write(&Root::open(tree).unwrap(), &file, options);
    match result {
        Ok(written) => {
            assert_eq!(written.bytes, file.metadata().unwrap().len());
            Ok(place)
        }
        Err(error) => {
            assert_eq!(file.metadata().unwrap().len(), 0);
            Err(error)
        }
    }
}

fn bytes(tree: &Path, options: &Options<'_>) -> Vec<u8> {
    std::fs::read(image(tree, options).unwrap().path()).unwrap()
}

/// Asserts that e2fsck finds no error. Checks nothing if this host has no e2fsck.
fn check(image: &Path) {
    let Some(e2fsck) = program("e2fsck") else { return };
    let (clean, output) = run(Command::new(e2fsck).arg("-fn").arg(image));
    assert!(clean, "{output}");
}

fn debugfs(image: &Path, request: &str) -> Option<String> {
    Some(run(Command::new(program("debugfs")?).args(["-R", request]).arg(image)).1)
}

/// A mounted image.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(image: &Path, how: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (done, output) = run(Command::new("mount").args(["-o", how, "-t", "ext4"]).args([image, dir.path()]));
        if !done {
            rootstrap_testkit::skip(format!("cannot mount here: {output}"));
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let (done, output) = run(Command::new("umount").arg(self.0.path()));
        assert!(done || std::thread::panicking(), "{output}");
    }
}

#[test]
fn the_kernel_reads_the_same_tree_and_writes_to_it() {
    let dir = tempfile::tempdir().unwrap();
    if !sample::make(dir.path(), false) {
        return;
    }
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o1751)).unwrap();
    let image = image(dir.path(), &Options { label: Some("sixteen letters!"), ..options() }).unwrap();
    check(image.path());
    if let Some(mounted) = Mounted::new(image.path(), "loop,ro") {
        let found = sample::dump(mounted.0.path());
        let found: Vec<_> = found.lines().filter(|line| !line.starts_with("/lost+found ")).collect();
        sample::assert_same(&(found.join("\n") + "\n"), &sample::dump(dir.path()), "mounted");
        assert_eq!(xattr(&mounted.0.path().join("usr/bin/blocks"), "security.capability").unwrap(), sample::CAPABILITY);
        assert_eq!(xattr(&mounted.0.path().join("srv"), "user.note").unwrap(), b"a\nb");
        let lost = std::fs::metadata(mounted.0.path().join("lost+found")).unwrap();
        assert_eq!((lost.mode(), lost.uid(), lost.mtime()), (0o40700, 0, EPOCH));
        // Holes take no space; 512-byte units.
        assert_eq!(std::fs::metadata(mounted.0.path().join("var/zeros")).unwrap().blocks(), 0);
        assert!(std::fs::metadata(mounted.0.path().join("var/sparse")).unwrap().blocks() <= 8 * 6);
    }
    if let Some(mounted) = Mounted::new(image.path(), "loop,rw") {
        for at in 0..2000 {
            std::fs::write(mounted.0.path().join(format!("many/new-{at}")), vec![b'x'; 9000]).unwrap();
        }
        std::fs::remove_dir_all(mounted.0.path().join("usr")).unwrap();
    }
    check(image.path());
}

#[test]
fn the_image_does_not_depend_on_the_build() {
    let dir = tempfile::tempdir().unwrap();
    sample::make(dir.path(), false);
    let image = image(dir.path(), &Options { label: Some("root"), ..options() }).unwrap();
    let Some(stat) = debugfs(image.path(), "stat /etc/hostname") else { return };
    for time in ["ctime", "atime", "mtime", "crtime"] {
        let line = stat.lines().find(|line| line.trim_start().starts_with(time)).unwrap();
        assert!(line.contains(&format!("0x{EPOCH:x}:00000000")), "{line}");
    }
    assert!(stat.contains("Links: 3"), "{stat}");
    let about = debugfs(image.path(), "show_super_stats -h").unwrap();
    let field = |name: &str| about.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert_eq!((field("Filesystem volume name:"), field("Filesystem state:")), ("root", "clean"));
    assert!(field("Filesystem created:").ends_with("2023") && field("Last checked:").ends_with("2023"), "{about}");
    // Version 8 of the variant that RFC 9562 describes.
    let uuid = field("Filesystem UUID:");
    assert!(uuid.as_bytes()[14] == b'8' && b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
}

#[test]
fn equal_trees_give_equal_bytes_and_other_trees_other_uuids() {
    let [one, two] = [false, true].map(|reverse| {
        let dir = tempfile::tempdir().unwrap();
        sample::make(dir.path(), reverse);
        dir
    });
    let image = bytes(one.path(), &options());
    assert!(image == bytes(two.path(), &options()));
    let uuid = |bytes: &[u8]| bytes[1024 + 0x68..1024 + 0x78].to_vec();
    let label = bytes(one.path(), &Options { label: Some("x"), ..options() });
    assert_ne!(uuid(&label), uuid(&image));
    std::fs::write(two.path().join("etc/hostname"), "SAMPLE\n").unwrap();
    Root::open(two.path()).unwrap().at(b"etc/hostname").unwrap().set_mtime(EPOCH).unwrap();
    assert_ne!(uuid(&bytes(two.path(), &options())), uuid(&image));
}

#[test]
fn holes_follow_from_the_bytes_and_not_from_the_filesystem() {
    let dir = tempfile::tempdir().unwrap();
    let contents = [&[7; 4096 * 3 + 5][..], &vec![0; 1 << 20], &[8; 10], &vec![0; 200_000]].concat();
    std::fs::write(dir.path().join("file"), &contents).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let set_time = || root.at(b"file").unwrap().set_mtime(EPOCH).unwrap();
    set_time();
    let whole = bytes(dir.path(), &options());
    // The same with holes, as far as this filesystem has them.
    std::fs::remove_file(dir.path().join("file")).unwrap();
    let file = File::create(dir.path().join("file")).unwrap();
    file.set_len(contents.len() as u64).unwrap();
    file.write_all_at(&contents[..4096 * 3 + 5], 0).unwrap();
    file.write_all_at(&[8; 10], 4096 * 3 + 5 + (1 << 20)).unwrap();
    set_time();
    assert!(whole == bytes(dir.path(), &options()));
    let image = image(dir.path(), &options()).unwrap();
    check(image.path());
    let out = tempfile::tempdir().unwrap();
    let Some(output) = debugfs(image.path(), &format!("dump /file {}/file", out.path().display())) else { return };
    assert!(std::fs::read(out.path().join("file")).unwrap() == contents, "{output}");
}

#[test]
fn sizes_are_exact_or_leave_free_space() {
    let dir = tempfile::tempdir().unwrap();
    sample::make(dir.path(), false);
    std::fs::write(dir.path().join("more"), vec![b'm'; 20 << 20]).unwrap();
    let free = |image: &Path| {
        let bytes = std::fs::read(image).unwrap();
        u64::from(u32::from_le_bytes(bytes[1024 + 0x0c..1024 + 0x10].try_into().unwrap())) * BLOCK
    };
    let roomy = image(dir.path(), &options()).unwrap();
    let left = free(roomy.path());
    assert!((MIN_FREE..MIN_FREE + (2 << 20)).contains(&left), "{left}");
    // One block too small, then the smallest size. The rest is the margin of the upper bounds.
    let Error::TooSmall { least, .. } = image(dir.path(), &Options { size: Some(1 << 20), ..options() }).unwrap_err()
    else {
        panic!("a MiB is enough");
    };
    let asked = |size| Options { size: Some(size), ..options() };
    let error = image(dir.path(), &asked(least - 4096)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot make an ext4 image of {} bytes: this tree needs {least}", least - 4096)
    );
    assert!(error.hint().is_some());
    let tight = image(dir.path(), &asked(least - 1)).unwrap();
    check(tight.path());
    assert!(free(tight.path()) < 2 << 20, "{}", free(tight.path()));
    assert_eq!(tight.path().metadata().unwrap().len(), least);
    // Large enough for several groups and a second copy of everything.
    let large = image(dir.path(), &asked(3 << 30)).unwrap();
    check(large.path());
    assert!(large.path().metadata().unwrap().blocks() * 512 < 200 << 20);
}

#[test]
fn an_image_can_grow() {
    let dir = tempfile::tempdir().unwrap();
    sample::make(dir.path(), false);
    let Some(resize2fs) = program("resize2fs") else { return };
    let image = image(dir.path(), &options()).unwrap();
    let (done, output) = run(Command::new(resize2fs).arg(image.path()).arg("1G"));
    assert!(done, "{output}");
    check(image.path());
}

#[test]
fn empty_trees_and_many_names() {
    let dir = tempfile::tempdir().unwrap();
    check(image(dir.path(), &options()).unwrap().path());
    // An index of several blocks, and names as long as they get.
    for at in 0..3000 {
        std::fs::write(dir.path().join(format!("{at:0>255}")), "").unwrap();
    }
    let full = image(dir.path(), &options()).unwrap();
    check(full.path());
    let Error::TooSmall { least, .. } = image(dir.path(), &Options { size: Some(1), ..options() }).unwrap_err() else {
        panic!("a byte is enough");
    };
    check(image(dir.path(), &Options { size: Some(least), ..options() }).unwrap().path());
}

#[test]
fn the_filesystem_has_its_own_lost_and_found() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    std::fs::create_dir(dir.path().join("lost+found.old")).unwrap();
    check(image(dir.path(), &options()).unwrap().path());
    std::fs::write(dir.path().join("lost+found/file"), "").unwrap();
    let error = image(dir.path(), &options()).unwrap_err().to_string();
    assert!(error.starts_with("cannot put lost+found/file into an ext4 image"), "{error}");
}

#[test]
fn the_error_names_what_the_format_cannot_hold() {
    let refused = |make: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        image(dir.path(), &options()).unwrap_err()
    };
    let error = refused(&|dir| std::fs::write(dir.join(OsStr::from_bytes(b"\xff\xfe")), "").unwrap());
    assert!(error.to_string().ends_with("it has a name that is not UTF-8"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let error = image(dir.path(), &Options { label: Some("seventeen letters"), ..options() }).unwrap_err();
    assert_eq!(error.to_string(), "cannot lay out an ext4 image");
    // The file is empty after a failure in the middle and after a cancellation.
    let mut layer = options();
    layer.tar.layer = true;
    std::fs::write(dir.path().join(".wh.gone"), "").unwrap();
    assert!(matches!(image(dir.path(), &layer).unwrap_err(), Error::Whiteout { .. }));
    let cancel = AtomicBool::new(true);
    let error = image(dir.path(), &Options { cancel: &cancel, ..options() }).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
}
