//! `--slim` makes the tree that the vendor's rules make of a complete one, and later installations follow the rules too.

use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::tree;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::{World, names};
use rootstrap_tests::{machine, need};
use std::fs;
use std::path::Path;

/// Returns a package with everything that is left out, below its own name. Its script looks at what it finds and writes more.
fn documented(name: &str) -> Deb {
    let script = format!(
        "#!/bin/sh\nset -e\n[ -d /usr/share/man/man1 ]\n[ ! -L /usr/share/man/man1/{name}.1 ]\n\
         ln -s /usr/share/{name}.1 /usr/share/man/man1/{name}-alternative.1\n\
         mkdir -p /usr/share/doc/{name}/made /usr/share/info /usr/share/locale/xx\n\
         echo made >/usr/share/doc/{name}/made/README\necho made >/usr/share/info/dir-{name}\n\
         ln -s made/README /usr/share/doc/{name}/README\n"
    );
    // The diverted file is one of `second`. Packages of the first phase are merged before the diversion is added, the others
    // after it.
    let aside = "/usr/share/man/fr/man8/second.1";
    let preinst =
        format!("#!/bin/sh\nset -e\ndpkg-divert --package x --no-rename --divert {aside}.aside --add {aside}\n");
    let file = |deb: Deb, path: &str| deb.file(&format!("/usr/share/{path}"), 0o644, path);
    let files = ["changelog.gz", "copyright", "examples/deep/er"].map(|path| format!("doc/{name}/{path}"));
    let more = ["locale/l10n/", "locale/de/LC_MESSAGES/", "lintian/overrides/", "info/", "man/man1/", "man/fr/man8/"];
    let more = more.map(|path| format!("{path}{name}.1"));
    let deb = files.iter().chain(&more).fold(Deb::new(name, "1"), |deb, path| file(deb, path));
    deb.file(&format!("/usr/share/{name}"), 0o644, "kept")
        .symlink(&format!("/usr/share/doc/{name}-too"), name)
        .symlink(&format!("/usr/share/doc/{name}/NEWS.gz"), "changelog.gz")
        .symlink(&format!("/usr/share/man/man7/{name}.7"), &format!("../man1/{name}.1"))
        .symlink(&format!("/usr/share/man/fr/man8/{name}.8"), &format!("{name}.1"))
        .script("preinst", &preinst)
        .script("postinst", &script)
}

/// Returns two packages of the first phase, one of a later phase, and one that dpkg unpacks.
fn packages() -> [Deb; 4] {
    let replaces = documented("late").field("Replaces", "middle").field("Depends", "middle");
    [
        documented("early").field("Essential", "yes").field("Priority", "required"),
        documented("second").field("Essential", "yes").field("Priority", "required"),
        documented("middle").file("/usr/lib/shared", 0o644, "middle"),
        replaces.file("/usr/lib/shared", 0o644, "late"),
    ]
}

const INCLUDE: &str = "--include=middle,late";

/// Returns the tree without the rules themselves.
fn dump(root: &Path) -> String {
    let lines = tree::dump(root)
        .lines()
        .filter(|line| !line.starts_with("/etc/dpkg/dpkg.cfg.d/docker "))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(lines.contains("/usr/share/early file "), "{lines}");
    lines
}

#[track_caller]
fn assert_same(one: &str, two: &str) {
    let missing = |a: &str, b: &str| -> Vec<String> {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(str::to_owned).collect()
    };
    assert!(one == two, "{:#?}\n{:#?}", missing(one, two), missing(two, one));
}

#[test]
fn slim_is_what_the_rules_leave_of_a_whole_tree() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, packages())));
    for more in [&[][..], &["--image"]] {
        let target = |name: &str| world.target(&format!("{name}{}", more.len()));
        let (whole, slim) = (target("whole"), target("slim"));
        world.run(&[&[whole.as_str(), INCLUDE], more].concat()).expect(0);
        let said = world.run(&[&[slim.as_str(), INCLUDE, "--slim", "-v"], more].concat()).expect(0).stderr;
        assert!(said.contains(" goes through dpkg: "), "{said}");
        let (whole, slim) = (Path::new(&whole), Path::new(&slim));
        base::prints(whole, &["sh", "-c", base::SLIM_RULES]);
        assert_same(&dump(slim), &dump(whole));
        assert_eq!(base::prints(slim, &["dpkg", "--audit"]), "");
        // The file is left out, but dpkg lists it.
        let owner = base::prints(slim, &["dpkg", "-S", "/usr/share/man/man1/late.1"]);
        assert_eq!(owner, "late: /usr/share/man/man1/late.1\n");
        assert_eq!(names(&slim.join("usr/share/man")), ["man1", "man7"]);
        assert_eq!(names(&slim.join("usr/share/doc/late")), ["copyright"]);
        // The sources are the vendor's, which apt's package has only among its examples.
        let sources = "etc/apt/sources.list.d";
        assert_eq!(names(&slim.join(sources)), names(&whole.join(sources)));
    }
}

#[test]
fn later_installations_are_slim_too() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, packages())));
    let target = world.target("root");
    world.run(&[&target, "--slim"]).expect(0);
    let root = Path::new(&target);
    base::add_with_dpkg(
        root,
        &[Deb::new("added", "1").arch("all").file("/usr/share/doc/added/README", 0o644, "").file(
            "/usr/share/doc/added/copyright",
            0o644,
            "",
        )],
    );
    assert_eq!(names(&root.join("usr/share/doc/added")), ["copyright"]);
}

/// The tree has no dpkg that could read the rules.
#[test]
fn extracted_packages_are_slim_too() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, packages())));
    let target = world.target("root");
    world.run(&[&target, "--slim", "--variant=extract", "--include=base-files,middle"]).expect(0);
    let root = Path::new(&target);
    assert_eq!(names(&root.join("usr/share/doc/middle")), ["copyright"]);
    assert_eq!(names(&root.join("usr/share/man/man1")), [""; 0]);
    assert!(!root.join("etc/dpkg").exists() && root.join("usr/share/middle").exists());
}

#[test]
fn root_and_user_make_the_same_slim_image() {
    need!(machine::root());
    let user = need!(machine::user());
    let world = World::new(&need!(base::archive(Layout::Merged, packages())));
    let (ours, theirs) = (world.target("ours.tar"), world.target("theirs.tar"));
    world.run(&[&ours, INCLUDE, "--slim", "--image"]).expect(0);
    world.finish(&mut world.command_as(&user, &[&theirs, INCLUDE, "--slim", "--image"])).expect(0);
    assert!(fs::read(ours).unwrap() == fs::read(theirs).unwrap());
}

#[test]
fn two_stages_make_the_slim_tree_of_one() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, packages())));
    let targets = ["one", "ours", "theirs"].map(|name| world.target(name));
    let [one, ours, theirs] = targets.each_ref().map(Path::new);
    world.run(&[&targets[0], INCLUDE, "--slim"]).expect(0);
    for target in &targets[1..] {
        world.run(&[target, INCLUDE, "--slim", "--foreign"]).expect(0);
    }
    world.finish(&mut world.bare(&["second-stage", &targets[1]])).expect(0);
    base::prints(theirs, &["/rootstrap/second-stage"]);
    assert_same(&tree::dump(ours), &tree::dump(one));
    assert_same(&tree::dump(theirs), &tree::dump(one));
}
