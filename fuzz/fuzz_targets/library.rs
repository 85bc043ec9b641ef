//! Fuzzes `rootstrap_tests::parsers::library`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rootstrap_tests::parsers::library(data));
