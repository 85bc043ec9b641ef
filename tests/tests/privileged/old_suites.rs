//! Suites that have ended, from archives with the layout that theirs had. As a user would, the tests give a name and no mirror.
//!
//! The test's server is the proxy for the vendors' own addresses, so the program prints and writes into the target the addresses
//! of `suites/*.toml`.

use crate::systems::assert_finished;
use crate::{probe, watcher};
use rootstrap_testkit::Files;
use rootstrap_testkit::archive::{Archive, Digest, Signing};
use rootstrap_testkit::deb::{Compression, Deb};
use rootstrap_testkit::keys::{Key, KeyOptions};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{World, names};
use rootstrap_tests::{machine, need};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

const DAY: u64 = 86_400;

/// A key like those of such suites: made before the suite, and expired by now.
static OLD_KEY: LazyLock<Key> = LazyLock::new(|| {
    let created = 15_471 * DAY;
    let valid_for = Some(Duration::from_secs(13 * 365 * DAY));
    Key::generate_with("archive", &KeyOptions { created, valid_for, ..KeyOptions::default() })
});

/// What an ended suite was like, and what its root has to be like.
struct Shape {
    suite: &'static str,
    /// Days since 1970 of the last Release of its security pocket; the others are a day older.
    day: u64,
    /// Directory of the mirror and name under `dists/` of each pocket; the last pocket is the one for security.
    pockets: &'static [(&'static str, &'static str)],
    signing: Signing,
    forms: &'static [Compression],
    sources: &'static str,
    layout: Layout,
    /// Mode of a directory that a first package ships as 0755 and a later one as 0775.
    directory: u32,
    note: bool,
    /// Which of two packages comes first in dpkg's hash table of this size.
    first: &'static str,
}

const TRUSTY: Shape = Shape {
    suite: "trusty",
    day: 18_006,
    pockets: &[("ubuntu", "trusty"), ("ubuntu", "trusty-updates"), ("ubuntu", "trusty-security")],
    signing: Signing::Detached,
    forms: &[Compression::Bz2],
    sources: "deb http://archive.ubuntu.com/ubuntu trusty main universe restricted multiverse\n\
              deb http://archive.ubuntu.com/ubuntu trusty-updates main universe restricted multiverse\n\
              deb http://security.ubuntu.com/ubuntu trusty-security main universe restricted multiverse\n",
    layout: Layout::Split,
    directory: 0o775,
    note: true,
    first: "libudev1",
};

/// The archive has not kept its updates pocket.
const JESSIE: Shape = Shape {
    suite: "jessie",
    day: 18_440,
    pockets: &[("debian", "jessie"), ("debian-security", "jessie/updates")],
    signing: Signing::Detached,
    forms: &[Compression::Gz],
    sources: "deb http://archive.debian.org/debian jessie main\n\
              deb http://archive.debian.org/debian-security jessie/updates main\n",
    layout: Layout::Split,
    directory: 0o775,
    note: false,
    first: "libudev1",
};

const STRETCH: Shape = Shape {
    suite: "stretch",
    day: 19_172,
    pockets: &[("debian", "stretch"), ("debian", "stretch-updates"), ("debian-security", "stretch/updates")],
    signing: Signing::Both,
    forms: &[Compression::Bz2, Compression::Lzma],
    sources: "deb http://archive.debian.org/debian stretch main\n\
              deb http://archive.debian.org/debian-security stretch/updates main\n",
    layout: Layout::Split,
    directory: 0o755,
    note: false,
    first: "libudev1",
};

const BUSTER: Shape = Shape {
    suite: "buster",
    day: 19_903,
    pockets: &[("debian", "buster"), ("debian", "buster-updates"), ("debian-security", "buster/updates")],
    signing: Signing::InRelease,
    forms: &[Compression::Gz, Compression::Xz],
    sources: "deb http://archive.debian.org/debian buster main\n\
              deb http://archive.debian.org/debian-security buster/updates main\n",
    layout: Layout::Merged,
    directory: 0o755,
    note: false,
    first: "libestr0",
};

impl Shape {
    /// Returns the sources with the keys of this test, which are not the vendor's.
    fn signed_sources(&self) -> String {
        let vendor = if self.sources.contains("ubuntu.com") { "ubuntu" } else { "debian" };
        self.sources.replace("deb ", &format!("deb [signed-by=/etc/apt/keyrings/{vendor}.gpg] "))
    }

    /// The mirror with all pockets: the base system in the first, a fix in the last.
    fn files(&self) -> Result<Files, String> {
        // None of these suites shipped the links of a merged /usr.
        let debs = base::debs(Layout::Split)?;
        let architecture = base::native(&debs);
        let native = |deb: Deb| if deb.get("Architecture") == Some("all") { deb } else { deb.arch(&architecture) };
        let fixed = Deb::new("hello", "2.10-3+fix")
            .field("Priority", "optional")
            .file("/usr/bin/hello", 0o755, "#!/bin/sh\necho 'Hello, world!'\n")
            .data_compression(Compression::Lzma);
        let mut files = Files::new();
        for (number, (directory, dist)) in self.pockets.iter().enumerate() {
            let is_security = number + 1 == self.pockets.len();
            let debs: Vec<Deb> = match number {
                0 => debs.iter().cloned().chain(additions()).map(native).enumerate().map(packed).collect(),
                _ if is_security => vec![native(fixed.clone())],
                _ => Vec::new(),
            };
            let mut archive = Archive::new(dist).key(&OLD_KEY).debs(debs);
            archive.architectures = vec![architecture.clone()];
            archive.date = (self.day - u64::from(!is_security)) * DAY;
            // The date has passed, as in the archives of ended suites. Ubuntu never had such a date.
            archive.valid_until = (is_security && *directory != "ubuntu").then_some(archive.date + 10 * DAY);
            archive.acquire_by_hash = false;
            archive.digests = vec![Digest::Md5Sum, Digest::Sha1, Digest::Sha256];
            (archive.signing, archive.forms) = (self.signing, self.forms.to_vec());
            if *directory == "ubuntu" {
                (archive.origin, archive.label) = ("Ubuntu".into(), "Ubuntu".into());
                (archive.suite, archive.codename) = ((*dist).into(), self.suite.into());
            }
            files.extend(archive.build().into_iter().map(|(path, bytes)| (format!("{directory}/{path}"), bytes)));
        }
        Ok(files)
    }

    fn world(&self) -> Result<World, String> {
        machine::root()?;
        let world = World::serving_below(self.suite, "/debian", self.files()?);
        fs::write(world.path("key.pgp"), OLD_KEY.public()).unwrap();
        Ok(world)
    }

    /// Runs `rootstrap SUITE TARGET MORE` with the test's server as the proxy for every address.
    fn build(&self, world: &World, name: &str, more: &[&str], epoch: Option<u64>) -> (Outcome, PathBuf) {
        let target = world.target(name);
        let mut command = world.bare(&[self.suite, &target, PACKAGES]);
        command.args(more).arg("--keyring").arg(world.path("key.pgp")).arg("--cache-dir").arg(world.path("cache"));
        command.env("http_proxy", world.server.url());
        command.envs(epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch.to_string())));
        (world.finish(&mut command), target.into())
    }
}

const PACKAGES: &str = "--include=probe,watcher,hello,passwd,udev,rsyslog";

/// Returns the packages that make the tiny distribution an old one: upstart, tools that ask the clock, groups of pre-dependencies.
fn additions() -> Vec<Deb> {
    let required = |name: &str| Deb::new(name, "1").field("Priority", "required");
    let optional = |name: &str| Deb::new(name, "1").field("Priority", "optional");
    let ordered = |name: &str| {
        let script = format!("#!/bin/sh\nset -e\necho {name} >>/var/lib/order.log\n");
        optional(name).script("postinst", &script)
    };
    vec![
        probe(),
        watcher(),
        required("upstart").file("/sbin/initctl", 0o755, INITCTL),
        required("mountall").field("Depends", "upstart").script(
            "postinst",
            "#!/bin/sh\nset -e\ninitctl start mountall\n/sbin/initctl reload-configuration\n\
             initctl version >/var/lib/initctl.version\n",
        ),
        // Each package has a file of its own, because dpkg lets a package without files disappear.
        required("a-directory").dir("/usr/share/quirk", 0o755).file("/usr/share/quirk/a", 0o644, ""),
        required("z-directory").dir("/usr/share/quirk", 0o775).file("/usr/share/quirk/z", 0o644, ""),
        // passwd before 4.5 knows nothing of SOURCE_DATE_EPOCH.
        optional("passwd").script(
            "postinst",
            "#!/bin/sh\nset -e\ntoday=$(($(date +%s) / 86400))\n\
             printf 'root:*:%s:0:99999:7:::\\nsince:*:15000:0:99999:7:::\\nnever:!::0:99999:7:::\\n' \"$today\" >/etc/shadow\n\
             chown 0:42 /etc/shadow\nchmod 640 /etc/shadow\ncp -p /etc/shadow /etc/shadow-\n",
        ),
        // Two groups of pre-dependencies. dpkg's hash decides which of the two packages comes first.
        optional("udev").field("Pre-Depends", "libudev1"),
        optional("rsyslog").field("Pre-Depends", "libestr0"),
        ordered("libudev1"),
        ordered("libestr0"),
        optional("build-essential"),
    ]
}

const INITCTL: &str = "#!/bin/sh\necho \"$*\" >>/var/lib/initctl.log\necho 'init (upstart 1.12.1)'\n";

/// Returns the packages with the compressors of their day, each with another one; some have no `md5sums` yet.
fn packed((number, deb): (usize, Deb)) -> Deb {
    let data = [Compression::Gz, Compression::Lzma, Compression::Bz2, Compression::Xz, Compression::None];
    let control = [Compression::Gz, Compression::None];
    deb.data_compression(data[number % data.len()])
        .control_compression(control[number / 2 % control.len()])
        .md5sums(number % 2 == 0)
}

fn days_in_shadow(root: &Path, file: &str) -> Vec<String> {
    let text = fs::read_to_string(root.join(file)).unwrap();
    text.lines().map(|line| line.split(':').nth(2).unwrap().to_owned()).collect()
}

fn builds(shape: &Shape) {
    let world = need!(shape.world());
    let (outcome, root) = shape.build(&world, "root", &[], None);
    outcome.expect(0);
    assert_finished(&root, shape.layout);
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));

    assert_eq!(read("etc/apt/sources.list"), shape.signed_sources());
    assert_eq!(names(&root.join("etc/apt/sources.list.d")), [""; 0]);
    assert_eq!(base::prints(&root, &["dpkg-query", "-W", "-f", "${Version}", "hello"]), "2.10-3+fix");

    for top in ["bin", "sbin", "lib"] {
        assert_eq!(root.join(top).is_symlink(), shape.layout == Layout::Merged, "{top}");
    }
    assert_eq!(root.join("usr/bin/dash").exists(), shape.layout == Layout::Merged);
    let note = root.join("etc/unsupported-skip-usrmerge-conversion");
    assert_eq!(note.exists(), shape.note);
    let mode = fs::metadata(root.join("usr/share/quirk")).unwrap().mode() & 0o7777;
    assert_eq!(mode, shape.directory, "{mode:o}");

    // This is the whole file: both groups were added, each once.
    let second = if shape.first == "libudev1" { "libestr0" } else { "libudev1" };
    assert_eq!(read("var/lib/order.log"), format!("{}\n{second}\n", shape.first));

    // Scripts asked the real initctl only for its version, and the root has the real one at the end.
    assert_eq!(read("var/lib/initctl.log"), "version\n");
    assert_eq!(read("var/lib/initctl.version"), "init (upstart 1.12.1)\n");
    assert_eq!(read("sbin/initctl"), INITCTL);

    for file in ["etc/shadow", "etc/shadow-"] {
        assert_eq!(days_in_shadow(&root, file), [&shape.day.to_string(), "15000", ""], "{file}");
        let meta = fs::metadata(root.join(file)).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.gid()), (0o640, 42), "{file}");
        assert_eq!(meta.mtime().unsigned_abs(), shape.day * DAY, "{file}");
    }

    let asked = world.server.requests();
    let (inline, detached) = (shape.signing == Signing::InRelease, shape.signing == Signing::Detached);
    let got = |end: &str| asked.iter().any(|request| request.path.ends_with(end));
    assert_eq!((got("/Release.gpg"), got("/InRelease")), (!inline && detached, true));
    assert!(asked.iter().all(|request| !request.path.contains("by-hash")));
    base::assert_nothing_left(&world, &["root"]);
}

#[test]
fn trusty() {
    builds(&TRUSTY);
}

#[test]
fn jessie() {
    builds(&JESSIE);
}

#[test]
fn stretch() {
    builds(&STRETCH);
}

#[test]
fn buster() {
    builds(&BUSTER);
}

/// No package of this suite makes the links of a merged /usr, and a build chroot gets none.
#[test]
fn a_build_chroot_of_a_merged_suite_is_not_merged() {
    let world = need!(BUSTER.world());
    let (outcome, root) = BUSTER.build(&world, "root", &["--variant=buildd"], None);
    outcome.expect(0);
    assert_finished(&root, Layout::Split);
    assert!(!root.join("etc/unsupported-skip-usrmerge-conversion").exists());
}

/// The user's epoch counts before the archive's date, for files and for dates that old tools write into files.
#[test]
fn an_epoch_is_the_youngest_day_in_shadow() {
    let world = need!(JESSIE.world());
    let day = 16_000;
    let (outcome, root) = JESSIE.build(&world, "root", &[], Some(day * DAY + 7));
    outcome.expect(0);
    for file in ["etc/shadow", "etc/shadow-"] {
        assert_eq!(days_in_shadow(&root, file), ["16000", "15000", ""], "{file}");
    }
    // An epoch before the oldest day in the file changes that day too.
    let (outcome, root) = JESSIE.build(&world, "older", &[], Some(14_000 * DAY));
    outcome.expect(0);
    assert_eq!(days_in_shadow(&root, "etc/shadow"), ["14000", "14000", ""]);
}

/// A mirror need not have every pocket. The target's sources must not name a pocket that the mirror lacks.
#[test]
fn a_pocket_that_is_nowhere_is_not_in_the_sources() {
    for (shape, updates) in [(&JESSIE, ""), (&STRETCH, "deb MIRROR/debian stretch-updates main\n")] {
        let world = need!(shape.world());
        let target = world.target("root");
        world.run(&[&target, PACKAGES]).expect(0);
        let sources = fs::read_to_string(Path::new(&target).join("etc/apt/sources.list")).unwrap();
        let suite = shape.suite;
        assert_eq!(sources.matches(" [signed-by=/etc/apt/keyrings/debian.gpg] ").count(), sources.lines().count());
        assert_eq!(
            sources.replace(&world.server.url(), "MIRROR").replace(" [signed-by=/etc/apt/keyrings/debian.gpg]", ""),
            format!("deb MIRROR/debian {suite} main\n{updates}deb MIRROR/debian-security {suite}/updates main\n")
        );
    }
}

/// Like the vendors' images, these keep the fake initctl where upstart may be the init, with a local diversion, and their apt
/// accepts the expired archive of an ended suite.
#[test]
fn images_have_the_settings_of_their_suite() {
    for (shape, diverted, ended, gzip) in
        [(&TRUSTY, true, false, true), (&JESSIE, true, true, true), (&STRETCH, false, true, false)]
    {
        let world = need!(shape.world());
        let (outcome, path) = shape.build(&world, "image.tar", &["--image"], None);
        outcome.expect(0);
        let suite = shape.suite;
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(fs::File::open(path).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().trim_start_matches("./").to_owned();
            if path.starts_with("etc/unsupported")
                || path.starts_with("sbin/initctl")
                || path == "var/lib/dpkg/diversions"
                || path.starts_with("etc/apt/") && !path.ends_with(".gpg")
            {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                files.insert(path, text);
            }
        }
        let file = |path: &str| files.get(path).map(String::as_str);
        assert_eq!(file("sbin/initctl.distrib"), diverted.then_some(INITCTL), "{suite}");
        assert_eq!(file("sbin/initctl") == Some(INITCTL), !diverted, "{suite}");
        assert_eq!(file("etc/unsupported-skip-usrmerge-conversion"), None, "{suite}");
        let diversions = file("var/lib/dpkg/diversions").unwrap_or_default();
        assert_eq!(diversions.contains("/sbin/initctl\n/sbin/initctl.distrib\n:\n"), diverted, "{suite}");
        let valid_until = file("etc/apt/apt.conf.d/check-valid-until.conf").unwrap_or_default();
        assert_eq!(valid_until.contains("Acquire::Check-Valid-Until \"false\";\n"), ended, "{suite}");
        let indexes = file("etc/apt/apt.conf.d/docker-gzip-indexes").unwrap();
        assert_eq!(indexes.contains("Order:: \"gz\""), gzip, "{suite}");
        assert_eq!(file("etc/apt/sources.list"), Some(shape.signed_sources().as_str()));
    }
}
