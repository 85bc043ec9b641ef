//! Fuzzes `rootstrap_tests::parsers::ld_so_conf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rootstrap_tests::parsers::ld_so_conf(data));
