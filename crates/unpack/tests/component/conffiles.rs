//! Conffiles: beside their places for dpkg, or in place with the digest that dpkg would have written.

use crate::world::{Case, FIRST, World, skipped, write};
use rootstrap_testkit::deb::Deb;
use std::fs;
use std::os::unix::fs::symlink;

fn deb(name: &str) -> Deb {
    Deb::new(name, "1").field("Section", "misc").field("Priority", "optional")
}

#[test]
fn they_wait_beside_their_places() {
    Case::new(
        "conffiles",
        [deb("a").conffile("/etc/b", "b\n").file("/etc/a-plain", 0o644, "x").conffile("/etc/a.d/a", ""), deb("b")],
    )
    .equals_dpkg();
}

#[test]
fn without_md5sums() {
    Case::new("conffiles without md5sums", [deb("a").md5sums(false).conffile("/etc/b", "b\n").file("/x", 0o644, "x")])
        .equals_dpkg();
}

#[test]
fn hard_links() {
    Case::new(
        "hard links and conffiles",
        [deb("a")
            .conffile("/etc/conf", "b\n")
            .hardlink("/opt/plain", "/etc/conf")
            .file("/opt/body", 0o644, "x")
            .hardlink("/etc/other", "/opt/body")
            .control_member("conffiles", 0o644, "/etc/conf\n/etc/other\n")],
    )
    .equals_dpkg();
}

#[test]
fn one_that_is_there_already() {
    let prepare = |root: &std::path::Path| write(root, "etc/conf", "same\n");
    Case::new("a conffile that is there already", [deb("a").conffile("/etc/conf", "same\n")])
        .prepare(&prepare)
        .equals_dpkg();
}

#[test]
fn left_over_new_files_go() {
    let prepare = |root: &std::path::Path| {
        write(root, "etc/conf.dpkg-new", "of an earlier try");
        symlink("conf.dpkg-new", root.join("etc/other.dpkg-new")).unwrap();
    };
    Case::new("left-over .dpkg-new", [deb("a").conffile("/etc/conf", "x\n").conffile("/etc/other", "y\n")])
        .prepare(&prepare)
        .equals_dpkg();
}

#[test]
fn flags_order_and_what_is_not_shipped() {
    Case::new(
        "the list of conffiles",
        [deb("a").file("/etc/z", 0o644, "z").file("/etc/y", 0o644, "y").control_member(
            "conffiles",
            0o644,
            "/etc/z\n/etc/not-shipped\nremove-on-upgrade /etc/gone\n/etc/y   \n\n",
        )],
    )
    .equals_dpkg();
}

#[test]
fn remove_on_upgrade() {
    let lists = || deb("a").file("/x", 0o644, "").control_member("conffiles", 0o644, "remove-on-upgrade /etc/gone\n");
    Case::new("remove-on-upgrade of nothing", [lists()]).equals_dpkg();
    Case::new("remove-on-upgrade of another's", [deb("b").file("/etc/gone", 0o644, "b's"), lists()]).equals_dpkg();
    // Nobody's: dpkg moves it away.
    if skipped("remove-on-upgrade of nobody's") {
        return;
    }
    let mut world = World::new();
    write(&world.path(), "etc/gone", "not ours");
    assert_eq!(world.reason(&lists()), "/etc/gone is there and shall not be");
    let mut world = World::new();
    assert_eq!(world.reason(&lists().file("/etc/gone", 0o644, "x")), "/etc/gone may not be shipped");
}

#[test]
fn diverted() {
    let prepare = |root: &std::path::Path| {
        write(root, "var/lib/dpkg/diversions", "/etc/conf\n/etc/conf.moved\nother\n");
    };
    Case::new("a diverted conffile", [deb("a").conffile("/etc/conf", "x\n")]).prepare(&prepare).equals_dpkg();
}

#[test]
fn in_place_ends_as_configuring_does() {
    if crate::world::skipped_without_dpkg("conffiles in place") {
        return;
    }
    let debs = [
        deb("a").conffile("/etc/b", "b\n").hardlink("/etc/c", "/etc/b"),
        deb("b").md5sums(false).conffile("/etc/a.d/a", "").control_member(
            "conffiles",
            0o644,
            "/etc/a.d/a\nremove-on-upgrade /etc/gone\n",
        ),
    ];
    let (mut ours, mut theirs) = (World::new(), World::new());
    ours.unpack(&debs, FIRST);
    assert_eq!(fs::read_to_string(ours.path().join("etc/b")).unwrap(), "b\n");
    theirs.dpkg_unpack(&debs).unwrap();
    for world in [&ours, &theirs] {
        world.dpkg(&["--configure", "--pending"], &[]).unwrap();
    }
    crate::world::same("status", &ours.text("var/lib/dpkg/status"), &theirs.text("var/lib/dpkg/status"));
    crate::world::same("files", &ours.dump(&[]), &theirs.dump(&[]));
}
