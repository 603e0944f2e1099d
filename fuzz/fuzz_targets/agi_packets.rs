//! No bytes from Asterisk make the parsers panic, and packets make no difference.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: (Vec<u8>, Vec<u8>)| {
    let pieces: Vec<usize> = data.1.iter().map(|piece| usize::from(*piece)).collect();
    hookswitch::agi::fuzz::packets(&data.0, &pieces);
});
