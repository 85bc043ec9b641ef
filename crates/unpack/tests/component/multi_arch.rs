//! `Multi-Arch: same`: one package of two architectures, installed side by side, with shared files.

use crate::world::{Case, write};
use rootstrap_testkit::deb::{Deb, Entry};
use std::path::Path;

fn foreign(root: &Path) {
    write(root, "var/lib/dpkg/arch", "amd64\ni386\n");
}

fn lib(arch: &str) -> Deb {
    let deb = Deb::new("lib", "1").arch(arch).field("Section", "libs").field("Priority", "optional");
    deb.field("Multi-Arch", "same").file(&format!("/usr/lib/{arch}/lib.so"), 0o644, arch)
}

/// Unpacks a package of both architectures. The second is left to dpkg, and `taken` says whether dpkg takes it.
fn shared(name: &str, add: impl Fn(Deb, &str) -> Deb, path: &str, taken: bool) {
    let reason = format!("{path} belongs to lib:amd64 too");
    let case = Case::new(name, [add(lib("amd64"), "amd64")]).prepare(&foreign);
    assert_ne!(case.leaves(&add(lib("i386"), "i386"), &reason), Some(!taken), "{name}");
}

#[test]
fn nothing_shared() {
    let triggers = "interest-noawait /usr/share/watched\ninterest named\n";
    let both = || ["amd64", "i386"].map(|arch| lib(arch).control_member("triggers", 0o644, triggers));
    Case::new("nothing shared", both()).prepare(&foreign).equals_dpkg();
    let [amd64, i386] = both();
    Case::new("nothing shared, in other phases", [i386]).then([amd64]).prepare(&foreign).equals_dpkg();
}

#[test]
fn directories_and_links_to_them() {
    let both = ["amd64", "i386"].map(|arch| lib(arch).dir("/usr/share/shared", 0o750));
    Case::new("a shared directory", both).prepare(&foreign).equals_dpkg();
}

#[test]
fn equal_files() {
    shared(
        "an equal file",
        |deb, _| deb.file("/usr/share/doc/lib/copyright", 0o644, "free"),
        "/usr/share/doc/lib/copyright",
        true,
    );
    shared("an equal link", |deb, _| deb.symlink("/usr/share/link", "there"), "/usr/share/link", true);
    shared("an equal fifo", |deb, _| deb.fifo("/usr/share/fifo", 0o644), "/usr/share/fifo", true);
    shared("an equal conffile", |deb, _| deb.conffile("/etc/lib.conf", "x\n"), "/etc/lib.conf", true);
    shared("generated md5sums", |deb, _| deb.file("/x", 0o644, "x").md5sums(false), "/x", true);
}

#[test]
fn files_that_differ() {
    shared("another content", |deb, arch| deb.file("/x", 0o644, arch), "/x", false);
    shared("another target", |deb, arch| deb.symlink("/x", arch), "/x", false);
    let kind = |deb: Deb, arch: &str| if arch == "i386" { deb.symlink("/x", "y") } else { deb.file("/x", 0o644, "y") };
    shared("another kind", kind, "/x", false);
    // An equal entry of another type does not count as equal: dpkg compares only files and links.
    let hard = |deb: Deb, _: &str| deb.file("/opt/a", 0o644, "x").hardlink("/opt/b", "/opt/a");
    shared("a hard link", hard, "/opt/a", false);
    // Modes are not compared.
    let mode = |deb: Deb, arch: &str| deb.file("/x", if arch == "i386" { 0o755 } else { 0o644 }, "same");
    shared("another mode", mode, "/x", true);
    let owner =
        |deb: Deb, arch: &str| deb.entry(Entry::file("./x", 0o644, "x").owned("", u64::from(arch == "i386"), "", 0));
    shared("another owner", owner, "/x", true);
}

#[test]
fn another_package_in_the_way_of_both() {
    let file = |deb: Deb| deb.file("/usr/share/x", 0o644, "x");
    let case = Case::new("a third package", [file(Deb::new("other", "1"))]).prepare(&foreign);
    assert_ne!(case.leaves(&file(lib("i386")), "/usr/share/x belongs to other too"), Some(true));
    let case = Case::new("a third package that replaces", [file(lib("i386"))]).prepare(&foreign);
    let other = file(Deb::new("other", "1")).field("Replaces", "lib");
    assert_ne!(case.leaves(&other, "/usr/share/x belongs to lib:i386 too"), Some(false));
}

#[test]
fn packages_without_multi_arch_same_share_nothing() {
    let data = |arch: &str| Deb::new(&format!("data-{arch}"), "1").arch(arch).file("/usr/share/x", 0o644, "x");
    let case = Case::new("not the same", [data("amd64")]).prepare(&foreign);
    assert_ne!(case.leaves(&data("i386"), "/usr/share/x belongs to data-amd64 too"), Some(true));
}
