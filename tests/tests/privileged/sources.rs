//! Archives beside the suite's own: what the target's apt gets of them, and the same bytes in every mode and from a lock.

use rootstrap_testkit::Files;
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::Key;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::User;
use rootstrap_tests::world::{KEY, World, names};
use rootstrap_tests::{machine, need};
use std::fs;
use std::path::Path;

/// Returns a world whose mirror has the base system, and a team's archive and flat repository with another key.
fn world() -> Result<World, String> {
    let key = Key::generate("team");
    let tool = |version: &str| {
        Deb::new("tool", version).arch("all").field("Priority", "optional").file("/usr/share/tool", 0o644, "x\n")
    };
    let mut files = base::archive(Layout::Merged, [])?.build();
    let team = Archive::new("rolling").key(&key).debs([tool("1")]).build();
    files.extend(team.into_iter().map(|(path, bytes)| (format!("team/{path}"), bytes)));
    let own = Archive::new("second").key(&KEY).debs([tool("0")]).build();
    files.extend(own.into_iter().map(|(path, bytes)| (format!("own/{path}"), bytes)));
    let flat = Archive::new("flat").key(&key).debs([tool("2")]).flat("");
    files.extend(flat.into_iter().map(|(path, bytes)| (format!("flat/{path}"), bytes)));
    let world = World::serving(base::SUITE, files);
    let local = Deb::new("local", "1").arch("all").field("Depends", "tool").file("/usr/share/local", 0o644, "y\n");
    fs::write(world.path("local.deb"), local.build()).unwrap();
    fs::write(world.path("team.asc"), key.public_armored()).unwrap();
    fs::write(world.path("team.gpg"), key.public()).unwrap();
    Ok(world)
}

/// Returns the arguments for both archives, and preferences that the older tool meets.
fn arguments(world: &World) -> Vec<String> {
    let url = world.server.url();
    let with_password = url.replace("http://", "http://me:secret@");
    vec![
        "--include=tool,./local.deb".into(),
        format!("--source=deb [signed-by=team.asc check-valid-until=no] {with_password}/team rolling main"),
        format!("--source=deb [signed-by=team.gpg] {url}/flat ./"),
        format!("--source=deb-src {url}/team rolling contrib"),
        format!("--source=deb {url}/own second main"),
        "--pin=tool release n=rolling 900".into(),
    ]
}

#[test]
fn plain_lines_name_the_keys_of_each_source() {
    need!(machine::root());
    let world = need!(world());
    build(&world, "plain", &["--sources-format=plain"], None);
    let text = fs::read_to_string(world.path("out/plain/etc/apt/sources.list")).unwrap();
    let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {text}"));
    // Both have the same key, which is one file.
    for part in ["/team rolling main", "/flat ./"] {
        let (_, rest) = line(part).split_once("signed-by=/").unwrap();
        assert!(rest.split_whitespace().next().unwrap().ends_with("-rolling.gpg]"), "{text}");
        assert!(world.path("out/plain").join(rest.split(']').next().unwrap()).exists(), "{text}");
    }
    for part in [" second main", &format!(" {} ", base::SUITE)] {
        assert!(!line(part).contains("-rolling.gpg"), "{text}");
    }
}

fn build(world: &World, name: &str, more: &[&str], user: Option<&User>) -> Vec<u8> {
    let target = world.target(name);
    let own = arguments(world);
    let all: Vec<&str> =
        [target.as_str()].into_iter().chain(own.iter().map(String::as_str)).chain(more.iter().copied()).collect();
    match user {
        Some(user) => world.finish(&mut world.command_as(user, &all)).expect(0),
        None => world.finish(world.command(&all).arg("--no-cache")).expect(0),
    };
    let bytes = fs::read(&target).unwrap_or_default();
    let _ = fs::remove_file(&target);
    bytes
}

#[test]
fn the_target_knows_all_archives_with_their_keys() {
    need!(machine::root());
    let world = need!(world());
    build(&world, "root", &[], None);
    let target = world.target("root");
    let root = Path::new(&target);
    let read = |path: &str| fs::read_to_string(root.join("etc/apt").join(path)).unwrap();
    let host = world.server.url().replace("http://", "").replace(':', "-");
    let mut sources = ["-rolling", "-rolling-2", "-second", ""].map(|suite| format!("{host}{suite}.sources")).to_vec();
    sources.push("rootstrap.sources".into());
    sources.sort();
    assert_eq!(names(&root.join("etc/apt/sources.list.d")), sources);
    let url = world.server.url();
    let team = format!(
        "Types: deb\nURIs: {url}/team\nSuites: rolling\nComponents: main\nCheck-Valid-Until: no\n\
         Signed-By: /etc/apt/keyrings/{host}-rolling.gpg\n"
    );
    assert_eq!(read(&format!("sources.list.d/{host}-rolling.sources")), team);
    let flat = format!("Types: deb\nURIs: {url}/flat\nSuites: ./\nSigned-By: /etc/apt/keyrings/{host}-rolling.gpg\n");
    assert_eq!(read(&format!("sources.list.d/{host}.sources")), flat);
    // apt refuses entries for one archive that differ in keys or options.
    let source = team.replace("Types: deb", "Types: deb-src").replace("main", "contrib");
    assert_eq!(read(&format!("sources.list.d/{host}-rolling-2.sources")), source);
    // The suite's own keys are others than the vendor's, so the target has them too.
    let main = read("sources.list.d/rootstrap.sources");
    let own = "\nSigned-By: /etc/apt/keyrings/rootstrap.gpg\n";
    assert!(main.ends_with(own), "{main}");
    // So it has for an archive that names no keys.
    let second = read(&format!("sources.list.d/{host}-second.sources"));
    assert!(second.ends_with(own), "{second}");
    let both = format!("{host}-rolling.gpg");
    assert_eq!(names(&root.join("etc/apt/keyrings")), [both.as_str(), "rootstrap.gpg"], "one file for one set of keys");
    let keyring = |name: &str| fs::read(root.join("etc/apt/keyrings").join(name)).unwrap();
    assert_eq!(keyring(&format!("{host}-rolling.gpg")), fs::read(world.path("team.gpg")).unwrap());
    assert_eq!(keyring("rootstrap.gpg"), fs::read(world.path("key.pgp")).unwrap());
    assert_eq!(read("preferences.d/rootstrap"), "Package: tool\nPin: release n=rolling\nPin-Priority: 900\n");
    assert_eq!(base::prints(root, &["dpkg-query", "-W", "-f", "${Version} ", "tool", "local"]), "1 1 ");
}

#[test]
fn the_bytes_are_the_same_in_every_mode() {
    need!(machine::root());
    let user = need!(machine::user());
    let world = need!(world());
    let root = build(&world, "x.tar", &["--mode=root"], None);
    for (mode, user) in [("unshare", None), ("chroot", None), ("unshare", Some(&user)), ("single", Some(&user))] {
        assert!(build(&world, "x.tar", &[&format!("--mode={mode}")], user) == root, "{mode}, user: {user:?}");
    }
}

#[test]
fn a_lock_has_all_archives() {
    need!(machine::root());
    let world = need!(world());
    let unlocked = build(&world, "x.tar", &[], None);
    let lock = world.path("lock");
    let lock = lock.to_str().unwrap();
    let own = arguments(&world);
    let words: Vec<&str> =
        ["lock", base::SUITE, "-o", lock].into_iter().chain(own.iter().map(String::as_str)).collect();
    world.finish(world.with_own_arguments(&words).arg("--no-cache")).expect(0);
    let text = fs::read_to_string(lock).unwrap();
    assert!(!text.contains("secret") && text.contains("BEGIN PGP PUBLIC KEY"), "{text}");
    // A keyring that has one key more vouches for the same archive.
    let renewed = [KEY.public(), Key::generate("next").public()].concat();
    fs::write(world.path("key.pgp"), renewed).unwrap();
    assert!(text.contains("pocket = \".\"") && !text.contains(world.path("").to_str().unwrap()), "{text}");
    assert!(build(&world, "x.tar", &["--lock", lock, "--locked"], None) == unlocked, "locked");
    // The lock alone says all of it.
    let target = world.target("y.tar");
    let arguments = [target.as_str(), "--lock", lock, "--frozen", "--no-cache"];
    world.finish(&mut world.command(&arguments)).expect(0);
    assert!(fs::read(&target).unwrap() == unlocked, "frozen");
    let arguments = [target.as_str(), "--lock", lock, "--locked", "--no-cache"];
    world.finish(&mut world.command(&arguments)).expect(2).says(&["further sources: MIRROR/team rolling ("]);
    // A file that has changed since is another one.
    fs::write(world.path("local.deb"), Deb::new("local", "1").arch("all").build()).unwrap();
    let arguments = [target.as_str(), "--lock", lock, "--frozen", "--no-cache"];
    let _ = fs::remove_file(&target);
    world.finish(&mut world.command(&arguments)).expect(3).says(&["local_1_all.deb"]);
    assert!(!Path::new(&target).exists());
}

/// Returns the files of an archive of noble, below a directory.
fn noble(directory: &str, name: &str, mut archive: Archive) -> Files {
    archive.dist = name.into();
    (archive.suite, archive.codename) = (name.into(), "noble".into());
    (archive.origin, archive.label) = ("Ubuntu".into(), "Ubuntu".into());
    archive.build().into_iter().map(|(path, bytes)| (format!("{directory}/{path}"), bytes)).collect()
}

/// The test's server is the proxy for the vendor's own addresses.
#[test]
fn what_a_mirror_lacks_comes_from_the_vendor() {
    need!(machine::root());
    let empty = |name: &str| Archive::new(name).key(&KEY);
    let base = need!(base::archive(Layout::Merged, []));
    let mut files = noble("first", "noble", base);
    files.extend(noble("second", "noble-updates", empty("noble-updates")));
    files.extend(noble("ubuntu", "noble-security", empty("noble-security")));
    let world = World::serving("noble", files);
    let (url, keyring) = (world.server.url(), world.path("key.pgp"));
    let run = |name: &str, more: &[&str]| {
        let target = world.target(name);
        let mut command = world.bare(&["noble", &target, "--keyring"]);
        command.arg(&keyring).args(["--mirror", &format!("{url}/first"), "--mirror", &format!("{url}/second")]);
        command.args(more).env("http_proxy", &url);
        let outcome = world.finish(&mut command).expect(0);
        let sources = fs::read_to_string(Path::new(&target).join("etc/apt/sources.list.d/ubuntu.sources"));
        (outcome, sources.unwrap_or_default().replace(&url, "MIRROR"))
    };
    let cache = world.path("cache");
    let cache = ["--cache-dir", cache.to_str().unwrap()];
    let (outcome, sources) = run("root", &cache);
    outcome.says(&["release: noble-security is not on the mirror, taking it from http://archive.ubuntu.com/ubuntu"]);
    let places: Vec<&str> =
        sources.lines().filter(|line| line.starts_with("URIs") || line.starts_with("Suites")).collect();
    let vendors = "URIs: http://security.ubuntu.com/ubuntu";
    assert_eq!(
        places,
        [
            "URIs: MIRROR/first",
            "Suites: noble",
            "URIs: MIRROR/second",
            "Suites: noble-updates",
            vendors,
            "Suites: noble-security"
        ]
    );
    // Without the network, the cache knows which mirror had what.
    assert_eq!(run("offline", &[&cache[..], &["--offline"]].concat()).1, sources);
    let lock = world.path("lock");
    let lock = lock.to_str().unwrap();
    let mut command = world.bare(&["lock", "noble", "-o", lock, "--keyring"]);
    command.arg(&keyring).args(["--mirror", &format!("{url}/first"), "--mirror", &format!("{url}/second")]);
    world.finish(command.args(cache).env("http_proxy", &url)).expect(0);
    assert_eq!(run("locked", &[&cache[..], &["--lock", lock]].concat()).1, sources);
}
