//! Conffiles: beside their paths for dpkg to install, or in place with the digest that dpkg would have written.

use crate::world::{Case, FIRST, World, skipped, write};
use rootstrap_testkit::deb::{Deb, Entry};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

fn deb(name: &str) -> Deb {
    Deb::new(name, "1").field("Section", "misc").field("Priority", "optional")
}

#[test]
fn conffiles_wait_beside_their_paths() {
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
fn an_equal_conffile_is_there_already() {
    let prepare = |root: &std::path::Path| write(root, "etc/conf", "same\n");
    Case::new("a conffile that is there already", [deb("a").conffile("/etc/conf", "same\n")])
        .prepare(&prepare)
        .equals_dpkg();
}

/// The administrator's file stays, the package's file is put beside it, and dpkg records the digest of the package's file.
#[test]
fn a_different_conffile_is_there_already() {
    let prepare = |root: &std::path::Path| {
        write(root, "etc/conf", "changed\n");
        fs::set_permissions(root.join("etc/conf"), fs::Permissions::from_mode(0o600)).unwrap();
        write(root, "etc/empty", "");
    };
    for md5sums in [true, false] {
        let deb = deb("a").conffile("/etc/conf", "shipped\n").conffile("/etc/empty", "shipped\n").md5sums(md5sums);
        Case::new("another conffile that is there already", [deb]).prepare(&prepare).equals_dpkg();
    }
}

/// If there is no `.dpkg-new` beside a conffile, dpkg does not touch the conffile and records no digest.
#[test]
fn a_listed_conffile_is_there_but_not_shipped() {
    let prepare = |root: &std::path::Path| write(root, "etc/conf", "there\n");
    let lists = deb("a").file("/x", 0o644, "").control_member("conffiles", 0o644, "/etc/conf\n");
    Case::new("a conffile that is there but not shipped", [lists]).prepare(&prepare).equals_dpkg();
}

#[test]
fn odd_conffiles() {
    let listed = |deb: Deb| deb.control_member("conffiles", 0o644, "/etc/conf\n");
    let real = |root: &std::path::Path| {
        fs::create_dir_all(root.join("etc/real")).unwrap();
        symlink("real", root.join("etc/way")).unwrap();
    };
    Case::new("a conffile behind a link", [deb("a").dir("/etc/way", 0o755).conffile("/etc/way/conf", "x\n")])
        .prepare(&real)
        .equals_dpkg();
    let body = "x\n".repeat(100_000);
    Case::new("a large conffile", [deb("a").conffile("/etc/conf", body)]).equals_dpkg();
    let own = Entry::file("./etc/conf", 0o4640, "x\n").owned("", 3, "", 4);
    Case::new("a conffile of another owner", [listed(deb("a").dir("/etc", 0o755).entry(own))]).equals_dpkg();
    let twice = deb("a").file("/etc/conf", 0o644, "x\n").control_member("conffiles", 0o644, "/etc/conf\n/etc/conf\n");
    Case::new("a conffile listed twice", [twice]).equals_dpkg();
}

#[test]
fn a_list_that_is_cut_off() {
    if crate::world::skipped_without_dpkg("a list of conffiles that is cut off") {
        return;
    }
    let cut = deb("a").file("/etc/conf", 0o644, "").control_member("conffiles", 0o644, "/etc/conf");
    let (mut ours, mut theirs) = (World::new(), World::new());
    assert!(ours.put(&cut.build()).unwrap_err().to_string().contains("its list of conffiles is malformed"));
    assert!(theirs.dpkg_unpack(&[cut], &[]).unwrap_err().contains("missing final newline"));
}

#[test]
fn conffiles_that_are_no_files() {
    let listed = |deb: Deb| deb.control_member("conffiles", 0o644, "/etc/conf\n");
    for (name, deb) in [
        ("a link as a conffile", listed(deb("a").file("/etc/real", 0o644, "x\n").symlink("/etc/conf", "real"))),
        ("a dangling link as a conffile", listed(deb("a").dir("/etc", 0o755).symlink("/etc/conf", "nowhere"))),
        ("a directory as a conffile", listed(deb("a").dir("/etc/conf", 0o755))),
    ] {
        Case::new(name, []).leaves(&deb, "the conffile /etc/conf is no plain file");
    }
}

#[test]
fn left_over_new_files_are_removed() {
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
    // No package owns the file, so dpkg moves it away.
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
fn conffiles_in_place_end_as_configured_ones() {
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
    theirs.dpkg_unpack(&debs, &[]).unwrap();
    for world in [&ours, &theirs] {
        world.dpkg(&["--configure", "--pending"], &[]).unwrap();
    }
    crate::world::same("status", &ours.text("var/lib/dpkg/status"), &theirs.text("var/lib/dpkg/status"));
    crate::world::same("files", &ours.dump(&[]), &theirs.dump(&[]));
}
