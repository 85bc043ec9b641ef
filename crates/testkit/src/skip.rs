//! Tests that cannot run on this machine.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// Reports that the test of this thread, or a part of it, cannot run here, and why: one line on standard error, and the
/// same line at the end of the file that `ROOTSTRAP_SKIP_LOG` names.
///
/// CI reads that file and fails on a line that it does not expect. Standard error is not enough, because libtest hides
/// the output of a test that passes. The line is `skipped: BINARY::TEST: REASON`.
pub fn skip(reason: impl Display) {
    let program = std::env::current_exe().unwrap();
    let thread = std::thread::current();
    let test = test_name(&program, thread.name().unwrap_or("a thread of its own"));
    let line = format!("skipped: {test}: {}\n", reason.to_string().trim().replace('\n', " "));
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("ROOTSTRAP_SKIP_LOG") {
        let mut log = std::fs::File::options().create(true).append(true).open(path).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}

/// The value of a `Result`, or a skipped test: `let user = need!(machine::user());`
#[macro_export]
macro_rules! need {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(reason) => return $crate::skip(reason),
        }
    };
}

/// Returns the name of the test binary without cargo's hash, and the name of the thread, which libtest names after the
/// test.
fn test_name(program: &Path, thread: &str) -> String {
    let stem = program.file_stem().unwrap_or_default().to_string_lossy();
    format!("{}::{thread}", stem.rsplit_once('-').map_or(&*stem, |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_by_its_binary_and_its_thread() {
        let program = Path::new("/t/debug/deps/foreign-0123456789abcdef");
        assert_eq!(test_name(program, "scripts_of_root"), "foreign::scripts_of_root");
        assert_eq!(test_name(Path::new("/t/x"), "a::b"), "x::a::b");
        let thread = std::thread::current();
        let name = test_name(&std::env::current_exe().unwrap(), thread.name().unwrap());
        assert_eq!(name, "rootstrap_testkit::skip::tests::a_test_is_named_by_its_binary_and_its_thread");
    }

    #[test]
    fn what_is_needed_is_there_or_the_function_returns() {
        fn half(number: u8) {
            let number = need!(Ok::<u8, String>(number));
            assert_eq!(number, 2);
        }
        half(2);
    }
}
