//! Counting the cases of the hostile ring, and choosing how many there are.

use std::io::Write;

/// A class of attacks and faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostileClass {
    /// Release files and the keys that sign them.
    Release,
    /// `Packages` indexes.
    Index,
    /// Packages and the archives in them.
    Deb,
    /// Package scripts.
    Script,
    /// Mirrors, proxies and registries.
    Network,
    /// Disks, limits, clocks, and other users and processes of the machine.
    Host,
    /// One of many runs that are killed, each at another moment.
    Kill,
}

/// Records one case that a test is about to try: one line on standard error, and the same line at the end of the file that
/// `ROOTSTRAP_HOSTILE_LOG` names. CI counts the lines by class. The line is `hostile: CLASS: NAME`.
pub fn hostile_case(class: HostileClass, name: &str) {
    let class = format!("{class:?}").to_lowercase();
    let line = format!("hostile: {class}: {}\n", name.trim().replace('\n', " "));
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("ROOTSTRAP_HOSTILE_LOG") {
        let mut log = std::fs::File::options().create(true).append(true).open(path).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}

/// Returns `all` if the variable `ROOTSTRAP_HOSTILE_ALL` is set, and otherwise `few`: how many moments or cases a long test tries, or
/// which of them. `cargo xtask hostile --all` sets the variable. A submission is tested with few cases, of which no kind may be missing.
pub fn hostile_extent<T>(few: T, all: T) -> T {
    if std::env::var_os("ROOTSTRAP_HOSTILE_ALL").is_some() { all } else { few }
}
