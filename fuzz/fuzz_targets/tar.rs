//! Fuzzes `rootstrap_tests::parsers::tar`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rootstrap_tests::parsers::tar(data));
