//! Several platforms that are built at the same time: each run of scripts ends its own processes, and none of another platform's.

use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, need};

/// Both architectures get the same packages, and the second one a package whose script takes longer than all scripts of the first.
/// All packages are for every architecture, so the programs run on any machine.
#[test]
fn platforms_do_not_end_each_others_scripts() {
    need!(machine::root());
    let system = need!(base::debs(Layout::Merged));
    let native = base::native(&system);
    let (first, second) = match native.as_str() {
        "amd64" => ("amd64", "i386"),
        "arm64" => ("arm64", "armhf"),
        _ => return rootstrap_tests::skip(format!("{native} has no second architecture that runs here")),
    };
    let daemon = "#!/bin/sh\n(trap '' HUP TERM; sleep 1000) </dev/null >/dev/null 2>&1 &\n";
    let slow = format!(
        "{daemon}for n in 1 2 3 4 5 6; do sleep 0.5; echo step $n; done\nkill -0 $! && echo fine >/var/lib/fine\n"
    );
    let mut archive = rootstrap_testkit::archive::Archive::new(base::SUITE).key(&KEY);
    archive.architectures = vec![first.to_owned(), second.to_owned()];
    let shared = system.into_iter().map(|deb| deb.arch("all").without("Multi-Arch"));
    let needed = |deb: Deb| deb.field("Priority", "required").field("Essential", "yes");
    let archive = archive
        .debs(shared)
        .debs([needed(Deb::new("quick", "1")).arch("all").script("postinst", daemon)])
        .debs([needed(Deb::new("slow", "1")).arch(second).script("postinst", &slow)]);
    let world = World::new(&archive);
    for mode in ["root", "unshare", "single", "chroot"] {
        let (option, platforms) = (format!("--mode={mode}"), format!("--arch={first},{second}"));
        let target = world.target("images.oci.tar");
        let outcome = world.run(&[&target, &platforms, &option, "--variant=essential", "-v"]).expect(0);
        assert!(outcome.stderr.contains("step 6"), "mode {mode}: {}", outcome.stderr);
        assert_eq!(machine::processes("sleep 1000"), [""; 0], "mode {mode}");
        if mode == "root" {
            each_platform_has_its_own_tree(&world, &target, (first, second));
        }
        std::fs::remove_file(&target).unwrap();
        base::assert_nothing_left(&world, &[]);
    }
}

/// Of an image for several platforms, `rootstrap image` takes the tree that is asked for.
fn each_platform_has_its_own_tree(world: &World, image: &str, (first, second): (&str, &str)) {
    let out = world.target("out.tar");
    let take =
        |architecture: &str| world.finish(&mut world.bare(&["image", image, &out, &format!("--arch={architecture}")]));
    for (architecture, is_second) in [(first, false), (second, true)] {
        take(architecture).expect(0);
        let bytes = std::fs::read(&out).unwrap();
        let name = b"var/lib/fine";
        assert_eq!(bytes.windows(name.len()).any(|bytes| bytes == name), is_second, "{architecture}");
    }
    take("s390x").expect(2).says(&["it has no root for s390x, only for "]);
    let tree = world.path("tmp");
    let other = ["image", tree.to_str().unwrap(), &out, "--arch=s390x"];
    world.finish(&mut world.bare(&other)).expect(2).says(&["cannot use --arch: there is nothing to choose"]);
    std::fs::remove_file(&out).unwrap();
}
