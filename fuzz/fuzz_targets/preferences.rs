//! Fuzzes `rootstrap_tests::parsers::preferences_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rootstrap_tests::parsers::preferences_file(data));
