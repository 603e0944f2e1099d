//! Call scripts: what one may ask of its caller's line.

/// Prompts at a time.
pub const PROMPTS: usize = 16;
/// Characters of a text that is read out.
pub const SPOKEN_CHARACTERS: usize = 64;
/// Seconds that reading one out can take: 64 digits at two a second, and room.
pub const SPOKEN_S: u32 = 60;
/// Milliseconds of a silence.
pub const SILENCE_MS: u32 = 10_000;
/// Keys in one input.
pub const DIGITS: u32 = 32;
/// Seconds to wait for a key.
pub const KEY_S: u32 = 60;
/// Seconds of a recording.
pub const RECORD_S: u32 = 3_600;
/// Seconds to ring somebody.
pub const DIAL_S: u32 = 3_600;
/// Seconds that a conversation may last before the dialplan's watchdog takes the caller back: Asterisk holds the call
/// meanwhile, and nobody cuts off a conversation of less than eight hours.
pub const TALK_S: u32 = 8 * 3_600;
