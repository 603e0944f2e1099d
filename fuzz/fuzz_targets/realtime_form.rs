//! Whatever comes as a form is read or refused, and what is written is read as it was.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hookswitch::realtime::form::fuzz(bytes));
