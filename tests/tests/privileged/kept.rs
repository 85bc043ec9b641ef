//! Snapshots and finished archives in the cache: a run that finds one does less, and its result has the same bytes.

use crate::{probe, shouting, watcher};
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine;
use rootstrap_tests::need;
use rootstrap_tests::world::{World, names};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const FROM_SNAPSHOT: &str = "the first phase is taken from the cache";
const FROM_ROOT: &str = "the configured root is taken from the cache";
const FROM_ARCHIVE: &str = "the result is taken from the cache";

fn world() -> Result<World, String> {
    machine::root()?;
    // A script reads a file that has two names.
    let paired = Deb::new("paired", "1").field("Priority", "required").file("/usr/share/pair", 0o644, "pair");
    let paired = paired.hardlink("/usr/share/pair-too", "/usr/share/pair");
    let paired = paired.script("postinst", "#!/bin/sh\ncat /usr/share/pair\n");
    base::archive(Layout::Merged, [probe(), watcher(), shouting(), paired]).map(|archive| World::new(&archive))
}

#[test]
fn a_first_phase_snapshot_is_made_once_and_changes_nothing() {
    let world = need!(world());
    let build = |more: &[&str]| world.run_again(&[&["-", "-v"], more].concat()).expect(0);
    let whole = |more: &[&str]| world.run(&[&["-", "-v"], more].concat()).expect(0);
    let packages = ["--include=probe,watcher"];
    let (plain, more) = (whole(&[]), whole(&packages));
    assert!(plain.stderr.contains("SHOUT") && more.stderr.contains("SHOUT"));
    assert!(plain.stdout != more.stdout);
    // The last run has left the snapshot for both requests, and for every staging place.
    for (options, expected) in [(&[][..], &plain), (&packages, &more), (&["--staging=disk"], &plain)] {
        let again = build(options);
        assert!(again.stderr.contains(FROM_SNAPSHOT) && !again.stderr.contains("SHOUT"), "{}", again.stderr);
        assert!(again.stdout == expected.stdout, "{options:?}");
    }
    assert_eq!(names(&world.path("cache/v1/first-phase")).len(), 1);
    // An option that influences the first phase needs another snapshot.
    for options in ["--slim", "--variant=important", "--mode=unshare"] {
        assert!(!build(&[options]).stderr.contains(FROM_SNAPSHOT), "{options}");
    }
    // A damaged snapshot counts as absent and is made again. Nor is there one of the whole root.
    fs::remove_dir_all(world.path("cache/v1/root")).unwrap();
    let snapshots = names(&world.path("cache/v1/first-phase"));
    for snapshot in &snapshots {
        let path = world.path("cache/v1/first-phase").join(snapshot);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let again = build(&packages);
    assert!(!again.stderr.contains(FROM_SNAPSHOT) && again.stdout == more.stdout);
    fs::remove_dir_all(world.path("cache/v1/root")).unwrap();
    assert!(build(&packages).stderr.contains(FROM_SNAPSHOT));
    // Any layer may be lost.
    for layer in names(&world.path("cache/v1")) {
        let path = world.path("cache/v1").join(&layer);
        fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
        assert!(build(&packages).stdout == more.stdout, "without {layer}");
    }
}

#[test]
fn a_user_has_first_phase_snapshots_too() {
    let user = need!(machine::user());
    let world = need!(world());
    let expected = world.run(&["-", "--include=probe"]).expect(0).stdout;
    for mode in ["--mode=unshare", "--mode=single"] {
        // Both commands are made before either runs, because making one empties this part of the cache.
        let more: [&[&str]; 2] = [&["-", "-v", mode], &["-", "-v", mode, "--include=probe"]];
        let [first, second] = more.map(|arguments| world.command_as(&user, arguments));
        let [_, second] = [first, second].map(|mut command| world.finish(&mut command).expect(0));
        assert!(second.stderr.contains(FROM_SNAPSHOT), "{mode}: {}", second.stderr);
        assert!(second.stdout == expected, "{mode}");
    }
}

#[test]
fn a_root_is_kept_when_two_builds_are_equal_and_changes_nothing() {
    let world = need!(world());
    let sbom = world.path("root.spdx.json");
    let options = format!("--sbom={}", sbom.display());
    let build = |again: bool, more: &[&str]| {
        let _ = fs::remove_file(&sbom);
        let arguments = [&["-", "-v", "--include=probe", &options], more].concat();
        let outcome = if again { world.run_again(&arguments) } else { world.run(&arguments) }.expect(0);
        let bytes = [outcome.stdout, fs::read(&sbom).unwrap()];
        (outcome.stderr.contains(FROM_ROOT), bytes)
    };
    fs::write(world.path("copied"), "copied\n").unwrap();
    let copy = format!("--copy={}:/etc/copied", world.path("copied").display());
    for more in [&[copy.as_str()][..], &["--image"], &["--image", "--slim"], &["--mode=unshare"], &["--staging=disk"]] {
        let (from_cache, expected) = build(false, more);
        assert!(!from_cache);
        assert!(build(true, more) == (false, expected.clone()), "{more:?}");
        assert!(build(true, more) == (false, expected.clone()), "{more:?}");
        assert!(build(true, more) == (true, expected), "{more:?}");
    }
    // One root serves all requests that differ in what comes after the scripts.
    let expected = [&[copy.as_str()][..], &["--image"]].map(|more| build(false, more).1);
    let _ = (build(false, &[]), build(true, &[]), build(true, &[]));
    assert!(build(true, &[&copy]) == (true, expected[0].clone()));
    assert!(build(true, &["--image"]) == (true, expected[1].clone()));
    for option in ["--hook=essential=true", "--hook=setup=true", "--dpkg-option=path-exclude=/usr/share/x/*"] {
        assert!(!build(true, &[option]).0, "{option}");
    }
    assert!(build(true, &["--hook=customize=true"]).0);
    // A damaged one counts as absent.
    for root in names(&world.path("cache/v1/root")) {
        fs::write(world.path("cache/v1/root").join(root), "damaged").unwrap();
    }
    assert!(!build(true, &[&copy]).0);
}

#[test]
fn a_layer_is_compressed_only_where_it_is_new() {
    let world = need!(world());
    let target = world.target("image.oci.tar");
    let build = |content: &str| {
        let _ = fs::remove_file(&target);
        fs::write(world.path("copied"), content).unwrap();
        let copy = format!("--copy={}:/etc/copied", world.path("copied").display());
        world.run_again(&[&target, &copy]).expect(0);
        let shards = world.path("cache/v1/gzip");
        let pieces = || if shards.exists() { names(&shards) } else { Vec::new() }.into_iter();
        let count: usize = pieces().map(|shard| names(&world.path("cache/v1/gzip").join(shard)).len()).sum();
        (count, fs::read(&target).unwrap())
    };
    // The first build with a cache may be the only one, and would write its layer twice.
    let (none, _) = build("first\n");
    let (first, _) = build("copied\n");
    let (second, image) = build(&"another\n".repeat(1000));
    assert!(none == 0 && first > 20 && (1..=4).contains(&(second - first)), "{none}, {first} and {second} pieces");
    // They may hold what is secret. Those that are lost or damaged are compressed again.
    for shard in names(&world.path("cache/v1/gzip")) {
        let shard = world.path("cache/v1/gzip").join(shard);
        let mode = |piece: &String| fs::metadata(shard.join(piece)).unwrap().permissions().mode() & 0o777;
        assert!(names(&shard).iter().all(|piece| mode(piece) == 0o600));
        names(&shard).iter().for_each(|piece| fs::write(shard.join(piece), "damaged").unwrap());
    }
    assert!(build("copied\n").1 != image);
    assert!(build(&"another\n".repeat(1000)).1 == image);
    fs::remove_dir_all(world.path("cache")).unwrap();
    assert!(build(&"another\n".repeat(1000)).1 == image);
}

/// A filesystem of its own that can share blocks. Dropping it unmounts it.
struct Shareable(PathBuf);

impl Shareable {
    fn mount(world: &World) -> Result<Self, String> {
        if !(machine::has("mkfs.xfs") && machine::has("filefrag")) {
            return Err("xfsprogs or e2fsprogs is not installed".to_owned());
        }
        let (image, place) = (world.path("image"), world.path("shareable"));
        fs::File::create(&image).and_then(|file| file.set_len(400 << 20)).unwrap();
        fs::create_dir(&place).unwrap();
        for (program, words) in [("mkfs.xfs", &["-q", "-m", "reflink=1"][..]), ("mount", &["-o", "loop"])] {
            let mut command = Command::new(program);
            command.args(words).arg(&image);
            if program == "mount" {
                command.arg(&place);
            }
            let output = command.output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            output.status.success().then_some(()).ok_or(format!("xfs cannot be mounted: {}", text.trim()))?;
        }
        Ok(Self(place))
    }

    /// Whether a file has blocks that another file has too.
    fn is_shared(&self, name: &str) -> bool {
        let output = Command::new("filefrag").arg("-v").arg(self.0.join(name)).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("shared")
    }
}

impl Drop for Shareable {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn an_archive_shares_its_blocks_with_the_cache() {
    let world = need!(world());
    let place = need!(Shareable::mount(&world));
    let target = place.0.join("root.tar");
    let build = |more: &[&str]| {
        let _ = fs::remove_file(&target);
        let arguments = [&[target.to_str().unwrap(), "-v", "--cache-dir", "shareable/cache"], more].concat();
        let outcome = world.finish(&mut world.command(&arguments)).expect(0);
        (outcome.stderr.contains(FROM_ARCHIVE), place.is_shared("root.tar"), fs::read(&target).unwrap())
    };
    let (first, again) = (build(&[]), build(&[]));
    assert!(!first.0 && first.1, "the cache has a copy of its own");
    assert!(again.0 && again.1 && again.2 == first.2);
    // Whoever changes the archive changes no other.
    fs::write(&target, "changed").unwrap();
    assert!(build(&[]) == again);
    let entries = names(&place.0.join("cache/v1/archive"));
    for entry in entries {
        fs::write(place.0.join("cache/v1/archive").join(entry), "damaged").unwrap();
    }
    let anew = build(&[]);
    assert!(!anew.0 && anew.2 == first.2);
}

/// Two machines must not get the same key.
#[test]
fn a_root_with_a_secret_of_one_machine_is_not_kept() {
    need!(machine::root());
    let secret = Deb::new("secret", "1").field("Priority", "optional").dir("/etc/own", 0o755);
    let secret = secret.script("postinst", "#!/bin/sh\ncat /proc/sys/kernel/random/uuid > /etc/own/key\n");
    let world = World::new(&need!(base::archive(Layout::Merged, [secret])));
    let mut keys = Vec::new();
    for number in 0..5 {
        let target = world.target(&format!("root{number}"));
        let outcome = world.run_again(&[&target, "-v", "--include=secret"]).expect(0);
        assert!(!outcome.stderr.contains(FROM_ROOT));
        keys.push(fs::read(format!("{target}/etc/own/key")).unwrap());
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 5);
}

#[test]
fn a_root_that_cannot_be_kept_is_looked_at_once() {
    need!(machine::root());
    let listed = Deb::new("listed", "1").field("Priority", "optional").dir("/etc/ssh", 0o755);
    let listed = listed.script("postinst", "#!/bin/sh\necho key > /etc/ssh/ssh_host_key\n");
    let world = World::new(&need!(base::archive(Layout::Merged, [listed])));
    let said = (0..4).map(|_| {
        let outcome = world.run_again(&["-", "-v", "--include=listed"]).expect(0);
        assert!(!outcome.stderr.contains(FROM_ROOT));
        outcome.stderr.matches("the configured root is not kept, because of /etc/ssh/ssh_host_key").count()
    });
    assert_eq!(said.collect::<Vec<_>>(), [0, 1, 0, 0]);
}

#[test]
fn an_archive_of_which_nothing_has_changed_is_copied() {
    let world = need!(world());
    for target in ["a.tar", "b.tar.gz", "c.oci.tar"] {
        let path = world.target(target);
        let build = |more: &[&str]| {
            let _ = fs::remove_file(&path);
            let outcome = world.run_again(&[&[path.as_str(), "-v"], more].concat()).expect(0);
            (outcome.stderr.contains(FROM_ARCHIVE), fs::read(&path).unwrap())
        };
        let first = build(&[]);
        assert!(!first.0);
        assert!(build(&[]) == (true, first.1.clone()), "{target}");
        assert!(build(&["--sync=no"]) == (true, first.1.clone()), "{target}");
        for options in ["--include=probe", "--slim", "--components=main", "--copy=key.pgp:/key"] {
            assert!(!build(&[options]).0, "{target} {options}");
        }
        for archive in names(&world.path("cache/v1/archive")) {
            let path = world.path("cache/v1/archive").join(archive);
            let length = fs::metadata(&path).unwrap().len();
            fs::File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
        }
        assert!(build(&[]) == (false, first.1), "{target}: a damaged one was taken");
    }
}
