//! Whatever Asterisk sends is an event or refused, and nothing panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hookswitch::ari::event::fuzz(text));
