//! `--copy` puts the host's files into the finished root, for every user and in every format.

use rootstrap_testkit::tree;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// Returns a world with `app/` in its scratch directory, which every user may read.
fn world() -> Result<World, String> {
    let world = World::new(&base::archive(Layout::Merged, [])?);
    let app = world.path("app");
    fs::create_dir_all(app.join("bin")).unwrap();
    for (path, mode) in [("bin/run", 0o4755), ("data:1", 0o664)] {
        fs::write(app.join(path), path).unwrap();
        fs::set_permissions(app.join(path), Permissions::from_mode(mode)).unwrap();
    }
    symlink("/etc/passwd", app.join("link")).unwrap();
    Ok(world)
}

const COPIES: [&str; 4] = ["--copy=app:/opt/app", "--copy", "app/data:1:/tmp/", "--copy=app/bin/run:/bin/run"];

#[test]
fn copies_are_in_every_format_of_every_variant() {
    need!(machine::root());
    let world = need!(world());
    for (number, more) in
        [&[][..], &["--image", "--slim"], &["--variant=extract", "--include=base-files"]].iter().enumerate()
    {
        let target = world.target(&format!("root{number}"));
        world.run(&[&[target.as_str()], &COPIES[..], more].concat()).expect(0);
        let root = Path::new(&target);
        let dump = tree::dump(root);
        let has = |start: &str| assert!(dump.lines().any(|line| line.starts_with(start)), "{start}: {dump}");
        has("/opt/app dir 0755 0:0");
        has("/opt/app/bin/run file 0755 0:0 7 ");
        has("/opt/app/data:1 file 0664 0:0 6 ");
        has("/opt/app/link symlink 0777 0:0 /etc/passwd");
        // The user asked for these files, so tidying keeps them.
        has("/tmp/data:1 file 0664 0:0 6 ");
        has("/usr/bin/run file 0755 0:0 7 ");
        for path in ["opt/app", "opt/app/bin/run", "opt/app/link", "tmp"] {
            let time = fs::symlink_metadata(root.join(path)).unwrap().mtime();
            assert_eq!(time.unsigned_abs(), rootstrap_testkit::EPOCH, "{path}");
        }
    }
}

#[test]
fn every_user_copies_the_same() {
    need!(machine::root());
    let (user, stranger) = (need!(machine::user()), need!(machine::stranger()));
    let world = need!(world());
    let target = |name: &str| world.target(&format!("{name}.tar"));
    world.run(&[&[target("root").as_str()], &COPIES[..]].concat()).expect(0);
    let ours = fs::read(target("root")).unwrap();
    for (name, user) in [("user", &user), ("stranger", &stranger)] {
        world.finish(&mut world.command_as(user, &[&[target(name).as_str()], &COPIES[..]].concat())).expect(0);
        assert!(fs::read(target(name)).unwrap() == ours, "{name}");
    }
    // The build may not read what the caller may not read.
    fs::set_permissions(world.path("app/bin/run"), Permissions::from_mode(0o700)).unwrap();
    let refused =
        world.finish(&mut world.command_as(&user, &[target("refused").as_str(), "--copy=app:/app"])).expect(1);
    refused.says(&["error: cannot copy app\n  because: cannot read bin/run\n  because: Permission denied"]);
}
