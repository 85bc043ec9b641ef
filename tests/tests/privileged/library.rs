//! The library by itself: its examples are whole programs.

use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need, program};
use std::path::Path;
use std::process::Command;

/// Returns an example with these arguments, and the mirror and keys of the world.
fn example(world: &World, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program::example(name));
    command.args(arguments).arg(world.server.url()).arg(world.path("key.pgp"));
    command.env("TMPDIR", world.path("tmp")).current_dir(world.path(""));
    command
}

#[test]
fn the_examples_plan_and_build() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [])));
    let outcome = world.finish(&mut example(&world, "plan", &[base::SUITE, "hello"])).expect(0);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("required dpkg ")) && text.contains("base hello "), "{text}");
    world
        .finish(&mut example(&world, "plan", &[base::SUITE, "absent"]))
        .expect(1)
        .says(&["error: cannot find the package absent in the archive\n", "hint: "]);

    let target = world.target("root");
    let outcome = world.finish(&mut example(&world, "directory", &[base::SUITE, &target])).expect(0);
    outcome.says(&["unpack\nconfigure\n", "configuring dpkg\n", "publish\n", " packages, "]);
    base::assert_consistent(Path::new(&target));
    // A target that is there already is refused by the child, which says so.
    let again = world.finish(&mut example(&world, "directory", &[base::SUITE, &target])).expect(1);
    again.says(&["as the target: it is not empty\n"]);
    assert_eq!(world.names("out"), ["root"]);
}
