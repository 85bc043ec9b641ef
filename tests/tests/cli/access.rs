//! Mirrors that want to know the user, or whose authority has to be named.

use crate::archive;
use rootstrap_testkit::server::Fault;
use rootstrap_testkit::tls::{Terminator, certificates};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

/// Writes a file that only its owner can read.
fn secret(world: &World, name: &str, text: &str) -> String {
    let path = world.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Plans with a mirror at this address alone.
fn plan(world: &World, mirror: &str, more: &[&str]) -> Outcome {
    let keyring = world.path("key.pgp");
    let arguments =
        ["fixture", "--print-plan", "--arch=amd64", "--no-cache", "--retries=0", "--mirror", mirror, "--keyring"];
    let mut command = world.bare(&arguments);
    command.arg(keyring).args(more).env("HOME", world.path("home"));
    world.finish(&mut command)
}

/// The logins that the server has seen since the last call.
fn seen(world: &World) -> Vec<String> {
    let mut all: Vec<String> = world.server.requests().into_iter().filter_map(|it| it.authorization).collect();
    all.sort();
    all.dedup();
    world.server.forget();
    all
}

/// Returns `127.0.0.1:PORT`.
fn host(world: &World) -> String {
    world.server.url().trim_start_matches("http://").to_owned()
}

#[test]
fn logins_come_from_files() {
    let world = World::new(&archive("fixture"));
    fs::create_dir(world.path("home")).unwrap();
    let url = world.server.url();
    let of_me = "Basic bWU6c2VjcmV0";
    let file = secret(&world, "auth.conf", &format!("machine {url} login me password secret\n"));
    plan(&world, &url, &["--auth-file", &file]).expect(0);
    assert_eq!(seen(&world), [of_me]);
    secret(
        &world,
        "home/.netrc",
        &format!("machine {url}/dists login you password x\nmachine {url} login me password secret\n"),
    );
    plan(&world, &url, &[]).expect(0);
    assert_eq!(seen(&world), ["Basic eW91Ong="], "the first that fits");
    let with_user = url.replace("http://", "http://me@");
    plan(&world, &with_user, &[]).expect(0);
    assert_eq!(seen(&world), [of_me], "the password of the user that is named");
    let with_password = url.replace("http://", "http://one:two@");
    plan(&world, &with_password, &[]).expect(0);
    assert_eq!(seen(&world), ["Basic b25lOnR3bw=="], "the address itself comes first");
    let other = secret(&world, "other", "machine 127.0.0.1 login me password secret\n");
    plan(&world, &url, &["--auth-file", &other]).expect(0);
    assert_eq!(seen(&world), [""; 0], "not without encryption, unless the file says so");
}

#[test]
fn a_server_that_wants_a_login() {
    let world = World::new(&archive("fixture"));
    fs::create_dir(world.path("home")).unwrap();
    let url = world.server.url();
    for path in ["InRelease", "Release"] {
        world.server.fault(&format!("dists/fixture/{path}"), Fault::Status(401), 10);
    }
    plan(&world, &url, &[]).expect(1).says(&[
        "the server wants a user and a password (401)",
        "hint: put them into auth.conf (apt_auth.conf(5)) or netrc, which --auth-file names; an entry without http:// is for https alone\n",
    ]);
    secret(&world, "home/.netrc", "machine");
    fs::set_permissions(world.path("home/.netrc"), Permissions::from_mode(0o644)).unwrap();
    plan(&world, &url, &[]).expect(1).says(&["/home/.netrc: it has a secret and is open to everybody (mode 0644)"]);
    let file = secret(&world, "auth.conf", &format!("machine {url} login me password secret\n"));
    let outcome = plan(&world, &url, &["--auth-file", &file]).expect(1);
    let outcome = outcome.says(&["the server does not accept user and password (401)"]);
    assert!(!outcome.stderr.contains("secret\n") && !outcome.stderr.contains("me:secret"), "{}", outcome.stderr);
}

#[test]
fn files_that_cannot_be_used() {
    let world = World::new(&archive("fixture"));
    let url = world.server.url();
    let open = secret(&world, "open", "machine x login y password z");
    fs::set_permissions(&open, Permissions::from_mode(0o604)).unwrap();
    let damaged = secret(&world, "damaged", "machine x password z");
    let pem = secret(&world, "pem", certificates::CLIENT);
    let cert = format!("--client-cert={pem}");
    for (arguments, code, message) in [
        (&["--auth-file", &open][..], 2, "is open to everybody (mode 0604): chmod 600 it"),
        (&["--auth-file", &damaged], 2, "the machine x has no login"),
        (&["--auth-file", "absent"], 2, "cannot use the file absent: No such file"),
        (&["--ca-file", "absent"], 2, "cannot use the file absent: No such file"),
        (&["--ca-file", &damaged], 1, "it has no certificate in PEM form"),
        (&[&cert], 1, "it needs a certificate and its key in PEM form"),
        (&[&cert, "--client-key", &open], 2, "is open to everybody"),
        (&["--client-key", &damaged], 2, "--client-cert"),
    ] {
        plan(&world, &url, arguments).expect(code).says(&[message]);
    }
    assert_eq!(world.server.requests().len(), 0);
}

#[test]
fn certificates_of_servers_and_of_clients() {
    let world = World::new(&archive("fixture"));
    let authority = secret(&world, "authority.pem", certificates::AUTHORITY);
    let server = Terminator::with(&host(&world), certificates::GOOD);
    let uri = format!("https://{}", server.host());
    plan(&world, &uri, &[]).expect(1).says(&[
        "its certificate is not trusted: no authority that this machine trusts has signed it",
        "hint: the file of the authority that signs it can be named with --ca-file",
    ]);
    plan(&world, &uri, &["--ca-file", &authority]).expect(0);

    let asking = Terminator::asking(&host(&world));
    let uri = format!("https://{}", asking.host());
    plan(&world, &uri, &["--ca-file", &authority]).expect(1).says(&["cannot fetch the Release file"]);
    let certificate = secret(&world, "client.pem", certificates::CLIENT);
    let key = secret(&world, "client.key", certificates::CLIENT_KEY);
    plan(&world, &uri, &["--ca-file", &authority, "--client-cert", &certificate, "--client-key", &key]).expect(0);
    let both = secret(&world, "both.pem", &format!("{}\n{}\n", certificates::CLIENT, certificates::CLIENT_KEY));
    plan(&world, &uri, &["--ca-file", &authority, "--client-cert", &both]).expect(0);
}
