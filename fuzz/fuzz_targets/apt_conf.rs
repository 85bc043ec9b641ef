//! Fuzzes `rootstrap_tests::parsers::apt_configuration`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rootstrap_tests::parsers::apt_configuration(data));
