//! The cache: what is in it is not fetched again, and a run also works without it.

use crate::{EXTRACT, unlisted};
use rootstrap_testkit::tree;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::path::Path;

fn debs_asked_for(world: &World) -> usize {
    world.server.requests().iter().filter(|request| request.path.ends_with(".deb")).count()
}

#[test]
fn the_second_run_fetches_no_deb_and_a_third_nothing() {
    need!(machine::builder());
    let world = unlisted();
    let build = |name: &str, more: &[&str]| world.run(&[&[world.target(name).as_str()], &EXTRACT[..], more].concat());
    build("a", &[]).expect(0);
    assert_eq!(debs_asked_for(&world), 3);
    world.server.forget();
    let outcome = build("b", &[]).expect(0);
    assert!(outcome.transcript.contains("debs: 3, SIZE, 3 of them cached\n"), "{}", outcome.transcript);
    assert_eq!(debs_asked_for(&world), 0);
    assert!(!world.server.requests().is_empty(), "nobody asked whether there is a newer Release");
    world.server.forget();
    build("c", &["--offline"]).expect(0);
    assert_eq!(world.server.requests(), []);
    let dumps: Vec<String> = ["a", "b", "c"].iter().map(|name| tree::dump(Path::new(&world.target(name)))).collect();
    assert!(dumps[0] == dumps[1] && dumps[1] == dumps[2]);
}

#[test]
fn offline_without_a_cache_says_how_to_fill_it() {
    let world = unlisted();
    let outcome = world.run(&["--print-plan", "--arch=amd64", "--offline"]).expect(1).says(&[
        "it is not in the cache, and downloading is off\n",
        "hint: run once without --offline to fill the cache\n",
    ]);
    assert!(outcome.stdout.is_empty() && world.server.requests().is_empty());
}

#[test]
fn without_a_cache_nothing_is_left() {
    need!(machine::builder());
    let world = unlisted();
    let target = world.target("x");
    let before = world.names("");
    let arguments = [&[target.as_str()], &EXTRACT[..], &["--no-cache"]].concat();
    world.finish(&mut world.command(&arguments)).expect(0);
    assert_eq!(debs_asked_for(&world), 3);
    assert_eq!(world.names(""), before);
    assert!(world.names("tmp").is_empty());
    assert_eq!(world.names("out"), ["x"]);
}

/// A damaged file of the cache is not used but fetched again.
#[test]
fn a_damaged_cache_does_no_harm() {
    need!(machine::builder());
    let world = unlisted();
    let build = |name: &str| world.run(&[&[world.target(name).as_str()], &EXTRACT[..]].concat()).expect(0);
    build("a");
    let damaged = damage(&world.path("cache"));
    assert!(damaged > 3, "only {damaged} files in the cache");
    world.server.forget();
    build("b");
    assert_eq!(debs_asked_for(&world), 3);
    let dump = |name: &str| tree::dump(Path::new(&world.target(name)));
    assert_eq!(dump("a"), dump("b"));
}

/// Cuts the last byte off every file. Returns the number of files.
fn damage(directory: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += damage(&path);
        } else if path.file_name().unwrap() != "CACHEDIR.TAG" && path.metadata().unwrap().len() > 0 {
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            count += 1;
        }
    }
    count
}

#[test]
fn the_cache_is_shown_and_pruned() {
    let world = unlisted();
    world.run(&["--print-plan", "--arch=amd64"]).expect(0);
    let cache = world.path("cache");
    let ask = |words: &[&str]| world.finish(world.bare(&["cache"]).args(words).arg("--cache-dir").arg(&cache));
    let said = |outcome: &Outcome| String::from_utf8(outcome.stdout.clone()).unwrap();
    assert_eq!(said(&ask(&["dir"]).expect(0)), format!("{}\n", cache.display()));
    let outcome = world.finish(&mut world.bare(&["cache", "dir"])).expect(0);
    assert!(said(&outcome).ends_with("/rootstrap\n"), "{}", said(&outcome));
    let text = said(&ask(&["info"]).expect(0));
    assert!(text.contains("\ndownloads         1 files") && text.contains("\nrelease           2 files"), "{text}");
    let info = |name: &str, what: &str| {
        let json: serde_json::Value = serde_json::from_slice(&ask(&["info", "--json"]).expect(0).stdout).unwrap();
        let layers = json["layers"].as_array().unwrap().clone();
        layers.into_iter().find(|layer| layer["name"] == name).unwrap()[what].as_u64().unwrap()
    };
    assert!(said(&ask(&["prune"]).expect(0)).starts_with("removed 0 files, "), "all of it was used today");
    std::fs::write(cache.join("v1/tmp/left"), "x").unwrap();
    assert!(said(&ask(&["prune", "--max-size=1T"]).expect(0)).starts_with("removed 1 files, 1 B; "));
    ask(&["prune", "--max-size", &info("release", "bytes").to_string()]).expect(0);
    assert_eq!((info("downloads", "files"), info("release", "files")), (0, 2));
    ask(&["prune", "--max-size=0k"]).expect(0);
    assert_eq!(info("release", "files"), 0);
    // The run works without everything that was removed.
    world.run(&["--print-plan", "--arch=amd64"]).expect(0);
    ask(&["prune", "--max-size=2X"]).expect(2).says(&["it must be a number, optionally with K, M, G or T"]);
    world.finish(&mut world.bare(&["cache"])).expect(2);
}

#[test]
fn a_directory_that_is_no_cache_is_not_pruned() {
    let world = unlisted();
    std::fs::write(world.path("out/precious"), "x").unwrap();
    for words in [&["cache", "info"][..], &["cache", "prune", "--max-size=0"]] {
        let mut command = world.bare(words);
        world.finish(command.arg("--cache-dir").arg(world.path("out"))).expect(1).says(&[
            "error: cannot use DIR/out as a cache: rootstrap did not create it\n",
            "hint: `rootstrap cache dir` says where the cache is; --cache-dir names another\n",
        ]);
    }
    assert_eq!(world.names("out"), ["precious"]);
}

/// A deb that was used twice is not decoded a third time, unless its payload in the cache is damaged.
#[test]
fn payloads_of_debs_used_twice_are_kept() {
    need!(machine::builder());
    let world = unlisted();
    let build = |name: &str, rates: &str| {
        let outcome = world.run(&[&[world.target(name).as_str()], &EXTRACT[..], &["-v"]].concat()).expect(0);
        outcome.says(&[&format!("\ncache: {rates}\n")]);
        tree::dump(Path::new(&world.target(name)))
    };
    let payloads = || files(&world.path("cache/v1/payload"));
    let first = build("a", "0 of 1 indexes, 0 of 3 debs, 0 of 3 payloads");
    assert_eq!(payloads().len(), 0, "it may have been the only run");
    let second = build("b", "1 of 1 indexes, 3 of 3 debs (SIZE), 0 of 3 payloads");
    assert_eq!(payloads().len(), 3);
    let third = build("c", "1 of 1 indexes, 3 of 3 debs (SIZE), 3 of 3 payloads");
    let rotten = payloads().remove(0);
    let mut bytes = std::fs::read(&rotten).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&rotten, bytes).unwrap();
    let fourth = build("d", "1 of 1 indexes, 3 of 3 debs (SIZE), 2 of 3 payloads");
    let fifth = build("e", "1 of 1 indexes, 3 of 3 debs (SIZE), 3 of 3 payloads");
    assert!([second, third, fourth, fifth].iter().all(|dump| *dump == first));
    assert!(world.names("cache/v1/tmp").is_empty());
}

/// Returns all files below a directory; none if the directory does not exist.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
