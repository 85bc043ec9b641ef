//! Names, links and nodes that lead out of the root.

use crate::Fate::{Contained, Harmless, Refused};
use crate::{attack, evil};
use rootstrap_testkit::entry::Entry;

/// Leads up to the scratch directory: it is three levels above the staging root, and at most nine above any directory below.
const UP: [&str; 2] = ["../../..", "../../../../../../../../.."];

#[test]
fn names_that_climb() {
    for up in UP {
        for start in ["", "./", "./usr/../"] {
            attack("hostile::names_that_climb", Refused, |_| {
                evil().entry(Entry::file(format!("{start}{up}/canary/file"), 0o644, "evil\n")).build()
            });
        }
    }
}

#[test]
fn names_that_climb_to_make_a_directory() {
    attack("hostile::names_that_climb_to_make_a_directory", Refused, |_| {
        evil().entry(Entry::dir("./../../../canary/directory/", 0o777)).build()
    });
}

/// An absolute name means a path below the root, as in dpkg.
#[test]
fn absolute_names_stay_below_the_root() {
    attack("hostile::absolute_names_stay_below_the_root", Contained, |place| {
        evil().entry(Entry::file(place.join("canary/file").to_str().unwrap(), 0o644, "evil\n")).build()
    });
    attack("hostile::absolute_names_stay_below_the_root", Harmless, |_| {
        evil().entry(Entry::dir("/srv/absolute/", 0o755)).entry(Entry::file("/srv/absolute/x", 0o644, "x")).build()
    });
}

#[test]
fn a_file_through_an_absolute_link() {
    attack("hostile::a_file_through_an_absolute_link", Harmless, |place| {
        evil()
            .entry(Entry::symlink("./srv-link", place.join("canary").to_str().unwrap()))
            .entry(Entry::file("./srv-link/file", 0o644, "evil\n"))
            .build()
    });
}

#[test]
fn a_file_through_a_climbing_link() {
    for up in UP {
        attack("hostile::a_file_through_a_climbing_link", Harmless, |_| {
            evil()
                .entry(Entry::symlink("./srv-link", format!("{up}/canary")))
                .entry(Entry::file("./srv-link/file", 0o644, "evil\n"))
                .build()
        });
    }
}

/// The link may point out of the root, but the file that it points to stays as it is.
#[test]
fn a_link_out_and_then_a_file_in_its_place() {
    attack("hostile::a_link_out_and_then_a_file_in_its_place", Harmless, |place| {
        evil()
            .dir("/srv", 0o755)
            .entry(Entry::symlink("./srv/out", place.join("canary/file").to_str().unwrap()))
            .build()
    });
}

#[test]
fn hard_links_out() {
    for target in ["../../../canary/file", "./../../../canary/file"] {
        attack("hostile::hard_links_out", Refused, |_| evil().entry(Entry::hardlink("./link", target)).build());
    }
    attack("hostile::hard_links_out", Refused, |place| {
        evil().entry(Entry::hardlink("./link", place.join("canary/file").to_str().unwrap())).build()
    });
}

/// The target of the hard link leads through a symbolic link out of the root.
#[test]
fn a_hard_link_through_a_link_out() {
    attack("hostile::a_hard_link_through_a_link_out", Refused, |place| {
        evil()
            .entry(Entry::symlink("./door", place.join("canary").to_str().unwrap()))
            .entry(Entry::hardlink("./link", "./door/file"))
            .build()
    });
}

#[test]
fn newlines_in_names() {
    attack("hostile::newlines_in_names", Refused, |_| {
        evil().entry(Entry::file("./usr/share/evil/a\n/etc/passwd", 0o644, "evil\n")).build()
    });
}

#[test]
fn names_that_are_too_long() {
    attack("hostile::names_that_are_too_long", Refused, |_| {
        evil().entry(Entry::file(format!("./{}", "d/".repeat(3000)), 0o644, "evil\n")).build()
    });
    attack("hostile::names_that_are_too_long", Refused, |_| {
        evil().entry(Entry::file(format!("./{}", "n".repeat(300)), 0o644, "evil\n")).build()
    });
}

/// Packages may have them, because they are in the root only.
#[test]
fn setuid_files_and_pipes_are_what_packages_may_have() {
    attack("hostile::setuid_files_and_pipes_are_what_packages_may_have", Harmless, |_| {
        evil().file("/usr/share/evil/suid", 0o6755, "#!/bin/sh\n").fifo("/usr/share/evil/fifo", 0o600).build()
    });
}

/// dpkg's database takes the names of packages and files from the control archive.
#[test]
fn control_files_that_climb() {
    for name in ["./../../../../../../canary/postinst", "../../../canary/file", "./sub/postinst", "/canary/file"] {
        attack("hostile::control_files_that_climb", Refused, |_| {
            evil().control_entry(Entry::file(name, 0o755, "#!/bin/sh\n")).build()
        });
    }
}

#[test]
fn a_package_that_calls_itself_something_else() {
    for name in ["../../../../../../canary/x", "/canary/x", "evil\n/x", ""] {
        attack("hostile::a_package_that_calls_itself_something_else", Refused, |_| {
            evil().field("Package", name).build()
        });
    }
}

#[test]
fn conffiles_that_climb() {
    for list in ["/../../../../../canary/file\n", "../canary/file\n", "canary\n"] {
        attack("hostile::conffiles_that_climb", Contained, |_| evil().control_member("conffiles", 0o644, list).build());
    }
}
