//! What packages do to each other: replaced files, conffiles, diversions.

use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Makes a root with these packages. Returns it, and what was printed.
fn build(name: &str, debs: Vec<Deb>) -> Result<(World, PathBuf, Outcome), String> {
    machine::root()?;
    let _ = name;
    let include: Vec<String> = debs.iter().map(|deb| deb.name().to_owned()).collect();
    let world = World::new(&base::archive(Layout::Merged, debs)?);
    let target = world.target("root");
    let outcome = world.run(&[&target, "-v", &format!("--include={}", include.join(","))]);
    Ok((world, PathBuf::from(target), outcome))
}

#[test]
fn a_replaced_file_belongs_to_the_later_package() {
    let name = "privileged::a_replaced_file_belongs_to_the_later_package";
    let old =
        Deb::new("old", "1").file("/usr/share/thing/shared", 0o644, "old\n").file("/usr/share/thing/old", 0o644, "");
    let new = Deb::new("new", "1")
        .field("Depends", "old")
        .field("Replaces", "old (<< 2)")
        .file("/usr/share/thing/shared", 0o644, "new\n")
        .script("postinst", "#!/bin/sh\nset -e\necho \"$*\" >/var/lib/new.log\n");
    let (world, root, outcome) = need!(build(name, vec![old, new]));
    let outcome = outcome.expect(0);
    assert!(outcome.stderr.contains("goes through dpkg: "), "{}", outcome.stderr);
    base::assert_consistent(&root);
    assert_eq!(fs::read_to_string(root.join("usr/share/thing/shared")).unwrap(), "new\n");
    assert_eq!(base::prints(&root, &["dpkg", "-S", "/usr/share/thing/shared"]), "new: /usr/share/thing/shared\n");
    assert!(!base::prints(&root, &["dpkg", "-L", "old"]).contains("shared"));
    assert_eq!(fs::read_to_string(root.join("var/lib/new.log")).unwrap(), "configure \n");
    assert!(!root.join("var/lib/dpkg/rootstrap").exists());
    base::assert_nothing_left(&world, &["root"]);
}

/// This holds also before dpkg itself is configured.
#[test]
fn required_packages_may_replace_files_too() {
    let name = "privileged::required_packages_may_replace_files_too";
    let required = |deb: Deb| deb.field("Priority", "required").field("Pre-Depends", "dpkg");
    let old = required(Deb::new("old", "1")).file("/usr/share/thing/shared", 0o644, "old\n");
    let old = old.file("/usr/share/thing/old", 0o644, "");
    let new = required(Deb::new("znew", "1"))
        .field("Replaces", "old")
        .file("/usr/share/thing/shared", 0o644, "new\n")
        .conffile("/etc/znew", "new\n")
        .script("postinst", "#!/bin/sh\nset -e\necho \"$*\" >/var/lib/new.log\n");
    let (_world, root, outcome) = need!(build(name, vec![old, new]));
    let outcome = outcome.expect(0);
    assert!(outcome.stderr.contains("znew goes through dpkg: "), "{}", outcome.stderr);
    base::assert_consistent(&root);
    assert_eq!(base::prints(&root, &["dpkg", "-S", "/usr/share/thing/shared"]), "znew: /usr/share/thing/shared\n");
    assert_eq!(fs::read_to_string(root.join("var/lib/new.log")).unwrap(), "configure \n");
    assert_eq!(fs::read_to_string(root.join("etc/znew")).unwrap(), "new\n");
    // apt, which comes later, brings its own directories.
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["var/cache/apt", "var/cache/apt/archives"].map(mode), [0o755; 2]);
}

#[test]
fn a_file_of_two_packages_is_refused_as_dpkg_does() {
    let name = "privileged::a_file_of_two_packages_is_refused_as_dpkg_does";
    let deb = |name: &str| Deb::new(name, "1").file("/usr/share/shared", 0o644, name);
    let (world, _, outcome) = need!(build(name, vec![deb("one"), deb("two")]));
    let outcome = outcome.expect(1);
    let said = &outcome.stderr;
    assert!(said.contains("error: ") && said.contains("two"), "{said}");
    assert!(said.contains("trying to overwrite '/usr/share/shared', which is also in package one 1"), "{said}");
    base::assert_nothing_left(&world, &[]);
}

#[test]
fn conffiles_are_known_to_dpkg() {
    let name = "privileged::conffiles_are_known_to_dpkg";
    let deb = Deb::new("configured", "1")
        .conffile("/etc/configured/a.conf", "a\n")
        .conffile("/etc/configured/b.conf", "b\n")
        .script("postinst", "#!/bin/sh\necho \"$DPKG_FORCE\" >/var/lib/force\n")
        .script("preinst", "#!/bin/sh\nset -e\nmkdir -p /etc/configured\necho kept >/etc/configured/b.conf\n");
    let (_world, root, outcome) = need!(build(name, vec![deb]));
    outcome.expect(0);
    assert_eq!(fs::read_to_string(root.join("etc/configured/a.conf")).unwrap(), "a\n");
    // A conffile that exists before its package belongs to the administrator (--force-confold).
    assert_eq!(fs::read_to_string(root.join("etc/configured/b.conf")).unwrap(), "kept\n");
    // A generated file belongs to its package: ucf would renew none beside `confold` alone.
    let force = fs::read_to_string(root.join("var/lib/force")).unwrap();
    assert!(force.contains("confdef") && force.contains("confold"), "{force}");
    let listed = base::prints(&root, &["dpkg-query", "-W", "-f", "${Conffiles}", "configured"]);
    assert!(listed.contains("/etc/configured/a.conf 60b725f10c9c85c70d97880dfe8191b3"), "{listed}");
    assert_eq!(base::prints(&root, &["dpkg", "--audit"]), "");
}

/// The diverting package may come first, or the diverted one.
#[test]
fn a_preinst_may_divert_a_file() {
    let name = "privileged::a_preinst_may_divert_a_file";
    for (diverter, depends) in [("a-diverter", ""), ("z-diverter", "tool")] {
        let preinst = format!(
            "#!/bin/sh\nset -e\ndpkg-divert --package {diverter} --rename --divert /usr/bin/tool.orig --add /usr/bin/tool\n"
        );
        let tool = Deb::new("tool", "1").file("/usr/bin/tool", 0o755, "#!/bin/sh\necho tool\n");
        let mut deb = Deb::new(diverter, "1")
            .file("/usr/bin/tool", 0o755, "#!/bin/sh\necho diverter\n")
            .script("preinst", &preinst);
        if !depends.is_empty() {
            deb = deb.field("Depends", depends);
        }
        let (_world, root, outcome) = need!(build(name, vec![tool, deb]));
        outcome.expect(0);
        base::assert_consistent(&root);
        assert_eq!(base::prints(&root, &["tool"]), "diverter\n");
        assert_eq!(base::prints(&root, &["tool.orig"]), "tool\n");
        let who = base::prints(&root, &["dpkg", "-S", "/usr/bin/tool"]);
        assert!(who.contains("diversion by ") && who.contains(diverter), "{who}");
    }
}

/// A library is installed for two architectures side by side, and a program for the further one.
#[test]
fn a_further_architecture() {
    need!(machine::root());
    let library = |own: &str| {
        Deb::new("libtwo", "1")
            .field("Multi-Arch", "same")
            .file(&format!("/usr/lib/{own}/libtwo.so"), 0o644, own)
            .file("/usr/share/doc/libtwo/readme", 0o644, "shared\n")
            .script("postinst", &format!("#!/bin/sh\nset -e\necho \"{own} $*\" >>/var/lib/libtwo.log\n"))
    };
    let mut archive = need!(base::archive(Layout::Merged, [library("native")]));
    let native = archive.architectures[0].clone();
    archive.architectures.push("further".into());
    let program = Deb::new("program", "1").arch("further").field("Depends", "libtwo").file("/opt/program", 0o755, "x");
    let archive = archive.debs([library("further").arch("further"), program]);
    let world = World::new(&archive);
    let root = PathBuf::from(world.target("root"));
    let target = root.to_str().unwrap();
    world.run(&[target, "--include=program:further"]).expect(1).says(&["--add-architecture further"]);
    let include = "--include=libtwo,program:further";
    world.run(&[target, "--add-architecture=further", include]).expect(0);
    base::assert_consistent(&root);
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(read("var/lib/dpkg/arch"), format!("{native}\nfurther\n"));
    assert_eq!(read("usr/lib/native/libtwo.so") + &read("usr/lib/further/libtwo.so"), "nativefurther");
    assert_eq!(base::prints(&root, &["dpkg", "--print-foreign-architectures"]), "further\n");
    let mut owners = vec![format!("libtwo:{native}"), "libtwo:further".to_owned()];
    owners.sort();
    let found = base::prints(&root, &["dpkg", "-S", "/usr/share/doc/libtwo/readme"]);
    let mut found: Vec<&str> = found.split(": ").next().unwrap().split(", ").collect();
    found.sort();
    assert_eq!(found, owners);
    let mut log: Vec<String> = read("var/lib/libtwo.log").lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(log, ["further configure ", "native configure "]);
    let automatic = read("var/lib/apt/extended_states");
    assert!(automatic.contains("Package: libtwo\nArchitecture: further\nAuto-Installed: 1\n"), "{automatic}");
}
