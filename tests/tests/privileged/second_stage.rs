//! Two stages make the tree that one stage makes.

use crate::systems::assert_finished;
use crate::{probe, watcher};
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::tree;
use rootstrap_tests::base::{self, Layout, SUITE};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, need};
use std::fs;
use std::path::Path;

const INCLUDE: &str = "--include=probe,watcher,hello";

/// What a run says of a file that [`diverter`] makes.
const VARYING: &str = "/etc/ssh/ssh_host_* can differ from build to build: ";

/// Returns a package of the first phase and a later one. The preinst of the first makes its own link again and diverts what the later
/// one has: a file, and a directory that is a link in the root, as in a merged /usr.
fn diverter() -> [Deb; 2] {
    let preinst = "#!/bin/sh\nset -e\nrm -f /usr/lib/diverter/link\nln -s file /usr/lib/diverter/link\n\
                   dpkg-divert --package diverter --no-rename --divert /usr/lib/taken.aside --add /usr/lib/taken\n\
                   dpkg-divert --package diverter --no-rename --divert /usr/lib/place.aside --add /usr/lib/place\n\
                   echo \"$* $DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_ARCH $DPKG_RUNNING_VERSION\" >/var/lib/diverter.log\n\
                   mkdir /etc/ssh\necho key >/etc/ssh/ssh_host_rsa_key\n";
    let required = |name| Deb::new(name, "1").field("Essential", "yes").field("Priority", "required");
    let first = required("diverter")
        .file("/usr/lib/diverter/file", 0o644, "file\n")
        .symlink("/usr/lib/diverter/link", "file")
        .symlink("/usr/lib/place", "diverter")
        .script("preinst", preinst);
    let second = required("taken").file("/usr/lib/taken", 0o640, "taken\n").dir("/usr/lib/place", 0o750);
    [first, second]
}

fn archive() -> Result<Archive, String> {
    machine::root()?;
    base::archive(Layout::Merged, [probe(), watcher()].into_iter().chain(diverter()))
}

/// Runs `rootstrap second-stage` on `out/root`.
fn second_stage(world: &World) -> Outcome {
    world.finish(&mut world.bare(&["second-stage", &world.target("root"), "-v"]))
}

fn assert_same(world: &World, mtime: bool) {
    let dump = |name: &str| {
        tree::dump_with(Path::new(&world.target(name)), tree::Options { owner: true, mtime }) + &text(world, name)
    };
    let (one, two) = (dump("one"), dump("root"));
    let differences: Vec<_> = one.lines().zip(two.lines()).filter(|(one, two)| one != two).collect();
    assert!(one == two, "{differences:?}");
}

/// Returns a file as text, which is easier to read than its digest.
fn text(world: &World, name: &str) -> String {
    let read = |path: &str| fs::read_to_string(world.path("out").join(name).join(path)).unwrap();
    read("var/lib/dpkg/status") + &read("var/lib/diverter.log") + &read("var/lib/probe.log")
}

#[test]
fn two_stages_make_the_tree_of_one() {
    let world = World::new(&need!(archive()));
    world.run(&[&world.target("one"), INCLUDE, "-v"]).expect(0).says(&[VARYING]);
    world.run(&[&world.target("root"), INCLUDE, "--foreign"]).expect(0).says(&["/rootstrap/second-stage"]);
    let root = world.target("root");
    let root = Path::new(&root);
    // No script ran, and nothing of a later phase is in the tree.
    assert!(!root.join("var/lib/diverter.log").exists() && !root.join("etc/ld.so.cache").exists());
    assert!(root.join("bin/dpkg").exists() && !root.join("usr/bin/suid").exists());
    let states = fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap();
    assert!(states.contains("Status: install ok unpacked\n") && !states.contains("ok installed"), "{states}");
    let native = base::native(&need!(base::debs(Layout::Merged)));
    assert!(root.join(format!("rootstrap/debs/probe_{native}.deb")).exists());
    second_stage(&world).expect(0).says(&["\nfinished ", VARYING]);
    assert_finished(root, Layout::Merged);
    assert_same(&world, true);
    assert_eq!(fs::read(root.join("usr/lib/taken.aside")).unwrap(), b"taken\n");
    assert!(!root.join("usr/lib/taken").exists() && root.join("usr/lib/place.aside").is_dir());
    base::assert_nothing_left(&world, &["one", "root"]);
}

#[test]
fn the_program_in_the_tree_finishes_it() {
    let world = World::new(&need!(archive()));
    world.run(&[&world.target("one"), INCLUDE]).expect(0);
    world.run(&[&world.target("root"), INCLUDE, "--foreign"]).expect(0);
    let root = world.target("root");
    let root = Path::new(&root);
    let said = base::prints(root, &["/rootstrap/second-stage"]);
    assert!(said.contains("\nunpacking probe") && said.contains("\nconfiguring probe"), "{said}");
    assert!(said.ends_with("the second stage is done: this system is complete\n"), "{said}");
    assert!(!root.join("rootstrap").exists());
    assert_finished(root, Layout::Merged);
    // Files that were changed on the target have the time of the change.
    assert_same(&world, false);
    base::assert_nothing_left(&world, &["one", "root"]);
}

/// Runs a script that fails until a file exists, in a package of a later phase or of the first.
fn fails(script: &str, essential: bool) {
    let text = "#!/bin/sh\n[ ! -e /repaired ] || exit 0\necho 'the last words'\nexit 7\n";
    let mut bad = Deb::new("bad", "1").field("Priority", "optional").script(script, text);
    if essential {
        bad = bad.field("Essential", "yes").field("Priority", "required");
    }
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [bad])));
    let (root, words) = (world.target("root"), format!("error: cannot run the {script} of bad: exit status 7\n"));
    world.run(&[&root, "--include=bad", "--foreign"]).expect(0);
    let root = Path::new(&root);
    let output = base::inside(root, &["/rootstrap/second-stage"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with(&words) && said.contains("    | the last words\n"), "{said}");
    assert!(said.contains("\nthe whole log is in /rootstrap/log\nhint: "), "{said}");
    assert!(fs::read_to_string(root.join("rootstrap/log")).unwrap().contains("the last words\n"));

    let said = second_stage(&world).expect(1).stderr;
    assert!(said.contains(&words) && said.contains("    | the last words\n"), "{said}");
    assert!(said.ends_with("start the second stage again; it continues where it stopped\n"), "{said}");
    assert_eq!(said.matches("error: ").count(), 1, "{said}");

    fs::write(root.join("repaired"), "").unwrap();
    // The scripts of the first packages did not run again: what they left is unchanged.
    let steps = fs::read_to_string(root.join("rootstrap/done")).unwrap();
    assert!(steps.lines().any(|step| step == "preinst-base-passwd"), "{steps}");
    base::prints(root, &["/rootstrap/second-stage"]);
    base::assert_consistent(root);
    assert!(!root.join("rootstrap").exists());
    base::assert_nothing_left(&world, &["root"]);
}

#[test]
fn a_postinst_that_fails_is_tried_again() {
    fails("postinst", false);
}

#[test]
fn a_preinst_that_fails_is_tried_again() {
    fails("preinst", false);
}

#[test]
fn a_postinst_of_the_first_phase_is_tried_again() {
    fails("postinst", true);
}

#[test]
fn a_preinst_of_the_first_phase_is_tried_again() {
    fails("preinst", true);
}

/// Interrupts the second stage as a power cut would: while dpkg configures the first packages, and while it unpacks the last.
#[test]
fn a_dpkg_that_is_killed_is_started_again() {
    need!(machine::root());
    let kills = |mark: &str| format!("#!/bin/sh\n[ -e /{mark} ] || {{ echo >/{mark}; kill -KILL $PPID; exit 1; }}\n");
    let first = Deb::new("mawk-user", "1").field("Essential", "yes").field("Priority", "required");
    let first = first.script("postinst", &kills("first"));
    let later = Deb::new("later", "1").file("/usr/share/later", 0o644, "later\n").script("preinst", &kills("later"));
    let last = Deb::new("later-too", "1").field("Pre-Depends", "later").conffile("/etc/later", "later\n");
    let world = World::new(&need!(base::archive(Layout::Merged, [first, later, last])));
    let root = world.target("root");
    world.run(&[&root, "--include=later-too", "--foreign"]).expect(0);
    let root = Path::new(&root);
    // In the first attempt, the whole first phase is configured twice in any case.
    let output = base::inside(root, &["/rootstrap/second-stage"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: cannot unpack with dpkg: exit status 137\n"), "{said}");
    assert!(root.join("first").exists() && root.join("later").exists());
    base::prints(root, &["/rootstrap/second-stage"]);
    base::assert_consistent(root);
    for mark in ["first", "later"] {
        fs::remove_file(root.join(mark)).unwrap();
    }
    assert_eq!(fs::read(root.join("etc/later")).unwrap(), b"later\n");
}

#[test]
fn what_the_user_put_there_in_between_stays() {
    let world = World::new(&need!(archive()));
    let root = world.target("root");
    world.run(&[&root, INCLUDE, "--foreign"]).expect(0);
    let write = |path: &str| fs::write(Path::new(&root).join(path), "mine\n").unwrap();
    write("etc/hostname");
    fs::create_dir_all(Path::new(&root).join("etc/apt/sources.list.d")).unwrap();
    write(&format!("etc/apt/sources.list.d/{}.sources", "rootstrap"));
    second_stage(&world).expect(0);
    let read = |path: &str| fs::read_to_string(Path::new(&root).join(path)).unwrap();
    assert_eq!(read("etc/hostname"), "mine\n");
    assert_eq!(read("etc/apt/sources.list.d/rootstrap.sources"), "mine\n");
    assert!(read("etc/fstab").starts_with("# UNCONFIGURED"));
}

/// No test machine has this architecture.
#[test]
fn a_first_stage_needs_no_emulator() {
    need!(machine::root());
    let alien = |deb: Deb| if deb.get("Architecture") == Some("all") { deb } else { deb.arch("ia64") };
    let debs = need!(base::debs(Layout::Merged)).into_iter().chain([probe()]).map(alien);
    let mut archive = Archive::new(SUITE).key(&KEY).debs(debs);
    archive.architectures = vec!["ia64".to_owned()];
    let world = World::new(&archive);
    let root = world.target("root");
    let arguments = [root.as_str(), "--arch=ia64", "--include=probe"];
    world.run(&arguments).expect(1).says(&["error: cannot run programs for ia64 on this machine"]);
    world.run(&[&arguments[..], &["--foreign"]].concat()).expect(0);
    assert!(Path::new(&root).join("rootstrap/debs/probe_ia64.deb").exists());
    second_stage(&world).expect(1).says(&["error: cannot run programs for ia64 on this machine"]);
}

#[test]
fn a_user_makes_the_same_first_stage_and_finishes_it() {
    let user = need!(machine::user());
    let world = World::new(&need!(archive()));
    let (ours, theirs) = (world.target("ours.tar"), world.target("theirs.tar"));
    world.run(&[&ours, INCLUDE, "--foreign"]).expect(0);
    world.finish(&mut world.command_as(&user, &[&theirs, INCLUDE, "--foreign"])).expect(0);
    assert!(fs::read(ours).unwrap() == fs::read(&theirs).unwrap());
    let mut archive = tar::Archive::new(fs::File::open(&theirs).unwrap());
    let mut entries = archive.entries().unwrap().map(|entry| entry.unwrap());
    let entry = entries.find(|entry| entry.path_bytes().ends_with(b"rootstrap/second-stage")).unwrap();
    let header = entry.header();
    assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mode().unwrap()), (0, 0, 0o755));

    let root = world.target("root");
    world.finish(&mut world.command_as(&user, &[&root, INCLUDE, "--foreign"])).expect(0);
    // A user who does not own the files cannot finish the tree.
    second_stage(&world).expect(2).says(&["its files are not root's", "\nhint: let the user who made it finish it"]);
    world.finish(&mut world.bare_as(&user, &["second-stage", &root])).expect(0);
    assert_finished(Path::new(&root), Layout::Merged);
}

/// The kernel makes no device nodes for a user, and the empty files that scripts see in their place do not stay.
#[test]
fn device_nodes_of_scripts_are_left_out_for_a_user() {
    let user = need!(machine::user());
    let postinst = "#!/bin/sh\nset -e\nmknod -m 640 /var/lib/node c 10 200\n";
    let maker = Deb::new("maker", "1").script("postinst", postinst);
    let world = World::new(&need!(base::archive(Layout::Merged, [maker])));
    let root = world.target("root");
    world.finish(&mut world.command_as(&user, &[&root, "--include=maker", "--foreign"])).expect(0);
    let outcome = world.finish(&mut world.bare_as(&user, &["second-stage", &root])).expect(0);
    assert!(fs::symlink_metadata(Path::new(&root).join("var/lib/node")).is_err());
    assert!(outcome.stderr.contains("warning: only root can make the device nodes"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("var/lib/node"), "{}", outcome.stderr);
}

#[test]
fn requests_that_make_no_sense() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let root = world.target("root");
    world.run(&["--image", &root, "--foreign"]).expect(2).says(&["--image", "--foreign"]);
    world
        .run(&[&root, "--foreign", "--variant=extract"])
        .expect(2)
        .says(&["error: cannot use --foreign: --variant=extract has"]);
    assert!(world.server.requests().is_empty());

    world.finish(&mut world.bare(&["second-stage", &root])).expect(1).says(&["error: cannot find "]);
    fs::create_dir(&root).unwrap();
    let refused = second_stage(&world).expect(2);
    assert_eq!(
        refused.transcript,
        "error: cannot finish DIR/out/root: there is no rootstrap/plan in it, so it is no first stage, or finished already\n\
         hint: give the directory that `rootstrap SUITE DIRECTORY --foreign` made\n"
    );
    world.finish(&mut world.bare(&["second-stage"])).expect(2).says(&["error: cannot run /rootstrap/second-stage: "]);
    world.finish(&mut world.bare(&["-q", "second-stage", &root])).expect(2).says(&["\nhint: options come after the"]);
    let help = world.finish(&mut world.bare(&["second-stage", "--help"])).expect(0);
    assert!(String::from_utf8_lossy(&help.stdout).contains("The tree to finish"));
}
