//! dpkg's rarer rules in a whole run. We merge some packages, leave others to dpkg, and run scripts in between. The result is what
//! the same dpkg makes when it unpacks the same packages in the same order.

use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::server::Fault;
use rootstrap_testkit::{host, tree};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::path::Path;

/// Files that only one of the two ways leaves: logs, caches, and marks for apt.
const OWN: [&str; 9] = [
    "/etc/apt/",
    "/etc/ld.so.cache",
    "/var/cache/",
    "/var/lib/apt/",
    "/var/log/",
    "/var/lib/dpkg/available",
    "/var/lib/dpkg/lock",
    "/var/lib/dpkg/status-old",
    "/var/lib/dpkg/triggers/Lock",
];

/// Installs `later` on top of a system with `required`, once by us and once by dpkg, and compares the trees. Returns what our run
/// printed, and our root.
fn compare(required: Vec<Deb>, later: Vec<Deb>) -> Result<(World, String), String> {
    machine::root()?;
    let archive = base::archive(Layout::Merged, required.into_iter().chain(later.clone()))?;
    let world = World::new(&archive);
    let (ours, theirs) = (world.target("ours"), world.target("theirs"));
    let names: Vec<&str> = later.iter().map(Deb::name).collect();
    let outcome = world.run(&[&ours, "-v", &format!("--include={}", names.join(","))]).expect(0);
    world.run(&[&theirs]).expect(0);
    base::add_with_dpkg(Path::new(&theirs), &later);
    for root in [&ours, &theirs] {
        assert_eq!(base::prints(Path::new(root), &["dpkg", "--audit"]), "");
    }
    let text = |root: &str, path: &str| std::fs::read_to_string(Path::new(root).join(path)).unwrap_or_default();
    for path in ["dpkg/status", "dpkg/diversions", "dpkg/statoverride", "order", "triggered"] {
        let path = format!("var/lib/{path}");
        assert_eq!(text(&ours, &path), text(&theirs, &path), "{path}");
    }
    let dump = |root: &str| -> Vec<String> {
        let text = tree::dump(Path::new(root));
        let lines = text.lines().filter(|line| !OWN.iter().any(|own| line.starts_with(own)));
        lines.map(str::to_owned).collect()
    };
    let (here, there) = (dump(&ours), dump(&theirs));
    let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    assert_eq!((only(&here, &there), only(&there, &here)), (Vec::new(), Vec::new()));
    Ok((world, outcome.stderr))
}

/// Returns the packages that were left to dpkg.
#[track_caller]
fn assert_left(said: &str, packages: &[&str]) {
    let left: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once(" goes through dpkg: "))
        .filter_map(|(name, _)| name.rsplit(' ').next())
        .collect();
    assert_eq!(left, packages, "{said}");
}

fn logging(deb: Deb) -> Deb {
    ["preinst", "postinst"].into_iter().fold(deb, |deb, script| {
        let text = format!("#!/bin/sh\nset -e\necho \"$DPKG_MAINTSCRIPT_PACKAGE {script} $*\" >>/var/lib/order\n");
        deb.script(script, &text)
    })
}

#[test]
fn takeovers() {
    let file = |name: &str, paths: &[&str]| {
        paths.iter().fold(Deb::new(name, "1"), |deb, path| deb.file(&format!("/usr/share/t/{path}"), 0o644, name))
    };
    let later = vec![
        logging(file("a", &["one", "two", "a"])),
        logging(file("b", &["one", "b"]).field("Replaces", "a")),
        // This package has nothing to do with the others, but keeps its place in the order.
        logging(file("c", &["c"])),
        logging(file("d", &["one", "two"]).field("Replaces", "a, b").conffile("/etc/d", "d\n")),
        // The installed package replaces the new one, so the new one's copy of the file does not appear.
        logging(file("e", &["e", "later"]).field("Replaces", "f")),
        logging(file("f", &["f", "later"])),
        logging(file("g", &["g"])),
        // This package takes over every file of g.
        logging(file("h", &["g", "h"]).field("Replaces", "g")),
        // It has only directories that other packages have too, so dpkg lets it disappear when the next package comes.
        logging(Deb::new("i", "1").dir("/usr/share/t", 0o755)),
        logging(file("j", &["j"])),
    ];
    let (_world, said) = need!(compare(Vec::new(), later));
    assert_left(&said, &["b", "d", "f", "h", "j"]);
}

#[test]
fn scripts_that_change_the_rules() {
    let script =
        |name: &str, text: &str| Deb::new(name, "1").script("preinst", &format!("#!/bin/sh\nset -e\n{text}\n"));
    let touch = host::programs(&["touch"]);
    let touch = need!(touch).into_iter().find(|file| file.path.ends_with("/touch") && file.link.is_none());
    let later = vec![
        logging(Deb::new("a-tool", "1")).file("/usr/bin/tool", 0o755, "#!/bin/sh\necho tool\n").file(
            "/usr/bin/own",
            0o755,
            "",
        ),
        // This preinst is a program instead of a script: it runs `touch install` in the root.
        Deb::new("b-elf", "1").control_member("preinst", 0o755, touch.unwrap().content).file("/usr/share/b", 0o644, ""),
        script(
            "c-override",
            "dpkg-statoverride --add root mail 2750 /usr/bin/c\ndpkg-statoverride --add mail root 0711 /srv/c",
        )
        .file("/usr/bin/c", 0o755, "#!/bin/sh\n")
        .dir("/srv/c", 0o755),
        script(
            "d-diverter",
            "dpkg-divert --package d-diverter --rename --divert /usr/bin/tool.orig --add /usr/bin/tool",
        )
        .file("/usr/bin/tool", 0o755, "#!/bin/sh\necho diverter\n"),
        // It diverts a file before the package of that file comes.
        script("e-before", "dpkg-divert --package e-before --no-rename --divert /usr/share/f.real --add /usr/share/f")
            .file("/usr/share/f", 0o644, "e's\n"),
        Deb::new("f-diverted", "1").file("/usr/share/f", 0o644, "f's\n").file("/usr/share/f-own", 0o644, ""),
        // Its conffiles exist already: one is equal, one differs, one has two names.
        script("g-conffiles", "mkdir -p /etc/g; echo same >/etc/g/same; echo changed >/etc/g/other")
            .conffile("/etc/g/same", "same\n")
            .conffile("/etc/g/other", "shipped\n")
            .conffile("/etc/g/two", "two\n")
            .hardlink("/usr/share/g", "/etc/g/two")
            .md5sums(false),
        Deb::new("h-protected", "1:0~rc1").field("Protected", "yes").file("/usr/share/h", 0o644, ""),
    ];
    let (world, said) = need!(compare(Vec::new(), later));
    assert_left(&said, &["d-diverter"]);
    let root = world.target("ours");
    assert!(Path::new(&root).join("install").exists(), "the program did not run");
    assert_eq!(base::prints(Path::new(&root), &["tool.orig"]), "tool\n");
}

#[test]
fn triggers_of_several_kinds() {
    let logs = "#!/bin/sh\nset -e\necho \"$DPKG_MAINTSCRIPT_PACKAGE $*\" >>/var/lib/triggered\n";
    let deb =
        |name: &str, text: &str| Deb::new(name, "1").control_member("triggers", 0o644, text).script("postinst", logs);
    let required = vec![
        deb("waits", "interest /usr/share/waits\ninterest waits\n").field("Priority", "required"),
        deb("watches", "interest-noawait /usr/share/watches\ninterest-noawait watches\n").field("Priority", "required"),
    ];
    let later = vec![
        deb("a", "activate waits\n").file("/usr/share/a", 0o644, ""),
        deb("b", "activate-noawait watches\n").file("/usr/share/waits/b", 0o644, ""),
        Deb::new("c", "1").file("/usr/share/watches/c", 0o644, "").conffile("/usr/share/waits/conf", "c\n"),
    ];
    let (_world, said) = need!(compare(required, later));
    assert_left(&said, &[]);
}

/// A package of the first phase configures dpkg not to unpack some paths from then on.
#[test]
fn excluded_paths_of_the_target() {
    let text = "path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n";
    let required =
        vec![Deb::new("slim", "1").field("Priority", "required").conffile("/etc/dpkg/dpkg.cfg.d/slim", text)];
    let documented = |name: &str| {
        let deb = Deb::new(name, "1").file(&format!("/usr/share/doc/{name}/copyright"), 0o644, "free\n");
        deb.file(&format!("/usr/share/doc/{name}/README"), 0o644, "read\n").file(
            &format!("/usr/share/{name}"),
            0o644,
            "",
        )
    };
    let later = vec![documented("a"), documented("b").file("/usr/share/a", 0o644, "").field("Replaces", "a")];
    let (world, said) = need!(compare(required, later));
    assert_left(&said, &["b"]);
    let root = world.target("ours");
    let there = |path: &str| Path::new(&root).join("usr/share/doc").join(path).exists();
    assert!(there("a/copyright") && there("b/copyright") && !there("a/README") && !there("b/README"));
}

/// The error names the package and its script also where dpkg runs the script.
#[test]
fn a_failing_script_of_a_package_left_to_dpkg() {
    need!(machine::root());
    let old = Deb::new("a-old", "1").file("/usr/share/t", 0o644, "");
    let new = Deb::new("b-new", "1").field("Replaces", "a-old").file("/usr/share/t", 0o644, "");
    let new = new.script("preinst", "#!/bin/sh\necho alas\nexit 9\n");
    let world = World::new(&need!(base::archive(Layout::Merged, [old, new])));
    let said = world.run(&[&world.target("root"), "--include=a-old,b-new"]).expect(1).stderr;
    assert!(said.contains("\nerror: cannot run the preinst of b-new: exit status 9\n    | "), "{said}");
    assert!(said.contains("    | alas\n"), "{said}");
    base::assert_nothing_left(&world, &[]);
}

/// Required debs are requested before there is a plan. Such a request is made once, and its failure is not reported. The ordinary
/// download then starts again, and resumes if it is broken off itself.
#[test]
fn required_packages_are_downloaded_before_there_is_a_plan() {
    need!(machine::root());
    let large = Deb::new("large", "1").field("Priority", "required").file("/usr/share/large", 0o644, noise());
    let world = World::new(&need!(base::archive(Layout::Merged, [large])));
    let run = || world.finish(&mut world.command(&["-", "--no-cache"])).expect(0).stdout;
    let expected = run();
    let requests = world.server.requests();
    let path = requests.iter().find(|request| request.path.contains("/large_")).unwrap().path.clone();
    world.server.forget();
    world.server.fault(&path, Fault::DropAfter(5000), 2);
    assert!(run() == expected);
    let ranges =
        world.server.requests().into_iter().filter(|request| request.path == path).map(|request| request.range);
    assert_eq!(ranges.collect::<Vec<_>>(), [None, None, Some("bytes=5000-".to_owned())]);
}

/// Returns bytes that no compressor halves.
fn noise() -> Vec<u8> {
    std::iter::successors(Some(1u32), |state| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)))
        .map(|state| (state >> 24) as u8)
        .take(40_000)
        .collect()
}
