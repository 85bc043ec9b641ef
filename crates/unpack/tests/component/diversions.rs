//! Diversions made by dpkg-divert(1) itself, with and without `--rename`: by a package, by another package, and local ones; and
//! statoverrides on diverted files.

use crate::world::{Case, names_of_the_host, tool, write};
use rootstrap_testkit::deb::Deb;
use std::path::Path;

fn deb(name: &str) -> Deb {
    Deb::new(name, "1").field("Section", "misc").field("Priority", "optional")
}

/// Diverts `/bin/tool` to `/bin/tool.orig` for all packages except `owner`.
fn divert(root: &Path, how: &[&str]) {
    let words = ["dpkg-divert", "--quiet", "--add", "--package", "owner", "--divert", "/bin/tool.orig"];
    tool(root, &[&words, how, &["/bin/tool"]].concat());
}

fn rename(root: &Path) {
    divert(root, &["--rename"]);
}

fn no_rename(root: &Path) {
    divert(root, &["--no-rename"]);
}

fn other() -> Deb {
    deb("other").file("/bin/tool", 0o755, "the other's").hardlink("/bin/same", "/bin/tool")
}

fn owner() -> Deb {
    deb("owner").file("/bin/tool", 0o4755, "the owner's").hardlink("/bin/too", "/bin/tool")
}

#[test]
fn made_before_both() {
    for how in [rename, no_rename] {
        for (first, second) in [(owner(), other()), (other(), owner())] {
            Case::new("a diversion before both", []).then_change(&how).then([first, second]).equals_dpkg();
        }
    }
}

#[test]
fn made_between_the_other_and_the_owner() {
    for how in [rename, no_rename] {
        Case::new("a diversion after the other", [other()]).then_change(&how).then([owner()]).equals_dpkg();
    }
}

#[test]
fn made_by_a_package_that_is_there() {
    // The owner's own file stays where it is, with and without `--rename`.
    Case::new("a diversion after the owner", [owner()]).then_change(&no_rename).then([other()]).equals_dpkg();
}

#[test]
fn local_diversions() {
    for how in ["--rename", "--no-rename"] {
        let local = |root: &Path| tool(root, &["dpkg-divert", "--quiet", "--add", "--local", how, "/bin/tool"]);
        Case::new("a local diversion before", []).then_change(&local).then([other()]).equals_dpkg();
        Case::new("a local diversion after", [other()])
            .then_change(&local)
            .then([deb("third").file("/bin/third", 0o755, "")])
            .equals_dpkg();
    }
}

#[test]
fn taken_back() {
    let back = |root: &Path| {
        tool(root, &["dpkg-divert", "--quiet", "--remove", "--rename", "--package", "owner", "/bin/tool"])
    };
    Case::new("a diversion taken back", [other()])
        .then_change(&rename)
        .then_change(&back)
        .then([deb("third").file("/bin/tool.orig", 0o755, "nobody diverts to this now")])
        .equals_dpkg();
}

/// Two packages whose files are diverted to the same path still conflict, wherever the file of the first is by now.
#[test]
fn a_third_package_is_refused() {
    let third = deb("third").file("/bin/tool", 0o755, "the third's");
    let reason = "/bin/tool belongs to other too";
    for how in [rename, no_rename] {
        let case = Case::new("a third after the owner", [other()]).then_change(&how).then([owner()]);
        assert_ne!(case.leaves(&third, reason), Some(true));
        let case = Case::new("a third before the owner", [other()]).then_change(&how);
        assert_ne!(case.leaves(&third, reason), Some(true));
        let case = Case::new("a third after both", []).then_change(&how).then([owner(), other()]);
        assert_ne!(case.leaves(&third, reason), Some(true));
    }
    let case = Case::new("a third that replaces", [other()]).then_change(&rename).then([owner()]);
    assert_ne!(case.leaves(&third.field("Replaces", "other"), reason), Some(false));
}

#[test]
fn by_a_package_of_one_architecture_of_several() {
    let owner = || owner().field("Multi-Arch", "same");
    Case::new("an architecture's owner", []).then_change(&rename).then([owner(), other()]).equals_dpkg();
    Case::new("an architecture's owner, later", [other()]).then_change(&rename).then([owner()]).equals_dpkg();
}

#[test]
fn of_other_kinds_of_files() {
    let prepare = |root: &Path| {
        let lines = "/d/link\n/d/link.moved\nowner\n/d/fifo\n/d/fifo.moved\nowner\n/d/hard\n/d/hard.moved\nowner\n";
        write(root, "var/lib/dpkg/diversions", lines);
    };
    let all = |name: &str| {
        let deb = deb(name).file("/d/file", 0o644, "x").symlink("/d/link", name).fifo("/d/fifo", 0o600);
        deb.hardlink("/d/hard", "/d/file")
    };
    let owner = deb("owner").symlink("/d/link", "owner").fifo("/d/fifo", 0o644).file("/d/hard", 0o644, "");
    Case::new("diverted links, fifos and hard links", [all("other"), owner]).prepare(&prepare).equals_dpkg();
}

#[test]
fn of_conffiles() {
    for how in ["--rename", "--no-rename"] {
        let divert = |root: &Path| {
            let words = ["--quiet", "--add", "--package", "owner", how, "--divert", "/etc/conf.orig", "/etc/conf"];
            tool(root, &[&["dpkg-divert"][..], &words].concat());
        };
        let conf = |name: &str| deb(name).conffile("/etc/conf", format!("{name}\n"));
        Case::new("a diverted conffile", []).then_change(&divert).then([conf("other")]).equals_dpkg();
        // dpkg assumes that it takes over the other package's conffile, even if that is diverted.
        let case = Case::new("a conffile diverted for another", [conf("other")]).then_change(&divert);
        assert_ne!(case.leaves(&conf("owner"), "/etc/conf belongs to other too"), Some(false));
        let case = Case::new("a conffile diverted beforehand", []).then_change(&divert).then([conf("owner")]);
        assert_ne!(case.leaves(&conf("other"), "/etc/conf belongs to owner too"), Some(false));
    }
}

#[test]
fn statoverrides_on_diverted_files() {
    let overridden = |path: &'static str| {
        move |root: &Path| {
            tool(root, &["dpkg-statoverride", "--quiet", "--force-all", "--add", "#1", "#2", "0640", path])
        }
    };
    for path in ["/bin/tool", "/bin/tool.orig"] {
        let fix = overridden(path);
        Case::new("a statoverride on a diverted file", [])
            .prepare(&names_of_the_host)
            .then_change(&no_rename)
            .then_change(&fix)
            .then([other(), owner()])
            .equals_dpkg();
        Case::new("a statoverride of what was there", [other()])
            .prepare(&names_of_the_host)
            .then_change(&rename)
            .then_change(&fix)
            .then([owner()])
            .equals_dpkg();
    }
}

#[test]
fn statoverrides_on_directories() {
    let fix = |root: &Path| {
        tool(root, &["dpkg-statoverride", "--quiet", "--add", "#1", "#2", "2750", "/d"]);
        tool(root, &["dpkg-statoverride", "--quiet", "--add", "#3", "#4", "0711", "/e"]);
    };
    // An existing directory keeps its owner and mode.
    Case::new("statoverrides on directories", [deb("a").dir("/d", 0o700).file("/d/a", 0o644, "")])
        .prepare(&names_of_the_host)
        .then_change(&fix)
        .then([deb("b").dir("/d", 0o755).dir("/e", 0o700)])
        .equals_dpkg();
}
