//! The privileged ring: whole systems with a real dpkg in them, built by root and by an ordinary user.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod arch_variant;
mod containers;
mod copies;
mod corners;
mod debootstrap;
mod distroless;
mod documents;
mod ends;
mod enter;
mod formats;
mod hooks;
mod images;
mod kept;
mod library;
mod like_mmdebstrap;
mod modes;
mod old_suites;
mod platforms;
mod project;
mod quirks;
mod remote_cache;
mod sandbox;
mod scripts;
mod second_stage;
mod settings;
mod slim;
mod sources;
mod staging;
mod systems;
mod verify;

use rootstrap_testkit::deb::Deb;

/// Returns a package that records what its scripts see, has files of unusual modes and owners, and activates a trigger.
fn probe() -> Deb {
    Deb::new("probe", "1")
        .field("Priority", "optional")
        .file("/usr/bin/suid", 0o4755, "#!/bin/sh\n")
        .file_owned("/usr/bin/sgid", 0o2755, ("root", 0), ("shadow", 42), "#!/bin/sh\n")
        .file_owned("/srv/mail/box", 0o600, ("mail", 8), ("mail", 8), "mail\n")
        .file("/usr/share/watched/probe", 0o644, "probe\n")
        .hardlink("/usr/bin/suid-too", "/usr/bin/suid")
        .conffile("/etc/probe.conf", "probe\n")
        .script(
            "preinst",
            "#!/bin/sh\nset -e\n[ -e /etc/fstab ]\n[ ! -e /usr/bin/suid ]\n[ ! -e /etc/probe.conf ]\n\
             echo \"preinst $* $DPKG_MAINTSCRIPT_PACKAGE\" >>/var/lib/probe.log\n",
        )
        .script(
            "postinst",
            "#!/bin/sh\nset -e\n[ -u /usr/bin/suid ]\n[ -e /etc/probe.conf ]\n\
             echo \"postinst $* $DPKG_MAINTSCRIPT_PACKAGE\" >>/var/lib/probe.log\n\
             start-stop-daemon --start --exec /bin/false\n/usr/sbin/policy-rc.d probe start && exit 1\n\
             /usr/sbin/policy-rc.d probe start || [ $? = 101 ]\n",
        )
}

/// Returns a package with a trigger for files in a directory.
fn watcher() -> Deb {
    Deb::new("watcher", "1")
        .field("Priority", "optional")
        .control_member("triggers", 0o644, "interest-noawait /usr/share/watched\n")
        .script(
            "postinst",
            "#!/bin/sh\nset -e\necho \"$*\" >>/var/lib/watcher.log\nls /usr/share/watched >>/var/lib/watcher.log\n",
        )
}

/// Returns a package whose script changes its files in every way. They are large enough to be copied while scripts run.
fn shouting() -> Deb {
    let script = "#!/bin/sh
set -e
[ -e /etc/fstab ]
echo SHOUT
cd /usr/share/shouting
rm gone
rm -r with
echo changed >changed
mv moved elsewhere
ln linked /usr/share/second
rm -r turned
ln -s nowhere turned
rm link
mkdir link
echo inside >link/file
chmod 600 closed
chown 3:4 owned
cat read >/dev/null
cp -p read /usr/share/read-too
touch -d @99 directory
";
    let mut deb = Deb::new("shouting", "1").field("Priority", "required").script("postinst", script);
    for name in ["gone", "with/all", "with/more/below", "changed", "moved", "linked", "turned/a", "closed", "owned"] {
        deb = deb.file(&format!("/usr/share/shouting/{name}"), 0o644, name.repeat(8 << 10));
    }
    deb.symlink("/usr/share/shouting/link", "closed").dir("/usr/share/shouting/directory", 0o755).file(
        "/usr/share/shouting/read",
        0o644,
        "read",
    )
}
