//! Packages that are built for newer processors, in indexes of their own beside those of the architecture.

use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::fs;
use std::path::Path;

/// Whether this machine runs what the tests build.
fn newer_processor() -> Result<(), String> {
    machine::root()?;
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |flag: &str| text.split_whitespace().any(|word| word == flag);
    let all = ["avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "abm"].iter().all(|flag| has(flag));
    if all { Ok(()) } else { Err("this processor is none of amd64v3".into()) }
}

/// Returns an archive with all of its packages for amd64, and again for amd64v3.
fn world() -> Result<World, String> {
    newer_processor()?;
    let probe = Deb::new("probe", "1").file("/usr/share/built-for", 0o644, "amd64\n");
    let mut archive = base::archive(Layout::Merged, [probe])?;
    archive.architectures = vec!["amd64".into(), "amd64v3".into()];
    let probe = Deb::new("probe", "1").file("/usr/share/built-for", 0o644, "amd64v3\n");
    let newer = |deb: Deb| match deb.get("Architecture") {
        Some("all") => deb,
        _ => deb.field("Architecture-Variant", "amd64v3"),
    };
    let debs = base::debs(Layout::Merged)?.into_iter().filter(|deb| deb.get("Architecture") != Some("all"));
    Ok(World::new(&archive.debs(debs.chain([probe]).map(newer))))
}

#[test]
fn packages_of_a_variant_are_installed() {
    let world = need!(world());
    let target = world.target("root");
    let read = |path: &str| fs::read_to_string(Path::new(&target).join(path)).unwrap();
    world.run(&[&target, "--include=probe", "--arch-variant=amd64v3"]).expect(0);
    assert_eq!(read("usr/share/built-for"), "amd64v3\n");
    assert_eq!(read("etc/apt/apt.conf.d/99rootstrap-variant"), "APT::Architecture-Variants \"amd64v3\";\n");
    assert!(read("var/lib/dpkg/status").contains("\nArchitecture-Variant: amd64v3\n"));
    let other = world.target("plain");
    world.run(&[&other, "--include=probe"]).expect(0);
    assert_eq!(fs::read_to_string(Path::new(&other).join("usr/share/built-for")).unwrap(), "amd64\n");
    assert!(!Path::new(&other).join("etc/apt/apt.conf.d/99rootstrap-variant").exists());
}

/// The image says for which processors it is, and is built from its lock again.
#[test]
fn images_of_a_variant() {
    let world = need!(world());
    let lock = world.path("image.lock");
    let lock = lock.to_str().unwrap();
    let words = ["lock", base::SUITE, "--include=probe", "--arch-variant=amd64v3", "-o", lock];
    world.finish(&mut world.with_own_arguments(&words)).expect(0);
    assert!(fs::read_to_string(lock).unwrap().contains("arch-variant = \"amd64v3\""));
    let (first, second) = (world.target("first.oci"), world.target("second.oci"));
    world.run(&[&first, "--include=probe", "--arch-variant=amd64v3"]).expect(0);
    let index = fs::read_to_string(Path::new(&first).join("index.json")).unwrap();
    assert!(index.contains("\"architecture\":\"amd64\"") && index.contains("\"variant\":\"v3\""), "{index}");
    world.run(&[&second, "--frozen", "--lock", lock]).expect(0);
    assert_eq!(fs::read_to_string(Path::new(&second).join("index.json")).unwrap(), index);
    world.run(&[&world.target("x"), "--lock", lock]).expect(2).says(&["arch-variant: amd64v3 in the lock, none here"]);
}

#[test]
fn variants_that_there_are_not() {
    let world = need!(world());
    let target = world.target("root");
    for (variant, status, message) in [
        ("amd64v2", 1, "it has no architecture \"amd64v2\", only amd64, amd64v3"),
        ("arm64v9", 2, "cannot use --arch-variant: \"arm64v9\" is no variant of amd64"),
        ("amd64/../x", 2, "cannot use --arch-variant: "),
        ("amd64", 2, "cannot use --arch-variant: "),
    ] {
        world.run(&[&target, &format!("--arch-variant={variant}")]).expect(status).says(&[message]);
        assert!(!Path::new(&target).exists());
    }
}
