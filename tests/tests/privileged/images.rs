//! What only images have: the vendor's user, and marks of their own.

use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, need};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

const USERADD: &str = "#!/bin/sh\necho \"$SOURCE_DATE_EPOCH $*\" >>/var/lib/useradd.log\n\
                       echo ubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/bash >>/etc/passwd\n";

/// Returns a world with the suite noble, whose useradd only prints its arguments.
fn world(more: &[Deb]) -> Result<World, String> {
    machine::root()?;
    let debs = base::debs(Layout::Merged)?;
    let architecture = base::native(&debs);
    let required = |name: &str| Deb::new(name, "1").index_field("Priority", "required");
    let own = [
        required("passwd").field("Priority", "required").file("/usr/sbin/useradd", 0o755, USERADD),
        required("useful").field("Priority", "optional").field("Depends", "useful-data").file("/usr/lib/u", 0o644, ""),
        required("useful-data").field("Priority", "optional").file("/usr/lib/u-data", 0o644, ""),
    ];
    let own = own.iter().chain(more).map(|deb| deb.clone().arch(&architecture));
    let mut archive = Archive::new("noble").key(&KEY).debs(debs.iter().cloned().chain(own));
    archive.architectures = vec![architecture];
    Ok(World::new(&archive))
}

/// Returns the small files of an image or of another tree.
fn build(world: &World, more: &[&str]) -> BTreeMap<String, String> {
    let target = world.target("x.tar");
    world.run(&[&[target.as_str(), "--pockets=release"], more].concat()).expect(0);
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(fs::File::open(target).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().trim_start_matches("./").to_owned();
        let mut text = Vec::new();
        entry.by_ref().take(1 << 20).read_to_end(&mut text).unwrap();
        files.insert(path, String::from_utf8_lossy(&text).into_owned());
    }
    files
}

#[test]
fn an_image_has_the_vendors_user() {
    let world = need!(world(&[]));
    let image = build(&world, &["--image"]);
    let asked = format!(
        "{} --create-home --user-group --uid 1000 --comment Ubuntu --shell /bin/bash --groups adm ubuntu\n",
        rootstrap_testkit::EPOCH
    );
    assert_eq!(image["var/lib/useradd.log"], asked);
    assert!(!build(&world, &[]).contains_key("var/lib/useradd.log"));
    // A package has made the user already, or there is no useradd.
    let first =
        Deb::new("first", "1").script("postinst", "#!/bin/sh\necho ubuntu:x:1000:1000::/:/bin/sh >>/etc/passwd\n");
    let world = need!(self::world(&[first]));
    assert!(!build(&world, &["--image", "--include=first"]).contains_key("var/lib/useradd.log"));
    assert!(!build(&world, &["--image", "--variant=essential"])["etc/passwd"].contains("ubuntu"));
}

#[test]
fn only_what_was_asked_for_is_not_automatic_in_an_image() {
    let world = need!(world(&[]));
    let manual = |more: &[&str]| {
        let files = build(&world, more);
        let names = |text: &str| -> Vec<String> {
            text.lines().filter_map(|line| line.strip_prefix("Package: ").map(str::to_owned)).collect()
        };
        let marks = files.get("var/lib/apt/extended_states").map_or("", String::as_str);
        assert_eq!(marks.matches("Auto-Installed: 1\n").count(), names(marks).len());
        let marked = names(marks);
        let all = names(&files["var/lib/dpkg/status"]);
        all.into_iter().filter(|name| !marked.contains(name)).collect::<Vec<_>>().join(" ")
    };
    // The package is optional and no other needs it, so apt would remove it.
    assert_eq!(manual(&["--image"]), "useful");
    assert_eq!(manual(&["--image", "--include=hello,passwd=1"]), "hello passwd useful");
    assert_eq!(manual(&["--image", "--variant=important"]), "init netbase useful");
    let plain = manual(&["--include=hello"]);
    assert!(plain.contains("apt base-files ") && plain.contains(" hello "), "{plain}");
}
