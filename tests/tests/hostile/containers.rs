//! Archives that are cut off, inflated or wrong.

use crate::Fate::Refused;
use crate::{attack, evil};
use rootstrap_testkit::deb::{Compression, Deb, ar};
use rootstrap_testkit::entry::{Entry, tar};

/// Returns the members of a good package, from which bad packages are made.
fn members(deb: &Deb) -> (Vec<u8>, Vec<u8>) {
    (Compression::Gz.compress(&deb.control_tar()), Compression::Gz.compress(&deb.data_tar()))
}

fn with_data(name: &str, data: &[u8]) -> Vec<u8> {
    let (control, _) = members(&evil());
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), (name, data)], 0)
}

#[test]
fn a_data_archive_that_ends_early() {
    let tar = evil().file("/usr/share/evil/large", 0o644, [7; 100_000]).data_tar();
    for (name, compression) in [
        ("data.tar.gz", Compression::Gz),
        ("data.tar.xz", Compression::Xz),
        ("data.tar.zst", Compression::Zst),
        ("data.tar.bz2", Compression::Bz2),
        ("data.tar.lzma", Compression::Lzma),
        ("data.tar", Compression::None),
    ] {
        let whole = compression.compress(&tar);
        let cut = match compression {
            Compression::None => 50_000,
            _ => whole.len() / 2,
        };
        attack("hostile::a_data_archive_that_ends_early", Refused, |_| with_data(name, &whole[..cut]));
        // The tar is cut off, and the compressed stream around it is complete.
        let inner = compression.compress(&tar[..50_000]);
        attack("hostile::a_data_archive_that_ends_early", Refused, |_| with_data(name, &inner));
    }
}

#[test]
fn no_archive_at_all() {
    for bytes in [&b""[..], b"!<arch>\n", b"not an archive of any kind, but long enough for one, as far as one can see"]
    {
        attack("hostile::no_archive_at_all", Refused, |_| bytes.to_vec());
    }
    attack("hostile::no_archive_at_all", Refused, |_| with_data("data.tar.gz", b"not gzip"));
    attack("hostile::no_archive_at_all", Refused, |_| with_data("data.tar.rar", b"Rar!"));
}

#[test]
fn members_that_are_missing_or_in_disorder() {
    let (control, data) = members(&evil());
    let (binary, control, data): (&[u8], &[u8], &[u8]) = (b"2.0\n", &control, &data);
    for list in [
        vec![("debian-binary", binary), ("control.tar.gz", control)],
        vec![("debian-binary", binary), ("data.tar.gz", data)],
        vec![("debian-binary", b"3.0\n".as_slice()), ("control.tar.gz", control), ("data.tar.gz", data)],
        vec![("control.tar.gz", control), ("data.tar.gz", data)],
        vec![("debian-binary", binary), ("data.tar.gz", data), ("control.tar.gz", control)],
        vec![("debian-binary", binary), ("evil", b"x"), ("control.tar.gz", control), ("data.tar.gz", data)],
    ] {
        attack("hostile::members_that_are_missing_or_in_disorder", Refused, |_| ar(&list, 0));
    }
}

#[test]
fn a_member_longer_than_the_file() {
    attack("hostile::a_member_longer_than_the_file", Refused, |_| {
        let mut bytes = evil().build();
        bytes.truncate(bytes.len() - 64);
        bytes
    });
}

/// A few KiB that decompress to 70 MB of zeros, more than a control archive may have.
#[test]
fn a_bomb_of_control_data() {
    attack("hostile::a_bomb_of_control_data", Refused, |_| {
        evil().control_compression(Compression::Zst).control_member("templates", 0o644, vec![0; 70 << 20]).build()
    });
}

/// A header announces 64 TiB, and the archive ends after it.
#[test]
fn a_size_that_is_wrong() {
    attack("hostile::a_size_that_is_wrong", Refused, |_| {
        let lie = Entry { claimed_size: Some(64 << 40), ..Entry::file("./usr/share/evil/lie", 0o644, "x") };
        evil().entry(lie).build()
    });
}

#[test]
fn entries_of_no_known_kind() {
    for kind in [b'7', b'Z', b'S', b'M', 0xff] {
        attack("hostile::entries_of_no_known_kind", Refused, |_| {
            evil().entry(Entry::new("./usr/odd", kind, 0o644)).build()
        });
    }
}

#[test]
fn a_header_with_a_wrong_checksum() {
    attack("hostile::a_header_with_a_wrong_checksum", Refused, |_| {
        let mut data = tar(&[Entry::dir("./", 0o755), Entry::file("./file", 0o644, "x")]);
        data[512] ^= 1;
        with_data("data.tar", &data)
    });
}
