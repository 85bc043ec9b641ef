//! `rootstrap build`: the images of a manifest over several nights, in a real registry.

use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::registry::Registry;
use rootstrap_testkit::server::Server;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{KEY, World, names};
use rootstrap_tests::{machine, need};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const IMAGES: usize = 40;

/// An archive with a package for each image. `versions` says which packages are newer than the others, `day` when it was signed.
fn archive(versions: &[(&str, &str)], day: u64) -> Archive {
    let version = |name: &str| versions.iter().find(|(known, _)| *known == name).map_or("1.0", |(_, version)| version);
    let required = |name: &str| Deb::new(name, version(name)).field("Essential", "yes").field("Priority", "required");
    let own = |number: usize| {
        let name = format!("p{number}");
        let path = format!("/usr/share/{name}");
        Deb::new(&name, version(&name)).field("Priority", "optional").file(&path, 0o644, version(&name))
    };
    let mut archive =
        Archive::new("trixie").key(&KEY).debs([required("base-files").file("/etc/motd", 0o644, "hello\n")]);
    archive = archive.debs((1..=IMAGES).map(own));
    archive.date += day * 86400;
    archive
}

fn serve(world: &World, archive: &Archive) {
    for (path, bytes) in archive.build() {
        world.server.set(&path, bytes);
    }
    world.server.forget();
}

/// Writes the manifest of as many images as there are packages; `more` is added to the defaults.
fn write_manifest(world: &World, more: &str) {
    let names: Vec<String> = (1..=IMAGES).map(|number| format!("[\"...\", \"p{number}\"]")).collect();
    let text = format!(
        "[defaults]\nsuite = \"trixie\"\nvariant = \"extract\"\narch = \"amd64\"\nmirror = \"{}\"\n\
         keyring = \"key.pgp\"\npockets = \"release\"\ninclude = [\"base-files\"]\n{more}\n[image.team]\nmatrix.include = [{}]\n",
        world.server.url(),
        names.join(", ")
    );
    fs::write(world.path("rootstrap.toml"), text).unwrap();
}

fn build(world: &World, arguments: &[&str]) -> Outcome {
    let mut command = world.bare(&[&["build", "--quiet", "--metadata-file=report.json"], arguments].concat());
    world.finish(command.arg("--cache-dir").arg(world.path("cache")))
}

fn report(world: &World) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&fs::read(world.path("report.json")).unwrap()).unwrap();
    report["images"].as_array().unwrap().clone()
}

/// Returns the names of the images that the last run left in a state.
fn with_state(world: &World, state: &str) -> Vec<String> {
    let images = report(world);
    images
        .iter()
        .filter(|image| image["state"] == state)
        .map(|image| image["name"].as_str().unwrap().to_owned())
        .collect()
}

fn digests(world: &World) -> Vec<String> {
    report(world).iter().map(|image| image["digest"].as_str().unwrap_or_default().to_owned()).collect()
}

fn pool_requests(world: &World) -> Vec<String> {
    let requests = world.server.requests().into_iter().map(|request| request.path);
    requests.filter(|path| path.contains("pool/")).collect()
}

fn world() -> Result<World, String> {
    machine::root()?;
    Ok(World::new(&archive(&[], 0)))
}

#[test]
fn forty_images_over_four_nights() {
    let registry = need!(Registry::start(None));
    let world = need!(world());
    let push = format!("attest = true\npush = \"127.0.0.1:{}/team/{{name}}:{{suite}}\"", registry.port);
    write_manifest(&world, &push);
    let night = ["--changed", "--push"];

    let first = build(&world, &night).expect(0);
    assert_eq!(with_state(&world, "built").len(), IMAGES, "{}", first.stderr);
    let fetched = pool_requests(&world);
    assert_eq!(fetched.len(), fetched.iter().collect::<BTreeSet<_>>().len(), "each deb is fetched once: {fetched:?}");
    let requests: Vec<String> = world.server.requests().into_iter().map(|request| request.path).collect();
    let indexes = requests.iter().filter(|path| path.contains("binary-amd64/")).count();
    assert_eq!(indexes, 1, "each index is read once: {requests:?}");
    let made = digests(&world);
    let table = String::from_utf8(first.stdout).unwrap();
    assert!(table.starts_with("IMAGE") && table.contains("team-p7   built  2         "), "{table}");

    // The archive was only signed again.
    serve(&world, &archive(&[], 1));
    build(&world, &night).expect(0);
    assert_eq!(with_state(&world, "unchanged").len(), IMAGES);
    assert_eq!((digests(&world), pool_requests(&world)), (made.clone(), Vec::new()));

    // One package is new.
    serve(&world, &archive(&[("p7", "1.1")], 2));
    build(&world, &night).expect(0);
    assert_eq!(with_state(&world, "built"), ["team-p7"]);
    let changed = digests(&world);
    let differ = made.iter().zip(&changed).filter(|(old, new)| old != new).count();
    assert_eq!((differ, pool_requests(&world).len()), (1, 1));
    let image = report(&world).into_iter().find(|image| image["state"] == "built").unwrap();
    let change = serde_json::json!([{ "name": "p7", "change": "upgraded", "old": "1.0", "new": "1.1" }]);
    assert_eq!(image["changes"], change);

    // A package of all is new.
    serve(&world, &archive(&[("p7", "1.1"), ("base-files", "2")], 3));
    build(&world, &night).expect(0);
    assert_eq!(with_state(&world, "built").len(), IMAGES);

    // What was pushed in an earlier night has kept its tag of the inputs: only the names move.
    serve(&world, &archive(&[("p7", "1.1")], 4));
    build(&world, &night).expect(0);
    assert_eq!((with_state(&world, "unchanged").len(), digests(&world)), (IMAGES, changed));
    assert_eq!(pool_requests(&world), [""; 0]);
}

#[test]
fn a_name_that_moved_and_a_lost_blob_are_noticed() {
    let registry = need!(Registry::start(None));
    let world = need!(world());
    write_manifest(&world, &format!("push = \"127.0.0.1:{}/{{name}}:{{suite}}\"", registry.port));
    let night = ["--changed", "--push", "team-p1", "team-p2"];
    build(&world, &night).expect(0);
    let made = digests(&world);
    // Somebody pushes another image under the name.
    let name = format!("127.0.0.1:{}/team-p1:trixie", registry.port);
    let options = ["--variant=extract", "--arch=amd64", "--pockets=release", "--quiet", "--push", &name];
    world.run(&options).expect(0);
    build(&world, &night).expect(0);
    assert_eq!((with_state(&world, "unchanged").len(), digests(&world)), (2, made.clone()));
    let digest = world.finish(&mut world.bare(&["diff", &format!("docker://{name}"), &format!("docker://{name}")]));
    assert!(String::from_utf8(digest.stdout).unwrap().contains("no difference"));
    // Somebody moves the tag of the inputs.
    let inputs = report(&world)[0]["inputs"].as_str().unwrap().to_owned();
    let tag = format!("127.0.0.1:{}/team-p1:in-{inputs}", registry.port);
    world.run(&["--variant=extract", "--arch=amd64", "--pockets=release", "--quiet", "--push", &tag]).expect(0);
    build(&world, &night).expect(0);
    assert_eq!((with_state(&world, "built"), digests(&world)), (vec!["team-p1".to_owned()], made.clone()));
    // The registry loses everything of the second image but its manifest.
    registry.lose_blobs("team-p2");
    build(&world, &night).expect(0);
    assert_eq!((with_state(&world, "built"), digests(&world)), (vec!["team-p2".to_owned()], made));
    // A registry that does not answer.
    drop(registry);
    let down = build(&world, &["--changed", "--push", "team-p1", "--retries=0"]).expect(1);
    down.says(&["team-p1: failed: cannot fetch 127.0.0.1"]);
}

#[test]
fn an_image_that_fails_does_not_stop_the_others_with_keep_going() {
    let world = need!(world());
    write_manifest(&world, "target = \"images/{name}.oci.tar\"");
    let mut text = fs::read_to_string(world.path("rootstrap.toml")).unwrap();
    text += "\n[image.bad]\ninclude = [\"none\"]\n\n[image.broken]\ninclude = [\"p1\"]\nhook = \"customize=exit 7\"\n";
    fs::write(world.path("rootstrap.toml"), text).unwrap();
    fs::create_dir(world.path("locks")).unwrap();
    fs::write(world.path("locks/team-p3.lock"), "no lock").unwrap();
    let names = ["bad", "broken", "team-p1", "team-p2", "team-p3"];
    let outcome = build(&world, &[&["--keep-going"], &names[..]].concat()).expect(2);
    assert_eq!(with_state(&world, "built"), ["team-p1", "team-p2"], "{}", outcome.stderr);
    assert_eq!(with_state(&world, "failed"), ["bad", "broken", "team-p3"]);
    let error = report(&world)[0]["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("cannot find the package none in the archive"), "{error}");
    assert!(world.names("images").len() == 2);
    // Without it, nothing is begun after a failure.
    build(&world, &names[..4]).expect(1);
    assert_eq!((with_state(&world, "failed"), with_state(&world, "skipped").len()), (vec!["bad".to_owned()], 3));
}

/// Targets say what they are made of, so nothing else has to be remembered.
#[test]
fn targets_and_locks_decide_what_is_made() {
    let world = need!(world());
    write_manifest(&world, "target = \"images/{name}.oci.tar\"");
    let two = ["--changed", "team-p1", "team-p2"];
    build(&world, &two).expect(0);
    let made = digests(&world);
    world.forget();
    serve(&world, &archive(&[("p2", "2")], 1));
    build(&world, &two).expect(0);
    assert_eq!(
        (with_state(&world, "unchanged"), with_state(&world, "built")),
        (vec!["team-p1".into()], vec!["team-p2".into()])
    );
    assert_eq!((digests(&world)[0] == made[0], digests(&world)[1] == made[1]), (true, false));

    // A lock decides the packages until it is renewed.
    let lock = |arguments: &[&str]| {
        let mut command = world.bare(&[&["lock", "--all", "--quiet"], arguments].concat());
        world.finish(command.arg("--cache-dir").arg(world.path("cache")))
    };
    build(&world, &["--locked", "team-p1"]).expect(2).says(&["cannot find the lock locks/team-p1.lock"]);
    lock(&["--check"]).expect(10);
    lock(&[]).expect(0);
    assert_eq!(world.names("locks").len(), IMAGES);
    lock(&["--check"]).expect(0);
    build(&world, &[&two[..], &["--locked"]].concat()).expect(0);
    assert_eq!(with_state(&world, "unchanged").len(), 2, "a lock of the same packages is the same");
    let newer = Deb::new("p1", "3").field("Priority", "optional").file("/usr/share/p1", 0o644, "3");
    serve(&world, &archive(&[("p2", "2")], 2).debs([newer]));
    build(&world, &two).expect(0);
    assert_eq!(with_state(&world, "unchanged").len(), 2);
    let before = fs::read(world.path("locks/team-p2.lock")).unwrap();
    lock(&["--upgrade=none"]).expect(1).says(&["no image has none, which is to be upgraded"]);
    lock(&["--upgrade=p2"]).expect(0);
    assert!(!fs::read_to_string(world.path("locks/team-p1.lock")).unwrap().contains("\"3\""), "p1 keeps its version");
    lock(&["--upgrade"]).expect(0);
    assert!(fs::read_to_string(world.path("locks/team-p1.lock")).unwrap().contains("\"3\""));
    assert!(fs::read(world.path("locks/team-p2.lock")).unwrap() == before, "only dates are new there");
    build(&world, &two).expect(0);
    assert_eq!(with_state(&world, "built"), ["team-p1"]);
    assert_eq!(world.names("tmp"), [""; 0]);
}

/// Eight machines with a cache of their own share a store. What they make is what one machine makes, and the mirror serves each deb once.
#[test]
fn shards_make_what_one_machine_makes() {
    let registry = need!(Registry::start(None));
    let (world, store) = (need!(world()), Server::start_store());
    write_manifest(&world, &format!("push = \"127.0.0.1:{}/{{name}}:{{suite}}\"", registry.port));
    let (url, work) = (store.url(), world.path("shards"));
    fs::create_dir(&work).unwrap();
    let shards = |night: &str| {
        let start = |number: usize| {
            let shard = format!("--shard={number}/8");
            let file = format!("--metadata-file=shards/{night}-{number}.json");
            let options = ["--changed", "--push", "--quiet", "--remote-cache", &url, &shard, &file];
            let mut command = world.bare(&[&["build"], &options[..]].concat());
            let cache = work.join(format!("{night}-{number}"));
            command.arg("--cache-dir").arg(cache).stdout(std::process::Stdio::null()).spawn().unwrap()
        };
        let running: Vec<_> = (1..=8).map(start).collect();
        running.into_iter().for_each(|mut shard| assert!(shard.wait().unwrap().success()));
        let files: Vec<String> = (1..=8).map(|number| format!("shards/{night}-{number}.json")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        world.finish(&mut world.bare(&[&["merge-metadata", "-o", "report.json"], &files[..]].concat())).expect(0);
    };
    // One machine fetches for all.
    let mut fetch = world.bare(&["build", "--changed", "--push", "--download-only", "--quiet", "--remote-cache", &url]);
    world.finish(fetch.arg("--cache-dir").arg(work.join("fetch"))).expect(0);
    shards("first");
    assert_eq!(with_state(&world, "built").len(), IMAGES);
    let fetched = pool_requests(&world);
    assert_eq!(fetched.len(), fetched.iter().collect::<BTreeSet<_>>().len(), "{fetched:?}");
    let made = digests(&world);
    let begun = std::time::Instant::now();
    shards("second");
    println!("a night without changes took {:.2} s", begun.elapsed().as_secs_f64());
    assert_eq!((with_state(&world, "unchanged").len(), digests(&world)), (IMAGES, made.clone()));
    assert_eq!(pool_requests(&world).len(), fetched.len());
    // One machine makes the same, for another registry.
    let other = need!(Registry::start(None));
    write_manifest(&world, &format!("push = \"127.0.0.1:{}/{{name}}:{{suite}}\"", other.port));
    build(&world, &["--push"]).expect(0);
    assert_eq!(digests(&world), made);
}

/// A night that begins before the last one has ended, with the same cache and the same registry.
#[test]
fn two_nights_at_once_make_the_same() {
    let registry = need!(Registry::start(None));
    let world = need!(world());
    write_manifest(&world, &format!("push = \"127.0.0.1:{}/{{name}}:{{suite}}\"", registry.port));
    let start = |number: usize| {
        let file = format!("--metadata-file=report-{number}.json");
        let mut command = world.bare(&["build", "--changed", "--push", "--quiet", &file]);
        let command = command.arg("--cache-dir").arg(world.path("cache")).stdout(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    for mut night in [start(1), start(2)] {
        assert!(night.wait().unwrap().success());
    }
    let made = |number: usize| {
        fs::copy(world.path(&format!("report-{number}.json")), world.path("report.json")).unwrap();
        digests(&world)
    };
    assert_eq!(made(1), made(2));
    assert_eq!(made(1).len(), IMAGES);
    assert_eq!(world.names("tmp"), [""; 0]);
}

/// A shard that is killed leaves nothing half done, and the next attempt makes the rest.
#[test]
fn a_shard_that_is_killed_is_made_up_for() {
    let registry = need!(Registry::start(None));
    let world = need!(world());
    write_manifest(&world, &format!("push = \"127.0.0.1:{}/{{name}}:{{suite}}\"", registry.port));
    let mut command = world.bare(&["build", "--changed", "--push", "--metadata-file=report.json"]);
    command.arg("--cache-dir").arg(world.path("cache")).stdout(std::process::Stdio::null());
    let mut killed = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // It is killed as soon as it has made an image.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(killed.stderr.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains(": built, ")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!world.path("report.json").exists());
    build(&world, &["--changed", "--push"]).expect(0);
    let (built, there) = (with_state(&world, "built").len(), with_state(&world, "unchanged").len());
    assert!(built + there == IMAGES && built > 0 && there > 0, "{built} {there}");
}

/// Whatever decides an image is one of its inputs: the files that its hooks name, the names of copied files, and what is to lie beside it.
#[test]
fn what_decides_an_image_makes_it_due() {
    let world = need!(world());
    let write = |name: &str, text: &str| fs::write(world.path(name), text).unwrap();
    write("setup.sh", "echo one >\"$1\"/etc/made\n");
    write("a.conf", "x\n");
    let manifest = |more: &str| {
        write_manifest(&world, "target = \"images/{name}.oci.tar\"");
        let text = fs::read_to_string(world.path("rootstrap.toml")).unwrap();
        write("rootstrap.toml", &format!("{text}\n[image.own]\ninclude = [\"...\", \"p1\"]\n{more}\n"));
    };
    let state = || {
        build(&world, &["--changed", "own"]).expect(0);
        report(&world)[0]["state"].as_str().unwrap().to_owned()
    };
    let hook = "hook = 'customize=sh ./setup.sh \"$1\"'\ncopy = \"a.conf:/etc/app/\"\n";
    manifest(hook);
    assert_eq!((state(), state()), ("built".to_owned(), "unchanged".to_owned()));
    write("setup.sh", "echo two >\"$1\"/etc/made\n");
    assert_eq!((state(), state()), ("built".to_owned(), "unchanged".to_owned()));
    write("b.conf", "x\n");
    manifest(&hook.replace("a.conf", "b.conf"));
    assert_eq!((state(), state()), ("built".to_owned(), "unchanged".to_owned()));
    manifest(&format!("{}tag = \"team/own:2\"\nsbom = \"own.spdx.json\"", hook.replace("a.conf", "b.conf")));
    assert_eq!((state(), state()), ("built".to_owned(), "unchanged".to_owned()));
    fs::remove_file(world.path("own.spdx.json")).unwrap();
    assert_ne!(state(), "unchanged");
    assert!(world.path("own.spdx.json").exists());
}

/// Of images with the same first phase, one runs its scripts, and the others take it from the cache. All debs are kept decompressed at
/// once, because others may need them.
#[test]
fn images_of_one_run_share_the_first_phase() {
    need!(machine::root());
    let packages = ["one", "two", "three"].map(|name| Deb::new(name, "1").field("Priority", "optional"));
    let world = World::new(&need!(base::archive(Layout::Merged, packages)));
    let text = format!(
        "[defaults]\nsuite = \"fixture\"\nmirror = \"{}\"\nkeyring = \"key.pgp\"\ntarget = \"{{name}}.tar\"\n\
         [image.i]\nmatrix.include = [\"one\", \"two\", \"three\"]\n",
        world.server.url()
    );
    fs::write(world.path("rootstrap.toml"), text).unwrap();
    let mut command = world.bare(&["build", "--verbose"]);
    let outcome = world.finish(command.arg("--cache-dir").arg(world.path("cache"))).expect(0);
    assert_eq!(outcome.stderr.matches("the first phase is taken from the cache").count(), 2, "{}", outcome.stderr);
    let payloads = world.path("cache/v1/payload");
    let kept: usize = names(&payloads).iter().map(|shard| names(&payloads.join(shard)).len()).sum();
    let debs: BTreeSet<String> = pool_requests(&world).into_iter().collect();
    assert_eq!(kept, debs.len());
}
