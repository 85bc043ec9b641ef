//! fsync and its family as no-ops: a tree that is thrown away on failure gains nothing from a thousand of them.
//!
//! The filter answers success without doing anything; every other system call passes. One flush at publication
//! takes their place.
#![allow(unsafe_code, reason = "prctl(PR_SET_SECCOMP) takes a pointer to the filter")]

use libc::{sock_filter, sock_fprog};
use std::io;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offsets into `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// `AUDIT_ARCH_*` with the numbers of fsync, fdatasync, sync, syncfs, msync and sync_file_range there, for every
/// architecture whose programs a kernel of the host's may run.
#[cfg(target_arch = "x86_64")]
const TABLE: &[(u32, &[u32])] = &[
    // x32 programs carry the same architecture and bit 30 in the number.
    (0xc000_003e, &[74, 75, 162, 306, 26, 277, 0x4000_004a, 0x4000_004b, 0x4000_00a2, 0x4000_0132, 0x4000_001a]),
    (0x4000_0003, &[118, 148, 36, 344, 144, 314]),
];
#[cfg(target_arch = "aarch64")]
const TABLE: &[(u32, &[u32])] =
    &[(0xc000_00b7, &[82, 83, 81, 267, 227, 84]), (0x4000_0028, &[118, 148, 36, 373, 144, 341])];
#[cfg(target_arch = "riscv64")]
const TABLE: &[(u32, &[u32])] = &[(0xc000_00f3, &[82, 83, 81, 267, 227, 84])];
#[cfg(target_arch = "s390x")]
const TABLE: &[(u32, &[u32])] = &[(0x8000_0016, &[118, 148, 36, 338, 144, 307])];
#[cfg(all(target_arch = "powerpc64", target_endian = "little"))]
const TABLE: &[(u32, &[u32])] = &[(0xc000_0015, &[118, 148, 36, 348, 144, 308])];
#[cfg(target_arch = "arm")]
const TABLE: &[(u32, &[u32])] = &[(0x4000_0028, &[118, 148, 36, 373, 144, 341])];
#[cfg(target_arch = "x86")]
const TABLE: &[(u32, &[u32])] = &[(0x4000_0003, &[118, 148, 36, 344, 144, 314])];
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "s390x",
    all(target_arch = "powerpc64", target_endian = "little"),
    target_arch = "arm",
    target_arch = "x86"
)))]
const TABLE: &[(u32, &[u32])] = &[];

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn program() -> Vec<sock_filter> {
    let mut program = vec![statement(LOAD, ARCHITECTURE)];
    for (architecture, numbers) in TABLE {
        let length = u8::try_from(numbers.len()).unwrap_or(u8::MAX);
        // Not this architecture: skip the load, the comparisons and the two returns.
        program.push(sock_filter { code: JUMP_EQUAL, jt: 0, jf: length + 3, k: *architecture });
        program.push(statement(LOAD, NUMBER));
        for (index, &number) in (0u8..).zip(*numbers) {
            // A match jumps over the remaining comparisons and the "allow" to the "nothing done, success".
            program.push(sock_filter { code: JUMP_EQUAL, jt: length - index, jf: 0, k: number });
        }
        program.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
        program.push(statement(RETURN, libc::SECCOMP_RET_ERRNO));
    }
    program.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    program
}

/// Installs the filter for this process and everything it starts from now on.
///
/// # Errors
/// The kernel has no seccomp, or forbids it.
pub(crate) fn suppress_sync() -> io::Result<()> {
    let mut program = program();
    let filter = sock_fprog { len: u16::try_from(program.len()).unwrap_or(0), filter: program.as_mut_ptr() };
    // SAFETY: `filter` points at `program`, which outlives the call; the kernel copies it.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers for a call: the part of BPF it uses, interpreted.
    fn answer(architecture: u32, number: u32) -> u32 {
        let program = program();
        let (mut at, mut accumulator) = (0usize, 0);
        loop {
            let step = program[at];
            at += 1;
            match step.code {
                LOAD => accumulator = if step.k == NUMBER { number } else { architecture },
                JUMP_EQUAL => at += usize::from(if accumulator == step.k { step.jt } else { step.jf }),
                _ => return step.k,
            }
        }
    }

    #[test]
    fn only_the_sync_family_is_answered() {
        for (architecture, numbers) in TABLE {
            for number in 0..600 {
                let suppressed = numbers.contains(&number);
                let expected = if suppressed { libc::SECCOMP_RET_ERRNO } else { libc::SECCOMP_RET_ALLOW };
                assert_eq!(answer(*architecture, number), expected, "{architecture:#x} {number}");
            }
        }
        assert_eq!(answer(0xdead_beef, 74), libc::SECCOMP_RET_ALLOW);
    }
}
