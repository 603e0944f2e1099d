//! Asterisk's realtime requests over HTTP.

use std::time::Duration;

/// Bytes of a request's body: a registration has some 500.
pub const BODY_BYTES: usize = 64 * 1024;
/// Fields of a request; `ps_contacts` has 16 columns.
pub const FIELDS: usize = 200;
/// Rows of the database that are read at a time when Asterisk asks for all.
pub const PIECE: usize = 500;
/// Bytes of an answer: 50,000 endpoints of 300 bytes. Who has more sets Asterisk up without reading all of them at its start.
pub const ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// How old the list of trunks' addresses may be: Asterisk asks for it with every request that comes over SIP.
pub const TRUNKS_TIME: Duration = Duration::from_secs(1);
/// Rows that are kept in memory; one has some 400 bytes.
pub const ROWS: u64 = 200_000;
/// Tenants that were asked for and are none, as remembered.
pub const UNKNOWN_TENANTS: u64 = 10_000;
/// How long: one that is made meanwhile by another process is found then.
pub const UNKNOWN_TIME: Duration = Duration::from_secs(2);
/// Time that the database gets for an answer that is not in memory, or that may be old. Asterisk itself waits for half a
/// second (`httptimeout`).
pub const READ_TIME: Duration = Duration::from_millis(300);
/// Time for what Asterisk writes.
pub const WRITE_TIME: Duration = Duration::from_millis(400);
/// How long nobody asks the database again that did not answer, where memory has an answer: one call asks several times.
pub const AWAY_TIME: Duration = Duration::from_secs(1);
/// Time to read all of a table.
pub const READ_ALL_TIME: Duration = Duration::from_secs(20);
/// Registrations that serve from memory while the database does not know them; one has some 600 bytes.
pub const WAITING: usize = 50_000;
/// Rows of a tenant's log that go into the database in one transaction after it was away: beyond some dozens a transaction's own
/// cost no longer shows.
pub const KEPT_ROWS: usize = 64;
/// Bytes of the file that keeps what Asterisk delivers while the database is away: some 200,000 registrations or rows of the
/// queues' log, of which a call makes 3 to 10.
pub const KEPT_BYTES: u64 = 128 * 1024 * 1024;
/// How often it is looked for registrations that have run out.
pub const EXPIRE_TIME: Duration = Duration::from_secs(5);
/// Registrations that one look ends.
pub const EXPIRED_ROWS: i64 = 500;
/// Pause between two looks for what Asterisk wrote into the database itself: what it says is known within 2 s, and a look at
/// an empty table costs some 0.1 ms.
pub const INBOX_TIME: Duration = Duration::from_millis(300);
/// Notes that are read at a time; one has some 300 bytes, and each is a transaction.
pub const INBOX_NOTES: i64 = 500;
/// How long a note that can't be taken, though the database answers, holds up those behind it.
pub const INBOX_PATIENCE: Duration = Duration::from_secs(60);
/// Characters of why a member is paused, as `queues.members` has them.
pub const PAUSE_REASON_CHARACTERS: usize = 80;
