//! The program that the kernel starts in the place of a foreign program that has a native twin (binfmt_misc): it starts the twin.
//!
//! It runs inside the root, where no library of this machine is, before each of many thousand programs. So it has no libraries, not even
//! Rust's own, and makes about six system calls. `build.rs` compiles it, and `native.rs` registers it.
//!
//! The kernel passes: the name of this program, the path of the foreign program, its `argv[0]`, its arguments (flag P). The twin has the
//! path of the foreign program below [`NATIVE`]. If it has none there, the emulator runs the foreign program after all.
#![no_std]
#![no_main]
// The compiler must not turn loops into calls of a C library.
#![no_builtins]

use core::arch::{asm, global_asm};

/// Where the native programs, their libraries and the emulator are; `native.rs` mounts them there.
const NATIVE: &[u8] = b"/dev/.native";
const EMULATOR: &[u8] = b"/dev/.native/emulator\0";

#[cfg(target_arch = "x86_64")]
const LOADER: &[u8] = b"/dev/.native/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2\0";
#[cfg(target_arch = "x86_64")]
const LIBRARIES: &[u8] = b"/dev/.native/usr/lib/x86_64-linux-gnu:/dev/.native/usr/lib/x86_64-linux-gnu/systemd\0";

#[cfg(target_arch = "aarch64")]
const LOADER: &[u8] = b"/dev/.native/usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1\0";
#[cfg(target_arch = "aarch64")]
const LIBRARIES: &[u8] = b"/dev/.native/usr/lib/aarch64-linux-gnu:/dev/.native/usr/lib/aarch64-linux-gnu/systemd\0";

const LIBRARY_PATH: &[u8] = b"--library-path\0";
const ARGV0: &[u8] = b"--argv0\0";
const EMULATOR_ARGV0: &[u8] = b"-0\0";

/// Perl finds its modules below [`NATIVE`] by a module of ours, which also gives the program its usual name.
const PERL: &[u8] = b"/usr/bin/perl\0";
const PERL_MODULES: &[u8] = b"-I/dev/.native/perl\0";
const PERL_MODULE: &[u8] = b"-MNativePerl\0";

/// Arguments that may come before those of the program: loader, two options with their values, twin, two of perl, and the end.
const EXTRA: usize = 9;

type Text = *const u8;

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2", main = sym main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl {main}", "brk #1", main = sym main);

/// System calls by their numbers (syscalls(2)).
#[cfg(target_arch = "x86_64")]
mod number {
    pub const MMAP: usize = 9;
    pub const WRITE: usize = 1;
    pub const EXECVE: usize = 59;
    pub const EXIT: usize = 60;
    pub const OPENAT: usize = 257;
    pub const READLINKAT: usize = 267;
    pub const FACCESSAT: usize = 269;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const MMAP: usize = 222;
    pub const WRITE: usize = 64;
    pub const EXECVE: usize = 221;
    pub const EXIT: usize = 93;
    pub const OPENAT: usize = 56;
    pub const READLINKAT: usize = 78;
    pub const FACCESSAT: usize = 48;
}

const AT_FDCWD: usize = -100_isize as usize;
const O_PATH_CLOEXEC: usize = 0o12000000;
const X_OK: usize = 1;
const PATH_MAX: usize = 4096;

#[cfg(target_arch = "x86_64")]
fn call(number: usize, a: [usize; 6]) -> isize {
    let result;
    // SAFETY: the callers pass what the system call takes.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3],
             in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(number: usize, a: [usize; 6]) -> isize {
    let result;
    // SAFETY: the callers pass what the system call takes.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a[0] => result, in("x1") a[1], in("x2") a[2], in("x3") a[3],
             in("x4") a[4], in("x5") a[5], options(nostack));
    }
    result
}

fn exit(message: &[u8]) -> ! {
    call(number::WRITE, [2, message.as_ptr() as usize, message.len(), 0, 0, 0]);
    loop {
        call(number::EXIT, [127, 0, 0, 0, 0, 0]);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(b"launcher: cannot go on\n")
}

/// Writes `text`, with its end if it has one, to `to`. Returns where the next byte goes.
///
/// # Safety
/// There is room for `text`.
unsafe fn put(mut to: *mut u8, text: &[u8]) -> *mut u8 {
    for &byte in text {
        // SAFETY: the caller vouches for it.
        unsafe {
            *to = byte;
            to = to.add(1);
        }
    }
    to
}

/// Writes a number in decimal digits, as [`put`] writes a text.
unsafe fn put_number(to: *mut u8, number: usize) -> *mut u8 {
    // SAFETY: the caller vouches for it.
    unsafe {
        let to = if number < 10 { to } else { put_number(to, number / 10) };
        put(to, &[b'0' + (number % 10) as u8])
    }
}

/// Writes the path of the twin to `path`, which has room for [`PATH_MAX`] bytes. Returns whether there is a twin.
unsafe fn find_twin(program: Text, path: *mut u8) -> bool {
    let opened = call(number::OPENAT, [AT_FDCWD, program as usize, O_PATH_CLOEXEC, 0, 0, 0]);
    if opened < 0 {
        return false;
    }
    // SAFETY: what is written is shorter than the room for it.
    unsafe {
        let end = put_number(put(path, b"/proc/self/fd/"), opened as usize);
        *end = 0;
        // Without links, and as it is in this root. The result may take the place of the name that was read.
        let rest = path.add(NATIVE.len());
        let room = PATH_MAX - NATIVE.len() - 1;
        let length = call(number::READLINKAT, [AT_FDCWD, path as usize, rest as usize, room, 0, 0]);
        if length <= 0 || length as usize >= room {
            return false;
        }
        put(path, NATIVE);
        *rest.add(length as usize) = 0;
    }
    call(number::FACCESSAT, [AT_FDCWD, path as usize, X_OK, 0, 0, 0]) == 0
}

/// Returns whether a path with an end is `wanted`.
unsafe fn is_path(mut path: Text, wanted: &[u8]) -> bool {
    for &byte in wanted {
        // SAFETY: nothing is read past the end of the path, which equals no byte of `wanted` before its own end.
        unsafe {
            if *path != byte {
                return false;
            }
            path = path.add(1);
        }
    }
    true
}

/// A list of arguments that grows.
struct List {
    next: *mut Text,
}

impl List {
    /// Adds an argument. There is room for it.
    unsafe fn push(&mut self, argument: Text) {
        // SAFETY: the caller vouches for it.
        unsafe {
            *self.next = argument;
            self.next = self.next.add(1);
        }
    }
}

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel puts there the number of arguments, the arguments and a null, then the environment (execve(2)). The new memory
    // has room for all arguments and `EXTRA` others.
    unsafe {
        let (count, arguments) = (*stack, stack.add(1).cast::<Text>());
        let environment = arguments.add(count + 1) as usize;
        if count < 3 {
            exit(b"launcher: only the kernel can start it\n");
        }
        let (program, argv0) = (*arguments.add(1), *arguments.add(2));
        // Private, anonymous, for reading and writing, filled with zeros.
        let size = PATH_MAX + (count + EXTRA) * size_of::<Text>();
        let memory = call(number::MMAP, [0, size, 3, 0x22, usize::MAX, 0]);
        if memory < 0 {
            exit(b"launcher: there is no memory\n");
        }
        let path = memory as *mut u8;
        let list = path.add(PATH_MAX).cast::<Text>();
        let mut new = List { next: list };
        let is_twin = find_twin(program, path);
        if is_twin {
            new.push(LOADER.as_ptr());
            new.push(LIBRARY_PATH.as_ptr());
            new.push(LIBRARIES.as_ptr());
            new.push(ARGV0.as_ptr());
            new.push(argv0);
            new.push(path);
            if is_path(path.add(NATIVE.len()), PERL) {
                new.push(PERL_MODULES.as_ptr());
                new.push(PERL_MODULE.as_ptr());
            }
        } else {
            new.push(EMULATOR.as_ptr());
            new.push(EMULATOR_ARGV0.as_ptr());
            new.push(argv0);
            new.push(program);
        }
        let mut number = 3;
        while number < count {
            new.push(*arguments.add(number));
            number += 1;
        }
        let start = if is_twin { LOADER.as_ptr() } else { EMULATOR.as_ptr() };
        call(number::EXECVE, [start as usize, list as usize, environment, 0, 0, 0]);
    }
    exit(b"launcher: cannot start the program\n")
}
