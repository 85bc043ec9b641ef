//! The contents of dpkg's database after unpacking.

use crate::world::{Case, LATER, World, skipped, skipped_without_dpkg, write};
use rootstrap_testkit::deb::{Deb, Entry};

fn deb(name: &str) -> Deb {
    Deb::new(name, "1").field("Section", "misc").field("Priority", "optional")
}

#[test]
fn fields() {
    Case::new(
        "fields of a stanza",
        [deb("fields")
            .field("Essential", "yes")
            .field("Protected", "yes")
            .field("Homepage", "https://example.invalid/")
            .field("Original-Maintainer", "Somebody <a@example.invalid>")
            .field("Built-Using", "gcc (= 12)")
            .field("X-Cnf", "one\n two")
            .field("Installed-Size", "123")
            .field("Source", "source (1:2-3)")
            .field("Origin", "here")
            .field("Bugs", "debbugs://example.invalid")
            .field("Multi-Arch", "foreign")
            .field("Replaces", "old-one, old-two (<< 2)")
            .field("Provides", "virtual (= 1)")
            .field("Depends", "libc6 (>= 2.36), a | b (= 1:2~3)")
            .field("Pre-Depends", "pre (>> 1)")
            .field("Recommends", "r")
            .field("Suggests", "s")
            .field("Breaks", "br (<< 1)")
            .field("Conflicts", "co")
            .field("Enhances", "en")
            .field("Description", "short\n long line\n .\n  indented\n tab\there")],
    )
    .equals_dpkg();
}

/// Packages from before Policy asked for UTF-8, beside packages in UTF-8. In a later phase the database already has bytes of
/// other encodings when packages are added.
#[test]
fn fields_in_other_encodings() {
    let latin = |name: &str| {
        let control =
            format!("Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: Ren\u{e9} M\u{fc}ller <r@x>\n");
        let control = format!("{control}X-Old: \u{df}\nDescription: na\u{ef}ve\n l\u{f6}ng\n");
        let bytes: Vec<u8> = control.chars().map(|c| u8::try_from(c).unwrap()).collect();
        // Of two files with the same name the later one counts.
        deb(name)
            .md5sums(false)
            .file("/opt/other", 0o644, name)
            .entry(Entry::dir("./etc/", 0o755))
            .entry(Entry::file(b"./etc/\xe9.conf", 0o644, "x"))
            .control_member("conffiles", 0o644, b"/etc/\xe9.conf\n")
            .control_entry(Entry::file("./control", 0o644, bytes))
    };
    Case::new("fields in other encodings", [latin("old"), deb("new").field("Maintainer", "Ren\u{e9} <r@x>")])
        .then([deb("later").file("/opt/later", 0o644, "x")])
        .equals_dpkg();
}

#[test]
fn fields_that_say_no() {
    Case::new(
        "fields that say no",
        [deb("no")
            .field("Essential", "no")
            .field("Protected", "no")
            .field("Multi-Arch", "no")
            .field("homepage", "https://example.invalid/")],
    )
    .equals_dpkg();
    Case::new("fields in other letters", [deb("no").field("essential", "Yes").field("multi-arch", "Same")])
        .reserialised()
        .equals_dpkg();
}

#[test]
fn few_fields() {
    Case::new("few fields", [Deb::new("few", "1").without("Description")]).equals_dpkg();
}

#[test]
fn relations_in_other_spellings() {
    Case::new(
        "relations dpkg writes anew",
        [deb("odd").field("Depends", "a(>=1),b|c   (<<  2) ,\n d:any").field("Version", "0:1.0")],
    )
    .reserialised()
    .equals_dpkg();
}

#[test]
fn versions() {
    for version in ["1:2.3-4", "0~rc1", "1.0~~dev+b1-0ubuntu1", "2:0:1-1", "0", "1:0~", "1~-1~", "4294967:1+-.~"] {
        Case::new("versions", [Deb::new("v", version)]).equals_dpkg();
    }
}

#[test]
fn names_for_several_architectures() {
    Case::new(
        "Multi-Arch: same",
        [
            deb("libsame").field("Multi-Arch", "same").file("/opt/same", 0o644, "").control_member(
                "triggers",
                0o644,
                "interest-noawait /opt/watched\ninterest named\n",
            ),
            deb("all").arch("all").field("Multi-Arch", "allowed"),
        ],
    )
    .equals_dpkg();
}

#[test]
fn stanzas_are_sorted() {
    Case::new("order of stanzas", [deb("zz"), deb("a+b"), deb("a-b"), deb("a"), deb("libz"), deb("a.b")])
        .then([deb("b"), deb("a0")])
        .equals_dpkg();
}

#[test]
fn members_of_the_control_archive() {
    Case::new(
        "members of control.tar",
        [deb("members")
            .control_member("templates", 0o600, "Template: x\n")
            .control_member("symbols", 0o4755, "odd mode\n")
            .control_member("shlibs", 0o000, "")
            .control_member("with.dot", 0o644, "dropped\n")
            .control_member("list", 0o644, "dropped\n")
            .control_member("UPPER_case", 0o644, "kept\n")
            .control_entry(Entry { mtime: Some(77), ..Entry::file("without-dot-slash", 0o640, "kept\n") })
            .control_member("twice", 0o644, "first\n")
            .control_member("twice", 0o600, "second\n")],
    )
    .equals_dpkg();
}

/// The names of members become file names in the database; dpkg accepts up to 100 characters.
#[test]
fn long_names_of_members() {
    let members = [50, 51, 99, 100]
        .iter()
        .fold(deb("members"), |deb, length| deb.control_member(&"m".repeat(*length), 0o644, format!("{length}")));
    Case::new("long names of members", [members]).equals_dpkg();
    if skipped_without_dpkg("names of members that are too long") {
        return;
    }
    let (mut ours, mut theirs) = (World::new(), World::new());
    let long = deb("members").control_member(&"m".repeat(101), 0o644, "");
    assert!(ours.put(&long.build()).unwrap_err().to_string().contains("impossible name"));
    let refusal = theirs.dpkg_unpack(&[long], &[]).unwrap_err();
    // dpkg 1.23 says "metadata" instead of "control info".
    assert!(refusal.contains("overly-long") && refusal.contains("file name (starting"), "{refusal}");
}

#[test]
fn no_md5sums() {
    Case::new(
        "no md5sums",
        [deb("sums")
            .md5sums(false)
            .file("/opt/b", 0o644, "b")
            .conffile("/etc/c", "c")
            .hardlink("/opt/a", "/opt/b")
            .symlink("/opt/0", "b")
            .fifo("/opt/fifo", 0o644)],
    )
    .equals_dpkg();
    Case::new("no md5sums and no files", [deb("sums").md5sums(false).dir("/opt", 0o755)]).equals_dpkg();
}

#[test]
fn a_database_that_has_packages() {
    let prepare = |root: &std::path::Path| {
        let status = "Package: m\nStatus: install ok installed\nMaintainer: A <a@example.invalid>\n\
                      Architecture: amd64\nVersion: 1\nDescription: old\n more\n\n";
        write(root, "var/lib/dpkg/status", status);
        write(root, "var/lib/dpkg/info/m.list", "/.\n");
    };
    Case::new("a database that has packages", [deb("a"), deb("z")]).prepare(&prepare).equals_dpkg();
}

#[test]
fn linked_members_become_separate_files() {
    if skipped("linked members") {
        return;
    }
    // dpkg would keep one file under two names. The difference shows only when one of them is changed.
    let mut world = World::new();
    let entry = Entry::hardlink("./prerm", "./postinst");
    world.unpack(&[deb("linked").script("postinst", "#!/bin/sh\n").control_entry(entry)], LATER);
    assert_eq!(world.text("var/lib/dpkg/info/linked.prerm"), "#!/bin/sh\n");
}

#[test]
fn values_in_unusual_forms() {
    for (name, change) in [
        ("an empty value", deb("odd").field("X-Empty", "").field("Section", "").field("Homepage", "x")),
        ("a value that begins on the next line", deb("odd").field("X-List", "\n one\n two").field("X-Next", "y")),
        ("blanks around", deb("odd").field("X-Blank", "  \t two words \t ").field("Section", " net\t")),
        ("a blank at the end of a continued line", deb("odd").field("Description", "short \n long \n  more\t")),
        ("no section, an unknown priority", Deb::new("odd", "1").field("Priority", "whatever")),
        ("a known field in odd letters", deb("odd").field("SECTION", "x").field("hOmePage", "x")),
        ("fields of an index", deb("odd").field("Filename", "x").field("SHA256", "x").field("Task", "y")),
        ("user-defined fields", deb("odd").field("Python-Version", "3").field("Ruby-Versions", "all").field("Ab", "b")),
        ("other scripts", deb("odd").field("Maintainer", "Zoë Ünïcode <z@example.invalid>")),
        (
            "a version for every relation",
            deb("odd").field("Depends", "a (<< 1), b (<= 1), c (= 1), d (>= 1), e (>> 1)"),
        ),
    ] {
        Case::new(name, [change]).reserialised().equals_dpkg();
    }
}
