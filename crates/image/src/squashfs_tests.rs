//! Images of every tool that this host has, read back by unsquashfs.

use super::*;
use crate::sample::{self, EPOCH, program, run, xattr};
use std::io::BufRead;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

static GO_ON: AtomicBool = AtomicBool::new(false);

/// Returns a file without a name that is open for writing only.
fn nameless(dir: &Path) -> File {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR).map(File::from).unwrap_or_else(|errno| {
        eprintln!("this filesystem has no O_TMPFILE: {errno}");
        tempfile::tempfile_in(dir).unwrap()
    })
}

fn bytes(file: &File) -> Vec<u8> {
    std::fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

fn options(programs: &[PathBuf]) -> Options<'_> {
    Options { tar: sample::options(), programs, cancel: &GO_ON }
}

/// Returns a directory for each tool that this host has. It holds this tool alone.
fn tools() -> Vec<(&'static str, tempfile::TempDir)> {
    let mut found = Vec::new();
    for tool in &TOOLS {
        let dir = tempfile::tempdir().unwrap();
        if tool.name == "sqfstar" && !rustix::process::getuid().is_root() {
            rootstrap_testkit::skip("sqfstar needs a / that belongs to root");
        } else if let Some(path) = program(tool.name) {
            symlink(path, dir.path().join(tool.name)).unwrap();
            found.push((tool.name, dir));
        }
    }
    found
}

fn image(tree: &Path, programs: &Path, jobs: Option<usize>) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let file = nameless(place.path());
    let programs = [PathBuf::from("/nonexistent"), programs.to_owned()];
    let written = write_with_jobs(&Root::open(tree).unwrap(), &file, &options(&programs), jobs).unwrap();
    assert!(written.entries > 1);
    bytes(&file)
}

#[test]
fn unsquashfs_unpacks_the_same_tree() {
    let dir = tempfile::tempdir().unwrap();
    if !sample::make(dir.path(), false) {
        return;
    }
    let Some(unsquashfs) = program("unsquashfs") else { return };
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o1751)).unwrap();
    for (name, programs) in tools() {
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join("image"), image(dir.path(), programs.path(), None)).unwrap();
        let (done, output) =
            run(Command::new(&unsquashfs).args(["-q", "-n", "-d", "tree", "image"]).current_dir(out.path()));
        assert!(done, "{name}: {output}");
        let tree = out.path().join("tree");
        sample::assert_same(&sample::dump(&tree), &sample::dump(dir.path()), name);
        assert_eq!(xattr(&tree.join("usr/bin/blocks"), "security.capability").unwrap(), sample::CAPABILITY, "{name}");
        assert_eq!(xattr(&tree.join("srv"), "user.note").unwrap(), b"a\nb", "{name}");
        let (_, output) = run(Command::new(&unsquashfs).args(["-s", "image"]).current_dir(out.path()));
        assert!(output.contains("zstd") && output.contains("Nov 14") && output.contains("2023"), "{name}: {output}");
    }
}

#[test]
fn the_root_keeps_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let Some(unsquashfs) = program("unsquashfs") else { return };
    let other = |visit: &rootstrap_rootfs::Visit<'_>| Attributes { uid: 7, gid: 8, ..visit.metadata.attributes };
    for (name, programs) in tools() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let programs = [programs.path().to_owned()];
        let mut options = options(&programs);
        options.tar.attributes = Some(&other);
        let done = write(&Root::open(dir.path()).unwrap(), place.as_file(), &options);
        if name == "sqfstar" {
            assert!(done.unwrap_err().to_string().contains("sqfstar"));
            continue;
        }
        done.unwrap();
        let (_, output) = run(Command::new(&unsquashfs).arg("-lln").arg(place.path()));
        assert!(output.lines().any(|line| line.contains(" 7/8 ") && line.ends_with("squashfs-root")), "{output}");
    }
}

#[test]
fn long_links_keep_their_text() {
    let dir = tempfile::tempdir().unwrap();
    let Some(unsquashfs) = program("unsquashfs") else { return };
    let target = format!("/{}", "t".repeat(300));
    symlink(&target, dir.path().join("link")).unwrap();
    for (name, programs) in tools() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let programs = [programs.path().to_owned()];
        match write(&Root::open(dir.path()).unwrap(), place.as_file(), &options(&programs)) {
            Err(error) => assert!(name == "sqfstar" && error.to_string().starts_with("cannot put link"), "{error}"),
            Ok(_) => {
                assert!(run(Command::new(&unsquashfs).arg("-lls").arg(place.path())).1.contains(&target), "{name}")
            }
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_order_threads_or_file() {
    for (name, programs) in tools() {
        let mut images = Vec::new();
        for (reverse, jobs) in [(false, Some(1)), (true, Some(2)), (false, None)] {
            let dir = tempfile::tempdir().unwrap();
            sample::make(dir.path(), reverse);
            images.push(image(dir.path(), programs.path(), jobs));
        }
        assert!(images[0] == images[1] && images[1] == images[2], "{name}");
        // A file with a name, another mode and old contents.
        let dir = tempfile::tempdir().unwrap();
        sample::make(dir.path(), false);
        let named = tempfile::NamedTempFile::new().unwrap();
        named.as_file().write_all_at(b"what was there before", 0).unwrap();
        let programs = [programs.path().to_owned()];
        write(&Root::open(dir.path()).unwrap(), named.as_file(), &options(&programs)).unwrap();
        assert!(std::fs::read(named.path()).unwrap() == images[0], "{name}");
    }
}

#[test]
fn an_empty_tree_is_an_image() {
    let dir = tempfile::tempdir().unwrap();
    for (name, programs) in tools() {
        assert!(image(dir.path(), programs.path(), None).starts_with(b"hsqs"), "{name}");
    }
}

#[test]
fn without_a_program_the_error_says_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    // A file that is not executable and a directory are not programs.
    std::fs::write(dir.path().join("tar2sqfs"), "").unwrap();
    std::fs::create_dir(dir.path().join("sqfstar")).unwrap();
    let programs = [dir.path().to_owned()];
    let error = write(&Root::open(dir.path()).unwrap(), &nameless(dir.path()), &options(&programs)).unwrap_err();
    assert_eq!(error.to_string(), "cannot make a squashfs image: this machine has neither tar2sqfs nor sqfstar");
    assert!(error.hint().unwrap().contains("squashfs-tools-ng"));
}

/// Returns a directory with a `tar2sqfs` that is this shell script.
fn script(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tar2sqfs");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

#[test]
fn the_error_quotes_a_program_that_fails() {
    let tree = tempfile::tempdir().unwrap();
    sample::make(tree.path(), false);
    let root = Root::open(tree.path()).unwrap();
    // The script fails before it reads anything, then after it has read everything.
    for read in ["", "cat >/dev/null; "] {
        let dir = script(&format!("{read}for at in 1 2 3 4 5 6 7 8 9; do echo \"line $at\" >&2; done; exit 3"));
        let file = nameless(dir.path());
        file.write_all_at(b"hsqs", 0).unwrap();
        let programs = [dir.path().to_owned()];
        let error = write(&root, &file, &options(&programs)).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot make a squashfs image: tar2sqfs: exit status: 3\n    | line 2\n"), "{text}");
        assert!(text.ends_with("line 9"), "{text}");
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}

#[test]
fn the_program_has_a_clean_environment() {
    let tree = tempfile::tempdir().unwrap();
    let dir = script("cat >/dev/null; env >&2; exit 1");
    let programs = [dir.path().to_owned()];
    let error = write(&Root::open(tree.path()).unwrap(), &nameless(dir.path()), &options(&programs)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("SOURCE_DATE_EPOCH={EPOCH}")) && !text.contains("HOME="), "{text}");
}

#[test]
fn an_unreadable_tree_kills_the_program_and_is_the_error_reported() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join(".wh.gone"), "").unwrap();
    let mut programs = tools();
    // A program that succeeds whatever it reads.
    programs.push(("script", script("echo hsqs >\"$(eval echo \\$$#)\"; cat >/dev/null; exit 0")));
    for (name, dir) in programs {
        let file = nameless(tree.path());
        let programs = [dir.path().to_owned()];
        let mut options = options(&programs);
        options.tar.layer = true;
        let error = write(&Root::open(tree.path()).unwrap(), &file, &options).unwrap_err();
        assert!(matches!(error, Error::Whiteout { .. }), "{name}: {error}");
        assert_eq!(file.metadata().unwrap().len(), 0, "{name}");
    }
}

#[test]
fn a_program_that_hangs_is_stopped() {
    let tree = tempfile::tempdir().unwrap();
    // The script reports its number through the FIFO, either before it reads anything or after it has read everything, and
    // hangs.
    for read in ["", "cat >/dev/null; "] {
        let dir = script(&format!("{read}echo $$ >\"$(dirname \"$0\")/fifo\"; exec sleep 1000"));
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let cancel = Arc::new(AtomicBool::new(false));
        let stopper = std::thread::spawn({
            let cancel = Arc::clone(&cancel);
            move || {
                let mut pid = String::new();
                io::BufReader::new(File::open(&fifo).unwrap()).read_line(&mut pid).unwrap();
                cancel.store(true, Ordering::Relaxed);
                pid.trim().to_owned()
            }
        });
        let programs = [dir.path().to_owned()];
        let options = Options { cancel: &cancel, ..options(&programs) };
        let error = write(&Root::open(tree.path()).unwrap(), &nameless(tree.path()), &options).unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
        let pid = stopper.join().unwrap();
        assert!(std::fs::metadata(format!("/proc/{pid}")).map_or(0, |found| found.ino()) == 0);
    }
}
