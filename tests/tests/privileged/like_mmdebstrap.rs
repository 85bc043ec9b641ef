//! What tests of mmdebstrap ask for, asked of rootstrap with the options of the same meaning. Each test has the name of that one.

use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::Key;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::{self, User};
use rootstrap_tests::need;
use rootstrap_tests::world::World;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn world_with(more: impl IntoIterator<Item = Deb>) -> Result<World, String> {
    machine::root()?;
    Ok(World::new(&base::archive(Layout::Merged, more)?))
}

/// Writes a script and returns its path.
fn script(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

#[test]
fn customize_hook() {
    let world = need!(world_with([]));
    let target = world.target("root");
    let hook = script(&world, "customize.sh", "chroot \"$1\" sh -c 'umask; pwd' > \"$1/output2\"");
    let hook = format!("--hook=customize={}", hook.display());
    world.run(&[&target, "--hook=customize=chroot \"$1\" sh -c \"umask; pwd\" > \"$1/output1\"", &hook]).expect(0);
    for name in ["output1", "output2"] {
        assert_eq!(read(Path::new(&target).join(name)), "0022\n/\n", "{name}");
    }
}

#[test]
fn essential_hook() {
    let set = Deb::new("answers", "1").field("Priority", "required").file(
        "/usr/bin/debconf-set-selections",
        0o755,
        "#!/bin/sh\ncat \"$@\" >> /var/lib/answers\n",
    );
    let asks = Deb::new("asks", "1")
        .script("preinst", "#!/bin/sh\ngrep -q 'tzdata/Zones/Europe select Berlin' /var/lib/answers\n");
    let world = need!(world_with([set, asks]));
    let hook = script(
        &world,
        "essential.sh",
        "echo tzdata tzdata/Zones/Europe select Berlin | chroot \"$1\" debconf-set-selections",
    );
    let by_path = format!("--hook=essential={}", hook.display());
    let first = "--hook=essential=echo tzdata tzdata/Areas select Europe | chroot \"$1\" debconf-set-selections";
    world.run(&[&world.target("root"), "--include=asks", first, &by_path]).expect(0);
    assert_eq!(read(world.path("out/root/var/lib/answers")).lines().count(), 2);
    world.run(&[&world.target("other"), "--include=asks", first]).expect(1).says(&["preinst of asks"]);
}

#[test]
fn failing_customize_hook() {
    let world = need!(world_with([]));
    let hook = "--hook=customize=chroot \"$1\" sh -c \"exit 1\"";
    world.run(&[&world.target("root"), hook]).expect(1).says(&["exit status 1"]);
    base::assert_nothing_left(&world, &[]);
}

/// Hooks of the command line and those of directories run in the order in which they are given.
#[test]
fn hook_directory() {
    let world = need!(world_with([]));
    const STAGES: [&str; 4] = ["setup", "extract", "essential", "customize"];
    for directory in ["hookA", "hookB"] {
        for name in STAGES.iter().flat_map(|stage| [format!("{stage}00.sh"), format!("{stage}01.sh")]) {
            let stage = name.trim_end_matches("00.sh").trim_end_matches("01.sh");
            script(&world, &format!("{directory}/{name}"), &format!("echo {directory}/{name} >> \"$1/{stage}\""));
        }
    }
    let target = world.target("root");
    let hooks = |name: &str| STAGES.map(|stage| format!("--hook={stage}=echo {name}/{stage} >> \"$1\"/{stage}"));
    let mut words = vec![target.clone()];
    words.extend(hooks("cliA"));
    words.push("--hook-dir=hookA".to_owned());
    words.extend(hooks("cliB"));
    words.push("--hook-dir=hookB".to_owned());
    words.extend(hooks("cliC"));
    world.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).expect(0);
    for stage in STAGES {
        let order = format!(
            "cliA/{stage}\nhookA/{stage}00.sh\nhookA/{stage}01.sh\ncliB/{stage}\nhookB/{stage}00.sh\nhookB/{stage}01.sh\ncliC/{stage}\n"
        );
        assert_eq!(read(Path::new(&target).join(stage)), order);
    }
}

#[test]
fn sigint_during_customize_hook() {
    let world = need!(world_with([]));
    let hook = "--hook=customize=touch hookstarted && sleep 60 && touch fail";
    let target = world.target("root");
    let mut command = world.command(&[&target, hook]);
    let mut child = command.process_group(0).stderr(Stdio::piped()).spawn().unwrap();
    machine::wait_until("the hook starts", || world.path("hookstarted").exists());
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    machine::wait_until("the run ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(machine::processes("touch hookstarted"), [""; 0]);
    assert!(!world.path("fail").exists());
    base::assert_nothing_left(&world, &[]);
}

#[test]
fn aptopt() {
    let world = need!(world_with([]));
    fs::write(world.path("config"), "Acquire::Languages \"none\";\n").unwrap();
    let target = world.target("root");
    world.run(&[&target, "--apt-option=Acquire::Check-Valid-Until \"false\"", "--apt-option=config"]).expect(0);
    let written = read(Path::new(&target).join("etc/apt/apt.conf.d/99rootstrap"));
    assert_eq!(written, "Acquire::Check-Valid-Until \"false\";\nAcquire::Languages \"none\";\n");
}

/// The include has all of a directory: dpkg makes no directory for one file of it.
#[test]
fn dpkgopt() {
    let doc = |name: &str| {
        let path = |file: &str| format!("/usr/share/doc/{name}/{file}");
        Deb::new(name, "1").file(&path("copyright"), 0o644, "free\n").file(&path("manual"), 0o644, "long\n")
    };
    let world = need!(world_with([doc("one"), doc("two")]));
    fs::write(world.path("config"), "no-pager\n").unwrap();
    let target = world.target("root");
    world
        .run(&[
            &target,
            "--include=one,two",
            "--dpkg-option=path-exclude=/usr/share/doc/*",
            "--dpkg-option=config",
            "--dpkg-option=path-include=/usr/share/doc/two/*",
        ])
        .expect(0);
    let root = Path::new(&target);
    let lines = "path-exclude=/usr/share/doc/*\nno-pager\npath-include=/usr/share/doc/two/*\n";
    assert_eq!(read(root.join("etc/dpkg/dpkg.cfg.d/rootstrap")), lines);
    assert!(!root.join("usr/share/doc/one").exists());
    assert!(root.join("usr/share/doc/two/copyright").exists());
}

/// Returns what builds of root and of users are called with.
fn modes(user: &User) -> [(&'static str, Option<User>); 4] {
    [("root", None), ("unshare", Some(user.clone())), ("single", Some(user.clone())), ("chroot", None)]
}

#[test]
fn include_deb_file() {
    let world = need!(world_with([]));
    let user = need!(machine::user());
    let dummy = Deb::new("dummypkg", "1").arch("all").field("Multi-Arch", "foreign").build();
    fs::write(world.path("dummypkg.deb"), dummy).unwrap();
    for (mode, user) in modes(&user) {
        let target = world.target(&format!("{mode}.tar"));
        let mode = format!("--mode={mode}");
        let hook = "--hook=customize=chroot \"$1\" dpkg-query -W -f='${Status}\\n' dummypkg > status";
        let hook = hook.replace("> status", "| { read -r line; [ \"$line\" = 'install ok installed' ]; }");
        let words = [target.as_str(), &mode, "--include=./dummypkg.deb", &hook];
        match &user {
            Some(user) => world.finish(&mut world.command_as(user, &words)).expect(0),
            None => world.run(&words).expect(0),
        };
    }
}

/// Sources of every form at once: a line, a file of lines, a file of stanzas, standard input.
#[test]
fn deb822_and_mirror_is_stdin() {
    need!(machine::root());
    let key = Key::generate("mirror");
    let mut files = need!(base::archive(Layout::Merged, [])).build();
    for number in 1..=4 {
        let deb = Deb::new(&format!("of-{number}"), "1").arch("all");
        let archive = Archive::new("dist").key(&key).debs([deb]).build();
        files.extend(archive.into_iter().map(|(path, bytes)| (format!("mirror{number}/{path}"), bytes)));
    }
    let world = World::serving(base::SUITE, files);
    let url = world.server.url();
    fs::write(world.path("key.asc"), key.public_armored()).unwrap();
    let option = "[signed-by=key.asc check-valid-until=no]";
    fs::write(world.path("lines.list"), format!("deb {option} {url}/mirror2 dist main\n")).unwrap();
    let armored = String::from_utf8(key.public_armored()).unwrap();
    let inline: String =
        armored.lines().map(|line| format!(" {}\n", if line.is_empty() { "." } else { line })).collect();
    let stanza = format!(
        "Types: deb\nURIs: {url}/mirror1\nSuites: dist\nComponents: main\nCheck-Valid-Until: no\nSigned-By:\n{inline}"
    );
    fs::write(world.path("stanzas.sources"), stanza).unwrap();
    let target = world.target("root");
    let line = format!("--source=deb {option} {url}/mirror4 dist main");
    let words = [
        target.as_str(),
        "--include=of-1,of-2,of-3,of-4",
        "--source=stanzas.sources",
        "--source=-",
        &line,
        "--source=lines.list",
    ];
    let mut command = world.command(&words);
    fs::write(world.path("stdin"), format!("deb {option} {url}/mirror3 dist main\n")).unwrap();
    command.stdin(fs::File::open(world.path("stdin")).unwrap());
    world.finish(&mut command).expect(0);
    let sources: String = fs::read_dir(Path::new(&target).join("etc/apt/sources.list.d"))
        .unwrap()
        .map(|entry| read(entry.unwrap().path()))
        .collect();
    for number in 1..=4 {
        assert!(sources.contains(&format!("{url}/mirror{number}")), "{number}: {sources}");
        assert!(Path::new(&target).join(format!("var/lib/dpkg/info/of-{number}.list")).exists());
    }
}

/// A package that only the second source has, and one that has a newer version there.
#[test]
fn include_with_multiple_apt_sources() {
    need!(machine::root());
    let mut files = need!(base::archive(Layout::Merged, [Deb::new("both", "1").arch("all")])).build();
    let more = [Deb::new("both", "2").arch("all"), Deb::new("doc-debian", "1").arch("all")];
    let second = Archive::new("second").key(&rootstrap_tests::world::KEY).debs(more).build();
    files.extend(second.into_iter().map(|(path, bytes)| (format!("second/{path}"), bytes)));
    let world = World::serving(base::SUITE, files);
    let source = format!("--source=deb {}/second second main", world.server.url());
    let target = world.target("root");
    world.run(&[&target, "--include=both,doc-debian", &source]).expect(0);
    let status = read(Path::new(&target).join("var/lib/dpkg/status"));
    assert!(status.contains("Package: doc-debian\n"), "{status}");
    let both = status.split("\n\n").find(|stanza| stanza.contains("Package: both\n")).unwrap();
    assert!(both.contains("\nVersion: 2"), "{both}");
}

/// At each stage, also where the root is empty, and in each mode, files go in and out, through a link that would lead out of the root.
#[test]
fn special_hooks_with_mode_mode() {
    let world = need!(world_with([]));
    let user = need!(machine::user());
    for (mode, user) in modes(&user) {
        let place = world.path(mode);
        fs::create_dir_all(place.join("tree")).unwrap();
        fs::write(place.join("file"), "in\n").unwrap();
        fs::write(place.join("tree/file"), "in\n").unwrap();
        let mut tar = tar::Builder::new(fs::File::create(place.join("in.tar")).unwrap());
        tar.append_path_with_name(place.join("file"), "from-tar").unwrap();
        tar.finish().unwrap();
        for stage in ["setup", "extract", "essential", "customize"] {
            for kind in ["copied", "synced"] {
                fs::create_dir_all(place.join(stage).join(kind)).unwrap();
            }
        }
        let target = world.target(&format!("{mode}.tar"));
        let mut words = vec![target.clone(), format!("--mode={mode}")];
        for stage in ["setup", "extract", "essential", "customize"] {
            for command in [
                format!("mkdir \"$1/{stage}\"; ln -s /{stage} \"$1/{stage}-link\""),
                format!("copy-in {mode}/file {mode}/tree /{stage}-link"),
                format!("tar-in {mode}/in.tar /{stage}-link"),
                format!("upload {mode}/file /{stage}-link/upload"),
                format!("sync-in {mode}/tree /{stage}-link"),
                format!(
                    "[ \"$(cat \"$1/{stage}/upload\" \"$1/{stage}/from-tar\" \"$1/{stage}/tree/file\")\" = \"$(printf 'in\\nin\\nin')\" ]"
                ),
                format!("copy-out /{stage}-link/tree /{stage}-link/file {mode}/{stage}/copied"),
                format!("download /{stage}-link/upload {mode}/{stage}/down"),
                format!("sync-out /{stage}-link {mode}/{stage}/synced"),
                format!("tar-out /{stage}-link/from-tar {mode}/{stage}/out.tar"),
            ] {
                words.push(format!("--hook={stage}={command}"));
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match &user {
            Some(user) => {
                for entry in [".", "setup", "extract", "essential", "customize"] {
                    for path in [entry.to_owned(), format!("{entry}/copied"), format!("{entry}/synced")] {
                        let _ = std::os::unix::fs::chown(place.join(path), Some(user.uid), None);
                    }
                }
                world.finish(&mut world.command_as(user, &words)).expect(0)
            }
            None => world.run(&words).expect(0),
        };
        for stage in ["setup", "extract", "essential", "customize"] {
            for path in
                ["copied/tree/file", "copied/file", "down", "synced/upload", "synced/tree/file", "synced/from-tar"]
            {
                assert_eq!(read(place.join(stage).join(path)), "in\n", "{mode} {stage} {path}");
            }
            let mut archive = tar::Archive::new(fs::File::open(place.join(stage).join("out.tar")).unwrap());
            let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
            assert_eq!(names.collect::<Vec<_>>(), ["from-tar"], "{mode} {stage}");
        }
    }
}

/// Hooks may remove what keeps services from starting: it is not there in the result either way.
#[test]
fn remove_start_stop_daemon_and_policy_rc_d_in_hook() {
    let world = need!(world_with([]));
    let target = world.target("root");
    world.run(&[&target, "--hook=customize=rm \"$1/usr/sbin/policy-rc.d\""]).expect(0);
    assert!(!Path::new(&target).join("usr/sbin/policy-rc.d").exists());
}

#[test]
fn preserve_mode_of_etc_resolv_conf_and_etc_hostname() {
    let world = need!(world_with([]));
    let target = world.target("root");
    fs::write(world.path("resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
    for mode in [0o644, 0o755] {
        fs::set_permissions(world.path("resolv.conf"), Permissions::from_mode(mode)).unwrap();
        world.run(&[&target, "--copy=resolv.conf:/etc/resolv.conf"]).expect(0);
        let found = fs::metadata(Path::new(&target).join("etc/resolv.conf")).unwrap().permissions().mode();
        assert_eq!(found & 0o7777, mode);
        fs::remove_dir_all(&target).unwrap();
    }
}
