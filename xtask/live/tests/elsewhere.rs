//! A program that `cargo xtask elsewhere` runs sees another machine on another day.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn clock_kernel_and_host_are_others() {
    if !cfg!(target_arch = "x86_64") {
        return rootstrap_testkit::skip("the chore knows the registers of x86_64 alone");
    }
    if !rustix::process::geteuid().is_root() {
        return rootstrap_testkit::skip("only root can filter calls without giving up rights");
    }
    // A second program is started by the first one, in a process of its own. date(1) calls clock_gettime, Perl the two others.
    let script = "date +%s; (date +%s; perl -MTime::HiRes=gettimeofday -e 'print time, qq(\\n), int gettimeofday, qq(\\n)'); \
                  uname -r; uname -n; nproc; echo $TZ; exit 7";
    let output =
        Command::new(env!("CARGO_BIN_EXE_xtask-live")).args(["elsewhere", "sh", "-c", script]).output().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((output.status.code(), lines.len()), (Some(7), 8), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for line in &lines[..4] {
        let ahead = line.parse::<u64>().unwrap() - now;
        assert!((390..410).contains(&(ahead / 86400)), "{line}");
    }
    assert_eq!(lines[4..], ["99.9.9-elsewhere", "elsewhere", "1", "Pacific/Kiritimati"]);
}
