//! rootstrap: a working Debian or Ubuntu root filesystem in one command.
fn main() {}
