//! `rootstrap verify`: what was built is built again from its lock, and every change is found by path.

use rootstrap_testkit::entry::{Entry, tar};
use rootstrap_testkit::registry::Registry;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use rootstrap_unpack::list::{ListedKind, list};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn world() -> Result<World, String> {
    let world = World::new(&base::archive(Layout::Merged, [])?);
    let mut command = world.with_own_arguments(&["lock", base::SUITE]);
    world.finish(command.arg("--cache-dir").arg(world.path("cache"))).expect(0);
    Ok(world)
}

fn build(world: &World, name: &str, arguments: &[&str]) -> String {
    let target = world.target(name);
    world.run(&[&[target.as_str(), "--locked", "--quiet"], arguments].concat()).expect(0);
    target
}

/// Verifies against the world's lock.
fn verify(world: &World, arguments: &[&str]) -> Outcome {
    let has_lock = arguments.iter().any(|word| word.starts_with("--lock"));
    let lock: &[&str] = if has_lock { &[] } else { &["--lock=rootstrap.lock"] };
    verify_by_itself(world, &[lock, arguments].concat())
}

fn verify_by_itself(world: &World, arguments: &[&str]) -> Outcome {
    let mut command = world.bare(&[&["verify", "--quiet"], arguments].concat());
    command.arg("--keyring").arg(world.path("key.pgp")).arg("--cache-dir").arg(world.path("cache"));
    world.finish(&mut command)
}

fn stdout(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).unwrap()
}

#[test]
fn every_form_is_what_its_lock_says() {
    need!(machine::root());
    let world = need!(world());
    for (name, arguments) in [
        ("x.oci.tar", &[][..]),
        ("zstd.oci.tar", &["--compression=zstd"]),
        ("layout.oci", &[]),
        ("x.tar.gz", &[]),
        ("image.tar", &["--image"]),
        ("root", &[]),
        ("slim", &["--copy", "key.pgp:/srv/key"]),
    ] {
        let target = build(&world, name, arguments);
        let copies: &[&str] = if name == "slim" { arguments } else { &[] };
        let outcome = verify(&world, &[&[target.as_str()], copies].concat()).expect(0);
        assert!(stdout(&outcome).ends_with(": no difference\n"), "{name}: {}", stdout(&outcome));
    }
    assert_eq!(world.names("tmp"), [""; 0], "nothing is left");
    let target = world.target("root");
    let copied = verify(&world, &[&target, "--copy", "key.pgp:/srv/key"]).expect(4);
    assert!(stdout(&copied).contains("  /srv/key: only in the second\n"), "{}", stdout(&copied));
}

#[test]
fn every_change_of_a_directory_is_found_by_path() {
    need!(machine::root());
    let world = need!(world());
    let target = build(&world, "root", &[]);
    let path = |name: &str| Path::new(&target).join(name);
    fs::set_permissions(path("etc/fstab"), Permissions::from_mode(0o666)).unwrap();
    fs::write(path("usr/extra"), "x").unwrap();
    fs::remove_file(path("etc/hostname")).unwrap();
    let outcome = verify(&world, &[&target]).expect(4);
    let text = stdout(&outcome);
    for line in ["/etc/fstab: mode 0666 and 0644", "/usr/extra: only in the first", "/etc/hostname: only in the second"]
    {
        assert!(text.contains(&format!("  {line}\n")), "{line} is not in:\n{text}");
    }
    // The times of the two directories show too that something was done there.
    assert!(text.contains("0 packages and 5 paths differ"), "{text}");
    let json = verify(&world, &[&target, "--json", "--limit=1"]).expect(4);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["roots"][0]["path_count"], 5);
    assert_eq!(json["roots"][0]["equal"], false);
}

#[test]
fn one_byte_of_a_layer_is_found() {
    need!(machine::root());
    let world = need!(world());
    let target = build(&world, "x.oci.tar", &["--compression=none"]);
    let mut bytes = fs::read(&target).unwrap();
    // The contents of etc/hostname, in the middle of the layer.
    let at = bytes.windows(10).position(|window| window == b"localhost\n").unwrap();
    bytes[at] = b'L';
    fs::write(&target, bytes).unwrap();
    let text = stdout(&verify(&world, &[&target]).expect(4));
    assert!(text.contains("  /etc/hostname: content (10 bytes)\n"), "{text}");
    assert!(text.contains("has other bytes: their digest is sha256:"), "{text}");
    let compressed = build(&world, "y.oci.tar", &[]);
    let mut bytes = fs::read(&compressed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&compressed, bytes).unwrap();
    let text = stdout(&verify(&world, &[&compressed]).expect(4));
    assert!(text.contains("  layer sha256:"), "{text}");
}

/// Whoever changes what an image runs leaves its layers as they are.
#[test]
fn the_settings_of_an_image_are_compared() {
    need!(machine::root());
    let world = need!(world());
    let settings = ["--cmd=/bin/sh -i", "--env=A=1", "--label=team=web", "--user=root", "--workdir=/srv"];
    let target = build(&world, "x.oci.tar", &settings);
    verify(&world, &[&[target.as_str()], &settings[..]].concat()).expect(0);
    let text = stdout(&verify(&world, &[&target]).expect(4));
    for setting in
        ["Cmd: [\"/bin/sh\",\"-i\"] and [", "Labels.team: \"web\" and nothing\n", "WorkingDir: \"/srv\" and "]
    {
        assert!(text.contains(&format!("\n  {setting}")), "{setting} is not in:\n{text}");
    }
    let plain = build(&world, "plain.oci.tar", &[]);
    let diff = world.finish(&mut world.bare(&["diff", &plain, &target, "--json"])).expect(0);
    let diff: serde_json::Value = serde_json::from_slice(&diff.stdout).unwrap();
    assert_eq!(diff["roots"][0]["path_count"], 0);
    assert_eq!(diff["roots"][0]["settings"].as_array().unwrap().len(), 5, "{diff:#}");
}

#[test]
fn a_user_verifies_what_root_built() {
    need!(machine::root());
    let user = need!(machine::user());
    let world = need!(world());
    let target = build(&world, "x.oci.tar", &[]);
    let lock = world.path("rootstrap.lock");
    let mut command =
        world.bare_as(&user, &["verify", "--quiet", &target, "--lock", lock.to_str().unwrap(), "--keyring"]);
    command.arg(world.path("key.pgp")).arg("--cache-dir").arg(world.path("out/cache-of-user"));
    world.finish(&mut command).expect(0);
}

#[test]
fn what_cannot_be_verified_is_refused() {
    need!(machine::root());
    let world = need!(world());
    let target = build(&world, "x.tar", &[]);
    verify(&world, &["rootstrap.lock"]).expect(2).says(&["cannot compare rootstrap.lock: it is a lock"]);
    verify(&world, &["missing.tar"]).expect(1).says(&["cannot open missing.tar"]);
    verify(&world, &[&target, "--lock=none.lock"]).expect(2).says(&["cannot find the lock none.lock"]);
    let other = verify(&world, &[&target, "--arch=armel"]).expect(2);
    other.says(&["cannot build from rootstrap.lock: it has no root for armel"]);
    fs::write(world.path("text"), "no archive\n").unwrap();
    verify(&world, &["text"]).expect(2).says(&["cannot use text as a lock"]);
    // A pipe in the place of a document is not waited for.
    let layout = build(&world, "x.oci", &[]);
    let index: serde_json::Value = serde_json::from_slice(&fs::read(format!("{layout}/index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    fs::remove_file(format!("{layout}/blobs/{digest}")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(format!("{layout}/blobs/{digest}")).status();
    assert!(made.unwrap().success());
    verify(&world, &[&layout]).expect(2).says(&["it is no regular file"]);
    // An image of somebody else.
    fs::create_dir_all(world.path("tree/etc")).unwrap();
    fs::write(world.path("tree/etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    let theirs = world.target("theirs.oci.tar");
    let mut command = world.bare(&["image", "tree", &theirs]);
    world.finish(&mut command).expect(0);
    let text = stdout(&verify(&world, &[&theirs, "--limit=1"]).expect(4));
    assert!(text.contains("  added base-files ") && text.contains(" more (--limit"), "{text}");
}

/// The lock of a build is inside of its image, whether it was built from a lock or not.
#[test]
fn an_image_with_an_attestation_needs_no_lock() {
    need!(machine::root());
    let world = need!(world());
    let locked = build(&world, "locked.oci.tar", &["--attest"]);
    let target = world.target("free.oci.tar");
    world.run(&[&target, "--attest", "--quiet"]).expect(0);
    assert!(fs::read(&locked).unwrap() == fs::read(&target).unwrap(), "the same bytes, with and without a lock");
    fs::remove_file(world.path("rootstrap.lock")).unwrap();
    let outcome = verify_by_itself(&world, &[&target]).expect(0);
    assert!(stdout(&outcome).ends_with(": no difference\n"), "{}", stdout(&outcome));
    let plain = world.target("plain.oci.tar");
    world.run(&[&plain, "--quiet"]).expect(0);
    verify_by_itself(&world, &[&plain]).expect(2).says(&["it has no lock inside", "--attest have theirs inside"]);
    assert_eq!(world.names("tmp"), [""; 0]);
}

#[test]
fn an_image_in_a_registry_is_verified() {
    need!(machine::root());
    let registry = need!(Registry::start(Some("me:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n")));
    let world = need!(world());
    let name = format!("127.0.0.1:{}/team/base:1", registry.port);
    fs::create_dir_all(world.path("home/.docker")).unwrap();
    let login = format!(r#"{{"auths":{{"127.0.0.1:{}":{{"auth":"bWU6aHVudGVyMg=="}}}}}}"#, registry.port);
    fs::write(world.path("home/.docker/config.json"), login).unwrap();
    world.run(&["--attest", "--quiet", "--push", &name]).expect(0);
    let subject = format!("docker://{name}");
    let outcome = verify_by_itself(&world, &[&subject]).expect(0);
    assert!(stdout(&outcome).ends_with(": no difference\n"), "{}", stdout(&outcome));
    verify(&world, &[&subject]).expect(0);
    let file = build(&world, "x.oci.tar", &[]);
    let diff = world.finish(&mut world.bare(&["diff", &file, &subject])).expect(0);
    assert!(stdout(&diff).ends_with(": no difference\n"), "{}", stdout(&diff));
    let mut command = world.bare(&["verify", "-v", &subject, "--lock=rootstrap.lock", "--keyring", "key.pgp"]);
    let spoken = world.finish(command.arg("--cache-dir").arg(world.path("cache"))).expect(0);
    let digest = spoken.stderr.split_once("which is ").and_then(|(_, end)| end.split_whitespace().next()).unwrap();
    let pinned = format!("docker://127.0.0.1:{}/team/base@", registry.port);
    verify(&world, &[&(pinned.clone() + digest)]).expect(0);
    let another = format!("{pinned}sha256:{}", "0".repeat(64));
    verify(&world, &[&another]).expect(1).says(&["cannot fetch 127.0.0.1", "manifest sha256:000"]);
    verify(&world, &[&(pinned + "sha256:12")]).expect(2).says(&["its digest must be sha256: and 64"]);
    let missing = format!("docker://127.0.0.1:{}/team/none:1", registry.port);
    verify(&world, &[&missing]).expect(1).says(&["cannot fetch 127.0.0.1"]);
    fs::remove_dir_all(world.path("home/.docker")).unwrap();
    verify(&world, &[&subject]).expect(1).says(&["authentication failed"]);
    assert_eq!(world.names("tmp"), [""; 0]);
}

/// docker's older store reads manifest.json, and everybody else index.json.
#[test]
fn the_two_lists_of_an_image_have_to_agree() {
    need!(machine::root());
    let world = need!(world());
    let target = build(&world, "x.oci.tar", &[]);
    let mut entries = Vec::new();
    let never = AtomicBool::new(false);
    list(fs::File::open(&target).unwrap(), &never, &mut |entry, contents| {
        let mut bytes = Vec::new();
        contents.read_to_end(&mut bytes)?;
        if matches!(entry.what, ListedKind::File(_)) {
            entries.push((String::from_utf8(entry.path).unwrap(), bytes));
        }
        Ok(())
    })
    .unwrap();
    let write = |name: &str, change: &dyn Fn(&str, &[u8]) -> Vec<u8>| {
        let files = entries.iter().map(|(path, bytes)| Entry::file(path, 0o644, change(path, bytes)));
        fs::write(world.path(name), tar(&files.collect::<Vec<_>>())).unwrap();
    };
    write("same.tar", &|_, bytes| bytes.to_vec());
    verify(&world, &["same.tar"]).expect(0);
    write("other.tar", &|path, bytes| match path {
        "manifest.json" => {
            String::from_utf8(bytes.to_vec()).unwrap().replacen("blobs/sha256/", "blobs/sha256/0", 2).into_bytes()
        }
        _ => bytes.to_vec(),
    });
    verify(&world, &["other.tar"]).expect(2).says(&["its manifest.json names another image than its index.json"]);
    // A document that was changed after its digest was named.
    let is_config = |bytes: &[u8]| bytes.starts_with(b"{\"architecture\"");
    write("config.tar", &|_, bytes| match is_config(bytes) {
        true => [bytes, b" "].concat(),
        false => bytes.to_vec(),
    });
    verify(&world, &["config.tar"]).expect(2).says(&["has other bytes: their digest is"]);
}
