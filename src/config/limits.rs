//! Every limit of the product in one place, each with its unit and the reason for its value.
//!
//! A thing without a limit is a bug that waits. Where an operator may want another number, a setting in
//! [`super`] starts from the constant here; everything else is fixed.

use std::time::Duration;

pub mod agents;
pub mod answer;
pub mod ari;
pub mod auth;
pub mod calls;
pub mod events;
pub mod kit;
pub mod live;
pub mod outbound;
pub mod plugins;
pub mod queues;
pub mod realtime;
pub mod script;
pub mod sockets;
pub mod sound;
pub mod webhooks;

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
    /// Rows of one INSERT, and values of one IN list, at most: beyond some dozens the statement's own cost no longer shows.
    pub const INSERT_ROWS: usize = 64;
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
    /// Seconds' worth of requests that may come at once.
    pub const BURST_SECONDS: std::num::NonZeroU32 = std::num::NonZeroU32::new(3).unwrap();
    /// How long a browser remembers what CORS allows.
    pub const PREFLIGHT_TIME: Duration = Duration::from_secs(600);
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
    /// The longest pause: two seconds after the database is back the books are right again.
    pub const DRAIN_RETRY_MOST: Duration = Duration::from_secs(1);
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
    /// Choices of one menu at most: every pair of keys.
    pub const OPTIONS: usize = 100;
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
    /// Bytes of `HS_STATE`: with everything else that an answer sets it fits one AGI command of 2,047.
    pub const STATE_BYTES: usize = 700;
    /// How long changed routing data waits for its plugins to be ready to run. Native code that is on disk takes a
    /// millisecond; what has to be compiled anew takes longer, and its calls take the DID's fallback meanwhile.
    pub const PREPARE_TIME: Duration = Duration::from_secs(2);
    /// Seconds that a destination may ring or wait at most: a day.
    pub const WAIT_S: u32 = 86_400;
    /// Seconds that an endpoint rings when its row says nothing usable.
    pub const RING_S: u32 = 30;
    /// Bytes of one fact about a call that Asterisk tells: its longest channel names and ids have some 80.
    pub const FACT_CHARS: usize = 150;
    /// Overflow destinations of one DID at most.
    pub const OVERFLOWS: usize = 16;
    /// Destinations of one DID besides its route at most: the overflow ones, and one of each of the five other roles.
    pub const DESTINATIONS: usize = OVERFLOWS + 5;
    /// Users of something that must not be deleted that are named: enough to go on with.
    pub const USERS_NAMED: usize = 5;
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

/// REST: what one request may cost.
pub mod api {
    use super::Duration;

    /// Records in a page unless told.
    pub const PAGE: usize = 50;
    /// Records in a page at most: at some 1 KB each, a page stays near 200 KB.
    pub const PAGE_MOST: usize = 200;
    /// Characters of a search: longer ones find nothing more, and LIKE costs their length times the rows.
    pub const SEARCH_CHARACTERS: usize = 100;
    /// Texts of at most so many characters are one line, without spaces around it (MariaDB takes `a ` for `a`).
    pub const LINE_CHARACTERS: usize = 500;
    /// Bytes of a record's metadata, written compactly.
    pub const METADATA_BYTES: usize = 16 * 1024;
    /// Bytes of a JSON body (OWASP REST and the field's practice: 1 MiB).
    pub const BODY_BYTES: usize = 1024 * 1024;
    /// The last moment a time may name: 9999-12-31T23:59:59Z in microseconds; RFC 3339 knows four digits of a year.
    pub const LAST_TIME_US: i64 = 253_402_300_799_000_000;
    /// When a client is told to try again while the database is away.
    pub const RETRY_TIME: Duration = Duration::from_secs(2);
    /// How much longer than its request a change may take: a client that is gone, or was told that it took too long, stops
    /// none half-way. Longer ones hang.
    pub const CHANGE_GRACE: Duration = Duration::from_secs(60);
    /// Time for a whole request, its body included: longer ones hold a place that others wait for. An operation may have
    /// a deadline of its own.
    pub const REQUEST_TIME: Duration = Duration::from_secs(30);
    /// Characters of an `Idempotency-Key` (as with Stripe).
    pub const IDEMPOTENCY_CHARACTERS: usize = 255;
    /// How long an answer is kept for its `Idempotency-Key`.
    pub const IDEMPOTENCY_TIME: Duration = Duration::from_secs(24 * 3_600);
    /// Characters of a client's `X-Request-Id` that are taken over.
    pub const REQUEST_ID_CHARACTERS: usize = 64;
    /// Characters of a `User-Agent` that are kept.
    pub const USER_AGENT_CHARACTERS: usize = 200;
    /// How often full token buckets of the rate limits are dropped.
    pub const SWEEP_TIME: Duration = Duration::from_secs(60);
    /// Bytes of a file that are read at a time while it goes out.
    pub const FILE_PIECE_BYTES: usize = 64 * 1024;
    /// Bytes of a query string.
    pub const QUERY_BYTES: usize = 8 * 1024;
}

/// Tenants.
pub mod tenants {
    use super::Duration;

    /// A trial lasts so long: 14 days, in microseconds.
    pub const TRIAL_US: i64 = 14 * 24 * 3_600 * 1_000_000;
    /// Agents of a tenant on trial: enough to try queues with.
    pub const TRIAL_AGENTS: u32 = 5;
    /// Numbers of a tenant on trial.
    pub const TRIAL_DIDS: u32 = 3;
    /// Calls at a time of a tenant on trial: whoever made it is a stranger.
    pub const TRIAL_CALLS: u32 = 5;
    /// Endpoints of a tenant on trial: the agents' and some more.
    pub const TRIAL_ENDPOINTS: u32 = 10;
    /// Queues of a tenant on trial.
    pub const TRIAL_QUEUES: u32 = 3;
    /// MiB of recordings, voicemails and attachments of a tenant on trial.
    pub const TRIAL_STORAGE_MIB: u32 = 1_024;
    /// Bytes of a tenant's settings, written compactly.
    pub const SETTINGS_BYTES: usize = 64 * 1024;
    /// Features of one tenant.
    pub const FEATURES: usize = 50;
    /// Bytes of an export before it is compressed: it is made in memory. Larger tenants are exported from a backup.
    pub const EXPORT_BYTES: usize = 128 * 1024 * 1024;
    /// Rows of an export that are read at a time.
    pub const EXPORT_ROWS: i64 = 1_000;
    /// How often trials that are over are looked for, old sessions, reset tokens and kept answers are removed.
    pub const HOUSEKEEPING_TIME: Duration = Duration::from_secs(3_600);
}

/// Endpoints.
pub mod endpoints {
    /// Hexadecimal digits of a phone's password: 128 bits, and short enough for the forms of old phones.
    pub const PASSWORD_CHARACTERS: usize = 32;
    /// Characters of Asterisk's column `ps_endpoints.callerid`.
    pub const CALLER_ID_CHARACTERS: usize = 40;
    /// Phones that may be registered as one endpoint: somebody's desk, mobile, tablet and browser, and room.
    pub const PHONES: i64 = 10;
    /// Addresses of one trunk: a carrier names a handful of networks.
    pub const TRUNK_ADDRESSES: usize = 20;
    /// Addresses of all trunks: Asterisk looks through all of them with every request that comes over SIP.
    pub const TRUNK_ADDRESSES_ALL: usize = 2_000;
    /// Registrations of one endpoint that are shown at most.
    pub const REGISTRATIONS: i64 = 100;
    /// Seconds between two questions whether a phone is there: a queue rings one that is not for so long at most.
    pub const QUALIFY_S: u32 = 60;
}

/// Voicemail.
pub mod voicemail {
    /// Messages in a folder at most: Asterisk's own limit (`MAXMSGLIMIT`).
    pub const MESSAGES: i64 = 9_999;
    /// Seconds of a message at most: an hour, which nobody hears to its end.
    pub const MESSAGE_S: i64 = 3_600;
    /// Characters of a folder's name; Asterisk's own have at most 7.
    pub const FOLDER_CHARACTERS: usize = 20;
}

/// Tickets.
pub mod tickets {
    use super::Duration;

    /// Characters of a description, a message or a template: a long mail with everything it quotes. At four bytes each
    /// they fit MEDIUMTEXT many times over.
    pub const TEXT_CHARACTERS: usize = 50_000;
    /// Tags of one ticket.
    pub const TAGS: usize = 50;
    /// Bytes of conditions or targets of a service level: the widest column that holds them, with room to spare.
    pub const SHAPE_BYTES: usize = 16 * 1024;
    /// Values of one condition.
    pub const CONDITION_ITEMS: usize = 100;
    /// The last place of a service level.
    pub const POSITION_MOST: i64 = 1_000_000;
    /// Seconds that a service level may promise: a year.
    pub const TARGET_MOST_S: i64 = 366 * 24 * 3_600;
    /// Seconds before a due time at which somebody is warned at most: a week.
    pub const WARN_MOST_S: i64 = 7 * 24 * 3_600;
    /// Bytes of an attached file: what mail servers commonly take.
    pub const FILE_BYTES: usize = 25 * 1024 * 1024;
    /// Characters of an attached file's name: what file systems take.
    pub const FILE_NAME_CHARACTERS: usize = 255;
    /// Files of one ticket.
    pub const FILES: i64 = 200;
    /// A file without a row is removed after this time: its request failed, or its row is gone. Longer than any request.
    pub const FILE_WITHOUT_ROW_TIME: Duration = Duration::from_secs(3_600);
    /// How often such files are looked for.
    pub const SWEEP_TIME: Duration = Duration::from_secs(3_600);
}

/// Contacts.
pub mod contacts {
    use super::Duration;

    /// Characters of an agent's notes on a contact: some pages of text, and they come with every list.
    pub const NOTES_CHARACTERS: usize = 10_000;
    /// Numbers beside the first one.
    pub const PHONES: usize = 10;
    /// Tags of one contact.
    pub const TAGS: usize = 50;
    /// Contacts of one group of duplicates that are told.
    pub const DUPLICATE_IDS: usize = 50;
    /// Bytes of a file that is read in: [`IMPORT_LINES`] of some 200 bytes each.
    pub const IMPORT_BYTES: usize = 20 * 1024 * 1024;
    /// Columns of a file that is read in: far more than are known, for files that come with others.
    pub const IMPORT_COLUMNS: usize = 100;
    /// Lines of a file that is read in.
    pub const IMPORT_LINES: u64 = 100_000;
    /// Lines in one transaction. A line takes 2 to 3 ms in a debug build on a busy machine (measured with 3,000), so
    /// that others wait at most some 0.3 s for SQLite's only writer.
    pub const IMPORT_BATCH: i64 = 100;
    /// Pause between two such transactions, so that others get their turn.
    pub const IMPORT_REST: Duration = Duration::from_millis(20);
    /// How often files are looked for.
    pub const IMPORT_LOOK_TIME: Duration = Duration::from_secs(1);
    /// A file without a row is removed after this time: its request failed. Longer than any request.
    pub const IMPORT_WITHOUT_ROW_TIME: Duration = Duration::from_secs(3_600);
    /// Faults of one import that are kept: more than anybody reads.
    pub const REPORT_FAULTS: usize = 1_000;
    /// Bytes of that report: some 200 for each fault.
    pub const REPORT_BYTES: usize = 256 * 1024;
    /// Contacts read at a time for an export.
    pub const EXPORT_PAGE: usize = 500;
    /// Bytes of an export, which is put together in memory.
    pub const EXPORT_BYTES: usize = 64 * 1024 * 1024;
    /// Callers' names kept in memory, unknown callers included; some 150 bytes each.
    pub const NAMES: u64 = 100_000;
    /// Whole contacts that are kept for plugins; one takes some 500 bytes.
    pub const CARDS: u64 = 20_000;
    /// How long a name is kept: how late another process hears of a change.
    pub const NAME_TIME: Duration = Duration::from_secs(300);
    /// How long a call waits for its caller's name when it is not in memory.
    pub const NAME_DEADLINE: Duration = Duration::from_millis(50);
    /// Look-ups of names at the same time; who comes then is shown without one.
    pub const NAME_LOOKUPS: usize = 32;
    /// Bytes of a name that is shown: what the dialplan keeps of one.
    pub const NAME_BYTES: usize = 80;
}

/// Text messages: what one segment holds (3GPP TS 23.038 and 23.040).
pub mod sms {
    /// Septets of a text that is sent in one segment: 140 bytes.
    pub const GSM7_ONE: usize = 160;
    /// Septets of one segment of several: 6 bytes go to the header that joins them.
    pub const GSM7_PART: usize = 153;
    /// UTF-16 units of a text that is sent in one segment.
    pub const UCS2_ONE: usize = 70;
    /// UTF-16 units of one segment of several.
    pub const UCS2_PART: usize = 67;
    /// Characters of a message: ten segments of several in GSM 7-bit; providers cut or refuse more.
    pub const BODY_CHARACTERS: usize = 10 * GSM7_PART;
}

/// Chat.
pub mod chat {
    /// Best mark that a visitor can give; 1 is the worst.
    pub const RATING_MOST: u8 = 5;
    /// Characters of one message: at four bytes each they fit MariaDB's TEXT.
    pub const MESSAGE_CHARACTERS: usize = 10_000;
    /// Pages that one widget may be on.
    pub const ORIGINS: usize = 50;
    /// Bytes of a widget's looks and words: every page view loads them.
    pub const SETTINGS_BYTES: usize = 16 * 1024;
    /// Characters of one text of a widget.
    pub const SETTING_CHARACTERS: usize = 500;
    /// Conversations of one agent at the same time: nobody follows more.
    pub const CHATS_MOST: i64 = 50;
    /// Skills of one agent.
    pub const SKILLS: usize = 50;
}

/// The audit log.
pub mod audit {
    /// Bytes of what changed, before and after each; larger values are told by their size.
    pub const VALUES_BYTES: usize = 256 * 1024;
}
