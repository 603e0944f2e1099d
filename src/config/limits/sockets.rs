//! Sockets of the event stream.

use std::time::Duration;

/// Sockets open at a time in one process. One that is idle takes some 6 KiB, one behind which events wait 64 KiB more.
pub const SOCKETS: usize = 20_000;
/// The part of the file descriptors that sockets may have: calls and the database need the others.
pub const DESCRIPTORS_PART: u64 = 4;
/// Sockets of one user or key: tabs and devices of a person, processes of a program.
pub const SOCKETS_OF_ONE: usize = 50;
/// Sockets of one tenant: half of all, so that no tenant shuts the others out.
pub const SOCKETS_OF_TENANT: usize = 10_000;
/// Time for the first frame, which says who it is.
pub const AUTH_TIME: Duration = Duration::from_secs(5);
/// Bytes of a client's frame or message: a token has some 600, [`super::events::PATTERNS`] patterns of usual length 1,500.
pub const FRAME_BYTES: usize = 8 * 1024;
/// First room for what a client sends; grows to [`FRAME_BYTES`].
pub const READ_BYTES: usize = 512;
/// Bytes of one frame to a client; longer texts go in several, so that no socket keeps room for more.
pub const PART_BYTES: usize = 4 * 1024;
/// Bytes that are collected before they are written: a resuming client costs one system call for each so many.
pub const WRITE_BYTES: usize = 8 * 1024;
/// Bytes that the kernel keeps for a client that does not read (it takes twice as many).
pub const KERNEL_BYTES: usize = 64 * 1024;
/// Time for a few KiB to leave. Who takes longer is closed, and comes back with its cursor.
pub const SEND_TIME: Duration = Duration::from_secs(10);
/// Time for a closing to reach the client.
pub const CLOSE_TIME: Duration = Duration::from_secs(1);
/// Bytes read and dropped meanwhile.
pub const CLOSE_BYTES: usize = 64 * 1024;
/// How often tokens and the peers' life are looked at: how late a socket hears that its session has ended.
pub const CHECK_TIME: Duration = Duration::from_secs(1);
/// How often keys are looked up again; what [`super::auth::KEY_CACHE_US`] knows asks no database.
pub const KEYS_TIME: Duration = Duration::from_secs(5);
/// Silence of so many checks and the client is asked whether it lives: below the 60 s after which proxies give up.
pub const PING_CHECKS: u64 = 25;
/// Silence of so many checks and it is taken for dead: two questions without an answer.
pub const DEAD_CHECKS: u64 = 60;
/// Frames of a client between two checks. People's programs send a handful.
pub const FRAMES_PER_CHECK: u32 = 50;
/// How long before its token expires a client is told. Microseconds.
pub const EXPIRING_US: i64 = 60_000_000;
/// Events passed over after which a client gets a new cursor all the same, so that a rare type's never grows too old.
pub const PASSED_OVER: i64 = 1_000;
/// Events sent before a socket looks at its client again.
pub const BATCH: usize = 64;
/// Newest events of a tenant in memory, for all its sockets together: a burst that a busy machine hands on late.
pub const RING_EVENTS: usize = 4_096;
/// Bytes of the same.
pub const RING_BYTES: usize = 4 * 1024 * 1024;
/// Events read into an empty ring: sockets that come back after a restart missed a few, and all the same ones.
pub const RING_FIRST: i64 = 200;
/// How long events stay in memory: who is further behind reads the database.
pub const RING_TIME: Duration = Duration::from_secs(60);
/// How often older ones are dropped.
pub const RING_SWEEP: Duration = Duration::from_secs(10);
/// Reads of the database by sockets that come back, at a time: REST has the other connections.
pub const READS: usize = 2;
/// Sockets that hold what they read, at a time; each some 100 KiB.
pub const RESUMES: usize = 64;
/// Pause before the database is tried again.
pub const RETRY_TIME: Duration = Duration::from_millis(500);
/// How often rows of sockets are written.
pub const ROWS_TIME: Duration = Duration::from_millis(500);
/// Rows in one statement.
pub const ROWS_BATCH: usize = 64;
/// Rows that wait for the database at most; more are not kept, and counted in the log.
pub const ROWS_WAITING: usize = 100_000;
/// After so many rounds of [`ROWS_TIME`] it is written when clients were heard: a minute.
pub const SEEN_ROUNDS: u64 = 120;
/// After so many it is looked for rows that nobody will close, and old ones are removed: an hour.
pub const CLEAN_ROUNDS: u64 = 7_200;
/// An open row that was not seen for so long is of a process that is gone. Microseconds.
pub const LOST_US: i64 = 3_600_000_000;
/// How long rows of closed sockets are kept. Microseconds.
pub const KEPT_US: i64 = 30 * 86_400 * 1_000_000;
