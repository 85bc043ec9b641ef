//! The system call filter around package scripts.
//!
//! * fsync and its family succeed without doing anything. A tree that is thrown away on failure gains nothing from
//!   thousands of flushes; one flush at publication replaces them.
//! * Calls that would give a script more rights than it has are refused.
//! * Calls that only real root could make go to the supervisor (`seccomp_unotify(2)`).
//! * Every other call passes.
#![allow(unsafe_code, reason = "seccomp(2) takes a pointer to the filter")]

use crate::call_numbers::{TABLES, Table};
use crate::calls::Call;
use crate::privilege::Mode;
use libc::{sock_filter, sock_fprog};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_BITS: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offsets into `struct seccomp_data`, in bytes.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// The offset of the lower half of an argument.
const fn argument(index: u32) -> u32 {
    16 + 8 * index + if cfg!(target_endian = "big") { 4 } else { 0 }
}

/// x32 programs have the architecture of 64-bit ones, and this bit set in the call's number.
const X32: u32 = 0x4000_0000;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It fails with this error; 0 is success.
    Fails(libc::c_int),
    /// The supervisor answers it.
    Supervise,
}

/// When a rule applies: always, or if the masked lower half of an argument is one of `values`, or is none of them.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    Argument { index: u32, mask: u32, values: &'static [u32] },
    ArgumentOtherThan { index: u32, mask: u32, values: &'static [u32] },
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    calls: &'static [Call],
    when: When,
    answer: Answer,
}

const NEW_USER: u32 = 0x1000_0000; // CLONE_NEWUSER
const KINDS: u32 = 0o170_000; // S_IFMT
const DEVICES: &[u32] = &[0o020_000, 0o060_000]; // S_IFCHR, S_IFBLK
/// TIOCSTI and TIOCLINUX put characters into a terminal's input as if its user typed them.
const TYPING: &[u32] = &[0x5412, 0x541c];
/// The families of sockets that end at the sandbox's own network namespace: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. Others
/// reach the hypervisor (AF_VSOCK), the kernel's ciphers (AF_ALG) or hardware.
pub(crate) const FAMILIES: &[u32] = &[1, 2, 10, 16];
const UNIX: &[u32] = &[1];
/// SOCK_STREAM and SOCK_SEQPACKET: both ends are connected for good. A datagram can be sent to any other socket.
const CONNECTED: &[u32] = &[1, 5];
const SOCKET_TYPE: u32 = 0xf; // SOCK_TYPE_MASK
/// What socketcall(2) is asked for: SYS_SOCKET; SYS_SOCKET, SYS_BIND, SYS_SOCKETPAIR.
const NEW_SOCKET: &[u32] = &[1];
const NEW_SOCKETS: &[u32] = &[1, 2, 8];
/// F_SETOWN and F_SETOWN_EX, FIOSETOWN and SIOCSPGRP: who gets a signal when a file becomes ready.
const SIGNALLED: &[u32] = &[8, 15];
const SIGNALLED_BY_IOCTL: &[u32] = &[0x8901, 0x8902];

/// The rules of every sandbox.
const ALWAYS: &[Rule] = &[
    Rule { calls: &[Call::Sync], when: When::Always, answer: Answer::Fails(0) },
    Rule { calls: &[Call::Ioctl], when: arg(1, u32::MAX, TYPING), answer: Answer::Fails(libc::EPERM) },
    // A new user namespace would give a script all capabilities again.
    Rule { calls: &[Call::Unshare], when: arg(0, NEW_USER, &[NEW_USER]), answer: Answer::Fails(libc::EPERM) },
    Rule {
        calls: &[Call::Clone],
        when: arg(if cfg!(target_arch = "s390x") { 1 } else { 0 }, NEW_USER, &[NEW_USER]),
        answer: Answer::Fails(libc::EPERM),
    },
    // Its flags are in memory, which a filter cannot read. On ENOSYS the C library falls back to clone(2).
    Rule { calls: &[Call::Clone3], when: When::Always, answer: Answer::Fails(libc::ENOSYS) },
    Rule { calls: &[Call::Trace], when: When::Always, answer: Answer::Fails(libc::EPERM) },
    Rule { calls: &[Call::Unneeded], when: When::Always, answer: Answer::Fails(libc::ENOSYS) },
    Rule {
        calls: &[Call::Socket],
        when: arg_other_than(0, u32::MAX, FAMILIES),
        answer: Answer::Fails(libc::EAFNOSUPPORT),
    },
    Rule {
        calls: &[Call::Socketpair],
        when: arg_other_than(0, u32::MAX, UNIX),
        answer: Answer::Fails(libc::EAFNOSUPPORT),
    },
];

/// The rules where socketcall(2) is the only call that has the family in memory, and somebody can read it there.
const SOCKETS: &[Rule] =
    &[Rule { calls: &[Call::Socketcall], when: arg(0, u32::MAX, NEW_SOCKET), answer: Answer::Supervise }];

/// The same where nobody can.
const NO_SOCKETS: &[Rule] = &[Rule {
    calls: &[Call::Socketcall],
    when: arg(0, u32::MAX, NEW_SOCKETS),
    answer: Answer::Fails(libc::EAFNOSUPPORT),
}];

/// The rules where the kernel makes no device nodes.
const NODES: &[Rule] = &[
    Rule { calls: &[Call::Mknod], when: arg(1, KINDS, DEVICES), answer: Answer::Supervise },
    Rule { calls: &[Call::Mknodat], when: arg(2, KINDS, DEVICES), answer: Answer::Supervise },
];

const CREATES: u32 = 0o100; // O_CREAT

/// The rules where there is only one user.
const OWNERS: &[Rule] = &[
    Rule {
        calls: &[
            Call::Chown,
            Call::Lchown,
            Call::Fchown,
            Call::Fchownat,
            Call::Stat,
            Call::Lstat,
            Call::Fstat,
            Call::Fstatat,
            Call::Statx,
            Call::Stat64,
            Call::Lstat64,
            Call::Fstat64,
            Call::Fstatat64,
            Call::SetIds,
            Call::Setuid,
            Call::Setgid,
            Call::Setreuid,
            Call::Setregid,
            Call::Setresuid,
            Call::Setresgid,
            Call::Getuid,
            Call::Geteuid,
            Call::Getgid,
            Call::Getegid,
            Call::Getresuid,
            Call::Getresgid,
            Call::Mkdir,
            Call::Mkdirat,
            Call::Symlink,
            Call::Symlinkat,
            Call::Mknod,
            Call::Mknodat,
        ],
        when: When::Always,
        answer: Answer::Supervise,
    },
    Rule { calls: &[Call::Open], when: arg(1, CREATES, &[CREATES]), answer: Answer::Supervise },
    Rule { calls: &[Call::Openat], when: arg(2, CREATES, &[CREATES]), answer: Answer::Supervise },
];

/// The rules where nothing can be mounted: no /proc, and no namespace for the network and for processes.
const NO_MOUNTS: &[Rule] = &[
    Rule {
        calls: &[
            Call::Open,
            Call::Openat,
            Call::Stat,
            Call::Lstat,
            Call::Fstatat,
            Call::Statx,
            Call::Stat64,
            Call::Lstat64,
            Call::Fstatat64,
            Call::Access,
            Call::Faccessat,
            Call::Readlink,
            Call::Readlinkat,
            Call::Chmod,
            Call::Fchmodat,
            Call::Chown,
            Call::Lchown,
            Call::Fchownat,
            Call::Utimensat,
            Call::Linkat,
            Call::Statfs,
            Call::Setxattr,
            Call::Getxattr,
        ],
        when: When::Always,
        answer: Answer::Supervise,
    },
    // Sockets of the family AF_UNIX have names that do not belong to any root. Pairs that are connected to each other stay.
    Rule { calls: &[Call::Socket], when: When::Always, answer: Answer::Fails(libc::EAFNOSUPPORT) },
    Rule {
        calls: &[Call::Socketpair],
        when: arg_other_than(1, SOCKET_TYPE, CONNECTED),
        answer: Answer::Fails(libc::EPROTONOSUPPORT),
    },
    Rule { calls: &[Call::Bind], when: When::Always, answer: Answer::Fails(libc::EACCES) },
    Rule {
        calls: &[Call::Kill, Call::Tkill, Call::Tgkill, Call::RtSigqueueinfo, Call::RtTgsigqueueinfo],
        when: When::Always,
        answer: Answer::Supervise,
    },
    // While the sandbox is being ended, no process may leave its group: groups are killed whole.
    Rule { calls: &[Call::SetGroup], when: When::Always, answer: Answer::Supervise },
    // Which process the descriptor means can change before the kernel looks. Programs fall back to kill(2).
    Rule { calls: &[Call::PidfdSendSignal], when: When::Always, answer: Answer::Fails(libc::ENOSYS) },
    Rule { calls: &[Call::Fcntl], when: arg(1, u32::MAX, SIGNALLED), answer: Answer::Fails(libc::EPERM) },
    Rule { calls: &[Call::Ioctl], when: arg(1, u32::MAX, SIGNALLED_BY_IOCTL), answer: Answer::Fails(libc::EPERM) },
    // 0 is the calling process itself.
    Rule { calls: &[Call::SetOfProcess], when: arg_other_than(0, u32::MAX, &[0]), answer: Answer::Supervise },
    // PRIO_PROCESS and IOPRIO_WHO_PROCESS; the others mean all processes of a group or user.
    Rule { calls: &[Call::Setpriority], when: arg_other_than(0, u32::MAX, &[0]), answer: Answer::Fails(libc::EPERM) },
    Rule { calls: &[Call::IoprioSet], when: arg_other_than(0, u32::MAX, &[1]), answer: Answer::Fails(libc::EPERM) },
    Rule {
        calls: &[Call::Setpriority, Call::IoprioSet],
        when: arg_other_than(1, u32::MAX, &[0]),
        answer: Answer::Supervise,
    },
];

const fn arg(index: u32, mask: u32, values: &'static [u32]) -> When {
    When::Argument { index, mask, values }
}

const fn arg_other_than(index: u32, mask: u32, values: &'static [u32]) -> When {
    When::ArgumentOtherThan { index, mask, values }
}

/// What the supervisor has to answer for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Supervised {
    /// Device nodes, because the kernel makes none in this mode.
    pub nodes: bool,
    /// Owners, because there is only one user in this mode.
    pub owners: bool,
    /// /proc and signals, because in this mode there is no /proc of the sandbox and no pid namespace. Without mounts the
    /// sandbox has no network namespace either, so the filter refuses sockets.
    pub proc: bool,
    /// The sockets of 32-bit programs, whose family no filter can read.
    pub sockets: bool,
}

impl Supervised {
    /// Returns what the supervisor answers for in a mode.
    pub(crate) fn of(mode: Mode) -> Self {
        let has_socketcall = TABLES.iter().any(|(_, table)| table.iter().any(|(call, _)| *call == Call::Socketcall));
        Self {
            nodes: mode != Mode::Root,
            owners: mode == Mode::Single,
            proc: mode == Mode::Chroot,
            sockets: mode != Mode::Chroot && has_socketcall,
        }
    }

    fn rules(self) -> impl Iterator<Item = &'static Rule> + Clone {
        let parts = [
            (true, ALWAYS),
            (self.sockets, SOCKETS),
            (!self.sockets, NO_SOCKETS),
            (self.nodes, NODES),
            (self.owners, OWNERS),
            (self.proc, NO_MOUNTS),
        ];
        parts.into_iter().filter(|(wanted, _)| *wanted).flat_map(|(_, rules)| rules)
    }

    /// Whether there is nothing to supervise.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether scripts give the right result without the supervisor. They lack the sockets of 32-bit programs then.
    pub(crate) fn is_dispensable(self) -> bool {
        !self.nodes && !self.owners && !self.proc
    }
}

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// The value that the filter returns to the kernel for an answer.
fn returned(answer: Answer) -> u32 {
    match answer {
        Answer::Fails(errno) => libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap_or(0),
        Answer::Supervise => libc::SECCOMP_RET_USER_NOTIF,
    }
}

/// Returns the statements that apply a rule to one call number. They expect the call's number in the accumulator, and
/// leave it there if the rule does not apply.
fn apply(number: u32, rule: &Rule) -> Vec<sock_filter> {
    let answer = statement(RETURN, returned(rule.answer));
    let body = match rule.when {
        When::Always => vec![answer],
        When::Argument { index, mask, values } => {
            let mut body = vec![statement(LOAD, argument(index)), statement(AND, mask)];
            for value in values {
                body.push(sock_filter { code: JUMP_EQUAL, jt: 0, jf: 1, k: *value });
                body.push(answer);
            }
            // Load the number again for the comparisons that follow.
            body.push(statement(LOAD, NUMBER));
            body
        }
        When::ArgumentOtherThan { index, mask, values } => {
            let mut body = vec![statement(LOAD, argument(index)), statement(AND, mask)];
            for (position, value) in values.iter().enumerate() {
                // Jump over the other comparisons and the answer.
                let rest = u8::try_from(values.len() - position).unwrap_or(u8::MAX);
                body.push(sock_filter { code: JUMP_EQUAL, jt: rest, jf: 0, k: *value });
            }
            body.push(answer);
            body.push(statement(LOAD, NUMBER));
            body
        }
    };
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    let mut all = vec![sock_filter { code: JUMP_EQUAL, jt: 0, jf: length, k: number }];
    all.extend(body);
    all
}

/// Returns the statements for one architecture. They expect the architecture in the accumulator, and leave it there if it
/// is another one.
fn section((architecture, numbers): &Table, supervised: Supervised) -> Vec<sock_filter> {
    let mut body = vec![statement(LOAD, NUMBER)];
    if cfg!(target_arch = "x86_64") {
        body.push(sock_filter { code: JUMP_BITS, jt: 0, jf: 1, k: X32 });
        body.push(statement(RETURN, returned(Answer::Fails(libc::ENOSYS))));
    }
    for rule in supervised.rules() {
        for (_, number) in numbers.iter().filter(|(call, _)| rule.calls.contains(call)) {
            body.extend(apply(*number, rule));
        }
    }
    body.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut all = vec![sock_filter { code: JUMP_EQUAL, jt: 1, jf: 0, k: *architecture }, statement(JUMP, length)];
    all.extend(body);
    all
}

fn program(supervised: Supervised) -> Vec<sock_filter> {
    let mut program = vec![statement(LOAD, ARCHITECTURE)];
    for table in TABLES {
        program.extend(section(table, supervised));
    }
    program.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    program
}

/// Installs the filter for this process and every process that it starts from now on. Returns the descriptor on which the
/// supervisor receives calls, if there is anything to supervise.
///
/// # Errors
/// The kernel has no seccomp, or forbids it.
pub(crate) fn install(supervised: Supervised) -> io::Result<Option<OwnedFd>> {
    let mut program = program(supervised);
    let filter = sock_fprog { len: u16::try_from(program.len()).unwrap_or(0), filter: program.as_mut_ptr() };
    let listener = if supervised.is_empty() { 0 } else { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER };
    // With this flag (Linux 5.19), a signal does not interrupt a call that the supervisor is answering; the caller would
    // repeat the call.
    let killable = if supervised.is_empty() { 0 } else { libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV };
    let mut result = -1;
    for flags in [listener | killable, listener] {
        // SAFETY: `filter` points at `program`, which outlives the call; the kernel copies it.
        result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
        if result >= 0 {
            break;
        }
    }
    match i32::try_from(result) {
        // SAFETY: with NEW_LISTENER the result is a new descriptor, which this process alone owns.
        Ok(fd) if fd > 0 => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Ok(0) => Ok(None),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what the filter answers for a call. It interprets the part of BPF that the filter uses.
    fn answer(supervised: Supervised, architecture: u32, number: u32, arguments: [u32; 3]) -> u32 {
        run(&program(supervised), architecture, number, arguments)
    }

    fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u32; 3]) -> u32 {
        let (mut at, mut accumulator) = (0usize, 0);
        loop {
            let step = program[at];
            at += 1;
            let jump = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
            match step.code {
                LOAD if step.k == NUMBER => accumulator = number,
                LOAD if step.k == ARCHITECTURE => accumulator = architecture,
                LOAD => accumulator = arguments[(0..3).find(|index| argument(*index) == step.k).unwrap() as usize],
                AND => accumulator &= step.k,
                JUMP => at += step.k as usize,
                JUMP_EQUAL => at += jump(accumulator == step.k),
                JUMP_BITS => at += jump(accumulator & step.k != 0),
                _ => return step.k,
            }
        }
    }

    #[test]
    fn each_call_gets_the_answer_of_its_rule_and_every_other_passes() {
        let applies = |when: When, arguments: [u32; 3]| match when {
            When::Always => true,
            When::Argument { index, mask, values } => values.contains(&(arguments[index as usize] & mask)),
            When::ArgumentOtherThan { index, mask, values } => !values.contains(&(arguments[index as usize] & mask)),
        };
        let all = Supervised { nodes: true, owners: true, proc: false, sockets: true };
        let modes = [Mode::Root, Mode::Unshare, Mode::Single, Mode::Chroot].map(Supervised::of);
        for supervised in modes.into_iter().chain([Supervised::default(), all]) {
            let program = program(supervised);
            for (architecture, numbers) in TABLES {
                for number in 0..470 {
                    let calls = || numbers.iter().filter(|(_, known)| *known == number).map(|(call, _)| *call);
                    let arguments = [[0; 3], [1; 3], [1, 2, 0], [8; 3], [40; 3]];
                    for arguments in arguments {
                        let rule = supervised.rules().find(|rule| {
                            calls().any(|call| rule.calls.contains(&call)) && applies(rule.when, arguments)
                        });
                        let expected = rule.map_or(libc::SECCOMP_RET_ALLOW, |rule| returned(rule.answer));
                        let found = run(&program, *architecture, number, arguments);
                        assert_eq!(found, expected, "{architecture:#x} {number} {arguments:?} {supervised:?}");
                    }
                }
            }
        }
        assert_eq!(answer(all, 0xdead_beef, 74, [0; 3]), libc::SECCOMP_RET_ALLOW);
    }

    #[test]
    fn arguments_decide() {
        let nodes = Supervised { nodes: true, ..Supervised::default() };
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        for (architecture, numbers) in TABLES {
            let number = |wanted: Call| numbers.iter().find(|(call, _)| *call == wanted).unwrap().1;
            let mknod = |mode| answer(nodes, *architecture, number(Call::Mknodat), [0, 0, mode]);
            assert_eq!(mknod(0o020_666), libc::SECCOMP_RET_USER_NOTIF);
            assert_eq!(mknod(0o060_660), libc::SECCOMP_RET_USER_NOTIF);
            // Every user may make a FIFO.
            assert_eq!(mknod(0o010_666), libc::SECCOMP_RET_ALLOW);
            assert_eq!(answer(nodes, *architecture, number(Call::Ioctl), [0, 0x5412, 0]), refused);
            assert_eq!(answer(nodes, *architecture, number(Call::Ioctl), [0, 0x5401, 0]), libc::SECCOMP_RET_ALLOW);
            assert_eq!(answer(nodes, *architecture, number(Call::Unshare), [NEW_USER | 0x200, 0, 0]), refused);
            assert_eq!(answer(nodes, *architecture, number(Call::Unshare), [0x200, 0, 0]), libc::SECCOMP_RET_ALLOW);
        }
        for mode in [Mode::Root, Mode::Unshare, Mode::Single, Mode::Chroot] {
            let supervised = Supervised::of(mode);
            for (architecture, numbers) in TABLES {
                for (call, number) in *numbers {
                    let with = |arguments| answer(supervised, *architecture, *number, arguments);
                    let is_refused = |arguments| with(arguments) & 0xffff_0000 == libc::SECCOMP_RET_ERRNO;
                    match call {
                        // AF_VSOCK, AF_PACKET, AF_ALG, AF_BLUETOOTH
                        Call::Socket => assert!([40, 17, 38, 31].iter().all(|family| is_refused([*family, 1, 0]))),
                        Call::Socketpair => {
                            assert!(is_refused([40, 1, 0]));
                            assert_eq!(with([1, 0x80001, 0]), libc::SECCOMP_RET_ALLOW);
                            assert_eq!(is_refused([1, 2, 0]), mode == Mode::Chroot);
                        }
                        Call::Trace | Call::Unneeded => assert!(is_refused([0; 3])),
                        Call::Kill => assert_eq!(with([5, 9, 0]) != libc::SECCOMP_RET_ALLOW, mode == Mode::Chroot),
                        _ => {}
                    }
                }
            }
        }
        if cfg!(target_arch = "x86_64") {
            let x32 = answer(Supervised::default(), 0xc000_003e, X32 | 1, [0; 3]);
            assert_eq!(x32, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
        }
    }
}
