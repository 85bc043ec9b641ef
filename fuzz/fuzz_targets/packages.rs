//! Fuzzes `rootstrap_tests::parsers::packages_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rootstrap_tests::parsers::packages_index(data));
