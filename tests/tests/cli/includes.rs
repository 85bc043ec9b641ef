//! Includes that stand for several packages, or that are files.

use crate::archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use std::fs;

fn world() -> World {
    let package = |name: &str, priority: &str| Deb::new(name, "1").arch("all").field("Priority", priority);
    let archive = archive("fixture")
        .deb("main", package("editor", "important").field("Section", "editors").index_field("Task", "desk, server"))
        .deb("main", package("pager", "standard").field("Section", "utils").index_field("Task", "server"))
        .deb("main", package("extra", "optional").field("Section", "utils"));
    let world = World::new(&archive);
    let local = Deb::new("mine", "0.1").field("Depends", "extra, helper").build();
    fs::write(world.path("mine.deb"), local).unwrap();
    fs::create_dir(world.path("debs")).unwrap();
    let helper = Deb::new("helper", "2").arch("all").field("Essential", "yes").build();
    fs::write(world.path("debs/helper_2.deb"), helper).unwrap();
    world
}

fn plan(world: &World, arguments: &[&str]) -> Outcome {
    world.run(&[&["--print-plan", "--arch=amd64", "--variant=custom"], arguments].concat())
}

/// Returns the names of what is planned, sorted.
fn names(outcome: Outcome) -> String {
    let text = String::from_utf8(outcome.expect(0).stdout).unwrap();
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    names.sort_unstable();
    names.join(" ")
}

#[test]
fn patterns_and_tasks() {
    let world = world();
    let of = |include: &str| names(plan(&world, &["--include", include]));
    assert_eq!(of("?priority(important) !?name(apt)"), "editor");
    assert_eq!(of("?or(?section(editors),?section(utils))"), "editor extra pager", "the comma does not split it");
    assert_eq!(of("~sutils !~pstandard"), "extra", "nor does the blank");
    assert_eq!(of("server^, extra"), "editor extra pager");
    fs::write(world.path("list"), "?section(utils) ~pstandard # both\nextra editor\n").unwrap();
    assert_eq!(names(plan(&world, &["--include-from=list"])), "editor extra pager");
    plan(&world, &["--include=?section(none)"])
        .expect(0)
        .says(&["warning: no package matches the pattern ?section(none)"]);
    for (include, message) in [
        ("?installed", "cannot select ?installed: ?installed asks for what is installed, and nothing is yet\n"),
        ("none^", "cannot select none^: no package of the archive belongs to this task\n"),
    ] {
        plan(&world, &["--include", include]).expect(1).says(&[message]);
    }
}

#[test]
fn files_are_packages() {
    let world = world();
    assert_eq!(names(plan(&world, &["--include=./mine.deb,./debs/helper_2.deb"])), "extra helper mine");
    let path = world.path("mine.deb");
    let arguments = ["--include", path.to_str().unwrap(), "--include=debs/helper_2.deb,extra"];
    assert_eq!(names(plan(&world, &arguments)), "extra helper mine");
    plan(&world, &["--include=mine.deb"])
        .expect(1)
        .says(&["cannot find the package mine.deb", "hint: a file is named with its directory: ./mine.deb"]);
}

#[test]
fn files_that_are_no_packages() {
    let world = world();
    fs::write(world.path("other.deb"), Deb::new("other", "1").arch("arm64").build()).unwrap();
    fs::write(world.path("text.deb"), "no archive").unwrap();
    let whole = fs::read(world.path("mine.deb")).unwrap();
    fs::write(world.path("short.deb"), &whole[..whole.len() / 4]).unwrap();
    for (include, code, parts) in [
        (
            "./other.deb",
            2,
            &["cannot install ./other.deb: it is for arm64, and the root is for amd64", "hint: add"][..],
        ),
        ("./absent.deb", 2, &["cannot install ./absent.deb: No such file"]),
        ("./debs", 2, &["cannot install ./debs: it is not a regular file"]),
        ("./text.deb", 3, &["./text.deb"]),
        ("./short.deb", 3, &["./short.deb"]),
        ("./mine.deb", 1, &["mine (included) depends on helper"]),
    ] {
        plan(&world, &["--include", include]).expect(code).says(parts);
    }
}
