//! The properties of a shared library that the cache records: its soname and its architecture.

use object::Endianness;
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};
use std::fs::File;

/// The flag of libraries for glibc 2, which all current libraries have. This and the flags below: sysdeps/generic/ldconfig.h.
const LIBC6: u32 = 0x0003;
const SPARC_64: u32 = 0x0100;
const X86_64: u32 = 0x0300;
const S390_64: u32 = 0x0400;
const POWERPC_64: u32 = 0x0500;
const MIPS_N32: u32 = 0x0600;
const MIPS_N64: u32 = 0x0700;
const X86_X32: u32 = 0x0800;
const ARM_HARD: u32 = 0x0900;
const AARCH64: u32 = 0x0a00;
const ARM_SOFT: u32 = 0x0b00;
const RISCV_SOFT: u32 = 0x0f00;
const RISCV_DOUBLE: u32 = 0x1000;
const LOONGARCH_SOFT: u32 = 0x1100;
const LOONGARCH_DOUBLE: u32 = 0x1200;

/// The most bytes of the dynamic segment. Large libraries have some hundred bytes.
const MAX_DYNAMIC: u64 = 1 << 20;
/// The most bytes of a soname, with the zero behind it. Longer ones cannot be file names.
const MAX_NAME: u64 = 4096;

/// A shared library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Library {
    /// The name by which programs load the library (`DT_SONAME`), if the library has one.
    pub soname: Option<Vec<u8>>,
    /// The flags for the library's architecture and ABI in the cache.
    pub flags: u32,
    /// The byte order of the library's architecture.
    pub order: Endianness,
}

/// Reads the headers of a file. Returns `None` if the file is not a complete shared library.
pub(crate) fn read(file: File) -> Option<Library> {
    let cache = ReadCache::new(file);
    match cache.read_bytes_at(0, 5).ok()? {
        [0x7f, b'E', b'L', b'F', 1] => parse::<FileHeader32<Endianness>, _>(&cache),
        [0x7f, b'E', b'L', b'F', 2] => parse::<FileHeader64<Endianness>, _>(&cache),
        _ => None,
    }
}

fn parse<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R) -> Option<Library> {
    let header = H::parse(data).ok()?;
    let order = header.endian().ok()?;
    if header.e_type(order) != elf::ET_DYN {
        return None;
    }
    let flags = flags(header.e_machine(order), header.is_class_64(), header.e_flags(order));
    let segments = header.program_headers(order, data).ok()?;
    // It is read as a whole, and a header can promise any size.
    let is_usual = |segment: &&H::ProgramHeader| segment.p_filesz(order).into() <= MAX_DYNAMIC;
    let dynamic = segments.iter().filter(is_usual).find_map(|segment| segment.dynamic(order, data).ok().flatten())?;
    let value = |tag| {
        let known = dynamic.iter().take_while(|entry| entry.tag(order) != elf::DT_NULL);
        known.into_iter().find(|entry| entry.tag(order) == tag).map(|entry| entry.val(order))
    };
    let soname = match value(elf::DT_SONAME) {
        None => None,
        Some(offset) => Some(string::<H, R>(data, order, segments, value(elf::DT_STRTAB)?.checked_add(offset)?)?),
    };
    Some(Library { soname, flags, order })
}

/// Returns the string at a virtual address.
fn string<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
    data: R,
    order: Endianness,
    segments: &[H::ProgramHeader],
    address: u64,
) -> Option<Vec<u8>> {
    let loaded = segments.iter().filter(|segment| segment.p_type(order) == elf::PT_LOAD);
    let range = loaded.into_iter().find_map(|segment| {
        let (offset, size) = segment.file_range(order);
        let inside = address.checked_sub(segment.p_vaddr(order).into()).filter(|inside| *inside < size)?;
        let end = offset.checked_add(size)?.min(offset.checked_add(inside)?.saturating_add(MAX_NAME));
        Some(offset.checked_add(inside)?..end)
    })?;
    data.read_bytes_at_until(range, 0).ok().map(<[u8]>::to_vec)
}

/// Returns the flags in the cache for the machine, class and flags of an ELF header (readelflib.c of each architecture).
fn flags(machine: elf::Machine, is_64: bool, flags: elf::FileFlags) -> u32 {
    let has = |flag: u32| flags.0 & flag != 0;
    let is_eabi5 = flags.0 & elf::EF_ARM_EABIMASK == elf::EF_ARM_EABI_VER5.0;
    let kind = match (machine, is_64) {
        (elf::EM_X86_64, true) => X86_64,
        (elf::EM_X86_64, false) => X86_X32,
        (elf::EM_AARCH64, true) => AARCH64,
        (elf::EM_PPC64, _) => POWERPC_64,
        (elf::EM_S390, true) => S390_64,
        (elf::EM_SPARCV9, _) => SPARC_64,
        (elf::EM_MIPS, true) => MIPS_N64,
        (elf::EM_MIPS, false) if has(elf::EF_MIPS_ABI2.0) => MIPS_N32,
        (elf::EM_ARM, _) if is_eabi5 && has(elf::EF_ARM_ABI_FLOAT_HARD) => ARM_HARD,
        (elf::EM_ARM, _) if is_eabi5 && has(elf::EF_ARM_ABI_FLOAT_SOFT) => ARM_SOFT,
        (elf::EM_RISCV, _) if has(elf::EF_RISCV_FLOAT_ABI_DOUBLE.0) => RISCV_DOUBLE,
        (elf::EM_RISCV, _) => RISCV_SOFT,
        // The lowest three bits are the ABI: 1 is soft float, 3 is double float.
        (elf::EM_LOONGARCH, _) if flags.0 & 7 == 3 => LOONGARCH_DOUBLE,
        (elf::EM_LOONGARCH, _) => LOONGARCH_SOFT,
        _ => 0,
    };
    kind | LIBC6
}
