//! The hash FNV-1a, as dpkg uses it for names (lib/dpkg/strhash.c).

/// FNV-1a with 32 bits.
pub(crate) fn fnv1a_32(name: &str) -> u32 {
    name.bytes().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

/// FNV-1a with 64 bits. Names that share a hash must be told apart by their text.
pub(crate) fn fnv1a_64(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
