//! The privileged ring: whole systems built by root and by an ordinary user.
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::path::Path;

#[test]
fn root_makes_a_directory() {
    let name = "privileged::root_makes_a_directory";
    need!(name, machine::root());
    let world = World::new(&need!(name, base::archive(Layout::Merged, [])));
    let target = world.target("root");
    let o = world.run(&[&target]).expect(0);
    println!("{}", o.transcript);
    base::assert_consistent(Path::new(&target));
    let user = machine::user().unwrap();
    let target = world.target("root2");
    let o = world.finish(&mut world.command_as(&user, &[&target])).expect(0);
    println!("{}", o.transcript);
}
