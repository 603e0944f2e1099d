//! Every limit of the product in one place, each with its unit and the reason for its value.
//!
//! A thing without a limit is a bug that waits. Where an operator may want another number, a setting in
//! [`super`] starts from the constant here; everything else is fixed.

use std::time::Duration;

/// AGI: what one connection from Asterisk may cost.
pub mod agi {
    use super::Duration;

    /// File descriptors kept from AGI connections: database, journal, HTTP and outgoing connections need them.
    pub const DESCRIPTORS_KEPT: u64 = 256;
    /// Ends of calls that one `ended` dialogue picks up out of Asterisk's database.
    pub const LATE_REPORTS: usize = 20;
    /// Bytes of the list of their keys that is asked for: room for [`LATE_REPORTS`] uniqueids of 150 and their commas.
    pub const LATE_KEYS_BYTES: usize = 4_000;
    /// Bytes of one line from Asterisk, line feed included. Asterisk 22 writes at most 8,192 bytes for a command
    /// and caps `GET VARIABLE` at 1,023, but `GET FULL VARIABLE` has no limit: 64 KiB holds any value we ask for.
    pub const LINE_BYTES: usize = 64 * 1024;
    /// Bytes of one environment line. The longest real ones are request and channel, both far below 8 KiB.
    pub const ENV_LINE_BYTES: usize = 8 * 1024;
    /// Bytes of a whole environment: 22 fixed lines and at most 127 arguments.
    pub const ENV_BYTES: usize = 64 * 1024;
    /// Lines of an environment: 22 fixed keys plus the at most 127 arguments of `AGI()`, rounded up.
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

/// Database connections.
pub mod db {
    use super::Duration;

    /// Longest wait for a free connection.
    pub const ACQUIRE_TIME: Duration = Duration::from_secs(5);
    /// SQLite: how long a writer waits for another process (the command line beside a running service).
    pub const BUSY_TIME: Duration = Duration::from_secs(5);
    /// MySQL: a connection is replaced after this time, below the server's usual `wait_timeout` of 8 h.
    pub const CONNECTION_LIFE: Duration = Duration::from_secs(1_800);
    /// How long one process waits for another that changes the schema: a large table may take minutes.
    pub const MIGRATE_TIME: Duration = Duration::from_secs(300);
    /// How long `/readyz` waits for an answer of the database.
    pub const PROBE_TIME: Duration = Duration::from_secs(1);
}

/// HTTP: health and metrics.
pub mod http {
    use super::Duration;

    /// Connections of one listener at a time; more wait in the kernel's queue. One costs some 20 KiB.
    pub const CONNECTIONS: usize = 1_024;
    /// Time for the head of a request to come whole, and for the next one on a kept connection.
    pub const HEAD_TIME: Duration = Duration::from_secs(15);
    /// Bytes of a request's head, and of what is read at once (hyper takes no less than 8 KiB).
    pub const HEAD_BYTES: usize = 32 * 1024;
    /// Pause after a failed accept: most likely there are no file descriptors left.
    pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
    /// Time that open requests get to finish after SIGTERM; whoever has not sent a whole one by then is cut off.
    pub const DRAIN_TIME: Duration = Duration::from_secs(2);
}

/// The journal between a decision and the database.
pub mod journal {
    use super::Duration;

    /// Bytes of one record: a call with its trace has 1 to 4 KiB; a long IVR dialogue stays below 64 KiB.
    pub const RECORD_BYTES: usize = 256 * 1024;
    /// First room for a record, bytes: a call with the usual dozen steps fits.
    pub const RECORD_USUAL_BYTES: usize = 2 * 1024;
    /// Bytes of one file; a file that is in the database whole is removed.
    pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
    /// Records that wait for the writing thread at most; more means the disk stands still.
    pub const WAITING: usize = 16_384;
    /// Batches on their way to the writing thread at most: one for each runtime that appends, and some to spare.
    pub const BATCHES: usize = 16;
    /// Records written in one go at most.
    pub const WRITE_BATCH: usize = 512;
    /// Records moved into the database in one transaction at most.
    pub const DRAIN_BATCH: usize = 1_024;
    /// Rows of one INSERT at most: beyond some dozens the statement's own cost no longer shows.
    pub const INSERT_ROWS: usize = 64;
    /// Records that come while one batch is moved (some 30 ms) from which on it is a burst of calls.
    pub const DRAIN_BURST: u64 = 32;
    /// Pause between two transactions while less than a batch waits: what a record waits at most when calls come
    /// steadily. It turns a trickle of transactions, each with its sync, into five a second.
    pub const DRAIN_REST: Duration = Duration::from_millis(200);
    /// Longest such pause, however slow the database.
    pub const DRAIN_REST_MOST: Duration = Duration::from_millis(1_000);
    /// Bytes read for one drain batch at most.
    pub const DRAIN_BYTES: usize = 2 * 1024 * 1024;
    /// Pause before the database is tried again, doubled up to [`DRAIN_RETRY_MOST`].
    pub const DRAIN_RETRY: Duration = Duration::from_millis(100);
    /// Longest pause between two tries.
    pub const DRAIN_RETRY_MOST: Duration = Duration::from_secs(5);
    /// Time for the journal to reach the database at shutdown; what is left waits for the next start.
    pub const FLUSH_TIME: Duration = Duration::from_secs(10);
}

/// Menus.
pub mod ivr {
    /// Milliseconds that a menu waits for a key: shortest, usual and longest.
    pub const WAIT_MS: (u32, u32, u32) = (100, 5_000, 60_000);
    /// Menus entered in one dialogue at most: a menu that points at itself ends here.
    pub const HOPS: usize = 30;
    /// How often one menu asks at most, whatever its setting.
    pub const TRIES_MOST: u32 = 10;
    /// Digits of one choice at most: an extension has 19 characters at most.
    pub const DIGITS_MOST: usize = 19;
    /// Time for one prompt beyond which a frozen service would leave the caller in silence, in seconds: each step of
    /// a dialogue arms the dialplan's watchdog with its own length plus this.
    pub const STEP_MARGIN_S: f64 = 2.5;
    /// Length of a prompt that has not been played yet, in seconds, for the watchdog.
    pub const PROMPT_S: f64 = 60.0;
    /// Prompt lengths remembered at most.
    pub const PROMPTS_KNOWN: u64 = 10_000;
}

/// Routing data in memory, and live calls.
pub mod routing {
    use super::Duration;

    /// Option letters of one destination at most: the widest column that holds them.
    pub const OPTION_CHARS: usize = 40;
    /// Seconds that a destination may ring or wait at most: a day.
    pub const WAIT_S: u32 = 86_400;
    /// Seconds that an endpoint rings when its row says nothing usable.
    pub const RING_S: u32 = 30;
    /// Bytes of one fact about a call that Asterisk tells: its longest channel names and ids have some 80.
    pub const FACT_CHARS: usize = 150;
    /// Overflow destinations of one DID at most.
    pub const OVERFLOWS: usize = 16;
    /// How long a number that nobody owns is remembered as unknown.
    pub const UNKNOWN_TIME: Duration = Duration::from_secs(5);
    /// Unknown numbers remembered at most.
    pub const UNKNOWN_NUMBERS: u64 = 10_000;
    /// Look-ups in the database that calls wait for at the same time at most; the next one is refused at once.
    pub const LOOKUPS: usize = 64;
    /// Live calls counted at most; beyond it the oldest is counted no more.
    pub const LIVE_CALLS: usize = 1_000_000;
    /// Characters of a dialled number, a caller's number or a name that are kept.
    pub const TEXT_CHARS: usize = 80;
    /// How often calls without an end are looked for.
    pub const REAP_TIME: Duration = Duration::from_secs(60);
    /// Calls closed in one go at most.
    pub const REAP_BATCH: u32 = 500;
}

/// Opening hours: what one schedule may hold. They keep a look-up well below a microsecond and a document readable.
pub mod schedule {
    /// Weekly intervals of one schedule: seven days with eight breaks each, rounded up.
    pub const WEEKLY: usize = 64;
    /// Holidays of one schedule: ten years of 36 single dates, more than any public calendar lists.
    pub const HOLIDAYS: usize = 366;
    /// Special intervals of one holiday.
    pub const HOLIDAY_INTERVALS: usize = 16;
    /// Characters of a holiday's name; it is shown in traces and lists.
    pub const NAME_CHARS: usize = 120;
    /// Characters of a holiday's key, the caller's own reference.
    pub const KEY_CHARS: usize = 64;
    /// Days that the search for the next change looks ahead: one year and the longest weekend after it.
    pub const NEXT_CHANGE_DAYS: i64 = 370;
}

/// Outgoing HTTP: every request to a URL that a tenant wrote.
pub mod outgoing {
    use super::Duration;

    /// Characters of a URL; common servers and proxies stop at 2,048 to 8,192.
    pub const URL_CHARS: usize = 2_048;
    /// Networks of the operator's allow-list; each is compared for each new connection.
    pub const ALLOW_NETWORKS: usize = 256;
    /// Bytes of a request body. Webhook payloads should stay below 20 kB (Standard Webhooks); mail and chat files go elsewhere.
    pub const REQUEST_BYTES: usize = 256 * 1024;
    /// Bytes of an answer's body that any caller may ask for.
    pub const RESPONSE_BYTES: usize = 1024 * 1024;
    /// Bytes of hyper's read buffer (it takes no less than 8 KiB). Status line and headers of an answer must fit in it,
    /// give or take one read from the socket.
    pub const HEAD_BYTES: usize = 32 * 1024;
    /// Headers of an answer.
    pub const HEADERS: usize = 100;
    /// Time for the TCP connection, over all addresses of the name together.
    pub const CONNECT_TIME: Duration = Duration::from_secs(5);
    /// Longest total time of one request, whatever the caller asks for.
    pub const TOTAL_TIME: Duration = Duration::from_secs(60);
    /// Idle time of a kept connection. Below the 5 s after which Node.js closes, so a request seldom meets a closing one.
    pub const IDLE_TIME: Duration = Duration::from_secs(4);
    /// Idle connections kept for one host.
    pub const IDLE_PER_HOST: usize = 16;
    /// Name look-ups at the same time: each holds a thread until the system's resolver gives up (5 s to 40 s).
    pub const LOOKUPS: usize = 64;
    /// Addresses of one name that are tried; the rest is ignored.
    pub const ADDRESSES: usize = 16;
}

/// Webhooks: signatures, and the route type `webhook`.
pub mod webhook {
    /// Bytes of a secret, at least (Standard Webhooks 1.0: 24 to 64 random bytes).
    pub const SECRET_MIN_BYTES: usize = 24;
    /// Bytes of a secret, at most (Standard Webhooks 1.0).
    pub const SECRET_MAX_BYTES: usize = 64;
    /// Bytes of a message id.
    pub const ID_BYTES: usize = 128;
    /// Signatures of one header that are looked at; a sender has one for each live key.
    pub const SIGNATURES: usize = 16;
    /// Seconds that a signed timestamp may differ from the receiver's clock, both ways (Standard Webhooks libraries).
    pub const TOLERANCE_S: i64 = 300;
    /// Milliseconds that a route's URLs get together, unless the route says otherwise. A caller hears silence meanwhile.
    pub const ROUTE_DEFAULT_MS: u32 = 2_000;
    /// Shortest budget of a route, in milliseconds: below it a TLS handshake across a continent cannot finish.
    pub const ROUTE_MIN_MS: u32 = 100;
    /// Longest budget of a route, in milliseconds.
    pub const ROUTE_MAX_MS: u32 = 10_000;
    /// Bytes of a route's answer.
    pub const ROUTE_ANSWER_BYTES: usize = 16 * 1024;
    /// Characters of a target in an answer: the longest extension or name that the product gives out.
    pub const TARGET_CHARS: usize = 80;
    /// Seconds that an answer may ask a target to ring or wait.
    pub const ANSWER_TIMEOUT_MAX_S: u32 = 7_200;
    /// Characters of options: each is one letter or digit.
    pub const OPTIONS_CHARS: usize = 16;
}
