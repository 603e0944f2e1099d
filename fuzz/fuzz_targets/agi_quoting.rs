//! A value is one word of one command, or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|value: &str| hookswitch::agi::fuzz::quoting(value));
