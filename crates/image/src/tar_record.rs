//! One entry of a tar archive as bytes: plain ustar if that can hold the entry, PAX records before it otherwise.

use crate::pax::Records;
use rootstrap_rootfs::{Attributes, Device};
use tar::{EntryType, Header};

const BLOCK: usize = 512;
const ZEROS: [u8; BLOCK] = [0; BLOCK];
/// The two empty blocks that follow the last entry.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// The largest numbers in the octal fields of ustar.
const MAX_ID: u64 = 0o7_777_777;
const MAX_SIZE: u64 = 0o77_777_777_777;

/// The fields of one entry.
pub(crate) struct Record<'e> {
    pub kind: EntryType,
    /// The name in the archive.
    pub name: &'e [u8],
    pub attributes: Attributes,
    pub size: u64,
    pub link: &'e [u8],
    pub device: Option<Device>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Record<'_> {
    /// Returns the blocks that come before the contents.
    pub fn header(&self) -> Vec<u8> {
        let mut header = Header::new_ustar();
        let mut records = Records::default();
        let Attributes { mode, uid, gid, mtime } = self.attributes;
        header.set_entry_type(self.kind);
        header.set_mode(mode);
        let mut fit = |key: &str, value: i128, max: u64| {
            u64::try_from(value).ok().filter(|&value| value <= max).unwrap_or_else(|| {
                records.add(key.as_bytes(), value.to_string().as_bytes());
                0
            })
        };
        header.set_uid(fit("uid", uid.into(), MAX_ID));
        header.set_gid(fit("gid", gid.into(), MAX_ID));
        header.set_mtime(fit("mtime", mtime.into(), MAX_SIZE));
        header.set_size(fit("size", self.size.into(), MAX_SIZE));
        if let Some(ustar) = header.as_ustar_mut() {
            if !store(&mut ustar.name, self.name) {
                records.add(b"path", self.name);
            }
            if !store(&mut ustar.linkname, self.link) {
                records.add(b"linkpath", self.link);
            }
            if let Some(device) = self.device {
                ustar.set_device_major(device.major);
                ustar.set_device_minor(device.minor);
            }
        }
        for (key, value) in &self.xattrs {
            records.add(&[b"SCHILY.xattr.", &key[..]].concat(), value);
        }
        header.set_cksum();
        let mut bytes = if records.bytes().is_empty() { Vec::with_capacity(BLOCK) } else { extended(&records) };
        bytes.extend_from_slice(header.as_bytes());
        bytes
    }
}

/// Returns the zeros that fill the last block after `size` bytes of contents.
pub(crate) fn padding(size: u64) -> &'static [u8] {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    if over > 0 { ZEROS.get(over..).unwrap_or_default() } else { &[] }
}

fn extended(records: &Records) -> Vec<u8> {
    let length = records.bytes().len() as u64;
    let mut header = Header::new_ustar();
    if let Some(ustar) = header.as_ustar_mut() {
        // The name is constant. The default of GNU tar has its process number in the name.
        store(&mut ustar.name, b"././@PaxHeader");
    }
    header.set_entry_type(EntryType::XHeader);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(length);
    header.set_cksum();
    [header.as_bytes(), records.bytes(), padding(length)].concat()
}

/// Copies `text` into a field, which need not end with a zero byte. Returns `false` if the field is too short.
fn store(field: &mut [u8], text: &[u8]) -> bool {
    field.get_mut(..text.len()).map(|field| field.copy_from_slice(text)).is_some()
}
