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
    pub const CONNECTIONS: u64 = 10_000;
    /// Connections beyond that which are told so at a time; telling one takes up to [`LINGER_TIME`].
    pub const REFUSALS: u64 = 256;
    /// First read buffer of a connection: a usual environment has 700 to 900 bytes and fits.
    pub const READ_BYTES_FIRST: usize = 2_048;
    /// Read buffer afterwards: most answers have 13 to 60 bytes. Grows for long values and goes back.
    pub const READ_BYTES: usize = 512;
    /// Lines in one session that answer nothing. One value with line feeds may leave some; more is no Asterisk.
    pub const STRAY_LINES: u64 = 100;
    /// Bytes read and dropped while a connection closes: a last answer and two HANGUP lines are far below.
    pub const LINGER_BYTES: usize = 64 * 1024;
    /// Wait for the usage block that follows an EXEC with `result=1`; its parts come about 40 ms apart.
    pub const TRAILING_USAGE_TIME: Duration = Duration::from_millis(500);
    /// Digits that GET DATA is reckoned to wait for when the time is given for each digit.
    pub const DIGITS_AWAITED: u32 = 32;
    /// Variables in one EXEC MSet. Versions of `pbx_builtin_setvar_multiple` take 24 or 99; the last one swallows the rest.
    pub const MSET_PAIRS: usize = 24;
    /// Bytes of the argument of one EXEC MSet, so that the whole line stays below [`COMMAND_BYTES`].
    pub const MSET_BYTES: usize = 2_000;
    /// First pause after `accept` failed, doubled up to [`ACCEPT_PAUSE_MAX`]: no descriptors left means waiting for one.
    pub const ACCEPT_PAUSE: Duration = Duration::from_millis(5);
    /// Longest pause after failures of `accept`: what a caller waits beyond the shortage itself.
    pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_millis(200);
    /// Silence before TCP asks whether the peer still lives. Sessions with EXEC Dial are silent for hours.
    pub const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
    /// Between such questions. After the system's count (9 on Linux) without an answer the connection is dropped.
    pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
    /// Accept queue. tokio asks for 128, and a longer burst then waits for SYN retries of 1, 3, 7 s.
    pub const ACCEPT_QUEUE: u32 = 4_096;
    /// Time that running dialogues get to finish after SIGTERM.
    pub const DRAIN_TIME: Duration = Duration::from_secs(30);
}
