//! Mirrors that do not answer, answer late, or answer wrongly.

use crate::{EXTRACT, archive, debian, unlisted};
use rootstrap_testkit::archive::pool_path;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::server::{Fault, Server};
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::net::TcpListener;

/// Returns the address of a port at which no server listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn a_mirror_that_does_not_answer() {
    let world = unlisted();
    let (mirror, key) = (closed(), world.path("key.pgp"));
    let arguments = ["fixture", "--print-plan", "--no-cache", "--mirror", &mirror, "--keyring", key.to_str().unwrap()];
    let outcome = world.finish(&mut world.bare(&arguments)).expect(1).says(&[
        "error: cannot fetch ",
        "  because: ",
        "hint: check the network and the proxy, or use another mirror with --mirror\n",
    ]);
    assert!(outcome.stdout.is_empty());
    assert_eq!(outcome.transcript.matches("\nerror: ").count(), 1, "{}", outcome.transcript);
}

/// All pockets fail, and again and again, and one line says so for each server.
#[test]
fn a_server_that_is_away_is_named_once() {
    let world = unlisted();
    let (mirror, key) = (closed(), world.path("key.pgp"));
    let arguments =
        ["noble", "--print-plan", "--no-cache", "--retries=2", "--mirror", &mirror, "--keyring", key.to_str().unwrap()];
    let outcome = world.finish(&mut world.bare(&arguments)).expect(1);
    assert_eq!(outcome.stderr.matches("retrying ").count(), 1, "{}", outcome.stderr);
    let verbose = world.finish(world.bare(&arguments).arg("--verbose")).expect(1);
    assert!(verbose.stderr.matches("retrying ").count() >= 6, "{}", verbose.stderr);
}

#[test]
fn a_run_that_takes_longer_than_its_deadline_is_stopped() {
    let world = World::new(&archive("fixture"));
    world.server.fault("dists/fixture/InRelease", Fault::Stall, 1);
    world.run(&["--print-plan", "--deadline=1"]).expect(1).says(&[
        "error: cannot finish within TIME, the deadline of this run\n",
        "hint: give it more time with --deadline; the next run takes what is in the cache\n",
    ]);
    world.run(&["--print-plan", "--deadline=999"]).expect(0);
}

#[test]
fn a_suite_the_mirror_does_not_have() {
    let world = World::serving("absent", archive("fixture").build());
    world.run(&["--print-plan"]).expect(1).says(&[
        "error: cannot fetch ",
        "not found",
        "hint: check the suite's name and the mirror; ended suites move to another archive\n",
    ]);
}

#[test]
fn a_mirror_that_is_no_uri() {
    let world = unlisted();
    let key = world.path("key.pgp");
    for mirror in ["ftp://127.0.0.1/debian", "debian", "http://"] {
        let arguments = ["fixture", "--print-plan", "--mirror", mirror, "--keyring", key.to_str().unwrap()];
        world.finish(world.bare(&arguments).arg("--no-cache")).expect(1).says(&["cannot use mirror"]);
    }
}

#[test]
fn the_second_mirror_takes_over() {
    need!(machine::builder());
    let world = unlisted();
    let (key, target) = (world.path("key.pgp"), world.target("x"));
    let (first, second) = (closed(), world.server.url());
    let arguments = [&["fixture", &target, "--mirror", &first, "--mirror", &second], &EXTRACT[..]].concat();
    let outcome = world.finish(world.bare(&arguments).arg("--keyring").arg(key).arg("--no-cache")).expect(0);
    assert!(outcome.transcript.contains("going on with MIRROR\n"), "{}", outcome.transcript);
    assert!(world.path("out/x/etc/motd").exists());
}

/// The positional mirror is the first one, as in debootstrap.
#[test]
fn a_mirror_by_position_or_by_environment() {
    let world = unlisted();
    let key = world.path("key.pgp");
    let key = key.to_str().unwrap();
    let url = world.server.url();
    let arguments = ["fixture", "out/x", &url, "--print-plan", "--arch=amd64", "--no-cache", "--keyring", key];
    world.finish(&mut world.bare(&arguments)).expect(0);
    let asked = world.server.requests().len();
    let arguments = ["fixture", "--print-plan", "--arch=amd64", "--no-cache", "--keyring", key];
    world.finish(world.bare(&arguments).env("ROOTSTRAP_MIRROR", &url)).expect(0);
    assert_eq!(world.server.requests().len(), 2 * asked);
}

/// In Debian's layout, the security pocket is at `…-security`. A mirror without a path can have no such neighbour.
#[test]
fn a_mirror_without_a_path_has_every_pocket_itself() {
    let files = debian(|_| Vec::new()).into_iter().map(|(path, bytes)| {
        let (_, path) = path.split_once('/').unwrap();
        (path.to_owned(), bytes)
    });
    let world = World::serving("trixie", files.collect());
    world.run(&["--print-plan", "--arch=amd64"]).expect(0).says(&["release: trixie-security of "]);
}

#[test]
fn a_file_mirror_needs_no_server() {
    need!(machine::builder());
    let world = unlisted();
    let mirror = world.path("mirror");
    for (path, bytes) in archive("fixture").build() {
        let path = mirror.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let (key, target) = (world.path("key.pgp"), world.target("x"));
    let uri = format!("file:{}", mirror.display());
    let arguments = [&["fixture", &target, "--no-cache", "--mirror", &uri], &EXTRACT[..]].concat();
    world.finish(world.bare(&arguments).arg("--keyring").arg(key)).expect(0);
    assert_eq!(std::fs::read_to_string(world.path("out/x/etc/motd")).unwrap(), "hello\n");
    assert!(world.server.requests().is_empty());
}

#[test]
fn a_short_outage_is_survived() {
    need!(machine::builder());
    let world = unlisted();
    let path = pool_path("main", &Deb::new("base-files", "1.0"));
    world.server.fault(&path, Fault::Status(503), 1);
    let outcome = world.run(&[&[world.target("x").as_str()], &EXTRACT[..]].concat()).expect(0);
    assert!(outcome.transcript.contains("retrying "), "{}", outcome.transcript);
    assert!(outcome.transcript.contains("503"), "{}", outcome.transcript);
}

/// Wrong bytes are refused with status 3. A second mirror that has the right ones helps.
#[test]
fn wrong_debs_are_refused_and_fetched_elsewhere() {
    need!(machine::builder());
    let path = pool_path("main", &Deb::new("base-files", "1.0"));
    for (fault, said) in [(Fault::Corrupt, "its SHA256 is "), (Fault::Truncate(60), "it has 60 bytes instead of ")] {
        let world = unlisted();
        world.server.fault(&path, fault.clone(), usize::MAX);
        let target = world.target("x");
        let arguments = [&[target.as_str()], &EXTRACT[..]].concat();
        let outcome =
            world.run(&arguments).expect(3).says(&[said, "base-files_1.0_amd64.deb", "hint: the mirror may be"]);
        assert_eq!(outcome.transcript.matches("\nerror: ").count(), 1, "{}", outcome.transcript);
        assert!(world.names("out").is_empty() && world.names("tmp").is_empty());

        let good = Server::start(archive("fixture").build());
        world.run(&[&arguments[..], &["--mirror", &good.url()]].concat()).expect(0);
        assert_eq!(std::fs::read_to_string(world.path("out/x/etc/motd")).unwrap(), "hello\n");
    }
}

#[test]
fn a_wrong_index_is_refused() {
    let world = unlisted();
    for (path, _) in archive("fixture").build() {
        if path.contains("/binary-") {
            world.server.fault(&path, Fault::Corrupt, usize::MAX);
        }
    }
    let outcome = world.run(&["--print-plan", "--arch=amd64"]);
    let outcome = outcome.expect(3).says(&["error: cannot fetch ", "its SHA256 is "]);
    assert!(outcome.stdout.is_empty());
}

/// What a mirror calls stable is its own: the vendor's, another suite of the vendor, or one that only the mirror knows.
#[test]
fn aliases_are_those_of_the_mirror() {
    let at = |codename: &str, packages: Vec<Deb>| {
        let mut archive = archive("stable").debs(packages);
        (archive.suite, archive.codename) = ("stable".into(), codename.into());
        archive
    };
    let world = World::new(&at("team-9", vec![Deb::new("ours", "1").arch("all")]));
    let words = ["--print-plan", "--arch=amd64", "--include=ours", "-v"];
    let outcome = world.run(&words).expect(0);
    outcome.says(&["stable is the mirror's own suite, and not trixie"]);
    assert!(world.server.requests().iter().all(|request| !request.path.contains("trixie")));
    let lock = world.path("lock");
    let lock = lock.to_str().unwrap();
    let words = ["lock", "stable", "--arch=amd64", "--include=ours", "-o", lock];
    world.finish(world.with_own_arguments(&words).arg("--no-cache")).expect(0);
    assert!(std::fs::read_to_string(lock).unwrap().contains("own-suite = true\n"));
    world.run(&["--print-plan", "--arch=amd64", "--include=ours", "--lock", lock]).expect(0);
    world.finish(world.with_own_arguments(&[&words[..], &["--check"]].concat()).arg("--no-cache")).expect(0);

    // A mirror of the vendor's archive has the vendor's suites under their codenames too.
    let mut files = at("trixie", Vec::new()).build();
    files.extend(debian(|_| Vec::new()).into_iter().filter_map(|(path, bytes)| {
        Some((path.strip_prefix("debian/").or(path.strip_prefix("debian-security/"))?.to_owned(), bytes))
    }));
    let world = World::serving("stable", files);
    world
        .run(&["--print-plan", "--arch=amd64"])
        .expect(0)
        .says(&["release: trixie of ", "release: trixie-security of "]);
    // Without such a name on the mirror, it is the vendor's.
    let files = debian(|_| Vec::new());
    let world = World::serving_below("stable", "/debian", files);
    world.run(&["--print-plan", "--arch=amd64"]).expect(0).says(&["release: trixie of "]);
    // What it calls stable can be another release of the vendor, and a lock of that is used under the same name.
    let mut files = at("bookworm", Vec::new()).build();
    for name in ["bookworm", "bookworm-updates", "bookworm-security"] {
        let mut archive = archive(name);
        (archive.suite, archive.codename) =
            ("stable".into(), if name.ends_with("y") { name } else { "bookworm" }.into());
        if name.ends_with("-updates") {
            (archive.suite, archive.codename) = ("stable-updates".into(), name.into());
        }
        files.extend(archive.build());
    }
    let world = World::serving("stable", files);
    let lock = world.path("lock");
    let lock = lock.to_str().unwrap();
    let words = ["lock", "stable", "--arch=amd64", "--variant=custom", "-o", lock];
    world.finish(world.with_own_arguments(&words).arg("--no-cache")).expect(0).says(&["locked bookworm amd64"]);
    world.run(&["--print-plan", "--arch=amd64", "--variant=custom", "--locked", "--lock", lock]).expect(0);
    world.finish(world.with_own_arguments(&[&words[..], &["--check"]].concat()).arg("--no-cache")).expect(0);
}
