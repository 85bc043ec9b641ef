//! Caches read back, and compared with the one that the host's ldconfig makes of the same tree.

use super::*;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

fn is_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        rootstrap_testkit::skip("files of root need root");
    }
    root
}

/// Returns a shared library that consists of headers only. `machine` is the `e_machine` of ELF.
fn elf(is_64: bool, order: Endianness, machine: u16, flags: u32, soname: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', if is_64 { 2 } else { 1 }];
    let little = order == Endianness::Little;
    bytes.extend([if little { 1 } else { 2 }, 1]);
    bytes.resize(16, 0);
    let put = |bytes: &mut Vec<u8>, value: u64, width: usize| {
        let all = value.to_le_bytes();
        let mut part = all[..width].to_vec();
        if !little {
            part.reverse();
        }
        bytes.extend(part);
    };
    let (word, header, segment, dynamic) = if is_64 { (8, 64, 56, 16) } else { (4, 52, 32, 8) };
    let table = header + 2 * segment;
    let names = table + 3 * dynamic;
    let strings = format!("\0{}\0", soname.unwrap_or_default());
    let length = names + strings.len() as u64;
    for (value, width) in [(3, 2), (u64::from(machine), 2), (1, 4), (0, word), (header, word), (0, word)] {
        put(&mut bytes, value, width);
    }
    for (value, width) in [(u64::from(flags), 4), (header, 2), (segment, 2), (2, 2), (0, 2), (0, 2), (0, 2)] {
        put(&mut bytes, value, width);
    }
    for (kind, offset, size) in [(1_u64, 0, length), (2, table, 3 * dynamic)] {
        put(&mut bytes, kind, 4);
        if is_64 {
            put(&mut bytes, 4, 4);
        }
        for value in [offset, offset, offset, size, size] {
            put(&mut bytes, value, word);
        }
        if !is_64 {
            put(&mut bytes, 4, 4);
        }
        put(&mut bytes, 8, word);
    }
    let name = if soname.is_some() { (14, 1) } else { (21, 0) };
    for (tag, value) in [(5, names), name, (0, 0)] {
        put(&mut bytes, tag, word);
        put(&mut bytes, value, word);
    }
    bytes.extend(strings.as_bytes());
    assert_eq!(bytes.len() as u64, length);
    bytes
}

const LITTLE_ENDIAN: Endianness = Endianness::Little;
const BIG_ENDIAN: Endianness = Endianness::Big;

fn x86_64(soname: &str) -> Vec<u8> {
    elf(true, LITTLE_ENDIAN, 62, 0, Some(soname))
}

fn write_file(directory: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = directory.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The byte order and the entries: name, flags, path.
type Decoded = (Endianness, Vec<(String, u32, String)>);

/// Reads a cache as the loader does.
fn decode(bytes: &[u8]) -> Decoded {
    assert_eq!(&bytes[..20], MAGIC);
    let order = if bytes[28] == 2 { LITTLE_ENDIAN } else { BIG_ENDIAN };
    let number = |at: usize| {
        let word: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
        if order == LITTLE_ENDIAN { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) }
    };
    let text = |at: u32| {
        let rest = &bytes[at as usize..];
        String::from_utf8(rest[..rest.iter().position(|&b| b == 0).unwrap()].to_vec()).unwrap()
    };
    let count = number(20) as usize;
    assert_eq!(HEADER + count * ENTRY + number(24) as usize, bytes.len());
    let entry = |at: usize| (text(number(at + 4)), number(at), text(number(at + 8)));
    (order, (0..count).map(|i| entry(HEADER + i * ENTRY)).collect())
}

fn cache_of(directory: &Path) -> Option<Decoded> {
    let root = Root::open(directory).unwrap();
    let written = write(&root, 1_000_000, &AtomicBool::new(false)).unwrap();
    let bytes = std::fs::read(directory.join("etc/ld.so.cache")).ok();
    assert_eq!(written, bytes.is_some());
    bytes.map(|bytes| decode(&bytes))
}

#[test]
fn names_are_ordered_as_the_loader_searches() {
    let ascending =
        ["ld-2.so", "lib.so", "liba.so", "liba.so.2", "liba.so.10", "libaa.so", "libz.so.1", "libz9.so", "libz10.so"];
    for (i, a) in ascending.iter().enumerate() {
        for (j, b) in ascending.iter().enumerate() {
            assert_eq!(compare(a.as_bytes(), b.as_bytes()), i.cmp(&j), "{a} {b}");
        }
    }
    assert_eq!(compare(b"lib1.so", b"liba.so"), Ordering::Greater);
    assert_eq!(compare(b"lib01.so", b"lib1.so"), Ordering::Equal);
    assert_eq!(compare(b"lib99999999999999999999999.so", b"lib1.so"), Ordering::Greater);
}

#[test]
fn each_architecture_has_its_flags() {
    for (is_64, order, machine, flags, kind) in [
        (true, LITTLE_ENDIAN, 62, 0, 0x303),
        (false, LITTLE_ENDIAN, 62, 0, 0x803),
        (false, LITTLE_ENDIAN, 3, 0, 0x003),
        (true, LITTLE_ENDIAN, 183, 0, 0xa03),
        (false, LITTLE_ENDIAN, 40, 0x0500_0400, 0x903),
        (false, LITTLE_ENDIAN, 40, 0x0500_0200, 0xb03),
        (false, LITTLE_ENDIAN, 40, 0x0500_0000, 0x003),
        (true, LITTLE_ENDIAN, 21, 2, 0x503),
        (true, BIG_ENDIAN, 22, 0, 0x403),
        (true, LITTLE_ENDIAN, 243, 5, 0x1003),
        (true, LITTLE_ENDIAN, 258, 0x43, 0x1203),
        (true, LITTLE_ENDIAN, 8, 0x8000_0007, 0x703),
    ] {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &elf(is_64, order, machine, flags, Some("libx.so.1"))).unwrap();
        let expected = Library { soname: Some(b"libx.so.1".to_vec()), flags: kind, order };
        assert_eq!(library::read(file), Some(expected), "machine {machine}");
    }
}

#[test]
fn damaged_libraries_are_ignored() {
    let whole = x86_64("libx.so.1");
    let read = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        library::read(file)
    };
    assert!(read(&whole).is_some());
    for length in 0..whole.len() {
        assert_eq!(read(&whole[..length]), None, "cut at {length}");
    }
    // Sets each byte in turn to 0xff. The result does not matter, but nothing may panic.
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] = 0xff;
        read(&bytes);
    }
}

#[test]
fn without_glibc_there_is_no_cache() {
    let directory = tempfile::tempdir().unwrap();
    write_file(directory.path(), "usr/lib/libx.so.1", x86_64("libx.so.1"));
    assert_eq!(cache_of(directory.path()), None);
}

#[test]
fn directories_built_into_the_loader_need_no_configuration() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    write_file(directory.path(), "lib/x86_64-linux-gnu/libc.so.6", x86_64("libc.so.6"));
    write_file(directory.path(), "usr/lib/x86_64-linux-gnu/libx.so.1", x86_64("libx.so.1"));
    let entry = |name: &str, path: &str| (name.to_owned(), 0x303, path.to_owned());
    let expected = vec![
        entry("libx.so.1", "/usr/lib/x86_64-linux-gnu/libx.so.1"),
        entry("libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6"),
    ];
    assert_eq!(cache_of(directory.path()), Some((LITTLE_ENDIAN, expected)));
}

#[test]
fn the_first_directory_comes_first_and_other_architectures_are_left_out() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path();
    let s390x = |soname| elf(true, BIG_ENDIAN, 22, 0, Some(soname));
    write_file(top, "usr/lib/s390x-linux-gnu/libc.so.6", s390x("libc.so.6"));
    write_file(top, "usr/lib/s390x-linux-gnu/libx.so.1.2", s390x("libx.so.1"));
    write_file(top, "usr/lib/libx.so.1", s390x("libx.so.1"));
    write_file(top, "usr/lib/ld64.so.1", s390x("ld64.so.1"));
    write_file(top, "usr/lib/libpc.so.1", x86_64("libpc.so.1"));
    write_file(top, "usr/lib/libevil.so.1", s390x("../../evil"));
    write_file(top, "usr/lib/libtext.so", "INPUT(libx.so.1)\n");
    write_file(top, "usr/lib/other.so.1", s390x("other.so.1"));
    symlink("nowhere", top.join("usr/lib/libgone.so.1")).unwrap();
    symlink("usr/lib", top.join("lib")).unwrap();
    // The lines name a directory, name it again by another path, and include the file itself.
    write_file(
        top,
        "etc/ld.so.conf.d/s390x.conf",
        "# multiarch\n/lib/s390x-linux-gnu/ \n/usr/lib/s390x-linux-gnu\ninclude /etc/ld.so.conf.d/*.conf\n",
    );
    let entry = |name: &str, path: &str| (name.to_owned(), 0x403, path.to_owned());
    let expected = vec![
        entry("libx.so.1", "/lib/s390x-linux-gnu/libx.so.1"),
        entry("libx.so.1", "/lib/libx.so.1"),
        entry("libc.so.6", "/lib/s390x-linux-gnu/libc.so.6"),
        entry("ld64.so.1", "/lib/ld64.so.1"),
    ];
    assert_eq!(cache_of(top), Some((BIG_ENDIAN, expected)));
    let link = std::fs::read_link(top.join("usr/lib/s390x-linux-gnu/libx.so.1")).unwrap();
    assert_eq!(link, Path::new("libx.so.1.2"), "the link that ldconfig makes");
}

/// Returns the lines with entries that `ldconfig -p` prints, in its order.
fn printed(arguments: &[&str]) -> Vec<String> {
    let output = Command::new("/sbin/ldconfig").args(arguments).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = text.lines().filter(|line| line.contains(" => ")).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{text}");
    lines
}

#[test]
fn the_hosts_ldconfig_reads_the_cache_and_makes_the_same() {
    if !is_root() {
        return;
    }
    if !Path::new("/sbin/ldconfig").exists() {
        rootstrap_testkit::skip("no ldconfig on this host");
        return;
    }
    let Some(libc) = (std::fs::read_dir("/lib").unwrap().flatten().map(|entry| entry.path().join("libc.so.6")))
        .find(|path| path.exists())
    else {
        rootstrap_testkit::skip("no glibc in a multiarch directory on this host");
        return;
    };
    let libraries = libc.parent().unwrap();
    let inside = libraries.strip_prefix("/").unwrap().to_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path();
    for name in ["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libgcc_s.so.1"] {
        if let Ok(bytes) = std::fs::read(libraries.join(name)) {
            write_file(top, &format!("{inside}/{name}"), bytes);
        }
    }
    let m = std::fs::read(libraries.join("libm.so.6")).unwrap();
    // Versions of one soname, and names whose order as text differs from their order in the cache. Then a link for linkers, a
    // link with a wrong name and a dangling link.
    for name in ["libv.so.6.9", "libv.so.6.10", "libz10.so", "libz9.so", "libm-2.so"] {
        write_file(top, &format!("{inside}/{name}"), &m);
    }
    for (name, target) in [("libm.so", "libm.so.6"), ("libwrong.so", "libm.so.6"), ("libnone.so.1", "missing")] {
        symlink(target, top.join(inside).join(name)).unwrap();
    }
    write_file(top, &format!("{inside}/libscript.so"), "GROUP ( libm.so.6 )\n");
    write_file(top, &format!("{inside}/libfirst.so.1-gdb.py"), "print()\n");
    write_file(top, "usr/lib/libc.so.6", std::fs::read(&libc).unwrap());
    write_file(top, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n");
    write_file(top, "etc/ld.so.conf.d/one.conf", format!("/usr/local/lib\n/{inside}\n"));
    let (_, entries) = cache_of(top).unwrap();
    assert!(entries.len() > 4, "{entries:?}");
    let file = |name: &str| top.join(name).to_str().unwrap().to_owned();
    let ours = printed(&["-C", &file("etc/ld.so.cache"), "-p"]);
    let status = Command::new("/sbin/ldconfig").args(["-r", top.to_str().unwrap(), "-X", "-C", "/cache"]).status();
    assert!(status.unwrap().success());
    assert_eq!(ours, printed(&["-C", &file("cache"), "-p"]));
    // The comparison would prove nothing if both caches left such links out.
    assert!(ours.iter().any(|line| line.contains("libm.so (")), "{ours:?}");
}

/// Returns what [`write`] says of a tree with these configuration files, and the entries of its cache.
fn configured(files: &[(String, String)], cancel: bool) -> Result<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    for library in ["lib/libc.so.6", "opt/a/liba.so.1", "opt/b/libb.so.1"] {
        write_file(directory.path(), library, x86_64(library.rsplit('/').next().unwrap()));
    }
    for (path, text) in files {
        write_file(directory.path(), path, text);
    }
    let root = Root::open(directory.path()).unwrap();
    write(&root, 1_000_000, &AtomicBool::new(cancel))?;
    let (_, entries) = decode(&std::fs::read(directory.path().join("etc/ld.so.cache")).unwrap());
    Ok(entries.into_iter().map(|(_, _, path)| path).collect())
}

/// A configuration that includes itself, or files that include each other, would be read an exponential number of times.
#[test]
fn every_configuration_file_is_read_once() {
    if !is_root() {
        return;
    }
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let include = "include /etc/ld.so.conf.d/*.conf\n";
    let itself = "include /etc/ld.so.conf\n".repeat(10) + "/opt/a\n";
    let mut each_other = vec![file("etc/ld.so.conf", &format!("{include}/opt/b\n"))];
    each_other.extend((0..30).map(|n| file(&format!("etc/ld.so.conf.d/{n}.conf"), &format!("{include}/opt/a\n"))));
    let spelled =
        (0..10).map(|n| format!("include /etc/{}ld.so.conf\n", "./".repeat(n))).collect::<String>() + "/opt/a\n";
    for (name, files, has_b) in [
        ("a configuration that includes itself ten times", vec![file("etc/ld.so.conf", &itself)], false),
        ("thirty configurations that include all", each_other, true),
        ("a configuration that includes itself by ten paths", vec![file("etc/ld.so.conf", &spelled)], false),
    ] {
        rootstrap_testkit::hostile_case(rootstrap_testkit::HostileClass::Deb, name);
        let paths = configured(&files, false).unwrap();
        assert!(paths.contains(&"/opt/a/liba.so.1".to_owned()), "{name}: {paths:?}");
        assert_eq!(paths.contains(&"/opt/b/libb.so.1".to_owned()), has_b, "{name}: {paths:?}");
    }
    rootstrap_testkit::hostile_case(rootstrap_testkit::HostileClass::Deb, "a configuration of many megabytes");
    let error = configured(&[file("etc/ld.so.conf", &"/opt/a\n".repeat(1 << 20))], false).unwrap_err();
    assert_eq!(error.to_string(), "cannot write etc/ld.so.cache");
    rootstrap_testkit::hostile_case(rootstrap_testkit::HostileClass::Deb, "more configurations than any system has");
    let many = (0..5000).map(|n| file(&format!("etc/ld.so.conf.d/{n}.conf"), ""));
    let many: Vec<_> = many.chain([file("etc/ld.so.conf", include)]).collect();
    assert_eq!(configured(&many, false).unwrap_err().to_string(), "cannot write etc/ld.so.cache");
    assert!(matches!(configured(&[], true), Err(Error::Cancelled)), "the flag is read");
}

/// The headers of a file can promise any size, and a file can be sparse.
#[test]
fn a_library_of_any_size_costs_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = x86_64("liba.so.1");
    let segment = 64 + 56;
    for at in [segment + 32, segment + 40] {
        bytes[at..at + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    }
    let path = directory.path().join("liba.so.1");
    std::fs::write(&path, bytes).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 41).unwrap();
    rootstrap_testkit::hostile_case(
        rootstrap_testkit::HostileClass::Deb,
        "a library with a dynamic segment of a terabyte",
    );
    assert_eq!(library::read(std::fs::File::open(&path).unwrap()), None);
}
