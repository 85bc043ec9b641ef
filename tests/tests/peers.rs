//! The peers ring: unmodified programs that call debootstrap get this one in its place, and the tests of debootstrap and of mmdebstrap run
//! with it. All of it needs the live archive and root.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_tests::{live, machine, need, program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// The tests of mmdebstrap that run: formats, hooks, sources, patterns, targets, and what it prints nothing about.
const OF_MMDEBSTRAP: [&str; 24] = [
    "create-directory",
    "create-gzip-compressed-tarball",
    "xz-compressed-tarball",
    "create-tarball-dry-run",
    "directory-ending-in-tar",
    "read-from-stdin-write-to-stdout",
    "mirror-is-deb",
    "mirror-is-real-file",
    "mirror-is-stdin",
    "supply-components-manually",
    "signed-by-with-host-keys",
    "dist-using-codename",
    "customize-hook",
    "hook-directory",
    "include",
    "multiple-include",
    "existing-empty-directory",
    "existing-directory-with-lost-found",
    "fail-installing-to-non-empty-lost-found",
    "fail-installing-to-non-empty-target-directory",
    "fail-installing-to-existing-file",
    "error-if-stdout-is-tty",
    "debootstrap-no-op-options",
    "quiet",
];

/// A place to work in, with this program by the names of the others.
struct Scene {
    place: TempDir,
    mirror: String,
}

/// Returns the mirror of Debian that the host's apt uses.
fn mirror() -> Result<String, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let text = read("/etc/apt/sources.list.d/debian.sources") + &read("/etc/apt/sources.list");
    let is_uri = |word: &&str| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian");
    let found = text.split_whitespace().find(is_uri).map(|uri| uri.trim_end_matches('/').to_owned());
    found.ok_or_else(|| "apt of this machine names no mirror of Debian".to_owned())
}

fn cache() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

impl Scene {
    /// Needs root, these programs and the archive.
    fn new(programs: &[&str]) -> Result<Self, String> {
        machine::root()?;
        if let Some(name) = programs.iter().find(|name| !machine::has(name)) {
            return Err(format!("{name} is not installed"));
        }
        let mirror = mirror()?;
        live::answers(cache(), "trixie")?;
        let place = tempfile::Builder::new().prefix("peers").tempdir().unwrap();
        fs::create_dir(place.path().join("bin")).unwrap();
        for name in ["debootstrap", "mmdebstrap"] {
            std::os::unix::fs::symlink(program::path(), place.path().join("bin").join(name)).unwrap();
        }
        // Users of the tests have to come through.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(place.path(), open).unwrap();
        Ok(Self { place, mirror })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Runs a script of the shell, which stops at its first failure.
    fn output(&self, script: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-euc", script]).current_dir(self.place.path()).stdin(Stdio::null());
        let path = format!("{}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", self.path("bin").display());
        command.env("PATH", path).env("MIRROR", &self.mirror).env("PLACE", self.place.path());
        command.env("ROOTSTRAP_CACHE_DIR", cache().join("live-cache")).env_remove("APT_CONFIG");
        command.output().unwrap()
    }

    /// Runs a script that has to succeed, and returns what it printed.
    fn run(&self, script: &str) -> String {
        let output = self.output(script);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(60)..].join("\n");
        assert!(output.status.success(), "{script}: {}\n{end}", output.status);
        text
    }

    /// Downloads a source archive from the pool and unpacks it into `source`.
    fn fetch_source(&self, path: &str) -> Result<(), String> {
        let script = format!(
            "python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])' \"$MIRROR/pool/main/{path}\" x.tar.gz
             mkdir source && tar -xzf x.tar.gz -C source --strip-components=1"
        );
        let output = self.output(&script);
        let text = String::from_utf8_lossy(&output.stderr);
        match output.status.success() {
            true => Ok(()),
            false if text.contains("404") => Err(format!("the archive has no {path} any more")),
            false => panic!("{text}"),
        }
    }
}

/// sbuild's chroot, and a package that is built in it: with schroot, and without its own copy of the chroot's root.
#[test]
fn sbuild_makes_its_chroot_and_builds_in_it() {
    let scene = need!(Scene::new(&["sbuild-createchroot", "sbuild", "schroot"]));
    let user = need!(machine::user());
    let script = format!(
        "trap 'rm -rf /etc/schroot/chroot.d/peers-* /etc/sbuild/chroot/peers-*' EXIT
         sbuild-createchroot --chroot-prefix=peers trixie \"$PLACE/chroot\" \"$MIRROR\"
         user=$(id -nu {}); sbuild-adduser \"$user\"
         mkdir -p build/hello-1/debian; cd build/hello-1
         printf 'hello (1) unstable; urgency=low\\n\\n  * First.\\n\\n -- A B <a@b.test>  Sat, 01 Nov 2025 00:00:00 +0000\\n' >debian/changelog
         printf 'Source: hello\\nMaintainer: A B <a@b.test>\\nStandards-Version: 4.7.0\\n\\nPackage: hello\\nArchitecture: any\\nDescription: hello\\n' >debian/control
         mkdir debian/source; echo '3.0 (native)' >debian/source/format
         {{ echo '#!/usr/bin/make -f'; echo 'build clean binary-indep build-arch build-indep:'
            echo 'binary binary-arch:'
            printf '\\tmkdir -p out/DEBIAN out/usr/bin\\n\\techo \"int main(void) {{ return 0; }}\" | gcc -x c -o out/usr/bin/hello -\\n'
            printf '\\tdpkg-gencontrol -Pout\\n\\tdpkg-deb --root-owner-group --build out ..\\n'; }} >debian/rules
         chmod 755 debian/rules; cd ..; dpkg-source --build hello-1; chown -R \"$user\" .
         runuser -u \"$user\" -- sg sbuild -c 'sbuild --no-run-lintian -d trixie -c peers-amd64-sbuild hello_1.dsc'
         ls ./*.deb
         rootstrap=$PLACE/bin/rootstrap; ln -s \"$(readlink -f \"$PLACE/bin/debootstrap\")\" \"$rootstrap\"
         mkdir \"$PLACE/home\"; \"$rootstrap\" trixie \"$PLACE/home/.cache/sbuild/trixie-amd64.tar\" --variant=buildd --mirror=\"$MIRROR\"
         chown -R \"$user\" \"$PLACE/home\"; rm -f ./*.deb
         runuser -u \"$user\" -- env HOME=\"$PLACE/home\" sbuild --chroot-mode=unshare --no-run-lintian -d trixie hello_1.dsc
         ls ./*.deb",
        user.uid
    );
    scene.run(&script);
}

#[test]
fn pbuilder_makes_its_base_system() {
    let scene = need!(Scene::new(&["pbuilder"]));
    scene.run(
        "mkdir build
         pbuilder create --distribution trixie --mirror \"$MIRROR\" --basetgz \"$PLACE/base.tgz\" --buildplace \"$PLACE/build\" \
             --aptcache '' --debootstrapopts --variant=minbase
         tar -tzf base.tgz ./usr/bin/gcc",
    );
}

#[test]
fn live_build_bootstraps() {
    let scene = need!(Scene::new(&["lb"]));
    let text = scene.run(
        "mkdir live; cd live
         lb config --distribution trixie --mirror-bootstrap \"$MIRROR\" --mirror-chroot \"$MIRROR\" --mirror-binary \"$MIRROR\" \
             --archive-areas main --security false --updates false --debootstrap-options --variant=minbase
         lb bootstrap; ls chroot/etc cache/packages.bootstrap/*.deb",
    );
    assert!(!text.contains("configured multiple times"), "{text}");
}

#[test]
fn piuparts_tests_a_package() {
    let scene = need!(Scene::new(&["piuparts"]));
    let text = scene.run(
        "mkdir -p tool/DEBIAN tool/usr/share/tool; echo x >tool/usr/share/tool/x
         printf 'Package: tool\\nVersion: 1\\nArchitecture: all\\nMaintainer: A B <a@b.test>\\nDescription: tool\\n' >tool/DEBIAN/control
         dpkg-deb --root-owner-group --build tool tool_1_all.deb
         piuparts -d bookworm -m \"$MIRROR main\" --no-upgrade-test tool_1_all.deb",
    );
    assert!(text.contains("PASS: All tests"), "{text}");
}

#[test]
fn vmdb2_makes_a_disk() {
    let scene = need!(Scene::new(&["vmdb2", "losetup", "parted"]));
    fs::write(
        scene.path("disk.yaml"),
        format!(
            "steps:\n- mklabel: gpt\n  device: '{{{{ output }}}}'\n- mkpart: primary\n  device: '{{{{ output }}}}'\n  start: 1M\n  \
             end: 100%\n  tag: root\n- mkfs: ext4\n  partition: root\n- mount: root\n- debootstrap: bookworm\n  mirror: {}\n  \
             target: root\n  variant: minbase\n  keyring: /usr/share/keyrings/debian-archive-keyring.gpg\n\
             - apt: install\n  packages: [hello]\n  tag: root\n- fstab: root\n",
            scene.mirror
        ),
    )
    .unwrap();
    if !scene.output("truncate -s 2G disk; losetup -P -f --show disk >loop; test -b \"$(cat loop)\"").status.success() {
        return rootstrap_testkit::skip("there is no loop device");
    }
    scene.run("trap 'losetup -d \"$(cat loop)\"' EXIT; vmdb2 disk.yaml --output \"$(cat loop)\" --verbose");
}

#[test]
fn grml_debootstrap_makes_a_system() {
    let scene = need!(Scene::new(&["grml-debootstrap"]));
    scene.run(
        "grml-debootstrap --target \"$PLACE/grml\" --release trixie --mirror \"$MIRROR\" --force --nopassword --hostname grml \
             --nokernel --nopackages --debopt --variant=minbase
         test \"$(cat grml/etc/hostname)\" = grml",
    );
}

#[test]
fn the_template_of_lxc_makes_a_container() {
    let scene = need!(Scene::new(&["rsync"]));
    let template = "/usr/share/lxc/templates/lxc-debian";
    if !Path::new(template).exists() {
        return rootstrap_testkit::skip("lxc-templates is not installed");
    }
    scene.run(&format!(
        "mkdir container; LXC_CACHE_PATH=$PLACE/lxc {template} --name=peers --path=\"$PLACE/container\" \
             --rootfs=\"$PLACE/container/rootfs\" --release=bookworm --mirror=\"$MIRROR\" --security-mirror=\"$MIRROR\"
         test -x container/rootfs/sbin/init -a -e container/rootfs/var/lib/dpkg/status"
    ));
}

/// mkosi goes on with systemd-nspawn, which needs a machine that systemd has booted.
#[test]
fn mkosi_bootstraps() {
    let scene = need!(Scene::new(&["mkosi"]));
    if !scene.run("mkosi --version").starts_with("mkosi 14") {
        return rootstrap_testkit::skip("this mkosi does not call debootstrap any more");
    }
    let output = scene.output(
        "mkosi --distribution debian --release trixie --format directory --mirror \"$MIRROR\" -o \"$PLACE/out\" --force build",
    );
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(text.contains("I: Base system installed successfully.\n"), "{text}");
    assert!(!text.contains("'debootstrap'"), "{text}");
}

/// debootstrap's own autopkgtests. The release under test may be one that the mirror no longer updates.
#[test]
fn the_tests_of_debootstrap_succeed() {
    let scene = need!(Scene::new(&["perl", "python3", "flask"]));
    need!(scene.fetch_source("d/debootstrap/debootstrap_1.0.145.tar.gz"));
    for variant in ["minbase", "buildd", "-"] {
        scene.run(&format!(
            "rm -rf source/debootstrap; ln -s \"$PLACE/bin/debootstrap\" source/debootstrap; cd source
             sed -i 's/^my $testing = .*/my $testing = \"trixie\";/; s|^my $mirror = .*|my $mirror = \"'\"$MIRROR\"'\";|' debian/tests/debian-testing
             export AUTOPKGTEST_TMP=$PLACE/tmp; rm -rf \"$AUTOPKGTEST_TMP\"; mkdir \"$AUTOPKGTEST_TMP\"
             ./debian/tests/debian-testing {variant}"
        ));
    }
    for test in ["unsorted-packages-files", "arch-all-support"] {
        scene.run(&format!(
            "cd source; sed -i \"s|^export FLASK_MIRROR=.*|export FLASK_MIRROR=${{MIRROR%/debian}}|\" debian/tests/{test}; sh debian/tests/{test}"
        ));
    }
}

/// The tests of mmdebstrap name files in /tmp.
static TEMPORARY: Mutex<()> = Mutex::new(());

#[test]
fn tests_of_mmdebstrap_succeed() {
    let scene = need!(Scene::new(&["python3", "script"]));
    need!(scene.fetch_source("m/mmdebstrap/mmdebstrap_1.5.7.orig.tar.gz"));
    let _alone = TEMPORARY.lock().unwrap();
    let mut failed = Vec::new();
    for test in OF_MMDEBSTRAP {
        let path = scene.path("source/tests").join(test);
        let mut text = fs::read_to_string(&path).unwrap();
        for (name, value) in [
            ("CMD", "mmdebstrap"),
            ("DIST", "trixie"),
            ("MIRROR", &scene.mirror),
            ("MODE", "root"),
            ("VARIANT", "apt"),
            ("SOURCE_DATE_EPOCH", "1700000000"),
        ] {
            text = text.replace(&format!("{{{{ {name} }}}}"), value);
        }
        // Those that change the machine are not among them.
        assert!(!text.contains("mmdebstrap-testenv") || text.contains("USER:-user"), "{test}");
        fs::write(&path, text).unwrap();
        let output = scene.output(&format!("rm -rf /tmp/debian-chroot*; cd source; timeout 120 sh tests/{test}"));
        if !output.status.success() {
            failed.push(format!("{test}: {}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat())));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    scene.run("rm -rf /tmp/debian-chroot*");
}
