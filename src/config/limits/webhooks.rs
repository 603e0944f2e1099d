//! Webhooks to consumers: what an endpoint may ask, how it is sent to, when it is given up.

use std::time::Duration;

/// Microseconds of a second, for times of the database.
const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;

/// Endpoints of one tenant: each event is matched with all of them.
pub const ENDPOINTS: i64 = 50;
/// Headers that an endpoint may add to its requests.
pub const HEADERS: usize = 20;
/// Characters of such a header's name.
pub const HEADER_NAME_CHARACTERS: usize = 64;
/// Characters of such a header's value: a bearer token fits.
pub const HEADER_VALUE_CHARACTERS: usize = 2_000;
/// Bytes of all of them, written as JSON: sealed they still fit a TEXT column.
pub const HEADERS_BYTES: usize = 16 * 1024;
/// Requests to one endpoint at a time, unless told and at most.
pub const CONCURRENCY: (i64, i64) = (8, 64);
/// Seconds for a whole request, unless told and at most (Standard Webhooks: 15 to 30).
pub const TIMEOUT_S: (i64, i64) = (15, 30);
/// Seconds that an old secret still signs after a rotation, unless told and at most.
pub const OVERLAP_S: (i64, i64) = (86_400, 7 * 86_400);
/// Bytes of a new secret (Standard Webhooks: 24 to 64).
pub const SECRET_BYTES: usize = 32;
/// Bytes of an answer that are kept, and read at all: an endless answer ends here.
pub const ANSWER_BYTES: usize = 20_000;
/// Bytes of an answer's headers that are kept.
pub const ANSWER_HEADERS_BYTES: usize = 4_000;
/// Characters of an error's own words that are kept.
pub const DETAIL_CHARACTERS: usize = 300;

/// Pauses before the second, third ... attempt (Standard Webhooks 1.0), in microseconds.
pub const PAUSES_US: [i64; 9] = [
    5 * SECOND_US,
    300 * SECOND_US,
    1_800 * SECOND_US,
    2 * HOUR_US,
    5 * HOUR_US,
    10 * HOUR_US,
    14 * HOUR_US,
    20 * HOUR_US,
    24 * HOUR_US,
];
/// Hundredths by which a pause is longer or shorter, by chance: consumers that come back are not met by all at once.
pub const JITTER_PERCENT: i64 = 20;
/// Longest pause that a `Retry-After` brings about.
pub const RETRY_AFTER_MOST_US: i64 = 24 * HOUR_US;
/// No pause lasts longer: the longest and its jitter. What is due later was written while the clock was wrong.
pub const NEXT_MOST_US: i64 = 29 * HOUR_US;
/// Failures of an endpoint in a row, after which it is only probed.
pub const BREAKER_FAILURES: u32 = 5;
/// First and longest pause between probes; doubled after each that fails.
pub const PROBE_US: (i64, i64) = (10 * SECOND_US, 600 * SECOND_US);
/// An endpoint that only failed for so long is disabled.
pub const DISABLE_US: i64 = 5 * 24 * HOUR_US;
/// Successes are written on the endpoint's row at most this often.
pub const NOTE_US: i64 = 10 * SECOND_US;

/// Requests at a time to endpoints that work. Each holds a socket and some 30 KiB.
pub const FRESH: i64 = 256;
/// Requests at a time to endpoints that failed last, or that take longer than [`SLOW_TIME`]: these give their place
/// among the fresh ones back.
pub const SLOW: i64 = 1_024;
/// A request that takes longer is slow.
pub const SLOW_TIME: Duration = Duration::from_secs(1);
/// Deliveries of one endpoint that wait in memory; the rest waits in the database.
pub const WAITING: usize = 512;
/// The same of an endpoint that is only probed, and of any while all have [`WAITING_ALL`].
pub const WAITING_LEAST: usize = 4;
/// Deliveries that an endpoint which is behind gets in one transaction: others wait for that transaction.
pub const CATCH_UP: usize = 64;
/// The same of all endpoints; some 2 KiB each.
pub const WAITING_ALL: usize = 20_000;
/// Endpoints of those that wait for a place which are called when one becomes free.
pub const CALLED: usize = 64;
/// Endpoints whose deliveries are read at a time.
pub const LOADS: usize = 8;
/// How long an endpoint that is about to be disabled is left alone. Microseconds.
pub const LEFT_ALONE_US: i64 = 10 * SECOND_US;
/// Events handed out in one transaction.
pub const FAN_OUT: usize = 256;
/// Results written in one transaction.
pub const RESULTS: usize = 256;
/// Results that wait to be written: beyond, nothing new is sent until the database has caught up.
pub const RESULTS_WAITING: usize = 4_096;
/// How often due retries are looked for.
pub const TICK: Duration = Duration::from_millis(200);
/// How often endpoints that another process changed are looked for, and this process says that it lives.
pub const REFRESH: Duration = Duration::from_secs(10);
/// A process that has not said so for this long is dead: its deliveries are taken over.
pub const ALIVE_US: i64 = 60 * SECOND_US;
/// Pause after the database failed.
pub const AWAY_TIME: Duration = Duration::from_millis(500);
/// Deliveries whose events are gone that are given up in one transaction.
pub const GIVE_UP_ROWS: i64 = 256;
/// Time that running requests get when the service stops; the rest is sent after the next start.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);
/// Deliveries that one request may send again.
pub const AGAIN: usize = 10_000;
/// Events that are looked at in one statement for that.
pub const AGAIN_READ: i64 = 1_000;
/// Rows of what was sent that are removed in one statement.
pub const PURGE_ROWS: i64 = 1_000;
