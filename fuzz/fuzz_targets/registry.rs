//! Fuzzes `rootstrap_tests::parsers::registry_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rootstrap_tests::parsers::registry_answer(data));
