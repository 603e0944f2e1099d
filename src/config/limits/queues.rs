//! Queues: their settings, as far as app_queue itself has no bound (beyond these a setting is a slip of the hand), and what
//! is made of Asterisk's log of them.

use std::time::Duration;

/// Seconds that a member rings, rests after a call, or waits before the next try at most: an hour.
pub const RING_S: i64 = 3_600;
/// Callers of one queue.
pub const CALLERS: i64 = 100_000;
/// Weight of a queue.
pub const WEIGHT: i64 = 1_000;
/// Penalty of a member.
pub const PENALTY: i64 = 1_000;

/// Characters of a call's uniqueid: Asterisk's own column for it in other tables has 150.
pub const LOG_CALL_CHARACTERS: usize = 150;
/// Characters of who answered: app_queue's member names have 80.
pub const LOG_AGENT_CHARACTERS: usize = 80;
/// Characters of an event's word: Asterisk's own column has 32.
pub const LOG_EVENT_CHARACTERS: usize = 32;
/// Characters of each of `data1` to `data5`: Asterisk's own columns have 100.
pub const LOG_DATA_CHARACTERS: usize = 200;
/// Bytes of a time as Asterisk writes it: `2026-11-22 11:21:37.537288` has 26.
pub const LOG_TIME_BYTES: usize = 40;
/// How far a row's time may be from now before somebody is told: more than clocks differ, less than time zones do.
/// Microseconds.
pub const LOG_SKEW_US: i64 = 10 * 60 * 1_000_000;
/// How long rows are kept: a year can be compared with the one before. Microseconds.
pub const LOG_KEPT_US: i64 = 400 * 86_400 * 1_000_000;
/// Rows that are removed in one statement.
pub const LOG_PURGE_ROWS: i64 = 1_000;
/// Rows whose times differ by less may have been written in another order than they happened. Microseconds.
pub const LOG_REORDER_US: i64 = 2_000_000;

/// Tenants whose callers and members are kept in memory; one takes some 2 KB for each caller.
pub const LIVE_TENANTS: u64 = 2_000;
/// How far back of the last look rows are read again: clocks of nodes differ, and transactions take time. Microseconds.
pub const LIVE_OVERLAP_US: i64 = 10_000_000;
/// How long the rows of a call that has ended stay in memory: longer than the overlap, so that none comes back.
/// Microseconds.
pub const LIVE_ENDED_US: i64 = 60_000_000;
/// How long the log's rows of a call may come behind its end. Microseconds.
pub const LIVE_LATE_US: i64 = 3_000_000;
/// How often it is looked whether callers and talks have ended of which the log has no end: Asterisk died, or the row was lost.
/// Microseconds.
pub const LIVE_CHECK_US: i64 = 5_000_000;
/// Rows that one look takes; the newest of them.
pub const LIVE_ROWS: i64 = 200_000;
/// Callers and talks of one queue that are shown at most: nobody reads more, and a page stays below 200 KB.
pub const LIVE_SHOWN: usize = 500;

/// Rows that one report is made of: some 200 MB while it is made.
pub const REPORT_ROWS: i64 = 400_000;
/// Intervals of one report: three months of hours.
pub const REPORT_INTERVALS: i64 = 2_300;
/// How far before and behind the asked time rows are read: callers enter before and leave behind. Microseconds.
pub const REPORT_AROUND_US: i64 = 4 * 3_600 * 1_000_000;
/// A caller who gave up before is not counted against the service, unless told; seconds. The field uses 5 to 10.
pub const SHORT_ABANDON_S: i64 = 5;
/// The same at most, in seconds.
pub const SHORT_ABANDON_MOST_S: i64 = 120;
/// The service level of a queue that is not there any more: what a new one has. Seconds.
pub const SERVICE_LEVEL_S: i64 = 20;
/// Time for a report: reading and counting 400,000 rows takes seconds.
pub const REPORT_TIME: Duration = Duration::from_secs(60);

/// Open callbacks of one queue: more than its members call in a day.
pub const CALLBACKS: i64 = 1_000;
/// How long callbacks that are over are kept. Microseconds: 90 days.
pub const CALLBACKS_KEPT_US: i64 = 90 * 86_400 * 1_000_000;
/// Time for the database while a caller waits for an answer about a callback: less than the dialplan's own limit of 2.5 s.
pub const CALLBACK_ASK_TIME: Duration = Duration::from_millis(1_500);
/// How often callbacks are looked after: a member who is free waits for one so long.
pub const CALLBACK_TIME: Duration = Duration::from_secs(1);
/// Attempts of one callback at most, and unless the queue says otherwise.
pub const CALLBACK_ATTEMPTS: (i64, i64) = (10, 3);
/// Seconds between two attempts at least and at most: a phone that was busy may be free after half a minute.
pub const CALLBACK_RETRY_S: (i64, i64) = (10, 86_400);
/// Seconds until a callback expires at least and at most: a minute, a week.
pub const CALLBACK_EXPIRES_S: (i64, i64) = (60, 7 * 86_400);
/// How far in the future a callback may be asked for. Microseconds: 30 days.
pub const CALLBACK_AHEAD_US: i64 = 30 * 86_400 * 1_000_000;
/// Seconds that the caller's phone rings: before mailboxes of mobile networks answer, mostly.
pub const CALLBACK_RING_S: u32 = 25;
/// Time for Asterisk to begin to call.
pub const CALLBACK_DIAL_TIME: Duration = Duration::from_secs(10);
/// How long whoever dials a callback is believed to live: longer than beginning to call, ringing and telling of it take.
/// Microseconds.
pub const CALLBACK_LEASE_US: i64 = 60 * 1_000_000;
/// Time for the call that a callback became to stand in the books or in the queues' log: the journal and Asterisk bring it
/// within a second, unless a database was away. Microseconds.
pub const CALLBACK_CALL_US: i64 = 300 * 1_000_000;
/// Seconds before somebody is called who pressed the key once more: the goodbye is heard by then.
pub const CALLBACK_AGAIN_S: i64 = 10;
/// Characters of what went wrong with a callback.
pub const CALLBACK_ERROR_CHARACTERS: usize = 200;
