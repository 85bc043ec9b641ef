//! Triggers: which packages are interested, and what unpacking activates.

use crate::world::{Case, write};
use rootstrap_testkit::deb::Deb;

fn deb(name: &str, triggers: &str) -> Deb {
    let deb = Deb::new(name, "1").field("Section", "misc").field("Priority", "optional");
    if triggers.is_empty() { deb } else { deb.control_member("triggers", 0o644, triggers) }
}

#[test]
fn interests() {
    Case::new(
        "interests",
        [
            deb("b", "interest named\ninterest-noawait other\ninterest /usr/share/b\n"),
            deb("a", "# words\n\n  interest-noawait   /usr/share/a  \ninterest named\ninterest-await awaited\n"),
            deb("c", "interest-noawait /usr/share/a\ninterest-noawait named\n"),
        ],
    )
    .then([deb("d", "interest named\ninterest /usr/share/b\n")])
    .equals_dpkg();
}

#[test]
fn interests_that_are_declared_twice() {
    Case::new(
        "interests said twice",
        [
            deb("a", "interest /x\ninterest /x\ninterest-noawait n\ninterest n\n"),
            deb("b", "interest n\ninterest-noawait /x\ninterest /x\n"),
        ],
    )
    .then([deb("c", "")])
    .equals_dpkg();
}

/// A configured package that is interested in all triggers of these tests.
fn listener() -> Deb {
    deb("listener", "interest /watched\ninterest-noawait /quiet\ninterest named\ninterest-noawait hushed\n")
}

#[test]
fn files_of_a_later_package() {
    for (name, later) in [
        ("a file below an awaited path", deb("later", "").file("/watched/file", 0o644, "")),
        ("a file below a path not awaited", deb("later", "").file("/quiet/file", 0o644, "")),
        ("the path itself", deb("later", "").file("/watched", 0o644, "")),
        ("a link at the path", deb("later", "").symlink("/quiet", "x")),
        ("a conffile below the path", deb("later", "").conffile("/watched/c", "x")),
        ("both paths", deb("later", "").file("/quiet/file", 0o644, "").file("/watched/file", 0o644, "")),
        (
            "a package of one architecture of several",
            deb("later", "").field("Multi-Arch", "same").dir("/watched", 0o755),
        ),
        ("another path", deb("later", "").file("/unwatched/file", 0o644, "")),
    ] {
        Case::new(name, [listener()]).then([later]).equals_dpkg();
    }
}

#[test]
fn a_listener_of_one_architecture_of_several() {
    let listener = || listener().field("Multi-Arch", "same");
    Case::new("an architecture's listener", [listener()])
        .then([deb("later", "activate named\n").file("/watched/x", 0o644, "").file("/quiet/x", 0o644, "")])
        .equals_dpkg();
}

#[test]
fn activations_of_a_later_package() {
    for (name, triggers) in [
        ("activate", "activate named\n"),
        ("activate-noawait", "activate-noawait named\n"),
        ("activate-await of what is not awaited", "activate-await hushed\n"),
        ("activate both", "activate hushed\nactivate-noawait named\n"),
        ("activate a path", "activate /watched\n"),
        ("activate what nobody knows", "activate nobody\nactivate /nowhere\n"),
        ("activate twice", "activate-noawait named\nactivate named\n"),
        ("activate twice, the other way", "activate named\nactivate-noawait named\n"),
    ] {
        Case::new(name, [listener()]).then([deb("later", triggers)]).equals_dpkg();
    }
}

#[test]
fn several_at_once() {
    Case::new("several activations at once", [listener(), deb("second", "interest /watched\ninterest named\n")])
        .then([
            deb("z", "activate named\n").file("/watched/z", 0o644, ""),
            deb("a", "activate named\nactivate hushed\n").file("/watched/a", 0o644, "").file("/quiet/a", 0o644, ""),
        ])
        .then([deb("m", "").file("/quiet/m", 0o644, "")])
        .equals_dpkg();
}

#[test]
fn no_listener_is_configured_yet() {
    Case::new(
        "activations nobody can hear yet",
        [listener(), deb("later", "activate named\n").file("/watched/x", 0o644, "")],
    )
    .equals_dpkg();
}

#[test]
fn a_diverted_file_activates_where_it_goes() {
    let prepare = |root: &std::path::Path| {
        write(root, "var/lib/dpkg/diversions", "/watched/x\n/quiet/x\nother\n");
        std::fs::create_dir(root.join("quiet")).unwrap();
    };
    Case::new("a diverted file", [deb("listener", "interest /watched/x\ninterest /quiet/x\n")])
        .then([deb("later", "").file("/watched/x", 0o644, "")])
        .prepare(&prepare)
        .equals_dpkg();
}

#[test]
fn activations_that_waited_already() {
    if crate::world::skipped("activations that waited already") {
        return;
    }
    // A script's dpkg-trigger leaves the file like this: the first line is about the same trigger, the second about another.
    let prepare = |root: &std::path::Path| {
        write(root, "var/lib/dpkg/triggers/Unincorp", "named somebody\nother -\n");
    };
    let mut world = crate::world::World::new();
    prepare(&world.path());
    world.unpack(
        &[deb("a", "activate named\nactivate-noawait third\n"), deb("b", "activate named\n")],
        crate::world::LATER,
    );
    assert_eq!(world.text("var/lib/dpkg/triggers/Unincorp"), "named - somebody\nother -\nthird -\n");
}
