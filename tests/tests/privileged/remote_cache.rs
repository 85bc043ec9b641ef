//! `--remote-cache`: a store that several machines share saves time, and decides nothing.

use crate::{probe, watcher};
use rootstrap_testkit::server::{Fault, Server};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::fs;

fn world() -> Result<World, String> {
    machine::root()?;
    base::archive(Layout::Merged, [probe(), watcher()]).map(|archive| World::new(&archive))
}

/// Builds on a machine of its own: with an empty cache. The archive that it makes takes the place of what it prints.
fn build(world: &World, remote: &str, arguments: &[&str]) -> Outcome {
    let cache = tempfile::tempdir().unwrap();
    let target = world.target("x.tar");
    let mut command = world.command(&[&[&target, "-v", "--remote-cache", remote], arguments].concat());
    let mut outcome = world.finish(command.arg("--cache-dir").arg(cache.path()));
    if outcome.code == Some(0) {
        outcome.stdout = fs::read(&target).unwrap();
        fs::remove_file(target).unwrap();
    }
    outcome
}

fn requests(server: &Server, start: &str) -> usize {
    server.requests().iter().filter(|request| request.path.starts_with(start)).count()
}

/// Returns the paths of a kind in the store.
fn stored(store: &Server, kind: &str) -> Vec<String> {
    store.paths().into_iter().filter(|path| path.starts_with(kind)).collect()
}

#[test]
fn what_one_machine_has_made_saves_another_one_the_work() {
    let world = need!(world());
    let store = Server::start_store();
    let expected = world.run(&["-", "--quiet"]).expect(0).stdout;
    let own = format!("{},trust=own", store.url());
    world.server.forget();
    assert!(build(&world, &own, &[]).expect(0).stdout == expected);
    let (debs, kept) = (requests(&world.server, "pool/"), stored(&store, "cas/").len());
    assert!(debs > 0 && kept > debs, "{kept}");
    let entries = "an index, a first phase, what is known of the root, and an archive";
    assert_eq!(stored(&store, "ac/").len(), 4, "{entries}: {:?}", store.paths());
    world.server.forget();
    let again = build(&world, &own, &[]).expect(0);
    assert!(again.stdout == expected && again.stderr.contains("the result is taken from the cache"));
    assert_eq!(requests(&world.server, "pool/") + requests(&world.server, "dists/trixie/main"), 0);

    // Another image takes the first phase.
    let more = world.run(&["-", "--quiet", "--include=probe"]).expect(0).stdout;
    let other = build(&world, &own, &["--include=probe"]).expect(0);
    assert!(other.stdout == more && other.stderr.contains("the first phase is taken from the cache"));

    // Whoever does not call the store his own takes files whose digests are known, and nothing else.
    store.forget();
    world.server.forget();
    let plain = build(&world, &store.url(), &[]).expect(0);
    assert!(plain.stdout == expected && !plain.stderr.contains("taken from the cache"), "{}", plain.stderr);
    assert_eq!((requests(&store, "ac/"), requests(&world.server, "pool/")), (0, 0));
    assert!(requests(&store, "cas/") > 0);
}

#[test]
fn nothing_is_put_where_that_is_not_wanted() {
    let world = need!(world());
    let store = Server::start_store();
    build(&world, &format!("{},ro,trust=own", store.url()), &[]).expect(0);
    assert_eq!(store.paths(), [""; 0]);
    assert!(store.requests().iter().all(|request| request.method == "GET"));
    for (address, words) in [
        ("ftp://store", "its address must begin with http://, https://, s3://, gs:// or az://"),
        ("store", "not a valid URI"),
        ("http://me:secret@store,rw", "its options are ro and trust=own"),
        ("http://store/?x", "has a query"),
    ] {
        let outcome = build(&world, address, &[]).expect(2);
        assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
        outcome.says(&[words]);
    }
}

/// A store can lie, break, fill up and vanish. The result is the same, and one line says what happened.
#[test]
fn a_store_that_misbehaves_costs_time_and_no_result() {
    let world = need!(world());
    let expected = world.run(&["-", "--quiet"]).expect(0).stdout;
    let filled = || {
        let store = Server::start_store();
        build(&world, &format!("{},trust=own", store.url()), &[]).expect(0);
        store
    };
    let misbehave = |store: &Server, kind: &str, fault: &Fault| {
        for path in stored(store, kind) {
            store.fault(&path, fault.clone(), usize::MAX);
        }
    };
    let page = Fault::Page("<html>log in</html>".to_owned());
    for (kind, fault) in [
        ("cas/", Fault::Corrupt),
        ("cas/", Fault::Truncate(10)),
        ("cas/", Fault::Status(500)),
        ("cas/", Fault::Refuse),
        ("cas/", Fault::Stall),
        ("cas/", page.clone()),
        ("ac/", page),
        ("ac/", Fault::Endless),
        ("ac/", Fault::Status(401)),
    ] {
        let store = filled();
        misbehave(&store, kind, &fault);
        let outcome = build(&world, &format!("{},trust=own", store.url()), &["--timeout=1"]).expect(0);
        assert!(outcome.stdout == expected, "{kind} {fault:?}");
        let told = outcome.stderr.matches("was left alone").count();
        assert_eq!(told, 1, "{kind} {fault:?}: {}", outcome.stderr);
    }
    // Somebody else's entry under a key of ours: whole in itself, and not what the key stands for.
    let store = filled();
    let entries = stored(&store, "ac/");
    let (one, two) = (store.get(&entries[0]).unwrap(), store.get(&entries[1]).unwrap());
    store.set(&entries[1], one);
    store.set(&entries[0], two);
    assert!(build(&world, &format!("{},trust=own", store.url()), &[]).expect(0).stdout == expected);
    // A store that is full, or for readers alone.
    let store = Server::start_store();
    for path in stored(&filled(), "cas/") {
        store.fault(&format!("PUT {path}"), Fault::Status(507), usize::MAX);
    }
    let outcome = build(&world, &store.url(), &[]).expect(0);
    assert!(outcome.stdout == expected);
    outcome.says(&["nothing more was put into the remote cache MIRROR: the server answered 507"
        .replace("MIRROR", &store.url())
        .as_str()]);
    // Nobody listens any more.
    let address = store.url();
    drop(store);
    let outcome = build(&world, &address, &[]).expect(0);
    assert!(outcome.stdout == expected && outcome.stderr.matches("was left alone").count() == 1, "{}", outcome.stderr);
    assert_eq!(fs::read_dir(world.path("tmp")).unwrap().count(), 0);
}

/// A bucket of an object store has the same files.
#[test]
fn a_bucket_is_a_store() {
    let world = need!(world());
    let (store, expected) = (Server::start_store(), world.run(&["-", "--quiet"]).expect(0).stdout);
    let build = || {
        let (cache, target) = (tempfile::tempdir().unwrap(), world.target("x.tar"));
        let mut command = world.command(&[&target, "-v", "--remote-cache=s3://bucket/team"]);
        command.arg("--cache-dir").arg(cache.path()).env("AWS_ENDPOINT", store.url()).env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_ACCESS_KEY_ID", "me").env("AWS_SECRET_ACCESS_KEY", "secret").env("AWS_REGION", "here");
        let outcome = world.finish(&mut command).expect(0);
        assert!(fs::read(&target).unwrap() == expected, "{}", outcome.stderr);
        fs::remove_file(target).unwrap();
        outcome
    };
    build();
    let (debs, kept) = (requests(&world.server, "pool/"), stored(&store, "bucket/team/cas/").len());
    assert!(debs > 0 && kept > 20, "{kept}");
    world.server.forget();
    build();
    assert_eq!(requests(&world.server, "pool/"), 0);
    // A bucket that has no such files, and one that refuses.
    for path in store.paths() {
        store.fault(&path, Fault::Status(403), usize::MAX);
    }
    let refused = build();
    assert_eq!(refused.stderr.matches("was left alone").count(), 1, "{}", refused.stderr);
}
