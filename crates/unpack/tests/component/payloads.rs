//! The two tar members of a deb in every format that ever existed, and in formats that dpkg refuses. Each is tried with the host's own
//! dpkg too.

use crate::world::{LATER, World, same, skipped_without_dpkg};
use rootstrap_debian::version::Version;
use rootstrap_testkit::compress::Compression;
use rootstrap_testkit::deb::{Deb, ar};
use std::io::Write;
use std::process::Command;
use xz2::stream::{Check, Filters, LzmaOptions, Stream};

/// A package with more contents than any decoder's buffer holds.
fn deb() -> Deb {
    let body: Vec<u8> = (0..60_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    Deb::new("packed", "1")
        .file("/opt/body", 0o644, &body)
        .file("/opt/after", 0o644, "x")
        .conffile("/etc/packed", "packed\n")
        .control_member("triggers", 0o644, "activate-noawait packed\n")
}

/// A deb with these bytes as its members.
fn assembled(control: (&str, &[u8]), data: (&str, &[u8])) -> Vec<u8> {
    ar(&[("debian-binary", b"2.0\n"), control, data], rootstrap_testkit::EPOCH)
}

/// Where some versions of dpkg decide otherwise than this crate, which decides the same beside each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise {
    /// Debian's dpkg before 1.21.18 reads no zstd. Ubuntu's does since 2018.
    Zstd,
    /// Since 1.21.23, dpkg takes what it can read of a zstd frame that is cut off. This crate refuses every deb that is damaged.
    CutZstd,
    /// The liblzma of bullseye refuses a mark at the end of an lzma stream that states its size. Version 5.2.6 and later take it.
    MarkAfterSize,
}

impl Otherwise {
    /// Whether the dpkg at hand is one of those versions.
    fn holds(self) -> bool {
        let output = Command::new("dpkg").arg("--version").env("LC_ALL", "C.UTF-8").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let version = text.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap();
        let is_before = |other| Version::new(version) < Version::new(other);
        match self {
            Self::Zstd => is_before("1.21.18"),
            Self::CutZstd => !is_before("1.21.23"),
            Self::MarkAfterSize => is_before("1.21"),
        }
    }
}

/// Checks whether this crate takes a deb. dpkg has to decide the same, with an equal result, unless it is a version that decides
/// `otherwise`.
fn judged(what: &str, bytes: &[u8], is_taken: bool, otherwise: Option<Otherwise>) {
    let (mut ours, mut theirs) = (World::new(), World::new());
    let (path, _) = theirs.file(bytes);
    let verdict = theirs.dpkg(&["--unpack"], &[path]);
    // A package that is left to dpkg is refused by dpkg.
    let staged = ours.stage(bytes).map_err(|error| chain(&error)).and_then(|staged| match &staged.entries {
        Ok(_) => Ok(staged),
        Err(reason) => Err(reason.clone()),
    });
    let (here, there) = (staged.as_ref().err(), verdict.as_ref().err());
    assert_eq!(here.is_none(), is_taken, "{what}: {here:?}");
    let is_other = otherwise.is_some_and(Otherwise::holds);
    assert_eq!(there.is_none(), is_taken != is_other, "{what}: dpkg: {there:?}");
    if let (Ok(staged), Ok(())) = (staged, &verdict) {
        ours.unpack_staged(&[staged], LATER);
        for world in [&ours, &theirs] {
            world.dpkg(&["--configure", "--pending"], &[]).unwrap_or_else(|text| panic!("{what}: {text}"));
        }
        same(what, &ours.dump(&[]), &theirs.dump(&[]));
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

#[test]
fn every_compression_of_both_members() {
    if skipped_without_dpkg("every compression of both members") {
        return;
    }
    for control in Compression::ALL {
        for data in Compression::ALL {
            let bytes = deb().control_compression(control).data_compression(data).build();
            let what = format!("control.tar{} and data.tar{}", control.suffix(), data.suffix());
            // deb(5): for a while data.tar could have two formats that control.tar never had.
            let known = !matches!(control, Compression::Bz2 | Compression::Lzma);
            let has_zstd = control == Compression::Zst || data == Compression::Zst;
            judged(&what, &bytes, known, (known && has_zstd).then_some(Otherwise::Zstd));
        }
    }
}

/// The uncompressed format is left out, because the head of such a tar happens to be a valid LZMA file without contents.
#[test]
fn a_name_that_does_not_match_the_contents() {
    if skipped_without_dpkg("a name that does not say what is in it") {
        return;
    }
    let deb = deb();
    let control = Compression::None.compress(&deb.control_tar());
    let control = ("control.tar", control.as_slice());
    for named in [".gz", ".xz", ".lzma", ".bz2", ".zst", ".Z", ".lz", ".7z", ".GZ", ".gz.gz", "xz"] {
        for of in Compression::ALL.into_iter().filter(|of| ![named, ""].contains(&of.suffix())) {
            let data = of.compress(&deb.data_tar());
            let what = format!("data.tar{named} that is {of:?}");
            judged(&what, &assembled(control, (&format!("data.tar{named}"), &data)), false, None);
        }
    }
}

/// Two streams, one after the other: dpkg reads both streams of gzip (as `gzip -d` and zlib do), and only the first of the other
/// formats.
#[test]
fn streams_in_a_row() {
    if skipped_without_dpkg("streams in a row") {
        return;
    }
    let deb = deb();
    let (control, data) = (Compression::Xz.compress(&deb.control_tar()), deb.data_tar());
    let control = ("control.tar.xz", control.as_slice());
    let (first, second) = data.split_at(data.len() / 2 + 7);
    for of in Compression::ALL {
        let name = format!("data.tar{}", of.suffix());
        let in_two = [of.compress(first), of.compress(second)].concat();
        let whole = matches!(of, Compression::Gz | Compression::None);
        let what = format!("{name} in two streams");
        let zstd = (of == Compression::Zst).then_some(Otherwise::Zstd);
        judged(&what, &assembled(control, (&name, &in_two)), whole, None);
        // The archive ends where the first stream ends, whatever follows.
        let complete = of.compress(&data);
        for tail in [of.compress(b"more"), vec![0; 4], b"no stream".to_vec()] {
            let bytes = [complete.as_slice(), &tail].concat();
            judged(&format!("{name} and {} bytes", tail.len()), &assembled(control, (&name, &bytes)), true, zstd);
        }
        let cut = &complete[..complete.len() / 2];
        judged(&format!("{name} cut off"), &assembled(control, (&name, cut)), false, zstd.map(|_| Otherwise::CutZstd));
    }
    // The same of control.tar.
    let data = Compression::Gz.compress(&data);
    let (tar, at) = (deb.control_tar(), 700);
    for of in [Compression::Gz, Compression::Xz, Compression::Zst] {
        let name = format!("control.tar{}", of.suffix());
        let in_two = [of.compress(&tar[..at]), of.compress(&tar[at..])].concat();
        let what = format!("{name} in two streams");
        judged(&what, &assembled((&name, &in_two), ("data.tar.gz", &data)), of == Compression::Gz, None);
    }
}

#[test]
fn gzip_of_other_writers() {
    if skipped_without_dpkg("gzip as others wrote it") {
        return;
    }
    let deb = deb();
    let control = Compression::Gz.compress(&deb.control_tar());
    let control = ("control.tar.gz", control.as_slice());
    for level in [0, 9] {
        let builder = flate2::GzBuilder::new().filename("data.tar").comment("by hand").extra("xy").mtime(1);
        let mut encoder = builder.write(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(&deb.data_tar()).unwrap();
        let data = encoder.finish().unwrap();
        let what = format!("gzip with every optional field, level {level}");
        judged(&what, &assembled(control, ("data.tar.gz", &data)), true, None);
    }
}

#[test]
fn xz_of_other_writers() {
    if skipped_without_dpkg("xz as others wrote it") {
        return;
    }
    let deb = deb();
    let control = Compression::Gz.compress(&deb.control_tar());
    let control = ("control.tar.gz", control.as_slice());
    let options = LzmaOptions::new_preset(1).unwrap();
    let mut with_x86 = Filters::new();
    with_x86.x86().lzma2(&options);
    let streams = [
        ("without a check", Stream::new_easy_encoder(1, Check::None).unwrap()),
        ("with the shortest check", Stream::new_easy_encoder(1, Check::Crc32).unwrap()),
        ("with the longest check", Stream::new_easy_encoder(1, Check::Sha256).unwrap()),
        ("with the greatest dictionary of a preset", Stream::new_easy_encoder(9, Check::Crc64).unwrap()),
        ("with a filter for machine code", Stream::new_stream_encoder(&with_x86, Check::Crc64).unwrap()),
        ("in blocks", Stream::new_easy_encoder(1, Check::Crc64).unwrap()),
    ];
    for (what, stream) in streams {
        let mut encoder = xz2::write::XzEncoder::new_stream(Vec::new(), stream);
        for part in deb.data_tar().chunks(100_000) {
            encoder.write_all(part).unwrap();
            if what == "in blocks" {
                // A full flush ends a block. dpkg-deb itself writes several blocks when it compresses large packages in threads.
                encoder.flush().unwrap();
            }
        }
        let data = encoder.finish().unwrap();
        judged(what, &assembled(control, ("data.tar.xz", &data)), true, None);
    }
}

#[test]
fn lzma_of_other_writers() {
    if skipped_without_dpkg("lzma as others wrote it") {
        return;
    }
    let deb = deb();
    let control = Compression::Gz.compress(&deb.control_tar());
    let control = ("control.tar.gz", control.as_slice());
    let tar = deb.data_tar();
    let unknown = Compression::Lzma.compress(&tar);
    // Properties, dictionary, then the size: all ones if the writer did not know the size, with a mark at the end.
    assert_eq!(unknown[5..13], [0xff; 8]);
    judged("lzma of unknown size", &assembled(control, ("data.tar.lzma", &unknown)), true, None);
    let sized = |size: usize| [&unknown[..5], &(size as u64).to_le_bytes(), &unknown[13..]].concat();
    let known = assembled(control, ("data.tar.lzma", &sized(tar.len())));
    judged("lzma of known size with a mark at the end", &known, true, Some(Otherwise::MarkAfterSize));
    let lying = assembled(control, ("data.tar.lzma", &sized(tar.len() / 2)));
    judged("lzma that ends before the size it states", &lying, false, None);
}

#[test]
fn zstd_of_other_writers() {
    if skipped_without_dpkg("zstd as others wrote it") {
        return;
    }
    let deb = deb();
    let control = Compression::Gz.compress(&deb.control_tar());
    let control = ("control.tar.gz", control.as_slice());
    let written = |window: Option<u32>, checksum: bool| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(checksum).unwrap();
        if let Some(window) = window {
            encoder.window_log(window).unwrap();
        }
        encoder.write_all(&deb.data_tar()).unwrap();
        encoder.finish().unwrap()
    };
    // 27 is the largest window that decoders accept by default, and that `--ultra` uses.
    for (window, checksum, taken) in
        [(None, false, true), (None, true, true), (Some(27), true, true), (Some(28), true, false)]
    {
        let what = format!("zstd with window {window:?} and checksum {checksum}");
        let data = written(window, checksum);
        judged(&what, &assembled(control, ("data.tar.zst", &data)), taken, taken.then_some(Otherwise::Zstd));
    }
}

/// Members of an ar archive: names and contents.
type Members<'a> = &'a [(&'a str, &'a [u8])];

/// Names of members in the forms of other archivers than dpkg-deb.
#[test]
fn members_of_other_writers() {
    if skipped_without_dpkg("members as others wrote them") {
        return;
    }
    let deb = deb();
    let (control, data) = (Compression::Gz.compress(&deb.control_tar()), Compression::Bz2.compress(&deb.data_tar()));
    let (control, data) = (control.as_slice(), data.as_slice());
    let version: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let cases: [(&str, bool, Members<'_>); 9] = [
        (
            "slashes after the names",
            true,
            &[("debian-binary/", b"2.0\n"), ("control.tar.gz/", control), ("data.tar.bz2/", data)],
        ),
        (
            "a later minor version",
            true,
            &[("debian-binary", b"2.1\n"), ("control.tar.gz", control), ("data.tar.bz2", data)],
        ),
        (
            "another major version",
            false,
            &[("debian-binary", b"3.0\n"), ("control.tar.gz", control), ("data.tar.bz2", data)],
        ),
        (
            "a member to ignore",
            true,
            &[version, ("_gpgorigin", b"x"), ("control.tar.gz", control), ("data.tar.bz2", data)],
        ),
        (
            "a member to ignore in between",
            true,
            &[version, ("control.tar.gz", control), ("_x", b"x"), ("data.tar.bz2", data)],
        ),
        ("a member at the end", true, &[version, ("control.tar.gz", control), ("data.tar.bz2", data), ("extra", b"x")]),
        (
            "a strange member in between",
            false,
            &[version, ("control.tar.gz", control), ("x", b"x"), ("data.tar.bz2", data)],
        ),
        ("data before control", false, &[version, ("data.tar.bz2", data), ("control.tar.gz", control)]),
        ("no version", false, &[("control.tar.gz", control), ("data.tar.bz2", data)]),
    ];
    for (what, taken, members) in cases {
        judged(what, &ar(members, 0), taken, None);
    }
}
