//! What the C library's cache wants to know of a shared library: its name and what it is made for.

use object::Endianness;
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};
use std::fs::File;

/// For the current C library, which all are made for nowadays (sysdeps/generic/ldconfig.h, also for what follows).
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

/// A shared library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Library {
    /// The name that programs linked with it ask for, if it has one of its own.
    pub soname: Option<Vec<u8>>,
    /// Its kind, as the cache numbers them.
    pub flags: u32,
    /// Byte order of its machine.
    pub order: Endianness,
}

/// Reads the headers of a file; `None` for anything that is not a whole shared library.
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
    let dynamic = segments.iter().find_map(|segment| segment.dynamic(order, data).ok().flatten())?;
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

/// The string at an address.
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
        Some(offset.checked_add(inside)?..offset.checked_add(size)?)
    })?;
    data.read_bytes_at_until(range, 0).ok().map(<[u8]>::to_vec)
}

/// The kind of library that machine, class and flags of an ELF header make (readelflib.c of each architecture).
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
        // The lowest three bits: 1 soft, 3 double.
        (elf::EM_LOONGARCH, _) if flags.0 & 7 == 3 => LOONGARCH_DOUBLE,
        (elf::EM_LOONGARCH, _) => LOONGARCH_SOFT,
        _ => 0,
    };
    kind | LIBC6
}
