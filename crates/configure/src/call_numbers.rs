//! The numbers of the system calls that the filter and the supervisor treat, on each architecture.

use crate::calls::Call::{self, *};

/// `AUDIT_ARCH_*` of an architecture (linux/audit.h), and its calls with their numbers.
pub(crate) type Table = (u32, &'static [(Call, u32)]);

/// Every architecture whose programs the host's kernel may run, the host's own first.
#[cfg(target_arch = "x86_64")]
pub(crate) const TABLES: &[Table] = &[(0xc000_003e, &NATIVE), (0x4000_0003, &I386)];
#[cfg(target_arch = "aarch64")]
pub(crate) const TABLES: &[Table] = &[(0xc000_00b7, &NATIVE), (0x4000_0028, &ARM)];
#[cfg(target_arch = "riscv64")]
pub(crate) const TABLES: &[Table] = &[(0xc000_00f3, &NATIVE)];
#[cfg(target_arch = "s390x")]
pub(crate) const TABLES: &[Table] = &[(0x8000_0016, &NATIVE)];
#[cfg(all(target_arch = "powerpc64", target_endian = "little"))]
pub(crate) const TABLES: &[Table] = &[(0xc000_0015, &NATIVE)];
#[cfg(target_arch = "arm")]
pub(crate) const TABLES: &[Table] = &[(0x4000_0028, &ARM)];
#[cfg(target_arch = "x86")]
pub(crate) const TABLES: &[Table] = &[(0x4000_0003, &I386)];
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "s390x",
    all(target_arch = "powerpc64", target_endian = "little"),
    target_arch = "arm",
    target_arch = "x86"
)))]
pub(crate) const TABLES: &[Table] = &[];

/// Returns the call that has a number on an architecture.
pub(crate) fn call(architecture: u32, number: u32) -> Option<Call> {
    let (_, table) = TABLES.iter().find(|(known, _)| *known == architecture)?;
    table.iter().find(|(_, known)| *known == number).map(|(call, _)| *call)
}

#[cfg(target_pointer_width = "64")]
const fn number(number: libc::c_long) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "all of them are below 1000")]
    {
        number as u32
    }
}

/// The calls that only the architectures with the oldest ABIs have, beside their newer forms.
#[cfg(any(target_arch = "x86_64", target_arch = "s390x", target_arch = "powerpc64"))]
const OLD: [(Call, u32); 13] = [
    (Chown, number(libc::SYS_chown)),
    (Lchown, number(libc::SYS_lchown)),
    (Mknod, number(libc::SYS_mknod)),
    (Stat, number(libc::SYS_stat)),
    (Lstat, number(libc::SYS_lstat)),
    (Open, number(libc::SYS_open)),
    (Access, number(libc::SYS_access)),
    (Readlink, number(libc::SYS_readlink)),
    (Chmod, number(libc::SYS_chmod)),
    (Mkdir, number(libc::SYS_mkdir)),
    (Symlink, number(libc::SYS_symlink)),
    (Fstatat, number(libc::SYS_newfstatat)),
    (Fstat, number(libc::SYS_fstat)),
];
#[cfg(all(
    target_pointer_width = "64",
    not(any(target_arch = "x86_64", target_arch = "s390x", target_arch = "powerpc64"))
))]
const OLD: [(Call, u32); 2] = [(Fstatat, number(libc::SYS_newfstatat)), (Fstat, number(libc::SYS_fstat))];

#[cfg(target_pointer_width = "64")]
const NEW: [(Call, u32); 67] = [
    (Sync, number(libc::SYS_fsync)),
    (Sync, number(libc::SYS_fdatasync)),
    (Sync, number(libc::SYS_sync)),
    (Sync, number(libc::SYS_syncfs)),
    (Sync, number(libc::SYS_msync)),
    #[cfg(not(target_arch = "powerpc64"))]
    (Sync, number(libc::SYS_sync_file_range)),
    #[cfg(target_arch = "powerpc64")]
    (Sync, number(libc::SYS_sync_file_range2)),
    (Fchown, number(libc::SYS_fchown)),
    (Fchownat, number(libc::SYS_fchownat)),
    (Mknodat, number(libc::SYS_mknodat)),
    (Statx, number(libc::SYS_statx)),
    (Setuid, number(libc::SYS_setuid)),
    (Setgid, number(libc::SYS_setgid)),
    (Setreuid, number(libc::SYS_setreuid)),
    (Setregid, number(libc::SYS_setregid)),
    (Setresuid, number(libc::SYS_setresuid)),
    (Setresgid, number(libc::SYS_setresgid)),
    (SetIds, number(libc::SYS_setgroups)),
    (Getuid, number(libc::SYS_getuid)),
    (Geteuid, number(libc::SYS_geteuid)),
    (Getgid, number(libc::SYS_getgid)),
    (Getegid, number(libc::SYS_getegid)),
    (Getresuid, number(libc::SYS_getresuid)),
    (Getresgid, number(libc::SYS_getresgid)),
    (Mkdirat, number(libc::SYS_mkdirat)),
    (Symlinkat, number(libc::SYS_symlinkat)),
    (Ioctl, number(libc::SYS_ioctl)),
    (Unshare, number(libc::SYS_unshare)),
    (Clone, number(libc::SYS_clone)),
    (SetGroup, number(libc::SYS_setsid)),
    (SetGroup, number(libc::SYS_setpgid)),
    (Socket, number(libc::SYS_socket)),
    (Socketpair, number(libc::SYS_socketpair)),
    (Bind, number(libc::SYS_bind)),
    (Trace, number(libc::SYS_ptrace)),
    (Trace, number(libc::SYS_process_vm_readv)),
    (Trace, number(libc::SYS_process_vm_writev)),
    (Unneeded, number(libc::SYS_add_key)),
    (Unneeded, number(libc::SYS_request_key)),
    (Unneeded, number(libc::SYS_keyctl)),
    (Unneeded, number(libc::SYS_perf_event_open)),
    (Unneeded, number(libc::SYS_bpf)),
    (Unneeded, number(libc::SYS_userfaultfd)),
    (Unneeded, number(libc::SYS_kcmp)),
    (Kill, number(libc::SYS_kill)),
    (Tkill, number(libc::SYS_tkill)),
    (Tgkill, number(libc::SYS_tgkill)),
    (RtSigqueueinfo, number(libc::SYS_rt_sigqueueinfo)),
    (RtTgsigqueueinfo, number(libc::SYS_rt_tgsigqueueinfo)),
    (Fcntl, number(libc::SYS_fcntl)),
    (SetOfProcess, number(libc::SYS_prlimit64)),
    (SetOfProcess, number(libc::SYS_sched_setparam)),
    (SetOfProcess, number(libc::SYS_sched_setscheduler)),
    (SetOfProcess, number(libc::SYS_sched_setaffinity)),
    (SetOfProcess, number(libc::SYS_sched_setattr)),
    (SetOfProcess, number(libc::SYS_migrate_pages)),
    (SetOfProcess, number(libc::SYS_move_pages)),
    (Setpriority, number(libc::SYS_setpriority)),
    (IoprioSet, number(libc::SYS_ioprio_set)),
    (Openat, number(libc::SYS_openat)),
    (Faccessat, number(libc::SYS_faccessat)),
    (Readlinkat, number(libc::SYS_readlinkat)),
    (Fchmodat, number(libc::SYS_fchmodat)),
    (Utimensat, number(libc::SYS_utimensat)),
    (Linkat, number(libc::SYS_linkat)),
    (Statfs, number(libc::SYS_statfs)),
    (Setxattr, number(libc::SYS_setxattr)),
    (Getxattr, number(libc::SYS_getxattr)),
];

/// The architectures that had this call before they had one for each thing.
#[cfg(any(target_arch = "s390x", target_arch = "powerpc64"))]
const SOCKETCALL: [(Call, u32); 1] = [(Socketcall, number(libc::SYS_socketcall))];
#[cfg(all(target_pointer_width = "64", not(any(target_arch = "s390x", target_arch = "powerpc64"))))]
const SOCKETCALL: [(Call, u32); 0] = [];

/// Numbers from 424 on are the same everywhere (Linux `scripts/syscall.tbl`).
const COMMON: [(Call, u32); 8] = [
    (PidfdSendSignal, 424),
    // io_uring executes calls that no filter sees.
    (Unneeded, 425),
    (Unneeded, 426),
    (Unneeded, 427),
    (Clone3, 435),
    // pidfd_getfd
    (Trace, 438),
    (Faccessat, 439),
    (Fchmodat, 452),
];

#[cfg(target_pointer_width = "64")]
const NATIVE: [(Call, u32); OLD.len() + NEW.len() + SOCKETCALL.len() + COMMON.len()] =
    join(&[&OLD, &NEW, &SOCKETCALL, &COMMON]);

/// The calls that have the same number on i386 and on arm.
#[cfg(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64", target_arch = "arm"))]
const SHARED_32: [(Call, u32); 53] = [
    (Sync, 118),
    (Sync, 148),
    (Sync, 36),
    (Sync, 144),
    (Chown, 212),
    (Lchown, 198),
    (Fchown, 207),
    (Mknod, 14),
    (Stat64, 195),
    (Lstat64, 196),
    (Fstat64, 197),
    (SetIds, 23),
    (SetIds, 46),
    (SetIds, 70),
    (SetIds, 71),
    (SetIds, 81),
    (SetIds, 164),
    (SetIds, 170),
    (Setreuid, 203),
    (Setregid, 204),
    (SetIds, 206),
    (Setresuid, 208),
    (Setresgid, 210),
    (Setuid, 213),
    (Setgid, 214),
    (Getuid, 199),
    (Getgid, 200),
    (Geteuid, 201),
    (Getegid, 202),
    (Getresuid, 209),
    (Getresgid, 211),
    (Mkdir, 39),
    (Symlink, 83),
    (Ioctl, 54),
    (SetGroup, 66),
    (SetGroup, 57),
    (Clone, 120),
    (Trace, 26),
    (Kill, 37),
    (Tkill, 238),
    (RtSigqueueinfo, 178),
    (Fcntl, 55),
    (Fcntl, 221),
    (SetOfProcess, 154),
    (SetOfProcess, 156),
    (SetOfProcess, 241),
    (Setpriority, 97),
    (Open, 5),
    (Access, 33),
    (Readlink, 85),
    (Chmod, 15),
    (Setxattr, 226),
    (Getxattr, 229),
];

/// Linux `arch/x86/entry/syscalls/syscall_32.tbl`.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
const I386: [(Call, u32); SHARED_32.len() + COMMON.len() + 34] = join(&[
    &SHARED_32,
    &COMMON,
    &[
        (Sync, 344),
        (Sync, 314),
        (Fchownat, 298),
        (Mknodat, 297),
        (Fstatat64, 300),
        (Statx, 383),
        (Mkdirat, 296),
        (Symlinkat, 304),
        (Unshare, 310),
        (Socket, 359),
        (Socketpair, 360),
        (Bind, 361),
        (Socketcall, 102),
        (Trace, 347),
        (Trace, 348),
        (Unneeded, 286),
        (Unneeded, 287),
        (Unneeded, 288),
        (Unneeded, 336),
        (Unneeded, 349),
        (Unneeded, 357),
        (Unneeded, 374),
        (Tgkill, 270),
        (RtTgsigqueueinfo, 335),
        (SetOfProcess, 294),
        (SetOfProcess, 317),
        (SetOfProcess, 340),
        (SetOfProcess, 351),
        (IoprioSet, 289),
        (Openat, 295),
        (Faccessat, 307),
        (Readlinkat, 305),
        (Fchmodat, 306),
        (Linkat, 303),
    ],
]);

/// Linux `arch/arm/tools/syscall.tbl`.
#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
const ARM: [(Call, u32); SHARED_32.len() + COMMON.len() + 33] = join(&[
    &SHARED_32,
    &COMMON,
    &[
        (Sync, 373),
        (Sync, 341),
        (Fchownat, 325),
        (Mknodat, 324),
        (Fstatat64, 327),
        (Statx, 397),
        (Mkdirat, 323),
        (Symlinkat, 331),
        (Unshare, 337),
        (Socket, 281),
        (Socketpair, 288),
        (Bind, 282),
        (Trace, 376),
        (Trace, 377),
        (Unneeded, 309),
        (Unneeded, 310),
        (Unneeded, 311),
        (Unneeded, 364),
        (Unneeded, 378),
        (Unneeded, 386),
        (Unneeded, 388),
        (Tgkill, 268),
        (RtTgsigqueueinfo, 363),
        (SetOfProcess, 400),
        (SetOfProcess, 344),
        (SetOfProcess, 369),
        (SetOfProcess, 380),
        (IoprioSet, 314),
        (Openat, 322),
        (Faccessat, 334),
        (Readlinkat, 332),
        (Fchmodat, 333),
        (Linkat, 330),
    ],
]);

/// Joins lists that have `N` entries together.
const fn join<const N: usize>(parts: &[&[(Call, u32)]]) -> [(Call, u32); N] {
    let mut all = [(Sync, 0); N];
    let (mut part, mut from, mut to) = (0, 0, 0);
    while part < parts.len() {
        if from < parts[part].len() {
            all[to] = parts[part][from];
            from += 1;
            to += 1;
        } else {
            (part, from) = (part + 1, 0);
        }
    }
    assert!(to == N, "as many entries as the lists have together");
    all
}
