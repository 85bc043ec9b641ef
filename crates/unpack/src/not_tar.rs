//! What a file is that somebody took for a tar archive. Such a file must not end as an empty tree: a filesystem may begin with zeros,
//! which is how a tar archive ends.

/// The bytes at the beginning that show what a file is.
pub(crate) const HEAD: usize = 68 << 10;

/// No program pads an empty archive with that many zeros; tar(1) pads it to 10240 bytes.
const ZEROS: usize = 32 << 10;

const MOUNT: &str = "mount it with -o loop,ro, and give the directory";
const DISK: &str = "give the root filesystem in it: attach it with losetup --partscan or qemu-nbd, mount the partition, and give the directory";
const UNPACK: &str = "unpack it, and give the directory";

/// Where the mark of a format is, the mark, what it is, and what to do with it.
const MARKS: [(usize, &[u8], &str, &str); 21] = [
    (0x438, b"\x53\xef", "an ext2, ext3 or ext4 filesystem", MOUNT),
    (0, b"hsqs", "a squashfs filesystem", MOUNT),
    (1024, b"\xe2\xe1\xf5\xe0", "an erofs filesystem", MOUNT),
    (0, b"XFSB", "an XFS filesystem", MOUNT),
    (0x10040, b"_BHRfS_M", "a btrfs filesystem", MOUNT),
    (0x8001, b"CD001", "an ISO 9660 image", MOUNT),
    (0, b"QFI\xfb", "a qcow2 disk image", DISK),
    (0, b"KDMV", "a VMDK disk image", DISK),
    (0, b"conectix", "a VHD disk image", DISK),
    (0, b"vhdxfile", "a VHDX disk image", DISK),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI disk image", DISK),
    (512, b"EFI PART", "a disk with partitions", DISK),
    (510, b"\x55\xaa", "a disk with partitions", DISK),
    (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (0, b"PK\x05\x06", "a zip archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"Rar!", "a RAR archive", UNPACK),
    (0, b"070701", "a cpio archive", UNPACK),
    (0, b"070707", "a cpio archive", UNPACK),
    (0, b"!<arch>\n", "an ar archive, such as a Debian package", UNPACK),
    (0, b"\xed\xab\xee\xdb", "an RPM package", UNPACK),
];

/// Says what bytes are that are no tar archive, and what to do with them. Returns `None` for a tar archive and for what is not known.
pub(crate) fn explain(head: &[u8]) -> Option<String> {
    // Every version of the format but the oldest has this (POSIX pax, "ustar Interchange Format").
    if head.get(257..262) == Some(b"ustar") {
        return None;
    }
    if head.len() >= ZEROS
        && head.iter().take(ZEROS).all(|byte| *byte == 0)
        && !MARKS.iter().any(|mark| has(head, mark))
    {
        return Some(
            "it begins with zeros, so it is no tar archive; if it is a disk image, mount it, and give the directory"
                .into(),
        );
    }
    let (_, _, what, hint) = MARKS.iter().find(|mark| has(head, mark))?;
    Some(format!("it is {what} and no tar archive; {hint}"))
}

fn has(head: &[u8], &(at, mark, ..): &(usize, &[u8], &str, &str)) -> bool {
    head.get(at..).is_some_and(|rest| rest.starts_with(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_where_they_are() {
        for (at, mark, what, _) in MARKS {
            let mut head = vec![0; HEAD];
            head[at..at + mark.len()].copy_from_slice(mark);
            assert!(explain(&head).is_some_and(|text| text.contains(what)), "{what}");
        }
        assert!(explain(&vec![0; HEAD]).is_some_and(|text| text.contains("zeros")));
    }

    #[test]
    fn archives_and_what_is_not_known_are_left_alone() {
        let mut tar = vec![0; HEAD];
        tar[..6].copy_from_slice(b"070701");
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(explain(&tar), None, "a file with an unlucky name");
        assert_eq!(explain(&[0; 10240]), None, "an empty archive");
        assert_eq!(explain(b"hello"), None);
    }
}
