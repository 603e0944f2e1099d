//! A caller-chosen value with a line feed never passes as an environment.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: (usize, Vec<u8>)| hookswitch::agi::fuzz::forgery(data.0, &data.1));
