//! Fuzzes `rootstrap_tests::parsers::image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rootstrap_tests::parsers::image(data));
