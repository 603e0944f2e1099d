//! Every limit of the product in one place, each with its unit and the reason for its value.
//!
//! A thing without a limit is a bug that waits. Where an operator may want another number, a setting in
//! [`super`] starts from the constant here; everything else is fixed.

use std::time::Duration;

/// AGI: what one connection from Asterisk may cost.
pub mod agi {
    use super::Duration;

    /// Bytes of one line from Asterisk, line feed included. Asterisk 22 writes at most 8,192 bytes for a command
    /// and caps `GET VARIABLE` at 1,023, but `GET FULL VARIABLE` has no limit: 64 KiB holds any value we ask for.
    pub const LINE_BYTES: usize = 64 * 1024;
    /// Bytes of one environment line. The longest real ones are request and channel, both far below 8 KiB.
    pub const ENV_LINE_BYTES: usize = 8 * 1024;
    /// Bytes of a whole environment: 22 fixed lines and at most 127 arguments.
    pub const ENV_BYTES: usize = 64 * 1024;
    /// Lines of an environment: 22 fixed keys plus 127 arguments (`res_agi.c`: `AST_MAX_AGI_ARGS`-ish), rounded.
    pub const ENV_LINES: usize = 160;
    /// Bytes of one command we send, line feed included. Asterisk up to 22.5 splits lines at 2,048 bytes
    /// and later ones at 8,192 (asterisk-lab, "lens"); the smaller one is safe with all.
    pub const COMMAND_BYTES: usize = 2_047;
    /// Words of one command. Asterisk takes 127; a missing bound check crashed it (asterisk/asterisk#2069), so stay below 100.
    pub const COMMAND_WORDS: usize = 100;
    /// Lines of a multi-line 520 answer (usage text); the longest usage of Asterisk 22 has about 40.
    pub const USAGE_LINES: usize = 200;
    /// Time for the whole environment to arrive after accept. It comes in one packet; 5 s forgives a slow network.
    pub const ENV_TIME: Duration = Duration::from_secs(5);
    /// Time for the answer of a command that does no media (SET VARIABLE, GET VARIABLE, EXEC MSet ...).
    pub const QUICK_ANSWER_TIME: Duration = Duration::from_secs(5);
    /// Longest wait for a command that plays or listens, beyond its own time-out: prompts may be long.
    pub const MEDIA_ANSWER_TIME: Duration = Duration::from_secs(600);
    /// Time to hand a command to the socket. A peer that does not read for so long is dropped.
    pub const WRITE_TIME: Duration = Duration::from_secs(5);
    /// After our last command: time for Asterisk to close its side, so that its last HANGUP line meets no reset.
    pub const LINGER_TIME: Duration = Duration::from_millis(500);
    /// Open connections. Beyond it a caller is refused visibly (`failure` line, AGISTATUS=FAILURE). One costs at most 16 KiB.
    pub const CONNECTIONS: usize = 10_000;
    /// Accept queue. tokio asks for 128, and a longer burst then waits for SYN retries of 1, 3, 7 s.
    pub const ACCEPT_QUEUE: i32 = 4_096;
    /// Time that running dialogues get to finish after SIGTERM.
    pub const DRAIN_TIME: Duration = Duration::from_secs(30);
}
