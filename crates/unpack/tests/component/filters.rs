//! `path-exclude` and `path-include`, compared with dpkg's result for the same patterns.

use crate::world::{Case, World, filter, skipped_without_dpkg, write};
use rootstrap_testkit::deb::Deb;
use rootstrap_unpack::filters;
use std::path::Path;
use std::process::Command;

fn deb(name: &str) -> Deb {
    Deb::new(name, "1").field("Section", "misc").field("Priority", "optional")
}

fn documented(name: &str) -> Deb {
    deb(name)
        .file(&format!("/usr/share/doc/{name}/copyright"), 0o644, "free\n")
        .file(&format!("/usr/share/doc/{name}/README"), 0o644, "read\n")
        .file(&format!("/usr/share/doc/{name}/examples/one"), 0o644, "1\n")
        .symlink(&format!("/usr/share/doc/{name}/link"), "README")
        .file(&format!("/usr/share/locale/de/{name}.mo"), 0o644, "ja\n")
        .file(&format!("/usr/share/man/man1/{name}.1"), 0o644, ".TH\n")
        .file(&format!("/usr/bin/{name}"), 0o755, "#!/bin/sh\n")
        .hardlink(&format!("/usr/bin/{name}-too"), &format!("/usr/bin/{name}"))
}

#[test]
fn lists_of_patterns() {
    for patterns in [
        // The patterns with which slim images are made.
        &["-/usr/share/doc/*", "+/usr/share/doc/*/copyright", "-/usr/share/man/*", "-/usr/share/locale/*"][..],
        // The last matching pattern decides, in any order of the patterns.
        &["+/usr/share/doc/*/copyright", "-/usr/share/doc/*"],
        &["-/usr/share/*/*", "+/usr/share/doc/*", "-/usr/share/doc/*/README"],
        // A directory alone, everything below it, and a path that only begins with the same text.
        &["-/usr/share/doc/a/examples/*"],
        &["-/usr/share/doc/a/examples", "-/usr/share/doc/a/examples/*"],
        &["-/usr/share/do*", "+/usr/share/doc/?*"],
        &["-/usr/share/doc/*/", "-usr/share/man/*", "-./usr/bin/*", "-/"],
        &["-/usr/share/*", "+/usr/share/d*/*/copyright/"],
        &["-/*"],
        &["-*"],
        &["-*", "+*/copyright"],
        &["-*", "+"],
        &["+*"],
        &["-/usr/share/doc/?/[A-Z]*", "-/usr/share/[!dm]*", "-/usr/share/man/man[[:digit:]]/\\a*"],
        &["-/usr/share/doc/a/li[n", "-/usr/share/doc/a/li\\", "-/usr/share/doc/[b-/README"],
    ] {
        let name = format!("filters {patterns:?}");
        Case::new(&name, [documented("a")]).then([documented("b").md5sums(false)]).filters(patterns).equals_dpkg();
    }
}

#[test]
fn conffiles() {
    let debs =
        || [deb("a").conffile("/etc/a/kept", "k\n").conffile("/etc/a/left", "l\n").hardlink("/opt", "/etc/a/kept")];
    Case::new("an excluded conffile", debs()).filters(&["-/etc/a/l*"]).equals_dpkg();
    let there = |root: &Path| write(root, "etc/a/left", "an administrator's");
    Case::new("an excluded conffile that is there", debs()).filters(&["-/etc/a/l*"]).prepare(&there).equals_dpkg();
}

#[test]
fn triggers() {
    let listener = deb("listener").control_member("triggers", 0o644, "interest-noawait /usr/share/doc\n");
    Case::new("triggers on excluded files", [listener])
        .then([documented("a")])
        .filters(&["-/usr/share/doc*"])
        .equals_dpkg();
}

#[test]
fn diversions() {
    // The patterns are matched against the path in the package, not against the diverted path.
    let prepare = |root: &Path| {
        write(root, "var/lib/dpkg/diversions", "/bin/a\n/opt/a\nowner\n/bin/b\n/opt/b\nowner\n");
        std::fs::create_dir(root.join("opt")).unwrap();
    };
    let tools = || [deb("tools").file("/bin/a", 0o755, "").file("/bin/b", 0o755, "")];
    for patterns in [&["-/bin/a"], &["-/opt/b"]] {
        Case::new("an excluded diversion", tools()).filters(patterns).prepare(&prepare).equals_dpkg();
    }
}

#[test]
fn excluded_paths_have_owners() {
    let case = || Case::new("a conflict over what is excluded", [documented("a")]).filters(&["-/usr/share/man/*"]);
    let again = || deb("b").file("/usr/share/man/man1/a.1", 0o644, "again");
    let reason = "/usr/share/man/man1/a.1 belongs to a too";
    assert_ne!(case().leaves(&again(), reason), Some(true));
    assert_ne!(case().leaves(&again().field("Replaces", "a"), reason), Some(false));
}

#[test]
fn excluded_paths_that_an_entry_needs() {
    let links = || deb("a").file("/d/file", 0o644, "x").hardlink("/e/link", "/d/file");
    let reason = "/e/link needs what is excluded";
    let case = |patterns: &[&str]| Case::new("a hard link to what is excluded", []).filters(patterns);
    assert_ne!(case(&["-/d/*"]).leaves(&links(), reason), Some(true));
    assert_ne!(case(&["-/e"]).leaves(&links(), reason), Some(true));
    let reason = "/usr/share/doc needs what is excluded";
    assert_ne!(case(&["-/usr/*", "+/usr/share/doc/*"]).leaves(&documented("a"), reason), Some(true));
    // A path that is in the root already is enough.
    let there = |root: &Path| {
        write(root, "d/file", "old");
        write(root, "e/other", "");
    };
    Case::new("a hard link to what is there", [links()]).filters(&["-/d/*", "-/e"]).prepare(&there).equals_dpkg();
}

#[test]
fn names_in_other_alphabets() {
    let names = deb("a").file("/d/naïve", 0o644, "").file("/d/nave", 0o644, "").file("/d/ß", 0o644, "");
    Case::new("other alphabets", [names]).filters(&["-/d/na?ve", "-/d/[à-ü]"]).equals_dpkg();
}

/// dpkg reads the same text as the configuration of the user who runs it.
#[test]
fn the_configuration_of_the_target() {
    if skipped_without_dpkg("the configuration of the target") {
        return;
    }
    let text = "# path-exclude=/usr/share/man/*\n\npath-exclude=/usr/share/doc/*\n\
                path-include  /usr/share/doc/*/copyright  \npath-exclude = \"/usr/share/locale/*\"\n\
                path-exclude '/usr/share/man/*'\nforce-unsafe-io\nno-debsig\n";
    let mut ours = World::new();
    write(&ours.path(), "etc/dpkg/dpkg.cfg", text);
    let filters = filters::of_target(&ours.root).unwrap();
    let expect = ["-/usr/share/doc/*", "+/usr/share/doc/*/copyright", "-/usr/share/locale/*", "-/usr/share/man/*"];
    assert_eq!(filters, expect.map(filter));
    let rules = rootstrap_unpack::Rules { filters: &filters, ..crate::world::LATER };
    ours.unpack(&[documented("a")], rules);

    let mut theirs = World::prepared(&|root| std::fs::create_dir(root.join("etc")).unwrap());
    let home = theirs.dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join(".dpkg.cfg"), text).unwrap();
    let deb = theirs.file(&documented("a").build()).0;
    let root = format!("--root={}", theirs.path().display());
    let status = Command::new("dpkg").env("HOME", &home).args([&root, "--log=/dev/null", "--unpack"]).arg(deb).status();
    assert!(status.unwrap().success());
    let without = ["/var/lib/dpkg/", "/etc/dpkg"];
    crate::world::same("the configuration", &ours.dump(&without), &theirs.dump(&without));
}

#[test]
fn files_of_the_configuration() {
    let world = World::new();
    for (name, text) in [
        ("dpkg.cfg", "path-exclude=/last\n"),
        ("dpkg.cfg.d/b", "path-exclude=/second"),
        ("dpkg.cfg.d/a-1_", "path-include=/first\npath-exclude\npath-excluded=/x\nlog /var/log/dpkg.log\n"),
        ("dpkg.cfg.d/c.dpkg-new", "path-exclude=/not-a-name\n"),
        ("dpkg.cfg.d/c~", "path-exclude=/nor-this\n"),
    ] {
        write(&world.path(), &format!("etc/dpkg/{name}"), text);
    }
    assert_eq!(filters::of_target(&world.root).unwrap(), ["+/first", "-/second", "-/last"].map(filter));
    assert_eq!(filters::of_target(&World::new().root).unwrap(), []);
}
