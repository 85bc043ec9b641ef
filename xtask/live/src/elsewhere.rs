//! `cargo xtask elsewhere PROGRAM ARGUMENT…`: runs a program on what looks like another machine on another day.
//!
//! The host name, the time zone, the number of processors and the kernel's release in uname(2) are others, and the clock is more than a year
//! ahead. Time namespaces change the monotonic and the boot clock alone (time_namespaces(7)), and programs read the clock without a system
//! call. So this process traces the program and all that it starts: it hides the vDSO from each of them (getauxval(3),
//! `AT_SYSINFO_EHDR`), and answers the system calls that they make instead. A filter (seccomp(2), `SECCOMP_RET_TRACE`) stops them at these
//! calls alone.
//!
//! The kernel's own clock stays: files have true times, and a program that waits until a moment of the clock waits for more than a year.
//! Whoever starts a program here sets a limit. /proc shows the true kernel, and programs of 32 bits see the true clock.
#![cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "ptrace(2) and seccomp(2) have no safe form"))]

/// Runs the program. Its exit status becomes that of this process.
#[cfg(target_arch = "x86_64")]
pub fn run(args: &[String]) -> Result<(), String> {
    let Some((program, arguments)) = args.split_first() else {
        return Err("usage: cargo xtask elsewhere PROGRAM ARGUMENT…".to_owned());
    };
    tracer::run(program, arguments).map_err(|error| format!("cannot run {program} elsewhere: {error}"))
}

#[cfg(not(target_arch = "x86_64"))]
pub fn run(_: &[String]) -> Result<(), String> {
    Err("this chore knows the registers of x86_64 alone".to_owned())
}

#[cfg(target_arch = "x86_64")]
mod tracer {
    use libc::{c_int, c_long, pid_t};
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::fs::{File, OpenOptions};
    use std::io::{self, Error, ErrorKind};
    use std::os::unix::fs::FileExt;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::ptr::null_mut;

    /// How far the clock is ahead, in seconds: 400 days, 7 hours and 11 seconds, so that date, hour and second differ.
    const AHEAD: i64 = 400 * 86400 + 7 * 3600 + 11;
    const RELEASE: &[u8] = b"99.9.9-elsewhere\0";
    const HOST: &str = "elsewhere";
    const ZONE: &str = "Pacific/Kiritimati";

    const AT_SYSINFO_EHDR: u64 = 33;
    const AT_IGNORE: u64 = 1;
    /// The code segment of programs of 64 bits (arch/x86/include/asm/segment.h, `__USER_CS`).
    const CODE_OF_64_BITS: u64 = 0x33;
    /// Where `struct utsname` has the release: after the names of the system and of the host, of 65 bytes each.
    const RELEASE_OFFSET: u64 = 2 * 65;

    const OPTIONS: c_int = libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_TRACESECCOMP
        | libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_EXITKILL;

    pub fn run(program: &str, arguments: &[String]) -> io::Result<()> {
        // SAFETY: this process has one thread.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUTS) }?;
        rustix::system::sethostname(HOST.as_bytes())?;
        let (all, mut one) = (sched_getaffinity(None)?, CpuSet::new());
        if let Some(processor) = (0..CpuSet::MAX_CPU).find(|processor| all.is_set(*processor)) {
            one.set(processor);
            sched_setaffinity(None, &one)?;
        }
        // The shell waits until this process traces it.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "kill -STOP $$; exec \"$@\"", "sh", program]).args(arguments).env("TZ", ZONE);
        // SAFETY: between fork and exec, only system calls are made.
        unsafe { command.pre_exec(filter) };
        let child = command.spawn()?;
        let first = pid_t::try_from(child.id()).map_err(Error::other)?;
        let mut status = 0;
        // SAFETY: the kernel writes one number.
        check(unsafe { libc::waitpid(first, &raw mut status, libc::WUNTRACED) }.into())?;
        if !libc::WIFSTOPPED(status) {
            return Err(Error::other("it ended before it was traced"));
        }
        trace(libc::PTRACE_SEIZE, first, c_long::from(OPTIONS))?;
        // SAFETY: no memory is passed.
        check(unsafe { libc::kill(first, libc::SIGCONT) }.into())?;
        let code = follow(first)?;
        std::process::exit(code)
    }

    /// Has the kernel stop this process and its children at the calls that are answered, and end it with its parent: until it is traced, it
    /// would stay stopped for ever.
    fn filter() -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let calls = [libc::SYS_clock_gettime, libc::SYS_gettimeofday, libc::SYS_time, libc::SYS_uname];
        // The offsets are those of `struct seccomp_data`: the number of the call, and the architecture. The first is AUDIT_ARCH_X86_64.
        let mut steps = [
            step(0x20, 0, 0, 4),
            step(0x15, 0, 5, 0xc000_003e),
            step(0x20, 0, 0, 0),
            step(0x15, 4, 0, 0),
            step(0x15, 3, 0, 0),
            step(0x15, 2, 0, 0),
            step(0x15, 1, 0, 0),
            step(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
            step(0x06, 0, 0, libc::SECCOMP_RET_TRACE),
        ];
        for (step, call) in steps[3..7].iter_mut().zip(calls) {
            step.k = call as u32;
        }
        let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
        // SAFETY: the kernel copies the filter, which lives until the call returns.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        check(result).map(drop)
    }

    /// Answers all processes until the last one has ended. Returns the exit status of the first one.
    fn follow(first: pid_t) -> io::Result<c_int> {
        let mut code = 1;
        loop {
            let mut status = 0;
            // SAFETY: the kernel writes one number.
            let pid = match check(unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) }.into()) {
                Ok(pid) => pid_t::try_from(pid).map_err(Error::other)?,
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(code),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if libc::WIFSTOPPED(status) {
                match stopped(pid, status) {
                    Err(error) if has_ended(&error) => {}
                    result => result?,
                }
            } else if pid == first {
                code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
            }
        }
    }

    /// Whether the process was killed while it was stopped. Its memory is empty then.
    fn has_ended(error: &Error) -> bool {
        error.raw_os_error() == Some(libc::ESRCH)
            || matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::WriteZero | ErrorKind::NotFound)
    }

    /// Does what a stop is for, and lets the process go on.
    fn stopped(pid: pid_t, status: c_int) -> io::Result<()> {
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            libc::PTRACE_EVENT_EXEC => hide_vdso(pid)?,
            libc::PTRACE_EVENT_SECCOMP => return answer(pid),
            libc::PTRACE_EVENT_STOP if signal != libc::SIGTRAP => return trace(libc::PTRACE_LISTEN, pid, 0),
            0 if signal == libc::SIGTRAP | 0x80 => name_release(pid)?,
            0 => return trace(libc::PTRACE_CONT, pid, signal.into()),
            _ => {}
        }
        trace(libc::PTRACE_CONT, pid, 0)
    }

    /// Answers the clock in the kernel's place, or lets the kernel answer first.
    fn answer(pid: pid_t) -> io::Result<()> {
        let mut registers = registers(pid)?;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let seconds = now.tv_sec + AHEAD;
        let pair = |fraction: i64| [seconds.to_ne_bytes(), fraction.to_ne_bytes()].concat();
        let is_real = matches!(registers.rdi as c_int, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
        let (address, bytes, result) = match registers.orig_rax as c_long {
            libc::SYS_clock_gettime if is_real => (registers.rsi, pair(now.tv_nsec), 0),
            // The kernel's zone, which the second argument asks for, is UTC.
            libc::SYS_gettimeofday => {
                if registers.rsi != 0 {
                    memory(pid)?.write_all_at(&[0; 8], registers.rsi)?;
                }
                (registers.rdi, pair(now.tv_nsec / 1000), 0)
            }
            libc::SYS_time => (registers.rdi, seconds.to_ne_bytes().to_vec(), seconds as u64),
            // Its answer is changed when the call returns.
            libc::SYS_uname => return trace(libc::PTRACE_SYSCALL, pid, 0),
            _ => return trace(libc::PTRACE_CONT, pid, 0),
        };
        // No call has this number, so the kernel makes none.
        registers.orig_rax = u64::MAX;
        registers.rax = result;
        if address != 0 {
            match memory(pid)?.write_all_at(&bytes, address) {
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    registers.rax = i64::from(-libc::EFAULT).cast_unsigned();
                }
                written => written?,
            }
        }
        set_registers(pid, &registers)?;
        trace(libc::PTRACE_CONT, pid, 0)
    }

    fn name_release(pid: pid_t) -> io::Result<()> {
        let registers = registers(pid)?;
        if registers.rax == 0 { memory(pid)?.write_all_at(RELEASE, registers.rdi + RELEASE_OFFSET) } else { Ok(()) }
    }

    /// Takes the address of the vDSO from what a new program finds on its stack: the arguments, the environment, and the vector.
    fn hide_vdso(pid: pid_t) -> io::Result<()> {
        let registers = registers(pid)?;
        if registers.cs != CODE_OF_64_BITS {
            return Ok(());
        }
        let memory = memory(pid)?;
        let word = |at: u64| {
            let mut word = [0; 8];
            memory.read_exact_at(&mut word, at).map(|()| u64::from_ne_bytes(word))
        };
        let mut at = registers.rsp + 8 * (word(registers.rsp)? + 2);
        while word(at)? != 0 {
            at += 8;
        }
        at += 8;
        loop {
            match word(at)? {
                0 => return Ok(()),
                AT_SYSINFO_EHDR => return memory.write_all_at(&AT_IGNORE.to_ne_bytes(), at),
                _ => at += 16,
            }
        }
    }

    fn memory(pid: pid_t) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"))
    }

    fn registers(pid: pid_t) -> io::Result<libc::user_regs_struct> {
        // SAFETY: the structure is of numbers alone, and the kernel fills it.
        unsafe {
            let mut registers: libc::user_regs_struct = std::mem::zeroed();
            let place = (&raw mut registers).cast::<libc::c_void>();
            check(libc::ptrace(libc::PTRACE_GETREGS, pid, null_mut::<libc::c_void>(), place))?;
            Ok(registers)
        }
    }

    fn set_registers(pid: pid_t, registers: &libc::user_regs_struct) -> io::Result<()> {
        let place = std::ptr::from_ref(registers).cast::<libc::c_void>();
        // SAFETY: the kernel reads the structure.
        check(unsafe { libc::ptrace(libc::PTRACE_SETREGS, pid, null_mut::<libc::c_void>(), place) }).map(drop)
    }

    /// Makes a request of ptrace(2) that has no address.
    fn trace(request: libc::c_uint, pid: pid_t, data: c_long) -> io::Result<()> {
        // SAFETY: these requests read and write no memory of this process.
        check(unsafe { libc::ptrace(request, pid, null_mut::<libc::c_void>(), data) }).map(drop)
    }

    fn check(result: c_long) -> io::Result<c_long> {
        if result == -1 { Err(Error::last_os_error()) } else { Ok(result) }
    }
}
