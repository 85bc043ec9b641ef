//! The live ring: one real system from the vendor's own archive. Every other suite is in `cargo xtask oracle`.
//!
//! The mirror is what rootstrap itself takes: the host's own apt sources, or the vendor's.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::Key;
use rootstrap_testkit::server::Server;
use rootstrap_testkit::tree;
use rootstrap_tests::{base, live, machine, need, program};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

fn cache() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

#[test]
fn trixie_is_a_whole_system() {
    need!(machine::root());
    need!(live::answers(cache(), "trixie"));
    let (directory, root) = live::scratch();
    let output = live::command(cache(), &["trixie", root.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(rootstrap_tests::world::names(directory.path()), ["root"]);

    base::assert_consistent(&root);
    base::prints(&root, &["apt-get", "check"]);
    assert_eq!(base::prints(&root, &["su", "-s", "/bin/sh", "-c", "id -un", "nobody"]), "nobody\n");
    assert_eq!(base::prints(&root, &["perl", "-e", "print 6 * 7"]), "42");
    let about = |path: &str| {
        let meta = fs::metadata(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    };
    for path in ["usr/bin/su", "usr/bin/passwd", "usr/bin/mount"] {
        assert_eq!(about(path), (0o4755, 0, 0), "{path}");
    }
    let shadow = |line: &str| line.strip_prefix("shadow:x:").and_then(|rest| rest.split(':').next()?.parse().ok());
    let group = fs::read_to_string(root.join("etc/group")).unwrap();
    let shadow: u32 = group.lines().find_map(shadow).unwrap();
    assert_eq!(about("usr/bin/chage"), (0o2755, 0, shadow));
    assert_eq!(about("etc/shadow"), (0o640, 0, shadow));
    assert_eq!(about("tmp"), (0o1777, 0, 0));

    let sources = fs::read_to_string(root.join("etc/apt/sources.list.d/debian.sources")).unwrap();
    assert!(
        sources.contains("Suites: trixie trixie-updates\n") && sources.contains("Suites: trixie-security\n"),
        "{sources}"
    );
    assert!(sources.contains("Signed-By: /usr/share/keyrings/debian-archive-keyring."), "{sources}");
    let place = directory.path().to_str().unwrap();
    assert_eq!(machine::mounts(place), [""; 0]);
    assert_eq!(machine::processes(place), [""; 0]);
}

#[test]
fn a_user_makes_the_same_focal() {
    need!(machine::root());
    let user = need!(machine::user());
    need!(live::answers(cache(), "focal"));
    let (directory, root) = live::scratch();
    let arguments = ["focal", "-", "--variant=essential", "--quiet"];
    let ours = live::command(cache(), &arguments).output().unwrap();
    assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stderr));
    // The user gets a copy of the cache that root has filled.
    let copy = directory.path().join("cache");
    let copied =
        std::process::Command::new("cp").arg("-r").arg(cache().join("live-cache")).arg(&copy).status().unwrap();
    let owner = std::process::Command::new("chown").arg("-R").arg(user.uid.to_string()).arg(directory.path()).status();
    assert!(copied.success() && owner.unwrap().success());
    let mut command = user.command(rootstrap_tests::program::path());
    command
        .args(arguments)
        .arg("--offline")
        .arg("--cache-dir")
        .arg(&copy)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let theirs = command.current_dir("/").output().unwrap();
    assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
    assert!(ours.stdout == theirs.stdout, "{} and {} bytes differ", ours.stdout.len(), theirs.stdout.len());
    assert!(ours.stdout.len() > 10_000_000 && !root.exists());
}

/// Python and Java as runtimes without shell or package manager. Nothing of them runs while they are made.
#[test]
fn trixie_distroless_runs_python_and_java() {
    need!(machine::root());
    let user = need!(machine::user());
    need!(live::answers(cache(), "trixie"));
    let (directory, root) = live::scratch();
    let variant = ["--variant=distroless", "--include=python3,openjdk-21-jre-headless", "--quiet"];
    let run = |target: &str| {
        let output = live::command(cache(), &[&["trixie", target], &variant[..]].concat()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    run(root.to_str().unwrap());
    for absent in ["bin/sh", "usr/bin/dpkg", "usr/bin/apt", "usr/bin/perl", "var/lib/dpkg/status"] {
        assert!(root.join(absent).symlink_metadata().is_err(), "{absent}");
    }
    let status = fs::read_to_string(root.join("var/lib/dpkg/status.d/python3-minimal")).unwrap();
    assert!(status.starts_with("Package: python3-minimal\n") && !status.contains("\nStatus: "), "{status}");
    let python = "import ctypes, curses, json, lzma, readline, socket, sqlite3, ssl, uuid, zoneinfo, pwd\n\
                  ctypes.CDLL('libz.so.1')\n\
                  print(zoneinfo.ZoneInfo('Europe/Berlin').key, socket.getservbyname('https'), pwd.getpwuid(65532).pw_dir)\n\
                  print(len(ssl.create_default_context().get_ca_certs()))";
    let printed = base::prints(&root, &["/usr/bin/python3", "-c", python]);
    let (first, roots) = printed.trim_end().split_once('\n').unwrap();
    assert_eq!(first, "Europe/Berlin 443 /home/nonroot");
    assert!(roots.parse::<u32>().unwrap() > 100, "{printed}");
    // A JVM finds its own path in /proc.
    let script = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"";
    let mut keytool = std::process::Command::new("unshare");
    keytool.args(["--mount", "sh", "-c", script]).arg(&root);
    let keytool = keytool.args(["/usr/bin/keytool", "-list", "-cacerts", "-storepass", "changeit"]).output().unwrap();
    let listed = String::from_utf8_lossy(&keytool.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&keytool.stderr);
    assert!(listed.contains(&format!("Your keystore contains {roots} entries")), "{listed}{complaint}");

    let ours = run("-");
    // The user gets a copy of the cache that root has filled.
    let copy = directory.path().join("cache");
    let copied =
        std::process::Command::new("cp").arg("-r").arg(cache().join("live-cache")).arg(&copy).status().unwrap();
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let owner = std::process::Command::new("chown").arg("-R").arg(user.uid.to_string()).arg(&copy).status();
    assert!(copied.success() && owner.unwrap().success());
    let mut command = user.command(rootstrap_tests::program::path());
    command.args(["trixie", "-"]).args(variant).arg("--offline").arg("--cache-dir").arg(&copy).env_clear();
    let theirs = command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/").output().unwrap();
    assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
    assert!(ours == theirs.stdout && ours.len() > 10_000_000, "{} and {} bytes", ours.len(), theirs.stdout.len());
}

/// The same system in every mode, including everything that its scripts do to owners and devices.
fn same_in_every_mode(suite: &str, variant: &str) {
    need!(machine::root());
    need!(live::answers(cache(), suite));
    let archive = |mode: &str| {
        let arguments = [suite, "-", "--quiet", variant, "--mode", mode];
        let output = live::command(cache(), &arguments).output().unwrap();
        assert!(output.status.success(), "{mode}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.len() > 10_000_000);
        output.stdout
    };
    let root = archive("root");
    for mode in ["unshare", "single", "chroot"] {
        assert!(archive(mode) == root, "{suite} is another archive in mode {mode}");
    }
}

#[test]
fn trixie_is_the_same_in_every_mode() {
    same_in_every_mode("trixie", "--variant=minbase");
}

#[test]
fn focal_is_the_same_in_every_mode() {
    same_in_every_mode("focal", "--variant=important");
}

/// Makes a root with `--image` and these arguments.
fn image(suite: &str, more: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
    let (directory, root) = live::scratch();
    let words = [&[suite, root.to_str().unwrap(), "--image", "--quiet"], more].concat();
    let output = live::command(cache(), &words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (directory, root)
}

#[test]
fn a_slim_trixie_is_what_the_rules_leave_of_a_whole_one() {
    need!(machine::root());
    need!(live::answers(cache(), "trixie"));
    let (_whole, whole) = image("trixie", &[]);
    let (_slim, slim) = image("trixie", &["--slim"]);
    base::prints(&whole, &["sh", "-c", base::SLIM_RULES]);
    // The differences are dpkg's configuration and alternatives for manuals, because update-alternatives links no missing files.
    let explained = |line: &str| {
        let manual = line.starts_with("/etc/alternatives/") && line.contains(" /usr/share/man/");
        manual || line.starts_with("/etc/dpkg/dpkg.cfg.d/docker ") || line.starts_with("/var/lib/dpkg/alternatives/")
    };
    let dump = |root: &Path| -> Vec<String> {
        let lines = rootstrap_testkit::tree::dump(root);
        lines.lines().filter(|line| !explained(line)).map(str::to_owned).collect()
    };
    let (whole, slim) = (dump(&whole), dump(&slim));
    let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    assert!(whole == slim, "{:#?}\n{:#?}", only(&whole, &slim), only(&slim, &whole));
    assert!(slim.len() > 2000);
}

/// Checks the marks with the target's own apt, and the vendor's user with the target's own id.
fn images(suite: &str, manual: &str) {
    need!(machine::root());
    need!(live::answers(cache(), suite));
    let (_directory, root) = image(suite, &["--include=less"]);
    assert_eq!(base::prints(&root, &["apt-mark", "showmanual"]), manual);
    let said = base::prints(&root, &["apt-get", "--simulate", "autoremove"]);
    assert!(said.contains("\n0 upgraded, 0 newly installed, 0 to remove"), "{said}");
    let ubuntu = suite == "noble";
    let user = base::inside(&root, &["id", "ubuntu"]).stdout;
    let groups = "uid=1000(ubuntu) gid=1000(ubuntu) groups=1000(ubuntu),4(adm),20(dialout),24(cdrom),25(floppy),27(sudo),\
                  29(audio),30(dip),44(video),46(plugdev)\n";
    assert_eq!(String::from_utf8_lossy(&user), if ubuntu { groups } else { "" });
    assert_eq!(root.join("home/ubuntu/.profile").exists(), ubuntu);
    assert_eq!(fs::read(root.join("etc/default/locale")).ok(), ubuntu.then(|| b"LANG=C.UTF-8\n".to_vec()));
}

#[test]
fn an_image_of_trixie_has_the_vendors_settings() {
    images("trixie", "less\n");
}

#[test]
fn an_image_of_noble_has_the_vendors_settings() {
    images("noble", "less\nprocps\n");
}

/// One stage, `rootstrap second-stage` and the script in the tree make the same tree. The script does again in shell what one stage does
/// in Rust, so this test runs on a suite of every layout that the two have to know. The script alone cannot do one thing: make the byte
/// code of Python independent of the run that compiled it. So the content of these files is not compared after it.
fn two_stages_are_one(suite: &str, variant: &str) {
    need!(machine::root());
    need!(live::answers(cache(), suite));
    let (directory, one) = live::scratch();
    let make = |root: &Path, more: &[&str]| {
        let arguments = [&[suite, root.to_str().unwrap(), "--quiet", variant], more].concat();
        let output = live::command(cache(), &arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    make(&one, &[]);
    let one = tree::dump(&one);
    let compare = |way: &str, one: &str, other: &str| {
        let differences: Vec<_> = one.lines().zip(other.lines()).filter(|(one, other)| one != other).take(9).collect();
        assert!(one == other, "{suite} after {way}: {differences:#?}");
    };
    let without_byte_code = |dump: &str| -> String {
        let content = |line: &str| !line.contains(".pyc file ");
        dump.lines()
            .map(|line| if content(line) { line } else { line.split(" file ").next().unwrap() }.to_owned() + "\n")
            .collect()
    };

    let root = directory.path().join("by-command");
    make(&root, &["--foreign"]);
    let output =
        Command::new(program::path()).args(["second-stage", root.to_str().unwrap(), "--quiet"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    compare("rootstrap second-stage", &one, &tree::dump(&root));

    let root = directory.path().join("by-script");
    make(&root, &["--foreign"]);
    base::prints(&root, &["/rootstrap/second-stage"]);
    compare("/rootstrap/second-stage", &without_byte_code(&one), &without_byte_code(&tree::dump(&root)));
}

#[test]
fn two_stages_of_trixie_are_one() {
    two_stages_are_one("trixie", "--variant=minbase");
}

#[test]
fn two_stages_of_bullseye_are_one() {
    two_stages_are_one("bullseye", "--variant=minbase");
}

#[test]
fn two_stages_of_focal_are_one() {
    two_stages_are_one("focal", "--variant=important");
}

#[test]
fn two_stages_of_noble_are_one() {
    two_stages_are_one("noble", "--variant=minbase");
}

/// A third party's archive, whose indexes apt-ftparchive makes: rootstrap installs from it, and apt does so again in the result. With hooks
/// and settings that only a real system can have.
#[test]
fn an_archive_of_other_tools_is_used_at_once_and_later() {
    need!(machine::root());
    if !machine::has("apt-ftparchive") {
        return rootstrap_tests::skip("apt-ftparchive is not installed");
    }
    need!(live::answers(cache(), "trixie"));
    let (directory, root) = live::scratch();
    let key = Key::generate("third");
    let place = directory.path().join("archive");
    let index = place.join("dists/rolling/main/binary-amd64");
    fs::create_dir_all(&index).unwrap();
    fs::create_dir_all(place.join("pool")).unwrap();
    for name in ["gadget", "widget"] {
        let deb = Deb::new(name, "1").arch("all").field("Depends", "base-files").file(
            &format!("/usr/share/{name}"),
            0o644,
            "",
        );
        fs::write(place.join(format!("pool/{name}_1_all.deb")), deb.build()).unwrap();
    }
    let make = |arguments: &[&str]| {
        let output = Command::new("apt-ftparchive").args(arguments).current_dir(&place).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    fs::write(index.join("Packages"), make(&["packages", "pool"])).unwrap();
    let fields = ["Codename=rolling", "Architectures=amd64", "Components=main", "Origin=Third"];
    let fields = fields.map(|field| format!("-oAPT::FTPArchive::Release::{field}"));
    let words: Vec<&str> = fields.iter().map(String::as_str).chain(["release", "dists/rolling"]).collect();
    let release = make(&words);
    fs::write(place.join("dists/rolling/InRelease"), key.clearsign(&release)).unwrap();
    let mut files = rootstrap_testkit::Files::new();
    for path in [
        "dists/rolling/InRelease",
        "dists/rolling/main/binary-amd64/Packages",
        "pool/gadget_1_all.deb",
        "pool/widget_1_all.deb",
    ] {
        files.insert(path.to_owned(), fs::read(place.join(path)).unwrap());
    }
    let server = Server::start(files);
    let keyring = directory.path().join("third.asc");
    fs::write(&keyring, key.public_armored()).unwrap();
    let source = format!("--source=deb [signed-by={}] {} rolling main", keyring.display(), server.url());
    let target = root.to_str().unwrap();
    let arguments = [
        "trixie",
        target,
        "--arch=amd64",
        &source,
        "--include=gadget",
        "--hostname=third",
        "--timezone=Europe/Berlin",
        "--add-user=ci:1234",
        "--lock-root",
        "--hook=@customize=id -un ci > /seen; date +%Z >> /seen",
        "--hook=customize=chroot \"$1\" dpkg-query -W -f '${Version}\\n' gadget >> \"$1/seen\"",
    ];
    let output = live::command(cache(), &arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = fs::read_to_string(root.join("seen")).unwrap();
    assert!(["ci\nCET\n1\n", "ci\nCEST\n1\n"].contains(&seen.as_str()), "{seen}");
    assert!(fs::read_to_string(root.join("etc/shadow")).unwrap().starts_with("root:!:"));
    base::assert_consistent(&root);
    // apt asks this archive alone, so that the test does not depend on another.
    let script = "mv /etc/apt/sources.list.d/debian.sources /root && apt-get update && apt-get install -y widget";
    let entered = Command::new(program::path()).args(["enter", target, "sh", "-ec", script]).output().unwrap();
    assert!(entered.status.success(), "{}", String::from_utf8_lossy(&entered.stderr));
    assert_eq!(base::prints(&root, &["dpkg-query", "-W", "-f", "${Version}", "widget"]), "1");
    assert!(!root.join("etc/resolv.conf").exists());
}
