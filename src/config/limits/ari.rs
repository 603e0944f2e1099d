//! Asterisk's REST interface (ARI): one socket for each Asterisk.

use std::time::Duration;

/// Time for a connection and its handshake.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);
/// First pause before it is dialled again; each failure doubles it, up to [`RETRY_MOST`].
pub const RETRY_FIRST: Duration = Duration::from_millis(200);
/// The longest such pause. Every living call is to be known within a second of an Asterisk's return, however long it was
/// away; an attempt in vain costs a connection that is refused.
pub const RETRY_MOST: Duration = Duration::from_millis(800);
/// Pause behind a refused password, and behind another's taking of the application: an operator has to act.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// First pause when another connection has taken the application; it doubles each time, up to [`REPLACED_MOST`]. Two
/// services that share a name by mistake must not take it from each other all the time.
pub const REPLACED_PAUSE: Duration = Duration::from_secs(60);
/// The longest such pause.
pub const REPLACED_MOST: Duration = Duration::from_secs(3_600);
/// How soon a waiting group's connection may be replaced again: two Asterisks that share a group's credentials by mistake.
pub const TAKE_OVER_PAUSE: Duration = Duration::from_secs(2);
/// Time from an accepted connection to its first frame, which names the application; Asterisk sends it at once.
pub const FIRST_FRAME_TIME: Duration = Duration::from_secs(5);
/// How often we ask whether the socket lives.
pub const PING_TIME: Duration = Duration::from_secs(3);
/// Time for a frame of ours to leave.
pub const WRITE_TIME: Duration = Duration::from_secs(5);
/// How long a socket that fell silent is kept with our side closed, so that an Asterisk that was frozen finds our goodbye. Each
/// costs a file descriptor and some KiB, and there is one every 12 s at most.
pub const LINGER_TIME: Duration = Duration::from_secs(600);
/// Time for our goodbye.
pub const CLOSE_TIME: Duration = Duration::from_secs(1);
/// A socket is given up at the next ping behind so many without an answer: 9 to 12 s. Asterisk under load answers late.
pub const SILENT_PINGS: u32 = 3;
/// A socket on which Asterisk owes an answer for so long is given up.
pub const UNANSWERED_TIME: Duration = Duration::from_secs(30);
/// Frames of ours that wait to be written.
pub const OUT_FRAMES: usize = 128;
/// Time from a request to its answer, the wait for a place included. Asterisk takes 0.3 to 3 ms.
pub const ANSWER_TIME: Duration = Duration::from_secs(5);
/// The same for a snapshot: thousands of channels.
pub const SNAPSHOT_TIME: Duration = Duration::from_secs(20);
/// Pause before an Asterisk that has connected while it boots is asked again.
pub const BOOT_PAUSE: Duration = Duration::from_millis(100);
/// So many of them: a minute; it takes half a second.
pub const BOOT_PAUSES: u32 = 600;
/// Requests under way on a socket that we opened. Asterisk works on one at a time.
pub const REQUESTS: usize = 64;
/// Bytes of a request: Asterisk closes the connection at frames over 65,535.
pub const REQUEST_BYTES: usize = 60_000;
/// Bytes of a frame of Asterisk's: the snapshot of 20,000 channels, each some 1,000 bytes.
pub const MESSAGE_BYTES: usize = 32 * 1024 * 1024;
/// First room for what Asterisk sends: some events.
pub const READ_BYTES: usize = 16 * 1024;
/// Bytes of a handshake's answer.
pub const HEAD_BYTES: usize = 16 * 1024;
/// Events of one Asterisk that wait for the reader; one has some 2 KiB. 800 calls at a time make some 300 a second.
pub const QUEUE_EVENTS: usize = 10_000;
/// Time that the connection for a single call has to come again when it broke: Asterisk tries each half second.
pub const CALL_AWAY: Duration = Duration::from_secs(5);
/// Connections for single calls that one group may have at a time.
pub const CALL_SOCKETS: usize = 1_000;
/// Connections that all Asterisks together may have opened: file descriptors are needed for calls too.
pub const SOCKETS: usize = 2_000;
