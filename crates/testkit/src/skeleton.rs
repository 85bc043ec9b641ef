//! The packages of the tiny distribution that hold no host program: directories, accounts, scripts.

use crate::deb::{Deb, Entry};

/// Where the packages have their programs and libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Everything below `/usr`; base-files ships `/bin`, `/sbin`, `/lib`, `/lib64` as links (trixie, noble).
    Merged,
    /// `/bin/sh`, `/lib/TRIPLET/libc.so.6` and `/sbin/ldconfig` are shipped there, as before the merge. The
    /// bootstrapper may merge them.
    Split,
}

const PASSWD: &str = "\
root:*:0:0:root:/root:/bin/sh
daemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin
mail:*:8:8:mail:/var/mail:/usr/sbin/nologin
nobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
";
const GROUP: &str = "\
root:*:0:
daemon:*:1:
tty:*:5:
adm:*:4:
mail:*:8:
shadow:*:42:
staff:*:50:
nogroup:*:65534:
";

/// Returns an essential package whose preinst writes the first /etc/passwd and /etc/group. No other package may come
/// before it.
pub(crate) fn base_passwd() -> Deb {
    let write = |file: &str, text: &str| {
        format!("if [ ! -e {file} ]; then\n\tcat >{file} <<'END'\n{text}END\n\tchmod 644 {file}\nfi\n")
    };
    let preinst = format!("#!/bin/sh\nset -e\n{}{}", write("/etc/passwd", PASSWD), write("/etc/group", GROUP));
    Deb::new("base-passwd", "3.6.1")
        .field("Essential", "yes")
        .field("Priority", "required")
        .field("Multi-Arch", "foreign")
        .field("Depends", "libc6 (>= 2.14)")
        .file("/usr/share/base-passwd/group.master", 0o644, GROUP)
        .file("/usr/share/base-passwd/passwd.master", 0o644, PASSWD)
        .script("preinst", &preinst)
        .script("postinst", "#!/bin/sh\nset -e\ncp -p /etc/passwd /etc/passwd-\ncp -p /etc/group /etc/group-\n")
}

/// Returns an essential package with the directories of a root and, in the merged layout, its top-level links.
pub(crate) fn base_files(suite: &str, layout: Layout) -> Deb {
    let mut deb = Deb::new("base-files", "12.4")
        .field("Essential", "yes")
        .field("Priority", "required")
        .field("Multi-Arch", "foreign")
        .field("Pre-Depends", "awk")
        .field("Provides", "base");
    if layout == Layout::Merged {
        for top in ["bin", "lib", "lib64", "sbin"] {
            deb = deb.symlink(&format!("/{top}"), &format!("usr/{top}"));
        }
    }
    for (path, mode) in [
        ("/boot", 0o755),
        ("/dev", 0o755),
        ("/etc/profile.d", 0o755),
        ("/home", 0o755),
        ("/mnt", 0o755),
        ("/opt", 0o755),
        ("/proc", 0o755),
        ("/root", 0o700),
        ("/run", 0o755),
        ("/srv", 0o755),
        ("/sys", 0o755),
        ("/tmp", 0o1777),
        ("/usr/bin", 0o755),
        ("/usr/lib", 0o755),
        ("/usr/lib64", 0o755),
        ("/usr/sbin", 0o755),
        ("/var/cache", 0o755),
        ("/var/lib/dpkg", 0o755),
        ("/var/log", 0o755),
        ("/var/tmp", 0o1777),
    ] {
        deb = deb.dir(path, mode);
    }
    let os_release =
        format!("PRETTY_NAME=\"Fixture ({suite})\"\nNAME=\"Fixture\"\nVERSION_CODENAME={suite}\nID=debian\n");
    deb.entry(group_dir("/var/local", 0o2775, "staff", 50))
        .symlink("/var/lock", "/run/lock")
        .symlink("/var/run", "/run")
        .file("/usr/lib/os-release", 0o644, os_release)
        .symlink("/etc/os-release", "../usr/lib/os-release")
        .file("/usr/share/base-files/profile", 0o644, "umask 022\n")
        .conffile("/etc/debian_version", format!("{suite}/fixture\n"))
        .conffile("/etc/issue", "Fixture \\n \\l\n")
        .script(
            "postinst",
            "#!/bin/sh\nset -e\nif [ \"$1\" = configure ] && [ -z \"$2\" ]; then\n\
             \tcp /usr/share/base-files/profile /etc/profile\n\tchown root:root /etc/profile\n\
             \tmkdir -p /run/lock\nfi\n",
        )
}

/// Returns an entry for one of the few directories that do not belong to the group root.
fn group_dir(path: &str, mode: u32, group: &str, gid: u64) -> Entry {
    Entry::dir(format!(".{path}/"), mode).owned("root", 0, group, gid)
}

/// Adds scripts, conffiles and triggers like those of the real package to a package of programs.
pub(crate) fn add_scripts(deb: Deb) -> Deb {
    match deb.name() {
        "dash" => deb.file("/usr/share/debianutils/shells.d/dash", 0o644, "/bin/sh\n/bin/dash\n"),
        "debianutils" => deb
            .file("/usr/share/debianutils/shells", 0o644, "# /etc/shells: valid login shells\n")
            .control_member("triggers", 0o644, "interest-noawait /usr/share/debianutils/shells.d\n")
            .script(
                "postinst",
                "#!/bin/sh\nset -e\ncat /usr/share/debianutils/shells /usr/share/debianutils/shells.d/* >/etc/shells\n",
            ),
        "libc-bin" => deb
            .conffile("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
            .control_member("triggers", 0o644, "interest-noawait ldconfig\n")
            .script("postinst", "#!/bin/sh\nset -e\nldconfig\n"),
        "mawk" => deb.script(
            "postinst",
            "#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then\n\
             \tupdate-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5\nfi\n",
        ),
        "dpkg" => deb
            .field("Multi-Arch", "foreign")
            .dir("/etc/alternatives", 0o755)
            .dir("/etc/dpkg/dpkg.cfg.d", 0o755)
            .dir("/var/lib/dpkg/alternatives", 0o755)
            .dir("/var/lib/dpkg/info", 0o755)
            .dir("/var/lib/dpkg/parts", 0o755)
            .dir("/var/lib/dpkg/triggers", 0o755)
            .dir("/var/lib/dpkg/updates", 0o755)
            .conffile("/etc/dpkg/dpkg.cfg", "log /var/log/dpkg.log\n")
            .script("postinst", "#!/bin/sh\nset -e\ntouch /var/log/dpkg.log\nchmod 644 /var/log/dpkg.log\n"),
        _ => deb,
    }
}

/// Returns the packages outside the required set: apt as a stub, a pre-dependency that makes a group of its own, a
/// conffile, and one optional package for `--include`.
pub(crate) fn extras(suite: &str) -> Vec<Deb> {
    vec![apt(suite), runit(), init(), netbase(), hello()]
}

fn apt(suite: &str) -> Deb {
    let sources = format!(
        "# See sources.list(5) manpage for more information\n\
         deb http://archive.example/debian {suite} main contrib non-free-firmware\n\
         deb-src http://archive.example/debian {suite} main contrib non-free-firmware\n\n\
         deb http://security.debian.org/debian-security {suite}-security main contrib non-free-firmware\n\
         deb-src http://security.debian.org/debian-security {suite}-security main contrib non-free-firmware\n\n\
         deb http://archive.example/debian {suite}-updates main contrib non-free-firmware\n\
         deb-src http://archive.example/debian {suite}-updates main contrib non-free-firmware\n"
    );
    let mut deb = Deb::new("apt", "2.6.1")
        .field("Priority", "important")
        .field("Depends", "base-passwd (>= 3.6.1), libc6 (>= 2.14)");
    for dir in ["apt.conf.d", "auth.conf.d", "preferences.d", "sources.list.d", "trusted.gpg.d"] {
        deb = deb.dir(&format!("/etc/apt/{dir}"), 0o755);
    }
    deb.conffile("/etc/apt/apt.conf.d/01autoremove", "APT::NeverAutoRemove { \"^firmware-linux.*\"; };\n")
        .dir("/var/cache/apt/archives/partial", 0o755)
        .dir("/var/lib/apt/lists/partial", 0o755)
        .file("/usr/bin/apt", 0o755, "#!/bin/sh\necho 'a stub of apt' >&2\nexit 1\n")
        .file("/usr/share/doc/apt/examples/sources.list", 0o644, sources)
}

fn runit() -> Deb {
    Deb::new("runit-init", "2.1.2-54")
        .field("Priority", "optional")
        .file("/usr/sbin/runit-init", 0o755, "#!/bin/sh\nexit 0\n")
        .script(
            "postinst",
            // As with real system users, the number depends on which users exist already.
            "#!/bin/sh\nset -e\ngrep -q ^runit: /etc/group || echo \"runit:x:$((100 + $(wc -l </etc/group))):\" >>/etc/group\n",
        )
}

fn init() -> Deb {
    Deb::new("init", "1.65")
        .arch("all")
        .field("Priority", "important")
        .field("Pre-Depends", "runit-init | systemd-sysv")
        .file("/usr/share/doc/init/README", 0o644, "a metapackage\n")
}

fn netbase() -> Deb {
    Deb::new("netbase", "6.4")
        .arch("all")
        .field("Priority", "important")
        .conffile("/etc/protocols", "ip\t0\tIP\ntcp\t6\tTCP\n")
        .conffile("/etc/services", "ssh\t22/tcp\n")
        .script("preinst", "#!/bin/sh\nset -e\nmkdir -p /etc/network\n")
        .script("postinst", "#!/bin/sh\nset -e\n[ -e /etc/networks ] || echo 'default 0.0.0.0' >/etc/networks\n")
}

fn hello() -> Deb {
    Deb::new("hello", "2.10-3")
        .field("Priority", "optional")
        .field("Depends", "libc6 (>= 2.14)")
        .file("/usr/bin/hello", 0o755, "#!/bin/sh\necho 'Hello, world!'\n")
        .script("postinst", "#!/bin/sh\nset -e\necho \"hello $1\" >/var/lib/hello\n")
}
