//! What the direct way does not decide: the package is handed back with the reason, and dpkg makes of the root, with
//! whatever was put there already, what it would have made of an untouched one.

use crate::world::{World, same, skipped_without_dpkg, write};
use rootstrap_testkit::deb::{Deb, Entry};
use std::os::unix::fs::symlink;
use std::path::Path;

fn deb(name: &str) -> Deb {
    // Sorts before what it is refused for, so that something has been put in place already.
    Deb::new(name, "1").field("Section", "misc").file("/aaa/early", 0o4755, "early").dir("/aaa/dir", 0o711)
}

/// `last` is left to dpkg because of `reason`, and dpkg's verdict and result do not depend on our having tried.
fn left(name: &str, prepare: &dyn Fn(&Path), before: &[Deb], last: &Deb, reason: &str) {
    if skipped_without_dpkg(name) {
        return;
    }
    let (mut ours, mut theirs) = (World::prepared(prepare), World::prepared(prepare));
    ours.unpack(before, crate::world::LATER);
    theirs.dpkg_unpack(before).unwrap();
    assert_eq!(ours.reason(last), reason, "{name}");
    let (here, there) = (ours.dpkg_unpack(std::slice::from_ref(last)), theirs.dpkg_unpack(std::slice::from_ref(last)));
    assert_eq!(here.is_ok(), there.is_ok(), "{name}: {here:?} {there:?}");
    if there.is_ok() {
        same(name, &ours.text("var/lib/dpkg/status"), &theirs.text("var/lib/dpkg/status"));
        same(name, &ours.dump(&[]), &theirs.dump(&[]));
    }
    println!("{name}: dpkg {}", if there.is_ok() { "takes it, equal" } else { "refuses it" });
}

#[test]
fn packages_that_meet() {
    let a = || Deb::new("a", "1").file("/x/file", 0o644, "a's").file("/x/more", 0o644, "more");
    let b = || deb("b").file("/x/file", 0o644, "b's");
    let reason = "/x/file belongs to a too";
    left("a file conflict", &|_| {}, &[a()], &b(), reason);
    left("Replaces", &|_| {}, &[a()], &b().field("Replaces", "a"), reason);
    left("replaced by what is there", &|_| {}, &[a().field("Replaces", "b (<< 2)")], &b(), reason);
    left(
        "a package that disappears",
        &|_| {},
        &[a()],
        &b().file("/x/more", 0o644, "b's").field("Replaces", "a"),
        reason,
    );
    let link = || Deb::new("a", "1").symlink("/x", "aaa");
    left("two links at one path", &|_| {}, &[link()], &deb("b").symlink("/x", "bbb"), "/x belongs to a too");
    left(
        "diverted alike",
        &|root| write(root, "var/lib/dpkg/diversions", "/x/file\n/x/moved\nc\n"),
        &[a()],
        &b(),
        reason,
    );
}

#[test]
fn one_name_for_several_architectures() {
    let lib = |arch: &str| Deb::new("lib", "1").arch(arch).field("Multi-Arch", "same").file("/x", 0o644, "same");
    let foreign = |root: &Path| write(root, "var/lib/dpkg/arch", "amd64\ni386\n");
    left("a file shared by architectures", &foreign, &[lib("amd64")], &lib("i386"), "/x belongs to lib:amd64 too");
}

#[test]
fn places_taken() {
    let directory = |root: &Path| write(root, "x/inside", "");
    left("a file over a directory", &directory, &[], &deb("b").file("/x", 0o644, "x"), "/x is a directory already");
    let file = |root: &Path| write(root, "x", "");
    left("a directory over a file", &file, &[], &deb("b").dir("/x", 0o755), "/x is there and no directory");
    let dangling = |root: &Path| symlink("nowhere", root.join("x")).unwrap();
    left(
        "a directory over a dangling link",
        &dangling,
        &[],
        &deb("b").dir("/x", 0o755),
        "/x is there and no directory",
    );
    let link = |root: &Path| {
        write(root, "etc/real", "old\n");
        symlink("real", root.join("etc/conf")).unwrap();
    };
    left(
        "a conffile at a link",
        &link,
        &[],
        &deb("b").conffile("/etc/conf", "new\n"),
        "the conffile /etc/conf is a link already",
    );
    let own = Deb::new("a", "1").symlink("/link", "there");
    left(
        "a second name of a link",
        &|_| {},
        &[own],
        &deb("b").hardlink("/x", "/link"),
        "/x is a second name of a link",
    );
}

#[test]
fn diverted_names() {
    let divert = |root: &Path| write(root, "var/lib/dpkg/diversions", "/x\n/x.moved\na\n");
    left(
        "what something is diverted to",
        &divert,
        &[],
        &deb("b").file("/x.moved", 0o644, ""),
        "/x.moved may not be shipped",
    );
}

#[test]
fn conffiles_to_remove() {
    let lists = || deb("b").control_member("conffiles", 0o644, "remove-on-upgrade /etc/gone\n");
    let there = |root: &Path| write(root, "etc/gone", "nobody's");
    left("remove-on-upgrade of what is there", &there, &[], &lists(), "/etc/gone is there and shall not be");
    left(
        "remove-on-upgrade of what is shipped",
        &|_| {},
        &[],
        &lists().file("/etc/gone", 0o644, ""),
        "/etc/gone may not be shipped",
    );
}

#[test]
fn entries_of_other_kinds() {
    let mut pax = Entry::file("./x", 0o644, "x");
    pax.pax = vec![("path".into(), b"./other".to_vec())];
    left("PAX headers", &|_| {}, &[], &deb("b").entry(pax), "./PaxHeaders/x is of tar type 'x'");
    for (kind, name) in [(b'g', 'g'), (b'S', 'S'), (b'7', '7'), (b'V', 'V'), (b'D', 'D')] {
        let reason = format!("./x is of tar type '{name}'");
        left("a tar type dpkg does not know", &|_| {}, &[], &deb("b").entry(Entry::new("./x", kind, 0o644)), &reason);
    }
    let newline = deb("b").entry(Entry::file("./a\nb", 0o644, ""));
    left("a name of two lines", &|_| {}, &[], &newline, "the path ./a\\nb does not stay within the root");
    let link = deb("b").entry(Entry::symlink("./x", ""));
    left("a link to nothing", &|_| {}, &[], &link, "the link ./x is empty");
    for kind in [b'1', b'2', b'5', b'6'] {
        let mut body = Entry::new("./x", kind, 0o644);
        (body.link, body.content) = (b"./aaa/early".to_vec(), vec![b'x'; 600]);
        left("a body where none may be", &|_| {}, &[], &deb("b").entry(body), "/x has a body where it may have none");
    }
}
