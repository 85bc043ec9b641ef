//! Hostile archives: they end in an error, or the package is left to dpkg. There is never a panic, and never a byte outside the
//! root.

use crate::world::{FIRST, LATER, World, skipped};
use rootstrap_testkit::compress::{Compression, xz_with_huge_dictionary};
use rootstrap_testkit::deb::{Deb, Entry, ar};
use rootstrap_testkit::entry::tar;
use rootstrap_testkit::tree;
use rootstrap_unpack::{Error, Verdict, database, triggers};
use std::fs;
use std::os::unix::fs::symlink;

/// A world with files beside the root that must not change.
struct Guarded {
    world: World,
    before: String,
}

impl Guarded {
    fn new() -> Guarded {
        let world = World::new();
        let outside = world.dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("canary"), "alive").unwrap();
        Guarded { before: outer(&world), world }
    }

    fn outside(&self) -> String {
        self.world.dir.path().join("outside").to_str().unwrap().to_owned()
    }

    fn check(&self, what: &str) {
        assert_eq!(outer(&self.world), self.before, "{what} reached the outside");
    }
}

/// Everything beside the root, except what tests and staging themselves put there.
fn outer(world: &World) -> String {
    let options = tree::Options { owner: true, mtime: true };
    let own =
        |line: &&str| ["/root", "/store", "/debs"].iter().all(|own| !line.starts_with(own)) && !line.starts_with("/ ");
    tree::dump_with(world.dir.path(), options).lines().filter(own).map(|line| format!("{line}\n")).collect()
}

#[test]
fn names_that_lead_upwards() {
    if skipped("names that climb") {
        return;
    }
    for name in ["../outside/x", "./../outside/x", "a/../../outside/x", "/../outside/x", "..", "./..", "a/..", "a/../b"]
    {
        for kind in [b'0', b'1', b'2', b'5', b'6'] {
            let mut guarded = Guarded::new();
            let mut entry = Entry::new(name, kind, 0o777);
            entry.link = b"./first".to_vec();
            let deb = Deb::new("evil", "1").file("/first", 0o644, "x").entry(entry);
            assert!(guarded.world.reason(&deb).contains("does not stay within the root"));
            assert!(!guarded.world.path().join("first").exists(), "something was put in place already");
            guarded.check(name);
        }
    }
}

#[test]
fn absolute_names_are_those_of_the_root() {
    if skipped("absolute names are those of the root") {
        return;
    }
    let mut guarded = Guarded::new();
    let name = format!("{}/x", guarded.outside());
    let deb = Deb::new("evil", "1").entry(Entry::file(&name, 0o644, "x"));
    assert!(matches!(guarded.world.put(&deb.build()), Ok(Verdict::Merged(_))));
    assert!(guarded.world.path().join(&name[1..]).exists());
    guarded.check("an absolute name");
}

#[test]
fn links_planted_to_be_written_through() {
    if skipped("links planted to be written through") {
        return;
    }
    for absolute in [true, false] {
        let mut guarded = Guarded::new();
        let outside = guarded.outside();
        let target = if absolute { outside.as_str() } else { "../outside" };
        let plant = Deb::new("plant", "1").symlink("/way", target).symlink("/file", &format!("{target}/canary"));
        assert!(matches!(guarded.world.put(&plant.build()), Ok(Verdict::Merged(_))));
        // From here on any result is right, as long as nothing leaves the root.
        let evil = |name: &str| Deb::new(name, "1");
        for deb in [
            evil("a").entry(Entry::file("./way/canary", 0o4777, "dead")),
            evil("b").entry(Entry::file("./way/new", 0o644, "new")),
            evil("c").entry(Entry::dir("./way/", 0o777)).entry(Entry::dir("./way/deeper/", 0o777)),
            evil("d").entry(Entry::hardlink("./stolen", "./way/canary")),
            evil("e").entry(Entry::hardlink("./stolen", "./file").owned("", 1, "", 1)),
            evil("f").entry(Entry::symlink("./way/link", "x")),
            evil("g").entry(Entry::new("./way/fifo", b'6', 0o777)),
            evil("h").conffile("/way/canary", "dead"),
            evil("i").control_member("conffiles", 0o644, "remove-on-upgrade /way/canary\n"),
            evil("j").entry(Entry::dir("./file/", 0o777)),
        ] {
            let staged = guarded.world.stage(&deb.build()).unwrap();
            let _ = guarded.world.merge(&staged, LATER);
            let _ = guarded.world.merge(&staged, FIRST);
            let _ = guarded.world.merge(&staged, rootstrap_unpack::Rules { last_directory_wins: true, ..FIRST });
            guarded.check(deb.name());
        }
    }
}

#[test]
fn a_link_and_what_is_below_it_in_one_archive() {
    if skipped("a link and what is below it in one archive") {
        return;
    }
    let mut guarded = Guarded::new();
    let outside = guarded.outside();
    let deb = Deb::new("evil", "1")
        .entry(Entry::symlink("./way", &outside))
        .entry(Entry::file("./way/canary", 0o644, "dead"))
        .entry(Entry::symlink("./way/link", "x"));
    let _ = guarded.world.put(&deb.build());
    guarded.check("a link and what is below it");
}

#[test]
fn a_database_of_links() {
    if skipped("a database of links") {
        return;
    }
    // The directories of the database are links that lead out, before anything is recorded.
    for name in ["info", "triggers", "status", "diversions", "statoverride"] {
        let mut guarded = Guarded::new();
        let path = guarded.world.path().join("var/lib/dpkg").join(name);
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        symlink(guarded.outside(), &path).unwrap();
        let deb =
            Deb::new("a", "1").file("/x", 0o644, "").control_member("triggers", 0o644, "interest n\nactivate m\n");
        let staged = guarded.world.stage(&deb.build()).unwrap();
        if let Ok(Verdict::Merged(merged)) = guarded.world.merge(&staged, LATER) {
            let entries = staged.entries.as_deref().unwrap();
            let record =
                database::Record { control: &staged.control, entries, list: &merged.list, excluded: &merged.excluded };
            let _ = database::record(&guarded.world.root, &[record], LATER.conffiles);
            let _ = triggers::record(&guarded.world.root, &[(&staged.control, &merged.touched)]);
        }
        guarded.check(name);
    }
}

#[test]
fn truncated_anywhere() {
    if skipped("truncated anywhere") {
        return;
    }
    for compression in Compression::ALL {
        let body: Vec<u8> = (0..20_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let deb = Deb::new("a", "1")
            .file(&format!("/{}", "long".repeat(40)), 0o644, &body[..3000])
            .file("/body", 0o644, &body)
            .conffile("/etc/c", "c")
            .data_compression(compression)
            .control_compression(if compression == Compression::None { compression } else { Compression::Gz })
            .build();
        let mut guarded = Guarded::new();
        for end in (0..deb.len() - 1).step_by(97) {
            let error = guarded.world.put(&deb[..end]).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. } | Error::Io { .. }), "{end}: {error:?}");
        }
        guarded.check("a truncated archive");
        assert!(!guarded.world.path().join("body").exists());
    }
}

#[test]
fn truncated_within_the_payload() {
    if skipped("truncated within the payload") {
        return;
    }
    // Here the ar header agrees with the length that is left.
    let deb = Deb::new("a", "1").file(&format!("/{}", "long".repeat(40)), 0o644, vec![7; 3000]).file("/x", 0o644, "x");
    let (control, data) = (deb.control_tar(), deb.data_tar());
    let pack = |control: &[u8], data: &[u8]| {
        ar(&[("debian-binary", b"2.0\n"), ("control.tar", control), ("data.tar", data)], 0)
    };
    let mut guarded = Guarded::new();
    for end in (0..control.len()).step_by(97) {
        let _ = guarded.world.put(&pack(&control[..end], &data));
    }
    for end in (0..data.len()).step_by(97) {
        let _ = guarded.world.put(&pack(&control, &data[..end]));
    }
    for compression in [Compression::Gz, Compression::Xz, Compression::Zst, Compression::Bz2, Compression::Lzma] {
        let packed = compression.compress(&data);
        let name = format!("data.tar{}", compression.suffix());
        // A decoder may give the whole contents without the trailer, but not without the last quarter.
        let cut = &packed[..packed.len() * 3 / 4];
        let deb = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), (&name, cut)], 0);
        assert!(guarded.world.put(&deb).is_err(), "{name}");
    }
    guarded.check("a truncated payload");
}

#[test]
fn every_byte_changed_once() {
    if skipped("every byte changed once") {
        return;
    }
    let deb =
        Deb::new("a", "1").file("/x/y", 0o644, "x").hardlink("/x/z", "/x/y").symlink("/l", "x").conffile("/c", "c");
    let (control, data) = (deb.control_tar(), deb.data_tar());
    let mut guarded = Guarded::new();
    let used = |tar: &[u8]| tar.iter().rposition(|&b| b != 0).unwrap_or(0) + 1;
    for at in (0..used(&data)).step_by(3) {
        let mut data = data.clone();
        data[at] ^= 0x80 | u8::try_from(at % 127).unwrap();
        let _ =
            guarded.world.put(&ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)], 0));
    }
    for at in (0..used(&control)).step_by(7) {
        let mut control = control.clone();
        control[at] ^= 0x80 | u8::try_from(at % 127).unwrap();
        let _ =
            guarded.world.put(&ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)], 0));
    }
    guarded.check("a changed byte");
}

#[test]
fn sizes_that_lie() {
    if skipped("sizes that lie") {
        return;
    }
    let mut guarded = Guarded::new();
    for size in [1 << 20, 1 << 33, (1 << 33) - 1] {
        let entry = Entry { claimed_size: Some(size), ..Entry::file("./x", 0o644, "short") };
        for compression in [Compression::None, Compression::Gz] {
            let deb = Deb::new("a", "1").entry(entry.clone()).data_compression(compression);
            assert!(matches!(guarded.world.put(&deb.build()), Err(Error::Io { .. })), "{size}");
        }
        let deb = Deb::new("a", "1").control_entry(Entry { name: b"./symbols".to_vec(), ..entry });
        assert!(guarded.world.put(&deb.build()).is_err(), "{size}");
    }
    // The size is too small, so the rest of the body stands where a header should be.
    let entry = Entry { claimed_size: Some(3), ..Entry::file("./x", 0o644, vec![b'x'; 2000]) };
    assert!(guarded.world.put(&Deb::new("a", "1").entry(entry).build()).is_err());
    // A long name that claims to be longer than the archive, and a long name that is longer than any path.
    for name in [Entry { claimed_size: Some(4000), ..long_name(b"./x") }, long_name(&[b'x'; 5000])] {
        let deb = Deb::new("a", "1").entry(name).entry(Entry::file("./x", 0o644, "x")).file("/y", 0o644, vec![1; 9000]);
        assert!(!matches!(guarded.world.put(&deb.build()), Ok(Verdict::Merged(_))));
    }
    guarded.check("a size that lies");
}

fn long_name(name: &[u8]) -> Entry {
    Entry { content: name.to_vec(), ..Entry::new("././@LongLink", b'L', 0o644) }
}

#[test]
fn bombs() {
    if skipped("bombs") {
        return;
    }
    let mut guarded = Guarded::new();
    // A control.tar that decodes to more than its ceiling, in a few kilobytes.
    let large = Entry::file("./symbols", 0o644, vec![0; usize::try_from(rootstrap_unpack::limits::CONTROL).unwrap()]);
    let deb = Deb::new("a", "1").control_entry(large).control_compression(Compression::Zst).build();
    assert!(deb.len() < 100_000);
    let error = guarded.world.put(&deb).unwrap_err();
    assert!(error.io().is_some_and(|error| error.kind() == std::io::ErrorKind::FileTooLarge), "{error:?}");
    // An xz stream may ask for 4 GiB of dictionary before the first byte of content.
    let plain = Deb::new("a", "1").file("/x", 0o644, "x");
    let (control, data) = (plain.control_tar(), plain.data_tar());
    for (control, data) in [(&xz_with_huge_dictionary(&control), &data), (&control, &xz_with_huge_dictionary(&data))] {
        let suffix = |member: &[u8]| if member.starts_with(b"\xfd7zXZ") { ".xz" } else { "" };
        let names = (format!("control.tar{}", suffix(control)), format!("data.tar{}", suffix(data)));
        let deb = ar(&[("debian-binary", b"2.0\n"), (&names.0, control), (&names.1, data)], 0);
        assert!(guarded.world.put(&deb).is_err(), "{names:?}");
    }
    // More files in control.tar than any package has, and a chain of long names without a file at its end.
    let many = (0..2000).fold(Deb::new("a", "1"), |deb, n| deb.control_member(&format!("m{n}"), 0o644, ""));
    assert!(guarded.world.put(&many.build()).unwrap_err().to_string().contains("too many files"));
    let names: Vec<Entry> = std::iter::repeat_n(long_name(b"./x"), 5000).collect();
    let deb = names.into_iter().fold(Deb::new("a", "1"), Deb::entry).build();
    assert!(guarded.world.put(&deb).is_ok());
    guarded.check("a bomb");
}

#[test]
fn control_archives() {
    if skipped("control archives") {
        return;
    }
    let mut guarded = Guarded::new();
    for (name, kind) in [
        ("../../evil", b'0'),
        ("./../evil", b'0'),
        ("/evil", b'0'),
        ("./dir/evil", b'0'),
        ("./link", b'2'),
        ("./node", b'3'),
        ("./fifo", b'6'),
        ("./dir/", b'5'),
        ("./a\0b", b'0'),
        ("..", b'0'),
        (&"x".repeat(101), b'0'),
    ] {
        let mut entry = Entry::new(name, kind, 0o755);
        entry.link = b"/etc/passwd".to_vec();
        let staged = guarded.world.stage(&Deb::new("a", "1").control_entry(entry).build());
        match staged {
            Err(Error::Damaged { .. }) => {}
            // The name is cut at the NUL, as every reader of tar cuts it.
            Ok(staged) => assert!(name.contains('\0') && staged.control.member("a").is_some(), "{name:?}"),
            Err(error) => panic!("{name:?}: {error}"),
        }
    }
    for (field, value) in [
        ("Package", "../evil"),
        ("Package", "a/b"),
        ("Package", ""),
        ("Architecture", "../../x"),
        ("Version", "1/2"),
        ("Version", "1 2"),
        ("Version", ""),
    ] {
        assert!(guarded.world.put(&Deb::new("a", "1").field(field, value).build()).is_err(), "{field} {value:?}");
    }
    for list in ["etc/relative\n", "unknown-flag /etc/x\n", "remove-on-upgrade\n", "remove-on-upgrade etc/x\n"] {
        let deb = Deb::new("a", "1").control_member("conffiles", 0o644, list);
        assert!(guarded.world.put(&deb.build()).is_err(), "{list:?}");
    }
    guarded.check("a control archive");
}

#[test]
fn names_of_triggers() {
    if skipped("names of triggers") {
        return;
    }
    let mut guarded = Guarded::new();
    let text = [
        "../../../evil",
        "a/b",
        ".hidden",
        "File",
        "Lock",
        "Unincorp",
        "under_score",
        "/a//b",
        "/a/",
        "/",
        "n\u{e4}me",
    ]
    .iter()
    .map(|name| format!("interest {name}\nactivate {name}\n"))
    .collect::<String>();
    let deb = Deb::new("a", "1").control_member("triggers", 0o644, text + "interest\nfoo bar\n\0\n");
    guarded.world.unpack(&[deb], LATER);
    let dump = guarded.world.dump(&[]);
    let files: Vec<&str> = dump.lines().filter(|line| line.starts_with("/var/lib/dpkg/triggers/")).collect();
    assert_eq!(files, ["/var/lib/dpkg/triggers/Unincorp file 0644 0:0 0 e3b0c44298fc1c14"]);
    guarded.check("a trigger");
}

#[test]
fn outer_archives() {
    if skipped("outer archives") {
        return;
    }
    let (control, data) = (Deb::new("a", "1").control_tar(), Deb::new("a", "1").data_tar());
    let format = ("debian-binary", b"2.0\n".as_slice());
    let (control, data) = (("control.tar", control.as_slice()), ("data.tar", data.as_slice()));
    let mut guarded = Guarded::new();
    let good: [&[(&str, &[u8])]; 4] = [
        &[format, control, data],
        &[("debian-binary/", b"2.1\n"), control, data],
        &[format, ("_gpgorigin", b"signature"), control, ("_x", b""), data],
        &[format, control, data, ("later", b"is not looked at")],
    ];
    for members in good {
        assert!(matches!(guarded.world.put(&ar(members, 0)), Ok(Verdict::Merged(_))), "{members:?}");
    }
    let bad: [&[(&str, &[u8])]; 10] = [
        &[],
        &[format],
        &[format, control],
        &[format, data, control],
        &[control, data],
        &[("debian-binary", b"3.0\n"), control, data],
        &[("debian-binary", b""), control, data],
        &[format, ("surprise", b""), control, data],
        &[format, control, ("data.tar.rar", data.1)],
        &[format, ("control.tar.gz", control.1), data],
    ];
    for members in bad {
        let error = guarded.world.put(&ar(members, 0)).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. } | Error::Io { .. }), "{error:?}");
    }
    // No tar archive at all, an empty one, and one without a control file.
    for control in [b"".to_vec(), b"text".to_vec(), tar(&[]), tar(&[Entry::file("./other", 0o644, "")])] {
        assert!(guarded.world.put(&ar(&[format, ("control.tar", &control), data], 0)).is_err());
    }
    guarded.check("an outer archive");
}

#[test]
fn numbers_out_of_range() {
    if skipped("numbers out of range") {
        return;
    }
    let mut guarded = Guarded::new();
    for entry in [
        Entry { uid: u64::MAX >> 1, ..Entry::file("./x", 0o644, "") },
        Entry { gid: 1 << 33, ..Entry::file("./x", 0o644, "") },
        Entry { claimed_size: Some(u64::MAX >> 1), ..Entry::file("./x", 0o644, "") },
        Entry { mtime: Some(u64::MAX), ..Entry::file("./x", 0o644, "") },
        Entry { mtime: Some(1 << 62), ..Entry::file("./x", 0o644, "") },
    ] {
        let _ = guarded.world.put(&Deb::new("a", "1").entry(entry).build());
    }
    guarded.check("a number");
}
