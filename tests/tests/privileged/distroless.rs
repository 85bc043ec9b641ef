//! Trees without scripts: what is in them, what runs in them, and that any user can make one.

use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::host;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::{World, names};
use rootstrap_tests::{machine, need};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----";

/// Returns a world with a runtime, its certificates and its tools on top of the base system.
fn world() -> Result<World, String> {
    let program = host::programs(&["cat"])?;
    let program = program.iter().find(|file| file.path.ends_with("/cat") && file.link.is_none());
    let program = program.ok_or("cat is a link here")?;
    let fails = "#!/bin/sh\nexit 1\n";
    let java = "/usr/lib/jvm/java-9";
    let packages = [
        Deb::new("reader", "1")
            .field("Depends", "libc6, bash | dash, debconf (>= 9) | debconf-2.0, awk, jvm")
            .file("/usr/bin/reader.real", 0o755, &program.content)
            .conffile("/etc/reader.conf", "reader\n")
            .script("preinst", fails)
            .script(
                "postinst",
                "#!/bin/sh\nupdate-alternatives --install /usr/bin/reader reader \\\n    /usr/bin/reader.real 7\nexit 1\n",
            ),
        Deb::new("jvm", "9")
            .field("Depends", "ca-certificates-java")
            .file(&format!("{java}/bin/java"), 0o755, "java")
            .symlink(&format!("{java}/lib/security/cacerts"), "/etc/ssl/certs/java/cacerts")
            .file(
                "/usr/lib/jvm/.java-9.jinfo",
                0o644,
                format!("priority=9\nhl java {java}/bin/java\nhl gone {java}/bin/gone\n"),
            ),
        Deb::new("ca-certificates", "1")
            .arch("all")
            .field("Depends", "openssl, debconf")
            .file("/usr/share/ca-certificates/mozilla/B (2).crt", 0o644, PEM)
            .file("/usr/share/ca-certificates/mozilla/A.crt", 0o644, format!("{PEM}\n"))
            .file("/usr/share/ca-certificates/README", 0o644, "no certificate\n")
            .script("postinst", fails),
        Deb::new("tzdata", "1").arch("all").file("/usr/share/zoneinfo/UTC", 0o644, "TZif2"),
    ];
    Ok(World::new(&base::archive(Layout::Merged, packages.map(|deb| deb.field("Priority", "optional")))?))
}

const ARGUMENTS: [&str; 2] = ["--variant=distroless", "--include=reader"];

#[test]
fn a_tree_has_what_runs_and_nothing_else() {
    need!(machine::root());
    let world = need!(world());
    let target = world.target("tree");
    let outcome = world.run(&[&[target.as_str(), "-v"], &ARGUMENTS[..]].concat()).expect(0);
    outcome.says(&["dependencies left out: ", "ca-certificates-java, debconf, openssl"]);
    let root = Path::new(&target);
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));

    assert_eq!(names(&root.join("usr/bin")), ["java", "reader", "reader.real"]);
    for absent in ["usr/bin/sh", "bin/sh", "usr/bin/dpkg", "usr/bin/apt", "var/lib/dpkg/status", "var/lib/dpkg/info"] {
        assert!(root.join(absent).symlink_metadata().is_err(), "{absent}");
    }
    assert_eq!(text("etc/reader.conf"), "reader\n");
    let listed: Vec<String> = names(&root.join("var/lib/dpkg/status.d"));
    for package in ["base-files", "ca-certificates", "jvm", "libc6", "reader", "tzdata"] {
        assert!(listed.iter().any(|name| name == package), "{package} is not in {listed:?}");
        assert!(text(&format!("var/lib/dpkg/status.d/{package}")).starts_with("Package: "), "{package}");
    }
    assert!(text("var/lib/dpkg/status.d/reader.md5sums").contains("  usr/bin/reader.real\n"));
    assert!(!listed.iter().any(|name| name.starts_with("debconf") || name.starts_with("dpkg")), "{listed:?}");

    // The two certificates come in the order of their names, and the second one gets the newline that it lacks.
    assert_eq!(text("etc/ssl/certs/ca-certificates.crt"), format!("{PEM}\n{PEM}\n"));
    let link = |path: &str| fs::read_link(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(link("usr/lib/ssl/cert.pem"), Path::new("/etc/ssl/certs/ca-certificates.crt"));
    let keystore = fs::read(root.join("etc/ssl/certs/java/cacerts")).unwrap();
    assert!(keystore.starts_with(&[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 2]));
    for alias in ["debian:a.pem", "debian:b_=2=.pem"] {
        assert!(keystore.windows(alias.len()).any(|part| part == alias.as_bytes()), "{alias}");
    }
    assert_eq!(link("usr/bin/java"), Path::new("/usr/lib/jvm/java-9/bin/java"));
    assert_eq!(link("var/run"), Path::new("/run"));

    let about = |path: &str| {
        let meta = fs::metadata(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    };
    assert_eq!(about("home/nonroot"), (0o700, 65532, 65532));
    assert_eq!((about("root"), about("home")), ((0o700, 0, 0), (0o755, 0, 0)));
    assert_eq!((about("tmp").0, about("var/tmp").0), (0o1777, 0o1777));
    let newest = fs::metadata(root.join("etc/passwd")).unwrap().mtime();
    assert_eq!(newest, i64::try_from(rootstrap_testkit::EPOCH).unwrap(), "times are clamped");

    // This needs the alternative, the loader's cache and the accounts.
    let accounts = base::prints(root, &["/usr/bin/reader", "/etc/passwd"]);
    let users: Vec<&str> = accounts.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(users, ["root", "nobody", "nonroot"]);
    assert!(accounts.lines().all(|line| line.ends_with(":/sbin/nologin")), "{accounts}");
    if machine::has("ldconfig") {
        let cache = root.join("etc/ld.so.cache");
        let output = Command::new("ldconfig").arg("-C").arg(cache).arg("-p").output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(printed.contains("\tlibc.so.6 (libc6"), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    }
    base::assert_nothing_left(&world, &["tree"]);
}

#[test]
fn every_user_makes_the_same_archive() {
    need!(machine::root());
    let user = need!(machine::user());
    let world = need!(world());
    let (ours, theirs, image) = (world.target("a.tar"), world.target("b.tar"), world.target("c.tar"));
    world.run(&[&[ours.as_str()], &ARGUMENTS[..]].concat()).expect(0);
    world.finish(&mut world.command_as(&user, &[&[theirs.as_str()], &ARGUMENTS[..]].concat())).expect(0);
    let bytes = fs::read(&ours).unwrap();
    assert!(bytes == fs::read(&theirs).unwrap(), "a user");
    world.run(&[&[image.as_str(), "--image"], &ARGUMENTS[..]].concat()).expect(0);
    let paths = |bytes: &[u8]| -> Vec<String> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(Result::unwrap);
        let path = |entry: tar::Entry<'_, &[u8]>| String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        entries.map(path).filter(|path| !path.starts_with("./dev/")).collect()
    };
    assert_eq!(
        paths(&fs::read(&image).unwrap()),
        paths(&bytes),
        "an image has no settings for tools that are not there"
    );
    base::assert_nothing_left(&world, &["a.tar", "b.tar", "c.tar"]);
}

#[test]
fn what_is_named_is_there_and_a_first_stage_is_none() {
    need!(machine::root());
    let world = need!(world());
    let target = world.target("tree");
    world
        .run(&[&target, "--variant=distroless", "--foreign"])
        .expect(2)
        .says(&["--foreign: --variant=distroless has no second stage"]);
    world.run(&[&target, "--variant=distroless", "--include=dash", "--exclude=ca-certificates,tzdata"]).expect(0);
    let root = Path::new(&target);
    let shell = fs::metadata(root.join("usr/bin/dash")).unwrap();
    assert_eq!(shell.permissions().mode() & 0o7777, 0o755);
    for absent in ["etc/ssl", "usr/lib/ssl", "usr/share/zoneinfo", "usr/bin/dpkg"] {
        assert!(!root.join(absent).exists(), "{absent}");
    }
}
