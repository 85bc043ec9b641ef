//! Tests of the whole: the real binary against made-up and live archives.
//!
//! The rings are the test binaries in `tests/`; here is what they share: the program as it was built, a world of
//! archive, mirror, cache and scratch directory to run it in, and what can be asked of the machine.
//!
//! A test that cannot run here calls [`skip`] and returns. CI reads what was skipped from the file that
//! `ROOTSTRAP_SKIP_LOG` names, because libtest keeps the output of tests that pass to itself.
#![allow(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

pub mod base;
pub mod live;
pub mod machine;
pub mod program;
pub mod transcript;
pub mod world;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;

/// Says that a test cannot run here, in exactly one line however often it is called for that test.
pub fn skip(name: &str, reason: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if !SAID.lock().unwrap().insert(name.to_owned()) {
        return;
    }
    let line = format!("skipped: {name}: {}\n", reason.replace('\n', " "));
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("ROOTSTRAP_SKIP_LOG") {
        let mut log = std::fs::File::options().create(true).append(true).open(path).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}

/// The value, or a skipped test: `let user = need!("name of the test", machine::user());`
#[macro_export]
macro_rules! need {
    ($name:expr, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(reason) => return $crate::skip($name, &reason),
        }
    };
}
