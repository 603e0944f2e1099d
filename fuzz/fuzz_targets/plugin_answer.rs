//! Whatever a script returns is an answer that keeps the rules, or refused with a reason.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hookswitch::sandbox::fuzz_answer(bytes));
