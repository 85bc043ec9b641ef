//! `rootstrap.toml`: what is written, refused and printed without anything being made.

use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use serde_json::Value;
use std::fs;

fn run(world: &World, arguments: &[&str]) -> Outcome {
    world.finish(&mut world.bare(arguments))
}

fn stdout(outcome: &Outcome) -> &str {
    std::str::from_utf8(&outcome.stdout).unwrap()
}

#[test]
fn init_writes_a_manifest_and_replaces_none() {
    let world = crate::trixie();
    run(&world, &["init"]).expect(0).says(&["wrote rootstrap.toml"]);
    let text = fs::read_to_string(world.path("rootstrap.toml")).unwrap();
    run(&world, &["init"]).expect(2).says(&["cannot write rootstrap.toml: it exists already"]);
    assert_eq!(fs::read_to_string(world.path("rootstrap.toml")).unwrap(), text);
    run(&world, &["build"]).expect(2).says(&["cannot find an image in rootstrap.toml\nhint: add a table [image.NAME]"]);
    run(&world, &["build", "--file=none.toml"])
        .expect(2)
        .says(&["cannot read none.toml", "hint: `rootstrap init` writes one"]);
}

/// What is wrong with an image is said with its line before anything is fetched or made.
#[test]
fn mistakes_are_refused_before_anything_is_fetched() {
    let world = crate::trixie();
    for (text, words) in [
        (
            "[image.a]\nsuite = \"trixie\"\nincldue = \"x\"",
            "line 3: unknown key `incldue`\nhint: did you mean `include`?",
        ),
        ("[image.a]\nsuite = \"trixie\"\njobs = 3", "line 3: unknown key `jobs`\nhint: an image has the options of"),
        (
            "[image.a]\nsuite = \"trixie\"\nvariant = \"minbas\"\ntarget = \"x.tar\"",
            "line 3: the image `a`: invalid value 'minbas'",
        ),
        ("[image.a]\nsuite = \"trixie\"", "line 1: the image `a`: it has no target\nhint: say target"),
        ("[image.a]\nsuite = \"trixie\"\npush = \"r.example/x\"", "it has no target\nhint: push it with --push"),
        (
            "[image.a]\nsuite = \"trixie\"\ntarget = \"-\"",
            "line 3: the image `a`: several images cannot go to standard output",
        ),
        ("[image.a]\nextends = \"b\"\n[image.b]\nextends = \"a\"", "an image extends itself: a -> b -> a"),
    ] {
        fs::write(world.path("rootstrap.toml"), text).unwrap();
        let outcome = run(&world, &["build"]);
        assert!(outcome.code != Some(0) && outcome.stderr.contains(words), "{text}: {}", outcome.stderr);
        assert!(outcome.stdout.is_empty(), "{}", stdout(&outcome));
    }
    assert!(world.server.requests().is_empty());
    fs::write(world.path("rootstrap.toml"), "[image.a]\nsuite = \"trixie\"\ntarget = \"x.tar\"").unwrap();
    run(&world, &["build", "b"]).expect(2).says(&["cannot find the image `b` in rootstrap.toml\nhint: it has a"]);
    run(&world, &["build", "--shard=3/2"]).expect(2).says(&["cannot use `3/2` as a shard"]);
    run(&world, &["build", "--shard=auto"]).expect(2).says(&["no variable of a CI system says"]);
}

#[test]
fn images_are_printed_as_jobs() {
    let world = crate::trixie();
    fs::write(
        world.path("rootstrap.toml"),
        "[image.a]\nmatrix.suite = [\"trixie\", \"noble\"]\n[image.b]\nsuite = \"sid\"\nlock = \"b.lock\"\narch = [\"arm64\"]",
    )
    .unwrap();
    let matrix = |arguments: &[&str]| {
        let outcome = run(&world, &[&["matrix"], arguments].concat()).expect(0);
        stdout(&outcome).to_owned()
    };
    let github = "{\"include\":[{\"image\":\"a-trixie\"},{\"image\":\"a-noble\"},{\"image\":\"b\"}]}\n";
    assert_eq!(matrix(&["--format=github"]), github);
    assert_eq!(matrix(&["--format=argo", "b"]), "[{\"image\":\"b\"}]\n");
    assert!(
        matrix(&["--format=gitlab", "--shards=2"])
            .ends_with("ROOTSTRAP_ARGUMENTS: [\"--shard=1/2\",\"--shard=2/2\"]\n")
    );
    let list: Value = serde_json::from_str(&matrix(&[])).unwrap();
    assert_eq!((&list[1]["suite"], &list[2]["arch"][0]), (&Value::from("noble"), &Value::from("arm64")));
    run(&world, &["matrix", "--format=github", "--shards=257"])
        .expect(2)
        .says(&["GitHub takes 256 jobs at most", "hint: use --shards"]);
}

#[test]
fn reports_are_joined() {
    let world = crate::trixie();
    let report = |name: &str, image: &str, state: &str, code: u8| {
        let text = format!(
            r#"{{"version":1,"images":[{{"name":"{image}","state":"{state}","suite":"s","architectures":[],"seconds":1.0,"exit-code":{code}}}]}}"#
        );
        fs::write(world.path(name), text).unwrap();
    };
    report("1.json", "b", "failed", 3);
    report("2.json", "a", "built", 0);
    let joined = run(&world, &["merge-metadata", "1.json", "2.json"]).expect(3);
    let joined: Value = serde_json::from_slice(&joined.stdout).unwrap();
    assert_eq!(
        (&joined["images"][0]["name"], &joined["images"][1]["state"]),
        (&Value::from("a"), &Value::from("failed"))
    );
    report("3.json", "b", "unchanged", 0);
    run(&world, &["merge-metadata", "1.json", "2.json", "3.json", "-o", "all.json"]).expect(0);
    assert!(fs::read_to_string(world.path("all.json")).unwrap().contains("unchanged"));
    fs::write(world.path("bad.json"), "<html>").unwrap();
    run(&world, &["merge-metadata", "bad.json"]).expect(2).says(&["cannot use bad.json: it is no report"]);
    run(&world, &["merge-metadata", "none.json"]).expect(2).says(&["cannot use the file none.json"]);
}
