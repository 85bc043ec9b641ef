//! How the kernel finds the emulator for a program: it compares the first bytes of the program's ELF header (elf(5), and
//! `Documentation/admin-guide/binfmt-misc.rst` of Linux).

use std::path::{Path, PathBuf};

/// The fields of an ELF header that say for which Debian architecture a program is.
struct Processor {
    architecture: &'static str,
    /// QEMU's name of the processor, as in `qemu-aarch64`.
    qemu: &'static str,
    encoding: Encoding,
    /// `e_machine`.
    machine: u16,
    /// `e_flags` of an ordinary program: the EABI of arm, the ABI of ppc64el and mips.
    flags: u32,
}

/// Size of addresses and order of bytes.
#[derive(Clone, Copy)]
struct Encoding {
    /// `EI_CLASS`: 1 for 32 bits, 2 for 64.
    class: u8,
    is_big_endian: bool,
}

const LITTLE_32: Encoding = Encoding { class: 1, is_big_endian: false };
const LITTLE_64: Encoding = Encoding { class: 2, is_big_endian: false };
const BIG_32: Encoding = Encoding { class: 1, is_big_endian: true };
const BIG_64: Encoding = Encoding { class: 2, is_big_endian: true };

const PROCESSORS: [Processor; 15] = [
    processor("amd64", "x86_64", LITTLE_64, 62, 0),
    processor("arm64", "aarch64", LITTLE_64, 183, 0),
    processor("armel", "arm", LITTLE_32, 40, 0x0500_0200),
    processor("armhf", "arm", LITTLE_32, 40, 0x0500_0400),
    processor("i386", "i386", LITTLE_32, 3, 0),
    processor("loong64", "loongarch64", LITTLE_64, 258, 0x43),
    processor("m68k", "m68k", BIG_32, 4, 0),
    processor("mips64el", "mips64el", LITTLE_64, 8, 0x8000_0007),
    processor("mipsel", "mipsel", LITTLE_32, 8, 0x7000_1007),
    processor("powerpc", "ppc", BIG_32, 20, 0),
    processor("ppc64", "ppc64", BIG_64, 21, 1),
    processor("ppc64el", "ppc64le", LITTLE_64, 21, 2),
    processor("riscv64", "riscv64", LITTLE_64, 243, 5),
    processor("s390x", "s390x", BIG_64, 22, 0),
    processor("sparc64", "sparc64", BIG_64, 43, 0),
];

/// The row of [`PROCESSORS`] for one Debian architecture.
const fn processor(
    architecture: &'static str,
    qemu: &'static str,
    encoding: Encoding,
    machine: u16,
    flags: u32,
) -> Processor {
    Processor { architecture, qemu, encoding, machine, flags }
}

fn find(architecture: &str) -> Option<&'static Processor> {
    PROCESSORS.iter().find(|known| known.architecture == architecture)
}

/// Returns QEMU's name of a Debian architecture's processor; `None` for an architecture that the table here lacks.
#[must_use]
pub fn qemu_name(architecture: &str) -> Option<&'static str> {
    find(architecture).map(|processor| processor.qemu)
}

/// Whether the programs of an architecture store numbers with the highest byte first.
#[must_use]
pub fn is_big_endian(architecture: &str) -> bool {
    find(architecture).is_some_and(|processor| processor.encoding.is_big_endian)
}

/// Returns the variable that makes QEMU fast for an architecture, for the environment of the programs that it runs:
/// `QEMU_CPU` (QEMU, "User space emulator").
///
/// For arm64 it names an early processor, on which all of Debian runs. QEMU's default processor has pointer
/// authentication: every function of a package built with `-mbranch-protection` signs its return address, and emulating
/// that cipher makes perl four times as slow.
#[must_use]
pub fn environment(architecture: &str) -> Option<(&'static str, &'static str)> {
    (architecture == "arm64").then_some(("QEMU_CPU", "cortex-a57"))
}

impl Processor {
    /// Returns the part of an ELF header that all programs of this processor share. `kind` is `e_type`: 2 for a program
    /// at a fixed address, 3 for a position-independent one.
    fn header(&self, kind: u16) -> Vec<u8> {
        let is_big_endian = self.encoding.is_big_endian;
        let half = |number: u16| if is_big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        let word = |number: u32| if is_big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        let mut header = b"\x7fELF".to_vec();
        header.extend([self.encoding.class, if is_big_endian { 2 } else { 1 }, 1]);
        header.resize(16, 0);
        header.extend(half(kind));
        header.extend(half(self.machine));
        header.extend(word(1));
        // The entry point and the offsets of the two tables are each program's own.
        header.resize(if self.encoding.class == 2 { 48 } else { 36 }, 0);
        header.extend(word(self.flags));
        header
    }

    /// Returns magic and mask that match all programs of this processor: both kinds, with any `EI_OSABI`.
    fn magic(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut fixed, mut movable) = (self.header(2), self.header(3));
        // Up to the end of e_machine.
        fixed.truncate(20);
        movable.truncate(20);
        let mut mask: Vec<u8> = fixed.iter().zip(&movable).map(|(one, other)| !(one ^ other)).collect();
        if let Some(abi) = mask.get_mut(7) {
            *abi = 0;
        }
        (fixed.iter().zip(&mask).map(|(byte, mask)| byte & mask).collect(), mask)
    }
}

/// Returns the line that makes the kernel start `interpreter` for the programs of an architecture; `None` for an
/// architecture that the table here lacks.
///
/// The flags: F opens the interpreter now, so that it need not be in the root; P keeps `argv[0]` as it was given; O passes
/// the program as an open file; C takes credentials from the program and not from the interpreter, so that set-user-id
/// programs work as they do without an emulator.
#[must_use]
pub fn registration(architecture: &str, interpreter: &str) -> Option<String> {
    let (magic, mask) = find(architecture)?.magic();
    Some(format!(":rootstrap-{architecture}:M::{}:{}:{interpreter}:POCF", quoted(&magic), quoted(&mask)))
}

/// Returns the line that makes the kernel start `interpreter` for the one program that begins with `head`, at most 256 bytes. `number` names
/// the handler. The flags: as for [`registration`], without an open file.
pub(crate) fn registration_of_program(number: usize, head: &[u8], interpreter: &str) -> String {
    format!(":rootstrap-program-{number}:M::{}::{interpreter}:PF", quoted(head))
}

/// Writes bytes as the kernel reads them in a registration.
fn quoted(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Whether a kernel of arm64 runs 32-bit programs. Where the processor cannot, it refuses to act as a 32-bit machine
/// (personality(2), `PER_LINUX32`). Other kernels do not say.
#[must_use]
#[allow(unsafe_code, reason = "personality has no safe form")]
pub fn runs_32_bit_arm() -> bool {
    const ASK: libc::c_ulong = 0xffff_ffff;
    const LINUX_32: libc::c_ulong = 8;
    // SAFETY: the calls take a number. The second one changes this thread alone, and the third one takes that back.
    unsafe {
        let before = libc::personality(ASK);
        let accepted = libc::personality(LINUX_32) >= 0;
        libc::personality(libc::c_ulong::from(before.cast_unsigned()));
        accepted
    }
}

/// A handler of the kernel, as its file in binfmt_misc describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    /// Whether the kernel uses it.
    pub is_enabled: bool,
    /// The program that it starts.
    pub interpreter: PathBuf,
    /// Its flags as letters; F means that the kernel has the interpreter open already.
    pub flags: String,
    offset: usize,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

impl Handler {
    /// Reads a handler's file. `None` if it describes no handler, or one that goes by the suffix of file names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut handler = Self { is_enabled: lines.next()? == "enabled", ..Self::default() };
        for line in lines {
            let (name, value) = line.split_once(' ')?;
            match name {
                "interpreter" => handler.interpreter = Path::new(value).to_owned(),
                "flags:" => value.clone_into(&mut handler.flags),
                "offset" => handler.offset = value.parse().ok()?,
                "magic" => handler.magic = hexadecimal(value)?,
                "mask" => handler.mask = hexadecimal(value)?,
                _ => return None,
            }
        }
        (!handler.magic.is_empty()).then_some(handler)
    }

    /// Whether the kernel gives it the programs of an architecture, both those at a fixed address and
    /// position-independent ones.
    #[must_use]
    pub fn runs(&self, architecture: &str) -> bool {
        find(architecture).is_some_and(|processor| [2, 3].iter().all(|kind| self.matches(&processor.header(*kind))))
    }

    fn matches(&self, header: &[u8]) -> bool {
        let mask = self.mask.iter().chain(std::iter::repeat(&0xff));
        let Some(compared) = header.get(self.offset..).filter(|rest| rest.len() >= self.magic.len()) else {
            return false;
        };
        self.magic.iter().zip(mask).zip(compared).all(|((magic, mask), byte)| (magic ^ byte) & mask == 0)
    }

    /// Whether the kernel opened the interpreter when the handler was registered, so that it works in any root.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.flags.contains('F')
    }
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    base16ct::lower::decode_vec(digits).ok()
}

/// Whether a program is an ELF file of this machine's byte order that needs no dynamic loader (`PT_INTERP`).
#[must_use]
pub fn is_static(program: &[u8]) -> bool {
    interpreters(program) == Some(0)
}

/// Counts the `PT_INTERP` entries of the program headers; `None` if this is no ELF file of this machine's byte order.
fn interpreters(program: &[u8]) -> Option<usize> {
    let order = if cfg!(target_endian = "big") { 2 } else { 1 };
    let is_64_bit = match program.get(..6)? {
        [0x7f, b'E', b'L', b'F', 1, byte_order] if *byte_order == order => false,
        [0x7f, b'E', b'L', b'F', 2, byte_order] if *byte_order == order => true,
        _ => return None,
    };
    let half = |at: usize| Some(u16::from_ne_bytes(program.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(program.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let (table, size, count) = if is_64_bit {
        let table = u64::from_ne_bytes(program.get(32..40)?.try_into().ok()?);
        (usize::try_from(table).ok()?, half(54)?, half(56)?)
    } else {
        (usize::try_from(word(28)?).ok()?, half(42)?, half(44)?)
    };
    let mut entries = (0..usize::from(count)).map(|number| word(table.checked_add(number * usize::from(size))?));
    entries.try_fold(0, |found, kind| Some(found + usize::from(kind? == 3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of a program, as `head --bytes=20 FILE | od -t x1` shows them.
    fn matches(architecture: &str, header: [u8; 20]) -> bool {
        let (magic, mask) = find(architecture).unwrap().magic();
        magic.iter().zip(&mask).zip(header).all(|((magic, mask), byte)| byte & mask == *magic)
    }

    const ARM64: [u8; 20] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0xb7, 0];
    const S390X: [u8; 20] = [0x7f, 0x45, 0x4c, 0x46, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0x16];
    const ARMHF: [u8; 20] = [0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0x28, 0];

    #[test]
    fn headers_tell_programs_apart() {
        assert!(
            matches("arm64", ARM64) && matches("s390x", S390X) && matches("armhf", ARMHF) && matches("armel", ARMHF)
        );
        assert!(!matches("arm64", S390X) && !matches("s390x", ARM64) && !matches("riscv64", ARM64));
        let with = |at: usize, byte: u8| {
            let mut header = ARM64;
            header[at] = byte;
            matches("arm64", header)
        };
        assert!(with(16, 2), "a program at a fixed address");
        assert!(with(7, 3), "a static program names its system");
        assert!(!with(16, 1) && !with(16, 4), "objects and dumps are no programs");
        assert!(!with(4, 1), "32 bits");
    }

    #[test]
    fn this_test_itself_is_a_program_of_this_machine() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        let own = rootstrap_debian::arch::from_machine(match std::env::consts::ARCH {
            "powerpc64" => "ppc64le",
            "x86" => "i686",
            "arm" => "armv7l",
            other => other,
        });
        let header: [u8; 20] = program[..20].try_into().unwrap();
        let found = PROCESSORS.iter().filter(|processor| matches(processor.architecture, header));
        let names: Vec<_> = found.map(|processor| processor.architecture).collect();
        assert!(names.contains(&own.unwrap()), "{names:?}");
    }

    #[test]
    fn each_processor_has_a_magic_of_its_own() {
        for one in &PROCESSORS {
            for other in PROCESSORS.iter().filter(|other| other.qemu != one.qemu) {
                let header: [u8; 20] = other.header(3)[..20].try_into().unwrap();
                assert!(!matches(one.architecture, header), "{} {}", one.architecture, other.architecture);
            }
        }
        assert_eq!(qemu_name("ppc64el"), Some("ppc64le"));
        assert_eq!(qemu_name("armel"), qemu_name("armhf"));
        assert_eq!(qemu_name("vax"), None);
    }

    #[test]
    fn the_registration_is_the_line_that_the_kernel_expects() {
        let line = registration("arm64", "/x").unwrap();
        assert_eq!(
            line,
            ":rootstrap-arm64:M::\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00\
             :\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:/x:POCF"
        );
        // On this architecture the low byte of e_type is the second one.
        assert!(registration("s390x", "/x").unwrap().contains("\\xff\\xfe\\xff\\xff:/x"));
        assert_eq!(registration("vax", "/x"), None);
    }

    fn handler(state: &str, flags: &str, rest: &str) -> Option<Handler> {
        Handler::parse(&format!("{state}\ninterpreter /usr/bin/some emulator\nflags: {flags}\noffset {rest}\n"))
    }

    #[test]
    fn a_handler_runs_the_programs_that_it_matches() {
        let usual = "0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff";
        let found = handler("enabled", "POF", usual).unwrap();
        assert!(found.is_enabled && found.is_fixed() && found.runs("arm64") && !found.runs("riscv64"));
        assert_eq!(found.interpreter, Path::new("/usr/bin/some emulator"));
        let found = handler("disabled", "", usual).unwrap();
        assert!(!found.is_enabled && !found.is_fixed() && found.runs("arm64"));
        assert!(handler("enabled", "F", "18\nmagic b700").unwrap().runs("arm64"));
        assert!(!handler("enabled", "F", "17\nmagic b700").unwrap().runs("arm64"));
        // A handler for programs at a fixed address alone is of no use.
        assert!(!handler("enabled", "F", "16\nmagic 0200b700").unwrap().runs("arm64"));
        assert!(!handler("enabled", "F", "4000\nmagic b700").unwrap().runs("arm64"));
        // A handler that compares the EABI in the flags of arm's header.
        let (zeros, masked) = ("00".repeat(15), "00".repeat(19));
        let eabi = format!(
            "0\nmagic 7f454c460101010000000000000000000200280001000000{zeros}05\n\
                            mask ffffffffffffff00fffffffffffffffffeffffff{masked}ff"
        );
        let found = handler("enabled", "F", &eabi).unwrap();
        assert!(found.runs("armhf") && found.runs("armel") && !found.runs("arm64"));
    }

    #[test]
    fn other_files_are_no_handlers() {
        for text in
            ["enabled\n", "", "enabled\ninterpreter /x\nflags: \nextension .jar\n", "enabled\nmagic 7f4\noffset x\n"]
        {
            assert_eq!(Handler::parse(text), None, "{text:?}");
        }
    }

    #[test]
    #[allow(unsafe_code, reason = "personality has no safe form")]
    fn asking_for_32_bit_programs_changes_nothing() {
        // SAFETY: the call changes nothing.
        let present = || unsafe { libc::personality(0xffff_ffff) };
        let before = present();
        assert_eq!(runs_32_bit_arm(), runs_32_bit_arm());
        assert_eq!(present(), before);
    }

    #[test]
    fn a_program_without_a_loader_is_static() {
        assert!(!is_static(&std::fs::read("/proc/self/exe").unwrap()) || cfg!(target_env = "musl"));
        assert!(!is_static(b"#!/bin/sh\n") && !is_static(b"\x7fELF"));
        let order = if cfg!(target_endian = "big") { 2 } else { 1 };
        let mut program = vec![0; 64 + 2 * 56];
        program[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, order]);
        program[32..40].copy_from_slice(&64u64.to_ne_bytes());
        program[54..58].copy_from_slice(&[56u16.to_ne_bytes(), 2u16.to_ne_bytes()].concat());
        program[64..68].copy_from_slice(&1u32.to_ne_bytes());
        assert!(is_static(&program));
        program[120..124].copy_from_slice(&3u32.to_ne_bytes());
        assert!(!is_static(&program));
        program.truncate(100);
        assert!(!is_static(&program));
    }
}
