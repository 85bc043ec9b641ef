//! Fuzzes `rootstrap_tests::parsers::sources_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rootstrap_tests::parsers::sources_file(data));
