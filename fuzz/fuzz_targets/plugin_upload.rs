//! Whatever is uploaded as a plugin is read or refused, and nothing panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hookswitch::sandbox::fuzz_upload(bytes));
